//! Messages to bytes and back; it knows nothing of what they mean.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// The longest message, in bytes.
pub const FRAME_BYTES: usize = 8 * 1024;

/// Why bytes are no frame. The connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is out of bounds.
    #[error("a control message of {0} bytes: they have 1 to {FRAME_BYTES}")]
    Length(u32),
    /// The bytes are no message of this version.
    #[error("a control message that cannot be read")]
    Malformed,
}

/// The bytes of a message.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let body = postcard::to_stdvec(message).map_err(|_| FrameError::Malformed)?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if body.is_empty() || body.len() > FRAME_BYTES {
        return Err(FrameError::Length(length));
    }
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Joins what arrives in pieces into messages. Holds at most one frame and what was pushed last.
#[derive(Debug)]
pub struct Decoder<M> {
    buffer: Vec<u8>,
    message: PhantomData<fn() -> M>,
}

impl<M> Default for Decoder<M> {
    fn default() -> Self {
        Self { buffer: Vec::new(), message: PhantomData }
    }
}

impl<M: DeserializeOwned> Decoder<M> {
    /// Takes bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or none when more bytes are needed. To be called until there is none before more is pushed.
    pub fn next_message(&mut self) -> Result<Option<M>, FrameError> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head);
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes == 0 || bytes > FRAME_BYTES {
            return Err(FrameError::Length(length));
        }
        let Some(body) = rest.get(..bytes) else { return Ok(None) };
        let (message, left) = postcard::take_from_bytes(body).map_err(|_| FrameError::Malformed)?;
        if !left.is_empty() {
            return Err(FrameError::Malformed);
        }
        // A token may have been in it.
        self.buffer[..4 + bytes].fill(0);
        self.buffer.drain(..4 + bytes);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Line, RequestId, ToAppliance, ToServer, Token};

    #[test]
    fn a_message_that_arrives_byte_by_byte_is_read_whole() {
        let messages = [
            ToAppliance::Ping(7),
            ToAppliance::Dial {
                request: RequestId(1),
                token: Token::random().unwrap(),
                engineer: Line::of("anna"),
                source: "192.0.2.1".parse().unwrap(),
            },
        ];
        let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
        let mut decoder = Decoder::<ToAppliance>::default();
        let mut read = Vec::new();
        for byte in bytes {
            decoder.push(&[byte]);
            read.extend(decoder.next_message().unwrap());
        }
        assert_eq!(read, messages);
    }

    #[test]
    fn lengths_out_of_bounds_and_bytes_behind_a_message_end_it() {
        let mut decoder = Decoder::<ToServer>::default();
        decoder.push(&u32::MAX.to_be_bytes());
        assert_eq!(decoder.next_message(), Err(FrameError::Length(u32::MAX)));
        let mut decoder = Decoder::<ToServer>::default();
        decoder.push(&[0; 4]);
        assert_eq!(decoder.next_message(), Err(FrameError::Length(0)));
        let mut bytes = encode(&ToServer::Bye).unwrap();
        bytes[3] += 1;
        bytes.push(0);
        let mut decoder = Decoder::<ToServer>::default();
        decoder.push(&bytes);
        assert_eq!(decoder.next_message(), Err(FrameError::Malformed));
    }

    #[test]
    fn the_largest_hello_fits_a_frame() {
        let hello = ToServer::Hello {
            protocol: u16::MAX,
            version: Line::of(&"x".repeat(64)),
            serial: Line::of(&"x".repeat(64)),
            name: Line::of(&"x".repeat(64)),
            host_key: Line::of(&"x".repeat(512)),
        };
        assert!(encode(&hello).is_ok());
    }
}
