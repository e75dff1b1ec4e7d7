//! An interface at work: what it is planned to be, and what was learned over it. It never touches the kernel.

use crate::client::{Mode, News};
use crate::dhcp_server;
use crate::lease::Lease;
use crate::plan::Planned;
use crate::ports::Entry;
use crate::rdnss::NameServers;
use crate::wanted::Facts;
use drawbridge_bus::Port;
use drawbridge_settings::network::{Host, Interface, Ipv4, Ipv6, PortRole, Roles};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// After so long without a lease an interface takes a link-local address: the client has asked three times by then.
const ALONE_FOR: Duration = Duration::from_secs(10);

/// The most name servers, learned or set, of one interface.
const NAME_SERVERS_MOST: usize = 8;

/// A task that ends when it is let go.
#[derive(Debug)]
pub(crate) struct Task(pub(crate) AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An interface whose link is there.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) planned: Planned,
    /// Its link.
    pub(crate) index: u32,
    /// The kernel's name for it.
    pub(crate) name: String,
    /// Who asks for and defends its IPv4 address, while there is carrier; and the number that his news bear.
    pub(crate) client: Option<(Task, u64)>,
    /// Who probes and defends the service address, on a technician's port; and the number that his news bear.
    pub(crate) service_client: Option<(Task, u64)>,
    /// Whether the service address was found to be nobody else's.
    pub(crate) service_usable: bool,
    /// Somebody else who uses the service address.
    service_conflict: Option<String>,
    /// Who serves the technician's computer.
    pub(crate) server: Option<Task>,
    /// What he says of it.
    pub(crate) service: Option<String>,
    /// The lease, and when it ends.
    pub(crate) lease: Option<(Lease, Option<Instant>)>,
    /// The link-local address, while there is one.
    pub(crate) link_local: Option<Ipv4Addr>,
    /// Whether the static address was found to be nobody else's.
    pub(crate) usable: bool,
    /// Somebody else who uses the address.
    pub(crate) conflict: Option<String>,
    /// The address of the last lease, to be asked for again.
    pub(crate) had: Option<Ipv4Addr>,
    /// Name servers by router advertisements.
    pub(crate) advertised_dns: NameServers,
}

impl Running {
    pub(crate) fn new(planned: Planned, index: u32, name: String) -> Self {
        Self {
            planned,
            index,
            name,
            client: None,
            service_client: None,
            service_usable: false,
            service_conflict: None,
            server: None,
            service: None,
            lease: None,
            link_local: None,
            usable: false,
            conflict: None,
            had: None,
            advertised_dns: NameServers::default(),
        }
    }

    pub(crate) fn interface(&self) -> &Interface {
        &self.planned.interface
    }

    /// Whether what was learned over the cable holds with these settings as well: they may differ in routes, name servers
    /// and sizes. To take the address away and to look again whether it is free would disturb each connection.
    pub(crate) fn learns_alike(&self, settings: &Interface) -> bool {
        let Interface { name: _, at, roles, ipv4, ipv6, mtu: _, dns: _, routes: _, enabled } =
            self.interface();
        (at, roles, ipv4, ipv6, enabled)
            == (&settings.at, &settings.roles, &settings.ipv4, &settings.ipv6, &settings.enabled)
    }

    pub(crate) fn roles(&self) -> &Roles {
        &self.planned.interface.roles
    }

    /// Towards the RSS and nothing else: nothing on it answers a stranger.
    pub(crate) fn is_silent(&self) -> bool {
        self.roles().only(PortRole::Uplink)
    }

    /// For the technician alone, and without a DHCP server of somebody else on it.
    pub(crate) fn is_service(&self) -> bool {
        self.roles().only(PortRole::Service) && !matches!(self.interface().ipv4, Ipv4::Dhcp { .. })
    }

    /// Whether anything was learned over the cable, or is being learned.
    pub(crate) fn has_learned(&self) -> bool {
        self.client.is_some() || self.service_client.is_some() || !self.advertised_dns.is_empty()
    }

    /// The service address is this end's no more, and nobody is served from it.
    pub(crate) fn leave_service(&mut self) {
        self.service_client = None;
        self.service_usable = false;
        self.service_conflict = None;
        self.server = None;
        self.service = None;
    }

    /// Takes in what was found out about the service address; gives a sentence that is worth a warning.
    pub(crate) fn hear_service(&mut self, news: News) -> Option<String> {
        match news {
            News::Usable { .. } => {
                self.service_usable = true;
                self.service_conflict = None;
                None
            }
            News::Conflict { address, mac, gave_up: _ } => {
                let sentence = conflict(address, mac, false);
                let new = self.service_conflict.as_ref() != Some(&sentence);
                self.service_conflict = Some(sentence.clone());
                new.then_some(sentence)
            }
            News::Failed(error) => {
                self.leave_service();
                Some(format!("the service address is let go: {error}"))
            }
            News::Lost | News::Leased(_) | News::LinkLocal(_) => {
                self.service_usable = false;
                self.server = None;
                self.service = None;
                None
            }
        }
    }

    /// Nothing that was learned over the cable holds any more.
    pub(crate) fn forget(&mut self) {
        self.client = None;
        self.leave_service();
        self.had = self.lease.take().map(|(lease, _)| lease.address()).or(self.had);
        self.link_local = None;
        self.usable = false;
        self.conflict = None;
        self.advertised_dns.clear();
    }

    /// What its client is to do; none when there is nothing to do for IPv4. `wanted` is the address that it had before.
    pub(crate) fn mode(&self, host_name: &str, wanted: Option<Ipv4Addr>) -> Option<Mode> {
        Some(match &self.interface().ipv4 {
            Ipv4::Off => return None,
            Ipv4::Dhcp { link_local_fallback } => Mode::Dhcp {
                link_local_after: link_local_fallback.then_some(ALONE_FOR),
                host_name: Some(host_name.to_owned()),
                wanted,
            },
            Ipv4::Static { address, .. } => Mode::Static { address: address.address() },
            // The service address is link-local already, and has a client of its own.
            Ipv4::LinkLocal if self.is_service() => return None,
            Ipv4::LinkLocal => Mode::LinkLocal,
        })
    }

    /// All that the kernel is to know of it. `learned` are the routers that advertise themselves on it.
    pub(crate) fn facts(&self, entry: &Entry, learned: &[Ipv6Addr]) -> Facts {
        let interface = self.interface();
        let mut own = Vec::new();
        let mut routes: Vec<_> = interface
            .routes
            .iter()
            .map(|route| (route.to.address(), route.to.prefix(), route.via, route.metric))
            .collect();
        let mut router4 = None;
        if let Ipv4::Static { address, router } = &interface.ipv4
            && self.usable
        {
            own.push((IpAddr::V4(address.address()), address.prefix(), None));
            router4 = *router;
        }
        // In its last second the kernel takes no end for it any more: the client is about to say that it is lost.
        let lease = self.lease.as_ref().map(|(lease, until)| (lease, until.map(seconds_until)));
        if let Some((lease, seconds)) = lease.filter(|(_, seconds)| *seconds != Some(0)) {
            own.push((IpAddr::V4(lease.address()), lease.prefix(), seconds));
            router4 = lease.router();
            let given = lease.routes().iter().filter_map(|route| {
                Some((IpAddr::V4(route.destination), route.prefix, IpAddr::V4(route.gateway?), None))
            });
            routes.extend(given);
        } else if let Some(address) = self.link_local {
            own.push((IpAddr::V4(address), crate::linklocal::PREFIX, None));
        }
        if self.service_usable {
            own.push((IpAddr::V4(dhcp_server::ADDRESS), dhcp_server::PREFIX, None));
        }
        let mut routers6 = Vec::new();
        let advertised = matches!(interface.ipv6, Ipv6::Auto { .. });
        if let Ipv6::Static { addresses, router } = &interface.ipv6 {
            own.extend(addresses.iter().map(|net| (IpAddr::V6(net.address()), net.prefix(), None)));
            routers6.extend(*router);
        } else if advertised {
            routers6.extend(learned);
        }
        // Routes by an address that is not there would be refused by the kernel.
        routes.retain(|(_, _, via, _)| {
            own.iter().any(|(address, _, _)| address.is_ipv4() == via.is_ipv4()) || via.is_ipv6()
        });
        let by_itself = entry.addresses.iter().filter_map(|(address, prefix)| match address {
            IpAddr::V6(address) if !own.iter().any(|(one, ..)| *one == IpAddr::V6(*address)) => {
                Some((*address, *prefix))
            }
            _ => None,
        });
        let learned = by_itself.collect();
        Facts {
            index: self.index,
            name: self.name.clone(),
            roles: interface.roles,
            own,
            learned,
            router4,
            routers6,
            routes,
            ipv6: !matches!(interface.ipv6, Ipv6::Off),
            advertised,
        }
    }

    /// Its name servers: those that are set, then those that were learned.
    pub(crate) fn name_servers(&self) -> Vec<IpAddr> {
        let mut servers = self.interface().dns.clone();
        if let Some((lease, _)) = &self.lease {
            servers.extend(lease.dns_servers().iter().copied().map(IpAddr::V4));
        }
        servers.extend(self.advertised_dns.servers());
        let mut seen = Vec::new();
        servers.retain(|server| {
            let new = !seen.contains(server);
            seen.push(*server);
            new
        });
        servers.truncate(NAME_SERVERS_MOST);
        servers
    }

    /// Domains that short names are looked up in, by the lease.
    pub(crate) fn search(&self) -> Vec<String> {
        let Some((lease, _)) = &self.lease else { return Vec::new() };
        let list = lease.search().iter().map(|name| name.as_str().to_owned());
        let mut domains: Vec<String> = list.collect();
        if domains.is_empty() {
            domains.extend(lease.domain().map(|name| name.as_str().to_owned()));
        }
        domains
    }

    /// Time servers by the lease.
    pub(crate) fn time_servers(&self) -> Vec<Host> {
        let Some((lease, _)) = &self.lease else { return Vec::new() };
        lease.time_servers().iter().map(|server| Host::Address(IpAddr::V4(*server))).collect()
    }

    /// As it is shown.
    pub(crate) fn shown(&self, entry: &Entry, megabits: Option<u32>) -> Port {
        Port {
            interface: self.interface().name.to_string(),
            roles: self.roles().iter().collect(),
            remarks: self.remarks(entry),
            ..shown(entry, megabits)
        }
    }

    fn remarks(&self, entry: &Entry) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.interface().enabled {
            remarks.push("switched off by its settings".to_owned());
            return remarks;
        }
        if !entry.link.carrier {
            return remarks;
        }
        match (&self.interface().ipv4, &self.lease, self.link_local) {
            (_, Some((lease, _)), _) => {
                remarks.push(format!("{} by DHCP from {}", lease.address(), lease.server()));
            }
            (Ipv4::Dhcp { .. }, None, Some(address)) => remarks
                .push(format!("no DHCP server answers; {address} is link-local and reaches this cable only")),
            (Ipv4::Dhcp { .. }, None, None) => remarks.push("waits for a DHCP server".to_owned()),
            _ => {}
        }
        remarks.extend(self.service.clone());
        remarks.extend(self.conflict.clone());
        remarks.extend(self.service_conflict.clone());
        remarks
    }
}

/// A link that is no interface of its own: a member of a bond.
pub(crate) fn shown(entry: &Entry, megabits: Option<u32>) -> Port {
    let link = &entry.link;
    Port {
        name: link.name.clone(),
        interface: link.name.clone(),
        roles: Vec::new(),
        mac: link.permanent_mac,
        pci: entry.card.pci.clone(),
        driver: entry.card.driver.clone(),
        carrier: link.carrier,
        megabits: megabits.filter(|_| link.carrier),
        mtu: link.mtu,
        addresses: entry.addresses.iter().copied().collect(),
        remarks: Vec::new(),
    }
}

/// What is told of another host that uses an address.
pub(crate) fn conflict(address: Ipv4Addr, mac: [u8; 6], gave_up: bool) -> String {
    let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
    let remedy = if gave_up { "another address is taken" } else { "give one of the two another address" };
    format!("{address} is used by {mac} as well: {remedy}")
}

fn seconds_until(until: Instant) -> u32 {
    let left: Duration = until.saturating_duration_since(Instant::now());
    u32::try_from(left.as_secs()).unwrap_or(u32::MAX)
}
