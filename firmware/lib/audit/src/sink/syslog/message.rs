//! One event as a message of syslog (RFC 5424), of bounded size; it opens no socket. No control character stands in it, and no
//! text of anybody's can end a field.

use crate::entry::Kept;
use crate::event::Severity;
use std::fmt::Write as _;

/// The byte order mark that says that the message is UTF-8 (RFC 5424, section 6.4).
pub const BOM: &str = "\u{feff}";
/// The longest message over TCP and TLS, in bytes: what a receiver should take (RFC 5425, section 4.3.1).
pub const STREAM_BYTES: usize = 8192;
/// The longest message over UDP, in bytes: what a receiver should take (RFC 5426, section 3.2).
pub const DATAGRAM_BYTES: usize = 2048;
/// The enterprise number that RFC 5612 keeps for documents, for whoever has none of his own.
pub const ENTERPRISE: u32 = 32_473;

/// A facility (RFC 5424, section 6.2.1): 0 to 23.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// "log audit".
    pub const AUDIT: Self = Self(13);

    /// One of 0 to 23.
    pub fn new(number: u8) -> Option<Self> {
        (number < 24).then_some(Self(number))
    }

    /// Reads a number of 0 to 23 or a name as `syslog.conf` has it.
    pub fn parse(text: &str) -> Option<Self> {
        const NAMES: [&str; 24] = [
            "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
            "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
            "local5", "local6", "local7",
        ];
        let by_name = NAMES.iter().position(|name| *name == text).and_then(|at| u8::try_from(at).ok());
        Self::new(by_name.or_else(|| text.parse().ok())?)
    }

    /// The number.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// What every message of one appliance has in common.
#[derive(Clone, Debug)]
pub struct Header {
    /// The facility.
    pub facility: Facility,
    /// The appliance's name or address; what is no printable ASCII in it is left out.
    pub host: String,
    /// The vendor's enterprise number (RFC 5424, section 7.2.2).
    pub enterprise: u32,
    /// The version of the firmware.
    pub version: String,
    /// The system's serial number.
    pub serial: String,
}

/// The severity of syslog (RFC 5424, section 6.2.1).
pub fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 2,
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Notice => 5,
        Severity::Info => 6,
    }
}

/// A field of the header: printable ASCII of at most so many bytes, or `-`.
fn field(text: &str, most: usize) -> String {
    let field: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}

/// A parameter: what could end it is escaped (RFC 5424, section 6.3.3), and a control character is none.
fn parameter(to: &mut String, name: &str, value: &str) {
    let _ = write!(to, " {name}=\"");
    for char in value.chars() {
        match char {
            '"' | '\\' | ']' => {
                to.push('\\');
                to.push(char);
            }
            char if char.is_control() => to.push('?'),
            char => to.push(char),
        }
    }
    to.push('"');
}

/// The message of an event, of at most `most` bytes; of what is too long the sentence is cut, and beyond it the parameters that
/// the sentence says as well. `most` is at least [`DATAGRAM_BYTES`].
pub fn message(header: &Header, kept: &Kept, most: usize) -> String {
    let entry = &kept.entry;
    let priority = u16::from(header.facility.0) * 8 + u16::from(severity(entry.severity()));
    let mut text = format!(
        "<{priority}>1 {} {} drawbridge - {} ",
        entry.time(),
        field(&header.host, 255),
        field(entry.code(), 32)
    );
    let event = entry.event();
    let is_synced = event.is_some_and(|event| event.clock.is_synced());
    let _ = write!(text, "[timeQuality tzKnown=\"1\" isSynced=\"{}\"]", u8::from(is_synced));
    text.push_str("[origin software=\"drawbridge\"");
    parameter(&mut text, "swVersion", &field(&header.version, 32));
    // A number of 1 to 2147483647 that begins again (RFC 5424, section 7.3.1).
    let _ = write!(text, "][meta sequenceId=\"{}\"]", entry.sequence().saturating_sub(1) % 2_147_483_647 + 1);
    let _ = write!(text, "[audit@{}", header.enterprise);
    parameter(&mut text, "serial", &field(&header.serial, 64));
    parameter(&mut text, "sequence", &entry.sequence().to_string());
    parameter(&mut text, "sha256", &kept.hash().to_string());
    if let Some(event) = event {
        parameter(&mut text, "clock", event.clock.as_str());
        parameter(&mut text, "boot", &event.boot.to_string());
        parameter(&mut text, "monotonicMs", &event.monotonic_ms.to_string());
        parameter(&mut text, "whoKind", event.who.kind.as_str());
        let mut more = String::new();
        parameter(&mut more, "who", event.who.name.as_str());
        if let Some(from) = event.from {
            parameter(&mut more, "from", &from.to_string());
        }
        if let Some(grant) = event.grant {
            parameter(&mut more, "grant", &grant.to_string());
        }
        if let Some(millis) = event.lasted_ms {
            parameter(&mut more, "lastedMs", &millis.to_string());
        }
        for (name, value) in [("endpoint", &event.endpoint), ("gateway", &event.gateway)] {
            if let Some(value) = value {
                parameter(&mut more, name, value.as_str());
            }
        }
        if text.len() + more.len() + 64 <= most {
            text.push_str(&more);
        }
    }
    text.push_str("] ");
    text.push_str(BOM);
    let summary = entry.summary();
    let is_long = text.len() + summary.len() > most;
    let room = most.saturating_sub(text.len() + if is_long { "\u{2026}".len() } else { 0 });
    for char in summary.chars().map(|char| if char.is_control() { '?' } else { char }) {
        if is_long && text.len() + char.len_utf8() + "\u{2026}".len() > most || room == 0 {
            break;
        }
        text.push(char);
    }
    if is_long {
        text.push('\u{2026}');
    }
    text
}

/// The message counted, as TCP and TLS want it (RFC 6587, section 3.4.1; RFC 5425, section 4.3).
pub fn frame(message: &str) -> Vec<u8> {
    let mut frame = format!("{} ", message.len()).into_bytes();
    frame.extend_from_slice(message.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::{one_of_each, stamp};
    use crate::event::{Draft, Event, Name, What, Who, WhoKind};

    pub(crate) fn header() -> Header {
        Header {
            facility: Facility::AUDIT,
            host: "box1-sa.example".to_owned(),
            enterprise: ENTERPRISE,
            version: "1.2.3".to_owned(),
            serial: "1001".to_owned(),
        }
    }

    #[test]
    fn a_message_is_as_the_standard_has_it() {
        let mut draft =
            Draft::new(What::Paused { session: Name::of("spring") }, Who::new(WhoKind::Owner, "an\"na]\\"));
        draft.from = Some("192.0.2.7".parse().unwrap());
        let kept: Kept = Event::new(7, stamp(1), draft).into();
        let hash = kept.hash();
        assert_eq!(
            message(&header(), &kept, DATAGRAM_BYTES),
            format!(
                concat!(
                    "<110>1 2026-01-01T00:00:00.001Z box1-sa.example drawbridge - PAUSED ",
                    "[timeQuality tzKnown=\"1\" isSynced=\"1\"][origin software=\"drawbridge\" swVersion=\"1.2.3\"]",
                    "[meta sequenceId=\"7\"][audit@32473 serial=\"1001\" sequence=\"7\" sha256=\"{}\" clock=\"ntp\" ",
                    "boot=\"00000000000000000000000000c0ffee\" monotonicMs=\"1\" whoKind=\"owner\" ",
                    "who=\"an\\\"na\\]\\\\\" from=\"192.0.2.7\"] ",
                    "\u{feff}Session 'spring' was paused by owner an\"na]\\, from 192.0.2.7."
                ),
                hash
            )
        );
        let framed = frame("\u{e4}bc");
        assert_eq!(framed, "4 \u{e4}bc".as_bytes());
    }

    #[test]
    fn the_longest_event_fits_both_bounds_and_is_cut_at_a_character() {
        let (name, long, line) = (
            Name::new("]".repeat(128)).unwrap(),
            "\u{e4}".repeat(256).try_into().unwrap(),
            "\u{1f40e}".repeat(256).try_into().unwrap(),
        );
        let worst =
            Header { host: "h".repeat(300), version: "v".repeat(99), serial: "s".repeat(99), ..header() };
        for what in one_of_each(&name, &long, &line) {
            let draft = Draft {
                who: Who { kind: WhoKind::Technician, name: name.clone() },
                from: Some("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()),
                endpoint: Some(name.clone()),
                gateway: Some(name.clone()),
                grant: Some(u64::MAX),
                lasted_ms: Some(u64::MAX),
                ..Draft::new(what, Who::device())
            };
            let kept: Kept = Event::new(u64::MAX, stamp(1), draft).into();
            for most in [DATAGRAM_BYTES, STREAM_BYTES] {
                let text = message(&worst, &kept, most);
                assert!(text.len() <= most, "{} {}", kept.entry.code(), text.len());
                assert_eq!(text.matches(BOM).count(), 1);
                let sentence = text.split_once(BOM).unwrap().1;
                let is_cut = sentence.ends_with('\u{2026}');
                assert!(is_cut || sentence == kept.entry.summary(), "{sentence}");
                assert!(sentence.chars().count() > 100 || !is_cut, "{sentence}");
            }
        }
    }

    #[test]
    fn facilities_are_read_by_name_and_number() {
        assert_eq!(Facility::parse("local0"), Facility::new(16));
        assert_eq!(Facility::parse("13"), Some(Facility::AUDIT));
        for wrong in ["24", "-1", "local8", "", "LOCAL0"] {
            assert_eq!(Facility::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Facility::AUDIT.number(), 13);
    }
}
