//! The role's place on the bus: it says that it serves, takes its orders, gives up what they do not need, and ends when init says
//! so, when session is lost, or when a test is over. It answers nothing but what the owner asks of his recordings at the server (`archive`).

use crate::archive::Archive;
use crate::bus::Asker;
use crate::hand::Hand;
use crate::news::{Delivery, News, orders};
use crate::way::{Way, WayError};
use crate::{Pace, doctor, keep};
use drawbridge_bus::bridge::{SSHD_PORT, TunnelJob, TunnelOrders};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::{Event, Refusal, Reply, Request, Role, inherited_listener, server};
use drawbridge_sandbox::{SandboxError, narrow};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Of the time that init gives for the end, this is left for the process to go.
const SPARE: Duration = Duration::from_millis(500);

/// The server is told good-bye within this time, or not at all.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// Where the role finds bus and SSH daemon, and how it goes about.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the bus's sockets.
    pub sockets: PathBuf,
    /// The descriptor of its own listening socket.
    pub listener: i32,
    /// The SSH daemon's port on the loopback address.
    pub sshd: u16,
    /// Gives up every TCP port to connect to but these, for the calling thread.
    pub narrow: fn(&[u16]) -> Result<(), SandboxError>,
    /// How fast things go.
    pub pace: Pace,
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
    #[error("{0}; without orders there is nothing to do")]
    Orders(CallError),
    #[error("the orders cannot be followed: {0}")]
    Way(#[from] WayError),
    #[error("the ports that the orders do not need cannot be given up: {0}")]
    Narrow(#[from] SandboxError),
    #[error("the bus cannot be served: {0}")]
    Bus(std::io::Error),
    #[error("{0}; without init this role may not go on")]
    Init(CallError),
    #[error("{0}; without session this role may not go on")]
    Session(CallError),
    #[error("the work has failed: see the lines above")]
    Work,
}

/// Runs the role until init says stop, or a test is over. Fails when init, session or the bus is lost.
pub fn run() -> ExitCode {
    run_at(&Place {
        sockets: PathBuf::from(drawbridge_bus::SOCKETS),
        listener: drawbridge_bus::LISTENER,
        sshd: SSHD_PORT,
        narrow,
        pace: Pace::default(),
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
    let asker = Asker::new(place.sockets.clone());
    // It makes no thread, and nothing below asks it to before the ports are given up, which counts for one thread only.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(End::Start)?;
    let (init, session, orders) = runtime.block_on(async {
        let mut init = asker.connect(Role::Init).await.map_err(End::Init)?;
        init.call(Request::Ready).await.map_err(End::Init)?;
        let (session, orders) = orders(&asker).await.map_err(End::Orders)?;
        Ok::<_, End>((init, session, orders))
    })?;
    let way = Arc::new(Way::new(&orders.path, &asker)?);
    let mut ports = vec![way.port()];
    if matches!(orders.job, TunnelJob::Bridge { .. }) {
        ports.push(place.sshd);
    }
    (place.narrow)(&ports)?;
    let (news, delivery) = Delivery::new(asker.clone(), session, orders.job.clone());
    let tunnel = Tunnel { place: place.clone(), asker, way, orders, hand: Hand::new() };
    runtime.block_on(serve(tunnel, bus, init, news, delivery))
}

/// What the work needs.
pub(crate) struct Tunnel {
    pub(crate) place: Place,
    pub(crate) asker: Asker,
    pub(crate) way: Arc<Way>,
    pub(crate) orders: Box<TunnelOrders>,
    /// Where control connection, engineers and recordings meet.
    pub(crate) hand: Hand,
}

async fn serve(
    tunnel: Tunnel,
    bus: std::os::unix::net::UnixListener,
    init: Client,
    news: News,
    delivery: Delivery,
) -> Result<(), End> {
    let bus = tokio::net::UnixListener::from_std(bus).map_err(End::Start)?;
    let (stop, stops) = watch::channel(false);
    let is_test = tunnel.orders.job == TunnelJob::Test;
    let archive = (!is_test).then(|| Archive::new(&tunnel));
    let mut work = tokio::spawn(async move {
        if is_test {
            Box::pin(doctor::run(tunnel, news)).await;
        } else {
            Box::pin(keep::run(tunnel, news, stops)).await;
        }
    });
    let answers = server::serve(Role::Tunnel, bus, move |_, request| {
        let archive = archive.clone();
        async move {
            match archive {
                Some(archive) => archive.answer(request).await,
                None => Reply::Refused(Refusal::NotNow),
            }
        }
    });
    let mut delivered = std::pin::pin!(delivery.run());
    let seconds = tokio::select! {
        error = answers => return Err(End::Bus(error)),
        seconds = stopped(init) => seconds.map_err(End::Init)?,
        end = &mut delivered => {
            end.map_err(End::Session)?;
            // Nothing is left to tell: the work is over, or has panicked.
            return work.await.map_err(|_| End::Work);
        }
    };
    stop.send_replace(true);
    if !is_test {
        let time = Duration::from_secs(seconds.into()).saturating_sub(SPARE).min(GOOD_BYE);
        // What is not said by then stays unsaid: the end of the process is the end of all connections.
        let _ = tokio::time::timeout(time, async { tokio::join!(&mut work, delivered) }).await;
    }
    Ok(())
}

/// Waits until init says stop: then the seconds that are left.
async fn stopped(mut init: Client) -> Result<u16, CallError> {
    loop {
        if let Event::Stop { seconds } = init.event().await? {
            return Ok(seconds);
        }
    }
}
