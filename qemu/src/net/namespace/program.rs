//! A program of a namespace: its output, its end. It never outlives its handle.

use crate::process::Process;
use crate::serial::{Copies, Line, Pattern, Serial, log_file};
use crate::{Lab, LabError, within};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How many of the last lines an error quotes.
const QUOTED_LINES: usize = 40;

/// How long the output of an ended program may take to be read.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

/// A running program of a namespace. Dropped, it is killed.
#[derive(Debug)]
pub struct Program {
    name: String,
    namespace: String,
    process: Process,
    output: Serial,
    log: PathBuf,
}

impl Program {
    /// Starts a command that was prepared to run in the namespace. What it says goes to the log.
    pub(super) fn start(
        namespace: &str,
        mut command: Command,
        log: &Path,
        began: Instant,
    ) -> Result<Self, LabError> {
        let name = command.get_program().to_string_lossy().into_owned();
        let failed = |error| LabError::System("read the output of a program", error);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        command
            .stdin(Stdio::null())
            .stdout(std::os::fd::OwnedFd::from(theirs.try_clone().map_err(failed)?))
            .stderr(std::os::fd::OwnedFd::from(theirs));
        let speaker = Some(format!("{name} in the namespace {namespace}"));
        let copies = Copies { log: Some(log_file(log)?), echo: None, speaker };
        let output = Serial::start(ours, began, copies).map_err(failed)?;
        let process = Process::start(command, Vec::new())?;
        Ok(Self { name, namespace: namespace.to_owned(), process, output, log: log.to_path_buf() })
    }

    /// Starts a program of this machine, outside of every namespace. Its input is empty.
    pub fn of_this_machine(lab: &Lab, command: Command) -> Result<Self, LabError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
        let log = lab.folder().join(format!("here-{}-{name}.log", COUNT.fetch_add(1, Ordering::Relaxed)));
        Self::start("this machine", command, &log, lab.started())
    }

    /// Waits until what it said after the last match holds the pattern, and returns the line.
    pub fn wait_for(&self, pattern: impl Pattern, within: Duration) -> Result<Line, LabError> {
        Ok(self.output.wait_for(pattern, within)?)
    }

    /// All that it said so far.
    pub fn text(&self) -> String {
        self.output.text()
    }

    /// All whole lines that it said so far, with the time since the test began.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lines()
    }

    /// The file that gets its output, in the lab's folder.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        self.process.runs()
    }

    /// Waits for its end.
    pub fn wait(&self, within: Duration) -> Result<ExitStatus, LabError> {
        self.process.wait(within)
    }

    /// Waits for its end and returns what it said; that it failed is an error which quotes it.
    pub fn finish(&self, limit: Duration) -> Result<String, LabError> {
        let status = self.process.wait(limit)?;
        self.output.wait_for_end(within(DRAINED_WITHIN));
        if status.success() { Ok(self.text()) } else { Err(self.failure(&status.to_string())) }
    }

    /// All that it said, once it has ended: what is still on its way is waited for.
    pub fn whole_text(&self) -> String {
        self.output.wait_for_end(within(DRAINED_WITHIN));
        self.text()
    }

    /// Sends it a signal, such as SIGHUP to read its configuration again.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> Result<(), LabError> {
        self.process.signal(signal)
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&self) {
        self.process.kill();
    }

    fn failure(&self, status: &str) -> LabError {
        LabError::Program {
            program: self.name.clone(),
            namespace: self.namespace.clone(),
            status: status.to_owned(),
            tail: self.output.tail(QUOTED_LINES),
        }
    }
}
