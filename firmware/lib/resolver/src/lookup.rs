//! Which servers are asked about which name, in which order. It never asks a server of another port than the one named.

use crate::cache::{Cache, Finding, Kept};
use crate::error::{Failure, Reason, ResolveError};
use crate::exchange::Exchange;
use crate::name::HostName;
use crate::provider::OnPort;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// More entries of [`Resolver::set`] are left out; there are fewer ports than that.
const GROUPS: usize = 64;
/// More servers of one entry are left out.
const SERVERS: usize = 8;
/// More search domains of one entry are left out.
const SEARCH: usize = 8;
/// A server that failed is asked after all others for so long.
const SET_BACK: Duration = Duration::from_secs(30);
/// A server that said nothing of use is asked so often for one name.
const ROUNDS: usize = 2;
/// How long an address that was given as such is good: as long as an answer can be.
const FOR_EVER: Duration = crate::cache::LONGEST;

/// The DNS servers of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// The kernel's name of the port that the questions leave by; none leaves the choice to the routes.
    pub port: Option<String>,
    /// The address that the questions come from; it serves for servers of its own kind (IPv4, IPv6) only.
    pub source: Option<IpAddr>,
    /// In order of preference, at most 8.
    pub servers: Vec<IpAddr>,
    /// Domains below which a name without a dot is looked for, in this order, at most 8.
    pub search: Vec<String>,
}

/// The bounds of a [`Resolver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one server is waited for; over TCP after a truncated answer included.
    pub attempt: Duration,
    /// How long one look-up takes at most.
    pub total: Duration,
    /// How many names are kept.
    pub names: usize,
    /// How many look-ups run at a time; others wait, within their total.
    pub lookups: usize,
    /// The servers' UDP and TCP port.
    pub server_port: u16,
}

impl Default for Limits {
    /// 2 s, 10 s, 512 names, 32 look-ups, port 53 (RFC 1035, section 4.2).
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(2),
            total: Duration::from_secs(10),
            names: 512,
            lookups: 32,
            server_port: 53,
        }
    }
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Between 1 and 32, in the server's order, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// The name that has them, when what was asked for is an alias or was found below a search domain. Printable.
    pub canonical: String,
    /// How long the answer is good from now on.
    pub ttl: Duration,
    /// The server that gave the answer; none when no server was needed.
    pub from: Option<IpAddr>,
    /// Whether it was remembered, and no server asked.
    pub kept: bool,
}

/// Finds the addresses of names. A clone is the same resolver.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    state: Mutex<State>,
    running: Semaphore,
}

struct State {
    given: Vec<Servers>,
    groups: Arc<[Group]>,
    cache: Cache,
}

/// One entry of [`Resolver::set`], ready to be asked.
struct Group {
    port: Option<String>,
    search: Vec<HostName>,
    servers: Vec<Server>,
}

struct Server {
    address: IpAddr,
    exchange: Exchange,
    set_back: Mutex<Option<Instant>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").field("servers", &self.state().given).finish_non_exhaustive()
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::with_limits(Limits::default())
    }
}

impl Resolver {
    /// A resolver that knows no server yet: it answers addresses only.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with other bounds.
    pub fn with_limits(limits: Limits) -> Self {
        let state = State { given: Vec::new(), groups: Arc::new([]), cache: Cache::new(limits.names.max(1)) };
        let running = Semaphore::new(limits.lookups.clamp(1, Semaphore::MAX_PERMITS));
        Self { shared: Arc::new(Shared { limits, state: Mutex::new(state), running }) }
    }

    /// Takes the servers of all ports in place of those before, in order of preference. What was kept is forgotten if
    /// anything has changed: another network may have other answers. What is beyond a bound, or no domain, is left out and logged.
    pub fn set(&self, servers: Vec<Servers>) {
        if self.state().given == servers {
            return;
        }
        if servers.len() > GROUPS {
            log::warn!("DNS servers of more than {GROUPS} ports are set: those of the others are left out");
        }
        let groups = servers.iter().take(GROUPS).map(|one| Group::new(one, &self.shared.limits)).collect();
        let mut state = self.state();
        state.groups = groups;
        state.given = servers;
        state.cache.clear();
    }

    /// Forgets every kept answer.
    pub fn forget(&self) {
        self.state().cache.clear();
    }

    /// The addresses of a name, asked of the servers of one port, or of all ports in turn. An address is answered as it is,
    /// without any server.
    ///
    /// A name without a dot is looked for below the search domains first. One with a dot is never looked for below
    /// another domain: who names a host in full means that host.
    ///
    /// # Errors
    ///
    /// After [`Limits::total`] at the latest, with what to do.
    pub async fn lookup(&self, name: &str, port: Option<&str>) -> Result<Answer, ResolveError> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(Answer::given(vec![address], address.to_string()));
        }
        let host = HostName::parse(name)?;
        if host.is_localhost() {
            return Ok(Answer::given(
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                host.to_string(),
            ));
        }
        let deadline = Instant::now() + self.shared.limits.total;
        let groups = Arc::clone(&self.state().groups);
        let chosen: Vec<(usize, &Group)> =
            groups.iter().enumerate().filter(|(_, group)| group.serves(port)).collect();
        if chosen.is_empty() {
            return Err(ResolveError::NoServers(port.map(ToOwned::to_owned)));
        }
        let name = host.to_string();
        let Ok(_permit) = timeout_at(deadline, self.shared.running.acquire()).await else {
            let servers = chosen.iter().flat_map(|(_, group)| &group.servers);
            let failures =
                servers.map(|server| Failure { server: server.address, reason: Reason::NotAsked }).collect();
            return Err(ResolveError::Failed { name, failures });
        };
        let mut failures = Vec::new();
        let mut negative = None;
        for (index, group) in chosen {
            match self.ask_group(index, group, &groups, &host, deadline).await {
                Ok(GroupSaid::Yes(answer)) => return Ok(answer),
                Ok(GroupSaid::NoAddress(server)) => negative = Some((true, server)),
                Ok(GroupSaid::NotFound(server)) => negative = negative.or(Some((false, server))),
                Err(failed) => failures.extend(failed),
            }
        }
        match negative {
            // A port whose servers failed may have had the answer.
            _ if !failures.is_empty() => Err(ResolveError::Failed { name, failures }),
            Some((true, server)) => Err(ResolveError::NoAddress { name, server }),
            Some((false, server)) => Err(ResolveError::NotFound { name, server }),
            None => Err(ResolveError::Failed { name, failures }),
        }
    }

    /// Asks one port's servers for each form of the name.
    async fn ask_group(
        &self,
        index: usize,
        group: &Group,
        groups: &Arc<[Group]>,
        host: &HostName,
        deadline: Instant,
    ) -> Result<GroupSaid, Vec<Failure>> {
        let mut negative = None;
        for name in group.forms(host) {
            let kept = self.state().cache.get(&name, index, Instant::now()).cloned();
            let (kept, remembered) = match kept {
                Some(kept) => (kept, true),
                None => (self.ask_servers(index, group, groups, name, deadline).await?, false),
            };
            match kept.finding {
                Finding::Addresses { addresses, canonical } => {
                    return Ok(GroupSaid::Yes(Answer {
                        addresses,
                        canonical,
                        ttl: kept.until.saturating_duration_since(Instant::now()),
                        from: Some(kept.server),
                        kept: remembered,
                    }));
                }
                Finding::NoAddress => negative = Some(GroupSaid::NoAddress(kept.server)),
                Finding::NotFound => negative = negative.or(Some(GroupSaid::NotFound(kept.server))),
            }
        }
        negative.ok_or_else(Vec::new)
    }

    /// Asks one port's servers for a name until one has an answer.
    async fn ask_servers(
        &self,
        index: usize,
        group: &Group,
        groups: &Arc<[Group]>,
        name: HostName,
        deadline: Instant,
    ) -> Result<Kept, Vec<Failure>> {
        let order = group.order(Instant::now());
        let mut failed: Vec<Option<Reason>> = vec![None; group.servers.len()];
        for round in 0..ROUNDS {
            for &place in &order {
                let server = &group.servers[place];
                if round > 0 && !failed[place].as_ref().is_some_and(Reason::may_pass) {
                    continue;
                }
                let now = Instant::now();
                if now >= deadline {
                    failed[place].get_or_insert(Reason::NotAsked);
                    continue;
                }
                let until = deadline.min(now + self.shared.limits.attempt);
                match timeout_at(until, server.exchange.ask(&name)).await.unwrap_or(Err(Reason::Silent)) {
                    Ok((finding, ttl)) => {
                        *lock(&server.set_back) = None;
                        let mut state = self.state();
                        if !Arc::ptr_eq(&state.groups, groups) {
                            // The servers have changed meanwhile: the answer is of use once.
                            return Ok(Cache::new(1).keep(name, index, finding, server.address, ttl));
                        }
                        return Ok(state.cache.keep(name, index, finding, server.address, ttl));
                    }
                    Err(reason) => {
                        log::debug!("the DNS server {} {reason}", server.address);
                        *lock(&server.set_back) = Some(Instant::now() + SET_BACK);
                        failed[place] = Some(reason);
                    }
                }
            }
        }
        let failures = group.servers.iter().zip(failed);
        Err(failures
            .map(|(server, reason)| Failure {
                server: server.address,
                reason: reason.unwrap_or(Reason::NotAsked),
            })
            .collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

enum GroupSaid {
    Yes(Answer),
    NotFound(IpAddr),
    NoAddress(IpAddr),
}

impl Answer {
    fn given(addresses: Vec<IpAddr>, canonical: String) -> Self {
        Self { addresses, canonical, ttl: FOR_EVER, from: None, kept: false }
    }
}

impl Reason {
    /// Whether the server may do better when it is asked once more at once.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Silent | Self::ServerFailure)
    }
}

impl Group {
    fn new(given: &Servers, limits: &Limits) -> Self {
        let port = given.port.as_deref();
        let on = port.unwrap_or("any port").escape_default();
        if given.servers.len() > SERVERS || given.search.len() > SEARCH {
            log::warn!(
                "more than {SERVERS} DNS servers or {SEARCH} search domains for {on}: the others are left out"
            );
        }
        let mut search: Vec<HostName> = Vec::new();
        for domain in given.search.iter().take(SEARCH) {
            match HostName::parse(domain) {
                Ok(domain) if search.contains(&domain) => {}
                Ok(domain) => search.push(domain),
                Err(error) => log::warn!("a search domain for {on} is left out: {error}"),
            }
        }
        let mut servers: Vec<Server> = Vec::new();
        for &address in given.servers.iter().take(SERVERS) {
            if address.is_unspecified()
                || address.is_multicast()
                || servers.iter().any(|one| one.address == address)
            {
                continue;
            }
            let sockets = OnPort::new(port, given.source);
            match Exchange::new(address, limits.server_port, sockets, limits.attempt) {
                Ok(exchange) => servers.push(Server { address, exchange, set_back: Mutex::new(None) }),
                Err(error) => log::warn!("the DNS server {address} for {on} is left out: {error}"),
            }
        }
        Self { port: given.port.clone(), search, servers }
    }

    /// Whether it is asked when that port is named. An entry without a port serves every port.
    fn serves(&self, port: Option<&str>) -> bool {
        !self.servers.is_empty() && (port.is_none() || self.port.is_none() || self.port.as_deref() == port)
    }

    /// What the name may mean here, likeliest first.
    fn forms(&self, host: &HostName) -> Vec<HostName> {
        let mut forms = Vec::new();
        if host.is_single() {
            forms.extend(self.search.iter().filter_map(|domain| host.below(domain)));
        }
        forms.push(host.clone());
        forms
    }

    /// Servers by preference; those that failed lately last.
    fn order(&self, now: Instant) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.servers.len()).collect();
        order.sort_by_key(|&place| lock(&self.servers[place].set_back).is_some_and(|until| now < until));
        order
    }
}

/// A lock whose holder cannot have left anything half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
