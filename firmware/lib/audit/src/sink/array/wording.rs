//! How an event reads in the array's log, in either of the two styles of the vendor's guides; it posts nothing.

use crate::entry::Kept;
use crate::event::{Severity, What};
use drawbridge_array::{CustomEvent, Datum, Level, Visibility};
use drawbridge_chain::Text;
use serde::{Deserialize, Serialize};

/// By what the appliance knows its own events again.
pub(super) const SOURCE: &str = "drawbridge";
/// A description is cut here, in characters.
const DESCRIPTION: usize = 1000;

/// How the four events of a support session read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// `CUSTOM_INFO_EVENT`, with the descriptions of the older guide.
    #[default]
    Custom,
    /// The codes of the newer one, such as `SUPPORT_SESSION_STARTED`. An array gives custom events a code of its own: these
    /// stand in the datum `code`.
    Codes,
}

/// How events read.
#[derive(Clone, Debug)]
pub struct Wording {
    /// The style.
    pub style: Style,
    /// The vendor, as in "Infinidat support connected to the system".
    pub vendor: Text<64>,
    /// The system's serial number, by which the appliance knows its own events again.
    pub serial: Text<64>,
    /// Who sees them.
    pub visibility: Visibility,
}

/// A text in which the array finds no name of a datum.
fn literal(text: &str) -> String {
    let cut = text.chars().take(DESCRIPTION);
    cut.map(|char| match char {
        '{' => '(',
        '}' => ')',
        char if char.is_control() => '?',
        char => char,
    })
    .collect()
}

fn level(severity: Severity) -> Level {
    match severity {
        Severity::Info | Severity::Notice => Level::Info,
        Severity::Warning => Level::Warning,
        Severity::Error => Level::Error,
        Severity::Critical => Level::Critical,
    }
}

impl Wording {
    /// The event for the array's log.
    pub fn event(&self, kept: &Kept) -> CustomEvent {
        let entry = &kept.entry;
        let mut data = vec![
            Datum::text("source", SOURCE),
            Datum::text("serial", literal(self.serial.as_str())),
            Datum::text("sequence", entry.sequence().to_string()),
            Datum::text("sha256", kept.hash().to_string()),
            Datum::text("time", entry.time().to_string()),
            Datum::text("audit_code", literal(entry.code())),
        ];
        let special = entry.event().and_then(|event| self.special(&event.what, &mut data));
        let (description_template, level) = match special {
            Some(template) => {
                data.push(Datum::text("summary", literal(&entry.summary())));
                (template, Level::Info)
            }
            None => (literal(&entry.summary()), level(entry.severity())),
        };
        CustomEvent { data, level, description_template, visibility: self.visibility }
    }

    /// The description of one of the four that the guides have, and what belongs to it.
    fn special(&self, what: &What, data: &mut Vec<Datum>) -> Option<String> {
        let vendor = literal(self.vendor.as_str());
        let (code, custom, other) = match what {
            What::SessionOpened { session, expires, .. } => {
                data.push(Datum::text("session_name", literal(session.as_str())));
                data.push(Datum::text("session_expiry_time", expires.to_string()));
                (
                    "SUPPORT_SESSION_STARTED",
                    "Support session started".to_owned(),
                    "Support session '{session_name}' started, will automatically be closed on {session_expiry_time}"
                        .to_owned(),
                )
            }
            What::EngineerArrived { .. } => {
                let text = format!("{vendor} support connected to the system");
                ("SUPPORT_CONNECTED", text.clone(), text)
            }
            What::EngineerLeft { .. } => {
                let text = format!("{vendor} support disconnected from the system");
                ("SUPPORT_DISCONNECTED", text.clone(), text)
            }
            What::SessionStopped { session } | What::SessionExpired { session } => {
                data.push(Datum::text("session_name", literal(session.as_str())));
                (
                    "SUPPORT_SESSION_ENDED",
                    "Support session ended".to_owned(),
                    "Support session '{session_name}' ended".to_owned(),
                )
            }
            _ => return None,
        };
        match self.style {
            Style::Custom => Some(custom),
            Style::Codes => {
                data.push(Datum::text("code", code));
                Some(other)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::{one_of_each, stamp};
    use crate::event::{Draft, Event, LINE_BYTES, Name, Who};

    #[test]
    fn no_event_is_too_long_for_an_array_and_no_text_names_a_datum() {
        let name = Name::of(&"{sequence}".repeat(12));
        let long = "{sha256}".repeat(64).try_into().unwrap();
        for style in [Style::Custom, Style::Codes] {
            let serial: Text<64> = Text::of("1001");
            let wording =
                Wording { style, vendor: Text::of("{time}"), serial, visibility: Visibility::Customer };
            for what in one_of_each(&name, &long, &"{}".repeat(512).try_into().unwrap()) {
                let kept: Kept = Event::new(1, stamp(1), Draft::new(what, Who::device())).into();
                let event = wording.event(&kept);
                assert!(serde_json::to_vec(&event).unwrap().len() < 2 * LINE_BYTES);
                let rest = event
                    .description_template
                    .replace("{session_name}", "")
                    .replace("{session_expiry_time}", "");
                assert!(!rest.contains(['{', '}']), "{rest}");
            }
        }
    }
}
