//! Bytes from each side to the other, with the end of each direction carried over; it never closes one because the other is
//! done.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

/// A buffer of one direction.
const BUFFER: usize = 16 * 1024;

/// Why a connection is over.
pub(crate) enum Ended {
    /// Both sides have said all.
    Both,
    /// Nothing moved for too long.
    Idle,
    /// One side has broken off.
    Broken(io::Error),
}

/// What both directions share.
struct Shared {
    moved: Mutex<Instant>,
    there: AtomicU64,
    back: AtomicU64,
}

/// Relays until both directions are at their end, one breaks, or no byte has moved for `idle`. Gives the bytes of both.
pub(crate) async fn relay(mut near: TcpStream, mut far: TcpStream, idle: Duration) -> (u64, u64, Ended) {
    let shared =
        Shared { moved: Mutex::new(Instant::now()), there: AtomicU64::new(0), back: AtomicU64::new(0) };
    let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
    let both = async {
        tokio::try_join!(
            direction(near_read, far_write, &shared, &shared.there),
            direction(far_read, near_write, &shared, &shared.back)
        )
    };
    let ended = tokio::select! {
        result = both => result.map_or_else(Ended::Broken, |_| Ended::Both),
        () = silence(&shared, idle) => Ended::Idle,
    };
    (shared.there.into_inner(), shared.back.into_inner(), ended)
}

async fn direction(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        shared.moves();
        if read == 0 {
            // The reader's end is the writer's end, and the other direction goes on.
            return to.shutdown().await;
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let written = to.write(rest).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            shared.moves();
            count.fetch_add(written as u64, Ordering::Relaxed);
            rest = &rest[written..];
        }
    }
}

async fn silence(shared: &Shared, idle: Duration) {
    loop {
        let end = shared.last() + idle;
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}

impl Shared {
    fn moves(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
