//! The role's place on the bus: its orders, its start, and its end when init says so. It answers no question.

use crate::bus::Asker;
use crate::listen::{self, Daemon};
use crate::proof::Keys;
use crate::shells;
use drawbridge_bus::bridge::{SSHD_PORT, SshdOrders};
use drawbridge_bus::client::CallError;
use drawbridge_bus::{Refusal, Reply, Request, Role, inherited_listener, server};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Of the time that init gives for the end, this is left for the process to go.
const SPARE: Duration = Duration::from_millis(500);

/// Where the role finds the bus, and where it listens.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the bus's sockets.
    pub sockets: PathBuf,
    /// The descriptor of its own listening socket on the bus.
    pub listener: i32,
    /// The TCP port on the loopback address.
    pub port: u16,
    /// Whether to give up every port but the targets' ([`drawbridge_sandbox::narrow`]).
    pub narrow: bool,
    /// Whether a target may be the machine itself. Never on the appliance; a test's machine has no other.
    pub own_targets: bool,
    /// How long things may take, and how many there may be.
    pub limits: Limits,
}

/// How long things may take, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the preface is there.
    pub preface: Duration,
    /// Until an engineer has proved himself, whatever he sends meanwhile.
    pub grace: Duration,
    /// Without a byte of any channel, either way.
    pub idle: Duration,
    /// Until the recorder has kept one thing.
    pub kept: Duration,
    /// Connections of whoever has not proved himself yet.
    pub strangers: usize,
    /// Connections.
    pub connections: usize,
    /// Channels of a connection at one time.
    pub channels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            preface: Duration::from_secs(5),
            grace: Duration::from_secs(30),
            idle: Duration::from_mins(15),
            kept: Duration::from_secs(10),
            strangers: 10,
            connections: 32,
            channels: 64,
        }
    }
}

/// Why the role ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(
        "descriptor {descriptor} is not the role's listening socket: {error}; init starts this role, nobody else"
    )]
    Listener { descriptor: i32, error: std::io::Error },
    #[error("the role cannot start: {0}")]
    Start(std::io::Error),
    #[error("there are no orders: {0}")]
    Orders(CallError),
    #[error("the session role has answered something else than the orders")]
    NoOrders,
    #[error(transparent)]
    Sandbox(#[from] drawbridge_sandbox::SandboxError),
    #[error("port {port} of the loopback address cannot be listened on: {error}")]
    Port { port: u16, error: std::io::Error },
    #[error("engineers are no longer taken: {0}")]
    Listening(std::io::Error),
    #[error("the bus cannot be served: {0}")]
    Bus(std::io::Error),
    #[error("{0}; without init this role may not go on")]
    Init(#[from] CallError),
}

/// Runs the role until init says stop. Fails when init or the bus is lost, or when there are no orders.
pub fn run() -> ExitCode {
    run_at(&Place {
        sockets: PathBuf::from(drawbridge_bus::SOCKETS),
        listener: drawbridge_bus::LISTENER,
        port: SSHD_PORT,
        narrow: true,
        own_targets: false,
        limits: Limits::default(),
    })
}

/// [`run`], somewhere else.
pub fn run_at(place: &Place) -> ExitCode {
    // A panic has said where it was on standard error; what is left to say is that the role has failed.
    match std::panic::catch_unwind(|| start(place)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(end)) => {
            log::error!("{end}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn start(place: &Place) -> Result<(), End> {
    let descriptor = place.listener;
    // Before anything else is opened: nothing can have taken the descriptor's place.
    let bus = inherited_listener(descriptor).map_err(|error| End::Listener { descriptor, error })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(End::Start)?;
    let session = Arc::new(Asker::new(Role::Session, &place.sockets));
    let orders = match runtime.block_on(session.ask(Request::SshdOrders)).map_err(End::Orders)? {
        Reply::SshdOrders(orders) => *orders,
        _ => return Err(End::NoOrders),
    };
    if place.narrow {
        // There is one thread still: the runtime makes none before it is asked to.
        let ports: Vec<u16> = orders.scope.targets.iter().map(|target| target.port).collect();
        drawbridge_sandbox::narrow(&ports)?;
    }
    runtime.block_on(serve(place, bus, session, orders))
}

async fn serve(
    place: &Place,
    bus: std::os::unix::net::UnixListener,
    session: Arc<Asker>,
    orders: SshdOrders,
) -> Result<(), End> {
    let bus = tokio::net::UnixListener::from_std(bus).map_err(End::Start)?;
    let port = place.port;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| End::Port { port, error })?;
    let (shells, wanted) = mpsc::channel(shells::WAITING);
    let (stop, stopped) = watch::channel(false);
    let daemon = Arc::new(Daemon::new(
        place,
        session,
        Asker::new(Role::Network, &place.sockets),
        Keys::new(&orders.keys),
        orders,
        shells,
        stopped,
    ));
    let answers = server::serve(Role::Sshd, bus, |_, _| async { Reply::Refused(Refusal::NotMine) });
    let seconds = tokio::select! {
        error = answers => return Err(End::Bus(error)),
        error = listen::serve(Arc::clone(&daemon), listener) => return Err(End::Listening(error)),
        seconds = shells::with_init(place.sockets.join(Role::Init.name()), wanted) => seconds?,
    };
    stop.send_replace(true);
    daemon.all_gone(Duration::from_secs(seconds.into()).saturating_sub(SPARE)).await;
    Ok(())
}
