//! Whole frames built from their parts. It never reads one.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, TcpPacket, TcpRepr, UdpPacket, UdpRepr,
};
use std::net::Ipv4Addr;

const ETHERNET_HEADER: usize = EthernetFrame::<&[u8]>::header_len();

/// From whom and to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) from_mac: EthernetAddress,
    pub(super) to_mac: EthernetAddress,
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
}

/// A datagram.
pub(super) fn udp(route: Route, from_port: u16, to_port: u16, data: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: from_port, dst_port: to_port };
    ipv4(route, IpProtocol::Udp, repr.header_len() + data.len(), |payload| {
        repr.emit(
            &mut UdpPacket::new_unchecked(payload),
            &IpAddress::Ipv4(route.from),
            &IpAddress::Ipv4(route.to),
            data.len(),
            |buffer| buffer.copy_from_slice(data),
            &ChecksumCapabilities::default(),
        );
    })
}

/// A segment.
pub(super) fn tcp(route: Route, segment: &TcpRepr<'_>) -> Vec<u8> {
    ipv4(route, IpProtocol::Tcp, segment.buffer_len(), |payload| {
        segment.emit(
            &mut TcpPacket::new_unchecked(payload),
            &IpAddress::Ipv4(route.from),
            &IpAddress::Ipv4(route.to),
            &ChecksumCapabilities::default(),
        );
    })
}

/// An ARP packet: `to_mac` is where the frame goes.
pub(super) fn arp(route: Route, operation: ArpOperation) -> Vec<u8> {
    let asked = if operation == ArpOperation::Request { EthernetAddress([0; 6]) } else { route.to_mac };
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: route.from_mac,
        source_protocol_addr: route.from,
        target_hardware_addr: asked,
        target_protocol_addr: route.to,
    };
    ethernet(route, EthernetProtocol::Arp, repr.buffer_len(), |payload| {
        repr.emit(&mut ArpPacket::new_unchecked(payload));
    })
}

fn ipv4(route: Route, protocol: IpProtocol, length: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let repr = Ipv4Repr {
        src_addr: route.from,
        dst_addr: route.to,
        next_header: protocol,
        payload_len: length,
        hop_limit: 64,
    };
    let header = repr.buffer_len();
    ethernet(route, EthernetProtocol::Ipv4, header + length, |packet| {
        repr.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &ChecksumCapabilities::default());
        if let Some(payload) = packet.get_mut(header..header + length) {
            fill(payload);
        }
    })
}

/// The shortest Ethernet frame, without its checksum (IEEE 802.3 section 3.2.8): shorter ones are padded by whoever sends.
const SHORTEST: usize = 60;

fn ethernet(route: Route, ethertype: EthernetProtocol, length: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut frame = vec![0; (ETHERNET_HEADER + length).max(SHORTEST)];
    EthernetRepr { src_addr: route.from_mac, dst_addr: route.to_mac, ethertype }
        .emit(&mut EthernetFrame::new_unchecked(&mut frame));
    if let Some(payload) = frame.get_mut(ETHERNET_HEADER..ETHERNET_HEADER + length) {
        fill(payload);
    }
    frame
}
