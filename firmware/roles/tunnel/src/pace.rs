//! How fast things go: the times that a test may want otherwise. It never waits.

use std::time::Duration;

/// The pace of the control connection.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A ping is sent so often.
    pub ping_every: Duration,
    /// A server from which nothing has come for so long is gone.
    pub silent_for: Duration,
    /// The longest of the first waits before what was lost is tried again; each further one may be twice as long.
    pub wait_first: Duration,
    /// The longest wait of all.
    pub wait_most: Duration,
    /// The wait after a refusal, which nothing but people can change.
    pub wait_refused: Duration,
    /// Recordings that run are looked at so often.
    pub upload_every: Duration,
    /// A recording that is fetched and that nobody pulls is let go after this time.
    pub fetch_idle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(drawbridge_wire::PING_EVERY),
            silent_for: Duration::from_secs(drawbridge_wire::SILENT_FOR),
            wait_first: Duration::from_millis(250),
            wait_most: Duration::from_secs(5),
            wait_refused: Duration::from_mins(1),
            upload_every: Duration::from_secs(1),
            fetch_idle: Duration::from_secs(drawbridge_bus::fetch::IDLE_FOR),
        }
    }
}

/// Waits until it is said to stop. Cancel safe.
pub(crate) async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    // Without anybody who could say it, the role has ended.
    drop(stop.wait_for(|stop| *stop).await);
}
