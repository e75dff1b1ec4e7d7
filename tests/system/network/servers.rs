//! An appliance among servers that are not ours: dnsmasq gives leases and names, radvd prefixes, chronyd the time; and
//! zeroconf looks for the console.

use drawbridge_bus::{ClockState, NetworkStatus, Reply, Request, Role};
use drawbridge_lab::net::{Host, HostConfig, Namespace, NamespaceConfig, Network, Program, Signal};
use drawbridge_lab::{Lab, NicModel, seconds, within};
use drawbridge_tests::{Image, Site, SitePlan};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

const SERVERS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
const FAR6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 9, 0, 0, 0, 9);
const ADVERTISED: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, 2);
const PREFIX: [u16; 4] = [0xfd00, 0, 0, 1];

/// How long an address by an advertisement lives when no further one comes, in seconds.
const VALID: u64 = 20;

/// Two ports, and what is on their networks.
///
/// ```text
///   management ── inside: dnsmasq, radvd, chronyd on a router 10.0.1.2 ── beyond: a host 10.0.9.9
///   uplink ────── outside: another dnsmasq
/// ```
struct World {
    inside: Network,
    outside: Network,
    near: Host,
    far: Host,
    router: Namespace,
    other: Namespace,
}

impl World {
    fn new(lab: &Lab) -> Self {
        let network = |name| Network::new(lab, name).unwrap();
        let (inside, outside, beyond) = (network("inside"), network("outside"), network("beyond"));
        let near = HostConfig::new("near").ipv4([10, 0, 1, 1], 24).ipv6([0xfd00, 0, 0, 1, 0, 0, 0, 1], 64);
        let near = inside.host(near);
        let far = HostConfig::new("far").ipv4([10, 0, 9, 9], 24).gateway(Ipv4Addr::new(10, 0, 9, 1));
        let router6 = Ipv6Addr::new(0xfd00, 0, 0, 9, 0, 0, 0, 1);
        let far = beyond.host(far.ipv6(FAR6, 64).gateway(router6));
        let config = NamespaceConfig::new().ipv4(SERVERS, 24).ipv6([0xfd00, 0, 0, 1, 0, 0, 0, 2], 64);
        let router = inside.namespace("router", &config).unwrap();
        let config = NamespaceConfig::new().ipv4([10, 0, 9, 1], 24).ipv6(router6, 64);
        router.connect(&beyond, "eth1", &config).unwrap();
        router.set("net.ipv4.ip_forward", "1").unwrap();
        router.set("net.ipv6.conf.all.forwarding", "1").unwrap();
        let other = outside.namespace("other", &NamespaceConfig::new().ipv4([10, 0, 2, 2], 24)).unwrap();
        Self { inside, outside, near, far, router, other }
    }

    fn plan(&self) -> SitePlan<'_> {
        SitePlan::new(vec![
            ("management", NicModel::VirtioNet, &self.inside),
            ("uplink", NicModel::VirtioNet, &self.outside),
        ])
    }

    fn radvd(&self) -> Program {
        let config = format!(
            "interface eth0 {{\n AdvSendAdvert on;\n MinRtrAdvInterval 3;\n MaxRtrAdvInterval 4;\n \
             AdvDefaultLifetime 30;\n prefix fd00:0:0:1::/64 {{ AdvValidLifetime {VALID}; \
             AdvPreferredLifetime 15; }};\n RDNSS fd00:0:0:1::2 {{ AdvRDNSSLifetime 30; }};\n}};\n"
        );
        let config = self.router.write("radvd.conf", &config).unwrap();
        let pid = self.router.file("radvd.pid");
        let words = ["--nodaemon", "--logmethod=stderr", "--config"].map(OsStr::new);
        let words = words.into_iter().chain([config.as_os_str(), OsStr::new("--pidfile"), pid.as_os_str()]);
        self.router.run("radvd", words).unwrap()
    }

    fn chronyd(&self) -> Program {
        let pid = self.router.file("chronyd.pid");
        let config =
            format!("local stratum 3\nallow\ncmdport 0\nbindcmdaddress /\npidfile {}\n", pid.display());
        let config = self.router.write("chrony.conf", &config).unwrap();
        let words = ["-x", "-d", "-u", "root", "-f"].map(OsStr::new);
        self.router.run("chronyd", words.into_iter().chain([config.as_os_str()])).unwrap()
    }
}

fn dnsmasq(namespace: &Namespace, words: &[&str]) -> Program {
    let leases = format!("--dhcp-leasefile={}", namespace.file("leases").display());
    let always = ["--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--log-dhcp", "--log-queries"];
    let always =
        always.into_iter().chain(["--interface=eth0", "--bind-interfaces", "--no-resolv", "--no-hosts"]);
    let words = always.chain(words.iter().copied()).chain([leases.as_str()]);
    let dnsmasq = namespace.run("dnsmasq", words).unwrap();
    dnsmasq.wait_for("started, version", seconds(10)).unwrap();
    dnsmasq
}

/// The management port's addresses by radvd's prefix.
fn advertised(site: &Site, status: &NetworkStatus) -> BTreeSet<Ipv6Addr> {
    let addresses = site.seen(status, "management").map(|port| port.addresses.clone()).unwrap_or_default();
    let by_prefix = |(address, _): (IpAddr, u8)| match address {
        IpAddr::V6(address) if address.segments()[..4] == PREFIX => Some(address),
        _ => None,
    };
    addresses.into_iter().filter_map(by_prefix).collect()
}

/// The name server that radvd names is one of the port's.
fn names_advertised(status: &NetworkStatus) -> Option<()> {
    status.name_servers.contains(&(ADVERTISED.into(), "inside".to_owned())).then_some(())
}

fn resolve_on(site: &Site, interface: &str, name: &str) -> Reply {
    let (name, interface) = (name.to_owned(), Some(interface.to_owned()));
    site.ask(Role::Network, &Request::Resolve { name, interface })
}

fn settings(privacy: bool) -> String {
    format!(
        r#"{{"confirm_seconds": 600, "host_name": "bridge-7", "interfaces": [
            {{"name": "inside", "at": {{"port": "{{management}}"}}, "roles": ["management"],
              "ipv6": {{"auto": {{"privacy": {privacy}}}}}}},
            {{"name": "outside", "at": {{"port": "{{uplink}}"}}, "roles": ["uplink"],
              "ipv6": {{"auto": {{}}}}}}]}}"#
    )
}

/// Who looks for the console as a person's computer does, on one address, for so many seconds at most.
const BROWSER: &str = r#"
import ipaddress, queue, sys
from zeroconf import IPVersion, ServiceBrowser, ServiceListener, Zeroconf
z = Zeroconf(interfaces=[sys.argv[1]], ip_version=IPVersion.V4Only)
names = queue.Queue()
class Seen(ServiceListener):
    def add_service(self, z, kind, name): names.put(name)
    def update_service(self, *_): pass
    def remove_service(self, *_): pass
browser = ServiceBrowser(z, "_drawbridge._tcp.local.", Seen())
try:
    name = names.get(timeout=float(sys.argv[2]))
    info = z.get_service_info("_drawbridge._tcp.local.", name, 10000)
    where = ",".join(str(ipaddress.ip_address(a)) for a in info.addresses_by_version(IPVersion.All))
    print("found", name, info.server, info.port, where, flush=True)
except queue.Empty:
    print("found nothing", flush=True)
z.close()
"#;

fn browse(namespace: &Namespace, address: &str, seconds: u64) -> Program {
    namespace.run("/usr/bin/python3", ["-c", BROWSER, address, &seconds.to_string()]).unwrap()
}

/// A datagram to this UDP port, over IPv4 or IPv6 without extensions.
fn is_datagram_to(frame: &[u8], port: u16) -> bool {
    let (protocol, ports) = match frame.get(12..14) {
        Some([0x08, 0x00]) => (frame.get(23), 14 + usize::from(frame.get(14).unwrap_or(&0) & 15) * 4),
        Some([0x86, 0xdd]) => (frame.get(20), 54),
        _ => return false,
    };
    protocol == Some(&17) && frame.get(ports + 2..ports + 4) == Some(&port.to_be_bytes()[..])
}

/// Pings until there is an echo: an address that is just there is not answered for at once, and a lost echo is no fault.
fn reaches(host: &Host, address: impl Into<IpAddr>) {
    let (address, end) = (address.into(), Instant::now() + within(Duration::from_secs(10)));
    while let Err(error) = host.ping(address, within(Duration::from_millis(500))) {
        assert!(Instant::now() < end, "{error}");
    }
}

fn lease_options_are_applied_and_shown(site: &Site, world: &World) {
    let address = site.address("management");
    assert_eq!(address.octets()[..3], [10, 0, 1]);
    // MTU (26), DNS (6) and NTP (42), for whoever looks.
    site.until("the lease's MTU", Duration::from_secs(20), |status| {
        (site.seen(status, "management")?.mtu == 1400).then_some(())
    });
    let status = site.network();
    assert!(status.name_servers.contains(&(SERVERS.into(), "inside".to_owned())), "{status:#?}");
    assert!(status.time_servers.iter().any(|server| server.contains("10.0.1.2")), "{status:#?}");
    let port = site.seen(&status, "management").unwrap();
    assert!(port.remarks.iter().any(|remark| remark.contains("by DHCP from 10.0.1.2")), "{port:?}");
    // Classless routes (121): the host behind the second router gets its answers; the first one routes nothing.
    reaches(&world.near, address);
    reaches(&world.far, address);
}

fn names_are_asked_of_each_ports_own_servers(site: &Site, world: &World) {
    let found = |address: [u8; 4]| Reply::Addresses(vec![IpAddr::from(address)]);
    assert_eq!(resolve_on(site, "inside", "where.lab.example"), found([10, 0, 1, 77]));
    assert_eq!(resolve_on(site, "outside", "where.lab.example"), found([10, 0, 2, 77]));
    // By the lease's second domain to search (119): the first has no such name.
    assert_eq!(resolve_on(site, "inside", "array"), found([10, 0, 1, 78]));
    // Too much for a datagram.
    let recording = world.router.cable("eth0").unwrap().record();
    match resolve_on(site, "inside", "many.lab.example") {
        Reply::Addresses(addresses) => assert!(addresses.len() >= 30, "{addresses:?}"),
        other => panic!("{other:?}"),
    }
    let from_tcp_53 = |frame: &[u8]| {
        frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&6) && frame.get(34..36) == Some(&[0, 53])
    };
    assert!(!recording.list(from_tcp_53).is_empty(), "the whole answer was not asked for over TCP");
    match resolve_on(site, "inside", "nobody.lab.example") {
        Reply::Unresolved(why) => assert!(why.contains("10.0.1.2"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn real_servers_give_leases_names_prefixes_and_the_time() {
    let lab = Lab::new("real servers");
    let image = Image::here();
    let world = World::new(&lab);
    let hosts: Vec<String> = (1..=100).map(|last| format!("10.3.0.{last} many.lab.example\n")).collect();
    let hosts = world.router.write("hosts", &hosts.concat()).unwrap();
    let hosts = format!("--addn-hosts={}", hosts.display());
    let _inside = dnsmasq(
        &world.router,
        &[
            "--dhcp-range=10.0.1.100,10.0.1.110,2m",
            "--dhcp-option=option:classless-static-route,10.0.9.0/24,10.0.1.2,0.0.0.0/0,10.0.1.1",
            "--dhcp-option=option:mtu,1400",
            "--dhcp-option=option:ntp-server,10.0.1.2",
            "--dhcp-option=option:domain-search,none.example,lab.example",
            "--local=/example/",
            "--host-record=where.lab.example,10.0.1.77",
            "--host-record=array.lab.example,10.0.1.78",
            &hosts,
        ],
    );
    let _outside = dnsmasq(
        &world.other,
        &["--dhcp-range=10.0.2.100,10.0.2.110,2m", "--host-record=where.lab.example,10.0.2.77"],
    );
    let radvd = world.radvd();
    let _chronyd = world.chronyd();
    let plan = world.plan().settings(&settings(false));
    let site = Site::boot(&lab, &image, SitePlan { clock: Some("2040-01-02T03:04:05"), ..plan });
    site.has("uplink", site.address("uplink"));
    let silence = site.port("uplink").cable().record();
    let nobody = browse(&world.other, "10.0.2.2", 4);
    lease_options_are_applied_and_shown(&site, &world);
    let browser = browse(&world.router, "10.0.1.2", 60);
    names_are_asked_of_each_ports_own_servers(&site, &world);

    // The console is found where the administrator is, and nowhere else.
    let found = browser.finish(seconds(90)).unwrap();
    assert!(found.contains("_drawbridge._tcp.local. bridge-7.local. 9000"), "{found}");
    assert!(found.contains(&site.address("management").to_string()), "{found}");
    let nothing = nobody.finish(seconds(30)).unwrap();
    assert_eq!(nothing.trim(), "found nothing");
    let said = silence.list(|frame| is_datagram_to(frame, 5353));
    assert!(said.is_empty(), "{said:#?}");

    // One stable address, reached through the router that advertises itself.
    let stable = site.until("an address by radvd", Duration::from_secs(20), |status| {
        let addresses = advertised(&site, status);
        (addresses.len() == 1).then(|| addresses.first().copied())?
    });
    reaches(&world.near, stable);
    reaches(&world.far, stable);
    // It names a name server, too (RFC 8106).
    site.until("radvd's name server", Duration::from_secs(20), names_advertised);

    // chronyd, by the lease's word.
    site.look_again();
    site.says("the clock was corrected by");
    match site.ask(Role::Init, &Request::Status) {
        Reply::Status(status) => match status.clock {
            ClockState::Synchronised { servers, milliseconds, .. } => {
                assert!(servers.iter().any(|server| server.contains("10.0.1.2")), "{servers:?}");
                assert!(milliseconds < -10 * 365 * 86_400_000, "{milliseconds}");
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }

    // With privacy there is another one beside it.
    site.confirm(site.change(&settings(true)).id);
    let another = |site: &Site, status: &NetworkStatus| {
        let addresses = advertised(site, status);
        let other = addresses.iter().copied().find(|address| *address != stable)?;
        addresses.contains(&stable).then_some(other)
    };
    let temporary =
        site.until("a temporary address", Duration::from_secs(30), |status| another(&site, status));
    let disk = site.disk.clone();
    site.machine.power_off(seconds(30)).unwrap();
    drop(site);

    let site = Site::boot(&lab, &image, SitePlan { disk: Some(disk), ..world.plan() });
    let fresh =
        site.until("the stable address again", Duration::from_secs(30), |status| another(&site, status));
    assert_ne!(fresh, temporary);
    reaches(&world.far, stable);
    advertisements_end(&site, &world, &radvd, stable);
}

/// A router that says goodbye is no router any more; its prefix ends by itself.
fn advertisements_end(site: &Site, world: &World, radvd: &Program, stable: Ipv6Addr) {
    radvd.signal(Signal::SIGTERM).unwrap();
    radvd.wait(seconds(10)).unwrap();
    let ended = Instant::now();
    let end = ended + within(Duration::from_secs(10));
    while world.far.ping(stable, Duration::from_millis(500)).is_ok() {
        assert!(Instant::now() < end, "the router that has said goodbye is still used");
    }
    reaches(&world.near, stable);
    site.until("the end of radvd's name server", Duration::from_secs(10), |status| {
        names_advertised(status).is_none().then_some(())
    });
    site.until("the end of the addresses", Duration::from_secs(VALID + 20), |status| {
        advertised(site, status).is_empty().then_some(())
    });
}
