//! A host on a network, with addresses and a stack of its own (smoltcp). It shares nothing with the machine's own stack.

use super::NetError;
use super::dhcp::{DhcpConfig, DhcpServer, DhcpService};
use super::network::{CableHandle, Core, Network, Signal};
use super::stack::Stack;
use super::switch::PortId;
use super::tcp::{TcpListener, TcpStream};
use super::udp::UdpSocket;
use super::vlan::Vlan;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp;
use smoltcp::wire::{EthernetAddress, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// A description of a host.
#[derive(Debug, Clone)]
pub struct HostConfig {
    name: String,
    mac: EthernetAddress,
    addresses: Vec<IpCidr>,
    gateway4: Option<Ipv4Addr>,
    gateway6: Option<Ipv6Addr>,
    vlan: Option<Vlan>,
}

impl HostConfig {
    /// A host without an address. Its hardware address is derived from its name: `02:4c` and four bytes of a hash.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mac: named_address([0x02, 0x4c], name),
            addresses: Vec::new(),
            gateway4: None,
            gateway6: None,
            vlan: None,
        }
    }

    /// With this IPv4 address and length of the network's prefix (0 to 32).
    #[must_use]
    pub fn ipv4(mut self, address: impl Into<Ipv4Addr>, prefix: u8) -> Self {
        self.addresses.push(IpCidr::new(IpAddress::Ipv4(address.into()), prefix.min(32)));
        self
    }

    /// With this IPv6 address and length of the network's prefix (0 to 128).
    #[must_use]
    pub fn ipv6(mut self, address: impl Into<Ipv6Addr>, prefix: u8) -> Self {
        self.addresses.push(IpCidr::new(IpAddress::Ipv6(address.into()), prefix.min(128)));
        self
    }

    /// With this hardware address.
    #[must_use]
    pub fn mac(mut self, mac: EthernetAddress) -> Self {
        self.mac = mac;
        self
    }

    /// With a router for all other networks.
    #[must_use]
    pub fn gateway(mut self, address: impl Into<IpAddr>) -> Self {
        match address.into() {
            IpAddr::V4(address) => self.gateway4 = Some(address),
            IpAddr::V6(address) => self.gateway6 = Some(address),
        }
        self
    }

    /// In this VLAN (1 to 4094): its frames bear the tag on its cable, and it takes only those that bear it.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Self {
        self.vlan = Some(Vlan::new(id));
        self
    }

    fn stack(&self) -> Stack {
        let seed = self.mac.0.iter().fold(0_u64, |seed, byte| seed << 8 | u64::from(*byte));
        let mut stack = Stack::new(self.mac, seed);
        stack.interface.update_ip_addrs(|addresses| {
            for address in &self.addresses {
                // More than the stack has room for (eight) are left out.
                let _ = addresses.push(*address);
            }
        });
        let routes = stack.interface.routes_mut();
        // A fresh table has room for both.
        self.gateway4.map(|gateway| routes.add_default_ipv4_route(gateway));
        self.gateway6.map(|gateway| routes.add_default_ipv6_route(gateway));
        stack
    }
}

/// A host. Clones are the same host; it stays on its network as long as that lives.
#[derive(Debug, Clone)]
pub struct Host {
    pub(super) network: Network,
    pub(super) index: usize,
    port: PortId,
    name: Arc<str>,
}

impl Network {
    /// Puts a host on the network. It answers ARP, neighbour solicitations and pings from now on.
    pub fn host(&self, config: HostConfig) -> Host {
        let (port, index) = self.add_host(&config.name, config.stack(), config.vlan);
        self.shared.wake();
        Host { network: self.clone(), index, port, name: config.name.into() }
    }
}

impl Host {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its hardware address.
    pub fn mac(&self) -> EthernetAddress {
        self.with(|stack| stack.mac())
    }

    /// Its addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.with(|stack| stack.interface.ip_addrs().iter().map(|cidr| cidr.address().into()).collect())
    }

    /// The cable that connects it.
    pub fn cable(&self) -> CableHandle {
        CableHandle::new(self.network.clone(), self.port)
    }

    /// Connects by TCP. A refusal is told at once.
    pub fn connect(&self, to: impl Into<SocketAddr>, within: Duration) -> Result<TcpStream, NetError> {
        TcpStream::connect(self, to.into(), within)
    }

    /// Accepts TCP connections on a port, on each address.
    pub fn listen(&self, port: u16) -> Result<TcpListener, NetError> {
        TcpListener::new(self, port)
    }

    /// A UDP socket on a port (0: any free one).
    pub fn udp(&self, port: u16) -> Result<UdpSocket, NetError> {
        UdpSocket::new(self, port)
    }

    /// Serves DHCP from now on, as the router that this host's first IPv4 address says it is.
    pub fn serve_dhcp(&self, config: DhcpConfig) -> DhcpServer {
        let signal = Arc::new(Signal::default());
        let notify = Arc::clone(&signal);
        self.with(move |stack| {
            let first = stack.interface.ip_addrs().iter().find_map(|cidr| match cidr {
                IpCidr::Ipv4(cidr) => Some(*cidr),
                IpCidr::Ipv6(_) => None,
            });
            let own = first.unwrap_or_else(|| smoltcp::wire::Ipv4Cidr::new(Ipv4Addr::UNSPECIFIED, 0));
            stack.dhcp = Some(DhcpService::new(config, stack.mac(), own, notify));
        });
        DhcpServer { host: self.clone(), signal }
    }

    /// Sends one echo request (56 bytes, as ping does) and returns how long the answer took.
    pub fn ping(&self, target: impl Into<IpAddr>, within: Duration) -> Result<Duration, NetError> {
        let target = target.into();
        let signal = Arc::new(Signal::default());
        let waker = Waker::from(Arc::clone(&signal));
        let sent = Instant::now();
        let handle = self.with(|stack| {
            let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 8], vec![0; 2048]);
            let identifier = stack.ephemeral_port();
            let mut socket = icmp::Socket::new(buffer(), buffer());
            // A fresh socket and an identifier that is not zero: it cannot fail.
            let _ = socket.bind(icmp::Endpoint::Ident(identifier));
            let source = stack.interface.get_source_address(&target.into());
            let echo = echo_request(identifier, source, target);
            if let Some(echo) = echo {
                let _ = socket.send_slice(&echo, target.into());
            }
            stack.sockets.add(socket)
        });
        let answered = self.network.shared.wait(&signal, within, |core| {
            let socket = core.hosts.get_mut(self.index)?.sockets.get_mut::<icmp::Socket>(handle);
            // Only what bears the identifier comes here; the request itself does not.
            match socket.recv() {
                Ok((packet, from)) if IpAddr::from(from) == target && is_echo_reply(packet) => {
                    Some(sent.elapsed())
                }
                Ok(_) | Err(_) => {
                    socket.register_recv_waker(&waker);
                    None
                }
            }
        });
        self.with(|stack| stack.sockets.remove(handle));
        answered.ok_or(NetError::NoEcho(target, within))
    }

    /// Does something with the stack, and has it polled.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Stack) -> R) -> R {
        let mut core = self.network.shared.lock();
        let stack = self.stack(&mut core);
        let result = act(stack);
        stack.touch();
        drop(core);
        self.network.shared.wake();
        result
    }

    /// The stack, for who has the lock already.
    pub(super) fn stack<'core>(&self, core: &'core mut Core) -> &'core mut Stack {
        // Hosts are never removed.
        &mut core.hosts[self.index]
    }

    pub(super) fn refuse(&self, action: &'static str, why: &impl ToString) -> NetError {
        NetError::Host { host: self.name.to_string(), action, why: why.to_string() }
    }
}

/// A hardware address that follows from a name: two bytes, and four of a hash.
pub(super) fn named_address([first, second]: [u8; 2], name: &str) -> EthernetAddress {
    let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let mut mac = [first, second, 0, 0, 0, 0];
    for (to, from) in mac.iter_mut().skip(2).zip(hash.as_ref()) {
        *to = *from;
    }
    EthernetAddress(mac)
}

const ECHO_DATA: [u8; 56] = [0x6c; 56];

fn echo_request(identifier: u16, source: Option<IpAddress>, target: IpAddr) -> Option<Vec<u8>> {
    let checksums = ChecksumCapabilities::default();
    match (source?, target) {
        (IpAddress::Ipv4(_), IpAddr::V4(_)) => {
            let echo = Icmpv4Repr::EchoRequest { ident: identifier, seq_no: 1, data: &ECHO_DATA };
            let mut bytes = vec![0; echo.buffer_len()];
            echo.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes), &checksums);
            Some(bytes)
        }
        (IpAddress::Ipv6(source), IpAddr::V6(target)) => {
            let echo = Icmpv6Repr::EchoRequest { ident: identifier, seq_no: 1, data: &ECHO_DATA };
            let mut bytes = vec![0; echo.buffer_len()];
            echo.emit(&source, &target, &mut Icmpv6Packet::new_unchecked(&mut bytes), &checksums);
            Some(bytes)
        }
        _ => None,
    }
}

/// The first byte of an ICMP message is its type: 0 in ICMP (RFC 792), 129 in `ICMPv6` (RFC 4443).
fn is_echo_reply(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(0 | 129))
}
