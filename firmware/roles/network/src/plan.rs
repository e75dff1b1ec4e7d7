//! Which interfaces there are to be, from settings, board and the ports that are found. Pure: it never touches a link.

use crate::ports::{Kind, Link};
use drawbridge_settings::board::{Board, PortKeys};
use drawbridge_settings::network::{
    BondMode, Interface, MacAddress, NetworkSettings, PciPath, Place, PortKey,
};

/// A port that is there.
#[derive(Clone, Debug)]
pub struct Found {
    /// The kernel's number for it.
    pub index: u32,
    /// The hardware address that the card was made with.
    pub mac: MacAddress,
    /// Its place on the PCI bus, when it has one.
    pub pci: Option<PciPath>,
}

impl Found {
    /// What it is known by: its place before its address, since a card may be replaced.
    fn keys(&self) -> PortKeys {
        let mac = PortKey::Mac(self.mac);
        match self.pci {
            Some(pci) => PortKeys { first: PortKey::Pci(pci), second: Some(mac) },
            None => PortKeys { first: mac, second: None },
        }
    }
}

/// An interface that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What is set for it.
    pub interface: Interface,
    /// What it stands on.
    pub on: On,
    /// The link below a VLAN, when it is there.
    pub below: Option<u32>,
    /// The largest packet, where it is set, or must be for what runs on it.
    pub mtu: Option<u32>,
}

/// What an interface stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum On {
    /// A port.
    Port(u32),
    /// Those of a bond's ports that are there.
    Bond {
        /// How they share the work.
        mode: BondMode,
        /// The ports.
        members: Vec<u32>,
    },
    /// Another interface.
    Vlan {
        /// Its name.
        parent: String,
        /// The number.
        id: u16,
    },
}

impl Planned {
    /// The name of its link; none for a port that is not there any more.
    pub fn kernel_name<'a>(&'a self, links: &'a [Link]) -> Option<&'a str> {
        match &self.on {
            On::Port(index) => links.iter().find(|link| link.index == *index).map(|link| link.name.as_str()),
            On::Bond { .. } | On::Vlan { .. } => Some(self.interface.name.as_str()),
        }
    }

    /// Its link, when it is there.
    pub fn link<'a>(&self, links: &'a [Link]) -> Option<&'a Link> {
        let name = match &self.on {
            On::Port(index) => return links.iter().find(|link| link.index == *index),
            On::Bond { .. } | On::Vlan { .. } => self.interface.name.as_str(),
        };
        links.iter().find(|link| link.name == name && link.kind != Kind::Port)
    }
}

/// The interfaces: those that are set and whose port is there, then the board's default for each port that no setting
/// names. What others stand on comes before them.
pub fn plan(settings: &NetworkSettings, board: &Board, found: &[Found], links: &[Link]) -> Vec<Planned> {
    let keys: Vec<PortKeys> = found.iter().map(Found::keys).collect();
    let index_of =
        |key: &PortKey| found.iter().zip(&keys).find(|(_, keys)| keys.is(*key)).map(|(port, _)| port.index);
    let mut plan = Vec::new();
    let mut taken = Vec::new();
    for interface in board.interfaces(settings, &keys) {
        // Two keys may name the same port, one by address and one by place: the first takes it.
        let ports: Vec<u32> =
            interface.at.ports().iter().filter_map(index_of).filter(|index| !taken.contains(index)).collect();
        taken.extend(&ports);
        let on = match &interface.at {
            Place::Port(_) => match ports.first() {
                Some(index) => On::Port(*index),
                // It comes when its port does.
                None => continue,
            },
            Place::Bond { mode, .. } => On::Bond { mode: *mode, members: ports },
            Place::Vlan { on, id } => On::Vlan { parent: on.to_string(), id: id.get() },
        };
        let mtu = interface.mtu.map(|mtu| u32::from(mtu.get()));
        plan.push(Planned { interface, on, below: None, mtu });
    }
    // VLANs last: none carries another.
    plan.sort_by_key(|planned| matches!(planned.on, On::Vlan { .. }));
    let below: Vec<Option<u32>> = plan
        .iter()
        .map(|planned| match &planned.on {
            On::Vlan { parent, .. } => {
                let parent = plan.iter().find(|one| one.interface.name.as_str() == parent)?;
                parent.link(links).map(|link| link.index)
            }
            _ => None,
        })
        .collect();
    for (planned, below) in plan.iter_mut().zip(below) {
        planned.below = below;
    }
    // A VLAN whose parent is not there, or is switched off, waits for it.
    let there: Vec<String> = plan
        .iter()
        .filter(|planned| !matches!(planned.on, On::Vlan { .. }) && planned.interface.enabled)
        .map(|planned| planned.interface.name.to_string())
        .collect();
    plan.retain(|planned| match &planned.on {
        On::Vlan { parent, .. } => there.contains(parent),
        _ => true,
    });
    // As much as what it is on, where nothing is set.
    let sizes: Vec<(String, Option<u32>)> =
        plan.iter().map(|planned| (planned.interface.name.to_string(), planned.mtu)).collect();
    for planned in &mut plan {
        if let On::Vlan { parent, .. } = &planned.on
            && planned.mtu.is_none()
        {
            planned.mtu = sizes.iter().find(|(name, _)| name == parent).and_then(|(_, mtu)| *mtu);
        }
    }
    plan
}

#[cfg(test)]
mod tests;
