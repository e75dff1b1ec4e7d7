//! The DHCP server against clients that are not ours: smoltcp's, udhcpc, and messages by hand.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::net::{
    DhcpBehaviour, DhcpConfig, DhcpServer, EthernetAddress, Faults, HostConfig, NamespaceConfig, Network, Tap,
};
use drawbridge_lab::{Lab, LabError, seconds};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant as StackTime;
use smoltcp::wire::{DhcpMessageType, Ipv4Cidr};
use std::cell::Cell;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

struct Setting {
    server: DhcpServer,
    network: Network,
    _lab: Lab,
}

fn setting(name: &str, config: DhcpConfig) -> Setting {
    let lab = Lab::new(name);
    let network = Network::new(&lab, "net").unwrap();
    let gateway = network.host(HostConfig::new("gateway").ipv4([10, 0, 0, 1], 24));
    Setting { server: gateway.serve_dhcp(config), network, _lab: lab }
}

fn usual() -> DhcpConfig {
    DhcpConfig::pool([10, 0, 0, 100], 3).dns([10, 0, 0, 53]).lease(Duration::from_mins(2))
}

/// smoltcp's own DHCP client, on a raw connection.
struct Client {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: smoltcp::iface::SocketHandle,
    device: OnTap,
    started: Instant,
}

impl Client {
    fn new(network: &Network, number: u8) -> Self {
        let mac = EthernetAddress([2, 0, 0, 0, 0, number]);
        let mut device = OnTap(network.tap(&format!("client {number}")), Cell::new(None));
        let interface = Interface::new(Config::new(mac.into()), &mut device, StackTime::ZERO);
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(dhcpv4::Socket::new());
        Self { interface, sockets, handle, device, started: Instant::now() }
    }

    fn mac(&self) -> EthernetAddress {
        let smoltcp::wire::HardwareAddress::Ethernet(mac) = self.interface.hardware_addr();
        mac
    }

    /// What the server gave, or none within the bound.
    fn configure(&mut self, within: Duration) -> Option<(Ipv4Cidr, Option<Ipv4Addr>, Vec<Ipv4Addr>)> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            let now = StackTime::from_micros(i64::try_from(self.started.elapsed().as_micros()).unwrap());
            self.interface.poll(now, &mut self.device, &mut self.sockets);
            let event = self.sockets.get_mut::<dhcpv4::Socket>(self.handle).poll();
            if let Some(dhcpv4::Event::Configured(config)) = event {
                return Some((config.address, config.router, config.dns_servers.to_vec()));
            }
            let wait = self.interface.poll_delay(now, &self.sockets).map_or(SOON, Duration::from);
            self.device
                .1
                .set(self.device.0.receive(wait.min(deadline.saturating_duration_since(Instant::now()))));
        }
        None
    }
}

struct OnTap(Tap, Cell<Option<std::sync::Arc<[u8]>>>);
struct Received(std::sync::Arc<[u8]>);
struct Sending<'a>(&'a Tap);

impl Device for OnTap {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;
    fn receive(&mut self, _: StackTime) -> Option<(Received, Sending<'_>)> {
        let frame = self.1.take().or_else(|| self.0.receive(Duration::ZERO))?;
        Some((Received(frame), Sending(&self.0)))
    }
    fn transmit(&mut self, _: StackTime) -> Option<Sending<'_>> {
        Some(Sending(&self.0))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, act: F) -> R {
        act(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, act: F) -> R {
        let mut frame = vec![0; length];
        let result = act(&mut frame);
        self.0.send(&frame);
        result
    }
}

#[test]
fn smoltcps_client_gets_address_router_and_dns() {
    let setting = setting("smoltcp's client", usual());
    let mut client = Client::new(&setting.network, 1);
    let (address, router, dns) = client.configure(SOON).unwrap();
    assert_eq!(address.to_string(), "10.0.0.100/24");
    assert_eq!(router, Some(Ipv4Addr::new(10, 0, 0, 1)));
    assert_eq!(dns, [Ipv4Addr::new(10, 0, 0, 53)]);
    assert_eq!(setting.server.wait_for_lease(client.mac(), SOON).unwrap(), address.address());
    let counters = setting.server.counters();
    assert_eq!((counters.discover, counters.offer, counters.request, counters.ack), (1, 1, 1, 1));
    let kinds: Vec<_> = setting.server.seen().into_iter().map(|seen| seen.kind).collect();
    assert_eq!(kinds, [DhcpMessageType::Discover, DhcpMessageType::Request]);
}

#[test]
fn clients_get_addresses_of_their_own_until_the_pool_is_empty() {
    let setting = setting("an empty pool", usual());
    let mut clients: Vec<Client> = (1..=4).map(|number| Client::new(&setting.network, number)).collect();
    let short = Duration::from_millis(300);
    let mut given: Vec<Option<u8>> = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        let configured = client.configure(if number < 3 { SOON } else { short });
        given.push(configured.map(|(address, ..)| address.address().octets()[3]));
    }
    assert_eq!(given, [Some(100), Some(101), Some(102), None]);
    // The same client gets the same address again.
    let mut again = Client::new(&setting.network, 2);
    assert_eq!(again.configure(SOON).unwrap().0.address(), Ipv4Addr::new(10, 0, 0, 101));
    setting.server.forget_leases();
    assert!(setting.server.wait_for_lease(again.mac(), short).is_err());
}

#[test]
fn a_server_that_misbehaves_gives_nothing_and_counts() {
    let setting = setting("a server that misbehaves", usual());
    let short = Duration::from_millis(300);
    for behaviour in [DhcpBehaviour::Silent, DhcpBehaviour::Refuse, DhcpBehaviour::OfferOnly] {
        setting.server.set_behaviour(behaviour);
        let mut client = Client::new(&setting.network, 1);
        assert!(client.configure(short).is_none(), "{behaviour:?}");
        let error = setting.server.wait_for_lease(client.mac(), Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("got no lease") && error.contains("discover"), "{error}");
    }
    let counters = setting.server.counters();
    assert!(counters.discover >= 3 && counters.nak >= 1 && counters.ack == 0, "{counters:?}");
    setting.server.set_behaviour(DhcpBehaviour::Normal);
    Client::new(&setting.network, 1).configure(SOON).unwrap();
}

#[test]
fn a_lease_survives_a_bad_cable() {
    let setting = setting("a lease over a bad cable", usual());
    let mut client = Client::new(&setting.network, 1);
    client.device.0.cable().set_faults(Faults { loss: 0.3, duplicate: 0.3, ..Faults::default() });
    client.configure(Duration::from_mins(2)).unwrap();
}

#[test]
fn noise_on_the_servers_port_is_counted_and_nothing_more() {
    let setting = setting("noise", usual());
    let host = setting.network.host(HostConfig::new("noisy").ipv4([10, 0, 0, 9], 24));
    let socket = host.udp(68).unwrap();
    for length in [0, 1, 239, 240, 241, 300, 1400] {
        socket.send_to(&vec![0x63; length], ([10, 0, 0, 1], 67)).unwrap();
    }
    let counters = setting.server.wait_until(SOON, |counters| counters.malformed >= 7);
    assert!(counters.is_some(), "{:?}", setting.server.counters());
}

#[test]
fn a_rogue_server_that_is_faster_wins() {
    let setting = setting("a rogue server", usual());
    let slow = setting.network.host(HostConfig::new("slow").ipv4([10, 0, 0, 4], 24));
    let slow_server = slow.serve_dhcp(DhcpConfig::pool([10, 0, 0, 200], 3));
    slow.cable().set_faults(Faults::delay(Duration::from_millis(20)));
    let mut client = Client::new(&setting.network, 1);
    assert_eq!(client.configure(SOON).unwrap().0.address(), Ipv4Addr::new(10, 0, 0, 100));
    let asked = slow_server.wait_until(SOON, |counters| counters.request == 1).unwrap();
    assert_eq!((asked.offer, asked.ack), (1, 0), "the request names the other server");
}

#[test]
fn a_client_survives_ten_thousand_hostile_answers() {
    let setting = setting("hostile answers", usual());
    setting.server.set_behaviour(DhcpBehaviour::Silent);
    let attacker = setting.network.attacker("attacker", &[Ipv4Addr::new(10, 0, 0, 66).into()]);
    std::thread::scope(|scope| {
        let attack = scope.spawn(|| attacker.attack_dhcp(1, 10_000, Duration::from_mins(1)));
        let mut client = Client::new(&setting.network, 1);
        while !attack.is_finished() {
            client.configure(Duration::from_millis(200));
        }
        assert_eq!(attack.join().unwrap(), 10_000);
    });
    setting.server.set_behaviour(DhcpBehaviour::Normal);
    Client::new(&setting.network, 2).configure(SOON).unwrap();
}

#[test]
fn udhcpc_takes_what_the_server_gives() {
    let setting = setting("udhcpc", usual().option(42, &[10, 0, 0, 123]));
    let namespace = match setting.network.namespace("client", &NamespaceConfig::new()) {
        Err(error @ LabError::Namespace(_)) => {
            println!("not shown here: {error}");
            return;
        }
        namespace => namespace.unwrap(),
    };
    let script =
        "#!/bin/sh\n[ \"$1\" != bound ] || echo \"got $ip/$mask $router $dns $lease $serverid $ntpsrv\"\n";
    let script = namespace.write("script", script).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["-f", "-n", "-q", "-t", "10", "-T", "1", "-i", "eth0", "-s"].map(OsStr::new);
    let udhcpc = namespace.run("udhcpc", arguments.into_iter().chain([script.as_os_str()])).unwrap();
    let said = udhcpc.finish(seconds(30)).unwrap();
    assert!(said.contains("got 10.0.0.100/24 10.0.0.1 10.0.0.53 120 10.0.0.1 10.0.0.123\n"), "{said}");
    let mac = namespace.mac("eth0").unwrap();
    assert_eq!(setting.server.wait_for_lease(mac, SOON).unwrap(), Ipv4Addr::new(10, 0, 0, 100));
}
