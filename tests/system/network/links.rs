//! VLANs, bonds, packet sizes and the technician's cable.

use drawbridge_bus::{NetworkStatus, Port, Reply, Request, Role};
use drawbridge_lab::net::{DhcpConfig, HostConfig, NamespaceConfig, Network, Recording};
use drawbridge_lab::{Lab, NicModel, seconds};
use drawbridge_tests::{Image, Site, SitePlan};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// An interface as the appliance sees it, by the name that the settings give it.
fn interface<'s>(status: &'s NetworkStatus, name: &str) -> Option<&'s Port> {
    status.ports.iter().find(|port| port.interface == name && !port.roles.is_empty())
}

/// Waits until an interface has carrier and this address.
fn has(site: &Site, name: &str, wanted: impl Into<IpAddr>) {
    let wanted = wanted.into();
    site.until(&format!("{wanted} on {name}"), Duration::from_secs(30), |status| {
        let port = interface(status, name).filter(|port| port.carrier)?;
        port.addresses.iter().any(|(address, _)| *address == wanted).then_some(())
    });
}

#[test]
fn a_vlan_is_a_network_of_its_own_with_packets_of_the_set_size() {
    let lab = Lab::new("vlan");
    let image = Image::here();
    let network = Network::new(&lab, "trunk").unwrap();
    let inside = network.host(HostConfig::new("inside").ipv4([10, 0, 42, 1], 24).vlan(42));
    let dhcp = inside.serve_dhcp(DhcpConfig::pool([10, 0, 42, 100], 50));
    let outside = network.host(HostConfig::new("outside").ipv4([10, 0, 1, 1], 24));
    let jumbo = NamespaceConfig::new().ipv4([10, 0, 1, 2], 24).mtu(9000);
    let jumbo = jumbo.ipv6([0x2001, 0xdb8, 1, 0, 0, 0, 0, 2], 64);
    let jumbo = network.namespace("jumbo", &jumbo).unwrap();
    let settings = r#"{"interfaces": [
        {"name": "trunk", "at": {"port": "{trunk}"}, "roles": ["management"], "mtu": 9000,
         "ipv4": {"static": {"address": "10.0.1.20/24"}},
         "ipv6": {"static": {"addresses": ["2001:db8:1::20/64"]}}},
        {"name": "inside", "at": {"vlan": {"on": "trunk", "id": 42}}, "roles": ["management"], "mtu": 1280}]}"#;
    let plan = SitePlan::new(vec![("trunk", NicModel::VirtioNet, &network)]);
    let site = Site::boot(&lab, &image, plan.settings(settings));
    has(&site, "trunk", [10, 0, 1, 20]);
    let leased = dhcp.wait_for_lease(site.mac("trunk"), seconds(30)).unwrap();
    has(&site, "inside", leased);
    inside.connect((leased, 9000), seconds(10)).unwrap();
    outside.connect(([10, 0, 1, 20], 9000), seconds(10)).unwrap();
    // Neither network's address answers in the other.
    assert!(outside.ping(leased, Duration::from_secs(1)).is_err());
    assert!(inside.ping([10, 0, 1, 20], Duration::from_secs(1)).is_err());

    let status = site.network();
    let mtu = |name: &str| interface(&status, name).map(|port| port.mtu);
    assert_eq!((mtu("trunk"), mtu("inside")), (Some(9000), Some(1280)));
    // Whole packets of 9000 bytes go and come: 20 and 8 bytes are headers, or 40 and 8.
    let ping = |size: &str, to: &str| {
        let ping = jumbo.run("ping", ["-c", "3", "-W", "10", "-M", "do", "-s", size, to]).unwrap();
        ping.finish(seconds(20)).map(|text| text.contains(" 0% packet loss"))
    };
    assert!(ping("8972", "10.0.1.20").unwrap());
    assert!(ping("8952", "2001:db8:1::20").unwrap());
    drop(jumbo);
}

#[test]
fn whole_packets_of_1280_bytes_go_and_come_and_none_that_leaves_is_larger() {
    let lab = Lab::new("small packets");
    let image = Image::here();
    let network = Network::new(&lab, "small").unwrap();
    let other = NamespaceConfig::new().ipv4([10, 0, 1, 2], 24).ipv6([0x2001, 0xdb8, 1, 0, 0, 0, 0, 2], 64);
    let other = network.namespace("other", &other).unwrap();
    let settings = r#"{"interfaces": [
        {"name": "small", "at": {"port": "{small}"}, "roles": ["management"], "mtu": 1280,
         "ipv4": {"static": {"address": "10.0.1.20/24"}},
         "ipv6": {"static": {"addresses": ["2001:db8:1::20/64"]}}}]}"#;
    let plan = SitePlan::new(vec![("small", NicModel::VirtioNet, &network)]);
    let site = Site::boot(&lab, &image, plan.settings(settings));
    has(&site, "small", [10, 0, 1, 20]);
    let recording = site.port("small").cable().record();
    let ping = |size: &str, to: &str| {
        let ping = other.run("ping", ["-c", "3", "-W", "10", "-M", "do", "-s", size, to]).unwrap();
        ping.finish(seconds(20)).map(|text| text.contains(" 0% packet loss"))
    };
    // 20 and 8 bytes are headers, or 40 and 8; 14 bytes are Ethernet's.
    assert!(ping("1252", "10.0.1.20").unwrap());
    assert!(ping("1232", "2001:db8:1::20").unwrap());
    let whole = |frame: &[u8]| frame.len() == 14 + 1280;
    assert_eq!(recording.list(whole).len(), 6, "three answers of each kind, in one piece each");
    // The other side would take larger ones. What is too large for one packet leaves in pieces that are not.
    let mac = site.mac("small").0;
    let text = other.run("ping", ["-c", "3", "-W", "10", "-M", "dont", "-s", "1400", "10.0.1.20"]).unwrap();
    text.finish(seconds(20)).unwrap();
    let larger = recording.list(|frame| frame.get(6..12) == Some(&mac) && frame.len() > 14 + 1280);
    assert_eq!(larger, Vec::<String>::new());
}

#[test]
fn a_bond_goes_on_by_its_other_port_and_carries_a_vlan() {
    let lab = Lab::new("bond");
    let image = Image::here();
    let network = Network::new(&lab, "management").unwrap();
    let desk = network.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let inside = network.host(HostConfig::new("inside").ipv4([10, 0, 7, 1], 24).vlan(7));
    let settings = r#"{"interfaces": [
        {"name": "both", "at": {"bond": {"mode": "active_backup", "members": ["{one}", "{two}"]}},
         "roles": ["management"], "ipv4": {"static": {"address": "10.0.1.20/24"}}},
        {"name": "inside", "at": {"vlan": {"on": "both", "id": 7}}, "roles": ["management"],
         "ipv4": {"static": {"address": "10.0.7.20/24"}}}]}"#;
    let plan =
        SitePlan::new(vec![("one", NicModel::VirtioNet, &network), ("two", NicModel::VirtioNet, &network)]);
    let site = Site::boot(&lab, &image, plan.settings(settings));
    has(&site, "both", [10, 0, 1, 20]);
    has(&site, "inside", [10, 0, 7, 20]);
    let works = |what: &str| {
        let begun = std::time::Instant::now();
        // A ping each second, as a person would: the first may go to the port that is dead.
        while desk.ping([10, 0, 1, 20], Duration::from_secs(1)).is_err() {
            assert!(begun.elapsed() < seconds(10), "{what}: not reachable");
        }
        eprintln!("{what}: reachable after {:.1?}", begun.elapsed());
        inside.ping([10, 0, 7, 20], seconds(5)).unwrap();
    };
    works("both ports");
    for (down, up) in [("one", "two"), ("two", "one")] {
        site.machine.set_link(up, true).unwrap();
        site.until("carrier on the other port", Duration::from_secs(10), |status| {
            let mac = site.mac(up).0;
            status
                .ports
                .iter()
                .any(|port| port.mac == mac && port.roles.is_empty() && port.carrier)
                .then_some(())
        });
        site.machine.set_link(down, false).unwrap();
        site.port(down).cable().pull();
        works(&format!("{down} is gone"));
        site.port(down).cable().plug();
    }
    site.machine.set_link("two", true).unwrap();
    assert!(desk.connect(([10, 0, 1, 20], 9000), seconds(10)).is_ok());
}

#[test]
fn a_technician_s_laptop_gets_an_address_and_the_console_on_the_service_port() {
    let lab = Lab::new("laptop");
    let image = Image::here();
    let network = Network::new(&lab, "service").unwrap();
    let laptop = network.namespace("laptop", &NamespaceConfig::new()).unwrap();
    let settings = r#"{"interfaces": [{"name": "service", "at": {"port": "{service}"}, "roles": ["service"],
        "ipv4": "link_local"}]}"#;
    let plan = SitePlan::new(vec![("service", NicModel::VirtioNet, &network)]);
    let site = Site::boot(&lab, &image, plan.settings(settings));
    has(&site, "service", [169, 254, 100, 1]);
    let script = "#!/bin/sh\ncase $1 in bound) ip addr add $ip/$mask dev $interface; echo \"got $ip/$mask from $serverid \
                  router=$router dns=$dns\";; esac\n";
    let script = laptop.write("udhcpc.script", script).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["-f", "-q", "-i", "eth0", "-t", "30", "-T", "1", "-s", script.to_str().unwrap()];
    let udhcpc = laptop.run("udhcpc", arguments).unwrap();
    let got = udhcpc.wait_for("got 169.254.", seconds(20)).unwrap().text;
    assert!(got.contains("from 169.254.100.1 router= dns="), "a laptop keeps its way to the world: {got}");
    let connect = "exec 3<>/dev/tcp/169.254.100.1/9000 && echo reached";
    let text = laptop.run("bash", ["-c", connect]).unwrap().finish(seconds(10)).unwrap();
    assert!(text.contains("reached"), "{text}");
    let ping = laptop.run("ping", ["-c", "1", "-W", "5", "169.254.100.1"]).unwrap();
    ping.finish(seconds(10)).unwrap();
    site.says("got the address 169.254.");
}

/// Two appliances whose ports are joined by two wires: each is the other's switch.
#[test]
fn two_wires_between_two_appliances_become_one_by_lacp() {
    let lab = Lab::new("lacp");
    let image = Image::here();
    let wires = ["left", "right"].map(|name| Network::new(&lab, name).unwrap());
    let settings = |own: u8, address: u8| {
        format!(
            r#"{{"interfaces": [
                {{"name": "both", "at": {{"bond": {{"mode": "lacp", "members": ["{{l{own}}}", "{{r{own}}}"]}}}},
                  "roles": ["management"], "ipv4": {{"static": {{"address": "10.0.1.{address}/24"}}}}}}]}}"#
        )
    };
    let boot = |own: u8| {
        let names = [format!("l{own}"), format!("r{own}")];
        let disk = lab.folder().join(format!("disk{own}.img"));
        drawbridge_lab::copy_sparse(&image.file(drawbridge_image::names::DISK), &disk).unwrap();
        // Not QEMU's e1000: that takes in no frame for a second after each change of its filter, and a bond that comes to
        // its addresses changes that often enough for LACP to give up.
        let ports = names.iter().zip(&wires).map(|(name, wire)| (name.as_str(), NicModel::VirtioNet, wire));
        let plan = SitePlan { disk: Some(disk), ..SitePlan::new(ports.collect()) };
        let site = Site::boot(&lab, &image, plan.settings(&settings(own, own)));
        let sent = names.map(|name| site.port(&name).cable().record());
        (site, sent)
    };
    let (first, second) = (boot(1), boot(2));
    let (sites, sent) = ([first.0, second.0], [first.1, second.1]);
    for (site, own) in sites.iter().zip([1, 2]) {
        has(site, "both", Ipv4Addr::new(10, 0, 1, own));
    }
    // They agree that the two wires belong together, and use both.
    let agree = || {
        let end = std::time::Instant::now() + seconds(60);
        while !sent.iter().all(|wires| agreed(wires)) {
            assert!(
                std::time::Instant::now() < end,
                "{:?}",
                sent.iter().flatten().map(lacp).collect::<Vec<_>>()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    agree();
    // No host of the lab can be on such wires. That the two hear each other shows when the second is given the first's
    // address: its question who has it is answered. A question or its answer may be lost while the two agree anew (the
    // second then takes the address, and nobody asks again): it is put once more.
    let first = [&sites[0].mac("l1"), &sites[0].mac("r1")].map(|mac| mac.to_string().replace('-', ":"));
    let hear_each_other = |what: &str| {
        let end = std::time::Instant::now() + seconds(60);
        loop {
            let pending = sites[1].change(&settings(2, 1));
            let is_told = sites[1].until(what, Duration::from_secs(30), |status| {
                let both = interface(status, "both")?;
                let told = both.remarks.iter().find(|remark| remark.contains("10.0.1.1 is used by"));
                let is_told = told.is_some_and(|told| first.iter().any(|mac| told.contains(mac)));
                let is_taken =
                    both.addresses.iter().any(|(address, _)| *address == Ipv4Addr::new(10, 0, 1, 1));
                (is_told || is_taken).then_some(is_told)
            });
            assert_eq!(sites[1].ask(Role::Network, &Request::RevertNetwork(pending.id)), Reply::Done);
            has(&sites[1], "both", [10, 0, 1, 2]);
            if is_told {
                break;
            }
            assert!(std::time::Instant::now() < end, "{what}: no question was answered");
        }
    };
    hear_each_other("two wires");
    for (one, other) in [("l1", "l2"), ("r1", "r2")] {
        for (site, port) in sites.iter().zip([one, other]) {
            site.port(port).cable().pull();
            site.machine.set_link(port, false).unwrap();
            // Until the bond has noticed, a question may still go by the wire that is out.
            let mac = site.mac(port).0;
            site.until("a wire that is out", Duration::from_secs(30), |status| {
                status.ports.iter().any(|port| port.mac == mac && !port.carrier).then_some(())
            });
        }
        hear_each_other(&format!("without {one}"));
        for (site, port) in sites.iter().zip([one, other]) {
            site.port(port).cable().plug();
            site.machine.set_link(port, true).unwrap();
        }
        sent.iter().flatten().for_each(Recording::clear);
        agree();
    }
}

/// What a machine last said of itself by LACP (IEEE 802.1AX section 6.4.2): key, state, and whom it sees at the other end.
fn lacp(sent: &Recording) -> Option<([u8; 2], u8, [u8; 6])> {
    let frames = sent.frames();
    let last = frames.iter().rev().find(|one| one.frame.get(12..15) == Some(&[0x88, 0x09, 1]))?;
    let partner = last.frame.get(40..46)?.try_into().ok()?;
    Some((last.frame.get(26..28)?.try_into().ok()?, *last.frame.get(32)?, partner))
}

/// Whether all wires are in one group, in step, and carry frames both ways (bits 2 to 5 of the state).
fn agreed(wires: &[Recording]) -> bool {
    let said: Option<Vec<_>> = wires.iter().map(lacp).collect();
    said.is_some_and(|said| {
        let same = said.iter().all(|(key, _, partner)| (*key, *partner) == (said[0].0, said[0].2));
        same && said.iter().all(|(_, state, partner)| state & 0x3c == 0x3c && *partner != [0; 6])
    })
}
