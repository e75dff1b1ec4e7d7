//! The SA's own names and addresses, as they are now. It never takes one from a client.

use crate::facts::Asker;
use crate::redirect::Names;
use drawbridge_identity::facts::CertificateFacts;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How old they may be before the roles are asked again: nobody asks them while nobody comes.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// How long somebody waits for the answer. Then what was known before has to do.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// The names, for whoever wants them.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    last: watch::Receiver<Last>,
    wanted: Arc<Notify>,
}

/// Keeps them.
#[derive(Debug)]
pub(crate) struct Keeper {
    last: watch::Sender<Last>,
    wanted: Arc<Notify>,
}

#[derive(Clone, Debug, Default)]
struct Last {
    asked: Option<Instant>,
    names: Names,
}

/// Nothing is known until the [`Keeper`] is run.
pub(crate) fn keeper() -> (Keeper, Known) {
    let (last, known) = watch::channel(Last::default());
    let wanted = Arc::new(Notify::new());
    (Keeper { last, wanted: Arc::clone(&wanted) }, Known { last: known, wanted })
}

impl Known {
    /// These, for good.
    pub(crate) fn fixed(names: Names) -> Self {
        let (_, last) = watch::channel(Last { asked: None, names });
        Self { last, wanted: Arc::new(Notify::new()) }
    }

    /// The names, at most 5 s old where the roles answer. Takes half a second at most.
    pub(crate) async fn now(&self) -> Names {
        let mut last = self.last.clone();
        let fresh = |last: &Last| last.asked.is_some_and(|asked| asked.elapsed() < FRESH_FOR);
        if !fresh(&last.borrow()) {
            self.wanted.notify_one();
            // Where nobody keeps them this is over at once.
            let _ = tokio::time::timeout(ANSWER_WITHIN, last.wait_for(fresh)).await;
        }
        let last = last.borrow();
        last.names.clone()
    }
}

impl Keeper {
    /// Asks the roles whenever somebody wants names that are too old; `certificate` has the names in the certificate that is
    /// served. What a role does not say stays as it was.
    pub(crate) async fn keep(self, asker: Arc<Asker>, certificate: watch::Receiver<Arc<CertificateFacts>>) {
        let (mut host_name, mut addresses) = (String::new(), Vec::<IpAddr>::new());
        loop {
            self.wanted.notified().await;
            if self.last.borrow().asked.is_some_and(|asked| asked.elapsed() < FRESH_FOR) {
                continue;
            }
            let facts = asker.facts().await;
            if let Ok(status) = &facts.status {
                host_name.clone_from(&status.host_name);
            }
            if let Ok(ports) = &facts.ports {
                addresses =
                    ports.iter().flat_map(|port| &port.addresses).map(|(address, _)| *address).collect();
            }
            let mut certified = certificate.borrow().names.clone();
            certified.extend(certificate.borrow().addresses.iter().map(ToString::to_string));
            let names = Names::new(&host_name, &certified, &addresses);
            self.last.send_replace(Last { asked: Some(Instant::now()), names });
        }
    }
}
