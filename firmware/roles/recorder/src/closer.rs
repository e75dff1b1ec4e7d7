//! Closes recordings that nobody writes any more: what a kill or a power cut has left, what has failed, and what waits for its last
//! signature. It tries again until each is whole, and never changes what was sealed.

use crate::shelf::Shelf;
use crate::signer::Signer;
use crate::teller::Teller;
use drawbridge_bus::record::RecordingId;
use drawbridge_chain::{Signature, Text, ToSign};
use drawbridge_recording::RecoveryError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

/// How long after a trial that failed the next one comes.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a signature is waited for: longer than the signer itself does.
const SIGNED_WITHIN: Duration = Duration::from_secs(5);

/// The way to the closer.
#[derive(Clone)]
pub(crate) struct Closer {
    given: Sender<(RecordingId, String)>,
}

impl Closer {
    /// Starts it, with nothing to do.
    pub(crate) fn start(shelf: Arc<Shelf>, signer: Signer, teller: Arc<Teller>) -> std::io::Result<Self> {
        let (given, taken) = channel();
        let work = move || run(&shelf, &signer, &teller, &taken);
        std::thread::Builder::new().name("closer".to_owned()).spawn(work)?;
        Ok(Self { given })
    }

    /// Gives it a recording that nobody writes any more; the reason is told when it has no end yet.
    pub(crate) fn close(&self, id: RecordingId, reason: &str) {
        if self.given.send((id, reason.to_owned())).is_err() {
            log::error!("nobody is there to close recordings; they are closed at the next start");
        }
    }
}

fn run(shelf: &Shelf, signer: &Signer, teller: &Teller, taken: &Receiver<(RecordingId, String)>) {
    let mut open: BTreeMap<RecordingId, (Instant, String)> = BTreeMap::new();
    let mut told = BTreeSet::new();
    loop {
        let now = Instant::now();
        let next = open.values().map(|(at, _)| *at).min();
        let within = next.map_or(Duration::from_hours(1), |at| at.saturating_duration_since(now));
        match taken.recv_timeout(within) {
            Ok((id, reason)) => {
                open.insert(id, (now, reason));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        let due: Vec<_> = open.iter().filter(|(_, (at, _))| *at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            let reason = open.get(&id).map(|(_, reason)| reason.clone()).unwrap_or_default();
            match close(shelf, signer, &id, &reason) {
                Ok(true) => {
                    shelf.tell_whole(&id, teller);
                    told.remove(&id);
                    open.remove(&id);
                }
                Ok(false) => {
                    open.insert(id, (Instant::now() + AGAIN, reason));
                }
                Err(error @ (RecoveryError::File(..) | RecoveryError::Write(_))) => {
                    if told.insert(id.clone()) {
                        log::warn!("the recording {id} is closed later: {error}");
                    }
                    open.insert(id, (Instant::now() + AGAIN, reason));
                }
                Err(error) => {
                    // It stays as it is, for whoever looks into it.
                    log::error!("the recording {id} cannot be closed: {error}");
                    open.remove(&id);
                }
            }
        }
    }
}

/// Closes one. False: its signature is still missing.
fn close(shelf: &Shelf, signer: &Signer, id: &RecordingId, reason: &str) -> Result<bool, RecoveryError> {
    let mut recovery =
        drawbridge_recording::close(&shelf.folder_of(id), SystemTime::now(), Text::of(reason))?;
    if recovery.dropped() + recovery.taken() > 0 {
        log::info!(
            "the recording {id} was closed: {} bytes were not sealed yet and are now, {} were torn and dropped",
            recovery.taken(),
            recovery.dropped()
        );
    }
    let Some(to_sign) = recovery.to_sign() else { return Ok(true) };
    let Some(signature) = signature(signer, to_sign) else { return Ok(false) };
    match recovery.signed(&to_sign, signature) {
        Ok(()) => Ok(true),
        Err(drawbridge_chain::ChainError::WrongSignature) => {
            log::error!(
                "the recording {id} stays without its last signature: the device has another key now"
            );
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

fn signature(signer: &Signer, to_sign: ToSign) -> Option<Signature> {
    let (told, signature) = channel();
    let told = move |signature| {
        // Who waited may have given up.
        let _: Result<(), _> = told.send(signature);
    };
    signer.sign(to_sign, Box::new(told));
    signature.recv_timeout(SIGNED_WITHIN).ok()?
}
