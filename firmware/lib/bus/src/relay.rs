//! The first bytes on a connection to the loopback SSH daemon: the grant's token, and whose connection it is. It never
//! carries an engineer's bytes.
//!
//! The relay sends [`MAGIC`], the token of 32 bytes, a big-endian `u16` length of at most [`CALLER_BYTES`], and that many
//! bytes of postcard: a [`Caller`]. Nothing is answered: SSH follows.

use crate::bridge::SecretBytes;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

/// What the connection begins with.
pub const MAGIC: [u8; 4] = *b"DBR1";
/// The longest [`Caller`], in bytes.
pub const CALLER_BYTES: usize = 256;
/// The longest name in it, in bytes.
pub const NAME_BYTES: usize = 64;

/// Whose connection it is, by the server's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The engineer's name (printable, at most [`NAME_BYTES`]).
    pub name: String,
    /// From where he comes.
    pub source: IpAddr,
}

/// The bytes to begin with.
pub fn preface(token: &SecretBytes, caller: &Caller) -> Zeroizing<Vec<u8>> {
    let mut name = String::new();
    for char in caller.name.chars().filter(|char| !char.is_control()) {
        if name.len() + char.len_utf8() > NAME_BYTES {
            break;
        }
        name.push(char);
    }
    let caller = postcard::to_stdvec(&Caller { name, source: caller.source }).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 + 32 + 2 + caller.len()));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(token.reveal());
    bytes.extend_from_slice(&u16::try_from(caller.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(&caller);
    bytes
}

/// Reads them; none when they are no preface. The token is to be compared in constant time. Give it a time limit.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(SecretBytes, Caller)>> {
    let mut head = Zeroizing::new([0; 4 + 32 + 2]);
    stream.read_exact(head.as_mut_slice()).await?;
    let Some((magic, rest)) = head.split_first_chunk::<4>() else { return Ok(None) };
    let Some((token, length)) = rest.split_first_chunk::<32>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if *magic != MAGIC || length > CALLER_BYTES {
        return Ok(None);
    }
    let mut body = [0; CALLER_BYTES];
    let body = &mut body[..length];
    stream.read_exact(body).await?;
    Ok(parse(body).map(|caller| (SecretBytes::new(*token), caller)))
}

/// The caller of a preface; none when the bytes are none.
pub fn parse(body: &[u8]) -> Option<Caller> {
    let (caller, rest): (Caller, _) = postcard::take_from_bytes(body).ok()?;
    let right =
        rest.is_empty() && caller.name.len() <= NAME_BYTES && !caller.name.chars().any(char::is_control);
    right.then_some(caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_read_as_it_was_sent_and_anything_else_is_none() {
        let caller = Caller { name: "anna\u{e4}".repeat(20), source: "192.0.2.7".parse().unwrap() };
        let token = SecretBytes::new([9; 32]);
        let bytes = preface(&token, &caller);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = |bytes: &[u8]| runtime.block_on(read(&mut &bytes[..]));
        let (read_token, read_caller) = read(&bytes).unwrap().unwrap();
        assert_eq!((&read_token, read_caller.source), (&token, caller.source));
        assert!(caller.name.starts_with(&read_caller.name) && read_caller.name.len() <= NAME_BYTES);
        let mut wrong = bytes.to_vec();
        wrong[0] ^= 1;
        assert!(read(&wrong).unwrap().is_none());
        assert!(read(&bytes[..20]).is_err());
        assert_eq!(parse(&postcard::to_stdvec(&("a\nb", caller.source)).unwrap()), None);
    }
}
