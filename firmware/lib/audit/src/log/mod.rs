//! The log: events on the disk, chained and signed, in segments of bounded size. What was acknowledged outlives a power cut at
//! any instant; it never signs and never waits for a signature, and removes nothing that a receiver still waits for before the
//! disk's bound.
//!
//! ```text
//!   00000001/  chain.jsonl  events.jsonl     ended, its end signed
//!   00000002/  chain.jsonl  events.jsonl     begins with the hash of the line that ended the one before
//!   lock                                     held by whoever writes
//! ```
//!
//! A segment that is full is ended at once, and its signature may come later: the next one continues the line that ended it.

mod disk;
mod journal;
mod read;
mod segment;
mod verify;

pub use journal::{Journal, Stopped};
pub use read::{Cursor, MOST_ON_PAGE, Page, Reader};
pub use segment::{Identity, Segment};
pub use verify::{Checked, SegmentReport, verify};

use crate::event::{Draft, Event, Gap, LINE_BYTES, Rotation, Stamp, What, Who};
use drawbridge_chain::{ChainError, DeviceKey, Hash, Kind, Signature, ToSign, Utc};
use segment::Active;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

#[cfg(test)]
pub(crate) mod tests;

/// The most events that are appended at once.
pub const MOST_AT_ONCE: usize = 256;

/// How much room the log may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A segment whose events have so many bytes is ended.
    pub segment_bytes: u64,
    /// Beyond so many bytes in all, the oldest segments go that every receiver has had.
    pub keep_bytes: u64,
    /// Beyond so many bytes in all, the oldest go whoever waits for them, and a gap is written down.
    pub most_bytes: u64,
}

impl Default for Limits {
    /// 4 MiB, 64 MiB and 256 MiB: at a hundred events a day and half a kilobyte each, many years.
    fn default() -> Self {
        Self { segment_bytes: 4 << 20, keep_bytes: 64 << 20, most_bytes: 256 << 20 }
    }
}

/// Why something was not written down.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk.
    #[error("the audit could not {0}: {1}; see whether the data partition is full or damaged")]
    Disk(&'static str, io::Error),
    /// The chain.
    #[error("the audit could not be written: {0}")]
    Chain(#[from] ChainError),
    /// A segment is damaged.
    #[error("a segment of the audit is damaged: {0}")]
    Damaged(String),
    /// Another process has it.
    #[error("another process writes the audit in this folder already; end it first")]
    Busy,
    /// Too many at once.
    #[error("at most {MOST_AT_ONCE} events can be written at once, and none of more than {LINE_BYTES} bytes")]
    Many,
    /// The numbers of segments are used up.
    #[error("the audit has no number for another segment; begin another folder and keep this one")]
    Full,
    /// Nobody waits for this signature.
    #[error("this signature was not asked for, or too long ago")]
    NotAsked,
}

impl LogError {
    /// Whether a segment cannot go on, whatever the disk does.
    fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Disk(_, error) => matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::Other
            ),
            _ => false,
        }
    }

    /// Whether the disk has no room.
    pub fn is_full(&self) -> bool {
        let of = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        };
        match self {
            Self::Disk(_, error)
            | Self::Chain(ChainError::Chain(error) | ChainError::Track { error, .. }) => of(error),
            _ => false,
        }
    }
}

/// What is to be signed, and in which segment it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The segment.
    pub segment: u32,
    /// What the holder of the key signs.
    pub to_sign: ToSign,
}

/// What was found when the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// So many bytes of a line that was not whole were dropped: a cut has left it, and nobody was told that it was written.
    pub torn_bytes: u64,
    /// The last segment is damaged; it is kept as it is, and another one has begun.
    pub damaged: bool,
}

/// Segments that can be read, shared with readers.
type Shelf = Arc<RwLock<Vec<Segment>>>;

/// The log. One process has it, and in it one thread.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    identity: Identity,
    limits: Limits,
    /// Ended segments, the oldest first.
    ended: VecDeque<Segment>,
    /// None after a failure, until it can be opened again.
    active: Option<Active>,
    /// How far the one that failed had come.
    failed: Option<(u32, u64, (u64, u64))>,
    /// Ends that wait for their signature.
    unsigned: BTreeMap<u32, ToSign>,
    shelf: Shelf,
    next: u64,
    /// The number of the last event that every receiver has had.
    settled: Option<u64>,
    _lock: File,
}

impl Log {
    /// Opens the log in a folder that is there already, or begins it. `settled` is the number of the last event that any
    /// receiver has had, so that no number is given twice even when the log is lost.
    pub fn open(
        folder: &Path,
        identity: Identity,
        limits: Limits,
        settled: u64,
        now: Stamp,
    ) -> Result<(Self, Opened), LogError> {
        let lock = File::options().create(true).append(true).open(folder.join("lock"));
        let lock = lock.map_err(|error| LogError::Disk("open its lock", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(LogError::Busy),
            Err(std::fs::TryLockError::Error(error)) => return Err(LogError::Disk("take its lock", error)),
        }
        let numbers = segment::numbers(folder).map_err(|error| LogError::Disk("list its segments", error))?;
        let mut log = Self {
            folder: folder.to_owned(),
            identity,
            limits,
            ended: VecDeque::new(),
            active: None,
            failed: None,
            unsigned: BTreeMap::new(),
            shelf: Shelf::default(),
            next: 1,
            settled: None,
            _lock: lock,
        };
        let opened = log.take_up(&numbers, settled, now)?;
        log.show();
        Ok((log, opened))
    }

    /// Takes up the segments of an earlier run.
    fn take_up(&mut self, numbers: &[u32], settled: u64, now: Stamp) -> Result<Opened, LogError> {
        let mut opened = Opened::default();
        let mut lost: Vec<(u64, u64)> = Vec::new();
        let mut link = None;
        let mut reason = None;
        for (index, number) in numbers.iter().copied().enumerate() {
            let path = segment::path(&self.folder, number);
            let is_last = index + 1 == numbers.len();
            let tail = segment::tail(&path).unwrap_or_default();
            let range = match tail.end {
                Some(_) => segment::ends(&path, tail.sealed),
                None => segment::range(&path),
            };
            let range = range.unwrap_or_default();
            let first = range.map_or(self.next, |(first, _)| first);
            if index > 0 && first > self.next {
                lost.push((self.next, first - 1));
            }
            link = tail.end.or(tail.head);
            if !is_last || tail.end.is_some() {
                self.keep(number, range, &tail);
                continue;
            }
            match Active::open(&self.folder, (number, first), now.time) {
                Ok((active, torn)) => {
                    opened.torn_bytes = torn;
                    self.next = active.about.next().max(self.next);
                    self.active = Some(active);
                }
                Err(error) if error.is_damage() => {
                    log::error!("the audit's segment {number} is kept as it is, and another begins: {error}");
                    opened.damaged = true;
                    reason = Some(Rotation::Damaged);
                    self.keep(number, range, &tail);
                }
                Err(error) => return Err(error),
            }
        }
        if self.next <= settled {
            lost.push((self.next, settled));
            self.next = settled + 1;
            // The numbers in a segment have no gap.
            if self.active.is_some() {
                link = self.end_active("events are missing", now.time)?;
                reason = Some(Rotation::Damaged);
            }
        }
        let has_other_key = self.active.as_ref().is_some_and(|active| active.key() != self.identity.key);
        if has_other_key {
            link = self.end_active("the appliance has another key", now.time)?;
            reason = Some(Rotation::Key);
        }
        if self.active.is_none() {
            let number = self.number_after(numbers.last().copied())?;
            let reason = reason.or_else(|| numbers.last().map(|_| Rotation::Full));
            self.begin(number, link, reason, now)?;
        }
        for (first, last) in lost {
            let what = What::AuditGap { first, last, reason: Gap::Damaged, events: None };
            self.append_events(vec![Draft::new(what, Who::device())], now)?;
        }
        Ok(opened)
    }

    fn number_after(&self, last: Option<u32>) -> Result<u32, LogError> {
        let last = last.max(self.ended.back().map(|segment| segment.number)).unwrap_or(0);
        last.checked_add(1).filter(|number| *number <= 99_999_999).ok_or(LogError::Full)
    }

    /// Notes an ended segment.
    fn keep(&mut self, number: u32, range: Option<(u64, u64)>, tail: &segment::Tail) {
        let path = segment::path(&self.folder, number);
        let (first, events) = range
            .map_or((self.next, 0), |(first, last)| (first, last.saturating_sub(first).saturating_add(1)));
        self.next = self.next.max(first.saturating_add(events));
        if let (Some(mark), false) = (tail.end, tail.is_signed) {
            self.unsigned.insert(number, ToSign { kind: Kind::Audit, mark });
        }
        let bytes = path.join(segment::EVENTS).metadata().map_or(0, |about| about.len());
        // Of a damaged one all that can be read is shown.
        let bytes = if tail.end.is_some() { tail.sealed.min(bytes) } else { bytes };
        let disk_bytes = segment::disk_bytes(&path);
        self.ended.push_back(Segment { number, first, events, bytes, disk_bytes });
    }

    /// Ends the segment that is written to; the hash of the line that ends it.
    fn end_active(&mut self, reason: &str, now: Utc) -> Result<Option<Hash>, LogError> {
        let Some(mut active) = self.active.take() else { return Ok(None) };
        if let Err(error) = active.end(reason, now) {
            self.failed = Some((active.about.number, active.about.first, active.acknowledged()));
            return Err(error);
        }
        let head = active.head();
        let number = active.about.number;
        if active.key() == self.identity.key {
            self.unsigned.insert(number, ToSign { kind: Kind::Audit, mark: head });
        }
        self.ended.push_back(active.about.clone());
        Ok(Some(head))
    }

    /// Begins a segment, and says in it why.
    fn begin(
        &mut self,
        number: u32,
        link: Option<Hash>,
        reason: Option<Rotation>,
        now: Stamp,
    ) -> Result<(), LogError> {
        self.active =
            Some(Active::create(&self.folder, (number, self.next), &self.identity, link, now.time)?);
        if let Some(reason) = reason {
            let what = What::AuditRotated { segment: number, head: link, reason };
            self.append_events(vec![Draft::new(what, Who::device())], now)?;
        }
        Ok(())
    }

    /// Writes events down, and returns their numbers when they are on the disk. After an error none of them is in the log, and
    /// the next call tries anew.
    pub fn append(&mut self, drafts: Vec<Draft>, now: Stamp) -> Result<Vec<u64>, LogError> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        if drafts.len() > MOST_AT_ONCE {
            return Err(LogError::Many);
        }
        let appended = self.ready(now).and_then(|()| self.append_events(drafts.clone(), now));
        let appended = match appended {
            // What every receiver has had makes room, once.
            Err(error) if error.is_full() && self.remove_settled() => {
                self.ready(now).and_then(|()| self.append_events(drafts, now))
            }
            appended => appended,
        };
        self.show();
        appended
    }

    /// Makes sure that there is a segment with room.
    fn ready(&mut self, now: Stamp) -> Result<(), LogError> {
        if let Some((number, first, acknowledged)) = self.failed {
            let (active, _) = Active::open_to(&self.folder, (number, first), now.time, Some(acknowledged))?;
            self.failed = None;
            self.active = Some(active);
        }
        let is_full = match &self.active {
            Some(active) => active.is_ended() || active.about.bytes >= self.limits.segment_bytes,
            None => true,
        };
        if is_full {
            self.rotate(now)?;
        }
        Ok(())
    }

    fn rotate(&mut self, now: Stamp) -> Result<(), LogError> {
        let link = self.end_active("full", now.time)?;
        // A segment that was ended and could not be followed, because the disk failed in between.
        let last = self.ended.back().map(|segment| segment.number);
        let link = match (link, last) {
            (None, Some(number)) => {
                let tail = segment::tail(&segment::path(&self.folder, number)).unwrap_or_default();
                tail.end.or(tail.head)
            }
            (link, _) => link,
        };
        let number = self.number_after(last)?;
        self.begin(number, link, Some(Rotation::Full), now)
    }

    fn append_events(&mut self, drafts: Vec<Draft>, now: Stamp) -> Result<Vec<u64>, LogError> {
        let Some(active) = &mut self.active else {
            return Err(LogError::Disk("find its segment", io::ErrorKind::NotFound.into()));
        };
        let mut numbers = Vec::with_capacity(drafts.len());
        let mut lines = Vec::with_capacity(drafts.len());
        for (sequence, draft) in (self.next..).zip(drafts) {
            let line = Event::new(sequence, now, draft).encode();
            if line.len() > LINE_BYTES {
                return Err(LogError::Many);
            }
            numbers.push(sequence);
            lines.push(line);
        }
        if let Err(error) = active.append(&lines) {
            self.fail();
            return Err(error);
        }
        self.next = active.about.next();
        Ok(numbers)
    }

    /// The segment that is written to has failed: at once back to what was acknowledged, or else with the next call.
    fn fail(&mut self) {
        if let Some(active) = self.active.take() {
            self.failed = Some((active.about.number, active.about.first, active.acknowledged()));
        }
    }

    /// What waits for a signature, the oldest first; the same until it is signed.
    pub fn to_sign(&mut self, now: Stamp) -> Result<Option<Wanted>, LogError> {
        if let Some((segment, to_sign)) = self.unsigned.first_key_value() {
            return Ok(Some(Wanted { segment: *segment, to_sign: *to_sign }));
        }
        self.ready(now)?;
        let Some(active) = &mut self.active else { return Ok(None) };
        let segment = active.about.number;
        let wanted = active.waiting(now.time);
        if wanted.is_err() {
            self.fail();
        }
        self.show();
        Ok(wanted?.map(|to_sign| Wanted { segment, to_sign }))
    }

    /// Takes the signature of what [`Log::to_sign`] gave.
    pub fn signed(&mut self, of: &Wanted, signature: Signature, now: Stamp) -> Result<(), LogError> {
        if self.unsigned.get(&of.segment) == Some(&of.to_sign) {
            let first = self.ended.iter().find(|segment| segment.number == of.segment);
            let first = first.map_or(1, |segment| segment.first);
            let (mut ended, _) = Active::open(&self.folder, (of.segment, first), now.time)?;
            ended.signed(&of.to_sign, signature)?;
            self.unsigned.remove(&of.segment);
            return Ok(());
        }
        let active = self.active.as_mut().filter(|active| active.about.number == of.segment);
        let active = active.ok_or(LogError::NotAsked)?;
        match active.signed(&of.to_sign, signature) {
            // What was not asked for, or is wrong, has not touched the chain.
            Err(LogError::Chain(error @ (ChainError::NotAsked | ChainError::WrongSignature))) => {
                Err(error.into())
            }
            Err(error) => {
                self.fail();
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Removes what there is no room for. `settled` is the number of the last event that every enabled receiver has had; the
    /// last number when there is none.
    pub fn make_room(&mut self, settled: u64, now: Stamp) -> Result<(), LogError> {
        self.settled = Some(settled);
        while self.bytes() > self.limits.keep_bytes {
            if !self.remove_settled() {
                break;
            }
        }
        while self.bytes() > self.limits.most_bytes {
            let Some(oldest) = self.ended.front().cloned() else { break };
            // First it is written down, so that nothing is missing that nobody was told of.
            let (first, last) = (oldest.first, oldest.next().saturating_sub(1));
            let what = What::AuditGap { first, last, reason: Gap::NoRoom, events: None };
            self.append(vec![Draft::new(what, Who::device())], now)?;
            self.remove_oldest()?;
        }
        self.show();
        Ok(())
    }

    /// Removes the oldest segment if every receiver has had it; whether one was removed.
    fn remove_settled(&mut self) -> bool {
        let settled = self.settled.unwrap_or(0);
        if self.ended.front().is_none_or(|oldest| oldest.next() > settled.saturating_add(1)) {
            return false;
        }
        match self.remove_oldest() {
            Ok(()) => true,
            Err(error) => {
                log::error!("{error}");
                false
            }
        }
    }

    fn remove_oldest(&mut self) -> Result<(), LogError> {
        let Some(oldest) = self.ended.pop_front() else { return Ok(()) };
        self.unsigned.remove(&oldest.number);
        self.show();
        segment::remove(&self.folder, oldest.number)
            .map_err(|error| LogError::Disk("remove its oldest segment", error))
    }

    /// So many bytes on the disk.
    pub fn bytes(&self) -> u64 {
        let active = self.active.as_ref().map(|active| active.about.disk_bytes);
        self.ended.iter().map(|segment| segment.disk_bytes).chain(active).sum()
    }

    /// The number of the last event; 0 when there is none.
    pub fn last(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The segment that is written to, and the hash of its chain's last line: kept elsewhere, it shows whether anything was cut
    /// off.
    pub fn head(&self) -> Option<(u32, Hash)> {
        self.active.as_ref().map(|active| (active.about.number, active.head()))
    }

    /// Whose key signs it.
    pub fn key(&self) -> DeviceKey {
        self.identity.key
    }

    /// For whoever reads.
    pub fn reader(&self) -> Reader {
        Reader::new(self.folder.clone(), Arc::clone(&self.shelf))
    }

    /// Lets readers see what was acknowledged.
    fn show(&self) {
        let active = self.active.as_ref().map(|active| active.about.clone());
        let mut readers = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        if active.is_none() && self.failed.is_some() {
            // What was acknowledged before a failure can still be read.
            return;
        }
        *readers = self.ended.iter().cloned().chain(active).collect();
    }
}
