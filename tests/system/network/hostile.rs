//! Servers that lie, cables that fail: the role goes on, in the memory that it had.

use drawbridge_bus::Role;
use drawbridge_lab::net::{DhcpConfig, Faults, HostConfig, Network};
use drawbridge_lab::{Lab, NicModel, seconds};
use drawbridge_tests::{Image, Site, SitePlan};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What the kernel's count of a group may be off by: it is kept for each processor apart, in steps of 64 pages.
const COUNTING_KIB: u64 = 256;

/// A port with nothing set for it.
fn boot(lab: &Lab, network: &Network) -> Site {
    Site::boot(lab, &Image::here(), SitePlan::new(vec![("management", NicModel::VirtioNet, network)]))
}

/// Pulls the cable and plugs it in again; the role has seen both.
fn replug(site: &Site) {
    let carrier = |wanted| {
        site.machine.set_link("management", wanted).unwrap();
        site.until("carrier, or none", Duration::from_secs(20), |status| {
            (site.seen(status, "management")?.carrier == wanted).then_some(())
        });
    };
    carrier(false);
    carrier(true);
}

/// Asserts that a role has not ended, nor grown since it held `before` KiB.
pub(super) fn is_sound(site: &Site, role: Role, before: u64) {
    let status = site.role(role);
    println!("{role}: {before} KiB before, {} KiB after", status.memory_kib);
    assert_eq!(status.starts, 1, "{status:?}");
    assert!(before > 0 && status.memory_kib <= before + COUNTING_KIB, "{before} KiB before: {status:?}");
}

#[test]
fn ten_thousand_hostile_answers_of_dhcp_servers_neither_end_the_role_nor_make_it_grow() {
    let lab = Lab::new("hostile dhcp");
    let network = Network::new(&lab, "management").unwrap();
    let site = boot(&lab, &network);
    let attacker = network.attacker("attacker", &[Ipv4Addr::new(10, 0, 1, 66).into()]);
    let attack = |seed, answers| {
        // With the carrier gone and back it asks anew, whatever it has taken before.
        replug(&site);
        let sent = attacker.attack_dhcp(seed, answers, seconds(60));
        assert_eq!(sent, answers, "it has not asked for more");
    };
    // What is held once is held by then.
    for seed in 0..4 {
        attack(seed, 1000);
    }
    let before = site.role(Role::Network).memory_kib;
    let carried = site.port("management").cable().counters().to_end;
    // The last ones may be on their way still when the rest is counted.
    for seed in 10..20 {
        attack(seed, 1100);
    }
    let arrived = site.port("management").cable().counters().to_end - carried;
    println!("{arrived} hostile packets arrived");
    assert!(arrived >= 10_000, "only {arrived} arrived");
    is_sound(&site, Role::Network, before);
    let status = site.network();
    assert!(status.name_servers.len() <= 8 && status.time_servers.len() <= 8, "{status:?}");
    for (address, _) in site.seen(&status, "management").map(|port| &port.addresses).into_iter().flatten() {
        if let IpAddr::V4(address) = address {
            assert!(
                !address.is_loopback() && !address.is_multicast() && !address.is_broadcast(),
                "{address}"
            );
        }
    }

    // A server that keeps to the standard is understood as if nothing had been.
    let desk = network.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let _dhcp = desk.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50));
    replug(&site);
    let address = site.until("a lease of the pool", Duration::from_secs(30), |status| {
        let addresses = &site.seen(status, "management")?.addresses;
        addresses.iter().find_map(|(address, _)| match address {
            IpAddr::V4(address) if (100..150).contains(&address.octets()[3]) => Some(*address),
            _ => None,
        })
    });
    site.serves(&desk, address);
    assert!(!site.machine.serial().text().contains("panicked"));
}

#[test]
fn a_cable_that_flaps_a_hundred_times_and_one_that_doubles_and_swaps_frames_end_with_a_lease() {
    let lab = Lab::new("flapping");
    let network = Network::new(&lab, "management").unwrap();
    let desk = network.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let dhcp = desk.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50));
    let site = boot(&lab, &network);
    let address = site.address("management");
    let flap = |times| {
        for _ in 0..times {
            site.machine.set_link("management", false).unwrap();
            site.machine.set_link("management", true).unwrap();
        }
    };
    flap(10);
    site.has("management", address);
    let before = site.role(Role::Network).memory_kib;
    flap(100);
    site.until("the lease, and carrier", Duration::from_mins(1), |status| {
        let port = site.seen(status, "management")?;
        (port.carrier && port.addresses.iter().any(|(one, _)| *one == IpAddr::V4(address))).then_some(())
    });
    site.serves(&desk, address);
    is_sound(&site, Role::Network, before);

    let cable = site.port("management").cable();
    cable.set_faults(Faults {
        duplicate: 0.5,
        reorder: 0.5,
        jitter: Duration::from_millis(30),
        hold: Duration::from_millis(60),
        ..Faults::default()
    });
    let acknowledged = dhcp.counters().ack;
    replug(&site);
    dhcp.wait_until(seconds(30), |seen| seen.ack > acknowledged).expect("another lease");
    site.has("management", address);
    site.serves(&desk, address);
    let carried = cable.counters();
    assert!(carried.duplicated > 0 && carried.reordered > 0, "{carried:?}");
    // Nobody else's word: what came twice is no conflict.
    let status = site.network();
    let remarks = &site.seen(&status, "management").unwrap().remarks;
    assert!(remarks.iter().all(|remark| !remark.contains("is used by")), "{remarks:?}");
    is_sound(&site, Role::Network, before);
}
