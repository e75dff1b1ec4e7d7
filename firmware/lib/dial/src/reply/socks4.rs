//! A SOCKS4 proxy's reply (the protocol's text of 1992, and that of 4a); it is 8 bytes and never more.

use super::{Garbage, Parsed};

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 90: the tunnel begins after these 8 bytes.
    Granted,
    /// 91: refused or failed.
    Refused,
    /// 92: the proxy could not ask the client's host who its user is (RFC 1413).
    NoIdent,
    /// 93: the client's host names another user.
    OtherUser,
}

/// Reads a reply.
pub fn reply(bytes: &[u8]) -> Result<Parsed<Reply>, Garbage> {
    match bytes.first() {
        // Some proxies answer with their version where the text wants 0.
        None | Some(0 | 4) => {}
        Some(_) => return Err(Garbage::of(bytes)),
    }
    let reply = match bytes.get(1) {
        None => return Ok(Parsed::More(8 - bytes.len())),
        Some(90) => Reply::Granted,
        Some(91) => Reply::Refused,
        Some(92) => Reply::NoIdent,
        Some(93) => Reply::OtherUser,
        Some(_) => return Err(Garbage::of(bytes)),
    };
    if bytes.len() < 8 { Ok(Parsed::More(8 - bytes.len())) } else { Ok(Parsed::Whole(reply)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_8_bytes() {
        let bytes = [0, 90, 1, 2, 3, 4, 5, 6, 99];
        for end in 0..8 {
            assert_eq!(reply(&bytes[..end]), Ok(Parsed::More(8 - end)));
        }
        assert_eq!(reply(&bytes), Ok(Parsed::Whole(Reply::Granted)));
    }

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        assert_eq!(reply(b"HTTP/1.1"), Err(Garbage::Http));
        assert_eq!(reply(b"SSH-2.0-"), Err(Garbage::Ssh));
        assert_eq!(reply(&[0, 89]), Err(Garbage::Other));
        assert_eq!(reply(&[5]), Err(Garbage::Other));
    }
}
