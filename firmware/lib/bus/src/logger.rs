//! A role's log: each line to standard error, where init reads it, with its severity in front. It never keeps one.
//!
//! The form is the kernel's own, `<6>text` (RFC 5424 severities), so that a line that was written by something else,
//! a panic message for one, is read as well.

use crate::message::{LOG_LINE_BYTES, Level};
use std::io::Write as _;

struct Logger {
    /// Where lines are written to, where it is not standard error.
    file: std::sync::OnceLock<std::fs::File>,
}

static LOGGER: Logger = Logger { file: std::sync::OnceLock::new() };

impl log::Log for Logger {
    fn enabled(&self, line: &log::Metadata<'_>) -> bool {
        // What the SSH library says below an error, its peer makes it say as often as he likes; roles say themselves what counts.
        line.level() <= log::Level::Error || !line.target().starts_with("russh")
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = Level::from(record.level());
        let line = clean(&record.args().to_string());
        // One write a line: lines of several threads do not mix. A log that cannot be written is no reason to fail.
        let line = format!("<{}>{line}\n", level.severity());
        let _ = match self.file.get() {
            Some(mut file) => file.write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    fn flush(&self) {}
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warning,
            log::Level::Info => Level::Info,
            log::Level::Debug | log::Level::Trace => Level::Debug,
        }
    }
}

impl Level {
    /// The severity's number (RFC 5424, section 6.2.1).
    pub const fn severity(self) -> u8 {
        match self {
            Level::Error => 3,
            Level::Warning => 4,
            Level::Info => 6,
            Level::Debug => 7,
        }
    }

    /// The level that stands for a severity from 0 to 7.
    pub const fn of_severity(severity: u8) -> Self {
        match severity {
            0..=3 => Level::Error,
            4 => Level::Warning,
            5 | 6 => Level::Info,
            _ => Level::Debug,
        }
    }
}

/// Sends the `log` crate's lines of this process to init, from `info` up.
pub fn start() {
    // A second call finds a logger there already, which is this one.
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

/// [`start`], for a process whose standard error is an engineer's: lines go to this file.
pub fn start_to(file: std::fs::File) {
    let _ = LOGGER.file.set(file);
    start();
}

/// The severity that stands in front of a line, and the rest of it, made fit to be shown ([`clean`]).
pub fn read_line(line: &[u8]) -> (Level, String) {
    let text = String::from_utf8_lossy(line);
    let (level, rest) = match text.as_bytes() {
        [b'<', digit @ b'0'..=b'7', b'>', ..] => (Level::of_severity(digit - b'0'), &text[3..]),
        _ => (Level::Info, &*text),
    };
    (level, clean(rest))
}

/// A text as one line that can do nothing to a terminal: control characters become `·`, and what is beyond
/// [`LOG_LINE_BYTES`] is cut off and marked with `…`.
pub fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LOG_LINE_BYTES));
    for c in text.trim_end().chars() {
        let shown = if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            '·'
        } else {
            c
        };
        if line.len() + shown.len_utf8() > LOG_LINE_BYTES - '…'.len_utf8() {
            line.push('…');
            break;
        }
        line.push(shown);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_do_nothing_to_a_terminal() {
        assert_eq!(read_line(b"<3>\x1b[2Jred\r\n"), (Level::Error, "·[2Jred".to_owned()));
        assert_eq!(read_line(b"<9>x\xff"), (Level::Info, "<9>x\u{fffd}".to_owned()));
        assert_eq!(clean("a\u{202e}b"), "a·b");
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let line = clean(&"ü".repeat(LOG_LINE_BYTES));
        assert!(line.len() <= LOG_LINE_BYTES && line.ends_with('…'));
    }
}
