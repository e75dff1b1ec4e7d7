//! A bounded, printable line of text; it never holds a control character, whoever sent it.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Why a text is no [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Too many bytes.
    #[error("this is longer than {0} bytes")]
    Long(usize),
    /// A control character, a line end among them.
    #[error("this has a control character in it")]
    Control,
}

/// One line of at most `N` bytes of UTF-8 without control characters, nor those that turn the direction of writing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Line<const N: usize>(String);

impl<const N: usize> Line<N> {
    /// Takes a text that is one.
    pub fn new(text: impl Into<String>) -> Result<Self, LineError> {
        let text = text.into();
        if text.len() > N {
            return Err(LineError::Long(N));
        }
        if text.chars().any(is_unprintable) { Err(LineError::Control) } else { Ok(Self(text)) }
    }

    /// Makes one of any text: what is not printable becomes `?`, what is too much is cut off.
    pub fn of(text: &str) -> Self {
        let mut line = String::new();
        for char in text.chars().map(|char| if is_unprintable(char) { '?' } else { char }) {
            if line.len() + char.len_utf8() > N {
                break;
            }
            line.push(char);
        }
        Self(line)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, and those that reorder or hide what stands around them (Unicode TR 36, section 3.6).
fn is_unprintable(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl<const N: usize> fmt::Display for Line<N> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Line<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bounded_and_printable_also_when_it_is_read() {
        assert_eq!(Line::<3>::new("abcd"), Err(LineError::Long(3)));
        assert_eq!(Line::<9>::new("a\nb"), Err(LineError::Control));
        assert_eq!(Line::<9>::new("a\u{202e}b"), Err(LineError::Control));
        let bytes = postcard::to_stdvec("a\u{1b}[2J").unwrap();
        assert!(postcard::from_bytes::<Line<64>>(&bytes).is_err());
        assert_eq!(Line::<5>::of("\u{e4}\u{e4}\u{e4}\n").as_str(), "\u{e4}\u{e4}");
        assert_eq!(Line::<9>::of("a\rb").as_str(), "a?b");
    }
}
