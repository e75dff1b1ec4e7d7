//! The role's place on the bus: it says that it serves, tells the certificate's fingerprint, and ends when init says so.
//! It never answers a question.

use crate::certificate::{CertificateError, Identity};
use crate::facts::Asker;
use crate::keep::Folder;
use crate::listen;
use crate::site::Site;
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::{Announcement, Event, Refusal, Reply, Request, Role, inherited_listener, server};
use std::path::PathBuf;
use std::process::ExitCode;

use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;

/// The console's port.
const PORT: u16 = 9000;

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
    /// The TCP port.
    pub port: u16,
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
    #[error("{0}; without init this role may not go on")]
    Init(#[from] CallError),
}

/// Runs the role until init says stop. Fails when init or the bus is lost: init starts it again.
pub fn run() -> ExitCode {
    run_at(&Place {
        sockets: PathBuf::from(drawbridge_bus::SOCKETS),
        listener: drawbridge_bus::LISTENER,
        folder: PathBuf::from("/data").join(Role::Console.name()),
        port: PORT,
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
    let identity = Identity::obtain(&folder, SystemTime::now())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(End::Start)?;
    runtime.block_on(serve(place, bus, folder, identity))
}

async fn serve(
    place: &Place,
    bus: std::os::unix::net::UnixListener,
    folder: Folder,
    identity: Identity,
) -> Result<(), End> {
    let bus = tokio::net::UnixListener::from_std(bus).map_err(End::Start)?;
    let port = place.port;
    let listener = listen::open(port).map_err(|error| End::Port { port, error })?;
    let (config, configs) = watch::channel(identity.tls()?);
    let (fingerprint, fingerprints) = watch::channel(identity.fingerprint());
    let (stop, stops) = watch::channel(None);
    let site = Site::new(Asker::new(place.sockets.clone()), fingerprints.clone());
    let mut pages = tokio::spawn(listen::serve(listener, configs, site, stops));
    let answers = server::serve(Role::Console, bus, |_, _| async { Reply::Refused(Refusal::NotMine) });
    let renewals = async {
        let mut identity = identity;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = SystemTime::now();
            if identity.is_due(now) {
                match identity.renew(&folder, now).and_then(|renewed| Ok((renewed.tls()?, renewed))) {
                    Ok((tls, renewed)) => {
                        config.send_replace(tls);
                        fingerprint.send_replace(renewed.fingerprint());
                        identity = renewed;
                    }
                    Err(error) => log::warn!("{error}; the old certificate is served on"),
                }
            }
        }
    };
    let seconds = tokio::select! {
        error = answers => return Err(End::Bus(error)),
        _ = &mut pages => return Err(End::Pages),
        seconds = with_init(place.sockets.join(Role::Init.name()), fingerprints) => seconds?,
        () = renewals => 0,
    };
    stop.send_replace(Some(Instant::now() + Duration::from_secs(seconds.into()).saturating_sub(SPARE)));
    // It ends by itself, in that time. That it panicked has been said on standard error.
    let _ = pages.await;
    Ok(())
}

/// Tells init that the role serves, and the fingerprint as often as it changes, until init says stop: then the seconds
/// that are left.
async fn with_init(path: PathBuf, mut fingerprint: watch::Receiver<[u8; 32]>) -> Result<u16, CallError> {
    let stream = tokio::net::UnixStream::connect(path)
        .await
        .map_err(|error| CallError::Unreachable(Role::Init, error))?;
    let mut init = Client::over(Role::Init, stream);
    init.call(Request::Ready).await?;
    fingerprint.mark_changed();
    loop {
        tokio::select! {
            event = init.event() => {
                let Event::Stop { seconds } = event?;
                return Ok(seconds);
            }
            Ok(()) = fingerprint.changed() => {
                let now = *fingerprint.borrow_and_update();
                init.call(Request::Announce(Announcement::CertificateFingerprint(now))).await?;
            }
        }
    }
}
