//! A line of the log as it is read back: an event, or one of newer software of which the head is known. It never mends one.

use crate::event::{Event, LINE_BYTES, LineFault, Severity};
use drawbridge_chain::{Hash, Text, Utc};
use serde::Deserialize;
use std::borrow::Cow;

/// An event that this software does not know: newer software has written it, and was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its number.
    pub sequence: u64,
    /// When it was written.
    pub time: Utc,
    /// How bad it is, where that can be read.
    pub severity: Severity,
    /// Its code.
    pub code: Text<64>,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An event.
    Event(Box<Event>),
    /// One of newer software.
    Stranger(Stranger),
}

#[derive(Deserialize)]
struct Head {
    sequence: u64,
    time: String,
    #[serde(default)]
    severity: Option<String>,
    what: HeadWhat,
}

#[derive(Deserialize)]
struct HeadWhat {
    code: Text<64>,
}

impl Entry {
    /// Reads a line without its end.
    pub fn parse(line: &[u8]) -> Result<Self, LineFault> {
        match Event::parse(line) {
            Ok(event) => Ok(Self::Event(Box::new(event))),
            Err(LineFault::Unknown) => {
                let head: Head = serde_json::from_slice(line).map_err(|_| LineFault::Unknown)?;
                let time = crate::event::parse_utc(&head.time).ok_or(LineFault::Unknown)?;
                let severity = match head.severity.as_deref() {
                    Some("info") => Severity::Info,
                    Some("warning") => Severity::Warning,
                    Some("error") => Severity::Error,
                    Some("critical") => Severity::Critical,
                    _ => Severity::Notice,
                };
                Ok(Self::Stranger(Stranger { sequence: head.sequence, time, severity, code: head.what.code }))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Its number.
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Event(event) => event.sequence,
            Self::Stranger(stranger) => stranger.sequence,
        }
    }

    /// When it was written.
    pub fn time(&self) -> Utc {
        match self {
            Self::Event(event) => event.time,
            Self::Stranger(stranger) => stranger.time,
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Event(event) => event.severity,
            Self::Stranger(stranger) => stranger.severity,
        }
    }

    /// Its code.
    pub fn code(&self) -> &str {
        match self {
            Self::Event(event) => event.code().as_str(),
            Self::Stranger(stranger) => stranger.code.as_str(),
        }
    }

    /// The event, where it is known.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(event) => Some(event),
            Self::Stranger(_) => None,
        }
    }

    /// It as one English sentence.
    pub fn summary(&self) -> Cow<'static, str> {
        match self {
            Self::Event(event) => event.summary().into(),
            Self::Stranger(stranger) => format!(
                "An event {} of newer firmware, of which this one knows no more: see its line in the exported log.",
                stranger.code
            )
            .into(),
        }
    }
}

/// An entry with its line, as the chain vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it says.
    pub entry: Entry,
    line: Vec<u8>,
}

impl Kept {
    /// Of a line without its end.
    pub fn parse(line: &[u8]) -> Result<Self, LineFault> {
        if line.len() > LINE_BYTES {
            return Err(LineFault::Long);
        }
        Ok(Self { entry: Entry::parse(line)?, line: line.to_owned() })
    }

    /// Its line, without its end.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// The line's hash, by which it is known elsewhere.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.line)
    }

    /// Its number.
    pub fn sequence(&self) -> u64 {
        self.entry.sequence()
    }
}

impl From<Event> for Kept {
    fn from(event: Event) -> Self {
        let line = event.encode();
        Self { entry: Entry::Event(Box::new(event)), line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_newer_software_is_known_by_its_head_and_what_is_none_is_not() {
        let line = concat!(
            r#"{"sequence":7,"time":"2026-01-01T00:00:00.000Z","clock":"quartz","severity":"critical","#,
            r#""what":{"code":"TELEPORTED","to":"moon"},"who":{"kind":"owner","name":"anna"}}"#
        );
        let kept = Kept::parse(line.as_bytes()).unwrap();
        assert_eq!((kept.sequence(), kept.entry.code()), (7, "TELEPORTED"));
        assert_eq!(kept.entry.severity(), Severity::Critical);
        assert!(kept.entry.event().is_none() && kept.entry.summary().contains("TELEPORTED"));
        assert_eq!(kept.hash(), Hash::of(line.as_bytes()));
        for wrong in [
            "",
            "{}",
            "null",
            &line.replace("TELE", "\\u001b"),
            &line.replace('7', "-7"),
            &line.replace("2026", "26"),
        ] {
            assert!(Kept::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
