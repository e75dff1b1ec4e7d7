//! The operator's commands about the keys by which systems' recordings are known. It never sees a private one.

use super::{note, say};
use crate::Trouble;
use crate::clock::shown;
use crate::store::Store;
use drawbridge_chain::DeviceKey;

/// What is wanted.
#[derive(Debug)]
pub enum Evidence {
    /// The keys of a system.
    List(String),
    /// Take the key with this fingerprint, which the system has said.
    Accept(String, String),
    /// Forget the one with this fingerprint.
    Forget(String, String),
}

/// Does it.
pub(super) fn run(store: &Store, what: &Evidence) -> Result<(), Trouble> {
    match what {
        Evidence::List(system) => {
            let serial = store.serial_of(system)?;
            store.evidence_keys(&serial)?.iter().try_for_each(|key| {
                let print = DeviceKey::parse_ssh(&key.key)
                    .map_or_else(|_| "none".to_owned(), |key| key.fingerprint());
                match key.accepted {
                    Some(since) => say(format_args!("{print} accepted={} {}", shown(since), key.key)),
                    None => say(format_args!("{print} refused={} {}", shown(key.offered), key.key)),
                }
            })
        }
        Evidence::Accept(system, print) => {
            let (serial, key) = find(store, system, print)?;
            store.accept_evidence_key(&serial, &key)?;
            note(store, "accept evidence key", &serial, print)
        }
        Evidence::Forget(system, print) => {
            let (serial, key) = find(store, system, print)?;
            store.forget_evidence_key(&serial, &key)?;
            note(store, "forget evidence key", &serial, print)
        }
    }
}

/// The serial number, and the key with this fingerprint as the store has it.
fn find(store: &Store, system: &str, print: &str) -> Result<(String, String), Trouble> {
    let hash = DeviceKey::parse_fingerprint(print).map_err(|fault| Trouble::new(fault.to_string()))?;
    let serial = store.serial_of(system)?;
    let keys = store.evidence_keys(&serial)?;
    let key = keys.into_iter().find(|key| DeviceKey::parse_ssh(&key.key).is_ok_and(|key| key.hash() == hash));
    match key {
        Some(key) => Ok((serial, key.key)),
        None => Err(Trouble::new(format!(
            "{system} has said no key {print}: rss systems evidence {system} lists them"
        ))),
    }
}
