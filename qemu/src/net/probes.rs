//! What an attacker learns of his neighbours by asking, and how he answers DHCP. He only asks; [`super::attacker`] scans.

use super::attacker::Attacker;
use super::dhcp::{Asked, HostileDhcp};
use super::observe::{What, observe};
use super::packet::{self, ALL_NODES, link_local};
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv6Packet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Hostile answers that go out at once. A client's ring holds more.
const BURST: usize = 64;

/// How long a client has for a burst.
const BETWEEN_BURSTS: Duration = Duration::from_millis(20);

impl Attacker {
    /// Asks who has an address, whatever network it is of (ARP, or a neighbour solicitation), and returns all who say during
    /// this time that they have it.
    pub fn who_has(&self, target: impl Into<IpAddr>, during: Duration) -> Vec<EthernetAddress> {
        let target = target.into();
        self.tap().drain();
        self.send(&packet::ask_for(target, self.mac(), self.address_for(target)));
        self.collect(during, |frame| {
            let seen = observe(frame)?;
            (seen.what == What::Tells { address: target }).then_some(seen.from_mac)
        })
    }

    /// Asks, as who would use the address himself, whether it is free (RFC 5227 section 2.1; RFC 4862 section 5.4), and
    /// returns all who say during this time that it is theirs.
    pub fn probe(&self, target: impl Into<IpAddr>, during: Duration) -> Vec<EthernetAddress> {
        let target = target.into();
        let nobody = match target {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        self.tap().drain();
        // By IPv6, the answer to nobody goes to all.
        self.send(&packet::ask_for(target, self.mac(), nobody));
        self.collect(during, |frame| {
            let seen = observe(frame)?;
            (seen.what == What::Tells { address: target }).then_some(seen.from_mac)
        })
    }

    /// Pings all nodes by IPv6 (`ff02::1`), and returns all who answer during this time.
    pub fn ping_all_nodes(&self, during: Duration) -> Vec<(EthernetAddress, Ipv6Addr)> {
        let from = match self.address_for(IpAddr::V6(ALL_NODES)) {
            IpAddr::V6(own) if !own.is_unspecified() => own,
            _ => link_local(self.mac()),
        };
        self.tap().drain();
        // An echo request (RFC 4443 section 4.1).
        let echo = packet::icmpv6(self.mac(), from, ALL_NODES, b"\x80\0\0\0\x6c\x6c\0\x01drawbridge");
        self.send(&echo);
        let mut told = Vec::new();
        self.collect(during, |frame| {
            // Who would answer asks first where the attacker is.
            if let Some(seen) = observe(frame)
                && let What::Asks { target, asker: IpAddr::V6(asker) } = seen.what
                && target == IpAddr::V6(from)
                && !told.contains(&asker)
            {
                told.push(asker);
                let route = packet::Route {
                    from_mac: self.mac(),
                    to_mac: seen.from_mac,
                    from: target,
                    to: asker.into(),
                };
                if let Some(answer) = packet::tell(route) {
                    self.send(&answer);
                    // Small stacks forget what they could not answer at once.
                    self.send(&echo);
                }
            }
            echo_reply(frame)
        })
    }

    /// Answers each DHCP client that asks with hostile answers, in bursts that a card takes, until so many are sent or the
    /// time is over; returns how many were. A client that has fallen silent gets more with the number it used last.
    pub fn attack_dhcp(&self, seed: u64, answers: usize, within: Duration) -> usize {
        let server = match self.address_for(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
            IpAddr::V4(own) => own,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let mut source = HostileDhcp::new(seed, self.mac(), server);
        let deadline = crate::time::deadline(within);
        let mut asked = None;
        let mut sent = 0;
        while sent < answers && Instant::now() < deadline {
            let wait = if asked.is_some() { BETWEEN_BURSTS } else { Duration::from_millis(100) };
            while let Some(frame) =
                self.tap().receive(wait.min(deadline.saturating_duration_since(Instant::now())))
            {
                if let Some(by) = Asked::by(&frame) {
                    asked = Some(by);
                    break;
                }
            }
            let Some(asked) = asked else { continue };
            let burst = BURST.min(answers - sent);
            self.tap().send_all((0..burst).map(|_| source.answer(asked).into()));
            sent += burst;
        }
        sent
    }

    /// All different answers that come during this time.
    fn collect<T: PartialEq>(&self, during: Duration, mut answer: impl FnMut(&[u8]) -> Option<T>) -> Vec<T> {
        let deadline = crate::time::deadline(during);
        let mut answers = Vec::new();
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            let Some(frame) = self.tap().receive(left) else { break };
            if let Some(answer) = answer(&frame)
                && !answers.contains(&answer)
            {
                answers.push(answer);
            }
        }
        answers
    }
}

/// Who answers an echo request (`ICMPv6` type 129).
fn echo_reply(frame: &[u8]) -> Option<(EthernetAddress, Ipv6Addr)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv6 {
        return None;
    }
    let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
    let is_reply = ip.next_header() == IpProtocol::Icmpv6 && ip.payload().first() == Some(&129);
    is_reply.then(|| (ethernet.src_addr(), ip.src_addr()))
}
