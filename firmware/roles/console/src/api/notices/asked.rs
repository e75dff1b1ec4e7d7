//! What a browser asks for of notifications, as JSON, to the bus's types and back. What is secret is read and never written.

use crate::api::array::KnownAs;
use crate::api::bridge::place;
use crate::api::targets::{Faults, target};
use crate::api::verification::AskedVerification;
use drawbridge_audit::sink::mail::Mailbox;
use drawbridge_bus::bridge::SecretText;
use drawbridge_bus::notify::{
    ArrayNotices, ArrayStyle, CREDENTIAL_BYTES, Least, MailNotices, MailSecurity, NoticeSecrets, Notices,
    SyslogCarrier, SyslogNotices,
};
use drawbridge_settings::FieldError;
use drawbridge_settings::network::Host;
use serde::{Deserialize, Serialize};

/// The facility where none is named: "log audit" (RFC 5424, section 6.2.1).
const AUDIT_FACILITY: u8 = 13;

/// To whom events are told.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    array: Option<AskedArray>,
    syslog: Option<AskedSyslog>,
    mail: Option<AskedMail>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AskedArray {
    user: String,
    #[serde(default, skip_serializing)]
    password: Option<SecretText>,
    #[serde(default)]
    style: ArrayStyle,
    #[serde(default)]
    vendor_only: bool,
    #[serde(default)]
    least: Least,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AskedSyslog {
    server: String,
    #[serde(default)]
    carrier: SyslogCarrier,
    #[serde(default)]
    verification: AskedVerification,
    #[serde(default = "audit_facility")]
    facility: u8,
    #[serde(default)]
    least: Least,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AskedMail {
    server: String,
    #[serde(default)]
    security: MailSecurity,
    #[serde(default)]
    verification: AskedVerification,
    #[serde(default)]
    user: Option<String>,
    #[serde(default, skip_serializing)]
    password: Option<SecretText>,
    from: String,
    to: Vec<String>,
    #[serde(default)]
    least: Least,
}

const fn audit_facility() -> u8 {
    AUDIT_FACILITY
}

/// The usual port of a syslog server (RFC 5425 and 5426; for TCP it is the custom).
const fn syslog_port(carrier: SyslogCarrier) -> u16 {
    match carrier {
        SyslogCarrier::Tls => 6514,
        SyslogCarrier::Tcp | SyslogCarrier::Udp => 514,
    }
}

/// The usual port of a mail server for those who hand mail in (RFC 8314 and 6409), and for other servers.
const fn mail_port(security: MailSecurity) -> u16 {
    match security {
        MailSecurity::StartTls => 587,
        MailSecurity::Tls => 465,
        MailSecurity::Plain => 25,
    }
}

/// A password that was typed; none: as before.
fn password(field: &str, typed: Option<SecretText>, faults: &mut Faults) -> Option<SecretText> {
    let typed = typed.filter(|password| !password.reveal().is_empty())?;
    if typed.reveal().len() > CREDENTIAL_BYTES || typed.reveal().chars().any(char::is_control) {
        let right = "at most 256 bytes without a control character";
        faults.push(FieldError::new(field, "this can be no password", right));
    }
    Some(typed)
}

/// An address of mail, without what stands around it.
pub(super) fn mailbox(field: &str, text: &str, faults: &mut Faults) -> String {
    let text = text.trim();
    if Mailbox::parse(text).is_err() {
        let right = "name@example.com, with at most 254 characters and no name before it";
        faults.push(FieldError::new(field, "this is no mail address", right));
    }
    text.to_owned()
}

impl Asked {
    /// The bus's types. `array` is where the array is and its certificate, or why that is not known.
    pub(super) fn read(
        self,
        array: Result<(String, KnownAs), &'static str>,
    ) -> Result<(Notices, NoticeSecrets), Faults> {
        let mut faults = Faults::new();
        let mut secrets = NoticeSecrets::default();
        let mut notices = Notices::default();
        let mut missing = false;
        if let Some(asked) = self.array {
            secrets.array = password("array.password", asked.password, &mut faults);
            let known = array.and_then(|(host, known_as)| {
                let host =
                    host.parse::<Host>().map_err(|_| "the array's address is none that is asked by name")?;
                Ok((host, known_as))
            });
            match known {
                Ok((host, (certificate, uploaded))) => {
                    notices.array = Some(ArrayNotices {
                        host,
                        certificate,
                        uploaded,
                        user: asked.user.trim().to_owned(),
                        style: asked.style,
                        vendor_only: asked.vendor_only,
                        least: asked.least,
                    });
                }
                Err(why) => faults.push(FieldError::new(
                    "array",
                    why,
                    "an array that is set on the page Array, and whose certificate is accepted there",
                )),
            }
        }
        if let Some(asked) = self.syslog {
            let usual = Some(syslog_port(asked.carrier));
            let server = target("syslog.server", &asked.server, usual, &mut faults);
            let verification = asked.verification.read("syslog.verification", &mut faults);
            missing |= server.is_none();
            notices.syslog = server.map(|server| SyslogNotices {
                server,
                carrier: asked.carrier,
                verification,
                facility: asked.facility,
                least: asked.least,
            });
        }
        if let Some(asked) = self.mail {
            let server = target("mail.server", &asked.server, Some(mail_port(asked.security)), &mut faults);
            let verification = asked.verification.read("mail.verification", &mut faults);
            secrets.mail = password("mail.password", asked.password, &mut faults);
            let from = mailbox("mail.from", &asked.from, &mut faults);
            let each = asked.to.iter().enumerate();
            let to =
                each.map(|(number, to)| mailbox(&format!("mail.to[{number}]"), to, &mut faults)).collect();
            missing |= server.is_none();
            let user = asked.user.map(|user| user.trim().to_owned()).filter(|user| !user.is_empty());
            notices.mail = server.map(|server| MailNotices {
                server,
                security: asked.security,
                verification,
                user,
                from,
                to,
                least: asked.least,
            });
        }
        // All that is wrong is told at once, whoever finds it; and nothing twice.
        if let Err(more) = notices.check() {
            for fault in more {
                if !faults.iter().any(|known| known.field == fault.field) {
                    faults.push(fault);
                }
            }
        }
        if faults.is_empty() && !missing { Ok((notices, secrets)) } else { Err(faults) }
    }

    /// What is set, as it would be asked for.
    pub(super) fn of(notices: &Notices) -> Self {
        Self {
            array: notices.array.as_ref().map(|array| AskedArray {
                user: array.user.clone(),
                password: None,
                style: array.style,
                vendor_only: array.vendor_only,
                least: array.least,
            }),
            syslog: notices.syslog.as_ref().map(|syslog| AskedSyslog {
                server: place(&syslog.server.host.to_string(), syslog.server.port),
                carrier: syslog.carrier,
                verification: AskedVerification::of(&syslog.verification),
                facility: syslog.facility,
                least: syslog.least,
            }),
            mail: notices.mail.as_ref().map(|mail| AskedMail {
                server: place(&mail.server.host.to_string(), mail.server.port),
                security: mail.security,
                verification: AskedVerification::of(&mail.verification),
                user: mail.user.clone(),
                password: None,
                from: mail.from.clone(),
                to: mail.to.clone(),
                least: mail.least,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Notices, NoticeSecrets), Vec<String>> {
        let asked: Asked = serde_json::from_str(text).unwrap();
        let array = Ok(("array.example.com".to_owned(), (Some([7; 32]), Vec::new())));
        asked.read(array).map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }

    const WHOLE: &str = r#"{"array":{"user":"events","password":"swordfish"},
        "syslog":{"server":"log.example.com","carrier":"udp","least":"info"},
        "mail":{"server":"[2001:db8::1]:25","security":"tls","user":"sa","password":"swordfish",
                "from":" sa@example.com ","to":["anna@example.com"]}}"#;

    #[test]
    fn what_is_asked_for_is_set_and_shown_again_without_its_passwords() {
        let (notices, secrets) = read(WHOLE).unwrap();
        assert_eq!(notices.array.as_ref().unwrap().certificate, Some([7; 32]));
        assert_eq!(notices.syslog.as_ref().unwrap().server.port, 514);
        assert_eq!(notices.mail.as_ref().unwrap().from, "sa@example.com");
        assert_eq!(secrets.mail.as_ref().unwrap().reveal(), "swordfish");
        let shown = serde_json::to_string(&Asked::of(&notices)).unwrap();
        assert!(!shown.contains("swordfish"), "{shown}");
        let (again, none) = read(&shown).unwrap();
        assert_eq!((again, none), (notices, NoticeSecrets::default()));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_by_its_field() {
        let wrong = r#"{"array":{"user":"a\u0007b"},
            "syslog":{"server":"log:0","facility":24},
            "mail":{"server":"mail","from":"Anna <a@example.com>","to":["a@example.com","nobody"],
                    "verification":{"built_in":false}}}"#;
        let mut fields = read(wrong).unwrap_err();
        fields.sort();
        assert_eq!(fields, ["array.user", "mail.from", "mail.to[1]", "mail.verification", "syslog.server"]);
        let unknown: Asked = serde_json::from_str(r#"{"array":{"user":"events"}}"#).unwrap();
        let faults = unknown.read(Err("no array is set")).unwrap_err();
        assert_eq!((faults[0].field.as_str(), faults.len()), ("array", 1));
    }
}
