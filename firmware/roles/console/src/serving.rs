//! What the console shows as its certificate: one that was uploaded, or its own; swapped while connections go on. It never gives a key
//! out.

use crate::certificate::{CertificateError, Identity};
use crate::keep::{Folder, Secrecy};
use drawbridge_identity::facts::CertificateFacts;
use drawbridge_identity::request::{MOST_DAYS, NewKey, RequestFault, Subject, Wanted};
use drawbridge_identity::upload::{self, Checked, Expected, Fault};
use rustls::server::ServerConfig;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// The file of what was uploaded: key and chain, as they came.
const UPLOADED: &str = "uploaded.pem";

/// What was made here is renewed so many days before its end.
const RENEW_DAYS: u64 = 30;

/// Why another certificate is not served.
#[derive(Debug)]
pub(crate) enum NotServed {
    /// It is not right.
    Faults(Vec<Fault>),
    /// It cannot be kept.
    Kept(io::Error),
    /// None can be made.
    Made(RequestFault),
    /// It cannot be given to TLS.
    Served(CertificateError),
}

struct Served {
    own: Identity,
    uploaded: Option<Checked>,
}

/// The certificate that is served, and the way to another.
pub(crate) struct Certificates {
    folder: Folder,
    served: Mutex<Served>,
    config: watch::Sender<Arc<ServerConfig>>,
    facts: watch::Sender<Arc<CertificateFacts>>,
}

impl Certificates {
    /// What was kept, or a new one.
    pub(crate) fn obtain(folder: &Folder, now: SystemTime) -> Result<Self, CertificateError> {
        let own = Identity::obtain(folder, now)?;
        let served = Served { uploaded: kept(folder), own };
        let (config, facts) = served.shown()?;
        Ok(Self {
            folder: folder.clone(),
            served: Mutex::new(served),
            config: watch::channel(config).0,
            facts: watch::channel(facts).0,
        })
    }

    /// For new connections.
    pub(crate) fn config(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.config.subscribe()
    }

    /// What stands in what is served.
    pub(crate) fn facts(&self) -> watch::Receiver<Arc<CertificateFacts>> {
        self.facts.subscribe()
    }

    /// Serves what was uploaded, if it is right and can be kept.
    pub(crate) fn upload(&self, pem: &[u8], expected: &Expected) -> Result<Vec<String>, NotServed> {
        let checked = upload::check(pem, expected).map_err(NotServed::Faults)?;
        let mut served = self.lock();
        self.folder.write(UPLOADED, Secrecy::Secret, pem).map_err(NotServed::Kept)?;
        let advice = checked.advice.clone();
        served.uploaded = Some(checked);
        self.show(&served).map_err(NotServed::Served)?;
        Ok(advice)
    }

    /// Makes a certificate with a key of its own, and serves it in the place of what was served. It is renewed like the first one.
    pub(crate) fn make(&self, wanted: &Wanted, now: SystemTime) -> Result<(), NotServed> {
        let made = wanted.self_signed(seconds(now), MOST_DAYS).map_err(NotServed::Made)?;
        let mut pem = Zeroizing::new(Vec::with_capacity(made.key.len() + made.certificate.len()));
        pem.extend_from_slice(made.key.as_bytes());
        pem.extend_from_slice(made.certificate.as_bytes());
        self.upload(&pem, &Expected::default()).map(drop)
    }

    /// Renews what the appliance has made, if it is time; and says of what somebody else has made when it ends.
    pub(crate) fn look(&self, now: SystemTime) {
        let ends = self.lock().uploaded.as_ref().map(|uploaded| uploaded.facts.clone());
        if let Some(facts) = ends {
            let left = facts.ends.saturating_sub(seconds(now)) / (24 * 3600);
            if left <= RENEW_DAYS {
                match wanted_again(&facts).map(|wanted| self.make(&wanted, now)) {
                    Some(Ok(())) => log::warn!(
                        "the console's certificate ended in {left} days: it is made anew, and its fingerprint changes"
                    ),
                    _ => log::warn!("the console's certificate ends in {left} days: upload another"),
                }
            }
        }
        let mut served = self.lock();
        if served.own.is_due(now) {
            match served.own.renew(&self.folder, now) {
                Ok(renewed) => {
                    served.own = renewed;
                    if let Err(error) = self.show(&served) {
                        log::warn!("{error}; the old certificate is served on");
                    }
                }
                Err(error) => log::warn!("{error}; the old certificate is served on"),
            }
        }
    }

    fn show(&self, served: &Served) -> Result<(), CertificateError> {
        let (config, facts) = served.shown()?;
        self.config.send_replace(config);
        self.facts.send_replace(facts);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Served> {
        // What a panic left is whole: each change is made in one step.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Served {
    fn shown(&self) -> Result<(Arc<ServerConfig>, Arc<CertificateFacts>), CertificateError> {
        match &self.uploaded {
            Some(uploaded) => {
                let config = crate::certificate::tls(uploaded.chain.clone(), uploaded.key.clone_key())?;
                Ok((config, Arc::new(uploaded.facts.clone())))
            }
            None => Ok((self.own.tls()?, Arc::new(self.own.facts()?))),
        }
    }
}

/// The same certificate once more, where it is one that its own key has signed, and so nobody else has to.
fn wanted_again(facts: &CertificateFacts) -> Option<Wanted> {
    if !facts.self_issued {
        return None;
    }
    let common_name = facts.common_name.as_deref()?;
    Some(Wanted {
        subject: Subject::new(common_name, "", "", "", "", "").ok()?,
        names: facts.names.clone(),
        addresses: facts.addresses.clone(),
        key: NewKey::P256,
    })
}

/// What was uploaded in an earlier life. Names and dates were looked at then: one that has ended is still the one that people know.
fn kept(folder: &Folder) -> Option<Checked> {
    let pem = match folder.read(UPLOADED) {
        Ok(pem) => pem?,
        Err(error) => {
            log::warn!("{UPLOADED} cannot be read: {error}; the appliance's own certificate is served");
            return None;
        }
    };
    match upload::check(&pem, &Expected::default()) {
        Ok(checked) => Some(checked),
        Err(faults) => {
            for fault in faults {
                log::warn!("{UPLOADED} is set aside, and the appliance's own certificate is served: {fault}");
            }
            if let Err(error) = folder.set_aside(UPLOADED) {
                log::warn!("{UPLOADED} cannot be set aside: {error}");
            }
            None
        }
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
