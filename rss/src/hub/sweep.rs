//! Ends what may no longer be, by what is kept now. It lets nobody in, and judges nobody who came after it had looked.

use super::{Connected, Hub};
use crate::access;
use crate::clock::now;
use crate::guard::Cut;
use crate::store::Engineer;
use crate::trouble::Trouble;
use drawbridge_wire::{Line, ToAppliance};

/// What was found, and up to when it tells of who is in.
pub(super) struct Found {
    /// Whoever has this number or a higher one came in later: what was read may be older than he is.
    before: u64,
    engineers: Vec<Engineer>,
    /// Connections of systems that are kept no more.
    removed: Vec<Connected>,
    /// What ends the connections on which such systems hand over recordings, or ask for them.
    recordings: Vec<Cut>,
}

impl Hub {
    /// Ends what may no longer be.
    pub(crate) async fn sweep(&self) -> Result<(), Trouble> {
        let found = self.look().await?;
        self.end_what_may_not_be(found);
        Ok(())
    }

    pub(super) async fn look(&self) -> Result<Found, Trouble> {
        // In this order: whoever is in by now was kept before the store is read.
        let before = self.number();
        let connected = self.all_connected();
        let about_recordings = [self.all_uploading(), self.all_fetching()].concat();
        self.ask(move |store| {
            let mut removed = Vec::new();
            let mut recordings = Vec::new();
            for (serial, login_key, cut) in about_recordings {
                if store.system(&serial)?.is_none_or(|system| system.login_key != login_key) {
                    recordings.push(cut);
                }
            }
            for one in connected {
                let system = store.system(&one.serial)?;
                if system.is_none_or(|system| system.login_key != one.login_key) {
                    removed.push(one);
                }
            }
            Ok(Found { before, engineers: store.engineers()?, removed, recordings })
        })
        .await
    }

    pub(super) fn end_what_may_not_be(&self, found: Found) {
        let Found { before, engineers, removed, recordings } = found;
        for cut in recordings {
            cut.cut();
        }
        for one in &removed {
            let why = Line::of("the server's operator has removed this system");
            let remedy = Line::of("Ask the operator for an enrolment token.");
            one.end(ToAppliance::Refused { why, remedy });
        }
        let now = now();
        let state = self.lock();
        for (_, one) in state.engineers.iter().filter(|(number, _)| **number < before) {
            let may = access::is_still_in(&engineers, &one.who, one.source, now)
                && one.system.as_ref().is_none_or(|(name, serial)| {
                    access::may_reach(&engineers, &one.who, name, serial)
                        && !removed.iter().any(|gone| gone.serial.eq_ignore_ascii_case(serial))
                });
            if !may {
                one.cut.cut();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::UnderWay;
    use super::*;
    use crate::config::Limits;
    use crate::evidence::Archive;
    use crate::store::Store;
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::private::Ed25519Keypair;
    use std::net::IpAddr;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn who_comes_in_while_it_is_looked_is_not_cut_and_who_was_removed_is_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let hub = Hub::new(store.clone(), Archive::new(folder.path()), Limits::default());
        let source = IpAddr::from([192, 0, 2, 1]);
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32])).public_key().clone();
        // The store is read before the operator adds her.
        let found = hub.look().await.unwrap();
        store
            .put_engineer(&Engineer {
                name: "anna".to_owned(),
                key: key.to_openssh().unwrap(),
                is_authority: false,
                role: "engineer".to_owned(),
                systems: vec!["*".to_owned()],
                sources: Vec::new(),
                ends: None,
                disabled: false,
            })
            .unwrap();
        let who = access::by_key(&store.engineers().unwrap(), "anna", &key, source, now()).unwrap();
        let cut = Cut::new();
        let _entry = hub.enter(UnderWay { who, source, system: None, cut: cut.clone() }).unwrap();
        hub.end_what_may_not_be(found);
        hub.sweep().await.unwrap();
        assert!(timeout(Duration::from_millis(50), cut.happens()).await.is_err());
        store.remove_engineer("anna").unwrap();
        hub.sweep().await.unwrap();
        timeout(Duration::from_secs(30), cut.happens()).await.unwrap();
    }
}
