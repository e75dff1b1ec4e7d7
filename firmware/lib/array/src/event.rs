//! The array's own event log: what is posted to it, and what stands in it, as types with bounds; it sends nothing.

use crate::answer::printable;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest event, in bytes of JSON: the array takes 100 kB.
pub const EVENT_BYTES: usize = 100_000;
/// The most data of an event that is read.
const DATA: usize = 64;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// To be known.
    Info,
    /// To be looked at.
    Warning,
    /// Something has failed.
    Error,
    /// Somebody has to act.
    Critical,
}

/// Who sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Visibility {
    /// The customer, and the vendor.
    Customer,
    /// The vendor only.
    Infinidat,
}

/// A value with a name. `{name}` in a description stands for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Datum {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
}

impl Datum {
    /// A text.
    pub fn text(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), kind: "string", value: value.into() }
    }
}

/// An event for the array's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CustomEvent {
    /// What belongs to it.
    pub data: Vec<Datum>,
    /// How bad it is.
    pub level: Level,
    /// What is read, with names of data in braces.
    pub description_template: String,
    /// Who sees it.
    pub visibility: Visibility,
}

/// The event is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event has {0} bytes, and the array takes at most {EVENT_BYTES}: say less in it")]
pub struct TooLong(pub usize);

impl CustomEvent {
    pub(crate) fn body(&self) -> Result<Vec<u8>, TooLong> {
        // Texts cannot fail to become JSON.
        let body = serde_json::to_vec(self).unwrap_or_default();
        if body.len() > EVENT_BYTES { Err(TooLong(body.len())) } else { Ok(body) }
    }
}

/// An event as it stands in the array's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its number at the array.
    pub id: u64,
    /// Its data that are texts, at most 64, each cut at 256 characters.
    pub data: Vec<(String, String)>,
}

impl LoggedEvent {
    /// A datum by its name.
    pub fn datum(&self, name: &str) -> Option<&str> {
        self.data.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }
}

/// As the array tells it: what else is in it is not looked at.
#[derive(Deserialize)]
pub(crate) struct Told {
    id: u64,
    #[serde(default)]
    data: Value,
}

impl From<Told> for LoggedEvent {
    fn from(told: Told) -> Self {
        let items = told.data.as_array().map(Vec::as_slice).unwrap_or_default();
        let data = items.iter().take(DATA).filter_map(|item| {
            let text = |name: &str| item.get(name)?.as_str().map(printable);
            Some((text("name")?, text("value")?))
        });
        Self { id: told.id, data: data.collect() }
    }
}
