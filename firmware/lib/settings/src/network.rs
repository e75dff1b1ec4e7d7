//! What can be set about the ports: interfaces, addresses, routes, names, time servers. It never touches a port.
//!
//! A type holds only what is right for itself; [`NetworkSettings::check`] knows the rules between fields. Whoever takes
//! settings from elsewhere (bus, file, person) calls it before use.
//!
//! As JSON:
//!
//! ```json
//! { "host_name": "support-1", "search": ["example.com"], "time_servers": ["192.0.2.123", "ntp.example.com"],
//!   "confirm_seconds": 60,
//!   "interfaces": [
//!     { "name": "bond0", "at": {"bond": {"mode": "lacp", "members": ["pci-0000:00:03.0", "52:54:00:12:34:56"]}},
//!       "roles": ["uplink"], "ipv4": "off", "ipv6": "off", "mtu": 9000 },
//!     { "name": "outside", "at": {"vlan": {"on": "bond0", "id": 42}}, "roles": ["uplink"],
//!       "ipv4": {"static": {"address": "198.51.100.7/24", "router": "198.51.100.1"}},
//!       "ipv6": {"auto": {"privacy": true}}, "dns": ["198.51.100.53"],
//!       "routes": [{"to": "10.0.0.0/8", "via": "198.51.100.2"}] } ] }
//! ```

mod addresses;
mod check;
mod json;
mod names;
mod ports;
#[cfg(test)]
mod tests;

pub use json::from_json;
pub(crate) use json::from_value;

pub use addresses::{IpNet, Ipv4Net, Ipv6Net};
pub use names::{DomainName, Host, HostName, InterfaceName};
pub use ports::{MacAddress, PciPath, PortKey};

use crate::fault::Wrong;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most interfaces.
pub const INTERFACES_MOST: usize = 32;
/// The most search domains, as resolvers have always had it.
pub const SEARCH_MOST: usize = 6;
/// The most time servers.
pub const TIME_SERVERS_MOST: usize = 8;
/// The most name servers of an interface.
pub const DNS_MOST: usize = 4;
/// The most routes of an interface.
pub const ROUTES_MOST: usize = 32;
/// The most routes of all interfaces together: so the settings stay well below [`JSON_BYTES_MOST`].
pub const ROUTES_IN_ALL_MOST: usize = 128;
/// The most ports of a bond.
pub const MEMBERS_MOST: usize = 8;
/// The most static IPv6 addresses of an interface.
pub const IPV6_ADDRESSES_MOST: usize = 8;
/// How long a change may wait for its confirmation, in seconds.
pub const CONFIRM_SECONDS: std::ops::RangeInclusive<u16> = 10..=3600;
/// The longest settings that are read as JSON from outside.
pub const JSON_BYTES_MOST: usize = 64 * 1024;

/// All that is set about the network. By default no interface is listed: every port follows the board's defaults
/// ([`crate::board`]), as does every port that no interface mentions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkSettings {
    /// The machine's own name; without one it is made from the serial number.
    pub host_name: Option<HostName>,
    /// Domains that a short name is looked up in, in this order (at most [`SEARCH_MOST`]). They come before learned ones.
    pub search: Vec<DomainName>,
    /// Time servers (at most [`TIME_SERVERS_MOST`]). When there is one, learned ones are not asked.
    pub time_servers: Vec<Host>,
    /// A change that nobody confirms within so many seconds rolls itself back ([`CONFIRM_SECONDS`]).
    pub confirm_seconds: u16,
    /// The interfaces (at most [`INTERFACES_MOST`]).
    pub interfaces: Vec<Interface>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            host_name: None,
            search: Vec::new(),
            time_servers: Vec::new(),
            confirm_seconds: 60,
            interfaces: Vec::new(),
        }
    }
}

impl NetworkSettings {
    /// The interface that uses a port, alone or in a bond.
    pub fn interface_at(&self, port: PortKey) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.at.ports().contains(&port))
    }

    /// The interface of this name.
    pub fn interface(&self, name: &InterfaceName) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == *name)
    }
}

/// A port, a bond of ports, or a VLAN on one of these, with its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The name it is known by here. The kernel's name follows probe order and is never used.
    pub name: InterfaceName,
    /// Where it is.
    pub at: Place,
    /// What it is for.
    pub roles: Roles,
    /// How it gets IPv4.
    #[serde(default)]
    pub ipv4: Ipv4,
    /// How it gets IPv6.
    #[serde(default)]
    pub ipv6: Ipv6,
    /// The largest packet; none: as the network says, else 1500, and for a VLAN as much as what it is on.
    #[serde(default)]
    pub mtu: Option<Mtu>,
    /// Name servers (at most [`DNS_MOST`]); they are asked before learned ones.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Routes beside the router's (at most [`ROUTES_MOST`]).
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Whether it is used at all. One that is not keeps its settings and has its link down.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// Where an interface is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// A port of the machine.
    Port(PortKey),
    /// Several ports as one.
    Bond {
        /// How they share the work.
        mode: BondMode,
        /// The ports (1 to [`MEMBERS_MOST`]).
        members: Vec<PortKey>,
    },
    /// A VLAN (IEEE 802.1Q) on a port or a bond.
    Vlan {
        /// The interface that carries it.
        on: InterfaceName,
        /// The VLAN's number.
        id: VlanId,
    },
}

impl Place {
    /// The ports that it takes for itself: none for a VLAN.
    pub fn ports(&self) -> &[PortKey] {
        match self {
            Self::Port(port) => std::slice::from_ref(port),
            Self::Bond { members, .. } => members,
            Self::Vlan { .. } => &[],
        }
    }
}

/// How the ports of a bond share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BondMode {
    /// One works, the others wait. The switch needs to know nothing.
    ActiveBackup,
    /// All work, as agreed with the switch (IEEE 802.3ad).
    Lacp,
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortRole {
    /// The administrator: the console.
    Management,
    /// Towards the RSS. A port that is this only answers nothing.
    Uplink,
    /// Towards the array's nodes.
    Array,
    /// The technician's computer. A port that is this only has a fixed link-local address beside its own and serves DHCP;
    /// one that is another's too, or asks for an address by DHCP itself, serves none.
    Service,
}

impl PortRole {
    /// All.
    pub const ALL: [Self; 4] = [Self::Management, Self::Uplink, Self::Array, Self::Service];

    /// As in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Uplink => "uplink",
            Self::Array => "array",
            Self::Service => "service",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl std::fmt::Display for PortRole {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(self.name())
    }
}

/// What an interface is for: a set that is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<PortRole>", into = "Vec<PortRole>")]
pub struct Roles(u8);

impl Roles {
    /// These. None at all is an error.
    pub fn new(roles: impl IntoIterator<Item = PortRole>) -> Result<Self, Wrong> {
        let bits = roles.into_iter().fold(0, |bits, role| bits | role.bit());
        if bits == 0 {
            return Err(Wrong::new(
                "no role is named",
                "one or more of management, uplink, array and service",
            ));
        }
        Ok(Self(bits))
    }

    /// Whether this is one of them.
    pub const fn contains(self, role: PortRole) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether there is this one and no other.
    pub const fn only(self, role: PortRole) -> bool {
        self.0 == role.bit()
    }

    /// All, in the order of [`PortRole::ALL`].
    pub fn iter(self) -> impl Iterator<Item = PortRole> {
        PortRole::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl From<PortRole> for Roles {
    fn from(role: PortRole) -> Self {
        Self(role.bit())
    }
}

impl TryFrom<Vec<PortRole>> for Roles {
    type Error = Wrong;

    fn try_from(roles: Vec<PortRole>) -> Result<Self, Wrong> {
        Self::new(roles)
    }
}

impl From<Roles> for Vec<PortRole> {
    fn from(roles: Roles) -> Self {
        roles.iter().collect()
    }
}

impl std::fmt::Display for Roles {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, role) in self.iter().enumerate() {
            write!(to, "{}{role}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// How an interface gets IPv4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ipv4 {
    /// Not at all.
    Off,
    /// From a DHCP server (RFC 2131).
    Dhcp {
        /// Whether it takes a link-local address (RFC 3927) while no server answers.
        #[serde(default = "yes")]
        link_local_fallback: bool,
    },
    /// As set.
    Static {
        /// Its address and its network.
        address: Ipv4Net,
        /// Where everything goes that no route names.
        #[serde(default)]
        router: Option<Ipv4Addr>,
    },
    /// A link-local address only (RFC 3927).
    LinkLocal,
}

impl Default for Ipv4 {
    fn default() -> Self {
        Self::Dhcp { link_local_fallback: true }
    }
}

/// How an interface gets IPv6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ipv6 {
    /// Not at all.
    Off,
    /// A link-local address only.
    LinkLocal,
    /// As the routers say (RFC 4862).
    Auto {
        /// Addresses that change with time (RFC 8981) in place of a stable one (RFC 7217).
        #[serde(default)]
        privacy: bool,
    },
    /// As set, beside the link-local address.
    Static {
        /// Its addresses and their networks (1 to [`IPV6_ADDRESSES_MOST`]).
        addresses: Vec<Ipv6Net>,
        /// Where everything goes that no route names.
        #[serde(default)]
        router: Option<Ipv6Addr>,
    },
}

impl Default for Ipv6 {
    fn default() -> Self {
        Self::Auto { privacy: false }
    }
}

/// A route beside the router's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What is reached by it.
    pub to: IpNet,
    /// Who carries it on: an address of the same family.
    pub via: IpAddr,
    /// The lower of two is taken; none: the role's own choice.
    #[serde(default)]
    pub metric: Option<u32>,
}

/// A largest packet, 576 to 9216 bytes. IPv6 needs 1280, which [`NetworkSettings::check`] sees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Mtu(u16);

impl Mtu {
    /// The least: what every IPv4 host takes (RFC 791), and less helps nobody.
    pub const LEAST: u16 = 576;
    /// The most: the jumbo frame of common switches.
    pub const MOST: u16 = 9216;
    /// The least for IPv6 (RFC 8200, section 5).
    pub const LEAST_FOR_IPV6: u16 = 1280;
    /// What a port has that nobody set (RFC 894).
    pub const ETHERNET: Self = Self(1500);

    /// In bytes.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Mtu {
    type Error = Wrong;

    fn try_from(bytes: u16) -> Result<Self, Wrong> {
        if (Self::LEAST..=Self::MOST).contains(&bytes) {
            return Ok(Self(bytes));
        }
        Err(Wrong::new(format!("{bytes} is no size of a packet"), json::MTU_RIGHT))
    }
}

impl From<Mtu> for u16 {
    fn from(mtu: Mtu) -> Self {
        mtu.0
    }
}

/// The number of a VLAN, 1 to 4094 (IEEE 802.1Q keeps 0 and 4095 for itself).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

impl VlanId {
    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = Wrong;

    fn try_from(number: u16) -> Result<Self, Wrong> {
        if (1..=4094).contains(&number) {
            return Ok(Self(number));
        }
        Err(Wrong::new(format!("{number} is no number of a VLAN"), json::VLAN_RIGHT))
    }
}

impl From<VlanId> for u16 {
    fn from(id: VlanId) -> Self {
        id.0
    }
}

const fn yes() -> bool {
    true
}
