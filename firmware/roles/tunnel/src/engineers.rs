//! Engineers' own connections: from the server's request to a relay to the SSH daemon. It never looks into their bytes, and the
//! loss of the control connection ends none of them.

use crate::bounds::Bucket;
use crate::copy::both_ways;
use crate::hand::{Hand, Present};
use crate::way::{Service, Way};
use drawbridge_bus::bridge::SecretBytes;
use drawbridge_bus::relay::{Caller, preface};
use drawbridge_wire as wire;
use drawbridge_wire::{Features, RequestId, TICKET_LIVES, ToServer, Token, ticket};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The most connections at one time, those that are being dialled among them.
pub(crate) const AT_ONCE: usize = 32;
/// Dials: so many at once, and then one in so much time. A script that copies files one by one makes a few in a second.
const DIALS_AT_ONCE: u32 = 64;
const A_DIAL: Duration = Duration::from_millis(125);
/// So many numbers of requests are remembered, to know one that comes twice.
const REMEMBERED: usize = 1024;
/// The SSH daemon is on this machine.
const DAEMON_WITHIN: Duration = Duration::from_secs(5);
/// The control connection takes a word within this time, or does without.
const SAY_WITHIN: Duration = Duration::from_secs(10);

/// What the server asks for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) token: Token,
    pub(crate) engineer: wire::Line<64>,
    pub(crate) source: IpAddr,
}

/// The connections of a grant.
pub(crate) struct Engineers {
    way: Arc<Way>,
    relay: Arc<SecretBytes>,
    sshd: u16,
    places: Arc<Semaphore>,
    dials: Bucket,
    /// The control connection's own: its requests, and where to say what becomes of them.
    seen: VecDeque<RequestId>,
    say: Option<mpsc::Sender<ToServer>>,
    /// Those who send recordings hear of who comes in.
    hand: Hand,
}

impl Engineers {
    /// None yet.
    pub(crate) fn new(way: Arc<Way>, relay: SecretBytes, sshd: u16, hand: Hand) -> Self {
        Self {
            way,
            relay: Arc::new(relay),
            sshd,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            dials: Bucket::new(DIALS_AT_ONCE, A_DIAL),
            seen: VecDeque::new(),
            say: None,
            hand,
        }
    }

    /// What those who send recordings or ask for them share with the control connection.
    pub(crate) const fn hand(&self) -> &Hand {
        &self.hand
    }

    /// A new control connection, to a server that can do this: it numbers its requests anew, and hears of these only.
    pub(crate) fn begin(&mut self, say: mpsc::Sender<ToServer>, can: Features) {
        self.seen.clear();
        self.hand.begin(say.clone(), can);
        self.say = Some(say);
    }

    /// Takes a request, or says why not.
    pub(crate) fn take(&mut self, request: Request) -> Result<(), &'static str> {
        let Some(say) = self.say.clone() else { return Err("there is no control connection") };
        if self.seen.contains(&request.id) {
            return Err("this request was made before");
        }
        if !self.dials.take() {
            return Err("too many engineers come at once: try again in a few seconds");
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err("as many engineers are connected as there is room for: try again later");
        };
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(request.id);
        let (way, relay, sshd) = (Arc::clone(&self.way), Arc::clone(&self.relay), self.sshd);
        let present = self.hand.engineer();
        tokio::spawn(async move { carry(request, &way, &relay, sshd, say, (place, present)).await });
        Ok(())
    }
}

/// One connection from its dial to its end.
async fn carry(
    request: Request,
    way: &Way,
    relay: &SecretBytes,
    sshd: u16,
    say: mpsc::Sender<ToServer>,
    _held: (OwnedSemaphorePermit, Present),
) {
    let Request { id, token, engineer, source } = request;
    let opened = open(way, &token, relay, sshd, Caller { name: engineer.as_str().to_owned(), source }).await;
    drop(token);
    let word = match opened {
        Ok((server, daemon)) => {
            log::info!("the server brings {engineer} from {source}");
            let end = both_ways(server, daemon).await;
            let how = end.map_or_else(|error| format!(" ({})", error.kind()), |()| String::new());
            log::info!("the connection of {engineer} from {source} has ended{how}");
            ToServer::Ended { request: id }
        }
        Err(why) => {
            log::warn!("the server's request for {engineer} from {source} is declined: {why}");
            // The rest is the owner's business: his proxy, his names.
            let why = wire::Line::of("the appliance could not make a connection for it: its owner sees why");
            ToServer::Declined { request: id, why }
        }
    };
    // The control connection may be gone, and another one knows nothing of this request.
    let _ = tokio::time::timeout(SAY_WITHIN, say.send(word)).await;
}

type Open<S> = (S, TcpStream);

/// The two ends: the engineer's, by the server's word, and the SSH daemon's.
async fn open(
    way: &Way,
    token: &Token,
    relay: &SecretBytes,
    sshd: u16,
    caller: Caller,
) -> Result<Open<impl AsyncRead + AsyncWrite + Unpin + use<>>, String> {
    let dial = async {
        let mut stream = way.dial(Service::Session, &()).await.map_err(|trouble| trouble.to_string())?.stream;
        ticket::present(&mut stream, token).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(stream)
    };
    let stream = tokio::time::timeout(Duration::from_secs(TICKET_LIVES), dial)
        .await
        .map_err(|_| format!("it took longer than the {TICKET_LIVES} s that a ticket lives"))??;
    let greet = async {
        let mut daemon = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, sshd))).await?;
        daemon.set_nodelay(true)?;
        daemon.write_all(&preface(relay, &caller)).await?;
        Ok::<_, std::io::Error>(daemon)
    };
    match tokio::time::timeout(DAEMON_WITHIN, greet).await {
        Ok(Ok(daemon)) => Ok((stream, daemon)),
        Ok(Err(error)) => Err(format!("the SSH daemon cannot be reached: {error}")),
        Err(_) => Err("the SSH daemon does not answer".to_owned()),
    }
}
