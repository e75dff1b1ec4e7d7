//! The roles' processes: started in their sandboxes, heard, signalled. It never waits for one.

use crate::supervision::Supervision;
use crate::{groups, loglines::Lines, logs, sys, table};
use drawbridge_bus::{LISTENER, Level, Role, RoleState, RoleStatus, Runs};
use drawbridge_sandbox::{Profile, enclose, join_group};
use mio::unix::SourceFd;
use mio::unix::pipe::Receiver;
use mio::{Interest, Registry, Token};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// The binary: init itself, which is every role.
const BINARY: &str = "/init";

/// They have the processor first: a person waits for what they do. The others start when these serve.
const FIRST: [Role; 2] = [Role::Network, Role::Console];

/// One turn of the loop reads no more than this from one role's log.
const TURN_BYTES: usize = 64 * 1024;

/// A role that init looks after.
pub(crate) struct Supervised {
    /// Which.
    pub(crate) role: Role,
    profile: &'static Profile,
    /// Its life so far.
    pub(crate) supervision: Supervision,
    /// Its process, while there is one.
    pub(crate) process: Option<Process>,
    listener: UnixListener,
    last_end: String,
    tokens: Tokens,
}

/// The tokens under which the event loop hears of a role.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens {
    /// Its process has ended.
    pub(crate) exit: Token,
    /// It wrote to its log.
    pub(crate) log: Token,
}

/// A process of a role.
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    pidfd: OwnedFd,
    log: Receiver,
    lines: Lines,
}

impl Process {
    /// Sends it a signal, and only it, whatever has become of its number.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Err(error) = sys::pidfd_signal(&self.pidfd, signal)
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            log::error!("cannot signal process {}: {error}", self.pid);
        }
    }
}

impl Supervised {
    /// Makes what a role needs before it can be started: its socket and its control group.
    pub(crate) fn new(role: Role, tokens: Tokens) -> Option<Self> {
        let profile = table::profile(role)?;
        groups::make(profile);
        let supervision = match role.runs() {
            Runs::Always if FIRST.contains(&role) => Supervision::new(crate::clock::since_boot()),
            Runs::Always => Supervision::later(crate::clock::since_boot()),
            Runs::OnDemand => Supervision::dormant(),
            // Init keeps no one process of it.
            Runs::PerChannel => return None,
        };
        match crate::bus::bind(role) {
            Ok(listener) => Some(Self {
                role,
                profile,
                supervision,
                process: None,
                listener,
                last_end: String::new(),
                tokens,
            }),
            Err(error) => {
                log::error!("the {role} role is not started: its socket cannot be made: {error}");
                None
            }
        }
    }

    /// Starts its process.
    pub(crate) fn start(&mut self, registry: &Registry) {
        let now = crate::clock::since_boot();
        self.supervision.started(now);
        match start(self.profile, &[self.role.name()], Some(self.listener.as_fd()), self.tokens, registry) {
            Ok(process) => self.process = Some(process),
            Err(error) => self.has_ended(&format!("could not be started: {error}")),
        }
    }

    /// Reads what it wrote to its log.
    pub(crate) fn hear(&mut self, registry: &Registry) {
        if let Some(process) = &mut self.process {
            process.hear_all(self.role.name(), self.tokens, registry);
        }
    }

    /// Whether others wait for it.
    pub(crate) fn is_first(&self) -> bool {
        FIRST.contains(&self.role)
    }

    /// Starts a role that runs on demand; false when what was left of an earlier run is still ending.
    pub(crate) fn wake(&mut self) -> bool {
        if self.role.runs() != Runs::OnDemand || self.process.is_some() {
            return false;
        }
        self.supervision.wake(crate::clock::since_boot());
        true
    }

    /// Ends a role that runs on demand, at once.
    pub(crate) fn rest(&mut self) {
        if self.role.runs() == Runs::OnDemand {
            self.supervision.rest();
            self.kill();
        }
    }

    /// Its process has been reaped.
    pub(crate) fn reaped(&mut self, status: WaitStatus, registry: &Registry) {
        if let Some(mut process) = self.process.take() {
            process.close(self.role.name(), registry);
        }
        // What it has started, if it ever could, ends with it.
        groups::kill(self.profile.name);
        if self.role.runs() == Runs::OnDemand && matches!(status, WaitStatus::Exited(_, 0)) {
            // It has done what it was started for.
            self.supervision.rest();
        }
        self.has_ended(&sentence(status));
    }

    fn has_ended(&mut self, how: &str) {
        how.clone_into(&mut self.last_end);
        let failed = self.supervision.ended(crate::clock::since_boot());
        if matches!(self.supervision.state(0), RoleState::Stopped | RoleState::Dormant) {
            log::info!("the {} role {how}", self.role);
        } else if failed {
            log::error!("the {} role {how}; it has FAILED: too many ends in a short time", self.role);
        } else {
            log::warn!("the {} role {how}", self.role);
        }
    }

    /// Ends all its processes at once.
    pub(crate) fn kill(&self) {
        groups::kill(self.profile.name);
        if let Some(process) = &self.process {
            process.signal(Signal::SIGKILL);
        }
    }

    /// How it last ended, as the rest of a sentence.
    pub(crate) fn last_end(&self) -> &str {
        &self.last_end
    }

    /// Its line in the system's status.
    pub(crate) fn status(&self) -> RoleStatus {
        RoleStatus {
            role: self.role,
            state: self.supervision.state(crate::clock::since_boot()),
            pid: self.process.as_ref().map_or(0, |process| process.pid),
            starts: self.supervision.starts,
            memory_kib: groups::memory_kib(self.profile.name),
            last_end: self.last_end.clone(),
        }
    }
}

impl Process {
    /// Reads its log, and what one turn leaves by another.
    pub(crate) fn hear_all(&mut self, source: &str, tokens: Tokens, registry: &Registry) {
        if self.hear(source)
            && let Err(error) = registry.reregister(&mut self.log, tokens.log, Interest::READABLE)
        {
            log::error!("the log of {source} can no longer be read: {error}");
        }
    }

    /// Reads its log; true when there may be more than one turn reads.
    pub(crate) fn hear(&mut self, source: &str) -> bool {
        self.hear_each(|level, text| logs::line(source, level, text))
    }

    /// Reads its log, a line at a time.
    pub(crate) fn hear_each(&mut self, mut heard: impl FnMut(Level, &str)) -> bool {
        let mut buffer = [0; 4096];
        let mut read = 0;
        while read < TURN_BYTES {
            match self.log.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    read += length;
                    let now = crate::clock::since_boot();
                    self.lines.push(&buffer[..length], now, |level, text| heard(level, &text));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads the last of its log, and lets go of it.
    pub(crate) fn close(&mut self, source: &str, registry: &Registry) {
        self.hear(source);
        self.lines.end(|level, text| logs::line(source, level, &text));
        let _ = registry.deregister(&mut self.log);
        let _ = registry.deregister(&mut SourceFd(&self.pidfd.as_raw_fd()));
    }
}

/// What a process of somebody else's has as its input, output and errors.
pub(crate) struct Outfit {
    /// One terminal, or the three apart.
    pub(crate) stdio: Vec<OwnedFd>,
    /// What its environment has in it.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// Starts the binary with these arguments in a role's sandbox. What it inherits it finds as descriptor [`LISTENER`].
pub(crate) fn start(
    profile: &'static Profile,
    arguments: &[&str],
    inherited: Option<BorrowedFd<'_>>,
    tokens: Tokens,
    registry: &Registry,
) -> io::Result<Process> {
    let (sender, receiver) = log_pipe()?;
    let mut command = Command::new(BINARY);
    command.env_clear().stdin(Stdio::null()).stdout(sender.try_clone()?).stderr(sender);
    let listening = inherited.map(|fd| fd.as_raw_fd());
    let prepare = move || listening.map_or(Ok(()), |fd| sys::place_descriptor(fd, LISTENER));
    launch(profile, arguments, command, prepare, receiver, tokens, registry)
}

/// Starts the binary for an engineer's channel: its input, output and errors are his, and its log is descriptor [`LISTENER`].
pub(crate) fn start_for(
    profile: &'static Profile,
    arguments: &[&str],
    outfit: Outfit,
    tokens: Tokens,
    registry: &Registry,
) -> io::Result<Process> {
    let (sender, receiver) = log_pipe()?;
    let mut command = Command::new(BINARY);
    command.env_clear().envs(outfit.environment);
    let mut stdio = outfit.stdio.into_iter();
    let (input, output, errors, terminal) = match (stdio.next(), stdio.next(), stdio.next()) {
        (Some(terminal), None, None) => (terminal.try_clone()?, terminal.try_clone()?, terminal, true),
        (Some(input), Some(output), Some(errors)) => (input, output, errors, false),
        _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    command.stdin(input).stdout(output).stderr(errors);
    let prepare = move || {
        sys::place_descriptor(sender.as_raw_fd(), LISTENER)?;
        if terminal { sys::take_terminal() } else { Ok(()) }
    };
    launch(profile, arguments, command, prepare, receiver, tokens, registry)
}

fn log_pipe() -> io::Result<(OwnedFd, Receiver)> {
    let (sender, receiver) = mio::unix::pipe::new()?;
    // The role's end blocks: a role that logs too fast is slowed, and loses no line by that.
    sender.set_nonblocking(false)?;
    Ok((OwnedFd::from(sender), receiver))
}

/// Starts `command`, whose input, output and errors are set. `prepare` runs in the child, in a session of its own.
fn launch(
    profile: &'static Profile,
    arguments: &[&str],
    mut command: Command,
    prepare: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    mut receiver: Receiver,
    tokens: Tokens,
    registry: &Registry,
) -> io::Result<Process> {
    command.arg0(profile.name).args(arguments).current_dir("/");
    let group = groups::folder(profile.name);
    let pid = sys::spawn(command, move || {
        prepare()?;
        // Standard error is the log already, or an engineer's; the reason would not fit through the exec's own error number.
        join_group(&group).and_then(|()| enclose(profile)).map_err(|error| {
            let _ = writeln!(io::stderr(), "<3>{error}");
            io::Error::from_raw_os_error(libc::EPERM)
        })
    })?;
    let pidfd = sys::pidfd_open(pid)?;
    registry.register(&mut SourceFd(&pidfd.as_raw_fd()), tokens.exit, Interest::READABLE)?;
    registry.register(&mut receiver, tokens.log, Interest::READABLE)?;
    Ok(Process { pid, pidfd, log: receiver, lines: Lines::default() })
}

/// How a process ended, as the rest of a sentence.
pub(crate) fn sentence(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, 0) => "ended by itself".to_owned(),
        WaitStatus::Exited(_, code) => format!("ended with status {code}"),
        WaitStatus::Signaled(_, Signal::SIGSYS, _) => {
            "was ended by its sandbox: it tried a system call that it may not make (SIGSYS)".to_owned()
        }
        WaitStatus::Signaled(_, signal, _) => format!("was ended by signal {signal}"),
        other => format!("ended in an unknown way ({other:?})"),
    }
}
