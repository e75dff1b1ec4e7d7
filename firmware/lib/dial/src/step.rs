//! What is told while a path is dialled, so that a person can watch; it never says a credential.

use crate::error::DialError;
use crate::host::{Host, HostPort};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A part of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The name's addresses.
    Names(Host),
    /// A TCP connection.
    Tcp(SocketAddr),
    /// The TLS handshake with the proxy.
    ProxyTls(HostPort),
    /// What is said to the proxy.
    Proxy {
        /// Which.
        proxy: HostPort,
        /// Whom it is asked to connect to.
        to: HostPort,
    },
    /// The TLS handshake with the target.
    Tls {
        /// The name that it must bear.
        name: String,
        /// Whose address was dialled.
        dialled: SocketAddr,
        /// Whether relays or a proxy stand between.
        through: bool,
    },
    /// Everything.
    Whole(HostPort),
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(host) => write!(formatter, "the address of {host}"),
            Self::Tcp(to) => write!(formatter, "the connection to {to}"),
            Self::ProxyTls(proxy) => write!(formatter, "TLS with the proxy {proxy}"),
            Self::Proxy { proxy, to } => write!(formatter, "the proxy {proxy} on the way to {to}"),
            Self::Tls { name, dialled, through: false } => write!(formatter, "TLS with {name} at {dialled}"),
            Self::Tls { name, dialled, through: true } => {
                write!(formatter, "TLS with {name} through {dialled}")
            }
            Self::Whole(target) => write!(formatter, "the way to {target}"),
        }
    }
}

/// What a stage that went well has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Addresses, the first to be tried first.
    Addresses(Vec<IpAddr>),
    /// A connection.
    Connected {
        /// Our end.
        local: SocketAddr,
        /// The other.
        peer: SocketAddr,
    },
    /// The proxy has connected.
    Granted,
    /// A handshake.
    Tls(Box<TlsReport>),
}

/// What a handshake has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsReport {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: String,
    /// The cipher suite's name.
    pub cipher: String,
    /// The protocol that the server chose, where it chose one.
    pub alpn: Option<Vec<u8>>,
    /// Whom the certificate names (RFC 4514).
    pub subject: String,
    /// Who has signed it (RFC 4514).
    pub issuer: String,
    /// SHA-256 of the certificate.
    pub certificate_sha256: [u8; 32],
    /// SHA-256 of its public key with its algorithm (RFC 7469, section 2.4). None when the certificate cannot be read.
    pub key_sha256: Option<[u8; 32]>,
    /// Whether an earlier session was resumed, and the certificate is the one that was seen then.
    pub resumed: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(addresses) => {
                for (index, address) in addresses.iter().enumerate() {
                    write!(formatter, "{}{address}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Connected { local, peer } => write!(formatter, "connected from {local} to {peer}"),
            Self::Granted => formatter.write_str("the proxy has connected"),
            Self::Tls(report) => write!(
                formatter,
                "{} with {}, the certificate is for {}, signed by {}{}",
                report.version,
                report.cipher,
                report.subject,
                report.issuer,
                if report.resumed { ", as an earlier session has shown" } else { "" }
            ),
        }
    }
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A stage begins.
    Begins(Stage),
    /// It has ended. A connection that another one has beaten ends without a word.
    Ends {
        /// Which.
        stage: Stage,
        /// Since it began.
        took: Duration,
        /// How.
        result: Result<Outcome, DialError>,
    },
}

/// Is told each step as it happens; it must not wait.
pub trait Observer: Send + Sync {
    /// Takes a step.
    fn step(&self, step: Step);
}

impl Observer for () {
    fn step(&self, _: Step) {}
}

impl<F: Fn(Step) + Send + Sync> Observer for F {
    fn step(&self, step: Step) {
        self(step);
    }
}

/// Runs one stage within its time, and tells how it begins and ends.
pub(crate) async fn stage<T>(
    observer: &dyn Observer,
    stage: Stage,
    limit: Duration,
    work: impl Future<Output = Result<(T, Outcome), crate::error::Failure>>,
) -> Result<T, DialError> {
    observer.step(Step::Begins(stage.clone()));
    let began = tokio::time::Instant::now();
    let result = match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(crate::error::Failure::TimedOut(limit)),
    };
    let took = began.elapsed();
    match result {
        Ok((value, outcome)) => {
            observer.step(Step::Ends { stage, took, result: Ok(outcome) });
            Ok(value)
        }
        Err(failure) => {
            let error = DialError { stage: stage.clone(), failure };
            observer.step(Step::Ends { stage, took, result: Err(error.clone()) });
            Err(error)
        }
    }
}
