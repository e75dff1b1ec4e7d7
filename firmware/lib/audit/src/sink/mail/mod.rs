//! Events by mail (SMTP, RFC 5321), one mail for many when many come. No text of anybody's becomes a header or a command, and no
//! password crosses without TLS.

mod message;
mod smtp;

pub use message::{HostName, Letter, Letterhead};

use super::{Failure, Progress, Sink, Way};
use crate::entry::Kept;
use crate::event::Severity;
use drawbridge_dial::Trust;
use lettre::transport::smtp::authentication::Credentials;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use smtp::Talk;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// The most recipients.
pub const MOST_RECIPIENTS: usize = 20;
/// After a mail the next one waits so long for more events, unless it is urgent.
pub const GATHER: Duration = Duration::from_mins(5);
/// How long the trial of a configuration may take.
const TRIAL: Duration = Duration::from_mins(2);

/// Why a text is no address for mail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The address.
    #[error(
        "this is no mail address: give it as name@example.com, with at most 254 characters and no name before it"
    )]
    Address,
    /// The user or the password.
    #[error(
        "user and password of a mail server have 1 to 256 bytes and no control characters: type them again"
    )]
    Login,
    /// Nobody or too many.
    #[error(
        "mail goes to 1 to {MOST_RECIPIENTS} addresses: give some, or one list of your mail server's for many"
    )]
    Recipients,
    /// A password without TLS.
    #[error("a password is sent over TLS only: choose STARTTLS or TLS, or take the login away")]
    PasswordWithoutTls,
}

/// An address, checked: nothing in it can end a header or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox(lettre::message::Mailbox);

impl Mailbox {
    /// Reads `name@example.com`.
    pub fn parse(text: &str) -> Result<Self, MailError> {
        let is_plain = text.len() <= 254
            && !text
                .chars()
                .any(|char| char.is_control() || char.is_whitespace() || "<>\"(),:;\\".contains(char));
        let address: lettre::Address =
            Some(text).filter(|_| is_plain).and_then(|text| text.parse().ok()).ok_or(MailError::Address)?;
        Ok(Self(lettre::message::Mailbox::new(None, address)))
    }

    fn inner(&self) -> &lettre::message::Mailbox {
        &self.0
    }

    /// Whether it has letters beyond ASCII (RFC 6531).
    fn is_utf8(&self) -> bool {
        !self.0.email.to_string().is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.email.fmt(to)
    }
}

/// User and password at the mail server. The password is shown nowhere, and wiped when dropped; the library that sends it keeps
/// a copy while it does.
#[derive(Clone)]
pub struct Login {
    user: String,
    password: Zeroizing<String>,
}

impl Login {
    /// Takes both, of 1 to 256 bytes each.
    pub fn new(user: String, password: Zeroizing<String>) -> Result<Self, MailError> {
        let fits = |text: &str| (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits(&user) && fits(&password) { Ok(Self { user, password }) } else { Err(MailError::Login) }
    }

    fn user(&self) -> &str {
        &self.user
    }

    fn credentials(&self) -> Credentials {
        Credentials::new(self.user.clone(), (*self.password).clone())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Whether what is said can be read on the way.
#[derive(Clone, Debug)]
pub enum MailSecurity {
    /// TLS is asked for (RFC 3207), and without it nothing is sent.
    StartTls(Trust),
    /// TLS from the start (RFC 8314).
    Implicit(Trust),
    /// By anybody; somebody has chosen that.
    Plain,
}

/// How mail is sent.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// The server.
    pub way: Way,
    /// How it is spoken to.
    pub security: MailSecurity,
    /// As whom.
    pub login: Option<Login>,
    /// Who writes.
    pub head: Letterhead,
    /// To whom.
    pub to: Vec<Mailbox>,
    /// How long a mail waits for more events after the last one; usually [`GATHER`].
    pub gather: Duration,
}

/// A step of a mail's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Name and TCP.
    Connection,
    /// TLS, with the name and TCP where it is there from the start.
    Tls,
    /// The server's greeting.
    Greeting,
    /// User and password.
    Login,
    /// Whether it takes mail from this sender.
    Sender,
    /// Whether it takes mail for a recipient.
    Recipient,
    /// Whether it takes the mail.
    Message,
}

/// What a step of a trial came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Which.
    pub step: Step,
    /// What was found.
    pub found: Option<String>,
    /// Or why not.
    pub failure: Option<Failure>,
}

/// The way to people's mail.
#[derive(Debug)]
pub struct Mail {
    config: MailConfig,
    last: Option<Instant>,
}

impl Mail {
    /// Checks how mail is to be sent. Nothing is dialled yet.
    pub fn new(config: MailConfig) -> Result<Self, MailError> {
        check(&config)?;
        Ok(Self { config, last: None })
    }

    async fn send(&self, letter: &Letter) -> Result<Vec<String>, Failure> {
        let MailConfig { way, security, login, head, to, .. } = &self.config;
        let bytes = written(letter, head, to)?;
        let mut untold = |_, _| {};
        let talk = Talk::begin(way, security, login.as_ref(), &head.host, &mut untold).await?;
        talk.send(&head.from, to, &bytes).await.map(|taken| taken.refused)
    }
}

fn check(config: &MailConfig) -> Result<(), MailError> {
    if !(1..=MOST_RECIPIENTS).contains(&config.to.len()) {
        return Err(MailError::Recipients);
    }
    if config.login.is_some() && matches!(config.security, MailSecurity::Plain) {
        return Err(MailError::PasswordWithoutTls);
    }
    Ok(())
}

fn written(letter: &Letter, head: &Letterhead, to: &[Mailbox]) -> Result<Vec<u8>, Failure> {
    letter.bytes(head, to).map_err(|why| {
        Failure::new(
            &format!("the mail cannot be written: {why}"),
            "Correct the sender's and recipients' addresses.",
        )
    })
}

/// Tries a configuration with a mail to anybody, and tells what each step came to; the last one has failed, or all have worked.
pub async fn trial(config: &MailConfig, recipient: &Mailbox) -> Result<Vec<Tried>, MailError> {
    check(config)?;
    let mut steps: Vec<Tried> = Vec::new();
    let to = [recipient.clone()];
    let mut bytes = [0; 8];
    // Without chance two trials have the same number, and some server may drop the second.
    let _ = SystemRandom::new().fill(&mut bytes);
    let letter = Letter::trial(&config.head, u64::from_ne_bytes(bytes));
    let MailConfig { way, security, login, head, .. } = config;
    let mut tell = |step, told: Result<String, Failure>| {
        let (found, failure) = match told {
            Ok(found) => (Some(found), None),
            Err(failure) => (None, Some(failure)),
        };
        steps.push(Tried { step, found, failure });
    };
    let whole = async {
        match written(&letter, head, &to) {
            Err(failure) => tell(Step::Message, Err(failure)),
            Ok(bytes) => {
                // What fails is told as a step.
                if let Ok(talk) = Talk::begin(way, security, login.as_ref(), &head.host, &mut tell).await {
                    let _ = talk.send(&head.from, &to, &bytes).await;
                }
            }
        }
    };
    if tokio::time::timeout(TRIAL, whole).await.is_err() {
        let text = format!("the trial was not over within {} s", TRIAL.as_secs());
        let failure = Failure::new(&text, "See whether the mail server is overloaded; try again.");
        steps.push(Tried { step: Step::Message, found: None, failure: Some(failure) });
    }
    Ok(steps)
}

impl Sink for Mail {
    fn batch(&self) -> usize {
        256
    }

    fn wait(&mut self, waiting: &[Kept]) -> Duration {
        let is_urgent = waiting.iter().any(|kept| kept.entry.severity() >= Severity::Critical);
        // Urgent ones wait too, a little, when they flood.
        let gather = if is_urgent { self.config.gather / 10 } else { self.config.gather };
        self.last.map_or(Duration::ZERO, |last| (last + gather).saturating_duration_since(Instant::now()))
    }

    async fn deliver(&mut self, events: &[Kept]) -> (Progress, Option<Failure>) {
        let Some(letter) = Letter::about(&self.config.head, events) else {
            return (Progress::default(), None);
        };
        match self.send(&letter).await {
            Ok(refused) => {
                self.last = Some(Instant::now());
                let number = events.last().map_or(0, Kept::sequence);
                // The others have it: it is not sent again, and somebody has to look at the addresses.
                let failure = refused.first().map(|first| {
                    let text = format!(
                        "{} of {} recipients were refused: {first}",
                        refused.len(),
                        self.config.to.len()
                    );
                    Failure::new(
                        &text,
                        "Correct the recipients' addresses, or ask whoever runs the mail server.",
                    )
                });
                (Progress { sent: number, settled: number }, failure)
            }
            Err(failure) => (Progress::default(), Some(failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_a_header_or_a_command_is_no_address() {
        assert_eq!(Mailbox::parse("anna@example.com").unwrap().to_string(), "anna@example.com");
        assert!(Mailbox::parse("m\u{fc}ller@example.com").is_ok_and(|mailbox| mailbox.is_utf8()));
        for wrong in [
            "",
            "anna",
            "anna@",
            "@example.com",
            "Anna <anna@example.com>",
            "anna@example.com\r\nRCPT TO:<eve@evil.example>",
            "anna@example.com, eve@evil.example",
            "anna@example.com>",
            "\"a b\"@example.com",
            "an na@example.com",
            &format!("{}@example.com", "a".repeat(300)),
        ] {
            assert_eq!(Mailbox::parse(wrong), Err(MailError::Address), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let login = Login::new("sa".to_owned(), "correct horse".to_owned().into()).unwrap();
        let shown = format!("{login:?} {:?}", login.credentials());
        assert!(!shown.contains("correct"), "{shown}");
        assert!(Login::new(String::new(), "x".to_owned().into()).is_err());
        assert!(Login::new("a\r\nb".to_owned(), "x".to_owned().into()).is_err());
    }
}
