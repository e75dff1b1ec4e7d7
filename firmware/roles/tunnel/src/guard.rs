//! A stream that its owner can end at once, and that is read no faster than the control protocol needs. It never looks into
//! the bytes.
//!
//! The SSH client runs in a task of its own, which waits for its server as long as there are bytes. Whoever holds the [`Cut`]
//! ends it by dropping that, whatever the task is at. And a server that sends without end is slowed down by TCP itself.

use crate::bounds::Bucket;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// A control connection needs a few hundred bytes a second; a handshake has a few thousand.
const BYTES_AT_ONCE: u32 = 256 * 1024;
/// One byte in so much time: 64 KiB a second.
const A_BYTE: Duration = Duration::from_nanos(1_000_000_000 / (64 * 1024));

/// Ends the stream when it is dropped.
#[derive(Debug)]
pub(crate) struct Cut {
    _held: oneshot::Sender<()>,
}

/// The stream.
pub(crate) struct Guard<S> {
    inner: S,
    cut: oneshot::Receiver<()>,
    is_cut: bool,
    bytes: Bucket,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Guard<S> {
    /// A stream, and what ends it.
    pub(crate) fn new(inner: S) -> (Self, Cut) {
        let (held, cut) = oneshot::channel();
        let bytes = Bucket::new(BYTES_AT_ONCE, A_BYTE);
        (Self { inner, cut, is_cut: false, bytes, pause: None }, Cut { _held: held })
    }

    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || Pin::new(&mut self.cut).poll(context).is_ready();
        if self.is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.look(context)?;
        if let Some(again) = self.bytes.again_at() {
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(again)));
            std::task::ready!(pause.as_mut().poll(context));
        }
        self.pause = None;
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let count = buffer.filled().len().saturating_sub(before);
        self.bytes.charge(u32::try_from(count).unwrap_or(u32::MAX));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look(context)?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(context)?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_stream_whose_cut_is_dropped_ends_also_while_it_is_waited_for() {
        let (near, _far) = tokio::io::duplex(64);
        let (mut guard, cut) = Guard::new(near);
        let reader = tokio::spawn(async move { guard.read_u8().await });
        tokio::task::yield_now().await;
        drop(cut);
        let read = tokio::time::timeout(Duration::from_secs(30), reader).await.unwrap().unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_without_end_are_read_at_the_rate_of_a_control_connection() {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let (mut guard, _cut) = Guard::new(near);
        tokio::spawn(async move { while far.write_all(&[0; 16 * 1024]).await.is_ok() {} });
        let began = tokio::time::Instant::now();
        let (mut read, mut buffer) = (0, vec![0; 32 * 1024]);
        while began.elapsed() < Duration::from_secs(10) {
            read += guard.read(&mut buffer).await.unwrap();
        }
        let most = 256 * 1024 + 11 * 64 * 1024;
        assert!((256 * 1024..most).contains(&read), "{read} bytes in 10 s");
    }
}
