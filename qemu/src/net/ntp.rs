//! An NTP server for tests (RFC 5905): the time of this machine with an offset, or worse. It never sets a clock.

use super::NetError;
use super::host::Host;
use super::worker::{STEP, Worker};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const PORT: u16 = 123;

/// Seconds from NTP's epoch to Unix's (RFC 5905 figure 4).
const EPOCHS_APART: i128 = 2_208_988_800;

/// The length of a message without extensions.
const MESSAGE: usize = 48;

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NtpBehaviour {
    /// As it should.
    #[default]
    Normal,
    /// It answers nothing.
    Silent,
    /// It says that it is not synchronised itself (leap indicator 3, stratum 16).
    Unsynchronised,
    /// It tells the client to go away (stratum 0, `DENY`; RFC 5905 section 7.4).
    KissOfDeath,
    /// Its answers bear another origin than the query's, as those of who guesses.
    WrongOrigin,
    /// Its answers are cut off after so many bytes.
    Short(u8),
}

#[derive(Debug, Default)]
struct State {
    behaviour: NtpBehaviour,
    offset: i64,
    queries: Vec<SocketAddr>,
}

/// A handle on a host's NTP server. Dropped, the server ends.
#[derive(Debug)]
pub struct NtpServer {
    state: Arc<Mutex<State>>,
    _worker: Worker,
}

/// Queries that are kept to be looked at.
const SEEN_LIMIT: usize = 10_000;

impl Host {
    /// Serves NTP from now on, with this machine's time.
    pub fn serve_ntp(&self) -> Result<NtpServer, NetError> {
        let socket = self.udp(PORT)?;
        let state = Arc::new(Mutex::new(State::default()));
        let theirs = Arc::clone(&state);
        let worker = Worker::start(&self.network, "ntp", move || {
            let Ok((query, from)) = socket.receive_from(STEP) else { return };
            let mut state = lock(&theirs);
            if state.queries.len() < SEEN_LIMIT {
                state.queries.push(from);
            }
            let answer = answer(&query, state.behaviour, time(SystemTime::now(), state.offset));
            drop(state);
            if let Some(answer) = answer {
                // A client that cannot be reached is none.
                let _ = socket.send_to(&answer, from);
            }
        })?;
        Ok(NtpServer { state, _worker: worker })
    }
}

impl NtpServer {
    /// From now on it behaves so.
    pub fn set_behaviour(&self, behaviour: NtpBehaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// From now on its time is this many seconds ahead of this machine's (or behind it). NTP's own seconds begin anew every
    /// 136 years.
    pub fn set_offset(&self, seconds: i64) {
        lock(&self.state).offset = seconds;
    }

    /// Who has asked so far, in order.
    pub fn queries(&self) -> Vec<SocketAddr> {
        lock(&self.state).queries.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A time stamp: seconds and their 2^32nd parts (RFC 5905 section 6).
fn time(now: SystemTime, offset: i64) -> u64 {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i128::from(now.as_secs()) + i128::from(offset) + EPOCHS_APART;
    let seconds = u64::try_from(seconds.rem_euclid(1 << 32)).unwrap_or_default();
    (seconds << 32) | ((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000)
}

/// The answer to a client's query; none to anything else.
fn answer(query: &[u8], behaviour: NtpBehaviour, now: u64) -> Option<Vec<u8>> {
    let query = query.first_chunk::<MESSAGE>()?;
    let [first, ..] = *query;
    let is_client = first & 7 == 3;
    if !is_client || behaviour == NtpBehaviour::Silent {
        return None;
    }
    let (leap, stratum, reference) = match behaviour {
        NtpBehaviour::Unsynchronised => (3, 16, *b"INIT"),
        NtpBehaviour::KissOfDeath => (3, 0, *b"DENY"),
        _ => (0, 2, [10, 0, 0, 1]),
    };
    // Leap indicator, the query's version, mode 4 (server).
    let head = [leap << 6 | (first & 0x38) | 4, stratum, 6, 0xe9];
    let mut origin = *query.last_chunk::<8>()?;
    if behaviour == NtpBehaviour::WrongOrigin {
        origin[7] ^= 1;
    }
    let stamp = now.to_be_bytes();
    // Root delay and dispersion: a millisecond each.
    let mut message = [&head[..], &[0, 0, 0, 65], &[0, 0, 0, 65], &reference].concat();
    message.extend([stamp, origin, stamp, stamp].concat());
    if let NtpBehaviour::Short(length) = behaviour {
        message.truncate(length.into());
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Vec<u8> {
        let mut query = vec![0; MESSAGE];
        query[0] = 0x23;
        query[40..].copy_from_slice(&7_u64.to_be_bytes());
        query
    }

    #[test]
    fn an_answer_bears_the_querys_time_and_the_servers() {
        let message = answer(&query(), NtpBehaviour::Normal, 0x1234).unwrap();
        assert_eq!(message.len(), MESSAGE);
        assert_eq!(message.get(..2), Some(&[0x24, 2][..]));
        assert_eq!(message.get(24..32), Some(&7_u64.to_be_bytes()[..]));
        assert_eq!(message.get(40..), Some(&0x1234_u64.to_be_bytes()[..]));
        for length in 0..MESSAGE {
            assert_eq!(answer(query().get(..length).unwrap(), NtpBehaviour::Normal, 0), None);
        }
        let mut answered = query();
        answered[0] = 0x24;
        assert_eq!(answer(&answered, NtpBehaviour::Normal, 0), None, "servers do not answer each other");
    }

    #[test]
    fn bad_servers_are_bad_in_their_own_way() {
        let say = |behaviour| answer(&query(), behaviour, 0).unwrap();
        assert_eq!(say(NtpBehaviour::KissOfDeath).get(1..16), Some(&b"\0\x06\xe9\0\0\0A\0\0\0ADENY"[..]));
        assert_eq!(say(NtpBehaviour::Unsynchronised).first(), Some(&0xe4));
        assert_ne!(say(NtpBehaviour::WrongOrigin).get(24..32), Some(&7_u64.to_be_bytes()[..]));
        assert_eq!(say(NtpBehaviour::Short(20)).len(), 20);
        assert_eq!(answer(&query(), NtpBehaviour::Silent, 0), None);
    }

    #[test]
    fn an_offset_moves_the_time_by_years_both_ways() {
        let year = 365 * 24 * 3600;
        let seconds = |offset| time(UNIX_EPOCH, offset) >> 32;
        assert_eq!(seconds(0), 2_208_988_800);
        assert_eq!(seconds(10 * year), 2_208_988_800 + 315_360_000);
        assert_eq!(seconds(-10 * year), 2_208_988_800 - 315_360_000);
        assert_eq!(seconds(100 * year), (2_208_988_800 + 3_153_600_000) % (1 << 32));
    }
}
