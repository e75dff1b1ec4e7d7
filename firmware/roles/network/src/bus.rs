//! The role's place on the bus: it answers what the ports are, and tells init when they change. It never handles a port.

use crate::keep::Keep;
use crate::mdns::{self, MdnsPort, Service};
use crate::orders::{self, Order, Orders};
use crate::outlook::Outlook;
use crate::role::{Network, RoleError, Which};
use crate::time::{self, Bounds, News as TimeNews, Pace};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::{
    Announcement, BUILD_TIME, ClockCorrection, Event, Port, Refusal, Reply, Request, Role, server,
};
use drawbridge_resolver::Resolver;
use drawbridge_settings::network::HostName;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Changes that follow each other this closely are told as one. Longer would be seen: at each start the lease comes just
/// after the role serves, and whoever waits for the address waits for this too.
const TELL_AFTER: Duration = Duration::from_millis(20);

/// What is announced (as `_drawbridge._tcp`), and the port that it is on.
const SERVICE: &str = "drawbridge";
const CONSOLE_PORT: u16 = 9000;

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
    Ports(#[from] RoleError),
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
    pub ports: Which,
    /// Where its settings are kept.
    pub folder: PathBuf,
}

/// Runs the role until init says stop. Fails when init, the kernel's socket or the bus is lost: init starts it again.
pub fn run() -> ExitCode {
    run_at(&Place {
        sockets: PathBuf::from(drawbridge_bus::SOCKETS),
        listener: drawbridge_bus::LISTENER,
        ports: Which::Hardware,
        folder: PathBuf::from("/data/network"),
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
    let outlook = Outlook::new();
    let (shown, host_name) = (outlook.shown.subscribe(), outlook.host_name.subscribe());
    let resolver = Arc::clone(&outlook.resolver);
    let (corrections, clock) = mpsc::channel(4);
    let bounds = Bounds::from_floor(BUILD_TIME.unsigned_abs());
    tokio::spawn(time::run(
        outlook.time.subscribe(),
        bounds,
        Pace::default(),
        Names(Arc::clone(&resolver)),
        corrections,
    ));
    let announced = announce(outlook.announced.subscribe(), outlook.host_name.subscribe());
    let (orders, asked) = orders::channel();
    let network = Network::open(place.ports, Keep::open(&place.folder), asked, outlook).await?;
    let answers = shown.clone();
    let server = server::serve(Role::Network, listener, move |_, request| {
        answer(request, answers.clone(), orders.clone(), Arc::clone(&resolver))
    });
    let path = place.sockets.join(Role::Init.name());
    tokio::select! {
        error = network.run() => Err(error.into()),
        error = server => Err(End::Bus(error)),
        () = announced => Err(End::Start(std::io::Error::other("the announcements have ended"))),
        end = with_init(path, shown, host_name, clock) => end.map_err(End::Init),
    }
}

/// Announces the host and its console under the name that it has.
async fn announce(ports: watch::Receiver<Vec<MdnsPort>>, mut host_name: watch::Receiver<Option<HostName>>) {
    let service = Service { kind: SERVICE.to_owned(), port: CONSOLE_PORT, text: Vec::new() };
    loop {
        let name = host_name.borrow_and_update().as_ref().map(ToString::to_string);
        let announced = async {
            match &name {
                Some(name) => mdns::run(ports.clone(), name, &service).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = announced => return,
            changed = host_name.changed() => if changed.is_err() { return },
        }
    }
}

/// How the time servers' names become addresses.
struct Names(Arc<Resolver>);

impl time::Resolve for Names {
    async fn resolve(&self, name: &str, port: Option<&str>) -> Result<Vec<IpAddr>, String> {
        let answer = self.0.lookup(name, port).await.map_err(|error| error.to_string())?;
        Ok(answer.addresses)
    }
}

async fn answer(
    request: Request,
    shown: watch::Receiver<Vec<Port>>,
    orders: Orders,
    resolver: Arc<Resolver>,
) -> Reply {
    let done = |done: Option<bool>| match done {
        Some(true) => Reply::Done,
        _ => Reply::Refused(Refusal::NotNow),
    };
    let reply = match request {
        Request::Ports => return Reply::Ports(shown.borrow().clone()),
        Request::Network => orders.give(Order::Status).await.map(|status| Reply::Network(Box::new(status))),
        Request::NetworkSettings => {
            orders.give(Order::Settings).await.map(|settings| Reply::NetworkSettings(Box::new(settings)))
        }
        Request::ChangeNetwork(settings) => {
            orders.give(|answer| Order::Change(settings, answer)).await.map(|result| match result {
                Ok(pending) => Reply::Pending(pending),
                Err(errors) => Reply::Invalid(errors),
            })
        }
        Request::ConfirmNetwork(id) => {
            return done(orders.give(|answer| Order::Confirm(id, answer)).await);
        }
        Request::BridgeBarred(barred) => return done(orders.give(|answer| Order::Bar(barred, answer)).await),
        Request::RevertNetwork(id) => return done(orders.give(|answer| Order::Revert(id, answer)).await),
        Request::Resolve { name, interface } => {
            // By the settings' name: the kernel's is nobody's business.
            let port = match interface {
                None => None,
                Some(interface) => {
                    let port = shown.borrow().iter().find(|port| port.interface == interface).cloned();
                    match port {
                        Some(port) => Some(port.name),
                        None => return Reply::Unresolved(format!("there is no interface {interface}")),
                    }
                }
            };
            return match resolver.lookup(&name, port.as_deref()).await {
                Ok(answer) => Reply::Addresses(answer.addresses),
                Err(error) => Reply::Unresolved(error.to_string()),
            };
        }
        _ => Some(Reply::Refused(Refusal::NotMine)),
    };
    // The loop has ended, and the role is about to.
    reply.unwrap_or(Reply::Refused(Refusal::NotNow))
}

/// Tells init that the role serves, then each change of the ports, the host's name and the clock's error, until init says
/// stop.
async fn with_init(
    path: PathBuf,
    mut shown: watch::Receiver<Vec<Port>>,
    mut host_name: watch::Receiver<Option<HostName>>,
    mut clock: mpsc::Receiver<TimeNews>,
) -> Result<(), CallError> {
    let stream = tokio::net::UnixStream::connect(path)
        .await
        .map_err(|error| CallError::Unreachable(Role::Init, error))?;
    let mut init = Client::over(Role::Init, stream);
    init.call(Request::Ready).await?;
    shown.mark_changed();
    host_name.mark_changed();
    loop {
        tokio::select! {
            event = init.event() => {
                let Event::Stop { .. } = event? else { continue };
                // What the leases have set stays: either the machine ends, or the role comes back and takes it over.
                return Ok(());
            }
            Ok(()) = shown.changed() => {
                tokio::time::sleep(TELL_AFTER).await;
                let ports = shown.borrow_and_update().clone();
                init.call(Request::Announce(Announcement::Ports(ports))).await?;
            }
            Ok(()) = host_name.changed() => {
                let name = host_name.borrow_and_update().clone();
                if let Some(name) = name {
                    allow_refusal(init.call(Request::HostName(name)).await)?;
                }
            }
            Some(news) = clock.recv() => match news {
                TimeNews::Correction(correction) => {
                    let correction = ClockCorrection {
                        nanoseconds: correction.offset_nanoseconds,
                        servers: correction.servers,
                    };
                    allow_refusal(init.call(Request::CorrectClock(correction)).await)?;
                }
                TimeNews::Kept(why) => log::info!("the clock is kept as it is: {why}"),
            },
        }
    }
}

/// What init will not do is said in its log; the role goes on.
fn allow_refusal(result: Result<Reply, CallError>) -> Result<(), CallError> {
    match result {
        Ok(_) | Err(CallError::Refused(..)) => Ok(()),
        Err(error) => Err(error),
    }
}
