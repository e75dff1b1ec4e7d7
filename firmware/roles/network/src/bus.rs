//! The role's place on the bus: it answers what the ports are, and tells init when they change. It never handles a port.

use crate::netlink::NetlinkError;
use crate::role::{Kind, Ports};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::{Announcement, Event, Port, Refusal, Reply, Request, Role, server};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// Changes that follow each other this closely are told as one: a cable that comes in changes carrier, link-local
/// address and lease within moments.
const TELL_AFTER: Duration = Duration::from_millis(200);

/// Why the role ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(
        "descriptor {descriptor} is not the role's listening socket: {error}; init starts this role, nobody else"
    )]
    Listener { descriptor: i32, error: std::io::Error },
    #[error("the role cannot start: {0}")]
    Start(std::io::Error),
    #[error("the ports cannot be handled: {0}")]
    Ports(#[from] NetlinkError),
    #[error("the bus cannot be served: {0}")]
    Bus(std::io::Error),
    #[error("{0}; without init this role may not go on")]
    Init(#[from] CallError),
}

/// Where the role finds the bus, and what it handles.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the bus's sockets.
    pub sockets: PathBuf,
    /// The descriptor of its own listening socket.
    pub listener: i32,
    /// Which links are ports.
    pub ports: Kind,
}

/// Runs the role until init says stop. Fails when init, the kernel's socket or the bus is lost: init starts it again.
pub fn run() -> ExitCode {
    run_at(&Place {
        sockets: PathBuf::from(drawbridge_bus::SOCKETS),
        listener: drawbridge_bus::LISTENER,
        ports: Kind::Hardware,
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
    let listener = drawbridge_bus::inherited_listener(descriptor)
        .map_err(|error| End::Listener { descriptor, error })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(End::Start)?;
    runtime.block_on(serve(place, listener))
}

async fn serve(place: &Place, listener: std::os::unix::net::UnixListener) -> Result<(), End> {
    let listener = tokio::net::UnixListener::from_std(listener).map_err(End::Start)?;
    let ports = Ports::open(place.ports).await?;
    let shown = ports.shown();
    let answers = shown.clone();
    let server = server::serve(Role::Network, listener, move |_, request| {
        let reply = match request {
            Request::Ports => Reply::Ports(answers.borrow().clone()),
            _ => Reply::Refused(Refusal::NotMine),
        };
        async move { reply }
    });
    let path = place.sockets.join(Role::Init.name());
    tokio::select! {
        error = ports.run() => Err(error.into()),
        error = server => Err(End::Bus(error)),
        end = with_init(path, shown) => end.map_err(End::Init),
    }
}

/// Tells init that the role serves, then each change of the ports, until init says stop.
async fn with_init(path: PathBuf, mut shown: watch::Receiver<Vec<Port>>) -> Result<(), CallError> {
    let stream = tokio::net::UnixStream::connect(path)
        .await
        .map_err(|error| CallError::Unreachable(Role::Init, error))?;
    let mut init = Client::over(Role::Init, stream);
    init.call(Request::Ready).await?;
    shown.mark_changed();
    loop {
        tokio::select! {
            event = init.event() => {
                let Event::Stop { .. } = event?;
                // What the leases have set stays: either the machine ends, or the role comes back and takes it over.
                return Ok(());
            }
            Ok(()) = shown.changed() => {
                tokio::time::sleep(TELL_AFTER).await;
                let ports = shown.borrow_and_update().clone();
                init.call(Request::Announce(Announcement::Ports(ports))).await?;
            }
        }
    }
}
