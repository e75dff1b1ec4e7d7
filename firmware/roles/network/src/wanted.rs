//! What the kernel is to have of addresses, routes and rules, from what is set and what was learned. Pure: it never asks
//! the kernel for anything.
//!
//! Each interface has a routing table of its own, with its own networks and its own router, and three rules lead to it:
//!
//! | priority | what it says | why |
//! | --- | --- | --- |
//! | 1000 | packets that bear the interface's mark | the packet filter marks what comes in by an interface, and answers inherit the mark: replies leave by the port they came in on, even when two ports have the same address |
//! | 1100 | what a socket that is bound to the interface sends | the tunnel, name and time servers of one port |
//! | 1200 | what is sent from an address of the interface | connections of our own, once they have an address |
//!
//! A table ends in an unreachable route: what belongs to one port never leaves by the router of another. What no rule
//! leads elsewhere is looked up in the main table, where the uplink's router is the first.

use drawbridge_settings::network::{PortRole, Roles};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The table of an interface is this and its number: clear of the kernel's own (253 to 255).
const FIRST_TABLE: u32 = 1000;
/// The kernel's main table (`RT_TABLE_MAIN`).
const MAIN_TABLE: u32 = 254;
/// Metrics in the main table: an interface's own, then what its class and its number add.
const FIRST_METRIC: u32 = 1000;
/// What a class of interfaces adds: more than there are links.
const CLASS_METRIC: u32 = 100_000;
/// The metric of routes in an interface's own table, where nothing competes. Not 0: IPv6 takes that for 1024.
const OWN_METRIC: u32 = 100;
/// The metric of the route that says "nowhere": the last of all.
const LAST_METRIC: u32 = u32::MAX;

const BY_MARK: u32 = 1000;
const BY_OUTPUT: u32 = 1100;
const BY_SOURCE: u32 = 1200;

/// An address of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The link.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// Seconds until it ends by itself; none: never.
    pub seconds: Option<u32>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The table that it stands in.
    pub table: u32,
    /// Where to.
    pub to: (IpAddr, u8),
    /// By whom; none: the network is on the link itself.
    pub via: Option<IpAddr>,
    /// The link; 0 for a route that says "nowhere".
    pub index: u32,
    /// The address that packets without one get.
    pub source: Option<IpAddr>,
    /// The smaller, the earlier; never 0.
    pub metric: u32,
}

/// Which packets a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Select {
    /// Those with this mark.
    Mark(u32),
    /// Those of sockets that are bound to the link of this name.
    Output(String),
    /// Those from this address.
    From(IpAddr),
}

/// A rule that leads to a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The smaller, the earlier.
    pub priority: u32,
    /// Which packets.
    pub select: Select,
    /// Where they are looked up.
    pub table: u32,
    /// Whether it is about IPv6; a rule about an address goes by the address.
    pub v6: bool,
}

/// A router that the kernel knows from its advertisement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Learned {
    /// The link.
    pub index: u32,
    /// The router.
    pub router: Ipv6Addr,
}

/// An interface with all that is set for it and that it has learned.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its link.
    pub index: u32,
    /// The kernel's name for it.
    pub name: String,
    /// What it is for.
    pub roles: Roles,
    /// Addresses that we set, with the seconds that they live.
    pub own: Vec<(IpAddr, u8, Option<u32>)>,
    /// Addresses that the kernel has set by itself, from advertisements.
    pub learned: Vec<(Ipv6Addr, u8)>,
    /// Routers.
    pub router4: Option<Ipv4Addr>,
    /// Routers that are set; those that were learned follow.
    pub routers6: Vec<Ipv6Addr>,
    /// Further routes: where to, by whom, and the metric where one is set.
    pub routes: Vec<(IpAddr, u8, IpAddr, Option<u32>)>,
    /// Whether the link carries IPv6 at all: where it does not, the kernel refuses every route of that family.
    pub ipv6: bool,
    /// Whether routes by `routers6` are the kernel's own matter in the main table.
    pub advertised: bool,
}

/// What the kernel is to have, and nothing else of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Addresses.
    pub addresses: BTreeSet<Address>,
    /// Routes.
    pub routes: BTreeSet<Route>,
    /// Rules.
    pub rules: BTreeSet<Rule>,
}

/// The routing table of a link.
pub fn table_of(index: u32) -> u32 {
    FIRST_TABLE.saturating_add(index)
}

impl Wanted {
    /// What these interfaces need.
    pub fn of(interfaces: &[Facts]) -> Self {
        let mut wanted = Self::default();
        for facts in interfaces {
            wanted.add(facts);
        }
        wanted
    }

    fn add(&mut self, facts: &Facts) {
        let (index, table) = (facts.index, table_of(facts.index));
        for (address, prefix, seconds) in &facts.own {
            let (address, prefix, seconds) = (*address, *prefix, *seconds);
            self.addresses.insert(Address { index, address, prefix, seconds });
        }
        for v6 in [false, true] {
            self.rules.insert(Rule { priority: BY_MARK, select: Select::Mark(index), table, v6 });
            self.rules.insert(Rule {
                priority: BY_OUTPUT,
                select: Select::Output(facts.name.clone()),
                table,
                v6,
            });
            let everywhere =
                if v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
            self.routes.insert(Route {
                table,
                to: (everywhere, 0),
                via: None,
                index: 0,
                source: None,
                metric: LAST_METRIC,
            });
        }
        if facts.ipv6 {
            // Without it, an answer to a neighbour's link-local address would go to the router.
            self.routes.insert(Route {
                table,
                to: (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 64),
                via: None,
                index,
                source: None,
                metric: OWN_METRIC,
            });
        }
        let learned = facts.learned.iter().map(|(address, prefix)| (IpAddr::V6(*address), *prefix));
        let all: Vec<(IpAddr, u8)> =
            facts.own.iter().map(|(address, prefix, _)| (*address, *prefix)).chain(learned).collect();
        for (address, prefix) in &all {
            if is_link_local_v6(*address) {
                continue;
            }
            self.rules.insert(Rule {
                priority: BY_SOURCE,
                select: Select::From(*address),
                table,
                v6: address.is_ipv6(),
            });
            // A network with one host has no neighbours.
            if *prefix < if address.is_ipv6() { 128 } else { 32 } {
                self.routes.insert(Route {
                    table,
                    to: (network(*address, *prefix), *prefix),
                    via: None,
                    index,
                    source: address.is_ipv4().then_some(*address),
                    metric: OWN_METRIC,
                });
            }
        }
        self.add_routers(facts, &all);
    }

    /// Routes that lead further, in the interface's table and in the main one.
    fn add_routers(&mut self, facts: &Facts, addresses: &[(IpAddr, u8)]) {
        let (index, table) = (facts.index, table_of(facts.index));
        let class = if facts.roles.contains(PortRole::Uplink) {
            0
        } else if facts.roles.contains(PortRole::Management) {
            1
        } else {
            2
        };
        let metric = FIRST_METRIC + class * CLASS_METRIC + index.min(CLASS_METRIC - FIRST_METRIC);
        let source = |via: IpAddr| {
            let near = |(address, prefix): &&(IpAddr, u8)| {
                address.is_ipv4() && via.is_ipv4() && network(*address, *prefix) == network(via, *prefix)
            };
            addresses.iter().find(near).map(|(address, _)| *address)
        };
        let mut both = |to: (IpAddr, u8), via: IpAddr, own: u32, main: Option<u32>| {
            let (via, source) = (Some(via), source(via));
            self.routes.insert(Route { table, to, via, index, source, metric: own });
            if let Some(metric) = main {
                self.routes.insert(Route { table: MAIN_TABLE, to, via, index, source, metric });
            }
        };
        let everywhere4 = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let everywhere6 = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        if let Some(router) = facts.router4 {
            both(everywhere4, router.into(), OWN_METRIC, Some(metric));
        }
        for (number, router) in (0_u32..).zip(&facts.routers6) {
            let main = (!facts.advertised).then_some(metric.saturating_add(number));
            both(everywhere6, (*router).into(), OWN_METRIC + number.min(100), main);
        }
        for (to, prefix, via, set) in &facts.routes {
            both((network(*to, *prefix), *prefix), *via, OWN_METRIC, Some(set.unwrap_or(metric).max(1)));
        }
    }
}

/// Whether an IPv6 address has no meaning but on its link.
fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The network of an address.
pub fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests;
