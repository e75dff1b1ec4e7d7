//! ARP for IPv4 over Ethernet (RFC 826), as address-conflict detection needs it (RFC 5227): read and written, nothing
//! more. Pure: it never sends.

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
};
use std::net::Ipv4Addr;

/// The length of an ARP frame without padding: the card pads it.
pub const ARP_BYTES: usize = 42;

/// What a question or an answer says that concerns addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Whether it is an answer; else it is a question.
    pub answer: bool,
    /// Who says it: one host's hardware address.
    pub sender_mac: [u8; 6],
    /// What the sender holds; 0.0.0.0 in a probe.
    pub sender: Ipv4Addr,
    /// What is asked for, or whom the answer is for.
    pub target: Ipv4Addr,
}

impl Arp {
    /// What a frame says. None when it is no whole question or answer, or when its sender is no single host.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        if frame.ethertype() != EthernetProtocol::Arp {
            return None;
        }
        let packet = ArpPacket::new_checked(frame.payload()).ok()?;
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return None;
        };
        let answer = match operation {
            ArpOperation::Request => false,
            ArpOperation::Reply => true,
            ArpOperation::Unknown(_) => return None,
        };
        if !source_hardware_addr.is_unicast() || source_hardware_addr.0 == [0; 6] {
            return None;
        }
        Some(Self {
            answer,
            sender_mac: source_hardware_addr.0,
            sender: source_protocol_addr,
            target: target_protocol_addr,
        })
    }
}

/// The question whether somebody holds `address`, which claims nothing (RFC 5227, section 2.1.1).
pub fn probe(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    question(mac, Ipv4Addr::UNSPECIFIED, address)
}

/// The word to all that `mac` holds `address` (RFC 5227, section 2.3).
pub fn announcement(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    question(mac, address, address)
}

fn question(mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0; ARP_BYTES];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    EthernetRepr {
        src_addr: EthernetAddress(mac),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    }
    .emit(&mut ethernet);
    ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: sender,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    }
    .emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 7];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);

    #[test]
    fn what_is_written_is_read_again() {
        let read = Arp::parse(&probe(MAC, ADDRESS)).unwrap();
        let probe = Arp { answer: false, sender_mac: MAC, sender: Ipv4Addr::UNSPECIFIED, target: ADDRESS };
        assert_eq!(read, probe);
        assert_eq!(Arp::parse(&announcement(MAC, ADDRESS)), Some(Arp { sender: ADDRESS, ..probe }));
    }

    #[test]
    fn a_frame_that_is_cut_off_or_from_no_single_host_says_nothing() {
        let frame = announcement(MAC, ADDRESS);
        for length in 0..frame.len() {
            assert_eq!(Arp::parse(&frame[..length]), None, "cut at {length}");
        }
        for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            assert_eq!(Arp::parse(&announcement(mac, ADDRESS)), None, "{mac:?}");
        }
        for (at, byte) in [(15, 6), (16, 0x86), (18, 8), (19, 16), (21, 3)] {
            let mut frame = frame.clone();
            frame[at] = byte;
            assert_eq!(Arp::parse(&frame), None, "byte {at}");
        }
    }
}
