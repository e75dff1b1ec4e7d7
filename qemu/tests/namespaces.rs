//! Real servers in network namespaces, as an ordinary user, on the lab's networks.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::net::{Host, HostConfig, Namespace, NamespaceConfig, Network};
use drawbridge_lab::{Lab, LabError, seconds};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SERVERS4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SERVERS6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

struct Setting {
    servers: Namespace,
    host: Host,
    network: Network,
    _lab: Lab,
}

/// None, with a line that says so, where the machine allows no namespaces.
fn setting(name: &str) -> Option<Setting> {
    let lab = Lab::new(name);
    let network = Network::new(&lab, "net").unwrap();
    let host =
        network.host(HostConfig::new("host").ipv4([10, 0, 0, 1], 24).ipv6([0xfd00, 0, 0, 0, 0, 0, 0, 1], 64));
    let config = NamespaceConfig::new().ipv4(SERVERS4, 24).ipv6(SERVERS6, 64);
    let servers = allowed(network.namespace("servers", &config))?;
    Some(Setting { servers, host, network, _lab: lab })
}

fn allowed(namespace: Result<Namespace, LabError>) -> Option<Namespace> {
    match namespace {
        Err(error @ LabError::Namespace(_)) => {
            println!("not shown here: {error}");
            None
        }
        namespace => Some(namespace.unwrap()),
    }
}

#[test]
fn a_namespace_is_reached_over_both_protocols_and_reaches_the_lab_alone() {
    let Some(setting) = setting("a namespace is reached") else { return };
    setting.host.ping(SERVERS4, seconds(10)).unwrap();
    setting.host.ping(SERVERS6, seconds(10)).unwrap();
    let routes = setting.servers.run("ip", ["-4", "route"]).unwrap().finish(seconds(10)).unwrap();
    assert_eq!(routes.trim_end(), "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2");
    let mac = setting.servers.mac("eth0").unwrap();
    let attacker = setting.network.attacker("attacker", &[Ipv4Addr::new(10, 0, 0, 66).into()]);
    assert_eq!(attacker.find(SERVERS4.into(), seconds(10)).unwrap(), mac);
    // The cable is one like any other.
    let cable = setting.servers.cable("eth0").unwrap();
    cable.pull();
    assert!(setting.host.ping(SERVERS4, Duration::from_millis(100)).is_err());
    cable.plug();
    setting.host.ping(SERVERS4, seconds(10)).unwrap();
}

#[test]
fn long_transfers_of_the_kernels_stack_arrive_whole() {
    let Some(setting) = setting("transfers of the kernel's stack") else { return };
    let file = setting.servers.write("data", &"0123456789abcdef\n".repeat(1 << 20)).unwrap();
    let listener = setting.host.listen(7).unwrap();
    let script = "exec 3<>/dev/tcp/10.0.0.1/7; cat \"$1\" >&3";
    let program =
        setting.servers.run("bash", ["-c".as_ref(), script.as_ref(), "bash".as_ref(), file.as_os_str()]);
    let program = program.unwrap();
    let mut stream = listener.accept(seconds(10)).unwrap();
    stream.set_timeout(seconds(20));
    let started = std::time::Instant::now();
    let mut received = String::new();
    std::io::Read::read_to_string(&mut stream, &mut received).unwrap();
    println!("17 MiB out of a namespace: {:.2?}", started.elapsed());
    program.finish(seconds(10)).unwrap();
    assert!(received == std::fs::read_to_string(file).unwrap(), "{} bytes arrived", received.len());
}

#[test]
fn dnsmasq_gives_a_lease_to_udhcpc_in_another_namespace() {
    let Some(setting) = setting("dnsmasq and udhcpc") else { return };
    let leases = setting.servers.file("leases");
    let arguments = [
        "--no-daemon",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--log-dhcp",
        "--interface=eth0",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        "--address=/array.lab/10.0.0.77",
        "--dhcp-range=10.0.0.100,10.0.0.110,2m",
        "--dhcp-option=option:ntp-server,10.0.0.2",
    ];
    let leases = format!("--dhcp-leasefile={}", leases.display());
    let dnsmasq = setting.servers.run("dnsmasq", arguments.into_iter().chain([leases.as_str()])).unwrap();
    dnsmasq.wait_for("started, version", seconds(10)).unwrap();
    let client = setting.network.namespace("client", &NamespaceConfig::new()).unwrap();
    let script = client.write("script", "#!/bin/sh\n[ \"$1\" != bound ] || echo \"got $ip/$mask $ntpsrv\"\n");
    let script = script.unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let arguments = ["-f", "-n", "-q", "-t", "10", "-T", "1", "-i", "eth0", "-s"];
    let udhcpc =
        client.run("udhcpc", arguments.map(std::ffi::OsStr::new).into_iter().chain([script.as_os_str()]));
    let said = udhcpc.unwrap().finish(seconds(30)).unwrap();
    assert!(said.contains("got 10.0.0.1") && said.contains("/24 10.0.0.2"), "{said}");
    dnsmasq.wait_for("DHCPACK(eth0)", seconds(10)).unwrap();
    assert!(dnsmasq.runs());
}

#[test]
fn radvds_advertisement_is_seen_by_a_raw_connection() {
    let Some(setting) = setting("radvd") else { return };
    setting.servers.set("net.ipv6.conf.all.forwarding", "1").unwrap();
    let config = "interface eth0 {\n AdvSendAdvert on;\n MinRtrAdvInterval 3;\n MaxRtrAdvInterval 4;\n \
                  prefix fd00:0:0:5::/64 { };\n RDNSS fd00::53 { };\n};\n";
    let config = setting.servers.write("radvd.conf", config).unwrap();
    let tap = setting.network.tap("tap");
    let pid = setting.servers.file("radvd.pid");
    let radvd = setting.servers.run(
        "radvd",
        [
            "--nodaemon".as_ref(),
            "--logmethod=stderr".as_ref(),
            "--config".as_ref(),
            config.as_os_str(),
            "--pidfile".as_ref(),
            pid.as_os_str(),
        ],
    );
    let radvd = radvd.unwrap();
    let deadline = std::time::Instant::now() + seconds(20);
    // ICMPv6 type 134 (RFC 4861 section 4.2) behind the headers of Ethernet and IPv6, from the namespace's device.
    let advertisement = loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let Some(frame) = tap.receive(left) else { panic!("none came. radvd said:\n{}", radvd.text()) };
        if frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(54) == Some(&134) {
            break frame;
        }
    };
    assert_eq!(advertisement.get(6..12), Some(&setting.servers.mac("eth0").unwrap().0[..]));
    let prefix = [0xfd, 0, 0, 0, 0, 0, 0, 5];
    assert!(advertisement.windows(8).any(|window| window == prefix), "{advertisement:?}");
}

#[test]
fn chronyd_answers_a_query() {
    let Some(setting) = setting("chronyd") else { return };
    let pid = setting.servers.file("chronyd.pid");
    let config = format!("local stratum 3\nallow\ncmdport 0\nbindcmdaddress /\npidfile {}\n", pid.display());
    let config = setting.servers.write("chrony.conf", &config).unwrap();
    let arguments = ["-x", "-d", "-u", "root", "-f"].map(std::ffi::OsStr::new);
    let chronyd = setting.servers.run("chronyd", arguments.into_iter().chain([config.as_os_str()])).unwrap();
    chronyd.wait_for("starting", seconds(10)).unwrap();
    let client = setting.host.udp(0).unwrap();
    // RFC 5905 section 7.3: version 4, mode 3, and a time to send that comes back as the origin.
    let mut query = [0; 48];
    query[0] = 0x23;
    query[40..].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    // It says that it starts before it listens.
    let (answer, from) = (0..50)
        .find_map(|_| {
            client.send_to(&query, (SERVERS4, 123)).unwrap();
            client.receive_from(Duration::from_millis(200)).ok()
        })
        .unwrap_or_else(|| panic!("no answer came. chronyd said:\n{}", chronyd.text()));
    assert_eq!(from, SocketAddr::from((SERVERS4, 123)));
    assert_eq!((answer[0] & 7, answer[1]), (4, 3), "mode and stratum");
    assert_eq!(answer[24..32], query[40..]);
    let seconds = u64::from(u32::from_be_bytes(*answer[40..].first_chunk().unwrap()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 2_208_988_800;
    assert!(seconds.abs_diff(now & 0xffff_ffff) < 60, "{seconds} {now}");
}

#[test]
fn a_host_in_a_vlan_meets_only_those_in_the_same() {
    let Some(setting) = setting("VLANs") else { return };
    let tagged = NamespaceConfig::new().ipv4([10, 7, 0, 2], 24).vlan(7);
    setting.servers.connect(&setting.network, "eth7", &tagged).unwrap();
    let host = |name: &str, last, vlan| {
        setting.network.host(HostConfig::new(name).ipv4([10, 7, 0, last], 24).vlan(vlan))
    };
    host("seven", 1, 7).ping([10, 7, 0, 2], seconds(10)).unwrap();
    let refused = host("eight", 3, 8).ping([10, 7, 0, 2], Duration::from_millis(200));
    assert!(refused.is_err());
}

#[test]
fn a_program_that_fails_is_quoted_and_a_dropped_one_is_gone() {
    let Some(setting) = setting("a program that fails") else { return };
    let failed = setting.servers.run("sh", ["-c", "echo no such luck >&2; exit 3"]).unwrap();
    let error = failed.finish(seconds(10)).unwrap_err().to_string();
    assert!(error.contains("no such luck") && error.contains("sh in the namespace servers"), "{error}");
    let missing = setting.servers.run("no-such-program", [""; 0]).unwrap_err().to_string();
    assert!(missing.contains("no-such-program"), "{missing}");
    let sleeping = setting.servers.run("sleep", ["60"]).unwrap();
    let id = sleeping.id();
    drop(sleeping);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}
