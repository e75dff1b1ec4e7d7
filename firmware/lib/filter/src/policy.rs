//! What the ports are for, as types, and who stands in which set by it. It speaks with no kernel.

use crate::FilterError;
use crate::rule::Set;
use crate::rules::{
    ANSWERING, BARRED, DOORS, KNOWN, MANAGING, OPEN_DOORS, QUIET, SERVICE, SHARED, TALKED_TO, tables,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// More ports than a machine of this kind has, VLANs and bonds included.
pub const MAX_PORTS: usize = 64;
/// How many hosts a quiet port may have business with at a time: its routers, and on-link hosts that it calls.
pub const MAX_TALKED_TO: usize = 64;

/// One port and its roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four roles, any of which may share a port with any other")]
pub struct PortPolicy {
    /// The kernel's name, for people only.
    pub name: String,
    /// The kernel's index of the link (of the VLAN or the bond, where addresses are on that): what the rules go by.
    pub index: u32,
    /// The administrator comes in here.
    pub management: bool,
    /// Calls go out here, towards the RSS.
    pub uplink: bool,
    /// The array's nodes are here.
    pub array: bool,
    /// The technician comes in here.
    pub service: bool,
    /// Its IPv4 addresses that another port has as well, in another network. The kernel says of an address which port has
    /// it first, and of no other.
    pub shared: Vec<Ipv4Addr>,
    /// Users whose processes may send nothing by it.
    pub barred: Vec<u32>,
}

/// What a port's roles come to for the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It has no role: nothing comes in, not even an answer.
    Unknown,
    /// The uplink's role alone: it answers nobody but whom it has called.
    Quiet,
    /// The array's role, with or without the uplink's: it is a good neighbour, and nothing listens.
    Answering,
    /// Management: people come in.
    Managing,
    /// Service, with or without management: people come in, and the technician's computer gets its address here.
    Service,
}

impl PortPolicy {
    /// What the roles come to.
    pub const fn class(&self) -> Class {
        match self {
            Self { service: true, .. } => Class::Service,
            Self { management: true, .. } => Class::Managing,
            Self { array: true, .. } => Class::Answering,
            Self { uplink: true, .. } => Class::Quiet,
            _ => Class::Unknown,
        }
    }
}

impl Class {
    fn is_in(self, set: Set) -> bool {
        match self {
            Self::Unknown => false,
            Self::Quiet => [KNOWN, QUIET].contains(&set),
            Self::Answering => [KNOWN, ANSWERING].contains(&set),
            Self::Managing => [KNOWN, ANSWERING, MANAGING].contains(&set),
            Self::Service => [KNOWN, ANSWERING, MANAGING, SERVICE].contains(&set),
        }
    }
}

/// All ports of which is known what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Each port once. A port that is not there any more does no harm.
    pub ports: Vec<PortPolicy>,
}

impl Policy {
    /// Whether the filter can express it.
    pub(crate) fn check(&self) -> Result<(), FilterError> {
        if self.ports.len() > MAX_PORTS {
            return Err(FilterError::TooManyPorts(self.ports.len()));
        }
        for (place, port) in self.ports.iter().enumerate() {
            // 0 is no port, and 1 is loopback, which is never one.
            if port.index < 2 || self.ports.iter().take(place).any(|other| other.index == port.index) {
                return Err(FilterError::NotAPort { name: port.name.clone(), index: port.index });
            }
        }
        Ok(())
    }

    /// The rules by this policy for a log, a line each: sets with their ports, then chains in the words of the program `nft`.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for set in [KNOWN, ANSWERING, MANAGING, SERVICE, QUIET] {
            let members: Vec<_> = self.ports.iter().filter(|port| port.class().is_in(set)).collect();
            let names: Vec<_> =
                members.iter().map(|port| format!("{} ({})", port.name, port.index)).collect();
            lines.push(format!(
                "@{}: {}",
                set.0,
                if names.is_empty() { "none".into() } else { names.join(", ") }
            ));
        }
        lines.push(format!("@{}: {}", DOORS.0, OPEN_DOORS.map(|door| door.to_string()).join(", ")));
        for table in tables() {
            for chain in table.chains {
                let rules = chain.rules.iter();
                lines.extend(rules.map(|rule| format!("{} {}: {}", table.shown, chain.name, rule.text)));
            }
        }
        lines
    }
}

/// Whom each quiet port has business with.
#[derive(Clone, Debug, Default)]
pub(crate) struct TalkedTo(BTreeMap<u32, Vec<IpAddr>>);

impl TalkedTo {
    /// Puts `neighbours` in the place of those of the port. How many of them were left out, as one too many.
    pub(crate) fn set(&mut self, port: u32, neighbours: &[IpAddr]) -> Result<usize, FilterError> {
        let mut hosts = Vec::new();
        let mut left_out = 0;
        for &address in neighbours.iter().filter(|address| is_a_host(address)) {
            if hosts.contains(&address) {
            } else if hosts.len() < MAX_TALKED_TO {
                hosts.push(address);
            } else {
                left_out += 1;
            }
        }
        if hosts.is_empty() {
            self.0.remove(&port);
        } else if self.0.len() < MAX_PORTS || self.0.contains_key(&port) {
            self.0.insert(port, hosts);
        } else {
            return Err(FilterError::TooManyPorts(self.0.len() + 1));
        }
        Ok(left_out)
    }

    /// Forgets ports that are not in the policy any more, or are quiet no more.
    pub(crate) fn keep_to(&mut self, policy: &Policy) {
        let quiet =
            |index| policy.ports.iter().any(|port| port.index == index && port.class() == Class::Quiet);
        self.0.retain(|&index, _| quiet(index));
    }
}

/// Whether it is one host's address. What asks with another one (0.0.0.0 before it has an address of its own, or `::`) is
/// anybody.
fn is_a_host(address: &IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

/// The members of a set of the table of this family, as the kernel compares them.
pub(crate) fn members(family: u8, set: Set, policy: &Policy, talked_to: &TalkedTo) -> Vec<Vec<u8>> {
    if set == DOORS {
        return OPEN_DOORS.map(|door| door.to_be_bytes().to_vec()).to_vec();
    }
    if set == SHARED {
        let pairs = policy.ports.iter().filter(|port| port.class().is_in(KNOWN));
        let pairs = pairs.flat_map(|port| port.shared.iter().map(|address| (port.index, *address)));
        return pairs.map(|(port, address)| [port.to_ne_bytes(), address.octets()].concat()).collect();
    }
    if set == BARRED {
        let pairs = policy.ports.iter().flat_map(|port| port.barred.iter().map(|user| (port.index, *user)));
        return pairs.map(|(port, user)| [port.to_ne_bytes(), user.to_ne_bytes()].concat()).collect();
    }
    if set != TALKED_TO {
        let ports = policy.ports.iter().filter(|port| port.class().is_in(set));
        return ports.map(|port| port.index.to_ne_bytes().to_vec()).collect();
    }
    let arp = i32::from(family) == libc::NFPROTO_ARP;
    let pairs = talked_to.0.iter().flat_map(|(port, hosts)| hosts.iter().map(move |host| (port, host)));
    pairs
        .filter_map(|(port, host)| {
            let mut key = port.to_ne_bytes().to_vec();
            match host {
                IpAddr::V4(address) if arp => key.extend(address.octets()),
                IpAddr::V6(address) if !arp => key.extend(address.octets()),
                _ => return None,
            }
            Some(key)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(index: u32) -> PortPolicy {
        PortPolicy { name: format!("eth{index}"), index, ..PortPolicy::default() }
    }

    #[test]
    fn a_role_that_lets_people_in_outweighs_the_uplink_s() {
        assert_eq!(port(2).class(), Class::Unknown);
        assert_eq!(PortPolicy { uplink: true, ..port(2) }.class(), Class::Quiet);
        assert_eq!(PortPolicy { uplink: true, array: true, ..port(2) }.class(), Class::Answering);
        assert_eq!(PortPolicy { uplink: true, management: true, ..port(2) }.class(), Class::Managing);
        assert_eq!(PortPolicy { management: true, service: true, ..port(2) }.class(), Class::Service);
    }

    #[test]
    fn a_policy_that_names_loopback_or_a_port_twice_or_too_many_is_refused() {
        let with =
            |indices: &[u32]| Policy { ports: indices.iter().map(|&index| port(index)).collect() }.check();
        assert!(with(&[2, 3]).is_ok());
        assert!(matches!(with(&[1]), Err(FilterError::NotAPort { index: 1, .. })));
        assert!(matches!(with(&[0]), Err(FilterError::NotAPort { index: 0, .. })));
        assert!(matches!(with(&[2, 2]), Err(FilterError::NotAPort { index: 2, .. })));
        let many: Vec<_> = (2..).take(MAX_PORTS + 1).collect();
        assert!(matches!(with(&many), Err(FilterError::TooManyPorts(65))));
    }

    #[test]
    fn nobody_becomes_a_neighbour_by_an_address_that_is_anybody_s() {
        let mut talked_to = TalkedTo::default();
        let anybody = ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1", "127.0.0.1", "::1"];
        let anybody = anybody.map(|text| text.parse().unwrap());
        assert_eq!(talked_to.set(2, &anybody).unwrap(), 0);
        assert!(talked_to.0.is_empty());
    }

    #[test]
    fn the_first_neighbours_are_kept_and_the_rest_is_counted() {
        let mut talked_to = TalkedTo::default();
        let hosts: Vec<IpAddr> = (0..100_u8).flat_map(|last| [[10, 0, 0, last].into(); 2]).collect();
        assert_eq!(talked_to.set(2, &hosts).unwrap(), 2 * (100 - MAX_TALKED_TO));
        assert_eq!(talked_to.0[&2].first(), hosts.first());
        for index in 3..(2 + 64) {
            talked_to.set(index, &hosts[..1]).unwrap();
        }
        assert!(talked_to.set(1000, &hosts[..1]).is_err());
        assert!(talked_to.set(2, &hosts[..1]).is_ok());
        talked_to.keep_to(&Policy { ports: vec![PortPolicy { uplink: true, ..port(2) }, port(3)] });
        assert_eq!(talked_to.0.len(), 1);
    }
}
