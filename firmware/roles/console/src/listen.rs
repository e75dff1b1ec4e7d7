//! Ports: connections are accepted, counted, and shown out when there is no room. It never reads a byte.

use crate::connection::{self, Answer, Bounds, Seat, Tls, stopped};
use crate::places::{Guest, Places, Room};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, listen, setsockopt, socket,
    sockopt,
};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

/// Connections that the kernel may hold while they wait to be accepted. Whoever finds no room there tries again after a
/// second: a burst of a thousand has to fit.
const BACKLOG: i32 = 1024;
/// So many are accepted in one go. One by one, each would wait behind the handshakes of those before, and with a crowd that comes again
/// and again so many would wait in the kernel that it has no place for a newcomer.
const AT_ONCE: u32 = 16;
/// The first and the longest wait after a connection could not be accepted.
const ACCEPT_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often that is logged at most.
const LOG_EVERY: Duration = Duration::from_mins(1);

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

/// A port, and what comes in by it.
pub(crate) struct Door<A> {
    /// TLS; none where plain HTTP is spoken.
    pub(crate) tls: Option<Tls>,
    /// Who answers.
    pub(crate) site: Arc<A>,
    /// How long what may take.
    pub(crate) bounds: Bounds,
    /// How many may be there.
    pub(crate) room: Room,
}

/// The connections that there are.
struct Guests {
    places: Arc<Mutex<Places>>,
    running: HashMap<Id, Guest>,
    tasks: JoinSet<()>,
    handles: HashMap<Guest, AbortHandle>,
}

/// Accepts connections until `stop` carries a time: then no more, and those that there are finish by then.
pub(crate) async fn serve<A: Answer>(
    listener: TcpListener,
    door: Door<A>,
    mut stop: watch::Receiver<Option<Instant>>,
) {
    let mut guests = Guests {
        places: Arc::new(Mutex::new(Places::new(door.room))),
        running: HashMap::new(),
        tasks: JoinSet::new(),
        handles: HashMap::new(),
    };
    let (mut trouble, mut accepted_now) = (Trouble::default(), 0);
    let finish_by = loop {
        tokio::select! {
            biased;
            until = stopped(&mut stop) => break until,
            Some(ended) = guests.tasks.join_next_with_id() => guests.ended(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    trouble = Trouble { logged: trouble.logged, ..Trouble::default() };
                    // Without an address of its own it has been closed already.
                    let Ok(local) = stream.local_addr() else { continue };
                    let ends = (canonical(peer), canonical(local));
                    let seat = guests.seat(ends.0.ip());
                    let (tls, site) = (door.tls.clone(), Arc::clone(&door.site));
                    let stop = stop.clone();
                    guests.run(&seat, connection::serve(stream, ends, tls, site, door.bounds, seat.clone(), stop));
                    // Those who are there get on before the next come in: of a burst that is accepted in one go, the
                    // first would have to leave before anybody had looked what they said.
                    accepted_now += 1;
                    if accepted_now >= AT_ONCE {
                        accepted_now = 0;
                        tokio::task::yield_now().await;
                    }
                }
                // What one client did to his own connection is no trouble of ours.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    let wait = trouble.wait(&error);
                    // Somebody goes: it may be his descriptor that is missing.
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

/// An IPv4 address as such, and not as the IPv6 socket has it.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        v4 @ IpAddr::V4(_) => SocketAddr::new(v4, address.port()),
        // With its zone.
        IpAddr::V6(_) => address,
    }
}

impl Guests {
    /// A place for somebody new, for which somebody else may have to go.
    fn seat(&mut self, address: IpAddr) -> Seat {
        let admission = lock(&self.places).admit(address);
        if let Some(handle) = admission.leaves.and_then(|guest| self.handles.remove(&guest)) {
            handle.abort();
        }
        Seat::new(Arc::clone(&self.places), admission.guest)
    }

    fn run(&mut self, seat: &Seat, connection: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(connection);
        self.running.insert(handle.id(), seat.guest());
        self.handles.insert(seat.guest(), handle);
    }

    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            // One that panicked has said so on standard error; the others go on.
            Err(error) => error.id(),
        };
        if let Some(guest) = self.running.remove(&id) {
            lock(&self.places).leave(guest);
            self.handles.remove(&guest);
        }
    }

    /// Ends one connection.
    fn make_room(&mut self) {
        let first = {
            let mut places = lock(&self.places);
            let first = places.first_to_leave();
            first.inspect(|guest| places.leave(*guest))
        };
        if let Some(handle) = first.and_then(|guest| self.handles.remove(&guest)) {
            handle.abort();
        }
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    // A panic while it was held has left numbers, and numbers are always whole.
    places.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests;
