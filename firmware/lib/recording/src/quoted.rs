//! What somebody said, exactly and still on one printable line: nothing in it can be lost, and nothing can move a cursor.

use drawbridge_chain::Hash;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// The longest quoted text, in bytes.
pub const QUOTED_BYTES: usize = 4096;

/// Bytes from outside as printable text. A backslash is doubled; what is not printable is `\n`, `\r`, `\t`, `\e`, `\u{…}`, or
/// `\x…` where it is no UTF-8. What is too long is cut, and its length and hash say what was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Quoted(Raw);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
}

/// What a text was of which the beginning is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// So many bytes.
    pub bytes: u64,
    /// Their hash.
    pub sha256: Hash,
}

impl Quoted {
    /// Of bytes, of any length.
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            for char in chunk.valid().chars() {
                quote(char, &mut text);
            }
            for byte in chunk.invalid() {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
            if text.len() > QUOTED_BYTES {
                break;
            }
        }
        let mut cut = None;
        if text.len() > QUOTED_BYTES {
            let mut end = QUOTED_BYTES;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            cut =
                Some(Cut { bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX), sha256: Hash::of(bytes) });
        }
        Self(Raw { text, cut })
    }

    /// The text, on one printable line.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// What it was before it was cut, when it was.
    pub fn cut(&self) -> Option<Cut> {
        self.0.cut
    }
}

fn quote(char: char, text: &mut String) {
    match char {
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\x1b' => text.push_str("\\e"),
        char if drawbridge_chain::is_hidden(char) => text.extend(char.escape_unicode()),
        char => text.push(char),
    }
}

impl TryFrom<Raw> for Quoted {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        if raw.text.len() > QUOTED_BYTES {
            Err("a text that is too long")
        } else if raw.text.chars().any(drawbridge_chain::is_hidden) {
            Err("a text with characters that cannot be printed")
        } else {
            Ok(Self(raw))
        }
    }
}

impl From<Quoted> for Raw {
    fn from(quoted: Quoted) -> Self {
        quoted.0
    }
}

impl std::fmt::Display for Quoted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.text)?;
        self.0.cut.map_or(Ok(()), |cut| write!(f, "… ({} bytes)", cut.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_and_nothing_is_left_that_a_terminal_would_obey() {
        let shown = |bytes: &[u8]| Quoted::of(bytes).as_str().to_owned();
        assert_eq!(shown(b"ls -l\r"), "ls -l\\r");
        assert_eq!(shown(b"\x1b[2J\x07\\n\xff\xc3"), "\\e[2J\\u{7}\\\\n\\xff\\xc3");
        assert_eq!(shown("é\u{202e}\u{9b}".as_bytes()), "é\\u{202e}\\u{9b}");
        assert_eq!(shown(b""), "");
        assert!(serde_json::from_str::<Quoted>("{\"text\":\"a\\u001b\"}").is_err());
    }

    #[test]
    fn what_is_too_long_is_cut_and_its_hash_says_what_it_was() {
        let long = "é".repeat(QUOTED_BYTES);
        let quoted = Quoted::of(long.as_bytes());
        assert_eq!(quoted.as_str().len(), QUOTED_BYTES);
        assert_eq!(quoted.cut(), Some(Cut { bytes: 8192, sha256: Hash::of(long.as_bytes()) }));
        assert_eq!(Quoted::of(&[b'a'; QUOTED_BYTES]).cut(), None);
        let bell = Quoted::of(&vec![7; 1_000_000]);
        assert!(bell.as_str().len() <= QUOTED_BYTES && bell.cut().is_some());
        let json = serde_json::to_string(&bell).unwrap();
        assert_eq!(serde_json::from_str::<Quoted>(&json).unwrap(), bell);
    }
}
