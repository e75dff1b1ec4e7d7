//! What the audit is told of recordings: commands, files and connections onward as they end, and what became of each recording. It
//! never keeps anybody waiting for long, and tells nothing that was typed or shown.

use drawbridge_audit::event::{Direction, Draft, Long, Name, Outcome, What, Who, WhoKind};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::record::{Deed, RecordAsk, RecordedEnd, RecordedUse, RecordingFacts, RecordingId};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_chain::{Hash, Text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// The most that wait to be told.
const WAITING: usize = 512;
/// Whoever finds no place waits so long, and no longer.
const PLACE_WITHIN: Duration = Duration::from_secs(2);
/// What could not be told is told again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// The most channels that are remembered.
const CHANNELS_MOST: usize = 8 * 1024;

/// What a channel is, until it ends.
enum Open {
    Command(String),
    Forward { target: String, since: Instant },
}

/// Tells the audit.
pub(crate) struct Teller {
    told: mpsc::Sender<String>,
    open: Mutex<BTreeMap<(u64, u32), Open>>,
}

/// What the task has that tells session.
pub(crate) struct Mouth {
    socket: PathBuf,
    waiting: mpsc::Receiver<String>,
}

/// A teller, and what is to be given to [`run`].
pub(crate) fn teller(sockets: &Path) -> (Teller, Mouth) {
    let (told, waiting) = mpsc::channel(WAITING);
    let socket = sockets.join(Role::Session.name());
    (Teller { told, open: Mutex::default() }, Mouth { socket, waiting })
}

/// Tells session one after the other, until nobody is left who could tell anything.
pub(crate) async fn run(mut mouth: Mouth) {
    let mut client = None;
    while let Some(text) = mouth.waiting.recv().await {
        loop {
            match tell(&mut client, &mouth.socket, &text).await {
                Ok(Reply::Done) => break,
                Ok(Reply::NotTaken(why)) => {
                    log::error!("an event of a recording: {why}");
                    break;
                }
                Ok(_) => {
                    log::error!("an event of a recording could not be told");
                    break;
                }
                Err(error) => {
                    client = None;
                    log::warn!("an event of a recording is told again: {error}");
                    sleep(AGAIN).await;
                }
            }
        }
    }
}

async fn tell(client: &mut Option<Client>, socket: &Path, text: &str) -> Result<Reply, CallError> {
    let client = if let Some(client) = client {
        client
    } else {
        let stream = UnixStream::connect(socket).await;
        let stream = stream.map_err(|error| CallError::Unreachable(Role::Session, error))?;
        client.insert(Client::over(Role::Session, stream))
    };
    client.call(Request::Tell(text.to_owned())).await
}

fn session(facts: &RecordingFacts) -> Name {
    Name::of(&facts.grant.1)
}

/// Something that an engineer has done.
fn of_engineer(facts: &RecordingFacts, what: What) -> Draft {
    Draft {
        from: Some(facts.source),
        grant: Some(facts.grant.0.0),
        ..Draft::new(what, Who::new(WhoKind::Engineer, &facts.engineer))
    }
}

impl Teller {
    /// Tells this, when there is a place for it.
    async fn say(&self, draft: &Draft) {
        if !matches!(timeout(PLACE_WITHIN, self.told.send(draft.encode())).await, Ok(Ok(()))) {
            lost(draft);
        }
    }

    /// The same, from a thread: when there is a place now.
    fn say_now(&self, draft: &Draft) {
        if self.told.try_send(draft.encode()).is_err() {
            lost(draft);
        }
    }

    /// A connection has done this, and it is recorded.
    pub(crate) async fn recorded(&self, connection: u64, facts: &RecordingFacts, ask: Known) {
        if let Some(draft) = self.draft(connection, facts, ask) {
            self.say(&draft).await;
        }
    }

    fn draft(&self, connection: u64, facts: &RecordingFacts, known: Known) -> Option<Draft> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (what, lasted) = match known {
            Known::Opened(channel, one) => {
                if open.len() < CHANNELS_MOST {
                    open.insert((connection, channel), one.opened());
                }
                return None;
            }
            Known::Closed(channel, end) => match (open.remove(&(connection, channel))?, end) {
                (Open::Command(line), end) => {
                    // 128 and the signal, as shells tell it.
                    let status = match end {
                        RecordedEnd::Exited(status) => Some(u32::from(status)),
                        RecordedEnd::Signalled(signal) => Some(128 + u32::from(signal)),
                        RecordedEnd::Carried { .. } | RecordedEnd::Cut => None,
                    };
                    (What::Command { session: session(facts), line: Text::of(&line), status }, None)
                }
                (Open::Forward { target, since }, end) => {
                    let (bytes_out, bytes_in) = match end {
                        RecordedEnd::Carried { sent, received } => (sent, received),
                        _ => (0, 0),
                    };
                    let target = Name::of(&target);
                    let what = What::Forward { session: session(facts), target, bytes_out, bytes_in };
                    (what, Some(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)))
                }
            },
        };
        Some(Draft { lasted_ms: lasted, ..of_engineer(facts, what) })
    }

    /// A shell process of a connection has done this, and it is recorded.
    pub(crate) async fn deed(&self, facts: &RecordingFacts, deed: &Deed) {
        let what = match deed {
            Deed::File { written, path, carried, length, sha256 } => What::File {
                session: session(facts),
                direction: if *written { Direction::In } else { Direction::Out },
                path: Long::of(path),
                bytes: *carried,
                sha256: Hash(*sha256),
                outcome: if carried >= length { Outcome::Done } else { Outcome::Failed },
            },
            Deed::Reached(target) => What::Command {
                session: session(facts),
                line: Text::of(&format!("ssh {}:{}", target.host, target.port)),
                status: None,
            },
            // What was renamed or removed stands in the recording.
            Deed::Change(_) => return,
        };
        self.say(&of_engineer(facts, what)).await;
    }

    /// Its connection is over: what it had open was cut with it.
    pub(crate) async fn over(&self, connection: u64, facts: &RecordingFacts) {
        let channels: Vec<u32> = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.range((connection, 0)..=(connection, u32::MAX)).map(|((_, channel), _)| *channel).collect()
        };
        for channel in channels {
            self.recorded(connection, facts, Known::Closed(channel, RecordedEnd::Cut)).await;
        }
    }

    /// Nothing more of a connection is recorded.
    pub(crate) async fn failed(&self, id: &RecordingId, facts: &RecordingFacts, why: &str) {
        let what = What::RecordingFailed { recording: Name::of(id.as_str()), why: Long::of(why) };
        let draft = Draft { grant: Some(facts.grant.0.0), ..Draft::new(what, Who::device()) };
        self.say(&draft).await;
    }

    /// A recording is whole: its end is signed.
    pub(crate) fn whole(
        &self,
        id: &RecordingId,
        facts: Option<&RecordingFacts>,
        head: [u8; 32],
        bytes: u64,
        end: &str,
    ) {
        let what = What::RecordingClosed {
            recording: Name::of(id.as_str()),
            head: Hash(head),
            bytes,
            end: Name::of(end),
        };
        let grant = facts.map(|facts| facts.grant.0.0);
        self.say_now(&Draft { grant, ..Draft::new(what, Who::device()) });
    }

    /// A recording was removed.
    pub(crate) fn removed(&self, id: &RecordingId, head: [u8; 32], why: &str) {
        let what =
            What::RecordingRemoved { recording: Name::of(id.as_str()), head: Hash(head), why: Long::of(why) };
        self.say_now(&Draft::new(what, Who::device()));
    }
}

fn lost(draft: &Draft) {
    log::error!("an event {} could not be told to the audit: too many wait", draft.what.code().as_str());
}

/// What of an ask the audit has to know.
pub(crate) enum Known {
    /// A channel for this.
    Opened(u32, Kind),
    /// Its end.
    Closed(u32, RecordedEnd),
}

/// What a channel is for.
pub(crate) enum Kind {
    /// One command.
    Command(String),
    /// A connection onward.
    Forward(String),
}

impl Kind {
    fn opened(self) -> Open {
        match self {
            Self::Command(line) => Open::Command(line),
            Self::Forward(target) => Open::Forward { target, since: Instant::now() },
        }
    }
}

impl Known {
    /// Of an ask; none when it is nothing for the audit.
    pub(crate) fn of(ask: &RecordAsk) -> Option<Self> {
        match ask {
            RecordAsk::Open { channel, what } => {
                let kind = match what {
                    RecordedUse::Terminal { command: Some(line), .. } | RecordedUse::Command(Some(line)) => {
                        Kind::Command(line.clone())
                    }
                    RecordedUse::Terminal { command: None, .. } | RecordedUse::Command(None) => {
                        Kind::Command("(the command line)".to_owned())
                    }
                    // Each file is told by itself.
                    RecordedUse::Files { .. } => return None,
                    RecordedUse::Forward(target) => Kind::Forward(format!("{}:{}", target.host, target.port)),
                };
                Some(Self::Opened(*channel, kind))
            }
            RecordAsk::Close { channel, end } => Some(Self::Closed(*channel, *end)),
            _ => None,
        }
    }
}
