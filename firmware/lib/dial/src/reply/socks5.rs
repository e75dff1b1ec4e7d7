//! A SOCKS5 proxy's replies (RFC 1928, RFC 1929); each function says exactly how many bytes belong to it.

use super::{Garbage, Parsed};

/// The way to authenticate that the proxy chose (RFC 1928, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// 0: none.
    None,
    /// 2: user and password (RFC 1929).
    Password,
    /// 255: none of those that were offered.
    NoneOfThese,
    /// One that was not offered.
    Other(u8),
}

/// Reads the choice: 2 bytes.
pub fn method(bytes: &[u8]) -> Result<Parsed<Method>, Garbage> {
    match bytes {
        [] => Ok(Parsed::More(2)),
        [5] => Ok(Parsed::More(1)),
        [5, method, ..] => Ok(Parsed::Whole(match method {
            0 => Method::None,
            2 => Method::Password,
            255 => Method::NoneOfThese,
            other => Method::Other(*other),
        })),
        _ => Err(Garbage::of(bytes)),
    }
}

/// Reads whether user and password are right (RFC 1929, section 2): 2 bytes.
pub fn password(bytes: &[u8]) -> Result<Parsed<bool>, Garbage> {
    match bytes {
        [] => Ok(Parsed::More(2)),
        // Some proxies answer with the version of SOCKS.
        [1 | 5] => Ok(Parsed::More(1)),
        [1 | 5, status, ..] => Ok(Parsed::Whole(*status == 0)),
        _ => Err(Garbage::of(bytes)),
    }
}

/// Why a proxy does not connect (RFC 1928, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 1: a failure of its own.
    General,
    /// 2: its rules forbid it.
    Forbidden,
    /// 3: no way to the network.
    NetworkUnreachable,
    /// 4: no way to the host, or no such name.
    HostUnreachable,
    /// 5: the host refuses.
    ConnectionRefused,
    /// 6: the host does not answer.
    Expired,
    /// 7: it does not know CONNECT.
    Command,
    /// 8: it does not know this kind of address.
    AddressKind,
    /// A number without a meaning.
    Other(u8),
}

/// What the reply to CONNECT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The tunnel begins after the reply.
    Granted,
    /// There is no tunnel.
    Refused(Refusal),
}

/// Reads the reply to CONNECT: 4 bytes, the proxy's own address, 2 bytes of port. At most 262 bytes.
pub fn reply(bytes: &[u8]) -> Result<Parsed<Reply>, Garbage> {
    if bytes.first().is_some_and(|version| *version != 5) {
        return Err(Garbage::of(bytes));
    }
    let whole = match (bytes.get(3), bytes.get(4)) {
        // The least that any reply has behind its length: a name of 0 characters and the port.
        (None, _) | (Some(3), None) => 7,
        (Some(1), _) => 10,
        (Some(4), _) => 22,
        (Some(3), Some(length)) => 7 + usize::from(*length),
        // Some proxies refuse without an address. Where a grant would end cannot be known.
        (Some(_), _) if bytes[1] != 0 => 4,
        (Some(_), _) => return Err(Garbage::Other),
    };
    if bytes.len() < whole {
        // No further than the byte that says how long it is.
        let known = if bytes.len() < 5 { 5 } else { whole };
        return Ok(Parsed::More(known - bytes.len()));
    }
    Ok(Parsed::Whole(match bytes[1] {
        0 => Reply::Granted,
        code => Reply::Refused(match code {
            1 => Refusal::General,
            2 => Refusal::Forbidden,
            3 => Refusal::NetworkUnreachable,
            4 => Refusal::HostUnreachable,
            5 => Refusal::ConnectionRefused,
            6 => Refusal::Expired,
            7 => Refusal::Command,
            8 => Refusal::AddressKind,
            other => Refusal::Other(other),
        }),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as the dialler does, and gives what was taken.
    fn taken(bytes: &[u8]) -> usize {
        let mut end = 0;
        while let Parsed::More(more) = reply(&bytes[..end]).unwrap() {
            assert!(more > 0);
            end += more;
        }
        end
    }

    #[test]
    fn no_byte_of_the_tunnel_is_taken() {
        let mut bytes = vec![5, 0, 0, 1];
        bytes.extend([9; 60]);
        assert_eq!(taken(&bytes), 10);
        bytes[3] = 4;
        assert_eq!(taken(&bytes), 22);
        bytes[3] = 3;
        assert_eq!(taken(&bytes), 16);
        bytes[4] = 0;
        assert_eq!(taken(&bytes), 7);
    }

    #[test]
    fn each_code_has_its_meaning() {
        let said = |code| reply(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(said(0), Ok(Parsed::Whole(Reply::Granted)));
        assert_eq!(said(2), Ok(Parsed::Whole(Reply::Refused(Refusal::Forbidden))));
        assert_eq!(said(8), Ok(Parsed::Whole(Reply::Refused(Refusal::AddressKind))));
        assert_eq!(said(77), Ok(Parsed::Whole(Reply::Refused(Refusal::Other(77)))));
        assert_eq!(reply(&[5, 0, 0, 2]), Err(Garbage::Other));
        assert_eq!(reply(&[5, 1, 0, 0]), Ok(Parsed::Whole(Reply::Refused(Refusal::General))));
    }

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        assert_eq!(method(b"HT"), Err(Garbage::Http));
        assert_eq!(method(&[0, 91]), Err(Garbage::Other));
        assert_eq!(method(&[0x15, 3]), Err(Garbage::Tls));
        assert_eq!(password(b"SSH-"), Err(Garbage::Ssh));
    }
}
