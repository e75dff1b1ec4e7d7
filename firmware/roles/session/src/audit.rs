//! The audit's place in the role: what the desk and other roles tell is written down, signed, and read out again. It never decides
//! what happens, and never says what has.

mod read;

use crate::identity::EvidenceKey;
use drawbridge_audit::event::{BootId, Clock, Code, Draft, Gap, Power, Stamp, What, Who, WhoKind};
use drawbridge_audit::log::{Identity as Signs, Journal, Limits, Log, LogError};
use drawbridge_bus::{ClockState, Reply, Role};
use drawbridge_chain::{Text, Utc};
use nix::time::{ClockId, clock_gettime};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// After an event it is waited so long for others, and then they are signed together.
const SIGN_AFTER: Duration = Duration::from_secs(1);
/// A log that could not be opened is tried again after so long.
const OPEN_EVERY: Duration = Duration::from_secs(10);
/// So many events are kept in memory while they cannot be written down.
const WAITING_MOST: usize = 512;
/// The kernel's name for this run of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Says that the role was stopped in order.
const ORDERLY: &str = "ended-in-order";

/// What is known of the clock, from time to time.
#[derive(Clone, Debug)]
struct Time {
    boot: BootId,
    clock: Arc<Mutex<Clock>>,
}

impl Time {
    fn now(&self) -> Stamp {
        let since = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
        Stamp {
            time: Utc::of(SystemTime::now()),
            clock: *lock(&self.clock),
            boot: self.boot,
            monotonic_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[derive(Default)]
struct Inner {
    journal: Option<Journal>,
    tried: Option<tokio::time::Instant>,
    /// What could not be written down yet.
    waiting: Vec<Draft>,
    /// So many more found no room there, behind all that waits.
    lost: u64,
}

impl Inner {
    /// Takes an event, where there is room for it. What found none before it is told in its place.
    fn wait(&mut self, draft: Draft) {
        if self.lost > 0 && self.waiting.len() < WAITING_MOST {
            self.waiting.push(gap(std::mem::take(&mut self.lost)));
        }
        if self.waiting.len() < WAITING_MOST {
            self.waiting.push(draft);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }
}

/// That so many events could not be written down; after which one is known when it is written.
pub(crate) fn gap(events: u64) -> Draft {
    let what = What::AuditGap { first: 0, last: 0, reason: Gap::Unwritten, events: Some(events) };
    Draft::new(what, Who::device())
}

/// Writes the audit.
pub(crate) struct Auditor {
    folder: PathBuf,
    serial: String,
    key: EvidenceKey,
    time: Time,
    /// The highest number that any receiver was told.
    settled: u64,
    inner: tokio::sync::Mutex<Inner>,
    /// The last event's number, also while there is no log.
    last: watch::Sender<u64>,
    trouble: Mutex<String>,
    cursors: read::Cursors,
}

impl Auditor {
    /// Of the log in a folder. `settled` is the highest number that any receiver was told of.
    pub(crate) fn new(folder: &Path, serial: &str, key: EvidenceKey, settled: u64) -> Self {
        let boot = std::fs::read_to_string(BOOT_ID).ok().and_then(|text| BootId::parse(&text));
        if boot.is_none() {
            log::warn!("the kernel does not name this run of the machine; in the audit it has no name");
        }
        Self {
            folder: folder.join("audit"),
            serial: serial.to_owned(),
            key,
            time: Time { boot: boot.unwrap_or(BootId(0)), clock: Arc::new(Mutex::new(Clock::Floor)) },
            settled,
            inner: tokio::sync::Mutex::default(),
            last: watch::Sender::new(0),
            trouble: Mutex::default(),
            cursors: read::Cursors::default(),
        }
    }

    /// What init says of the clock.
    pub(crate) fn clock(&self, state: &ClockState) {
        let clock = match state {
            ClockState::Hardware => Clock::Hardware,
            ClockState::Floor { .. } | ClockState::Ceiling { .. } => Clock::Floor,
            ClockState::Synchronised { .. } => Clock::Ntp,
        };
        *lock(&self.time.clock) = clock;
    }

    /// Writes down that the machine has started, if nothing was written in this run of it yet.
    pub(crate) async fn begin(&self) {
        let marker = self.folder.join(ORDERLY);
        let was_orderly = marker.exists();
        if let Err(error) = std::fs::remove_file(&marker)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            log::warn!("{} cannot be removed: {error}", marker.display());
        }
        let mut inner = self.inner.lock().await;
        self.open(&mut inner);
        let Some(journal) = &inner.journal else { return };
        let last = *journal.last().borrow();
        let (reader, boot) = (journal.reader().clone(), self.time.boot);
        let newest = tokio::task::spawn_blocking(move || reader.one(last)).await;
        let newest = newest.ok().and_then(Result::ok).flatten();
        let newest = newest.as_ref().and_then(|kept| kept.entry.event());
        if last > 0 && newest.is_some_and(|event| event.boot == boot) {
            return;
        }
        let what = if was_orderly || last == 0 { Power::Started } else { Power::StartedAfterCut };
        self.put(&mut inner, vec![Draft::new(What::Power { what }, Who::device())]).await;
    }

    /// Notes that the role ends because it is told to.
    pub(crate) fn end_in_order(&self) {
        let noted = std::fs::File::create(self.folder.join(ORDERLY)).and_then(|file| file.sync_all());
        if let Err(error) = noted {
            log::warn!("the next start is taken for one after a power cut: {error}");
        }
    }

    /// Opens the log, where there is none and it was not tried just now.
    fn open(&self, inner: &mut Inner) {
        let soon = inner.tried.is_some_and(|tried| tried.elapsed() < OPEN_EVERY);
        if inner.journal.is_some() || soon {
            return;
        }
        inner.tried = Some(tokio::time::Instant::now());
        match self.try_open() {
            Ok(journal) => {
                self.last.send_replace(*journal.last().borrow());
                inner.journal = Some(journal);
                self.trouble(String::new());
            }
            Err(why) => {
                log::error!("{why}");
                self.trouble(why);
            }
        }
    }

    fn try_open(&self) -> Result<Journal, String> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new().mode(0o700).create(&self.folder);
        if let Err(error) =
            made.or_else(
                |error| {
                    if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
                },
            )
        {
            return Err(format!(
                "the audit has no folder: {error}; see whether the data partition is full or damaged"
            ));
        }
        let serial = Text::of(if self.serial.is_empty() { "unknown" } else { &self.serial });
        let identity = Signs { serial, key: self.key.public() };
        let told = |error: LogError| error.to_string();
        let (log, opened) =
            Log::open(&self.folder, identity, Limits::default(), self.settled, self.time.now())
                .map_err(told)?;
        if opened.torn_bytes > 0 {
            log::warn!(
                "{} bytes at the audit's end were not whole and are gone: the power was cut",
                opened.torn_bytes
            );
        }
        let time = self.time.clone();
        let started = Journal::start(log, move || time.now());
        started.map(|(journal, _)| journal).map_err(|error| format!("the audit has no thread: {error}"))
    }

    fn trouble(&self, why: String) {
        *lock(&self.trouble) = why;
    }

    /// Writes down what `take` gives, in its order, when it is the turn of this call; whether all of it, and all before it, is on the
    /// disk. What is not is kept in memory and tried with the next.
    pub(crate) async fn write(&self, take: impl FnOnce() -> Vec<Draft>) -> bool {
        let mut inner = self.inner.lock().await;
        let drafts = take();
        self.put(&mut inner, drafts).await
    }

    async fn put(&self, inner: &mut Inner, drafts: Vec<Draft>) -> bool {
        for draft in drafts {
            inner.wait(draft);
        }
        if inner.waiting.is_empty() {
            return true;
        }
        self.open(inner);
        let Some(journal) = inner.journal.clone() else { return false };
        let mut written = self.write_all(inner, &journal).await;
        if written && inner.lost > 0 {
            log::error!("{} events could not be written down and are lost", inner.lost);
            let lost = std::mem::take(&mut inner.lost);
            inner.waiting.push(gap(lost));
            written = self.write_all(inner, &journal).await;
        }
        if written {
            self.trouble(String::new());
        }
        written
    }

    /// Writes down what waits, in its order; whether that was all.
    async fn write_all(&self, inner: &mut Inner, journal: &Journal) -> bool {
        let mut written = 0;
        let mut failed = None;
        for draft in &inner.waiting {
            let Some(draft) = whole(draft, journal).await else {
                written += 1;
                continue;
            };
            match journal.record(draft).await {
                Ok(number) => {
                    written += 1;
                    self.last.send_replace(number);
                }
                Err(why) => {
                    failed = Some(why.to_string());
                    break;
                }
            }
        }
        inner.waiting.drain(..written);
        let Some(why) = failed else { return true };
        log::error!("{} events wait to be written down: {why}", inner.waiting.len());
        self.trouble(why);
        false
    }

    /// An event that another role tells: of a code that it may, put down to somebody whom it may know.
    pub(crate) async fn tell(&self, caller: Role, text: &str) -> Reply {
        let Ok(draft) = Draft::parse(text) else {
            return Reply::NotTaken("this is no event".to_owned());
        };
        if !may_tell(caller, &draft) {
            log::warn!(
                "the {caller} role told of an event {} that is not its to tell",
                draft.what.code().as_str()
            );
            return Reply::NotTaken("this event is not for this role to tell".to_owned());
        }
        if self.write(|| vec![draft]).await {
            Reply::Done
        } else {
            Reply::NotTaken("it could not be written down; it is tried again".to_owned())
        }
    }

    /// Signs what is written and makes room, until the role ends. `settled` says the number of the last event that every receiver has.
    pub(crate) async fn sign(&self, settled: impl Fn() -> Option<u64>) {
        let mut last = self.last.subscribe();
        loop {
            // What the last run has left unsigned comes first.
            let journal = self.inner.lock().await.journal.clone();
            if let Some(journal) = journal {
                if let Err(why) = self.sign_all(&journal).await {
                    log::error!("the audit is not signed: {why}");
                    self.trouble(why);
                }
                let all = *last.borrow_and_update();
                if let Err(why) = journal.make_room(settled().unwrap_or(all)).await {
                    log::error!("the audit has no room made: {why}");
                }
            }
            if last.changed().await.is_err() {
                return;
            }
            tokio::time::sleep(SIGN_AFTER).await;
        }
    }

    async fn sign_all(&self, journal: &Journal) -> Result<(), String> {
        // As many as there are segments, and each once.
        for _ in 0..10_000 {
            let Some(wanted) = journal.to_sign().await.map_err(|why| why.to_string())? else { break };
            let signature = self.key.sign(&wanted.to_sign);
            journal.signed(wanted, signature).await.map_err(|why| why.to_string())?;
        }
        Ok(())
    }
}

/// What is written down of a draft: some of it is known only now.
async fn whole(draft: &Draft, journal: &Journal) -> Option<Draft> {
    let what = match draft.what {
        What::AuditHead { .. } => {
            let (segment, head) = journal.head().await.ok().flatten()?;
            What::AuditHead { head, segment }
        }
        What::AuditGap { reason: Gap::Unwritten, events, .. } => {
            let before = *journal.last().borrow();
            What::AuditGap { first: before, last: before, reason: Gap::Unwritten, events }
        }
        _ => return Some(draft.clone()),
    };
    Some(Draft { what, ..draft.clone() })
}

/// The table of who tells of what. Session itself tells of the rest.
fn may_tell(caller: Role, draft: &Draft) -> bool {
    let code = draft.what.code();
    match caller {
        Role::Console => {
            let codes = matches!(
                code,
                Code::Login
                    | Code::LoginRefused
                    | Code::Logout
                    | Code::SettingChanged
                    | Code::CertificateChanged
                    | Code::KeyChanged
                    | Code::RecordingFetched
                    | Code::AuditExported
            );
            let power = matches!(
                draft.what,
                What::Power { what: Power::Restarting | Power::SwitchingOff } | What::Role { .. }
            );
            (codes || power) && draft.who.kind != WhoKind::Engineer
        }
        Role::Recorder => {
            let codes = matches!(
                code,
                Code::Command
                    | Code::File
                    | Code::Forward
                    | Code::RecordingClosed
                    | Code::RecordingFailed
                    | Code::RecordingRemoved
            );
            codes && matches!(draft.who.kind, WhoKind::Engineer | WhoKind::Device)
        }
        _ => false,
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
