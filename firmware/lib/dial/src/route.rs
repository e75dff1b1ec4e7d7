//! The description of a path: whom to reach, under which name, through what; it never changes on the way.

use crate::host::HostPort;
use crate::trust::Trust;
use rustls::pki_types::ServerName;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// SOCKS5 has one byte for each length (RFC 1929, section 2).
const CREDENTIAL_BYTES: usize = 255;

/// A path from here to the target.
#[derive(Clone, Debug)]
pub struct Route {
    /// Who is to be reached.
    pub target: HostPort,
    /// The name that the target's certificate must bear, whoever is dialled.
    pub tls_name: ServerName<'static>,
    /// Relays between proxy and target, or between here and the target, the nearest first. The first is asked for in place of
    /// the target; each must be set to connect to the next, and the last to the target.
    pub hops: Vec<HostPort>,
    /// The proxy, where there is one.
    pub proxy: Option<Proxy>,
    /// The protocols offered (RFC 7301), the best first; which one was taken is in the report of the handshake.
    pub alpn: Vec<Vec<u8>>,
    /// How long each part may take.
    pub time_outs: TimeOuts,
}

impl Route {
    /// The direct way to the target, whose certificate bears its own name.
    pub fn direct(target: HostPort) -> Self {
        Self {
            tls_name: target.host.server_name(),
            target,
            hops: Vec::new(),
            proxy: None,
            alpn: Vec::new(),
            time_outs: TimeOuts::default(),
        }
    }

    /// Whom the last one on the way is asked to connect to: the first hop, or the target.
    pub fn end(&self) -> &HostPort {
        self.hops.first().unwrap_or(&self.target)
    }

    /// Whose address is dialled.
    pub fn dialled(&self) -> &HostPort {
        match &self.proxy {
            Some(proxy) => proxy.hops.first().unwrap_or(&proxy.address),
            None => self.end(),
        }
    }
}

/// A proxy on the way.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its address.
    pub address: HostPort,
    /// Relays between here and the proxy, the nearest first; the last must be set to connect to the proxy.
    pub hops: Vec<HostPort>,
    /// What it speaks.
    pub protocol: Protocol,
}

/// What a proxy speaks.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// CONNECT (RFC 9110, section 9.3.6).
    Http {
        /// Whether the proxy is spoken to over TLS, and who it must be.
        tls: Option<Box<ProxyTls>>,
        /// How to authenticate.
        authentication: Authentication,
    },
    /// SOCKS4: addresses of IPv4 only, names are looked up here.
    Socks4 {
        /// The user's name.
        user: Option<Credentials>,
    },
    /// `SOCKS4a`: the proxy looks names up.
    Socks4a {
        /// The user's name.
        user: Option<Credentials>,
    },
    /// SOCKS5 (RFC 1928): the proxy looks names up.
    Socks5 {
        /// User and password (RFC 1929).
        credentials: Option<Credentials>,
    },
}

/// How to authenticate at an HTTP proxy (RFC 9110, section 11.7). Digest, NTLM and Negotiate would be further cases.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Authentication {
    /// Not at all.
    None,
    /// User and password as they are (RFC 7617), with the first request.
    Basic(Credentials),
}

/// Who a proxy that speaks TLS must be.
#[derive(Clone, Debug)]
pub struct ProxyTls {
    /// The name that its certificate must bear.
    pub name: ServerName<'static>,
    /// What its certificate is verified by.
    pub trust: Trust,
}

/// Why credentials cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Too long, or no user.
    #[error("user and password have at most 255 bytes each, and the user at least one: correct them")]
    Length,
    /// A control character.
    #[error("user and password cannot have line ends or other control characters: correct them")]
    Character,
}

/// A user's name and password for a proxy, wiped from memory when dropped.
#[derive(Clone)]
pub struct Credentials {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl Credentials {
    /// Takes a user's name of 1 to 255 bytes and a password of at most 255.
    pub fn new(user: String, password: String) -> Result<Self, CredentialsError> {
        let (user, password) = (Zeroizing::new(user), Zeroizing::new(password));
        if user.is_empty() || user.len() > CREDENTIAL_BYTES || password.len() > CREDENTIAL_BYTES {
            return Err(CredentialsError::Length);
        }
        if user.chars().chain(password.chars()).any(char::is_control) {
            return Err(CredentialsError::Character);
        }
        Ok(Self { user, password })
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(not shown)")
    }
}

/// How long each part may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOuts {
    /// Looking a name up.
    pub names: Duration,
    /// Connecting to one address.
    pub tcp: Duration,
    /// All that is said to the proxy, its way to the target included.
    pub proxy: Duration,
    /// One TLS handshake.
    pub tls: Duration,
    /// Everything.
    pub whole: Duration,
}

impl Default for TimeOuts {
    /// A resolver's own bound is 10 s, the third SYN leaves after 3 s, and proxies wait up to a minute for a silent target,
    /// which nobody would watch.
    fn default() -> Self {
        Self {
            names: Duration::from_secs(10),
            tcp: Duration::from_secs(10),
            proxy: Duration::from_secs(20),
            tls: Duration::from_secs(15),
            whole: Duration::from_secs(45),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_printed_shows_no_credential() {
        let credentials = Credentials::new("anna".to_owned(), "s3cret".to_owned()).unwrap();
        let mut route = Route::direct(HostPort::parse("rss.example.com:443").unwrap());
        route.proxy = Some(Proxy {
            address: HostPort::parse("proxy.example.com:3128").unwrap(),
            hops: Vec::new(),
            protocol: Protocol::Http { tls: None, authentication: Authentication::Basic(credentials) },
        });
        let text = format!("{route:?}");
        assert!(!text.contains("s3cret") && !text.contains("anna"), "{text}");
    }

    #[test]
    fn credentials_cannot_add_lines_to_a_request() {
        let new =
            |user: &str, password: &str| Credentials::new(user.to_owned(), password.to_owned()).map(drop);
        assert_eq!(new("a\r\nX: y", "b"), Err(CredentialsError::Character));
        assert_eq!(new("a", "b\0"), Err(CredentialsError::Character));
        assert_eq!(new("", "b"), Err(CredentialsError::Length));
        assert_eq!(new("a", &"b".repeat(256)), Err(CredentialsError::Length));
        assert_eq!(new("a:b", "p\u{e4}ss: w"), Ok(()));
    }
}
