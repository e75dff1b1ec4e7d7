//! Frames that arrive at a port: which of them are a DHCP client's business, and what an offer or a lease in them may
//! say. Pure: it never sends, waits or changes anything but the bytes that it is given.
//!
//! Everything here comes from whoever is on the cable. What [`judge`] lets through holds its bounds; what it refuses
//! never reaches the DHCP client, so that a server that answers nonsense first does not shut out one that answers sense.

use crate::lease::{Lease, Refusal, SHORTEST_RENEWAL_SECONDS};
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol,
    Ipv4Packet, UDP_HEADER_LEN, UdpPacket,
};

/// Where the options of a DHCP message begin, behind the magic cookie (RFC 2131, section 2).
const OPTIONS: usize = 240;
/// The router option (RFC 2132, section 3.5).
const ROUTER: u8 = 3;
/// The renewal time, T1 (RFC 2132, section 9.11).
const RENEWAL_TIME: u8 = 58;
/// The rebinding time, T2 (RFC 2132, section 9.12).
const REBINDING_TIME: u8 = 59;

/// Of an IPv4 header's flags and offset, what makes it a fragment (RFC 791, section 3.1): "more", and the offset.
const FRAGMENT: u16 = 0x3fff;

/// What a frame is to the DHCP client of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not its business.
    Drop,
    /// An answer to ARP, or a DHCP message without a lease in it.
    Pass,
    /// A lease: what the client may take over if it has asked for it.
    Lease(Lease),
    /// An offer or a lease that no host should take, and why.
    Refuse(Refusal),
}

/// Whether a frame is an answer to ARP, or whole UDP from port 67 to port 68. The kernel's filter says the same.
pub fn passes(frame: &[u8]) -> bool {
    let half = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    match half(12) {
        Some(0x0806) => half(20) == Some(2),
        Some(0x0800) => {
            let header = frame.get(14).map_or(0, |byte| usize::from(byte & 0x0f) * 4);
            frame.get(23) == Some(&17)
                && half(20).is_some_and(|fragment| fragment & FRAGMENT == 0)
                && half(14 + header) == Some(67)
                && half(16 + header) == Some(68)
        }
        _ => false,
    }
}

/// What `frame` is to the client with the address `mac`. Renewal times that would keep the client busy are blanked out
/// in `frame`: the client then takes its own (RFC 2131, section 4.4.5).
pub fn judge(frame: &mut [u8], mac: [u8; 6]) -> Verdict {
    if !passes(frame) {
        return Verdict::Drop;
    }
    let Some(place) = dhcp_place(frame) else {
        // What passes and is not IPv4 is an answer to ARP.
        let arp = EthernetFrame::new_checked(&*frame).map(|frame| frame.ethertype() == EthernetProtocol::Arp);
        return if arp == Ok(true) { Verdict::Pass } else { Verdict::Drop };
    };
    let Some(message) = frame.get_mut(place) else { return Verdict::Drop };
    let verdict = judge_message(message, mac);
    if matches!(verdict, Verdict::Lease(_)) {
        blank_hasty_times(message);
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

fn judge_message(message: &[u8], mac: [u8; 6]) -> Verdict {
    let Ok(packet) = DhcpPacket::new_checked(message) else { return Verdict::Drop };
    let Ok(repr) = DhcpRepr::parse(&packet) else { return Verdict::Drop };
    if repr.client_hardware_address != EthernetAddress(mac) {
        return Verdict::Drop;
    }
    let routers = packet.options().filter(|option| option.kind == ROUTER).flat_map(|option| {
        option.data.as_chunks::<4>().0.iter().map(|octets| std::net::Ipv4Addr::from(*octets))
    });
    match repr.message_type {
        DhcpMessageType::Ack => match Lease::of_acknowledgement(&repr, routers) {
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

#[cfg(test)]
pub(crate) mod tests;
