//! What is wrong with a setting, in words for whoever set it. It never decides what is right.

use serde::{Deserialize, Serialize};

/// The most characters of somebody's text that an error repeats.
const REPEATED_MOST: usize = 64;
/// The longest path of a field in an error: the deepest of ours is below 60 characters; more is a stranger's key.
const FIELD_MOST: usize = 128;

/// A field that is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {wrong}; {right}")]
pub struct FieldError {
    /// Where, as `interfaces[1].ipv4.static.router`.
    pub field: String,
    /// What is wrong there.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl FieldError {
    /// An error at a field. Text from outside belongs into [`quoted`] first.
    pub fn new(field: impl AsRef<str>, wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Self { field: printable(field.as_ref(), FIELD_MOST), wrong: wrong.into(), right: right.into() }
    }
}

/// A single value that is wrong, which does not know yet in which field it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wrong}; {right}")]
pub struct Wrong {
    /// What is wrong with it.
    pub wrong: String,
    /// What would be right. Has no semicolon.
    pub right: String,
}

impl Wrong {
    pub(crate) fn new(wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Self { wrong: wrong.into(), right: right.into() }
    }

    /// The same, at a field.
    pub fn at(self, field: &str) -> FieldError {
        FieldError::new(field, self.wrong, self.right)
    }
}

/// Text from outside, in quotes: one printable line of bounded length.
pub(crate) fn quoted(text: &str) -> String {
    format!("“{}”", printable(text, REPEATED_MOST))
}

/// One printable line of at most `most` characters; what is cut off is marked.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == most {
            line.push('…');
            break;
        }
        // Letters of any script are fine; control characters and the invisible ones that turn text around are not.
        let odd = character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        line.push(if odd { '?' } else { character });
    }
    line
}
