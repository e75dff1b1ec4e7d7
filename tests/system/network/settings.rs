//! Settings, and changes that have to be confirmed.

use drawbridge_bus::{ChangeId, Reply, Request, Role};
use drawbridge_lab::net::{HostConfig, Network};
use drawbridge_lab::{Lab, NicModel, seconds, within};
use drawbridge_settings::network::NetworkSettings;
use drawbridge_tests::{Image, Site, SitePlan, data_partition};
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

/// A static address for the port `management`.
fn fixed(address: &str, seconds: u16) -> String {
    format!(
        r#"{{"confirm_seconds": {seconds}, "interfaces": [
            {{"name": "management", "at": {{"port": "{{management}}"}}, "roles": ["management"],
              "ipv4": {{"static": {{"address": "{address}", "router": "10.0.1.1"}}}}, "ipv6": "off"}}]}}"#
    )
}

#[test]
fn a_change_that_cuts_the_administrator_off_rolls_itself_back() {
    let lab = Lab::new("cut off");
    let image = Image::here();
    let network = Network::new(&lab, "management").unwrap();
    let desk = network.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let plan = SitePlan::new(vec![("management", NicModel::VirtioNet, &network)]);
    let site = Site::boot(&lab, &image, plan.settings(&fixed("10.0.1.20/24", 60)));
    let before = Ipv4Addr::new(10, 0, 1, 20);
    site.has("management", before);
    desk.ping(before, within(Duration::from_secs(5))).unwrap();

    // Into another network: the desk cannot reach it there, nobody confirms.
    site.change(&fixed("10.9.9.20/24", 10).replace("10.0.1.1\"", "10.9.9.1\""));
    site.says("the network is changed");
    site.has("management", [10, 9, 9, 20]);
    assert!(desk.ping(before, Duration::from_secs(1)).is_err());
    site.says("was not confirmed in time and is taken back");
    site.has("management", before);
    desk.ping(before, within(Duration::from_secs(5))).unwrap();
    assert_eq!(site.network().pending, None);
}

/// Ends a machine without a word, and boots its disk again.
fn power_cut(lab: &Lab, image: &Image, network: &Network, site: Site) -> Site {
    site.machine.kill();
    let disk = Some(site.disk.clone());
    drop(site);
    let plan = SitePlan::new(vec![("management", NicModel::VirtioNet, network)]);
    Site::boot(lab, image, SitePlan { disk, ..plan })
}

#[test]
fn what_is_confirmed_outlives_a_power_cut_and_what_is_not_does_not() {
    let lab = Lab::new("confirmed and not");
    let image = Image::here();
    let network = Network::new(&lab, "management").unwrap();
    let desk = network.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let plan = SitePlan::new(vec![("management", NicModel::VirtioNet, &network)]);
    let site = Site::boot(&lab, &image, plan.settings(&fixed("10.0.1.20/24", 60)));
    site.has("management", [10, 0, 1, 20]);

    // Settings that are wrong are told by field, and change nothing.
    let mut wrong: NetworkSettings = match site.ask(Role::Network, &Request::NetworkSettings) {
        Reply::NetworkSettings(settings) => *settings,
        other => panic!("no settings: {other:?}"),
    };
    wrong.confirm_seconds = 5;
    wrong.interfaces.push(wrong.interfaces[0].clone());
    let faults = match site.ask(Role::Network, &Request::ChangeNetwork(Box::new(wrong))) {
        Reply::Invalid(faults) => faults,
        other => panic!("wrong settings were taken: {other:?}"),
    };
    let told =
        |field: &str| faults.iter().any(|fault| fault.field.starts_with(field) && !fault.right.is_empty());
    assert!(told("confirm_seconds") && told("interfaces[1]"), "{faults:?}");
    assert_eq!(site.network().pending, None);

    // The number of another change confirms nothing, and takes nothing back.
    let change = fixed("10.0.1.21/24", 120).replacen('{', r#"{"host_name": "support-1", "#, 1);
    let pending = site.change(&change);
    assert_eq!(pending.seconds, 120);
    let other = ChangeId(pending.id.0.wrapping_add(1));
    for request in [Request::ConfirmNetwork(other), Request::RevertNetwork(other)] {
        let reply = site.ask(Role::Network, &request);
        assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    }
    site.has("management", [10, 0, 1, 21]);
    assert_eq!(site.network().pending.map(|pending| pending.id), Some(pending.id));
    desk.ping([10, 0, 1, 21], seconds(5)).unwrap();
    site.confirm(pending.id);
    assert_eq!(site.network().pending, None);
    assert_eq!(site.network().host_name, "support-1");

    let site = power_cut(&lab, &image, &network, site);
    site.has("management", [10, 0, 1, 21]);
    assert_eq!(site.network().host_name, "support-1");
    assert_eq!(site.network().remarks, [""; 0]);
    desk.ping([10, 0, 1, 21], seconds(5)).unwrap();

    // The power fails while a change waits.
    site.change(&fixed("10.0.1.22/24", 120));
    site.has("management", [10, 0, 1, 22]);
    let site = power_cut(&lab, &image, &network, site);
    site.has("management", [10, 0, 1, 21]);
    assert_eq!(site.network().pending, None);
    desk.ping([10, 0, 1, 21], seconds(5)).unwrap();
}

/// Overwrites a file of the data partition with what is no settings.
fn damage(disk: &std::path::Path, file: &str) {
    let place = format!("{}?offset={}", disk.display(), data_partition(disk).offset);
    // A machine without power has left its journal behind.
    Command::new("e2fsck").args(["-p", &place]).output().unwrap();
    let noise = disk.with_extension("noise");
    std::fs::write(&noise, "drawbridge network 1 0000\n{\"interfaces\": [").unwrap();
    let write = format!("write {} {file}", noise.display());
    for command in [format!("rm {file}"), write] {
        let output = Command::new("debugfs").args(["-w", "-R", &command, &place]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn damaged_settings_give_way_to_those_before_and_those_to_the_defaults() {
    let lab = Lab::new("damaged settings");
    let image = Image::here();
    let network = Network::new(&lab, "management").unwrap();
    let _desk = network.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let plan = SitePlan::new(vec![("management", NicModel::VirtioNet, &network)]);
    let site = Site::boot(&lab, &image, plan.settings(&fixed("10.0.1.20/24", 60)));
    site.has("management", [10, 0, 1, 20]);
    site.confirm(site.change(&fixed("10.0.1.21/24", 60)).id);

    let again = |site: Site, file: &str| {
        site.machine.kill();
        let disk = site.disk.clone();
        drop(site);
        damage(&disk, file);
        let plan = SitePlan::new(vec![("management", NicModel::VirtioNet, &network)]);
        Site::boot(&lab, &image, SitePlan { disk: Some(disk), ..plan })
    };
    let site = again(site, "/network/network.json");
    site.has("management", [10, 0, 1, 20]);
    let remarks = site.network().remarks.join("\n");
    assert!(
        remarks.contains("those of one save earlier") && remarks.contains("save them again"),
        "{remarks}"
    );

    let site = again(site, "/network/network.previous.json");
    let remarks = site.network().remarks.join("\n");
    assert!(remarks.contains("are lost and the defaults hold"), "{remarks}");
    // The board's default: it asks for an address, and says that nobody gives one.
    site.until("a link-local address", Duration::from_secs(30), |status| {
        let addresses = &site.seen(status, "management")?.addresses;
        addresses
            .iter()
            .any(|(address, _)| matches!(address, IpAddr::V4(v4) if v4.is_link_local()))
            .then_some(())
    });
}

#[test]
fn a_port_that_appears_later_gets_what_is_set_for_it() {
    let lab = Lab::new("port later");
    let image = Image::here();
    let networks = ["management", "array"].map(|name| Network::new(&lab, name).unwrap());
    let [desk, node] = [(0, [10, 0, 1, 1]), (1, [10, 0, 3, 1])]
        .map(|(network, address)| networks[network].host(HostConfig::new("host").ipv4(address, 24)));
    let ports =
        vec![("management", NicModel::VirtioNet, &networks[0]), ("array", NicModel::VirtioNet, &networks[1])];
    let array = r#", {"name": "array", "at": {"port": "{array}"}, "roles": ["management", "array"], "mtu": 1400,
        "ipv4": {"static": {"address": "10.0.3.20/24"}}}]}"#;
    let settings = fixed("10.0.1.20/24", 60).replace("]}", "]@").replace("]@", "@");
    let settings = match settings.rsplit_once('@') {
        Some((before, _)) => format!("{before}{array}"),
        None => panic!("{settings}"),
    };
    let site = Site::boot(&lab, &image, SitePlan::new(ports).settings(&settings));
    site.has("array", [10, 0, 3, 20]);
    node.ping([10, 0, 3, 20], seconds(5)).unwrap();
    site.machine.unplug_nic("array", seconds(30)).unwrap();
    site.until("no array port", Duration::from_secs(10), |status| {
        site.seen(status, "array").is_none().then_some(())
    });
    desk.ping([10, 0, 1, 20], seconds(5)).unwrap();
    site.machine.plug_nic("array").unwrap();
    site.has("array", [10, 0, 3, 20]);
    assert_eq!(site.seen(&site.network(), "array").map(|port| port.mtu), Some(1400));
    node.ping([10, 0, 3, 20], seconds(5)).unwrap();
}
