//! Where the array's management layer is, as a type that was checked; it never looks a name up.

use drawbridge_dial::{Host, HostError};
use std::fmt;
use std::net::IpAddr;

/// The port where none is said.
pub const PORT: u16 = 443;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The name or address, which the array's certificate has to bear when it is not pinned.
    pub host: Host,
    /// The TCP port, never 0 when it was read by [`Address::parse`].
    pub port: u16,
}

impl Address {
    /// Reads `HOST` or `HOST:PORT`; an IPv6 address with a port stands in brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let whole = |text: &str| Host::parse(text).map(|host| Self { host, port: PORT });
        let is_ipv6 = text.matches(':').count() > 1 && !text.starts_with('[');
        match text.rsplit_once(':') {
            Some((host, port)) if !is_ipv6 && !port.ends_with(']') => {
                let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or(HostError::Port)?;
                Ok(Self { host: Host::parse(host)?, port })
            }
            _ => whole(text),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (Host::Address(IpAddr::V6(address)), PORT) => write!(to, "[{address}]"),
            (Host::Address(IpAddr::V6(address)), port) => write!(to, "[{address}]:{port}"),
            (host, PORT) => write!(to, "{host}"),
            (host, port) => write!(to, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_a_port_and_written_for_the_header_host() {
        for (text, port, written) in [
            ("Box1.Example.com", 443, "box1.example.com"),
            ("box1.example.com:8443", 8443, "box1.example.com:8443"),
            ("192.0.2.7", 443, "192.0.2.7"),
            ("192.0.2.7:443", 443, "192.0.2.7"),
            ("2001:db8::7", 443, "[2001:db8::7]"),
            ("[2001:db8::7]", 443, "[2001:db8::7]"),
            ("[2001:db8::7]:9", 9, "[2001:db8::7]:9"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.port, address.to_string().as_str()), (port, written), "{text}");
            assert_eq!(Address::parse(written).unwrap(), address);
        }
    }

    #[test]
    fn what_could_break_a_request_is_no_address() {
        for text in
            ["", ":", "a:", "a:0", "a:65536", "a:+1", "a b", "a\r\nX: y", "u@a", "a/b", "[::1", "300.1.1.1"]
        {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }
}
