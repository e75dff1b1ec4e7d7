//! The server as a whole: listens, tells by the application protocol who has come, and ends without losing a record.

use crate::access::plain;
use crate::config::{Config, Limits};
use crate::evidence::Archive;
use crate::hub::{Carrier, Dialled, Hub};
use crate::identity::{Files, Stamps};
use crate::places::{Place, Places};
use crate::store::{Record, Store};
use crate::trouble::{Trouble, complain};
use crate::{appliance, engineer, evidence, identity, ssh};
use drawbridge_wire::ticket;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use russh::keys::HashAlg;
use socket2::{SockRef, TcpKeepalive};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const TICKET_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether those who are in may still be.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether the certificate's files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// After the end has begun, what is under way gets so long.
const END_WITHIN: Duration = Duration::from_secs(4);
/// A pause when the kernel has no descriptor or memory for a connection.
const PAUSE: Duration = Duration::from_millis(200);

/// Open files beside the connections: the database, the doors, those that are just being closed.
const OTHER_FILES: usize = 256;

/// What every connection needs.
struct Desk {
    hub: Arc<Hub>,
    places: Places,
    acceptor: Mutex<TlsAcceptor>,
    ssh: Arc<russh::server::Config>,
}

#[derive(Clone, Copy)]
enum Door {
    Tls,
    Ssh,
}

/// Serves until TERM or INT. Says on stdout when and where it listens, and the fingerprint of its host key.
pub async fn serve(config: Config) -> Result<(), Trouble> {
    let store = Store::open(&config.data)?;
    let host_key = identity::host_key(&config.data)?;
    let files = identity::files(&config)?;
    let stamps = files.stamps();
    let acceptor = Mutex::new(TlsAcceptor::from(files.load()?));
    let fault = |error: std::io::Error| Trouble::new(format!("signals cannot be received: {error}"));
    let mut term = signal(SignalKind::terminate()).map_err(fault)?;
    let mut int = signal(SignalKind::interrupt()).map_err(fault)?;
    let hup = signal(SignalKind::hangup()).map_err(fault)?;
    let mut listeners = Vec::new();
    for (addresses, door) in [(&config.tls, Door::Tls), (&config.ssh, Door::Ssh)] {
        for address in addresses {
            listeners.push((listen(*address).await?, door));
        }
    }
    let hub = Hub::new(store, Archive::new(&config.data), config.limits);
    hub.ask(|store| store.record(&Record { what: "start".to_owned(), ..operator() })).await?;
    let mut ready = "ready".to_owned();
    for (listener, door) in &listeners {
        let name = if matches!(door, Door::Tls) { "tls" } else { "ssh" };
        let local = listener.local_addr().map_err(|error| Trouble::new(error.to_string()))?;
        ready = format!("{ready} {name}={local}");
    }
    // Whoever has closed stdout does not want to know.
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{ready}\nhost key {}", host_key.fingerprint(HashAlg::Sha256));
    let _ = stdout.flush();
    drop(stdout);
    open_files(config.limits);
    let places = Places::new(config.limits);
    let desk = Arc::new(Desk { hub: Arc::clone(&hub), places, acceptor, ssh: ssh::config(&host_key) });
    let mut doors = JoinSet::new();
    for (listener, door) in listeners {
        doors.spawn(keep_door(Arc::clone(&desk), listener, door));
    }
    doors.spawn(keep_certificate(Arc::clone(&desk), files, stamps, hup));
    doors.spawn(sweep(Arc::clone(&hub)));
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    doors.abort_all();
    let is_done = timeout(END_WITHIN, hub.stop()).await.is_ok();
    hub.record_left_out(true).await;
    let result = if is_done { "done" } else { "some connections did not end in time" };
    hub.ask(move |store| {
        store.record(&Record { what: "stop".to_owned(), result: result.to_owned(), ..operator() })
    })
    .await
}

fn operator() -> Record {
    Record { who: "operator".to_owned(), result: "done".to_owned(), ..Record::default() }
}

/// Each connection is an open file: takes as many as the system grants, and says when these are too few.
fn open_files(limits: Limits) {
    let needs = limits.connections.saturating_add(limits.strangers).saturating_add(OTHER_FILES);
    let needs = u64::try_from(needs).unwrap_or(u64::MAX);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < needs {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, needs.min(hard), hard);
    }
    if hard < needs {
        complain(&format!(
            "{hard} open files are granted, and the limits in the settings need {needs}: grant more (systemd: LimitNOFILE), or \
             lower connections and strangers"
        ));
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Trouble> {
    TcpListener::bind(address).await.map_err(|error| {
        Trouble::new(format!(
            "cannot listen on {address}: {error}; choose an address of this host and a port that is free (below 1024 needs \
             CAP_NET_BIND_SERVICE)"
        ))
    })
}

async fn sweep(hub: Arc<Hub>) {
    loop {
        sleep(SWEEP_EVERY).await;
        hub.record_left_out(false).await;
        let most = hub.limits.audit_lines;
        if let Err(error) = hub.ask(move |store| store.trim_audit(most)).await {
            complain(&format!("the audit log could not be kept within its bound: {error}"));
        }
        if let Err(error) = hub.sweep().await {
            complain(&format!("who is in could not be looked through: {error}"));
        }
    }
}

/// Takes up a new certificate, at HUP or when its files have changed. One that cannot be used leaves the old one in use.
async fn keep_certificate(desk: Arc<Desk>, files: Files, mut stamps: Stamps, mut hup: Signal) {
    loop {
        let is_asked = tokio::select! {
            asked = hup.recv() => asked.is_some(),
            () = sleep(LOOK_EVERY) => false,
        };
        let (now, before) = (files.stamps(), stamps);
        if !is_asked && now == before {
            continue;
        }
        stamps = now;
        let result = match files.load() {
            Ok(tls) => {
                *desk.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = TlsAcceptor::from(tls);
                "read anew".to_owned()
            }
            Err(error) => {
                let result = format!("the old one stays in use: {error}");
                complain(&format!("certificate: {result}"));
                result
            }
        };
        let record =
            Record { who: "server".to_owned(), what: "certificate".to_owned(), result, ..Record::default() };
        desk.hub.record(record).await;
    }
}

async fn keep_door(desk: Arc<Desk>, listener: TcpListener, door: Door) {
    loop {
        let Ok((stream, source)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let source = SocketAddr::new(plain(source.ip()), source.port());
        let place = Arc::new(desk.places.take(source.ip()));
        let _ = stream.set_nodelay(true);
        // Tells of a peer that is gone without a word, also while nothing is to be sent.
        let alive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&alive);
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            match door {
                Door::Tls => over_tls(&desk, stream, source, place).await,
                Door::Ssh => engineer::serve(&desk.hub, Arc::clone(&desk.ssh), stream, source, place).await,
            }
        });
    }
}

async fn over_tls(desk: &Desk, stream: TcpStream, source: SocketAddr, place: Arc<Place>) {
    let acceptor = desk.acceptor.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let stream = tokio::select! {
        stream = timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)) => stream,
        () = place.is_lost() => return,
    };
    let Ok(Ok(stream)) = stream else { return };
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    match protocol.as_deref() {
        Some(drawbridge_wire::CONTROL) => {
            appliance::serve(&desk.hub, Arc::clone(&desk.ssh), stream, source, place).await;
        }
        Some(drawbridge_wire::SESSION) => carry(&desk.hub, stream, source, place).await,
        Some(drawbridge_wire::RECORDING) => evidence::serve(&desk.hub, stream, source.ip(), place).await,
        Some(drawbridge_wire::ARCHIVE) => evidence::give(&desk.hub, stream, source.ip(), place).await,
        _ => engineer::serve(&desk.hub, Arc::clone(&desk.ssh), stream, source, place).await,
    }
}

/// Gives an appliance's connection to the engineer who waits for it.
async fn carry(hub: &Hub, mut stream: TlsStream<TcpStream>, source: SocketAddr, place: Arc<Place>) {
    let token = tokio::select! {
        token = timeout(TICKET_WITHIN, ticket::read(&mut stream)) => token,
        () = place.is_lost() => return,
    };
    let Ok(Ok(token)) = token else { return };
    let mut tell = token.as_ref().and_then(|token| hub.redeem(token));
    if let Some(tell) = tell.take_if(|_| !place.know()) {
        let _ = tell.send(Dialled::Declined("too many are connected to the server".to_owned()));
        return;
    }
    let answer = if tell.is_some() { ticket::WELCOME } else { ticket::UNKNOWN };
    let answered = timeout(TICKET_WITHIN, async {
        stream.write_u8(answer).await?;
        stream.flush().await
    });
    let is_answered = matches!(answered.await, Ok(Ok(())));
    match tell {
        Some(tell) if is_answered => {
            // Dropped with its place when the engineer has just gone.
            let _ = tell.send(Dialled::Here(Box::new(Carrier { stream, place })));
        }
        Some(_) => {}
        None => {
            let result = "nobody waits with this ticket".to_owned();
            let address = source.ip();
            let source = address.to_string();
            hub.record_stranger(
                address,
                Record { source, what: "ticket".to_owned(), result, ..Record::default() },
            )
            .await;
            let _ = timeout(TICKET_WITHIN, stream.shutdown()).await;
        }
    }
}
