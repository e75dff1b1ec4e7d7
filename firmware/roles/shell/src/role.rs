//! The process of one channel: it learns what its engineer may do, gives up the rest, and does the one job. It decides nothing.

use crate::commands::Shell;
use crate::deeds::Deeds;
use crate::{guided, interactive};
use drawbridge_bus::bridge::ShellScope;
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_sandbox::SandboxError;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::net::UnixStream;

/// The status of a process that could not begin.
const CANNOT: u8 = 126;

/// Where the role finds bus and files.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the bus's sockets.
    pub sockets: PathBuf,
    /// The grant's folder.
    pub files: PathBuf,
    /// Whether the ports that the scope does not name are given up: the role is locked into its sandbox.
    pub narrow: bool,
}

/// Why the process ends before it begins.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(
        "the arguments are a connection's number, a job, and its command: init starts this role, nobody else"
    )]
    Arguments,
    #[error("the process cannot start: {0}")]
    Start(std::io::Error),
    #[error("it is not known what this connection may do: {0}")]
    Scope(CallError),
    #[error("this process cannot be locked in: {0}")]
    Sandbox(#[from] SandboxError),
    #[error("this session opens no command line; files go by sftp and scp, where it opens those")]
    NoShell,
    #[error("this session opens no files")]
    NoFiles,
    #[error("at the level guided no files are copied: propose lines on the command line")]
    Guided,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job<'a> {
    Interactive,
    Exec(&'a str),
    Sftp,
}

/// Runs the role: `arguments` are what follows its name, `CONNECTION interactive|exec|sftp [COMMAND]`.
pub fn run(arguments: &[String]) -> ExitCode {
    let files = PathBuf::from("/data").join(Role::Shell.name()).join("files");
    run_at(&Place { sockets: PathBuf::from(drawbridge_bus::SOCKETS), files, narrow: true }, arguments)
}

/// [`run`], somewhere else.
pub fn run_at(place: &Place, arguments: &[String]) -> ExitCode {
    // A panic has said where it was in the log; what is left to say is that the process has failed.
    match std::panic::catch_unwind(|| start(place, arguments)) {
        Ok(Ok(status)) => ExitCode::from(status),
        Ok(Err(end)) => {
            log::warn!("{end}");
            // Who has closed his errors does not want to hear them.
            let _ = writeln!(std::io::stderr(), "{}", crate::output::printable(&end.to_string()));
            ExitCode::from(CANNOT)
        }
        Err(_) => ExitCode::from(CANNOT),
    }
}

fn start(place: &Place, arguments: &[String]) -> Result<u8, End> {
    let (connection, job) = parse(arguments).ok_or(End::Arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(End::Start)?;
    let scope = runtime.block_on(scope(&place.sockets, connection)).map_err(End::Scope)?;
    if place.narrow {
        // The runtime has no thread of its own: this one is all there is.
        let ports: Vec<u16> = scope.scope.targets.iter().map(|target| target.port).collect();
        drawbridge_sandbox::narrow(&ports)?;
    }
    let (opens_shell, opens_files) = (scope.scope.shell, scope.scope.files);
    let deeds = Deeds::on_bus(&place.sockets, connection, scope.recording);
    let mut shell = Shell::new(place.clone(), scope, connection, deeds);
    match job {
        Job::Sftp if !opens_files => Err(End::NoFiles),
        Job::Sftp if guided::is_guided(&shell) => Err(End::Guided),
        Job::Sftp => match shell.tree() {
            Ok(tree) => Ok(crate::sftp::serve(&runtime, tree, shell.deeds.clone())),
            Err(fault) => {
                fault.say();
                Ok(fault.status())
            }
        },
        Job::Exec(command) if interactive::scp(command).is_some() => {
            if guided::is_guided(&shell) {
                Err(End::Guided)
            } else if opens_files {
                Ok(runtime.block_on(interactive::exec(shell, command)))
            } else {
                Err(End::NoFiles)
            }
        }
        Job::Exec(_) | Job::Interactive if !opens_shell => Err(End::NoShell),
        Job::Exec(command) => Ok(runtime.block_on(interactive::exec(shell, command))),
        Job::Interactive => Ok(runtime.block_on(interactive::converse(shell))),
    }
}

fn parse(arguments: &[String]) -> Option<(u64, Job<'_>)> {
    let [connection, job, rest @ ..] = arguments else { return None };
    let job = match (job.as_str(), rest) {
        ("interactive", []) => Job::Interactive,
        ("exec", [command]) => Job::Exec(command),
        ("sftp", []) => Job::Sftp,
        _ => return None,
    };
    Some((connection.parse().ok()?, job))
}

async fn scope(sockets: &Path, connection: u64) -> Result<ShellScope, CallError> {
    let mut session = connect(sockets, Role::Session).await?;
    match session.call(Request::ShellScope { connection }).await? {
        Reply::ShellScope(scope) => Ok(*scope),
        _ => Err(CallError::Malformed(Role::Session, drawbridge_bus::frame::FrameError::Malformed)),
    }
}

/// A connection to another role.
pub(crate) async fn connect(sockets: &Path, role: Role) -> Result<Client, CallError> {
    let stream = UnixStream::connect(sockets.join(role.name())).await;
    Ok(Client::over(role, stream.map_err(|error| CallError::Unreachable(role, error))?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn arguments_are_what_init_gives_and_nothing_else() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            super::parse(&words).map(|(connection, job)| (connection, format!("{job:?}")))
        };
        assert_eq!(parse("7 sftp"), Some((7, "Sftp".to_owned())));
        assert_eq!(parse("7 exec status"), Some((7, "Exec(\"status\")".to_owned())));
        for wrong in ["7", "x sftp", "7 sftp x", "7 exec", "7 shell"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
