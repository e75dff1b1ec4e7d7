//! Which client has which address, until when. It never speaks.

use smoltcp::wire::EthernetAddress;
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How long an offered address is kept for whom it was offered to.
const OFFER_STANDS: Duration = Duration::from_mins(1);

/// Who a client is: the identifier it sends, or its hardware address (RFC 2131 section 4.2).
pub(super) type ClientKey = Vec<u8>;

#[derive(Debug, Clone)]
struct Lease {
    mac: EthernetAddress,
    address: Ipv4Addr,
    until: Instant,
    /// The client took the offer.
    bound: bool,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    leases: HashMap<ClientKey, Lease>,
    /// Addresses that a client found in use.
    declined: HashSet<Ipv4Addr>,
}

impl Pool {
    /// An address for a client: the one it has or had, the one it wants, or the first that is free.
    pub(super) fn offer(
        &mut self,
        key: &ClientKey,
        mac: EthernetAddress,
        wanted: Option<Ipv4Addr>,
        range: &(impl Iterator<Item = Ipv4Addr> + Clone),
        now: Instant,
    ) -> Option<Ipv4Addr> {
        let earlier = self.leases.get(key).map(|lease| lease.address);
        let usable =
            |address: &Ipv4Addr| range.clone().any(|any| any == *address) && self.is_free(*address, key, now);
        let fitting = earlier.into_iter().chain(wanted).find(usable);
        let address = fitting.or_else(|| range.clone().find(|address| self.is_free(*address, key, now)))?;
        let still_bound =
            self.leases.get(key).is_some_and(|l| l.bound && l.address == address && l.until > now);
        if !still_bound {
            let until = now + OFFER_STANDS;
            self.leases.insert(key.clone(), Lease { mac, address, until, bound: false });
        }
        Some(address)
    }

    /// Whether nobody else has an address.
    pub(super) fn is_free(&self, address: Ipv4Addr, key: &ClientKey, now: Instant) -> bool {
        let taken = |(other, lease): (&ClientKey, &Lease)| {
            other != key && lease.address == address && lease.until > now
        };
        !self.declined.contains(&address) && !self.leases.iter().any(taken)
    }

    /// Whether the server knows the client.
    pub(super) fn knows(&self, key: &ClientKey) -> bool {
        self.leases.contains_key(key)
    }

    pub(super) fn bind(&mut self, key: &ClientKey, mac: EthernetAddress, address: Ipv4Addr, until: Instant) {
        self.leases.insert(key.clone(), Lease { mac, address, until, bound: true });
    }

    pub(super) fn release(&mut self, key: &ClientKey) {
        self.leases.remove(key);
    }

    pub(super) fn decline(&mut self, key: &ClientKey, address: Ipv4Addr) {
        self.leases.remove(key);
        self.declined.insert(address);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn lease_of(&self, mac: EthernetAddress, now: Instant) -> Option<Ipv4Addr> {
        let mut valid =
            self.leases.values().filter(|lease| lease.mac == mac && lease.bound && lease.until > now);
        valid.next().map(|lease| lease.address)
    }
}
