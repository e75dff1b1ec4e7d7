//! The role's place on the bus: it says that it serves, tells the certificate's fingerprint, and ends when init says so.
//! It never answers a question.

use crate::api::{Api, Gate, fingerprint};
use crate::certificate::CertificateError;
use crate::connection::{Bounds, Tls};
use crate::facts::Asker;
use crate::keep::Folder;
use crate::listen::{self, Door};
use crate::names;
use crate::places::Room;
use crate::redirect::{self, Redirect};
use crate::serving::Certificates;
use crate::site::Site;
use crate::turns::Turns;
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::message::SetupCode;
use drawbridge_bus::{Announcement, Event, Refusal, Reply, Request, Role, inherited_listener, server};
use drawbridge_identity::facts::CertificateFacts;
use drawbridge_profile::Profile;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;

/// The console's port, and the one that sends to it.
const PORTS: Ports = Ports { console: 9000, redirect: 8000 };

/// Who may be connected to the console.
const ROOM: Room = Room { places: 192, a_source: 32, for_new: 96 };
/// How long what may take there.
const BOUNDS: Bounds = Bounds {
    head_within: Duration::from_secs(10),
    connection_for: Duration::from_mins(2),
    last_answer_within: Duration::from_secs(10),
    keep_alive: true,
};

/// How often the certificate's end is looked at.
const LOOK_EVERY: Duration = Duration::from_hours(24);

/// Of the time that init gives for the end, this is left for the process to go.
const SPARE: Duration = Duration::from_millis(500);

/// Where the role finds bus and folder, and where it listens.
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
    /// Its TCP ports.
    pub ports: Ports,
}

/// TCP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// HTTPS: the console.
    pub console: u16,
    /// HTTP: where every request is sent to the console.
    pub redirect: u16,
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
    #[error("port {port} cannot be listened on: {error}")]
    Port { port: u16, error: std::io::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the page is no longer served: see the lines above")]
    Pages,
    #[error("the bus cannot be served: {0}")]
    Bus(std::io::Error),
    #[error("the system has no random bytes")]
    NoRandomBytes,
    #[error("{0}; without init this role may not go on")]
    Init(#[from] CallError),
}

/// Runs the role until init says stop. Fails when init or the bus is lost: init starts it again.
pub fn run() -> ExitCode {
    run_at(&Place {
        sockets: PathBuf::from(drawbridge_bus::SOCKETS),
        listener: drawbridge_bus::LISTENER,
        folder: PathBuf::from("/data").join(Role::Console.name()),
        profile: PathBuf::from(drawbridge_profile::FILE),
        ports: PORTS,
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
    let folder = Folder::new(place.folder.clone());
    let (profile, why) = Profile::load(&place.profile);
    match why {
        None => log::info!("the vendor profile is {}", profile.name),
        Some(why) => log::error!("{why}"),
    }
    let certificates = Arc::new(Certificates::obtain(&folder, SystemTime::now())?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Recordings are played on one, and given out as asciicasts on another.
        .max_blocking_threads(2)
        .build()
        .map_err(End::Start)?;
    runtime.block_on(serve(place, bus, folder, Arc::new(profile), certificates))
}

async fn serve(
    place: &Place,
    bus: std::os::unix::net::UnixListener,
    folder: Folder,
    profile: Arc<Profile>,
    certificates: Arc<Certificates>,
) -> Result<(), End> {
    let bus = tokio::net::UnixListener::from_std(bus).map_err(End::Start)?;
    let open = |port| listen::open(port).map_err(|error| End::Port { port, error });
    let (console, plain) = (open(place.ports.console)?, open(place.ports.redirect)?);
    let (stop, stops) = watch::channel(None);
    let asker = Arc::new(Asker::new(place.sockets.clone()));
    let (keeper, known) = names::keeper();
    tokio::spawn(keeper.keep(Arc::clone(&asker), certificates.facts()));
    let gate = Gate::new(&folder).ok_or(End::NoRandomBytes)?;
    let code = gate.code();
    let api = Api::new(
        Arc::clone(&asker),
        folder,
        Arc::clone(&profile),
        gate,
        Arc::clone(&certificates),
        stops.clone(),
    );
    let api = api.ok_or(End::NoRandomBytes)?;
    let site = Site::new(asker, api, profile, certificates.facts(), known.clone());
    let tls = Tls { config: certificates.config(), turns: Turns::default() };
    let front = Arc::new(Redirect::new(known, place.ports.console));
    let front = Door { tls: None, site: front, bounds: redirect::BOUNDS, room: redirect::ROOM };
    let mut front = tokio::spawn(listen::serve(plain, front, stops.clone()));
    let pages = Door { tls: Some(tls), site, bounds: BOUNDS, room: ROOM };
    let mut pages = tokio::spawn(listen::serve(console, pages, stops));
    let answers = server::serve(Role::Console, bus, |_, _| async { Reply::Refused(Refusal::NotMine) });
    let renewals = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            certificates.look(SystemTime::now());
        }
    };
    let seconds = tokio::select! {
        error = answers => return Err(End::Bus(error)),
        _ = &mut pages => return Err(End::Pages),
        _ = &mut front => return Err(End::Pages),
        seconds = with_init(place.sockets.join(Role::Init.name()), certificates.facts(), code) => seconds?,
        () = renewals => 0,
    };
    stop.send_replace(Some(Instant::now() + Duration::from_secs(seconds.into()).saturating_sub(SPARE)));
    // They end by themselves, in that time. That one panicked has been said on standard error.
    let _ = tokio::join!(pages, front);
    Ok(())
}

/// Tells init that the role serves, and the fingerprint and the set-up code as often as they change, until init says stop: then the
/// seconds that are left.
async fn with_init(
    path: PathBuf,
    mut facts: watch::Receiver<Arc<CertificateFacts>>,
    (mut wanted, code): (watch::Receiver<bool>, String),
) -> Result<u16, CallError> {
    let stream = tokio::net::UnixStream::connect(path)
        .await
        .map_err(|error| CallError::Unreachable(Role::Init, error))?;
    let mut init = Client::over(Role::Init, stream);
    init.call(Request::Ready).await?;
    facts.mark_changed();
    wanted.mark_changed();
    loop {
        let announcement = tokio::select! {
            event = init.event() => {
                if let Event::Stop { seconds } = event? {
                    return Ok(seconds);
                }
                continue;
            }
            Ok(()) = facts.changed() => {
                let now = fingerprint(&facts.borrow_and_update().fingerprint).unwrap_or_default();
                Announcement::CertificateFingerprint(now)
            }
            Ok(()) = wanted.changed() => {
                let wanted = *wanted.borrow_and_update();
                Announcement::SetupCode(SetupCode(if wanted { code.clone() } else { String::new() }))
            }
        };
        init.call(Request::Announce(announcement)).await?;
    }
}
