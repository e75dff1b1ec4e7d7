//! Why there is no control connection, in sentences, and what to do about it. No sentence has a secret in it, and what the
//! server says is one printable line in it.

use drawbridge_dial::DialError;
use drawbridge_wire::{FrameError, Line};

/// What went wrong on the way to the server. [`Trouble::remedy`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// The way to the TLS stream.
    #[error("{0}")]
    Dial(#[from] DialError),
    /// The interface that the path names.
    #[error("there is no interface {0}")]
    NoInterface(String),
    /// Another role does not answer.
    #[error("{0}")]
    Bus(String),
    /// TLS is right, and nobody there knows the control protocol.
    #[error("the server does not offer the service of a Remote Support Server (ALPN)")]
    NotOurs,
    /// SSH cannot be spoken.
    #[error("SSH with the server fails: {0}")]
    Ssh(String),
    /// A part of it takes too long.
    #[error("the server does not answer in time: {0}")]
    Late(&'static str),
    /// It is another server, or one with another key.
    #[error("the server shows the SSH host key {shown}, and the one that is known is {known}")]
    ServerKey {
        /// The fingerprint of the one that is known.
        known: String,
        /// The fingerprint of the one that it shows.
        shown: String,
    },
    /// The key that is known cannot be read.
    #[error("the SSH host key that is known of the server cannot be read")]
    KnownKey,
    /// It does not know the countermeasure against cut handshakes (CVE-2023-48795).
    #[error("the server's SSH is too old: it knows no strict key exchange")]
    NotStrict,
    /// The login key is not taken.
    #[error("the server does not take the appliance's login key")]
    Login,
    /// The control service is not there.
    #[error("the server does not offer its control service over SSH")]
    NoService,
    /// The server's own words.
    #[error("the server refuses the appliance: {why}")]
    Refused {
        /// Why.
        why: Line<256>,
        /// What to do, by its word.
        remedy: Line<256>,
    },
    /// It does not know the appliance.
    #[error("the server does not know this appliance")]
    Unenrolled,
    /// It does not take the token.
    #[error("the server refuses the enrolment token: {why}")]
    Token {
        /// Why.
        why: Line<256>,
        /// What to do, by its word.
        remedy: Line<256>,
    },
    /// The token is none.
    #[error("the enrolment token has characters that it cannot have")]
    TokenText,
    /// What comes is no message.
    #[error("the server sends {0}")]
    Frame(#[from] FrameError),
    /// What comes is not what may come now.
    #[error("the server breaks the control protocol: {0}")]
    Protocol(&'static str),
    /// Too many messages.
    #[error("the server sends more messages than it may")]
    Flood,
    /// What is sent is not taken.
    #[error("the server takes nothing that is sent to it")]
    Stuck,
    /// Nothing comes.
    #[error("nothing has come from the server for {0} s")]
    Silent(u64),
    /// The connection is gone.
    #[error("the connection to the server was lost")]
    Lost,
    /// The server goes down.
    #[error("the server goes down: {0}")]
    Bye(Line<256>),
}

impl Trouble {
    /// What to do, as a sentence; empty when nothing is to be done but wait.
    pub(crate) fn remedy(&self) -> String {
        let fixed = match self {
            Self::Dial(error) => error.remedy(),
            Self::Refused { remedy, .. } | Self::Token { remedy, .. } => {
                return match remedy.as_str() {
                    "" => "Ask the server's operator.".to_owned(),
                    said => format!("The server says: {said}"),
                };
            }
            Self::NoInterface(_) => "Correct the interface of the path, or let the routes choose.",
            Self::Bus(_) => "Wait a moment; if it stays, look at the state of the roles.",
            Self::NotOurs => {
                "Check that this is the Remote Support Server, and that nothing on the way takes TLS apart."
            }
            Self::Ssh(_) | Self::Frame(_) | Self::Protocol(_) | Self::NoService => {
                "Ask the server's operator whether it runs, and a version that fits this one."
            }
            Self::NotStrict => "Ask the server's operator to renew it.",
            Self::ServerKey { .. } => {
                "Ask the server's owner, by a way of its own, whether its key was changed; until then do not go on."
            }
            Self::KnownKey => "Forget the key that is known of the server, and connect anew.",
            Self::Login => {
                "Ask the server's operator: the serial number is locked to another appliance's key there."
            }
            Self::Unenrolled => "Get an enrolment token from the server's operator, and connect with it.",
            Self::TokenText => "Type the enrolment token again, as the server's operator has given it.",
            Self::Flood => "Ask the server's operator what is wrong with it.",
            Self::Late(_) | Self::Stuck | Self::Silent(_) => {
                "Check the line; it may be too slow, or broken in the middle."
            }
            Self::Lost | Self::Bye(_) => "",
        };
        fixed.to_owned()
    }

    /// Whether only people can change it, so that it is of no use to try again soon.
    pub(crate) const fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Token { .. }
                | Self::TokenText
                | Self::Unenrolled
                | Self::ServerKey { .. }
                | Self::KnownKey
                | Self::NotStrict
                | Self::Login
                | Self::Flood
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_told_as_its_word() {
        let refused = Trouble::Refused { why: Line::of("locked\u{1b}[2J"), remedy: Line::of("Call us.") };
        assert_eq!(refused.to_string(), "the server refuses the appliance: locked?[2J");
        assert_eq!(refused.remedy(), "The server says: Call us.");
        assert!(refused.is_lasting() && !Trouble::Lost.is_lasting());
    }
}
