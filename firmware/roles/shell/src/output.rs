//! What is said to the engineer: lines on his output, sentences on his errors. It never lets a control character of somebody
//! else's through to his terminal.

use std::io::{self, Write as _};

/// How a command ends when it does not succeed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A sentence, and the status that goes with it.
    Said(u8, String),
    /// The status only: what is to be said has been said.
    Status(u8),
    /// The output is closed: there is nobody to say anything to.
    Gone,
}

/// How a command ends.
pub(crate) type Done = Result<(), Fault>;

impl Fault {
    /// Something does not work.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self::Said(1, sentence.into())
    }

    /// The command is not used as it should be.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::Said(2, sentence.into())
    }

    /// The exit status of the process that ends with it.
    pub(crate) const fn status(&self) -> u8 {
        match self {
            Self::Said(status, _) | Self::Status(status) => *status,
            // As a shell tells the end by SIGPIPE.
            Self::Gone => 141,
        }
    }

    /// Says it on standard error.
    pub(crate) fn say(&self) {
        if let Self::Said(_, sentence) = self {
            // Who has closed his errors does not want to hear them.
            let _ = writeln!(io::stderr(), "{}", printable(sentence));
        }
    }
}

/// Writes to standard output.
pub(crate) fn put(bytes: &[u8]) -> Done {
    io::stdout().write_all(bytes).map_err(|_| Fault::Gone)
}

/// Writes a line to standard output, made printable.
pub(crate) fn line(text: &str) -> Done {
    put(format!("{}\n", printable(text)).as_bytes())
}

/// Sees that all of it is out.
pub(crate) fn flush() -> Done {
    io::stdout().flush().map_err(|_| Fault::Gone)
}

/// Without what would move a cursor, change a colour, turn a text's direction or hide: each is shown by its number.
pub(crate) fn printable(text: &str) -> String {
    if !text.chars().any(hidden) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if hidden(char) {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// [`printable`] of bytes: what is no UTF-8 is shown by its number. Line ends and tabs stay.
pub(crate) fn printable_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if hidden(char) && !matches!(char, '\n' | '\t') {
                shown.extend(char.escape_unicode());
            } else {
                shown.push(char);
            }
        }
        for byte in chunk.invalid() {
            shown.push_str("\\x");
            shown.push_str(&hex(&[*byte]));
        }
    }
    shown
}

/// Control characters (Unicode Cc), the separators of lines and paragraphs, and the format characters (Cf) that reorder or hide.
fn hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Columns of words, each as wide as its widest.
pub(crate) fn columns(rows: &[Vec<String>]) -> Done {
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0))
        .map(|at| {
            rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in rows {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count().min(*width)));
        }
        line(text.trim_end())?;
    }
    Ok(())
}

/// A number of bytes for people: `17.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = 0;
    let mut whole = bytes;
    let mut tenths = 0;
    while whole >= 1024 && unit < 5 {
        tenths = (whole % 1024) * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let unit_name = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit];
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{tenths} {unit_name}") }
}

/// A time for people: `2 d 3 h`, `3 h 5 min`, `5 min`, `12 s`.
pub(crate) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_or_turns_a_text_is_printed() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), r"a\u{1b}[2Jb\u{a}");
        assert_eq!(printable("Grüße \u{202e}txt"), r"Grüße \u{202e}txt");
        assert_eq!(printable_bytes(b"a\tb\n\xff\x9b\r"), "a\tb\n\\xff\\x9b\\u{d}");
    }

    #[test]
    fn sizes_and_times_are_told_for_people() {
        assert_eq!((size(17), size(1536), size(5 << 30)).0, "17 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
        assert_eq!(
            [duration(7), duration(125), duration(3_700), duration(90_000)],
            ["7 s", "2 min", "1 h 1 min", "1 d 1 h"]
        );
    }
}
