//! Starts the distribution's programs and turns how they end into sentences; it never goes through a shell.

use std::io;
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};

/// At most so much of the end of what a failed program printed goes into an error, in bytes.
const QUOTED: usize = 4096;

/// A program that the build calls: its command, what it is there for, and what to do when it is missing.
#[derive(Debug)]
pub(crate) struct Tool {
    name: String,
    command: Command,
    purpose: &'static str,
    remedy: String,
}

impl Tool {
    /// `program`, found on the PATH, which "does `purpose`" and is in Debian's package `package`.
    pub(crate) fn new(program: &str, purpose: &'static str, package: &str) -> Self {
        Self::wrapped(program, program, purpose, package)
    }

    /// `program` as `new` has it, started by `wrapper`, whose arguments the caller adds.
    pub(crate) fn wrapped(program: &str, wrapper: &str, purpose: &'static str, package: &str) -> Self {
        Self {
            name: program.to_owned(),
            command: Command::new(wrapper),
            purpose,
            remedy: format!("install the package {package} (`apt-get install {package}`)"),
        }
    }

    /// The command, to add arguments and environment to.
    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs it to its end, and returns what it wrote to standard output.
    pub(crate) fn output(mut self) -> Result<Vec<u8>> {
        let output = self.command.stdin(Stdio::null()).output().map_err(|source| self.start_error(source))?;
        self.check(&output)?;
        Ok(output.stdout)
    }

    /// Runs it to its end, and returns what it wrote to standard output, which must be UTF-8.
    pub(crate) fn text(self) -> Result<String> {
        let program = self.name.clone();
        String::from_utf8(self.output()?)
            .map_err(|wrong| Error::malformed(format!("what `{program}` printed"), &wrong))
    }

    /// The error for a program that could not be started.
    pub(crate) fn start_error(&self, source: io::Error) -> Error {
        Error::Start {
            program: self.name.clone(),
            purpose: self.purpose,
            source,
            remedy: self.remedy.clone(),
        }
    }

    /// The error for a program that ended badly, with the end of what it printed.
    pub(crate) fn end_error(&self, status: std::process::ExitStatus, printed: &[u8]) -> Error {
        let from = printed.len().saturating_sub(QUOTED);
        Error::Failed {
            program: self.name.clone(),
            purpose: self.purpose,
            status,
            output: String::from_utf8_lossy(&printed[from..]).into_owned(),
        }
    }

    fn check(&self, output: &Output) -> Result<()> {
        if output.status.success() {
            return Ok(());
        }
        let printed = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        Err(self.end_error(output.status, printed))
    }
}

/// The PATH with the folders in which Debian keeps the programs that make file systems.
pub(crate) fn path_with_sbin() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let said =
            Tool::new("no-such-program", "does nothing", "nothing-at-all").output().unwrap_err().to_string();
        assert!(said.contains("apt-get install nothing-at-all"), "{said}");
    }

    #[test]
    fn a_failed_program_is_quoted() {
        let mut tool = Tool::new("ls", "lists a folder", "coreutils");
        tool.command().arg("/no/such/folder");
        let said = tool.output().unwrap_err().to_string();
        assert!(said.contains("/no/such/folder") && said.contains("lists a folder"), "{said}");
    }
}
