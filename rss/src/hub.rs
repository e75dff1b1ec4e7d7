//! Who is connected, who waits for whom, and what is under way; it holds no connection itself and never decides who may what.

mod fetches;
mod sweep;
mod tickets;
mod uploads;

pub(crate) use fetches::Fetching;
pub(crate) use tickets::NoTicket;
pub(crate) use uploads::Uploading;

use crate::access::{self, Admitted};
use crate::clock::now;
use crate::config::Limits;
use crate::evidence::Archive;
use crate::guard::Cut;
use crate::store::{Record, Store};
use crate::strangers::Strangers;
use crate::trouble::{Trouble, complain};
use drawbridge_wire::{Line, RequestId, ToAppliance, Token};
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::server::TlsStream;

/// Orders that wait for one appliance.
const ORDERS: usize = 64;

/// An appliance's connection for one engineer, with its place among the connections.
pub(crate) struct Carrier {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) place: Arc<crate::places::Place>,
}

/// What came of a request.
pub(crate) enum Dialled {
    Here(Box<Carrier>),
    Declined(String),
}

/// An appliance that is connected.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    /// No two connections have the same.
    pub(crate) number: u64,
    pub(crate) serial: String,
    pub(crate) login_key: String,
    pub(crate) since: i64,
    pub(crate) source: IpAddr,
    pub(crate) orders: mpsc::Sender<ToAppliance>,
    pub(crate) cut: Cut,
}

impl Connected {
    /// The last word to it. One that takes no order is cut off.
    fn end(&self, word: ToAppliance) {
        if self.orders.try_send(word).is_err() {
            self.cut.cut();
        }
    }
}

struct Waiting {
    connection: u64,
    request: RequestId,
    tell: oneshot::Sender<Dialled>,
}

/// Something of an engineer's that ends when he may no longer: his connection, or a session through it.
pub(crate) struct UnderWay {
    pub(crate) who: Admitted,
    pub(crate) source: IpAddr,
    /// Name and serial number of the system, when it is a session.
    pub(crate) system: Option<(String, String)>,
    pub(crate) cut: Cut,
}

#[derive(Default)]
struct State {
    /// By serial number in lower case.
    appliances: HashMap<String, Connected>,
    /// By the hash of the ticket's token, so that the time of a search tells nothing about tokens.
    waiting: HashMap<Vec<u8>, Waiting>,
    engineers: HashMap<u64, UnderWay>,
    uploads: uploads::Uploads,
    fetches: fetches::Fetches,
}

/// The server's memory.
pub(crate) struct Hub {
    pub(crate) store: Store,
    pub(crate) archive: Archive,
    pub(crate) limits: Limits,
    /// Memory for bytes that wait for a system.
    pub(crate) pool: crate::engineer::Pool,
    state: Mutex<State>,
    numbers: AtomicU64,
    strangers: Mutex<Strangers>,
    stop: Cut,
    work: watch::Sender<usize>,
}

/// Work that is finished before the server ends.
pub(crate) struct Work(Arc<Hub>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.work.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Something in the hub that leaves it when this is dropped.
pub(crate) struct Entry {
    hub: Arc<Hub>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.hub.lock().engineers.remove(&self.number);
    }
}

/// A request that is given up when this is dropped.
pub(crate) struct Asked {
    hub: Arc<Hub>,
    key: Vec<u8>,
    pub(crate) told: oneshot::Receiver<Dialled>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.hub.lock().waiting.remove(&self.key);
    }
}

fn key(token: &Token) -> Vec<u8> {
    digest(&SHA256, token.bytes()).as_ref().to_vec()
}

impl Hub {
    pub(crate) fn new(store: Store, archive: Archive, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            store,
            archive,
            limits,
            pool: crate::engineer::Pool::default(),
            state: Mutex::default(),
            numbers: AtomicU64::new(1),
            strangers: Mutex::new(Strangers::new(Instant::now())),
            stop: Cut::new(),
            work: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the store, away from the tasks that carry bytes.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Store) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || question(&store))
            .await
            .map_err(|_| Trouble::new("the store gave no answer"))?
    }

    /// Adds a line to the audit log. One that cannot be written is said on stderr.
    pub(crate) async fn record(&self, record: Record) {
        let written = self.ask({
            let record = record.clone();
            move |store| store.record(&record)
        });
        if let Err(error) = written.await {
            complain(&format!("the audit log misses {record:?}: {error}"));
        }
    }

    /// Adds a line that somebody unknown has caused, as long as his network has not had its share.
    pub(crate) async fn record_stranger(&self, source: IpAddr, record: Record) {
        self.record_left_out(false).await;
        let is_listed = self.strangers().is_listed(source);
        if is_listed {
            self.record(record).await;
        }
    }

    /// Says how many of the strangers' lines were left out, when it is time to.
    pub(crate) async fn record_left_out(&self, is_end: bool) {
        let lines = self.strangers().left_out(Instant::now(), is_end);
        for line in lines {
            self.record(line).await;
        }
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something is under way which the server's end waits for.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        self.work.send_modify(|count| *count += 1);
        Work(Arc::clone(self))
    }

    /// Waits for the server's end to begin.
    pub(crate) fn stops(&self) -> impl Future<Output = ()> + Send + use<> {
        self.stop.happens()
    }

    /// Begins the end, and waits until what was under way is finished.
    pub(crate) async fn stop(&self) {
        self.stop.cut();
        let _ = self.work.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Takes an appliance in. Another connection of the same system is told that this one takes its place.
    pub(crate) fn connect(
        &self,
        serial: &str,
        login_key: &str,
        source: IpAddr,
        cut: &Cut,
    ) -> (Connected, mpsc::Receiver<ToAppliance>) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        let connected = Connected {
            number: self.number(),
            serial: serial.to_owned(),
            login_key: login_key.to_owned(),
            since: now(),
            source,
            orders,
            cut: cut.clone(),
        };
        let before = self.lock().appliances.insert(serial.to_lowercase(), connected.clone());
        if let Some(before) = before {
            before.end(ToAppliance::Bye { why: Line::of("the same system has connected once more") });
        }
        (connected, receiver)
    }

    /// Lets an appliance go, and gives up what waited for it.
    pub(crate) fn disconnect(&self, connected: &Connected) {
        let mut state = self.lock();
        let key = connected.serial.to_lowercase();
        if state.appliances.get(&key).is_some_and(|now| now.number == connected.number) {
            state.appliances.remove(&key);
        }
        state.waiting.retain(|_, waiting| waiting.connection != connected.number);
        state.uploads.tickets.forget(connected.number);
        state.fetches.tickets.forget(connected.number);
    }

    /// The connection of a system, if there is one.
    pub(crate) fn connected(&self, serial: &str) -> Option<Connected> {
        self.lock().appliances.get(&serial.to_lowercase()).cloned()
    }

    /// Every connection.
    pub(crate) fn all_connected(&self) -> Vec<Connected> {
        self.lock().appliances.values().cloned().collect()
    }

    /// Tells an appliance to dial. None when it takes no order.
    pub(crate) fn dial(self: &Arc<Self>, to: &Connected, engineer: &str, source: IpAddr) -> Option<Asked> {
        let token = Token::random().ok()?;
        let (tell, told) = oneshot::channel();
        let request = RequestId(self.number());
        let key = key(&token);
        self.lock().waiting.insert(key.clone(), Waiting { connection: to.number, request, tell });
        let asked = Asked { hub: Arc::clone(self), key, told };
        let source = access::plain(source);
        let order = ToAppliance::Dial { request, token, engineer: Line::of(engineer), source };
        to.orders.try_send(order).is_ok().then_some(asked)
    }

    /// Who waits with this ticket: once.
    pub(crate) fn redeem(&self, token: &Token) -> Option<oneshot::Sender<Dialled>> {
        self.lock().waiting.remove(&key(token)).map(|waiting| waiting.tell)
    }

    /// An appliance does not dial. It speaks for its own requests only.
    pub(crate) fn decline(&self, connection: u64, request: RequestId, why: &str) {
        let mut state = self.lock();
        let key = state
            .waiting
            .iter()
            .find(|(_, waiting)| waiting.connection == connection && waiting.request == request)
            .map(|(key, _)| key.clone());
        if let Some(waiting) = key.and_then(|key| state.waiting.remove(&key)) {
            let _ = waiting.tell.send(Dialled::Declined(why.to_owned()));
        }
    }

    /// Notes something of an engineer's. None when he has too many sessions.
    pub(crate) fn enter(self: &Arc<Self>, under_way: UnderWay) -> Option<Entry> {
        let number = self.number();
        let mut state = self.lock();
        if under_way.system.is_some() {
            let same = |other: &&UnderWay| other.system.is_some() && other.who.name == under_way.who.name;
            if state.engineers.values().filter(same).count() >= self.limits.sessions_per_engineer {
                return None;
            }
        }
        state.engineers.insert(number, under_way);
        Some(Entry { hub: Arc::clone(self), number })
    }
}
