//! Settings from a person's or a program's JSON: bounded, and every error names its field. It never reads a file.

use super::{JSON_BYTES_MOST, NetworkSettings};
use crate::fault::{FieldError, printable};
use serde::de::DeserializeOwned;

/// What is right for a largest packet.
pub(super) const MTU_RIGHT: &str = "a whole number from 576 to 9216, as 1500";
/// What is right for a choice that has fields.
const CHOICE_RIGHT: &str = "an object with its fields, as {\"dhcp\": {}}";
/// What is right for a VLAN's number.
pub(super) const VLAN_RIGHT: &str = "a whole number from 1 to 4094";

impl NetworkSettings {
    /// Settings from JSON, at most [`JSON_BYTES_MOST`], with all their rules checked. A value of a wrong type is named
    /// alone, since nothing can be said about the rest; broken rules are named all at once.
    pub fn parse_json(bytes: &[u8]) -> Result<Self, Vec<FieldError>> {
        if bytes.len() > JSON_BYTES_MOST {
            return Err(vec![FieldError::new(
                "(all)",
                format!("the settings are {} bytes long", bytes.len()),
                format!("at most {JSON_BYTES_MOST} bytes"),
            )]);
        }
        let settings: Self = from_json(bytes).map_err(|error| vec![error])?;
        settings.check()?;
        Ok(settings)
    }
}

/// A value from JSON, with the field named that is of a wrong type.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FieldError> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut source).map_err(|error| field_error(&error))?;
    source.end().map_err(|error| {
        FieldError::new("(all)", sentence(&error).0, "one JSON object and nothing after it")
    })?;
    Ok(value)
}

/// A value from parsed JSON, with the field named that is of a wrong type.
pub(crate) fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| field_error(&error))
}

fn field_error(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let path = error.path().to_string();
    let field = if path == "." { "(all)" } else { path.as_str() };
    let inner = error.inner();
    let (wrong, mut right) = sentence(inner);
    // Serde knows the type that a number comes in, and not its range.
    match field.rsplit('.').next() {
        Some("mtu") => MTU_RIGHT.clone_into(&mut right),
        Some("id") => VLAN_RIGHT.clone_into(&mut right),
        _ => {}
    }
    if inner.is_syntax() || inner.is_eof() {
        let wrong = format!("{wrong} (line {}, column {})", inner.line(), inner.column());
        return FieldError::new(field, wrong, "JSON, as the appliance itself writes it");
    }
    FieldError::new(field, wrong, right)
}

/// What serde says, as what is wrong and what would be right.
fn sentence(error: &serde_json::Error) -> (String, String) {
    let text = error.to_string();
    // The place in the text follows; the field is said already.
    let text = match text.rfind(" at line ") {
        Some(end) => &text[..end],
        None => &text,
    };
    // Our own types say both.
    if let Some((wrong, right)) = text.rsplit_once("; ") {
        return (wrong.to_owned(), right.to_owned());
    }
    for (said, wrong, right) in [
        ("invalid IPv4 address syntax", "this is no IPv4 address", "an IPv4 address as 192.0.2.10"),
        ("invalid IPv6 address syntax", "this is no IPv6 address", "an IPv6 address as 2001:db8::10"),
        ("invalid IP address syntax", "this is no address", "an address as 192.0.2.10 or 2001:db8::10"),
    ] {
        if text.starts_with(said) {
            return (wrong.to_owned(), right.to_owned());
        }
    }
    // A choice without fields of its own, where the choice has some.
    if text.starts_with("invalid type: unit variant") {
        return ("this choice stands alone".to_owned(), CHOICE_RIGHT.to_owned());
    }
    if let Some((wrong, expected)) = text.rsplit_once(", expected ") {
        return (printable(wrong, 160), in_words(expected));
    }
    if let Some(field) = text.strip_prefix("missing field ") {
        return (format!("the field {field} is missing"), format!("with the field {field}"));
    }
    (printable(text, 160), "as the appliance itself writes it".to_owned())
}

/// A type of Rust, as serde names it, in words.
fn in_words(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text in quotes".to_owned(),
        "a sequence" => "a list in square brackets".to_owned(),
        "unit" | "unit variant" => "the word alone in quotes".to_owned(),
        "a map" | "map" => "an object in curly brackets".to_owned(),
        object if object.starts_with("struct ") => "an object in curly brackets".to_owned(),
        other => printable(other, 200),
    }
}
