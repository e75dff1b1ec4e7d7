//! One connection on which recordings are handed over, in turn: from the recorder's parts to the server's word. It holds one batch of
//! frames at most, and decides nothing about what comes next.

use crate::bus::Asker;
use crate::way::{Service, Way};
use drawbridge_bus::client::CallError;
use drawbridge_bus::record::{PART_BYTES, RecordingId};
use drawbridge_bus::upload::Unsent;
use drawbridge_chain::{FILE, LINE_BYTES, Line};
use drawbridge_wire::upload::{
    Answer, BATCH_BYTES, ChainLine, IDLE_FOR, MOVES_WITHIN, RecordingName, Upload, UploadError, receive, send,
};
use drawbridge_wire::{TICKET_LIVES, Token, ticket};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

const MOVES: Duration = Duration::from_secs(MOVES_WITHIN);

/// What came of a turn.
#[derive(Debug)]
pub(super) enum Turn {
    /// The server has all that is here.
    Nothing,
    /// It has more than before; whether there is still more here.
    Moved(bool),
    /// It has all of the recording that there will ever be, up to the line with this hash.
    Whole([u8; 32]),
    /// It takes nothing of this recording, for this reason.
    Refused(String),
    /// What is here cannot be sent, for this reason.
    Unreadable(String),
}

/// Why the connection is of no further use.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the connection for recordings failed: {0}")]
    Upload(#[from] UploadError),
    #[error("the server took or said nothing for {MOVES_WITHIN} s")]
    Stuck,
    #[error("the server says that it has kept something else than was sent")]
    Other,
    #[error("{0}")]
    Bus(#[from] CallError),
}

/// How far the server is with a recording.
#[derive(Clone, Copy)]
struct Has {
    chain: u64,
    head: Option<[u8; 32]>,
    whole: bool,
}

/// The connection.
pub(super) struct Sender {
    stream: Box<dyn Stream>,
    current: Option<RecordingId>,
    has: BTreeMap<RecordingId, Has>,
    used: Instant,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Sender {
    /// Dials and shows the ticket; why not, as a sentence.
    pub(super) async fn open(way: &Way, token: &Token) -> Result<Self, String> {
        let dial = async {
            let mut stream =
                way.dial(Service::Recording, &()).await.map_err(|trouble| trouble.to_string())?.stream;
            ticket::present(&mut stream, token).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(stream)
        };
        let stream = timeout(Duration::from_secs(TICKET_LIVES), dial)
            .await
            .map_err(|_| format!("it took longer than the {TICKET_LIVES} s that a ticket lives"))??;
        Ok(Self { stream: Box::new(stream), current: None, has: BTreeMap::new(), used: Instant::now() })
    }

    /// Whether nothing was said on it for so long that it is to be given up.
    pub(super) fn is_idle(&self) -> bool {
        self.used.elapsed() >= Duration::from_secs(IDLE_FOR)
    }

    /// Whether the server is known to have all that is here.
    pub(super) fn is_level(&self, unsent: &Unsent) -> bool {
        self.has.get(&unsent.id).is_some_and(|has| !has.whole && has.chain == unsent.chain)
    }

    /// Hands over as much of a recording as is taken at one time.
    pub(super) async fn turn(&mut self, unsent: &Unsent, asker: &Asker) -> Result<Turn, End> {
        self.used = Instant::now();
        let id = &unsent.id;
        if self.current.as_ref() != Some(id) {
            let Some(name) = RecordingName::parse(id.as_str()) else {
                return Ok(Turn::Unreadable("its name is none that a server takes".to_owned()));
            };
            self.say(&Upload::Begin(name)).await?;
            self.current = Some(id.clone());
            if let Some(refused) = self.answer(id).await? {
                return Ok(refused);
            }
        }
        let Some(Has { chain: from, head, whole }) = self.has.get(id).copied() else {
            return Err(End::Other);
        };
        if let (true, Some(head)) = (whole, head) {
            return Ok(Turn::Whole(head));
        }
        if from > unsent.chain {
            return Ok(Turn::Unreadable("the server has more of it than is here".to_owned()));
        }
        let to = match self.batch(id, from, unsent.chain, asker).await? {
            Ok(to) if to == from => return Ok(Turn::Nothing),
            Ok(to) => to,
            Err(why) => return Ok(Turn::Unreadable(why)),
        };
        self.say(&Upload::Keep).await?;
        if let Some(refused) = self.answer(id).await? {
            return Ok(refused);
        }
        match self.has.get(id) {
            Some(has) if has.chain == to => Ok(match has.head {
                Some(head) if has.whole => Turn::Whole(head),
                _ => Turn::Moved(to < unsent.chain),
            }),
            _ => Err(End::Other),
        }
    }

    /// Sends lines, each with what it names, up to the bound of a batch: up to which byte of the chain that was. The error says what is
    /// wrong with what is here, when nothing was sent.
    async fn batch(
        &mut self,
        id: &RecordingId,
        from: u64,
        end: u64,
        asker: &Asker,
    ) -> Result<Result<u64, String>, End> {
        let most = u32::try_from(end - from).unwrap_or(u32::MAX).min(PART_BYTES);
        let Some(chain) = part(asker, id, FILE, from, most).await? else {
            return Ok(Err("its chain cannot be read".to_owned()));
        };
        let (mut at, mut weight) = (from, 0);
        for line in chain.split_inclusive(|byte| *byte == b'\n') {
            // The last one may still be written.
            let Some(body) = line.strip_suffix(b"\n") else { break };
            let read = match read(id, body, asker).await? {
                Ok(read) => read,
                Err(why) if at == from => return Ok(Err(why)),
                Err(_) => break,
            };
            weight += read.weight();
            if weight > BATCH_BYTES {
                break;
            }
            timeout(MOVES, send(&mut self.stream, &Upload::Line(read))).await.map_err(|_| End::Stuck)??;
            at += u64::try_from(line.len()).unwrap_or(0);
        }
        if at == from && chain.len() > LINE_BYTES {
            return Ok(Err("its chain has a line that is too long".to_owned()));
        }
        Ok(Ok(at))
    }

    async fn say(&mut self, message: &Upload) -> Result<(), End> {
        let sent = timeout(MOVES, async {
            send(&mut self.stream, message).await?;
            // What TLS has not sent yet would wait for more.
            self.stream.flush().await.map_err(UploadError::from)
        });
        Ok(sent.await.map_err(|_| End::Stuck)??)
    }

    /// Takes the server's answer; a refusal is given back.
    async fn answer(&mut self, id: &RecordingId) -> Result<Option<Turn>, End> {
        let answer = timeout(MOVES, receive(&mut self.stream)).await.map_err(|_| End::Stuck)??;
        self.used = Instant::now();
        match answer {
            Answer::Has { chain, head, whole } => {
                self.has.insert(id.clone(), Has { chain, head, whole });
                Ok(None)
            }
            Answer::Refused { why, remedy } => {
                self.current = None;
                self.has.remove(id);
                Ok(Some(Turn::Refused(format!("{why}. {remedy}"))))
            }
        }
    }
}

/// A line with what it names, or why it cannot be sent.
async fn read(id: &RecordingId, body: &[u8], asker: &Asker) -> Result<Result<ChainLine, String>, CallError> {
    let data = match Line::parse(body) {
        Ok(Line::Block(block)) => {
            let length = u32::try_from(block.length).unwrap_or(u32::MAX);
            let data = part(asker, id, block.track.as_str(), block.offset, length).await?;
            match data.filter(|data| u64::try_from(data.len()).ok() == Some(block.length)) {
                Some(data) => data,
                None => return Ok(Err(format!("{} ends before its block {}", block.track, block.number))),
            }
        }
        Ok(_) => Vec::new(),
        Err(fault) => return Ok(Err(format!("its chain has a line that is none: {fault}"))),
    };
    Ok(ChainLine::new(body.to_vec(), data).ok_or_else(|| "its chain has a line out of bounds".to_owned()))
}

/// A part of a file; none when there is no such file, or what comes is more than was asked for.
async fn part(
    asker: &Asker,
    id: &RecordingId,
    file: &str,
    offset: u64,
    most: u32,
) -> Result<Option<Vec<u8>>, CallError> {
    match asker.unsent_part(id, file, offset, most).await {
        Ok(bytes) => {
            Ok(Some(bytes).filter(|bytes| u32::try_from(bytes.len()).is_ok_and(|length| length <= most)))
        }
        Err(CallError::Refused(..)) => Ok(None),
        Err(error) => Err(error),
    }
}
