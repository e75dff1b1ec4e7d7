//! Names by servers that lie, stall or answer from elsewhere: another server is asked, or a sentence says what is wrong.

use drawbridge_lab::net::{DnsBehaviour, DnsRecords, DnsServer, HostConfig, Network};
use drawbridge_lab::{Lab, NicModel};
use drawbridge_tests::{Image, Site, SitePlan};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const TRUTH: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 77));
const LIE: IpAddr = IpAddr::V4(Ipv4Addr::new(6, 6, 6, 6));

/// The management port with servers of these last bytes.
fn served_by(servers: &[u8]) -> String {
    let servers: Vec<String> = servers.iter().map(|last| format!("\"10.0.1.{last}\"")).collect();
    format!(
        r#"{{"confirm_seconds": 3600, "interfaces": [
            {{"name": "management", "at": {{"port": "{{management}}"}}, "roles": ["management"],
              "ipv4": {{"static": {{"address": "10.0.1.20/24"}}}}, "ipv6": "off", "dns": [{}]}}]}}"#,
        servers.join(", ")
    )
}

/// Changes the servers, and waits until they are the ones that are asked.
fn change(site: &Site, servers: &[u8]) {
    site.change(&served_by(servers));
    let wanted: Vec<IpAddr> = servers.iter().map(|last| [10, 0, 1, *last].into()).collect();
    site.until("the name servers", Duration::from_secs(20), |status| {
        let now: Vec<IpAddr> = status.name_servers.iter().map(|(server, _)| *server).collect();
        (now == wanted).then_some(())
    });
    site.has("management", Ipv4Addr::new(10, 0, 1, 20));
}

#[test]
fn a_name_server_that_lies_stalls_or_answers_from_elsewhere_is_passed_over() {
    let lab = Lab::new("name servers");
    let image = Image::here();
    let network = Network::new(&lab, "management").unwrap();
    let records = || DnsRecords::new().address("array.lab", TRUTH).address("node.lab", TRUTH);
    let server = |last: u8, behaviour| {
        let name = format!("server {last}");
        let host = network.host(HostConfig::new(&name).ipv4([10, 0, 1, last], 24));
        let server = host.serve_dns(records()).unwrap();
        server.set_behaviour(behaviour);
        server
    };
    let wrong_id = server(51, DnsBehaviour::WrongId(LIE));
    let wrong_question = server(52, DnsBehaviour::WrongQuestion(LIE));
    let other_source = server(53, DnsBehaviour::OtherSource([10, 0, 1, 66].into()));
    let stalled = server(54, DnsBehaviour::Stall);
    let other_port = server(55, DnsBehaviour::OtherPort(LIE));
    let garbage = server(56, DnsBehaviour::Garbage(7));
    let good = server(57, DnsBehaviour::Normal);
    let asked = |servers: &[&DnsServer], name: &str| {
        for server in servers {
            let questions = server.questions();
            assert!(questions.iter().any(|question| question.name == name), "{name} not among {questions:?}");
        }
    };
    let plan = SitePlan::new(vec![("management", NicModel::VirtioNet, &network)]);
    let site = Site::boot(&lab, &image, plan.settings(&served_by(&[51, 52, 53, 57])));
    site.has("management", Ipv4Addr::new(10, 0, 1, 20));

    assert_eq!(site.resolve("array.lab"), Ok(vec![TRUTH]));
    asked(&[&wrong_id, &wrong_question, &other_source, &good], "array.lab");

    // No other server is left: a sentence names each.
    change(&site, &[51, 52, 53]);
    let why = site.resolve("node.lab").unwrap_err();
    assert!(why.starts_with("the address of node.lab cannot be found out"), "{why}");
    for last in [51, 52, 53] {
        assert!(why.contains(&format!("the DNS server 10.0.1.{last} ")), "{why}");
    }

    // The last one of these says that the whole answer is to be had by TCP, where it is.
    good.set_behaviour(DnsBehaviour::Truncate);
    change(&site, &[54, 55, 56, 57]);
    assert_eq!(site.resolve("node.lab"), Ok(vec![TRUTH]));
    asked(&[&stalled, &other_port, &garbage], "node.lab");
    assert!(good.questions().iter().any(|question| question.by_tcp && question.name == "node.lab"));

    // Servers that do answer, and have no address to tell.
    garbage.set_behaviour(DnsBehaviour::Refuse);
    stalled.set_behaviour(DnsBehaviour::Fail);
    change(&site, &[56, 54]);
    let why = site.resolve("array.lab").unwrap_err();
    assert!(why.contains("10.0.1.56 refuses to answer this appliance"), "{why}");
    assert!(why.contains("10.0.1.54 cannot find the answer out itself"), "{why}");
    good.set_behaviour(DnsBehaviour::NoSuchName);
    change(&site, &[57]);
    let why = site.resolve("array.lab").unwrap_err();
    assert!(why.starts_with("there is no host named array.lab, says the DNS server 10.0.1.57"), "{why}");

    // Without any server an address is an address all the same.
    change(&site, &[]);
    assert_eq!(site.resolve("192.0.2.7"), Ok(vec![[192, 0, 2, 7].into()]));
    let why = site.resolve("array.lab").unwrap_err();
    assert!(why.contains("no DNS server is known"), "{why}");
}
