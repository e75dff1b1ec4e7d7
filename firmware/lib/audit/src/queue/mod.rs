//! Delivers the log to one receiver: in order, at least once, from where it was before a restart. A receiver that is down, slow
//! or refuses holds up nobody but itself; nothing is kept here but how far it has come.

mod pace;
mod position;

pub use drawbridge_settings::store::SaveError;
pub use pace::{BackOff, LONGEST};
pub use position::{Place, Positions};

use crate::entry::Kept;
use crate::filter::Filter;
use crate::log::Cursor;
use crate::sink::{Failure, Sink};
use drawbridge_chain::Utc;
use serde::Serialize;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

#[cfg(test)]
mod tests;

/// So many that wait are counted.
pub const COUNTED: u64 = 10_000;
/// How long one attempt may take, whatever the receiver does.
const ATTEMPT: Duration = Duration::from_mins(2);

/// Tells the time of day.
pub type Now = Arc<dyn Fn() -> Utc + Send + Sync>;

/// How a receiver stands, for the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SinkState {
    /// Its name.
    pub name: &'static str,
    /// Whether the last attempt worked; none before the first.
    pub is_up: Option<bool>,
    /// Since when that is so, in milliseconds since 1970.
    pub since_ms: u64,
    /// The number of the last event that it has for good, or does not want.
    pub settled: u64,
    /// So many events wait for it; [`COUNTED`] stands for that many and more.
    pub backlog: u64,
    /// When the oldest of them was written, in milliseconds since 1970.
    pub oldest_ms: Option<u64>,
    /// Why the last attempt failed.
    pub error: Option<Failure>,
    /// So many attempts in a row have failed.
    pub failures: u32,
    /// When the next one is, in milliseconds since 1970.
    pub next_try_ms: Option<u64>,
}

/// Where a receiver begins that was never told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest event that there is.
    Oldest,
    /// With those that come.
    Now,
}

/// Sees how a receiver stands, and may have it tried at once. Cloned, it sees the same one.
#[derive(Clone, Debug)]
pub struct Watch {
    state: watch::Receiver<SinkState>,
    now: Arc<Notify>,
}

impl Watch {
    /// How it stands.
    pub fn state(&self) -> SinkState {
        self.state.borrow().clone()
    }

    /// To wait for a change.
    pub fn changes(&self) -> watch::Receiver<SinkState> {
        self.state.clone()
    }

    /// Has the next attempt made now.
    pub fn try_now(&self) {
        self.now.notify_one();
    }
}

/// The number of the last event that all of these have; none when there is no receiver.
pub fn settled_by_all<'a>(all: impl IntoIterator<Item = &'a Watch>) -> Option<u64> {
    all.into_iter().map(|one| one.state.borrow().settled).min()
}

/// Gives events out in order: the log itself, or somebody who asks for them elsewhere. Cloned, it reads the same ones.
pub trait Events: Clone + Send + Sync + 'static {
    /// The next events after a cursor, at most so many, and how far was read for them.
    fn after(
        &self,
        cursor: Cursor,
        most: usize,
    ) -> impl Future<Output = io::Result<(Vec<Kept>, Cursor)>> + Send;
}

impl Events for crate::log::Reader {
    async fn after(&self, mut cursor: Cursor, most: usize) -> io::Result<(Vec<Kept>, Cursor)> {
        let reader = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let found = crate::log::Reader::after(&reader, &mut cursor, most)?;
            Ok((found, cursor))
        });
        read.await.unwrap_or_else(|_| Err(io::Error::other("its reader has ended")))
    }
}

/// Delivers the log to one receiver.
pub struct Queue<S, E, P> {
    sink: S,
    filter: Filter,
    events: E,
    last: watch::Receiver<u64>,
    positions: P,
    now: Now,
    state: watch::Sender<SinkState>,
    try_now: Arc<Notify>,
    back_off: BackOff,
    cursor: Cursor,
    /// What is on the disk.
    saved: u64,
    /// The number of the last event that was sent and is not settled.
    unsettled: Option<u64>,
}

impl<S, E, P> std::fmt::Debug for Queue<S, E, P> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Queue").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

/// What a queue is made of.
#[derive(Debug)]
pub struct Source<E, P> {
    /// The events.
    pub events: E,
    /// The number of the last one.
    pub last: watch::Receiver<u64>,
    /// Where the position is kept.
    pub positions: P,
}

impl<S: Sink, E: Events, P: Place> Queue<S, E, P> {
    /// A queue to a receiver of this name, which is told of what `filter` wants.
    pub fn new(
        name: &'static str,
        sink: S,
        filter: Filter,
        source: Source<E, P>,
        begin: Begin,
        now: Now,
    ) -> (Self, Watch) {
        let Source { events, last, positions } = source;
        let saved = positions.load().unwrap_or_else(|| {
            let settled = if begin == Begin::Now { *last.borrow() } else { 0 };
            // Without it, what comes before the first delivery would not be told after a restart.
            if let Err(error) = positions.save(settled) {
                log::warn!("{name}: {error}");
            }
            settled
        });
        let state = SinkState {
            name,
            is_up: None,
            since_ms: now().millis(),
            settled: saved,
            backlog: 0,
            oldest_ms: None,
            error: None,
            failures: 0,
            next_try_ms: None,
        };
        let (state, watched) = watch::channel(state);
        let try_now = Arc::new(Notify::new());
        let watch = Watch { state: watched, now: Arc::clone(&try_now) };
        let queue = Self {
            sink,
            filter,
            events,
            last,
            positions,
            now,
            state,
            try_now,
            back_off: BackOff::default(),
            cursor: Cursor::after(saved),
            saved,
            unsettled: None,
        };
        (queue, watch)
    }

    /// Delivers until the log ends. Dropping what it gives stops it, and nothing is lost by that.
    pub async fn run(mut self) {
        loop {
            let from = self.cursor;
            let is_over = self.last.has_changed().is_err();
            self.last.mark_unchanged();
            let (batch, after) = match self.read(from).await {
                Ok(read) => read,
                Err(error) => {
                    let failure = Failure::new(
                        &format!("the audit cannot be read: {error}"),
                        "See whether the data partition is damaged.",
                    );
                    self.failed(failure).await;
                    continue;
                }
            };
            if batch.is_empty() {
                if after.sequence > from.sequence {
                    self.cursor = after;
                    self.settle(None);
                    continue;
                }
                if is_over {
                    return;
                }
                self.rest().await;
                continue;
            }
            let wait = self.sink.wait(&batch);
            if !wait.is_zero() {
                self.count(batch.len(), batch.first());
                tokio::select! {
                    () = sleep(wait) => {}
                    // What comes now may be worse, or fill the message.
                    changed = self.last.changed() => if changed.is_err() { sleep(wait).await },
                    () = self.try_now.notified() => {}
                }
                if !self.sink.wait(&batch).is_zero() {
                    continue;
                }
            }
            self.deliver(batch, after).await;
        }
    }

    /// The next events that are wanted, and how far was read for them.
    async fn read(&mut self, from: Cursor) -> io::Result<(Vec<Kept>, Cursor)> {
        let (mut batch, after) = self.events.after(from, self.sink.batch().max(1)).await?;
        batch.retain(|kept| self.filter.wants(&kept.entry));
        Ok((batch, after))
    }

    async fn deliver(&mut self, batch: Vec<Kept>, after: Cursor) {
        let last = batch.last().map_or(after.sequence, Kept::sequence);
        let late = || {
            let progress = crate::sink::Progress::default();
            let text = format!("the receiver does not take events within {} s", ATTEMPT.as_secs());
            (progress, Some(Failure::new(&text, "See whether it is overloaded, or something on the way is.")))
        };
        let attempt = tokio::time::timeout(ATTEMPT, self.sink.deliver(&batch)).await;
        let (progress, failure) = attempt.unwrap_or_else(|_| late());
        // No receiver settles what it was not sent.
        let settled = progress.settled.min(last);
        if let Some(failure) = failure {
            if settled > self.saved {
                self.save(settled);
            }
            self.failed(failure).await;
            return;
        }
        self.back_off.worked();
        if progress.sent >= last {
            self.cursor = after;
        } else {
            self.cursor = Cursor::after(progress.sent.max(self.cursor.sequence));
        }
        self.unsettled = (settled < progress.sent).then_some(progress.sent);
        self.settle(Some(settled));
        self.worked();
    }

    /// Nothing is to be delivered: waits for an event, or for what was sent to be settled.
    async fn rest(&mut self) {
        tokio::select! {
            changed = self.last.changed() => drop(changed),
            () = self.try_now.notified() => {}
            settled = self.sink.idle() => match settled {
                Ok(settled) => self.settle(Some(settled)),
                // Nobody waits for anything: the next event opens it again.
                Err(failure) if self.unsettled.is_none() => log::debug!("{failure}"),
                Err(failure) => self.failed(failure).await,
            },
        }
    }

    /// Keeps how far the receiver has come.
    fn settle(&mut self, settled: Option<u64>) {
        if let (Some(unsettled), Some(settled)) = (self.unsettled, settled)
            && settled >= unsettled
        {
            self.unsettled = None;
        }
        let settled = match (self.unsettled, settled) {
            // All that was sent is settled, and what was read and not wanted is too.
            (None, _) => self.cursor.sequence,
            (Some(_), Some(settled)) => settled,
            (Some(_), None) => return,
        };
        if settled > self.saved {
            self.save(settled);
        }
    }

    fn save(&mut self, settled: u64) {
        match self.positions.save(settled) {
            Ok(()) => self.saved = settled,
            // It is delivered all the same, and perhaps again after a restart.
            Err(error) => log::warn!("{}: {error}", self.state.borrow().name),
        }
        let waiting = self.unsettled.map_or(0, |sent| sent.saturating_sub(settled));
        self.state.send_modify(|state| {
            state.settled = settled;
            if state.is_up == Some(true) {
                (state.backlog, state.oldest_ms) = (waiting, None);
            }
        });
    }

    fn count(&self, backlog: usize, oldest: Option<&Kept>) {
        self.state.send_modify(|state| {
            state.backlog = u64::try_from(backlog).unwrap_or(COUNTED);
            state.oldest_ms = oldest.map(|kept| kept.entry.time().millis());
        });
    }

    fn worked(&self) {
        let now = (self.now)().millis();
        let waiting = self.unsettled.map_or(0, |sent| sent.saturating_sub(self.saved));
        self.state.send_modify(|state| {
            if state.is_up != Some(true) {
                state.since_ms = now;
            }
            state.is_up = Some(true);
            (state.error, state.failures, state.next_try_ms) = (None, 0, None);
            (state.backlog, state.oldest_ms) = (waiting, None);
        });
    }

    /// Goes back to what is settled, and waits before another attempt.
    async fn failed(&mut self, failure: Failure) {
        self.unsettled = None;
        let settled = self.state.borrow().settled;
        self.cursor = Cursor::after(settled);
        let wait = self.back_off.failed();
        let (backlog, oldest) = waiting(&self.events, &self.filter, settled).await;
        let now = (self.now)();
        self.state.send_modify(|state| {
            if state.is_up != Some(false) {
                state.since_ms = now.millis();
                log::warn!("{} takes no events of the audit: {failure}", state.name);
            }
            state.is_up = Some(false);
            state.error = Some(failure);
            state.failures = self.back_off.tries();
            state.next_try_ms = Some(now.after(wait).millis());
            (state.backlog, state.oldest_ms) = (backlog, oldest.map(Utc::millis));
        });
        tokio::select! {
            () = sleep(wait) => {}
            () = self.try_now.notified() => {}
        }
    }
}

/// How many events wait after a number, and since when.
async fn waiting(events: &impl Events, filter: &Filter, after: u64) -> (u64, Option<Utc>) {
    let mut cursor = Cursor::after(after);
    let (mut count, mut oldest) = (0, None);
    while count < COUNTED {
        let Ok((batch, next)) = events.after(cursor, 256).await else { break };
        cursor = next;
        if batch.is_empty() {
            break;
        }
        for kept in batch.iter().filter(|kept| filter.wants(&kept.entry)) {
            count += 1;
            oldest = oldest.or(Some(kept.entry.time()));
        }
    }
    (count.min(COUNTED), oldest)
}
