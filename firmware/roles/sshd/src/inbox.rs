//! What a client has sent on a channel and its reader has not taken yet: bounded, and never in the way of other channels for
//! long. It never looks into the bytes.
//!
//! The transport opens a channel's window again as soon as bytes are here, so the window bounds nothing: whoever puts bytes
//! in waits instead, and the whole connection with him. He waits until there is room, but never longer than [`TURN`] at a
//! time, so that what goes the other way gets its turn: a reader may be waiting for just that. A reader that takes nothing
//! at all while his buffer is full loses his channel: soon when other channels wait behind it, late when it is alone.

use crate::line::Line;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// From here on the sender waits.
const FULL: usize = 1024 * 1024;
/// More than this is never held.
const BRIMFUL: usize = 2 * FULL;
/// How long the sender waits at a time.
const TURN: Duration = Duration::from_millis(100);
/// How long a reader may take nothing, beside others and alone.
const PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE_ALONE: Duration = Duration::from_mins(1);

/// The reader has taken nothing for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stalled;

#[derive(Debug)]
pub(crate) struct Inbox {
    line: Arc<Line>,
    state: Mutex<State>,
    /// There is something to take, or nothing will come any more.
    fresh: Notify,
    /// Something was taken, or nobody takes anything any more.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Nothing will come any more.
    is_ended: bool,
    /// Nobody takes anything any more.
    is_shut: bool,
    /// Since when it has been full and nothing has been taken.
    stands_since: Option<Instant>,
}

impl Inbox {
    pub(crate) fn new(line: Arc<Line>) -> Arc<Self> {
        Arc::new(Self { line, state: Mutex::default(), fresh: Notify::new(), room: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes in. They are thrown away when nobody takes anything any more.
    pub(crate) async fn put(&self, bytes: &[u8]) -> Result<(), Stalled> {
        loop {
            if self.put_if(bytes, FULL, self.line.is_full()) {
                return Ok(());
            }
            let since = *self.state().stands_since.get_or_insert_with(Instant::now);
            if timeout(TURN, self.room.notified()).await.is_ok() {
                continue;
            }
            let patience = if self.line.has_one_channel() { PATIENCE_ALONE } else { PATIENCE };
            if self.line.is_cut() || (since.elapsed() >= patience && self.state().stands_since == Some(since))
            {
                return Err(Stalled);
            }
            if self.put_if(bytes, BRIMFUL, self.line.is_brimful()) {
                return Ok(());
            }
        }
    }

    fn put_if(&self, bytes: &[u8], most: usize, no_room: bool) -> bool {
        let mut state = self.state();
        if state.is_shut || state.is_ended {
            return true;
        }
        // One that holds nothing takes what comes, whatever the others hold: its reader is waiting.
        if !state.bytes.is_empty() && (no_room || state.bytes.len() + bytes.len() > most) {
            return false;
        }
        state.bytes.extend(bytes);
        self.line.holds(bytes.len());
        drop(state);
        self.fresh.notify_one();
        true
    }

    /// Nothing will come any more. What is there is still taken.
    pub(crate) fn end(&self) {
        self.state().is_ended = true;
        self.fresh.notify_one();
    }

    /// Nobody takes anything any more.
    pub(crate) fn shut(&self) {
        let mut state = self.state();
        state.is_shut = true;
        let bytes = std::mem::take(&mut state.bytes);
        drop(state);
        self.line.lets_go(bytes.len());
        self.room.notify_one();
        self.fresh.notify_one();
    }

    /// Takes at most so many bytes; none at the end.
    pub(crate) async fn take(&self, most: usize) -> Option<Vec<u8>> {
        loop {
            {
                let mut state = self.state();
                if state.is_shut {
                    return None;
                }
                if !state.bytes.is_empty() {
                    let count = most.min(state.bytes.len());
                    let bytes: Vec<u8> = state.bytes.drain(..count).collect();
                    state.stands_since = None;
                    if state.bytes.is_empty() && state.bytes.capacity() > 64 * 1024 {
                        state.bytes = VecDeque::new();
                    }
                    drop(state);
                    self.line.lets_go(bytes.len());
                    self.room.notify_one();
                    return Some(bytes);
                }
                if state.is_ended {
                    return None;
                }
            }
            self.fresh.notified().await;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let left = self.state().bytes.len();
        self.line.lets_go(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_bus::support::Level;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Semaphore;

    async fn line(channels: usize) -> Arc<Line> {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let all = Arc::new(AtomicUsize::new(0));
        let line = Arc::new(Line::new(1, String::new(), socket.into(), place, all, 8, Level::Direct));
        for _ in 0..channels {
            Arc::clone(&line.channels).acquire_owned().await.unwrap().forget();
        }
        line
    }

    fn run(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(test);
    }

    /// Puts pieces in until one is refused, and says how many bytes that were.
    async fn fill(inbox: &Inbox) -> usize {
        let piece = vec![7; 16 * 1024];
        for count in 0..100_000 {
            if inbox.put(&piece).await.is_err() {
                return count * piece.len();
            }
        }
        panic!("it never fills");
    }

    #[test]
    fn a_reader_that_stands_still_beside_others_loses_his_channel_within_two_seconds() {
        run(async {
            let inbox = Inbox::new(line(2).await);
            let began = Instant::now();
            let held = fill(&inbox).await;
            assert!((FULL..=BRIMFUL).contains(&held), "{held}");
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        });
    }

    #[test]
    fn a_reader_that_is_alone_has_a_minute_and_holds_no_more_for_that() {
        run(async {
            let inbox = Inbox::new(line(1).await);
            let began = Instant::now();
            assert!(fill(&inbox).await <= BRIMFUL);
            assert!((60..90).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        });
    }

    #[test]
    fn a_slow_reader_gets_everything_and_keeps_his_channel() {
        run(async {
            let inbox = Inbox::new(line(2).await);
            let reader = {
                let inbox = Arc::clone(&inbox);
                tokio::spawn(async move {
                    let mut all = 0;
                    while let Some(bytes) = inbox.take(16 * 1024).await {
                        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == number(all + at)));
                        all += bytes.len();
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                    all
                })
            };
            let whole = 3 * BRIMFUL;
            let bytes: Vec<u8> = (0..whole).map(number).collect();
            for piece in bytes.chunks(16 * 1024) {
                inbox.put(piece).await.unwrap();
            }
            inbox.end();
            assert_eq!(reader.await.unwrap(), whole);
        });
    }

    fn number(at: usize) -> u8 {
        u8::try_from(at % 251).unwrap()
    }

    #[test]
    fn what_is_held_is_counted_for_the_connection_and_let_go_with_it() {
        run(async {
            let line = line(8).await;
            let inboxes: Vec<_> = (0..8).map(|_| Inbox::new(Arc::clone(&line))).collect();
            for inbox in &inboxes {
                fill(inbox).await;
            }
            assert!(line.is_full());
            drop(inboxes);
            assert!(!line.is_full());
            let inbox = Inbox::new(Arc::clone(&line));
            inbox.put(b"a").await.unwrap();
            inbox.shut();
            // Nobody takes it: it is thrown away.
            inbox.put(b"b").await.unwrap();
            assert_eq!(inbox.take(1).await, None);
        });
    }
}
