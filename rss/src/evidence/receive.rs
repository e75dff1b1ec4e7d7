//! A connection on which an appliance hands over recordings: its ticket, its frames, and an answer to each `Begin` and `Keep`. It holds
//! one batch at most, and whatever it waits for ends in time.

use super::archive::Called;
use super::door;
use super::intake::{Intake, Room};
use super::refusal::Refusal;
use crate::hub::{Hub, Uploading};
use crate::places::Place;
use crate::store::Record;
use crate::trouble::{Trouble, complain};
use drawbridge_chain::DeviceKey;
use drawbridge_wire::upload::{
    Answer, BATCH_BYTES, ChainLine, MOVES_WITHIN, RecordingName, Upload, UploadError, receive, send,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

const MOVES: Duration = Duration::from_secs(MOVES_WITHIN);
/// So many recordings of one connection are kept at hand between their turns: more than an appliance makes at once.
const AT_HAND: usize = 40;
/// So many lines of one connection are in the audit log.
const TOLD: usize = 1000;

/// Serves one until it ends.
pub(crate) async fn serve(
    hub: &Arc<Hub>,
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    source: IpAddr,
    place: Arc<Place>,
) {
    let Some(token) = door::shown(&mut stream, &place).await else { return };
    let uploading = match &token {
        Some(token) => tokio::select! {
            uploading = hub.redeem_upload(token) => uploading,
            () = place.is_lost() => return,
        },
        None => None,
    };
    let Some(uploading) = uploading.filter(|_| place.know()) else {
        return door::turned_away(hub, stream, source, "nobody hands over recordings with this ticket").await;
    };
    let _work = hub.work();
    let (cut, stops) = (uploading.cut.happens(), hub.stops());
    let mut receiver =
        Receiver { hub: Arc::clone(hub), uploading, source, at_hand: BTreeMap::new(), turns: 0, told: 0 };
    tokio::select! {
        end = receiver.run(&mut stream) => {
            if let Err(End::Breach(why)) = end {
                receiver.note(&format!("the connection was ended: {why}")).await;
            }
        }
        // What is being written is finished all the same: it has the system's turn.
        () = cut => {}
        () = stops => {}
    }
}

/// Why a connection ends.
enum End {
    /// As connections do.
    Gone,
    /// It breaks the protocol.
    Breach(String),
}

impl From<UploadError> for End {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Io(_) => Self::Gone,
            other => Self::Breach(format!("it sends {other}")),
        }
    }
}

/// What the store has for a recording that comes in.
struct Found {
    /// By which it may be signed.
    keys: Vec<DeviceKey>,
    room: Room,
    /// The system's serial number, as it was enrolled.
    system: String,
    /// So many bytes of its chain are in the index; none when it is not there.
    indexed: Option<u64>,
}

struct Receiver {
    hub: Arc<Hub>,
    uploading: Uploading,
    source: IpAddr,
    /// Recordings with the number of their last turn.
    at_hand: BTreeMap<RecordingName, (u64, Intake)>,
    turns: u64,
    told: usize,
}

impl Receiver {
    async fn run(&mut self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), End> {
        door::welcome(stream).await.ok_or(End::Gone)?;
        let mut current: Option<RecordingName> = None;
        let mut batch: Vec<ChainLine> = Vec::new();
        let mut weight = 0;
        loop {
            let message = timeout(MOVES, receive(stream)).await.map_err(|_| End::Gone)??;
            match message {
                Upload::Begin(name) if batch.is_empty() => {
                    let begun = self.begin(&name).await;
                    current = begun.is_ok().then_some(name.clone());
                    self.answer(stream, &name, begun).await?;
                }
                Upload::Begin(_) => return Err(End::Breach("it leaves lines behind".to_owned())),
                Upload::Line(line) if current.is_some() => {
                    weight += line.weight();
                    if weight > BATCH_BYTES {
                        return Err(End::Breach("it sends more at once than it may".to_owned()));
                    }
                    batch.push(line);
                }
                Upload::Keep if current.is_some() => {
                    let Some(name) = current.clone() else { return Err(End::Gone) };
                    weight = 0;
                    let kept = self.keep(&name, std::mem::take(&mut batch)).await;
                    if kept.is_err() {
                        current = None;
                    }
                    self.answer(stream, &name, kept).await?;
                }
                Upload::Line(_) | Upload::Keep => {
                    return Err(End::Breach("it goes on without a recording".to_owned()));
                }
            }
        }
    }

    async fn answer(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        name: &RecordingName,
        result: Result<Answer, Refusal>,
    ) -> Result<(), End> {
        let answer = match result {
            Ok(answer) => answer,
            Err(refusal) => {
                let why = format!("{name} is refused: {refusal}. {}", refusal.remedy());
                // It comes again and again as long as nobody does anything about it.
                if self.hub.is_news(self.uploading.serial(), name.as_str(), &why) {
                    self.note(&why).await;
                }
                refusal.answer()
            }
        };
        let sent = timeout(MOVES, async {
            send(stream, &answer).await?;
            stream.flush().await.map_err(UploadError::from)
        });
        Ok(sent.await.map_err(|_| End::Gone)??)
    }

    /// Takes up a recording: how far it is.
    async fn begin(&mut self, name: &RecordingName) -> Result<Answer, Refusal> {
        let Found { keys, room, system, indexed } = self.room(name).await?;
        self.turns += 1;
        if let Some((turn, intake)) = self.at_hand.get_mut(name) {
            *turn = self.turns;
            intake.keep_to(keys, room);
            return Ok(intake.has());
        }
        let called = Called::new(&system, name.clone()).ok_or(Refusal::Foreign)?;
        let archive = self.hub.archive.clone();
        let writes = Arc::clone(&self.uploading.writes);
        let opened = tokio::task::spawn_blocking(move || {
            let _writes = writes;
            Intake::open(archive, called, system, keys, room)
        });
        let mut intake = opened.await.map_err(|_| Refusal::Store)??;
        let has = intake.has();
        if intake.line().map(|line| line.chain) != indexed {
            // What a cut has left between the disk and the index is put in order.
            self.index(&mut intake).await?;
        }
        if self.at_hand.len() >= AT_HAND
            && let Some(oldest) =
                self.at_hand.iter().min_by_key(|(_, (turn, _))| *turn).map(|(name, _)| name.clone())
        {
            self.at_hand.remove(&oldest);
        }
        self.at_hand.insert(name.clone(), (self.turns, intake));
        Ok(has)
    }

    /// By which keys the system's recordings are known now, how much may be taken, and how the store spells the system.
    async fn room(&self, name: &RecordingName) -> Result<Found, Refusal> {
        let (serial, name) = (self.uploading.serial().to_owned(), name.to_string());
        let found = self.hub.ask(move |store| {
            let system = store.serial_of(&serial)?;
            let keys = store.evidence_keys(&system)?;
            let indexed = store.recordings_called(&name, Some(&system))?.first().map(|line| line.chain);
            let (count, bytes) = store.recordings_take(&system)?;
            Ok((keys, indexed, count, bytes, system))
        });
        let (keys, indexed, count, bytes, system) = found.await.map_err(|error| store(&error))?;
        let limits = self.hub.limits;
        if indexed.is_none() && count >= limits.recordings_per_system {
            return Err(Refusal::Many(count));
        }
        let accepted = keys.iter().filter(|key| key.accepted.is_some());
        let keys = accepted.filter_map(|key| DeviceKey::parse_ssh(&key.key).ok()).collect();
        let all = limits.recordings_bytes;
        let room = Room { each: limits.recording_bytes, all, left: all.saturating_sub(bytes) };
        Ok(Found { keys, room, system, indexed })
    }

    /// Verifies a batch and has it on the disk.
    async fn keep(&mut self, name: &RecordingName, batch: Vec<ChainLine>) -> Result<Answer, Refusal> {
        let Some((turn, mut intake)) = self.at_hand.remove(name) else { return Err(Refusal::Store) };
        let was = (intake.is_new(), intake.is_whole());
        let writes = Arc::clone(&self.uploading.writes);
        let kept = tokio::task::spawn_blocking(move || {
            let _writes = writes;
            let kept = intake.keep(&batch);
            (intake, kept)
        });
        let (mut intake, kept) = kept.await.map_err(|_| Refusal::Store)?;
        if matches!(kept, Err(Refusal::Disk(_))) {
            // What it knows and what is on the disk may be two things now.
            return kept.map(|()| intake.has());
        }
        self.index(&mut intake).await?;
        if was.0 && !intake.is_new() {
            self.note(&format!("{name} has begun to come in")).await;
        }
        if !was.1 && intake.is_whole() {
            self.note(&format!("{name} is here, whole")).await;
        }
        kept?;
        let has = intake.has();
        self.at_hand.insert(name.clone(), (turn, intake));
        Ok(has)
    }

    async fn index(&self, intake: &mut Intake) -> Result<(), Refusal> {
        let Some(line) = intake.line() else { return Ok(()) };
        self.hub.ask(move |store| store.put_recording(&line)).await.map_err(|error| store(&error))
    }

    /// Adds a line to the audit log, as long as this connection has not had many.
    async fn note(&mut self, result: &str) {
        if self.told >= TOLD {
            return;
        }
        self.told += 1;
        let serial = self.uploading.serial().to_owned();
        let record = Record {
            who: serial.clone(),
            source: self.source.to_string(),
            what: "recording".to_owned(),
            system: serial,
            result: result.to_owned(),
            ..Record::default()
        };
        self.hub.record(record).await;
    }
}

fn store(error: &Trouble) -> Refusal {
    complain(&format!("the index of recordings could not be used: {error}"));
    Refusal::Store
}
