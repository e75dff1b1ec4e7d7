//! From a byte of a file to what a person finds there: the frame of a terminal, or the line of a list; it never shows the content.

use crate::source::Source;
use drawbridge_chain::{Break, Report, Utc};
use drawbridge_recording::{Files as _, FrameReader, terminal_of};
use std::io::{BufRead, BufReader, Read as _};
use std::time::Duration;

/// A frame of a terminal.
#[derive(Clone, Copy)]
pub(crate) struct FrameAt {
    /// From 1.
    pub(crate) number: u64,
    /// Its time; of the one before it when its own cannot be read; none when there is none before.
    pub(crate) time: Option<Utc>,
    /// After the recording's beginning.
    pub(crate) after: Option<Duration>,
}

/// What a break's block is of: the places between which it is.
pub(crate) enum Found {
    /// Frames of a terminal, the first and the last.
    Frames(FrameAt, FrameAt),
    /// A line, and what follows.
    Line(u64),
}

/// Finds it, where it is in a track that can be read.
pub(crate) fn find(wrong: &Break, report: &Report, source: &Source) -> Option<Found> {
    let place = wrong.place()?;
    let name = place.track.as_ref()?.as_str();
    let section = source.open(name).ok()??;
    if terminal_of(name).is_none() {
        let mut number = 1;
        let mut before = BufReader::new(section).take(place.from);
        loop {
            let part = before.fill_buf().ok()?;
            if part.is_empty() {
                return Some(Found::Line(number));
            }
            number += part.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
            let length = part.len();
            before.consume(length);
        }
    }
    let mut frames = FrameReader::new(BufReader::new(section));
    let (mut first, mut time) = (None, None);
    loop {
        let Ok(Some(frame)) = frames.next_frame() else {
            // From here on nothing can be told apart.
            let last = at(frames.count() + 1, time, report);
            return Some(Found::Frames(first.unwrap_or(last), last));
        };
        time = Some(frame.time);
        let here = at(frames.count(), time, report);
        if frames.bytes() > place.from {
            first.get_or_insert(here);
        }
        if let Some(first) = first.filter(|_| frames.bytes() >= place.to) {
            return Some(Found::Frames(first, here));
        }
    }
}

fn at(number: u64, time: Option<Duration>, report: &Report) -> FrameAt {
    let millis = |time: Duration| u64::try_from(time.as_millis()).ok();
    let start = Duration::from_millis(report.header.start.millis());
    FrameAt {
        number,
        time: time.and_then(millis).and_then(Utc::from_millis),
        after: time.map(|time| time.saturating_sub(start)),
    }
}
