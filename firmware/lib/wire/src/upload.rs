//! What is said on a connection for recordings, and its bounds; it never keeps a recording and never verifies one.
//!
//! ```text
//!   appliance                          server
//!   ticket ([`crate::ticket`])     ─►
//!                                  ◄─  `+`
//!   Begin(name)                    ─►
//!                                  ◄─  Has: so much of its chain is here, verified   or Refused
//!   Line, Line, …                  ─►
//!   Keep                           ─►
//!                                  ◄─  Has: it is on the disk                        or Refused
//!   Begin(another name)            ─►  …
//! ```
//!
//! A recording goes up as its chain: each line from where the server is, and with a block's line the bytes that it names. So one number,
//! the length of the chain, says how far the server is, and nothing goes up that is not sealed yet. `Begin` and `Keep` have one answer
//! each and lines have none. After [`Answer::Refused`] there is nothing but another `Begin`. A frame is a big-endian `u32` length of 1 to
//! [`FRAME_BYTES`], then that many bytes of postcard.

use crate::line::Line;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest line of a chain, in bytes without its end, and the most bytes that one names. `drawbridge_chain` has the same.
pub const LINE_BYTES: usize = 1024;
/// See [`LINE_BYTES`].
pub const DATA_BYTES: usize = 64 * 1024;
/// The longest frame, in bytes: a line, what it names, and their lengths.
pub const FRAME_BYTES: usize = LINE_BYTES + DATA_BYTES + 64;
/// The most bytes of frames between two answers: so much the server holds of one connection. What one block more would pass is left for
/// the next time.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Each side moves on within so many seconds, or the connection ends.
pub const MOVES_WITHIN: u64 = 60;
/// The appliance ends a connection on which it has had nothing to say for so many seconds.
pub const IDLE_FOR: u64 = 20;

/// Why bytes are no frame. The connection is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The length is out of bounds.
    #[error("a frame of {0} bytes: they have 1 to {FRAME_BYTES}")]
    Length(u32),
    /// The bytes are no message of this version.
    #[error("a frame that cannot be read")]
    Malformed,
    /// The connection failed.
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
}

/// A recording's name: 1 to 40 letters, digits and `-`, a letter or digit first. It is never a path, nor hidden, nor an option.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordingName(String);

impl RecordingName {
    /// Reads one; none when it is no such name.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_name = (1..=40).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-');
        is_name.then(|| Self(text.to_owned()))
    }

    /// It as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordingName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl TryFrom<String> for RecordingName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("this is no recording's name")
    }
}

impl From<RecordingName> for String {
    fn from(name: RecordingName) -> Self {
        name.0
    }
}

/// A line of a chain, and what it names.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct ChainLine {
    line: Vec<u8>,
    data: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Raw {
    #[serde(with = "serde_bytes")]
    line: Vec<u8>,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
}

impl ChainLine {
    /// A line without its end, and the bytes of the block that it names; none when they are out of bounds.
    pub fn new(line: Vec<u8>, data: Vec<u8>) -> Option<Self> {
        let fits =
            (1..=LINE_BYTES).contains(&line.len()) && data.len() <= DATA_BYTES && !line.contains(&b'\n');
        fits.then_some(Self { line, data })
    }

    /// The line, without its end.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// The bytes of its block; empty when it is a line of another sort.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// What it counts towards [`BATCH_BYTES`].
    pub fn weight(&self) -> usize {
        self.line.len() + self.data.len() + 16
    }
}

impl fmt::Debug for ChainLine {
    /// Without what was recorded.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "ChainLine({} and {} bytes)", self.line.len(), self.data.len())
    }
}

impl TryFrom<Raw> for ChainLine {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        Self::new(raw.line, raw.data).ok_or("a chain's line out of bounds")
    }
}

impl From<ChainLine> for Raw {
    fn from(line: ChainLine) -> Self {
        Self { line: line.line, data: line.data }
    }
}

/// From the appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upload {
    /// From here on it is this recording's.
    Begin(RecordingName),
    /// The next line of its chain.
    Line(ChainLine),
    /// What has come is to be on the disk.
    Keep,
}

/// From the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// So much is verified and on the disk.
    Has {
        /// Bytes of the chain's file.
        chain: u64,
        /// The hash of its last line; none when there is no line yet.
        head: Option<[u8; 32]>,
        /// Its end is signed: nothing more of it can come.
        whole: bool,
    },
    /// Nothing more of this recording is taken, and what was kept before stays.
    Refused {
        /// Why, as a sentence.
        why: Line<256>,
        /// What can be done, as a sentence.
        remedy: Line<256>,
    },
}

/// Reads the body of a frame.
pub fn parse<M: DeserializeOwned>(body: &[u8]) -> Result<M, UploadError> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        _ => Err(UploadError::Malformed),
    }
}

/// The bytes of a message.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, UploadError> {
    let body = postcard::to_stdvec(message).map_err(|_| UploadError::Malformed)?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if body.is_empty() || body.len() > FRAME_BYTES {
        return Err(UploadError::Length(length));
    }
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Sends a message; it may wait in the stream until that is flushed. Give it a time limit.
pub async fn send<M: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> Result<(), UploadError> {
    stream.write_all(&encode(message)?).await?;
    Ok(())
}

/// Waits for a message. Give it a time limit; what was read of one is lost when it is given up.
pub async fn receive<M: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> Result<M, UploadError> {
    let length = stream.read_u32().await?;
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes == 0 || bytes > FRAME_BYTES {
        return Err(UploadError::Length(length));
    }
    let mut body = vec![0; bytes];
    stream.read_exact(&mut body).await?;
    parse(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recordings_name_leads_to_no_other_folder() {
        assert!(RecordingName::parse("20261127T014500Z-3fa9c01d").is_some());
        for wrong in ["", ".", "..", "a/b", "/a", "a\0", "a b", "-a", "a.b", &"x".repeat(41), "ä"] {
            assert!(RecordingName::parse(wrong).is_none(), "{wrong:?}");
            let said = postcard::to_stdvec(&(0_u8, wrong)).unwrap();
            assert!(matches!(parse::<Upload>(&said), Err(UploadError::Malformed)), "{wrong:?}");
        }
    }

    #[test]
    fn the_largest_line_fits_a_frame_and_a_larger_one_is_none() {
        let line = ChainLine::new(vec![b'x'; LINE_BYTES], vec![0xff; DATA_BYTES]).unwrap();
        let message = Upload::Line(line);
        let bytes = encode(&message).unwrap();
        assert_eq!(parse::<Upload>(&bytes[4..]).unwrap(), message);
        assert!(!format!("{message:?}").contains("255"));
        for (line, data) in [(0, 0), (LINE_BYTES + 1, 0), (1, DATA_BYTES + 1)] {
            assert_eq!(ChainLine::new(vec![b'x'; line], vec![0; data]), None);
        }
        assert_eq!(ChainLine::new(b"one\ntwo".to_vec(), Vec::new()), None);
        let raw = Raw { line: b"one\ntwo".to_vec(), data: Vec::new() };
        let said = [&[1][..], &postcard::to_stdvec(&raw).unwrap()].concat();
        assert!(matches!(parse::<Upload>(&said), Err(UploadError::Malformed)));
        let behind = [&encode(&Upload::Keep).unwrap()[4..], &[0]].concat();
        assert!(matches!(parse::<Upload>(&behind), Err(UploadError::Malformed)));
    }

    #[tokio::test]
    async fn a_length_beyond_the_bound_is_an_error_before_anything_is_kept() {
        let (mut near, mut far) = tokio::io::duplex(64);
        send(&mut near, &Upload::Keep).await.unwrap();
        assert_eq!(receive::<Upload>(&mut far).await.unwrap(), Upload::Keep);
        for length in [0, u32::MAX] {
            near.write_u32(length).await.unwrap();
            let error = receive::<Upload>(&mut far).await.unwrap_err();
            assert!(matches!(error, UploadError::Length(said) if said == length), "{error}");
        }
        near.write_all(&[0, 0, 0, 9, 1]).await.unwrap();
        drop(near);
        assert!(matches!(receive::<Upload>(&mut far).await, Err(UploadError::Io(_))));
    }
}
