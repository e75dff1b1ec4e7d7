//! Bytes between an engineer's connection and the SSH daemon, both ways. It never looks into them.

use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What is read before it is written on: a packet of SSH at its usual largest.
const PIECE: usize = 16 * 1024;

/// Who has said that he sends no more waits for the last of the other side's bytes, and no longer than this.
const HALF_OPEN: Duration = Duration::from_mins(1);

/// Carries bytes until both sides have ended, or one has failed. Holds at most a piece each way.
pub(crate) async fn both_ways<A, B>(one: A, other: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut one_read, mut one_write) = tokio::io::split(one);
    let (mut other_read, mut other_write) = tokio::io::split(other);
    let mut there = pin!(one_way(&mut one_read, &mut other_write));
    let mut back = pin!(one_way(&mut other_read, &mut one_write));
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    tokio::select! {
        first = &mut there => {
            first?;
            tokio::time::timeout(HALF_OPEN, back).await.map_err(late)?
        }
        first = &mut back => {
            first?;
            tokio::time::timeout(HALF_OPEN, there).await.map_err(late)?
        }
    }
}

async fn one_way(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..count]).await?;
        // TLS keeps what the socket does not take: without this, the last of it would wait for more.
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_one_side_has_ended_the_other_may_still_answer() {
        let (mut engineer, near) = tokio::io::duplex(100);
        let (far, mut daemon) = tokio::io::duplex(100);
        let copy = tokio::spawn(both_ways(near, far));
        engineer.write_all(b"last words").await.unwrap();
        engineer.shutdown().await.unwrap();
        let mut heard = Vec::new();
        daemon.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        daemon.write_all(b"answer").await.unwrap();
        drop(daemon);
        let mut answer = Vec::new();
        engineer.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        copy.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_never_ends_does_not_hold_the_other_for_ever() {
        let (mut engineer, near) = tokio::io::duplex(100);
        let (far, _daemon) = tokio::io::duplex(100);
        engineer.shutdown().await.unwrap();
        let error = both_ways(near, far).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_reader_who_stops_stops_the_writer() {
        let (mut engineer, near) = tokio::io::duplex(100);
        let (far, _daemon) = tokio::io::duplex(100);
        let copy = tokio::spawn(both_ways(near, far));
        // Two pipes of 100 bytes and one piece take so much, and then no more.
        let mut sent = 0;
        while let Ok(count) =
            tokio::time::timeout(Duration::from_millis(200), engineer.write(&[0; 100])).await
        {
            sent += count.unwrap();
        }
        assert!(sent <= PIECE + 200, "{sent} bytes were taken");
        copy.abort();
    }
}
