//! The attacker's scans find what is open, and see a silent target as silent.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::Lab;
use drawbridge_lab::net::{Direction, HostConfig, NetError, Network, PortAnswer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const TARGET4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const TARGET6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));
const OWN4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 66));
const OWN6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x66));
const SOON: Duration = Duration::from_secs(10);

#[test]
fn every_open_port_is_found_among_all() {
    let lab = Lab::new("every open port is found");
    let network = Network::new(&lab, "net").unwrap();
    let target = network.host(HostConfig::new("target").ipv4([10, 0, 0, 2], 24));
    let _listeners = [1, 8000, 9000, 65535].map(|port| target.listen(port).unwrap());
    let attacker = network.attacker("attacker", &[OWN4]);
    let scan = attacker.scan_tcp(TARGET4, 1..=65535, SOON).unwrap();
    assert_eq!(scan.open(), [1, 8000, 9000, 65535]);
    assert_eq!(scan.ports(PortAnswer::Closed).len(), 65531);
    assert!(scan.replies >= 65535, "{}", scan.replies);
    assert!(!scan.is_mute());
}

#[test]
fn a_scan_over_ipv6_finds_the_same() {
    let lab = Lab::new("a scan over IPv6");
    let network = Network::new(&lab, "net").unwrap();
    let target = network.host(HostConfig::new("target").ipv6([0xfe80, 0, 0, 0, 0, 0, 0, 2], 64));
    let _listener = target.listen(22).unwrap();
    let attacker = network.attacker("attacker", &[OWN4, OWN6]);
    assert_eq!(attacker.find(TARGET6, SOON).unwrap(), target.mac());
    let scan = attacker.scan_tcp(TARGET6, 1..=1000, SOON).unwrap();
    assert_eq!(scan.open(), [22]);
    assert_eq!(scan.ports(PortAnswer::Closed).len(), 999);
}

#[test]
fn udp_ports_answer_or_are_refused() {
    let lab = Lab::new("UDP ports");
    let network = Network::new(&lab, "net").unwrap();
    let target = network.host(HostConfig::new("target").ipv4([10, 0, 0, 2], 24));
    let server = target.udp(53).unwrap();
    let attacker = network.attacker("attacker", &[OWN4]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (data, from) = server.receive_from(SOON).unwrap();
            server.send_to(&data, from).unwrap();
        });
        let scan = attacker.scan_udp_at(target.mac(), TARGET4, 50..60, b"hello", Duration::from_millis(500));
        assert_eq!(scan.open(), [53]);
        assert_eq!(scan.ports(PortAnswer::Closed).len(), 9);
    });
}

#[test]
fn a_target_that_gives_no_sign_is_mute() {
    let lab = Lab::new("a mute target");
    let network = Network::new(&lab, "net").unwrap();
    let target = network.host(HostConfig::new("target").ipv4([10, 0, 0, 2], 24));
    target.cable().set_filter(|direction, _| direction == Direction::ToEnd);
    let attacker = network.attacker("attacker", &[OWN4]);
    let none = attacker.find(TARGET4, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(none, NetError::NoNeighbour(..)), "{none}");
    let patience = Duration::from_millis(100);
    let scan = attacker.scan_tcp_at(target.mac(), TARGET4, 1..=500, patience);
    assert!(scan.is_mute(), "{scan:?}");
    attacker.send(&[0xff; 60]);
    assert!(attacker.replies_of(target.mac(), patience).is_empty());
    target.cable().clear_filter();
    let scan = attacker.scan_tcp_at(target.mac(), TARGET4, 1..=2, patience);
    assert_eq!(scan.ports(PortAnswer::Closed), [1, 2]);
}
