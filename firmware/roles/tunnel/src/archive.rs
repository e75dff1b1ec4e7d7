//! What the owner asks the server for of the recordings that it keeps: lists, and bundles in parts as they are pulled. It believes the
//! server nothing but sizes, verifies nothing (`verify` does), and of what nobody pulls it holds one part.
//!
//! ```text
//!   console ──list──► archive ──► ticket (control) ──► dial ──► peer: one question
//!           ──fetch─►    │ a number and a length ◄─────────────── Bundle
//!           ──part──►    │ ◄──────────────────────────────────── Part, as often as it is asked
//!                        └── not pulled for 30 s, ended, wrong, or whole: the connection is dropped
//! ```

mod peer;

use crate::hand::Hand;
use crate::role::Tunnel;
use crate::way::Way;
use drawbridge_bus::fetch::{ANSWER_WITHIN, Unfetched};
use drawbridge_bus::record::RecordingId;
use drawbridge_bus::{Refusal, Reply, Request};
use drawbridge_wire::Token;
use drawbridge_wire::archive::Ask;
use drawbridge_wire::upload::RecordingName;
use peer::{Peer, failed};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

/// Recordings that are fetched at one time: each holds a connection to the server.
const FETCHES: usize = 2;
/// The server has answered within this time, or the console is told that it has not before its own time is over.
const WITHIN: Duration = Duration::from_secs(ANSWER_WITHIN - 5);

/// The owner's questions.
pub(crate) struct Archive {
    hand: Hand,
    way: Arc<Way>,
    idle: Duration,
    /// One list at a time: others wait.
    list: Semaphore,
    places: Arc<Semaphore>,
    fetches: Mutex<Fetches>,
}

struct Fetches {
    /// Begins anywhere, so that a number of an earlier process is none of this one.
    number: u64,
    open: BTreeMap<u64, Fetch>,
}

/// A recording on its way.
struct Fetch {
    /// None while a part is waited for.
    peer: Option<Peer>,
    given: u64,
    length: u64,
    touched: Instant,
    _place: OwnedSemaphorePermit,
}

impl Archive {
    /// Asks over the tunnel's way.
    pub(crate) fn new(tunnel: &Tunnel) -> Arc<Self> {
        let number = Token::random().ok().and_then(|token| token.bytes().first_chunk().copied());
        Arc::new(Self {
            hand: tunnel.hand.clone(),
            way: Arc::clone(&tunnel.way),
            idle: tunnel.place.pace.fetch_idle,
            list: Semaphore::new(1),
            places: Arc::new(Semaphore::new(FETCHES)),
            fetches: Mutex::new(Fetches {
                number: number.map_or(0, u64::from_be_bytes),
                open: BTreeMap::new(),
            }),
        })
    }

    fn fetches(&self) -> MutexGuard<'_, Fetches> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the console.
    pub(crate) async fn answer(self: Arc<Self>, request: Request) -> Reply {
        let late = || {
            let why = format!("the server has not answered within {} s", WITHIN.as_secs());
            Err(failed(why, "Try again; Test Connection says how the way to the server is."))
        };
        let answered = match request {
            Request::KeptRecordings { before } => {
                timeout(WITHIN, self.list(before)).await.unwrap_or_else(|_| late())
            }
            Request::FetchRecording { id } => {
                timeout(WITHIN, self.fetch(&id)).await.unwrap_or_else(|_| late())
            }
            Request::FetchedPart { fetch, from } => self.part(fetch, from).await,
            Request::EndFetch { fetch } => {
                self.fetches().open.remove(&fetch);
                Ok(Reply::Done)
            }
            _ => Ok(Reply::Refused(Refusal::NotMine)),
        };
        answered.unwrap_or_else(|why| {
            if let Unfetched::Failed { why, .. } = &why {
                log::warn!("what the server keeps cannot be had: {why}");
            }
            Reply::Unfetched(why)
        })
    }

    async fn list(&self, before: Option<RecordingId>) -> Result<Reply, Unfetched> {
        let before = before.map(|id| name(&id)).transpose()?;
        let _turn = self.list.acquire().await;
        let mut peer = Peer::open(&self.hand, &self.way, &Ask::List(before)).await?;
        let (recordings, more) = peer.list().await?;
        Ok(Reply::KeptRecordings { recordings, more })
    }

    async fn fetch(self: &Arc<Self>, id: &RecordingId) -> Result<Reply, Unfetched> {
        let ask = Ask::Fetch(name(id)?);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let why = format!("{FETCHES} recordings are being fetched already");
            failed(why, "Try again when one of them is done.")
        })?;
        let mut peer = Peer::open(&self.hand, &self.way, &ask).await?;
        let length = peer.begin().await?;
        let fetch = Fetch { peer: Some(peer), given: 0, length, touched: Instant::now(), _place: place };
        let number = {
            let mut fetches = self.fetches();
            fetches.number = fetches.number.wrapping_add(1);
            let number = fetches.number;
            fetches.open.insert(number, fetch);
            number
        };
        tokio::spawn(Arc::clone(self).watch(number));
        Ok(Reply::Fetching { fetch: number, length })
    }

    /// When it counts as left; none when it is over.
    fn idle_at(&self, number: u64) -> Option<Instant> {
        self.fetches().open.get(&number).map(|fetch| fetch.touched + self.idle)
    }

    /// Lets one go that nobody pulls.
    async fn watch(self: Arc<Self>, number: u64) {
        while let Some(until) = self.idle_at(number) {
            if until <= Instant::now() {
                self.fetches().open.remove(&number);
                log::info!("a recording that was being fetched is let go: nobody takes it any more");
                return;
            }
            sleep_until(until).await;
        }
    }

    async fn part(&self, number: u64, from: u64) -> Result<Reply, Unfetched> {
        let taken = {
            let mut fetches = self.fetches();
            let fetch = fetches.open.get_mut(&number).filter(|fetch| fetch.given == from);
            fetch.and_then(|fetch| {
                fetch.touched = Instant::now();
                Some((fetch.peer.take()?, fetch.length))
            })
        };
        let Some((mut peer, length)) = taken else { return Ok(Reply::Refused(Refusal::NotNow)) };
        let part = peer.part(length - from).await;
        let mut fetches = self.fetches();
        let Some(fetch) = fetches.open.get_mut(&number) else {
            return Ok(Reply::Refused(Refusal::NotNow));
        };
        if let Ok(part) = &part {
            fetch.given = from.saturating_add(part.len() as u64);
            fetch.touched = Instant::now();
            fetch.peer = Some(peer);
        }
        if part.is_err() || fetch.given >= length {
            fetches.open.remove(&number);
        }
        part.map(|part| Reply::RecordingPart(part, length))
    }
}

/// The server's sort of a name.
fn name(id: &RecordingId) -> Result<RecordingName, Unfetched> {
    RecordingName::parse(id.as_str()).ok_or(Unfetched::Unknown)
}
