//! A simulated storage array: the REST API of its management layer over TLS, with users, roles, events and faults that are
//! switched while it runs. It stores nothing, and keeps nothing when it ends.
//!
//! ```text
//!   client ══ TLS ══ front (rustls) ── Unix socket ── tiny_http ── api ── store
//! ```
//!
//! It speaks as the vendor's public client `infinisdk` expects it (qemu/tests/array.rs drives it by that client). Where that
//! client says nothing, the array's ways are ours: the codes of its errors, and `GET users/current`, which tells whose a
//! session is.

mod api;
mod front;
mod hosted;
mod identity;
mod orders;
mod query;
mod serve;
mod store;

pub use hosted::{HostedArray, OrderSocket, tell};
pub use orders::{NoOrder, ORDERS, Order};
pub use store::{Fault, Role};

use crate::{LabError, within};
use front::Door;
use identity::Identity;
use serde_json::{Value, json};
use serve::Shared;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use store::Store;
use tokio::sync::watch;

/// How long the door may take to open or close.
const SOON: Duration = Duration::from_secs(10);

/// How the array is to be.
#[derive(Debug, Clone)]
pub struct ArrayConfig {
    folder: PathBuf,
    listen: SocketAddr,
    names: Vec<String>,
    system: String,
    serial: u64,
    version: String,
    keep: Option<PathBuf>,
}

impl ArrayConfig {
    /// An array named `box1.lab` at any free port of 127.0.0.1. A socket in `folder` is its own while it runs: the path may
    /// have about 80 bytes.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            names: vec!["box1.lab".to_owned()],
            system: "box1".to_owned(),
            serial: 1001,
            version: "8.3.0.0".to_owned(),
            keep: None,
        }
    }

    /// At this address and port; 0 is any free one.
    #[must_use]
    pub fn at(mut self, address: impl Into<SocketAddr>) -> Self {
        self.listen = address.into();
        self
    }

    /// With the key and certificate in this file, which are made where it is missing.
    #[must_use]
    pub fn keep(mut self, file: Option<&Path>) -> Self {
        self.keep = file.map(Path::to_owned);
        self
    }

    /// With a certificate for these names, and for its address.
    #[must_use]
    pub fn names(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(ToString::to_string).collect();
        self
    }

    /// The system's name and serial number.
    #[must_use]
    pub fn system(mut self, name: &str, serial: u64) -> Self {
        (self.system, self.serial) = (name.to_owned(), serial);
        self
    }
}

/// A running array. Dropped, it is gone.
pub struct Array {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: Arc<tiny_http::Server>,
    door: Option<watch::Sender<Door>>,
    held: Mutex<mpsc::Receiver<bool>>,
    genuine: Identity,
    forged: Identity,
    threads: Vec<JoinHandle<()>>,
}

impl Array {
    /// Starts it; it takes connections at once.
    pub fn start(config: &ArrayConfig) -> Result<Self, LabError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let listener = TcpListener::bind(config.listen)
            .map_err(|error| LabError::System("listen at the array's address", error))?;
        let address = listener.local_addr().map_err(|error| LabError::System("find one's address", error))?;
        let mut addresses: Vec<IpAddr> = vec![address.ip()];
        addresses.retain(|one| !one.is_unspecified());
        let genuine = match &config.keep {
            Some(file) => Identity::kept(file, &config.names, &addresses)?,
            None => Identity::new(&config.names, &addresses)?,
        };
        let forged = Identity::new(&config.names, &addresses)?;

        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let behind = config.folder.join(format!("array-{}-{number}", std::process::id()));
        let server = tiny_http::Server::http_unix(&behind)
            .map_err(|error| LabError::Unexpected(format!("no HTTP server can be started: {error}")))?;
        let server = Arc::new(server);
        let shared = Arc::new(Shared::new(Store::new(&config.system, config.serial, &config.version)));
        let (door, watched) = watch::channel(Door { open: true, config: Arc::clone(&genuine.config) });
        let (tell, held) = mpsc::channel();
        let front = thread("array-front", move || {
            // Without it nobody gets in, which every client says.
            let _ = front::run(listener, behind, watched, &tell);
        })?;
        let (serving, store) = (Arc::clone(&server), Arc::clone(&shared));
        let serve = thread("array-serve", move || serve::run(&serving, &store))?;
        let threads = vec![front, serve];
        let door = Some(door);
        Ok(Self { address, shared, server, door, held: Mutex::new(held), genuine, forged, threads })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its own certificate.
    pub fn certificate_der(&self) -> &[u8] {
        &self.genuine.certificate
    }

    /// The same in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.genuine.pem
    }

    /// SHA-256 of its own certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.genuine.certificate)
    }

    /// SHA-256 of the certificate that it shows after [`Order::Forge`].
    pub fn forged_fingerprint(&self) -> [u8; 32] {
        sha256(&self.forged.certificate)
    }

    /// Makes a user, or makes him anew.
    pub fn user(&self, name: &str, password: &str, roles: &[Role]) {
        self.shared.change(|store| store.user(name, Some(password), roles));
    }

    /// Makes a user without a password, and logs him in as single sign-on does: his session's token.
    pub fn sso(&self, name: &str, roles: &[Role]) -> Option<String> {
        self.shared.change(|store| {
            store.user(name, None, roles);
            store.begin(name)
        })
    }

    /// Switches a fault on in place of another, or off.
    pub fn fault(&self, fault: Fault) {
        self.shared.change(|store| store.fault = fault);
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.shared.lock().sessions()
    }

    /// How many times somebody tried to log in.
    pub fn logins(&self) -> u64 {
        self.shared.lock().logins
    }

    /// How many requests were answered.
    pub fn requests(&self) -> u64 {
        self.shared.lock().requests
    }

    /// All events, the oldest first.
    pub fn events(&self) -> Vec<Value> {
        self.shared.lock().events()
    }

    /// Refuses connections from now on and cuts those that there are (false), or takes them again (true).
    pub fn open(&self, open: bool) -> Result<(), LabError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_open() == open {
            return Ok(());
        }
        // What came too late for an earlier change says nothing of this one.
        while held.try_recv().is_ok() {}
        self.set_door(|door| door.open = open);
        let is = held.recv_timeout(within(SOON));
        match is {
            Ok(is) if is == open => Ok(()),
            _ => Err(LabError::Unexpected(format!("the array's door at {} does not move", self.address))),
        }
    }

    /// Shows the forged certificate (true), or its own.
    pub fn forge(&self, forge: bool) {
        let config = if forge { &self.forged.config } else { &self.genuine.config };
        self.set_door(|door| door.config = Arc::clone(config));
    }

    fn set_door(&self, change: impl FnOnce(&mut Door)) {
        if let Some(door) = &self.door {
            door.send_modify(change);
        }
    }

    /// Does what it is told; what there is to say.
    pub fn obey(&self, order: Order) -> Result<String, LabError> {
        let unknown = |name: &str| LabError::Unexpected(format!("the array has no user {name:?}"));
        match order {
            Order::Well => {
                self.forge(false);
                self.open(true)?;
                self.shared.change(|store| {
                    (store.fault, store.approval) = (Fault::None, false);
                    (store.forget_after, store.lock_after) = (None, None);
                });
            }
            Order::Open(open) => self.open(open)?,
            Order::Fault(fault) => self.fault(fault),
            Order::Forge(forge) => self.forge(forge),
            Order::Approval(wanted) => self.shared.change(|store| store.approval = wanted),
            Order::Forget => self.shared.change(Store::forget),
            Order::ForgetAfter(most) => self.shared.change(|store| store.forget_after = most),
            Order::User(name, password, roles) => {
                self.shared.change(|store| store.user(&name, password.as_deref(), &roles));
            }
            Order::Token(name) => {
                return self.shared.change(|store| store.begin(&name)).ok_or_else(|| unknown(&name));
            }
            Order::Lock(name, locked) => {
                if !self.shared.change(|store| store.lock(&name, locked)) {
                    return Err(unknown(&name));
                }
            }
            Order::LockAfter(most) => self.shared.change(|store| store.lock_after = most),
            Order::Status => return Ok(self.status().to_string()),
            Order::Events => {
                let lines: Vec<_> = self.events().iter().map(ToString::to_string).collect();
                return Ok(lines.join("\n"));
            }
        }
        Ok(String::new())
    }

    fn is_open(&self) -> bool {
        self.door.as_ref().is_some_and(|door| door.borrow().open)
    }

    fn status(&self) -> Value {
        let store = self.shared.lock();
        json!({
            "open": self.is_open(),
            "fault": format!("{:?}", store.fault),
            "approval": store.approval,
            "sessions": store.sessions(),
            "logins": store.logins,
            "requests": store.requests,
        })
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Array").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        self.shared.change(|store| store.ended = true);
        self.door = None;
        self.server.unblock();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LabError> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map_err(|error| LabError::System("start a thread", error))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    // SHA-256 has 32 bytes.
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().try_into().unwrap_or_default()
}
