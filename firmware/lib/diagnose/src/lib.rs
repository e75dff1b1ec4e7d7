//! Probes of a network path, each bounded and telling its steps as they happen; they never change anything.
//!
//! A [`Probe`] is started on a port and gives [`Step`]s, the last of which is [`Step::Done`] with a [`Verdict`]. Steps go
//! over the bus as they are, and print as sentences. Dropping what [`Probe::start`] gives ends the probe at once.
//!
//! ```text
//!   Probe::start ──► name to address (drawbridge-resolver) ──► one of
//!       ping    echo requests, one in flight
//!       route   UDP with rising time to live; who dropped it says so by ICMP, read from the socket's error queue
//!       mtu     echo requests that may not be fragmented, by bisection
//!       tcp     connect, and what happens in the half second after
//!       tls     a handshake that takes any certificate, and reports it
//!   ──► Step, Step, … ──► Done(Verdict), after 60 s at the latest
//! ```
//!
//! No probe sends more than one packet or connection at a time, and none sends what a person typed to anybody but as a DNS
//! question or a TLS server name.

mod certificate;
mod echo;
mod failure;
mod mtu;
mod ping;
mod port;
mod probe;
mod queue;
mod route;
mod step;
mod sys;
mod tcp;
mod tls;

pub use certificate::{CertificateReport, Clipped};
pub use failure::Failure;
pub use probe::{Probe, Running, Tools};
pub use step::{
    After, HopAnswer, HopKind, Microseconds, Step, TcpFailure, TlsFailure, TlsReport, Trust, Verdict,
};
