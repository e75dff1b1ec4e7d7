//! Bytes of a keyboard to characters and named keys, as xterm sends them (its control sequences). It never tells what an unknown
//! sequence had in it.

/// The longest sequence behind an escape, in bytes: whatever is longer is none.
const SEQUENCE_MOST: usize = 32;

/// What a byte completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    /// A byte of a printable character.
    Character(u8),
    /// Another key.
    Key {
        /// What it is called.
        name: &'static str,
        /// A line is complete, or given up.
        ends_line: bool,
    },
    /// Nothing yet.
    Nothing,
}

/// Where in a sequence the keyboard is.
#[derive(Debug, Default)]
pub(super) enum Keyboard {
    #[default]
    Plain,
    Escape,
    /// Behind `ESC O`.
    Single,
    /// Behind `ESC [`: the first bytes of the parameters, and how many there were.
    Control([u8; 3], usize),
}

impl Keyboard {
    /// One more byte.
    pub(super) fn stroke(&mut self, byte: u8) -> Stroke {
        match std::mem::take(self) {
            Self::Plain => self.plain(byte),
            Self::Escape => match byte {
                b'[' => self.wait(Self::Control([0; 3], 0)),
                b'O' => self.wait(Self::Single),
                0x1b => self.escape(),
                // With Alt, or after Escape. What it was is not told: it cannot be looked for in the output.
                _ => key("Alt and a key"),
            },
            Self::Single => key(function(byte).unwrap_or("Sequence")),
            Self::Control(first, length) => self.control(byte, first, length),
        }
    }

    fn wait(&mut self, next: Self) -> Stroke {
        *self = next;
        Stroke::Nothing
    }

    fn escape(&mut self) -> Stroke {
        *self = Self::Escape;
        key("Escape")
    }

    fn plain(&mut self, byte: u8) -> Stroke {
        match byte {
            0x1b => self.escape(),
            0x20..=0x7e | 0x80.. => Stroke::Character(byte),
            _ => {
                let ends_line = matches!(byte, b'\r' | b'\n' | 0x03 | 0x04);
                Stroke::Key { name: control(byte), ends_line }
            }
        }
    }

    fn control(&mut self, byte: u8, mut first: [u8; 3], length: usize) -> Stroke {
        match byte {
            0x20..=0x3f if length < SEQUENCE_MOST => {
                if let Some(place) = first.get_mut(length) {
                    *place = byte;
                }
                self.wait(Self::Control(first, length + 1))
            }
            b'~' => key(numbered(first, length)),
            // Modifiers are left out: "Up" is told for Ctrl-Up too.
            0x40..=0x7e => key(function(byte).unwrap_or("Sequence")),
            // It was no sequence, or was broken off.
            _ => self.plain(byte),
        }
    }
}

fn key(name: &'static str) -> Stroke {
    Stroke::Key { name, ends_line: false }
}

fn control(byte: u8) -> &'static str {
    const NAMES: [&str; 32] = [
        "Ctrl-@", "Ctrl-A", "Ctrl-B", "Ctrl-C", "Ctrl-D", "Ctrl-E", "Ctrl-F", "Ctrl-G", "Ctrl-H", "Tab",
        "Ctrl-J", "Ctrl-K", "Ctrl-L", "Enter", "Ctrl-N", "Ctrl-O", "Ctrl-P", "Ctrl-Q", "Ctrl-R", "Ctrl-S",
        "Ctrl-T", "Ctrl-U", "Ctrl-V", "Ctrl-W", "Ctrl-X", "Ctrl-Y", "Ctrl-Z", "Escape", "Ctrl-\\", "Ctrl-]",
        "Ctrl-^", "Ctrl-_",
    ];
    NAMES.get(usize::from(byte)).copied().unwrap_or("Backspace")
}

fn function(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'A' => "Up",
        b'B' => "Down",
        b'C' => "Right",
        b'D' => "Left",
        b'F' => "End",
        b'H' => "Home",
        b'M' => "Enter",
        b'P' => "F1",
        b'Q' => "F2",
        b'R' => "F3",
        b'S' => "F4",
        b'Z' => "Shift-Tab",
        _ => return None,
    })
}

/// Keys that are told by a number.
fn numbered(first: [u8; 3], length: usize) -> &'static str {
    let digits = first.get(..length.min(3)).unwrap_or_default();
    let digits = digits.split(|byte| *byte == b';').next().unwrap_or_default();
    match digits {
        b"1" | b"7" => "Home",
        b"2" => "Insert",
        b"3" => "Delete",
        b"4" | b"8" => "End",
        b"5" => "Page up",
        b"6" => "Page down",
        b"11" => "F1",
        b"12" => "F2",
        b"13" => "F3",
        b"14" => "F4",
        b"15" => "F5",
        b"17" => "F6",
        b"18" => "F7",
        b"19" => "F8",
        b"20" => "F9",
        b"21" => "F10",
        b"23" => "F11",
        b"24" => "F12",
        b"200" => "Paste begins",
        b"201" => "Paste ends",
        _ => "Sequence",
    }
}
