//! Frames that arrive at a port: which of them are a DHCP client's business, and what an offer or a lease in them may
//! say. Pure: it never sends, waits or changes anything but the bytes that it is given.
//!
//! Everything here comes from whoever is on the cable. What [`judge`] lets through holds its bounds; what it refuses
//! never reaches the DHCP client, so that a server that answers nonsense first does not shut out one that answers sense.

use crate::arp::Arp;
use crate::lease::{Lease, Refusal, SHORTEST_RENEWAL_SECONDS};
use crate::options::{Given, REBINDING_TIME, RENEWAL_TIME};
use smoltcp::phy::{Checksum, ChecksumCapabilities};
use smoltcp::wire::{
    DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UDP_HEADER_LEN, UdpPacket, UdpRepr,
};
use std::net::Ipv4Addr;

/// Where the options of a DHCP message begin, behind the magic cookie (RFC 2131, section 2).
const OPTIONS: usize = 240;
/// Of an IPv4 header's flags and offset, what makes it a fragment (RFC 791, section 3.1): "more", and the offset.
const FRAGMENT: u16 = 0x3fff;

/// The port of a DHCP server, and that of a client (RFC 2131, section 4.1).
pub(crate) const SERVER_PORT: u16 = 67;
pub(crate) const CLIENT_PORT: u16 = 68;

/// The addresses that a port watches for conflicts: others' questions about them are its business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched(pub(crate) [Ipv4Addr; 2]);

impl Watched {
    /// At most two: the lease that is being probed, and the link-local address that is in use meanwhile.
    pub fn new(addresses: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        // The broadcast address is no host's: it stands for none.
        let mut watched = [Ipv4Addr::BROADCAST; 2];
        watched.iter_mut().zip(addresses).for_each(|(place, address)| *place = address);
        Self(watched)
    }

    fn has(self, word: u32) -> bool {
        self.0.iter().any(|address| u32::from(*address) == word)
    }
}

/// The least length of a message (RFC 1542, section 2.1: 300 octets).
const MESSAGE_BYTES: usize = 300;

/// What a frame is to the DHCP client of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not its business.
    Drop,
    /// What ARP says.
    Arp(Arp),
    /// A DHCP message without a lease in it.
    Pass,
    /// A lease: what the client may take over if it has asked for it.
    Lease(Lease),
    /// An offer or a lease that no host should take, and why.
    Refuse(Refusal),
}

/// Whether a frame is an answer to ARP, a question that claims or probes for a watched address, or whole UDP from port 67
/// to port 68. The kernel's filter says the same.
pub fn passes(frame: &[u8], watched: Watched) -> bool {
    match half(frame, 12) {
        Some(0x0806) => match half(frame, 20) {
            Some(2) => true,
            Some(1) => match word(frame, 28) {
                Some(0) => word(frame, 38).is_some_and(|target| watched.has(target)),
                Some(sender) => watched.has(sender),
                None => false,
            },
            _ => false,
        },
        Some(0x0800) => udp_ports(frame) == Some((SERVER_PORT, CLIENT_PORT)),
        _ => false,
    }
}

/// Whether a frame is whole UDP between the ports of DHCP, either way. The kernel's filter for a server says the same.
pub fn passes_to_server(frame: &[u8]) -> bool {
    half(frame, 12) == Some(0x0800)
        && matches!(udp_ports(frame), Some((CLIENT_PORT, SERVER_PORT) | (SERVER_PORT, CLIENT_PORT)))
}

fn half(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

fn word(frame: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

/// The ports of an IPv4 frame that is UDP and no fragment.
fn udp_ports(frame: &[u8]) -> Option<(u16, u16)> {
    let header = usize::from(frame.get(14)? & 0x0f) * 4;
    let whole = frame.get(23) == Some(&17) && half(frame, 20)? & FRAGMENT == 0;
    if whole { Some((half(frame, 14 + header)?, half(frame, 16 + header)?)) } else { None }
}

/// What `frame` is to the client with the address `mac`. Renewal times that would keep the client busy are blanked out
/// in `frame`: the client then takes its own (RFC 2131, section 4.4.5).
pub fn judge(frame: &mut [u8], mac: [u8; 6], watched: Watched) -> Verdict {
    if !passes(frame, watched) {
        return Verdict::Drop;
    }
    let Some(place) = dhcp_place(frame) else {
        return Arp::parse(frame).map_or(Verdict::Drop, Verdict::Arp);
    };
    let sender = source(frame);
    let Some(message) = frame.get_mut(place) else { return Verdict::Drop };
    // First the times, then what is left: a message may say the same time twice, once hasty and once not, and whoever reads
    // it after this sees the second only.
    let mut blanked = message.to_vec();
    blank_hasty_times(&mut blanked);
    let verdict = judge_message(&blanked, mac, sender);
    if matches!(verdict, Verdict::Lease(_)) {
        message.copy_from_slice(&blanked);
    }
    verdict
}

/// Where the DHCP message is in a frame whose headers are whole.
fn dhcp_place(frame: &[u8]) -> Option<std::ops::Range<usize>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Udp {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    let start = EthernetFrame::<&[u8]>::header_len() + usize::from(ip.header_len()) + UDP_HEADER_LEN;
    Some(start..start + udp.payload().len())
}

/// The hardware address that a frame came from; none is zeros.
fn source(frame: &[u8]) -> [u8; 6] {
    frame.get(6..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
}

fn judge_message(message: &[u8], mac: [u8; 6], sender: [u8; 6]) -> Verdict {
    let Ok(packet) = DhcpPacket::new_checked(message) else { return Verdict::Drop };
    let Ok(repr) = DhcpRepr::parse(&packet) else { return Verdict::Drop };
    if repr.client_hardware_address != EthernetAddress(mac) {
        return Verdict::Drop;
    }
    match repr.message_type {
        DhcpMessageType::Ack => match Lease::of_acknowledgement(&repr, Given::read(&packet), sender) {
            Ok(lease) => Verdict::Lease(lease),
            Err(refusal) => Verdict::Refuse(refusal),
        },
        DhcpMessageType::Offer => match Lease::check_offer(&repr) {
            Ok(()) => Verdict::Pass,
            Err(refusal) => Verdict::Refuse(refusal),
        },
        DhcpMessageType::Nak => Verdict::Pass,
        _ => Verdict::Drop,
    }
}

/// Turns renewal and rebinding times below [`SHORTEST_RENEWAL_SECONDS`] into padding.
fn blank_hasty_times(message: &mut [u8]) {
    let mut at = OPTIONS;
    while let Some(&kind) = message.get(at) {
        match kind {
            0 => at += 1,
            255 => return,
            _ => {
                let Some(length) = message.get(at + 1).map(|length| usize::from(*length)) else { return };
                let Some(option) = message.get_mut(at..at + 2 + length) else { return };
                if matches!(kind, RENEWAL_TIME | REBINDING_TIME)
                    && let Ok(seconds) = <[u8; 4]>::try_from(&option[2..])
                    && u32::from_be_bytes(seconds) < SHORTEST_RENEWAL_SECONDS
                {
                    option.fill(0);
                }
                at += 2 + length;
            }
        }
    }
}

/// What a DHCP message is about, and between whom it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) kind: DhcpMessageType,
    pub(crate) number: u32,
    /// The server that it names.
    pub(crate) server: Option<Ipv4Addr>,
}

impl Heard {
    /// The message in a frame, if there is one.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let packet = DhcpPacket::new_checked(frame.get(dhcp_place(frame)?)?).ok()?;
        let repr = DhcpRepr::parse(&packet).ok()?;
        Some(Self { kind: repr.message_type, number: repr.transaction_id, server: repr.server_identifier })
    }
}

/// Where a DHCP message comes from and goes to: hardware address, address and port of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) from: ([u8; 6], Ipv4Addr, u16),
    pub(crate) to: ([u8; 6], Ipv4Addr, u16),
}

/// Opens a frame with a DHCP message in it.
pub(crate) fn opened(frame: &[u8]) -> Option<(Envelope, &[u8])> {
    let message = frame.get(dhcp_place(frame)?)?;
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    let (from, to) = udp_ports(frame)?;
    let envelope = Envelope {
        from: (ethernet.src_addr().0, ip.src_addr(), from),
        to: (ethernet.dst_addr().0, ip.dst_addr(), to),
    };
    Some((envelope, message))
}

/// The frame that carries a DHCP message, padded to the least that BOOTP's relays and hosts take. None only if the message
/// is longer than IPv4 allows.
pub(crate) fn sealed(envelope: Envelope, message: &DhcpRepr<'_>) -> Option<Vec<u8>> {
    // An option of kind 0 is padding: its length, which is 0 too, is more of it.
    let padding = MESSAGE_BYTES.saturating_sub(message.buffer_len()).div_ceil(2);
    let mut options = message.additional_options.to_vec();
    options.resize(options.len() + padding, DhcpOption { kind: 0, data: &[] });
    let message = &DhcpRepr { additional_options: &options, ..message.clone() };
    let mut checksums = ChecksumCapabilities::default();
    checksums.ipv4 = Checksum::Tx;
    checksums.udp = Checksum::Tx;
    let udp = UdpRepr { src_port: envelope.from.2, dst_port: envelope.to.2 };
    let ip = Ipv4Repr {
        src_addr: envelope.from.1,
        dst_addr: envelope.to.1,
        next_header: IpProtocol::Udp,
        payload_len: UDP_HEADER_LEN + message.buffer_len(),
        hop_limit: 64,
    };
    if ip.payload_len + ip.buffer_len() > usize::from(u16::MAX) {
        return None;
    }
    let length = EthernetFrame::<&[u8]>::buffer_len(ip.buffer_len() + ip.payload_len);
    let mut frame = vec![0; length];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    EthernetRepr {
        src_addr: EthernetAddress(envelope.from.0),
        dst_addr: EthernetAddress(envelope.to.0),
        ethertype: EthernetProtocol::Ipv4,
    }
    .emit(&mut ethernet);
    let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    ip.emit(&mut packet, &checksums);
    let mut written = Ok(());
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &ip.src_addr.into(),
        &ip.dst_addr.into(),
        message.buffer_len(),
        |payload| written = message.emit(&mut DhcpPacket::new_unchecked(payload)),
        &checksums,
    );
    written.ok().map(|()| frame)
}

#[cfg(test)]
pub(crate) mod tests;
