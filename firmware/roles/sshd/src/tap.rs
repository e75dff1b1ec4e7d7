//! The tap: what an engineer's connection does is said to the recorder, and only what is kept passes. It never looks into what
//! passes, and keeps nothing itself.
//!
//! Each connection has a way to the recorder of its own, and a task that asks one thing after the other: channels take turns, in the
//! order in which they came, so that none waits for more than one piece of each of the others. Whoever asks may go away meanwhile; what
//! was asked is asked to its end all the same, so that questions and answers always match. At the first thing that is not kept the
//! tap shuts: strictly, nothing passes any more, and the connection ends; where the owner has chosen otherwise before ("break glass")
//! and session has noted that it was needed, all passes, unrecorded.

use crate::bus::Asker;
use crate::line::Line;
use drawbridge_bus::bridge::{EngineerAsk, UNRECORDED_BYTES, Verdict};
use drawbridge_bus::client::Client;
use drawbridge_bus::logger::clean;
use drawbridge_bus::record::{RecordAsk, RecordedEnd, RecordedUse, RecordingFacts, WORDS_BYTES};
use drawbridge_bus::support::Recording;
use drawbridge_bus::{Reply, Request, Role};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Bytes of output or input that are said at one time: a packet of the size that keeps keystrokes quick beside bulk.
pub(crate) const PIECE: usize = 16 * 1024;

/// How long the last word may take when the recorder has failed before.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(2);

/// Nothing may pass any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frozen;

/// Whether what happens is kept.
const RECORDED: u8 = 0;
/// It is not, and goes on all the same.
const UNRECORDED: u8 = 1;
/// It is not, and nothing passes.
const FROZEN: u8 = 2;

/// The tap of a connection.
#[derive(Debug)]
pub(crate) struct Tap {
    asks: mpsc::Sender<Wanted>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connection: u64,
    /// The recorder's socket.
    path: PathBuf,
    within: Duration,
    state: AtomicU8,
    /// What the engineer is still to be told: that he is not recorded.
    notice: Mutex<Option<String>>,
    /// Why he is not.
    why: Mutex<String>,
}

/// Something that is to be kept.
#[derive(Debug)]
struct Wanted {
    ask: RecordAsk,
    /// Told when it may pass, with the number of the channel that it opens; dropped when it may not.
    kept: oneshot::Sender<u32>,
}

/// What a tap is made of.
pub(crate) struct Made {
    /// The recorder's socket.
    pub(crate) path: PathBuf,
    pub(crate) policy: Recording,
    /// How long the recorder may take for one thing.
    pub(crate) within: Duration,
    /// Who is told that it goes on unrecorded.
    pub(crate) session: Arc<Asker>,
    pub(crate) line: Arc<Line>,
}

impl Tap {
    /// A tap; the way to the recorder is opened by the first thing that is asked.
    pub(crate) fn new(made: Made) -> Arc<Self> {
        let shared = Arc::new(Shared {
            connection: made.line.number,
            path: made.path.clone(),
            within: made.within,
            state: AtomicU8::new(RECORDED),
            notice: Mutex::default(),
            why: Mutex::default(),
        });
        // One place: who waits for it gets it in his turn.
        let (asks, wanted) = mpsc::channel(1);
        tokio::spawn(serve(made, Arc::clone(&shared), wanted));
        Arc::new(Self { asks, shared })
    }

    /// Has this kept, and waits until it is; the error: nothing may pass any more.
    pub(crate) async fn keep(&self, ask: RecordAsk) -> Result<(), Frozen> {
        self.ask(ask).await.map(drop)
    }

    async fn ask(&self, ask: RecordAsk) -> Result<u32, Frozen> {
        match self.shared.state.load(Ordering::Acquire) {
            RECORDED => {}
            UNRECORDED => return Ok(0),
            _ => return Err(Frozen),
        }
        let (kept, is_kept) = oneshot::channel();
        self.asks.send(Wanted { ask, kept }).await.map_err(|_| Frozen)?;
        is_kept.await.map_err(|_| Frozen)
    }

    /// The recording begins.
    pub(crate) async fn begin(&self, facts: RecordingFacts) -> Result<(), Frozen> {
        self.keep(RecordAsk::Begin(Box::new(facts))).await
    }

    /// A channel is about to be opened; its number.
    pub(crate) async fn open(&self, what: RecordedUse) -> Result<u32, Frozen> {
        // Numbered when its turn comes: the recorder wants them in their order.
        self.ask(RecordAsk::Open { channel: 0, what }).await
    }

    /// A channel has ended.
    pub(crate) async fn close(&self, channel: u32, end: RecordedEnd) -> Result<(), Frozen> {
        self.keep(RecordAsk::Close { channel, end }).await
    }

    /// Whether bytes that are not said one by one may pass.
    pub(crate) fn may_pass(&self) -> Result<(), Frozen> {
        if self.shared.state.load(Ordering::Acquire) == FROZEN { Err(Frozen) } else { Ok(()) }
    }

    /// What the engineer is to be told, once: to whoever asks first.
    pub(crate) fn notice(&self) -> Option<String> {
        if self.shared.state.load(Ordering::Acquire) != UNRECORDED {
            return None;
        }
        self.shared.notice.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The connection is over. Where the recorder has failed before, it is told once more, as far as that is possible: so that the
    /// recording does not look as if it still ran.
    pub(crate) async fn end(&self, why: &str) {
        let why = bounded(&clean(why), WORDS_BYTES / 2);
        if self.shared.state.load(Ordering::Acquire) == RECORDED
            && self.keep(RecordAsk::End(why.clone())).await.is_ok()
            && self.shared.state.load(Ordering::Acquire) == RECORDED
        {
            return;
        }
        let failed = self.shared.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unrecorded = self.shared.state.load(Ordering::Acquire) == UNRECORDED;
        let rest = if unrecorded { "What came after it is not recorded" } else { "Nothing passed after it" };
        let word = RecordAsk::End(format!("{why} The recording had failed before: {failed}. {rest}."));
        let told = timeout(LAST_WORD_WITHIN, async {
            let mut client = connect(&self.shared.path).await?;
            say(&mut client, self.shared.connection, word).await
        });
        if !matches!(told.await, Ok(Ok(()))) {
            log::warn!("the recorder could not be told that connection {} is over", self.shared.connection);
        }
    }
}

/// Asks the recorder what is wanted, one after the other, until the tap is gone or shuts.
async fn serve(made: Made, shared: Arc<Shared>, mut wanted: mpsc::Receiver<Wanted>) {
    let mut client: Option<Client> = None;
    let mut last = 0;
    loop {
        let one = match &mut client {
            None => wanted.recv().await.map(Some),
            Some(client) => tokio::select! {
                biased;
                one = wanted.recv() => one.map(Some),
                // The recorder says nothing unasked: it has gone, whether or not anything is to be kept just now.
                _ = client.event() => Some(None),
            },
        };
        let (why, kept) = match one {
            None => return,
            Some(None) => ("the recorder has ended".to_owned(), None),
            Some(Some(Wanted { mut ask, kept })) => {
                if let RecordAsk::Open { channel, .. } = &mut ask {
                    last += 1;
                    *channel = last;
                }
                let asked = timeout(shared.within, async {
                    let client = match &mut client {
                        Some(client) => client,
                        None => client.insert(connect(&shared.path).await?),
                    };
                    say(client, shared.connection, ask).await
                });
                match asked.await {
                    Ok(Ok(())) => {
                        // Who has asked may have gone.
                        let _: Result<(), _> = kept.send(last);
                        continue;
                    }
                    Ok(Err(why)) => (why, Some(kept)),
                    Err(_) => ("the recorder does not answer in time".to_owned(), Some(kept)),
                }
            }
        };
        // Nothing that comes late is taken for an answer.
        drop(client);
        return fail(&made, &shared, why, kept, wanted).await;
    }
}

/// Shuts the tap, or lets everything through where that was chosen and is noted.
async fn fail(
    made: &Made,
    shared: &Shared,
    why: String,
    kept: Option<oneshot::Sender<u32>>,
    mut wanted: mpsc::Receiver<Wanted>,
) {
    let why = bounded(clean(&why).trim_end_matches('.'), UNRECORDED_BYTES);
    shared.why.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&why);
    let line = &made.line;
    let end = || {
        shared.state.store(FROZEN, Ordering::Release);
        log::error!("the session of {} is ended, because it cannot be recorded: {why}", line.who);
        line.end(format!("This session is ended, because it cannot be recorded: {why}."));
    };
    let strict = made.policy == Recording::Strict;
    if strict {
        // Before anybody is told: what is not said one by one stands still at once.
        end();
    }
    let noted = made.session.engineer(line.number, EngineerAsk::Unrecorded(why.clone())).await;
    if strict {
        return;
    }
    if noted != Verdict::Yes {
        return end();
    }
    log::warn!("the session of {} goes on unrecorded (break glass): {why}", line.who);
    let notice = format!("From here on this session is not recorded: {why}. It goes on all the same.");
    *shared.notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(notice);
    shared.state.store(UNRECORDED, Ordering::Release);
    if let Some(kept) = kept {
        let _: Result<(), _> = kept.send(0);
    }
    // Those that were on their way already.
    while let Some(Wanted { kept, .. }) = wanted.recv().await {
        let _: Result<(), _> = kept.send(0);
    }
}

async fn connect(path: &std::path::Path) -> Result<Client, String> {
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|error| format!("the recorder cannot be reached: {error}"))?;
    Ok(Client::over(Role::Recorder, stream))
}

/// Says one thing; the error is why it is not kept.
async fn say(client: &mut Client, connection: u64, ask: RecordAsk) -> Result<(), String> {
    match client.call(Request::Record { connection, ask }).await {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Unrecorded(why)) => Err(why),
        Ok(_) => Err("the recorder has answered something else".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The text, or its beginning, in at most so many bytes.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(bounded("short", 5), "short");
        assert_eq!(bounded("ääää", 7), "ää…");
        assert!(bounded(&"ä".repeat(500), 100).len() <= 100);
        assert_eq!(bounded("ab", 1), "…");
    }
}
