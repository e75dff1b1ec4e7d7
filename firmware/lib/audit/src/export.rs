//! Events as files for other programs: JSON lines, exactly as the chain vouches for them, and CSV for people with a
//! spreadsheet. Nothing in a CSV is run by a spreadsheet or drawn by a browser.

use crate::entry::Kept;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{self, Write};

/// The columns of a CSV. The last one is the whole line as JSON, in which nothing is altered but the spelling.
pub const COLUMNS: [&str; 17] = [
    "sequence",
    "time",
    "clock",
    "boot",
    "monotonic_ms",
    "severity",
    "code",
    "who_kind",
    "who",
    "from",
    "endpoint",
    "gateway",
    "grant",
    "lasted_ms",
    "summary",
    "line_sha256",
    "line",
];

/// In what form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line an event, as in the log.
    Jsonl,
    /// RFC 4180.
    Csv,
}

impl Format {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// Writes events in one of the forms.
#[derive(Debug)]
pub struct Exporter<W> {
    to: W,
    format: Format,
    written: u64,
}

impl<W: Write> Exporter<W> {
    /// Begins: a CSV has its columns' names in the first line.
    pub fn new(mut to: W, format: Format) -> io::Result<Self> {
        if format == Format::Csv {
            row(&mut to, COLUMNS.into_iter().map(Cow::Borrowed))?;
        }
        Ok(Self { to, format, written: 0 })
    }

    /// Writes one.
    pub fn write(&mut self, kept: &Kept) -> io::Result<()> {
        self.written += 1;
        match self.format {
            Format::Jsonl => {
                self.to.write_all(kept.line())?;
                self.to.write_all(b"\n")
            }
            Format::Csv => row(&mut self.to, cells(kept).into_iter()),
        }
    }

    /// So many were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Where it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }
}

fn cells(kept: &Kept) -> [Cow<'static, str>; 17] {
    fn shown(value: Option<impl ToString>) -> Cow<'static, str> {
        value.map_or(Cow::Borrowed(""), |value| Cow::Owned(value.to_string()))
    }
    let entry = &kept.entry;
    let event = entry.event();
    let severity = serde_json::to_value(entry.severity()).ok();
    [
        Cow::Owned(entry.sequence().to_string()),
        Cow::Owned(entry.time().to_string()),
        shown(event.map(|event| event.clock)),
        shown(event.map(|event| event.boot)),
        shown(event.map(|event| event.monotonic_ms)),
        shown(severity.as_ref().and_then(|severity| severity.as_str())),
        Cow::Owned(entry.code().to_owned()),
        shown(event.map(|event| event.who.kind.as_str())),
        shown(event.map(|event| &event.who.name)),
        shown(event.and_then(|event| event.from)),
        shown(event.and_then(|event| event.endpoint.as_ref())),
        shown(event.and_then(|event| event.gateway.as_ref())),
        shown(event.and_then(|event| event.grant)),
        shown(event.and_then(|event| event.lasted_ms)),
        entry.summary(),
        Cow::Owned(kept.hash().to_string()),
        Cow::Owned(inert_json(&String::from_utf8_lossy(kept.line()))),
    ]
}

/// JSON in which no browser finds a tag (RFC 8259, section 7, allows each character to be escaped). Outside of strings none of
/// these characters stands.
fn inert_json(line: &str) -> String {
    line.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// A text that a spreadsheet takes for a text and a browser for no tag. What begins as a formula begins with an apostrophe, as
/// OWASP's "CSV Injection" has it, also where a space or a quote stands before it; angle brackets become single quotation marks
/// of the same look, and what does not print a question mark. As it was it stands in the last column.
fn inert(text: &str) -> String {
    let begins = text.trim_start_matches([' ', '"', '\'', '\u{a0}']);
    let is_formula = begins.starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
        || text.starts_with(['\t', '\r', '\n']);
    let marked = is_formula.then_some('\'').into_iter().chain(text.chars());
    marked
        .map(|char| match char {
            '<' => '\u{2039}',
            '>' => '\u{203a}',
            char if char.is_control() => '?',
            char => char,
        })
        .collect()
}

/// A row (RFC 4180, section 2): every cell in quotes, quotes doubled, CRLF at the end.
fn row(to: &mut impl Write, cells: impl Iterator<Item = Cow<'static, str>>) -> io::Result<()> {
    let mut line = String::new();
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            line.push(',');
        }
        line.push('"');
        line.push_str(&inert(&cell).replace('"', "\"\""));
        line.push('"');
    }
    line.push_str("\r\n");
    to.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::{one_of_each, stamp};
    use crate::event::{Draft, Event, Name, What, Who, WhoKind};

    /// Reads RFC 4180, every cell in quotes.
    fn read(csv: &str) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut rest = csv;
        let mut row = Vec::new();
        while !rest.is_empty() {
            let mut cell = String::new();
            let mut chars = rest.strip_prefix('"').expect("a quote").char_indices();
            let end = loop {
                match chars.next().expect("the end of a cell") {
                    (at, '"') if !rest[at + 2..].starts_with('"') => break at + 2,
                    (_, '"') => {
                        chars.next();
                        cell.push('"');
                    }
                    (_, char) => cell.push(char),
                }
            };
            row.push(cell);
            rest = &rest[end..];
            if let Some(next) = rest.strip_prefix("\r\n") {
                rows.push(std::mem::take(&mut row));
                rest = next;
            } else {
                rest = rest.strip_prefix(',').expect("a comma");
            }
        }
        rows
    }

    fn csv(all: &[Kept]) -> Vec<Vec<String>> {
        let mut exporter = Exporter::new(Vec::new(), Format::Csv).unwrap();
        for kept in all {
            exporter.write(kept).unwrap();
        }
        read(&String::from_utf8(exporter.finish().unwrap()).unwrap())
    }

    #[test]
    fn what_a_spreadsheet_would_run_or_a_browser_draw_is_inert_in_every_cell() {
        for evil in [
            "=HYPERLINK(\"http://evil\")",
            "+1+cmd|' /C calc'!A0",
            "-2+3",
            "@SUM(1)",
            " =1",
            "\"=1",
            "\u{ff1d}1",
            "<script>alert(1)</script>",
            "a,b\"c\"\"d",
            "x\u{1b}[2J",
        ] {
            let what = What::Paused { session: Name::of(evil) };
            let mut draft = Draft::new(what, Who::new(WhoKind::Engineer, evil));
            draft.endpoint = Some(Name::of(evil));
            draft.gateway = Some(Name::of(evil));
            let event = Event::new(1, stamp(1), draft);
            let rows = csv(&[event.clone().into()]);
            assert_eq!((rows.len(), rows[0].as_slice()), (2, &COLUMNS.map(String::from)[..]));
            assert_eq!(rows[1].len(), COLUMNS.len());
            for cell in &rows[1] {
                let first = cell.trim_start_matches([' ', '"']).chars().next();
                assert!(!first.is_some_and(|first| "=+-@\u{ff1d}".contains(first)), "{cell}");
                assert!(!cell.contains(['<', '>']) && !cell.chars().any(char::is_control), "{cell}");
            }
            // Nothing is lost by that.
            let line = rows[1].last().unwrap().as_bytes();
            assert_eq!(serde_json::from_slice::<Event>(line).unwrap(), event);
        }
    }

    #[test]
    fn both_forms_have_every_event_and_json_lines_are_those_of_the_log() {
        let name = Name::of("one");
        let all: Vec<Kept> = (1..)
            .zip(one_of_each(
                &name,
                &"text".to_owned().try_into().unwrap(),
                &"l".to_owned().try_into().unwrap(),
            ))
            .map(|(number, what)| Event::new(number, stamp(number), Draft::new(what, Who::device())).into())
            .collect();
        let mut exporter = Exporter::new(Vec::new(), Format::Jsonl).unwrap();
        for kept in &all {
            exporter.write(kept).unwrap();
        }
        assert_eq!(exporter.written(), all.len() as u64);
        let lines = exporter.finish().unwrap();
        let back: Vec<_> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(back, all.iter().map(Kept::line).collect::<Vec<_>>());
        let rows = csv(&all);
        assert_eq!(rows.len(), all.len() + 1);
        for (row, kept) in rows[1..].iter().zip(&all) {
            assert_eq!((row[0].parse(), row[6].as_str()), (Ok(kept.sequence()), kept.entry.code()));
            assert_eq!(row[15], kept.hash().to_string());
        }
    }
}
