//! A thread that serves until its handle is dropped. It never works after that.

use super::NetError;
use super::network::Network;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long one wait of a worker is: its handle's drop takes as long at most.
pub(super) const STEP: Duration = Duration::from_millis(50);

/// The handle.
#[derive(Debug)]
pub(super) struct Worker {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Repeats a step, which waits for [`STEP`] at most, until the handle is dropped.
    pub(super) fn start(
        network: &Network,
        name: &str,
        mut step: impl FnMut() + Send + 'static,
    ) -> Result<Self, NetError> {
        let stopped = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stopped);
        let run = move || {
            while !theirs.load(Ordering::Relaxed) {
                step();
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread =
            thread.map_err(|error| NetError::System("start a server", network.name().to_owned(), error))?;
        Ok(Self { stopped, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
