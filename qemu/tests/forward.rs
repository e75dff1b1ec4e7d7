//! A forwarded port, and pages fetched through it and over a host's own connection.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::net::{Forward, Host, HostConfig, NetError, Network, TcpListener};
use drawbridge_lab::{Lab, https};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 80);

struct Setting {
    gateway: Host,
    server: Host,
    _network: Network,
    _lab: Lab,
}

fn setting(name: &str) -> Setting {
    let lab = Lab::new(name);
    let network = Network::new(&lab, "net").unwrap();
    let gateway = network.host(HostConfig::new("gateway").ipv4([10, 0, 0, 1], 24));
    let server = network.host(HostConfig::new("server").ipv4([10, 0, 0, 2], 24));
    Setting { gateway, server, _network: network, _lab: lab }
}

/// Echoes so many connections, each until its peer has said all.
fn echo(listener: &TcpListener, connections: usize) {
    std::thread::scope(|scope| {
        for _ in 0..connections {
            let mut stream = listener.accept(SOON).unwrap();
            scope.spawn(move || {
                stream.set_timeout(SOON);
                let mut text = Vec::new();
                stream.read_to_end(&mut text).unwrap();
                stream.write_all(&text).unwrap();
            });
        }
    });
}

#[test]
fn many_callers_are_relayed_with_their_half_closed_connections() {
    let setting = setting("many callers");
    let forward = Forward::start(0, &setting.gateway, SOON).unwrap();
    forward.set_target(SERVER);
    let listener = setting.server.listen(80).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| echo(&listener, 20));
        for number in 0..20_u8 {
            let address = forward.address();
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                // More than all buffers on the way hold together: without backpressure it would be lost.
                let data = vec![number; 2 << 20];
                stream.write_all(&data).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                assert!(answer == data, "{} bytes", answer.len());
            });
        }
    });
}

#[test]
fn a_guest_that_does_not_listen_refuses_the_caller_at_once() {
    let setting = setting("a guest that does not listen");
    let forward = Forward::start(0, &setting.gateway, SOON).unwrap();
    let call = || {
        let started = Instant::now();
        let mut stream = TcpStream::connect(forward.address()).unwrap();
        let count = stream.read(&mut [0; 8]).unwrap_or(0);
        assert_eq!(count, 0);
        assert!(started.elapsed() < Duration::from_secs(5));
    };
    call();
    forward.set_target(SERVER);
    call();
}

#[test]
fn a_port_that_is_taken_is_told_as_such() {
    let setting = setting("a port that is taken");
    let forward = Forward::start(0, &setting.gateway, SOON).unwrap();
    let error = Forward::start(forward.address().port(), &setting.gateway, SOON).unwrap_err();
    assert!(matches!(error, NetError::Port(..)) && error.to_string().contains("another program"), "{error}");
}

#[test]
fn a_page_is_fetched_without_tls_over_both_kinds_of_stream() {
    let setting = setting("a page without TLS");
    let forward = Forward::start(0, &setting.gateway, SOON).unwrap();
    forward.set_target(SERVER);
    let listener = setting.server.listen(80).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                let mut stream = listener.accept(SOON).unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.extend(byte);
                }
                assert!(head.starts_with(b"GET /status HTTP/1.1\r\nHost: sa\r\n"));
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").unwrap();
            }
        });
        let inside = setting.gateway.connect(SERVER, SOON).unwrap();
        assert_eq!(https::get_plain(inside, "sa", "/status", SOON).unwrap().text(), "hello");
        let outside = TcpStream::connect(forward.address()).unwrap();
        assert_eq!(https::get_plain(outside, "sa", "/status", SOON).unwrap().status, 200);
    });
}

#[test]
fn a_server_that_says_nothing_meets_the_bound() {
    let setting = setting("a silent server");
    let _listener = setting.server.listen(80).unwrap();
    let stream = setting.gateway.connect(SERVER, SOON).unwrap();
    let started = Instant::now();
    assert!(https::get(stream, "10.0.0.2", "/", Duration::from_millis(100)).is_err());
    assert!(started.elapsed() < Duration::from_secs(5));
}
