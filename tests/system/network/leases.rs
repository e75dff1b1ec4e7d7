//! Leases that end, are taken back or are fought over, and addresses that another host takes.

use drawbridge_bus::{NetworkStatus, Role};
use drawbridge_lab::net::{DhcpBehaviour, DhcpConfig, HostConfig, Network, NicPort, Recording};
use drawbridge_lab::{Lab, NicModel, seconds, within};
use drawbridge_tests::{Image, Site, SitePlan};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// Nearly the shortest that is taken: it is renewed after half of it.
const LEASE: Duration = Duration::from_secs(12);

/// The IPv4 addresses of a port.
fn addresses(site: &Site, status: &NetworkStatus, port: &str) -> Vec<Ipv4Addr> {
    let addresses = site.seen(status, port).map(|port| port.addresses.clone()).unwrap_or_default();
    let v4 = addresses.into_iter().filter_map(|(address, _)| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    v4.collect()
}

/// Waits until the port bears a remark with these words.
fn is_remarked(site: &Site, port: &str, words: &str) {
    site.until(&format!("a remark \"{words}\""), Duration::from_secs(30), |status| {
        site.seen(status, port)?.remarks.iter().any(|remark| remark.contains(words)).then_some(())
    });
}

#[test]
fn a_lease_is_kept_with_its_server_and_when_it_is_lost_the_next_one_is_taken() {
    let lab = Lab::new("lease lost");
    let image = Image::here();
    let network = Network::new(&lab, "management").unwrap();
    let desk = network.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let chosen = desk.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50).lease(LEASE));
    let site = Site::boot(&lab, &image, SitePlan::new(vec![("management", NicModel::VirtioNet, &network)]));
    let address = site.address("management");
    assert_eq!(address, Ipv4Addr::new(10, 0, 1, 100));
    let held = desk.connect((address, 9000), seconds(10)).unwrap();

    // Refused at renewal: given up at once, and asked for anew.
    chosen.set_behaviour(DhcpBehaviour::RefuseRenewal);
    chosen.wait_until(seconds(20), |seen| seen.nak > 0).expect("it renews, and is refused");
    chosen.set_behaviour(DhcpBehaviour::Normal);
    site.says("the lease has ended or was taken back");
    site.says("by DHCP from 10.0.1.1");
    site.has("management", address);
    site.serves(&desk, address);

    // A second server, which nobody has chosen, changes nothing.
    let rogue = network.host(HostConfig::new("rogue").ipv4([10, 0, 1, 2], 24));
    let other = rogue.serve_dhcp(DhcpConfig::pool([10, 0, 1, 200], 50).lease(LEASE));
    let before = chosen.counters().ack;
    chosen.wait_until(seconds(40), |seen| seen.ack >= before + 2).expect("two renewals");
    assert_eq!(other.counters().ack, 0);
    assert_eq!(addresses(&site, &site.network(), "management"), [address]);

    // Both fall silent: the address goes with the lease, and a link-local one takes its place.
    other.set_behaviour(DhcpBehaviour::Silent);
    chosen.set_behaviour(DhcpBehaviour::Silent);
    let silent = Instant::now();
    site.says("the lease has ended or was taken back");
    println!("lease of {LEASE:?}: given up {:?} after the server fell silent", silent.elapsed());
    site.until("no address of the lease", Duration::from_secs(5), |status| {
        (!addresses(&site, status, "management").contains(&address)).then_some(())
    });
    assert!(desk.connect((address, 9000), Duration::from_secs(1)).is_err());
    is_remarked(&site, "management", "no DHCP server answers");
    let alone = addresses(&site, &site.network(), "management");
    assert!(matches!(alone.as_slice(), [one] if one.is_link_local()), "{alone:?}");

    // The chosen one is gone for good: now the other one's lease is taken, and the link-local address goes.
    other.set_behaviour(DhcpBehaviour::Normal);
    let next = site.address("management");
    println!("next lease {:?} after the servers fell silent", silent.elapsed());
    assert_eq!(next, Ipv4Addr::new(10, 0, 1, 200));
    site.until("no other address", Duration::from_secs(5), |status| {
        (addresses(&site, status, "management") == [next]).then_some(())
    });
    site.serves(&desk, next);
    assert_eq!((site.role(Role::Network).starts, site.role(Role::Console).starts), (1, 1));
    drop(held);
}

/// How often the port has said unasked that an address is its own (RFC 5227, section 2.3).
fn announced(recording: &Recording, address: Ipv4Addr) -> usize {
    let word = address.octets();
    let says = |frame: &[u8]| {
        frame.get(12..14) == Some(&[8, 6])
            && frame.get(28..32) == Some(&word)
            && frame.get(38..42) == Some(&word)
    };
    recording.list(says).len()
}

/// Waits until the port has defended an address once more.
fn is_defended(port: &NicPort, recording: &Recording, address: Ipv4Addr, before: usize) {
    let end = Instant::now() + seconds(5);
    while announced(recording, address) == before {
        assert!(Instant::now() < end, "{address} was not defended; sent: {:?}", port.cable().counters());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_address_that_another_host_takes_is_defended_and_then_given_up_unless_it_is_the_administrator_s() {
    let lab = Lab::new("thief");
    let image = Image::here();
    let (one, two) = (Network::new(&lab, "leased").unwrap(), Network::new(&lab, "fixed").unwrap());
    let desk = one.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let dhcp = desk.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50));
    let fixed = Ipv4Addr::new(10, 0, 2, 20);
    let plan =
        SitePlan::new(vec![("leased", NicModel::VirtioNet, &one), ("fixed", NicModel::VirtioNet, &two)]);
    let site = Site::boot(
        &lab,
        &image,
        plan.settings(
            r#"{"interfaces": [
                {"name": "leased", "at": {"port": "{leased}"}, "roles": ["management"], "ipv6": "off"},
                {"name": "fixed", "at": {"port": "{fixed}"}, "roles": ["management"], "ipv6": "off",
                 "ipv4": {"static": {"address": "10.0.2.20/24"}}}]}"#,
        ),
    );
    let leased = site.address("leased");
    site.has("fixed", fixed);

    // The administrator's address: defended, shown, and kept, however often another host claims it.
    let (port, thief) = (site.port("fixed"), two.thief("thief", &[]).unwrap());
    let recording = port.cable().record();
    // It says so twice by itself when it has come up, two seconds apart.
    let end = Instant::now() + seconds(3);
    while announced(&recording, fixed) == 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let before = announced(&recording, fixed);
    thief.announce(fixed.into());
    is_defended(port, &recording, fixed, before);
    let conflict = format!("{fixed} is used by");
    is_remarked(&site, "fixed", &conflict);
    for _ in 0..5 {
        thief.announce(fixed.into());
        is_remarked(&site, "fixed", &conflict);
        site.has("fixed", fixed);
    }
    let latecomer = two.host(HostConfig::new("latecomer").ipv4([10, 0, 2, 2], 24));
    latecomer.ping(fixed, within(Duration::from_secs(5))).unwrap();

    // A lease's address: defended once; claimed again, it is declined, and another one is taken.
    let (port, thief) = (site.port("leased"), one.thief("second thief", &[leased.into()]).unwrap());
    let recording = port.cable().record();
    thief.announce(leased.into());
    is_defended(port, &recording, leased, 0);
    is_remarked(&site, "leased", &format!("{leased} is used by"));
    assert_eq!(dhcp.counters().decline, 0);
    let end = Instant::now() + seconds(9);
    while dhcp.counters().decline == 0 {
        assert!(Instant::now() < end, "{leased} was not declined");
        thief.announce(leased.into());
        dhcp.wait_until(Duration::from_millis(600), |seen| seen.decline > 0);
    }
    site.says("another address is taken");
    let next = site.until("another lease", Duration::from_secs(30), |status| {
        addresses(&site, status, "leased").into_iter().find(|one| *one != leased)
    });
    assert_eq!(next.octets()[..3], [10, 0, 1]);
    assert!(!addresses(&site, &site.network(), "leased").contains(&leased));
    site.serves(&desk, next);
    assert_eq!(site.role(Role::Network).starts, 1);
}

#[test]
fn the_service_address_is_left_to_who_has_it_and_is_taken_and_defended_when_he_has_gone() {
    let lab = Lab::new("service taken");
    let image = Image::here();
    let (network, desk) = (Network::new(&lab, "service").unwrap(), Network::new(&lab, "desk").unwrap());
    let service = Ipv4Addr::new(169, 254, 100, 1);
    let thief = network.thief("other appliance", &[service.into()]).unwrap();
    let settings = r#"{"interfaces": [
        {"name": "service", "at": {"port": "{service}"}, "roles": ["service"], "ipv4": "link_local"},
        {"name": "desk", "at": {"port": "{desk}"}, "roles": ["management"],
         "ipv4": {"static": {"address": "10.0.1.20/24"}}}]}"#;
    let ports = vec![("service", NicModel::VirtioNet, &network), ("desk", NicModel::VirtioNet, &desk)];
    let site = Site::boot(&lab, &image, SitePlan::new(ports).settings(settings));
    let recording = site.port("service").cable().record();
    let served = "gives a technician's computer its address";
    is_remarked(&site, "service", &format!("{service} is used by"));
    let status = site.network();
    assert!(!addresses(&site, &status, "service").contains(&service), "another host has it");
    // Nobody is sent to an address that is somebody else's.
    let remarks = &site.seen(&status, "service").unwrap().remarks;
    assert!(remarks.iter().all(|remark| !remark.contains(served)), "{remarks:?}");
    assert_eq!(announced(&recording, service), 0);

    // It is tried again, here ten seconds after.
    thief.claim(&[]);
    site.has("service", service);
    is_remarked(&site, "service", served);
    let end = Instant::now() + seconds(5);
    while announced(&recording, service) < 2 {
        assert!(Instant::now() < end, "the address was not announced twice");
        std::thread::sleep(Duration::from_millis(10));
    }
    thief.announce(service.into());
    is_defended(site.port("service"), &recording, service, 2);
    is_remarked(&site, "service", &format!("{service} is used by"));
    assert!(addresses(&site, &site.network(), "service").contains(&service), "it is kept");
}
