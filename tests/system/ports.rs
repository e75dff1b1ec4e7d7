//! The Ethernet ports: whatever their kind, each gets its address from the network it is plugged into.

use drawbridge_lab::net::{DhcpConfig, HostConfig, Network};
use drawbridge_lab::{Lab, Nic, NicModel, seconds};
use drawbridge_tests::{Appliance, Image, Plan};
use std::io::{Read as _, Write as _};

#[test]
fn every_model_of_network_card_gets_a_lease_and_serves() {
    let image = Image::here();
    let models = NicModel::all_available();
    assert!(models.len() >= 3, "this QEMU has only {models:?}");
    for nic in models {
        let lab = Lab::new(&format!("lease {nic}"));
        let appliance = Appliance::boot(&lab, &image, Plan { nic, ..Plan::of(&image) });
        appliance.is_up();
        assert_eq!(appliance.page().status, 200, "{nic}");
    }
}

#[test]
fn three_ports_of_three_models_get_three_leases() {
    let lab = Lab::new("three ports");
    let image = Image::here();
    let mut others = Vec::new();
    let appliance = Appliance::boot_with(&lab, &image, Plan::of(&image), |mut machine| {
        for (number, (name, model)) in
            [("uplink", NicModel::E1000), ("array", NicModel::E1000e)].into_iter().enumerate()
        {
            let third = u8::try_from(number + 2).unwrap();
            let network = Network::new(&lab, name).unwrap();
            let host = network.host(HostConfig::new(name).ipv4([10, 0, third, 1], 24));
            let dhcp = host.serve_dhcp(DhcpConfig::pool([10, 0, third, 100], 50));
            let port = network.nic_port(name).unwrap();
            let nic = Nic::new(name, model, &port);
            others.push((nic.mac(), dhcp, third, host, port));
            machine = machine.nic(nic);
        }
        machine
    });
    appliance.is_up();
    for (mac, dhcp, third, _host, _port) in &others {
        let address = dhcp.wait_for_lease(*mac, seconds(30)).unwrap();
        assert_eq!(address.octets()[..3], [10, 0, *third]);
        appliance.machine.serial().look_from(drawbridge_lab::serial::Serial::beginning());
        appliance.says(&format!("The console is at https://{address}:9000/"));
    }
    let text = appliance.page_text();
    for (mac, ..) in &others {
        assert!(
            text.to_lowercase().contains(&mac.to_string().replace('-', ":").to_lowercase()),
            "{mac} is not on the page"
        );
    }
}

#[test]
fn a_port_whose_cable_was_pulled_gets_its_lease_again() {
    // QEMU 7.2 tells e1000e's driver of a link that came up, and not of one that went down: that model is left out here.
    for nic in [NicModel::VirtioNet, NicModel::E1000] {
        let lab = Lab::new(&format!("pulled cable {nic}"));
        let image = Image::here();
        let appliance = Appliance::boot(&lab, &image, Plan { nic, ..Plan::of(&image) });
        appliance.is_up();
        appliance.machine.set_link("management", false).unwrap();
        appliance.says("has no carrier");
        appliance.machine.set_link("management", true).unwrap();
        appliance.says("by DHCP from 10.0.1.1");
        assert_eq!(appliance.page().status, 200, "{nic}");
    }
}

#[test]
fn a_port_that_was_unplugged_and_comes_back_gets_a_lease_again() {
    for nic in [NicModel::VirtioNet, NicModel::E1000e] {
        let lab = Lab::new(&format!("unplugged port {nic}"));
        let image = Image::here();
        let appliance = Appliance::boot(&lab, &image, Plan { nic, ..Plan::of(&image) });
        appliance.is_up();
        appliance.machine.unplug_nic("management", seconds(30)).unwrap();
        appliance.says("is gone");
        appliance.machine.plug_nic("management").unwrap();
        appliance.says("by DHCP from 10.0.1.1");
        assert_eq!(appliance.page().status, 200, "{nic}");
    }
}

#[test]
fn nothing_but_the_console_s_two_ports_answers_a_connection() {
    let lab = Lab::new("scan");
    let image = Image::here();
    let appliance = Appliance::boot(&lab, &image, Plan::of(&image));
    let address = appliance.is_up();
    // Resets are rare on purpose: most closed ports say nothing, so that the last answer is waited for in vain.
    let attacker = appliance.network.attacker("attacker", &["10.0.1.66".parse().unwrap()]).in_haste();
    let scan = attacker.scan_tcp(address.into(), 1..=u16::MAX, seconds(3)).unwrap();
    assert_eq!(scan.open(), [8000, 9000], "{scan:?}");
    assert_eq!(appliance.page().status, 200);
    // One sends to the other, at the address by which it was reached.
    let mut plain = appliance.gateway.connect((address, 8000), seconds(10)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(answer.contains(&format!("\r\nlocation: https://{address}:9000/\r\n")), "{answer}");
}
