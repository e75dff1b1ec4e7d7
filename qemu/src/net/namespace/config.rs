//! How a namespace is connected to a network: its device's addresses. It never connects it.

use super::super::host::named_address;
use super::super::packet::link_local;
use super::super::vlan::Vlan;
use smoltcp::wire::EthernetAddress;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A link of less carries no IPv6 (RFC 8200 section 5).
const LEAST_FOR_IPV6: u16 = 1280;

/// A network device in a namespace.
#[derive(Debug, Clone)]
pub struct NamespaceConfig {
    addresses: Vec<(IpAddr, u8)>,
    gateways: Vec<IpAddr>,
    mac: Option<EthernetAddress>,
    mtu: u16,
    vlan: Option<Vlan>,
}

impl Default for NamespaceConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl NamespaceConfig {
    /// A device with a link-local IPv6 address alone, and an MTU of 1500 bytes.
    pub fn new() -> Self {
        Self { addresses: Vec::new(), gateways: Vec::new(), mac: None, mtu: 1500, vlan: None }
    }

    /// With this IPv4 address and length of the network's prefix (0 to 32).
    #[must_use]
    pub fn ipv4(mut self, address: impl Into<Ipv4Addr>, prefix: u8) -> Self {
        self.addresses.push((address.into().into(), prefix.min(32)));
        self
    }

    /// With this IPv6 address and length of the network's prefix (0 to 128). It is usable at once: nobody is asked first.
    #[must_use]
    pub fn ipv6(mut self, address: impl Into<Ipv6Addr>, prefix: u8) -> Self {
        self.addresses.push((address.into().into(), prefix.min(128)));
        self
    }

    /// With a router for all other networks.
    #[must_use]
    pub fn gateway(mut self, address: impl Into<IpAddr>) -> Self {
        self.gateways.push(address.into());
        self
    }

    /// With this hardware address; otherwise `02:4e` and four bytes of a hash of the names of namespace and device.
    #[must_use]
    pub fn mac(mut self, mac: EthernetAddress) -> Self {
        self.mac = Some(mac);
        self
    }

    /// Packets are this long at most (68 to 65,535 bytes; below 1280 there is no IPv6).
    #[must_use]
    pub fn mtu(mut self, bytes: u16) -> Self {
        self.mtu = bytes.max(68);
        self
    }

    /// In this VLAN (1 to 4094): on the cable its frames bear the tag, and it takes only those that bear it.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Self {
        self.vlan = Some(Vlan::new(id));
        self
    }

    pub(super) fn tagging(&self) -> Option<Vlan> {
        self.vlan
    }

    pub(super) fn hardware_address(&self, namespace: &str, device: &str) -> EthernetAddress {
        self.mac.unwrap_or_else(|| named_address([0x02, 0x4e], &format!("{namespace} {device}")))
    }

    /// What `ip -batch` is told on the wire's side: it makes the pair, whose wire end must not speak by itself.
    pub(super) fn wire_commands(&self, wire: &str, index: i32, device: &str, namespace: u32) -> String {
        let mtu = self.mtu;
        format!(
            "link add name {wire} index {index} type veth peer name {device} netns {namespace}\n\
             link set dev {wire} addrgenmode none\n\
             link set dev {wire} mtu {mtu} arp off up\n"
        )
    }

    /// What `ip -batch` is told in the namespace.
    pub(super) fn device_commands(&self, device: &str, mac: EthernetAddress) -> String {
        let address = mac.0.map(|byte| format!("{byte:02x}")).join(":");
        let mut commands = vec![
            "link set dev lo up".to_owned(),
            // The kernel's own link-local address would wait for a second to be found unique.
            format!("link set dev {device} addrgenmode none"),
            format!("link set dev {device} address {address} mtu {} up", self.mtu),
        ];
        if self.mtu >= LEAST_FOR_IPV6 {
            commands.push(format!("addr add {}/64 dev {device} nodad", link_local(mac)));
        }
        commands.extend(self.addresses.iter().map(|(address, prefix)| {
            let at_once = if address.is_ipv6() { " nodad" } else { "" };
            format!("addr add {address}/{prefix} dev {device}{at_once}")
        }));
        commands.extend(self.gateways.iter().map(|gateway| {
            let family = if gateway.is_ipv6() { "::/0" } else { "0.0.0.0/0" };
            format!("route add {family} via {gateway} dev {device}")
        }));
        commands.join("\n") + "\n"
    }
}
