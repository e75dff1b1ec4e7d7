//! The head of a proxy's answer to CONNECT (RFC 9110, section 9.3.6; RFC 9112, section 4); what follows is never touched.

use super::{Garbage, Parsed};

/// A longer head is refused, interim answers (1xx) before it included.
pub const HEAD_BYTES: usize = 8 * 1024;
/// More ways to authenticate are left out.
const SCHEMES: usize = 8;
/// So much of an unknown scheme's name is kept.
const SCHEME_CHARACTERS: usize = 32;

/// A way to authenticate that a proxy offers (RFC 9110, section 11.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// User and password as they are (RFC 7617).
    Basic,
    /// Hashes with a nonce (RFC 7616).
    Digest,
    /// Microsoft's challenge and response.
    Ntlm,
    /// Kerberos (RFC 4559).
    Negotiate,
    /// Any other, by its name.
    Other(String),
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Basic => "Basic",
            Self::Digest => "Digest",
            Self::Ntlm => "NTLM",
            Self::Negotiate => "Negotiate",
            Self::Other(name) => name,
        })
    }
}

/// The head of a final answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// 200 to 999.
    pub status: u16,
    /// What `Proxy-Authenticate` offers, in its order.
    pub schemes: Vec<Scheme>,
    /// The head's bytes, interim answers included; the tunnel begins here when the status is 2xx.
    pub length: usize,
}

/// Reads the head of the final answer. Interim answers are skipped (RFC 9110, section 15.2).
pub fn head(bytes: &[u8]) -> Result<Parsed<Head>, Garbage> {
    let mut begin = 0;
    loop {
        match one(bytes.get(begin..).unwrap_or_default())? {
            Parsed::More(_) if bytes.len() >= HEAD_BYTES => return Err(Garbage::Long),
            Parsed::More(more) => return Ok(Parsed::More(more)),
            Parsed::Whole(head) => {
                begin += head.length;
                if begin > HEAD_BYTES {
                    return Err(Garbage::Long);
                }
                // 101 is final (RFC 9110, section 15.2.2), and no answer to CONNECT.
                if head.status >= 200 || head.status == 101 {
                    return Ok(Parsed::Whole(Head { length: begin, ..head }));
                }
            }
        }
    }
}

fn one(bytes: &[u8]) -> Result<Parsed<Head>, Garbage> {
    let start = b"HTTP/1.";
    if !bytes.starts_with(&start[..start.len().min(bytes.len())]) {
        return Err(Garbage::of(bytes));
    }
    let mut lines = Lines(bytes);
    let Some(first) = lines.next() else { return Ok(Parsed::More(1)) };
    let status = status(first).ok_or(Garbage::Http)?;
    let mut schemes = Vec::new();
    loop {
        let Some(line) = lines.next() else { return Ok(Parsed::More(1)) };
        if line.is_empty() {
            return Ok(Parsed::Whole(Head { status, schemes, length: bytes.len() - lines.0.len() }));
        }
        // A folded line (RFC 9112, section 5.2) goes on with a value that says nothing here.
        if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Garbage::Http)?;
        let (name, value) = line.split_at(colon);
        if name.is_empty() || line.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(Garbage::Http);
        }
        if name.eq_ignore_ascii_case(b"proxy-authenticate") {
            offered(&value[1..], &mut schemes);
        }
    }
}

/// Lines that end in CRLF, or in LF alone (RFC 9112, section 2.2). What is left begins after the last whole line.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [b'0' | b'1', b' ', code @ ..] = rest else { return None };
    let (code, reason) = code.split_at_checked(3)?;
    if !matches!(reason.first(), None | Some(b' ')) || !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(code).ok()?.parse().ok().filter(|code| *code >= 100)
}

/// The schemes of one field, which is a list of challenges whose parameters are parted by commas too
/// (RFC 9110, section 11.6.1): a scheme is a word at a comma's right that no `=` follows.
fn offered(value: &[u8], schemes: &mut Vec<Scheme>) {
    let text = String::from_utf8_lossy(value);
    let mut quoted = false;
    let parts = text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    for part in parts {
        let part = part.trim();
        let word: String =
            part.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
        let after = part[word.len()..].chars().next();
        if word.is_empty() || after.is_some_and(|c| c != ' ') || schemes.len() >= SCHEMES {
            continue;
        }
        // `realm = "x"` may have spaces as well.
        if part[word.len()..].trim_start().starts_with('=') {
            continue;
        }
        schemes.push(match word.to_ascii_lowercase().as_str() {
            "basic" => Scheme::Basic,
            "digest" => Scheme::Digest,
            "ntlm" => Scheme::Ntlm,
            "negotiate" => Scheme::Negotiate,
            _ => Scheme::Other(word.chars().take(SCHEME_CHARACTERS).collect()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Head {
        match head(text.as_bytes()) {
            Ok(Parsed::Whole(head)) => head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_tunnel_begins_right_after_the_head() {
        let text = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nSSH-2.0-x";
        assert_eq!(&text[whole(text).length..], "SSH-2.0-x");
        assert_eq!(whole("HTTP/1.0 200\n\nrest").length, 14);
    }

    #[test]
    fn a_head_in_pieces_is_the_same_head() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\n\r\n";
        for end in 0..text.len() {
            assert!(matches!(head(&text[..end]), Ok(Parsed::More(_))), "{end}");
        }
        assert_eq!(whole(std::str::from_utf8(text).unwrap()).length, text.len());
    }

    #[test]
    fn schemes_are_told_from_their_parameters() {
        let text = "HTTP/1.1 407 No\r\nproxy-authenticate: Basic realm=\"a, Digest b\", charset=\"UTF-8\", Digest realm = \
                    \"x\", qop=auth,NTLM\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Odd x=1\r\n\r\n";
        let wanted =
            [Scheme::Basic, Scheme::Digest, Scheme::Ntlm, Scheme::Negotiate, Scheme::Other("Odd".to_owned())];
        assert_eq!(whole(text).schemes, wanted);
    }

    #[test]
    fn what_is_no_answer_is_refused_at_its_first_byte() {
        assert_eq!(head(b"SSH-2.0-x"), Err(Garbage::Ssh));
        assert_eq!(head(&[0x15, 3, 1]), Err(Garbage::Tls));
        assert_eq!(head(&[5]), Err(Garbage::Other));
        for text in [
            "HTTP/1.1 20 x\n",
            "HTTP/1.1 2000\n",
            "HTTP/1.1 099 x\n",
            "HTTP/1.2 200\n",
            "HTTP/1.1 200 x\nno colon\n",
        ] {
            assert_eq!(head(text.as_bytes()), Err(Garbage::Http), "{text}");
        }
    }

    #[test]
    fn a_head_without_end_is_refused_at_8_kib() {
        let text = format!("HTTP/1.1 200 x\r\n{}", "a: b\r\n".repeat(2000));
        assert!(matches!(head(&text.as_bytes()[..HEAD_BYTES - 1]), Ok(Parsed::More(_))));
        assert_eq!(head(&text.as_bytes()[..HEAD_BYTES]), Err(Garbage::Long));
        let interim = "HTTP/1.1 100 x\r\n\r\n".repeat(1000);
        assert_eq!(head(&interim.as_bytes()[..HEAD_BYTES]), Err(Garbage::Long));
    }
}
