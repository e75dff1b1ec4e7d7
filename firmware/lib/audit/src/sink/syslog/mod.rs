//! Events to a syslog server (RFC 5424), over TLS (RFC 5425), TCP (RFC 6587, octet counting) or UDP (RFC 5426). It sends what it
//! is given, and never listens to what the server says.
//!
//! Syslog has no acknowledgement. What was written to a connection counts as settled when the connection is still there after
//! the time in which the kernel gives up a connection whose other side acknowledges nothing (RFC 5482): by then the other
//! side's kernel had it. What was not settled when a connection ends is sent again; `sequence` and `sha256` tell doubles.

mod message;

pub use message::{
    BOM, DATAGRAM_BYTES, ENTERPRISE, Facility, Header, STREAM_BYTES, frame, message, severity,
};

use super::way::USER_TIMEOUT;
use super::{Datagrams, Failure, Progress, Security, Sink, Way};
use crate::entry::Kept;
use drawbridge_dial::Transport;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// What was written so long ago, to a connection that is still there, is settled.
const SETTLE: Duration = USER_TIMEOUT.saturating_add(Duration::from_secs(2));
/// How long the server may take nothing.
const WRITE: Duration = Duration::from_secs(30);
/// How long an ICMP message may take that says that nobody listens.
const ICMP: Duration = Duration::from_millis(200);

/// How it is carried.
#[derive(Clone)]
pub enum Carrier {
    /// Over a connection, TLS or not.
    Stream(Security),
    /// In datagrams, which anybody can read, and which get lost.
    Datagrams(Arc<dyn Datagrams>),
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::Stream(Security::Tls(_)) => "TLS",
            Self::Stream(Security::Plain) => "TCP",
            Self::Datagrams(_) => "UDP",
        })
    }
}

enum Link {
    Stream(Box<dyn Transport>),
    Socket(UdpSocket),
}

/// The way to one syslog server.
pub struct Syslog {
    way: Way,
    carrier: Carrier,
    header: Header,
    link: Option<Link>,
    /// What was written to the connection and is not settled: when, and the number.
    written: VecDeque<(Instant, u64)>,
    settled: u64,
}

impl std::fmt::Debug for Syslog {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Syslog")
            .field("way", &self.way)
            .field("carrier", &self.carrier)
            .finish_non_exhaustive()
    }
}

impl Syslog {
    /// To this server. Nothing is dialled yet.
    pub fn new(way: Way, carrier: Carrier, header: Header) -> Self {
        Self { way, carrier, header, link: None, written: VecDeque::new(), settled: 0 }
    }

    async fn open(&mut self) -> Result<Link, Failure> {
        match &self.carrier {
            Carrier::Stream(security) => Ok(Link::Stream(self.way.open(security).await?)),
            Carrier::Datagrams(datagrams) => {
                let addresses = self.way.addresses().await?;
                let mut last = "it has no address".to_owned();
                for address in addresses {
                    match datagrams.socket(address).await {
                        Ok(socket) => return Ok(Link::Socket(socket)),
                        Err(error) => last = error.to_string(),
                    }
                }
                Err(Failure::new(
                    &format!("no way to the syslog server {}: {last}", self.way.server()),
                    "Check the appliance's ports and routes, and the server's address.",
                ))
            }
        }
    }

    fn cut(&self, why: &str) -> Failure {
        Failure::new(
            &format!("the syslog server {} has ended the connection: {why}", self.way.server()),
            "See the server's own log: it may not take this certificate, this sender or messages of this form.",
        )
    }

    fn refused(&self, error: &io::Error) -> Failure {
        Failure::new(
            &format!("the syslog server {} takes no datagrams: {error}", self.way.server()),
            "See that the server listens for UDP on this port.",
        )
    }

    /// Moves what was written long enough ago to what is settled.
    fn settle(&mut self, now: Instant) {
        while let Some((when, number)) = self.written.front()
            && *when + SETTLE <= now
        {
            self.settled = *number;
            self.written.pop_front();
        }
    }

    /// The connection is lost: what is not settled will be sent again.
    fn lose(&mut self) {
        self.link = None;
        self.written.clear();
    }

    async fn write(&mut self, stream: &mut Box<dyn Transport>, events: &[Kept]) -> Result<(), Failure> {
        for chunk in events.chunks(16) {
            let bytes: Vec<u8> =
                chunk.iter().flat_map(|kept| frame(&message(&self.header, kept, STREAM_BYTES))).collect();
            let written = timeout(WRITE, async {
                stream.write_all(&bytes).await?;
                stream.flush().await
            });
            match written.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(self.cut(&error.to_string())),
                Err(_) => return Err(self.cut(&format!("it takes nothing for {} s", WRITE.as_secs()))),
            }
            let now = Instant::now();
            self.written.extend(chunk.last().map(|kept| (now, kept.sequence())));
        }
        Ok(())
    }

    async fn send(&mut self, socket: &UdpSocket, events: &[Kept]) -> Result<(), Failure> {
        for kept in events {
            let text = message(&self.header, kept, DATAGRAM_BYTES);
            socket.send(text.as_bytes()).await.map_err(|error| self.refused(&error))?;
        }
        // That nobody listens comes back a moment later, if at all.
        match timeout(ICMP, socket.recv(&mut [0; 1])).await {
            Ok(Err(error)) => Err(self.refused(&error)),
            _ => Ok(()),
        }
    }
}

/// Why a connection has ended, if it has: nothing that the server says is wanted.
fn poll_end(stream: &mut Box<dyn Transport>, context: &mut Context<'_>) -> Poll<String> {
    let mut bytes = [0; 512];
    for _ in 0..64 {
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(error.to_string()),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                return Poll::Ready("it was closed".to_owned());
            }
            Poll::Ready(Ok(())) => {}
        }
    }
    Poll::Ready("it does not end to talk".to_owned())
}

impl Sink for Syslog {
    async fn deliver(&mut self, events: &[Kept]) -> (Progress, Option<Failure>) {
        let Some(last) = events.last().map(Kept::sequence) else { return (Progress::default(), None) };
        // Taken, so that a delivery that is given up half way leaves no connection with half a message.
        let mut link = match self.link.take() {
            Some(link) => link,
            None => match self.open().await {
                Ok(link) => {
                    self.written.clear();
                    link
                }
                Err(failure) => return (Progress { sent: 0, settled: self.settled }, Some(failure)),
            },
        };
        let sent = match &mut link {
            Link::Socket(socket) => {
                let sent = self.send(socket, events).await;
                if sent.is_ok() {
                    self.settled = last;
                }
                sent
            }
            Link::Stream(stream) => {
                let ended = std::future::poll_fn(|context| match poll_end(stream, context) {
                    Poll::Ready(why) => Poll::Ready(Some(why)),
                    Poll::Pending => Poll::Ready(None),
                });
                if let Some(why) = ended.await {
                    Err(self.cut(&why))
                } else {
                    self.settle(Instant::now());
                    self.write(stream, events).await
                }
            }
        };
        match sent {
            Ok(()) => {
                self.link = Some(link);
                (Progress { sent: last, settled: self.settled }, None)
            }
            Err(failure) => {
                self.lose();
                (Progress { sent: 0, settled: self.settled }, Some(failure))
            }
        }
    }

    async fn idle(&mut self) -> Result<u64, Failure> {
        let Some(Link::Stream(stream)) = &mut self.link else { return std::future::pending().await };
        let next = self.written.front().map(|(when, _)| *when + SETTLE);
        let settles = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => sleep(Duration::MAX).await,
            }
        };
        let ended = tokio::select! {
            why = std::future::poll_fn(|context| poll_end(stream, context)) => Some(why),
            () = settles => None,
        };
        if let Some(why) = ended {
            let failure = self.cut(&why);
            self.lose();
            Err(failure)
        } else {
            self.settle(Instant::now());
            Ok(self.settled)
        }
    }
}
