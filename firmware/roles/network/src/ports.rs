//! The table of links: what the kernel says of them and of their addresses. Pure: it never touches a link.

use drawbridge_bus::network::PORTS_MOST;
use drawbridge_settings::network::BondMode;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// The most addresses of a link that are kept. The kernel gives a link at most 16 from router advertisements.
const ADDRESSES_MOST: usize = 32;

/// The most links: each port may carry bonds and VLANs, of which the settings name 32 at most.
const LINKS_MOST: usize = PORTS_MOST + 32;

/// A link as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it: never used twice while the system runs.
    pub index: u32,
    /// The kernel's name.
    pub name: String,
    /// The hardware address. A bond's members all have the bond's.
    pub mac: [u8; 6],
    /// The hardware address that the card was made with.
    pub permanent_mac: [u8; 6],
    /// Whether it is switched on.
    pub up: bool,
    /// Whether a cable with a live other end is in.
    pub carrier: bool,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// The largest packet that the card can be set to, where its driver says so.
    pub mtu_most: Option<u32>,
    /// What it is.
    pub kind: Kind,
    /// The bond that it is a member of.
    pub bond: Option<u32>,
}

/// What a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A port, or what the kernel shows like one.
    Port,
    /// A bond; without a mode, one that we never make.
    Bond {
        /// Its mode.
        mode: Option<BondMode>,
    },
    /// A VLAN.
    Vlan {
        /// The link that it runs on.
        on: u32,
        /// Its number.
        id: u16,
    },
}

/// What does not change in the life of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// Its driver, empty when the kernel does not say.
    pub driver: String,
    /// Its place on the PCI bus, empty when it has none.
    pub pci: String,
}

/// A link with what is known of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The link.
    pub link: Link,
    /// Its card.
    pub card: Card,
    /// Its addresses.
    pub addresses: BTreeSet<(IpAddr, u8)>,
}

/// What a link's change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Nothing.
    None,
    /// It lost its carrier, its hardware address changed, or it is another link by the same number: what was learned over
    /// it is void.
    Void,
    /// Something else.
    Some,
}

/// The links that are handled.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<u32, Entry>,
}

impl Table {
    /// Takes in what the kernel says of a link. `card` is asked for its card when it is new.
    ///
    /// # Errors
    /// [`TooManyPorts`]: the link is left alone.
    pub fn link(&mut self, link: Link, card: impl FnOnce() -> Card) -> Result<Difference, TooManyPorts> {
        if let Some(entry) = self.entries.get_mut(&link.index) {
            let before = std::mem::replace(&mut entry.link, link);
            let now = &entry.link;
            return Ok(if before == *now {
                Difference::None
            } else if before.mac != now.mac || (before.carrier && !now.carrier) {
                Difference::Void
            } else {
                Difference::Some
            });
        }
        let ports = self.entries.values().filter(|entry| entry.link.kind == Kind::Port).count();
        if self.entries.len() >= LINKS_MOST || (link.kind == Kind::Port && ports >= PORTS_MOST) {
            return Err(TooManyPorts { name: link.name });
        }
        let entry = Entry { card: card(), addresses: BTreeSet::new(), link };
        self.entries.insert(entry.link.index, entry);
        Ok(Difference::Some)
    }

    /// The link is gone. Tells whether it was there.
    pub fn gone(&mut self, index: u32) -> bool {
        self.entries.remove(&index).is_some()
    }

    /// The link has this address, or has it no more. Tells whether that is new.
    pub fn address(&mut self, index: u32, address: (IpAddr, u8), there: bool) -> bool {
        let Some(entry) = self.entries.get_mut(&index) else { return false };
        if !there {
            entry.addresses.remove(&address)
        } else if entry.addresses.len() < ADDRESSES_MOST {
            entry.addresses.insert(address)
        } else {
            false
        }
    }

    /// The IPv4 addresses of a link that another link has as well.
    pub fn shared(&self, index: u32) -> Vec<Ipv4Addr> {
        let v4 = |entry: &Entry| -> Vec<Ipv4Addr> {
            let addresses = entry.addresses.iter().map(|(address, _)| *address);
            addresses
                .filter_map(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None })
                .collect()
        };
        let others: Vec<_> = self.entries().filter(|one| one.link.index != index).flat_map(v4).collect();
        let own = self.get(index).map(v4).unwrap_or_default();
        own.into_iter().filter(|address| others.contains(address)).collect()
    }

    /// Forgets all addresses: the kernel is asked for all of them again.
    pub fn forget_addresses(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.addresses.clear());
    }

    /// The numbers of all links.
    pub fn indexes(&self) -> Vec<u32> {
        self.entries.keys().copied().collect()
    }

    /// The link of that number.
    pub fn get(&self, index: u32) -> Option<&Entry> {
        self.entries.get(&index)
    }

    /// The link of that name.
    pub fn named(&self, name: &str) -> Option<&Entry> {
        self.entries.values().find(|entry| entry.link.name == name)
    }

    /// All links, by their numbers.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}

/// A port beyond the most that are handled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is left alone: {PORTS_MOST} ports are handled at most")]
pub struct TooManyPorts {
    name: String,
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mac = self.mac.map(|byte| format!("{byte:02x}")).join(":");
        write!(f, "{} ({mac})", self.name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A port as the kernel shows it.
    pub(crate) fn port(index: u32) -> Link {
        let mac = [2, 0, 0, 0, 0, u8::try_from(index % 256).unwrap()];
        Link {
            index,
            name: format!("eth{index}"),
            mac,
            permanent_mac: mac,
            up: true,
            carrier: true,
            mtu: 1500,
            mtu_most: Some(9000),
            kind: Kind::Port,
            bond: None,
        }
    }

    fn take(table: &mut Table, link: Link) -> Difference {
        table.link(link, Card::default).unwrap()
    }

    #[test]
    fn a_lost_carrier_and_another_hardware_address_void_what_was_learned() {
        let mut table = Table::default();
        assert_eq!(take(&mut table, port(1)), Difference::Some);
        assert_eq!(take(&mut table, port(1)), Difference::None);
        assert_eq!(take(&mut table, Link { carrier: false, ..port(1) }), Difference::Void);
        assert_eq!(take(&mut table, port(1)), Difference::Some);
        assert_eq!(take(&mut table, Link { mac: [2; 6], ..port(1) }), Difference::Void);
        assert!(table.gone(1));
        assert!(!table.gone(1));
    }

    #[test]
    fn ports_beyond_the_most_are_left_alone_and_named() {
        let mut table = Table::default();
        for index in 1..=u32::try_from(PORTS_MOST).unwrap() {
            take(&mut table, port(index));
        }
        let error = table.link(port(99), || panic!("not even looked at")).unwrap_err();
        assert!(error.to_string().contains("eth99"));
        assert_eq!(take(&mut table, port(1)), Difference::None);
        assert_eq!(table.entries().count(), PORTS_MOST);
        // Links on the ports have places of their own.
        let vlan = Link { kind: Kind::Vlan { on: 1, id: 5 }, name: "office".into(), ..port(200) };
        assert_eq!(take(&mut table, vlan), Difference::Some);
    }

    #[test]
    fn addresses_are_kept_in_order_and_bounded() {
        let mut table = Table::default();
        take(&mut table, port(1));
        for last in 0..=255 {
            table.address(1, (IpAddr::from([10, 0, 0, last]), 24), true);
            assert!(!table.address(2, (IpAddr::from([10, 0, 0, last]), 24), true));
        }
        assert_eq!(table.get(1).unwrap().addresses.len(), ADDRESSES_MOST);
        assert!(table.address(1, (IpAddr::from([10, 0, 0, 0]), 24), false));
        assert_eq!(table.get(1).unwrap().addresses.first().unwrap().0, IpAddr::from([10, 0, 0, 1]));
        table.forget_addresses();
        assert!(table.get(1).unwrap().addresses.is_empty());
    }
}
