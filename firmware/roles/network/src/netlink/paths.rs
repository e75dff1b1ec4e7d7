//! Addresses, routes and rules: the kernel's are brought in line with what is wanted, and nothing but ours is touched.

use super::{Netlink, NetlinkError, OUR_ADDRESSES, OURS, bounded, read_address};
use crate::wanted::{Address, Learned, Route, Rule, Select, Wanted};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, CacheInfo};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{IpVersion, RouteMessageBuilder};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A lease's end that differs from the kernel's by no more than this many seconds is the same: both are rounded.
const SAME_END: u32 = 3;

impl Netlink {
    /// Brings the kernel's addresses, routes and rules in line, and tells whether addresses had to be changed. What fails
    /// does not keep the rest from being done.
    pub(crate) async fn bring_about(&self, wanted: &Wanted) -> (bool, Vec<NetlinkError>) {
        let (mut changed, mut errors) = (false, Vec::new());
        let mut note = |result: Result<(), NetlinkError>| {
            if let Err(error) = result
                && !error.is_gone()
                && !error.is_there()
            {
                errors.push(error);
            }
        };
        // What is not wanted goes first: of two addresses in one network the later is the earlier one's secondary, and
        // goes with it; and a port's address may have moved to another port.
        match self.surplus(wanted).await {
            Ok(surplus) => {
                changed = !surplus.addresses.is_empty() || !surplus.missing_addresses.is_empty();
                for route in surplus.routes {
                    note(bounded("remove a route", self.handle.route().del(route).execute()).await);
                }
                for rule in surplus.rules {
                    note(bounded("remove a rule", self.handle.rule().del(rule).execute()).await);
                }
                for address in surplus.addresses {
                    note(bounded("remove the address", self.handle.address().del(address).execute()).await);
                }
                for address in surplus.missing_addresses {
                    note(self.add_address(&address).await);
                }
                for rule in surplus.missing_rules {
                    note(self.add_rule(&rule).await);
                }
                for route in surplus.missing_routes {
                    note(self.add_route(&route).await);
                }
            }
            Err(error) => errors.push(error),
        }
        (changed, errors)
    }

    async fn surplus(&self, wanted: &Wanted) -> Result<Difference, NetlinkError> {
        let mut difference = Difference::default();
        let mut there = BTreeSet::new();
        for message in self.address_messages().await? {
            if !message.attributes.contains(&AddressAttribute::Protocol(OUR_ADDRESSES)) {
                continue;
            }
            let Some((index, (address, prefix))) = read_address(&message) else { continue };
            let want = wanted
                .addresses
                .iter()
                .find(|one| one.index == index && one.address == address && one.prefix == prefix);
            match want {
                None => difference.addresses.push(message),
                Some(want) if same_end(want.seconds, &message) => drop(there.insert((index, address))),
                Some(_) => {}
            }
        }
        difference.missing_addresses = (wanted.addresses.iter())
            .filter(|one| !there.contains(&(one.index, one.address)))
            .cloned()
            .collect();

        let mut there = BTreeSet::new();
        for message in self.all_routes().await? {
            if message.header.protocol != OURS {
                continue;
            }
            match read_route(&message).filter(|route| wanted.routes.contains(route)) {
                Some(route) => drop(there.insert(route)),
                None => difference.routes.push(message),
            }
        }
        difference.missing_routes = wanted.routes.difference(&there).cloned().collect();

        let mut there = BTreeSet::new();
        for version in [IpVersion::V4, IpVersion::V6] {
            let rules: Vec<_> =
                bounded("list its rules", self.handle.rule().get(version).execute().try_collect()).await?;
            for message in rules {
                if !message.attributes.contains(&RuleAttribute::Protocol(OURS)) {
                    continue;
                }
                match read_rule(&message).filter(|rule| wanted.rules.contains(rule)) {
                    Some(rule) => drop(there.insert(rule)),
                    None => difference.rules.push(message),
                }
            }
        }
        difference.missing_rules = wanted.rules.difference(&there).cloned().collect();
        Ok(difference)
    }

    async fn all_routes(&self) -> Result<Vec<RouteMessage>, NetlinkError> {
        let (v4, v6) =
            (RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build());
        let mut routes: Vec<_> =
            bounded("list its routes", self.handle.route().get(v4).execute().try_collect()).await?;
        let more: Vec<_> =
            bounded("list its routes", self.handle.route().get(v6).execute().try_collect()).await?;
        routes.extend(more);
        Ok(routes)
    }

    /// What the kernel has learned from routers' advertisements: default routes.
    pub(crate) async fn learned(&self) -> Result<Vec<Learned>, NetlinkError> {
        let mut learned: Vec<_> = (self.all_routes().await?.iter())
            .filter(|message| is_learned_route(message))
            .filter_map(|message| {
                let route = read_route(message)?;
                let IpAddr::V6(router) = route.via? else { return None };
                Some(Learned { index: route.index, router })
            })
            .collect();
        learned.sort_unstable();
        learned.dedup();
        Ok(learned)
    }

    async fn add_address(&self, address: &Address) -> Result<(), NetlinkError> {
        let mut add = self.handle.address().add(address.index, address.address, address.prefix).replace();
        if let Some(seconds) = address.seconds {
            let mut life = CacheInfo::default();
            life.ifa_preferred = seconds;
            life.ifa_valid = seconds;
            add.message_mut().attributes.push(AddressAttribute::CacheInfo(life));
        }
        add.message_mut().attributes.push(AddressAttribute::Protocol(OUR_ADDRESSES));
        bounded("set the address", add.execute()).await
    }

    async fn add_route(&self, route: &Route) -> Result<(), NetlinkError> {
        let message = match route.to.0 {
            IpAddr::V4(to) => {
                let mut builder = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, route.to.1);
                if let Some(IpAddr::V4(via)) = route.via {
                    builder = builder.gateway(via);
                } else if route.index != 0 {
                    builder = builder.scope(RouteScope::Link);
                }
                if let Some(IpAddr::V4(source)) = route.source {
                    builder = builder.pref_source(source);
                }
                if route.index != 0 {
                    builder = builder.output_interface(route.index);
                } else {
                    builder = builder.kind(RouteType::Unreachable);
                }
                builder.table_id(route.table).priority(route.metric).protocol(OURS).build()
            }
            IpAddr::V6(to) => {
                let mut builder = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, route.to.1);
                if let Some(IpAddr::V6(via)) = route.via {
                    builder = builder.gateway(via);
                }
                if let Some(IpAddr::V6(source)) = route.source {
                    builder = builder.pref_source(source);
                }
                if route.index != 0 {
                    builder = builder.output_interface(route.index);
                } else {
                    builder = builder.kind(RouteType::Unreachable);
                }
                builder.table_id(route.table).priority(route.metric).protocol(OURS).build()
            }
        };
        bounded("set a route", self.handle.route().add(message).execute()).await
    }

    async fn add_rule(&self, rule: &Rule) -> Result<(), NetlinkError> {
        let mut add =
            self.handle.rule().add().table_id(rule.table).priority(rule.priority).action(RuleAction::ToTable);
        add.message_mut().attributes.push(RuleAttribute::Protocol(OURS));
        match &rule.select {
            Select::Mark(mark) => add = add.fw_mark(*mark),
            Select::Output(name) => add = add.output_interface(name.clone()),
            Select::From(_) => {}
        }
        match (&rule.select, rule.v6) {
            (Select::From(IpAddr::V4(address)), _) => {
                bounded("set a rule", add.v4().source_prefix(*address, 32).execute()).await
            }
            (Select::From(IpAddr::V6(address)), _) => {
                bounded("set a rule", add.v6().source_prefix(*address, 128).execute()).await
            }
            (_, false) => bounded("set a rule", add.v4().execute()).await,
            (_, true) => bounded("set a rule", add.v6().execute()).await,
        }
    }
}

/// What is there and not wanted, and what is wanted and not there.
#[derive(Default)]
struct Difference {
    addresses: Vec<AddressMessage>,
    missing_addresses: Vec<Address>,
    routes: Vec<RouteMessage>,
    missing_routes: Vec<Route>,
    rules: Vec<RuleMessage>,
    missing_rules: Vec<Rule>,
}

fn same_end(wanted: Option<u32>, message: &AddressMessage) -> bool {
    let left = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::CacheInfo(life) => Some(life.ifa_valid),
        _ => None,
    });
    // The kernel's word for "for ever" is the largest number.
    let (wanted, left) = (wanted.unwrap_or(u32::MAX), left.unwrap_or(u32::MAX));
    wanted.abs_diff(left) <= SAME_END
}

/// A default route that the kernel has from a router's advertisement.
pub(super) fn is_learned_route(message: &RouteMessage) -> bool {
    message.header.protocol == RouteProtocol::Ra
        && message.header.destination_prefix_length == 0
        && message.header.address_family == AddressFamily::Inet6
}

fn read_route(message: &RouteMessage) -> Option<Route> {
    let v6 = match message.header.address_family {
        AddressFamily::Inet => false,
        AddressFamily::Inet6 => true,
        _ => return None,
    };
    let unspecified = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut route = Route {
        table: u32::from(message.header.table),
        to: (unspecified, message.header.destination_prefix_length),
        via: None,
        index: 0,
        source: None,
        metric: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Destination(address) => route.to.0 = read_route_address(address)?,
            RouteAttribute::Gateway(address) => route.via = Some(read_route_address(address)?),
            RouteAttribute::PrefSource(address) => route.source = Some(read_route_address(address)?),
            // An unreachable route of IPv6 names the loopback link, which is none of ours.
            RouteAttribute::Oif(index) if message.header.kind == RouteType::Unicast => route.index = *index,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            _ => {}
        }
    }
    debug_assert!(route.table != 0 || message.header.table == RouteHeader::RT_TABLE_UNSPEC);
    Some(route)
}

fn read_route_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn read_rule(message: &RuleMessage) -> Option<Rule> {
    let v6 = message.header.family == AddressFamily::Inet6;
    let (mut select, mut priority, mut table) = (None, 0, u32::from(message.header.table));
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => select = Some(Select::From(*address)),
            RuleAttribute::FwMark(mark) => select = Some(Select::Mark(*mark)),
            RuleAttribute::Oifname(name) => select = Some(Select::Output(name.clone())),
            RuleAttribute::Priority(number) => priority = *number,
            RuleAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    Some(Rule { priority, select: select?, table, v6 })
}
