//! Whole frames built from their parts. It never reads one.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, IpRepr, NdiscNeighborFlags, NdiscRepr, TcpPacket,
    TcpRepr, UdpPacket, UdpRepr,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ETHERNET_HEADER: usize = EthernetFrame::<&[u8]>::header_len();

/// The shortest Ethernet frame, without its checksum (IEEE 802.3 section 3.2.8): shorter ones are padded by whoever sends.
const SHORTEST: usize = 60;

/// From whom and to whom. Both addresses are of one family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) from_mac: EthernetAddress,
    pub(super) to_mac: EthernetAddress,
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
}

/// A datagram.
pub(super) fn udp(route: Route, from_port: u16, to_port: u16, data: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: from_port, dst_port: to_port };
    ip(route, IpProtocol::Udp, repr.header_len() + data.len(), 64, |payload| {
        repr.emit(
            &mut UdpPacket::new_unchecked(payload),
            &IpAddress::from(route.from),
            &IpAddress::from(route.to),
            data.len(),
            |buffer| buffer.copy_from_slice(data),
            &ChecksumCapabilities::default(),
        );
    })
}

/// A segment.
pub(super) fn tcp(route: Route, segment: &TcpRepr<'_>) -> Vec<u8> {
    ip(route, IpProtocol::Tcp, segment.buffer_len(), 64, |payload| {
        segment.emit(
            &mut TcpPacket::new_unchecked(payload),
            &IpAddress::from(route.from),
            &IpAddress::from(route.to),
            &ChecksumCapabilities::default(),
        );
    })
}

/// The question who has an address, to everyone (ARP, or a neighbour solicitation to the address's group).
pub(super) fn ask_for(target: IpAddr, from_mac: EthernetAddress, from: IpAddr) -> Vec<u8> {
    match (target, from) {
        (IpAddr::V4(target), IpAddr::V4(from)) => {
            let to_mac = EthernetAddress::BROADCAST;
            arp(ArpOperation::Request, to_mac, (from_mac, from), (EthernetAddress([0; 6]), target))
        }
        (IpAddr::V6(target), _) => {
            let from = if let IpAddr::V6(from) = from { from } else { Ipv6Addr::UNSPECIFIED };
            // Who has no address yet must not say his hardware address (RFC 4861 section 4.3).
            let lladdr = (!from.is_unspecified()).then(|| from_mac.into());
            let solicitation = NdiscRepr::NeighborSolicit { target_addr: target, lladdr };
            let group = solicited_node(target);
            ndisc(from_mac, from, multicast_mac(group), group, solicitation)
        }
        // Nobody asks for one family from an address of the other; an unspecified sender is an ARP probe (RFC 5227).
        (IpAddr::V4(target), IpAddr::V6(_)) => arp(
            ArpOperation::Request,
            EthernetAddress::BROADCAST,
            (from_mac, Ipv4Addr::UNSPECIFIED),
            (EthernetAddress([0; 6]), target),
        ),
    }
}

/// The answer that an address is ours.
pub(super) fn tell(route: Route) -> Option<Vec<u8>> {
    match (route.from, route.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            Some(arp(ArpOperation::Reply, route.to_mac, (route.from_mac, from), (route.to_mac, to)))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let advert = NdiscRepr::NeighborAdvert {
                flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
                target_addr: from,
                lladdr: Some(route.from_mac.into()),
            };
            Some(ndisc(route.from_mac, from, route.to_mac, to, advert))
        }
        _ => None,
    }
}

/// The news to all that an address is ours (an ARP announcement, RFC 5227 section 2.3; an unsolicited advertisement).
pub(super) fn announce(address: IpAddr, mac: EthernetAddress) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => {
            let nobody = (EthernetAddress([0; 6]), address);
            arp(ArpOperation::Request, EthernetAddress::BROADCAST, (mac, address), nobody)
        }
        IpAddr::V6(address) => {
            let advert = NdiscRepr::NeighborAdvert {
                flags: NdiscNeighborFlags::OVERRIDE,
                target_addr: address,
                lladdr: Some(mac.into()),
            };
            ndisc(mac, address, multicast_mac(ALL_NODES), ALL_NODES, advert)
        }
    }
}

/// RFC 4291 section 2.7.1.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// An `ICMPv6` message from its bytes, whose checksum is filled in. The hop limit is 255. What is no whole message is filled
/// up to the length of a header.
pub(super) fn icmpv6(from_mac: EthernetAddress, from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let to_mac = if to.is_multicast() { multicast_mac(to) } else { EthernetAddress::BROADCAST };
    let route = Route { from_mac, to_mac, from: from.into(), to: to.into() };
    ip(route, IpProtocol::Icmpv6, message.len().max(8), 255, |payload| {
        payload.iter_mut().zip(message).for_each(|(to, from)| *to = *from);
        Icmpv6Packet::new_unchecked(payload).fill_checksum(&from, &to);
    })
}

/// The link-local address that follows from a hardware address (RFC 4291 appendix A).
pub(super) fn link_local(mac: EthernetAddress) -> Ipv6Addr {
    let mut octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
    octets[8..11].copy_from_slice(&mac.0[..3]);
    octets[13..].copy_from_slice(&mac.0[3..]);
    octets[8] ^= 2;
    Ipv6Addr::from(octets)
}

type Neighbour = (EthernetAddress, Ipv4Addr);

fn arp(operation: ArpOperation, to_mac: EthernetAddress, source: Neighbour, target: Neighbour) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: source.0,
        source_protocol_addr: source.1,
        target_hardware_addr: target.0,
        target_protocol_addr: target.1,
    };
    ethernet(source.0, to_mac, EthernetProtocol::Arp, repr.buffer_len(), |payload| {
        repr.emit(&mut ArpPacket::new_unchecked(payload));
    })
}

fn ndisc(
    from_mac: EthernetAddress,
    from: Ipv6Addr,
    to_mac: EthernetAddress,
    to: Ipv6Addr,
    what: NdiscRepr,
) -> Vec<u8> {
    let repr = Icmpv6Repr::Ndisc(what);
    let route = Route { from_mac, to_mac, from: from.into(), to: to.into() };
    // RFC 4861 section 7.1: a smaller hop limit shows that a router forwarded it, and it is ignored.
    ip(route, IpProtocol::Icmpv6, repr.buffer_len(), 255, |payload| {
        repr.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(payload), &ChecksumCapabilities::default());
    })
}

/// RFC 4291 section 2.7.1.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// RFC 2464 section 7.
fn multicast_mac(group: Ipv6Addr) -> EthernetAddress {
    let [.., a, b, c, d] = group.octets();
    EthernetAddress([0x33, 0x33, a, b, c, d])
}

fn ip(route: Route, protocol: IpProtocol, length: usize, hops: u8, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let repr = IpRepr::new(route.from.into(), route.to.into(), protocol, length, hops);
    let header = repr.header_len();
    let ethertype = if route.from.is_ipv4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
    ethernet(route.from_mac, route.to_mac, ethertype, header + length, |packet| {
        repr.emit(&mut *packet, &ChecksumCapabilities::default());
        if let Some(payload) = packet.get_mut(header..header + length) {
            fill(payload);
        }
    })
}

fn ethernet(
    from: EthernetAddress,
    to: EthernetAddress,
    ethertype: EthernetProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut frame = vec![0; (ETHERNET_HEADER + length).max(SHORTEST)];
    EthernetRepr { src_addr: from, dst_addr: to, ethertype }
        .emit(&mut EthernetFrame::new_unchecked(&mut frame));
    if let Some(payload) = frame.get_mut(ETHERNET_HEADER..ETHERNET_HEADER + length) {
        fill(payload);
    }
    frame
}
