//! The role's place on the bus: it says that it serves, takes its orders, gives up what they do not need, and ends when there are
//! others, or none. It never answers a question.

use crate::bus::{Asker, Log};
use crate::{receivers, trial};
use drawbridge_audit::Filter;
use drawbridge_audit::queue::{Begin, Now, Place as Position, Queue, SinkState, Source, Watch};
use drawbridge_audit::sink::{Failure, Sink};
use drawbridge_bus::Request;
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::notify::{CourierNews, CourierOrders, Receiver, ReceiverState};
use drawbridge_bus::{Event, Refusal, Reply, Role, inherited_listener, server};
use drawbridge_chain::Utc;
use drawbridge_sandbox::{SandboxError, narrow};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// After a question that session did not answer, it is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// So often it may be in a row: then init starts another process.
const AGAIN_MOST: u32 = 10;

/// Where the role finds the bus, and where the array is.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the bus's sockets.
    pub sockets: PathBuf,
    /// The descriptor of its own listening socket.
    pub listener: i32,
    /// The port of the array's management layer.
    pub array: u16,
    /// Gives up every TCP port to connect to but these, for the calling thread.
    pub narrow: fn(&[u16]) -> Result<(), SandboxError>,
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
    #[error("the ports that the orders do not need cannot be given up: {0}")]
    Narrow(#[from] SandboxError),
    #[error("the bus cannot be served: {0}")]
    Bus(std::io::Error),
    #[error("{0}; without init this role may not go on")]
    Init(CallError),
    #[error("{0}; without session this role may not go on")]
    Session(CallError),
}

/// Runs the role until init says stop, or its orders change.
pub fn run() -> ExitCode {
    run_at(&Place {
        sockets: PathBuf::from(drawbridge_bus::SOCKETS),
        listener: drawbridge_bus::LISTENER,
        array: drawbridge_array::PORT,
        narrow,
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
    // It makes no thread: the ports are given up for one thread only.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(End::Start)?;
    let (init, orders) = runtime.block_on(async {
        let mut init = asker.connect(Role::Init).await.map_err(End::Init)?;
        init.call(Request::Ready).await.map_err(End::Init)?;
        let orders = asker.orders(true).await.map_err(End::Session)?;
        Ok::<_, End>((init, orders))
    })?;
    let Some(orders) = orders else { return Ok(()) };
    (place.narrow)(&receivers::ports(&orders, place.array))?;
    runtime.block_on(serve(Courier { asker, array: place.array, orders: *orders }, bus, init))
}

struct Courier {
    asker: Asker,
    array: u16,
    orders: CourierOrders,
}

/// Where a receiver stands is kept by session, which is told of each change.
struct Kept(u64);

impl Position for Kept {
    fn load(&self) -> Option<u64> {
        Some(self.0)
    }

    fn save(&self, _: u64) -> Result<(), drawbridge_audit::queue::SaveError> {
        Ok(())
    }
}

async fn serve(courier: Courier, bus: std::os::unix::net::UnixListener, init: Client) -> Result<(), End> {
    let bus = tokio::net::UnixListener::from_std(bus).map_err(End::Start)?;
    let answers = server::serve(Role::Courier, bus, |_, _| async { Reply::Refused(Refusal::NotMine) });
    // Whatever it is doing is dropped with it: what was not settled is sent again by the next process.
    tokio::select! {
        error = answers => Err(End::Bus(error)),
        error = stopped(init) => error.map_err(End::Init),
        error = work(courier) => error.map_err(End::Session),
    }
}

/// Waits until init says stop.
async fn stopped(mut init: Client) -> Result<(), CallError> {
    while !matches!(init.event().await?, Event::Stop { .. }) {}
    Ok(())
}

/// Delivers until there are other orders, or none.
async fn work(courier: Courier) -> Result<(), CallError> {
    let Courier { asker, array, mut orders } = courier;
    let log = Log::new(asker.clone());
    // With no wait: what is there now.
    let last = log.lines(u64::MAX, 1, false).await?.last;
    let (tell_last, last) = watch::channel(last);
    let mut tasks = JoinSet::new();
    let mut watches = Vec::new();
    queues(&asker, array, &orders, &last, &mut tasks, &mut watches);
    for (receiver, state) in watches {
        let asker = asker.clone();
        tasks.spawn(async move { report(receiver, state, &asker).await });
    }
    let mut failed = 0;
    loop {
        if let Some(test) = orders.test.take() {
            let (asker, orders) = (asker.clone(), orders.clone());
            tasks.spawn(async move {
                let steps = trial::run(&test, &orders, &asker, array).await;
                if let Err(error) = asker.tell(CourierNews::Tested(steps)).await {
                    log::error!("what a test came to cannot be told: {error}");
                }
            });
        }
        while tasks.try_join_next().is_some() {}
        let after = *last.borrow();
        let next = async {
            let lines = log.lines(after, 1, true).await?;
            Ok::<_, CallError>((lines.last, asker.orders(false).await?))
        };
        match next.await {
            Ok((now, Some(new))) => {
                failed = 0;
                if now > after {
                    tell_last.send_replace(now);
                }
                let same = new.notices == orders.notices
                    && new.secrets == orders.secrets
                    && new.system == orders.system;
                if !same {
                    return Ok(());
                }
                orders.test = new.test;
            }
            Ok((_, None)) => return Ok(()),
            // Session may be starting anew.
            Err(error) if failed < AGAIN_MOST => {
                failed += 1;
                log::warn!("{error}; it is asked again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(error),
        }
    }
}

type Watched = (Receiver, watch::Receiver<SinkState>);

/// A queue for each receiver that is set.
fn queues(
    asker: &Asker,
    array: u16,
    orders: &CourierOrders,
    last: &watch::Receiver<u64>,
    tasks: &mut JoinSet<()>,
    watches: &mut Vec<Watched>,
) {
    let (notices, secrets, system) = (&orders.notices, &orders.secrets, &orders.system);
    let settled =
        |receiver| orders.settled.iter().find(|(one, _)| *one == receiver).map_or(0, |(_, settled)| *settled);
    let mut add = |receiver: Receiver, made: Result<Delivery, Failure>| match made {
        Ok((watch, task)) => {
            watches.push((receiver, watch.changes()));
            tasks.spawn(task);
        }
        Err(failure) => {
            log::error!("{}: {failure}", receiver.name());
            let asker = asker.clone();
            let state = wrong(receiver, settled(receiver), &failure);
            tasks.spawn(async move {
                if let Err(error) = asker.tell(CourierNews::State(Box::new(state))).await {
                    log::warn!("{error}");
                }
            });
        }
    };
    let source = |receiver| Source {
        events: Log::new(asker.clone()),
        last: last.clone(),
        positions: Kept(settled(receiver)),
    };
    if let Some(one) = &notices.array {
        let sink = receivers::array(one, secrets.array.as_ref(), system, asker, array);
        let source = source(Receiver::Array);
        add(
            Receiver::Array,
            sink.map(|sink| queue(Receiver::Array, sink, receivers::array_filter(one.least), source)),
        );
    }
    if let Some(one) = &notices.syslog {
        let sink = receivers::syslog(one, system, asker);
        let source = source(Receiver::Syslog);
        add(
            Receiver::Syslog,
            sink.map(|sink| queue(Receiver::Syslog, sink, receivers::filter(one.least), source)),
        );
    }
    if let Some(one) = &notices.mail {
        let sink = receivers::mail(one, secrets.mail.as_ref(), system, asker);
        let source = source(Receiver::Mail);
        add(
            Receiver::Mail,
            sink.map(|sink| queue(Receiver::Mail, sink, receivers::filter(one.least), source)),
        );
    }
}

type Delivery = (Watch, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>);

fn queue(
    receiver: Receiver,
    sink: impl Sink + 'static,
    filter: Filter,
    source: Source<Log, Kept>,
) -> Delivery {
    let now: Now = Arc::new(|| Utc::of(SystemTime::now()));
    let (queue, watch) = Queue::new(receiver.name(), sink, filter, source, Begin::Oldest, now);
    (watch, Box::pin(queue.run()))
}

fn wrong(receiver: Receiver, settled: u64, failure: &Failure) -> ReceiverState {
    ReceiverState {
        receiver,
        is_up: Some(false),
        since_ms: Utc::of(SystemTime::now()).millis(),
        settled,
        backlog: 0,
        oldest_ms: None,
        error: Some((failure.what.as_str().to_owned(), failure.remedy.as_str().to_owned())),
        next_try_ms: None,
    }
}

/// Tells session how a receiver stands, each time that it is different.
async fn report(receiver: Receiver, mut state: watch::Receiver<SinkState>, asker: &Asker) {
    state.mark_changed();
    while state.changed().await.is_ok() {
        let now = state.borrow_and_update().clone();
        let told = ReceiverState {
            receiver,
            is_up: now.is_up,
            since_ms: now.since_ms,
            settled: now.settled,
            backlog: now.backlog,
            oldest_ms: now.oldest_ms,
            error: now.error.map(|error| (error.what.as_str().to_owned(), error.remedy.as_str().to_owned())),
            next_try_ms: now.next_try_ms,
        };
        if let Err(error) = asker.tell(CourierNews::State(Box::new(told))).await {
            log::warn!("how {} stands cannot be told: {error}", receiver.name());
            tokio::time::sleep(AGAIN).await;
            state.mark_changed();
        }
    }
}
