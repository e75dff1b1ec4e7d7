//! The rules between the fields of the settings. It never changes one.
//!
//! Every broken rule is said, since whoever sets a network wants to correct it once. Whether two keys mean the same port
//! (by address and by place) is known where the ports are, not here.

use super::{
    CONFIRM_SECONDS, DNS_MOST, Host, INTERFACES_MOST, IPV6_ADDRESSES_MOST, Interface, InterfaceName, IpNet,
    Ipv4, Ipv4Net, Ipv6, Ipv6Net, MEMBERS_MOST, Mtu, NetworkSettings, Place, PortKey, ROUTES_IN_ALL_MOST,
    ROUTES_MOST, Route, SEARCH_MOST, TIME_SERVERS_MOST, VlanId,
};
use crate::fault::FieldError;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

#[cfg(test)]
mod tests;

/// Link-local addresses (RFC 3927, section 2.1).
const LINK_LOCAL: (Ipv4Addr, u8) = (Ipv4Addr::new(169, 254, 0, 0), 16);

impl NetworkSettings {
    /// Whether all rules between fields hold; every fault is named at once. Of a list that is too long, this is said and
    /// the rest of it is left alone.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut faults = Faults::default();
        faults.count("search", self.search.len(), 0, SEARCH_MOST, "search domains");
        faults.twice("search", self.search.iter().take(SEARCH_MOST));
        faults.count("time_servers", self.time_servers.len(), 0, TIME_SERVERS_MOST, "time servers");
        faults.twice("time_servers", self.time_servers.iter().take(TIME_SERVERS_MOST));
        for (at, host) in self.time_servers.iter().take(TIME_SERVERS_MOST).enumerate() {
            if let Host::Address(address) = host {
                time_server(&mut faults, &format!("time_servers[{at}]"), *address);
            }
        }
        if !CONFIRM_SECONDS.contains(&self.confirm_seconds) {
            faults.add(
                "confirm_seconds",
                format!("{} seconds are too few or too many", self.confirm_seconds),
                format!(
                    "a whole number from {} to {}, as 60",
                    CONFIRM_SECONDS.start(),
                    CONFIRM_SECONDS.end()
                ),
            );
        }
        faults.count("interfaces", self.interfaces.len(), 0, INTERFACES_MOST, "interfaces");
        let mut seen = Seen::of(self);
        for (at, interface) in self.interfaces.iter().take(INTERFACES_MOST).enumerate() {
            check_interface(&mut faults, &mut seen, at, interface);
        }
        let routes: usize = self.interfaces.iter().map(|interface| interface.routes.len()).sum();
        if routes > ROUTES_IN_ALL_MOST {
            faults.add(
                "interfaces",
                format!("all interfaces together have {routes} routes"),
                format!("at most {ROUTES_IN_ALL_MOST}"),
            );
        }
        if faults.0.is_empty() { Ok(()) } else { Err(faults.0) }
    }
}

/// What was found so far.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, field: &str, wrong: impl Into<String>, right: impl Into<String>) {
        self.0.push(FieldError::new(field, wrong, right));
    }

    /// A list that is too short or too long.
    fn count(&mut self, field: &str, count: usize, least: usize, most: usize, of: &str) {
        if count < least || count > most {
            let right = if least == 0 { format!("at most {most}") } else { format!("{least} to {most}") };
            self.add(field, format!("there are {count} {of}"), right);
        }
    }

    /// Entries of a list that stand there twice.
    fn twice<T: PartialEq + std::fmt::Display>(&mut self, field: &str, list: impl Iterator<Item = T>) {
        let mut before: Vec<T> = Vec::new();
        for (at, entry) in list.enumerate() {
            if let Some(first) = before.iter().position(|other| *other == entry) {
                let wrong = format!("{entry} stands at {field}[{first}] already");
                self.add(&format!("{field}[{at}]"), wrong, "each one once");
            }
            before.push(entry);
        }
    }
}

/// What the interfaces before have taken, and where each name stands.
struct Seen<'a> {
    names: BTreeMap<&'a InterfaceName, (usize, &'a Interface)>,
    ports: BTreeMap<PortKey, &'a InterfaceName>,
    vlans: BTreeMap<(&'a InterfaceName, VlanId), &'a InterfaceName>,
    addresses: BTreeMap<IpAddr, &'a InterfaceName>,
}

impl<'a> Seen<'a> {
    fn of(settings: &'a NetworkSettings) -> Self {
        let mut names = BTreeMap::new();
        for (at, interface) in settings.interfaces.iter().take(INTERFACES_MOST).enumerate() {
            names.entry(&interface.name).or_insert((at, interface));
        }
        Self { names, ports: BTreeMap::new(), vlans: BTreeMap::new(), addresses: BTreeMap::new() }
    }

    /// What carries a VLAN.
    fn carrier_of(&self, interface: &Interface) -> Option<&'a Interface> {
        match &interface.at {
            Place::Vlan { on, .. } => self.names.get(on).map(|(_, carrier)| *carrier),
            _ => None,
        }
    }
}

fn check_interface<'a>(faults: &mut Faults, seen: &mut Seen<'a>, at: usize, interface: &'a Interface) {
    let field = format!("interfaces[{at}]");
    if let Some((first, _)) = seen.names.get(&interface.name).filter(|(first, _)| *first != at) {
        let wrong = format!("interfaces[{first}] is called {} too", interface.name);
        faults.add(&format!("{field}.name"), wrong, "a name of its own");
    }
    check_place(faults, seen, &field, interface);
    check_mtu(faults, seen, &field, interface);
    check_ipv4(faults, seen, &format!("{field}.ipv4.static"), interface);
    check_ipv6(faults, seen, &format!("{field}.ipv6.static"), interface);

    let dns = format!("{field}.dns");
    faults.count(&dns, interface.dns.len(), 0, DNS_MOST, "name servers");
    faults.twice(&dns, interface.dns.iter().take(DNS_MOST));
    for (at, address) in interface.dns.iter().take(DNS_MOST).enumerate() {
        if !is_host(*address) {
            faults.add(
                &format!("{dns}[{at}]"),
                format!("{address} is no server's address"),
                "the address of a name server, as 192.0.2.53",
            );
        }
    }

    let routes = format!("{field}.routes");
    faults.count(&routes, interface.routes.len(), 0, ROUTES_MOST, "routes");
    let mut taken = BTreeSet::new();
    for (at, route) in interface.routes.iter().take(ROUTES_MOST).enumerate() {
        let field = format!("{routes}[{at}]");
        if !taken.insert((route.to.network(), route.metric)) {
            faults.add(
                &format!("{field}.to"),
                format!("there is a route to {} with the same metric already", route.to),
                "one route to each network, or another metric",
            );
        }
        check_route(faults, &field, interface, route);
    }
}

fn check_place<'a>(faults: &mut Faults, seen: &mut Seen<'a>, field: &str, interface: &'a Interface) {
    let mut take = |faults: &mut Faults, field: &str, port: PortKey| {
        if let Some(other) = seen.ports.get(&port) {
            let wrong = if *other == &interface.name {
                format!("the port {port} stands here twice")
            } else {
                format!("the port {port} is used by the interface {other} already")
            };
            faults.add(field, wrong, "a port that nothing else uses");
        }
        seen.ports.entry(port).or_insert(&interface.name);
    };
    match &interface.at {
        Place::Port(port) => take(faults, &format!("{field}.at.port"), *port),
        Place::Bond { members, .. } => {
            let field = format!("{field}.at.bond.members");
            faults.count(&field, members.len(), 1, MEMBERS_MOST, "ports in the bond");
            for (at, port) in members.iter().take(MEMBERS_MOST).enumerate() {
                take(faults, &format!("{field}[{at}]"), *port);
            }
        }
        Place::Vlan { on, id } => {
            let field = format!("{field}.at.vlan");
            let right = "the name of an interface that is a port or a bond";
            match seen.carrier_of(interface) {
                None => faults.add(&format!("{field}.on"), format!("there is no interface {on}"), right),
                Some(Interface { at: Place::Vlan { .. }, .. }) => {
                    faults.add(&format!("{field}.on"), format!("{on} is a VLAN itself"), right);
                }
                Some(carrier) if interface.enabled && !carrier.enabled => faults.add(
                    &format!("{field}.on"),
                    format!("{on} is not enabled, and the VLAN on it is"),
                    "an interface that is enabled, or a VLAN that is not",
                ),
                Some(_) => {}
            }
            if let Some(other) = seen.vlans.insert((on, *id), &interface.name) {
                faults.add(
                    &format!("{field}.id"),
                    format!("the VLAN {} on {on} is the interface {other} already", id.get()),
                    "a number that no other interface on it has",
                );
            }
        }
    }
}

fn check_mtu(faults: &mut Faults, seen: &Seen<'_>, field: &str, interface: &Interface) {
    let field = format!("{field}.mtu");
    let carrier = seen.carrier_of(interface);
    if let (Some(carrier), Some(mtu)) = (carrier, interface.mtu) {
        let most = carrier.mtu.unwrap_or(Mtu::ETHERNET);
        if mtu > most {
            faults.add(
                &field,
                format!("{} is more than the {} of {}", mtu.get(), most.get(), carrier.name),
                format!("at most {}, or a larger one for {}", most.get(), carrier.name),
            );
        }
    }
    let mtu = interface
        .mtu
        .or_else(|| carrier.and_then(|carrier| carrier.mtu))
        .map_or(Mtu::ETHERNET.get(), Mtu::get);
    if interface.ipv6 != Ipv6::Off && mtu < Mtu::LEAST_FOR_IPV6 {
        faults.add(
            &field,
            format!("{mtu} is too small for IPv6, which is not off"),
            format!("at least {}, or IPv6 off", Mtu::LEAST_FOR_IPV6),
        );
    }
}

fn check_ipv4<'a>(faults: &mut Faults, seen: &mut Seen<'a>, field: &str, interface: &'a Interface) {
    let Ipv4::Static { address: net, router } = &interface.ipv4 else { return };
    let address = net.address();
    let field_address = format!("{field}.address");
    let right = "the address of a single host with its prefix, as 192.0.2.10/24";
    if net.prefix() == 0 || !is_host(address.into()) {
        faults.add(&field_address, format!("{net} is no address that a host can have"), right);
    } else if net.prefix() < 31 && address == net.network() {
        faults.add(&field_address, format!("{net} is the address of the network itself"), right);
    } else if net.prefix() < 31 && address == net.last() {
        faults.add(&field_address, format!("{net} is the broadcast address of its network"), right);
    } else {
        take_address(faults, seen, &field_address, address.into(), interface);
    }
    let Some(router) = *router else { return };
    let field = format!("{field}.router");
    let right = format!("the address of a router in {}", IpNet::V4(*net).network());
    if router == address {
        faults.add(&field, format!("{router} is the interface's own address"), right);
    } else if !is_host(router.into()) || !neighbour(*net, router) {
        faults.add(&field, format!("{router} is no host's address in the network of {net}"), right);
    }
}

fn check_ipv6<'a>(faults: &mut Faults, seen: &mut Seen<'a>, field: &str, interface: &'a Interface) {
    let Ipv6::Static { addresses, router } = &interface.ipv6 else { return };
    let list = format!("{field}.addresses");
    faults.count(&list, addresses.len(), 1, IPV6_ADDRESSES_MOST, "addresses");
    for (at, net) in addresses.iter().take(IPV6_ADDRESSES_MOST).enumerate() {
        let field = format!("{list}[{at}]");
        let right = "the address of a single host with its prefix, as 2001:db8::10/64";
        let address = net.address();
        if net.prefix() == 0 || !is_host(address.into()) {
            faults.add(&field, format!("{net} is no address that a host can have"), right);
        } else if address.is_unicast_link_local() {
            faults.add(&field, format!("{net} is link-local, and such an address makes itself"), right);
        } else if net.prefix() < 127 && net.is_network() {
            faults.add(&field, format!("{net} is the address of the network itself"), right);
        } else {
            take_address(faults, seen, &field, address.into(), interface);
        }
    }
    let Some(router) = *router else { return };
    let own = addresses.iter().any(|net| net.address() == router);
    let near = router.is_unicast_link_local() || addresses.iter().any(|net| net.contains(router));
    if own || !near || !is_host(router.into()) {
        let wrong = if own {
            format!("{router} is the interface's own address")
        } else {
            format!("{router} is no host's address in a network of this interface")
        };
        faults.add(
            &format!("{field}.router"),
            wrong,
            "a link-local address as fe80::1, or one in a network of an address here",
        );
    }
}

fn take_address<'a>(
    faults: &mut Faults,
    seen: &mut Seen<'a>,
    field: &str,
    address: IpAddr,
    interface: &'a Interface,
) {
    if let Some(other) = seen.addresses.insert(address, &interface.name) {
        let wrong = if *other == interface.name {
            format!("{address} stands here twice")
        } else {
            format!("{address} is an address of the interface {other} already")
        };
        faults.add(field, wrong, "an address that nothing else has");
    }
}

fn check_route(faults: &mut Faults, field: &str, interface: &Interface, route: &Route) {
    let to = format!("{field}.to");
    let default = route.to.prefix() == 0;
    if !route.to.is_network() {
        let right =
            format!("{}, or /{} for a single host", route.to.network(), if v4(route) { 32 } else { 128 });
        faults.add(&to, format!("{} has bits beyond its prefix", route.to), right);
    } else if !(default || is_host(route.to.address()) || route.to.address().is_unspecified()) {
        faults.add(
            &to,
            format!("{} is not reached by a route", route.to),
            "a network of other hosts, as 10.0.0.0/8",
        );
    } else if default && has_router(interface, v4(route)) {
        faults.add(
            &to,
            format!("{} says where everything else goes, as the interface's router does already", route.to),
            "no such route, or no router",
        );
    }

    let via = format!("{field}.via");
    if route.to.address().is_ipv4() != route.via.is_ipv4() {
        faults.add(
            &via,
            format!("{} and {} are not of the same family", route.via, route.to),
            if v4(route) { "an IPv4 address, as 192.0.2.1" } else { "an IPv6 address, as fe80::1" },
        );
        return;
    }
    let right = "the address of a router in a network of this interface";
    if !is_host(route.via) {
        faults.add(&via, format!("{} is no router's address", route.via), right);
    } else if is_own(interface, route.via) {
        faults.add(&via, format!("{} is the interface's own address", route.via), right);
    } else if is_off(interface, v4(route)) {
        let family = if v4(route) { "IPv4" } else { "IPv6" };
        faults.add(
            &via,
            format!("{family} is off on this interface"),
            format!("no such route, or {family} not off"),
        );
    } else if !is_reachable(interface, route.via) {
        faults.add(&via, format!("{} is in no network of this interface", route.via), right);
    }
}

fn v4(route: &Route) -> bool {
    route.to.address().is_ipv4()
}

fn has_router(interface: &Interface, v4: bool) -> bool {
    if v4 {
        matches!(interface.ipv4, Ipv4::Static { router: Some(_), .. })
    } else {
        matches!(interface.ipv6, Ipv6::Static { router: Some(_), .. })
    }
}

fn is_off(interface: &Interface, v4: bool) -> bool {
    if v4 { interface.ipv4 == Ipv4::Off } else { interface.ipv6 == Ipv6::Off }
}

fn is_own(interface: &Interface, address: IpAddr) -> bool {
    match (address, &interface.ipv4, &interface.ipv6) {
        (IpAddr::V4(address), Ipv4::Static { address: own, .. }, _) => own.address() == address,
        (IpAddr::V6(address), _, Ipv6::Static { addresses, .. }) => {
            addresses.iter().any(|own: &Ipv6Net| own.address() == address)
        }
        _ => false,
    }
}

/// Whether a gateway is a neighbour, as far as it can be said now: what DHCP or a router gives is known later.
fn is_reachable(interface: &Interface, gateway: IpAddr) -> bool {
    match gateway {
        IpAddr::V4(gateway) => match &interface.ipv4 {
            Ipv4::Off => false,
            Ipv4::Dhcp { .. } => true,
            Ipv4::Static { address, .. } => neighbour(*address, gateway),
            Ipv4::LinkLocal => {
                Ipv4Net::new(LINK_LOCAL.0, LINK_LOCAL.1).is_ok_and(|net| neighbour(net, gateway))
            }
        },
        IpAddr::V6(gateway) => match &interface.ipv6 {
            Ipv6::Off => false,
            Ipv6::Auto { .. } => true,
            Ipv6::LinkLocal => gateway.is_unicast_link_local(),
            Ipv6::Static { addresses, .. } => {
                gateway.is_unicast_link_local() || addresses.iter().any(|net| net.contains(gateway))
            }
        },
    }
}

/// Whether an address is one of a host in the network.
fn neighbour(net: Ipv4Net, address: Ipv4Addr) -> bool {
    net.contains(address) && (net.prefix() >= 31 || (address != net.network() && address != net.last()))
}

/// Whether a single host somewhere else can have this address.
fn is_host(address: IpAddr) -> bool {
    match address {
        // 0.0.0.0/8 and 240.0.0.0/4 are no one's (RFC 6890); the latter holds the broadcast address.
        IpAddr::V4(address) => {
            !address.is_loopback() && !address.is_multicast() && (1..240).contains(&address.octets()[0])
        }
        IpAddr::V6(address) => {
            !address.is_loopback()
                && !address.is_multicast()
                && !address.is_unspecified()
                && address.to_ipv4_mapped().is_none()
        }
    }
}

fn time_server(faults: &mut Faults, field: &str, address: IpAddr) {
    let far = !matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    if !is_host(address) || !far {
        let wrong = if far {
            format!("{address} is no server's address")
        } else {
            format!("{address} is link-local and says nothing about its port")
        };
        faults.add(field, wrong, "the name or address of a time server, as ntp.example.com or 192.0.2.123");
    }
}
