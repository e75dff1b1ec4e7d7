//! Echo requests and replies (RFC 792, page 14; RFC 4443, section 4). It never has two of them in flight.

use crate::failure::Failure;
use crate::port::On;
use crate::queue::{Heard, Queue, QueuedError};
use ring::rand::SecureRandom as _;
use socket2::{Protocol, Type};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// ICMP header: type, code, checksum, identifier, sequence.
pub(crate) const HEADER: usize = 8;
/// What a reply must bring back, beside its number.
const TOKEN: usize = 8;
/// The least that an echo request carries here.
pub(crate) const LEAST: usize = TOKEN;

/// Sends echo requests to one address.
pub(crate) struct Echo {
    queue: Queue,
    to: IpAddr,
    raw: bool,
    identifier: u16,
    token: [u8; TOKEN],
    number: u16,
}

/// What became of one request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reply {
        bytes: usize,
        took: Duration,
    },
    Error(QueuedError),
    /// The kernel did not send it: it is too big for the port. With the port's MTU where the kernel says it.
    TooBigHere(Option<u32>),
    Silent,
}

impl Echo {
    pub(crate) fn new(on: &On, to: IpAddr, whole: bool) -> Result<Self, Failure> {
        let protocol = if to.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        let (socket, raw) = match on.socket(to, Type::DGRAM, Some(protocol)) {
            // Not within ping_group_range.
            Err(error) if denied(&error) => match on.socket(to, Type::RAW, Some(protocol)) {
                Err(error) if denied(&error) => return Err(Failure::NotAllowed),
                socket => (socket?, true),
            },
            socket => (socket?, false),
        };
        socket.connect(&on.to(to, 0).into())?;
        let queue = Queue::new(socket, to.is_ipv4())?;
        if whole {
            crate::sys::probe_path_mtu(std::os::fd::AsFd::as_fd(queue.socket()), to.is_ipv4())?;
            if to.is_ipv6() {
                nix::sys::socket::setsockopt(queue.socket(), nix::sys::socket::sockopt::Ipv6DontFrag, &true)
                    .map_err(io::Error::from)?;
            }
        }
        let mut random = [0; TOKEN + 2];
        ring::rand::SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| Failure::Kernel("there are no random numbers".to_owned()))?;
        let [first, second, token @ ..] = random;
        Ok(Self { queue, to, raw, identifier: u16::from_be_bytes([first, second]), token, number: 0 })
    }

    /// Sends one request with so many bytes after the ICMP header, and waits for what becomes of it.
    pub(crate) async fn ask(&mut self, payload: usize, wait: Duration) -> Result<Outcome, Failure> {
        self.number = self.number.wrapping_add(1);
        let packet = self.request(payload.max(LEAST));
        let began = Instant::now();
        match self.queue.send(&packet) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                return Ok(Outcome::TooBigHere(self.too_big_here()?));
            }
            // The port's queue is full: as if it were lost.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Outcome::Silent),
            Err(error) => return Err(error.into()),
        }
        loop {
            let Ok(heard) = timeout_at(began + wait, self.queue.hear()).await else {
                return Ok(Outcome::Silent);
            };
            match heard? {
                Heard::Data { bytes, from } => {
                    if from.is_some_and(|from| from.to_canonical() == self.to)
                        && let Some(length) = self.reply(&bytes)
                    {
                        return Ok(Outcome::Reply { bytes: length, took: began.elapsed() });
                    }
                }
                Heard::Error(error) if !error.local && self.is_about_this(&error.quoted) => {
                    return Ok(Outcome::Error(error));
                }
                Heard::Error(_) => {}
            }
        }
    }

    /// What the kernel says about a packet that it did not send.
    fn too_big_here(&self) -> io::Result<Option<u32>> {
        let mut says = None;
        while let Some(heard) = self.queue.hear_now()? {
            if let Heard::Error(error) = heard
                && error.local
                && error.errno == libc::EMSGSIZE
            {
                says = Some(error.info);
                break;
            }
        }
        Ok(says)
    }

    fn request(&self, payload: usize) -> Vec<u8> {
        let kind = if self.to.is_ipv4() { 8 } else { 128 };
        let mut packet = vec![kind, 0, 0, 0];
        // Sockets of the kind that needs no rights put an identifier of their own here.
        packet.extend(self.identifier.to_be_bytes());
        packet.extend(self.number.to_be_bytes());
        packet.extend(self.token);
        // What does not compress, so that a line that compresses does not look wider than it is.
        packet.extend((packet.len()..HEADER + payload).map(|place| place.wrapping_mul(167).to_le_bytes()[1]));
        if self.to.is_ipv4() {
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        packet
    }

    /// The length after the header, if these bytes are the reply to the last request.
    fn reply(&self, bytes: &[u8]) -> Option<usize> {
        let icmp = if self.raw && self.to.is_ipv4() {
            // With its IP header (raw(7)).
            let header = usize::from(bytes.first()? & 0x0f) * 4;
            bytes.get(header..)?
        } else {
            bytes
        };
        let kind = if self.to.is_ipv4() { 0 } else { 129 };
        let (header, payload) = (icmp.get(..HEADER)?, icmp.get(HEADER..)?);
        let right = header[0] == kind
            && header[1] == 0
            && (!self.raw || header[4..6] == self.identifier.to_be_bytes())
            && header[6..8] == self.number.to_be_bytes()
            && payload.starts_with(&self.token);
        right.then_some(payload.len())
    }

    /// Whether a quoted packet is the last request. Routers quote its header at least (RFC 792, page 4).
    fn is_about_this(&self, quoted: &[u8]) -> bool {
        let kind = if self.to.is_ipv4() { 8 } else { 128 };
        match quoted.get(..HEADER) {
            Some(header) if header[0] == kind => header[6..8] == self.number.to_be_bytes(),
            // Where the kernel quotes otherwise, one in flight is enough to know.
            _ => self.raw,
        }
    }
}

fn denied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Folded, it has 16 bits.
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard_s_example() {
        // RFC 1071, section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0xff]), !0xff00);
    }
}
