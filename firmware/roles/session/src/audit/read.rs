//! Reads the audit out for the console and the courier: lines, pages, files, and what a verifier says. It changes nothing.

use super::{Auditor, lock};
use drawbridge_audit::log::{Cursor, Reader};
use drawbridge_audit::{Filter, Kept};
use drawbridge_bus::audit::{
    AUDIT_BYTES, AUDIT_FILES_MOST, AUDIT_LINES_MOST, AUDIT_PART_BYTES, AuditChecked, AuditLines, AuditPage,
    AuditState, FILTER_BYTES,
};
use drawbridge_bus::{Refusal, Reply};
use drawbridge_chain::{Expected, FILE};
use std::collections::VecDeque;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

/// So long it is waited for an event where there is none: well within what a question of the bus may take.
const WAIT: Duration = Duration::from_secs(5);
/// The track of a segment's folder.
const EVENTS: &str = "events.jsonl";
/// So many places are kept at which somebody has stopped reading, so that he need not be looked for again.
const CURSORS_MOST: usize = 8;

/// Where readers have stopped.
#[derive(Debug, Default)]
pub(super) struct Cursors(Mutex<VecDeque<Cursor>>);

impl Cursors {
    fn take(&self, after: u64) -> Cursor {
        let mut all = lock(&self.0);
        let place = all.iter().position(|cursor| cursor.sequence == after);
        place.and_then(|place| all.remove(place)).unwrap_or(Cursor::after(after))
    }

    fn put(&self, cursor: Cursor) {
        let mut all = lock(&self.0);
        all.push_back(cursor);
        while all.len() > CURSORS_MOST {
            all.pop_front();
        }
    }
}

/// As many of these as fit one answer.
fn fitting(kept: Vec<Kept>) -> Vec<Kept> {
    let mut bytes = 0;
    kept.into_iter()
        .take_while(|one| {
            bytes += one.line().len() + 8;
            bytes <= AUDIT_BYTES
        })
        .collect()
}

fn text(kept: &Kept) -> String {
    // A line is JSON, and was read as such.
    String::from_utf8_lossy(kept.line()).into_owned()
}

fn cannot(error: &io::Error) -> Reply {
    Reply::NotTaken(format!("the audit cannot be read: {error}; see whether the data partition is damaged"))
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(io::Error::other("its reader has ended")))
}

impl Auditor {
    async fn reader(&self) -> Option<Reader> {
        let mut inner = self.inner.lock().await;
        self.open(&mut inner);
        inner.journal.as_ref().map(|journal| journal.reader().clone())
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// The next lines; with `wait`, when there are any, or after some seconds, or when `woken` says so.
    pub(crate) async fn after(&self, after: u64, most: u16, wait: bool, woken: &Notify) -> Reply {
        if wait && self.last() <= after {
            let mut last = self.last.subscribe();
            tokio::select! {
                () = woken.notified() => {}
                _ = tokio::time::timeout(WAIT, last.wait_for(|last| *last > after)) => {}
            }
        }
        let last = self.last();
        let Some(reader) = self.reader().await else { return Reply::Refused(Refusal::NotNow) };
        let (mut cursor, most) = (self.cursors.take(after), usize::from(most.clamp(1, AUDIT_LINES_MOST)));
        let read = apart(move || {
            let found = reader.after(&mut cursor, most)?;
            Ok((found, cursor))
        });
        match read.await {
            Ok((found, cursor)) => {
                let (before, found) = (found.len(), fitting(found));
                if found.len() == before {
                    self.cursors.put(cursor);
                }
                Reply::AuditLines(Box::new(AuditLines { lines: found.iter().map(text).collect(), last }))
            }
            Err(error) => cannot(&error),
        }
    }

    /// A page for people.
    pub(crate) async fn page(&self, filter: &str, before: Option<u64>, most: u16) -> Reply {
        let filter: Filter =
            match Some(filter).filter(|text| text.len() <= FILTER_BYTES).map(serde_json::from_str) {
                Some(Ok(filter)) => filter,
                _ => return Reply::NotTaken("this is no filter".to_owned()),
            };
        let Some(reader) = self.reader().await else { return Reply::Refused(Refusal::NotNow) };
        let most = usize::from(most.clamp(1, AUDIT_LINES_MOST));
        match apart(move || reader.page(&filter, before, most)).await {
            Ok(page) => {
                let (whole, next) = (page.events.len(), page.before);
                let events = fitting(page.events);
                let before = if events.len() < whole { events.last().map(Kept::sequence) } else { next };
                Reply::AuditPage(Box::new(AuditPage { lines: events.iter().map(text).collect(), before }))
            }
            Err(error) => cannot(&error),
        }
    }

    /// How it stands.
    pub(crate) async fn state(&self) -> Reply {
        let journal = {
            let mut inner = self.inner.lock().await;
            self.open(&mut inner);
            inner.journal.clone()
        };
        let trouble = lock(&self.trouble).clone();
        let mut state = AuditState { range: None, bytes: 0, head: None, key: self.key.public().0, trouble };
        if let Some(journal) = journal {
            let segments = journal.reader().segments();
            state.range = journal.reader().range();
            state.bytes = segments.iter().map(|segment| segment.disk_bytes).sum();
            state.head = journal.head().await.ok().flatten().map(|(segment, head)| (segment, head.0));
        }
        Reply::AuditState(Box::new(state))
    }

    /// Its files, as the program that verifies them offline wants them.
    pub(crate) async fn files(&self) -> Reply {
        let Some(reader) = self.reader().await else { return Reply::Refused(Refusal::NotNow) };
        let folder = self.folder.clone();
        let listed = apart(move || {
            let mut files = Vec::new();
            for segment in reader.segments() {
                // The chain first: it vouches for no more than the track then has.
                for file in [FILE, EVENTS] {
                    let name = format!("{:08}/{file}", segment.number);
                    let bytes = folder.join(&name).metadata()?.len();
                    files.push((name, bytes));
                }
            }
            files.truncate(AUDIT_FILES_MOST);
            Ok(files)
        });
        listed.await.map_or_else(|error| cannot(&error), Reply::AuditFiles)
    }

    /// A part of one of them.
    pub(crate) async fn part(&self, file: &str, offset: u64, most: u32) -> Reply {
        let fits = file.split_once('/').is_some_and(|(number, name)| {
            number.len() == 8
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && (name == FILE || name == EVENTS)
        });
        if !fits {
            return Reply::NotTaken("there is no such file in the audit".to_owned());
        }
        let path = self.folder.join(file);
        let most = most.min(AUDIT_PART_BYTES);
        match apart(move || part(&path, offset, most)).await {
            Ok((bytes, length)) => Reply::AuditPart(bytes, length),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Reply::NotTaken("there is no such file in the audit any more".to_owned())
            }
            Err(error) => cannot(&error),
        }
    }

    /// Verifies it as it is on the disk.
    pub(crate) async fn verify(&self) -> Reply {
        let (folder, key) = (self.folder.clone(), self.key.public());
        let checked = apart(move || {
            drawbridge_audit::log::verify(&folder, &Expected::Key(key)).map_err(io::Error::other)
        });
        match checked.await {
            Ok(checked) => Reply::AuditChecked(Box::new(AuditChecked {
                segments: u32::try_from(checked.segments.len()).unwrap_or(u32::MAX),
                proved: checked.proved,
                faults: checked.faults,
            })),
            Err(error) => Reply::NotTaken(error.to_string()),
        }
    }
}

fn part(path: &Path, offset: u64, most: u32) -> io::Result<(Vec<u8>, u64)> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(most.into()).read_to_end(&mut bytes)?;
    Ok((bytes, length))
}
