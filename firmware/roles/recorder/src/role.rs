//! The role's process: its place on the bus, and its end when init says so. It decides nothing.

use crate::closer::Closer;
use crate::customer::Customer;
use crate::desk::Desk;
use crate::screens::Screens;
use crate::shelf::Shelf;
use crate::signer::{self, Keyhole};
use crate::teller::{self, Teller};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::record::{LIVE_MOST, RecorderStatus};
use drawbridge_bus::{Event, Refusal, Reply, Request, Role, inherited_listener, server};
use drawbridge_recording::Recipient;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

/// Looks into the folder at one time.
const LOOKS: usize = 2;
/// Threads that begin recordings and look into the folder.
const BLOCKING: usize = 4;
/// How often room is made before it is needed.
const TEND_EVERY: Duration = Duration::from_secs(30);
/// Why a recording ended that an earlier process of the role has left open.
const CUT_BEFORE: &str = "cut: the appliance or its recorder was ended by force, or the power failed";

/// Where the role finds bus and folder.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the bus's sockets.
    pub sockets: PathBuf,
    /// The descriptor of its own listening socket.
    pub listener: i32,
    /// Its own folder.
    pub folder: PathBuf,
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
    #[error("the folder of recordings cannot be read: {0}")]
    Folder(std::io::Error),
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
        folder: PathBuf::from("/data").join(Role::Recorder.name()),
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .build()
        .map_err(End::Start)?;
    runtime.block_on(serve(place, bus))
}

/// What every task of the role shares.
struct Shared {
    desk: Arc<Desk>,
    shelf: Arc<Shelf>,
    teller: Arc<Teller>,
    customer: Arc<Customer>,
    screens: Screens,
    /// Looks into the folder at one time: none keeps a recording waiting.
    looks: Semaphore,
}

async fn serve(place: &Place, bus: std::os::unix::net::UnixListener) -> Result<(), End> {
    let bus = tokio::net::UnixListener::from_std(bus).map_err(End::Start)?;
    let stream = UnixStream::connect(place.sockets.join(Role::Init.name()))
        .await
        .map_err(|error| CallError::Unreachable(Role::Init, error))?;
    let mut init = Client::over(Role::Init, stream);
    let (signer, pen) = signer::signer(&place.sockets);
    let shelf = Arc::new(Shelf::new(&place.folder));
    let (teller, mouth) = teller::teller(&place.sockets);
    let teller = Arc::new(teller);
    let closer =
        Closer::start(Arc::clone(&shelf), signer.clone(), Arc::clone(&teller)).map_err(End::Start)?;
    // Nobody writes yet: whatever has no end was cut.
    shelf.tidy().map_err(End::Folder)?;
    shelf.remove_ghosts(&teller).map_err(End::Folder)?;
    for id in shelf.ids().map_err(End::Folder)?.into_iter().filter(|id| !shelf.is_whole(id)) {
        closer.close(id, CUT_BEFORE);
    }
    let keyhole = Keyhole::new(&place.sockets);
    let customer = Arc::new(Customer::new(&place.folder));
    let (kept, told) = (Arc::clone(&shelf), Arc::clone(&teller));
    let desk = Arc::new(Desk::new(kept, signer, keyhole, closer, told, Arc::clone(&customer)));
    let followed = Arc::clone(&desk);
    let screens = Screens::start(move || followed.live()).map_err(End::Start)?;
    let looks = Semaphore::new(LOOKS);
    let shared = Arc::new(Shared { desk: Arc::clone(&desk), shelf, teller, customer, screens, looks });
    let answering = Arc::clone(&shared);
    let answers =
        server::serve(Role::Recorder, bus, move |_, request| answer(Arc::clone(&answering), request));
    init.call(Request::Ready).await?;
    tokio::select! {
        error = answers => Err(End::Bus(error)),
        () = signer::run(pen) => Ok(()),
        () = teller::run(mouth) => Ok(()),
        () = tend(&shared) => Ok(()),
        stopped = until_stop(&mut init) => {
            desk.shut().await;
            Ok(stopped?)
        }
    }
}

async fn until_stop(init: &mut Client) -> Result<(), CallError> {
    while !matches!(init.event().await?, Event::Stop { .. }) {}
    Ok(())
}

/// Now and then makes room before it is needed, for as long as the role runs.
async fn tend(shared: &Shared) {
    // Whether one would begin, and whether something is wrong: said when that changes, not every time.
    let mut was = (true, false);
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        let (shelf, running) = (Arc::clone(&shared.shelf), shared.desk.running());
        let (teller, customer) = (Arc::clone(&shared.teller), Arc::clone(&shared.customer));
        let looked = tokio::task::spawn_blocking(move || {
            // Whoever begins a recording is told; here it is the status that counts.
            let _: Result<(), String> = shelf.make_room(&running, &teller);
            status(&shelf, &customer)
        });
        let Ok(status) = looked.await else { continue };
        let now = (status.takes, !status.trouble.is_empty());
        if now != was {
            if now.1 {
                log::warn!("{}", status.trouble);
            } else {
                log::info!("there is room for recordings again");
            }
        }
        was = now;
    }
}

async fn answer(shared: Arc<Shared>, request: Request) -> Reply {
    match request {
        Request::Record { connection, ask } => shared.desk.record(connection, ask).await,
        Request::RecordDeed { connection, deed } => shared.desk.deed(connection, deed).await,
        Request::RecordingsOver => {
            shared.desk.end_all(None).await;
            Reply::Done
        }
        Request::Recorder => {
            let customer = Arc::clone(&shared.customer);
            look(&shared, move |_, shelf| Ok(Some(Reply::Recorder(Box::new(status(shelf, &customer)))))).await
        }
        Request::RecordingKey => key(&shared, Customer::key).await,
        Request::SetRecordingKey(to) => key(&shared, move |customer| customer.set(to.as_deref())).await,
        Request::Recordings { before } => {
            let list = move |desk: &Desk, shelf: &Shelf| {
                shelf.lines(before.as_ref(), |id| desk.line(id)).map(|lines| Some(Reply::Recordings(lines)))
            };
            look(&shared, list).await
        }
        Request::RecordingPart { id, file, offset, most } => {
            let part = move |_: &Desk, shelf: &Shelf| {
                let part = shelf.part(&id, &file, offset, most)?;
                Ok(part.map(|(bytes, length)| Reply::RecordingPart(bytes, length)))
            };
            look(&shared, part).await
        }
        Request::Unsent => {
            look(&shared, |desk, shelf| Ok(Some(Reply::Unsent(shelf.unsent(&desk.running())?)))).await
        }
        Request::UnsentPart { id, file, offset, most } => {
            let part = move |_: &Desk, shelf: &Shelf| {
                if shelf.is_sent(&id) {
                    return Ok(None);
                }
                let part = shelf.part(&id, &file, offset, most)?;
                Ok(part.map(|(bytes, length)| Reply::RecordingPart(bytes, length)))
            };
            look(&shared, part).await
        }
        Request::Confirmed { id, head } => {
            let confirm = move |_: &Desk, shelf: &Shelf| {
                Ok(Some(match shelf.confirm(&id, head) {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::NotTaken(error.to_string()),
                }))
            };
            look(&shared, confirm).await
        }
        Request::Live => {
            let live = shared.desk.live().iter().map(|live| live.told()).take(LIVE_MOST).collect();
            Reply::Live(live)
        }
        Request::Screen { id, channel, after } => {
            let live = shared.desk.live().into_iter().find(|live| live.id == id);
            let Some(seen) = live.and_then(|live| live.seen(channel)) else {
                return Reply::Refused(Refusal::NotNow);
            };
            match shared.screens.look(id, channel, seen.film, after).await {
                Some(screen) => Reply::Screen(Box::new(screen)),
                None => Reply::Refused(Refusal::NotNow),
            }
        }
        _ => Reply::Refused(Refusal::NotMine),
    }
}

/// How recordings are doing, with all that would keep one from beginning.
fn status(shelf: &Shelf, customer: &Customer) -> RecorderStatus {
    let status = shelf.status();
    match customer.key() {
        Ok(_) => status,
        Err(why) => {
            RecorderStatus { takes: false, trouble: format!("No session can be recorded: {why}."), ..status }
        }
    }
}

/// Reads or sets to whose key recordings are encrypted, off the thread that answers.
async fn key<F>(shared: &Shared, with: F) -> Reply
where
    F: FnOnce(&Customer) -> Result<Option<Recipient>, String> + Send + 'static,
{
    let customer = Arc::clone(&shared.customer);
    match tokio::task::spawn_blocking(move || with(&customer)).await {
        Ok(Ok(key)) => Reply::RecordingKey(key.map(|key| key.to_string())),
        Ok(Err(why)) => Reply::NotTaken(why),
        Err(_) => Reply::Refused(Refusal::NotNow),
    }
}

/// Looks into the folder, off the thread that answers. What is not there is refused.
async fn look<F>(shared: &Shared, into: F) -> Reply
where
    F: FnOnce(&Desk, &Shelf) -> std::io::Result<Option<Reply>> + Send + 'static,
{
    let Ok(_place) = shared.looks.acquire().await else { return Reply::Refused(Refusal::NotNow) };
    let (desk, shelf) = (Arc::clone(&shared.desk), Arc::clone(&shared.shelf));
    match tokio::task::spawn_blocking(move || into(&desk, &shelf)).await {
        Ok(Ok(Some(reply))) => reply,
        Ok(Ok(None)) | Err(_) => Reply::Refused(Refusal::NotNow),
        Ok(Err(error)) => {
            log::warn!("the folder of recordings could not be read: {error}");
            Reply::Refused(Refusal::NotNow)
        }
    }
}
