//! Shows how far a long step is, every ten seconds or, on a terminal, in place; it decides nothing.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How often the line is written anew on a terminal.
const REDRAW_EVERY: Duration = Duration::from_secs(1);

/// The display of one job.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    processor_before: Duration,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// Begins to count now.
    pub(super) fn begin() -> Self {
        let terminal = stderr().is_terminal();
        Self { begun: Instant::now(), processor_before: processor_of_children(), shown: None, terminal }
    }

    /// How long until [`Progress::show`] has something to do.
    pub(super) fn pause(&self) -> Duration {
        self.shown.map_or(Duration::ZERO, |shown| self.every().saturating_sub(shown.elapsed()))
    }

    /// Shows `step`, if the last time is long enough ago.
    pub(super) fn show(&mut self, step: &str) {
        if self.pause().is_zero() {
            self.shown = Some(Instant::now());
            let line = format!("kernel: {step}, {} so far", minutes(self.begun.elapsed()));
            // To the line's start, and clear what was there (ECMA-48, erase in line). A message that cannot be shown
            // is no reason to stop building.
            let _ =
                if self.terminal { write!(stderr(), "\r{line}\x1b[K") } else { writeln!(stderr(), "{line}") };
        }
    }

    /// Begins another step, which is shown at once.
    pub(super) fn step(&mut self, step: &str) {
        self.shown = None;
        self.show(step);
    }

    /// Says what it took.
    pub(super) fn end(mut self, done: &str) {
        let processor = processor_of_children().saturating_sub(self.processor_before);
        self.clear();
        let _ = writeln!(
            stderr(),
            "kernel: {done} in {}, {} CPU minutes",
            minutes(self.begun.elapsed()),
            tenths_of_minutes(processor)
        );
    }

    /// Takes the line off the terminal, so that what comes next has its own.
    fn clear(&mut self) {
        if self.terminal && self.shown.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    fn every(&self) -> Duration {
        if self.terminal { REDRAW_EVERY } else { LINE_EVERY }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What ended children of this process and theirs have used of the processors, for themselves and in the system.
fn processor_of_children() -> Duration {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(Duration::ZERO, |usage| {
        let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
    })
}

fn minutes(time: Duration) -> String {
    format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
}

fn tenths_of_minutes(time: Duration) -> String {
    let tenths = time.as_secs().div_ceil(6);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(minutes(Duration::from_secs(65)), "1 min 05 s");
        assert_eq!(tenths_of_minutes(Duration::from_secs(90)), "1.5");
    }
}
