//! Why the array's word was not had, each as a sentence and with what to do about it. No sentence has a credential in it.

use crate::certificate::{Shown, fingerprint};
use crate::trust::TrustError;
use drawbridge_dial::CertificateFailure;
use std::time::Duration;

/// Why nobody was told who a person is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// There is no way to it.
    #[error("the array cannot be reached: {0}")]
    Unreachable(Unreachable),
    /// No TLS with it.
    #[error("there is no TLS with the array: {0}")]
    Tls(TlsFailure),
    /// Its certificate is not to be trusted.
    #[error("the array's certificate is not trusted: {0}")]
    Certificate(Box<CertificateFailure>),
    /// Its certificate is not the one that is pinned.
    #[error(
        "the array shows another certificate than the one that is known: its SHA-256 fingerprint is {}, and {} was known",
        .shown.fingerprint(), fingerprint(.pinned)
    )]
    OtherCertificate {
        /// SHA-256 of what is pinned.
        pinned: [u8; 32],
        /// What is shown.
        shown: Box<Shown>,
    },
    /// What it is to be verified by is of no use.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Name or password.
    #[error("the array does not know this user, or the password is wrong")]
    WrongCredentials,
    /// The session that single sign-on has made.
    #[error("the array does not know this session any more")]
    UnknownSession,
    /// The user is locked, or has tried too often; the array's own words.
    #[error("the array lets this user in no more for now{}", Words(.0))]
    Locked(String),
    /// It wants approval and gets it, and wants it again; the array's own words.
    #[error("the array wants this to be approved by somebody{}", Words(.0))]
    ApprovalRequired(String),
    /// It refuses for another reason.
    #[error("the array refuses with status {status}{}", Words(.words))]
    Refused {
        /// The HTTP status, 400 to 499 or 200.
        status: u16,
        /// The array's own words.
        words: String,
    },
    /// Its own fault.
    #[error("the array has a fault of its own: it answers with status {status}{}", Words(.words))]
    Fault {
        /// The HTTP status, 500 to 599.
        status: u16,
        /// The array's own words.
        words: String,
    },
    /// Something else answers.
    #[error("what answers there is no array's management layer: {0}")]
    NotAnArray(Stranger),
    /// Connected, and no whole answer within the time.
    #[error("the array does not answer within {} s", .0.as_secs())]
    Late(Duration),
}

/// Why there is no way to the array.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Its name has no address.
    #[error("its name has no address")]
    NoAddress,
    /// Nobody listens on the port.
    #[error("the connection is refused")]
    Refused,
    /// Nobody answers.
    #[error("nobody answers within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// There is no route, or the network is down.
    #[error("there is no way there")]
    NoRoute,
    /// The connection was cut.
    #[error("the connection was cut before the answer was whole")]
    Cut,
    /// Anything else of the kernel's.
    #[error("the kernel refuses it: {0}")]
    Kernel(String),
}

/// Why there is no TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// Something else is spoken there.
    #[error("it does not speak TLS")]
    NotTls,
    /// Neither TLS 1.3 nor 1.2, or nothing in common in them.
    #[error("it has no version or cipher suite of TLS in common with the appliance")]
    NothingInCommon,
    /// An alert.
    #[error("it ends the handshake with the alert {0}")]
    Alert(String),
    /// It closed.
    #[error("it closes the connection in the handshake")]
    Closed,
    /// No end of the handshake.
    #[error("it does not end the handshake within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It breaks the rules.
    #[error("it breaks the rules of TLS: {0}")]
    Broken(String),
}

/// By what something is seen not to be an array.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// No HTTP/1, or a head of more than 16 KiB.
    #[error("it does not speak HTTP as an array does")]
    NotHttp,
    /// 3xx, which is never followed.
    #[error("it sends elsewhere (status {0})")]
    Redirect(u16),
    /// No JSON.
    #[error("it answers with {0} and not with JSON (status {1})")]
    NotJson(String, u16),
    /// JSON, but not the array's.
    #[error("its answer (status {0}) is not the array's")]
    OtherJson(u16),
    /// More than 256 KiB.
    #[error("its answer is longer than {0} KiB")]
    TooLong(usize),
}

/// `: words` where there are any.
struct Words<'a>(&'a str);

impl std::fmt::Display for Words<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(to, ": {}", self.0) }
    }
}

impl LoginError {
    /// Whether it says nothing about the person: the array could not be asked, or not in a way that can be trusted. A person
    /// can be known by a challenge then.
    pub fn is_about_the_array(&self) -> bool {
        !matches!(
            self,
            Self::WrongCredentials
                | Self::UnknownSession
                | Self::Locked(_)
                | Self::ApprovalRequired(_)
                | Self::Refused { .. }
        )
    }

    /// What to do, as a sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable(Unreachable::NoAddress) => {
                "Correct the array's name, or give its address; see that the DNS servers of its port answer."
            }
            Self::Unreachable(Unreachable::Refused) => {
                "See that the array's management layer runs, and that its address and port are right."
            }
            Self::Unreachable(Unreachable::NoRoute) => {
                "Check the appliance's port towards the array, its address and cable."
            }
            Self::Unreachable(Unreachable::TimedOut(_) | Unreachable::Cut) => {
                "See that the array is up and a firewall on the way lets this port pass; else log in by a challenge."
            }
            Self::Unreachable(Unreachable::Kernel(_)) => "Try again, and report it if it stays.",
            Self::Tls(TlsFailure::NotTls) => "Check address and port: another service listens there.",
            Self::Tls(TlsFailure::NothingInCommon) => "Have TLS 1.2 or 1.3 switched on at the array.",
            Self::Tls(_) => {
                "Try again; a device on the way may end TLS connections, or the array is starting."
            }
            Self::Certificate(failure) => certificate(failure),
            Self::OtherCertificate { .. } => {
                "Ask whoever runs the array whether its certificate was changed and compare the fingerprint; accept it only then."
            }
            Self::Trust(_) => "Upload the array's certificate again, or look at what it shows and pin that.",
            Self::WrongCredentials => "Type name and password again, as at the array's own pages.",
            Self::UnknownSession => "Log in at the array's own pages again and open this page from there.",
            Self::Locked(_) => "Wait, or have an administrator of the array unlock the user.",
            Self::ApprovalRequired(_) => "Have the array's settings not ask for approval of a login.",
            Self::Refused { .. } => "See what the array says of this user at its own pages.",
            Self::Fault { .. } | Self::Late(_) => {
                "Try again in a minute; if it stays, log in by a challenge and have the array looked at."
            }
            Self::NotAnArray(_) => {
                "Correct the array's address and port; a device on the way may answer in its place."
            }
        }
    }
}

fn certificate(failure: &CertificateFailure) -> &'static str {
    match failure {
        CertificateFailure::Expired { .. } | CertificateFailure::NotYetValid { .. } => {
            "Check the appliance's clock; if it is right, have the array's certificate renewed, or pin it."
        }
        CertificateFailure::WrongName { .. } => {
            "Give the array by a name that its certificate bears, or pin the certificate."
        }
        _ => {
            "Upload the array's own certificate or the authority's that has signed it, or look at it and pin it."
        }
    }
}
