//! Servers and neighbours that misbehave, against hosts of the lab.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::Lab;
use drawbridge_lab::net::{
    DnsBehaviour, DnsRecords, DnsServer, Host, HostConfig, Network, NtpBehaviour, RouterAdvertisement, router,
};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const LIE: IpAddr = IpAddr::V4(Ipv4Addr::new(6, 6, 6, 6));

struct Setting {
    server: Host,
    client: Host,
    network: Network,
    _lab: Lab,
}

fn setting(name: &str) -> Setting {
    let lab = Lab::new(name);
    let network = Network::new(&lab, "net").unwrap();
    let server =
        network.host(HostConfig::new("server").ipv4(SERVER, 24).ipv6([0xfe80, 0, 0, 0, 0, 0, 0, 1], 64));
    let client = network.host(HostConfig::new("client").ipv4([10, 0, 0, 2], 24));
    Setting { server, client, network, _lab: lab }
}

/// A query for an IPv4 address.
fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// The answer by datagram, with the port and address that it came from.
fn ask(client: &Host, name: &str, within: Duration) -> Option<(Vec<u8>, std::net::SocketAddr)> {
    let socket = client.udp(0).unwrap();
    socket.send_to(&query(name), (SERVER, 53)).unwrap();
    socket.receive_from(within).ok()
}

fn dns(setting: &Setting) -> DnsServer {
    setting.server.serve_dns(DnsRecords::new().address("array.lab", [10, 0, 0, 7])).unwrap()
}

#[test]
fn a_dns_server_tells_its_table_over_both_transports() {
    let setting = setting("a DNS server");
    let dns = dns(&setting);
    let (answer, from) = ask(&setting.client, "Array.lab", SOON).unwrap();
    assert!(answer.starts_with(&[0x12, 0x34]) && answer.ends_with(&[10, 0, 0, 7]), "{answer:?}");
    assert_eq!(from, (SERVER, 53).into());
    let mut stream = setting.client.connect((SERVER, 53), SOON).unwrap();
    stream.set_timeout(SOON);
    for name in ["array.lab", "no.lab"] {
        let message = query(name);
        // In pieces, as a stream may bring it.
        stream.write_all(&[0]).unwrap();
        stream.write_all(&[u8::try_from(message.len()).unwrap()]).unwrap();
        stream.write_all(&message).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[3] & 0xf, if name == "no.lab" { 3 } else { 0 });
    }
    let asked = dns.wait_for_question(SOON, |question| question.name == "no.lab").unwrap();
    assert!(asked.by_tcp && asked.kind == 1, "{asked:?}");
    assert_eq!(dns.questions().len(), 3);
}

#[test]
fn a_dns_server_lies_in_each_way() {
    let setting = setting("a DNS server that lies");
    let dns = dns(&setting);
    let say = |behaviour| {
        dns.set_behaviour(behaviour);
        ask(&setting.client, "array.lab", SOON).unwrap()
    };
    assert!(say(DnsBehaviour::Lie(LIE)).0.ends_with(&[6, 6, 6, 6]));
    assert!(say(DnsBehaviour::WrongId(LIE)).0.starts_with(&[0x12, 0x35]));
    assert_eq!(say(DnsBehaviour::WrongQuestion(LIE)).0.get(12..20), Some(&b"\x07another"[..]));
    assert_ne!(say(DnsBehaviour::OtherPort(LIE)).1.port(), 53);
    assert_eq!(say(DnsBehaviour::OtherSource(LIE)).1, (LIE, 53).into());
    assert_eq!(say(DnsBehaviour::Truncate).0[2] & 2, 2);
    assert_eq!(say(DnsBehaviour::NoSuchName).0[3] & 0xf, 3);
    assert_eq!(say(DnsBehaviour::Fail).0[3] & 0xf, 2);
    assert_eq!(say(DnsBehaviour::Refuse).0[3] & 0xf, 5);
    assert!(say(DnsBehaviour::Garbage(1)).0.starts_with(&[0x12, 0x34]));
    dns.set_behaviour(DnsBehaviour::Stall);
    assert!(ask(&setting.client, "array.lab", SHORT).is_none());
    assert_eq!(dns.questions().len(), 11);
}

#[test]
fn an_ntp_server_is_years_off_or_silent() {
    let setting = setting("an NTP server");
    let ntp = setting.server.serve_ntp().unwrap();
    let socket = setting.client.udp(0).unwrap();
    let mut query = [0; 48];
    query[0] = 0x23;
    let seconds = || {
        socket.send_to(&query, (SERVER, 123)).unwrap();
        let (answer, _) = socket.receive_from(SOON).unwrap();
        i64::from(u32::from_be_bytes(*answer[40..].first_chunk().unwrap()))
    };
    let now = seconds();
    // NTP's seconds begin anew in 2036.
    let around = |seconds: i64| (seconds + (1 << 31)).rem_euclid(1 << 32) - (1 << 31);
    let decade = 10 * 365 * 24 * 3600;
    ntp.set_offset(decade);
    assert!(around(seconds() - now - decade).abs() < 30);
    ntp.set_offset(-decade);
    assert!(around(seconds() - now + decade).abs() < 30);
    ntp.set_behaviour(NtpBehaviour::Silent);
    socket.send_to(&query, (SERVER, 123)).unwrap();
    assert!(socket.receive_from(SHORT).is_err());
    assert_eq!(ntp.queries().len(), 4);
}

#[test]
fn a_thief_is_told_from_the_owner() {
    let setting = setting("a thief");
    let stolen: IpAddr = SERVER.into();
    let thief = setting.network.thief("thief", &[stolen]).unwrap();
    let attacker = setting.network.attacker("attacker", &[Ipv4Addr::new(10, 0, 0, 66).into()]);
    let mut who = attacker.who_has(stolen, SHORT);
    who.sort();
    let mut both = [setting.server.mac(), thief.mac()];
    both.sort();
    assert_eq!(who, both);
    assert_eq!(attacker.probe(stolen, SHORT), [thief.mac()], "the lab's hosts do not answer probes");
    assert_eq!(thief.answers(), 2);
    thief.claim(&[]);
    assert_eq!(attacker.who_has(stolen, SHORT), [setting.server.mac()]);
    let recording = thief.cable().record();
    thief.announce(stolen);
    attacker.who_has(stolen, SHORT);
    assert_eq!(recording.frames().len(), 1);
}

#[test]
fn all_nodes_are_found_by_one_ping() {
    let setting = setting("all nodes");
    let own: IpAddr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x66).into();
    let attacker = setting.network.attacker("attacker", &[own]);
    let found = attacker.ping_all_nodes(SHORT);
    assert_eq!(found, [(setting.server.mac(), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1))]);
}

#[test]
fn a_recording_shows_what_an_end_says_and_nothing_else() {
    let setting = setting("a recording");
    let recording = setting.client.cable().record();
    setting.client.ping(SERVER, SOON).unwrap();
    let said = recording.list(|_| true);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("who has 10.0.0.1? 10.0.0.2 asks"), "{said:#?}");
    assert!(said[1].contains("ICMP from 10.0.0.2 to 10.0.0.1"), "{said:#?}");
    recording.clear();
    setting.network.tap("tap").send(&RouterAdvertisement::new().frame(setting.server.mac()));
    setting.server.ping([10, 0, 0, 2], SOON).unwrap();
    let unasked = recording.list(|frame| frame.get(..6) != Some(&setting.server.mac().0));
    assert!(unasked.is_empty(), "{unasked:#?}");
}

#[test]
fn a_host_survives_floods_and_hostile_advertisements() {
    let setting = setting("floods");
    let tap = setting.network.tap("tap");
    router::flood(1).take(2_000).for_each(|frame| tap.send(&frame));
    router::hostile(1).take(5_000).for_each(|frame| tap.send(&frame));
    setting.client.ping(SERVER, SOON).unwrap();
}
