//! What a terminal shows at an instant, as plain rows of text with attributes; no escape sequence and no control character
//! ever leaves it, nothing that a program writes makes it larger than its bounds, and there is no scrollback.
//!
//! The terminal itself is the crate `vt100`: it keeps combining characters with their letter and wide ones over two columns,
//! within 32 bytes a cell. At most that is 500 rows of 1000 cells for each of its two screens, 32 MB; of 24 by 80, 120 kB.

mod tidy;

use crate::ttyrec::{Frame, Size};
use serde::Serialize;
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tidy::Tidy;

/// A colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Of the 256 that xterm has; the first 16 are the player's own.
    Index(u8),
    /// Red, green and blue.
    Rgb(u8, u8, u8),
}

/// How text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "each of them is one, in every combination")]
pub struct Attributes {
    /// The text's colour, when it is not the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreground: Option<Colour>,
    /// What is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Colour>,
    /// Bold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bold: bool,
    /// Faint.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dim: bool,
    /// Italic.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub italic: bool,
    /// Underlined.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub underline: bool,
    /// The two colours changed for one another.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inverse: bool,
}

/// Text in one row that looks the same. A wide character is a run of its own, with the width 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// From which column, from 0.
    pub column: u16,
    /// Over so many columns.
    pub width: u16,
    /// Printable text.
    pub text: String,
    /// How it looks.
    #[serde(flatten)]
    pub attributes: Attributes,
}

/// Where the cursor is, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cursor {
    /// The row.
    pub row: u16,
    /// The column.
    pub column: u16,
}

/// What a terminal shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Its size.
    pub rows: u16,
    /// See `rows`.
    pub columns: u16,
    /// The cursor; none while it is hidden.
    pub cursor: Option<Cursor>,
    /// Each row. What is blank at its end is left out.
    pub lines: Vec<Vec<Run>>,
}

impl Snapshot {
    /// The text of each row, without attributes and without blanks at its end.
    pub fn text(&self) -> Vec<String> {
        let row = |runs: &Vec<Run>| {
            let mut text = String::new();
            let mut column = 0;
            for run in runs {
                text.extend(std::iter::repeat_n(' ', usize::from(run.column.saturating_sub(column))));
                text.push_str(&run.text);
                column = run.column.saturating_add(run.width);
            }
            text.truncate(text.trim_end_matches(' ').len());
            text
        };
        self.lines.iter().map(row).collect()
    }
}

/// A terminal.
pub struct Screen {
    terminal: vt100::Parser,
    tidy: Tidy,
    tidied: Vec<u8>,
    lost: u64,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rows, columns) = self.terminal.screen().size();
        write!(f, "Screen({rows} x {columns})")
    }
}

fn non_zero(size: Size) -> (NonZeroU16, NonZeroU16) {
    // A size has at least one row and column.
    let of = |value| NonZeroU16::new(value).unwrap_or(NonZeroU16::MIN);
    (of(size.rows()), of(size.columns()))
}

impl Screen {
    /// An empty one.
    pub fn new(size: Size) -> Self {
        let (rows, columns) = non_zero(size);
        Self {
            terminal: vt100::Parser::new(rows, columns, 0),
            tidy: Tidy::default(),
            tidied: Vec::new(),
            lost: 0,
        }
    }

    /// Takes what a program wrote, in whatever pieces.
    pub fn output(&mut self, bytes: &[u8]) {
        // In pieces, so that what is made of them stays small.
        for part in bytes.chunks(4096) {
            self.tidied.clear();
            self.tidy.take(part, self.terminal.screen().size().1.get(), &mut self.tidied);
            let (terminal, tidied) = (&mut self.terminal, &self.tidied);
            if catch_unwind(AssertUnwindSafe(|| terminal.process(tidied))).is_err() {
                self.begin_anew();
            }
        }
    }

    /// Gives it another size.
    pub fn resize(&mut self, size: Size) {
        let (rows, columns) = non_zero(size);
        let terminal = &mut self.terminal;
        if catch_unwind(AssertUnwindSafe(|| terminal.set_size(rows, columns))).is_err() {
            *self = Self { lost: self.lost + 1, ..Self::new(size) };
        }
    }

    /// Takes a frame of a recording: output, or a size.
    pub fn frame(&mut self, frame: &Frame) {
        match Size::announced(&frame.data) {
            Some(size) => self.resize(size),
            None => self.output(&frame.data),
        }
    }

    /// How often something was written that the terminal could not bear, so that it began anew with an empty screen.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn begin_anew(&mut self) {
        let (rows, columns) = self.terminal.screen().size();
        let size = Size::clamped(rows.get().into(), columns.get().into());
        *self = Self { lost: self.lost + 1, ..Self::new(size) };
    }

    /// What it shows.
    pub fn snapshot(&self) -> Snapshot {
        let screen = self.terminal.screen();
        let (rows, columns) = screen.size();
        let (row, column) = screen.cursor_position();
        // Behind the last column it waits to go on in the next row.
        let cursor = Cursor { row, column: column.min(columns.get() - 1) };
        Snapshot {
            rows: rows.get(),
            columns: columns.get(),
            cursor: (!screen.hide_cursor()).then_some(cursor),
            lines: (0..rows.get()).map(|row| runs(screen, row, columns.get())).collect(),
        }
    }
}

fn runs(screen: &vt100::Screen, row: u16, columns: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut is_open = false;
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else { continue };
        if cell.is_wide_continuation() {
            continue;
        }
        let attributes = attributes(cell);
        let text = printable(cell.contents());
        if cell.is_wide() {
            runs.push(Run { column, width: 2, text, attributes });
            is_open = false;
            continue;
        }
        match runs.last_mut() {
            Some(run) if is_open && run.attributes == attributes => {
                run.width += 1;
                run.text.push_str(&text);
            }
            _ => runs.push(Run { column, width: 1, text, attributes }),
        }
        is_open = true;
    }
    // What is blank at the end is what an empty screen shows.
    if let Some(last) = runs.last_mut().filter(|run| run.attributes == Attributes::default()) {
        let kept = last.text.trim_end_matches(' ').len();
        let blanks = last.text.len() - kept;
        last.text.truncate(kept);
        last.width = last.width.saturating_sub(u16::try_from(blanks).unwrap_or(u16::MAX));
        if last.text.is_empty() {
            runs.pop();
        }
    }
    runs
}

fn attributes(cell: &vt100::Cell) -> Attributes {
    let colour = |colour| match colour {
        vt100::Color::Default => None,
        vt100::Color::Idx(index) => Some(Colour::Index(index)),
        vt100::Color::Rgb(red, green, blue) => Some(Colour::Rgb(red, green, blue)),
    };
    Attributes {
        foreground: colour(cell.fgcolor()),
        background: colour(cell.bgcolor()),
        bold: cell.bold(),
        dim: cell.dim(),
        italic: cell.italic(),
        underline: cell.underline(),
        inverse: cell.inverse(),
    }
}

/// A cell's text. What is not seen or turns the direction of writing goes, and what then has no letter is U+FFFD.
fn printable(contents: &str) -> String {
    if contents.is_empty() {
        return " ".to_owned();
    }
    let text: String = contents.chars().filter(|char| !drawbridge_chain::is_hidden(*char)).collect();
    if text.is_empty() { "\u{fffd}".to_owned() } else { text }
}

#[cfg(test)]
mod tests;
