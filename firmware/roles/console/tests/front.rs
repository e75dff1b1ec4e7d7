//! Port 8000's promises, kept to raw sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::{Console, SOON, read_all};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Not a test: the role's process, which the tests start from this same program.
#[test]
#[ignore = "the role's own process, started by the other tests"]
fn the_roles_own_process() {
    common::be_the_role();
}

fn connect(console: &Console, address: &str) -> TcpStream {
    let address = SocketAddr::new(address.parse().unwrap(), console.redirect);
    let stream = TcpStream::connect_timeout(&address, SOON).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// What port 8000 says to this, until it closes.
fn ask(console: &Console, address: &str, request: &[u8]) -> String {
    let mut stream = connect(console, address);
    stream.write_all(request).unwrap();
    // A reset is an end as well as any.
    read_all(&mut stream).unwrap_or_default()
}

/// The one answer that port 8000 has.
fn is_redirect(answer: &str, to: &str) -> bool {
    let head = answer.to_ascii_lowercase();
    answer.starts_with("HTTP/1.1 308 Permanent Redirect\r\n")
        && answer.matches("HTTP/1.").count() == 1
        && head.contains(&format!("\r\nlocation: {to}\r\n"))
        && head.contains("\r\ncache-control: no-store\r\n")
        && head.contains("\r\nconnection: close\r\n")
        && !head.contains("set-cookie")
        && !head.contains("strict-transport-security")
}

#[test]
fn every_request_is_sent_to_the_console_at_the_address_it_came_in_by() {
    let console = Console::start("redirect", None);
    for (address, own) in [("127.0.0.1", "127.0.0.1"), ("127.0.0.7", "127.0.0.7"), ("::1", "[::1]")] {
        let to = format!("https://{own}:{}/", console.port);
        for request in [
            "GET / HTTP/1.1\r\nHost: d\r\n\r\n",
            "HEAD /x?y HTTP/1.1\r\nHost: d\r\n\r\n",
            "POST /login HTTP/1.1\r\nHost: d\r\nContent-Length: 6\r\n\r\nsecret",
            "OPTIONS * HTTP/1.1\r\nHost: d\r\n\r\n",
            "BREW / HTTP/1.1\r\nHost: d\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
        ] {
            let answer = ask(&console, address, request.as_bytes()).replacen("HTTP/1.0", "HTTP/1.1", 1);
            assert!(is_redirect(&answer, &to), "{request:?} at {address} is answered with {answer}");
        }
    }
}

#[test]
fn its_own_names_are_kept_to_and_no_other_is_heard() {
    let console = Console::start("own-names", None);
    let get = |host: &str| {
        ask(&console, "127.0.0.1", format!("GET /a?b HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
    };
    // From the certificate, from init, from the network role.
    for (host, own) in [
        ("Drawbridge", "drawbridge"),
        ("drawbridge.local:8000", "drawbridge.local"),
        ("SA-010203.local", "sa-010203.local"),
        ("10.0.1.5:8000", "10.0.1.5"),
    ] {
        let answer = get(host);
        assert!(is_redirect(&answer, &format!("https://{own}:{}/", console.port)), "{host}: {answer}");
    }
    for host in ["evil.example", "10.0.1.6", "[fe80::5054:ff:fe12:3456]", "drawbridge.evil.example"] {
        let answer = get(host);
        assert!(is_redirect(&answer, &format!("https://127.0.0.1:{}/", console.port)), "{host}: {answer}");
    }
}

#[test]
fn nothing_that_a_client_sends_comes_back() {
    let console = Console::start("reflected", None);
    let to = format!("https://127.0.0.1:{}/", console.port);
    let long = format!("GET /{} HTTP/1.1\r\nHost: d\r\n\r\n", "evil".repeat(2_000));
    let redirected = [
        "GET /evil HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: d\r\nHost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: d\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: evil\r\nForwarded: host=evil\r\n\r\n",
        "GET http://evil.example/evil HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET //evil.example/%0d%0aSet-Cookie:%20evil=1 HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /\\evil.example HTTP/1.1\r\nHost: d\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: d\r\nUpgrade: evil, h2c\r\nConnection: upgrade\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: d\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: d\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\nGET /evil HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET / HTTP/1.1\nHost: d\n\nGET /evil HTTP/1.1\nHost: d\n\n",
        "GET / HTTP/1.1\r\nHost: d\r\n\r\nGET /evil HTTP/1.1\r\nHost: d\r\n\r\n",
        &long,
    ];
    for request in redirected {
        let answer = ask(&console, "127.0.0.1", request.as_bytes());
        assert!(is_redirect(&answer, &to), "{request:?} is answered with {answer}");
        assert!(!answer.contains("evil"), "{request:?} is answered with {answer}");
    }
    let fields = "evil: evil\r\n".repeat(200);
    let refused: [&[u8]; 15] = [
        b"GET /evil\r\n\r\n",
        b"evil\r\n\r\n",
        b"\r\n\r\n\r\nevil evil\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: d\r\n evil\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : evil\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: ev\0il\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: d\revil: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: +1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: evil\r\n\r\n",
        // A ClientHello, and what else comes to ports.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03evil",
        b"SSH-2.0-evil\r\n",
        &[format!("GET / HTTP/1.1\r\nHost: d\r\n{fields}\r\n").into_bytes()].concat(),
    ];
    for request in refused {
        let answer = ask(&console, "127.0.0.1", request);
        let shown = String::from_utf8_lossy(request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown:?} is answered with {answer}");
        assert!(answer.matches("HTTP/1.").count() <= 1 && !answer.contains("evil"), "{shown:?}: {answer}");
    }
    assert!(is_redirect(&ask(&console, "127.0.0.1", b"GET / HTTP/1.1\r\nHost: d\r\n\r\n"), &to));
}

#[test]
fn whoever_says_nothing_or_too_little_is_cut_off() {
    let console = Console::start("mute", None);
    let begin = Instant::now();
    let mut mute = connect(&console, "127.0.0.1");
    let mut slow = connect(&console, "127.0.0.1");
    slow.write_all(b"GET / HT").unwrap();
    for stream in [&mut mute, &mut slow] {
        let answer = read_all(stream).unwrap_or_default();
        assert!(!answer.contains("308"), "{answer}");
    }
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

#[test]
fn a_role_that_hangs_does_not_keep_the_redirect_from_being_given() {
    let console = Console::start("hanging", None);
    *console.said.ports.lock().unwrap() = None;
    *console.said.status.lock().unwrap() = None;
    let begin = Instant::now();
    let answer = ask(&console, "127.0.0.1", b"GET / HTTP/1.1\r\nHost: drawbridge\r\n\r\n");
    assert!(is_redirect(&answer, &format!("https://127.0.0.1:{}/", console.port)), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[test]
fn a_crowd_on_the_redirects_port_takes_no_place_from_the_console() {
    let console = Console::start("crowd", None);
    // A session at work.
    let mut session = console.tls().unwrap();
    let mut head = || -> io::Result<()> {
        session.write_all(b"HEAD / HTTP/1.1\r\nHost: drawbridge\r\n\r\n")?;
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            session.read_exact(&mut byte)?;
            read.push(byte[0]);
        }
        assert!(read.starts_with(b"HTTP/1.1 200"));
        Ok(())
    };
    head().unwrap();
    let crowd: Vec<_> = (0..300).map(|_| connect(&console, "127.0.0.1")).collect();
    head().unwrap();
    assert!(console.page().unwrap().contains("All is well"));
    drop(crowd);
}
