//! Connections from the appliance to places of the array, on an engineer's behalf. It never leads anywhere that the scope does
//! not name, nor to the appliance itself.

use crate::bus::Asker;
use crate::inbox::Inbox;
use crate::line::Line;
use crate::listen::Daemon;
use crate::scope::is_elsewhere;
use crate::tap::{PIECE, Tap};
use drawbridge_bus::bridge::{EngineerAsk, EngineerUse, Verdict};
use drawbridge_bus::record::{RecordedEnd, RecordedUse};
use drawbridge_bus::support::Target;
use drawbridge_bus::{Reply, Request};
use drawbridge_settings::network::Host;
use russh::server::{ChannelOpenHandle, Msg};
use russh::{ChannelOpenFailure, ChannelWriteHalf};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

/// Looking the name up and connecting, with every address, take no longer.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// One address that does not answer leaves time for the next.
const EACH_WITHIN: Duration = Duration::from_secs(4);
/// The most addresses that are tried.
const ADDRESSES_MOST: usize = 8;

/// A forward that a client wants.
pub(crate) struct Job {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) line: Arc<Line>,
    pub(crate) tap: Arc<Tap>,
    pub(crate) target: Target,
    pub(crate) channel: ChannelWriteHalf<Msg>,
    pub(crate) reply: ChannelOpenHandle,
    pub(crate) inbox: Arc<Inbox>,
    /// Comes, or is dropped, when the client has closed the channel.
    pub(crate) closed: oneshot::Receiver<()>,
    pub(crate) place: OwnedSemaphorePermit,
}

/// Bytes that were carried: from the engineer, and to him.
#[derive(Debug, Default)]
struct Carried {
    sent: AtomicU64,
    received: AtomicU64,
}

/// Connects and carries bytes until both sides have ended, or the channel is closed. What it carries is not recorded, but where it
/// led, for how long, and how much it was.
pub(crate) async fn run(job: Job) {
    let Job { daemon, line, tap, target, channel, reply, inbox, mut closed, place } = job;
    if let Err((code, why)) = may(&daemon, &line, &target).await {
        refuse(&line, &target, reply, code, why).await;
        inbox.shut();
        return;
    }
    if let Some(why) = line.orders.forbids(&RecordedUse::Forward(target.clone())) {
        refuse(&line, &target, reply, PROHIBITED, why.to_owned()).await;
        inbox.shut();
        return;
    }
    let Ok(number) = tap.open(RecordedUse::Forward(target.clone())).await else {
        refuse(&line, &target, reply, PROHIBITED, "it cannot be recorded".to_owned()).await;
        inbox.shut();
        return;
    };
    let carried = Carried::default();
    let whole = async {
        match open(&daemon, &target).await {
            Ok(stream) => {
                reply.accept().await;
                carry(&line, &tap, &channel, stream, &inbox, &carried).await;
                true
            }
            Err((code, why)) => {
                refuse(&line, &target, reply, code, why).await;
                false
            }
        }
    };
    // None: the channel was closed, which ends a forward as well as anything.
    let connected = tokio::select! {
        connected = whole => Some(connected),
        _ = &mut closed => None,
    };
    inbox.shut();
    let (sent, received) = (carried.sent.load(Ordering::Relaxed), carried.received.load(Ordering::Relaxed));
    let end = match connected {
        Some(false) => RecordedEnd::Cut,
        None if sent == 0 && received == 0 => RecordedEnd::Cut,
        _ => RecordedEnd::Carried { sent, received },
    };
    let kept = tap.close(number, end).await;
    if connected == Some(true) && kept.is_ok() {
        tokio::select! {
            _ = channel.close() => {}
            _ = &mut closed => {}
        }
    }
    drop(place);
}

async fn refuse(line: &Line, target: &Target, reply: ChannelOpenHandle, code: u32, reason: String) {
    log::info!("{} gets no connection to {}:{}: {reason}", line.who, target.host, target.port);
    reply.reject(ChannelOpenFailure::Other { code, reason }).await;
}

/// A refusal: SSH's code for it (RFC 4254, section 5.1), and why.
type Refusal = (u32, String);

const PROHIBITED: u32 = 1;
const NOT_CONNECTED: u32 = 2;

/// Whether session lets him.
async fn may(daemon: &Daemon, line: &Line, target: &Target) -> Result<(), Refusal> {
    let ask = EngineerAsk::May(EngineerUse::Forward(target.clone()));
    if let Verdict::No { why, cut } = daemon.session.engineer(line.number, ask).await {
        if cut {
            line.end(why.clone());
        }
        return Err((PROHIBITED, why));
    }
    Ok(())
}

async fn open(daemon: &Daemon, target: &Target) -> Result<TcpStream, Refusal> {
    let until = Instant::now() + CONNECT_WITHIN;
    let late = |_| (NOT_CONNECTED, "nobody answers in time".to_owned());
    let addresses = timeout_at(until, resolve(&daemon.network, &target.host)).await.map_err(late)??;
    let mut why = "the name leads to the appliance itself".to_owned();
    for address in
        addresses.into_iter().filter(|one| daemon.own_targets || is_elsewhere(*one)).take(ADDRESSES_MOST)
    {
        let end = until.min(Instant::now() + EACH_WITHIN);
        match timeout_at(end, TcpStream::connect((address, target.port))).await {
            Ok(Ok(stream)) if !daemon.own_targets && is_own(&stream) => {
                "the address is the appliance's own".clone_into(&mut why);
            }
            Ok(Ok(stream)) => {
                // It only makes the connection slower when it cannot be had.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => "nobody answers in time".clone_into(&mut why),
        }
    }
    Err((NOT_CONNECTED, why))
}

/// Whether both ends of a connection are the appliance's. One whose ends cannot be told apart is not used.
fn is_own(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(ours), Ok(theirs)) => ours.ip().to_canonical() == theirs.ip().to_canonical(),
        _ => true,
    }
}

async fn resolve(network: &Asker, host: &Host) -> Result<Vec<IpAddr>, Refusal> {
    let name = match host {
        Host::Address(address) => return Ok(vec![*address]),
        Host::Name(name) => name.to_string(),
    };
    match network.ask(Request::Resolve { name, interface: None }).await {
        Ok(Reply::Addresses(addresses)) => Ok(addresses),
        Ok(Reply::Unresolved(why)) => Err((NOT_CONNECTED, why)),
        Ok(_) => Err((NOT_CONNECTED, "the network role has answered something else".to_owned())),
        Err(error) => Err((NOT_CONNECTED, error.to_string())),
    }
}

/// Bytes both ways; each side's end is told to the other (RFC 4254, section 5.3).
async fn carry(
    line: &Line,
    tap: &Tap,
    channel: &ChannelWriteHalf<Msg>,
    stream: TcpStream,
    inbox: &Inbox,
    carried: &Carried,
) {
    let count = |counter: &AtomicU64, bytes: usize| {
        counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    };
    let (mut reader, mut writer) = stream.into_split();
    let out = async {
        while let Some(bytes) = inbox.take(PIECE).await {
            line.orders.may_go_on().await;
            line.touch();
            if tap.may_pass().is_err() || writer.write_all(&bytes).await.is_err() {
                inbox.shut();
                return;
            }
            count(&carried.sent, bytes.len());
        }
        let _ = writer.shutdown().await;
    };
    let back = async {
        let mut buffer = vec![0; PIECE];
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            line.touch();
            if tap.may_pass().is_err() || channel.data_bytes(buffer[..length].to_vec()).await.is_err() {
                return;
            }
            count(&carried.received, length);
        }
        let _ = channel.eof().await;
    };
    tokio::join!(out, back);
}
