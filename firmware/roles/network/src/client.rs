//! The addressing of one port with carrier, on the port's raw socket. It never sets an address.
//!
//! It ends when its task is dropped (the carrier is lost) or when the socket fails (the port is gone).

pub use crate::addressing::{Mode, News};

use crate::addressing::Addressing;
use crate::dhcp;
use crate::lease::{Lease, Oddity, Refusal};
use crate::ports::Link;
use crate::system::{self, FRAME_BYTES, Filter};
use futures_util::FutureExt as _;
use smoltcp::time::Instant as ClientInstant;
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Frames taken in before other ports get their turn.
pub(crate) const FRAMES_A_TURN: usize = 64;
/// The rest after a full turn. Somebody floods the port: what the socket's buffer does not hold meanwhile is dropped by the
/// kernel, and the rest of the role goes on. 6,400 frames a second are taken in at most.
pub(crate) const REST: Duration = Duration::from_millis(10);
/// The longest sleep: a lease may be for ever.
const LONGEST_SLEEP: Duration = Duration::from_hours(24);
/// The shortest: whatever is due now was done.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// How often the same refusal is logged at most.
const REFUSAL_EVERY: Duration = Duration::from_mins(10);

/// Runs the addressing of `link` until its socket fails. Its news go to `news` under this number.
pub async fn run(link: Link, mode: Mode, number: u64, news: mpsc::Sender<(u64, News)>) {
    // A panic in here is a fault of this port's client: the other ports go on, and this one is begun again.
    let end = AssertUnwindSafe(client(&link, mode, number, &news)).catch_unwind().await;
    if let Err(error) = end.unwrap_or_else(|_| Err(io::Error::other("it panicked"))) {
        // A role that does not listen any more is about to end.
        let _ = news.send((number, News::Failed(error))).await;
    }
}

/// Gives a lease back, once, when the settings want it no more. It has no answer, and a lost one does no harm.
pub fn release(link: &Link, lease: &Lease) -> io::Result<()> {
    let socket = system::packet_socket(link.index, &Filter::nothing())?;
    let number = u32::try_from(system::random_number()? >> 32).unwrap_or_default();
    match dhcp::release(link.mac, lease, number) {
        Some(frame) => system::transmit(socket.get_ref(), &frame),
        None => Ok(()),
    }
}

async fn client(link: &Link, mode: Mode, number: u64, news: &mpsc::Sender<(u64, News)>) -> io::Result<()> {
    let start = Instant::now();
    let now = || ClientInstant::from_micros(i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX));
    let mut addressing = Addressing::new(link.mac, mode, now(), system::random_number()?);
    let mut watched = addressing.watched();
    let socket = system::packet_socket(link.index, &Filter::client(watched))?;
    let mut journal = Journal::new(link);
    let mut buffer = vec![0; FRAME_BYTES];
    loop {
        addressing.poll(now());
        // First the filter, then the question: the answer must not be missed.
        if watched != addressing.watched() {
            watched = addressing.watched();
            system::attach_filter(socket.get_ref(), &Filter::client(watched))?;
        }
        for frame in addressing.frames() {
            system::transmit(socket.get_ref(), &frame)?;
        }
        for refusal in addressing.refusals() {
            journal.refusal(refusal);
        }
        for said in addressing.news() {
            if let News::Leased(lease) = &said {
                journal.oddities(lease);
            }
            let _ = news.send((number, said)).await;
        }
        let at = now();
        let sleep = match addressing.next(at) {
            Some(next) if next > at => Duration::from(next - at).clamp(SHORTEST_SLEEP, LONGEST_SLEEP),
            Some(_) => SHORTEST_SLEEP,
            None => LONGEST_SLEEP,
        };
        tokio::select! {
            ready = socket.readable() => {
                let mut ready = ready?;
                let mut full = true;
                for _ in 0..FRAMES_A_TURN {
                    let Some(length) = system::receive(socket.get_ref(), &mut buffer)? else {
                        ready.clear_ready();
                        full = false;
                        break;
                    };
                    addressing.take(now(), buffer[..length].to_vec());
                }
                if full {
                    drop(ready);
                    tokio::time::sleep(REST).await;
                }
            }
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// What is told the administrator of a server's faults, seldom enough.
struct Journal<'a> {
    link: &'a Link,
    refused: Option<(Refusal, Instant)>,
    odd: Vec<Oddity>,
}

impl<'a> Journal<'a> {
    fn new(link: &'a Link) -> Self {
        Self { link, refused: None, odd: Vec::new() }
    }

    fn refusal(&mut self, refusal: Refusal) {
        let again = self
            .refused
            .as_ref()
            .is_some_and(|(before, at)| *before == refusal || at.elapsed() < Duration::from_secs(10));
        if !again || self.refused.as_ref().is_some_and(|(_, at)| at.elapsed() >= REFUSAL_EVERY) {
            log::warn!("{}: {refusal}", self.link);
            self.refused = Some((refusal, Instant::now()));
        }
    }

    /// A lease is renewed at most every few seconds: so is this.
    fn oddities(&mut self, lease: &Lease) {
        if self.odd != lease.oddities() {
            self.odd = lease.oddities().to_vec();
            for oddity in &self.odd {
                log::warn!("{}: the DHCP server {} gives {oddity}; it is ignored", self.link, lease.server());
            }
        }
    }
}
