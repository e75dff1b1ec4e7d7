//! What an engineer types into a terminal, told apart: what the terminal shows again, what it does not, and keys. It never gives out
//! in the clear what nobody saw.
//!
//! In canonical mode the terminal's own flag says whether it echoes. In raw mode (line editors, `vi`, `ssh` to another host, which
//! asks for a password there) nobody knows before the output has come. So what is typed is held back as a *run*, up to the next key
//! that is no character, and compared with the output that follows:
//!
//! ```text
//!   typed   l s ⏎                       h u n t e r 2 ⏎
//!   output  "ls" "\r\n"  ─► Shown("ls") "\r\n"           ─► Hidden(7)
//! ```
//!
//! A run is shown whole or not at all: the output has to begin with it, piece by piece, or to end with all of it, as an editor's
//! does that draws its line anew. Other output in between is borne a few times only, so that no flood shows a password by chance;
//! and after something hidden, all is hidden to the end of the line. To err on that side costs nothing: what was shown is in the
//! recorded output anyway.

mod keys;
mod output;

use keys::{Keyboard, Stroke};
use output::{Part, Splitter};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A run is decided on this long after its last character, or after the key behind it, whatever the output says.
const DECIDED_AFTER: Duration = Duration::from_secs(1);
/// The most characters (bytes of them) that are held back; with one more, all that is held is hidden.
const HELD_BYTES: usize = 4096;
/// The most runs and keys that are held back.
const HELD_PIECES: usize = 1024;
/// Pieces of output that are not the run's echo, in a whole line.
const OTHERS_MOST: u32 = 8;
/// A run that nobody has ended yet is shown after [`DECIDED_AFTER`] only when it is at least this long: each character of a shorter one
/// might be there by chance.
const SURE_BYTES: usize = 6;

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Characters that the terminal showed.
    Shown(String),
    /// So many characters that it did not show.
    Hidden(u64),
    /// A key that is no character, by its name.
    Key(&'static str),
}

/// One after the other, as typed.
enum Piece {
    Run(Run),
    Key { name: &'static str, ends_line: bool },
}

/// Characters between two keys.
struct Run {
    bytes: Zeroizing<Vec<u8>>,
    /// So many of them the output has shown.
    seen: usize,
    /// The last one came then.
    typed: Instant,
    /// The key behind it came then.
    ended: Option<Instant>,
    /// It was typed while something else waited for its echo: a line feed says nothing of it.
    is_ahead: bool,
}

/// The typing of one terminal.
#[derive(Default)]
pub struct Typing {
    keyboard: Keyboard,
    output: Splitter,
    held: VecDeque<Piece>,
    held_bytes: usize,
    /// Something of this line was hidden: so is the rest.
    line_hidden: bool,
    others: u32,
    told: Vec<Told>,
}

/// [`Typed`], while a character of several bytes may still be whole only with what comes next.
enum Told {
    Shown(Vec<u8>),
    Hidden(u64),
    Key(&'static str),
}

impl Typing {
    /// The engineer has typed this. `echo`: the terminal is in canonical mode and shows it.
    pub fn typed(&mut self, echo: bool, bytes: &[u8], now: Instant) {
        let mut keyboard = std::mem::take(&mut self.keyboard);
        for byte in bytes {
            match keyboard.stroke(*byte) {
                Stroke::Character(byte) if echo => {
                    // What was held back under another mode gets no echo any more.
                    self.decide_all();
                    self.tell_shown(&[byte]);
                }
                Stroke::Character(byte) => self.hold(byte, now),
                Stroke::Key { name, ends_line } => self.key(name, ends_line, now),
                Stroke::Nothing => {}
            }
        }
        self.keyboard = keyboard;
    }

    /// A program has written this.
    pub fn shown(&mut self, bytes: &[u8]) {
        if self.held.is_empty() {
            self.output.skip(bytes);
            return;
        }
        let mut output = std::mem::take(&mut self.output);
        output.split(bytes, |part| match part {
            Part::Text(text) => self.compare(text),
            Part::LineFeed => self.answered(),
        });
        self.output = output;
    }

    /// Time passes. To be called about every second while something is held.
    pub fn tick(&mut self, now: Instant) {
        while let Some(Piece::Run(run)) = self.held.front() {
            if now.saturating_duration_since(run.ended.unwrap_or(run.typed)) < DECIDED_AFTER {
                break;
            }
            let is_sure = run.ended.is_some() || run.bytes.len() >= SURE_BYTES;
            self.decide(is_sure);
        }
    }

    /// Nothing more comes: what is held back is decided on.
    pub fn close(&mut self) {
        self.decide_all();
    }

    /// Whether something is held back.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// What is decided on, in the order in which it was typed.
    pub fn take(&mut self) -> Vec<Typed> {
        let told = std::mem::take(&mut self.told);
        let last = told.len().saturating_sub(1);
        let mut typed = Vec::with_capacity(told.len());
        for (at, told) in told.into_iter().enumerate() {
            match told {
                Told::Shown(mut bytes) => {
                    if at == last {
                        let rest = bytes.split_off(whole(&bytes));
                        self.told.extend((!rest.is_empty()).then_some(Told::Shown(rest)));
                    }
                    if !bytes.is_empty() {
                        typed.push(Typed::Shown(String::from_utf8_lossy(&bytes).into_owned()));
                    }
                }
                Told::Hidden(count) => typed.push(Typed::Hidden(count)),
                Told::Key(name) => typed.push(Typed::Key(name)),
            }
        }
        typed
    }

    fn hold(&mut self, byte: u8, now: Instant) {
        if self.held_bytes >= HELD_BYTES {
            self.hide_all();
        }
        if !matches!(self.held.back(), Some(Piece::Run(run)) if run.ended.is_none()) {
            let (bytes, is_ahead) = (Zeroizing::new(Vec::new()), !self.held.is_empty());
            self.held.push_back(Piece::Run(Run { bytes, seen: 0, typed: now, ended: None, is_ahead }));
        }
        if let Some(Piece::Run(run)) = self.held.back_mut() {
            push(&mut run.bytes, byte);
            run.typed = now;
            self.held_bytes += 1;
        }
    }

    fn key(&mut self, name: &'static str, ends_line: bool, now: Instant) {
        if self.held.len() >= HELD_PIECES {
            self.hide_all();
        }
        if let Some(Piece::Run(run)) = self.held.back_mut() {
            run.ended.get_or_insert(now);
        }
        self.held.push_back(Piece::Key { name, ends_line });
        self.let_go();
        self.decide_if_seen();
    }

    /// Tells the keys at the front.
    fn let_go(&mut self) {
        while let Some(Piece::Key { name, ends_line }) = self.held.front() {
            let (name, ends_line) = (*name, *ends_line);
            self.held.pop_front();
            self.told.push(Told::Key(name));
            if ends_line {
                (self.line_hidden, self.others) = (false, 0);
            }
        }
    }

    /// A piece of text came out.
    fn compare(&mut self, text: &[u8]) {
        let Some(Piece::Run(run)) = self.held.front_mut() else { return };
        let awaited = run.bytes.get(run.seen..).unwrap_or_default();
        if awaited.is_empty() {
            // It has its echo; what comes now is none of its business.
        } else if awaited.starts_with(text) {
            run.seen += text.len();
        } else if text.starts_with(awaited) || text.ends_with(&run.bytes) {
            run.seen = run.bytes.len();
        } else {
            self.other();
        }
        self.decide_if_seen();
    }

    /// Something came out that is no echo.
    fn other(&mut self) {
        self.others += 1;
        if self.others > OTHERS_MOST {
            self.hide_front();
        }
    }

    /// A run that was seen whole needs no more, unless a line's end is behind it: then the line feed that answers it is still to
    /// come, and is not to be taken for the answer to the next.
    fn decide_if_seen(&mut self) {
        let ends_line = matches!(self.held.get(1), Some(Piece::Key { ends_line: true, .. }));
        if let Some(Piece::Run(run)) = self.held.front()
            && run.ended.is_some()
            && run.seen == run.bytes.len()
            && !ends_line
        {
            self.decide(true);
        }
    }

    /// A line feed came out: a run that a line's end is behind has had its echo by now, or gets none.
    fn answered(&mut self) {
        let Some(Piece::Run(run)) = self.held.front() else { return };
        if run.ended.is_some() && (!run.is_ahead || run.seen == run.bytes.len()) {
            self.decide(true);
        } else if run.is_ahead {
            self.other();
        }
    }

    /// Decides on the run at the front: shown when all of it was seen, and that is sure.
    fn decide(&mut self, is_sure: bool) {
        match self.held.pop_front() {
            Some(Piece::Run(run)) => {
                self.held_bytes = self.held_bytes.saturating_sub(run.bytes.len());
                if is_sure && !self.line_hidden && run.seen == run.bytes.len() {
                    self.tell_shown(&run.bytes);
                } else {
                    self.tell_hidden(&run.bytes);
                }
            }
            Some(key @ Piece::Key { .. }) => self.held.push_front(key),
            None => return,
        }
        self.let_go();
    }

    fn hide_front(&mut self) {
        self.line_hidden = true;
        self.decide(false);
    }

    fn decide_all(&mut self) {
        while !self.held.is_empty() {
            let is_sure = matches!(self.held.front(), Some(Piece::Run(run)) if run.ended.is_some());
            self.decide(is_sure);
        }
    }

    fn hide_all(&mut self) {
        while !self.held.is_empty() {
            self.hide_front();
        }
    }

    fn tell_shown(&mut self, bytes: &[u8]) {
        match self.told.last_mut() {
            Some(Told::Shown(before)) => before.extend_from_slice(bytes),
            _ => self.told.push(Told::Shown(bytes.to_vec())),
        }
    }

    fn tell_hidden(&mut self, bytes: &[u8]) {
        self.line_hidden = true;
        let count = count(bytes);
        match self.told.last_mut() {
            Some(Told::Hidden(before)) => *before += count,
            _ => self.told.push(Told::Hidden(count)),
        }
    }
}

/// How many bytes are there without a character at the end that is not whole yet.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && bytes.len() - error.valid_up_to() < 4 => {
            error.valid_up_to()
        }
        _ => bytes.len(),
    }
}

/// Characters of UTF-8: bytes that continue none.
pub(crate) fn count(bytes: &[u8]) -> u64 {
    let first = bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    u64::try_from(first).unwrap_or(u64::MAX)
}

/// Appends, and leaves no copy behind when the memory has to grow.
fn push(to: &mut Zeroizing<Vec<u8>>, byte: u8) {
    if to.len() == to.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity((to.len() * 2).max(32)));
        larger.extend_from_slice(to);
        *to = larger;
    }
    to.push(byte);
}

#[cfg(test)]
mod tests;
