//! The log on a thread of its own, for many who tell it things at once: what waits is written together, and each is told when
//! his event is on the disk. It never drops one that it took.

use super::{Log, LogError, MOST_AT_ONCE, Reader, Wanted};
use crate::event::{Draft, Stamp};
use drawbridge_chain::{Hash, Signature};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

/// So many may wait; who comes then waits before he is taken.
const WAITING: usize = 1024;

/// The log's thread has ended, or the log has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// It has ended.
    #[error("the audit has ended, and nothing is written down any more")]
    Ended,
    /// This was not written.
    #[error("{0}")]
    Failed(String),
}

enum Order {
    Append(Draft, oneshot::Sender<Result<u64, Stopped>>),
    ToSign(oneshot::Sender<Result<Option<Wanted>, Stopped>>),
    Signed(Wanted, Signature, oneshot::Sender<Result<(), Stopped>>),
    MakeRoom(u64, oneshot::Sender<Result<(), Stopped>>),
    Head(oneshot::Sender<Option<(u32, Hash)>>),
}

/// Tells the log things. Cloned, it tells the same one; when the last is dropped, the thread ends after what it has taken.
#[derive(Clone, Debug)]
pub struct Journal {
    orders: mpsc::Sender<Order>,
    last: watch::Receiver<u64>,
    reader: Reader,
}

impl Journal {
    /// Puts a log on a thread of its own. `now` tells the time by both clocks.
    pub fn start(
        log: Log,
        now: impl Fn() -> Stamp + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (orders, receive) = mpsc::channel(WAITING);
        let reader = log.reader();
        let (tell, last) = watch::channel(log.last());
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || run(log, receive, &tell, &now))?;
        Ok((Self { orders, last, reader }, thread))
    }

    /// Writes an event down; its number, when it is on the disk.
    pub async fn record(&self, draft: Draft) -> Result<u64, Stopped> {
        self.ask(|answer| Order::Append(draft, answer)).await?
    }

    /// What waits for a signature.
    pub async fn to_sign(&self) -> Result<Option<Wanted>, Stopped> {
        self.ask(Order::ToSign).await?
    }

    /// Takes a signature.
    pub async fn signed(&self, of: Wanted, signature: Signature) -> Result<(), Stopped> {
        self.ask(|answer| Order::Signed(of, signature, answer)).await?
    }

    /// See [`Log::make_room`].
    pub async fn make_room(&self, settled: u64) -> Result<(), Stopped> {
        self.ask(|answer| Order::MakeRoom(settled, answer)).await?
    }

    /// See [`Log::head`].
    pub async fn head(&self) -> Result<Option<(u32, Hash)>, Stopped> {
        self.ask(Order::Head).await
    }

    /// The number of the last event, and a way to wait for another one.
    pub fn last(&self) -> watch::Receiver<u64> {
        self.last.clone()
    }

    /// For whoever reads.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| Stopped::Ended)?;
        answered.await.map_err(|_| Stopped::Ended)
    }
}

fn run(
    mut log: Log,
    mut orders: mpsc::Receiver<Order>,
    last: &watch::Sender<u64>,
    now: &(impl Fn() -> Stamp + Send + 'static),
) {
    let failed = |error: LogError| Stopped::Failed(error.to_string());
    let mut next = orders.blocking_recv();
    while let Some(order) = next.take() {
        match order {
            Order::Append(draft, answer) => {
                let mut drafts = vec![draft];
                let mut answers = vec![answer];
                while drafts.len() < MOST_AT_ONCE {
                    match orders.try_recv() {
                        Ok(Order::Append(draft, answer)) => {
                            drafts.push(draft);
                            answers.push(answer);
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                append(&mut log, drafts, answers, last, now());
            }
            Order::ToSign(answer) => drop(answer.send(log.to_sign(now()).map_err(failed))),
            Order::Signed(of, signature, answer) => {
                drop(answer.send(log.signed(&of, signature, now()).map_err(failed)));
            }
            Order::MakeRoom(settled, answer) => {
                drop(answer.send(log.make_room(settled, now()).map_err(failed)));
            }
            Order::Head(answer) => drop(answer.send(log.head())),
        }
        tell(last, &log);
        if next.is_none() {
            next = orders.blocking_recv();
        }
    }
}

/// Tells those who wait for events of new ones.
fn tell(last: &watch::Sender<u64>, log: &Log) {
    last.send_if_modified(|last| {
        let is_new = *last != log.last();
        *last = log.last();
        is_new
    });
}

fn append(
    log: &mut Log,
    drafts: Vec<Draft>,
    answers: Vec<oneshot::Sender<Result<u64, Stopped>>>,
    last: &watch::Sender<u64>,
    now: Stamp,
) {
    match log.append(drafts, now) {
        Ok(numbers) => {
            tell(last, log);
            for (answer, number) in answers.into_iter().zip(numbers) {
                let _ = answer.send(Ok(number));
            }
        }
        Err(error) => {
            log::error!("{error}");
            let why: Arc<str> = error.to_string().into();
            for answer in answers {
                let _ = answer.send(Err(Stopped::Failed(why.to_string())));
            }
        }
    }
}
