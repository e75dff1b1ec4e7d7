//! Text from outside as one printable line of bounded length; it never mends what is wrong in a value that is signed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One printable line of 1 to `MOST` characters, without blanks at its ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Line<const MOST: usize>(String);

/// Why a text is no [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Nothing is there.
    #[error("it is empty: write something")]
    Empty,
    /// Too long.
    #[error("it is longer than {0} characters: shorten it")]
    Long(usize),
    /// There are characters that are not seen.
    #[error("it has characters that cannot be printed, or begins or ends with a blank: type it anew")]
    Unprintable,
}

impl<const MOST: usize> Line<MOST> {
    /// Takes a text as it is, or says why not.
    pub fn new(text: impl Into<String>) -> Result<Self, LineFault> {
        let text = text.into();
        if text.is_empty() {
            return Err(LineFault::Empty);
        }
        if text.chars().nth(MOST).is_some() {
            return Err(LineFault::Long(MOST));
        }
        if text.trim() != text || text.chars().any(is_hidden) {
            return Err(LineFault::Unprintable);
        }
        Ok(Self(text))
    }

    /// A text of our own, made to fit: what cannot be seen becomes `?`, what is too much goes, and nothing becomes `?`.
    pub fn fitted(text: &str) -> Self {
        let seen = |c: char| if is_hidden(c) { '?' } else { c };
        let cut: String = text.trim().chars().take(MOST).map(seen).collect();
        Self(if cut.trim().is_empty() { "?".to_owned() } else { cut.trim().to_owned() })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MOST: usize> TryFrom<String> for Line<MOST> {
    type Error = LineFault;

    fn try_from(text: String) -> Result<Self, LineFault> {
        Self::new(text)
    }
}

impl<const MOST: usize> From<Line<MOST>> for String {
    fn from(line: Line<MOST>) -> Self {
        line.0
    }
}

impl<const MOST: usize> fmt::Display for Line<MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A system's serial number: 1 to 64 printable ASCII characters without blanks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial(String);

impl Serial {
    /// The longest, in characters.
    pub const MOST: usize = 64;

    /// Takes a serial number as it is, or says why not.
    pub fn new(text: impl Into<String>) -> Result<Self, LineFault> {
        let text = text.into();
        if text.is_empty() {
            return Err(LineFault::Empty);
        }
        if text.len() > Self::MOST {
            return Err(LineFault::Long(Self::MOST));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(LineFault::Unprintable);
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Serial {
    type Error = LineFault;

    fn try_from(text: String) -> Result<Self, LineFault> {
        Self::new(text)
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text for display: what is not seen becomes `?`, and after `most` characters it ends with `…`.
pub fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).map(|c| if is_hidden(c) { '?' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Controls, and the marks by which a text can be made to look like another one.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printable_and_bounded_in_characters() {
        assert_eq!(Line::<4>::new("Jürg").unwrap().as_str(), "Jürg");
        assert_eq!(Line::<4>::new("Jürgs"), Err(LineFault::Long(4)));
        assert_eq!(Line::<4>::new(""), Err(LineFault::Empty));
        for hidden in ["a\nb", " a", "a\u{202e}b", "a\0", "\u{feff}a"] {
            assert_eq!(Line::<4>::new(hidden), Err(LineFault::Unprintable), "{hidden:?}");
            let fitted = Line::<4>::fitted(hidden);
            assert_eq!(Line::new(fitted.as_str()), Ok(fitted), "{hidden:?}");
        }
        assert_eq!(Line::<4>::fitted(" ab cd ").as_str(), "ab c");
        assert_eq!(Line::<3>::fitted("ab cd").as_str(), "ab");
    }

    #[test]
    fn a_serial_number_is_ascii_without_blanks() {
        assert!(Serial::new("IBOX-1234").is_ok());
        assert!(Serial::new("a".repeat(64)).is_ok());
        for wrong in [String::new(), "a b".to_owned(), "é".to_owned(), "a".repeat(65)] {
            assert!(Serial::new(wrong).is_err());
        }
    }

    #[test]
    fn what_is_shown_hides_nothing() {
        assert_eq!(printable("a\x1b[2Jb", 10), "a?[2Jb");
        assert_eq!(printable("abcdef", 3), "abc…");
    }
}
