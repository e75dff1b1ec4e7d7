//! One mail about one event or many, made of texts that cannot end a header; it is sent by nobody here.

use super::Mailbox;
use crate::entry::Kept;
use drawbridge_chain::Text;
use lettre::Message;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use std::fmt::Write as _;

/// A subject is cut here, in characters.
const SUBJECT: usize = 160;
/// An event's sentence is cut here, in characters, where there are several in one mail.
const SENTENCE: usize = 400;

/// `Auto-Submitted` (RFC 3834, section 5), so that nobody's absence answers.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Who writes of what.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// Whom it is from.
    pub from: Mailbox,
    /// The system's name.
    pub system: Text<64>,
    /// The system's serial number.
    pub serial: Text<64>,
    /// The name that the appliance has in mail: the domain of the messages' identifiers and what it says to the server.
    pub host: HostName,
}

/// A host's name in mail: letters, digits, hyphens and dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// Of any text: what may not stand in one is left out, and where nothing is left it is `drawbridge.invalid`.
    pub fn of(text: &str) -> Self {
        let allowed = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.');
        let name: String = text.chars().filter(allowed).take(200).collect();
        let name = name.trim_matches(['-', '.']).to_owned();
        Self(if name.is_empty() || name.contains("..") { "drawbridge.invalid".to_owned() } else { name })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['\u{2026}']).collect()
}

/// A subject and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// Lines.
    pub text: String,
    /// What makes the mail's identifier, so that a mail that comes twice is known.
    pub id: String,
}

impl Letter {
    /// About events; none where there are none.
    pub fn about(head: &Letterhead, events: &[Kept]) -> Option<Self> {
        let (first, last) = (events.first()?, events.last()?);
        let worst = events.iter().rev().max_by_key(|kept| kept.entry.severity())?;
        let level = |kept: &Kept| format!("{:?}", kept.entry.severity()).to_uppercase();
        let what = if events.len() == 1 {
            format!("{}: {}", level(worst), worst.entry.summary())
        } else {
            format!("{} events, the worst {}: {}", events.len(), level(worst), worst.entry.summary())
        };
        let subject = cut(&format!("[{}] {what}", head.system), SUBJECT);
        let mut text = format!("System {}, serial number {}.\r\n\r\n", head.system, head.serial);
        for kept in events {
            let sentence = kept.entry.summary();
            let sentence = if events.len() == 1 { sentence.into_owned() } else { cut(&sentence, SENTENCE) };
            let _ = write!(
                text,
                "{} {} {} (event {})\r\n    {sentence}\r\n\r\n",
                kept.entry.time(),
                level(kept),
                kept.entry.code(),
                kept.sequence()
            );
        }
        let _ = write!(
            text,
            "The appliance's audit has the events {} to {}; the last one's SHA-256 is {}. This mail is not signed: look at the \
             audit before you act on it.\r\n",
            first.sequence(),
            last.sequence(),
            last.hash()
        );
        let hash: String = last.hash().to_string().chars().take(16).collect();
        let id = format!("audit.{}-{}.{hash}", first.sequence(), last.sequence());
        Some(Self { subject, text, id })
    }

    /// A trial, which `chance` tells from others.
    pub fn trial(head: &Letterhead, chance: u64) -> Self {
        Self {
            subject: cut(&format!("[{}] Test of the appliance's notifications", head.system), SUBJECT),
            text: format!(
                "System {}, serial number {}.\r\n\r\nSomebody has tried whether notifications reach this address. They do, and \
                 nothing is to be done.\r\n",
                head.system, head.serial
            ),
            id: format!("test.{chance:016x}"),
        }
    }

    /// The bytes to be sent to these; why not, as a part of a sentence.
    pub fn bytes(&self, head: &Letterhead, to: &[Mailbox]) -> Result<Vec<u8>, String> {
        let printable = |text: &str| {
            text.chars().map(|char| if char.is_control() { '?' } else { char }).collect::<String>()
        };
        let mut builder = Message::builder()
            .from(head.from.inner().clone())
            .subject(printable(&self.subject))
            .message_id(Some(format!("<{}@{}>", self.id, head.host.as_str())))
            .date_now()
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN);
        for one in to {
            builder = builder.to(one.inner().clone());
        }
        builder.body(self.text.clone()).map(|message| message.formatted()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::stamp;
    use crate::event::{Draft, Event, Name, What, Who, WhoKind};

    fn head() -> Letterhead {
        Letterhead {
            from: Mailbox::parse("sa@box1.example").unwrap(),
            system: Text::of("box1"),
            serial: Text::of("1001"),
            host: HostName::of("box1-sa.example"),
        }
    }

    fn event(number: u64, name: &str) -> Kept {
        let what =
            What::RecordingFailed { recording: Name::of(name), why: "full".to_owned().try_into().unwrap() };
        Event::new(number, stamp(number), Draft::new(what, Who::new(WhoKind::Owner, name))).into()
    }

    #[test]
    fn no_text_ends_a_header_or_adds_one() {
        for evil in [
            "x\r\nBcc: eve@evil.example",
            "x\n\nDear Sir",
            "\u{2028}Bcc: e@e.example",
            "=?utf-8?q?=0d=0aBcc:_e?=",
        ] {
            let letter = Letter::about(&head(), &[event(1, evil)]).unwrap();
            let bytes = letter.bytes(&head(), &[Mailbox::parse("anna@example.com").unwrap()]).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let (headers, body) = text.split_once("\r\n\r\n").unwrap();
            let names: Vec<_> = headers
                .split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split_once(':').unwrap().0)
                .collect();
            assert_eq!(
                names,
                [
                    "From",
                    "Subject",
                    "Message-ID",
                    "Date",
                    "Auto-Submitted",
                    "Content-Type",
                    "To",
                    "Content-Transfer-Encoding"
                ],
                "{headers}"
            );
            assert!(headers.is_ascii() && !body.is_empty());
        }
    }

    #[test]
    fn many_events_are_one_mail_whose_subject_names_the_worst() {
        let paused: Kept = Event::new(
            2,
            stamp(2),
            Draft::new(What::Paused { session: Name::of("one") }, Who::new(WhoKind::Owner, "anna")),
        )
        .into();
        let letter = Letter::about(&head(), &[event(1, "first"), paused, event(3, "second")]).unwrap();
        assert!(
            letter.subject.starts_with("[box1] 3 events, the worst ERROR: The recording first has failed")
        );
        for part in ["event 1)", "event 2)", "event 3)", "events 1 to 3", "serial number 1001"] {
            assert!(letter.text.contains(part), "{}", letter.text);
        }
        assert!(letter.id.starts_with("audit.1-3."));
        assert_eq!(Letter::about(&head(), &[]), None);
        assert!(cut(&"x".repeat(500), SUBJECT).chars().count() == SUBJECT);
    }

    #[test]
    fn a_host_s_name_is_one_whatever_it_was() {
        assert_eq!(HostName::of("box 1\r\n.example>").as_str(), "box1.example");
        assert_eq!(HostName::of("\u{e4}.").as_str(), "drawbridge.invalid");
        assert_eq!(HostName::of("a..b").as_str(), "drawbridge.invalid");
    }
}
