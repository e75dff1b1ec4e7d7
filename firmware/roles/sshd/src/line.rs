//! An engineer's connection as its tasks share it: what it holds of memory, when it was last used, and how it is ended. It
//! never looks into what passes.

use crate::orders::Orders;
use drawbridge_bus::support::Level;
use russh::Disconnect;
use russh::server::Handle;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What all connections together may hold of unread bytes before their senders are made to wait.
const ALL_BYTES: usize = 40 * 1024 * 1024;
/// What one may.
const OWN_BYTES: usize = 4 * 1024 * 1024;

/// How long the word of farewell may take to be sent.
const FAREWELL: Duration = Duration::from_millis(500);

/// An engineer's connection.
#[derive(Debug)]
pub(crate) struct Line {
    /// What session knows it by.
    pub(crate) number: u64,
    /// Who comes, for the log.
    pub(crate) who: String,
    handle: OnceLock<Handle>,
    socket: OwnedFd,
    /// His place among those who have not proved themselves; given back when he has.
    waiting: Mutex<Option<OwnedSemaphorePermit>>,
    is_in: AtomicBool,
    is_cut: AtomicBool,
    /// Why it is to be ended, once that is known.
    over: Mutex<Option<String>>,
    news: Notify,
    last: Mutex<Instant>,
    own: AtomicUsize,
    all: Arc<AtomicUsize>,
    pub(crate) channels: Arc<Semaphore>,
    channels_most: usize,
    /// What the owner orders.
    pub(crate) orders: Orders,
}

impl Line {
    pub(crate) fn new(
        number: u64,
        who: String,
        socket: OwnedFd,
        waiting: OwnedSemaphorePermit,
        all: Arc<AtomicUsize>,
        channels_most: usize,
        level: Level,
    ) -> Self {
        Self {
            number,
            who,
            handle: OnceLock::new(),
            socket,
            waiting: Mutex::new(Some(waiting)),
            is_in: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            over: Mutex::new(None),
            news: Notify::new(),
            last: Mutex::new(Instant::now()),
            own: AtomicUsize::new(0),
            all,
            channels: Arc::new(Semaphore::new(channels_most)),
            channels_most,
            orders: Orders::new(level),
        }
    }

    /// Takes the way to tell the connection's own task something.
    pub(crate) fn is_served_by(&self, handle: Handle) {
        // There is one a connection.
        let _: Result<(), _> = self.handle.set(handle);
    }

    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.handle.get()
    }

    /// The engineer has proved himself.
    pub(crate) fn came_in(&self) {
        self.is_in.store(true, Ordering::Relaxed);
        drop(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.touch();
        self.news.notify_one();
    }

    pub(crate) fn is_in(&self) -> bool {
        self.is_in.load(Ordering::Relaxed)
    }

    /// Bytes of a channel have passed.
    pub(crate) fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When bytes passed last.
    pub(crate) fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it ended, for this reason. It is told to the engineer.
    pub(crate) fn end(&self, why: impl Into<String>) {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why.into());
        self.news.notify_one();
    }

    /// Waits until something is to be looked at: that he is in, or that it is to end; then the reason.
    pub(crate) async fn news(&self) -> Option<String> {
        self.news.notified().await;
        self.over.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says farewell, as far as that can be done in time.
    pub(crate) async fn say_farewell(&self, why: &str) {
        if let Some(handle) = self.handle.get() {
            let word = handle.disconnect(Disconnect::ByApplication, why.to_owned(), String::new());
            let _: Result<_, _> = tokio::time::timeout(FAREWELL, word).await;
        }
    }

    /// Ends the TCP connection, whoever reads or writes it.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        // It may be closed by the other end already.
        let _: Result<(), _> =
            nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// Whether a channel has the connection for itself.
    pub(crate) fn has_one_channel(&self) -> bool {
        self.channels.available_permits() + 1 >= self.channels_most
    }

    /// So many bytes more are held for this connection.
    pub(crate) fn holds(&self, bytes: usize) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many fewer.
    pub(crate) fn lets_go(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether it holds more than it may, or all of them do.
    pub(crate) fn is_full(&self) -> bool {
        self.own.load(Ordering::Relaxed) >= OWN_BYTES || self.all.load(Ordering::Relaxed) >= ALL_BYTES
    }

    /// Whether it holds so much that nothing more is taken.
    pub(crate) fn is_brimful(&self) -> bool {
        self.own.load(Ordering::Relaxed) >= OWN_BYTES + OWN_BYTES / 2
            || self.all.load(Ordering::Relaxed) >= ALL_BYTES + ALL_BYTES / 5
    }
}
