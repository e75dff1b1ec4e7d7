//! What `vt100` does not do by itself: DEC's line-drawing characters, and a bound on how often a character is repeated. It
//! changes nothing else of what a program writes, and keeps at most one control sequence.

/// The longest control sequence that is kept; a longer one is dropped.
const SEQUENCE_BYTES: usize = 64;

/// DEC's special graphics from `_` to `~` (VT100 user guide, table 3-9), as Unicode has them.
const GRAPHICS: [&str; 32] = [
    "\u{a0}", "◆", "▒", "␉", "␌", "␍", "␊", "°", "±", "␤", "␋", "┘", "┐", "┌", "└", "┼", "⎺", "⎻", "─", "⎼",
    "⎽", "├", "┤", "┴", "┬", "│", "≤", "≥", "π", "≠", "£", "·",
];

const ESCAPE: u8 = 0x1b;
const SHIFT_OUT: u8 = 0x0e;
const SHIFT_IN: u8 = 0x0f;
const CANCEL: [u8; 2] = [0x18, 0x1a];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Text.
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC and what is neither the end nor the beginning of something known.
    Intermediate,
    /// After ESC and ( or ): the set of that number is chosen.
    Set(usize),
    /// In a control sequence.
    Sequence,
    /// In a string, which BEL ends if it is a command to the system.
    String { by_bell: bool },
}

/// Stands before the terminal.
#[derive(Debug, Default)]
pub(crate) struct Tidy {
    state: State,
    /// Whether G0 and G1 are the line-drawing characters.
    graphics: [bool; 2],
    /// Which of the two is in use.
    shifted: usize,
    sequence: Vec<u8>,
}

impl Tidy {
    /// Appends what the terminal is to get. A character is repeated `columns` times at most.
    pub(crate) fn take(&mut self, mut bytes: &[u8], columns: u16, to: &mut Vec<u8>) {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.state == State::Ground && !self.draws() {
                let is_special = |byte: &u8| matches!(*byte, ESCAPE | SHIFT_OUT | SHIFT_IN);
                let length = bytes.iter().position(is_special).unwrap_or(bytes.len());
                if length > 0 {
                    let (plain, rest) = bytes.split_at(length);
                    to.extend_from_slice(plain);
                    bytes = rest;
                    continue;
                }
            }
            self.byte(*byte, columns, to);
            bytes = rest;
        }
    }

    fn draws(&self) -> bool {
        self.graphics.get(self.shifted).copied().unwrap_or_default()
    }

    fn byte(&mut self, byte: u8, columns: u16, to: &mut Vec<u8>) {
        if byte == ESCAPE {
            // It ends whatever was begun.
            self.sequence.clear();
            self.state = State::Escape;
            to.push(byte);
            return;
        }
        if CANCEL.contains(&byte) {
            self.sequence.clear();
            self.state = State::Ground;
            to.push(byte);
            return;
        }
        match self.state {
            State::Ground => {
                match byte {
                    SHIFT_OUT => self.shifted = 1,
                    SHIFT_IN => self.shifted = 0,
                    _ => {}
                }
                let drawn = if self.draws() { byte.checked_sub(b'_') } else { None };
                match drawn.and_then(|index| GRAPHICS.get(usize::from(index))) {
                    Some(drawn) => to.extend_from_slice(drawn.as_bytes()),
                    None => to.push(byte),
                }
            }
            State::Escape => {
                to.push(byte);
                self.state = match byte {
                    b'(' => State::Set(0),
                    b')' => State::Set(1),
                    b'[' => State::Sequence,
                    b']' => State::String { by_bell: true },
                    b'P' | b'X' | b'^' | b'_' => State::String { by_bell: false },
                    0x20..=0x2f => State::Intermediate,
                    // A control character is obeyed on the way.
                    0..=0x1f | 0x7f => State::Escape,
                    _ => State::Ground,
                };
                if byte == b'c' {
                    *self = Self::default();
                }
            }
            State::Intermediate => {
                to.push(byte);
                if byte >= 0x30 && byte != 0x7f {
                    self.state = State::Ground;
                }
            }
            State::Set(number) => {
                to.push(byte);
                if byte >= 0x30 && byte != 0x7f {
                    if let Some(graphics) = self.graphics.get_mut(number) {
                        *graphics = byte == b'0';
                    }
                    self.state = State::Ground;
                } else if byte >= 0x20 {
                    self.state = State::Intermediate;
                }
            }
            State::Sequence => match byte {
                0..=0x1f => to.push(byte),
                0x40..=0x7e => {
                    self.sequence.push(byte);
                    self.state = State::Ground;
                    self.finish(columns, to);
                }
                _ if self.sequence.len() <= SEQUENCE_BYTES => self.sequence.push(byte),
                _ => {}
            },
            State::String { by_bell } => {
                to.push(byte);
                if byte == 0x07 && by_bell {
                    self.state = State::Ground;
                }
            }
        }
    }

    /// A control sequence is whole; its beginning is with the terminal already.
    fn finish(&mut self, columns: u16, to: &mut Vec<u8>) {
        let repeats = self.sequence.strip_suffix(b"b").and_then(|digits| std::str::from_utf8(digits).ok());
        if self.sequence.len() > SEQUENCE_BYTES {
            // Something that no terminal knows, and so does nothing.
            to.push(CANCEL[0]);
        } else if let Some(digits) = repeats.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        {
            let times = digits.parse().unwrap_or(if digits.is_empty() { 1 } else { columns });
            to.extend_from_slice(format!("{}b", times.min(columns)).as_bytes());
        } else {
            to.extend_from_slice(&self.sequence);
        }
        self.sequence.clear();
    }
}
