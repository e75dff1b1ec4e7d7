//! Reads the log back: in order for receivers, and backwards in pages for people. It changes nothing, and sees only what was
//! acknowledged.

use super::segment::{self, EVENTS};
use super::{Segment, Shelf, disk};
use crate::entry::Kept;
use crate::event::LINE_BYTES;
use crate::filter::Filter;
use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::PoisonError;

/// The most events of a page.
pub const MOST_ON_PAGE: usize = 500;

/// A page, the newest event first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub events: Vec<Kept>,
    /// Where the next page begins, if there is one: before this number.
    pub before: Option<u64>,
}

/// How far a receiver has read, and where that was, so that it is not looked for again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the last event that was read.
    pub sequence: u64,
    place: Option<(u32, u64)>,
}

impl Cursor {
    /// After this event.
    pub fn after(sequence: u64) -> Self {
        Self { sequence, place: None }
    }
}

/// Reads the log. Cloned, it reads the same one.
#[derive(Clone, Debug)]
pub struct Reader {
    folder: PathBuf,
    shelf: Shelf,
}

impl Reader {
    pub(super) fn new(folder: PathBuf, shelf: Shelf) -> Self {
        Self { folder, shelf }
    }

    /// The segments that there are, the oldest first.
    pub fn segments(&self) -> Vec<Segment> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The numbers of the oldest and of the newest event; none when there is none.
    pub fn range(&self) -> Option<(u64, u64)> {
        let segments = self.segments();
        let first = segments.iter().find(|segment| segment.events > 0)?.first;
        let last = segments.iter().rev().find(|segment| segment.events > 0)?.next().saturating_sub(1);
        Some((first, last))
    }

    /// The next events after a cursor, in order, at most so many. Those that were removed meanwhile are passed over: a gap says
    /// that they are missing.
    pub fn after(&self, cursor: &mut Cursor, most: usize) -> io::Result<Vec<Kept>> {
        let mut found = Vec::new();
        for segment in self.segments() {
            if segment.events == 0 || segment.next() <= cursor.sequence.saturating_add(1) {
                continue;
            }
            let from = match cursor.place {
                Some((number, at)) if number == segment.number => at,
                _ => 0,
            };
            self.lines(&segment, from, |at, kept| {
                if kept.sequence() > cursor.sequence {
                    *cursor = Cursor { sequence: kept.sequence(), place: Some((segment.number, at)) };
                    found.push(kept);
                }
                found.len() < most
            })?;
            if found.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    /// Those that a filter wants before a number, the newest first; before the end when none is given.
    pub fn page(&self, filter: &Filter, before: Option<u64>, most: usize) -> io::Result<Page> {
        let most = most.clamp(1, MOST_ON_PAGE);
        let before = before.unwrap_or(u64::MAX);
        let mut page = Page::default();
        for segment in self.segments().into_iter().rev() {
            if segment.events == 0 || segment.first >= before {
                continue;
            }
            // One more than there is room for, to know of a next page.
            let mut wanted = VecDeque::new();
            self.lines(&segment, 0, |_, kept| {
                if kept.sequence() < before && filter.wants(&kept.entry) {
                    wanted.push_back(kept);
                    if wanted.len() > most + 1 {
                        wanted.pop_front();
                    }
                }
                true
            })?;
            for kept in wanted.into_iter().rev() {
                if page.events.len() == most {
                    page.before = page.events.last().map(Kept::sequence);
                    return Ok(page);
                }
                page.events.push(kept);
            }
        }
        Ok(page)
    }

    /// One event by its number.
    pub fn one(&self, sequence: u64) -> io::Result<Option<Kept>> {
        let mut cursor = Cursor::after(sequence.saturating_sub(1));
        let found = self.after(&mut cursor, 1)?;
        Ok(found.into_iter().find(|kept| kept.sequence() == sequence))
    }

    /// All that a filter wants, in order, each given to `take`.
    pub fn each(&self, filter: &Filter, mut take: impl FnMut(&Kept) -> io::Result<()>) -> io::Result<()> {
        for segment in self.segments() {
            let mut taken = Ok(());
            self.lines(&segment, 0, |_, kept| {
                if filter.wants(&kept.entry) {
                    taken = take(&kept);
                }
                taken.is_ok()
            })?;
            taken?;
        }
        Ok(())
    }

    /// The events of a segment from a byte on, with the byte after each, until `take` has had enough. What cannot be read is
    /// passed over: [`super::verify`] tells of it.
    fn lines(&self, segment: &Segment, from: u64, mut take: impl FnMut(u64, Kept) -> bool) -> io::Result<()> {
        let path = segment::path(&self.folder, segment.number).join(EVENTS);
        let mut file = match disk::open(&path, false) {
            Ok(file) => file,
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(from))?;
        let mut reader = BufReader::with_capacity(64 << 10, file.take(segment.bytes.saturating_sub(from)));
        let mut at = from;
        let mut line = Vec::new();
        loop {
            line.clear();
            let most = u64::try_from(LINE_BYTES).unwrap_or(0) + 1;
            let read = (&mut reader).take(most).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            at += u64::try_from(read).unwrap_or(0);
            let kept = line.strip_suffix(b"\n").and_then(|line| Kept::parse(line).ok());
            if let Some(kept) = kept
                && !take(at, kept)
            {
                return Ok(());
            }
        }
    }
}
