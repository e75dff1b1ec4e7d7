//! All that one end of a cable sends, to show that a machine is silent or what it says unasked. It never stops a frame.

use super::cable::Frame;
use super::observe::summary;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The oldest frames are forgotten beyond this.
const LIMIT: usize = 100_000;

/// A frame that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Since the test began.
    pub at: Duration,
    /// The whole frame.
    pub frame: Frame,
}

impl std::fmt::Display for Recorded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "[{:10.3}] {}", self.at.as_secs_f64(), summary(&self.frame))
    }
}

type Frames = Arc<Mutex<VecDeque<Recorded>>>;

/// What was recorded so far, and what will be.
#[derive(Debug, Clone)]
pub struct Recording(Frames);

/// The network's side of it.
#[derive(Debug)]
pub(super) struct Sink {
    frames: Frames,
    began: Instant,
}

impl Recording {
    pub(super) fn new(began: Instant) -> (Self, Sink) {
        let frames = Frames::default();
        (Self(Arc::clone(&frames)), Sink { frames, began })
    }

    /// The frames, oldest first.
    pub fn frames(&self) -> Vec<Recorded> {
        self.lock().iter().cloned().collect()
    }

    /// Begins anew, such as after the moment that a machine needs to fall silent.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// A line for each frame for which this is true, for an assertion that there is none: it shows what came instead.
    pub fn list(&self, which: impl Fn(&[u8]) -> bool) -> Vec<String> {
        self.lock().iter().filter(|recorded| which(&recorded.frame)).map(ToString::to_string).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Recorded>> {
        lock(&self.0)
    }
}

impl Sink {
    pub(super) fn take(&self, now: Instant, frame: &Frame) {
        let mut frames = lock(&self.frames);
        if frames.len() >= LIMIT {
            frames.pop_front();
        }
        let at = now.saturating_duration_since(self.began);
        frames.push_back(Recorded { at, frame: Frame::clone(frame) });
    }
}

fn lock(frames: &Frames) -> MutexGuard<'_, VecDeque<Recorded>> {
    frames.lock().unwrap_or_else(PoisonError::into_inner)
}
