//! A thousand slow clients on each port, and one honest one beside them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::{Console, SOON, read_all};
use rustls::pki_types::ServerName;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// Slow clients on each port.
const CLIENTS: usize = 1_000;
/// How long one waits that was cut off, before he comes again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Not a test: the role's process, which the tests start from this same program.
#[test]
#[ignore = "the role's own process, started by the other tests"]
fn the_roles_own_process() {
    common::be_the_role();
}

/// One at a time: they measure.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_thousand_slow_clients_on_each_port_keep_no_honest_one_waiting() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for addresses in [500, 1] {
        besieged(addresses, Duration::from_secs(7));
    }
}

#[test]
#[ignore = "takes two minutes"]
fn a_thousand_slow_clients_keep_no_honest_one_waiting_for_a_minute() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for addresses in [500, 1] {
        besieged(addresses, Duration::from_mins(1));
    }
}

/// What the slow clients have done.
#[derive(Default)]
struct Crowd {
    over: AtomicBool,
    connections: AtomicUsize,
    answers: AtomicUsize,
}

fn besieged(addresses: usize, lasts: Duration) {
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most).unwrap();
    let console = Console::start(&format!("crowd-{addresses}-{}", lasts.as_secs()), None);
    let alone = logins(&console, Duration::from_secs(2));
    let crowd = Arc::new(Crowd::default());
    let besiegers = std::thread::spawn({
        let (crowd, ports) = (Arc::clone(&crowd), [console.port, console.redirect]);
        move || besiege(&crowd, ports, addresses)
    });
    let begin = Instant::now();
    while crowd.connections.load(Ordering::Relaxed) < 2 * CLIENTS {
        assert!(begin.elapsed() < SOON, "the crowd does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut beside = Latencies::default();
    let begin = Instant::now();
    while begin.elapsed() < lasts {
        beside.add(logins(&console, Duration::from_secs(1)));
    }
    crowd.over.store(true, Ordering::Relaxed);
    besiegers.join().unwrap();
    println!(
        "{CLIENTS} slow clients from {addresses} addresses on each port for {lasts:?}: {} connections, {} answers\n  \
         alone:       {alone}\n  beside them: {beside}",
        crowd.connections.load(Ordering::Relaxed),
        crowd.answers.load(Ordering::Relaxed),
    );
    assert!(
        beside.console.iter().chain(&beside.redirect).all(|took| *took < Duration::from_secs(1)),
        "{beside}"
    );
}

/// How long honest clients had to wait.
#[derive(Default)]
struct Latencies {
    console: Vec<Duration>,
    redirect: Vec<Duration>,
}

impl Latencies {
    fn add(&mut self, other: Self) {
        self.console.extend(other.console);
        self.redirect.extend(other.redirect);
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (port, waits) in [("console", &self.console), ("redirect", &self.redirect)] {
            let mut waits = waits.clone();
            waits.sort();
            let (median, most) = (waits[waits.len() / 2], waits[waits.len() - 1]);
            write!(out, "{port} {} times, median {median:.1?}, longest {most:.1?}; ", waits.len())?;
        }
        Ok(())
    }
}

/// Whole logins, one after the other: a connection, a full handshake, a page. And the way there by the redirect.
fn logins(console: &Console, during: Duration) -> Latencies {
    let mut latencies = Latencies::default();
    let begin = Instant::now();
    while begin.elapsed() < during {
        let one = Instant::now();
        let page = console.page().expect("an honest client gets in at the first attempt");
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        latencies.console.push(one.elapsed());
        let one = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, console.redirect));
        let mut stream = std::net::TcpStream::connect_timeout(&address, SOON).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: drawbridge\r\n\r\n").unwrap();
        let answer = read_all(&mut stream).expect("an honest client is redirected at the first attempt");
        assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
        latencies.redirect.push(one.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    latencies
}

#[tokio::main(flavor = "current_thread")]
async fn besiege(crowd: &Arc<Crowd>, ports: [u16; 2], addresses: usize) {
    let tls = TlsConnector::from(Arc::new(common::trusting_config()));
    let mut clients = tokio::task::JoinSet::new();
    for (number, port) in (0..CLIENTS).flat_map(|number| ports.map(|port| (number, port))) {
        let from = u32::try_from(number % addresses).unwrap();
        let from = IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + from));
        let (crowd, tls) = (Arc::clone(crowd), (port == ports[0]).then(|| tls.clone()));
        clients.spawn(async move {
            while !crowd.over.load(Ordering::Relaxed) {
                // However it ends, he comes again.
                let _ = slow(&crowd, from, port, tls.as_ref(), number % 4).await;
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        });
    }
    while !crowd.over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    clients.shutdown().await;
}

/// One slow client, until he is cut off: of four kinds.
async fn slow(
    crowd: &Crowd,
    from: IpAddr,
    port: u16,
    tls: Option<&TlsConnector>,
    kind: usize,
) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    crowd.connections.fetch_add(1, Ordering::Relaxed);
    match (kind, tls) {
        // He says nothing.
        (0, _) => silent(stream).await,
        // He begins, and goes on by a byte a second.
        (1, Some(_)) => drips(stream, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await,
        (_, None) => drips(stream, b"GET / HTTP/1.1\r\nHost: ").await,
        (2, Some(tls)) => drips(shaken(stream, tls).await?, b"GET / HTTP/1.1\r\nHost: ").await,
        // He asks, does not read, and stays.
        (_, Some(tls)) => {
            let mut stream = shaken(stream, tls).await?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: drawbridge\r\n\r\n").await?;
            stream.read_u8().await?;
            crowd.answers.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(SOON).await;
            Ok(())
        }
    }
}

async fn shaken(
    stream: TcpStream,
    tls: &TlsConnector,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    tls.connect(ServerName::try_from("drawbridge").unwrap(), stream).await
}

async fn silent(mut stream: TcpStream) -> io::Result<()> {
    let _ = stream.read_u8().await;
    Ok(())
}

async fn drips(mut stream: impl AsyncRead + AsyncWrite + Unpin, begin: &[u8]) -> io::Result<()> {
    stream.write_all(begin).await?;
    loop {
        match tokio::time::timeout(Duration::from_secs(1), stream.read_u8()).await {
            Ok(_) => return Ok(()),
            Err(_) => stream.write_all(b"x").await?,
        }
    }
}
