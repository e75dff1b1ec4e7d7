//! Where those who send recordings or ask for them, the control connection and engineers' connections meet: tickets are asked for and
//! given here, and who comes in is told. It never dials, and keeps nobody waiting.

use drawbridge_wire::{Features, Line, RequestId, ToServer, Token};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// What the server says to whoever wants to send recordings, or to have some.
#[derive(Debug)]
pub(crate) enum Admission {
    /// The ticket.
    Ticket(Token),
    /// Not now.
    Refused {
        /// Why, by its word.
        why: Line<256>,
        /// What to do, by its word.
        remedy: Line<256>,
    },
}

/// The control connection, as far as it is of use here: where to say something, and what the server can do.
type Control = Option<(mpsc::Sender<ToServer>, Features)>;

/// Why nothing can be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Away {
    /// There is no control connection.
    Unconnected,
    /// The server cannot do it.
    Unable,
}

/// Clones are the same.
#[derive(Clone)]
pub(crate) struct Hand(Arc<Shared>);

struct Shared {
    control: watch::Sender<Control>,
    asked: Mutex<Asked>,
    /// Engineers' connections that are there.
    present: AtomicUsize,
    stirred: Notify,
}

#[derive(Default)]
struct Asked {
    number: u64,
    told: BTreeMap<RequestId, oneshot::Sender<Admission>>,
}

/// A question that is forgotten when whoever asked gives it up.
struct Question<'a>(&'a Hand, RequestId);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.asked().told.remove(&self.1);
    }
}

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            control: watch::Sender::new(None),
            asked: Mutex::default(),
            present: AtomicUsize::new(0),
            stirred: Notify::new(),
        }))
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new control connection, to a server that can do this.
    pub(crate) fn begin(&self, say: mpsc::Sender<ToServer>, can: Features) {
        if !can.has(Features::RECORDINGS) {
            log::info!("this server takes no recordings: they stay on the appliance");
        }
        self.0.control.send_replace(Some((say, can)));
    }

    /// The server has answered. What answers nothing that was asked is passed over: it may be late.
    pub(crate) fn answered(&self, request: RequestId, admission: Admission) {
        if let Some(told) = self.asked().told.remove(&request) {
            // Who asked may have given up.
            let _ = told.send(admission);
        }
    }

    /// An engineer comes in: there will be something to send. Dropped, he has gone.
    pub(crate) fn engineer(&self) -> Present {
        self.0.present.fetch_add(1, Ordering::Relaxed);
        self.0.stirred.notify_one();
        Present(self.clone())
    }

    /// Whether one is there.
    pub(crate) fn has_engineer(&self) -> bool {
        self.0.present.load(Ordering::Relaxed) > 0
    }

    /// Waits until one has come or gone since the last time.
    pub(crate) async fn stirred(&self) {
        self.0.stirred.notified().await;
    }

    /// Waits for a control connection to a server that takes recordings.
    pub(crate) async fn control(&self) -> mpsc::Sender<ToServer> {
        let mut control = self.0.control.subscribe();
        loop {
            let now = control.borrow_and_update().clone();
            if let Some((say, can)) = now
                && can.has(Features::RECORDINGS)
                && !say.is_closed()
            {
                return say;
            }
            if control.changed().await.is_err() {
                // Nobody is left who could make one: the role ends.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The control connection as it is now, when the server can do this.
    pub(crate) fn server(&self, what: Features) -> Result<mpsc::Sender<ToServer>, Away> {
        match &*self.0.control.borrow() {
            Some((say, _)) if say.is_closed() => Err(Away::Unconnected),
            Some((say, can)) if can.has(what) => Ok(say.clone()),
            Some(_) => Err(Away::Unable),
            None => Err(Away::Unconnected),
        }
    }

    /// Asks for a ticket on that connection. None when it is lost, or nothing is said. Give it a time limit.
    pub(crate) async fn ask(
        &self,
        say: &mpsc::Sender<ToServer>,
        question: impl FnOnce(RequestId) -> ToServer,
    ) -> Option<Admission> {
        let (told, admission) = oneshot::channel();
        let request = {
            let mut asked = self.asked();
            asked.number += 1;
            let request = RequestId(asked.number);
            asked.told.insert(request, told);
            request
        };
        let _asked = Question(self, request);
        say.send(question(request)).await.ok()?;
        tokio::select! {
            admission = admission => admission.ok(),
            () = say.closed() => None,
        }
    }
}

/// An engineer's connection is there as long as this is.
pub(crate) struct Present(Hand);

impl Drop for Present {
    fn drop(&mut self) {
        let Hand(shared) = &self.0;
        shared.present.fetch_sub(1, Ordering::Relaxed);
        shared.stirred.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(request: RequestId) -> ToServer {
        ToServer::Upload { request, key: Line::of("key") }
    }

    #[tokio::test]
    async fn a_ticket_is_for_who_asked_and_another_answer_is_nobodys() {
        let hand = Hand::new();
        let (say, mut said) = mpsc::channel(4);
        hand.begin(say, Features::RECORDINGS);
        let control = hand.control().await;
        let server = async {
            let Some(ToServer::Upload { request, .. }) = said.recv().await else { panic!() };
            hand.answered(RequestId(request.0 + 7), Admission::Ticket(Token::from_bytes([1; 32])));
            hand.answered(request, Admission::Ticket(Token::from_bytes([2; 32])));
            hand.answered(request, Admission::Ticket(Token::from_bytes([3; 32])));
        };
        let (admission, ()) = tokio::join!(hand.ask(&control, upload), server);
        assert!(hand.asked().told.is_empty());
        assert!(matches!(admission, Some(Admission::Ticket(token)) if token.bytes() == &[2; 32]));
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_leaves_nobody_waiting_and_a_server_without_uploads_is_asked_nothing() {
        let hand = Hand::new();
        let (say, mut said) = mpsc::channel(4);
        hand.begin(say, Features::RECORDINGS);
        let control = hand.control().await;
        let server = async {
            said.recv().await;
            drop(said);
        };
        let (admission, ()) = tokio::join!(hand.ask(&control, upload), server);
        assert!(admission.is_none() && hand.asked().told.is_empty());
        assert_eq!(hand.server(Features::RECORDINGS).err(), Some(Away::Unconnected));
        let (say, mut said) = mpsc::channel(4);
        hand.begin(say, Features::NONE);
        let within = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(within, hand.control()).await.is_err());
        assert!(said.try_recv().is_err());
        assert_eq!(hand.server(Features::ARCHIVE).err(), Some(Away::Unable));
    }

    #[tokio::test]
    async fn who_comes_in_is_told_and_is_there_until_he_goes() {
        let hand = Hand::new();
        let present = hand.engineer();
        hand.stirred().await;
        assert!(hand.has_engineer());
        drop(present);
        hand.stirred().await;
        assert!(!hand.has_engineer());
    }
}
