//! What proxies answer, from bytes to meaning in pure functions; nothing here reads or writes.
//!
//! Every function is given all bytes that have come so far and says what they are, or how many more are needed. The SOCKS
//! ones say so exactly, so that whoever reads never takes a byte that belongs to the tunnel.

pub mod http;
pub mod socks4;
pub mod socks5;

/// A reply, or what is missing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// At least so many more bytes belong to the reply; never 0.
    More(usize),
    /// The reply is whole.
    Whole(T),
}

/// The bytes are no reply of this protocol, whatever may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// It speaks TLS.
    Tls,
    /// It speaks SSH.
    Ssh,
    /// It speaks HTTP.
    Http,
    /// It speaks SOCKS, or something else in bytes.
    Other,
    /// The reply is longer than any that is read.
    Long,
}

impl Garbage {
    /// What the first bytes look like.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match bytes {
            // A record of the handshake or an alert (RFC 8446, section 5.1).
            [0x15 | 0x16, 3, ..] => Self::Tls,
            _ if bytes.starts_with(b"SSH-") => Self::Ssh,
            _ if bytes.starts_with(b"HT") => Self::Http,
            _ => Self::Other,
        }
    }
}
