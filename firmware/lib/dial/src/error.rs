//! Why a path could not be dialled, in sentences; what to do about it is in `remedy.rs`. No sentence has a credential in it.

use crate::reply::Garbage;
use crate::reply::http::Scheme;
use crate::reply::socks5::Refusal;
use crate::step::Stage;
use std::time::Duration;

/// Where and why it failed. [`DialError::remedy`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {failure}")]
pub struct DialError {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub failure: Failure,
}

/// Why a stage failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no such name; the resolver's sentence.
    #[error("{0}")]
    NameUnknown(String),
    /// The name's addresses could not be found out; the resolver's sentence.
    #[error("{0}")]
    NameFailed(String),
    /// SOCKS4 knows IPv4 only.
    #[error("it has no IPv4 address, and SOCKS4 knows no other")]
    NoIpv4,
    /// Nobody listens on the port.
    #[error("the connection is refused")]
    Refused,
    /// There is no way there.
    #[error("there is no way there")]
    Unreachable,
    /// The appliance's own packet filter.
    #[error("the appliance's own packet filter forbids it")]
    Filtered,
    /// No end within the time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The kernel has given up, or a neighbour does not answer.
    #[error("nobody answers")]
    Unanswered,
    /// The connection was closed or reset.
    #[error("the connection is closed before it is of use")]
    Closed,
    /// Anything else of the kernel's.
    #[error("the kernel refuses it: {0}")]
    Kernel(String),
    /// Basic parts user and password by a colon (RFC 7617, section 2).
    #[error("the user's name has a colon, which HTTP's Basic authentication cannot carry")]
    ColonInUser,
    /// 407, or SOCKS5 without a way that we offer, and there were no credentials.
    #[error("it wants credentials{}", Offers(.0))]
    WantsCredentials(Vec<Scheme>),
    /// The credentials are wrong.
    #[error("it refuses the credentials")]
    CredentialsRefused,
    /// It wants another way to authenticate than ours.
    #[error("it does not take credentials in the way they are given{}", Offers(.0))]
    OtherAuthentication(Vec<Scheme>),
    /// 403, SOCKS5's 2: its rules forbid the target.
    #[error("it refuses to connect to the target")]
    TargetForbidden,
    /// 502, 503, 504: it did not get there.
    #[error("it cannot reach the target (HTTP status {0})")]
    TargetUnreachable(u16),
    /// It sends elsewhere (3xx), which is never followed.
    #[error("it sends elsewhere (HTTP status {0}) in place of connecting")]
    Redirect(u16),
    /// 400, 404, 405, 501: a web server, or a proxy without CONNECT.
    #[error("it does not know CONNECT (HTTP status {0})")]
    NoConnect(u16),
    /// Any other status.
    #[error("it answers with HTTP status {0}")]
    Status(u16),
    /// The answer is none of the protocol's.
    #[error("it is no proxy of the kind that is set: {}", spoken(*.0))]
    NotAProxy(Garbage),
    /// It closed without an answer.
    #[error("it closes the connection without an answer")]
    ProxyClosed,
    /// SOCKS4's 91.
    #[error("it refuses to connect to the target, or cannot reach it (SOCKS4 code 91)")]
    Socks4Refused,
    /// SOCKS4's 92.
    #[error("it wants to ask this host who its user is (SOCKS4 code 92)")]
    Socks4NoIdent,
    /// SOCKS4's 93.
    #[error("it refuses the user's name (SOCKS4 code 93)")]
    Socks4OtherUser,
    /// SOCKS5's codes.
    #[error("{}", socks5(*.0))]
    Socks5(Refusal),
    /// The certificate is not one to trust.
    #[error("{0}")]
    Certificate(Box<CertificateFailure>),
    /// Neither TLS 1.3 nor 1.2.
    #[error("it speaks neither TLS 1.3 nor TLS 1.2")]
    NoCommonVersion,
    /// No cipher suite or group in common.
    #[error("it has no cipher suite, group or signature in common with the appliance")]
    NothingInCommon,
    /// No protocol in common (ALPN).
    #[error("it offers none of the services that are asked for (ALPN)")]
    NoProtocol,
    /// An alert that the peer sent.
    #[error("it ends the handshake with the alert {0}")]
    Alert(String),
    /// No TLS at all.
    #[error("it does not speak TLS")]
    NotTls,
    /// It closed before the handshake was complete.
    #[error("it closes the connection in the handshake")]
    ClosedInHandshake,
    /// It breaks the protocol.
    #[error("it breaks the rules of TLS: {0}")]
    BrokenTls(String),
    /// What the proxy is to be verified by is of no use.
    #[error(transparent)]
    Trust(#[from] crate::trust::TrustError),
}

/// Why a certificate is not trusted. Text that comes from it is one printable line of at most 256 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFailure {
    /// Nobody whom we trust has signed it.
    #[error("its certificate for {subject} is signed by {issuer}, which is not trusted here")]
    UntrustedIssuer {
        /// Whom it names.
        subject: String,
        /// Who has signed it.
        issuer: String,
    },
    /// Its time is over.
    #[error("its certificate has expired at {ended}, and the appliance's clock says {now}")]
    Expired {
        /// When.
        ended: String,
        /// Seconds since 1970 of the appliance's clock, as a date.
        now: String,
    },
    /// Its time has not come.
    #[error("its certificate is valid from {begins}, and the appliance's clock says {now}")]
    NotYetValid {
        /// From when.
        begins: String,
        /// The appliance's clock, as a date.
        now: String,
    },
    /// It is another host's.
    #[error("its certificate is for {names}, and not for {wanted}")]
    WrongName {
        /// Who was wanted.
        wanted: String,
        /// Whom it names.
        names: String,
    },
    /// It is not the one that is pinned.
    #[error(
        "its certificate, signed by {issuer}, is not the one that is pinned: SHA-256 of the certificate {certificate}, of its key {key}"
    )]
    PinMismatch {
        /// Who has signed it.
        issuer: String,
        /// What is shown, in hexadecimal.
        certificate: String,
        /// What its key is, in hexadecimal.
        key: String,
    },
    /// It was revoked.
    #[error("its certificate was revoked")]
    Revoked,
    /// It cannot be read.
    #[error("its certificate cannot be read")]
    Unreadable,
    /// Any other reason.
    #[error("its certificate for {subject}, signed by {issuer}, is not valid: {why}")]
    Other {
        /// Whom it names.
        subject: String,
        /// Who has signed it.
        issuer: String,
        /// The verifier's words.
        why: String,
    },
}

struct Offers<'a>(&'a [Scheme]);

impl std::fmt::Display for Offers<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, scheme) in self.0.iter().enumerate() {
            write!(formatter, "{}{scheme}", if index == 0 { ": it offers " } else { ", " })?;
        }
        Ok(())
    }
}

fn spoken(garbage: Garbage) -> &'static str {
    match garbage {
        Garbage::Tls => "it speaks TLS",
        Garbage::Ssh => "it is an SSH server",
        Garbage::Http => "it speaks HTTP, but not as a proxy should",
        Garbage::Other => "its answer is of another protocol",
        Garbage::Long => "its answer has more than 8 KiB",
    }
}

fn socks5(refusal: Refusal) -> String {
    let words = match refusal {
        Refusal::General => "it fails to connect, and gives no reason (SOCKS5 code 1)",
        Refusal::Forbidden => "its rules forbid the target (SOCKS5 code 2)",
        Refusal::NetworkUnreachable => "it has no way to the target's network (SOCKS5 code 3)",
        Refusal::HostUnreachable => "it cannot reach the target, or does not know its name (SOCKS5 code 4)",
        Refusal::ConnectionRefused => "the target refuses its connection (SOCKS5 code 5)",
        Refusal::Expired => "the target does not answer it (SOCKS5 code 6)",
        Refusal::Command => "it does not connect at all (SOCKS5 code 7)",
        Refusal::AddressKind => "it does not know names, or not this kind of address (SOCKS5 code 8)",
        Refusal::Other(code) => return format!("it refuses with the unknown SOCKS5 code {code}"),
    };
    words.to_owned()
}
