//! The table of ports: what the kernel says of links and addresses, and what follows for each port. Pure: it never
//! touches a port.

use drawbridge_bus::Port;
use drawbridge_bus::message::PORTS_MOST;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The most addresses of a port that are shown. The kernel gives a port at most 16 from router advertisements.
const ADDRESSES_MOST: usize = 32;

/// A link as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it: never used twice while the system runs.
    pub index: u32,
    /// The kernel's name.
    pub name: String,
    /// The hardware address.
    pub mac: [u8; 6],
    /// Whether it is switched on.
    pub up: bool,
    /// Whether a cable with a live other end is in.
    pub carrier: bool,
}

/// What is to be done for a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Switch it on.
    SwitchOn(u32),
    /// It has carrier: ask for a lease.
    Begin(Link),
    /// It has carrier no more, or another hardware address, or is gone: the lease is void.
    End(u32),
}

#[derive(Debug)]
struct Entry {
    link: Link,
    driver: String,
    addresses: BTreeSet<(IpAddr, u8)>,
}

/// The ports that are handled.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<u32, Entry>,
}

impl Table {
    /// Takes in what the kernel says of a link that is a port, and tells what follows. `driver` is asked for its driver
    /// when it is new.
    ///
    /// # Errors
    /// [`TooManyPorts`]: the port is left alone.
    pub fn link(&mut self, link: Link, driver: impl FnOnce() -> String) -> Result<Vec<Step>, TooManyPorts> {
        let full = self.entries.len() >= PORTS_MOST;
        let mut steps = Vec::new();
        let before = match self.entries.get_mut(&link.index) {
            Some(entry) => Some(std::mem::replace(&mut entry.link, link.clone())),
            None if full => return Err(TooManyPorts { name: link.name }),
            None => {
                let entry = Entry { link: link.clone(), driver: driver(), addresses: BTreeSet::new() };
                self.entries.insert(link.index, entry);
                None
            }
        };
        if !link.up && before.as_ref().is_none_or(|before| before.up) {
            steps.push(Step::SwitchOn(link.index));
        }
        let same = before.as_ref().is_some_and(|before| before.mac == link.mac);
        let had_carrier = before.is_some_and(|before| before.carrier);
        if had_carrier && !(link.carrier && same) {
            steps.push(Step::End(link.index));
        }
        if link.carrier && !(had_carrier && same) {
            steps.push(Step::Begin(link));
        }
        Ok(steps)
    }

    /// The link is gone.
    pub fn gone(&mut self, index: u32) -> Vec<Step> {
        match self.entries.remove(&index) {
            Some(_) => vec![Step::End(index)],
            None => Vec::new(),
        }
    }

    /// The link has this address, or has it no more.
    pub fn address(&mut self, index: u32, address: (IpAddr, u8), there: bool) {
        let Some(entry) = self.entries.get_mut(&index) else { return };
        if !there {
            entry.addresses.remove(&address);
        } else if entry.addresses.len() < ADDRESSES_MOST {
            entry.addresses.insert(address);
        }
    }

    /// Forgets all addresses: the kernel is asked for all of them again.
    pub fn forget_addresses(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.addresses.clear());
    }

    /// The numbers of all ports.
    pub fn indexes(&self) -> Vec<u32> {
        self.entries.keys().copied().collect()
    }

    /// The link of that number, if it is a port.
    pub fn get(&self, index: u32) -> Option<&Link> {
        self.entries.get(&index).map(|entry| &entry.link)
    }

    /// The ports, to be shown.
    pub fn ports(&self) -> Vec<Port> {
        self.entries
            .values()
            .map(|entry| Port {
                name: entry.link.name.clone(),
                mac: entry.link.mac,
                driver: entry.driver.clone(),
                carrier: entry.link.carrier,
                addresses: entry.addresses.iter().copied().collect(),
            })
            .collect()
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
mod tests {
    use super::*;

    fn link(index: u32, up: bool, carrier: bool) -> Link {
        Link { index, name: format!("eth{index}"), mac: [2, 0, 0, 0, 0, 1], up, carrier }
    }

    fn take(table: &mut Table, link: Link) -> Vec<Step> {
        table.link(link, String::new).unwrap()
    }

    #[test]
    fn a_port_is_switched_on_asks_when_it_has_carrier_and_stops_when_it_has_not() {
        let mut table = Table::default();
        assert_eq!(take(&mut table, link(1, false, false)), [Step::SwitchOn(1)]);
        assert_eq!(take(&mut table, link(1, false, false)), [], "once is enough");
        assert_eq!(take(&mut table, link(1, true, false)), []);
        assert_eq!(take(&mut table, link(1, true, true)), [Step::Begin(link(1, true, true))]);
        assert_eq!(take(&mut table, link(1, true, true)), []);
        assert_eq!(take(&mut table, link(1, true, false)), [Step::End(1)]);
        assert_eq!(take(&mut table, link(1, false, false)), [Step::SwitchOn(1)], "somebody switched it off");
        assert_eq!(table.gone(1), [Step::End(1)]);
        assert_eq!(table.gone(1), []);
    }

    #[test]
    fn another_hardware_address_is_another_client() {
        let mut table = Table::default();
        take(&mut table, link(1, true, true));
        let other = Link { mac: [2, 0, 0, 0, 0, 2], ..link(1, true, true) };
        assert_eq!(take(&mut table, other.clone()), [Step::End(1), Step::Begin(other)]);
    }

    #[test]
    fn ports_beyond_the_most_are_left_alone_and_named() {
        let mut table = Table::default();
        for index in 1..=u32::try_from(PORTS_MOST).unwrap() {
            take(&mut table, link(index, true, false));
        }
        let error = table.link(link(99, true, true), || panic!("not even looked at")).unwrap_err();
        assert!(error.to_string().contains("eth99"));
        assert_eq!(take(&mut table, link(1, true, true)), [Step::Begin(link(1, true, true))]);
        assert_eq!(table.ports().len(), PORTS_MOST);
    }

    #[test]
    fn addresses_are_shown_in_order_and_bounded() {
        let mut table = Table::default();
        take(&mut table, link(1, true, true));
        for last in 0..=255 {
            table.address(1, (IpAddr::from([10, 0, 0, last]), 24), true);
            table.address(2, (IpAddr::from([10, 0, 0, last]), 24), true);
        }
        assert_eq!(table.ports()[0].addresses.len(), ADDRESSES_MOST);
        table.address(1, (IpAddr::from([10, 0, 0, 0]), 24), false);
        assert_eq!(table.ports()[0].addresses[0].0, IpAddr::from([10, 0, 0, 1]));
        table.forget_addresses();
        assert!(table.ports()[0].addresses.is_empty());
    }
}
