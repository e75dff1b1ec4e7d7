//! Programs of the distribution, run to their end within a bound. None of them is a shell.

use crate::error::{BenchError, Result};
use drawbridge_lab::process::Process;
use drawbridge_lab::{Lab, LabError};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How much of a failed program's words is told, in bytes from the end.
const TOLD: usize = 500;

/// Runs a program and gives what it printed. `purpose` completes "which …".
pub(crate) fn run(
    program: &str,
    purpose: &'static str,
    within: Duration,
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<Vec<u8>> {
    let lab = Lab::new("bench tool");
    let (output, errors) = (lab.file("output"), lab.file("errors"));
    let mut command = Command::new(program);
    // Their words are read: they should be the same everywhere.
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(create(&output)?).stderr(create(&errors)?);
    prepare(&mut command);
    let read = |path: &Path| std::fs::read(path).map_err(BenchError::file("read", path));
    let process = match Process::start(command, Vec::new()) {
        Ok(process) => process,
        Err(LabError::Start { source, .. }) => {
            return Err(failed(program, purpose, &source.to_string(), &[]));
        }
        Err(error) => return Err(error.into()),
    };
    match process.wait(within) {
        Ok(status) if status.success() => read(&output),
        Ok(status) => Err(failed(program, purpose, &status.to_string(), &read(&errors)?)),
        Err(LabError::MachineRuns(within)) => {
            Err(BenchError::ToolSlow { program: program.to_owned(), purpose, within })
        }
        Err(error) => Err(error.into()),
    }
}

/// The same for what prints text.
pub(crate) fn text(
    program: &str,
    purpose: &'static str,
    within: Duration,
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<String> {
    Ok(String::from_utf8_lossy(&run(program, purpose, within, prepare)?).into_owned())
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(BenchError::file("make", path))
}

fn failed(program: &str, purpose: &'static str, how: &str, errors: &[u8]) -> BenchError {
    let end = errors.get(errors.len().saturating_sub(TOLD)..).unwrap_or(errors);
    let output = String::from_utf8_lossy(end).trim().replace('\n', " ");
    BenchError::Tool { program: program.to_owned(), purpose, how: how.to_owned(), output }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_program_s_words_come_back_and_its_failure_is_told() {
        assert_eq!(text("echo", "speaks", SOON, |command| command.arg("yes")).unwrap(), "yes\n");
        let failure = run("ls", "lists", SOON, |command| command.arg("/not-there")).unwrap_err().to_string();
        assert!(
            failure.starts_with("`ls`, which lists, failed (exit status: 2): ls: cannot access"),
            "{failure}"
        );
        let missing = run("not-there", "does nothing", SOON, |command| command).unwrap_err();
        assert!(matches!(missing, BenchError::Tool { .. }), "{missing}");
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let short = Duration::from_millis(50);
        let error = run("sleep", "sleeps", short, |command| command.arg("60")).unwrap_err();
        assert!(matches!(error, BenchError::ToolSlow { .. }), "{error}");
    }
}
