//! What a role writes, cut into lines with bounds on length and rate. It never keeps more than one line.

use drawbridge_bus::Level;
use drawbridge_bus::logger::read_line;
use drawbridge_bus::message::LOG_LINE_BYTES;

/// A role may write so many lines at once …
const BURST: u32 = 500;
/// … and so many a second in the long run. What is more is counted, and the count is logged.
const LINES_A_SECOND: u32 = 50;

/// A role's log stream.
#[derive(Debug)]
pub struct Lines {
    partial: Vec<u8>,
    /// The rest of a line that was longer than the bound is being passed over.
    cutting: bool,
    tokens: u32,
    refilled_milliseconds: u64,
    dropped: u32,
}

impl Default for Lines {
    fn default() -> Self {
        Self { partial: Vec::new(), cutting: false, tokens: BURST, refilled_milliseconds: 0, dropped: 0 }
    }
}

impl Lines {
    /// Takes bytes as they arrived at `now` (milliseconds since boot), and gives each whole line to `take`.
    pub fn push(&mut self, bytes: &[u8], now: u64, mut take: impl FnMut(Level, String)) {
        self.refill(now, &mut take);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = match piece.split_last() {
                Some((b'\n', head)) => (head, true),
                _ => (piece, false),
            };
            if !self.cutting {
                // Twice the bound: `clean` marks the cut, for which it must see that there was more.
                let room = (2 * LOG_LINE_BYTES).saturating_sub(self.partial.len());
                self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
                self.cutting = piece.len() > room;
            }
            if ends {
                self.finish(&mut take);
            }
        }
    }

    /// The stream has ended: what is left of a line is a line.
    pub fn end(&mut self, mut take: impl FnMut(Level, String)) {
        if !self.partial.is_empty() {
            self.finish(&mut take);
        }
    }

    fn finish(&mut self, take: &mut impl FnMut(Level, String)) {
        let line = std::mem::take(&mut self.partial);
        self.cutting = false;
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                let (level, text) = read_line(&line);
                take(level, text);
            }
            None => self.dropped = self.dropped.saturating_add(1),
        }
    }

    fn refill(&mut self, now: u64, take: &mut impl FnMut(Level, String)) {
        let seconds = now.saturating_sub(self.refilled_milliseconds) / 1000;
        if seconds == 0 {
            return;
        }
        self.refilled_milliseconds += seconds * 1000;
        let more = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(LINES_A_SECOND);
        self.tokens = self.tokens.saturating_add(more).min(BURST);
        if self.dropped > 0 {
            take(Level::Warning, format!("{} log lines were dropped: too many at once", self.dropped));
            self.dropped = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(lines: &mut Lines, bytes: &[u8], now: u64) -> Vec<(Level, String)> {
        let mut taken = Vec::new();
        lines.push(bytes, now, |level, text| taken.push((level, text)));
        taken
    }

    #[test]
    fn pieces_become_lines() {
        let mut lines = Lines::default();
        assert!(collect(&mut lines, b"<3>one", 0).is_empty());
        assert_eq!(
            collect(&mut lines, b" more\n\ntwo\nthr", 0),
            [(Level::Error, "one more".into()), (Level::Info, "two".into())]
        );
        let mut rest = Vec::new();
        lines.end(|_, text| rest.push(text));
        assert_eq!(rest, ["thr"]);
    }

    #[test]
    fn an_endless_line_is_held_in_bounded_memory_and_cut() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            assert!(collect(&mut lines, &[b'x'; 1000], 0).is_empty());
        }
        assert!(lines.partial.len() <= 2 * LOG_LINE_BYTES);
        let taken = collect(&mut lines, b"\nnext\n", 0);
        assert!(taken[0].1.ends_with('…') && taken[0].1.len() <= LOG_LINE_BYTES);
        assert_eq!(taken[1].1, "next");
    }

    #[test]
    fn a_flood_is_cut_counted_and_told() {
        let mut lines = Lines::default();
        let flood = b"x\n".repeat(2000);
        assert_eq!(collect(&mut lines, &flood, 10).len(), 500);
        let after = collect(&mut lines, b"y\n", 2010);
        assert_eq!(after[0].1, "1500 log lines were dropped: too many at once");
        assert_eq!(after[1].1, "y");
    }
}
