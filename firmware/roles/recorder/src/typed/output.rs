//! A program's output as pieces of text between all that is not printed: escape sequences (ECMA-48, and the strings that xterm knows)
//! and control characters. It keeps no byte of it.

/// What there is between control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Bytes of printable characters, at least one.
    Text(&'a [u8]),
    /// A line feed.
    LineFeed,
}

/// Where in a sequence the output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Splitter {
    #[default]
    Text,
    Escape,
    /// Behind `ESC` and a byte that announces one more (ECMA-35).
    Intermediate,
    Control,
    /// Behind `ESC ]`, `ESC P` and their like, up to BEL or `ESC \`.
    String,
    StringEscape,
}

impl Splitter {
    /// Gives the parts to `to`. A piece of text ends where the bytes end.
    pub(super) fn split<'a>(&mut self, bytes: &'a [u8], mut to: impl FnMut(Part<'a>)) {
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let is_text = *self == Self::Text && (*byte >= 0x20 && *byte != 0x7f);
            if is_text {
                continue;
            }
            if let Some(text) = bytes.get(from..at).filter(|text| !text.is_empty()) {
                to(Part::Text(text));
            }
            from = at + 1;
            if *byte == b'\n' && matches!(self, Self::Text | Self::Control | Self::Escape) {
                to(Part::LineFeed);
            }
            self.step(*byte);
        }
        if let Some(text) = bytes.get(from..).filter(|text| !text.is_empty()) {
            to(Part::Text(text));
        }
    }

    /// Passes over bytes of which no part is wanted.
    pub(super) fn skip(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
    }

    #[allow(clippy::match_same_arms, reason = "state by state, as the standard has them")]
    fn step(&mut self, byte: u8) {
        *self = match (*self, byte) {
            (Self::String, 0x1b) => Self::StringEscape,
            (Self::String, 0x07 | 0x18 | 0x1a) => Self::Text,
            (Self::String, _) => Self::String,
            (Self::StringEscape, b'\\') => Self::Text,
            (_, 0x1b) => Self::Escape,
            (Self::Escape | Self::StringEscape, b'[') => Self::Control,
            (Self::Escape | Self::StringEscape, b']' | b'P' | b'X' | b'^' | b'_') => Self::String,
            (Self::Escape | Self::StringEscape | Self::Intermediate, 0x20..=0x2f) => Self::Intermediate,
            // A control character inside a sequence is carried out, and the sequence goes on; these two end it.
            (Self::Control | Self::Escape | Self::Intermediate, 0x00..=0x17 | 0x19 | 0x1c..=0x1f) => *self,
            (Self::Control, 0x20..=0x3f) => Self::Control,
            _ => Self::Text,
        };
    }
}
