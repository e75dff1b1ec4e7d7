//! The two things that a caller may do its own way: names to addresses, and TCP connections. Nothing here chooses a place.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use tokio::net::TcpStream;

/// What a trait's method gives that may wait.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes TCP connections: from which port, interface or address is its own business.
pub trait Connector: Send + Sync {
    /// Connects. Dropping what it gives gives up.
    fn connect(&self, to: SocketAddr) -> Wait<'_, io::Result<TcpStream>>;
}

/// Connects as the kernel's routes say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Connector for Plain {
    fn connect(&self, to: SocketAddr) -> Wait<'_, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(to))
    }
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFailure {
    /// There is no such name, or it has no address; the resolver's sentence.
    #[error("{0}")]
    Unknown(String),
    /// It could not be found out; the resolver's sentence.
    #[error("{0}")]
    Failed(String),
}

/// Finds addresses of names; waiting a moment for the AAAA records (RFC 8305, section 3) is its own business.
pub trait Names: Send + Sync {
    /// The addresses of a name, the best first (RFC 6724).
    fn addresses<'a>(&'a self, name: &'a str) -> Wait<'a, Result<Vec<IpAddr>, NameFailure>>;
}

/// Knows no name: for paths that are given as addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnlyAddresses;

impl Names for OnlyAddresses {
    fn addresses<'a>(&'a self, name: &'a str) -> Wait<'a, Result<Vec<IpAddr>, NameFailure>> {
        Box::pin(async move {
            Err(NameFailure::Failed(format!("names are not looked up here, and {name} is one")))
        })
    }
}
