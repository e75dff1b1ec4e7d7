//! The connection to init: shell processes are started and signalled by it, and it tells how they end. Nothing is started
//! here.

use drawbridge_bus::bridge::{ShellEnd, ShellId, ShellOrder, ShellSignal};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::{Event, Reply, Request, Role};
use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

/// Orders that wait for init.
pub(crate) const WAITING: usize = 64;

/// What is wanted of init.
#[derive(Debug)]
pub(crate) enum Wanted {
    Start { order: Box<ShellOrder>, descriptors: Vec<OwnedFd>, started: oneshot::Sender<Started> },
    Signal(ShellId, ShellSignal),
}

/// A shell process that was started, or why it was not.
pub(crate) type Started = Result<Shell, String>;

/// A shell process.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) id: ShellId,
    /// How it has ended, once it has.
    pub(crate) end: oneshot::Receiver<ShellEnd>,
}

/// Has one started. Its descriptors are closed here when init has its copies.
pub(crate) async fn start(
    shells: &mpsc::Sender<Wanted>,
    order: ShellOrder,
    descriptors: Vec<OwnedFd>,
) -> Started {
    let (started, answer) = oneshot::channel();
    let wanted = Wanted::Start { order: Box::new(order), descriptors, started };
    let gone = || "init does not start processes any more".to_owned();
    shells.send(wanted).await.map_err(|_| gone())?;
    answer.await.unwrap_or_else(|_| Err(gone()))
}

/// Says that the role serves, and does what is wanted until init says stop: then the seconds that are left.
pub(crate) async fn with_init(path: PathBuf, mut wanted: mpsc::Receiver<Wanted>) -> Result<u16, CallError> {
    let stream =
        UnixStream::connect(path).await.map_err(|error| CallError::Unreachable(Role::Init, error))?;
    let mut init = Client::over(Role::Init, stream);
    init.call(Request::Ready).await?;
    let mut running: HashMap<ShellId, oneshot::Sender<ShellEnd>> = HashMap::new();
    loop {
        tokio::select! {
            event = init.event() => match event? {
                Event::Stop { seconds } => return Ok(seconds),
                Event::ShellEnded(id, end) => {
                    if let Some(sender) = running.remove(&id) {
                        // Whoever waited may have gone with his connection.
                        let _: Result<(), _> = sender.send(end);
                    }
                }
                // Session's.
                Event::Happened => {}
            },
            Some(one) = wanted.recv() => match one {
                Wanted::Signal(id, signal) => {
                    if running.contains_key(&id) {
                        signal_one(&mut init, id, signal).await?;
                    }
                }
                Wanted::Start { order, descriptors, started } => {
                    let borrowed: Vec<_> = descriptors.iter().map(|one| one.as_fd()).collect();
                    let answer = init.call_with(Request::StartShell(order), &borrowed).await;
                    drop(descriptors);
                    match answer {
                        Ok(Reply::ShellStarted(id)) => {
                            let (sender, end) = oneshot::channel();
                            running.insert(id, sender);
                            if started.send(Ok(Shell { id, end })).is_err() {
                                // The engineer has gone while it was started.
                                signal_one(&mut init, id, ShellSignal::Kill).await?;
                            }
                        }
                        Ok(_) => drop(started.send(Err("init has answered something else".to_owned()))),
                        Err(CallError::Refused(_, why)) => drop(started.send(Err(why.to_string()))),
                        Err(error) => return Err(error),
                    }
                }
            },
        }
    }
}

async fn signal_one(init: &mut Client, id: ShellId, signal: ShellSignal) -> Result<(), CallError> {
    match init.call(Request::SignalShell(id, signal)).await {
        // It may have ended a moment ago.
        Ok(_) | Err(CallError::Refused(..)) => Ok(()),
        Err(error) => Err(error),
    }
}
