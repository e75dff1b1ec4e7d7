//! What can keep a benchmark from its figure, each as a sentence. Slowness is none of it.

use drawbridge_lab::LabError;
use drawbridge_lab::https::HttpsError;
use drawbridge_lab::net::NetError;
use drawbridge_lab::serial::SerialError;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a figure is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// What makes root file systems.
    #[error(transparent)]
    Image(#[from] drawbridge_image::Error),
    /// The status page could not be fetched.
    #[error("the status page at {0} could not be fetched: {1}")]
    Page(Ipv4Addr, HttpsError),
    /// There is another page.
    #[error("the status page at {0} answers with status {1} instead of 200")]
    Status(Ipv4Addr, u16),
    /// There is something else than an SSH server, or nothing.
    #[error("{0} was to greet as an SSH server does, and {1}")]
    Banner(SocketAddr, String),
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
    /// A program failed.
    #[error("`{program}`, which {purpose}, failed ({how}){}", said(output))]
    Tool {
        /// Its name.
        program: String,
        /// What it was to do.
        purpose: &'static str,
        /// How it ended.
        how: String,
        /// The last of what it said.
        output: String,
    },
    /// A program takes too long.
    #[error("`{program}`, which {purpose}, was not done within {within:.0?}")]
    ToolSlow {
        /// Its name.
        program: String,
        /// What it was to do.
        purpose: &'static str,
        /// The bound.
        within: Duration,
    },
    /// The distribution does not have it.
    #[error("{what} is not in this distribution's packages; Debian 12 and 13 have it")]
    NotThere {
        /// What was looked for.
        what: String,
    },
    /// The network is silent.
    #[error("{what} was not answered within {within:.0?}")]
    NotAnswered {
        /// What was sent.
        what: &'static str,
        /// The bound.
        within: Duration,
    },
    /// A web server does not serve.
    #[error("{0} was to serve over HTTPS, and does not: {1}")]
    Web(&'static str, String),
    /// A program is not where it is looked for.
    #[error("{0} is not there, and is needed")]
    NoProgram(&'static str),
    /// There is no such part.
    #[error(
        "there is no part {0:?}. Without an argument all is measured; `system`, `network`, `console` and `live` are those parts alone"
    )]
    NoPart(String),
    /// An idle machine did not count, or said something else.
    #[error("the machine {0} did not say what it counted in the idle minute: {1}")]
    NotCounted(&'static str, String),
}

/// The result of everything here that can fail.
pub(crate) type Result<T> = std::result::Result<T, BenchError>;

impl From<SerialError> for BenchError {
    fn from(error: SerialError) -> Self {
        Self::Lab(error.into())
    }
}

impl From<NetError> for BenchError {
    fn from(error: NetError) -> Self {
        Self::Lab(error.into())
    }
}

impl BenchError {
    /// For `map_err` on what handles a file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { action, path, source }
    }
}

fn said(output: &str) -> String {
    let output = output.trim();
    if output.is_empty() { String::new() } else { format!(": {output}") }
}
