//! Why a probe could not be made at all, in sentences. It never speaks of what a probe found.

use serde::{Deserialize, Serialize};
use std::io;

/// Why a probe could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// The name has no address; the resolver's sentence.
    #[error("{0}")]
    Name(String),
    /// A value is out of its bounds.
    #[error("{what} is out of bounds: give {from} to {to}")]
    Bounds {
        /// Which.
        what: String,
        /// The least.
        from: u32,
        /// The most.
        to: u32,
    },
    /// The kernel lets nobody here send echo requests.
    #[error(
        "this part of the appliance may not send pings: its group must be within net.ipv4.ping_group_range, or it needs the \
         right to raw sockets; this is a fault of the firmware, report it"
    )]
    NotAllowed,
    /// The port is not there.
    #[error("the port is not there: choose another port, or check that its cable and card are in")]
    NoPort,
    /// There is no way there.
    #[error("there is no way there from this port: check the port's address, gateway and cable")]
    Unreachable,
    /// The appliance's own packet filter.
    #[error("the appliance's own packet filter forbids it on this port: choose a port whose role allows it")]
    Filtered,
    /// Anything else of the kernel's.
    #[error("the kernel refuses it: {0}; try again, and report it if it stays")]
    Kernel(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENODEV) => Self::NoPort,
            Some(
                libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EADDRNOTAVAIL | libc::EINVAL,
            ) => Self::Unreachable,
            Some(libc::EPERM | libc::EACCES) => Self::Filtered,
            _ => Self::Kernel(error.kind().to_string()),
        }
    }
}
