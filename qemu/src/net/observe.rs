//! What a frame says to an attacker or to who reads a test's failure, read without trust. It never answers.

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Message,
    Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket,
};
use std::net::{IpAddr, Ipv6Addr};

/// A frame's sender, receiver and meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) from_mac: EthernetAddress,
    pub(super) to_mac: EthernetAddress,
    pub(super) what: What,
}

/// What a frame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Someone asks who has an address.
    Asks {
        target: IpAddr,
        asker: IpAddr,
    },
    /// Someone says that he has an address.
    Tells {
        address: IpAddr,
    },
    Segment {
        from: IpAddr,
        from_port: u16,
        to_port: u16,
        syn: bool,
        ack: bool,
        rst: bool,
        ack_number: i32,
    },
    Datagram {
        from: IpAddr,
        from_port: u16,
        to_port: u16,
    },
    /// A destination unreachable for what was sent to this port.
    Unreachable {
        from: IpAddr,
        protocol: IpProtocol,
        from_port: u16,
        to_port: u16,
    },
    Other,
}

pub(super) fn observe(frame: &[u8]) -> Option<Observed> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let what = match ethernet.ethertype() {
        EthernetProtocol::Arp => arp(ethernet.payload()),
        EthernetProtocol::Ipv4 => ipv4(ethernet.payload()),
        EthernetProtocol::Ipv6 => ipv6(ethernet.payload()),
        EthernetProtocol::Unknown(_) => None,
    };
    let what = what.unwrap_or(What::Other);
    Some(Observed { from_mac: ethernet.src_addr(), to_mac: ethernet.dst_addr(), what })
}

fn arp(bytes: &[u8]) -> Option<What> {
    let packet = ArpPacket::new_checked(bytes).ok()?;
    let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } =
        ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    match operation {
        ArpOperation::Request => {
            Some(What::Asks { target: target_protocol_addr.into(), asker: source_protocol_addr.into() })
        }
        ArpOperation::Reply => Some(What::Tells { address: source_protocol_addr.into() }),
        ArpOperation::Unknown(_) => None,
    }
}

fn ipv4(bytes: &[u8]) -> Option<What> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    let from = packet.src_addr().into();
    match packet.next_header() {
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(packet.payload()).ok()?;
            if icmp.msg_type() != Icmpv4Message::DstUnreachable {
                return None;
            }
            // The header and the first bytes of what could not be delivered (RFC 792).
            let inner = icmp.data();
            let header = usize::from(inner.first()? & 0x0f) * 4;
            let protocol = IpProtocol::from(*inner.get(9)?);
            let (from_port, to_port) = ports(inner.get(header..)?)?;
            Some(What::Unreachable { from, protocol, from_port, to_port })
        }
        protocol => transport(from, protocol, packet.payload()),
    }
}

fn ipv6(bytes: &[u8]) -> Option<What> {
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    let from: IpAddr = packet.src_addr().into();
    if packet.next_header() != IpProtocol::Icmpv6 {
        return transport(from, packet.next_header(), packet.payload());
    }
    let icmp = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    // The type's own fields begin at byte 8: the target of a solicitation or advert, or what could not be delivered.
    let body = packet.payload().get(8..)?;
    let target = || Some(IpAddr::from(Ipv6Addr::from(*body.first_chunk::<16>()?)));
    match icmp.msg_type() {
        Icmpv6Message::NeighborSolicit => Some(What::Asks { target: target()?, asker: from }),
        Icmpv6Message::NeighborAdvert => Some(What::Tells { address: target()? }),
        Icmpv6Message::DstUnreachable => {
            let protocol = IpProtocol::from(*body.get(6)?);
            let (from_port, to_port) = ports(body.get(40..)?)?;
            Some(What::Unreachable { from, protocol, from_port, to_port })
        }
        _ => None,
    }
}

fn transport(from: IpAddr, protocol: IpProtocol, bytes: &[u8]) -> Option<What> {
    match protocol {
        IpProtocol::Tcp => {
            let segment = TcpPacket::new_checked(bytes).ok()?;
            Some(What::Segment {
                from,
                from_port: segment.src_port(),
                to_port: segment.dst_port(),
                syn: segment.syn(),
                ack: segment.ack(),
                rst: segment.rst(),
                ack_number: segment.ack_number().0,
            })
        }
        IpProtocol::Udp => {
            let datagram = UdpPacket::new_checked(bytes).ok()?;
            Some(What::Datagram { from, from_port: datagram.src_port(), to_port: datagram.dst_port() })
        }
        _ => None,
    }
}

/// TCP and UDP both begin with the two ports.
fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *bytes.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// A frame in a line for people.
pub(super) fn summary(frame: &[u8]) -> String {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return format!("{} bytes", frame.len()) };
    let ends = format!("{} > {}", ethernet.src_addr(), ethernet.dst_addr());
    let kind = u16::from(ethernet.ethertype());
    let what = match observe(frame).map(|seen| seen.what) {
        Some(What::Asks { target, asker }) => format!("who has {target}? {asker} asks"),
        Some(What::Tells { address }) => format!("{address} is here"),
        Some(What::Segment { from, from_port, to_port, syn, ack, rst, .. }) => {
            let flags: String = [(syn, " SYN"), (ack, " ACK"), (rst, " RST")]
                .into_iter()
                .filter_map(|(set, name)| set.then_some(name))
                .collect();
            format!("TCP from {from} port {from_port} to port {to_port}{flags}")
        }
        Some(What::Datagram { from, from_port, to_port }) => {
            format!("UDP from {from} port {from_port} to port {to_port}")
        }
        Some(What::Unreachable { from, to_port, .. }) => {
            format!("{from} says that port {to_port} is unreachable")
        }
        Some(What::Other) | None => other(&ethernet),
    };
    format!("{ends} {kind:#06x}: {what}, {} bytes", frame.len())
}

fn other(ethernet: &EthernetFrame<&[u8]>) -> String {
    let payload = ethernet.payload();
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(payload).map_or_else(
            |_| "broken IPv4".to_owned(),
            |packet| format!("{} from {} to {}", packet.next_header(), packet.src_addr(), packet.dst_addr()),
        ),
        EthernetProtocol::Ipv6 => Ipv6Packet::new_checked(payload).map_or_else(
            |_| "broken IPv6".to_owned(),
            |packet| {
                let kind = match (packet.next_header(), packet.payload().first()) {
                    (IpProtocol::Icmpv6, Some(kind)) => format!(" type {kind}"),
                    _ => String::new(),
                };
                let (from, to) = (packet.src_addr(), packet.dst_addr());
                format!("{}{kind} from {from} to {to}", packet.next_header())
            },
        ),
        EthernetProtocol::Arp => "other ARP".to_owned(),
        EthernetProtocol::Unknown(_) => "other".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{self, Route};
    use super::*;

    const ROUTES: [(IpAddr, IpAddr); 2] = [
        (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2))),
        (
            IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
            IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2)),
        ),
    ];

    #[test]
    fn what_is_built_is_understood() {
        let (one, two) = (EthernetAddress([2, 0, 0, 0, 0, 1]), EthernetAddress([2, 0, 0, 0, 0, 2]));
        for (from, to) in ROUTES {
            let route = Route { from_mac: one, to_mac: two, from, to };
            let what = |frame: &[u8]| observe(frame).unwrap().what;
            assert_eq!(what(&packet::ask_for(to, one, from)), What::Asks { target: to, asker: from });
            assert_eq!(what(&packet::tell(route).unwrap()), What::Tells { address: from });
            let datagram = What::Datagram { from, from_port: 7, to_port: 9 };
            assert_eq!(what(&packet::udp(route, 7, 9, b"data")), datagram);
        }
    }

    #[test]
    fn cut_and_damaged_frames_are_no_trouble() {
        let route = Route {
            from_mac: EthernetAddress([2, 0, 0, 0, 0, 1]),
            to_mac: EthernetAddress([2, 0, 0, 0, 0, 2]),
            from: ROUTES[0].0,
            to: ROUTES[0].1,
        };
        let frame = packet::udp(route, 7, 9, &[0x45; 100]);
        assert!(summary(&frame).contains("UDP from 10.0.0.1 port 7 to port 9"), "{}", summary(&frame));
        for length in 0..frame.len() {
            observe(frame.get(..length).unwrap());
            summary(frame.get(..length).unwrap());
            let mut damaged = frame.clone();
            for value in [0, 1, 0x0f, 0x45, 0x80, 0xff] {
                *damaged.get_mut(length).unwrap() = value;
                observe(&damaged);
            }
        }
    }
}
