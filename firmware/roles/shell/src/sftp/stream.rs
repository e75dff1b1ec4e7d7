//! What the SFTP server of the crate reads and writes: a client's input and output, whole packets of a bounded length on the way in,
//! answers together on the way out. It ends the session at the first thing that is wrong, and never hands an error on: the crate
//! would go on after most of them.

use super::names::Sent;
use super::{MALFORMED, PACKET_BYTES, UNSUPPORTED};
use bytes::Bytes;
use russh_sftp::protocol::{Packet, StatusCode};
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Answers are sent when so many bytes of them wait, or nothing more is asked.
const ANSWERS_BYTES: usize = 512 * 1024;
/// An answer of so many bytes is sent by itself: there is nothing to be won by a copy of it.
const LARGE_BYTES: usize = 64 * 1024;
/// What is read of the input at one time, at least: several requests.
const INPUT_BYTES: usize = PACKET_BYTES + 256 * 1024;
/// A packet's length, its kind, and the number of its request or the version.
const HEAD_BYTES: usize = 9;

/// The kinds of packets that this looks at (section 3 of draft-ietf-secsh-filexfer-02).
const INIT: u8 = 1;
const VERSION: u8 = 2;
const STATUS: u8 = 101;

/// The first bytes of a packet.
#[derive(Clone, Copy)]
struct Head {
    kind: u8,
    id: u32,
}

impl Head {
    fn of(packet: &[u8]) -> Option<Self> {
        let head = packet.first_chunk::<HEAD_BYTES>()?;
        Some(Self { kind: head[4], id: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) })
    }

    /// Whether it asks for something that the protocol knows.
    fn is_request(self) -> bool {
        matches!(self.kind, 3..=20 | 200)
    }
}

/// The stream. It waits in its reads and writes themselves: its process has nothing else to do meanwhile.
pub(super) struct Stream<I, O> {
    input: I,
    output: O,
    /// What was read and not yet handed over is at `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// So many bytes from `start` on are the rest of the packet that is being handed over.
    left: usize,
    /// The request that is answered next.
    request: Option<Head>,
    greeted: bool,
    answers: Vec<u8>,
    sent: Sent,
    /// Taken when the session is over.
    over: Option<oneshot::Sender<io::Result<()>>>,
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<I: Read, O: Write> Stream<I, O> {
    /// Over these two; the names of each request that are no UTF-8 go to `sent`, and how the session ends to `over`.
    pub(super) fn new(input: I, output: O, sent: Sent, over: oneshot::Sender<io::Result<()>>) -> Self {
        Self {
            input,
            output,
            buffer: vec![0; INPUT_BYTES],
            start: 0,
            end: 0,
            left: 0,
            request: None,
            greeted: false,
            answers: Vec::new(),
            sent,
            over: Some(over),
        }
    }

    fn finish(&mut self, how: io::Result<()>) {
        if let Some(over) = self.over.take() {
            // Who does not wait for it any more does not want to hear it.
            let _ = over.send(how);
        }
    }

    /// The length of the packet at `start`, with its length word, when all of it is there.
    fn whole(&self) -> io::Result<Option<usize>> {
        let waiting = &self.buffer[self.start..self.end];
        let Some(length) = waiting.first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length == 0 || length > PACKET_BYTES {
            return Err(wrong("the client has sent a packet that is empty, or larger than allowed"));
        }
        if length + 4 < HEAD_BYTES {
            return Err(wrong("the client has sent what is no request"));
        }
        Ok(Some(length + 4).filter(|length| *length <= waiting.len()))
    }

    /// Waits for the next packet; false: the input has ended.
    fn next(&mut self) -> io::Result<bool> {
        let length = loop {
            if let Some(length) = self.whole()? {
                break length;
            }
            self.send()?;
            // What is left is less than a packet: the buffer has room for the rest of it and more.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) if self.end == 0 => return Ok(false),
                Ok(0) => return Err(wrong("the client has ended within a packet")),
                Ok(length) => self.end += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let packet = &self.buffer[self.start..self.start + length];
        self.request = Head::of(packet);
        if !self.greeted && self.request.is_none_or(|head| head.kind != INIT) {
            return Err(wrong("the client has not begun with its version"));
        }
        self.sent.look(&packet[4..]);
        self.left = length;
        Ok(true)
    }

    /// Sends the answers that wait.
    fn send(&mut self) -> io::Result<()> {
        self.output.write_all(&self.answers)?;
        self.answers.clear();
        Ok(())
    }

    /// Takes an answer, which the crate writes as one piece.
    fn answer(&mut self, answer: &[u8]) -> io::Result<()> {
        let (Some(request), Some(head)) = (self.request.take(), Head::of(answer)) else {
            return Err(wrong("an answer has no request"));
        };
        if !self.greeted && head.kind != VERSION {
            return Err(wrong("the client has begun with what is no version"));
        }
        self.greeted = true;
        // The crate does not say which request it could not read, or does not know: it gives the number 0.
        if head.kind == STATUS && (head.id != request.id || !request.is_request()) {
            let (code, sentence) = if request.is_request() {
                (StatusCode::BadMessage, MALFORMED)
            } else {
                (StatusCode::OpUnsupported, UNSUPPORTED)
            };
            let status = Packet::status(request.id, code, sentence, super::LANGUAGE);
            let status = Bytes::try_from(status).map_err(|error| wrong(&error.to_string()))?;
            self.answers.extend_from_slice(&status);
        } else if answer.len() >= LARGE_BYTES {
            self.send()?;
            return self.output.write_all(answer);
        } else {
            self.answers.extend_from_slice(answer);
        }
        if self.answers.len() >= ANSWERS_BYTES { self.send() } else { Ok(()) }
    }
}

impl<I: Read + Unpin, O: Write + Unpin> AsyncRead for Stream<I, O> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if stream.over.is_some() && stream.left == 0 {
            match stream.next() {
                Ok(true) => {}
                Ok(false) => stream.finish(Ok(())),
                Err(error) => {
                    // What was answered before is still told, to whoever reads it.
                    let _ = stream.send();
                    stream.finish(Err(error));
                }
            }
        }
        if stream.over.is_some() {
            let length = stream.left.min(to.remaining());
            to.put_slice(&stream.buffer[stream.start..stream.start + length]);
            (stream.start, stream.left) = (stream.start + length, stream.left - length);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: Read + Unpin, O: Write + Unpin> AsyncWrite for Stream<I, O> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, answer: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if stream.over.is_some()
            && let Err(error) = stream.answer(answer)
        {
            stream.finish(Err(error));
        }
        Poll::Ready(Ok(answer.len()))
    }

    /// Answers go out before the next read, not one by one.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
