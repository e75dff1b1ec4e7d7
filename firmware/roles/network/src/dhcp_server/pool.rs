//! The addresses that the service port's DHCP server gives: a table of fixed size. It never sends anything.

use super::{ADDRESS, LEASE_SECONDS};
use smoltcp::time::{Duration, Instant};
use std::net::Ipv4Addr;

/// The addresses: 169.254.100.10 to .60.
const FIRST: u8 = 10;
const LAST: u8 = 60;
const ADDRESSES: usize = (LAST - FIRST + 1) as usize;

/// How long an offer is kept for a laptop that has not asked for it yet.
const OFFER: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(LEASE_SECONDS as u64);
/// How long an address rests that a laptop has found to be another's.
const DECLINED: Duration = Duration::from_secs(600);
/// The most addresses that rest: whoever says of all of them that they are taken does not end the service.
const DECLINED_MOST: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Offered,
    Given { told: bool },
    Declined,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: State,
    /// Who has it, or had it last.
    mac: Option<[u8; 6]>,
    until: Instant,
}

#[derive(Debug)]
pub(super) struct Pool {
    entries: [Entry; ADDRESSES],
}

impl Default for Pool {
    fn default() -> Self {
        Self { entries: [Entry { state: State::Free, mac: None, until: Instant::ZERO }; ADDRESSES] }
    }
}

impl Pool {
    /// An address for a laptop: the one it has or had, else the one it wants, else one that is free; none when all are
    /// given. Of offers that nobody has taken up, the oldest makes room.
    pub(super) fn offer(&mut self, now: Instant, mac: [u8; 6], wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        self.tidy(now);
        let at = self.of(mac).or_else(|| wanted.and_then(place).filter(|at| self.is_free(*at)));
        let at = at.or_else(|| self.best())?;
        let entry = &mut self.entries[at];
        if !matches!(entry.state, State::Given { .. }) {
            *entry = Entry { state: State::Offered, mac: Some(mac), until: now + OFFER };
        }
        Some(address(at))
    }

    /// Gives a laptop the address that it was offered, or has; false when that is another one.
    pub(super) fn confirm(&mut self, now: Instant, mac: [u8; 6], wanted: Ipv4Addr) -> bool {
        self.tidy(now);
        let Some(at) = self.of(mac).filter(|at| address(*at) == wanted) else { return false };
        let entry = &mut self.entries[at];
        let told = matches!(entry.state, State::Given { told: true });
        *entry = Entry { state: State::Given { told }, mac: Some(mac), until: now + LEASE };
        true
    }

    /// Whether this laptop's address has not been told of, which is then done.
    pub(super) fn is_news(&mut self, mac: [u8; 6]) -> bool {
        match self.of(mac).map(|at| &mut self.entries[at].state) {
            Some(State::Given { told }) => !std::mem::replace(told, true),
            _ => false,
        }
    }

    /// A laptop gives its address back. It is kept for it as long as there are others.
    pub(super) fn release(&mut self, now: Instant, mac: [u8; 6], given: Ipv4Addr) {
        if let Some(at) = self.of(mac).filter(|at| address(*at) == given) {
            self.entries[at] = Entry { state: State::Free, mac: Some(mac), until: now };
        }
    }

    /// A laptop has found its address to be another host's.
    pub(super) fn decline(&mut self, now: Instant, mac: [u8; 6], given: Ipv4Addr) {
        let Some(at) = self.of(mac).filter(|at| address(*at) == given) else { return };
        if self.entries.iter().filter(|entry| entry.state == State::Declined).count() >= DECLINED_MOST
            && let Some(oldest) = self.oldest(State::Declined)
        {
            self.entries[oldest] = Entry { state: State::Free, mac: None, until: now };
        }
        self.entries[at] = Entry { state: State::Declined, mac: None, until: now + DECLINED };
    }

    /// What has come to its end is free.
    fn tidy(&mut self, now: Instant) {
        for entry in &mut self.entries {
            if entry.state != State::Free && now >= entry.until {
                entry.state = State::Free;
            }
        }
    }

    fn of(&self, mac: [u8; 6]) -> Option<usize> {
        self.entries.iter().position(|entry| entry.mac == Some(mac))
    }

    fn is_free(&self, at: usize) -> bool {
        self.entries[at].state == State::Free
    }

    /// A free address: one that nobody had first, then the one that was given back longest ago, then the oldest offer.
    fn best(&self) -> Option<usize> {
        let unused = self.entries.iter().position(|entry| entry.state == State::Free && entry.mac.is_none());
        unused.or_else(|| self.oldest(State::Free)).or_else(|| self.oldest(State::Offered))
    }

    fn oldest(&self, state: State) -> Option<usize> {
        let entries = self.entries.iter().enumerate().filter(|(_, entry)| entry.state == state);
        entries.min_by_key(|(_, entry)| entry.until).map(|(at, _)| at)
    }
}

/// The address at a place of the table.
fn address(at: usize) -> Ipv4Addr {
    let [a, b, c, _] = ADDRESS.octets();
    Ipv4Addr::new(a, b, c, FIRST.saturating_add(u8::try_from(at).unwrap_or(u8::MAX)))
}

/// The place of an address in the table.
fn place(of: Ipv4Addr) -> Option<usize> {
    (0..ADDRESSES).find(|at| address(*at) == of)
}
