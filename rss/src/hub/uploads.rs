//! Which appliances hand over recordings, and who waits to: one connection a system, so that no two write the same recording. It takes
//! no recording itself.

use super::Hub;
use super::tickets::{NoTicket, Ticket, Tickets};
use crate::guard::Cut;
use drawbridge_wire::Token;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

/// So many refusals are remembered, so that each is told once.
const REFUSALS: usize = 10_000;
/// The one before gets so long to finish what it writes.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// A system's turn to hand over.
struct Turn {
    number: u64,
    serial: String,
    login_key: String,
    cut: Cut,
    /// Held while anything is written.
    writes: Arc<Mutex<()>>,
}

#[derive(Default)]
pub(super) struct Uploads {
    pub(super) tickets: Tickets,
    /// By serial number in lower case.
    turns: HashMap<String, Turn>,
    /// Of each refused recording, why, as it was told last.
    told: HashMap<(String, String), String>,
}

/// A connection on which a system hands over. Dropped, another one may at once.
pub(crate) struct Uploading {
    entry: Entry,
    /// What ends it.
    pub(crate) cut: Cut,
    /// Nobody else writes this system's recordings as long as this is there: it goes along with whatever writes.
    pub(crate) writes: Arc<OwnedMutexGuard<()>>,
}

impl Uploading {
    /// The system, as its login said.
    pub(crate) fn serial(&self) -> &str {
        &self.entry.serial
    }
}

/// A turn in the table, which it leaves when this is dropped, unless another one has its place by then.
struct Entry {
    hub: Arc<Hub>,
    number: u64,
    serial: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        let key = self.serial.to_lowercase();
        if state.uploads.turns.get(&key).is_some_and(|turn| turn.number == self.number) {
            state.uploads.turns.remove(&key);
        }
    }
}

impl Hub {
    /// A ticket for the system behind a control connection.
    pub(crate) fn admit_upload(
        &self,
        connection: u64,
        serial: &str,
        login_key: &str,
    ) -> Result<Token, NoTicket> {
        let Uploads { tickets, turns, .. } = &mut self.lock().uploads;
        let others = turns.keys().filter(|other| !other.eq_ignore_ascii_case(serial)).count();
        if others + tickets.open(connection).1 >= self.limits.uploads {
            return Err(NoTicket::Busy);
        }
        tickets.give(connection, serial, login_key)
    }

    /// Redeems a ticket, once. An earlier connection of the same system is cut, and waited for.
    pub(crate) async fn redeem_upload(self: &Arc<Self>, token: &Token) -> Option<Uploading> {
        let number = self.number();
        let (entry, cut, writes) = {
            let mut state = self.lock();
            let Ticket { serial, login_key, .. } = state.uploads.tickets.redeem(token)?;
            let (cut, key) = (Cut::new(), serial.to_lowercase());
            let before = state.uploads.turns.remove(&key);
            let writes = before.as_ref().map_or_else(Arc::default, |before| Arc::clone(&before.writes));
            if let Some(before) = before {
                before.cut.cut();
            }
            let (cut_too, writes_too) = (cut.clone(), Arc::clone(&writes));
            let turn = Turn { number, serial: serial.clone(), login_key, cut: cut_too, writes: writes_too };
            state.uploads.turns.insert(key, turn);
            (Entry { hub: Arc::clone(self), number, serial }, cut, writes)
        };
        let writes = timeout(ENDS_WITHIN, writes.lock_owned()).await.ok()?;
        Some(Uploading { entry, cut, writes: Arc::new(writes) })
    }

    /// Whether a recording was not refused for the same reason before, as far as that is remembered.
    pub(crate) fn is_news(&self, serial: &str, name: &str, why: &str) -> bool {
        let told = &mut self.lock().uploads.told;
        let key = (serial.to_lowercase(), name.to_owned());
        if told.get(&key).is_some_and(|before| before == why) {
            return false;
        }
        if told.len() >= REFUSALS {
            told.clear();
        }
        told.insert(key, why.to_owned());
        true
    }

    /// Every system that hands over, with its login key and what ends it.
    pub(super) fn all_uploading(&self) -> Vec<(String, String, Cut)> {
        let state = self.lock();
        let of = |turn: &Turn| (turn.serial.clone(), turn.login_key.clone(), turn.cut.clone());
        state.uploads.turns.values().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tickets::TICKETS_EACH;
    use super::*;
    use crate::config::Limits;
    use crate::evidence::Archive;
    use crate::store::Store;

    fn hub(uploads: usize) -> (tempfile::TempDir, Arc<Hub>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let limits = Limits { uploads, ..Limits::default() };
        let hub = Hub::new(store, Archive::new(folder.path()), limits);
        (folder, hub)
    }

    #[tokio::test]
    async fn a_ticket_is_good_once_and_goes_with_its_control_connection() {
        let (_folder, hub) = hub(8);
        let token = hub.admit_upload(1, "SN-1", "key").unwrap();
        assert!(hub.redeem(&token).is_none(), "it is none for an engineer");
        let first = hub.redeem_upload(&token).await.unwrap();
        assert_eq!(first.serial(), "SN-1");
        assert!(hub.redeem_upload(&token).await.is_none());
        let token = hub.admit_upload(1, "SN-1", "key").unwrap();
        hub.lock().uploads.tickets.forget(1);
        assert!(hub.redeem_upload(&token).await.is_none());
    }

    #[tokio::test]
    async fn a_newer_connection_of_a_system_waits_until_the_older_one_has_written() {
        let (_folder, hub) = hub(8);
        let older = hub.redeem_upload(&hub.admit_upload(1, "SN-1", "key").unwrap()).await.unwrap();
        let writes = Arc::clone(&older.writes);
        let token = hub.admit_upload(1, "sn-1", "key").unwrap();
        let newer = {
            let hub = Arc::clone(&hub);
            tokio::spawn(async move { hub.redeem_upload(&token).await })
        };
        older.cut.happens().await;
        drop(older);
        tokio::task::yield_now().await;
        assert!(!newer.is_finished());
        drop(writes);
        let newer = newer.await.unwrap().unwrap();
        assert_eq!(hub.all_uploading().len(), 1);
        drop(newer);
        assert!(hub.all_uploading().is_empty());
    }

    #[tokio::test]
    async fn who_asks_for_too_many_tickets_and_who_comes_when_all_places_are_taken_gets_none() {
        let (_folder, hub) = hub(1);
        let tokens: Vec<_> = (0..TICKETS_EACH).map(|_| hub.admit_upload(1, "SN-1", "key").unwrap()).collect();
        assert!(matches!(hub.admit_upload(1, "SN-1", "key"), Err(NoTicket::Tickets)));
        assert!(matches!(hub.admit_upload(2, "SN-2", "key"), Err(NoTicket::Busy)));
        hub.lock().uploads.tickets.forget(1);
        let other = hub.redeem_upload(&hub.admit_upload(2, "SN-2", "key").unwrap()).await.unwrap();
        assert!(matches!(hub.admit_upload(1, "SN-1", "key"), Err(NoTicket::Busy)));
        drop(other);
        assert!(hub.admit_upload(1, "SN-1", "key").is_ok());
        assert!(hub.redeem_upload(&tokens[0]).await.is_none());
    }
}
