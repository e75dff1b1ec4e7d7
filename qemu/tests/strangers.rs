//! The lab's peers against programs that are not ours: what they say is what the world understands.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::net::{
    DnsRecords, Host, HostConfig, Namespace, NamespaceConfig, Network, RouterAdvertisement,
};
use drawbridge_lab::{Lab, LabError, seconds};
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

struct Setting {
    stranger: Namespace,
    host: Host,
    network: Network,
    _lab: Lab,
}

const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// None, with a line that says so, where the machine allows no namespaces.
fn setting(name: &str) -> Option<Setting> {
    let lab = Lab::new(name);
    let network = Network::new(&lab, "net").unwrap();
    let host = network.host(HostConfig::new("host").ipv4([10, 0, 0, 1], 24));
    let stranger = match network.namespace("stranger", &NamespaceConfig::new().ipv4(STRANGER, 24)) {
        Err(error @ LabError::Namespace(_)) => {
            println!("not shown here: {error}");
            return None;
        }
        namespace => namespace.unwrap(),
    };
    Some(Setting { stranger, host, network, _lab: lab })
}

/// Repeats a program until what it says holds a text.
fn until_it_says(namespace: &Namespace, program: &[&str], text: &str) {
    let deadline = Instant::now() + seconds(20);
    loop {
        let (program, arguments) = program.split_first().unwrap();
        let said = namespace.run(program, arguments).unwrap().finish(seconds(10)).unwrap();
        if said.contains(text) {
            return;
        }
        assert!(Instant::now() < deadline, "{said}");
        // The kernel says nothing by itself when an address is there.
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn linux_takes_what_a_router_of_the_lab_says() {
    let Some(setting) = setting("a router's word") else { return };
    let tap = setting.network.tap("router");
    let router = drawbridge_lab::net::EthernetAddress([2, 0, 0, 0, 0, 1]);
    let advertisement = RouterAdvertisement::new().prefix([0xfd00, 0, 0, 9, 0, 0, 0, 0], 64).mtu(1400);
    tap.send(&advertisement.frame(router));
    until_it_says(&setting.stranger, &["ip", "-6", "addr", "show", "dev", "eth0"], "fd00::9:");
    until_it_says(&setting.stranger, &["ip", "-6", "route"], "default via fe80::ff:fe00:1 dev eth0");
    tap.send(&advertisement.lifetime(Duration::ZERO).frame(router));
    let deadline = Instant::now() + seconds(20);
    while setting
        .stranger
        .run("ip", ["-6", "route"])
        .unwrap()
        .finish(seconds(10))
        .unwrap()
        .contains("default")
    {
        assert!(Instant::now() < deadline, "the router is still the default one");
    }
}

#[test]
fn linux_answers_an_attackers_questions() {
    let Some(setting) = setting("an attacker's questions") else { return };
    let mac = setting.stranger.mac("eth0").unwrap();
    let own: [IpAddr; 2] =
        [Ipv4Addr::new(10, 0, 0, 66).into(), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x66).into()];
    let attacker = setting.network.attacker("attacker", &own);
    let short = Duration::from_secs(1);
    assert_eq!(attacker.who_has(STRANGER, short), [mac]);
    assert_eq!(attacker.probe(STRANGER, short), [mac]);
    assert_eq!(attacker.who_has(Ipv4Addr::new(10, 0, 0, 3), short), []);
    let found = attacker.ping_all_nodes(short);
    assert_eq!(found.len(), 1);
    let (who, address) = found[0];
    assert_eq!(who, mac);
    assert_eq!(attacker.probe(address, short), [mac]);
    let scan = attacker.scan_udp_at(mac, STRANGER.into(), [53, 123], b"", short);
    assert_eq!(scan.ports(drawbridge_lab::net::PortAnswer::Closed), [53, 123], "port unreachable is told");
}

#[test]
fn linux_finds_an_address_that_a_thief_claims_in_use() {
    let Some(setting) = setting("a stolen address") else { return };
    let stolen: IpAddr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9).into();
    let thief = setting.network.thief("thief", &[stolen]).unwrap();
    setting
        .stranger
        .run("ip", ["-6", "addr", "add", "fd00::9/64", "dev", "eth0"])
        .unwrap()
        .finish(seconds(10))
        .unwrap();
    until_it_says(
        &setting.stranger,
        &["ip", "-6", "addr", "show", "dev", "eth0"],
        "fd00::9/64 scope global dadfailed",
    );
    assert!(thief.answers() > 0);
}

#[test]
fn dnsmasq_forwards_what_a_server_of_the_lab_says() {
    let Some(setting) = setting("dnsmasq asks") else { return };
    let many = (0..100).fold(DnsRecords::new(), |table, last| table.address("many.lab", [10, 9, 9, last]));
    let dns = setting
        .host
        .serve_dns(many.alias("www.lab", "array.lab").address("array.lab", [10, 0, 0, 7]))
        .unwrap();
    let arguments = [
        "--no-daemon",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--no-resolv",
        "--no-hosts",
        "--server=10.0.0.1",
        "--log-queries",
    ];
    let dnsmasq = setting.stranger.run("dnsmasq", arguments).unwrap();
    dnsmasq.wait_for("started, version", seconds(10)).unwrap();
    let client = setting.host.udp(0).unwrap();
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x03www\x03lab\0\0\x01\0\x01");
    client.send_to(&query, (STRANGER, 53)).unwrap();
    let (answer, _) = client.receive_from(seconds(10)).unwrap();
    assert!(answer.ends_with(&[10, 0, 0, 7]), "{answer:?}\n{}", dnsmasq.text());
    dnsmasq.wait_for("reply array.lab is 10.0.0.7", seconds(10)).unwrap();
    assert!(dns.questions().iter().any(|asked| asked.name == "www.lab"));
    // A name that is not there.
    query.splice(13..16, *b"xyz");
    client.send_to(&query, (STRANGER, 53)).unwrap();
    assert_eq!(client.receive_from(seconds(10)).unwrap().0[3] & 0xf, 3);
    dnsmasq.wait_for("is NXDOMAIN", seconds(10)).unwrap();
}

#[test]
fn chronyd_believes_a_server_of_the_lab() {
    let Some(setting) = setting("chronyd asks") else { return };
    let ntp = setting.host.serve_ntp().unwrap();
    let pid = setting.stranger.file("chronyd.pid");
    let config = format!(
        "server 10.0.0.1 iburst minpoll 0 maxpoll 0\nport 0\ncmdport 0\nbindcmdaddress /\npidfile {}\n",
        pid.display()
    );
    let config = setting.stranger.write("chrony.conf", &config).unwrap();
    let arguments = ["-x", "-d", "-u", "root", "-f"].map(OsStr::new);
    let chronyd = setting.stranger.run("chronyd", arguments.into_iter().chain([config.as_os_str()])).unwrap();
    chronyd.wait_for("Selected source 10.0.0.1", seconds(30)).unwrap();
    assert!(!ntp.queries().is_empty());
}
