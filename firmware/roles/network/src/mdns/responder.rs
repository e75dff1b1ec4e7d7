//! The machines' sockets and clock: a socket for each port and family. It never opens one on a port that it was not given.

use super::machine::{Family, MDNS_PORT, Machine, Outgoing, To};
use super::message::MESSAGE_BYTES;
use super::records::{Service, host_label};
use crate::system::random_number;
use drawbridge_bus::message::PORTS_MOST;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// As the standard wants it, though nobody checks it any more (RFC 6762, section 11).
const HOPS: u32 = 255;
/// Messages that wait to be looked at, of all ports together. A flood loses the rest.
const QUEUE: usize = 16;
/// How long a message may wait to be sent. UDP waits for nobody but a full queue of the card.
const SEND_PATIENCE: Duration = Duration::from_millis(100);
/// When sockets that could not be opened are tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// A port on which the system is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdnsPort {
    /// The kernel's number for it.
    pub index: u32,
    /// The kernel's name.
    pub name: String,
    /// Its addresses with the lengths of their prefixes: single answers go to its own networks only.
    pub addresses: Vec<(IpAddr, u8)>,
}

struct Heard {
    index: u32,
    from: SocketAddr,
    bytes: Vec<u8>,
}

/// A socket, and the task that reads it.
struct Listener {
    socket: Arc<UdpSocket>,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Open {
    port: MdnsPort,
    machine: Machine,
    listeners: [Option<Listener>; 2],
    complained: bool,
}

/// Announces `service` under `host_name` on the ports that are given, for as long as there is somebody who gives them: when
/// the sender is dropped it says goodbye and returns. Dropped itself, it is silent, and the records live on elsewhere for
/// up to 75 minutes.
pub async fn run(mut ports: watch::Receiver<Vec<MdnsPort>>, host_name: &str, service: &Service) {
    let (sender, mut heard) = mpsc::channel(QUEUE);
    let mut responder = Responder {
        label: host_label(host_name),
        service,
        attempt: 1,
        start: Instant::now(),
        open: BTreeMap::new(),
        sender,
    };
    loop {
        let wanted = ports.borrow_and_update().clone();
        responder.set_ports(&wanted).await;
        let again = sleep(AGAIN);
        tokio::pin!(again);
        loop {
            tokio::select! {
                changed = ports.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return responder.set_ports(&[]).await,
                },
                Some(heard) = heard.recv() => responder.receive(&heard).await,
                () = responder.due() => responder.tick().await,
                () = &mut again => break,
            }
        }
    }
}

struct Responder<'a> {
    label: String,
    service: &'a Service,
    /// Which name it is: the first, or the one with that number. The same on all ports.
    attempt: u32,
    start: Instant,
    open: BTreeMap<u32, Open>,
    sender: mpsc::Sender<Heard>,
}

impl Responder<'_> {
    async fn set_ports(&mut self, wanted: &[MdnsPort]) {
        let now = self.start.elapsed();
        let wanted: BTreeMap<u32, &MdnsPort> = wanted
            .iter()
            .filter(|port| !port.addresses.is_empty())
            .take(PORTS_MOST)
            .map(|port| (port.index, port))
            .collect();
        let gone: Vec<u32> = self.open.keys().filter(|index| !wanted.contains_key(index)).copied().collect();
        for index in gone {
            if let Some(open) = self.open.remove(&index) {
                open.send(open.machine.goodbye()).await;
            }
        }
        for (index, port) in wanted {
            let open = self.open.entry(index).or_insert_with(|| Open {
                port: port.clone(),
                machine: Machine::new(
                    &self.label,
                    self.attempt,
                    self.service,
                    &port.addresses,
                    now,
                    random_number().unwrap_or(u64::from(index)),
                ),
                listeners: [None, None],
                complained: false,
            });
            let farewell = open.machine.set_addresses(&port.addresses, now);
            open.send(farewell).await;
            open.port = port.clone();
            open.listen(&self.sender);
        }
        self.tick().await;
    }

    /// When the next machine has something to do.
    async fn due(&self) {
        match self.open.values().filter_map(|open| open.machine.due()).min() {
            Some(due) => sleep_until(self.start + due).await,
            None => std::future::pending().await,
        }
    }

    async fn tick(&mut self) {
        let now = self.start.elapsed();
        for open in self.open.values_mut() {
            let outgoing = open.machine.tick(now);
            open.send(outgoing).await;
        }
    }

    async fn receive(&mut self, heard: &Heard) {
        // Two of our ports on one link hear each other, and each has its own addresses to tell.
        let own = |open: &Open| open.port.addresses.iter().any(|(address, _)| *address == heard.from.ip());
        if self.open.values().any(own) {
            return;
        }
        let now = self.start.elapsed();
        let Some(open) = self.open.get_mut(&heard.index) else { return };
        let outgoing = open.machine.receive(heard.from, &heard.bytes, now);
        open.send(outgoing).await;
        if !open.machine.name_is_taken() {
            return;
        }
        let (port, name) = (open.port.name.clone(), open.machine.host_name());
        // Past the last number it begins anew: nobody has that many.
        self.attempt = self.attempt.checked_add(1).unwrap_or(1);
        for open in self.open.values_mut() {
            let farewell = open.machine.rename(self.attempt, now);
            open.send(farewell).await;
        }
        let new = self.open.get(&heard.index).map(|open| open.machine.host_name()).unwrap_or_default();
        log::warn!(
            "{port}: {} has the name {name} already: this system asks for {new} instead",
            heard.from.ip()
        );
    }
}

impl Open {
    /// Opens the sockets that its addresses need, and closes the others.
    fn listen(&mut self, sender: &mpsc::Sender<Heard>) {
        for family in Family::ALL {
            let wanted = self.port.addresses.iter().any(|(address, _)| Family::of(*address) == family);
            let listener = &mut self.listeners[family as usize];
            if !wanted || listener.as_ref().is_some_and(|listener| listener.task.is_finished()) {
                *listener = None;
            }
            if wanted && listener.is_none() {
                match socket(&self.port, family) {
                    Ok(socket) => {
                        let socket = Arc::new(socket);
                        let task = tokio::spawn(read(self.port.index, Arc::clone(&socket), sender.clone()));
                        *listener = Some(Listener { socket, task });
                        self.complained = false;
                    }
                    Err(error) if self.complained => log::debug!("{}: no mDNS yet: {error}", self.port.name),
                    Err(error) => {
                        self.complained = true;
                        log::warn!("{}: this system cannot be announced by mDNS: {error}", self.port.name);
                    }
                }
            }
        }
    }

    async fn send(&self, outgoing: Vec<Outgoing>) {
        for Outgoing { to, bytes } in outgoing {
            let (family, to) = match to {
                To::Group(Family::V4) => (Family::V4, SocketAddr::from((GROUP_V4, MDNS_PORT))),
                To::Group(Family::V6) => {
                    (Family::V6, SocketAddrV6::new(GROUP_V6, MDNS_PORT, 0, self.port.index).into())
                }
                To::Host(to) => (Family::of(to.ip()), to),
            };
            let Some(listener) = &self.listeners[family as usize] else { continue };
            match timeout(SEND_PATIENCE, listener.socket.send_to(&bytes, to)).await {
                Ok(Ok(_)) => {}
                // No carrier, no address yet: whoever wants to know asks again.
                Ok(Err(error)) => log::debug!("{}: mDNS to {to} is lost: {error}", self.port.name),
                Err(_) => log::debug!("{}: mDNS to {to} is lost: the queue is full", self.port.name),
            }
        }
    }
}

async fn read(index: u32, socket: Arc<UdpSocket>, sender: mpsc::Sender<Heard>) {
    // One byte more than there may be: what is too long is seen to be.
    let mut buffer = vec![0; MESSAGE_BYTES + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                // Full means a flood: to lose some of it is the best.
                let _ = sender.try_send(Heard { index, from, bytes: buffer[..length].to_vec() });
                tokio::task::yield_now().await;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {} // an ICMP error of what was sent
            Err(error) => {
                log::debug!("port {index}: {error}");
                return; // opened again by the next look at the ports
            }
        }
    }
}

fn socket(port: &MdnsPort, family: Family) -> io::Result<UdpSocket> {
    let (domain, group) = match family {
        Family::V4 => (Domain::IPV4, SocketAddr::from((GROUP_V4, MDNS_PORT))),
        Family::V6 => (Domain::IPV6, SocketAddrV6::new(GROUP_V6, MDNS_PORT, 0, port.index).into()),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(port.name.as_bytes()))?;
    match family {
        Family::V4 => {
            socket.set_multicast_ttl_v4(HOPS)?;
            socket.set_ttl_v4(HOPS)?;
            socket.set_multicast_loop_v4(false)?;
            socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(port.index))?;
        }
        Family::V6 => {
            socket.set_only_v6(true)?;
            socket.set_multicast_hops_v6(HOPS)?;
            socket.set_unicast_hops_v6(HOPS)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_if_v6(port.index)?;
            socket.join_multicast_v6(&GROUP_V6, port.index)?;
        }
    }
    // To the group's address, not to any: a message to this host alone never gets here, however it came to the link.
    socket.bind(&group.into())?;
    UdpSocket::from_std(socket.into())
}
