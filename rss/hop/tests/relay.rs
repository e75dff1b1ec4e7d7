//! The program itself, between real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Hop {
    child: Child,
    at: SocketAddr,
}

impl Drop for Hop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hop(to: SocketAddr, more: &[&str]) -> Hop {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hop"))
        .args(["--listen", "127.0.0.1:0", "--to", &to.to_string()])
        .args(more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let at = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    // What it says later is read, so that it never waits for a reader.
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    Hop { child, at }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    let (target, to) = listen();
    let hop = hop(to, &[]);
    let mut near = connect(hop.at);
    let (mut far, _) = target.accept().unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    let whole = sent.clone();
    let writer = std::thread::spawn(move || {
        near.write_all(&whole).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        near
    });
    let mut got = Vec::new();
    far.read_to_end(&mut got).unwrap();
    assert!(got == sent, "{} bytes of {}", got.len(), sent.len());
    let mut near = writer.join().unwrap();
    far.write_all(b"the answer after the end").unwrap();
    drop(far);
    let mut answer = String::new();
    near.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "the answer after the end");
}

#[test]
fn who_is_not_allowed_is_closed_and_reaches_nobody() {
    let (target, to) = listen();
    let hop = hop(to, &["--allow", "192.0.2.0/24", "--allow", "2001:db8::/32"]);
    let mut near = connect(hop.at);
    assert!(!matches!(near.read(&mut [0]), Ok(1..)));
    target.set_nonblocking(true).unwrap();
    assert!(target.accept().is_err());
}

#[test]
fn no_more_connections_than_set_are_open_at_a_time() {
    let (target, to) = listen();
    let hop = hop(to, &["--connections", "1"]);
    let first = connect(hop.at);
    let (far, _) = target.accept().unwrap();
    let mut second = connect(hop.at);
    second.write_all(b"x").unwrap();
    target.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(target.accept().is_err());
    drop((first, far));
    target.set_nonblocking(false).unwrap();
    let (mut far, _) = target.accept().unwrap();
    let mut byte = [0];
    far.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn a_target_that_is_not_there_closes_the_connection_at_once() {
    let (target, to) = listen();
    drop(target);
    let hop = hop(to, &[]);
    assert!(!matches!(connect(hop.at).read(&mut [0]), Ok(1..)));
}

#[test]
fn an_idle_connection_is_ended() {
    let (target, to) = listen();
    let hop = hop(to, &["--idle", "10"]);
    let (began, mut near) = (Instant::now(), connect(hop.at));
    let (_far, _) = target.accept().unwrap();
    assert!(!matches!(near.read(&mut [0]), Ok(1..)));
    assert!(began.elapsed() >= Duration::from_secs(9));
}

#[test]
fn term_takes_nobody_new_and_lets_the_open_ones_finish() {
    let (target, to) = listen();
    let mut hop = hop(to, &[]);
    let mut near = connect(hop.at);
    let (mut far, _) = target.accept().unwrap();
    kill(Pid::from_raw(hop.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let end = Instant::now() + Duration::from_secs(8);
    while TcpStream::connect(hop.at).is_ok() {
        assert!(Instant::now() < end, "it still listens");
        std::thread::sleep(Duration::from_millis(20));
    }
    near.write_all(b"last").unwrap();
    let mut last = [0; 4];
    far.read_exact(&mut last).unwrap();
    drop((near, far));
    assert!(hop.child.wait().unwrap().success());
}
