//! What is said to a proxy until it has connected; credentials go to it and to nobody else.

use crate::error::Failure;
use crate::host::{Host, HostPort};
use crate::reply::http::{HEAD_BYTES, Head, Scheme};
use crate::reply::socks5::{Method, Refusal, Reply};
use crate::reply::{Garbage, Parsed, http, socks4, socks5};
use crate::route::{Authentication, Credentials};
use crate::transport::{Link, Prefixed};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zeroize::Zeroizing;

// A piece of a reply at a time; a head has seldom more.
const PIECE: usize = 1024;

/// CONNECT (RFC 9110, section 9.3.6). What the proxy sends behind its head is the tunnel's first bytes.
pub(crate) async fn connect(
    mut link: Link,
    to: &HostPort,
    authentication: &Authentication,
) -> Result<Link, Failure> {
    let mut request = Zeroizing::new(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n"));
    if let Authentication::Basic(credentials) = authentication {
        if credentials.user().contains(':') {
            return Err(Failure::ColonInUser);
        }
        let pair = Zeroizing::new(format!("{}:{}", credentials.user(), credentials.password()));
        request.push_str("Proxy-Authorization: Basic ");
        base64(pair.as_bytes(), &mut request);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    send(&mut link, request.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        match http::head(&bytes).map_err(Failure::NotAProxy)? {
            Parsed::Whole(head) => {
                refusal(&head, matches!(authentication, Authentication::Basic(_)))?;
                let early = bytes.split_off(head.length);
                return Ok(if early.is_empty() { link } else { Box::new(Prefixed::new(early, link)) });
            }
            Parsed::More(_) => {
                let mut piece = [0; PIECE];
                let room = PIECE.min(HEAD_BYTES - bytes.len());
                let count = link.read(&mut piece[..room]).await.map_err(|error| broken(&error))?;
                if count == 0 {
                    return Err(if bytes.is_empty() {
                        Failure::ProxyClosed
                    } else {
                        Failure::NotAProxy(Garbage::Http)
                    });
                }
                bytes.extend_from_slice(&piece[..count]);
            }
        }
    }
}

fn refusal(head: &Head, gave: bool) -> Result<(), Failure> {
    let schemes = || head.schemes.clone();
    Err(match head.status {
        200..=299 => return Ok(()),
        407 if !gave => Failure::WantsCredentials(schemes()),
        407 if head.schemes.contains(&Scheme::Basic) => Failure::CredentialsRefused,
        407 => Failure::OtherAuthentication(schemes()),
        403 => Failure::TargetForbidden,
        502..=504 => Failure::TargetUnreachable(head.status),
        status @ 300..=399 => Failure::Redirect(status),
        status @ (400 | 404 | 405 | 501) => Failure::NoConnect(status),
        status => Failure::Status(status),
    })
}

/// SOCKS4, to an address that was looked up here.
pub(crate) async fn socks4(
    link: Link,
    to: Ipv4Addr,
    port: u16,
    user: Option<&Credentials>,
) -> Result<Link, Failure> {
    request4(link, to, port, user, None).await
}

/// `SOCKS4a`: a name is sent as it is behind an address that there cannot be.
pub(crate) async fn socks4a(link: Link, to: &HostPort, user: Option<&Credentials>) -> Result<Link, Failure> {
    match &to.host {
        Host::Name(name) => {
            request4(link, Ipv4Addr::new(0, 0, 0, 1), to.port, user, Some(name.as_ref())).await
        }
        Host::Address(IpAddr::V4(address)) => request4(link, *address, to.port, user, None).await,
        Host::Address(IpAddr::V6(_)) => Err(Failure::NoIpv4),
    }
}

async fn request4(
    mut link: Link,
    to: Ipv4Addr,
    port: u16,
    user: Option<&Credentials>,
    name: Option<&str>,
) -> Result<Link, Failure> {
    let mut request = Zeroizing::new(vec![4, 1]);
    request.extend_from_slice(&port.to_be_bytes());
    request.extend_from_slice(&to.octets());
    request.extend_from_slice(user.map_or("", Credentials::user).as_bytes());
    request.push(0);
    if let Some(name) = name {
        request.extend_from_slice(name.as_bytes());
        request.push(0);
    }
    send(&mut link, &request).await?;
    Err(match exactly(&mut link, socks4::reply).await? {
        socks4::Reply::Granted => return Ok(link),
        socks4::Reply::Refused => Failure::Socks4Refused,
        socks4::Reply::NoIdent => Failure::Socks4NoIdent,
        socks4::Reply::OtherUser => Failure::Socks4OtherUser,
    })
}

/// SOCKS5 (RFC 1928); user and password as in RFC 1929.
pub(crate) async fn socks5(
    mut link: Link,
    to: &HostPort,
    credentials: Option<&Credentials>,
) -> Result<Link, Failure> {
    let offer: &[u8] = if credentials.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    send(&mut link, offer).await?;
    match (exactly(&mut link, socks5::method).await?, credentials) {
        (Method::None, _) => {}
        (Method::Password, Some(credentials)) => {
            let mut request = Zeroizing::new(vec![1]);
            for part in [credentials.user(), credentials.password()] {
                // Credentials have no longer parts.
                request.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
                request.extend_from_slice(part.as_bytes());
            }
            send(&mut link, &request).await?;
            if !exactly(&mut link, socks5::password).await? {
                return Err(Failure::CredentialsRefused);
            }
        }
        (Method::NoneOfThese, None) => return Err(Failure::WantsCredentials(Vec::new())),
        (Method::NoneOfThese, Some(_)) => return Err(Failure::OtherAuthentication(Vec::new())),
        (Method::Password | Method::Other(_), _) => return Err(Failure::NotAProxy(Garbage::Other)),
    }
    let mut request = vec![5, 1, 0];
    match &to.host {
        Host::Name(name) => {
            let name = name.as_ref().as_bytes();
            // Names have at most 253 bytes.
            request.extend([3, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
            request.extend_from_slice(name);
        }
        Host::Address(IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Host::Address(IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
    }
    request.extend(to.port.to_be_bytes());
    send(&mut link, &request).await?;
    match exactly(&mut link, socks5::reply).await? {
        Reply::Granted => Ok(link),
        Reply::Refused(Refusal::Forbidden) => Err(Failure::TargetForbidden),
        Reply::Refused(refusal) => Err(Failure::Socks5(refusal)),
    }
}

/// Reads what belongs to a reply and not a byte more.
async fn exactly<T>(
    link: &mut Link,
    parse: impl Fn(&[u8]) -> Result<Parsed<T>, Garbage>,
) -> Result<T, Failure> {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes).map_err(Failure::NotAProxy)? {
            Parsed::Whole(reply) => return Ok(reply),
            Parsed::More(more) => {
                let begin = bytes.len();
                bytes.resize(begin + more, 0);
                let mut end = begin;
                while end < bytes.len() {
                    let count = link.read(&mut bytes[end..]).await.map_err(|error| broken(&error))?;
                    if count == 0 {
                        // What came may tell another protocol by itself.
                        parse(&bytes[..end]).map_err(Failure::NotAProxy)?;
                        return Err(Failure::ProxyClosed);
                    }
                    end += count;
                    parse(&bytes[..end]).map_err(Failure::NotAProxy)?;
                }
            }
        }
    }
}

async fn send(link: &mut Link, bytes: &[u8]) -> Result<(), Failure> {
    link.write_all(bytes).await.map_err(|error| broken(&error))?;
    link.flush().await.map_err(|error| broken(&error))
}

fn broken(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof => Failure::ProxyClosed,
        kind => Failure::Kernel(kind.to_string()),
    }
}

/// Base64 (RFC 4648, section 4), written straight to where it is wiped.
fn base64(bytes: &[u8], to: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Without room from the start, growing would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(to.len() + bytes.len().div_ceil(3) * 4 + 8));
    text.push_str(to);
    for piece in bytes.chunks(3) {
        let at = |index: usize| piece.get(index).copied().map_or(0, u32::from);
        let number = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place > piece.len() { '=' } else { char::from(digit) });
        }
    }
    std::mem::swap(to, &mut text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            let mut text = "x".to_owned();
            base64(plain.as_bytes(), &mut text);
            assert_eq!(text, format!("x{coded}"));
        }
    }

    #[tokio::test]
    async fn bytes_that_come_with_the_head_are_the_tunnels_first() {
        let (near, mut far) = tokio::io::duplex(4096);
        far.write_all(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nearly ").await.unwrap();
        let to = HostPort::parse("rss.example.com:443").unwrap();
        let mut link = connect(Box::new(near), &to, &Authentication::None).await.unwrap();
        far.write_all(b"and late").await.unwrap();
        let mut text = [0; 14];
        link.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"early and late");
    }

    #[tokio::test]
    async fn bytes_that_come_with_a_socks_reply_stay_in_the_tunnel() {
        let (near, mut far) = tokio::io::duplex(4096);
        far.write_all(&[5, 0, 5, 0, 0, 3, 2, b'a', b'b', 1, 2]).await.unwrap();
        far.write_all(b"early").await.unwrap();
        let to = HostPort::parse("rss.example.com:443").unwrap();
        let mut link = socks5(Box::new(near), &to, None).await.unwrap();
        let mut text = [0; 5];
        link.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"early");
    }
}
