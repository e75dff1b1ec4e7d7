//! Serial bytes as text: escape sequences out, lines with times. It never loses a printable character.

use std::time::{Duration, Instant};

/// A line, and when it was complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Since the test began.
    pub at: Duration,
    /// Without its end.
    pub text: String,
}

/// Takes out what steers a terminal: escape sequences (ECMA-48 section 5.4), carriage returns, other controls. Bytes that
/// are no UTF-8 become U+FFFD. It keeps its place between calls.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    state: Escape,
    /// The bytes of a character that is not whole yet.
    partial: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Escape {
    #[default]
    None,
    Begun,
    /// After `ESC [`: ends at a byte from `@` to `~`.
    Control,
    /// After `ESC ]`: ends at BEL, or at the ESC of a string terminator.
    Command,
    /// After `ESC (` and its like: one byte more.
    Designate,
}

impl Cleaner {
    /// Appends the text of these bytes.
    pub(super) fn clean(&mut self, bytes: &[u8], text: &mut String) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (_, 0x1b) => Escape::Begun,
                (Escape::None, _) => {
                    if byte == b'\n' || byte == b'\t' || (byte >= 0x20 && byte != 0x7f) {
                        self.partial.push(byte);
                    }
                    Escape::None
                }
                (Escape::Begun, b'[') | (Escape::Control, 0x20..=0x3f) => Escape::Control,
                (Escape::Begun, b']') => Escape::Command,
                (Escape::Begun, b'(' | b')' | b'#' | b'%') => Escape::Designate,
                (Escape::Command, other) if other != 0x07 => Escape::Command,
                (Escape::Begun | Escape::Control | Escape::Command | Escape::Designate, _) => Escape::None,
            };
        }
        self.take_characters(text);
    }

    fn take_characters(&mut self, text: &mut String) {
        let mut kept = 0;
        for chunk in self.partial.utf8_chunks() {
            text.push_str(chunk.valid());
            let broken = chunk.invalid();
            let at_end = kept + chunk.valid().len() + broken.len() == self.partial.len();
            // A character is four bytes at most: three at the end may be the beginning of one.
            if at_end && !broken.is_empty() && may_continue(broken) {
                kept += chunk.valid().len();
                self.partial.drain(..kept);
                return;
            }
            if !broken.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            kept += chunk.valid().len() + broken.len();
        }
        self.partial.clear();
    }
}

/// Whether these bytes are the beginning of a character that may still come.
fn may_continue(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// The text so far, and when each of its lines was complete.
#[derive(Debug)]
pub(super) struct Transcript {
    text: String,
    /// For each whole line, where it ends (behind its line feed) and when that came.
    ends: Vec<(usize, Duration)>,
    started: Instant,
}

impl Transcript {
    pub(super) fn new(started: Instant) -> Self {
        Self { text: String::new(), ends: Vec::new(), started }
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Appends, and returns the lines that this made whole.
    pub(super) fn append(&mut self, fresh: &str, now: Instant) -> Vec<Line> {
        let at = now.saturating_duration_since(self.started);
        let known = self.ends.len();
        let from = self.text.len();
        self.text.push_str(fresh);
        self.ends.extend(fresh.match_indices('\n').map(|(place, _)| (from + place + 1, at)));
        (known..self.ends.len()).map(|index| self.line(index)).collect()
    }

    pub(super) fn since(&self, place: usize) -> &str {
        self.text.get(place..).unwrap_or_default()
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        (0..self.ends.len()).map(|index| self.line(index)).collect()
    }

    /// The line around a place: whole, or as far as it goes yet.
    pub(super) fn line_at(&self, place: usize) -> Line {
        let index = self.ends.partition_point(|(end, _)| *end <= place);
        if index < self.ends.len() {
            return self.line(index);
        }
        let text = self.since(self.start_of(index)).to_owned();
        Line { at: Instant::now().saturating_duration_since(self.started), text }
    }

    /// The line around a place, if it is whole.
    pub(super) fn whole_line_at(&self, place: usize) -> Option<Line> {
        let index = self.ends.partition_point(|(end, _)| *end <= place);
        (index < self.ends.len()).then(|| self.line(index))
    }

    pub(super) fn tail(&self, count: usize) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n") + "\n"
    }

    fn start_of(&self, index: usize) -> usize {
        index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end)
    }

    fn line(&self, index: usize) -> Line {
        let (end, at) = self.ends.get(index).copied().unwrap_or((self.text.len(), Duration::ZERO));
        let text = self.text.get(self.start_of(index)..end).unwrap_or_default();
        Line { at, text: text.trim_end_matches('\n').to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(pieces: &[&[u8]]) -> String {
        let mut cleaner = Cleaner::default();
        let mut text = String::new();
        for piece in pieces {
            cleaner.clean(piece, &mut text);
        }
        text
    }

    #[test]
    fn what_steers_the_terminal_is_left_out() {
        assert_eq!(clean(&[b"\x1b[2J\x1b[01;01HUEFI\r\n\x1b]0;title\x07x\x1b(By"]), "UEFI\nxy");
        assert_eq!(clean(&[b"a\x1b", b"[3", b"1mb\0\x08c"]), "abc", "sequences may come in pieces");
    }

    #[test]
    fn characters_in_pieces_are_joined_and_broken_ones_are_marked() {
        assert_eq!(clean(&[b"\xc3", b"\xa4 \xe2\x82", b"\xac"]), "ä €");
        assert_eq!(clean(&[b"a\xffb\xc3"]), "a\u{fffd}b");
        assert_eq!(clean(&[b"\xc3", b"x"]), "\u{fffd}x");
    }

    #[test]
    fn lines_have_the_time_at_which_they_were_whole() {
        let start = Instant::now();
        let mut transcript = Transcript::new(start);
        assert!(transcript.append("half", start).is_empty());
        let later = start + Duration::from_secs(2);
        let whole = transcript.append(" line\nnext\nrest", later);
        let expected = |text: &str| Line { at: Duration::from_secs(2), text: text.to_owned() };
        assert_eq!(whole, [expected("half line"), expected("next")]);
        assert_eq!(transcript.line_at(6).text, "half line");
        assert_eq!(transcript.line_at(10).text, "next");
        assert_eq!(transcript.line_at(16).text, "rest");
        assert_eq!(transcript.tail(2), "next\nrest\n");
    }
}
