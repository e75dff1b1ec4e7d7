//! Requests to port 9000 that can be read in two ways, and what a TLS client may and may not agree on.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::{Console, read_all, trusting_config};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, StreamOwned};
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

/// Not a test: the role's process, which the tests start from this same program.
#[test]
#[ignore = "the role's own process, started by the other tests"]
fn the_roles_own_process() {
    common::be_the_role();
}

#[test]
fn a_request_that_can_be_read_in_two_ways_ends_the_connection() {
    let console = Console::start("two-ways", None);
    let behind = "GET /status.css HTTP/1.1\r\nHost: drawbridge\r\n\r\n";
    let refused = [
        "GET / HTTP/1.1\r\nHost: drawbridge\r\nHost: drawbridge\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: drawbridge\r\nHost: other.example\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET https://other.example/ HTTP/1.1\r\nHost: drawbridge\r\n\r\n",
        "GET http://d/ HTTP/1.1\r\nHost: drawbridge\r\n\r\n",
        "CONNECT d:443 HTTP/1.1\r\nHost: d:443\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: drawbridge\r\n\r\n",
        "GET style.css HTTP/1.1\r\nHost: drawbridge\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: drawbridge\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: drawbridge\r\nContent-Length: 1, 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: drawbridge\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: drawbridge\r\nContent-Length: 0x1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: drawbridge\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: drawbridge\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: drawbridge\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: drawbridge\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: drawbridge\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: drawbridge\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: drawbridge\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: drawbridge\r\nX: a\rb\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: drawbridge\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: drawbridge\r\n: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: drawbridge\r\n\r\n",
        "GET / HTTP/1.1 x\r\nHost: drawbridge\r\n\r\n",
        "GET /\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for request in refused {
        // An end without a word is a refusal as well.
        let answer = console.ask(&format!("{request}{behind}")).unwrap_or_default();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{request:?} is answered with {answer}"
        );
        assert!(answer.matches("HTTP/1.").count() <= 1, "behind {request:?} another was heard: {answer}");
        assert!(!answer.contains("other.example"), "{answer}");
    }
    // Where a length comes beside chunks, the chunks are read, and nothing behind them.
    for fields in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"]
    {
        let request = format!("POST / HTTP/1.1\r\nHost: drawbridge\r\n{fields}\r\n\r\n0\r\n\r\n{behind}");
        let answer = console.ask(&request).unwrap();
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "behind {request:?} another was heard: {answer}");
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // A body that nobody wants ends the connection, too: it may be a request to somebody else.
    let answer = console.ask(&format!(
        "POST / HTTP/1.1\r\nHost: drawbridge\r\nContent-Length: {}\r\n\r\n{behind}",
        behind.len()
    ));
    assert_eq!(answer.unwrap().matches("HTTP/1.").count(), 1);
}

#[test]
fn two_plain_requests_are_both_answered_and_a_line_ends_in_one_way_throughout() {
    let console = Console::start("pipelined", None);
    for end in ["\r\n", "\n"] {
        let one = format!("HEAD / HTTP/1.1{end}Host: drawbridge{end}{end}");
        let last = format!("HEAD / HTTP/1.1{end}Host: drawbridge{end}Connection: close{end}{end}");
        let answers = console.ask(&format!("{one}{one}{last}")).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
    }
}

fn shake(
    console: &Console,
    config: &Arc<ClientConfig>,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("drawbridge").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, console.tcp()?);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

#[test]
fn http_2_is_not_offered_and_a_client_that_wants_nothing_else_is_refused() {
    let console = Console::start("alpn", None);
    for (offers, agreed) in [
        (vec!["h2", "http/1.1"], Ok(Some("http/1.1"))),
        (vec![], Ok(None)),
        (vec!["h2"], Err(())),
        (vec!["h3", "evil"], Err(())),
    ] {
        let mut config = trusting_config();
        config.alpn_protocols = offers.iter().map(|offer| offer.as_bytes().to_vec()).collect();
        let shaken = shake(&console, &Arc::new(config));
        let chosen = shaken.map(|stream| stream.conn.alpn_protocol().map(<[u8]>::to_vec)).map_err(drop);
        assert_eq!(chosen, agreed.map(|name| name.map(|name| name.as_bytes().to_vec())), "{offers:?}");
    }
}

#[test]
fn a_client_that_comes_again_goes_on_by_its_ticket_in_both_versions_of_tls() {
    let console = Console::start("tickets", None);
    for version in [ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2] {
        let config = Arc::new(common::trusting_config_of(version));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = shake(&console, &config).unwrap();
            assert_eq!(stream.conn.protocol_version(), Some(version));
            kinds.push(stream.conn.handshake_kind().unwrap());
            stream.write_all(b"HEAD / HTTP/1.1\r\nHost: drawbridge\r\nConnection: close\r\n\r\n").unwrap();
            assert!(read_all(&mut stream).unwrap().starts_with("HTTP/1.1 200"));
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed], "{version:?}");
    }
}
