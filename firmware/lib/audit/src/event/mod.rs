//! The one schema of events: what can happen, to whom it is put down, and how a line of the log is written and read; it never
//! holds a secret.

mod code;
mod summary;
mod time;
mod what;

pub use code::Code;
pub use time::{BootId, Clock, Stamp, parse_utc};
pub use what::{
    Change, Denial, Direction, Gap, Health, KeyChange, Level, Outcome, Part, Power, Proof, Rotation,
    Severity, What,
};

use drawbridge_chain::{Text, Utc};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use time::rfc3339;

#[cfg(test)]
pub(crate) mod tests;

/// A name: one printable line of 1 to 128 bytes. Text from outside becomes one by [`Text::of`].
pub type Name = Text<128>;
/// A longer text: one printable line of 1 to 512 bytes.
pub type Long = Text<512>;

/// The longest line of an event, in bytes, without its end.
pub const LINE_BYTES: usize = 8 << 10;

/// To what sort of person it is put down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhoKind {
    /// The customer's administrator.
    Owner,
    /// The vendor's support engineer.
    Engineer,
    /// The vendor, by what it has signed.
    Vendor,
    /// The appliance itself.
    Device,
    /// Somebody at the machine.
    Technician,
}

impl WhoKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Engineer => "engineer",
            Self::Vendor => "vendor",
            Self::Device => "device",
            Self::Technician => "technician",
        }
    }
}

/// Whom it is put down to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// What sort of person.
    pub kind: WhoKind,
    /// By which name. It is what was claimed where nothing was proved.
    pub name: Name,
}

impl Who {
    /// Somebody, by any text.
    pub fn new(kind: WhoKind, name: &str) -> Self {
        Self { kind, name: Name::of(name) }
    }

    /// The appliance itself.
    pub fn device() -> Self {
        Self::new(WhoKind::Device, "appliance")
    }
}

/// An event as somebody tells it to the log. Between roles it is JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What has happened.
    pub what: What,
    /// Whom it is put down to.
    pub who: Who,
    /// From where he came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// At which endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Name>,
    /// Through which gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Name>,
    /// Under which grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<u64>,
    /// After how long, in milliseconds of the monotonic clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted_ms: Option<u64>,
}

impl Draft {
    /// An event of which no more is known.
    pub fn new(what: What, who: Who) -> Self {
        Self { what, who, from: None, endpoint: None, gateway: None, grant: None, lasted_ms: None }
    }

    /// Reads what [`Draft::encode`] has written. It is bounded as an event's line is.
    pub fn parse(text: &str) -> Result<Self, LineFault> {
        if text.len() > LINE_BYTES {
            return Err(LineFault::Long);
        }
        serde_json::from_str(text).map_err(|_| LineFault::Unknown)
    }

    /// It as JSON in one line.
    pub fn encode(&self) -> String {
        // Nothing in it can fail to become JSON: there are no maps and no numbers but integers.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// An event of the log. Its line is JSON, and has one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the log, from 1, without a gap.
    pub sequence: u64,
    /// When it was written down, by the time of day.
    #[serde(with = "rfc3339")]
    pub time: Utc,
    /// What is known of the clock that told it.
    pub clock: Clock,
    /// In which run of the machine's.
    pub boot: BootId,
    /// Milliseconds since that run began.
    pub monotonic_ms: u64,
    /// How bad it is.
    pub severity: Severity,
    /// What has happened, with its code.
    pub what: What,
    /// Whom it is put down to.
    pub who: Who,
    /// From where he came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// At which endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Name>,
    /// Through which gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Name>,
    /// Under which grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<u64>,
    /// After how long, in milliseconds of the monotonic clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted_ms: Option<u64>,
}

/// Why bytes are no line of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Longer than [`LINE_BYTES`].
    #[error("the line is longer than {LINE_BYTES} bytes")]
    Long,
    /// It is no event, or not of this version.
    #[error("the line is no event that this software knows")]
    Unknown,
    /// It says the same in another spelling.
    #[error("the line is not written as this software writes it")]
    Spelling,
}

impl Event {
    /// What somebody has told, as the log writes it down.
    pub fn new(sequence: u64, at: Stamp, draft: Draft) -> Self {
        Self {
            sequence,
            time: at.time,
            clock: at.clock,
            boot: at.boot,
            monotonic_ms: at.monotonic_ms,
            severity: draft.what.severity(),
            what: draft.what,
            who: draft.who,
            from: draft.from,
            endpoint: draft.endpoint,
            gateway: draft.gateway,
            grant: draft.grant,
            lasted_ms: draft.lasted_ms,
        }
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.what.code()
    }

    /// Reads a line without its end. It is exactly what [`Event::encode`] would make of it.
    pub fn parse(line: &[u8]) -> Result<Self, LineFault> {
        if line.len() > LINE_BYTES {
            return Err(LineFault::Long);
        }
        let event: Self = serde_json::from_slice(line).map_err(|_| LineFault::Unknown)?;
        if event.encode() == line { Ok(event) } else { Err(LineFault::Spelling) }
    }

    /// The line's bytes, without its end.
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in it can fail to become JSON: there are no maps and no numbers but integers.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
