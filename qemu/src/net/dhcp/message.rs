//! A client's DHCP message out of a frame, and a server's into one. It never decides.

use super::super::packet::{self, Route};
use smoltcp::wire::{
    DHCP_MAX_DNS_SERVER_COUNT, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, UdpPacket,
};
use std::net::Ipv4Addr;

pub(super) const SERVER_PORT: u16 = 67;
pub(super) const CLIENT_PORT: u16 = 68;

/// What fits into one Ethernet frame: 1500 bytes without the headers of IPv4 and UDP.
const LONGEST: usize = 1500 - 20 - 8;

/// Option codes (RFC 2132).
pub(super) mod code {
    pub(in super::super) const REQUESTED_ADDRESS: u8 = 50;
    pub(in super::super) const MESSAGE_TYPE: u8 = 53;
    pub(in super::super) const SERVER: u8 = 54;
    pub(in super::super) const RENEWAL: u8 = 58;
    pub(in super::super) const REBINDING: u8 = 59;
    pub(in super::super) const CLIENT_ID: u8 = 61;
}

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientMessage {
    pub(super) kind: DhcpMessageType,
    pub(super) transaction: u32,
    pub(super) mac: EthernetAddress,
    pub(super) has: Ipv4Addr,
    pub(super) wants_broadcast: bool,
    pub(super) relayed: bool,
    pub(super) options: Vec<(u8, Vec<u8>)>,
}

impl ClientMessage {
    fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(kind, _)| *kind == code).map(|(_, data)| data.as_slice())
    }

    fn address(&self, code: u8) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(*self.option(code)?.as_array::<4>()?))
    }

    pub(super) fn requested(&self) -> Option<Ipv4Addr> {
        self.address(code::REQUESTED_ADDRESS)
    }

    pub(super) fn server(&self) -> Option<Ipv4Addr> {
        self.address(code::SERVER)
    }

    pub(super) fn client_id(&self) -> Option<&[u8]> {
        self.option(code::CLIENT_ID)
    }
}

/// Whether a frame is for a DHCP server's port.
pub(super) fn is_for_server(frame: &[u8]) -> bool {
    payload(frame).is_some()
}

/// The payload of a datagram to the server's port.
fn payload(frame: &[u8]) -> Option<&[u8]> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Udp || ip.more_frags() || ip.frag_offset() != 0 {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    (udp.dst_port() == SERVER_PORT).then(|| udp.payload())
}

/// A client's message; none when it is not one.
pub(super) fn parse(frame: &[u8]) -> Option<ClientMessage> {
    let packet = DhcpPacket::new_checked(payload(frame)?).ok()?;
    // RFC 2131 section 2: Ethernet addresses, and RFC 1497's magic cookie before the options.
    let plausible = packet.opcode() == smoltcp::wire::DhcpOpCode::Request
        && packet.hardware_len() == 6
        && packet.magic_number() == 0x6382_5363;
    let mac = packet.client_hardware_address();
    if !plausible || !mac.is_unicast() {
        return None;
    }
    let options: Vec<_> = packet.options().map(|option| (option.kind, option.data.to_vec())).collect();
    let kind = options.iter().find(|(kind, _)| *kind == code::MESSAGE_TYPE)?.1.as_array::<1>()?[0];
    Some(ClientMessage {
        kind: DhcpMessageType::from(kind),
        transaction: packet.transaction_id(),
        mac,
        has: packet.client_ip(),
        wants_broadcast: packet.flags().contains(smoltcp::wire::DhcpFlags::BROADCAST),
        relayed: !packet.relay_agent_ip().is_unspecified(),
        options,
    })
}

/// What a server says.
#[derive(Debug, Clone)]
pub(super) struct ServerMessage<'a> {
    pub(super) kind: DhcpMessageType,
    pub(super) server_mac: EthernetAddress,
    pub(super) server: Ipv4Addr,
    /// The client's new address; unspecified in a NAK and in the answer to INFORM.
    pub(super) gives: Ipv4Addr,
    pub(super) mask: Option<Ipv4Addr>,
    pub(super) lease_seconds: Option<u32>,
    pub(super) router: Option<Ipv4Addr>,
    pub(super) dns: &'a [Ipv4Addr],
    pub(super) options: &'a [(u8, Vec<u8>)],
}

impl ServerMessage<'_> {
    /// The frame that answers a client's message; none when the options do not fit.
    pub(super) fn frame(&self, asked: &ClientMessage) -> Option<Vec<u8>> {
        let renewal = self.lease_seconds.map(|seconds| (seconds / 2).to_be_bytes());
        let rebinding = self.lease_seconds.map(|seconds| (seconds - seconds / 8).to_be_bytes());
        let mut options: Vec<DhcpOption<'_>> = Vec::new();
        let mut add = |kind, data| options.push(DhcpOption { kind, data });
        if let (Some(renewal), Some(rebinding)) = (&renewal, &rebinding) {
            add(code::RENEWAL, renewal);
            add(code::REBINDING, rebinding);
        }
        // RFC 6842: who is asked with a client identifier answers with it.
        if let Some(identifier) = asked.client_id() {
            add(code::CLIENT_ID, identifier);
        }
        self.options.iter().for_each(|(kind, data)| add(*kind, data));
        let dns = self.dns.iter().copied().take(DHCP_MAX_DNS_SERVER_COUNT).collect();
        let is_nak = self.kind == DhcpMessageType::Nak;
        let repr = DhcpRepr {
            message_type: self.kind,
            transaction_id: asked.transaction,
            secs: 0,
            client_hardware_address: asked.mac,
            client_ip: if is_nak { Ipv4Addr::UNSPECIFIED } else { asked.has },
            your_ip: self.gives,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: self.router,
            subnet_mask: self.mask,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: asked.wants_broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.server),
            parameter_request_list: None,
            dns_servers: (!self.dns.is_empty()).then_some(dns),
            max_size: None,
            lease_duration: self.lease_seconds,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &options,
        };
        // Old clients want 300 bytes at least (RFC 1542 section 2.1).
        let mut bytes = vec![0; repr.buffer_len().max(300)];
        if bytes.len() > LONGEST {
            return None;
        }
        repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes)).ok()?;
        Some(packet::udp(self.route(asked, is_nak), SERVER_PORT, CLIENT_PORT, &bytes))
    }

    /// To whom the answer goes (RFC 2131 section 4.1).
    fn route(&self, asked: &ClientMessage, is_nak: bool) -> Route {
        let (to_mac, to) = if is_nak {
            (EthernetAddress::BROADCAST, Ipv4Addr::BROADCAST)
        } else if !asked.has.is_unspecified() {
            (asked.mac, asked.has)
        } else if asked.wants_broadcast {
            (EthernetAddress::BROADCAST, Ipv4Addr::BROADCAST)
        } else {
            (asked.mac, self.gives)
        };
        Route { from_mac: self.server_mac, to_mac, from: self.server.into(), to: to.into() }
    }
}
