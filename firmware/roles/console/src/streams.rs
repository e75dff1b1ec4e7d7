//! Streams of events to browsers: so many at one time, and none for long. It never makes an event.
//!
//! A stream is an answer that does not end: it holds a connection and its memory. There are at most 8 to one source and
//! 32 in all; when there is no room, the newcomer has one, and the oldest of the source that has most ends. Each ends by
//! itself after 110 s, and with the role: a browser's `EventSource` opens another without a word.

use crate::body::Body;
use crate::places::{Guest, Places, Room};
use hyper::body::Bytes;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// How long a stream may be.
pub(crate) const STREAM_FOR: Duration = Duration::from_secs(110);
/// How many. A browser has at most six connections to one place.
const ROOM: Room = Room { places: 32, a_source: 8, for_new: 0 };
/// Chunks that a client may be behind. Its events' source learns from a full channel that it is too slow.
const CHUNKS: usize = 16;

/// The streams that there are.
#[derive(Debug)]
pub(crate) struct Streams {
    running: Arc<Mutex<Running>>,
    stop: watch::Receiver<Option<Instant>>,
}

#[derive(Debug)]
struct Running {
    places: Places,
    ends: HashMap<Guest, oneshot::Sender<()>>,
}

/// A stream's place, until it is dropped.
struct Place {
    running: Arc<Mutex<Running>>,
    guest: Guest,
}

impl Streams {
    /// None yet. All end as soon as `stop` carries a time.
    pub(crate) fn new(stop: watch::Receiver<Option<Instant>>) -> Self {
        let running = Running { places: Places::new(ROOM), ends: HashMap::new() };
        Self { running: Arc::new(Mutex::new(running)), stop }
    }

    /// Is over when the role stops.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.clone();
        async move {
            let _ = stop.wait_for(Option::is_some).await;
        }
    }

    /// A stream to a client: what is sent goes into the answer's body. Sending fails when the stream has ended; use
    /// `try_send`, or a bound on the time, for a client that does not read.
    pub(crate) fn open(&self, peer: IpAddr) -> (mpsc::Sender<Bytes>, Body) {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let (end, ended) = oneshot::channel();
        let place = {
            let mut running = lock(&self.running);
            let admission = running.places.admit(peer);
            if let Some(last) = admission.leaves.and_then(|guest| running.ends.remove(&guest)) {
                let _ = last.send(());
            }
            running.ends.insert(admission.guest, end);
            Place { running: Arc::clone(&self.running), guest: admission.guest }
        };
        let mut stop = self.stop.clone();
        let body = Body::stream(receiver, async move {
            let _place = place;
            tokio::select! {
                () = tokio::time::sleep(STREAM_FOR) => {}
                _ = ended => {}
                _ = stop.wait_for(Option::is_some) => {}
            }
        });
        (sender, body)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = lock(&self.running);
        running.places.leave(self.guest);
        running.ends.remove(&self.guest);
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read;
    use std::net::Ipv4Addr;

    fn host(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))
    }

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn the_ninth_stream_of_a_source_ends_its_first_and_nobody_elses() {
        let (_stop, stops) = watch::channel(None);
        let streams = Streams::new(stops);
        let (other, other_body) = streams.open(host(1));
        let mut own: Vec<_> = (0..9).map(|_| streams.open(host(2))).collect();
        let (_sender, first) = own.remove(0);
        assert_eq!(read(first, 9, LONG).await.unwrap(), b"");
        assert!(own.iter().all(|(sender, _)| !sender.is_closed()) && !other.is_closed());
        drop((own, other_body));
        assert!(lock(&streams.running).ends.is_empty());
        assert!(other.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn each_stream_ends_by_itself_within_two_minutes_and_at_once_with_the_role() {
        let (stop, stops) = watch::channel(None);
        let streams = Streams::new(stops);
        let begin = Instant::now();
        let (_sender, mut body) = streams.open(host(1));
        std::future::poll_fn(|task| hyper::body::Body::poll_frame(std::pin::Pin::new(&mut body), task)).await;
        assert_eq!(begin.elapsed(), STREAM_FOR);
        let (_sender, mut body) = streams.open(host(1));
        stop.send_replace(Some(Instant::now()));
        std::future::poll_fn(|task| hyper::body::Body::poll_frame(std::pin::Pin::new(&mut body), task)).await;
        assert_eq!(begin.elapsed(), STREAM_FOR);
    }
}
