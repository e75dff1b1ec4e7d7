//! The loopback listener: who is let as far as SSH, how many at one time and for how long. It never looks into SSH.

use crate::algorithms;
use crate::bus::Asker;
use crate::guest::Guest;
use crate::line::Line;
use crate::proof::Keys;
use crate::refusal::refuse;
use crate::role::{Limits, Place};
use crate::shells::Wanted;
use crate::tap::{Made, Tap};
use drawbridge_bus::Role;
use drawbridge_bus::bridge::{EngineerAsk, SshdOrders, Verdict};
use drawbridge_bus::relay::{self, Caller};
use russh::server::Config;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// From the farewell until the connection is cut.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// From the cut until it is forgotten: what it still waits for answers within this time.
const END_WITHIN: Duration = Duration::from_secs(15);
/// From the end of a connection until its channels are, with their processes: a hang-up, a kill, and what is said of it.
const CHANNELS_WITHIN: Duration = Duration::from_secs(10);

/// What all connections share.
pub(crate) struct Daemon {
    pub(crate) limits: Limits,
    pub(crate) own_targets: bool,
    pub(crate) session: Arc<Asker>,
    pub(crate) network: Asker,
    pub(crate) keys: Keys,
    pub(crate) orders: SshdOrders,
    pub(crate) shells: mpsc::Sender<Wanted>,
    /// Channels that connections which are still there have opened in their lives.
    pub(crate) opened: AtomicUsize,
    /// The recorder's socket.
    recorder: PathBuf,
    config: Arc<Config>,
    stopped: watch::Receiver<bool>,
    next: AtomicU64,
    held: Arc<AtomicUsize>,
    strangers: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl Daemon {
    pub(crate) fn new(
        place: &Place,
        session: Arc<Asker>,
        network: Asker,
        keys: Keys,
        orders: SshdOrders,
        shells: mpsc::Sender<Wanted>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let limits = place.limits;
        Self {
            limits,
            own_targets: place.own_targets,
            session,
            network,
            keys,
            recorder: place.sockets.join(Role::Recorder.name()),
            config: Arc::new(algorithms::config(&orders)),
            orders,
            shells,
            opened: AtomicUsize::new(0),
            stopped,
            next: AtomicU64::new(first_number()),
            held: Arc::new(AtomicUsize::new(0)),
            strangers: Arc::new(Semaphore::new(limits.strangers)),
            connections: Arc::new(Semaphore::new(limits.connections)),
        }
    }

    /// Waits until no connection is left, but no longer than this.
    pub(crate) async fn all_gone(&self, within: Duration) {
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        // What is left then ends with the process.
        let _ = timeout(within, self.connections.acquire_many(all)).await;
    }
}

/// A number that no run of this role since boot has used: nanoseconds since boot, of which a run uses far fewer than pass.
fn first_number() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map_or(0, |now| Duration::from(now).as_nanos().try_into().unwrap_or(0))
}

/// Takes connections until that fails for good.
pub(crate) async fn serve(daemon: Arc<Daemon>, listener: TcpListener) -> std::io::Error {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => match error.raw_os_error() {
                // The next one may go better (accept(2)).
                Some(libc::ECONNABORTED | libc::EINTR | libc::EPROTO) => continue,
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    log::warn!("an engineer's connection cannot be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
                _ => return error,
            },
        };
        // Whoever comes when all places are taken is not answered: he may come again.
        let Ok(stranger) = Arc::clone(&daemon.strangers).try_acquire_owned() else { continue };
        let Ok(place) = Arc::clone(&daemon.connections).try_acquire_owned() else { continue };
        tokio::spawn(connection(Arc::clone(&daemon), stream, stranger, place));
    }
}

async fn connection(
    daemon: Arc<Daemon>,
    mut stream: TcpStream,
    stranger: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
) {
    let deadline = Instant::now() + daemon.limits.grace;
    let preface = timeout(daemon.limits.preface, relay::read(&mut stream)).await;
    let Ok(Ok(Some((token, caller)))) = preface else { return };
    let right = token.reveal().ct_eq(daemon.orders.relay.reveal());
    if !bool::from(right) {
        log::warn!("a connection that does not show the grant's token was closed");
        return;
    }
    let number = daemon.next.fetch_add(1, Ordering::Relaxed);
    let Caller { name, source } = caller.clone();
    let who = drawbridge_bus::logger::clean(&format!("{name} from {source}"));
    let ask = EngineerAsk::Connect { name, source };
    if let Verdict::No { why, .. } = daemon.session.engineer(number, ask).await {
        log::info!("{who} is not let in: {why}");
        refuse(stream, &format!("You are not let in: {why}.")).await;
        return;
    }
    let over = attend(&daemon, stream, Gate { number, who, caller, stranger, deadline }).await;
    let _: Verdict = daemon.session.engineer(number, EngineerAsk::Gone).await;
    if let Some(Over { line, tap, why }) = over {
        // What channels still have to say comes before the last word.
        let all = u32::try_from(daemon.limits.channels).unwrap_or(u32::MAX);
        if timeout(CHANNELS_WITHIN, line.channels.acquire_many(all)).await.is_err() {
            log::warn!("a process of {} does not end", line.who);
        }
        tap.end(&why).await;
    }
}

/// Who stands at the door, and until when.
struct Gate {
    number: u64,
    who: String,
    caller: Caller,
    stranger: OwnedSemaphorePermit,
    deadline: Instant,
}

/// What is left of the connection of somebody who was in.
struct Over {
    line: Arc<Line>,
    tap: Arc<Tap>,
    /// Why it has ended, as a sentence.
    why: String,
}

/// SSH with one engineer, to its end.
async fn attend(daemon: &Arc<Daemon>, stream: TcpStream, gate: Gate) -> Option<Over> {
    let Gate { number, who, caller, stranger, deadline } = gate;
    // It only makes keystrokes slower when it cannot be had.
    let _ = stream.set_nodelay(true);
    let socket = stream.as_fd().try_clone_to_owned().ok()?;
    let held = Arc::clone(&daemon.held);
    let line =
        Arc::new(Line::new(number, who, socket, stranger, held, daemon.limits.channels, daemon.orders.level));
    let tap = Tap::new(Made {
        path: daemon.recorder.clone(),
        policy: daemon.orders.recording,
        within: daemon.limits.kept,
        session: Arc::clone(&daemon.session),
        line: Arc::clone(&line),
    });
    let guest = Guest::new(Arc::clone(daemon), Arc::clone(&line), Arc::clone(&tap), caller);
    let running = russh::server::run_stream(Arc::clone(&daemon.config), stream, guest);
    let Ok(Ok(mut running)) = timeout_at(deadline, running).await else { return None };
    line.is_served_by(running.handle());
    let mut stopped = daemon.stopped.clone();
    let why = loop {
        let until = if line.is_in() { line.last() + daemon.limits.idle } else { deadline };
        tokio::select! {
            ended = &mut running => {
                let why = match ended {
                    Ok(()) => "The engineer has left.".to_owned(),
                    Err(error) => {
                        log::debug!("the connection of {} has ended: {error}", line.who);
                        format!("The connection has ended: {error}.")
                    }
                };
                return line.is_in().then_some(Over { line, tap, why });
            }
            // A turn of the loop looks at the times again.
            why = line.news() => {
                if let Some(why) = why {
                    break why;
                }
            }
            _ = stopped.wait_for(|stopped| *stopped) => break "The owner has ended the session.".to_owned(),
            () = sleep_until(until) => {
                // It may have been used meanwhile.
                if !line.is_in() {
                    break "You have not proved who you are in time.".to_owned();
                } else if line.last().elapsed() >= daemon.limits.idle {
                    break "Nothing has happened for too long.".to_owned();
                }
            }
        }
    };
    log::info!("{} is sent away: {why}", line.who);
    line.say_farewell(&why).await;
    if timeout(LEAVE_WITHIN, &mut running).await.is_err() {
        line.cut();
        if timeout(END_WITHIN, &mut running).await.is_err() {
            log::warn!("the connection of {} does not end", line.who);
        }
    }
    line.is_in().then_some(Over { line, tap, why })
}
