//! Carries the bytes between an engineer's channel and a system's connection. It never looks into them, and it never lets the
//! channel's queue stand.
//!
//! The SSH library gives a channel window as soon as bytes have come, whoever takes them, and its one task for the whole
//! connection waits when a channel's queue is full: then all channels of that connection stand still. So whatever comes is
//! taken at once, into a buffer that is larger than what OpenSSH sends ahead within a session (2 MiB a channel). A system that
//! takes nothing while that buffer is full loses its channel, and the others go on.

use russh::server::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until};

/// Bytes of one channel that wait for its system.
const BUFFER: usize = 4 * 1024 * 1024;
/// Of these, a channel has so many for itself; what is more comes from the [`Pool`].
const OWN: usize = 128 * 1024;
/// Bytes that all channels together may have beyond their own.
const POOL: usize = 256 * 1024 * 1024;
/// What a message costs beside its bytes, so that many small ones are bounded, too.
const MESSAGE: usize = 128;
/// A system with a full buffer takes something within so long, when other sessions of the same connection wait behind it.
const TAKES_BESIDE_OTHERS: Duration = Duration::from_secs(2);
/// When there is no other. A connection that is held up takes no new session either, so this is not long.
const TAKES_ALONE: Duration = Duration::from_secs(30);
/// Read from a system at once.
const AT_ONCE: usize = 16 * 1024;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// One side has ended it.
    Ended,
    /// A connection broke.
    Broke,
    /// The system took nothing while the buffer was full.
    StoodStill,
}

/// Memory that the channels of all engineers share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool(Arc<AtomicUsize>);

/// The sessions that share an engineer's connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Company(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Member(Company);

impl Company {
    pub(super) fn join(&self) -> Member {
        self.0.fetch_add(1, Ordering::Relaxed);
        Member(self.clone())
    }
}

impl Member {
    fn takes_within(&self) -> Duration {
        if self.0.0.load(Ordering::Relaxed) > 1 { TAKES_BESIDE_OTHERS } else { TAKES_ALONE }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One channel's part of the [`Pool`], given back when this is dropped.
struct Share {
    pool: Pool,
    used: usize,
}

impl Share {
    const fn beyond(used: usize) -> usize {
        used.saturating_sub(OWN)
    }

    /// Whether another message may be taken.
    fn has_room(&self) -> bool {
        self.used < OWN || (self.used < BUFFER && self.pool.0.load(Ordering::Relaxed) < POOL)
    }

    fn set(&mut self, used: usize) {
        let (before, after) = (Self::beyond(self.used), Self::beyond(used));
        if after > before {
            self.pool.0.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.pool.0.fetch_sub(before - after, Ordering::Relaxed);
        }
        self.used = used;
    }

    fn take(&mut self, bytes: usize) {
        self.set(self.used.saturating_add(bytes).saturating_add(MESSAGE));
    }

    fn give(&mut self, bytes: usize) {
        self.set(self.used.saturating_sub(bytes).saturating_sub(MESSAGE));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Carries both ways until the channel is closed, both sides have ended, or one can no more. The channel is not closed here.
pub(super) async fn carry(
    read: &mut ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
    far: impl AsyncRead + AsyncWrite + Send,
    pool: &Pool,
    member: &Member,
) -> End {
    let (reader, writer) = tokio::io::split(far);
    let (there, back) = (there(read, writer, pool, member), back(reader, write));
    tokio::pin!(there, back);
    tokio::select! {
        end = &mut there => end,
        is_whole = &mut back => if is_whole { there.await } else { End::Broke },
    }
}

/// From the system to the engineer: who reads slowly is sent to slowly. Whether it came to its end.
async fn back(mut reader: impl AsyncRead + Unpin, write: &ChannelWriteHalf<Msg>) -> bool {
    let mut channel = write.make_writer();
    let mut bytes = vec![0; AT_ONCE];
    loop {
        match reader.read(&mut bytes).await {
            Ok(0) => return write.eof().await.is_ok(),
            Ok(count) => {
                if channel.write_all(&bytes[..count]).await.is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
}

/// What is next to be done at the system's end.
enum Next {
    Write,
    Flush,
    Shut,
    Nothing,
}

/// From the engineer to the system. Returns when the channel is closed, not when it has only ended.
async fn there(
    read: &mut ChannelReadHalf,
    mut writer: impl AsyncWrite + Unpin,
    pool: &Pool,
    member: &Member,
) -> End {
    let mut share = Share { pool: pool.clone(), used: 0 };
    let mut waiting = VecDeque::new();
    let mut written = 0;
    let (mut is_dirty, mut has_ended, mut is_shut, mut is_closed) = (false, false, false, false);
    let mut taken = Instant::now();
    loop {
        let next = match waiting.front() {
            Some(_) => Next::Write,
            None if is_dirty => Next::Flush,
            None if has_ended && !is_shut => Next::Shut,
            None => Next::Nothing,
        };
        if is_closed && matches!(next, Next::Nothing) {
            return End::Ended;
        }
        let has_room = share.has_room();
        let push = async {
            match next {
                Next::Write => match waiting.front() {
                    Some(bytes) => writer.write(&AsRef::<[u8]>::as_ref(bytes)[written..]).await,
                    None => Ok(0),
                },
                Next::Flush => writer.flush().await.map(|()| 0),
                Next::Shut => writer.shutdown().await.map(|()| 0),
                Next::Nothing => std::future::pending().await,
            }
        };
        tokio::select! {
            pushed = push => {
                let Ok(count) = pushed else { return End::Broke };
                taken = Instant::now();
                match next {
                    Next::Write if count == 0 => return End::Broke,
                    Next::Write => {
                        written += count;
                        is_dirty = true;
                        if waiting.front().is_some_and(|bytes| written >= AsRef::<[u8]>::as_ref(bytes).len()) {
                            waiting.pop_front();
                            share.give(written);
                            written = 0;
                        }
                    }
                    Next::Flush => is_dirty = false,
                    Next::Shut => is_shut = true,
                    Next::Nothing => {}
                }
            }
            message = read.wait(), if has_room && !is_closed => match message {
                Some(ChannelMsg::Data { data }) if !has_ended && !data.is_empty() => {
                    if waiting.is_empty() {
                        taken = Instant::now();
                    }
                    share.take(data.len());
                    waiting.push_back(data);
                }
                Some(ChannelMsg::Eof) => has_ended = true,
                Some(ChannelMsg::Close) | None => {
                    (has_ended, is_closed) = (true, true);
                    taken = Instant::now();
                }
                // Also what comes after the end: a queue that nobody empties would stop the connection.
                Some(_) => {}
            },
            () = sleep_until(taken + member.takes_within()), if !has_room || is_closed => return End::StoodStill,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_has_room_of_its_own_however_much_the_others_hold_and_gives_back_what_it_held() {
        let pool = Pool::default();
        let mut greedy: Vec<Share> = (0..80).map(|_| Share { pool: pool.clone(), used: 0 }).collect();
        for share in &mut greedy {
            while share.has_room() {
                share.take(AT_ONCE);
            }
        }
        let held = pool.0.load(Ordering::Relaxed);
        assert!((POOL..POOL + BUFFER).contains(&held), "{held}");
        let mut late = Share { pool: pool.clone(), used: 0 };
        while late.has_room() {
            late.take(1);
        }
        assert!((OWN..OWN + 1000).contains(&late.used), "{}", late.used);
        drop(greedy);
        assert!(late.has_room());
        drop(late);
        assert_eq!(pool.0.load(Ordering::Relaxed), 0);
    }
}
