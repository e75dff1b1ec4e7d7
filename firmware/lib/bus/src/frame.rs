//! Bytes on the bus: a length, then a message. It knows nothing of who sent them.
//!
//! A frame is a little-endian `u32` length of at most [`FRAME_BYTES`], then that many bytes of postcard.

use crate::message::{Event, Reply, Request};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

/// The longest message, in bytes. Larger than any that the types' bounds allow; a length beyond it ends the connection.
pub const FRAME_BYTES: usize = 256 * 1024;

/// What one frame carries. `id` is the asker's own number, given back with the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// From the asker.
    Request {
        /// The asker's number for it.
        id: u32,
        /// What is asked.
        request: Request,
    },
    /// To the asker.
    Reply {
        /// The number of the request that it answers.
        id: u32,
        /// The answer.
        reply: Reply,
    },
    /// From init, unasked.
    Event(Event),
}

/// Why bytes are no frame. There is no way on after any of them: the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is out of bounds.
    #[error("a bus frame of {0} bytes: the most is {FRAME_BYTES}")]
    TooLong(u32),
    /// The bytes are no message of this version.
    #[error("a bus frame that is no message")]
    Malformed,
}

/// The bytes of a frame.
///
/// # Errors
/// [`FrameError::TooLong`] when the message is larger than a frame may be.
pub fn encode(frame: &Frame) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let body = Zeroizing::new(postcard::to_stdvec(frame).map_err(|_| FrameError::Malformed)?);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if body.len() > FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    // A secret may be in it.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 + body.len()));
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Joins what arrives in pieces into frames. Holds at most one frame and what was pushed last.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or none when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`]: the connection is of no further use.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head);
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes > FRAME_BYTES {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..bytes) else { return Ok(None) };
        let (frame, left) = postcard::take_from_bytes(body).map_err(|_| FrameError::Malformed)?;
        if !left.is_empty() {
            return Err(FrameError::Malformed);
        }
        // A secret may have been in it.
        self.buffer[..4 + bytes].zeroize();
        self.buffer.drain(..4 + bytes);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{LOG_LINE_BYTES, LOG_LINES_A_REPLY, Level, LogLine, Power};

    #[test]
    fn a_frame_that_arrives_byte_by_byte_is_read_whole() {
        let frames = [
            Frame::Request { id: 7, request: Request::Power(Power::Off) },
            Frame::Event(Event::Stop { seconds: 3 }),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| encode(frame).unwrap().to_vec()).collect();
        let mut decoder = Decoder::default();
        let mut read = Vec::new();
        for byte in bytes {
            decoder.push(&[byte]);
            read.extend(decoder.next_frame().unwrap());
        }
        assert_eq!(read, frames);
    }

    #[test]
    fn a_length_beyond_the_bound_is_an_error_before_anything_is_kept() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong(u32::MAX)));
    }

    #[test]
    fn bytes_behind_the_message_are_an_error() {
        let mut bytes = encode(&Frame::Event(Event::Stop { seconds: 3 })).unwrap();
        bytes[0] += 1;
        bytes.push(0);
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        assert_eq!(decoder.next_frame(), Err(FrameError::Malformed));
    }

    #[test]
    fn the_largest_log_reply_fits_a_frame() {
        let line = LogLine {
            number: u64::MAX,
            milliseconds: u64::MAX,
            source: "x".repeat(32),
            level: Level::Debug,
            text: "x".repeat(LOG_LINE_BYTES),
        };
        let reply = Reply::Log(vec![line; usize::from(LOG_LINES_A_REPLY)]);
        assert!(encode(&Frame::Reply { id: u32::MAX, reply }).is_ok());
    }
}
