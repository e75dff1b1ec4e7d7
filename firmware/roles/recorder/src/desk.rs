//! Which connection has which recording: begins them, gives each what is its own, and has them closed. It writes nothing itself, and
//! waits for a recording only on behalf of whoever asked.

use crate::closer::Closer;
use crate::customer::Customer;
use crate::live::{Live, cut};
use crate::shelf::Shelf;
use crate::signer::{Keyhole, Signer};
use crate::teller::{Known, Teller};
use crate::worker::{Job, Kept, Start, Worker};
use drawbridge_bus::Reply;
use drawbridge_bus::record::{
    Deed, LIVE_MOST, RecordAsk, RecordingFacts, RecordingId, RecordingLine, WORDS_BYTES,
};
use drawbridge_chain::Utc;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The most recordings at one time: as many connections as the SSH daemon takes, and some that are just ending.
const RECORDINGS_MOST: usize = LIVE_MOST + 4;
/// The longest name in the facts of a recording, in bytes.
const NAME_BYTES: usize = 800;
/// How long ending all recordings may take.
const ENDED_WITHIN: Duration = Duration::from_secs(4);

/// Why a recording ends that nobody has ended.
const CUT: &str = "cut: the connection was cut, or whoever wrote it down was ended";

/// A connection's recording.
struct Entry {
    live: Arc<Live>,
    worker: Worker,
}

/// What connections have.
#[derive(Default)]
struct Table {
    entries: BTreeMap<u64, Entry>,
    /// Recordings that are being made, in the table or not yet, or not any more.
    running: BTreeSet<RecordingId>,
    /// How often all were ended.
    times: u64,
    is_shut: bool,
}

/// The desk.
pub(crate) struct Desk {
    table: Mutex<Table>,
    shelf: Arc<Shelf>,
    signer: Signer,
    keyhole: Keyhole,
    closer: Closer,
    teller: Arc<Teller>,
    customer: Arc<Customer>,
}

impl Desk {
    pub(crate) fn new(
        shelf: Arc<Shelf>,
        signer: Signer,
        keyhole: Keyhole,
        closer: Closer,
        teller: Arc<Teller>,
        customer: Arc<Customer>,
    ) -> Self {
        Self { table: Mutex::default(), shelf, signer, keyhole, closer, teller, customer }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Each change is one step: what a panic leaves is whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection does something.
    pub(crate) async fn record(&self, connection: u64, ask: RecordAsk) -> Reply {
        let kept = match ask {
            RecordAsk::Begin(facts) => self.begin(connection, &facts).await,
            RecordAsk::End(reason) => self.end(connection, &reason).await,
            ask => {
                let known = Known::of(&ask);
                let kept = self.ask(connection, Job::Record(ask)).await;
                if let (Ok(()), Some(known), Some(live)) = (&kept, known, self.live_of(connection)) {
                    self.teller.recorded(connection, &live.facts, known).await;
                }
                kept
            }
        };
        reply(kept)
    }

    /// A shell process of a connection has done something.
    pub(crate) async fn deed(&self, connection: u64, deed: Deed) -> Reply {
        let told = deed.clone();
        let kept = self.ask(connection, Job::Deed(deed)).await;
        if let (Ok(()), Some(live)) = (&kept, self.live_of(connection)) {
            self.teller.deed(&live.facts, &told).await;
        }
        reply(kept)
    }

    fn live_of(&self, connection: u64) -> Option<Arc<Live>> {
        self.table().entries.get(&connection).map(|entry| Arc::clone(&entry.live))
    }

    async fn ask(&self, connection: u64, job: Job) -> Kept {
        let (live, kept) = {
            let table = self.table();
            let entry = table.entries.get(&connection).ok_or_else(unknown)?;
            let failed = entry.live.failed();
            if !failed.is_empty() {
                return Err(failed);
            }
            (Arc::clone(&entry.live), entry.worker.ask(job))
        };
        let kept = answer(kept).await;
        // An ask that makes no sense is no failure of the recording.
        let failed = live.failed();
        if kept.is_err() && !failed.is_empty() {
            self.teller.failed(&live.id, &live.facts, &failed).await;
        }
        kept
    }

    async fn begin(&self, connection: u64, facts: &RecordingFacts) -> Kept {
        // Whoever had this number before has gone, or there would be no other with it.
        let before = self.table().entries.remove(&connection);
        if let Some(entry) = before {
            log::warn!(
                "connection {connection} begins while it is recorded: the recording {} is cut",
                entry.live.id
            );
            self.finish(entry, CUT).await;
        }
        let key = self.keyhole.key().await.map_err(|error| {
            format!("the device's key for evidence is not known, so that nothing can be signed: {error}")
        })?;
        let (id, now) = self.name()?;
        let seconds = i64::try_from(now.millis() / 1000).unwrap_or(i64::MAX);
        let live = Arc::new(Live::new(id.clone(), connection, bounded(facts), seconds));
        let times = {
            let mut table = self.table();
            if table.is_shut {
                return Err("the appliance is being shut down".to_owned());
            }
            if table.running.len() >= RECORDINGS_MOST {
                return Err(format!("{RECORDINGS_MOST} connections are recorded already: end one of them"));
            }
            table.running.insert(id.clone());
            table.times
        };
        let worker = match self.start(Arc::clone(&live), key).await {
            Ok(worker) => worker,
            Err(why) => {
                self.table().running.remove(&id);
                log::error!("connection {connection} is not recorded: {why}");
                // Nothing of it is there, or what is there is closed.
                if self.shelf.folder_of(&id).exists() {
                    self.closer.close(id, "it could not begin");
                }
                return Err(why);
            }
        };
        let entry = Entry { live, worker };
        let late = {
            let mut table = self.table();
            if table.times == times {
                table.entries.insert(connection, entry);
                None
            } else {
                Some(entry)
            }
        };
        match late {
            None => {
                log::info!("the recording {id} of connection {connection} has begun");
                Ok(())
            }
            Some(entry) => {
                self.finish(entry, CUT).await;
                Err("its connection was ended meanwhile".to_owned())
            }
        }
    }

    /// Makes room where that is needed, and starts the recording.
    async fn start(&self, live: Arc<Live>, key: drawbridge_chain::DeviceKey) -> Result<Worker, String> {
        let (place, running) = (Arc::clone(&self.shelf), self.running());
        let (teller, customer) = (Arc::clone(&self.teller), Arc::clone(&self.customer));
        let looked = tokio::task::spawn_blocking(move || {
            place.make_room(&running, &teller)?;
            customer.key()
        });
        let recipient = looked.await.map_err(|_| "the disk could not be looked at".to_owned())??;
        if let Some(recipient) = &recipient {
            // It is new.
            let _: Result<(), _> = live.recipient.set(recipient.to_string());
        }
        let (answer, began) = oneshot::channel();
        let folder = self.shelf.folder_of(&live.id);
        let start = Start { folder, live, key, recipient, signer: self.signer.clone() };
        let worker = Worker::start(start, answer)
            .map_err(|error| format!("the recording's thread could not be started: {error}"))?;
        self::answer(began).await?;
        Ok(worker)
    }

    async fn end(&self, connection: u64, reason: &str) -> Kept {
        let entry = self.table().entries.remove(&connection).ok_or_else(unknown)?;
        self.finish(entry, &cut(reason, WORDS_BYTES)).await;
        Ok(())
    }

    /// Ends a recording that is in the table no more. What its thread cannot end, the closer does.
    async fn finish(&self, entry: Entry, reason: &str) {
        let Entry { live, worker } = entry;
        let reason = match live.failed() {
            failed if failed.is_empty() => reason.to_owned(),
            failed => format!("{reason} (the recording had failed: {failed})"),
        };
        live.all_closed();
        self.teller.over(live.connection, &live.facts).await;
        let ended = answer(worker.ask(Job::End(reason.clone()))).await;
        if let Err(why) = &ended {
            log::warn!("the recording {} could not be ended, and is closed otherwise: {why}", live.id);
        } else {
            log::info!("the recording {} has ended", live.id);
        }
        drop(worker);
        self.table().running.remove(&live.id);
        self.closer.close(live.id.clone(), &reason);
    }

    /// Ends all that run.
    pub(crate) async fn end_all(&self, reason: Option<&str>) {
        let entries = {
            let mut table = self.table();
            table.times += 1;
            std::mem::take(&mut table.entries)
        };
        let ending = entries.into_values().map(|entry| self.finish(entry, reason.unwrap_or(CUT)));
        // Each waits for its own thread: one after the other takes as long as the slowest.
        let all = futures_util::future::join_all(ending);
        if timeout(ENDED_WITHIN, all).await.is_err() {
            log::warn!("not all recordings could be ended in time; they are closed later");
        }
    }

    /// Nothing begins any more, and all that runs ends.
    pub(crate) async fn shut(&self) {
        self.table().is_shut = true;
        self.end_all(Some("the appliance was shut down, or its recorder started anew")).await;
    }

    /// What runs.
    pub(crate) fn live(&self) -> Vec<Arc<Live>> {
        self.table().entries.values().map(|entry| Arc::clone(&entry.live)).collect()
    }

    /// Recordings that are not to be touched.
    pub(crate) fn running(&self) -> BTreeSet<RecordingId> {
        self.table().running.clone()
    }

    /// How a recording that runs is listed, but for its files.
    pub(crate) fn line(&self, id: &RecordingId) -> Option<RecordingLine> {
        let table = self.table();
        let live = table.entries.values().map(|entry| &entry.live).find(|live| live.id == *id)?;
        Some(RecordingLine {
            id: id.clone(),
            facts: Some(live.facts.clone()),
            began: live.began_at,
            milliseconds: live.milliseconds(),
            running: true,
            end: String::new(),
            files: Vec::new(),
            recipient: live.recipient.get().cloned(),
            head: live.head(),
            confirmed: false,
        })
    }

    /// A name that is not used yet, and the time that it has.
    fn name(&self) -> Result<(RecordingId, Utc), String> {
        let mut random = [0; 4];
        SystemRandom::new().fill(&mut random).map_err(|_| "the kernel gives no random numbers".to_owned())?;
        let now = Utc::of(SystemTime::now());
        let id = id(now, u32::from_be_bytes(random));
        match id {
            Some(id) if !self.shelf.folder_of(&id).exists() => Ok((id, now)),
            _ => Err("no name could be found for it: try again".to_owned()),
        }
    }
}

/// Such as `20261127T014500Z-3fa9c01d`.
fn id(now: Utc, random: u32) -> Option<RecordingId> {
    let date: String = now.to_string().chars().filter(|char| !matches!(char, '-' | ':')).take(15).collect();
    RecordingId::parse(&format!("{date}Z-{random:08x}"))
}

fn unknown() -> String {
    "no recording of this connection is open".to_owned()
}

fn reply(kept: Kept) -> Reply {
    match kept {
        Ok(()) => Reply::Done,
        Err(why) => Reply::Unrecorded(cut(&why, WORDS_BYTES)),
    }
}

async fn answer(kept: oneshot::Receiver<Kept>) -> Kept {
    kept.await.unwrap_or_else(|_| Err("the recording's thread has ended".to_owned()))
}

fn bounded(facts: &RecordingFacts) -> RecordingFacts {
    let name = |text: &str| cut(text, NAME_BYTES);
    RecordingFacts {
        grant: (facts.grant.0, name(&facts.grant.1)),
        level: facts.level,
        engineer: name(&facts.engineer),
        login: name(&facts.login),
        source: facts.source,
        system: (name(&facts.system.0), name(&facts.system.1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_recordings_sort_by_time() {
        let names: Vec<_> =
            [(0, 7), (1_772_323_200_001, 0xffff_ffff), (1_772_323_201_000, 0), (4_107_542_400_000, 1)]
                .map(|(millis, random)| id(Utc::from_millis(millis).unwrap(), random).unwrap())
                .into();
        assert_eq!(names[1].as_str(), "20260301T000000Z-ffffffff");
        assert!(names.is_sorted());
    }
}
