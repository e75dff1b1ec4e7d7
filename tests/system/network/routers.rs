//! Routers that flood, lie or are gone, and networks that know nothing of each other.

use super::hostile::is_sound;
use drawbridge_bus::Role;
use drawbridge_lab::net::{
    Attacker, DhcpConfig, DnsRecords, EthernetAddress, Host, HostConfig, Network, RouterAdvertisement, router,
};
use drawbridge_lab::{Lab, NicModel, seconds};
use drawbridge_tests::{Image, Site, SitePlan};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// What the kernel's own count of free memory moves by on a machine that does nothing.
const NOISE_KIB: u64 = 1024;

/// Sends frames in bursts that a card takes. After each the machine answers a ping: it has seen them then, and IPv4 works.
fn flood(attacker: &Attacker, desk: &Host, address: Ipv4Addr, frames: &[Vec<u8>]) {
    for burst in frames.chunks(64) {
        for frame in burst {
            attacker.send(frame);
        }
        let end = Instant::now() + seconds(20);
        while desk.ping(address, Duration::from_millis(500)).is_err() {
            assert!(Instant::now() < end, "no answer to a ping during the flood");
        }
    }
}

#[test]
fn floods_of_router_advertisements_leave_the_role_the_memory_and_ipv4_as_they_were() {
    let lab = Lab::new("router flood");
    let network = Network::new(&lab, "management").unwrap();
    let desk = network.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let _dhcp = desk.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50));
    let site =
        Site::boot(&lab, &Image::here(), SitePlan::new(vec![("management", NicModel::VirtioNet, &network)]));
    let address = site.address("management");
    let attacker = network.attacker("attacker", &[]);
    let prefix = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0);
    let sound = RouterAdvertisement::new().prefix(prefix, 64).frame(EthernetAddress([2, 0, 0, 0, 0, 1]));
    // A router is listened to as soon as the port has its link-local address; before that it would be asked.
    site.until("a link-local address", Duration::from_secs(20), |status| {
        let addresses = &site.seen(status, "management")?.addresses;
        addresses
            .iter()
            .any(|(one, _)| matches!(one, IpAddr::V6(one) if one.is_unicast_link_local()))
            .then_some(())
    });
    attacker.send(&sound);
    let own = site.until("an address of the router's prefix", Duration::from_secs(20), |status| {
        let addresses = &site.seen(status, "management")?.addresses;
        addresses.iter().find_map(|(one, _)| match one {
            IpAddr::V6(one) if one.segments()[..4] == prefix.segments()[..4] => Some(*one),
            _ => None,
        })
    });
    // What is held once is held by then.
    flood(&attacker, &desk, address, &router::flood(1).take(1000).collect::<Vec<_>>());
    let (role, free) = (site.role(Role::Network).memory_kib, site.system().memory.1);
    flood(&attacker, &desk, address, &router::flood(2).take(10_000).collect::<Vec<_>>());
    flood(&attacker, &desk, address, &router::hostile(3).take(10_000).collect::<Vec<_>>());
    is_sound(&site, Role::Network, role);
    let after = site.system().memory.1;
    println!("free: {free} KiB before, {after} KiB after");
    assert!(after + NOISE_KIB >= free, "{free} KiB were free before, {after} KiB are");
    let status = site.network();
    let port = site.seen(&status, "management").unwrap();
    assert!(port.addresses.len() <= 18, "{port:#?}");
    assert!(port.addresses.iter().any(|(one, _)| *one == IpAddr::V6(own)), "{port:#?}");
    assert_eq!(port.mtu, 1500);
    assert!(status.name_servers.len() <= 16, "{status:#?}");
    site.serves(&desk, address);
    assert!(!site.machine.serial().text().contains("panicked"));
}

#[test]
fn two_networks_with_the_same_addresses_are_told_apart_and_a_gateway_that_was_gone_is_used_again() {
    let lab = Lab::new("same addresses");
    let (one, two) = (Network::new(&lab, "one").unwrap(), Network::new(&lab, "two").unwrap());
    let address = Ipv4Addr::new(10, 0, 1, 100);
    let desk = |network: &Network, name| network.host(HostConfig::new(name).ipv4([10, 0, 1, 1], 24));
    let (left, right) = (desk(&one, "left"), desk(&two, "right"));
    // The router, which is the name server too.
    let gateway = one.host(HostConfig::new("gateway").ipv4([10, 0, 1, 3], 24));
    let names =
        DnsRecords::new().address("first.example", [192, 0, 2, 1]).address("second.example", [192, 0, 2, 2]);
    let _dns = gateway.serve_dns(names).unwrap();
    let _left = left.serve_dhcp(DhcpConfig::pool(address, 1).router([10, 0, 1, 3]).dns([10, 0, 1, 3]));
    let _right = right.serve_dhcp(DhcpConfig::pool(address, 1));
    let plan = SitePlan::new(vec![("one", NicModel::VirtioNet, &one), ("two", NicModel::VirtioNet, &two)]);
    let site = Site::boot(
        &lab,
        &Image::here(),
        plan.settings(
            r#"{"interfaces": [
                {"name": "one", "at": {"port": "{one}"}, "roles": ["management"], "ipv6": "off"},
                {"name": "two", "at": {"port": "{two}"}, "roles": ["management"], "ipv6": "off"}]}"#,
        ),
    );
    site.has("one", address);
    site.has("two", address);
    // The kernel tells connections apart by addresses and ports alone: two callers with one address and one port at a time are
    // one to it. These two have other ports.
    for _ in 0..100 {
        right.udp(0).unwrap();
    }
    // The same address on both, and the same caller's address on both: each gets its answer by the port it came in on.
    for _ in 0..3 {
        site.serves(&left, address);
        site.serves(&right, address);
    }
    let both = [left.connect((address, 9000), seconds(10)), right.connect((address, 9000), seconds(10))];
    assert!(both.iter().all(Result::is_ok), "{both:?}");
    drop(both);

    let first = site.resolve("first.example");
    assert_eq!(first, Ok(vec![Ipv4Addr::new(192, 0, 2, 1).into()]));
    gateway.cable().pull();
    let gone = site.resolve("second.example");
    assert!(gone.is_err(), "{gone:?}");
    println!("with the gateway gone: {gone:?}");
    // Who needs no gateway misses none.
    site.serves(&left, address);
    site.serves(&right, address);
    gateway.cable().plug();
    let end = Instant::now() + seconds(20);
    let mut again = site.resolve("second.example");
    while again.is_err() && Instant::now() < end {
        again = site.resolve("second.example");
    }
    assert_eq!(again, Ok(vec![Ipv4Addr::new(192, 0, 2, 2).into()]));
    site.serves(&left, address);
    assert_eq!(site.role(Role::Network).starts, 1);
}
