//! What a probe tells while it runs and at its end, each as a sentence. Nothing here is trusted text: it is clipped before.

use crate::certificate::CertificateReport;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A time that was measured, in microseconds; prints as milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Microseconds(pub u32);

impl From<Duration> for Microseconds {
    fn from(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Microseconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02} ms", self.0 / 1000, self.0 % 1000 / 10)
    }
}

/// One thing that a probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A name's addresses.
    Addresses {
        /// What was asked for.
        name: String,
        /// The name that has the addresses.
        canonical: String,
        /// At most 32.
        addresses: Vec<IpAddr>,
        /// The server that said so; none for an address that was given as such.
        from: Option<IpAddr>,
        /// How long the answer is good.
        ttl_seconds: u32,
        /// Whether it was remembered.
        kept: bool,
    },
    /// An echo reply.
    Reply {
        /// The number of the request, from 1.
        number: u16,
        /// Who answered.
        from: IpAddr,
        /// What the packet brought back.
        bytes: u16,
        /// The round trip.
        took: Microseconds,
    },
    /// No echo reply in time.
    Lost {
        /// The number of the request, from 1.
        number: u16,
    },
    /// Somebody on the way says that it does not get there.
    Undelivered {
        /// The number of the request, from 1.
        number: u16,
        /// Who says so.
        from: Option<IpAddr>,
        /// Why.
        why: HopKind,
    },
    /// A place on the way.
    Hop {
        /// Which, from 1.
        hop: u8,
        /// What each try heard; `None` is silence. At most 3.
        answers: Vec<Option<HopAnswer>>,
    },
    /// A TCP connection was accepted.
    Connected {
        /// Where.
        to: SocketAddr,
        /// How long that took.
        took: Microseconds,
        /// What happened in the half second after.
        after: After,
    },
    /// A TCP connection was not accepted.
    NotConnected {
        /// Where.
        to: SocketAddr,
        /// Why.
        why: TcpFailure,
        /// How long that took.
        took: Microseconds,
    },
    /// A TLS handshake was done.
    Handshake(Box<TlsReport>),
    /// A packet of that size, whole, is answered.
    Fits {
        /// The IP packet's size.
        bytes: u16,
    },
    /// A packet of that size is too big.
    TooBig {
        /// The IP packet's size.
        bytes: u16,
        /// The router that says so; none when the port's own MTU is smaller, or when nothing came back.
        from: Option<IpAddr>,
        /// The size that it says would fit.
        says: Option<u16>,
        /// Nothing came back, though smaller packets are answered.
        silent: bool,
    },
    /// The end. Nothing follows.
    Done(Verdict),
}

/// What an ICMP message says (RFC 792, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HopKind {
    /// The time to live ended there: a router on the way.
    Router,
    /// The destination itself.
    Destination,
    /// No way to the network.
    NetworkUnreachable,
    /// No way to the host: mostly it is off.
    HostUnreachable,
    /// Forbidden there, by a packet filter.
    Forbidden,
    /// Too big for the next link.
    TooBig,
    /// Another message.
    Other {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
    },
}

/// Who answered at a place on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopAnswer {
    /// Who.
    pub from: IpAddr,
    /// The round trip.
    pub took: Microseconds,
    /// What it says.
    pub kind: HopKind,
}

/// What a server does in the half second after it has accepted a connection, when nothing is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum After {
    /// It waits.
    Waits,
    /// It speaks first, as SSH and mail servers do.
    Speaks,
    /// It closes.
    Closes,
    /// It resets.
    Resets,
}

/// Why there is no TCP connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TcpFailure {
    /// RST.
    #[error(
        "is refused: the host is there, but nothing serves that port; check the port's number and the service"
    )]
    Refused,
    /// Nothing came back.
    #[error(
        "gets no answer: the host is off, or a firewall on the way drops it; have the firewall allow it, or check the address"
    )]
    Silent,
    /// ICMP says so, or the kernel.
    #[error("finds no way: check the address, the port's gateway and its cable")]
    Unreachable,
    /// ICMP says so.
    #[error("is forbidden by a packet filter on the way: have it allow the connection")]
    Forbidden,
    /// RST in the middle.
    #[error("is reset while it is made: a firewall or a full server does so; ask who runs them")]
    Reset,
    /// It cannot be tried.
    #[error("cannot be tried: {0}")]
    Failure(Failure),
}

/// Why there is no TLS session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TlsFailure {
    /// Other bytes.
    #[error(
        "what answers there does not speak TLS: check the port's number, and whether a proxy answers in the server's place"
    )]
    NotTls,
    /// An alert.
    #[error(
        "the server ends the handshake ({0}): it may not know the server name, or want an older version of TLS"
    )]
    Alert(String),
    /// It closed.
    #[error(
        "the server closes the connection in the handshake: a firewall that inspects TLS, or a server without certificate"
    )]
    Closed,
    /// Nothing more came.
    #[error(
        "the server accepts the connection and then says nothing: it may not speak TLS there, or a firewall holds it up"
    )]
    Silent,
    /// No common version or algorithm.
    #[error(
        "the server has no version or algorithm in common with the appliance ({0}): have it allow TLS 1.2 or 1.3"
    )]
    NothingInCommon(String),
    /// What the server sent breaks the rules.
    #[error("the server breaks the rules of TLS ({0}): ask who runs it")]
    Broken(String),
}

/// Whether a certificate is to be trusted by the roots that were given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// No roots were given.
    NotAsked,
    /// It verifies, for that name and at this clock.
    Verified,
    /// It does not.
    Refused {
        /// Why.
        why: String,
    },
}

/// What a TLS handshake showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsReport {
    /// Which server.
    pub to: SocketAddr,
    /// The server name that was sent; none when there was an address only.
    pub server_name: Option<String>,
    /// `TLSv1.3`
    pub version: String,
    /// The cipher suite.
    pub cipher: String,
    /// The key exchange.
    pub key_exchange: String,
    /// From the connection to the end of the handshake.
    pub took: Microseconds,
    /// The server's own first, then those it sent with it; at most 8.
    pub certificates: Vec<CertificateReport>,
    /// Whether it verifies.
    pub trust: Trust,
}

/// What a probe comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Of a ping.
    Ping {
        /// Requests.
        sent: u16,
        /// Replies.
        received: u16,
        /// Least, mean and most of the round trips, when there is a reply.
        times: Option<[Microseconds; 3]>,
    },
    /// Of a route.
    Route {
        /// Whether the destination answered.
        reached: bool,
        /// The last place that answered, from 1; 0 when none did.
        hops: u8,
    },
    /// Of a name.
    Name {
        /// How many addresses it has.
        addresses: u8,
    },
    /// Of a TCP connect: whether any address accepted.
    Tcp {
        /// Whether.
        accepted: bool,
    },
    /// Of a TLS handshake that was done.
    Tls {
        /// Whether the certificate verifies.
        trust: Trust,
    },
    /// Of a TLS handshake that was not.
    NoTls(TlsFailure),
    /// Of an MTU probe.
    Mtu {
        /// The largest IP packet that gets there and back whole.
        bytes: u16,
        /// Larger ones vanish without a word: a black hole (RFC 2923, section 2.1).
        black_hole: bool,
    },
    /// The destination answers no ping, so its MTU cannot be found.
    NoReply,
    /// The time was over.
    OutOfTime,
    /// It could not be made.
    Failed(Failure),
}

impl fmt::Display for HopKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Router => formatter.write_str("a router on the way"),
            Self::Destination => formatter.write_str("the destination"),
            Self::NetworkUnreachable => formatter.write_str("knows no way to the network"),
            Self::HostUnreachable => formatter.write_str("cannot reach the host"),
            Self::Forbidden => formatter.write_str("forbids it"),
            Self::TooBig => formatter.write_str("cannot pass a packet of that size on"),
            Self::Other { kind, code } => write!(formatter, "says ICMP type {kind}, code {code}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { name, canonical, addresses, from, ttl_seconds, kept } => {
                write!(formatter, "{name} is")?;
                if canonical != name {
                    write!(formatter, " {canonical},")?;
                }
                for (index, address) in addresses.iter().enumerate() {
                    write!(formatter, "{}{address}", if index == 0 { " " } else { ", " })?;
                }
                match from {
                    Some(from) if *kept => write!(formatter, ", as the DNS server {from} said before")?,
                    Some(from) => write!(formatter, ", says the DNS server {from}")?,
                    None => return Ok(()),
                }
                write!(formatter, " (good for {ttl_seconds} s)")
            }
            Self::Reply { number, from, bytes, took } => {
                write!(formatter, "{number}: {bytes} bytes back from {from} in {took}")
            }
            Self::Lost { number } => write!(formatter, "{number}: no reply"),
            Self::Undelivered { number, from: Some(from), why } => {
                write!(formatter, "{number}: {from} {why}")
            }
            Self::Undelivered { number, from: None, why } => {
                write!(formatter, "{number}: the way there {why}")
            }
            Self::Hop { hop, answers } => {
                write!(formatter, "{hop}:")?;
                for answer in answers {
                    match answer {
                        None => write!(formatter, " no answer;")?,
                        Some(HopAnswer { from, took, kind: HopKind::Router }) => {
                            write!(formatter, " {from} {took};")?;
                        }
                        Some(HopAnswer { from, took, kind }) => write!(formatter, " {from} {took}, {kind};")?,
                    }
                }
                Ok(())
            }
            Self::Connected { to, took, after } => {
                let after = match after {
                    After::Waits => "it waits for the other side to speak",
                    After::Speaks => "it speaks first",
                    After::Closes => "and then closes: the service may allow certain addresses only",
                    After::Resets => "and then resets: a firewall or the service refuses this address",
                };
                write!(formatter, "{to} accepts the connection in {took}; {after}")
            }
            Self::NotConnected { to, why, took } => {
                write!(formatter, "the connection to {to} {why} ({took})")
            }
            Self::Handshake(report) => report.fmt(formatter),
            Self::Fits { bytes } => write!(formatter, "{bytes} bytes get there and back"),
            Self::TooBig { bytes, silent: true, .. } => write!(formatter, "{bytes} bytes: no reply"),
            Self::TooBig { bytes, from, says, .. } => {
                match from {
                    Some(from) => write!(formatter, "{bytes} bytes are too big, says the router {from}")?,
                    None => write!(formatter, "{bytes} bytes are too big for the port itself")?,
                }
                says.map_or(Ok(()), |says| write!(formatter, "; {says} would fit"))
            }
            Self::Done(verdict) => verdict.fmt(formatter),
        }
    }
}

impl fmt::Display for TlsReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} speaks {} with {} and {}",
            self.to, self.version, self.cipher, self.key_exchange
        )?;
        match &self.server_name {
            Some(name) => write!(formatter, " for the name {name}")?,
            None => write!(formatter, " without a server name")?,
        }
        write!(formatter, ", after {}", self.took)?;
        self.certificates.first().map_or(Ok(()), |certificate| write!(formatter, "; {certificate}"))
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => formatter.write_str("it was not verified: compare its fingerprint"),
            Self::Verified => formatter.write_str("it verifies"),
            Self::Refused { why } => write!(formatter, "it does not verify: {why}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping { sent, received: 0, .. } => write!(
                formatter,
                "none of {sent} pings was answered: the host is off, does not answer pings, or something on the way drops \
                 them; try the route, or a TCP port that it serves"
            ),
            Self::Ping { sent, received, times } => {
                write!(formatter, "{received} of {sent} pings were answered")?;
                if let Some([least, mean, most]) = times {
                    write!(formatter, ", in {least} at least, {mean} on average, {most} at most")?;
                }
                Ok(())
            }
            Self::Route { reached: true, hops } => write!(formatter, "the destination is {hops} hops away"),
            Self::Route { reached: false, hops: 0 } => formatter.write_str(
                "nobody on the way answered, not even the gateway: check the port's cable, address and gateway",
            ),
            Self::Route { reached: false, hops } => write!(
                formatter,
                "the destination did not answer; the last place that did is hop {hops}: look there and behind it, or try a \
                 TCP port of the destination, because many firewalls answer no route probes"
            ),
            Self::Name { addresses: 1 } => formatter.write_str("the name has one address"),
            Self::Name { addresses } => write!(formatter, "the name has {addresses} addresses"),
            Self::Tcp { accepted: true } => formatter.write_str("the connection is accepted"),
            Self::Tcp { accepted: false } => formatter.write_str("the connection is not accepted"),
            Self::Tls { trust } => write!(formatter, "the server speaks TLS; its certificate: {trust}"),
            Self::NoTls(failure) => failure.fmt(formatter),
            Self::Mtu { bytes, black_hole: false } => write!(formatter, "packets of up to {bytes} bytes get there whole"),
            Self::Mtu { bytes, black_hole: true } => write!(
                formatter,
                "packets of up to {bytes} bytes get there whole, and larger ones vanish without a word: set the port's MTU \
                 to {bytes}, or have the network pass ICMP \"too big\" on"
            ),
            Self::NoReply => formatter.write_str(
                "the destination answers no ping, and so its MTU cannot be found: try another host behind the same line",
            ),
            Self::OutOfTime => formatter.write_str("the probe's minute was over before its end: what it found stands above"),
            Self::Failed(failure) => failure.fmt(formatter),
        }
    }
}
