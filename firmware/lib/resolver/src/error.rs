//! Why a name led to no address, in sentences for an administrator.

use crate::name::NameError;
use std::fmt;
use std::net::IpAddr;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The text is neither an address nor a name.
    #[error("{0}")]
    Name(#[from] NameError),
    /// No server is known.
    #[error(
        "no DNS server is known{}: set one in the network settings, let the port's DHCP server give one, or use an address \
         in place of the name",
        OnPort(.0.as_deref())
    )]
    NoServers(Option<String>),
    /// There is no such name (RFC 2308, section 2.1).
    #[error(
        "there is no host named {name}, says the DNS server {server}: correct the name, or ask another DNS server"
    )]
    NotFound {
        /// The name as it was asked for.
        name: String,
        /// Who says so.
        server: IpAddr,
    },
    /// The name is there without an address (RFC 2308, section 2.2).
    #[error(
        "{name} is known to the DNS server {server}, but without an address of use: have the server's records corrected, \
         or use an address"
    )]
    NoAddress {
        /// The name as it was asked for.
        name: String,
        /// Who says so.
        server: IpAddr,
    },
    /// No server gave an answer to believe.
    #[error("the address of {name} cannot be found out: {}", Failures(.failures))]
    Failed {
        /// The name as it was asked for.
        name: String,
        /// Each server's last failure.
        failures: Vec<Failure>,
    },
}

/// How one server failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub server: IpAddr,
    /// How.
    pub reason: Reason,
}

/// How a server fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No answer, or none to believe.
    #[error("does not answer: check its address and the way to it")]
    Silent,
    /// No time was left to ask it.
    #[error("was not asked, because the others had taken all the time")]
    NotAsked,
    /// SERVFAIL.
    #[error("cannot find the answer out itself: check that server and the servers it asks")]
    ServerFailure,
    /// REFUSED.
    #[error("refuses to answer this appliance: allow the appliance's address there")]
    Refused,
    /// No DNS server runs there.
    #[error("is there, but no DNS server runs on it: check the address")]
    NoServer,
    /// There is no way to it.
    #[error("cannot be reached from this port: check the port's cable, address and gateway")]
    Unreachable,
    /// The port is not there.
    #[error("cannot be asked, because the port is not there or has no address of that kind")]
    NoPort,
    /// Aliases that lead in a circle, or too many of them.
    #[error("gives an alias of an alias without end: have the server's records corrected")]
    Aliases,
    /// Anything that is no answer.
    #[error("answers what is no answer ({0}): check that it is a DNS server")]
    Nonsense(String),
}

struct OnPort<'a>(Option<&'a str>);

impl fmt::Display for OnPort<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(port) => write!(formatter, " for the port {}", port.escape_default()),
            None => Ok(()),
        }
    }
}

struct Failures<'a>(&'a [Failure]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.0.iter().enumerate() {
            let parted = if index == 0 { "" } else { "; " };
            write!(formatter, "{parted}the DNS server {} {}", failure.server, failure.reason)?;
        }
        Ok(())
    }
}
