//! The DHCP server against clients that are not ours: smoltcp's, udhcpc, and messages by hand.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::Lab;
use drawbridge_lab::net::{
    DhcpBehaviour, DhcpConfig, DhcpServer, EthernetAddress, Faults, HostConfig, Network, Tap,
};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant as StackTime;
use smoltcp::wire::{DhcpMessageType, Ipv4Cidr};
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

struct Setting {
    server: DhcpServer,
    network: Network,
    lab: Lab,
}

fn setting(name: &str, config: DhcpConfig) -> Setting {
    let lab = Lab::new(name);
    let network = Network::new(&lab, "net").unwrap();
    let gateway = network.host(HostConfig::new("gateway").ipv4([10, 0, 0, 1], 24));
    Setting { server: gateway.serve_dhcp(config), network, lab }
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

/// Runs in a network namespace: QEMU joins the lab's network to a TAP device, and udhcpc asks for an address on it.
const UDHCPC: &str = r#"
set -e
"$QEMU" -M none -display none -nodefaults -monitor none -daemonize -pidfile "$PIDFILE" \
  -netdev "stream,id=n,server=off,addr.type=unix,addr.path=$SOCKET" \
  -netdev tap,id=t,ifname=lab0,script=no,downscript=no \
  -netdev hubport,id=a,hubid=0,netdev=n -netdev hubport,id=b,hubid=0,netdev=t
trap 'kill "$(cat "$PIDFILE")"' EXIT
ip link set lab0 up
udhcpc -f -n -q -t 10 -T 1 -i lab0 -s "$SCRIPT" >&2
"#;

#[test]
fn udhcpc_takes_what_the_server_gives() {
    let options = usual().option(42, &[10, 0, 0, 123]);
    let setting = setting("udhcpc", options);
    let namespace = || {
        let mut command = Command::new("unshare");
        // Who is root needs no namespace of users, and some machines offer none.
        let user = if nix::unistd::geteuid().is_root() { "--net" } else { "--map-root-user" };
        command.args([user, "--net", "--"]).stdin(Stdio::null());
        command
    };
    let allowed = namespace().args(["ip", "tuntap", "add", "lab0", "mode", "tap"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        println!("not shown here: this machine allows no TAP device in a network namespace");
        return;
    }
    let script = setting.lab.file("udhcpc.script");
    std::fs::write(&script, "#!/bin/sh\n[ \"$1\" != bound ] || echo \"$ip/$mask $router $dns $lease $serverid $ntpsrv\" > \"$OUT\"\n")
        .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let port = setting.network.nic_port("namespace").unwrap();
    let out = setting.lab.file("lease");
    let output = namespace()
        .args(["sh", "-c", UDHCPC])
        .env("QEMU", drawbridge_lab::kvm::qemu())
        .env("SOCKET", port.socket_path())
        .env("PIDFILE", setting.lab.file("qemu.pid"))
        .env("SCRIPT", &script)
        .env("OUT", &out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lease = std::fs::read_to_string(&out).unwrap();
    assert_eq!(lease.trim_end(), "10.0.0.100/24 10.0.0.1 10.0.0.53 120 10.0.0.1 10.0.0.123", "{said}");
}
