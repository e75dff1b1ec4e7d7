//! Tickets for a system's connections about recordings: given on its control connection, good once, for a while, and as long as that
//! connection lasts. It opens nothing, and keeps a ticket's hash only.

use super::key;
use drawbridge_wire::{TICKET_LIVES, Token};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Tickets for one purpose that one control connection may have open.
pub(super) const TICKETS_EACH: usize = 4;
const LIVES: Duration = Duration::from_secs(TICKET_LIVES);

/// Why there is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTicket {
    /// It has open ones.
    Tickets,
    /// All places are taken.
    Busy,
    /// The kernel gives no random numbers.
    Random,
}

/// A ticket.
pub(super) struct Ticket {
    connection: u64,
    pub(super) serial: String,
    pub(super) login_key: String,
    since: Instant,
}

/// Tickets for one purpose, by the hash of the token.
#[derive(Default)]
pub(super) struct Tickets(HashMap<Vec<u8>, Ticket>);

impl Tickets {
    /// A control connection is gone, and its tickets with it.
    pub(super) fn forget(&mut self, connection: u64) {
        self.0.retain(|_, ticket| ticket.connection != connection);
    }

    /// How many that are still good were given on this connection, and on others.
    pub(super) fn open(&mut self, connection: u64) -> (usize, usize) {
        self.0.retain(|_, ticket| ticket.since.elapsed() < LIVES);
        let own = self.0.values().filter(|ticket| ticket.connection == connection).count();
        (own, self.0.len() - own)
    }

    /// One for the system behind a control connection.
    pub(super) fn give(&mut self, connection: u64, serial: &str, login_key: &str) -> Result<Token, NoTicket> {
        if self.open(connection).0 >= TICKETS_EACH {
            return Err(NoTicket::Tickets);
        }
        let token = Token::random().map_err(|_| NoTicket::Random)?;
        let (serial, login_key) = (serial.to_owned(), login_key.to_owned());
        let ticket = Ticket { connection, serial, login_key, since: Instant::now() };
        self.0.insert(key(&token), ticket);
        Ok(token)
    }

    /// Redeems one, once.
    pub(super) fn redeem(&mut self, token: &Token) -> Option<Ticket> {
        self.0.remove(&key(token)).filter(|ticket| ticket.since.elapsed() < LIVES)
    }
}
