//! The role's one loop: the kernel's changes, the clients' news and the bus come together here. It never blocks on any
//! of them.
//!
//! Whatever happens, what follows is the same: the loop looks at links, settings and leases, and brings the kernel in line
//! ([`Network::settle`]). A step that was missed or failed is made good by the next look.

mod hear;

use crate::cards;
use crate::client::{self, Mode, News};
use crate::confirm::Commit;
use crate::dhcp_server::ServerNews;
use crate::interface::{Running, Task, shown};
use crate::keep::{Keep, host_name};
use crate::netlink::{Advertisements, Change, Changes, Netlink, NetlinkError};
use crate::orders::Order;
use crate::outlook::{Outlook, in_order};
use crate::plan::{Found, Planned, plan};
use crate::ports::{Difference, Kind, Link, Table};
use crate::wanted::{Learned, Wanted};
use crate::{arrange, dhcp_server, sysctl, system};
use drawbridge_bus::{ChangeId, NetworkStatus, PendingChange, Port, Role};
use drawbridge_filter::{Filter, FilterError, Policy, PortPolicy};
use drawbridge_settings::FieldError;
use drawbridge_settings::network::{MacAddress, NetworkSettings, PortRole};
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Whose sockets are the bridge's.
const BRIDGE: [Role; 3] = [Role::Tunnel, Role::Sshd, Role::Shell];

/// The wait before something that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Changes that follow each other this closely are looked at as one. A flood of them costs a look each time.
const LOOK_AFTER: Duration = Duration::from_millis(20);
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(200);

/// A bond with VLANs on it is there after four rounds: room for those that were something else before.
const ROUNDS_MOST: usize = 12;

/// Which links are ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those with a device behind them: cards, virtual ones among them.
    Hardware,
    /// All Ethernet links but loopback. Tests run on pairs of virtual cables.
    AnyEthernet,
}

/// Why the role cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoleError {
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error("the packet filter cannot be set, and without it no port may be used: {0}")]
    Filter(#[from] FilterError),
}

/// The network of this machine.
pub(crate) struct Network {
    which: Which,
    netlink: Netlink,
    changes: Changes,
    advertisements: Advertisements,
    filter: Filter,
    policy: Option<Policy>,
    /// The bridge could not be closed: uplinks are down, and what is left of it may send nothing by any other port.
    barred: bool,
    talked_to: BTreeMap<u32, Vec<IpAddr>>,
    keep: Keep,
    commit: Commit,
    table: Table,
    interfaces: BTreeMap<u32, Running>,
    news: mpsc::Receiver<(u64, News)>,
    tell: mpsc::Sender<(u64, News)>,
    clients: u64,
    served: mpsc::Receiver<(u32, ServerNews)>,
    tell_served: mpsc::Sender<(u32, ServerNews)>,
    orders: mpsc::Receiver<Order>,
    left_alone: HashSet<u32>,
    outlook: Outlook,
    look_at: Option<Instant>,
    looked: Instant,
    told: HashSet<String>,
}

impl Network {
    /// Takes over the ports that are there. Nothing is let in before it is known what a port is for.
    pub(crate) async fn open(
        which: Which,
        mut keep: Keep,
        orders: mpsc::Receiver<Order>,
        outlook: Outlook,
    ) -> Result<Self, RoleError> {
        let (netlink, changes, advertisements) = Netlink::open()?;
        let mut filter = Filter::open()?;
        filter.apply(&Policy::default())?;
        sysctl::set_host();
        if let Err(error) = netlink.switch_loopback_on().await {
            log::error!("support sessions cannot be served: {error}");
        }
        let settings = keep.load();
        let (tell, news) = mpsc::channel(16);
        let (tell_served, served) = mpsc::channel(16);
        let mut network = Self {
            which,
            netlink,
            changes,
            advertisements,
            filter,
            policy: None,
            barred: false,
            talked_to: BTreeMap::new(),
            keep,
            commit: Commit::new(settings),
            table: Table::default(),
            interfaces: BTreeMap::new(),
            news,
            tell,
            clients: 0,
            served,
            tell_served,
            orders,
            left_alone: HashSet::new(),
            outlook,
            look_at: None,
            looked: Instant::now(),
            told: HashSet::new(),
        };
        network.settle().await?;
        Ok(network)
    }

    /// Handles the ports until the kernel's socket fails.
    pub(crate) async fn run(mut self) -> RoleError {
        loop {
            let confirm = self.commit.deadline().map(Instant::from_std);
            let advertised =
                self.interfaces.values().filter_map(|running| running.advertised_dns.next_end()).min();
            let next = [self.look_at, confirm, advertised].into_iter().flatten().min();
            let wait = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                change = self.changes.next() => match change {
                    Some(change) => self.change(change),
                    None => return NetlinkError::Ended.into(),
                },
                advertised = self.advertisements.next() => match advertised {
                    Some(advertised) => self.hear_router(&advertised),
                    None => return NetlinkError::Ended.into(),
                },
                news = self.news.recv() => {
                    if let Some((client, news)) = news {
                        self.hear(client, news);
                    }
                }
                served = self.served.recv() => {
                    if let Some((index, news)) = served {
                        self.hear_server(index, news);
                    }
                }
                order = self.orders.recv() => {
                    if let Some(order) = order {
                        self.follow(order);
                    }
                }
                () = wait => {}
            }
            if self.commit.expire(std::time::Instant::now()) {
                log::warn!("the change of the network was not confirmed in time and is taken back");
                self.look_now();
            }
            self.forget_name_servers();
            if self.look_at.is_some_and(|at| at <= Instant::now()) {
                self.look_at = None;
                if let Err(error) = self.settle().await {
                    return error;
                }
                self.looked = Instant::now();
            }
        }
    }

    /// Something has changed: the kernel is brought in line soon.
    fn look_soon(&mut self) {
        let soon = Instant::now() + LOOK_AFTER;
        self.look_by(soon.max(self.looked + LOOK_AT_MOST_EVERY));
    }

    fn look_now(&mut self) {
        self.look_at = Some(Instant::now());
    }

    fn look_by(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }

    fn change(&mut self, change: Change) {
        match change {
            // A carrier that goes and comes back between two looks has to be noticed all the same.
            Change::Link(link) => {
                if self.take(link) {
                    self.look_now();
                }
            }
            Change::Gone(index) => {
                if self.forget(index) {
                    self.look_now();
                }
            }
            Change::Address { index, address, there } => {
                if self.table.address(index, address, there) {
                    self.look_soon();
                }
            }
            Change::LearnedRoute => self.look_soon(),
            Change::Neighbour(index) => {
                if self.interfaces.get(&index).is_some_and(Running::is_silent) {
                    self.look_soon();
                }
            }
            Change::Lost => {
                log::warn!("the kernel had more changes of links than fit: all are asked for again");
                self.look_soon();
            }
        }
    }

    /// The link is gone, and all that was made of it; tells whether it was there.
    fn forget(&mut self, index: u32) -> bool {
        self.left_alone.remove(&index);
        self.interfaces.remove(&index);
        let Some(entry) = self.table.get(index) else { return false };
        log::info!("{} is gone", entry.link);
        self.table.gone(index)
    }

    /// Takes a link into the table; tells whether anything has changed.
    fn take(&mut self, link: Link) -> bool {
        if self.left_alone.contains(&link.index) {
            return false;
        }
        let (index, known) = (link.index, self.table.get(link.index).is_some());
        if !known {
            let ours =
                link.kind != Kind::Port || self.which == Which::AnyEthernet || cards::has_device(&link.name);
            if !ours {
                self.left_alone.insert(index);
                return false;
            }
            log::info!(
                "{link} is {}",
                match link.kind {
                    Kind::Port => "a port",
                    Kind::Bond { .. } => "a bond",
                    Kind::Vlan { .. } => "a VLAN",
                }
            );
        }
        let (name, carrier, text) = (link.name.clone(), link.carrier, link.to_string());
        let had_carrier = self.table.get(index).is_some_and(|entry| entry.link.carrier);
        match self.table.link(link, || cards::card(&name)) {
            Ok(Difference::None) => return false,
            Ok(Difference::Void) => {
                if let Some(running) = self.interfaces.get_mut(&index) {
                    running.forget();
                }
            }
            Ok(Difference::Some) => {}
            Err(error) => {
                log::warn!("{error}");
                self.left_alone.insert(index);
                return false;
            }
        }
        if carrier && !had_carrier {
            log::info!("{text} has carrier");
        } else if had_carrier && !carrier {
            log::info!("{text} has no carrier: its lease is dropped");
        }
        true
    }

    /// Brings the kernel in line with settings, links and leases.
    async fn settle(&mut self) -> Result<(), RoleError> {
        let planned = self.arrange().await?;
        self.begin_and_end(planned);
        // First what may come in, then the addresses that it would come in to.
        self.guard().await?;
        let learned = self.netlink.learned().await?;
        self.take_addresses().await?;
        let facts: Vec<_> = self
            .interfaces
            .values()
            .filter(|running| running.interface().enabled)
            .filter_map(|running| {
                let routers = learned.iter().filter(|one| one.index == running.index);
                let routers: Vec<_> = routers.map(|Learned { router, .. }| *router).collect();
                Some(running.facts(self.table.get(running.index)?, &routers))
            })
            .collect();
        let (changed, errors) = self.netlink.bring_about(&Wanted::of(&facts)).await;
        self.tell_errors(errors);
        if changed {
            // The kernel's own word for it comes too, but later. The filter has to know which ports share an address.
            self.take_addresses().await?;
            self.look_soon();
        }
        self.show();
        Ok(())
    }

    async fn take_addresses(&mut self) -> Result<(), NetlinkError> {
        let all = self.netlink.addresses().await?;
        self.table.forget_addresses();
        for (index, address) in all {
            self.table.address(index, address, true);
        }
        Ok(())
    }

    /// Makes, changes and removes links until they are as planned, and gives the plan.
    async fn arrange(&mut self) -> Result<Vec<Planned>, RoleError> {
        let mut failed = Vec::new();
        for round in 0.. {
            let links = self.netlink.links().await?;
            let gone = self
                .table
                .indexes()
                .into_iter()
                .filter(|index| links.iter().all(|link| link.index != *index));
            for index in gone.collect::<Vec<_>>() {
                self.forget(index);
            }
            for link in links {
                self.take(link);
            }
            let links: Vec<Link> = self.table.entries().map(|entry| entry.link.clone()).collect();
            let mut planned = plan(self.commit.in_force(), self.keep.board(), &self.found(), &links);
            for one in
                planned.iter_mut().filter(|one| self.barred && one.interface.roles.only(PortRole::Uplink))
            {
                // Down, so that not even the kernel sends what a dead process has left.
                one.interface.enabled = false;
            }
            self.learn_sizes(&mut planned, &links);
            let mut steps = arrange::steps(&planned, &links);
            steps.retain(|step| !failed.contains(step));
            if steps.is_empty() || round >= ROUNDS_MOST {
                return Ok(planned);
            }
            // IPv6 has to be as it is set before a link comes up: its first address is made then.
            for one in &planned {
                if let Some(link) = one.link(&links).filter(|link| !link.up) {
                    sysctl::set_link(&link.name, &one.interface.ipv6, self.keep.secret());
                }
            }
            for step in steps {
                if let Err(error) = self.netlink.arrange(&step).await {
                    if !error.is_gone() {
                        self.tell_errors(vec![error]);
                    }
                    failed.push(step);
                }
            }
        }
        Ok(Vec::new())
    }

    /// A lease may say how large packets can be, where nothing is set.
    fn learn_sizes(&self, planned: &mut [Planned], links: &[Link]) {
        for one in planned.iter_mut().filter(|one| one.mtu.is_none()) {
            let running = one.link(links).and_then(|link| self.interfaces.get(&link.index));
            one.mtu = running.and_then(|running| running.lease.as_ref()?.0.mtu()).map(u32::from);
        }
    }

    fn found(&self) -> Vec<Found> {
        let ports = self.table.entries().filter(|entry| entry.link.kind == Kind::Port);
        ports
            .filter_map(|entry| {
                Some(Found {
                    index: entry.link.index,
                    mac: MacAddress::try_from(entry.link.permanent_mac).ok()?,
                    pci: entry.card.pci.parse().ok(),
                })
            })
            .collect()
    }

    /// Interfaces come and go with the plan, and their clients with the carrier.
    fn begin_and_end(&mut self, planned: Vec<Planned>) {
        let mut there = HashSet::new();
        let host_name = host_name(self.commit.in_force(), &self.table);
        for planned in planned {
            let links: Vec<Link> = self.table.entries().map(|entry| entry.link.clone()).collect();
            let Some(link) = planned.link(&links) else { continue };
            there.insert(link.index);
            let before = self.interfaces.get_mut(&link.index);
            match before {
                Some(running) if running.learns_alike(&planned.interface) && running.name == link.name => {
                    running.planned = planned;
                }
                before => {
                    // What was learned with other settings is learned anew, and the lease is somebody else's to have.
                    if let Some((lease, _)) = before.and_then(|running| running.lease.take())
                        && let Err(error) = client::release(link, &lease)
                    {
                        log::debug!("{link}: the lease is not given back: {error}");
                    }
                    let running = Running::new(planned, link.index, link.name.clone());
                    sysctl::set_link(&link.name, &running.interface().ipv6, self.keep.secret());
                    self.interfaces.insert(link.index, running);
                }
            }
            let Some(running) = self.interfaces.get_mut(&link.index) else { continue };
            let works = link.carrier && running.interface().enabled;
            if !works && running.has_learned() {
                running.forget();
            }
            if works
                && running.client.is_none()
                && let Some(mode) = running.mode(&host_name, running.had)
            {
                self.clients += 1;
                let task = tokio::spawn(client::run(link.clone(), mode, self.clients, self.tell.clone()));
                running.client = Some((Task(task.abort_handle()), self.clients));
            }
            if works && running.is_service() && running.service_client.is_none() {
                self.clients += 1;
                let mode = Mode::Static { address: dhcp_server::ADDRESS };
                let task = tokio::spawn(client::run(link.clone(), mode, self.clients, self.tell.clone()));
                running.service_client = Some((Task(task.abort_handle()), self.clients));
            }
            if works && running.service_usable && running.server.is_none() {
                let task = tokio::spawn(dhcp_server::run(link.clone(), self.tell_served.clone()));
                running.server = Some(Task(task.abort_handle()));
            }
        }
        self.interfaces.retain(|index, _| there.contains(index));
    }

    /// Sets what may come in by which port.
    async fn guard(&mut self) -> Result<(), RoleError> {
        let ports: Vec<PortPolicy> = self
            .interfaces
            .values()
            .filter(|running| running.interface().enabled)
            .map(|running| PortPolicy {
                name: running.name.clone(),
                index: running.index,
                management: running.roles().contains(PortRole::Management),
                uplink: running.roles().contains(PortRole::Uplink),
                array: running.roles().contains(PortRole::Array),
                service: running.roles().contains(PortRole::Service),
                shared: self.table.shared(running.index),
                barred: if self.barred { BRIDGE.map(Role::uid).to_vec() } else { Vec::new() },
            })
            .collect();
        let policy = Policy { ports };
        if self.policy.as_ref() != Some(&policy) {
            self.filter.apply(&policy)?;
            self.policy = Some(policy);
            self.talked_to.clear();
        }
        let silent: Vec<u32> = self
            .interfaces
            .values()
            .filter(|running| running.is_silent())
            .map(|running| running.index)
            .collect();
        for index in silent {
            let mut neighbours = self.netlink.neighbours(index).await?;
            neighbours.sort_unstable();
            neighbours.dedup();
            if self.talked_to.get(&index) != Some(&neighbours) {
                self.filter.set_talked_to(index, &neighbours)?;
                self.talked_to.insert(index, neighbours);
            }
        }
        Ok(())
    }

    fn follow(&mut self, order: Order) {
        let now = std::time::Instant::now();
        // Whoever asked may have gone meanwhile: then nobody takes the answer.
        match order {
            Order::Status(answer) => drop(answer.send(self.status())),
            Order::Settings(answer) => drop(answer.send(self.commit.in_force().clone())),
            Order::Change(settings, answer) => drop(answer.send(self.propose(*settings))),
            Order::Confirm(id, answer) => {
                let kept = match self.commit.confirm(id, now) {
                    Ok(settings) => self.keep.save(settings),
                    Err(error) => {
                        log::warn!("{error}");
                        false
                    }
                };
                if kept {
                    self.commit.kept();
                    log::info!("the change of the network is confirmed and kept");
                }
                let _ = answer.send(kept);
            }
            Order::Bar(barred, answer) => {
                if self.barred != barred {
                    self.barred = barred;
                    if barred {
                        log::error!("the uplink is barred: nothing of the bridge's leaves by any port");
                    } else {
                        log::info!("the uplink is barred no more");
                    }
                    self.look_now();
                }
                let _ = answer.send(true);
            }
            Order::Revert(id, answer) => {
                let reverted = self.commit.revert(id).is_ok();
                if reverted {
                    log::info!("the change of the network is taken back, as was asked");
                    self.look_now();
                }
                let _ = answer.send(reverted);
            }
        }
    }

    fn propose(&mut self, settings: NetworkSettings) -> Result<PendingChange, Vec<FieldError>> {
        settings.check()?;
        let id = system::random_number().map_err(|error| {
            vec![FieldError::new(
                "(all)",
                format!("the kernel gives no random number: {error}"),
                "another try",
            )]
        })?;
        let (id, seconds) = (ChangeId(id), settings.confirm_seconds);
        let until = std::time::Instant::now() + Duration::from_secs(u64::from(seconds));
        log::info!(
            "the network is changed; unless it is confirmed within {seconds} s, the change is taken back"
        );
        self.commit.propose(id, settings, until);
        self.look_now();
        Ok(PendingChange { id, seconds })
    }

    fn status(&self) -> NetworkStatus {
        let pending = self.commit.pending(std::time::Instant::now()).map(|(id, left)| PendingChange {
            id,
            seconds: u16::try_from(left.as_secs()).unwrap_or(u16::MAX),
        });
        let running: Vec<&Running> = self.interfaces.values().collect();
        let servers = in_order(&running).into_iter().flat_map(|one| {
            let name = one.interface().name.to_string();
            one.name_servers().into_iter().map(move |server| (server, name.clone()))
        });
        self.outlook.status(self.ports(), pending, servers.collect(), self.keep.remarks())
    }

    fn ports(&self) -> Vec<Port> {
        let ports = self.table.entries().map(|entry| {
            let megabits = cards::megabits(&entry.link.name);
            match self.interfaces.get(&entry.link.index) {
                Some(running) => running.shown(entry, megabits),
                None => shown(entry, megabits),
            }
        });
        ports.collect()
    }

    /// Tells the rest of the role what has become of the ports.
    fn show(&self) {
        let host_name = host_name(self.commit.in_force(), &self.table);
        let running: Vec<&Running> = self.interfaces.values().collect();
        self.outlook.show(self.ports(), &host_name, self.commit.in_force(), &running, &self.table);
    }

    /// Says what has failed, each once until it works again, and tries again later.
    fn tell_errors(&mut self, errors: Vec<NetlinkError>) {
        if errors.is_empty() {
            self.told.clear();
            return;
        }
        for error in errors {
            let sentence = error.to_string();
            if self.told.len() < 64 && self.told.insert(sentence.clone()) {
                log::warn!("{sentence}; it is tried again in {} s", AGAIN_AFTER.as_secs());
            }
        }
        self.look_by(Instant::now() + AGAIN_AFTER);
    }
}
