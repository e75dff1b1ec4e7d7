//! A DHCPv4 server for tests (RFC 2131): gives leases, counts what it sees, misbehaves when told. It serves no relay agents.

mod hostile;
mod message;
mod pool;
mod service;

pub use hostile::{Asked, HostileDhcp};
pub(super) use service::DhcpService;

use super::NetError;
use super::host::Host;
use super::network::Signal;
pub use smoltcp::wire::DhcpMessageType;
use smoltcp::wire::EthernetAddress;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a server gives out.
#[derive(Debug, Clone)]
pub struct DhcpConfig {
    first: Ipv4Addr,
    count: u32,
    lease: Duration,
    router: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
    options: Vec<(u8, Vec<u8>)>,
}

impl DhcpConfig {
    /// So many addresses from the first on (at least one), for an hour. The serving host is the router; no DNS.
    pub fn pool(first: impl Into<Ipv4Addr>, count: u32) -> Self {
        Self {
            first: first.into(),
            count: count.max(1),
            lease: Duration::from_hours(1),
            router: None,
            dns: Vec::new(),
            options: Vec::new(),
        }
    }

    /// Leases last this long, in whole seconds.
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// Another host is the router. The unspecified address: there is none.
    #[must_use]
    pub fn router(mut self, address: impl Into<Ipv4Addr>) -> Self {
        self.router = Some(address.into());
        self
    }

    /// With this DNS server as well; three at most.
    #[must_use]
    pub fn dns(mut self, address: impl Into<Ipv4Addr>) -> Self {
        self.dns.push(address.into());
        self
    }

    /// With this option as well (its code, its bytes; 255 at most).
    #[must_use]
    pub fn option(mut self, code: u8, data: &[u8]) -> Self {
        self.options.push((code, data.get(..data.len().min(255)).unwrap_or_default().to_vec()));
        self
    }
}

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DhcpBehaviour {
    /// As it should.
    #[default]
    Normal,
    /// It answers nothing.
    Silent,
    /// It offers, and then refuses each request (NAK).
    Refuse,
    /// It offers, and then never answers a request.
    OfferOnly,
    /// It gives leases, and then never answers who would renew one.
    NoRenewal,
    /// It gives leases, and then refuses who would renew one (NAK).
    RefuseRenewal,
}

/// What a server has seen and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each is the count of the message that it is named after")]
pub struct DhcpCounters {
    pub discover: u64,
    pub offer: u64,
    pub request: u64,
    pub ack: u64,
    pub nak: u64,
    pub decline: u64,
    pub release: u64,
    pub inform: u64,
    /// What was sent to the server's port and is no message of a client.
    pub malformed: u64,
}

/// A message of a client, as the server saw it.
#[derive(Debug, Clone)]
pub struct DhcpSeen {
    /// When.
    pub at: Instant,
    /// Its kind.
    pub kind: DhcpMessageType,
    /// The client's hardware address.
    pub client: EthernetAddress,
    /// The address it asked for by option 50.
    pub requested: Option<Ipv4Addr>,
    /// The address it says it has.
    pub has: Ipv4Addr,
    /// Its options with their bytes, in their order.
    pub options: Vec<(u8, Vec<u8>)>,
}

/// A handle on a host's DHCP server.
#[derive(Debug, Clone)]
pub struct DhcpServer {
    pub(super) host: Host,
    pub(super) signal: Arc<Signal>,
}

impl DhcpServer {
    /// Waits until the client has a lease (it has one already: at once) and returns its address.
    pub fn wait_for_lease(&self, client: EthernetAddress, within: Duration) -> Result<Ipv4Addr, NetError> {
        let leased = self.host.network.shared.wait(&self.signal, within, |core| {
            self.host.stack(core).dhcp.as_ref()?.lease_of(client, Instant::now())
        });
        leased.ok_or_else(|| {
            let seen = self.counters();
            NetError::NoLease { client, within, seen: format!("{seen:?}") }
        })
    }

    /// Waits until the server's counters are so.
    pub fn wait_until(&self, within: Duration, so: impl Fn(&DhcpCounters) -> bool) -> Option<DhcpCounters> {
        self.host.network.shared.wait(&self.signal, within, |core| {
            let counters = self.host.stack(core).dhcp.as_ref()?.counters();
            so(&counters).then_some(counters)
        })
    }

    /// What it has seen and sent.
    pub fn counters(&self) -> DhcpCounters {
        self.with(|dhcp| dhcp.counters())
    }

    /// The last messages of clients, oldest first; 1000 at most.
    pub fn seen(&self) -> Vec<DhcpSeen> {
        self.with(|dhcp| dhcp.seen())
    }

    /// From now on it behaves so.
    pub fn set_behaviour(&self, behaviour: DhcpBehaviour) {
        self.with(|dhcp| dhcp.set_behaviour(behaviour));
    }

    /// From now on it gives out something else. Leases that are out stay known.
    pub fn set_config(&self, config: DhcpConfig) {
        self.with(move |dhcp| dhcp.set_config(config));
    }

    /// Forgets all leases, as a server that was reinstalled.
    pub fn forget_leases(&self) {
        self.with(DhcpService::forget_leases);
    }

    fn with<R: Default>(&self, act: impl FnOnce(&mut DhcpService) -> R) -> R {
        self.host.with(|stack| stack.dhcp.as_mut().map(act)).unwrap_or_default()
    }
}
