//! What the audit is told of a receiver's settings, as lines in which every change of them shows: it never holds a secret.

use drawbridge_bus::bridge::Verification;
use drawbridge_bus::notify::{MailNotices, MailSecurity, Notices, Receiver, SyslogCarrier};
use drawbridge_chain::Hash;

/// Where it is, as whom and from which severity on it is told.
pub(super) fn place(notices: &Notices, receiver: Receiver) -> Option<String> {
    Some(match receiver {
        Receiver::Array => {
            let array = notices.array.as_ref()?;
            let seen = if array.vendor_only { ", seen by the vendor alone" } else { "" };
            format!("{} as {}, {:?}, from {:?} on{seen}", array.host, array.user, array.style, array.least)
        }
        Receiver::Syslog => {
            let one = notices.syslog.as_ref()?;
            format!(
                "{}:{} by {:?}, facility {}, from {:?} on",
                one.server.host, one.server.port, one.carrier, one.facility, one.least
            )
        }
        Receiver::Mail => mail(notices.mail.as_ref()?),
    })
}

fn mail(one: &MailNotices) -> String {
    let all = digest(one.to.iter().map(String::as_bytes));
    // The digest comes first and the list last: a line that is too long is cut, and one list is to be told from another.
    format!(
        "{} recipients ({all}), from {:?} on, {}:{} by {:?} as {}, from {} to {}",
        one.to.len(),
        one.least,
        one.server.host,
        one.server.port,
        one.security,
        one.user.as_deref().unwrap_or("nobody"),
        one.from,
        one.to.join(" ")
    )
}

/// Whom it is verified by.
pub(super) fn trust(notices: &Notices, receiver: Receiver) -> Option<String> {
    match receiver {
        Receiver::Array => {
            let array = notices.array.as_ref()?;
            Some(match &array.certificate {
                Some(certificate) => format!("the certificate with the SHA-256 {}", Hash(*certificate)),
                None => certificates(&array.uploaded),
            })
        }
        Receiver::Syslog => {
            let one = notices.syslog.as_ref()?;
            Some(match one.carrier {
                SyslogCarrier::Tls => verification(&one.verification),
                SyslogCarrier::Tcp | SyslogCarrier::Udp => "nobody: there is no TLS".to_owned(),
            })
        }
        Receiver::Mail => {
            let one = notices.mail.as_ref()?;
            Some(match one.security {
                MailSecurity::StartTls | MailSecurity::Tls => verification(&one.verification),
                MailSecurity::Plain => "nobody: there is no TLS".to_owned(),
            })
        }
    }
}

fn verification(by: &Verification) -> String {
    let mut all = Vec::new();
    if by.built_in {
        all.push("the roots that browsers trust".to_owned());
    }
    if !by.uploaded.is_empty() {
        all.push(certificates(&by.uploaded));
    }
    if let Some(pin) = &by.key_pin {
        all.push(format!("the key with the SHA-256 {}", Hash(*pin)));
    }
    if let Some(pin) = &by.certificate_pin {
        all.push(format!("the certificate with the SHA-256 {}", Hash(*pin)));
    }
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

fn certificates(all: &[Vec<u8>]) -> String {
    format!("uploaded certificates, {} in all ({})", all.len(), digest(all.iter().map(Vec::as_slice)))
}

/// SHA-256 of texts of any length, each with its length before it, so that no two lists have the same.
fn digest<'a>(all: impl Iterator<Item = &'a [u8]>) -> String {
    let mut bytes = Vec::new();
    for one in all {
        bytes.extend(u64::try_from(one.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(one);
    }
    format!("SHA-256 {}", Hash::of(&bytes))
}
