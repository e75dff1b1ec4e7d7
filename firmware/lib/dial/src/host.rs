//! Where a connection goes to, as a type that was checked; it never looks a name up.

use rustls::pki_types::{DnsName, ServerName};
use std::fmt;
use std::net::IpAddr;

/// Why a text is no place to connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Neither name nor address.
    #[error(
        "this is neither a host's name nor an address: give a name such as rss.example.com, or an address"
    )]
    Host,
    /// No port, or not one from 1 to 65535.
    #[error(
        "the port is missing or wrong: give HOST:PORT with a port from 1 to 65535, and an IPv6 address in brackets"
    )]
    Port,
}

/// A host: a name, or an address that needs no looking up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name of at most 253 characters (RFC 1035, section 2.3.4), without a final dot.
    Name(DnsName<'static>),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Reads a name or an address; an IPv6 address may stand in brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        // A last part of digits is an address with a mistake in it, not a name.
        if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(HostError::Host);
        }
        DnsName::try_from(name.to_ascii_lowercase()).map(Self::Name).map_err(|_| HostError::Host)
    }

    /// The name that a certificate of this host has to bear.
    pub fn server_name(&self) -> ServerName<'static> {
        match self {
            Self::Name(name) => ServerName::DnsName(name.clone()),
            Self::Address(address) => ServerName::IpAddress((*address).into()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name.as_ref()),
            Self::Address(address) => write!(formatter, "{address}"),
        }
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The TCP port, never 0 when it was read by [`HostPort::parse`].
    pub port: u16,
}

impl HostPort {
    /// Reads `HOST:PORT`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostError::Port)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(HostError::Port);
        }
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or(HostError::Port)?;
        Ok(Self { host: Host::parse(host)?, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port),
            host => write!(formatter, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        for text in ["rss.example.com:443", "192.0.2.1:1", "[2001:db8::1]:65535"] {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(HostPort::parse("RSS.Example.Com.:443").unwrap().to_string(), "rss.example.com:443");
    }

    #[test]
    fn what_could_break_a_request_is_no_host() {
        let long = format!("{}:443", "a.".repeat(130) + "a");
        for text in [
            "",
            ":",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:-1",
            "::1:443",
            "a b:1",
            "a\r\nX: y:1",
            "a\0:1",
            "300.1.1.1:1",
            "a/b:1",
            "u@a:1",
            "[a]:1",
            &long,
        ] {
            assert!(HostPort::parse(text).is_err(), "{text:?}");
        }
    }
}
