//! To whom events are told: the array, a syslog server, people's mail. Types and their bounds only: it never sends.
//!
//! The role session keeps the settings and how far each receiver has come; the courier has the network, and nothing of its own.

use crate::bridge::{SecretText, Verification};
use crate::support::Target;
use drawbridge_settings::FieldError;
use drawbridge_settings::network::Host;
use serde::{Deserialize, Serialize};

/// The most recipients of mail.
pub const RECIPIENTS_MOST: usize = 20;
/// The longest mail address, in bytes (RFC 5321, section 4.5.3.1.3, less the brackets).
pub const ADDRESS_BYTES: usize = 254;
/// The longest user's name or password, in bytes.
pub const CREDENTIAL_BYTES: usize = 256;
/// The most roots that a receiver is verified by: they are kept with the settings.
pub const NOTIFY_ROOTS_MOST: usize = 2;
/// The most certificates that the array is known by, and the most bytes of each.
pub const ARRAY_ROOTS_MOST: usize = 8;
/// See [`ARRAY_ROOTS_MOST`].
pub const ARRAY_ROOT_BYTES: usize = 4 * 1024;
/// The most steps of a test.
pub const NOTIFY_STEPS_MOST: usize = 16;

/// Who takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Receiver {
    /// The array's own log.
    Array,
    /// A syslog server.
    Syslog,
    /// People's mail.
    Mail,
}

impl Receiver {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Array, Self::Syslog, Self::Mail];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Syslog => "syslog",
            Self::Mail => "mail",
        }
    }
}

/// As bad as this, or worse (the audit's own words).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Least {
    /// Every event.
    Info,
    /// What is worth a look.
    #[default]
    Notice,
    /// Refusals, and what will fail.
    Warning,
    /// What has failed.
    Error,
    /// What somebody has to act on now.
    Critical,
}

/// How the events of a support session read in the array's log (FEATURES A16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArrayStyle {
    /// The older guide's descriptions.
    #[default]
    Custom,
    /// The newer one's codes.
    Codes,
}

/// Events to the array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrayNotices {
    /// The array: its name or address. It is asked on port 443.
    pub host: Host,
    /// SHA-256 of its certificate, where it is known by that.
    pub certificate: Option<[u8; 32]>,
    /// Else certificates that were uploaded (DER, 1 to [`ARRAY_ROOTS_MOST`] of [`ARRAY_ROOT_BYTES`]): its own, or authorities'.
    #[serde(default)]
    pub uploaded: Vec<Vec<u8>>,
    /// By which user of the array they are posted.
    pub user: String,
    /// How they read.
    #[serde(default)]
    pub style: ArrayStyle,
    /// Whether the vendor alone sees them there, and not the customer.
    #[serde(default)]
    pub vendor_only: bool,
    /// Which.
    #[serde(default)]
    pub least: Least,
}

/// How a syslog server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyslogCarrier {
    /// TLS (RFC 5425).
    #[default]
    Tls,
    /// TCP (RFC 6587).
    Tcp,
    /// UDP (RFC 5426).
    Udp,
}

/// Events to a syslog server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogNotices {
    /// The server.
    pub server: Target,
    /// How.
    #[serde(default)]
    pub carrier: SyslogCarrier,
    /// What it is verified by, where TLS is spoken.
    #[serde(default)]
    pub verification: Verification,
    /// The facility's number (RFC 5424, section 6.2.1): 0 to 23; usually 13, "log audit".
    pub facility: u8,
    /// Which.
    #[serde(default)]
    pub least: Least,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// TLS is asked for (RFC 3207), and without it nothing is sent.
    #[default]
    StartTls,
    /// TLS from the start (RFC 8314).
    Tls,
    /// None.
    Plain,
}

/// Events to people's mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailNotices {
    /// The server.
    pub server: Target,
    /// How.
    #[serde(default)]
    pub security: MailSecurity,
    /// What it is verified by, where TLS is spoken.
    #[serde(default)]
    pub verification: Verification,
    /// By which user; none: the server wants none.
    #[serde(default)]
    pub user: Option<String>,
    /// From whom.
    pub from: String,
    /// To whom (1 to [`RECIPIENTS_MOST`]).
    pub to: Vec<String>,
    /// Which.
    #[serde(default)]
    pub least: Least,
}

/// To whom events are told; nobody, where nothing is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notices {
    /// The array.
    pub array: Option<ArrayNotices>,
    /// A syslog server.
    pub syslog: Option<SyslogNotices>,
    /// People.
    pub mail: Option<MailNotices>,
}

/// The passwords that go with [`Notices`]; in a change, none: as before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeSecrets {
    /// Of the array's user.
    pub array: Option<SecretText>,
    /// Of the mail server's.
    pub mail: Option<SecretText>,
}

/// What is to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticesChange {
    /// Who asks, for the record.
    pub by: String,
    /// The settings.
    pub notices: Notices,
    /// The passwords.
    pub secrets: NoticeSecrets,
}

/// How a receiver stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverState {
    /// Which.
    pub receiver: Receiver,
    /// Whether the last attempt worked; none before the first.
    pub is_up: Option<bool>,
    /// Since when that is so, in milliseconds since 1970.
    pub since_ms: u64,
    /// The number of the last event that it has for good, or does not want.
    pub settled: u64,
    /// So many events wait for it; 10,000 stands for that many and more.
    pub backlog: u64,
    /// When the oldest of them was written, in milliseconds since 1970.
    pub oldest_ms: Option<u64>,
    /// Why the last attempt failed, and what to do, each as a sentence.
    pub error: Option<(String, String)>,
    /// When the next one is, in milliseconds since 1970.
    pub next_try_ms: Option<u64>,
}

/// To [`crate::Request::Notices`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticesStatus {
    /// The settings.
    pub notices: Notices,
    /// Whether there is a password for the array's user, and for the mail server's.
    pub has_password: (bool, bool),
    /// How each receiver that is set stands.
    pub states: Vec<ReceiverState>,
    /// Whether the courier runs.
    pub runs: bool,
}

/// A receiver to be tried, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeTest {
    /// Who asks, for the record.
    pub by: String,
    /// Which.
    pub receiver: Receiver,
    /// For mail: to whom, instead of those that are set.
    pub to: Option<String>,
}

/// What a step of a test came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeStep {
    /// What was done, in a few words.
    pub title: String,
    /// Whether it worked.
    pub worked: bool,
    /// What was found, or why it did not work, as a sentence.
    pub detail: String,
    /// What to do, as a sentence; empty when nothing is to be done.
    pub remedy: String,
}

/// What the courier is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CourierOrders {
    /// The settings, with the passwords.
    pub notices: Notices,
    /// The passwords.
    pub secrets: NoticeSecrets,
    /// How far each receiver has come; one that is not listed was never told anything.
    pub settled: Vec<(Receiver, u64)>,
    /// A test that waits.
    pub test: Option<NoticeTest>,
    /// The system's name, its serial number, the firmware's version, and the vendor's name.
    pub system: CourierSystem,
}

/// What the appliance is called in what the courier sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CourierSystem {
    /// The host's name.
    pub name: String,
    /// The serial number.
    pub serial: String,
    /// The firmware's version.
    pub version: String,
    /// The vendor's name.
    pub vendor: String,
}

/// What the courier has to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CourierNews {
    /// How a receiver stands. Its `settled` is kept when the answer comes.
    State(Box<ReceiverState>),
    /// The test that was ordered is over (at most [`NOTIFY_STEPS_MOST`] steps).
    Tested(Vec<NoticeStep>),
}

/// One line of text with something in it.
fn is_line(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl Notices {
    /// Every fault, with its field. Whether addresses can be read as such says the courier's own library, to whom they go.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut fault = |field: &str, wrong: &str, right: &str| {
            errors.push(FieldError::new(field, wrong, right));
        };
        if let Some(array) = &self.array {
            if !is_line(&array.user, CREDENTIAL_BYTES) {
                fault("array.user", "this is no user's name", "a user of the array, of 1 to 256 bytes");
            }
            let uploaded = &array.uploaded;
            let fits = uploaded.len() <= ARRAY_ROOTS_MOST
                && uploaded.iter().all(|one| one.len() <= ARRAY_ROOT_BYTES)
                && array.certificate.is_none() != uploaded.is_empty();
            if !fits {
                let right = "the array's certificate, or up to 8 that were uploaded, of 4 KiB each";
                fault("array.certificate", "by this the array cannot be known", right);
            }
        }
        for (field, target) in [
            ("syslog.server.port", self.syslog.as_ref().map(|syslog| &syslog.server)),
            ("mail.server.port", self.mail.as_ref().map(|mail| &mail.server)),
        ] {
            if target.is_some_and(|target| target.port == 0) {
                fault(field, "0 is no port", "a port from 1 to 65535");
            }
        }
        if self.syslog.as_ref().is_some_and(|syslog| syslog.facility > 23) {
            fault("syslog.facility", "there is no such facility", "0 to 23; 13 is the audit's own");
        }
        if let Some(mail) = &self.mail {
            if mail.user.as_ref().is_some_and(|user| !is_line(user, CREDENTIAL_BYTES)) {
                fault("mail.user", "this is no user's name", "1 to 256 bytes, or none");
            }
            if mail.user.is_some() && mail.security == MailSecurity::Plain {
                fault("mail.security", "a password is sent over TLS only", "STARTTLS or TLS, or no user");
            }
            if !is_line(&mail.from, ADDRESS_BYTES) {
                fault("mail.from", "this is no mail address", "an address, as name@example.com");
            }
            if !(1..=RECIPIENTS_MOST).contains(&mail.to.len()) {
                fault("mail.to", "these are none, or too many", "1 to 20 addresses, or one list of your own");
            }
            for (number, to) in mail.to.iter().enumerate().take(RECIPIENTS_MOST) {
                if !is_line(to, ADDRESS_BYTES) {
                    fault(
                        &format!("mail.to[{number}]"),
                        "this is no mail address",
                        "an address, as name@example.com",
                    );
                }
            }
        }
        for (field, verification) in [
            ("syslog.verification.uploaded", self.syslog.as_ref().map(|syslog| &syslog.verification)),
            ("mail.verification.uploaded", self.mail.as_ref().map(|mail| &mail.verification)),
        ] {
            if verification.is_some_and(|verification| verification.uploaded.len() > NOTIFY_ROOTS_MOST) {
                fault(
                    field,
                    "these are too many certificates",
                    "at most 2: the roots, without the rest of the chain",
                );
            }
        }
        if let Some(syslog) = self.syslog.as_ref().filter(|one| one.carrier == SyslogCarrier::Tls) {
            syslog.verification.check("syslog.verification", &mut errors);
        }
        if let Some(mail) = self.mail.as_ref().filter(|one| one.security != MailSecurity::Plain) {
            mail.verification.check("mail.verification", &mut errors);
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Who is set.
    pub fn receivers(&self) -> impl Iterator<Item = Receiver> + '_ {
        Receiver::ALL.into_iter().filter(|receiver| match receiver {
            Receiver::Array => self.array.is_some(),
            Receiver::Syslog => self.syslog.is_some(),
            Receiver::Mail => self.mail.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_send_to_is_a_fault_with_its_field() {
        assert!(Notices::default().check().is_ok());
        let target = |port| Target { host: "mail.example.com".parse().unwrap(), port };
        let mail = MailNotices {
            server: target(0),
            security: MailSecurity::Plain,
            verification: Verification { built_in: false, ..Verification::default() },
            user: Some("line\nline".to_owned()),
            from: String::new(),
            to: vec!["a@example.com".to_owned(), "\r\n".to_owned()],
            least: Least::Notice,
        };
        let syslog = SyslogNotices {
            server: target(6514),
            carrier: SyslogCarrier::Tls,
            verification: Verification { built_in: false, ..Verification::default() },
            facility: 24,
            least: Least::Info,
        };
        let notices = Notices { array: None, syslog: Some(syslog), mail: Some(mail) };
        assert_eq!(notices.receivers().collect::<Vec<_>>(), [Receiver::Syslog, Receiver::Mail]);
        let faults = notices.check().unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "mail.server.port",
                "syslog.facility",
                "mail.user",
                "mail.security",
                "mail.from",
                "mail.to[1]",
                "syslog.verification"
            ]
        );
    }
}
