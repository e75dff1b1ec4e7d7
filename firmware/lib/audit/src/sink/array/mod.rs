//! Events to the array's own log, as custom events: where the customer looks anyway, and where neither side of a support session
//! can take them away. It floods no array, and posts nothing twice that it can find there.

mod wording;

pub use wording::{Style, Wording};

use super::{Failure, Progress, Sink};
use crate::entry::Kept;
use drawbridge_array::{Host, LoginError, PostError, Poster};
use drawbridge_chain::Hash;
use drawbridge_dial::{NameFailure, Names};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use wording::SOURCE;

/// So many events go at once.
const BURST: f64 = 20.0;
/// And so many a second after that: an array's own flood control is not reached.
const RATE: f64 = 1.0;
/// So many pages of the array's latest events are looked at, to find what stands there already.
const PAGES: u32 = 10;
/// A user that the array does not let in is not tried again for so long: the array may lock him.
const BARRED: Duration = Duration::from_mins(30);
/// A session that is not used for so long is ended.
const SESSION: Duration = Duration::from_mins(1);

/// The way to one array.
pub struct ArraySink {
    poster: Poster,
    names: Arc<dyn Names>,
    wording: Wording,
    /// How many events may go now, and when that was so.
    tokens: (f64, Instant),
    /// Events of ours that stand in the array's log, as far as was looked.
    known: BTreeMap<u64, String>,
    /// Whether something may stand there that is not known.
    is_unsure: bool,
    barred: Option<(Instant, Failure)>,
    is_idle: bool,
    /// Whether a delivery was begun and given up half way.
    is_under_way: bool,
}

impl std::fmt::Debug for ArraySink {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("ArraySink").field("poster", &self.poster).finish_non_exhaustive()
    }
}

fn failure(error: &LoginError) -> Failure {
    let remedy = match error {
        LoginError::WrongCredentials | LoginError::UnknownSession => {
            "Type the name and password again of the array's user by which events are posted."
        }
        LoginError::Refused { .. } => {
            "Give the array's user by which events are posted a role that may post them: ADMIN, or the vendor's."
        }
        error => error.remedy(),
    };
    Failure::new(&error.to_string(), remedy)
}

impl ArraySink {
    /// As this poster, worded like that. Nothing is dialled yet.
    pub fn new(poster: Poster, names: Arc<dyn Names>, wording: Wording) -> Self {
        Self {
            poster,
            names,
            wording,
            tokens: (BURST, Instant::now()),
            known: BTreeMap::new(),
            // An earlier run may have posted what it had no time to note.
            is_unsure: true,
            barred: None,
            is_idle: true,
            is_under_way: false,
        }
    }

    async fn addresses(&self) -> Result<Vec<IpAddr>, Failure> {
        let name = match &self.poster.array().address().host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name.as_ref(),
        };
        let fail = |why: &str| {
            Failure::new(
                &format!("the array's name {name} has no address: {why}"),
                "Correct the array's name, or give its address; see that the DNS servers of its port answer.",
            )
        };
        match timeout(Duration::from_secs(10), self.names.addresses(name)).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Ok(_)) => Err(fail("there is none")),
            Ok(Err(NameFailure::Unknown(why) | NameFailure::Failed(why))) => Err(fail(&why)),
            Err(_) => Err(fail("no DNS server answers in time")),
        }
    }

    /// Looks at the array's latest events, back to those before `first`, for ours.
    async fn look(&mut self, addresses: &[IpAddr], first: u64) -> Result<(), LoginError> {
        self.known.clear();
        for page in 1..=PAGES {
            let events = self.poster.latest(addresses, page, drawbridge_array::PAGE).await?;
            let is_last = events.is_empty();
            let mut oldest = u64::MAX;
            for event in &events {
                let is_ours = event.datum("source") == Some(SOURCE)
                    && event.datum("serial") == Some(self.wording.serial.as_str());
                let number = event.datum("sequence").and_then(|number| number.parse::<u64>().ok());
                if let (true, Some(number), Some(hash)) = (is_ours, number, event.datum("sha256")) {
                    oldest = oldest.min(number);
                    self.known.insert(number, hash.to_owned());
                }
            }
            if is_last || oldest < first {
                break;
            }
        }
        self.is_unsure = false;
        Ok(())
    }

    fn is_known(&self, number: u64, hash: Hash) -> bool {
        self.known.get(&number).is_some_and(|known| *known == hash.to_string())
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let (tokens, then) = self.tokens;
        self.tokens = ((tokens + now.duration_since(then).as_secs_f64() * RATE).min(BURST), now);
    }

    /// Notes why nothing was taken.
    fn refused(&mut self, why: &LoginError) -> Failure {
        let failure = failure(why);
        if matches!(why, LoginError::WrongCredentials | LoginError::Locked(_)) {
            self.barred = Some((Instant::now() + BARRED, failure.clone()));
        }
        failure
    }

    async fn post(&mut self, events: &[Kept], done: &mut Option<u64>) -> Result<(), Failure> {
        if let Some((until, failure)) = &self.barred {
            if Instant::now() < *until {
                return Err(failure.clone());
            }
            self.barred = None;
        }
        let addresses = self.addresses().await?;
        for kept in events {
            let number = kept.sequence();
            if self.is_unsure
                && let Err(why) = self.look(&addresses, number).await
            {
                return Err(self.refused(&why));
            }
            if self.is_known(number, kept.hash()) {
                *done = Some(number);
                continue;
            }
            self.refill();
            if self.tokens.0 < 1.0 {
                // The rest comes when there is time for it.
                break;
            }
            match self.poster.post(&addresses, &self.wording.event(kept)).await {
                Ok(()) => {
                    self.tokens.0 -= 1.0;
                    *done = Some(number);
                }
                Err(PostError::TooLong(long)) => {
                    // No event of ours is; should one be, the others must not wait for it.
                    log::error!("event {number} of the audit cannot be posted to the array: {long}");
                    *done = Some(number);
                }
                Err(PostError::Array { why, unsure }) => {
                    self.is_unsure |= unsure;
                    return Err(self.refused(&why));
                }
            }
        }
        Ok(())
    }
}

impl Sink for ArraySink {
    fn batch(&self) -> usize {
        16
    }

    fn wait(&mut self, _: &[Kept]) -> Duration {
        self.refill();
        Duration::from_secs_f64(((1.0 - self.tokens.0) / RATE).max(0.0))
    }

    async fn deliver(&mut self, events: &[Kept]) -> (Progress, Option<Failure>) {
        let mut done = None;
        self.is_idle = false;
        // Nobody knows what became of one that was given up.
        self.is_unsure |= std::mem::replace(&mut self.is_under_way, true);
        let posted = self.post(events, &mut done).await;
        self.is_under_way = false;
        let done = done.unwrap_or(0);
        (Progress { sent: done, settled: done }, posted.err())
    }

    async fn idle(&mut self) -> Result<u64, Failure> {
        if !self.is_idle {
            sleep(SESSION).await;
            // It is no harm to anybody when this is given up half way: the session ends by itself later.
            self.is_idle = true;
            if let Ok(addresses) = self.addresses().await {
                self.poster.close(&addresses).await;
            }
        }
        std::future::pending().await
    }
}
