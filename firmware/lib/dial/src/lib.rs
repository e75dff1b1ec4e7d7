//! From a description of a path to a TLS stream, or to an error that says what to do; it never decides where to dial, and
//! never keeps a credential.
//!
//! ```text
//!   Route ──► name to addresses (Names) ──► TCP (Connector) ──► proxy ──► TLS ──► Tunnel
//!              │ of whom is dialled:         │                   │          │
//!              │ the first hop before the    │ RFC 8305          │ CONNECT  └─ the name is the target's, whoever is dialled
//!              │ proxy, or the proxy,        │                   │ SOCKS4, 4a, 5
//!              │ or the first hop,           │                   │ to the first hop behind the proxy, or to the target
//!              │ or the target               │
//!   every step is told to an Observer as it begins and as it ends, and has a time-out of its own; so has the whole
//! ```
//!
//! Without a proxy, all addresses of a name race to the end of the TLS handshake: the next one starts 250 ms after the last,
//! or at once when one fails, and the first whose handshake is complete has won. Through a proxy, they race to the proxy.
//!
//! A hop is a relay to one fixed place. Whoever connects to the first one has connected to the last one's target, so the
//! others are not dialled, only named.

mod connect;
mod dialler;
mod error;
mod host;
mod proxy;
mod race;
mod remedy;
pub mod reply;
mod route;
mod step;
mod tls;
mod transport;
mod trust;

pub use connect::{Connector, NameFailure, Names, OnlyAddresses, Plain, Wait};
pub use dialler::{Dialler, Tunnel};
pub use error::{CertificateFailure, DialError, Failure};
pub use host::{Host, HostError, HostPort};
pub use route::{Authentication, Credentials, CredentialsError, Protocol, Proxy, ProxyTls, Route, TimeOuts};
pub use rustls::pki_types::{CertificateDer, ServerName};
pub use step::{Observer, Outcome, Stage, Step, TlsReport};
pub use transport::Transport;
pub use trust::{Pin, Trust, TrustError};
