//! Which appliances ask for recordings back, and who may: a few at once of each system, and of all. It reads no recording itself.

use super::Hub;
use super::tickets::{NoTicket, Ticket, Tickets};
use crate::guard::Cut;
use drawbridge_wire::Token;
use std::collections::HashMap;
use std::sync::Arc;

/// So many connections of one system at once, with those that were admitted: its owner looks at a list while he takes two away.
const AT_ONCE_EACH: usize = 4;
/// So many of all systems: each holds a part of a recording, and reads the disk.
const AT_ONCE: usize = 64;

/// A system's connection.
struct UnderWay {
    serial: String,
    login_key: String,
    cut: Cut,
}

#[derive(Default)]
pub(super) struct Fetches {
    pub(super) tickets: Tickets,
    under_way: HashMap<u64, UnderWay>,
}

/// A connection on which a system asks for recordings. Dropped, its place is free.
pub(crate) struct Fetching {
    hub: Arc<Hub>,
    number: u64,
    /// The system, as its login said.
    pub(crate) serial: String,
    /// By which key it has logged in.
    pub(crate) login_key: String,
    /// What ends it.
    pub(crate) cut: Cut,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.hub.lock().fetches.under_way.remove(&self.number);
    }
}

impl Hub {
    /// A ticket for the system behind a control connection.
    pub(crate) fn admit_fetch(
        &self,
        connection: u64,
        serial: &str,
        login_key: &str,
    ) -> Result<Token, NoTicket> {
        let Fetches { tickets, under_way } = &mut self.lock().fetches;
        let (own, others) = tickets.open(connection);
        let of_it = under_way.values().filter(|one| one.serial.eq_ignore_ascii_case(serial)).count();
        if of_it + own >= AT_ONCE_EACH || under_way.len() + own + others >= AT_ONCE {
            return Err(NoTicket::Busy);
        }
        tickets.give(connection, serial, login_key)
    }

    /// Redeems a ticket, once.
    pub(crate) fn redeem_fetch(self: &Arc<Self>, token: &Token) -> Option<Fetching> {
        let number = self.number();
        let Fetches { tickets, under_way } = &mut self.lock().fetches;
        let Ticket { serial, login_key, .. } = tickets.redeem(token)?;
        let cut = Cut::new();
        under_way.insert(
            number,
            UnderWay { serial: serial.clone(), login_key: login_key.clone(), cut: cut.clone() },
        );
        Some(Fetching { hub: Arc::clone(self), number, serial, login_key, cut })
    }

    /// Every system that asks, with its login key and what ends it.
    pub(super) fn all_fetching(&self) -> Vec<(String, String, Cut)> {
        let of = |one: &UnderWay| (one.serial.clone(), one.login_key.clone(), one.cut.clone());
        self.lock().fetches.under_way.values().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::evidence::Archive;
    use crate::store::Store;

    #[test]
    fn a_system_asks_for_a_few_at_once_and_its_places_come_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let hub = Hub::new(store, Archive::new(folder.path()), Limits::default());
        let token = hub.admit_fetch(1, "SN-1", "key").unwrap();
        assert!(hub.redeem(&token).is_none(), "it is none for an engineer");
        let first = hub.redeem_fetch(&token).unwrap();
        assert_eq!(first.serial, "SN-1");
        assert!(hub.redeem_fetch(&token).is_none(), "it is good once");
        let more: Vec<_> = (1..AT_ONCE_EACH).map(|_| hub.admit_fetch(1, "sn-1", "key").unwrap()).collect();
        assert!(matches!(hub.admit_fetch(1, "SN-1", "key"), Err(NoTicket::Busy)));
        assert!(hub.admit_fetch(2, "SN-2", "key").is_ok());
        drop(first);
        assert!(hub.admit_fetch(1, "SN-1", "key").is_ok());
        // What was not used goes with the control connection.
        hub.lock().fetches.tickets.forget(1);
        assert!(hub.redeem_fetch(&more[0]).is_none());
        assert!(hub.all_fetching().is_empty());
    }
}
