//! A DNS server for tests (RFC 1035), over UDP and TCP: tells what its table says, or misbehaves as it is told. It asks no
//! other server.

mod message;

use super::NetError;
use super::host::Host;
use super::tcp::{TcpListener, TcpStream};
use super::udp::UdpSocket;
use super::worker::{STEP, Worker};
use crate::net::Random;
use message::{A, AAAA, Answer, CNAME, Query, code, write_name};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const PORT: u16 = 53;

/// Connections that are open at a time. The oldest gives way.
const CONNECTIONS: usize = 32;

/// Questions that are kept to be looked at.
const SEEN_LIMIT: usize = 10_000;

/// What a server knows.
#[derive(Debug, Clone)]
pub struct DnsRecords {
    records: Vec<(String, u16, Vec<u8>)>,
    ttl: u32,
}

impl Default for DnsRecords {
    fn default() -> Self {
        Self::new()
    }
}

impl DnsRecords {
    /// Nothing. What is added may be kept by clients for a minute.
    pub fn new() -> Self {
        Self { records: Vec::new(), ttl: 60 }
    }

    /// With an address of a name (A or AAAA).
    #[must_use]
    pub fn address(self, name: &str, address: impl Into<IpAddr>) -> Self {
        let (kind, data) = address_data(address.into());
        self.record(name, kind, &data)
    }

    /// With another name for a name (CNAME).
    #[must_use]
    pub fn alias(self, name: &str, target: &str) -> Self {
        self.record(name, CNAME, &write_name(&target.to_lowercase()))
    }

    /// With a record of any type; names in its data are not compressed.
    #[must_use]
    pub fn record(mut self, name: &str, kind: u16, data: &[u8]) -> Self {
        self.records.push((name.trim_end_matches('.').to_lowercase(), kind, data.to_vec()));
        self
    }

    /// Clients may keep records, and their absence, for so many seconds.
    #[must_use]
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = seconds;
        self
    }

    fn of(&self, name: &str, kind: u16) -> impl Iterator<Item = &Vec<u8>> {
        self.records
            .iter()
            .filter(move |(known, is, _)| known == name && *is == kind)
            .map(|(_, _, data)| data)
    }

    fn knows(&self, name: &str) -> bool {
        self.records.iter().any(|(known, ..)| known == name)
    }
}

fn address_data(address: IpAddr) -> (u16, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (A, address.octets().to_vec()),
        IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
    }
}

/// How a server behaves. What concerns datagrams alone leaves TCP as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DnsBehaviour {
    /// As it should.
    #[default]
    Normal,
    /// It takes questions and never answers.
    Stall,
    /// Each name has this address, and no other record.
    Lie(IpAddr),
    /// Its answers bear another number than the question's, and this address, as those of who guesses.
    WrongId(IpAddr),
    /// Its answers, with this address, are to another question.
    WrongQuestion(IpAddr),
    /// Datagrams come from another port, with this address in them.
    OtherPort(IpAddr),
    /// Datagrams come from another server's address, with that address in them.
    OtherSource(IpAddr),
    /// Datagrams say that the whole answer is to be had by TCP.
    Truncate,
    /// No name exists.
    NoSuchName,
    /// It fails.
    Fail,
    /// It refuses.
    Refuse,
    /// Its answers are noise behind the question's number; the seed says which.
    Garbage(u64),
}

/// A question as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsQuestion {
    /// In lower case, without the last dot.
    pub name: String,
    /// The record's type: 1 A, 28 AAAA.
    pub kind: u16,
    /// Who asked.
    pub from: SocketAddr,
    /// It came by TCP.
    pub by_tcp: bool,
}

#[derive(Debug, Default)]
struct State {
    records: DnsRecords,
    behaviour: DnsBehaviour,
    questions: Vec<DnsQuestion>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
}

/// A handle on a host's DNS server. Dropped, the server ends.
#[derive(Debug)]
pub struct DnsServer {
    shared: Arc<Shared>,
    _workers: [Worker; 2],
}

impl Host {
    /// Serves DNS from now on, over UDP and TCP.
    pub fn serve_dns(&self, records: DnsRecords) -> Result<DnsServer, NetError> {
        let shared = Arc::new(Shared::default());
        shared.lock().records = records;
        let (socket, other) = (self.udp(PORT)?, self.udp(0)?);
        let theirs = Arc::clone(&shared);
        let datagrams = Worker::start(&self.network, "dns-udp", move || {
            if let Ok((query, from)) = socket.receive_from(STEP) {
                theirs.answer_datagram(&query, from, &socket, &other);
            }
        })?;
        let listener = self.listen(PORT)?;
        let theirs = Arc::clone(&shared);
        let mut open = Vec::new();
        let streams =
            Worker::start(&self.network, "dns-tcp", move || theirs.serve_connections(&listener, &mut open))?;
        Ok(DnsServer { shared, _workers: [datagrams, streams] })
    }
}

impl DnsServer {
    /// From now on it behaves so.
    pub fn set_behaviour(&self, behaviour: DnsBehaviour) {
        self.shared.lock().behaviour = behaviour;
    }

    /// From now on it knows this.
    pub fn set_records(&self, records: DnsRecords) {
        self.shared.lock().records = records;
    }

    /// What it was asked so far, in order.
    pub fn questions(&self) -> Vec<DnsQuestion> {
        self.shared.lock().questions.clone()
    }

    /// Waits until a question like this was asked, from the beginning on; none within the bound.
    pub fn wait_for_question(
        &self,
        within: Duration,
        like: impl Fn(&DnsQuestion) -> bool,
    ) -> Option<DnsQuestion> {
        let find = |state: &State| state.questions.iter().find(|question| like(question)).cloned();
        let state = self.shared.lock();
        let waited = self.shared.asked.wait_timeout_while(state, within, |state| find(state).is_none());
        find(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a question; the answer, and how it is to be given.
    fn take(&self, message: &[u8], from: SocketAddr, by_tcp: bool) -> Option<(Query, Vec<u8>, DnsBehaviour)> {
        let query = message::parse(message)?;
        let mut state = self.lock();
        if state.questions.len() < SEEN_LIMIT {
            let (name, kind) = (query.name.clone(), query.kind);
            state.questions.push(DnsQuestion { name, kind, from, by_tcp });
        }
        let limit = if by_tcp { usize::from(u16::MAX) } else { query.limit };
        let bytes = answer(&query, &state.records, state.behaviour, by_tcp).map(|answer| match answer {
            Said::Answer(answer) => answer.bytes(limit),
            Said::Noise(noise) => noise,
        });
        let behaviour = state.behaviour;
        drop(state);
        self.asked.notify_all();
        Some((query, bytes?, behaviour))
    }

    fn answer_datagram(&self, message: &[u8], from: SocketAddr, socket: &UdpSocket, other: &UdpSocket) {
        let Some((_, bytes, behaviour)) = self.take(message, from, false) else { return };
        // A client that cannot be reached is none.
        let _ = match behaviour {
            DnsBehaviour::OtherPort(_) => other.send_to(&bytes, from),
            DnsBehaviour::OtherSource(source) => socket.send_from(&bytes, source, from),
            _ => socket.send_to(&bytes, from),
        };
    }

    fn serve_connections(&self, listener: &TcpListener, open: &mut Vec<Connection>) {
        let wait = if open.is_empty() { STEP } else { Duration::from_millis(5) };
        if let Ok(stream) = listener.accept(wait) {
            stream.set_timeout(Duration::from_millis(1));
            if open.len() >= CONNECTIONS {
                open.remove(0);
            }
            open.push(Connection { stream, received: Vec::new() });
        }
        open.retain_mut(|connection| connection.serve(self));
    }
}

/// A connection, with what came of the next message (its length in two bytes, then itself; RFC 1035 section 4.2.2).
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Reads what there is and answers what is whole; false when the connection is over.
    fn serve(&mut self, shared: &Shared) -> bool {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(0) => return false,
            Ok(count) => self.received.extend(piece.iter().take(count)),
            Err(error) => return error.kind() == std::io::ErrorKind::TimedOut,
        }
        while let Some((length, rest)) = self.received.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(message) = rest.get(..length) else { break };
            let answer = shared.take(message, self.stream.peer_address(), true);
            self.received.drain(..2 + length);
            let Some((_, bytes, _)) = answer else { continue };
            let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            if self.stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).is_err() {
                return false;
            }
        }
        true
    }
}

/// What a server says.
enum Said {
    Answer(Answer),
    Noise(Vec<u8>),
}

fn answer(query: &Query, records: &DnsRecords, behaviour: DnsBehaviour, by_tcp: bool) -> Option<Said> {
    let truth = || Answer::from_records(query, records);
    let with = |address: IpAddr| {
        let mut answer = Answer::empty(query, code::NONE);
        let (kind, data) = address_data(address);
        if kind == query.kind {
            answer.add(query, records.ttl, &data);
        }
        answer
    };
    let answer = match behaviour {
        DnsBehaviour::Stall => return None,
        DnsBehaviour::Lie(address) => with(address),
        DnsBehaviour::WrongId(address) => {
            let mut answer = with(address);
            answer.id[1] ^= 1;
            answer
        }
        DnsBehaviour::WrongQuestion(address) => {
            let mut answer = with(address);
            answer.question = [&write_name("another.lab"), &query.kind.to_be_bytes()[..], &[0, 1]].concat();
            answer
        }
        DnsBehaviour::OtherPort(address) | DnsBehaviour::OtherSource(address) if !by_tcp => with(address),
        DnsBehaviour::Truncate if !by_tcp => {
            let mut answer = truth();
            answer.truncated = true;
            answer
        }
        DnsBehaviour::NoSuchName => Answer::from_records(query, &DnsRecords::new().ttl(records.ttl)),
        DnsBehaviour::Fail => Answer::empty(query, code::SERVER_FAILURE),
        DnsBehaviour::Refuse => Answer::empty(query, code::REFUSED),
        DnsBehaviour::Garbage(seed) => return Some(Said::Noise(noise(query, seed))),
        DnsBehaviour::Normal
        | DnsBehaviour::Truncate
        | DnsBehaviour::OtherPort(_)
        | DnsBehaviour::OtherSource(_) => truth(),
    };
    Some(Said::Answer(answer))
}

/// A response's beginning and the question, so that it is looked at, then anything. It depends on the question's number too.
fn noise(query: &Query, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed ^ u64::from(u16::from_be_bytes(query.id)) << 32);
    let counts = random.next().to_le_bytes();
    let mut noise = query.id.to_vec();
    noise.extend([0x84, 0x80, 0, 1]);
    noise.extend(counts.iter().take(6).map(|count| count & 3));
    noise.extend(&query.question);
    for _ in 0..random.below(400) {
        let [byte, turn, ..] = random.next().to_le_bytes();
        // Pointers to and fro are what loops are made of.
        noise.extend(if turn < 40 { vec![0xc0, byte & 0x3f] } else { vec![byte] });
    }
    noise
}
