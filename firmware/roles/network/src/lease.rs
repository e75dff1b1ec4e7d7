//! A DHCP lease that a host may take: its bounds are checked where it is made. It never applies one.

use crate::options::{DomainName, Given, GivenRoute, SERVERS_MOST};
use smoltcp::wire::DhcpRepr;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

/// The shortest lease that is taken, in seconds. A shorter one would be nothing but renewals; dnsmasq's least is 120.
pub const SHORTEST_LEASE_SECONDS: u32 = 10;

/// The shortest time to renewal that a server may set, in seconds: half of the shortest lease.
pub const SHORTEST_RENEWAL_SECONDS: u32 = SHORTEST_LEASE_SECONDS / 2;

/// What a lease without a time is taken for, in seconds. The DHCP client below counts the same (`smoltcp`'s default).
const LEASE_WITHOUT_TIME_SECONDS: u32 = 120;

/// The widest network that a lease may put on a cable. 10.0.0.0/8 is the widest private one (RFC 1918); a wider one
/// would draw traffic for foreign networks onto the cable.
const WIDEST_PREFIX: u8 = 8;

/// The MTUs that a lease may give: every IPv4 host takes 576 bytes (RFC 791, section 3.1), and 9216 is as much as switches
/// carry.
const MTU: RangeInclusive<u16> = 576..=9216;

/// The most oddities that are kept.
const ODDITIES_MOST: usize = 16;

/// A lease that a host may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    address: Ipv4Addr,
    prefix: u8,
    router: Option<Ipv4Addr>,
    refused_router: Option<Ipv4Addr>,
    server: Ipv4Addr,
    sender: [u8; 6],
    seconds: u32,
    renewal: u32,
    rebinding: u32,
    dns: Vec<Ipv4Addr>,
    ntp: Vec<Ipv4Addr>,
    domain: Option<DomainName>,
    search: Vec<DomainName>,
    mtu: Option<u16>,
    routes: Vec<Route>,
    oddities: Vec<Oddity>,
}

/// A route of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network, without host bits.
    pub destination: Ipv4Addr,
    /// The length of its prefix, 1 to 32; at least 8 when the network is on the cable itself.
    pub prefix: u8,
    /// The router to it, which can be reached from the lease's address or by a route of the same lease without a router.
    /// None: the network is on the cable itself.
    pub gateway: Option<Ipv4Addr>,
}

/// What a server gives beside an address and is not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// An MTU out of bounds.
    Mtu(u16),
    /// A DNS server that is no host.
    DnsServer(Ipv4Addr),
    /// A time server that is no host.
    TimeServer(Ipv4Addr),
    /// A domain name that is none.
    Domain,
    /// Domains to search that are none, or too many.
    Search(usize),
    /// A broadcast address that is not the network's last.
    Broadcast(Ipv4Addr),
    /// Routes that cannot be read, or too many.
    Routes,
    /// A route that no host should take.
    Route(GivenRoute),
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mtu(mtu) => {
                write!(f, "the MTU {mtu}, which is not between {} and {}", MTU.start(), MTU.end())
            }
            Self::DnsServer(address) => write!(f, "the DNS server {address}, which is no host's address"),
            Self::TimeServer(address) => write!(f, "the time server {address}, which is no host's address"),
            Self::Domain => f.write_str("a domain name that is none"),
            Self::Search(count) => {
                write!(f, "{count} domain(s) to search that are no names, or more than it takes")
            }
            Self::Broadcast(address) => {
                write!(f, "the broadcast address {address}, which is not the last of its network")
            }
            Self::Routes => f.write_str("classless routes that cannot be read, or too many"),
            Self::Route(GivenRoute { destination, prefix, gateway }) => {
                write!(f, "a route to {destination}/{prefix} by {gateway}, which no host should take")
            }
        }
    }
}

/// Why an offer or a lease is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Loopback, multicast, link-local, reserved, or the network itself.
    #[error(
        "the DHCP server {server} gives {address}, which is no address for a host; correct its address range"
    )]
    Address {
        /// Who gives it.
        server: Ipv4Addr,
        /// What it gives.
        address: Ipv4Addr,
    },
    /// No mask, a mask with holes, or one that is too wide.
    #[error(
        "the DHCP server {server} gives {address} with the subnet mask {mask}, which is not a mask from /8 to /32; \
         correct its subnet"
    )]
    Mask {
        /// Who gives it.
        server: Ipv4Addr,
        /// The address beside it.
        address: Ipv4Addr,
        /// What it gives; 0.0.0.0 when it gives none.
        mask: Ipv4Addr,
    },
    /// A time that would keep client and server busy.
    #[error(
        "the DHCP server {server} gives {address} for {seconds} s; at least {SHORTEST_LEASE_SECONDS} s are needed: \
         lengthen its leases"
    )]
    Time {
        /// Who gives it.
        server: Ipv4Addr,
        /// The address beside it.
        address: Ipv4Addr,
        /// What it gives.
        seconds: u32,
    },
}

impl Lease {
    /// The lease in an acknowledgement that came from the hardware address `sender`. Of its routers, the first that a host
    /// on this network can reach is taken, unless it gives classless routes: then these are all (RFC 3442).
    pub(crate) fn of_acknowledgement(
        repr: &DhcpRepr<'_>,
        given: Given,
        sender: [u8; 6],
    ) -> Result<Self, Refusal> {
        let server = server(repr);
        let address = repr.your_ip;
        let prefix = prefix(server, address, repr.subnet_mask)?;
        check_address(server, address, prefix)?;
        let seconds = repr.lease_duration.unwrap_or(LEASE_WITHOUT_TIME_SECONDS);
        if seconds < SHORTEST_LEASE_SECONDS {
            return Err(Refusal::Time { server, address, seconds });
        }
        let (renewal, rebinding) = times(repr, seconds);
        let mut lease = Self {
            address,
            prefix,
            router: None,
            refused_router: None,
            server,
            sender,
            seconds,
            renewal,
            rebinding,
            dns: Vec::new(),
            ntp: Vec::new(),
            domain: None,
            search: given.search,
            mtu: None,
            routes: Vec::new(),
            oddities: Vec::new(),
        };
        if given.search_passed_over > 0 {
            lease.odd(Oddity::Search(given.search_passed_over));
        }
        lease.dns = lease.servers(&given.dns, Oddity::DnsServer);
        lease.ntp = lease.servers(&given.ntp, Oddity::TimeServer);
        match given.domain {
            Some(Ok(name)) => lease.domain = Some(name),
            Some(Err(())) => lease.odd(Oddity::Domain),
            None => {}
        }
        match given.mtu {
            Some(mtu) if MTU.contains(&mtu) => lease.mtu = Some(mtu),
            Some(mtu) => lease.odd(Oddity::Mtu(mtu)),
            None => {}
        }
        if let Some(broadcast) = given.broadcast.filter(|given| *given != lease.broadcast()) {
            lease.odd(Oddity::Broadcast(broadcast));
        }
        match given.routes {
            Some(Ok(routes)) => lease.take_routes(&routes),
            Some(Err(())) => {
                lease.odd(Oddity::Routes);
                lease.take_router(&given.routers);
            }
            None => lease.take_router(&given.routers),
        }
        Ok(lease)
    }

    fn odd(&mut self, oddity: Oddity) {
        if self.oddities.len() < ODDITIES_MOST {
            self.oddities.push(oddity);
        }
    }

    fn servers(&mut self, given: &[Ipv4Addr], odd: impl Fn(Ipv4Addr) -> Oddity) -> Vec<Ipv4Addr> {
        let mut servers = Vec::new();
        for candidate in given {
            if !is_host(*candidate, 32) || *candidate == self.address {
                self.odd(odd(*candidate));
            } else if servers.len() < SERVERS_MOST && !servers.contains(candidate) {
                servers.push(*candidate);
            }
        }
        servers
    }

    fn take_router(&mut self, routers: &[Ipv4Addr]) {
        for candidate in routers {
            if self.is_neighbour(*candidate) {
                self.router = Some(*candidate);
                break;
            }
            self.refused_router.get_or_insert(*candidate);
        }
    }

    /// Whether another host of the same network may have this address.
    fn is_neighbour(&self, candidate: Ipv4Addr) -> bool {
        candidate != self.address
            && in_network(candidate, self.address, self.prefix)
            && is_host(candidate, self.prefix)
    }

    fn take_routes(&mut self, given: &[GivenRoute]) {
        // Those without a router first: routers of others may be reached by them, as in networks of one host each.
        let (on_cable, by_router): (Vec<&GivenRoute>, Vec<&GivenRoute>) =
            given.iter().partition(|route| route.gateway.is_unspecified());
        for route in on_cable {
            if route.prefix >= WIDEST_PREFIX && is_network(route) {
                self.add_route(route, None);
            } else {
                self.odd(Oddity::Route(*route));
            }
        }
        let near = self.routes.clone();
        for route in by_router {
            let gateway = route.gateway;
            let reached = near.iter().any(|near| in_network(gateway, near.destination, near.prefix));
            let reachable =
                self.is_neighbour(gateway) || (reached && gateway != self.address && is_host(gateway, 32));
            if reachable && route.prefix == 0 {
                self.router.get_or_insert(gateway);
            } else if reachable && is_network(route) {
                self.add_route(route, Some(gateway));
            } else {
                self.odd(Oddity::Route(*route));
            }
        }
    }

    fn add_route(&mut self, route: &GivenRoute, gateway: Option<Ipv4Addr>) {
        let GivenRoute { destination, prefix, .. } = *route;
        // The first of two to one network counts.
        if self.routes.iter().all(|other| (other.destination, other.prefix) != (destination, prefix)) {
            self.routes.push(Route { destination, prefix, gateway });
        }
    }

    /// Whether an offer is worth a request. The acknowledgement is checked again, and further.
    pub(crate) fn check_offer(repr: &DhcpRepr<'_>) -> Result<(), Refusal> {
        let server = server(repr);
        // An offer may leave the mask out: RFC 2131, table 3, asks for it in neither.
        let prefix = match repr.subnet_mask {
            Some(mask) => prefix(server, repr.your_ip, Some(mask))?,
            None => 32,
        };
        check_address(server, repr.your_ip, prefix)?;
        match repr.lease_duration {
            Some(seconds) if seconds < SHORTEST_LEASE_SECONDS => {
                Err(Refusal::Time { server, address: repr.your_ip, seconds })
            }
            _ => Ok(()),
        }
    }

    /// The address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The length of the network's prefix, 8 to 32.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The default router: another host of the same network, or of a network that [`Lease::routes`] puts on the cable.
    pub fn router(&self) -> Option<Ipv4Addr> {
        self.router
    }

    /// A router that was given and cannot be reached from the address.
    pub fn refused_router(&self) -> Option<Ipv4Addr> {
        self.refused_router
    }

    /// The server that gave it, as it calls itself.
    pub fn server(&self) -> Ipv4Addr {
        self.server
    }

    /// For how long it is given, in seconds, at least [`SHORTEST_LEASE_SECONDS`]; `u32::MAX` is for ever
    /// (RFC 2131, section 3.3).
    pub fn seconds(&self) -> u32 {
        self.seconds
    }

    /// The hardware address that the lease came from: the server's own, or its relay's.
    pub(crate) fn sender(&self) -> [u8; 6] {
        self.sender
    }

    /// After how many seconds the client asks the server for it again (T1).
    pub fn renewal_seconds(&self) -> u32 {
        self.renewal
    }

    /// After how many seconds the client asks all servers (T2).
    pub fn rebinding_seconds(&self) -> u32 {
        self.rebinding
    }

    /// The DNS servers, at most [`SERVERS_MOST`].
    pub fn dns_servers(&self) -> &[Ipv4Addr] {
        &self.dns
    }

    /// The time servers (NTP), at most [`SERVERS_MOST`].
    pub fn time_servers(&self) -> &[Ipv4Addr] {
        &self.ntp
    }

    /// The domain that this host is in.
    pub fn domain(&self) -> Option<&DomainName> {
        self.domain.as_ref()
    }

    /// The domains in which to look names up, at most [`crate::options::SEARCH_MOST`].
    pub fn search(&self) -> &[DomainName] {
        &self.search
    }

    /// The cable's MTU in bytes, 576 to 9216.
    pub fn mtu(&self) -> Option<u16> {
        self.mtu
    }

    /// The routes beside the default one, at most [`crate::options::ROUTES_MOST`]. Those without a router come first.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The last address of the network.
    pub fn broadcast(&self) -> Ipv4Addr {
        let host_bits = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        Ipv4Addr::from(u32::from(self.address) | host_bits)
    }

    /// What the server gives and is not taken over.
    pub fn oddities(&self) -> &[Oddity] {
        &self.oddities
    }

    /// By which router a host is reached; none when it is on the cable, or cannot be reached.
    pub(crate) fn router_to(&self, host: Ipv4Addr) -> Option<Ipv4Addr> {
        if in_network(host, self.address, self.prefix) {
            return None;
        }
        let routes = self.routes.iter().filter(|route| in_network(host, route.destination, route.prefix));
        match routes.max_by_key(|route| route.prefix) {
            Some(route) => route.gateway,
            None => self.router,
        }
    }

    /// Whether it differs from another in more than its times and the way it came.
    pub fn differs_from(&self, other: &Self) -> bool {
        let Self { sender, seconds, renewal, rebinding, .. } = *self;
        *self != Self { sender, seconds, renewal, rebinding, ..other.clone() }
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} by DHCP from {}", self.address, self.prefix, self.server)?;
        match self.seconds {
            u32::MAX => f.write_str(" for ever")?,
            seconds => write!(f, " for {seconds} s")?,
        }
        match self.router {
            Some(router) => write!(f, ", router {router}"),
            None => f.write_str(", no router"),
        }
    }
}

/// T1 and T2, as the DHCP client below counts them: the server's if they are in order, else half and seven eighths.
fn times(repr: &DhcpRepr<'_>, seconds: u32) -> (u32, u32) {
    // Below the least, `frame` blanks them out.
    let sane = |time: &u32| *time >= SHORTEST_RENEWAL_SECONDS;
    match (repr.renew_duration.filter(sane), repr.rebind_duration.filter(sane)) {
        (Some(renewal), Some(rebinding)) if renewal < rebinding && rebinding < seconds => {
            (renewal, rebinding)
        }
        (Some(renewal), None) if renewal < seconds => {
            let gap = u64::from(seconds - renewal) * 3 / 4;
            (renewal, renewal.saturating_add(u32::try_from(gap).unwrap_or(u32::MAX)))
        }
        (None, Some(rebinding)) if rebinding < seconds => ((seconds / 2).min(rebinding), rebinding),
        _ => (seconds / 2, seconds - seconds / 8),
    }
}

/// Whether a route may lead to this network: none of hosts' own, of link-local or of no single host's addresses.
fn is_network(route: &GivenRoute) -> bool {
    let first = route.destination;
    let last = Ipv4Addr::from(u32::from(first) | u32::MAX.checked_shr(u32::from(route.prefix)).unwrap_or(0));
    let touches = |a: u8| (first.octets()[0]..=last.octets()[0]).contains(&a);
    // 0.0.0.0/1 is half of all there is, and may be meant so; 0.0.0.0/8 is no network.
    let wide = route.prefix < WIDEST_PREFIX;
    let link_local = first.is_link_local() || last.is_link_local();
    first.octets()[0] < 224 && (wide || !(touches(0) || touches(127))) && !link_local
}

fn server(repr: &DhcpRepr<'_>) -> Ipv4Addr {
    repr.server_identifier.unwrap_or(repr.server_ip)
}

fn prefix(server: Ipv4Addr, address: Ipv4Addr, mask: Option<Ipv4Addr>) -> Result<u8, Refusal> {
    let bits = mask.map_or(0, u32::from);
    let ones = bits.leading_ones();
    u8::try_from(ones)
        .ok()
        .filter(|prefix| *prefix >= WIDEST_PREFIX && bits.count_ones() == ones)
        .ok_or(Refusal::Mask { server, address, mask: Ipv4Addr::from(bits) })
}

fn check_address(server: Ipv4Addr, address: Ipv4Addr, prefix: u8) -> Result<(), Refusal> {
    if is_host(address, prefix) { Ok(()) } else { Err(Refusal::Address { server, address }) }
}

fn in_network(candidate: Ipv4Addr, address: Ipv4Addr, prefix: u8) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    u32::from(candidate) & mask == u32::from(address) & mask
}

/// Whether one host may have this address: no 0.0.0.0/8, loopback, link-local (RFC 3927, section 1.9: never by DHCP),
/// multicast, class E or broadcast, and neither the first nor the last of its network, unless that has two hosts at most
/// (RFC 3021).
fn is_host(address: Ipv4Addr, prefix: u8) -> bool {
    let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    let host = u32::from(address) & host_bits;
    let edge = prefix <= 30 && (host == 0 || host == host_bits);
    !(address.octets()[0] == 0
        || address.octets()[0] >= 224
        || address.is_loopback()
        || address.is_link_local()
        || edge)
}
