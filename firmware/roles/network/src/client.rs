//! The DHCP client of one port with carrier: smoltcp's state machine over a raw socket. It never sets an address.
//!
//! ```text
//!   carrier ──► Discovering ──offer──► Requesting ──ack──► leased ──half of the time──► Renewing
//!                  ▲  ▲                    │ no answer        │  ▲─────────ack──────────────┘ │
//!                  │  └────────────────────┘                  │                               │
//!                  └───────────── refused by the server, or the time is over ◄────────────────┘
//! ```
//! It ends when its task is dropped (the carrier is lost) or when the socket fails (the port is gone).

use crate::frame::{Verdict, judge};
use crate::lease::{Lease, Refusal};
use crate::ports::Link;
use crate::system::{self, FRAME_BYTES};
use futures_util::FutureExt as _;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant as ClientInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Cidr};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The first wait for an offer. A switch that has just seen the link come up may forward nothing for a while, so the
/// first question is often lost.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);
/// The longest wait for an offer (RFC 2131, section 4.1: 64 s).
const LAST_PATIENCE: Duration = Duration::from_secs(64);
/// Frames taken in before other ports get their turn.
const FRAMES_A_TURN: usize = 64;
/// The longest sleep: a lease may be for ever.
const LONGEST_SLEEP: Duration = Duration::from_hours(24);
/// How often the same refusal is logged at most.
const REFUSAL_EVERY: Duration = Duration::from_mins(10);

/// What the client of a port has to say.
#[derive(Debug)]
pub(crate) enum News {
    /// The lease is this one, or this one again.
    Leased(Lease),
    /// There is no lease any more: its time is over, or the server has taken it back.
    Lost,
    /// The client cannot go on.
    Failed(io::Error),
}

/// Runs the client of `link` until its socket fails. Its news go to `news`.
pub(crate) async fn run(link: Link, news: mpsc::Sender<(u32, News)>) {
    let index = link.index;
    // A panic in here is a fault of this port's client: the other ports go on, and this one is begun again.
    let end = AssertUnwindSafe(client(&link, &news)).catch_unwind().await;
    if let Err(error) = end.unwrap_or_else(|_| Err(io::Error::other("it panicked"))) {
        // A role that does not listen any more is about to end.
        let _ = news.send((index, News::Failed(error))).await;
    }
}

async fn client(link: &Link, news: &mpsc::Sender<(u32, News)>) -> io::Result<()> {
    let socket = Arc::new(system::packet_socket(link.index)?);
    let mut client = Client::new(link.clone(), Arc::clone(&socket))?;
    loop {
        client.send_out();
        for said in client.news.drain(..) {
            let _ = news.send((link.index, said)).await;
        }
        if let Some(error) = client.device.failure.take() {
            return Err(error);
        }
        tokio::select! {
            ready = socket.readable() => {
                let mut ready = ready?;
                if client.take_in() {
                    ready.clear_ready();
                }
            }
            () = tokio::time::sleep(client.sleep()) => {}
        }
    }
}

struct Client {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    device: PortDevice,
    start: Instant,
    lease: Option<Lease>,
    news: Vec<News>,
    patience: Duration,
    /// How often in a row a renewal was due and could not be sent, because the server does not answer to ARP.
    futile: u32,
}

impl Client {
    fn new(link: Link, socket: Arc<AsyncFd<OwnedFd>>) -> io::Result<Self> {
        let mac = EthernetAddress(link.mac);
        let mut device = PortDevice::new(link, socket);
        let mut config = Config::new(HardwareAddress::Ethernet(mac));
        // Transaction numbers come from it: whoever cannot see our questions cannot answer them.
        config.random_seed = system::random_number()?;
        let interface = Interface::new(config, &mut device, ClientInstant::ZERO);
        let mut dhcp = dhcpv4::Socket::new();
        // With a buffer, even an empty one, each acknowledgement is reported, and not only those with a new address: a
        // renewed lease has a new end.
        dhcp.set_receive_packet_buffer(&mut []);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(dhcp);
        Ok(Self {
            interface,
            sockets,
            handle,
            device,
            start: Instant::now(),
            lease: None,
            news: Vec::new(),
            patience: FIRST_PATIENCE,
            futile: 0,
        })
    }

    fn now(&self) -> ClientInstant {
        ClientInstant::from_millis(i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// Takes in frames, and tells whether there are no more.
    fn take_in(&mut self) -> bool {
        for _ in 0..FRAMES_A_TURN {
            let now = self.now();
            let result = self.interface.poll_ingress_single(now, &mut self.device, &mut self.sockets);
            if result == PollIngressSingleResult::None {
                return true;
            }
            self.hear();
        }
        false
    }

    /// Sends what is due.
    fn send_out(&mut self) {
        let now = self.now();
        let due = self.interface.poll_at(now, &self.sockets).is_some_and(|at| at <= now);
        let sent = self.device.sent;
        let dhcp = self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.handle);
        let mut retry = dhcp.get_retry_config();
        retry.discover_timeout = self.patience.into();
        dhcp.set_retry_config(retry);
        self.interface.poll_egress(now, &mut self.device, &mut self.sockets);
        if self.device.sent > sent {
            self.futile = 0;
            if self.lease.is_none() {
                self.patience = (self.patience * 2).min(LAST_PATIENCE);
            }
        } else if due {
            self.futile += 1;
        }
        self.hear();
    }

    /// Hears what the DHCP client has come to.
    fn hear(&mut self) {
        let acknowledged = self.device.lease.take();
        let dhcp = self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.handle);
        match dhcp.poll() {
            None => {}
            Some(dhcpv4::Event::Configured(config)) => {
                let Some(lease) = acknowledged
                    .filter(|lease| config.address == Ipv4Cidr::new(lease.address(), lease.prefix()))
                else {
                    return;
                };
                let address = config.address;
                self.patience = FIRST_PATIENCE;
                self.interface.update_ip_addrs(|addresses| {
                    addresses.clear();
                    // There is room for one at least, and there is none now.
                    let _ = addresses.push(IpCidr::Ipv4(address));
                });
                let routes = self.interface.routes_mut();
                routes.remove_default_ipv4_route();
                if let Some(router) = lease.router() {
                    // Likewise.
                    let _ = routes.add_default_ipv4_route(router);
                }
                self.lease = Some(lease);
                self.news.push(News::Leased(lease));
            }
            Some(dhcpv4::Event::Deconfigured) => {
                self.interface.update_ip_addrs(|addresses| addresses.truncate(0));
                self.interface.routes_mut().remove_default_ipv4_route();
                // The first event of all says that there is no lease yet: no news.
                if self.lease.take().is_some() {
                    self.news.push(News::Lost);
                }
            }
        }
    }

    /// How long there is nothing to send.
    fn sleep(&mut self) -> Duration {
        let now = self.now();
        let wait = self
            .interface
            .poll_at(now, &self.sockets)
            .map_or(LONGEST_SLEEP, |at| if at <= now { Duration::ZERO } else { (at - now).into() });
        // A server that is away is asked for by ARP once a second from half of the lease on, for hours: less and less
        // often is enough.
        let least =
            if self.futile == 0 { Duration::ZERO } else { Duration::from_secs(1 << self.futile.min(6)) };
        wait.clamp(least, LONGEST_SLEEP)
    }
}

/// The port as smoltcp sees it. What is wrong with the socket is kept in `failure`, and the wire is then silent.
struct PortDevice {
    link: Link,
    socket: Arc<AsyncFd<OwnedFd>>,
    /// The lease in the frame that was handed over last.
    lease: Option<Lease>,
    /// How many DHCP messages were sent.
    sent: u64,
    failure: Option<io::Error>,
    refused: Option<(Refusal, Instant)>,
}

impl PortDevice {
    fn new(link: Link, socket: Arc<AsyncFd<OwnedFd>>) -> Self {
        Self { link, socket, lease: None, sent: 0, failure: None, refused: None }
    }

    fn log(&mut self, refusal: Refusal) {
        let again = self
            .refused
            .as_ref()
            .is_some_and(|(before, at)| *before == refusal || at.elapsed() < Duration::from_secs(10));
        if !again || self.refused.as_ref().is_some_and(|(_, at)| at.elapsed() >= REFUSAL_EVERY) {
            log::warn!("{}: {refusal}", self.link);
            self.refused = Some((refusal, Instant::now()));
        }
    }
}

impl Device for PortDevice {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: ClientInstant) -> Option<(Frame, Sender<'_>)> {
        let mut buffer = vec![0; FRAME_BYTES];
        // The kernel's filter has let these through: few, unless somebody floods the port. The bound gives others a turn.
        for _ in 0..FRAMES_A_TURN {
            let length = match system::receive(self.socket.get_ref(), &mut buffer) {
                Ok(Some(length)) => length,
                Ok(None) => return None,
                Err(error) => {
                    self.failure.get_or_insert(error);
                    return None;
                }
            };
            let verdict = judge(&mut buffer[..length], self.link.mac);
            self.lease = None;
            match verdict {
                Verdict::Drop => continue,
                Verdict::Refuse(refusal) => {
                    self.log(refusal);
                    continue;
                }
                Verdict::Pass => {}
                Verdict::Lease(lease) => self.lease = Some(lease),
            }
            buffer.truncate(length);
            return Some((Frame(buffer), Sender(self)));
        }
        // An empty frame: nothing came of this turn, and there may be more.
        Some((Frame(Vec::new()), Sender(self)))
    }

    fn transmit(&mut self, _: ClientInstant) -> Option<Sender<'_>> {
        Some(Sender(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut checksums = ChecksumCapabilities::default();
        // A sender on the same host leaves checksums to hardware that is not there. What was broken on the wire does
        // not arrive: Ethernet has its own.
        checksums.ipv4 = Checksum::Tx;
        checksums.udp = Checksum::Tx;
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities.checksum = checksums;
        capabilities
    }
}

struct Frame(Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Sender<'a>(&'a mut PortDevice);

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        let ip = frame.get(12..14) == Some(&[0x08, 0x00]);
        match system::transmit(self.0.socket.get_ref(), &frame) {
            Ok(()) => self.0.sent += u64::from(ip),
            Err(error) => {
                self.0.failure.get_or_insert(error);
            }
        }
        result
    }
}
