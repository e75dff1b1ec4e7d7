//! Ends a connection from outside, whatever its task is at; it never looks into the bytes.
//!
//! An SSH session runs in a task of the SSH library, which waits for its peer as long as there are bytes. A [`Cut`] ends the
//! stream under it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// What ends a connection, and what says that it was ended. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Cut(Arc<watch::Sender<bool>>);

impl Cut {
    /// For a connection that runs.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Ends it.
    pub(crate) fn cut(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it was ended. Holds nothing of the connection.
    pub(crate) fn happens(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut seen = self.0.subscribe();
        async move {
            // An error says that nobody is left who could end it: then it is over all the same.
            let _ = seen.wait_for(|is_cut| *is_cut).await;
        }
    }
}

/// The stream that a [`Cut`] ends.
pub(crate) struct Guard<S> {
    inner: S,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
}

impl<S> Guard<S> {
    /// A stream under a cut.
    pub(crate) fn new(inner: S, cut: &Cut) -> Self {
        Self { inner, cut: Box::pin(cut.happens()), is_cut: false }
    }

    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || self.cut.as_mut().poll(context).is_ready();
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
        Pin::new(&mut self.inner).poll_read(context, buffer)
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
    use std::time::Duration;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn a_stream_that_is_cut_ends_also_while_it_is_waited_for() {
        let (near, _far) = tokio::io::duplex(64);
        let cut = Cut::new();
        let mut guard = Guard::new(near, &cut);
        let reader = tokio::spawn(async move { guard.read_u8().await });
        tokio::task::yield_now().await;
        cut.cut();
        let read = tokio::time::timeout(Duration::from_secs(30), reader).await.unwrap().unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
