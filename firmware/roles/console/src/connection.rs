//! One connection: its handshake, its requests, and its end in time. It never looks into a request.

use crate::body::Body;
use crate::places::{Guest, Places, Room, Standing};
use crate::streams::STREAM_FOR;
use crate::turns::Turns;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::server::{Acceptor, ServerConfig};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes. hyper's least is 8,192.
const HEAD_BYTES: usize = 16 * 1024;
/// The most header fields.
const HEADERS: usize = 64;

/// The answer to plain HTTP where TLS is spoken. Nothing of the question is in it.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Cache-Control: no-store\r\nConnection: close\r\n\r\n\
    This is an HTTPS port: put https:// in front of the address.\n";

/// What answers requests.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The answer to a request that came from `peer` to `local`, as the kernel knows them.
    fn answer(
        &self,
        peer: SocketAddr,
        local: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// To be put into the extensions of the answer to somebody who is logged in: his connection is the last to leave when there
/// is no room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member;

/// To be put into the extensions of an answer that takes longer than a connection may last: so long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasts(pub(crate) Duration);

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How long a request's head may take, and how long a connection may be idle before it.
    pub(crate) head_within: Duration,
    /// How long a connection may last: pages are short, and a browser opens another.
    pub(crate) connection_for: Duration,
    /// How long an answer that was begun may take after that.
    pub(crate) last_answer_within: Duration,
    /// Whether more than one request may come.
    pub(crate) keep_alive: bool,
}

/// A connection's place among the others.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    places: Arc<Mutex<Places>>,
    guest: Guest,
}

impl Seat {
    pub(crate) fn new(places: Arc<Mutex<Places>>, guest: Guest) -> Self {
        Self { places, guest }
    }

    /// One where there are no others.
    pub(crate) fn alone() -> Self {
        let places = Places::new(Room { places: 1, a_source: 1, for_new: 0 });
        Self { places: Arc::new(Mutex::new(places)), guest: 0 }
    }

    /// Whose it is.
    pub(crate) fn guest(&self) -> Guest {
        self.guest
    }

    fn shows(&self, standing: Standing) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).shows(self.guest, standing);
    }
}

/// What a handshake needs.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// The certificate of the moment.
    pub(crate) config: watch::Receiver<Arc<ServerConfig>>,
    /// Whose handshake is computed next.
    pub(crate) turns: Turns,
}

/// Serves a connection to its end. `ends` are its peer and its local address.
pub(crate) async fn serve<A: Answer>(
    stream: TcpStream,
    ends: (SocketAddr, SocketAddr),
    tls: Option<Tls>,
    site: Arc<A>,
    bounds: Bounds,
    seat: Seat,
    mut stop: watch::Receiver<Option<Instant>>,
) {
    // Pages are written whole: waiting for more to send would only delay the last segment.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        // Until something comes, nothing is kept for it.
        if let Ok(Ok(())) = tokio::time::timeout(bounds.head_within, stream.readable()).await {
            speak(stream, ends, site, bounds, seat, stop).await;
        }
        return;
    };
    let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, handshake(stream, ends.0, tls));
    let stream = tokio::select! {
        done = handshake => done,
        _ = stopped(&mut stop) => return,
    };
    let Ok(Some(stream)) = stream else { return };
    seat.shows(Standing::Shaken);
    speak(stream, ends, site, bounds, seat, stop).await;
}

/// A handshake. What costs computing is done in turns.
async fn handshake(mut stream: TcpStream, peer: SocketAddr, tls: Tls) -> Option<TlsStream<TcpStream>> {
    // A handshake begins with a record of type 22 (RFC 8446, section 5.1); a capital letter begins plain HTTP, which is
    // what a browser speaks to an address that was typed without https. Until something comes, nothing is kept for it.
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0].is_ascii_uppercase() => {
            let _ = stream.write_all(PLAIN_HTTP).await;
            return None;
        }
        Ok(1) => {}
        _ => return None,
    }
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
    let config = Arc::clone(&tls.config.borrow());
    let mut rest = pin!(hello.into_stream(config));
    loop {
        let turn = tls.turns.take(peer.ip()).await;
        let step = std::future::poll_fn(|task| Poll::Ready(rest.as_mut().poll(task))).await;
        drop(turn);
        if let Poll::Ready(done) = step {
            return done.ok();
        }
        woken().await;
    }
}

/// Is over when the task is woken, by whatever has been polled before.
async fn woken() {
    let mut asked = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// Speaks HTTP over a stream to its end.
pub(crate) async fn speak<A: Answer>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ends: (SocketAddr, SocketAddr),
    site: Arc<A>,
    bounds: Bounds,
    seat: Seat,
    mut stop: watch::Receiver<Option<Instant>>,
) {
    // Seconds that the answer under way may take after the connection's time.
    let streams = Arc::new(AtomicU64::new(0));
    let service = service_fn(|request: Request<Incoming>| {
        let (site, seat, streams) = (Arc::clone(&site), seat.clone(), Arc::clone(&streams));
        seat.shows(Standing::Busy);
        async move {
            let response = site.answer(ends.0, ends.1, request).await;
            let streamed = matches!(response.body(), Body::Stream(_));
            let lasts = response.extensions().get::<Lasts>().map_or(STREAM_FOR, |lasts| lasts.0);
            streams.store(if streamed { lasts.as_secs() } else { 0 }, Ordering::Relaxed);
            if response.extensions().get::<Member>().is_some() {
                seat.shows(Standing::Member);
            } else if !streamed {
                // All of it is there to be sent. Whoever does not fetch it is not busy.
                seat.shows(Standing::Waiting);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head_within)
        .keep_alive(bounds.keep_alive)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .half_close(false);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // How a connection ends is its client's business: there is nobody to tell.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(bounds.connection_for) => {}
        _ = stopped(&mut stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    // A stream of events ends by itself in its own time, and with the role at once.
    let streaming = Duration::from_secs(streams.load(Ordering::Relaxed));
    let _ = tokio::time::timeout(streaming + bounds.last_answer_within, connection).await;
}

/// Is over when the role stops: the time by which all has to be over.
pub(crate) async fn stopped(stop: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(until) => until.unwrap_or_else(Instant::now),
        Err(_) => Instant::now(),
    }
}
