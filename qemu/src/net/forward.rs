//! A port of this machine (on 127.0.0.1 only) that leads to a port of a guest. It never tries again for a caller: a guest
//! that does not listen refuses him.

use super::NetError;
use super::host::Host;
use super::tcp::TcpStream;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream as HostStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Connections at a time; what comes beyond is closed at once. Each takes two threads and 256 KiB.
const CONNECTIONS_LIMIT: usize = 256;

/// A connection on which nothing moves for so long is cut.
const IDLE_LIMIT: Duration = Duration::from_hours(1);

/// A piece of what is relayed.
const PIECE: usize = 64 << 10;

/// A forwarded port. Dropped, it no longer accepts; connections that are open stay.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    way: Arc<Way>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Way {
    through: Host,
    target: Mutex<Option<SocketAddr>>,
    answer_within: Duration,
    stopped: AtomicBool,
    open: AtomicUsize,
}

impl Forward {
    /// Listens on a port of 127.0.0.1 (0: any free one). Until a target is set each connection is closed at once; then it
    /// is relayed there through a host of the target's network. `answer_within` is how long the target may take to accept.
    pub fn start(port: u16, through: &Host, answer_within: Duration) -> Result<Self, NetError> {
        let failed = |error: io::Error| NetError::Port(port, error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let way = Arc::new(Way {
            through: through.clone(),
            target: Mutex::new(None),
            answer_within,
            stopped: AtomicBool::new(false),
            open: AtomicUsize::new(0),
        });
        let theirs = Arc::clone(&way);
        let thread = std::thread::Builder::new()
            .name(format!("forward-{}", address.port()))
            .spawn(move || accept_all(&listener, &theirs))
            .map_err(failed)?;
        Ok(Self { address, way, thread: Some(thread) })
    }

    /// From now on connections go there.
    pub fn set_target(&self, target: impl Into<SocketAddr>) {
        *self.way.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target.into());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.way.open.load(Ordering::Relaxed)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.way.stopped.store(true, Ordering::Release);
        // A connection of our own ends the wait for one.
        if HostStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn accept_all(listener: &TcpListener, way: &Arc<Way>) {
    for caller in listener.incoming() {
        if way.stopped.load(Ordering::Acquire) {
            return;
        }
        let Ok(caller) = caller else {
            // No descriptors are left, most likely: trying again at once would only burn the processor.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let slot = Slot::take(way);
        let target = *way.target.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(slot), Some(target)) = (slot, target) else { continue };
        // A thread that cannot be started drops the caller, which closes his connection.
        let _ = std::thread::Builder::new().name("forward".into()).spawn(move || {
            if let Ok(guest) = slot.0.through.connect(target, slot.0.answer_within) {
                relay(&caller, &guest);
            }
        });
    }
}

/// A place among the connections that are open.
struct Slot(Arc<Way>);

impl Slot {
    fn take(way: &Arc<Way>) -> Option<Self> {
        let before = way.open.fetch_add(1, Ordering::Relaxed);
        let slot = Self(Arc::clone(way));
        (before < CONNECTIONS_LIMIT).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Relays both ways until both have ended. An end is passed on as an end, a failure as a failure.
fn relay(caller: &HostStream, guest: &TcpStream) {
    let _ = caller.set_nodelay(true);
    let _ = caller.set_read_timeout(Some(IDLE_LIMIT));
    let _ = caller.set_write_timeout(Some(IDLE_LIMIT));
    guest.set_timeout(IDLE_LIMIT);
    let cut = || {
        guest.abort();
        let _ = caller.shutdown(Shutdown::Both);
    };
    std::thread::scope(|scope| {
        let to_guest = || {
            if copy(caller, guest).is_ok() {
                guest.shutdown_write();
            } else {
                cut();
            }
        };
        let started = std::thread::Builder::new().name("forward-in".into()).spawn_scoped(scope, to_guest);
        if started.is_ok() && copy(guest, caller).is_ok() {
            let _ = caller.shutdown(Shutdown::Write);
        } else {
            cut();
        }
    });
}

fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
