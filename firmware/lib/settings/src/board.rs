//! Which roles the ports have that no setting mentions, by the machine's names. It never looks at the machine.
//!
//! The data is under `board/ports`, one file a board, and built in. A board is recognised by what its firmware says in DMI;
//! a machine that none recognises is the generic one, whose every port serves management, uplink and array.

use crate::fault::{FieldError, Wrong};
use crate::network::{
    Interface, InterfaceName, Ipv4, Ipv6, NetworkSettings, Place, PortKey, PortRole, Roles,
};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The boards that are built in, those with the narrower match first.
const FILES: [(&str, &str); 2] = [
    ("drawbridge-lab", include_str!("../../../../board/ports/drawbridge-lab.json")),
    ("generic", include_str!("../../../../board/ports/generic.json")),
];

/// A board's file that cannot be used would be found by the tests; on a machine it is passed over.
static BOARDS: LazyLock<Vec<Board>> =
    LazyLock::new(|| FILES.iter().filter_map(|(_, text)| Board::parse(text.as_bytes()).ok()).collect());
static PLAIN: LazyLock<Board> = LazyLock::new(Board::plain);

/// A machine, and what its ports are for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// What it is called in logs.
    name: String,
    /// DMI's `sys_vendor`; none matches any.
    #[serde(default)]
    vendor: Option<String>,
    /// DMI's `product_name`; none matches any.
    #[serde(default)]
    product: Option<String>,
    /// Ports that have their own defaults.
    #[serde(default)]
    ports: Vec<BoardPort>,
    /// All other ports.
    others: PortDefaults,
}

/// A port with its own defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoardPort {
    at: PortKey,
    name: InterfaceName,
    defaults: PortDefaults,
}

/// What a port has by default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PortDefaults {
    roles: Roles,
    #[serde(default)]
    ipv4: Ipv4,
    #[serde(default)]
    ipv6: Ipv6,
}

/// A port of this machine: what it can be known by, the key for new settings first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortKeys {
    /// What it is known by in defaults and in new settings: its place, where it has one.
    pub first: PortKey,
    /// Its other key.
    pub second: Option<PortKey>,
}

impl PortKeys {
    /// Whether a key means this port.
    pub fn is(&self, key: PortKey) -> bool {
        self.first == key || self.second == Some(key)
    }
}

impl Board {
    /// The board that the firmware's names (`sys_vendor`, `product_name`) tell; the generic one when none does.
    pub fn find(vendor: &str, product: &str) -> &'static Self {
        BOARDS.iter().find(|board| board.is(vendor, product)).unwrap_or(&PLAIN)
    }

    /// What it is called in logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The default interface for a port that no setting mentions. `taken` says which names are in use: a port whose name
    /// is gets another.
    pub fn interface_for(&self, port: &PortKeys, taken: impl Fn(&InterfaceName) -> bool) -> Interface {
        let own = self.ports.iter().find(|own| port.is(own.at));
        let defaults = own.map_or(&self.others, |own| &own.defaults);
        let name = own.map(|own| own.name.clone()).filter(|name| !taken(name));
        Interface {
            name: name.unwrap_or_else(|| free_name(port, taken)),
            at: Place::Port(port.first),
            roles: defaults.roles,
            ipv4: defaults.ipv4.clone(),
            ipv6: defaults.ipv6.clone(),
            mtu: None,
            dns: Vec::new(),
            routes: Vec::new(),
            enabled: true,
        }
    }

    /// All interfaces: those of the settings as they are, then a default one for each port that none of them mentions.
    pub fn interfaces(&self, settings: &NetworkSettings, ports: &[PortKeys]) -> Vec<Interface> {
        let mut names: BTreeSet<InterfaceName> =
            settings.interfaces.iter().map(|interface| interface.name.clone()).collect();
        let mentioned: BTreeSet<PortKey> =
            settings.interfaces.iter().flat_map(|interface| interface.at.ports()).copied().collect();
        let mut interfaces = settings.interfaces.clone();
        for port in ports {
            if mentioned.contains(&port.first) || port.second.is_some_and(|key| mentioned.contains(&key)) {
                continue;
            }
            let interface = self.interface_for(port, |name| names.contains(name));
            names.insert(interface.name.clone());
            interfaces.push(interface);
        }
        interfaces
    }

    /// A board from its file.
    fn parse(text: &[u8]) -> Result<Self, FieldError> {
        crate::network::from_json(text)
    }

    fn is(&self, vendor: &str, product: &str) -> bool {
        let fits = |wanted: &Option<String>, said: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == said.trim())
        };
        fits(&self.vendor, vendor) && fits(&self.product, product)
    }

    /// What the generic board's file says, for the day on which it cannot be read.
    fn plain() -> Self {
        let roles = Roles::new([PortRole::Management, PortRole::Uplink, PortRole::Array]);
        Self {
            name: "generic".to_owned(),
            vendor: None,
            product: None,
            ports: Vec::new(),
            others: PortDefaults {
                roles: roles.unwrap_or(PortRole::Management.into()),
                ipv4: Ipv4::default(),
                ipv6: Ipv6::default(),
            },
        }
    }
}

/// A name for a port that the board does not name: `p00-02-0` by its place or `m525400123456` by its address, with a letter
/// behind it when somebody has called another interface so.
fn free_name(port: &PortKeys, taken: impl Fn(&InterfaceName) -> bool) -> InterfaceName {
    let base = match port.first {
        PortKey::Pci(path) => {
            let (domain, bus, device, function) = path.parts();
            if domain == 0 {
                format!("p{bus:02x}-{device:02x}-{function}")
            } else {
                // Without hyphens the longest, eight digits of domain, is 14 characters.
                format!("p{domain:x}{bus:02x}{device:02x}{function}")
            }
        }
        PortKey::Mac(address) => {
            address.bytes().iter().fold("m".to_owned(), |name, byte| format!("{name}{byte:02x}"))
        }
    };
    let candidates = std::iter::once(base.clone()).chain(('a'..='z').map(|letter| format!("{base}{letter}")));
    let mut names = candidates.filter_map(|name| Result::<_, Wrong>::ok(name.parse::<InterfaceName>()));
    // With 32 interfaces and 64 ports nobody takes 27 names of one port but on purpose; then a name stands twice.
    let first = names.next();
    match first {
        Some(name) if !taken(&name) => name,
        first => names.find(|name| !taken(name)).or(first).unwrap_or_else(InterfaceName::plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(first: &str, second: Option<&str>) -> PortKeys {
        PortKeys { first: first.parse().unwrap(), second: second.map(|key| key.parse().unwrap()) }
    }

    #[test]
    fn every_built_in_board_can_be_read_and_is_right() {
        for (name, text) in FILES {
            let board = Board::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(board.name, name);
            let ports: Vec<PortKeys> =
                board.ports.iter().map(|port| PortKeys { first: port.at, second: None }).collect();
            let interfaces = board.interfaces(&NetworkSettings::default(), &ports);
            let settings = NetworkSettings { interfaces, ..NetworkSettings::default() };
            assert_eq!(settings.check(), Ok(()), "{name}");
            assert_eq!(settings.interfaces.len(), ports.len());
        }
        assert_eq!(BOARDS.len(), FILES.len());
    }

    #[test]
    fn an_unknown_machine_is_the_generic_board() {
        let board = Board::find("Somebody", "Something");
        assert_eq!(board, &Board::plain(), "the file and its replacement say the same");
        let interface = board.interface_for(&keys("pci-0000:00:02.0", Some("52:54:00:12:34:56")), |_| false);
        assert_eq!(interface.name.as_str(), "p00-02-0");
        assert_eq!(interface.roles.to_string(), "management, uplink, array");
        assert_eq!(interface.ipv4, Ipv4::Dhcp { link_local_fallback: true });
        assert_eq!(interface.ipv6, Ipv6::Auto { privacy: false });
        assert!(interface.enabled);
    }

    #[test]
    fn a_known_machine_gives_its_ports_their_roles_by_either_key() {
        let board = Board::find("QEMU", "Drawbridge Lab 3\n");
        assert_eq!(board.name(), "drawbridge-lab");
        for (port, name) in [
            (keys("pci-0000:00:08.0", Some("52:54:00:12:34:56")), "management"),
            (keys("52:54:00:12:34:56", Some("pci-0000:00:09.0")), "uplink"),
            (keys("pci-0000:00:0a.0", None), "array"),
            // Behind a root port, as cards that can be unplugged are.
            (keys("pci-0000:01:00.0", None), "management"),
        ] {
            let interface = board.interface_for(&port, |_| false);
            assert_eq!(interface.name.as_str(), name);
            assert_eq!(interface.roles.to_string(), name);
            assert_eq!(interface.at, Place::Port(port.first));
        }
        assert_eq!(board.interface_for(&keys("pci-0000:00:0b.0", None), |_| false).name.as_str(), "p00-0b-0");
    }

    #[test]
    fn settings_come_before_defaults_and_names_stay_unique() {
        let board = Board::find("", "Drawbridge Lab 3");
        let ports = [
            keys("pci-0000:00:08.0", Some("52:54:00:00:00:02")),
            keys("pci-0000:00:09.0", Some("52:54:00:00:00:03")),
            keys("pci-0000:00:0a.0", None),
            keys("pci-0000:00:05.0", None),
        ];
        // Somebody has given the board's name for another port to the one at 09.0, which is named by its address.
        let mut own = board.interface_for(&keys("52:54:00:00:00:03", None), |_| false);
        own.name = "management".parse().unwrap();
        let mut other = board.interface_for(&ports[2], |_| false);
        other.name = "p00-05-0".parse().unwrap();
        let settings = NetworkSettings { interfaces: vec![own, other], ..NetworkSettings::default() };
        let interfaces = board.interfaces(&settings, &ports);
        let names: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        assert_eq!(names, ["management", "p00-05-0", "p00-08-0", "p00-05-0a"]);
        assert_eq!(interfaces[2].roles.to_string(), "management");
    }

    #[test]
    fn every_port_has_a_name_that_is_allowed() {
        for (port, name) in [
            ("pci-0000:ff:1f.7", "pff-1f-7"),
            ("pci-10000:01:00.0", "p1000001000"),
            ("pci-ffffffff:ff:1f.7", "pffffffffff1f7"),
            ("52:54:00:12:34:56", "m525400123456"),
        ] {
            assert_eq!(free_name(&keys(port, None), |_| false).as_str(), name);
        }
        assert_eq!(free_name(&keys("52:54:00:12:34:56", None), |_| true).as_str(), "m525400123456");
    }
}
