//! Connections: accepted, counted, given TLS and HTTP, and ended in time. It never looks into a request.

use crate::places::{Guest, Places};
use crate::site::Site;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, listen, setsockopt, socket,
    sockopt,
};
use rustls::server::ServerConfig;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long a request's head may take, and how long a connection may be idle before it.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may last: pages are short, and a browser opens another.
const CONNECTION_FOR: Duration = Duration::from_mins(2);
/// How long an answer that was begun may take after that.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes. hyper's least is 8,192.
const HEAD_BYTES: usize = 16 * 1024;
/// The most header fields.
const HEADERS: usize = 64;
/// Connections that the kernel may hold while they wait to be accepted.
const BACKLOG: i32 = 64;
/// The first and the longest wait after a connection could not be accepted.
const ACCEPT_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often that is logged at most.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// The answer to plain HTTP. Nothing of the question is in it.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Cache-Control: no-store\r\nConnection: close\r\n\r\n\
    This is an HTTPS port: put https:// in front of the address.\n";

/// A listening socket for both IPv6 and IPv4; for IPv4 alone when the kernel has no IPv6.
pub(crate) fn open(port: u16) -> io::Result<TcpListener> {
    let both = || -> nix::Result<OwnedFd> {
        let address = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0));
        let socket = stream(AddressFamily::Inet6)?;
        setsockopt(&socket, sockopt::Ipv6V6Only, &false)?;
        bind(socket.as_raw_fd(), &address)?;
        Ok(socket)
    };
    let v4_only = || -> nix::Result<OwnedFd> {
        let address = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
        let socket = stream(AddressFamily::Inet)?;
        bind(socket.as_raw_fd(), &address)?;
        Ok(socket)
    };
    let socket = match both() {
        Err(nix::Error::EAFNOSUPPORT | nix::Error::EADDRNOTAVAIL) => v4_only(),
        other => other,
    }?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    TcpListener::from_std(std::net::TcpListener::from(socket))
}

fn stream(family: AddressFamily) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    // Connections of the role's last life may still be closing.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    Ok(socket)
}

/// The connections that there are.
struct Guests {
    places: Places,
    running: HashMap<Id, Guest>,
    tasks: JoinSet<()>,
    handles: HashMap<Guest, AbortHandle>,
}

/// Accepts connections until `stop` carries a time: then no more, and those that there are finish by then.
pub(crate) async fn serve(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    site: Arc<Site>,
    mut stop: watch::Receiver<Option<Instant>>,
) {
    let mut guests = Guests {
        places: Places::default(),
        running: HashMap::new(),
        tasks: JoinSet::new(),
        handles: HashMap::new(),
    };
    let mut trouble = Trouble::default();
    let finish_by = loop {
        tokio::select! {
            biased;
            until = stopped(&mut stop) => break until,
            Some(ended) = guests.tasks.join_next_with_id() => guests.ended(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    trouble = Trouble { logged: trouble.logged, ..Trouble::default() };
                    let tls = TlsAcceptor::from(Arc::clone(&config.borrow()));
                    guests.admit(peer.ip(), connection(stream, tls, Arc::clone(&site), stop.clone()));
                }
                // What one client did to his own connection is no trouble of ours.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    let wait = trouble.wait(&error);
                    // The oldest connection goes: it may be its descriptor that is missing.
                    guests.make_room();
                    tokio::time::sleep(wait).await;
                }
            },
        }
    };
    drop(listener);
    let rest = async { while guests.tasks.join_next().await.is_some() {} };
    // Those that are not done by then are cut off with the process.
    let _ = tokio::time::timeout_at(finish_by, rest).await;
}

async fn stopped(stop: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(until) => until.unwrap_or_else(Instant::now),
        Err(_) => Instant::now(),
    }
}

impl Guests {
    fn admit(&mut self, address: std::net::IpAddr, connection: impl Future<Output = ()> + Send + 'static) {
        let admission = self.places.admit(address);
        if let Some(handle) = admission.leaves.and_then(|guest| self.handles.remove(&guest)) {
            handle.abort();
        }
        let handle = self.tasks.spawn(connection);
        self.running.insert(handle.id(), admission.guest);
        self.handles.insert(admission.guest, handle);
    }

    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            // One that panicked has said so on standard error; the others go on.
            Err(error) => error.id(),
        };
        if let Some(guest) = self.running.remove(&id) {
            self.places.leave(guest);
            self.handles.remove(&guest);
        }
    }

    /// Ends the oldest connection.
    fn make_room(&mut self) {
        if let Some(oldest) = self.handles.keys().min().copied()
            && let Some(handle) = self.handles.remove(&oldest)
        {
            self.places.leave(oldest);
            handle.abort();
        }
    }
}

/// What keeps connections from being accepted: no descriptors, no memory.
#[derive(Default)]
struct Trouble {
    wait: Option<Duration>,
    logged: Option<Instant>,
}

impl Trouble {
    fn wait(&mut self, error: &io::Error) -> Duration {
        if self.logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY) {
            log::warn!("a connection could not be accepted: {error}; it is tried again");
            self.logged = Some(Instant::now());
        }
        let wait = self.wait.map_or(ACCEPT_AGAIN.0, |wait| (wait * 2).min(ACCEPT_AGAIN.1));
        self.wait = Some(wait);
        wait
    }
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    site: Arc<Site>,
    mut stop: watch::Receiver<Option<Instant>>,
) {
    // Pages are written whole: waiting for more to send would only delay the last segment.
    let _ = stream.set_nodelay(true);
    let handshake = async {
        // A handshake begins with a record of type 22 (RFC 8446, section 5.1); a capital letter begins plain HTTP, which
        // is what a browser speaks to an address that was typed without https.
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0].is_ascii_uppercase() => {
                let mut stream = stream;
                let _ = stream.write_all(PLAIN_HTTP).await;
                None
            }
            _ => tls.accept(stream).await.ok(),
        }
    };
    let Ok(Some(stream)) = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await else { return };
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(&request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .half_close(false);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    // How a connection ends is its client's business: there is nobody to tell.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(CONNECTION_FOR) => {}
        _ = stopped(&mut stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER_WITHIN, connection).await;
}
