//! An attacker on a network: scans, probes, raw frames, and a count of all that the target gave away. He answers nobody but
//! who must find him to answer.

use super::NetError;
use super::cable::Frame;
use super::network::{CableHandle, Network};
use super::observe::{Observed, What, observe};
use super::packet::{self, Route};
use super::tap::Tap;
use crate::time::within;
use smoltcp::wire::{EthernetAddress, IpProtocol, TcpControl, TcpRepr, TcpSeqNumber};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// How a port answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortAnswer {
    /// Somebody serves there.
    Open,
    /// The target says that nobody does (a reset, or an ICMP port unreachable).
    Closed,
    /// Nothing came back.
    Silent,
}

/// The outcome of a scan.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// The answer of each port that was tried.
    pub answers: BTreeMap<u16, PortAnswer>,
    /// Frames that the target sent to the attacker, of whatever kind.
    pub replies: u64,
    /// How often the target asked where the attacker is (ARP, neighbour solicitation): it wanted to answer.
    pub searches: u64,
}

impl Scan {
    /// The ports with this answer.
    pub fn ports(&self, answer: PortAnswer) -> Vec<u16> {
        self.answers.iter().filter(|(_, is)| **is == answer).map(|(port, _)| *port).collect()
    }

    /// The open ports.
    pub fn open(&self) -> Vec<u16> {
        self.ports(PortAnswer::Open)
    }

    /// Whether the target gave no sign at all.
    pub fn is_mute(&self) -> bool {
        self.replies == 0 && self.searches == 0 && self.answers.values().all(|is| *is == PortAnswer::Silent)
    }
}

/// Probes on their way at once: a card's ring holds 256 frames in all drivers that were looked at.
const BATCH: usize = 128;

/// How long a batch may take to be answered before the next goes out. A silent target costs this much for each batch.
const BATCH_TIME: Duration = Duration::from_millis(10);

/// How often a port is tried that did not answer.
const ROUNDS: u16 = 3;

/// The first of the attacker's own ports.
const FROM_PORT: u16 = 40_000;

/// Whom a scan asks, and by which protocol.
type Way = (Route, IpProtocol);

/// An attacker: a raw connection, and addresses to attack from.
#[derive(Debug)]
pub struct Attacker {
    tap: Tap,
    mac: EthernetAddress,
    addresses: Vec<IpAddr>,
    rounds: u16,
    batch_time: Duration,
}

impl Network {
    /// An attacker on the network, who attacks from these addresses (one of a family).
    pub fn attacker(&self, name: &str, addresses: &[IpAddr]) -> Attacker {
        let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
        let mut mac = [0x02, 0xba, 0xd0, 0, 0, 0];
        for (to, from) in mac.iter_mut().skip(3).zip(hash.as_ref()) {
            *to = *from;
        }
        Attacker {
            tap: self.tap(name),
            mac: EthernetAddress(mac),
            addresses: addresses.to_vec(),
            rounds: ROUNDS,
            batch_time: within(BATCH_TIME),
        }
    }
}

impl Attacker {
    /// In haste: each port is tried once, and the next batch goes out after 5 ms, emulated or not. For targets that are silent
    /// on purpose, where the usual patience costs a minute and a half for all ports. Nothing is lost by it: what a machine's
    /// card does not take at once waits in its socket.
    #[must_use]
    pub fn in_haste(mut self) -> Self {
        (self.rounds, self.batch_time) = (1, Duration::from_millis(5));
        self
    }

    /// His hardware address.
    pub fn mac(&self) -> EthernetAddress {
        self.mac
    }

    /// His raw connection.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// The cable that connects him.
    pub fn cable(&self) -> CableHandle {
        self.tap.cable()
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) {
        self.tap.send(frame);
    }

    /// Asks who has an address (ARP, or neighbour solicitation) and waits for the first who says so.
    pub fn find(&self, target: IpAddr, limit: Duration) -> Result<EthernetAddress, NetError> {
        let deadline = crate::time::deadline(limit);
        let ask = packet::ask_for(target, self.mac, self.address_for(target));
        let mut ask_again = Instant::now();
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(NetError::NoNeighbour(target, limit));
            }
            if now >= ask_again {
                self.tap.send(&ask);
                ask_again = now + within(Duration::from_millis(200));
            }
            let wait = deadline.min(ask_again).saturating_duration_since(now);
            if let Some(seen) = self.tap.receive(wait).and_then(|frame| observe(&frame))
                && seen.what == (What::Tells { address: target })
            {
                return Ok(seen.from_mac);
            }
        }
    }

    /// Tries to connect to TCP ports (by SYN segments; what opens is reset at once). `patience` is how long the last answer
    /// may take. A target that does not say where it is can be scanned all the same by [`Attacker::scan_tcp_at`].
    pub fn scan_tcp(
        &self,
        target: IpAddr,
        ports: impl IntoIterator<Item = u16>,
        patience: Duration,
    ) -> Result<Scan, NetError> {
        let mac = self.find(target, patience)?;
        Ok(self.scan_tcp_at(mac, target, ports, patience))
    }

    /// The same at a hardware address.
    pub fn scan_tcp_at(
        &self,
        mac: EthernetAddress,
        target: IpAddr,
        ports: impl IntoIterator<Item = u16>,
        patience: Duration,
    ) -> Scan {
        let route = self.route(mac, target);
        let probe = |port, from_port| packet::tcp(route, &segment(port, from_port, TcpControl::Syn, 1, None));
        self.scan((route, IpProtocol::Tcp), ports, patience, probe)
    }

    /// Sends a datagram to UDP ports. One that does not answer may be open: few servers answer to anything.
    pub fn scan_udp_at(
        &self,
        mac: EthernetAddress,
        target: IpAddr,
        ports: impl IntoIterator<Item = u16>,
        data: &[u8],
        patience: Duration,
    ) -> Scan {
        let route = self.route(mac, target);
        self.scan((route, IpProtocol::Udp), ports, patience, |port, from_port| {
            packet::udp(route, from_port, port, data)
        })
    }

    /// Everything that a hardware address sends to the attacker during this time, or that it asks about him.
    pub fn replies_of(&self, mac: EthernetAddress, during: Duration) -> Vec<Frame> {
        let deadline = crate::time::deadline(during);
        let mut replies = Vec::new();
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            let Some(frame) = self.tap.receive(left) else { break };
            let Some(seen) = observe(&frame).filter(|seen| seen.from_mac == mac) else { continue };
            if seen.to_mac == self.mac || self.is_search(&seen) {
                replies.push(frame);
            }
        }
        replies
    }

    fn scan(
        &self,
        way: Way,
        ports: impl IntoIterator<Item = u16>,
        patience: Duration,
        probe: impl Fn(u16, u16) -> Vec<u8>,
    ) -> Scan {
        let answers = ports.into_iter().map(|port| (port, PortAnswer::Silent)).collect();
        let mut scan = Scan { answers, ..Scan::default() };
        self.tap.drain();
        for round in 0..self.rounds {
            let silent = scan.ports(PortAnswer::Silent);
            for batch in silent.chunks(BATCH) {
                self.tap.send_all(batch.iter().map(|port| probe(*port, FROM_PORT + round).into()));
                self.listen(&mut scan, way, batch, self.batch_time);
            }
        }
        let silent = scan.ports(PortAnswer::Silent);
        self.listen(&mut scan, way, &silent, patience);
        scan
    }

    /// Takes in what comes, until all of these ports have answered or the time is over.
    fn listen(&self, scan: &mut Scan, way: Way, waited: &[u16], limit: Duration) {
        let deadline = crate::time::deadline(limit);
        let mut missing = waited.iter().filter(|port| is_silent(scan, **port)).count();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // With all answers in, what else has come is taken as well, so that it is counted.
            let wait = if missing == 0 { Duration::ZERO } else { left };
            let Some(frame) = self.tap.receive(wait) else { return };
            let Some(seen) = observe(&frame).filter(|seen| seen.from_mac == way.0.to_mac) else { continue };
            if let Some(port) = self.take(scan, way, &seen)
                && waited.contains(&port)
            {
                missing = missing.saturating_sub(1);
            }
        }
    }

    /// Counts a frame of the target; the port that it answers for, if it is the first answer.
    fn take(&self, scan: &mut Scan, (route, asked): Way, seen: &Observed) -> Option<u16> {
        if self.is_search(seen) {
            scan.searches += 1;
            if let What::Asks { target, asker } = seen.what {
                let back = Route { from: target, to: asker, ..route };
                if let Some(frame) = packet::tell(back) {
                    self.tap.send(&frame);
                }
            }
            return None;
        }
        if seen.to_mac != self.mac {
            return None;
        }
        scan.replies += 1;
        // What comes late, to a scan by another protocol before this one, is an answer to that.
        let (port, answer) = match seen.what {
            What::Segment { from, from_port, to_port, syn, ack, rst, ack_number }
                if from == route.to && asked == IpProtocol::Tcp =>
            {
                if syn && ack {
                    // The number it waits for: without it the reset would be ignored, and the target would keep asking.
                    let reset = segment(from_port, to_port, TcpControl::Rst, ack_number, None);
                    self.tap.send(&packet::tcp(route, &reset));
                    (from_port, PortAnswer::Open)
                } else if rst {
                    (from_port, PortAnswer::Closed)
                } else {
                    return None;
                }
            }
            What::Datagram { from, from_port, .. } if from == route.to && asked == IpProtocol::Udp => {
                (from_port, PortAnswer::Open)
            }
            What::Unreachable { from, protocol, to_port, .. } if from == route.to && protocol == asked => {
                (to_port, PortAnswer::Closed)
            }
            _ => return None,
        };
        let known = scan.answers.get_mut(&port).filter(|known| **known == PortAnswer::Silent)?;
        *known = answer;
        Some(port)
    }

    fn is_search(&self, seen: &Observed) -> bool {
        matches!(seen.what, What::Asks { target, .. } if self.addresses.contains(&target))
    }

    fn route(&self, to_mac: EthernetAddress, to: IpAddr) -> Route {
        Route { from_mac: self.mac, to_mac, from: self.address_for(to), to }
    }

    /// His address of the target's family.
    pub(super) fn address_for(&self, target: IpAddr) -> IpAddr {
        let same_family = |address: &&IpAddr| address.is_ipv4() == target.is_ipv4();
        let fallback = match target {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        };
        self.addresses.iter().find(same_family).copied().unwrap_or(fallback)
    }
}

fn is_silent(scan: &Scan, port: u16) -> bool {
    scan.answers.get(&port) == Some(&PortAnswer::Silent)
}

fn segment(
    to_port: u16,
    from_port: u16,
    control: TcpControl,
    number: i32,
    ack: Option<i32>,
) -> TcpRepr<'static> {
    TcpRepr {
        src_port: from_port,
        dst_port: to_port,
        control,
        seq_number: TcpSeqNumber(number),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 1024,
        window_scale: None,
        max_seg_size: (control == TcpControl::Syn).then_some(1460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}
