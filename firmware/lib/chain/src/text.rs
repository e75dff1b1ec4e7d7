//! The texts in a chain's lines: bounded, printable, and, for a track's name, no path; nothing is mended in them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is none for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// Too long.
    #[error("it is longer than {0} bytes")]
    Long(usize),
    /// There are characters that are not seen, or that turn the direction of writing.
    #[error("it has characters that cannot be printed")]
    Unprintable,
    /// No name of a track.
    #[error(
        "a track's name has 1 to 64 of a to z, 0 to 9, '-' and '.', and does not begin or end with '.' or '-'"
    )]
    Name,
}

/// One printable line of 1 to `MOST` bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MOST: usize>(String);

impl<const MOST: usize> Text<MOST> {
    /// Takes a text as it is, or says why not.
    pub fn new(text: impl Into<String>) -> Result<Self, TextFault> {
        let text = text.into();
        if text.is_empty() {
            return Err(TextFault::Empty);
        }
        if text.len() > MOST {
            return Err(TextFault::Long(MOST));
        }
        if text.chars().any(is_hidden) { Err(TextFault::Unprintable) } else { Ok(Self(text)) }
    }

    /// Makes one of any text: what is not printable becomes `?`, what is too much is cut off, and nothing becomes `-`.
    pub fn of(text: &str) -> Self {
        let mut line = String::new();
        for char in text.chars().map(|char| if is_hidden(char) { '?' } else { char }) {
            if line.len() + char.len_utf8() > MOST {
                break;
            }
            line.push(char);
        }
        if line.is_empty() {
            line.push('-');
        }
        Self(line)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether it is a control character, or one of those that reorder or hide what stands around them (Unicode TR 36, section 3.6).
pub fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl<const MOST: usize> TryFrom<String> for Text<MOST> {
    type Error = TextFault;

    fn try_from(text: String) -> Result<Self, TextFault> {
        Self::new(text)
    }
}

impl<const MOST: usize> From<Text<MOST>> for String {
    fn from(text: Text<MOST>) -> Self {
        text.0
    }
}

impl<const MOST: usize> fmt::Display for Text<MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a file beside the chain, such as `terminal-1.ttyrec`. It is never a path, nor hidden.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrackName(String);

impl TrackName {
    /// The longest, in bytes.
    pub const MOST: usize = 64;

    /// Takes a name as it is, or says why not.
    pub fn new(name: impl Into<String>) -> Result<Self, TextFault> {
        let name = name.into();
        let is_end =
            |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let is_name = name.len() <= Self::MOST
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            })
            && is_end(name.bytes().next())
            && is_end(name.bytes().last())
            && !name.contains("..")
            && name != crate::FILE;
        if is_name { Ok(Self(name)) } else { Err(TextFault::Name) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TrackName {
    type Error = TextFault;

    fn try_from(name: String) -> Result<Self, TextFault> {
        Self::new(name)
    }
}

impl From<TrackName> for String {
    fn from(name: TrackName) -> Self {
        name.0
    }
}

impl fmt::Display for TrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_never_a_path_nor_the_chain() {
        for name in ["events.jsonl", "terminal-12.ttyrec", "a", &"x".repeat(64)] {
            assert!(TrackName::new(name).is_ok(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".a",
            "a.",
            "a/b",
            "/a",
            "a..b",
            "A",
            "a b",
            "a\0",
            "é",
            crate::FILE,
            &"x".repeat(65),
        ] {
            assert_eq!(TrackName::new(name), Err(TextFault::Name), "{name}");
        }
    }

    #[test]
    fn a_text_is_bounded_and_printable() {
        assert_eq!(Text::<3>::new(""), Err(TextFault::Empty));
        assert_eq!(Text::<3>::new("abcd"), Err(TextFault::Long(3)));
        assert_eq!(Text::<9>::new("a\u{1b}b"), Err(TextFault::Unprintable));
        assert_eq!(Text::<5>::of("\u{e4}\u{e4}\u{e4}\n").as_str(), "\u{e4}\u{e4}");
        assert_eq!(Text::<5>::of("").as_str(), "-");
        assert_eq!(Text::<5>::of("a\rb").as_str(), "a?b");
    }
}
