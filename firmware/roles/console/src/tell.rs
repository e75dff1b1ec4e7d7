//! Tells the audit what happens in the console, by a queue and a task of its own: nobody who logs in waits for a disk. It never decides
//! what is told, and never drops an event without a word in the log.

use crate::facts::Asker;
use drawbridge_audit::event::{Denial, Draft, What};
use drawbridge_bus::client::CallError;
use drawbridge_bus::{Reply, Request, Role};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// The most events that wait.
const WAITING: usize = 256;
/// How often one is told before it is given up, and the pause between: as long as the session role takes to come back.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_secs(2);
/// Refused logins are as many as a stranger likes: so many at once, and one more in this time, are told, and the others counted.
const REFUSALS: u32 = 20;
const REFUSAL_EVERY: Duration = Duration::from_secs(3);
/// Those that were not even looked at, because there were too many, are told once in this time.
const TOO_MANY_EVERY: Duration = Duration::from_mins(1);

/// The way to the audit.
#[derive(Debug)]
pub(crate) struct Teller {
    queue: mpsc::Sender<Item>,
    refusals: Mutex<Refusals>,
}

#[derive(Debug)]
struct Item {
    draft: Draft,
    /// Told when the event is on the disk, or given up.
    over: Option<oneshot::Sender<()>>,
}

/// How many more refused logins may be told now.
#[derive(Debug)]
struct Refusals {
    left: u32,
    since: Instant,
    too_many: Option<Instant>,
    untold: u64,
}

impl Refusals {
    fn may(&mut self, reason: Denial, now: Instant) -> bool {
        while self.left < REFUSALS && now.duration_since(self.since) >= REFUSAL_EVERY {
            self.left += 1;
            self.since += REFUSAL_EVERY;
        }
        if reason == Denial::TooMany {
            if self.too_many.is_some_and(|last| now.duration_since(last) < TOO_MANY_EVERY) {
                return false;
            }
            self.too_many = Some(now);
        }
        if self.left == 0 {
            return false;
        }
        if self.left == REFUSALS {
            self.since = now;
        }
        self.left -= 1;
        true
    }
}

impl Teller {
    /// Starts the task. To be called where a runtime of tokio's runs.
    pub(crate) fn start(asker: Arc<Asker>) -> Self {
        let (queue, items) = mpsc::channel(WAITING);
        tokio::spawn(run(asker, items));
        let refusals = Refusals { left: REFUSALS, since: Instant::now(), too_many: None, untold: 0 };
        Self { queue, refusals: Mutex::new(refusals) }
    }

    /// Tells it soon.
    pub(crate) fn tell(&self, draft: Draft) {
        if let What::LoginRefused { reason } = draft.what {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            if !refusals.may(reason, Instant::now()) {
                refusals.untold += 1;
                if refusals.untold.is_power_of_two() {
                    log::warn!("{} refused logins were too many to be told one by one", refusals.untold);
                }
                return;
            }
        }
        self.push(Item { draft, over: None });
    }

    /// Tells it now, and waits so long at most until it is on the disk: what comes next may end whoever writes it.
    pub(crate) async fn tell_first(&self, draft: Draft, within: Duration) {
        let (over, done) = oneshot::channel();
        self.push(Item { draft, over: Some(over) });
        let _: Result<_, _> = timeout(within, done).await;
    }

    fn push(&self, item: Item) {
        if let Err(mpsc::error::TrySendError::Full(item) | mpsc::error::TrySendError::Closed(item)) =
            self.queue.try_send(item)
        {
            log::error!("the audit is not told of {}: {WAITING} events wait already", item.draft.encode());
        }
    }
}

async fn run(asker: Arc<Asker>, mut items: mpsc::Receiver<Item>) {
    while let Some(Item { draft, over }) = items.recv().await {
        told(&asker, &draft).await;
        if let Some(over) = over {
            // Whoever waited may have given up.
            let _: Result<(), _> = over.send(());
        }
    }
}

/// Tells one, again while the session role is away. One that was written, and whose answer was lost, stands there twice: that is better
/// than not at all.
async fn told(asker: &Asker, draft: &Draft) {
    let line = draft.encode();
    for attempt in 1..=TRIES {
        match asker.call(Role::Session, Request::Tell(line.clone())).await {
            Ok(Reply::Done) => return,
            Ok(Reply::NotTaken(why)) => {
                log::error!("the audit does not take {line}: {why}");
                return;
            }
            Ok(_) | Err(CallError::Refused(..)) => {
                log::error!("the audit does not take {line}");
                return;
            }
            Err(error) if attempt == TRIES => log::error!("the audit is not told of {line}: {error}"),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_guesses_without_end_does_not_fill_the_audit() {
        let mut refusals = Refusals { left: REFUSALS, since: Instant::now(), too_many: None, untold: 0 };
        let mut told = 0;
        for _ in 0..3600 {
            told += u32::from(refusals.may(Denial::WrongSecret, Instant::now()));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((1200..1230).contains(&told), "{told}");
        tokio::time::advance(Duration::from_hours(1)).await;
        let burst = (0..100).filter(|_| refusals.may(Denial::WrongSecret, Instant::now())).count();
        assert_eq!(burst, 20);
        tokio::time::advance(Duration::from_mins(2)).await;
        let many = (0..100).filter(|_| refusals.may(Denial::TooMany, Instant::now())).count();
        assert_eq!(many, 1);
    }
}
