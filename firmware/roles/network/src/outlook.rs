//! What the rest of the role is told of the ports: name servers, time servers, who is announced where, and what is shown.
//! It never touches a port.

use crate::interface::Running;
use crate::keep;
use crate::mdns::MdnsPort;
use crate::ports::Table;
use crate::time::{Host as TimeHost, Source};
use drawbridge_bus::{NetworkStatus, PendingChange, Port};
use drawbridge_resolver::{Resolver, Servers};
use drawbridge_settings::network::{Host, HostName, NetworkSettings, PortRole};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// The most time servers that are asked, set or learned.
const TIME_SERVERS_MOST: usize = 8;

/// What others than the loop look at.
pub(crate) struct Outlook {
    /// The ports.
    pub(crate) shown: watch::Sender<Vec<Port>>,
    /// The name of the host.
    pub(crate) host_name: watch::Sender<Option<HostName>>,
    /// Time servers.
    pub(crate) time: watch::Sender<Vec<Source>>,
    /// Where the host is announced.
    pub(crate) announced: watch::Sender<Vec<MdnsPort>>,
    /// Names to addresses.
    pub(crate) resolver: Arc<Resolver>,
}

impl Outlook {
    pub(crate) fn new() -> Self {
        Self {
            shown: watch::Sender::default(),
            host_name: watch::Sender::default(),
            time: watch::Sender::default(),
            announced: watch::Sender::default(),
            resolver: Arc::new(Resolver::new()),
        }
    }

    /// Tells what has become of the ports.
    pub(crate) fn show(
        &self,
        ports: Vec<Port>,
        host_name: &str,
        settings: &NetworkSettings,
        running: &[&Running],
        table: &Table,
    ) {
        let running = in_order(running);
        let servers = running.iter().map(|one| {
            let domains = settings.search.iter().map(ToString::to_string);
            Servers {
                port: Some(one.name.clone()),
                source: None,
                servers: one.name_servers(),
                search: domains.chain(one.search()).take(drawbridge_settings::network::SEARCH_MOST).collect(),
            }
        });
        // Only when they have changed: answers that are kept are forgotten with their servers.
        self.resolver.set(servers.filter(|servers| !servers.servers.is_empty()).collect());
        put(&self.time, time_sources(settings, &running));
        let announced = running.iter().filter(|one| {
            one.roles().contains(PortRole::Management) || one.roles().contains(PortRole::Service)
        });
        let announced = announced.filter_map(|one| {
            let entry = table.get(one.index).filter(|entry| entry.link.carrier)?;
            let addresses: Vec<_> = entry.addresses.iter().copied().collect();
            (!addresses.is_empty()).then(|| MdnsPort { index: one.index, name: one.name.clone(), addresses })
        });
        put(&self.announced, announced.collect());
        put(&self.host_name, keep::typed(host_name));
        put(&self.shown, ports);
    }

    /// All of it, with what the loop knows besides.
    pub(crate) fn status(
        &self,
        ports: Vec<Port>,
        pending: Option<PendingChange>,
        name_servers: Vec<(IpAddr, String)>,
        remarks: Vec<String>,
    ) -> NetworkStatus {
        let host_name = self.host_name.borrow().as_ref().map(ToString::to_string).unwrap_or_default();
        let time_servers = self.time.borrow().iter().map(ToString::to_string).collect();
        NetworkStatus { host_name, ports, pending, name_servers, time_servers, remarks }
    }
}

/// Interfaces in the order in which their servers are asked: the uplink's first, then the administrator's.
pub(crate) fn in_order<'a>(running: &[&'a Running]) -> Vec<&'a Running> {
    let mut ordered = running.to_vec();
    ordered.sort_by_key(|one| {
        let class = if one.roles().contains(PortRole::Uplink) {
            0
        } else if one.roles().contains(PortRole::Management) {
            1
        } else {
            2
        };
        (class, one.index)
    });
    ordered
}

/// The time servers: those that are set, else those of the leases, each asked through the port that it was learned on.
fn time_sources(settings: &NetworkSettings, running: &[&Running]) -> Vec<Source> {
    let source = |host: &Host, port: Option<String>| {
        let host = match host {
            Host::Name(name) => TimeHost::Name(name.to_string()),
            Host::Address(address) => TimeHost::Address(*address),
        };
        Source::new(host, port)
    };
    let mut sources: Vec<Source> = settings.time_servers.iter().map(|host| source(host, None)).collect();
    if sources.is_empty() {
        for one in running {
            sources.extend(one.time_servers().iter().map(|host| source(host, Some(one.name.clone()))));
        }
    }
    sources.truncate(TIME_SERVERS_MOST);
    sources
}

/// Puts a value there, and wakes whoever looks, when it is another.
fn put<T: PartialEq>(place: &watch::Sender<T>, value: T) {
    place.send_if_modified(|there| {
        let different = *there != value;
        if different {
            *there = value;
        }
        different
    });
}
