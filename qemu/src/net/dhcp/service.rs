//! The server's decisions (RFC 2131 section 4.3). It never touches the network.

use super::message::{self, ClientMessage, ServerMessage};
use super::pool::{ClientKey, Pool};
use super::{DhcpBehaviour, DhcpConfig, DhcpCounters, DhcpSeen, Signal};
use smoltcp::wire::{DhcpMessageType as Kind, EthernetAddress, Ipv4Cidr};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

/// Messages of clients that are kept to be looked at.
const SEEN_LIMIT: usize = 1000;

#[derive(Debug)]
pub(in super::super) struct DhcpService {
    config: DhcpConfig,
    behaviour: DhcpBehaviour,
    mac: EthernetAddress,
    own: Ipv4Cidr,
    pool: Pool,
    counters: DhcpCounters,
    seen: VecDeque<DhcpSeen>,
    changed: Arc<Signal>,
}

impl DhcpService {
    pub(in super::super) fn new(
        config: DhcpConfig,
        mac: EthernetAddress,
        own: Ipv4Cidr,
        changed: Arc<Signal>,
    ) -> Self {
        Self {
            config,
            behaviour: DhcpBehaviour::default(),
            mac,
            own,
            pool: Pool::default(),
            counters: DhcpCounters::default(),
            seen: VecDeque::new(),
            changed,
        }
    }

    /// Whether a frame is the server's, so that the host's stack need not see it.
    pub(in super::super) fn takes(frame: &[u8]) -> bool {
        message::is_for_server(frame)
    }

    /// The frame that answers one that the server takes.
    pub(in super::super) fn answer(&mut self, frame: &[u8], now: Instant) -> Option<Vec<u8>> {
        let answer = match message::parse(frame) {
            Some(asked) if !asked.relayed => {
                self.remember(&asked, now);
                self.decide(&asked, now)
            }
            Some(_) => None,
            None => {
                self.counters.malformed += 1;
                None
            }
        };
        self.changed.raise();
        answer
    }

    fn decide(&mut self, asked: &ClientMessage, now: Instant) -> Option<Vec<u8>> {
        let key = asked.client_id().map_or_else(|| asked.mac.0.to_vec(), <[u8]>::to_vec);
        match asked.kind {
            Kind::Discover => {
                self.counters.discover += 1;
                self.offer(asked, &key, now)
            }
            Kind::Request => {
                self.counters.request += 1;
                self.request(asked, &key, now)
            }
            Kind::Decline => {
                self.counters.decline += 1;
                self.pool.decline(&key, asked.requested()?);
                None
            }
            Kind::Release => {
                self.counters.release += 1;
                self.pool.release(&key);
                None
            }
            Kind::Inform => {
                self.counters.inform += 1;
                let silent = self.behaviour == DhcpBehaviour::Silent;
                let frame = (!silent).then(|| self.say(Kind::Ack, asked, Ipv4Addr::UNSPECIFIED)).flatten();
                self.counters.ack += u64::from(frame.is_some());
                frame
            }
            _ => {
                self.counters.malformed += 1;
                None
            }
        }
    }

    fn offer(&mut self, asked: &ClientMessage, key: &ClientKey, now: Instant) -> Option<Vec<u8>> {
        if self.behaviour == DhcpBehaviour::Silent {
            return None;
        }
        let range = self.range();
        let address = self.pool.offer(key, asked.mac, asked.requested(), &range, now)?;
        let frame = self.say(Kind::Offer, asked, address)?;
        self.counters.offer += 1;
        Some(frame)
    }

    /// A client that selects an offer names server and address; one that reboots names the address; one that renews
    /// has it (section 4.3.2).
    fn request(&mut self, asked: &ClientMessage, key: &ClientKey, now: Instant) -> Option<Vec<u8>> {
        let selected = asked.server();
        if selected.is_some_and(|server| server != self.own.address()) {
            // It took another server's offer.
            self.pool.release(key);
            return None;
        }
        let has = Some(asked.has).filter(|address| !address.is_unspecified());
        match self.behaviour {
            DhcpBehaviour::Silent | DhcpBehaviour::OfferOnly => return None,
            DhcpBehaviour::NoRenewal if has.is_some() => return None,
            DhcpBehaviour::Refuse => return self.refuse(asked),
            DhcpBehaviour::RefuseRenewal if has.is_some() => return self.refuse(asked),
            DhcpBehaviour::Normal | DhcpBehaviour::NoRenewal | DhcpBehaviour::RefuseRenewal => {}
        }
        let address = asked.requested().or(has)?;
        let usable = self.range().any(|any| any == address) && self.pool.is_free(address, key, now);
        if !usable {
            return self.refuse(asked);
        }
        if selected.is_none() && !self.pool.knows(key) && has.is_none() {
            // A client that reboots, and of which there is no record: another server may have one.
            return None;
        }
        let frame = self.say(Kind::Ack, asked, address)?;
        self.pool.bind(key, asked.mac, address, now + self.config.lease);
        self.counters.ack += 1;
        Some(frame)
    }

    fn refuse(&mut self, asked: &ClientMessage) -> Option<Vec<u8>> {
        let frame = self.say(Kind::Nak, asked, Ipv4Addr::UNSPECIFIED)?;
        self.counters.nak += 1;
        Some(frame)
    }

    fn say(&self, kind: Kind, asked: &ClientMessage, gives: Ipv4Addr) -> Option<Vec<u8>> {
        let configures = kind != Kind::Nak;
        let leases = configures && !gives.is_unspecified();
        let router = self.config.router.unwrap_or(self.own.address());
        let message = ServerMessage {
            kind,
            server_mac: self.mac,
            server: self.own.address(),
            gives,
            mask: configures.then(|| self.own.netmask()),
            lease_seconds: leases.then(|| u32::try_from(self.config.lease.as_secs()).unwrap_or(u32::MAX)),
            router: Some(router).filter(|router| configures && !router.is_unspecified()),
            dns: if configures { &self.config.dns } else { &[] },
            options: if configures { &self.config.options } else { &[] },
        };
        message.frame(asked)
    }

    fn range(&self) -> impl Iterator<Item = Ipv4Addr> + Clone + use<> {
        let first = u32::from(self.config.first);
        let own = self.own.address();
        let end = first.saturating_add(self.config.count);
        (first..end).map(Ipv4Addr::from).filter(move |address| *address != own)
    }

    fn remember(&mut self, asked: &ClientMessage, now: Instant) {
        if self.seen.len() >= SEEN_LIMIT {
            self.seen.pop_front();
        }
        self.seen.push_back(DhcpSeen {
            at: now,
            kind: asked.kind,
            client: asked.mac,
            requested: asked.requested(),
            has: asked.has,
            options: asked.options.clone(),
        });
    }

    pub(super) fn lease_of(&self, client: EthernetAddress, now: Instant) -> Option<Ipv4Addr> {
        self.pool.lease_of(client, now)
    }

    pub(super) fn counters(&self) -> DhcpCounters {
        self.counters
    }

    pub(super) fn seen(&self) -> Vec<DhcpSeen> {
        self.seen.iter().cloned().collect()
    }

    pub(super) fn set_behaviour(&mut self, behaviour: DhcpBehaviour) {
        self.behaviour = behaviour;
    }

    pub(super) fn set_config(&mut self, config: DhcpConfig) {
        self.config = config;
    }

    pub(super) fn forget_leases(&mut self) {
        self.pool.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::packet::{self, Route};
    use super::*;

    fn service(config: DhcpConfig) -> DhcpService {
        let own = Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, 1), 24);
        DhcpService::new(config, EthernetAddress([2, 0, 0, 0, 0, 1]), own, Arc::default())
    }

    /// A message of a client with these options (each its code, length and data).
    fn frame(options: &[u8]) -> Vec<u8> {
        let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
        message.resize(28, 0);
        message.extend([2, 0, 0, 0, 0, 9]);
        message.resize(236, 0);
        message.extend([0x63, 0x82, 0x53, 0x63]);
        message.extend(options);
        message.push(255);
        let route = Route {
            from_mac: EthernetAddress([2, 0, 0, 0, 0, 9]),
            to_mac: EthernetAddress::BROADCAST,
            from: Ipv4Addr::UNSPECIFIED.into(),
            to: Ipv4Addr::BROADCAST.into(),
        };
        packet::udp(route, 68, 67, &message)
    }

    const DISCOVER: [u8; 3] = [53, 1, 1];
    const REBOOT: [u8; 9] = [53, 1, 3, 50, 4, 10, 0, 0, 77];

    #[test]
    fn a_client_that_reboots_is_refused_a_foreign_address_and_not_answered_about_an_unknown_one() {
        let mut service = service(DhcpConfig::pool([10, 0, 0, 100], 5));
        let now = Instant::now();
        assert!(service.answer(&frame(&REBOOT), now).is_some());
        assert_eq!(service.counters().nak, 1, "10.0.0.77 is not in the pool");
        let unknown = [53, 1, 3, 50, 4, 10, 0, 0, 101];
        assert!(service.answer(&frame(&unknown), now).is_none(), "another server may know this client");
        assert!(service.answer(&frame(&DISCOVER), now).is_some());
        assert!(service.answer(&frame(&unknown), now).is_some(), "now it is known, and that address is free");
    }

    #[test]
    fn a_server_that_gives_no_renewal_gives_leases_first() {
        for (behaviour, naks) in [(DhcpBehaviour::NoRenewal, 0), (DhcpBehaviour::RefuseRenewal, 1)] {
            let mut service = service(DhcpConfig::pool([10, 0, 0, 100], 5));
            service.set_behaviour(behaviour);
            let now = Instant::now();
            service.answer(&frame(&DISCOVER), now);
            let selects = [53, 1, 3, 50, 4, 10, 0, 0, 100, 54, 4, 10, 0, 0, 1];
            assert!(service.answer(&frame(&selects), now).is_some());
            let mut renews = frame(&[53, 1, 3]);
            // The client's address, behind the headers of Ethernet, IPv4 and UDP.
            renews.get_mut(54..58).unwrap().copy_from_slice(&[10, 0, 0, 100]);
            assert_eq!(service.answer(&renews, now).is_some(), naks > 0);
            assert_eq!((service.counters().ack, service.counters().nak), (1, naks));
        }
    }

    #[test]
    fn another_servers_client_is_left_alone() {
        let mut service = service(DhcpConfig::pool([10, 0, 0, 100], 5));
        let chosen = [53, 1, 3, 50, 4, 10, 0, 0, 100, 54, 4, 10, 0, 0, 2];
        assert!(service.answer(&frame(&chosen), Instant::now()).is_none());
        assert_eq!(service.lease_of(EthernetAddress([2, 0, 0, 0, 0, 9]), Instant::now()), None);
    }

    #[test]
    fn a_declined_address_is_not_offered_again() {
        let mut service = service(DhcpConfig::pool([10, 0, 0, 100], 1));
        let now = Instant::now();
        assert!(service.answer(&frame(&DISCOVER), now).is_some());
        service.answer(&frame(&[53, 1, 4, 50, 4, 10, 0, 0, 100]), now);
        assert!(service.answer(&frame(&DISCOVER), now).is_none());
    }

    #[test]
    fn options_beyond_a_frame_are_not_sent() {
        let config =
            (0..8).fold(DhcpConfig::pool([10, 0, 0, 100], 1), |config, _| config.option(43, &[7; 255]));
        assert!(service(config).answer(&frame(&DISCOVER), Instant::now()).is_none());
    }

    #[test]
    fn cut_and_damaged_messages_are_no_trouble() {
        let whole = frame(&[53, 1, 3, 50, 4, 10, 0, 0, 100, 61, 7, 1, 2, 0, 0, 0, 0, 9, 12, 3, 65, 66, 67]);
        for length in 0..whole.len() {
            let mut service = service(DhcpConfig::pool([10, 0, 0, 100], 5));
            service.answer(whole.get(..length).unwrap(), Instant::now());
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                *damaged.get_mut(length).unwrap() = value;
                service.answer(&damaged, Instant::now());
            }
        }
    }
}
