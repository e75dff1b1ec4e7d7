//! The IPv4 addressing of one port with carrier: a lease, a fixed address or a link-local one, each probed before it is
//! told of and defended afterwards. Pure: it is told the time and given frames, and tells what to send and what is new. It
//! never sets an address.
//!
//! ```text
//!   Dhcp ──lease──► probe ──passed──► Leased ◄─── renewed
//!    ▲  ▲             │                 │ ended, refused ───────────► Lost
//!    │  └─ decline ───┴── another claims it twice in 10 s ──► Conflict, Lost
//!    └─ nothing for a while: a link-local address, probed ──► LinkLocal; the lease replaces it
//!   Static ──► probe ──passed──► Usable; a claim: Conflict, defended, kept
//! ```

use crate::arp::Arp;
use crate::conflict::{Contest, DEFEND_EVERY, Due, Guard, QUICK, UNHURRIED};
use crate::dhcp::{Dhcp, Said};
use crate::frame::{Verdict, Watched, judge};
use crate::lease::{Lease, Refusal};
use crate::linklocal;
use crate::random::Random;
use smoltcp::time::{Duration, Instant};
use std::io;
use std::net::Ipv4Addr;

/// How a port gets its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From a DHCP server.
    Dhcp {
        /// After how much time without a lease it takes a link-local address; none: never.
        link_local_after: Option<std::time::Duration>,
        /// The name that the server is told (option 12); one that is no host name is not sent.
        host_name: Option<String>,
        /// The address that it had before, and asks for again.
        wanted: Option<Ipv4Addr>,
    },
    /// From the administrator.
    Static {
        /// The address.
        address: Ipv4Addr,
    },
    /// Its own choice of 169.254.0.0/16 (RFC 3927).
    LinkLocal,
}

/// What a port's client has to say. At most one address is told of at a time: a new one replaces the one before.
#[derive(Debug)]
pub enum News {
    /// The lease is this one, or this one again, and nobody else has its address: it may be used.
    Leased(Lease),
    /// This link-local address may be used, with prefix 16.
    LinkLocal(Ipv4Addr),
    /// The fixed address may be used.
    Usable {
        /// The address.
        address: Ipv4Addr,
    },
    /// The address that was told of last may be used no more: its time is over, the server has taken it back, or another
    /// host has it.
    Lost,
    /// Another host claims an address. Said at most once in ten seconds for an address in use.
    Conflict {
        /// The address.
        address: Ipv4Addr,
        /// Who claims it.
        mac: [u8; 6],
        /// Whether it is given up, or not taken in the first place. If it was in use, [`News::Lost`] follows.
        gave_up: bool,
    },
    /// The client cannot go on.
    Failed(io::Error),
}

/// An address that a port chose itself, or that the administrator gave it.
struct Own {
    fixed: Option<Ipv4Addr>,
    guard: Option<Guard>,
    /// When the next attempt begins.
    again_at: Instant,
    /// How many addresses were given up.
    conflicts: u32,
}

/// A lease whose address is probed or in use.
struct Held {
    lease: Lease,
    guard: Guard,
}

/// The addressing of one port.
pub struct Addressing {
    mac: [u8; 6],
    random: Random,
    dhcp: Option<Dhcp>,
    held: Option<Held>,
    own: Option<Own>,
    link_local_after: Option<Duration>,
    /// Since when there is no lease.
    alone_since: Instant,
    frames: Vec<Vec<u8>>,
    news: Vec<News>,
    refusals: Vec<Refusal>,
}

impl Addressing {
    /// The addressing of the port with the hardware address `mac`, from now on. Nobody outside may guess the seed.
    pub fn new(mac: [u8; 6], mode: Mode, now: Instant, seed: u64) -> Self {
        let own = |fixed| Some(Own { fixed, guard: None, again_at: now, conflicts: 0 });
        let mut addressing = Self {
            mac,
            random: Random::new(seed.rotate_left(32)),
            dhcp: None,
            held: None,
            own: None,
            link_local_after: None,
            alone_since: now,
            frames: Vec::new(),
            news: Vec::new(),
            refusals: Vec::new(),
        };
        match mode {
            Mode::Dhcp { link_local_after, host_name, wanted } => {
                addressing.dhcp = Some(Dhcp::new(mac, host_name, wanted, seed));
                addressing.link_local_after = link_local_after.map(Into::into);
            }
            Mode::Static { address } => addressing.own = own(Some(address)),
            Mode::LinkLocal => addressing.own = own(None),
        }
        addressing
    }

    /// The addresses of which others' questions matter.
    pub fn watched(&self) -> Watched {
        let held = self.held.iter().map(|held| held.guard.address());
        let own = self.own.iter().filter_map(|own| own.guard.as_ref()).map(Guard::address);
        Watched::new(held.chain(own))
    }

    /// What is to be sent.
    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.frames)
    }

    /// What is new.
    pub fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// What was offered and cannot be taken.
    pub fn refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// When something is due next, unless a frame comes before.
    pub fn next(&mut self, now: Instant) -> Option<Instant> {
        let held = self.held.as_ref().and_then(|held| held.guard.next());
        let own = self.own.as_ref().and_then(|own| match &own.guard {
            Some(guard) => guard.next(),
            None => Some(own.again_at),
        });
        let fall_back = self.falls_back_at();
        let dhcp = self.dhcp.as_mut().map(|dhcp| dhcp.next(now));
        [held, own, fall_back, dhcp].into_iter().flatten().min()
    }

    fn falls_back_at(&self) -> Option<Instant> {
        let free = self.held.is_none() && self.own.is_none();
        self.link_local_after.filter(|_| free).map(|after| self.alone_since + after)
    }

    /// Takes in a frame from the cable.
    pub fn take(&mut self, now: Instant, mut frame: Vec<u8>) {
        match judge(&mut frame, self.mac, self.watched()) {
            Verdict::Drop => {}
            Verdict::Refuse(refusal) => self.refusals.push(refusal),
            Verdict::Arp(arp) => {
                self.hear_held(now, &arp);
                self.hear_own(now, &arp);
                if let Some(dhcp) = self.dhcp.as_mut().filter(|_| arp.answer) {
                    dhcp.take_arp(now, frame);
                }
            }
            Verdict::Pass => self.dhcp_takes(now, frame, None),
            Verdict::Lease(lease) => self.dhcp_takes(now, frame, Some(lease)),
        }
        self.collect(now);
    }

    fn dhcp_takes(&mut self, now: Instant, frame: Vec<u8>, lease: Option<Lease>) {
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.take(now, frame, lease);
        }
    }

    /// Does what is due.
    pub fn poll(&mut self, now: Instant) {
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.poll(now);
        }
        self.collect(now);
        self.poll_held(now);
        if self.falls_back_at().is_some_and(|at| at <= now) {
            self.own = Some(Own { fixed: None, guard: None, again_at: now, conflicts: 0 });
        }
        self.poll_own(now);
    }

    /// What the DHCP client has come to, and what it wants to send.
    fn collect(&mut self, now: Instant) {
        let Some(dhcp) = &mut self.dhcp else { return };
        self.frames.extend(dhcp.frames());
        for said in dhcp.said() {
            match said {
                Said::Lease(lease) => self.lease(now, lease),
                Said::Lost => self.lose(now),
            }
        }
    }

    fn lease(&mut self, now: Instant, lease: Lease) {
        if let Some(held) = self.held.as_mut().filter(|held| held.lease.address() == lease.address()) {
            held.lease = lease;
            if held.guard.passed() {
                self.news.push(News::Leased(held.lease.clone()));
            }
            return;
        }
        self.lose(now);
        let guard = Guard::new(self.mac, lease.address(), QUICK, now, &mut self.random);
        self.held = Some(Held { lease, guard });
    }

    fn lose(&mut self, now: Instant) {
        if self.held.take().is_some_and(|held| held.guard.passed()) {
            self.alone_since = now;
            self.news.push(News::Lost);
        }
    }

    fn poll_held(&mut self, now: Instant) {
        let Some(held) = &mut self.held else { return };
        while let Some(due) = held.guard.due(now, &mut self.random) {
            match due {
                Due::Send(frame) => self.frames.push(frame),
                Due::Passed => {
                    // The link-local address has done its duty (RFC 3927, section 1.9).
                    self.own = None;
                    self.news.push(News::Leased(held.lease.clone()));
                }
            }
        }
    }

    fn poll_own(&mut self, now: Instant) {
        let Some(own) = &mut self.own else { return };
        if own.guard.is_none() && now >= own.again_at {
            // A link-local address is drawn by lot: it takes the time that the standard wants.
            let (address, schedule) = match own.fixed {
                Some(address) => (address, QUICK),
                None => (linklocal::address(self.mac, own.conflicts), UNHURRIED),
            };
            own.guard = Some(Guard::new(self.mac, address, schedule, now, &mut self.random));
        }
        let Some(guard) = &mut own.guard else { return };
        while let Some(due) = guard.due(now, &mut self.random) {
            match due {
                Due::Send(frame) => self.frames.push(frame),
                Due::Passed => self.news.push(match own.fixed {
                    Some(address) => News::Usable { address },
                    None => News::LinkLocal(guard.address()),
                }),
            }
        }
    }

    /// Another host's word about the leased address: defended once, then given up (RFC 5227, section 2.4 b).
    fn hear_held(&mut self, now: Instant, arp: &Arp) {
        let Some(held) = &mut self.held else { return };
        let address = held.guard.address();
        let (mac, gave_up) = match held.guard.hear(now, arp) {
            None => return,
            Some(Contest::Defended(mac)) => (mac, false),
            Some(Contest::Taken(mac) | Contest::Again(mac)) => (mac, true),
        };
        self.news.push(News::Conflict { address, mac, gave_up });
        if gave_up {
            if let Some(dhcp) = &mut self.dhcp {
                dhcp.decline(now);
            }
            self.lose(now);
        }
    }

    /// Another host's word about an address that no server gave. A link-local one is given up for another; the
    /// administrator's is kept once it is in use, whatever others say (RFC 5227, section 2.4 c).
    fn hear_own(&mut self, now: Instant, arp: &Arp) {
        let Some(own) = &mut self.own else { return };
        let Some(guard) = &mut own.guard else { return };
        let (address, used) = (guard.address(), guard.passed());
        let (mac, gave_up) = match guard.hear(now, arp) {
            None => return,
            Some(Contest::Again(_)) if own.fixed.is_some() => return,
            Some(Contest::Defended(mac)) => (mac, false),
            Some(Contest::Taken(mac) | Contest::Again(mac)) => (mac, true),
        };
        self.news.push(News::Conflict { address, mac, gave_up });
        if gave_up {
            own.guard = None;
            own.conflicts = own.conflicts.saturating_add(1);
            let wait = if own.fixed.is_some() { DEFEND_EVERY } else { linklocal::wait(own.conflicts) };
            own.again_at = now + wait;
            if used {
                self.news.push(News::Lost);
            }
        }
    }
}

#[cfg(test)]
mod tests;
