//! Proxies that lie, babble, stall or close: each ends in a typed error, within its bounds.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_dial::reply::Garbage;
use drawbridge_dial::reply::socks5::Refusal;
use drawbridge_dial::{Authentication, Credentials, Failure, Protocol};
use peers::{dialler, fails, identity, scripted, through};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

fn http() -> Protocol {
    let credentials = Credentials::new("anna".to_owned(), "s3cret".to_owned()).unwrap();
    Protocol::Http { tls: None, authentication: Authentication::Basic(credentials) }
}

/// How the dialler fails when a proxy answers so.
async fn answered(protocol: Protocol, answers: Vec<&'static [u8]>) -> Failure {
    let identity = identity(&["rss.test"], |_| {});
    let (port, _) = scripted(answers).await;
    fails(&dialler(&identity.root), &through(port, protocol, "rss.test:443")).await.failure
}

#[tokio::test]
async fn each_answer_of_an_http_proxy_has_its_error() {
    for (answer, failure) in [
        (&b"HTTP/1.1 403 No\r\n\r\n"[..], Failure::TargetForbidden),
        (b"HTTP/1.1 302 Login\r\nLocation: http://evil.test/\r\n\r\n", Failure::Redirect(302)),
        (b"HTTP/1.1 405 No\r\n\r\n", Failure::NoConnect(405)),
        (b"HTTP/1.1 504 Late\r\n\r\n", Failure::TargetUnreachable(504)),
        (b"HTTP/1.1 418 Teapot\r\n\r\n", Failure::Status(418)),
        (b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", Failure::CredentialsRefused),
        (b"SSH-2.0-x\r\n", Failure::NotAProxy(Garbage::Ssh)),
        (b"\x15\x03\x01\0\x02\x02\x46", Failure::NotAProxy(Garbage::Tls)),
        (b"HTTP/1.1 200 cut", Failure::NotAProxy(Garbage::Http)),
        (b"", Failure::ProxyClosed),
    ] {
        assert_eq!(answered(http(), vec![answer]).await, failure);
    }
    let ntlm = b"HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\n\r\n";
    assert!(matches!(answered(http(), vec![ntlm]).await, Failure::OtherAuthentication(_)));
}

#[tokio::test]
async fn each_code_of_socks_has_its_error() {
    let four = || Protocol::Socks4a { user: None };
    let five = || Protocol::Socks5 { credentials: None };
    assert_eq!(answered(four(), vec![&[0, 91, 0, 0, 0, 0, 0, 0]]).await, Failure::Socks4Refused);
    assert_eq!(answered(four(), vec![&[0, 92, 0, 0, 0, 0, 0, 0]]).await, Failure::Socks4NoIdent);
    assert_eq!(answered(four(), vec![&[0, 93, 0, 0, 0, 0, 0, 0]]).await, Failure::Socks4OtherUser);
    assert_eq!(answered(four(), vec![b"HTTP/1.0 400 x\r\n"]).await, Failure::NotAProxy(Garbage::Http));
    assert_eq!(answered(five(), vec![&[5, 255]]).await, Failure::WantsCredentials(Vec::new()));
    assert_eq!(answered(five(), vec![&[5, 2]]).await, Failure::NotAProxy(Garbage::Other));
    let code = |answer: &'static [u8]| answered(five(), vec![&[5, 0], answer]);
    assert_eq!(code(&[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]).await, Failure::Socks5(Refusal::General));
    assert_eq!(code(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await, Failure::TargetForbidden);
    assert_eq!(code(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await, Failure::Socks5(Refusal::ConnectionRefused));
    assert_eq!(code(&[5, 0, 0, 1]).await, Failure::ProxyClosed);
}

#[tokio::test]
async fn a_head_without_end_is_cut_at_8_kib() {
    let mut head = b"HTTP/1.1 200 x\r\n".to_vec();
    head.extend(b"a: b\r\n".repeat(100_000));
    let answer: &'static [u8] = head.leak();
    assert_eq!(answered(http(), vec![answer]).await, Failure::NotAProxy(Garbage::Long));
}

#[tokio::test]
async fn a_proxy_that_drips_bytes_ends_at_the_time_out() {
    let identity = identity(&["rss.test"], |_| {});
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut line = b"HTTP/1.1 200 ".to_vec();
        line.extend([b'x'; 1000]);
        for byte in line {
            let _ = stream.write_all(&[byte]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut path = through(port, http(), "rss.test:443");
    path.time_outs.proxy = Duration::from_millis(500);
    let error = fails(&dialler(&identity.root), &path).await;
    assert!(matches!(error.failure, Failure::TimedOut(_)), "{error}");
}

#[tokio::test]
async fn credentials_go_to_the_proxy_alone_and_not_after_a_redirect() {
    let identity = identity(&["rss.test"], |_| {});
    let (other, heard_there) = scripted(vec![b""]).await;
    let answer = format!("HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:{other}/\r\n\r\n");
    let (port, heard) = scripted(vec![answer.into_bytes().leak()]).await;
    let error = fails(&dialler(&identity.root), &through(port, http(), "rss.test:443")).await;
    assert_eq!(error.failure, Failure::Redirect(307));
    let request = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
    assert_eq!(
        request,
        "CONNECT rss.test:443 HTTP/1.1\r\nHost: rss.test:443\r\nProxy-Authorization: Basic YW5uYTpzM2NyZXQ=\r\n\r\n"
    );
    assert!(heard_there.lock().unwrap().is_empty());
}
