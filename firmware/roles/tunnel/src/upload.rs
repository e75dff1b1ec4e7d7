//! Recordings on their way to the server while they happen, and what an earlier session has left of them: what runs first, then the
//! oldest, each a batch at a time, on one connection of its own. It is waited for by nobody: however slow or dead it is, no engineer's
//! connection notices.
//!
//! ```text
//!   rest ──an engineer comes, or something is unsent──► look (recorder) ──► ticket (control) ──► dial ──► begin, lines, keep
//!    ▲                                                   ▲  every second while somebody is in         │
//!    └── nobody is in, and the server has all ───────────┴──────────── a wait that grows ◄── failed ──┘
//! ```
//!
//! What is unsent is known to the recorder alone, by its own look at what it has: here nothing is remembered that outlives the process.

mod sender;

use crate::bus::Asker;
use crate::hand::{Admission, Hand};
use crate::keep::{Waits, sentence};
use crate::pace::Pace;
use crate::way::Way;
use drawbridge_bus::record::RecordingId;
use drawbridge_bus::upload::Unsent;
use drawbridge_wire::{Line, ToServer};
use sender::{Sender, Turn};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The server says whether it takes recordings within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// While nobody is in and nothing moves, what is there is looked at after a wait that grows up to this many times the usual one.
const QUIET_MOST: u32 = 30;
/// A recording that cannot go up is tried again after so many times the wait after a refusal.
const HELD_FOR: u32 = 5;

/// Runs for as long as the role does.
pub(crate) async fn run(hand: Hand, way: Arc<Way>, asker: Asker, pace: Pace) {
    let waits = Waits::up_to_most(&pace, pace.wait_refused);
    Uploads { hand, way, asker, pace, waits, sender: None, held: BTreeMap::new(), told: String::new() }
        .run()
        .await;
}

struct Uploads {
    hand: Hand,
    way: Arc<Way>,
    asker: Asker,
    pace: Pace,
    waits: Waits,
    sender: Option<Sender>,
    /// Recordings that cannot go up, until then.
    held: BTreeMap<RecordingId, Instant>,
    /// What was logged last, so that it is not logged again each time.
    told: String,
}

/// Why nothing went up, and when it is worth trying again.
struct Trouble {
    why: String,
    is_lasting: bool,
}

impl Trouble {
    fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_lasting: false }
    }
}

impl Uploads {
    async fn run(mut self) {
        let mut quiet = 1;
        loop {
            if self.sender.as_ref().is_some_and(Sender::is_idle) {
                self.sender = None;
            }
            // Without a server that takes something, nothing is looked at.
            self.hand.control().await;
            match self.pass().await {
                Ok(Pass::Empty) if !self.hand.has_engineer() => {
                    self.sender = None;
                    quiet = 1;
                    self.hand.stirred().await;
                }
                Ok(Pass::More) => quiet = 1,
                Ok(pass) => {
                    let is_busy = matches!(pass, Pass::Moved | Pass::Running) || self.hand.has_engineer();
                    quiet = if is_busy { 1 } else { (quiet * 2).min(QUIET_MOST) };
                    tokio::select! {
                        () = tokio::time::sleep(self.pace.upload_every * quiet) => {}
                        () = self.hand.stirred() => tokio::time::sleep(self.pace.upload_every).await,
                    }
                }
                Err(trouble) => {
                    self.sender = None;
                    self.tell(&trouble.why);
                    let wait = if trouble.is_lasting {
                        self.waits.refused(self.pace.wait_refused)
                    } else {
                        self.waits.next()
                    };
                    tokio::time::sleep(wait.max(self.pace.upload_every)).await;
                }
            }
        }
    }

    /// One look at what is there, and a batch of each.
    async fn pass(&mut self) -> Result<Pass, Trouble> {
        let unsent = self.asker.unsent().await.map_err(|error| Trouble::passing(error.to_string()))?;
        if unsent.is_empty() {
            return Ok(Pass::Empty);
        }
        let now = Instant::now();
        self.held.retain(|id, until| *until > now && unsent.iter().any(|one| one.id == *id));
        let mut pass = if unsent.iter().any(|one| one.running) { Pass::Running } else { Pass::Still };
        for one in &unsent {
            if self.held.contains_key(&one.id)
                || self.sender.as_ref().is_some_and(|sender| sender.is_level(one))
            {
                continue;
            }
            match self.turn(one).await? {
                Turn::Nothing => {}
                Turn::Moved(is_more) => {
                    self.waits.begin_anew();
                    pass = if is_more || matches!(pass, Pass::More) { Pass::More } else { Pass::Moved };
                }
                Turn::Whole(head) => {
                    self.waits.begin_anew();
                    self.whole(one, head).await?;
                    if !matches!(pass, Pass::More) {
                        pass = Pass::Moved;
                    }
                }
                Turn::Refused(why) => self.hold(one, &format!("the server refuses it: {why}")),
                Turn::Unreadable(why) => self.hold(one, &why),
            }
        }
        Ok(pass)
    }

    async fn turn(&mut self, one: &Unsent) -> Result<Turn, Trouble> {
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => none.insert(connect(&self.hand, &self.way, &self.asker).await?),
        };
        sender.turn(one, &self.asker).await.map_err(|end| Trouble::passing(end.to_string()))
    }

    /// The server has all of it: the recorder is told, and decides whether that is all.
    async fn whole(&mut self, one: &Unsent, head: [u8; 32]) -> Result<(), Trouble> {
        match self.asker.confirmed(&one.id, head).await {
            Ok(None) => {
                log::info!("the server has all of the recording {}", one.id);
                Ok(())
            }
            Ok(Some(why)) => {
                self.hold(one, &why);
                Ok(())
            }
            Err(error) => Err(Trouble::passing(error.to_string())),
        }
    }

    fn hold(&mut self, one: &Unsent, why: &str) {
        self.tell(&format!("the recording {}: {why}", one.id));
        self.held.insert(one.id.clone(), Instant::now() + self.pace.wait_refused * HELD_FOR);
    }

    fn tell(&mut self, why: &str) {
        if self.told != why {
            log::warn!("recordings are not at the server: {}", sentence(&why));
            why.clone_into(&mut self.told);
        }
    }
}

/// What a look has brought.
#[derive(Clone, Copy)]
enum Pass {
    /// The server has all there is.
    Empty,
    /// Nothing runs, and nothing has moved.
    Still,
    /// Something runs.
    Running,
    /// Something has moved.
    Moved,
    /// And there is more of it at once.
    More,
}

/// A ticket, and the connection that it is for.
async fn connect(hand: &Hand, way: &Way, asker: &Asker) -> Result<Sender, Trouble> {
    let key = asker.evidence_key().await.map_err(|error| Trouble::passing(error.to_string()))?;
    let key = Line::new(key).map_err(|_| Trouble::passing("the device's key for evidence is none"))?;
    let control = hand.control().await;
    let upload = |request| ToServer::Upload { request, key };
    let admission = timeout(ANSWER_WITHIN, hand.ask(&control, upload)).await;
    match admission {
        Ok(Some(Admission::Ticket(token))) => Sender::open(way, &token).await.map_err(Trouble::passing),
        Ok(Some(Admission::Refused { why, remedy })) => {
            Err(Trouble { why: format!("the server takes none: {why}. {remedy}"), is_lasting: true })
        }
        Ok(None) => Err(Trouble::passing("the control connection was lost")),
        Err(_) => Err(Trouble::passing("the server does not say whether it takes recordings")),
    }
}
