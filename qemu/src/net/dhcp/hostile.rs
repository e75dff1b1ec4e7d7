//! Answers of a hostile DHCP server, without end: plausible at the front, so that they get past a client's first checks, and
//! then wrong in every way that a parser may stumble over. It never gives a lease that works.

use super::super::Random;
use super::super::packet::{self, Route};
use super::message::{self, CLIENT_PORT, SERVER_PORT};
use smoltcp::wire::EthernetAddress;
use std::net::Ipv4Addr;

/// Who asked a server, so that answers reach him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The client's hardware address.
    pub client: EthernetAddress,
    /// The number by which he knows answers.
    pub transaction: u32,
}

impl Asked {
    /// A client's message to servers; none when the frame is another.
    pub fn by(frame: &[u8]) -> Option<Self> {
        let message = message::parse(frame)?;
        Some(Self { client: message.mac, transaction: message.transaction })
    }
}

/// A source of hostile answers. The same seed gives the same.
#[derive(Debug, Clone)]
pub struct HostileDhcp {
    random: Random,
    mac: EthernetAddress,
    server: Ipv4Addr,
}

/// What a message has before its options: the fields of BOOTP and the magic cookie (RFC 2131 section 2).
const HEADER: usize = 240;

/// Options that clients read.
const READ_BY_CLIENTS: [u8; 24] =
    [1, 3, 6, 12, 15, 26, 28, 33, 42, 43, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 119, 121, 249];

/// What fits into one frame.
const LONGEST: usize = 1472;

impl HostileDhcp {
    /// A server at this address.
    pub fn new(seed: u64, mac: EthernetAddress, server: Ipv4Addr) -> Self {
        Self { random: Random::new(seed), mac, server }
    }

    /// The frame of one more answer.
    pub fn answer(&mut self, asked: Asked) -> Vec<u8> {
        let mut message = self.header(asked);
        let way = self.random.below(12);
        let options = match way {
            0..=2 => self.evil_values(),
            3 => self.wrong_lengths(),
            4 => self.repeated(),
            5 => self.overloaded(&mut message),
            6 => self.noise(600),
            _ => self.plausible(),
        };
        message.extend(options);
        match way {
            7 => message.truncate(self.random.below(message.len())),
            8 => self.beyond_the_end(&mut message),
            9 => self.flip_bits(&mut message, HEADER),
            10 => self.flip_bits(&mut message, 0),
            _ => message.push(255),
        }
        message.truncate(LONGEST);
        let broadcast = self.random.chance(0.5);
        let route = Route {
            from_mac: self.mac,
            to_mac: if broadcast { EthernetAddress::BROADCAST } else { asked.client },
            from: self.server.into(),
            to: if broadcast { Ipv4Addr::BROADCAST } else { self.address() }.into(),
        };
        let mut frame = packet::udp(route, SERVER_PORT, CLIENT_PORT, &message);
        if way == 11 {
            self.lie_in_the_headers(&mut frame);
        }
        frame
    }

    fn byte(&mut self) -> u8 {
        self.random.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, below: usize) -> Vec<u8> {
        let count = self.random.below(below);
        (0..count).map(|_| self.byte()).collect()
    }

    fn pick<T: Copy>(&mut self, among: &[T], otherwise: T) -> T {
        among.get(self.random.below(among.len())).copied().unwrap_or(otherwise)
    }

    /// An address that a server might give, or never should.
    fn address(&mut self) -> Ipv4Addr {
        let [a, b, c, _] = self.server.octets();
        let last = self.byte();
        let near = Ipv4Addr::from([a, b, c, last]);
        let never = [
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::LOCALHOST,
            Ipv4Addr::BROADCAST,
            Ipv4Addr::new(224, 0, 0, 1),
            Ipv4Addr::new(169, 254, 1, 1),
            self.server,
            near,
            near,
            near,
            near,
        ];
        self.pick(&never, near)
    }

    fn header(&mut self, asked: Asked) -> Vec<u8> {
        let mut header = vec![2, 1, 6, 0];
        header.extend(asked.transaction.to_be_bytes());
        header.extend([0; 8]);
        header.extend(self.address().octets());
        header.extend([0; 8]);
        header.extend(asked.client.0);
        header.resize(HEADER - 4, 0);
        header.extend([0x63, 0x82, 0x53, 0x63]);
        header
    }

    /// What a sound answer has.
    fn plausible(&mut self) -> Vec<u8> {
        let kind = self.pick(&[2, 5, 5, 6], 5);
        let mut options = vec![53, 1, kind, 54, 4];
        options.extend(self.server.octets());
        options.extend([51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0, 3, 4]);
        options.extend(self.server.octets());
        options
    }

    /// Sound in form, evil in content.
    fn evil_values(&mut self) -> Vec<u8> {
        let texts: [&[u8]; 8] = [
            b"$(reboot)",
            b"a\nnameserver 6.6.6.6",
            b"\0\0\0",
            b"../../etc/passwd",
            b"\xff\xfe\xfd",
            b"-rf",
            &[b'a'; 255],
            b"\xc0\x00\xc0\x02\x3fshort",
        ];
        let mut options = self.plausible();
        for _ in 0..self.random.below(6) {
            let code = self.pick(&READ_BY_CLIENTS, 12);
            let data = match code {
                12 | 15 | 56 | 119 => self.pick(&texts, b"x").to_vec(),
                26 | 57 => self.pick(&[[0, 0], [0, 1], [0, 67], [0, 68], [255, 255]], [0, 0]).to_vec(),
                51 | 58 | 59 => {
                    let times = [0, 1, 2, 59, 0x7fff_ffff, 0x8000_0000, u32::MAX];
                    self.pick(&times, 0).to_be_bytes().to_vec()
                }
                1 => self.pick(&[[0; 4], [255; 4], [255, 0, 255, 0], [0, 0, 0, 255]], [0; 4]).to_vec(),
                // Routes: lengths of prefixes beyond 32 among them (RFC 3442).
                33 | 121 | 249 => self.bytes(60),
                53 => vec![self.byte()],
                _ => self.address().octets().repeat(1 + self.random.below(60)),
            };
            option(&mut options, code, &data);
        }
        options
    }

    fn wrong_lengths(&mut self) -> Vec<u8> {
        let mut options = self.plausible();
        for _ in 0..=self.random.below(8) {
            let (code, data) = (self.pick(&READ_BY_CLIENTS, 1), self.bytes(9));
            option(&mut options, code, &data);
        }
        options
    }

    /// One option again and again, which RFC 3396 says is one long option.
    fn repeated(&mut self) -> Vec<u8> {
        let mut options = self.plausible();
        let code = self.pick(&READ_BY_CLIENTS, 6);
        for _ in 0..self.random.below(600) {
            let data = self.bytes(5);
            option(&mut options, code, &data);
        }
        options
    }

    /// The names' fields hold options too (RFC 2132 section 9.3).
    fn overloaded(&mut self, message: &mut [u8]) -> Vec<u8> {
        for place in 44..HEADER - 4 {
            if let Some(byte) = message.get_mut(place) {
                *byte = self.byte();
            }
        }
        let mut options = self.plausible();
        let which = self.byte() % 5;
        option(&mut options, 52, &[which]);
        options
    }

    fn noise(&mut self, below: usize) -> Vec<u8> {
        let mut options = if self.random.chance(0.5) { self.plausible() } else { Vec::new() };
        options.extend(self.bytes(below));
        options
    }

    /// The last option says that it is longer than the message.
    fn beyond_the_end(&mut self, message: &mut Vec<u8>) {
        let (code, length) = (self.pick(&READ_BY_CLIENTS, 6), self.byte());
        let data = self.bytes(usize::from(length).max(1));
        message.extend([code, length]);
        message.extend(data);
    }

    fn flip_bits(&mut self, message: &mut [u8], from: usize) {
        for _ in 0..=self.random.below(16) {
            let place = from + self.random.below(message.len().saturating_sub(from));
            let bit = self.random.below(8);
            if let Some(byte) = message.get_mut(place) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// Lengths, flags and checksums of IPv4 and UDP.
    fn lie_in_the_headers(&mut self, frame: &mut [u8]) {
        for _ in 0..=self.random.below(3) {
            let place = 14 + self.random.below(28);
            if let Some(byte) = frame.get_mut(place) {
                *byte = self.random.next().to_le_bytes()[0];
            }
        }
    }
}

/// Appends an option; data beyond 255 bytes is cut off.
fn option(options: &mut Vec<u8>, code: u8, data: &[u8]) {
    let length = u8::try_from(data.len()).unwrap_or(u8::MAX);
    options.extend([code, length]);
    options.extend(data.iter().take(length.into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::{DhcpPacket, DhcpRepr, EthernetFrame, Ipv4Packet, UdpPacket};
    use std::collections::HashSet;

    const ASKED: Asked = Asked { client: EthernetAddress([2, 0, 0, 0, 0, 9]), transaction: 0x1234_5678 };

    fn source(seed: u64) -> HostileDhcp {
        HostileDhcp::new(seed, EthernetAddress([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 6))
    }

    /// Whether smoltcp takes it for a message to this client.
    fn is_believed(frame: &[u8]) -> bool {
        let payload = || {
            let ethernet = EthernetFrame::new_checked(frame).ok()?;
            let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            let udp = UdpPacket::new_checked(ip.payload()).ok()?;
            let packet = DhcpPacket::new_checked(udp.payload()).ok()?;
            let repr = DhcpRepr::parse(&packet).ok()?;
            Some(repr.transaction_id == ASKED.transaction && repr.client_hardware_address == ASKED.client)
        };
        payload().unwrap_or(false)
    }

    #[test]
    fn ten_thousand_answers_differ_and_many_are_believed() {
        let mut source = source(1);
        let frames: Vec<Vec<u8>> = (0..10_000).map(|_| source.answer(ASKED)).collect();
        assert!(frames.iter().all(|frame| frame.len() <= 1514));
        let different: HashSet<&Vec<u8>> = frames.iter().collect();
        assert!(different.len() > 8_000, "{}", different.len());
        let believed = frames.iter().filter(|frame| is_believed(frame)).count();
        assert!((2_000..9_000).contains(&believed), "{believed}");
    }

    #[test]
    fn a_seed_gives_the_same_again() {
        let (mut one, mut two, mut other) = (source(7), source(7), source(8));
        let mut differ = false;
        for _ in 0..100 {
            let frame = one.answer(ASKED);
            assert_eq!(frame, two.answer(ASKED));
            differ |= frame != other.answer(ASKED);
        }
        assert!(differ);
    }
}
