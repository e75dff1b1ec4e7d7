//! The role's process: its place on the bus, and the hand that does what the desk orders. It decides nothing.

mod evidence;
mod happened;

use crate::approval::Approvals;
use crate::audit::Auditor;
use crate::desk::{self, Desk, Names, Order};
use crate::identity::{Identity, IdentityError};
use crate::notices::NoticeDesk;
use drawbridge_bus::bridge::{BridgeRequest, EngineerAsk, SecretText, Verdict};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::support::Leftovers;
use drawbridge_bus::{ClockState, Event, Refusal, Reply, Request, Role, inherited_listener, server};
use drawbridge_profile::Profile;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{Notify, Semaphore};

/// Secrets that are looked at at one time: each takes 9 MiB.
const SECRETS_AT_ONCE: usize = 2;
/// Threads beside those: for whoever reads the audit.
const READERS: usize = 3;
/// What was started before ends within this time, or it is no use waiting.
const START_WITHIN: Duration = Duration::from_secs(5);
/// How often a start is tried again until then.
const START_EVERY: Duration = Duration::from_millis(50);
/// The recorder closes what is open within this time, or it is not waited for. Shorter than the SSH daemon waits for its orders.
const RECORDINGS_WITHIN: Duration = Duration::from_secs(5);
/// And while the appliance goes down.
const RECORDINGS_WITHIN_AT_END: Duration = Duration::from_secs(1);

/// Where the role finds bus and folder.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the bus's sockets.
    pub sockets: PathBuf,
    /// The descriptor of its own listening socket.
    pub listener: i32,
    /// Its own folder.
    pub folder: PathBuf,
    /// The vendor's profile.
    pub profile: PathBuf,
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
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the bus cannot be served: {0}")]
    Bus(std::io::Error),
    #[error("{0}; without init this role may not go on")]
    Init(#[from] CallError),
}

/// Runs the role until init says stop. Fails when init or the bus is lost: init ends the bridge, and starts the role again.
pub fn run() -> ExitCode {
    run_at(&Place {
        sockets: PathBuf::from(drawbridge_bus::SOCKETS),
        listener: drawbridge_bus::LISTENER,
        folder: PathBuf::from("/data").join(Role::Session.name()),
        profile: PathBuf::from(drawbridge_profile::FILE),
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
    let bus = inherited_listener(descriptor).map_err(|error| End::Listener { descriptor, error })?;
    let identity = Identity::open(&place.folder)?;
    let (profile, why) = Profile::load(&place.profile);
    if let Some(why) = why {
        log::error!("{why}, and no key is built in");
    }
    let notices = NoticeDesk::open(&place.folder, identity.evidence());
    let support = profile.names.support.to_string();
    // "Vendor support" is how its profile calls whoever comes in.
    let vendor = support.strip_suffix(" support").unwrap_or(&support).to_owned();
    let desk = Desk::new(identity, Approvals::open(&place.folder, profile.keys));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(SECRETS_AT_ONCE + READERS)
        .build()
        .map_err(End::Start)?;
    runtime.block_on(serve(place, bus, desk, (notices, vendor)))
}

/// What every task of the role shares.
struct Shared {
    desk: Mutex<Desk>,
    /// Something was ordered, or something is due at another time.
    changed: Notify,
    names: Mutex<Names>,
    secrets: Semaphore,
    audit: Auditor,
    notices: Mutex<NoticeDesk>,
    /// Whoever waits for events is to look for orders.
    woken: Notify,
    /// The courier may have to be started.
    courier: Notify,
    /// Init has something for the audit.
    happened: Notify,
    /// The vendor's name.
    vendor: String,
}

impl Shared {
    fn new(place: &Place, desk: Desk, names: Names, notices: NoticeDesk, vendor: String) -> Self {
        let (serial, key) = (desk.serial(&names), desk.evidence());
        Self {
            audit: Auditor::new(&place.folder, &serial, key, notices.highest()),
            desk: Mutex::new(desk),
            changed: Notify::new(),
            names: Mutex::new(names),
            secrets: Semaphore::new(SECRETS_AT_ONCE),
            notices: Mutex::new(notices),
            woken: Notify::new(),
            courier: Notify::new(),
            happened: Notify::new(),
            vendor,
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // A panic inside leaves what the machine says, which is whole after each of its steps.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notices(&self) -> MutexGuard<'_, NoticeDesk> {
        // A panic inside leaves settings that are whole: they are set in one step.
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> Names {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    place: &Place,
    bus: std::os::unix::net::UnixListener,
    desk: Desk,
    (notices, vendor): (NoticeDesk, String),
) -> Result<(), End> {
    let bus = tokio::net::UnixListener::from_std(bus).map_err(End::Start)?;
    let mut ready = connect(&place.sockets, Role::Init).await?;
    let mut hand = connect(&place.sockets, Role::Init).await?;
    // What an earlier process of this role has left open has no owner any more.
    hand.call(Request::EndBridge).await?;
    let (names, clock) = ask_names(&mut hand).await?.unzip();
    let shared = Arc::new(Shared::new(place, desk, names.unwrap_or_default(), notices, vendor));
    if let Some(clock) = clock {
        shared.audit.clock(&clock);
    }
    shared.audit.begin().await;
    let answering = Arc::clone(&shared);
    let sockets = place.sockets.clone();
    let answers = server::serve(Role::Session, bus, move |caller, request| {
        answer(Arc::clone(&answering), sockets.clone(), caller, request)
    });
    ready.call(Request::Ready).await?;
    tokio::select! {
        error = answers => Err(End::Bus(error)),
        result = work(&shared, &mut hand, &place.sockets) => Err(End::Init(result)),
        result = evidence::tend(&shared, &place.sockets) => Err(End::Init(result)),
        result = happened::watch(&shared, &place.sockets) => Err(End::Init(result)),
        result = until_stop(&mut ready, &shared.happened) => {
            result?;
            shared.desk().shut();
            evidence::write(&shared).await;
            shared.audit.end_in_order();
            let orders = shared.desk().orders();
            for order in orders {
                if order == Order::End {
                    hand.call(Request::EndBridge).await?;
                    recordings_over(&place.sockets, RECORDINGS_WITHIN_AT_END).await;
                }
            }
            Ok(())
        }
    }
}

async fn until_stop(init: &mut Client, happened: &Notify) -> Result<(), CallError> {
    loop {
        match init.event().await? {
            Event::Stop { .. } => return Ok(()),
            Event::Happened => happened.notify_one(),
            Event::ShellEnded(..) => {}
        }
    }
}

async fn connect(sockets: &Path, role: Role) -> Result<Client, CallError> {
    let stream = UnixStream::connect(sockets.join(role.name())).await;
    Ok(Client::over(role, stream.map_err(|error| CallError::Unreachable(role, error))?))
}

/// What the machine is called, and what is known of its clock.
async fn ask_names(init: &mut Client) -> Result<Option<(Names, ClockState)>, CallError> {
    // What init does not answer now it answers later.
    let status = match init.call(Request::Status).await {
        Ok(Reply::Status(status)) => status,
        Ok(_) | Err(CallError::Refused(..)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let clock_holds = matches!(status.clock, ClockState::Hardware | ClockState::Synchronised { .. });
    let (version, serial, host) = (status.version, status.serial, status.host_name);
    Ok(Some((Names { version, serial, host, clock_holds }, status.clock)))
}

/// The same again: it may be called otherwise later.
async fn learn_names(shared: &Shared, init: &mut Client) -> Result<(), CallError> {
    if let Some((names, clock)) = ask_names(init).await? {
        *shared.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        shared.audit.clock(&clock);
    }
    Ok(())
}

/// Does what the desk orders, in its order, until init is lost.
async fn work(shared: &Shared, init: &mut Client, sockets: &Path) -> CallError {
    // Whoever wrote those of an earlier process of this role has been ended. Here, where questions are answered meanwhile: the recorder
    // has signatures to ask for.
    recordings_over(sockets, RECORDINGS_WITHIN).await;
    loop {
        let (orders, idle) = {
            let mut desk = shared.desk();
            desk.tick();
            (desk.orders(), desk.idle())
        };
        evidence::write(shared).await;
        if orders.is_empty() {
            let idle = idle.unwrap_or(Duration::from_hours(1));
            let _ = tokio::time::timeout(idle, shared.changed.notified()).await;
            continue;
        }
        for order in orders {
            if let Err(error) = obey(order, shared, init, sockets).await {
                return error;
            }
        }
    }
}

async fn obey(order: Order, shared: &Shared, init: &mut Client, sockets: &Path) -> Result<(), CallError> {
    match order {
        Order::Begin(id) => {
            for role in [Role::Sshd, Role::Tunnel] {
                if !run_role(role, init).await? {
                    shared.desk().failed(id, &format!("the {role} role cannot be started"));
                    break;
                }
            }
        }
        Order::BeginTest => {
            if !run_role(Role::Tunnel, init).await? {
                shared.desk().end_test("The tunnel role cannot be started.", false);
            }
        }
        Order::End => {
            init.call(Request::EndBridge).await?;
            recordings_over(sockets, RECORDINGS_WITHIN).await;
        }
        Order::Look => {
            // What cannot be counted is not proved to be gone.
            let unknown = Leftovers { processes: 1, ..Leftovers::default() };
            let left = match init.call(Request::Leftovers).await {
                Ok(Reply::Leftovers(left)) => left,
                Ok(_) | Err(CallError::Refused(..)) => unknown,
                Err(error) => return Err(error),
            };
            shared.desk().left(left);
        }
        Order::Bar(barred) => {
            let told = async {
                let mut network = connect(sockets, Role::Network).await?;
                network.call(Request::BridgeBarred(barred)).await
            };
            if let Err(error) = told.await {
                log::error!("the uplink could not be {}: {error}", if barred { "barred" } else { "let up" });
            }
        }
    }
    Ok(())
}

/// Tells the recorder that nobody is left of those whose connections it records. It is waited for so that none of a later connection is
/// meant, but not for long.
async fn recordings_over(sockets: &Path, within: Duration) {
    let told = tokio::time::timeout(within, async {
        connect(sockets, Role::Recorder).await?.call(Request::RecordingsOver).await
    });
    match told.await {
        Ok(Ok(Reply::Done)) => {}
        Ok(Ok(Reply::Unrecorded(why))) => log::error!("open recordings were not closed: {why}"),
        Ok(Ok(_)) => log::error!("open recordings were not closed: the recorder has answered something else"),
        Ok(Err(error)) => log::error!("open recordings were not closed: {error}"),
        Err(_) => log::error!("open recordings were not closed: the recorder does not answer"),
    }
}

/// Starts a role; it may have to wait until its last process has gone.
async fn run_role(role: Role, init: &mut Client) -> Result<bool, CallError> {
    let until = tokio::time::Instant::now() + START_WITHIN;
    loop {
        match init.call(Request::Run(role)).await {
            Ok(_) => return Ok(true),
            Err(CallError::Refused(_, Refusal::NotNow)) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(START_EVERY).await;
            }
            Err(CallError::Refused(..)) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

async fn answer(shared: Arc<Shared>, sockets: PathBuf, caller: Role, request: Request) -> Reply {
    // Names, and what the clock is worth, can be others at any time; they are asked for where they are told or count.
    let counts = matches!(
        request,
        Request::TunnelOrders
            | Request::SshdOrders
            | Request::DeviceKeys
            | Request::CheckGrant(_)
            | Request::OpenBridge(_)
            | Request::OpenGranted { .. }
            | Request::CourierOrders { .. }
    );
    if counts
        && let Ok(mut init) = connect(&sockets, Role::Init).await
        && let Err(error) = learn_names(&shared, &mut init).await
    {
        log::warn!("{error}");
    }
    if matches!(request, Request::SshdOrders) && shared.desk().had_sshd() {
        // The daemon was started anew: before the new one has orders, and connections.
        recordings_over(&sockets, RECORDINGS_WITHIN).await;
    }
    let reply = match request {
        Request::OfferSecret => desk::offer(),
        Request::OpenBridge(request) => open(&shared, *request, None).await,
        Request::OpenGranted { request, grant } => open(&shared, *request, Some(grant)).await,
        Request::CheckGrant(text) => shared.desk().check_grant(&text, &shared.names()),
        Request::VendorKeys => shared.desk().vendor_keys(),
        Request::SetVendorKeys(change) => shared.desk().set_vendor_keys(&change),
        Request::CloseBridge { by } => shared.desk().close(&by),
        Request::SetBridgeEnd { minutes } => shared.desk().set_end(minutes),
        Request::Bridge => shared.desk().status(),
        Request::TestBridge(path) => shared.desk().test(*path),
        Request::TestSteps => shared.desk().test_steps(),
        Request::DeviceKeys => shared.desk().device_keys(&shared.names()),
        Request::TunnelOrders => shared.desk().tunnel_orders(&shared.names()),
        Request::TunnelNews(news) => shared.desk().tunnel_news(*news),
        Request::SshdOrders => shared.desk().sshd_orders(&shared.names()),
        Request::Engineer { connection, ask: EngineerAsk::Secret(secret) } => {
            Reply::Verdict(check_secret(&shared, connection, secret).await)
        }
        Request::Engineer { connection, ask } => Reply::Verdict(shared.desk().engineer(connection, ask)),
        Request::Supervise { connection, viewer, by, what } => {
            shared.desk().supervise(connection, viewer, &by, what)
        }
        Request::EngineerOrders { connection } => shared.desk().engineer_orders(connection),
        Request::Propose { connection, line } => shared.desk().propose(connection, &line),
        Request::Judgement { connection, number } => shared.desk().judgement(connection, number),
        Request::Withdraw { connection, number } => shared.desk().withdraw(connection, number),
        Request::Sign(bytes) => shared.desk().sign(&bytes),
        Request::ShellScope { connection } => shared.desk().shell_scope(connection, &shared.names()),
        other => evidence::answer(&shared, caller, other).await,
    };
    shared.changed.notify_one();
    // It is on the disk before anybody acts on it.
    let written = evidence::write(&shared).await;
    if !written && matches!(reply, Reply::Verdict(Verdict::Yes)) {
        return Reply::Verdict(shared.desk().unwritten());
    }
    reply
}

async fn open(shared: &Arc<Shared>, request: BridgeRequest, granted: Option<String>) -> Reply {
    if let Err(errors) = shared.desk().check(&request) {
        return Reply::Invalid(errors);
    }
    let names = shared.names();
    if let Some(Err(reply)) = granted.as_ref().map(|text| shared.desk().approves(text, &request, &names)) {
        return reply;
    }
    let system = names.host.clone();
    let Ok(_place) = shared.secrets.acquire().await else { return Reply::Refused(Refusal::NotNow) };
    let kept = tokio::task::spawn_blocking(move || {
        let kept = desk::keep_secret(&request, &system);
        (request, kept)
    });
    match kept.await {
        Ok((request, Ok(kept))) => match &granted {
            Some(text) => shared.desk().open_granted(request, kept, text, &names),
            None => shared.desk().open(request, kept),
        },
        Ok((_, Err(errors))) => Reply::Invalid(errors),
        Err(_) => Reply::Refused(Refusal::NotNow),
    }
}

async fn check_secret(shared: &Arc<Shared>, connection: u64, secret: SecretText) -> Verdict {
    let Ok(_place) = shared.secrets.acquire().await else { return failed() };
    // Counted before it is looked at.
    let kept = match shared.desk().try_secret(connection) {
        Ok(kept) => kept,
        Err(verdict) => return verdict,
    };
    let checked = tokio::task::spawn_blocking(move || kept.is(secret.reveal())).await;
    match checked {
        Ok(Ok(right)) => shared.desk().secret(connection, right),
        Ok(Err(error)) => {
            log::error!("a secret could not be checked: {error}");
            failed()
        }
        Err(_) => failed(),
    }
}

fn failed() -> Verdict {
    Verdict::No { why: "the appliance could not look at the secret: try again".to_owned(), cut: false }
}

#[cfg(test)]
mod tests;
