//! The sandbox: what the table of init promises about a role, made true by the kernel. It never decides what a role needs.
//!
//! It has two halves. [`enclose`] runs as root between fork and exec, and takes away what only root can take: the
//! control group, the mount tree and network, the limits, the capabilities, the user. [`lock`] runs first thing in the
//! role itself, and gives up the rest: files and sockets (Landlock) and system calls (seccomp). A role that could not be
//! locked does not run.

mod enclose;
mod lock;
mod syscalls;

pub use enclose::{enclose, join_group};
pub use lock::{lock, name_process, narrow};
pub use syscalls::Calls;

pub use caps::Capability;

/// What a role may touch. One a role, all in init's table.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The role's name, for its control group.
    pub name: &'static str,
    /// User and group.
    pub uid: u32,
    /// The capabilities that it keeps; every other one leaves the bounding set too.
    pub capabilities: &'static [Capability],
    /// The system calls beyond those that every role has.
    pub calls: &'static [Calls],
    /// The files and folders it may use; nothing else in the file system can be opened.
    pub files: &'static [File],
    /// The TCP ports it may listen on.
    pub listens: &'static [u16],
    /// The TCP ports, of whatever host, that it may connect to.
    pub connects: Connects,
    /// Whether it sees the machine's network at all; if not, it has an empty one of its own.
    pub network: bool,
    /// Bounds on what it may use up.
    pub limits: Limits,
}

/// The TCP ports that a role may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connects {
    /// These.
    Ports(&'static [u16]),
    /// Those that its orders name, which it learns when it runs already: any, until it has called [`narrow`] with them.
    Ordered,
}

/// A place in the file system that a role may use.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// The file or folder, with all below it.
    pub path: &'static str,
    /// Whether it may be changed as well as read.
    pub write: bool,
}

/// Bounds on what a role may use up. Reached, they stop the role and nobody else.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory of the role and of its temporary files, in bytes.
    pub memory: u64,
    /// Processes and threads.
    pub tasks: u32,
    /// Open descriptors.
    pub descriptors: u64,
    /// Its `/tmp`, in bytes.
    pub temporary: u64,
    /// The largest file it may write, in bytes.
    pub file: u64,
}

/// What could not be taken away. The role is not run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A system call failed.
    #[error("cannot {what}: {error}")]
    Call {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        error: std::io::Error,
    },
    /// The capability crate failed.
    #[error("cannot {what}: {error}")]
    Capabilities {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        error: caps::errors::CapsError,
    },
    /// The kernel enforces less than asked.
    #[error("this kernel does not enforce the file sandbox (Landlock ABI 6): {0}")]
    Landlock(String),
    /// The filter could not be built or loaded.
    #[error("cannot load the system call filter: {0}")]
    Seccomp(String),
    /// The process is not what [`enclose`] makes.
    #[error("this process is not enclosed: {0}")]
    NotEnclosed(&'static str),
}

impl SandboxError {
    fn call(what: &'static str, error: impl Into<std::io::Error>) -> Self {
        Self::Call { what, error: error.into() }
    }
}
