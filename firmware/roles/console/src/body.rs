//! Bodies: of answers, whole or as a stream of events, and of requests, read within bounds. It never looks into one.

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeroize::Zeroize as _;

/// How many bytes of a request's body come in a second at least, on average. The slowest line that a person has sends
/// five times as many.
const RATE: u64 = 1024;
/// How long a body may stay behind that.
const PATIENCE: Duration = Duration::from_secs(5);

/// The body of an answer.
pub(crate) enum Body {
    /// All of it; none once it has been handed over.
    Full(Option<Bytes>),
    /// What comes through a channel, until its sender is gone or `ends` is over.
    Stream(Stream),
}

/// An answer was not sent to its end, and the connection ends with it, so that nobody takes a part for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is broken off")]
pub(crate) struct BrokenOff;

/// A body that is sent as it comes.
pub(crate) struct Stream {
    chunks: mpsc::Receiver<Bytes>,
    /// Is over when the stream has to end. Holds its place among the streams, too.
    ends: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Only an empty chunk is its end: it is a file whose length nobody knows before.
    is_file: bool,
}

impl Body {
    /// A whole body.
    pub(crate) fn full(content: impl Into<Bytes>) -> Self {
        Self::Full(Some(content.into()))
    }

    /// What comes through the channel, until its sender is gone or `ends` is over, whichever is first.
    pub(crate) fn stream(
        chunks: mpsc::Receiver<Bytes>,
        ends: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self::Stream(Stream { chunks, ends: Box::pin(ends), is_file: false })
    }

    /// The same of a file, whose end is an empty chunk: without one it is [`BrokenOff`].
    pub(crate) fn file(
        chunks: mpsc::Receiver<Bytes>,
        ends: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self::Stream(Stream { chunks, ends: Box::pin(ends), is_file: true })
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Full(content) => Poll::Ready(content.take().map(|content| Ok(Frame::data(content)))),
            Self::Stream(stream) => {
                // Asked first: a sender that never pauses does not put the end off.
                if stream.ends.as_mut().poll(task).is_ready() {
                    return Poll::Ready(stream.is_file.then_some(Err(BrokenOff)));
                }
                stream.chunks.poll_recv(task).map(|chunk| match chunk {
                    Some(chunk) if stream.is_file && chunk.is_empty() => None,
                    Some(chunk) => Some(Ok(Frame::data(chunk))),
                    None => stream.is_file.then_some(Err(BrokenOff)),
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(content) => content.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(content) => {
                SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64))
            }
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Why the body of a request was not read. What follows it cannot be told from it: after each of these the connection
/// has to end with the answer (`Connection: close`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is too long: 413.
    #[error("the request is longer than {0} bytes: send less")]
    TooLong(usize),
    /// It came too slowly: 408.
    #[error("the request came too slowly: send it again over a faster line")]
    TooSlow,
    /// It ended before its end, or was no HTTP: 400.
    #[error("the request broke off: send it again")]
    BrokenOff,
}

/// The body of a request, of at most so many bytes, within that time and at no less than 1 KiB a second.
///
/// What is longer by its own word is refused before anything of it is read. It is read into one reservation, so that the
/// caller can wipe what was secret in it; on failure it is wiped here.
pub(crate) async fn read<B>(mut body: B, most: usize, within: Duration) -> Result<Vec<u8>, ReadError>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let promised = body.size_hint();
    if promised.lower() > most as u64 {
        return Err(ReadError::TooLong(most));
    }
    // Without a promise the most is reserved, and costs memory only as far as it is filled.
    let room =
        promised.upper().and_then(|upper| usize::try_from(upper).ok()).map_or(most, |upper| upper.min(most));
    let mut content = Vec::with_capacity(room);
    let read = fill(&mut body, &mut content, most, within).await;
    read.map(|()| std::mem::take(&mut content)).inspect_err(|_| content.zeroize())
}

async fn fill<B>(body: &mut B, content: &mut Vec<u8>, most: usize, within: Duration) -> Result<(), ReadError>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let begin = Instant::now();
    loop {
        let paid = Duration::from_millis(content.len() as u64 * 1000 / RATE);
        let until = begin + within.min(PATIENCE + paid);
        let next = std::future::poll_fn(|task| Pin::new(&mut *body).poll_frame(task));
        let frame = match tokio::time::timeout_at(until, next).await {
            Err(_) => return Err(ReadError::TooSlow),
            Ok(None) => return Ok(()),
            Ok(Some(Err(_))) => return Err(ReadError::BrokenOff),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers are nothing that anybody asks for.
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > most - content.len() {
            return Err(ReadError::TooLong(most));
        }
        content.extend_from_slice(&data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body whose chunks come one each `pause`, the first at once.
    fn drip(chunks: usize, size: usize, pause: Duration) -> Body {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for _ in 0..chunks {
                if sender.send(Bytes::from(vec![7; size])).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        });
        Body::stream(receiver, std::future::pending())
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_up_to_its_bound_and_no_further() {
        assert_eq!(read(Body::full("0123456789"), 10, MINUTE).await.unwrap(), b"0123456789");
        assert_eq!(read(Body::full("0123456789"), 9, MINUTE).await, Err(ReadError::TooLong(9)));
        assert_eq!(read(Body::full(""), 0, MINUTE).await.unwrap(), b"");
        // Without a promised length it is counted.
        assert_eq!(read(drip(10, 100, Duration::ZERO), 1000, MINUTE).await.unwrap().len(), 1000);
        assert_eq!(read(drip(11, 100, Duration::ZERO), 1000, MINUTE).await, Err(ReadError::TooLong(1000)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_before_the_time_is_over() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(read(drip(10_000, 1, second), 100_000, MINUTE).await, Err(ReadError::TooSlow));
        assert!(begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
        // One that keeps the rate has all the time that it was given, and no more.
        let begin = Instant::now();
        assert_eq!(read(drip(10_000, 1024, second), 1 << 20, MINUTE).await, Err(ReadError::TooSlow));
        assert_eq!(begin.elapsed(), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_ends_without_its_end_is_broken_off() {
        for whole in [true, false] {
            let (sender, receiver) = mpsc::channel(2);
            sender.send(Bytes::from_static(b"half")).await.unwrap();
            if whole {
                sender.send(Bytes::new()).await.unwrap();
            }
            drop(sender);
            let read = read(Body::file(receiver, std::future::pending()), 10, MINUTE).await;
            assert_eq!(read, if whole { Ok(b"half".to_vec()) } else { Err(ReadError::BrokenOff) });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_in_time_though_its_sender_never_pauses() {
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            while sender.send(Bytes::from_static(b"x")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let begin = Instant::now();
        let body = Body::stream(receiver, tokio::time::sleep(Duration::from_secs(3)));
        assert!(read(body, 10_000, MINUTE).await.unwrap().len() > 200);
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
    }
}
