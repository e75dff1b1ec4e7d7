//! The machine's serial line: all that it ever said, with times, and ways to wait for it. It never changes what was said.

mod text;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use text::{Cleaner, Transcript};

pub use text::Line;

/// How many of the last lines an error quotes.
const QUOTED_LINES: usize = 40;

/// A machine that talks without end must not fill the memory: what comes after is read and thrown away.
const TEXT_LIMIT: usize = 32 << 20;

/// What was waited for did not come.
#[derive(Debug, thiserror::Error)]
pub enum SerialError {
    /// In time.
    #[error("{speaker} did not say {wanted} within {within:.1?}. It said last:\n{tail}")]
    TimedOut {
        /// Who: the serial line, or a program.
        speaker: String,
        /// The pattern.
        wanted: String,
        /// The bound.
        within: Duration,
        /// The last lines.
        tail: String,
    },
    /// Before the machine or program ended.
    #[error("{speaker} ended before it said {wanted}. It said last:\n{tail}")]
    Ended {
        /// Who.
        speaker: String,
        /// The pattern.
        wanted: String,
        /// The last lines.
        tail: String,
    },
    /// What must not come came first.
    #[error("{speaker} said \"{said}\" while {wanted} was waited for. It said last:\n{tail}")]
    Instead {
        /// Who.
        speaker: String,
        /// The line.
        said: String,
        /// The pattern.
        wanted: String,
        /// The last lines.
        tail: String,
    },
    /// Nothing can be typed.
    #[error("cannot write to the serial line: {0}")]
    Write(std::io::Error),
}

/// A place in the text. What was said before it is the past: two boots can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(usize);

/// What to wait for.
pub trait Pattern {
    /// Where in the text it begins and ends, if it is there. The text may end amid a line; the wait goes on until that
    /// line is whole.
    fn find(&self, text: &str) -> Option<(usize, usize)>;
    /// How an error names it.
    fn describe(&self) -> String;
}

impl Pattern for &str {
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        text.find(*self).map(|at| (at, at + self.len()))
    }
    fn describe(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Pattern for String {
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        Pattern::find(&self.as_str(), text)
    }
    fn describe(&self) -> String {
        self.as_str().describe()
    }
}

/// A predicate sees whole lines only.
impl<F: Fn(&str) -> bool> Pattern for F {
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        let mut at = 0;
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            if self(line.trim_end_matches('\n')) {
                return Some((at, at + line.len()));
            }
            at += line.len();
        }
        None
    }
    fn describe(&self) -> String {
        "a line of the wanted kind".to_owned()
    }
}

/// The lab's end of a serial line.
#[derive(Debug)]
pub struct Serial {
    speaker: String,
    shared: Arc<Shared>,
    writer: Mutex<UnixStream>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    transcript: Transcript,
    cursor: Cursor,
    ended: bool,
}

/// Where the text goes besides into memory.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// A file that gets every line with its time.
    pub(crate) log: Option<File>,
    /// A word to put before each line on the lab's standard output.
    pub(crate) echo: Option<String>,
    /// Who speaks, for errors; the serial line unless said.
    pub(crate) speaker: Option<String>,
}

impl Serial {
    /// Reads the line from now on.
    pub(crate) fn start(stream: UnixStream, started: Instant, copies: Copies) -> std::io::Result<Self> {
        let reader = stream.try_clone()?;
        let speaker = copies.speaker.clone().unwrap_or_else(|| "the serial line".to_owned());
        let state = State { transcript: Transcript::new(started), cursor: Cursor(0), ended: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("serial".into()).spawn(move || read_all(reader, &theirs, copies))?;
        Ok(Self { speaker, shared, writer: Mutex::new(stream) })
    }

    /// Waits until the text after the last match holds the pattern and the line in which the match begins is whole, and
    /// returns that line. The next wait looks behind this match only. Who speaks may write a line in pieces: half of
    /// one never counts, so a prompt without a line's end cannot be waited for.
    #[allow(clippy::needless_pass_by_value, reason = "texts and closures are written at the call")]
    pub fn wait_for(&self, pattern: impl Pattern, within: Duration) -> Result<Line, SerialError> {
        self.wait_for_before(pattern, |_: &str| false, within)
    }

    /// The same, but a text that holds the other pattern (such as `Kernel panic`) before the wanted one is an error at once.
    #[allow(clippy::needless_pass_by_value, reason = "texts and closures are written at the call")]
    pub fn wait_for_before(
        &self,
        pattern: impl Pattern,
        dreaded: impl Pattern,
        within: Duration,
    ) -> Result<Line, SerialError> {
        let deadline = crate::time::deadline(within);
        let mut state = self.shared.lock();
        loop {
            let from = state.cursor.0;
            let text = state.transcript.since(from);
            let found = pattern.find(text);
            let first = found.map_or(usize::MAX, |(start, _)| start);
            if let Some((start, _)) = dreaded.find(text).filter(|(start, _)| *start < first) {
                let said = state.transcript.line_at(from + start).text;
                let (wanted, tail) = (pattern.describe(), state.transcript.tail(QUOTED_LINES));
                return Err(SerialError::Instead { speaker: self.speaker.clone(), said, wanted, tail });
            }
            if let Some((start, end)) = found
                && let Some(line) = state.transcript.whole_line_at(from + start)
            {
                state.cursor = Cursor(from + end);
                return Ok(line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                let (wanted, tail) = (pattern.describe(), state.transcript.tail(QUOTED_LINES));
                return Err(if state.ended {
                    SerialError::Ended { speaker: self.speaker.clone(), wanted, tail }
                } else {
                    SerialError::TimedOut { speaker: self.speaker.clone(), wanted, within, tail }
                });
            }
            (state, _) =
                self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the text since a place holds the pattern, now. The place of the next [`Serial::wait_for`] stays.
    #[allow(clippy::needless_pass_by_value, reason = "texts and closures are written at the call")]
    pub fn said(&self, pattern: impl Pattern, since: Cursor) -> bool {
        pattern.find(self.shared.lock().transcript.since(since.0)).is_some()
    }

    /// The end of the text now.
    pub fn end(&self) -> Cursor {
        Cursor(self.shared.lock().transcript.len())
    }

    /// The very beginning.
    pub fn beginning() -> Cursor {
        Cursor(0)
    }

    /// The next [`Serial::wait_for`] looks from here.
    pub fn look_from(&self, place: Cursor) {
        self.shared.lock().cursor = place;
    }

    /// All that was said, without escape sequences and carriage returns.
    pub fn text(&self) -> String {
        self.shared.lock().transcript.since(0).to_owned()
    }

    /// All whole lines so far, with the time since the test began at which each was complete.
    pub fn lines(&self) -> Vec<Line> {
        self.shared.lock().transcript.lines()
    }

    /// The last lines.
    pub fn tail(&self, lines: usize) -> String {
        self.shared.lock().transcript.tail(lines)
    }

    /// Waits until whoever speaks has hung up, so that no more will come; false when that takes longer.
    pub(crate) fn wait_for_end(&self, within: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, within, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Types text.
    pub fn write(&self, text: &str) -> Result<(), SerialError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(text.as_bytes()).map_err(SerialError::Write)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_all(mut reader: UnixStream, shared: &Shared, mut copies: Copies) {
    let mut cleaner = Cleaner::default();
    let mut buffer = [0; 4096];
    // The end of the stream is the end of the machine. An error is as good.
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        let mut clean = String::new();
        cleaner.clean(buffer.get(..count).unwrap_or_default(), &mut clean);
        let mut state = shared.lock();
        let fresh = if state.transcript.len() < TEXT_LIMIT {
            state.transcript.append(&clean, Instant::now())
        } else {
            Vec::new()
        };
        drop(state);
        shared.changed.notify_all();
        copies.write(&fresh);
    }
    let mut state = shared.lock();
    let rest = state.transcript.append("\n", Instant::now());
    state.ended = true;
    drop(state);
    shared.changed.notify_all();
    copies.write(&rest);
}

impl Copies {
    fn write(&mut self, lines: &[Line]) {
        let mut text = String::new();
        for line in lines {
            let _ = writeln!(text, "[{:10.3}] {}", line.at.as_secs_f64(), line.text);
            if let Some(prefix) = &self.echo {
                println!("{prefix} {}", line.text);
            }
        }
        if let Some(log) = &mut self.log {
            let _ = log.write_all(text.as_bytes());
        }
    }
}

/// The file that a serial line is logged to.
pub(crate) fn log_file(path: &Path) -> Result<File, crate::LabError> {
    File::create(path).map_err(crate::LabError::file("make", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Serial, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Serial::start(ours, Instant::now(), Copies::default()).unwrap(), theirs)
    }

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_match_is_found_once_so_that_two_boots_are_told_apart() {
        let (serial, mut machine) = pair();
        machine.write_all(b"boot\r\nready\r\nboot\r\nrea").unwrap();
        assert_eq!(serial.wait_for("ready", SOON).unwrap().text, "ready");
        assert!(serial.wait_for("ready", Duration::from_millis(50)).is_err());
        machine.write_all(b"dy\r\n").unwrap();
        serial.wait_for("ready", SOON).unwrap();
        serial.look_from(Serial::beginning());
        serial.wait_for(|line: &str| line.starts_with("boo"), SOON).unwrap();
    }

    #[test]
    fn a_line_that_comes_in_pieces_is_waited_for_until_it_is_whole() {
        let (serial, mut machine) = pair();
        machine.write_all(b"found ").unwrap();
        assert!(serial.wait_for("found", Duration::from_millis(50)).is_err());
        let rest = std::thread::spawn(move || {
            for piece in ["sa.local ", "9000", "\r\n"] {
                std::thread::sleep(Duration::from_millis(20));
                machine.write_all(piece.as_bytes()).unwrap();
            }
            machine
        });
        assert_eq!(serial.wait_for("found", SOON).unwrap().text, "found sa.local 9000");
        // The last line of one that hangs up is whole as it stands.
        let mut machine = rest.join().unwrap();
        machine.write_all(b"gone").unwrap();
        drop(machine);
        assert_eq!(serial.wait_for("gone", SOON).unwrap().text, "gone");
    }

    #[test]
    fn an_error_quotes_the_last_lines_and_tells_a_silent_machine_from_an_ended_one() {
        let (serial, mut machine) = pair();
        for number in 0..100 {
            writeln!(machine, "line {number}").unwrap();
        }
        serial.wait_for("line 99", SOON).unwrap();
        let late = serial.wait_for("never", Duration::from_millis(10)).unwrap_err().to_string();
        assert!(late.contains("\"never\" within") && late.contains("line 60\n") && !late.contains("line 59"));
        drop(machine);
        let ended = serial.wait_for("never", SOON).unwrap_err();
        assert!(matches!(ended, SerialError::Ended { .. }));
    }

    #[test]
    fn what_must_not_come_ends_the_wait() {
        let (serial, mut machine) = pair();
        machine.write_all(b"booting\nKernel panic - not syncing\nready\n").unwrap();
        serial.wait_for_before("booting", "Kernel panic", SOON).unwrap();
        let error = serial.wait_for_before("ready", "Kernel panic", SOON).unwrap_err();
        assert!(matches!(error, SerialError::Instead { said, .. } if said.starts_with("Kernel panic - not")));
        serial.wait_for("ready", SOON).unwrap();
    }

    #[test]
    fn what_is_typed_arrives() {
        let (serial, mut machine) = pair();
        serial.write("ls\n").unwrap();
        let mut typed = [0; 3];
        machine.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"ls\n");
    }
}
