//! The role's one loop: the kernel's changes, the clients' news and the bus come together here. It never blocks on any
//! of them.

use crate::client::{self, News};
use crate::lease::Lease;
use crate::netlink::{Change, Changes, Netlink, NetlinkError};
use crate::ports::{Link, Step, Table};
use drawbridge_bus::Port;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The wait before something that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Which links are ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Those with a device behind them: cards, virtual ones among them.
    Hardware,
    /// All Ethernet links but loopback. Tests run on pairs of virtual cables.
    AnyEthernet,
}

/// What is to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    SwitchOn(u32),
    Begin(u32),
    Apply(u32),
}

/// The ports of this machine.
pub(crate) struct Ports {
    kind: Kind,
    netlink: Netlink,
    changes: Changes,
    table: Table,
    clients: HashMap<u32, Running>,
    news: mpsc::Receiver<(u32, News)>,
    tell: mpsc::Sender<(u32, News)>,
    again: BTreeMap<(Instant, u64), Again>,
    counter: u64,
    left_alone: HashSet<u32>,
    shown: watch::Sender<Vec<Port>>,
}

struct Running {
    task: AbortHandle,
    lease: Option<Lease>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ports {
    /// Takes over the ports that are there.
    pub(crate) async fn open(kind: Kind) -> Result<Self, NetlinkError> {
        let (netlink, changes) = Netlink::open()?;
        let (tell, news) = mpsc::channel(16);
        let mut ports = Self {
            kind,
            netlink,
            changes,
            table: Table::default(),
            clients: HashMap::new(),
            news,
            tell,
            again: BTreeMap::new(),
            counter: 0,
            left_alone: HashSet::new(),
            shown: watch::Sender::default(),
        };
        ports.ask_for_all().await?;
        Ok(ports)
    }

    /// The ports as they are now, and each time they change.
    pub(crate) fn shown(&self) -> watch::Receiver<Vec<Port>> {
        self.shown.subscribe()
    }

    /// Handles the ports until the kernel's socket fails.
    pub(crate) async fn run(mut self) -> NetlinkError {
        loop {
            let next = self.again.first_key_value().map(|((at, _), _)| *at);
            let wait = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                change = self.changes.next() => match change {
                    Some(Change::Lost) => {
                        log::warn!("the kernel had more changes of links than fit: all are asked for again");
                        if let Err(error) = self.ask_for_all().await {
                            return error;
                        }
                    }
                    Some(change) => self.change(change).await,
                    None => return NetlinkError::Ended,
                },
                news = self.news.recv() => {
                    if let Some((index, news)) = news {
                        self.hear(index, news).await;
                    }
                }
                () = wait => {
                    if let Some((_, again)) = self.again.pop_first() {
                        self.retry(again).await;
                    }
                }
            }
            self.show();
        }
    }

    fn show(&self) {
        let ports = self.table.ports();
        self.shown.send_if_modified(|shown| {
            let different = *shown != ports;
            if different {
                *shown = ports;
            }
            different
        });
    }

    /// Brings the table in line with what the kernel has.
    async fn ask_for_all(&mut self) -> Result<(), NetlinkError> {
        let links = self.netlink.links().await?;
        let gone: Vec<_> = (self.table.indexes().into_iter())
            .filter(|index| links.iter().all(|link| link.index != *index))
            .collect();
        for index in gone {
            self.change(Change::Gone(index)).await;
        }
        for link in links {
            self.change(Change::Link(link)).await;
        }
        self.table.forget_addresses();
        for (index, address) in self.netlink.addresses().await? {
            self.table.address(index, address, true);
        }
        self.show();
        Ok(())
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::Link(link) => self.link(link).await,
            Change::Gone(index) => {
                if let Some(link) = self.table.get(index) {
                    log::info!("{link} is gone");
                }
                self.left_alone.remove(&index);
                let steps = self.table.gone(index);
                self.follow(steps).await;
            }
            Change::Address { index, address, there } => self.table.address(index, address, there),
            Change::Lost => {}
        }
    }

    async fn link(&mut self, link: Link) {
        let known = self.table.get(link.index);
        if known == Some(&link) || self.left_alone.contains(&link.index) {
            return;
        }
        if known.is_none() {
            if self.kind == Kind::Hardware && !has_device(&link.name) {
                self.left_alone.insert(link.index);
                return;
            }
            log::info!("{link} is a port");
        }
        let (index, name) = (link.index, link.name.clone());
        match self.table.link(link, || driver(&name)) {
            Ok(steps) => self.follow(steps).await,
            Err(error) => {
                log::warn!("{error}");
                self.left_alone.insert(index);
            }
        }
    }

    async fn follow(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::SwitchOn(index) => self.switch_on(index).await,
                Step::Begin(link) => {
                    log::info!("{link} has carrier");
                    self.begin(link);
                }
                Step::End(index) => self.end(index).await,
            }
        }
    }

    async fn switch_on(&mut self, index: u32) {
        let Err(error) = self.netlink.switch_on(index).await else { return };
        // A port that vanishes goes down first: that it is gone follows.
        if error.is_gone() {
            return;
        }
        if let Some(link) = self.table.get(index) {
            log::warn!("{link}: {error}; it is tried again in {} s", AGAIN_AFTER.as_secs());
            self.later(Again::SwitchOn(index));
        }
    }

    fn begin(&mut self, link: Link) {
        let index = link.index;
        let task = tokio::spawn(client::run(link, self.tell.clone())).abort_handle();
        self.clients.insert(index, Running { task, lease: None });
    }

    /// The cable is out, or the port is gone: nothing of a lease stays.
    async fn end(&mut self, index: u32) {
        self.clients.remove(&index);
        let Some(link) = self.table.get(index) else { return };
        log::info!("{link} has no carrier: its lease is dropped");
        self.clear(index).await;
    }

    async fn clear(&self, index: u32) {
        if let Err(error) = self.netlink.clear(index, None).await
            && let Some(link) = self.table.get(index)
            && !error.is_gone()
        {
            // The address has an end of its own: the kernel removes it with the lease's last second.
            log::warn!("{link}: {error}");
        }
    }

    async fn hear(&mut self, index: u32, news: News) {
        // News that were under way when the carrier went are of no use: the client is not there any more.
        let (Some(link), Some(running)) = (self.table.get(index), self.clients.get_mut(&index)) else {
            return;
        };
        match news {
            News::Leased(lease) => {
                let before = running.lease.replace(lease);
                if before.is_none_or(|before| before.differs_from(&lease)) {
                    log::info!("{link} has {lease}");
                    if let Some(router) = lease.refused_router() {
                        log::warn!(
                            "{link}: the router {router} that {} gives is no other host of {}/{} and is passed over",
                            lease.server(),
                            lease.address(),
                            lease.prefix(),
                        );
                    }
                }
                self.apply(index, lease).await;
            }
            News::Lost => {
                running.lease = None;
                log::warn!("{link}: the lease has ended or was taken back; it asks for another");
                self.clear(index).await;
            }
            News::Failed(error) => {
                log::info!("{link}: the DHCP client stopped: {error}");
                self.clients.remove(&index);
                self.later(Again::Begin(index));
            }
        }
    }

    async fn apply(&mut self, index: u32, lease: Lease) {
        let Err(error) = self.netlink.apply(index, &lease).await else { return };
        if let Some(link) = self.table.get(index) {
            log::warn!("{link}: {error}; it is tried again in {} s", AGAIN_AFTER.as_secs());
            self.later(Again::Apply(index));
        }
    }

    fn later(&mut self, what: Again) {
        self.again.retain(|_, waiting| *waiting != what);
        self.counter += 1;
        self.again.insert((Instant::now() + AGAIN_AFTER, self.counter), what);
    }

    async fn retry(&mut self, again: Again) {
        match again {
            Again::SwitchOn(index) => {
                if self.table.get(index).is_some_and(|link| !link.up) {
                    self.switch_on(index).await;
                }
            }
            Again::Begin(index) => {
                let link = self.table.get(index).filter(|link| link.carrier).cloned();
                if let Some(link) = link.filter(|_| !self.clients.contains_key(&index)) {
                    self.begin(link);
                }
            }
            Again::Apply(index) => {
                if let Some(lease) = self.clients.get(&index).and_then(|running| running.lease) {
                    self.apply(index, lease).await;
                }
            }
        }
    }
}

/// Where the kernel shows a link. Its names hold no `/` (`dev_valid_name`); one that does is shown nowhere.
fn shown_at(name: &str) -> std::path::PathBuf {
    Path::new("/sys/class/net").join(name.replace('/', ""))
}

fn has_device(name: &str) -> bool {
    shown_at(name).join("device").symlink_metadata().is_ok()
}

fn driver(name: &str) -> String {
    let driver = shown_at(name).join("device/driver").read_link();
    driver.ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())).unwrap_or_default()
}
