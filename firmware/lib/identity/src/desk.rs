//! The challenges that are open at an appliance, and the verdict on each response; it lets nobody in by itself.
//!
//! ```text
//!            ask                    right response
//!   (none) ───────► open ─────────────────────────────► used
//!                    │ five wrong ones, or 15 minutes     │
//!                    ▼                                    ▼
//!                   over ──────────────────────────► forgotten, when there is no more room
//! ```
//!
//! Time is the time since boot, which nobody sets. A challenge belongs to the browser session that asked: a response that was
//! overheard opens nothing in another browser. Somebody who asks for very many challenges pushes out those from his own
//! address before those of others.

use crate::armour::TextFault;
use crate::challenge::{Challenge, NoRandomness, Purpose};
use crate::response::{Claims, Response};
use crate::text::{Line, Serial};
use crate::vendor::{SignatureFault, VendorKeys};
use std::net::IpAddr;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// The most challenges at once.
pub const MOST: usize = 32;
/// How long one lives.
pub const LIFE: Duration = Duration::from_mins(15);
/// So many wrong responses are one too many.
pub const TRIES: u8 = 5;

/// SHA-256 of the browser session's identifier.
pub type SessionHash = [u8; 32];

/// The open challenges of a system.
#[derive(Debug)]
pub struct Desk {
    serial: Serial,
    /// In the order in which they were made.
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    challenge: Challenge,
    session: SessionHash,
    source: IpAddr,
    made: Duration,
    wrong: u8,
    used: bool,
}

/// A challenge that can still be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// It.
    pub challenge: Challenge,
    /// How long it lives yet.
    pub left: Duration,
    /// How many wrong responses it bears yet.
    pub tries: u8,
}

/// A response that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Who answered, why, and for how long.
    pub claims: Claims,
    /// The name of the key that it is signed by.
    pub key: Line<64>,
}

/// Why a response does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error("The response cannot be read: {0}.")]
    Text(#[from] TextFault),
    /// It is for another system.
    #[error("The response is for the system {0}, and this is another one.")]
    OtherSystem(Serial),
    /// It is for no challenge here.
    #[error("The response is for a challenge that is not open here any more.")]
    NotOpen,
    /// It is for another browser's challenge.
    #[error("The response is for a challenge that was shown in another browser or window.")]
    OtherSession,
    /// Its challenge is used.
    #[error("The response was used already, and each is good once.")]
    Used,
    /// Its challenge is too old.
    #[error("The response came too late: a challenge lives for 15 minutes.")]
    Expired,
    /// There were too many wrong ones.
    #[error("There were five wrong responses to this challenge.")]
    TooManyTries,
    /// It is for something else.
    #[error("The response is for another purpose: {0}.")]
    WrongPurpose(Purpose),
    /// It is signed by a key that is not known.
    #[error("The response is signed by a key that this system does not know.")]
    UnknownKey,
    /// It was changed.
    #[error("The signature of the response is wrong.")]
    WrongSignature,
}

impl Refusal {
    /// A stable name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Text(_) => "damaged-text",
            Self::OtherSystem(_) => "other-system",
            Self::NotOpen => "not-open",
            Self::OtherSession => "other-session",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::TooManyTries => "too-many-tries",
            Self::WrongPurpose(_) => "wrong-purpose",
            Self::UnknownKey => "unknown-key",
            Self::WrongSignature => "wrong-signature",
        }
    }

    /// What to do, as a sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Text(_) => {
                "Copy the whole response again, with its first and last line; nothing is lost by trying again."
            }
            Self::OtherSystem(_) => {
                "Send the challenge that is shown here to support, and take the response to it."
            }
            Self::OtherSession => "Paste it where its challenge is shown, or ask for a new challenge here.",
            Self::NotOpen | Self::Used | Self::Expired | Self::TooManyTries => {
                "Ask for a new challenge here, and send that one to support."
            }
            Self::WrongPurpose(_) => "Ask for a new challenge here, and tell support what it is for.",
            Self::UnknownKey => "Ask support to sign it with the key of this system's vendor.",
            Self::WrongSignature => {
                "Ask support to answer again, and tell them that this response did not hold."
            }
        }
    }
}

impl Desk {
    /// The desk of the system with that serial number.
    pub fn new(serial: Serial) -> Self {
        Self { serial, pending: Vec::new() }
    }

    /// A new challenge for a browser session, in the place of the one that it had. `now` is the time since boot.
    pub fn ask(
        &mut self,
        session: SessionHash,
        source: IpAddr,
        purpose: Purpose,
        now: Duration,
    ) -> Result<Open, NoRandomness> {
        let challenge = Challenge::new(purpose, self.serial.clone())?;
        self.pending.retain(|pending| !is_same(&pending.session, &session));
        if self.pending.len() >= MOST {
            self.make_room(now);
        }
        let pending = Pending { challenge, session, source, made: now, wrong: 0, used: false };
        let open = pending.as_open(now);
        self.pending.push(pending);
        Ok(open)
    }

    /// The challenge that a session can still answer: a page that is loaded again shows the same one.
    pub fn open(&self, session: &SessionHash, purpose: Purpose, now: Duration) -> Option<Open> {
        let mine = self.pending.iter().find(|pending| is_same(&pending.session, session))?;
        (mine.is_alive(now) && mine.challenge.purpose() == purpose).then(|| mine.as_open(now))
    }

    /// Forgets a session's challenge, when the session ends.
    pub fn forget(&mut self, session: &SessionHash) {
        self.pending.retain(|pending| !is_same(&pending.session, session));
    }

    /// The verdict on a response. A text that cannot be read, or that is for something else, is no try.
    pub fn answer(
        &mut self,
        session: &SessionHash,
        purpose: Purpose,
        text: &str,
        keys: &VendorKeys,
        now: Duration,
    ) -> Result<Admitted, Refusal> {
        let response = Response::parse(text)?;
        let asked = response.challenge();
        if asked.serial() != &self.serial {
            return Err(Refusal::OtherSystem(asked.serial().clone()));
        }
        let found = self.pending.iter_mut().find(|pending| pending.challenge.nonce == asked.nonce);
        let pending = found.ok_or(Refusal::NotOpen)?;
        if !is_same(&pending.session, session) {
            return Err(Refusal::OtherSession);
        }
        if pending.used {
            return Err(Refusal::Used);
        }
        if !pending.is_young(now) {
            return Err(Refusal::Expired);
        }
        if pending.wrong >= TRIES {
            return Err(Refusal::TooManyTries);
        }
        let verdict = if asked != &pending.challenge || asked.purpose() != purpose {
            Err(Refusal::WrongPurpose(asked.purpose()))
        } else {
            response.verify(keys).map_err(|fault| match fault {
                SignatureFault::UnknownKey => Refusal::UnknownKey,
                SignatureFault::Wrong => Refusal::WrongSignature,
            })
        };
        match verdict {
            Ok(key) => {
                pending.used = true;
                Ok(Admitted { key: key.line(), claims: response.into_claims() })
            }
            Err(refusal) => {
                pending.wrong += 1;
                Err(refusal)
            }
        }
    }

    /// Forgets one: the oldest that nobody can answer any more, else the oldest of the address that has most.
    fn make_room(&mut self, now: Duration) {
        let from = |source: IpAddr| self.pending.iter().filter(|pending| pending.source == source).count();
        let dead = self.pending.iter().position(|pending| !pending.is_alive(now));
        let place = dead.or_else(|| {
            let mut places: Vec<(usize, usize)> =
                self.pending.iter().map(|pending| from(pending.source)).enumerate().collect();
            // The first of those with most: sorting is stable, and they stand in the order of their making.
            places.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            places.first().map(|(place, _)| *place)
        });
        if let Some(place) = place {
            self.pending.remove(place);
        }
    }
}

impl Pending {
    fn is_young(&self, now: Duration) -> bool {
        now.saturating_sub(self.made) < LIFE
    }

    fn is_alive(&self, now: Duration) -> bool {
        !self.used && self.wrong < TRIES && self.is_young(now)
    }

    fn as_open(&self, now: Duration) -> Open {
        Open {
            challenge: self.challenge.clone(),
            left: LIFE.saturating_sub(now.saturating_sub(self.made)),
            tries: TRIES.saturating_sub(self.wrong),
        }
    }
}

fn is_same(one: &SessionHash, other: &SessionHash) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests;
