//! The one error type of this crate: each case is a sentence for the person who builds; it never hides a cause.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// What went wrong while an image was built. The text says what was attempted, what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that the build needs is not on this machine.
    #[error("{what} is not there ({}): {remedy}", path.display())]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`, which {purpose}: {source}; {remedy}")]
    Start {
        /// Its name.
        program: String,
        /// What it was to do.
        purpose: &'static str,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: String,
    },
    /// A program ended with an error.
    #[error("`{program}`, which {purpose}, failed ({status}){}", said(output))]
    Failed {
        /// Its name.
        program: String,
        /// What it was to do.
        purpose: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// What a program printed, or a file of ours holds, is not what it must be.
    #[error("{what} cannot be understood: {wrong}")]
    Malformed {
        /// What was read.
        what: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// The kernel's configuration lost lines that the project asks for.
    #[error(
        "the kernel's configuration lost {} of the project's lines: {}; a symbol was renamed, or what it \
         depends on is off: mend board/x86_64/linux.config",
        lines.len(),
        lines.join("; ")
    )]
    ConfigLost {
        /// The lines of the project's file that do not hold in the `.config` that the kernel made of it.
        lines: Vec<String>,
    },
    /// The binary is not as hardened as the appliance's must be.
    #[error("the binary may not go into an image: {}; see the flags in image/src/binary.rs", faults.join("; "))]
    NotHardened {
        /// What is wrong, one sentence each.
        faults: Vec<String>,
    },
    /// A number or name asked for is out of its range.
    #[error("{what} is {given}, but {rule}")]
    OutOfRange {
        /// What was given.
        what: &'static str,
        /// Its value.
        given: String,
        /// What holds.
        rule: String,
    },
    /// Two builds of the same commit differ.
    #[error(
        "two builds of one commit differ in {}: something of the folder, the time or the order of work got into \
         them; compare the two folders named above",
        files.join(", ")
    )]
    NotReproducible {
        /// The names of the files that differ.
        files: Vec<String>,
    },
    /// The command line cannot be understood.
    #[error("{wrong}; `drawbridge-image help` says what can be asked for")]
    Usage {
        /// What is wrong with it.
        wrong: String,
    },
}

/// The result of every function of this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

fn said(output: &str) -> String {
    let output = output.trim();
    if output.is_empty() { String::new() } else { format!(":\n{output}") }
}

impl Error {
    /// For `map_err` on reading `path`.
    pub(crate) fn read(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Read { path, source }
    }

    /// For `map_err` on writing `path`.
    pub(crate) fn write(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Write { path, source }
    }

    /// `what` cannot be understood, because of `wrong`.
    pub(crate) fn malformed(what: impl Into<String>, wrong: &dyn std::fmt::Display) -> Self {
        Self::Malformed { what: what.into(), wrong: wrong.to_string() }
    }
}
