//! Virtual networks without a machine: hosts and cables.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::Lab;
use drawbridge_lab::net::{DhcpConfig, Faults, Host, HostConfig, NetError, Network};
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

struct Pair {
    one: Host,
    two: Host,
    _network: Network,
    _lab: Lab,
}

fn pair(name: &str) -> Pair {
    let lab = Lab::new(name);
    let network = Network::new(&lab, "net").unwrap();
    let one =
        network.host(HostConfig::new("one").ipv4([10, 0, 0, 1], 24).ipv6([0xfd00, 0, 0, 0, 0, 0, 0, 1], 64));
    let two =
        network.host(HostConfig::new("two").ipv4([10, 0, 0, 2], 24).ipv6([0xfd00, 0, 0, 0, 0, 0, 0, 2], 64));
    Pair { one, two, _network: network, _lab: lab }
}

/// Sends so many bytes over each of so many connections from the first to the second host, and compares.
fn transfer(pair: &Pair, connections: usize, length: usize, limit: Duration) -> Duration {
    let data: Vec<u8> = (0..length).map(|place| u8::try_from(place * 31 % 251).unwrap()).collect();
    let listener = pair.two.listen(7).unwrap();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut stream = pair.one.connect(([10, 0, 0, 2], 7), limit).unwrap();
                stream.set_timeout(limit);
                stream.write_all(&data).unwrap();
                stream.shutdown_write();
                stream.wait_confirmed(limit).unwrap();
            });
            scope.spawn(|| {
                let mut stream = listener.accept(limit).unwrap();
                stream.set_timeout(limit);
                let mut received = Vec::new();
                stream.read_to_end(&mut received).unwrap();
                assert!(received == data, "{} of {length} bytes arrived", received.len());
            });
        }
    });
    started.elapsed()
}

#[test]
fn a_megabyte_crosses_a_cable_that_loses_a_fifth() {
    let pair = pair("a megabyte over a bad cable");
    pair.one.cable().set_faults(Faults::loss(0.2));
    // Sixteen connections: smoltcp knows no selective acknowledgement and backs off, so one alone takes minutes.
    let took = transfer(&pair, 16, 64 << 10, Duration::from_mins(2));
    let counters = pair.one.cable().counters();
    assert!(counters.lost > 50, "{counters:?}");
    println!("1 MiB over a cable that loses 20 %: {took:.1?}");
}

#[test]
fn data_survives_everything_that_a_cable_does() {
    let pair = pair("all faults");
    let delay = Duration::from_micros(200);
    let faults = Faults {
        loss: 0.02,
        duplicate: 0.05,
        reorder: 0.05,
        corrupt: 0.02,
        delay,
        jitter: delay,
        ..Faults::default()
    };
    pair.two.cable().set_faults(faults);
    transfer(&pair, 1, 1 << 20, Duration::from_mins(2));
    let counters = pair.two.cable().counters();
    assert!(counters.duplicated > 0 && counters.reordered > 0 && counters.corrupted > 0, "{counters:?}");
}

/// The processor time of this process's thread of this name, in the kernel's ticks.
fn ticks_of_thread(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let mut named = tasks
        .filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name));
    let stat = std::fs::read_to_string(named.next().unwrap().join("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields.iter().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_silent_network_costs_nothing() {
    let lab = Lab::new("a silent network");
    let network = Network::new(&lab, "idle").unwrap();
    let one = network.host(HostConfig::new("one").ipv4([10, 0, 0, 1], 24));
    let two = network.host(HostConfig::new("two").ipv4([10, 0, 0, 2], 24));
    let _dhcp = two.serve_dhcp(DhcpConfig::pool([10, 0, 0, 100], 10));
    let listener = two.listen(7).unwrap();
    let mut stream = one.connect(([10, 0, 0, 2], 7), SOON).unwrap();
    let _accepted = listener.accept(SOON).unwrap();
    let before = ticks_of_thread("net-idle");
    // The bound is the wait: nothing comes in this second.
    stream.set_timeout(Duration::from_secs(1));
    assert!(stream.read(&mut [0; 8]).is_err());
    let used = ticks_of_thread("net-idle") - before;
    assert!(used <= 1, "{used} hundredths of a second");
}

#[test]
fn large_transfers_arrive_whole() {
    let pair = pair("large transfers");
    let took = transfer(&pair, 1, 64 << 20, Duration::from_mins(2));
    println!("64 MiB between two hosts: {took:.2?}");
}

#[test]
fn a_closed_port_refuses_at_once_and_a_missing_host_is_silent() {
    let pair = pair("refusals");
    let refused = pair.one.connect(([10, 0, 0, 2], 81), SOON).unwrap_err();
    assert!(matches!(refused, NetError::Refused(_)), "{refused}");
    let silent = pair.one.connect(([10, 0, 0, 9], 81), Duration::from_millis(100)).unwrap_err();
    assert!(matches!(silent, NetError::Silent(..)), "{silent}");
}

#[test]
fn pings_are_answered_over_both_protocols_and_take_as_long_as_the_cable() {
    let pair = pair("pings");
    pair.one.ping([10, 0, 0, 2], SOON).unwrap();
    pair.one.ping([0xfd00, 0, 0, 0, 0, 0, 0, 2], SOON).unwrap();
    pair.two.cable().set_faults(Faults::delay(Duration::from_millis(40)));
    let time = pair.one.ping([10, 0, 0, 2], SOON).unwrap();
    assert!(time >= Duration::from_millis(80), "{time:?}");
    pair.two.cable().pull();
    assert!(pair.one.ping([10, 0, 0, 2], Duration::from_millis(100)).is_err());
    pair.two.cable().plug();
    pair.one.ping([10, 0, 0, 2], SOON).unwrap();
}

#[test]
fn half_closed_and_reset_connections_are_told_apart() {
    let pair = pair("half closed");
    let listener = pair.two.listen(7).unwrap();
    let mut client = pair.one.connect(([0xfd00, 0, 0, 0, 0, 0, 0, 2], 7), SOON).unwrap();
    let mut server = listener.accept(SOON).unwrap();
    assert_eq!(server.peer_address(), client.local_address());
    client.write_all(b"question").unwrap();
    client.shutdown_write();
    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));

    let mut client = pair.one.connect(([10, 0, 0, 2], 7), SOON).unwrap();
    let server = listener.accept(SOON).unwrap();
    server.abort();
    let error = client.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_silent_peer_meets_the_bound_of_a_read() {
    let pair = pair("silent peer");
    let listener = pair.two.listen(7).unwrap();
    let mut client = pair.one.connect(([10, 0, 0, 2], 7), SOON).unwrap();
    let _server = listener.accept(SOON).unwrap();
    client.set_timeout(Duration::from_millis(50));
    assert_eq!(client.read(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn datagrams_arrive_with_their_sender() {
    let pair = pair("datagrams");
    let server = pair.two.udp(123).unwrap();
    let client = pair.one.udp(0).unwrap();
    client.send_to(b"what time", ([10, 0, 0, 2], 123)).unwrap();
    let (question, from) = server.receive_from(SOON).unwrap();
    assert_eq!(question, b"what time");
    server.send_to(b"late", from).unwrap();
    assert_eq!(client.receive_from(SOON).unwrap().0, b"late");
}

#[test]
fn many_connections_are_open_at_a_time() {
    let pair = pair("many connections");
    let listener = pair.two.listen(7).unwrap();
    std::thread::scope(|scope| {
        for number in 0..100_u8 {
            let one = &pair.one;
            scope.spawn(move || {
                // More come at once than the backlog holds: as with a real host, trying again helps.
                let deadline = Instant::now() + SOON;
                let mut stream = loop {
                    match one.connect(([10, 0, 0, 2], 7), SOON) {
                        Ok(stream) => break stream,
                        Err(error) => assert!(Instant::now() < deadline, "{error}"),
                    }
                };
                stream.write_all(&[number; 1000]).unwrap();
                stream.shutdown_write();
                let mut echo = Vec::new();
                stream.read_to_end(&mut echo).unwrap();
                assert_eq!(echo, [number; 1000]);
            });
        }
        for _ in 0..100 {
            let mut stream = listener.accept(SOON).unwrap();
            scope.spawn(move || {
                let mut text = Vec::new();
                stream.read_to_end(&mut text).unwrap();
                stream.write_all(&text).unwrap();
            });
        }
    });
}

/// The frames of a capture file (classic pcap, pcap-savefile(5)).
fn captured(path: &std::path::Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.get(24..).unwrap();
    let mut frames = Vec::new();
    while let Some(length) = rest.get(8..12) {
        let length = usize::try_from(u32::from_le_bytes(*length.as_array().unwrap())).unwrap();
        frames.push(rest.get(16..16 + length).unwrap().to_vec());
        rest = rest.get(16 + length..).unwrap();
    }
    frames
}

#[test]
fn a_host_in_a_vlan_speaks_tagged_and_hears_only_its_own() {
    let lab = Lab::new("tagged hosts");
    let network = Network::new(&lab, "net").unwrap();
    let host = |name: &str, last: u8| HostConfig::new(name).ipv4([10, 0, 0, last], 24);
    let one = network.host(host("one", 1).vlan(100));
    let others = [host("two", 2).vlan(100), host("three", 3).vlan(200), host("four", 4)];
    let others = others.map(|config| network.host(config));
    let port = network.nic_port("port").unwrap();
    let tap = network.tap("tap");
    one.ping([10, 0, 0, 2], SOON).unwrap();
    for other in [3, 4] {
        assert!(one.ping([10, 0, 0, other], Duration::from_millis(100)).is_err());
    }
    // 802.1Q: the tag's type, priority 0 and the number, then ARP's type.
    let tagged = [0x81, 0, 0, 100, 8, 6];
    assert_eq!(tap.receive(SOON).unwrap().get(12..18), Some(&tagged[..]));
    // The capture is whole when the network has ended.
    drop((one, others, port, tap, network));
    let frames = captured(&lab.file("net-port.pcap"));
    assert!(!frames.is_empty());
    assert!(frames.iter().all(|frame| frame.get(12..18) == Some(&tagged[..])), "{frames:?}");
}

#[test]
fn a_network_of_two_ends_is_a_wire_for_lacp_and_one_of_three_is_not() {
    let lab = Lab::new("a wire for LACP");
    let network = Network::new(&lab, "net").unwrap();
    let (one, two) = (network.tap("one"), network.tap("two"));
    let mut lacp = vec![0x01, 0x80, 0xc2, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0x09, 1, 1];
    lacp.resize(124, 0);
    one.send(&lacp);
    assert_eq!(two.receive(SOON).as_deref(), Some(&lacp[..]));
    let three = network.tap("three");
    one.send(&lacp);
    let broadcast = [&[0xff; 6][..], lacp.get(6..).unwrap()].concat();
    one.send(&broadcast);
    assert_eq!(two.receive(SOON).as_deref(), Some(&broadcast[..]));
    assert_eq!(three.receive(SOON).as_deref(), Some(&broadcast[..]));
    drop(three);
    one.send(&lacp);
    assert_eq!(two.receive(SOON).as_deref(), Some(&lacp[..]));
}
