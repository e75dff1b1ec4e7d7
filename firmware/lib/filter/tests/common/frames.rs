//! Frames as they are on a cable: made, thrown onto it, and watched.

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

pub(crate) const NEVER: Duration = Duration::from_secs(10);

/// One end of a cable.
pub(crate) struct Tap {
    socket: OwnedFd,
    port: LinkAddr,
}

impl Tap {
    /// Watches and speaks on the port of this name, in the network namespace of the calling thread.
    pub(crate) fn on(name: &str) -> Self {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).expect("CAP_NET_RAW");
        let port = getifaddrs()
            .expect("the ports")
            .filter(|one| one.interface_name == name)
            .find_map(|one| one.address?.as_link_addr().copied())
            .expect("the port");
        Self { socket, port }
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        sendto(self.socket.as_raw_fd(), frame, &self.port, MsgFlags::empty()).expect("the cable takes it");
    }

    /// The next frame by the appliance's end that is `wanted`, if one comes in time.
    pub(crate) fn wait(&self, within: Duration, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let end = Instant::now() + within;
        let mut buffer = [0; 2048];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                // The appliance's card ends with 02.
                Ok(length) if length >= 14 && buffer[11] == 2 && wanted(&buffer[..length]) => {
                    return Some(buffer[..length].to_vec());
                }
                Ok(_) => {}
                Err(nix::Error::EAGAIN) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(_) => return None,
            }
        }
    }
}

/// Where a frame goes and comes from.
#[derive(Clone, Copy)]
pub(crate) struct Cable(pub(crate) u8);

impl Cable {
    pub(crate) fn ours(self) -> [u8; 6] {
        [2, 0, 0, 0, self.0, 2]
    }

    fn ethernet(self, to: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
        [to.as_slice(), &[2, 0, 0, 0, self.0, 1], &kind.to_be_bytes(), payload].concat()
    }

    /// Who has `asked`? Tell `from`.
    pub(crate) fn arp(self, from: Ipv4Addr, asked: Ipv4Addr) -> Vec<u8> {
        let head = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, self.0, 1];
        self.ethernet([255; 6], 0x0806, &[head.as_slice(), &from.octets(), &[0; 6], &asked.octets()].concat())
    }

    pub(crate) fn ipv4(self, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + payload.len()).expect("a short one").to_be_bytes();
        let mut header = [69, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0].to_vec();
        header.extend(from.octets());
        header.extend(to.octets());
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum);
        let group =
            to.is_multicast().then(|| [1, 0, 0x5e, to.octets()[1] & 127, to.octets()[2], to.octets()[3]]);
        let card = if to.is_broadcast() { [255; 6] } else { group.unwrap_or(self.ours()) };
        self.ethernet(card, 0x0800, &[header, payload.to_vec()].concat())
    }

    /// `sum_at`: where the payload has its checksum.
    pub(crate) fn ipv6(
        self,
        from: Ipv6Addr,
        to: Ipv6Addr,
        hops: u8,
        next: u8,
        payload: &[u8],
        sum_at: usize,
    ) -> Vec<u8> {
        let length = u16::try_from(payload.len()).expect("a short one").to_be_bytes();
        let pseudo = [&from.octets()[..], &to.octets(), &[0, 0], &length, &[0, 0, 0, next], payload].concat();
        let mut payload = payload.to_vec();
        payload[sum_at..sum_at + 2].copy_from_slice(&checksum(&pseudo));
        let group = to.is_multicast().then(|| {
            let end = to.octets();
            [0x33, 0x33, end[12], end[13], end[14], end[15]]
        });
        // A listener query is heard only with the router alert option.
        let (next, option) = if payload[0] == 130 && next == 58 {
            (0, [58, 0, 5, 2, 0, 0, 1, 0].as_slice())
        } else {
            (next, [].as_slice())
        };
        let length = u16::try_from(payload.len() + option.len()).expect("a short one").to_be_bytes();
        let header = [0x60, 0, 0, 0, length[0], length[1], next, hops];
        let whole = [&header[..], &from.octets(), &to.octets(), option, &payload].concat();
        self.ethernet(group.unwrap_or(self.ours()), 0x86dd, &whole)
    }

    /// Who has `asked`? With `from` unspecified it is the duplicate address detection of somebody else.
    pub(crate) fn solicitation(self, from: Ipv6Addr, asked: Ipv6Addr) -> Vec<u8> {
        let end = asked.octets();
        let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, end[13], end[14], end[15]]);
        let mut body = [135, 0, 0, 0, 0, 0, 0, 0].to_vec();
        body.extend(asked.octets());
        if !from.is_unspecified() {
            body.extend([1, 1, 2, 0, 0, 0, self.0, 1]);
        }
        self.ipv6(from, group, 255, 58, &body, 2)
    }

    pub(crate) fn syn_v4(self, from: Ipv4Addr, to: Ipv4Addr, port: u16) -> Vec<u8> {
        let mut segment = syn(port);
        let pseudo = [&from.octets()[..], &to.octets(), &[0, 6, 0, 20], &segment].concat();
        segment[16..18].copy_from_slice(&checksum(&pseudo));
        self.ipv4(from, to, 6, &segment)
    }

    pub(crate) fn syn_v6(self, from: Ipv6Addr, to: Ipv6Addr, port: u16) -> Vec<u8> {
        self.ipv6(from, to, 64, 6, &syn(port), 16)
    }

    pub(crate) fn udp_v4(self, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
        let datagram = [&from.1.to_be_bytes()[..], &to.1.to_be_bytes(), &[0, 12, 0, 0], b"what"].concat();
        self.ipv4(from.0, to.0, 17, &datagram)
    }

    pub(crate) fn udp_v6(self, from: (Ipv6Addr, u16), to: (Ipv6Addr, u16)) -> Vec<u8> {
        let datagram = [&from.1.to_be_bytes()[..], &to.1.to_be_bytes(), &[0, 12, 0, 0], b"what"].concat();
        self.ipv6(from.0, to.0, 64, 17, &datagram, 6)
    }

    pub(crate) fn icmp(self, from: Ipv4Addr, to: Ipv4Addr, kind: u8, rest: &[u8]) -> Vec<u8> {
        let mut body = [&[kind, 0, 0, 0], rest].concat();
        let sum = checksum(&body);
        body[2..4].copy_from_slice(&sum);
        self.ipv4(from, to, 1, &body)
    }

    pub(crate) fn igmp_query(self, from: Ipv4Addr) -> Vec<u8> {
        // Version 2, to be answered within a tenth of a second.
        let mut body = [0x11, 1, 0, 0, 0, 0, 0, 0];
        let sum = checksum(&body);
        body[2..4].copy_from_slice(&sum);
        self.ipv4(from, Ipv4Addr::new(224, 0, 0, 1), 2, &body)
    }
}

fn syn(port: u16) -> Vec<u8> {
    [&40000_u16.to_be_bytes()[..], &port.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 16, 0, 0, 0, 0, 0]]
        .concat()
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).expect("a short one")).to_be_bytes()
}

/// Whether a frame is an answer to an ARP question.
pub(crate) fn is_arp_reply(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6] && frame[21] == 2
}
