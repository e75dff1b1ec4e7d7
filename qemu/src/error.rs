//! What can go wrong in the lab, each as a sentence for whoever runs the tests. It never retries.

use std::path::PathBuf;
use std::time::Duration;

/// Why the lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file could not be handled.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refused something else.
    #[error("cannot {0}: {1}")]
    System(&'static str, std::io::Error),
    /// A program could not be started.
    #[error(
        "cannot start {program}: {source}. Is its package installed (qemu/packages.txt, qemu/tests/packages.txt)?"
    )]
    Start {
        /// Which program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that the distribution should have.
    #[error("{what} was not found in any of: {places}. Install the package {package}")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where.
        places: String,
        /// What has it.
        package: &'static str,
    },
    /// No namespace can be made.
    #[error(
        "cannot make a network namespace: {0}. Namespaces of users must be allowed: on Debian by \
         `sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu by `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, \
         and `sysctl user.max_user_namespaces` must not be 0; in a container, run as root with the capability SYS_ADMIN"
    )]
    Namespace(std::io::Error),
    /// A program in a namespace failed.
    #[error("{program} in the namespace {namespace} has failed ({status}). It said last:\n{tail}")]
    Program {
        /// Which.
        program: String,
        /// Where.
        namespace: String,
        /// How it ended.
        status: String,
        /// The end of its output.
        tail: String,
    },
    /// QEMU ended.
    #[error("the virtual machine has ended ({status}). Its last words:\n{stderr}")]
    MachineEnded {
        /// How.
        status: String,
        /// The end of its standard error.
        stderr: String,
    },
    /// QEMU or a program does not end.
    #[error("the virtual machine or program still runs after {0:.1?}")]
    MachineRuns(Duration),
    /// Something is wrong with the monitor.
    #[error("the machine's monitor: {0}")]
    Qmp(#[from] crate::qmp::QmpError),
    /// The serial line did not say what was expected.
    #[error(transparent)]
    Serial(#[from] crate::serial::SerialError),
    /// Something is wrong in the virtual network.
    #[error(transparent)]
    Net(#[from] crate::net::NetError),
    /// A description that makes no machine.
    #[error("the machine is described wrongly: {0}")]
    Description(String),
    /// Something answered otherwise than it should.
    #[error("{0}")]
    Unexpected(String),
}

impl LabError {
    /// For `map_err` on what handles a file.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
