//! What the filter does to packets: on real cables (veth), against a machine in another network namespace.

mod common;

use common::frames::{Cable, NEVER, Tap, is_arp_reply};
use common::{Peer, in_a_namespace, run, set};
use drawbridge_filter::{Filter, Policy, PortPolicy};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long nothing has to come for nothing to be taken as the answer: reports to groups are put off for up to 0.1 s by the
/// queries that ask for them here.
const SILENCE: Duration = Duration::from_millis(500);

fn v4(net: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, net, 0, host)
}

fn v6(net: u8, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00 + u16::from(net), 0, 0, 0, 0, 0, 0, host)
}

fn link_local(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host)
}

fn uplink(index: u32) -> PortPolicy {
    PortPolicy { name: "ul".to_owned(), index, uplink: true, ..PortPolicy::default() }
}

fn management(index: u32) -> PortPolicy {
    PortPolicy { name: "mg".to_owned(), index, management: true, ..PortPolicy::default() }
}

/// What a stranger may ask, by name. An open port without a filter answers each.
fn questions(net: u8) -> Vec<(&'static str, Vec<u8>)> {
    let (cable, me, you, me6, you6) = (Cable(net), v4(net, 9), v4(net, 2), v6(net, 9), v6(net, 2));
    let groups = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let echo = [128, 0, 0, 0, 0, 1, 0, 1];
    let listener_query = [[130, 0, 0, 0, 0, 1, 0, 0].as_slice(), &[0; 16], &[2, 125, 0, 0]].concat();
    vec![
        ("ARP", cable.arp(me, you)),
        ("ARP probe", cable.arp(Ipv4Addr::UNSPECIFIED, you)),
        ("ping", cable.icmp(me, you, 8, &[0, 1, 0, 1])),
        ("TCP to an open port", cable.syn_v4(me, you, 9000)),
        ("TCP to a closed port", cable.syn_v4(me, you, 81)),
        ("UDP to a closed port", cable.udp_v4((me, 4000), (you, 81))),
        ("an unknown protocol", cable.ipv4(me, you, 253, &[0; 8])),
        ("IGMP query", cable.igmp_query(me)),
        ("neighbour solicitation", cable.solicitation(me6, you6)),
        ("neighbour solicitation from the link", cable.solicitation(link_local(9), link_local(2))),
        ("duplicate address detection", cable.solicitation(Ipv6Addr::UNSPECIFIED, you6)),
        ("ping by IPv6", cable.ipv6(me6, you6, 64, 58, &echo, 2)),
        ("ping to all nodes", cable.ipv6(link_local(9), groups, 64, 58, &echo, 2)),
        ("TCP by IPv6 to an open port", cable.syn_v6(me6, you6, 9000)),
        ("TCP by IPv6 to a closed port", cable.syn_v6(me6, you6, 81)),
        ("UDP by IPv6 to a closed port", cable.udp_v6((me6, 4000), (you6, 81))),
        ("an unknown header of IPv6", cable.ipv6(me6, you6, 64, 253, &[0; 8], 6)),
        // The kernel answers to this one before it asks the filter.
        ("an unknown option to each hop", cable.ipv6(me6, you6, 64, 0, &[59, 0, 0x9e, 4, 0, 0, 0, 0], 4)),
        ("listener query", cable.ipv6(link_local(9), groups, 1, 58, &listener_query, 2)),
    ]
}

#[test]
fn without_the_filter_each_question_of_a_stranger_is_answered() {
    in_a_namespace("without_the_filter_each_question_of_a_stranger_is_answered", || {
        let peer = Peer::new();
        peer.cable("ul", 1);
        let _open = TcpListener::bind("[::]:9000").unwrap();
        let _group = in_a_group();
        peer.on(|| {
            settle(&Tap::on("ul"));
            let unanswered: Vec<_> = questions(1)
                .into_iter()
                .filter_map(|(name, question)| {
                    // What is still on its way is no answer to this one.
                    let tap = Tap::on("ul");
                    tap.send(&question);
                    tap.wait(Duration::from_secs(3), |_| true).is_none().then_some(name)
                })
                .collect();
            assert!(unanswered.is_empty(), "{unanswered:?}");
        });
    });
}

#[test]
fn a_quiet_port_answers_no_question_of_a_stranger() {
    in_a_namespace("a_quiet_port_answers_no_question_of_a_stranger", || {
        let peer = Peer::new();
        let index = peer.cable("ul", 1);
        let _open = TcpListener::bind("[::]:9000").unwrap();
        let _group = in_a_group();
        let mut filter = Filter::open().unwrap();
        filter.apply(&Policy { ports: vec![uplink(index)] }).unwrap();
        filter.set_talked_to(index, &[v4(1, 1).into(), link_local(1).into()]).unwrap();
        peer.on(|| {
            settle(&Tap::on("ul"));
            let tap = Tap::on("ul");
            for (_, question) in questions(1) {
                tap.send(&question);
            }
            let answer = tap.wait(SILENCE, |_| true);
            assert!(answer.is_none(), "{:02x?}", answer.unwrap_or_default());
            // It is there, and has looked at all of them: whom it talks to gets an answer.
            tap.send(&Cable(1).arp(v4(1, 1), v4(1, 2)));
            assert!(tap.wait(NEVER, is_arp_reply).is_some());
            tap.send(&Cable(1).solicitation(link_local(1), v6(1, 2)));
            assert!(tap.wait(NEVER, |frame| frame.get(54) == Some(&136)).is_some());
        });
        // A neighbour of one port is a stranger at another, and one that was is one again.
        filter.set_talked_to(index + 1, &[v4(1, 1).into()]).unwrap();
        filter.set_talked_to(index, &[]).unwrap();
        peer.on(|| {
            let tap = Tap::on("ul");
            tap.send(&Cable(1).arp(v4(1, 1), v4(1, 2)));
            tap.send(&Cable(1).solicitation(link_local(1), v6(1, 2)));
            assert!(tap.wait(SILENCE, |_| true).is_none());
        });
        let dropped = filter.dropped().unwrap();
        let count = |name: &str| dropped.iter().find(|(found, _)| found == name).map(|(_, packets)| *packets);
        assert_eq!(count("arp"), Some(3), "{dropped:?}");
        assert!(count("strangers") > Some(10), "{dropped:?}");
        // What came in was not about to be answered, but for the option that the kernel saw before the filter did.
        assert_eq!(count("answers"), Some(1), "{dropped:?}");
    });
}

#[test]
fn a_port_of_which_nothing_is_known_answers_nobody_but_loopback_works() {
    in_a_namespace("a_port_of_which_nothing_is_known_answers_nobody_but_loopback_works", || {
        let peer = Peer::new();
        peer.cable("ul", 1);
        let open = TcpListener::bind("[::]:9000").unwrap();
        Filter::open().unwrap().apply(&Policy::default()).unwrap();
        peer.on(|| {
            settle(&Tap::on("ul"));
            let tap = Tap::on("ul");
            for (_, question) in questions(1) {
                tap.send(&question);
            }
            assert!(tap.wait(SILENCE, |_| true).is_none());
        });
        for address in ["127.0.0.1:9000", "[::1]:9000", "10.1.0.2:9000"] {
            TcpStream::connect_timeout(&address.parse().unwrap(), NEVER).unwrap();
            open.accept().unwrap();
        }
    });
}

#[test]
fn calls_of_our_own_work_on_a_quiet_port() {
    in_a_namespace("calls_of_our_own_work_on_a_quiet_port", || {
        let peer = Peer::new();
        let index = peer.cable("ul", 1);
        Filter::open().unwrap().apply(&Policy { ports: vec![uplink(index)] }).unwrap();
        for address in [SocketAddr::from((v4(1, 1), 443)), (v6(1, 1), 443).into()] {
            let listener = peer.on(move || TcpListener::bind(address).unwrap());
            let mut call = TcpStream::connect_timeout(&address, NEVER).unwrap();
            let (mut called, _) = listener.accept().unwrap();
            call.set_read_timeout(Some(NEVER)).unwrap();
            call.write_all(b"hello").unwrap();
            let mut heard = [0; 5];
            called.read_exact(&mut heard).unwrap();
            called.write_all(&heard).unwrap();
            call.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");
        }
        // That nothing listens there is told by the peer's reset, and by ICMP: both are about calls of ours.
        let refused = TcpStream::connect_timeout(&(v4(1, 1), 444).into(), NEVER).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let asker = UdpSocket::bind((v4(1, 2), 0)).unwrap();
        asker.set_read_timeout(Some(NEVER)).unwrap();
        asker.connect((v4(1, 1), 445)).unwrap();
        asker.send(b"?").unwrap();
        assert_eq!(asker.recv(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_call_that_came_in_ends_when_its_port_becomes_quiet() {
    in_a_namespace("a_call_that_came_in_ends_when_its_port_becomes_quiet", || {
        let peer = Peer::new();
        let index = peer.cable("mg", 2);
        let mut filter = Filter::open().unwrap();
        filter.apply(&Policy { ports: vec![management(index)] }).unwrap();
        let listener = TcpListener::bind("0.0.0.0:9000").unwrap();
        let mut call = peer.on(|| TcpStream::connect_timeout(&(v4(2, 2), 9000).into(), NEVER).unwrap());
        let (mut called, _) = listener.accept().unwrap();
        filter.apply(&Policy { ports: vec![uplink(index)] }).unwrap();
        called.set_read_timeout(Some(SILENCE)).unwrap();
        let tap = peer.on(|| Tap::on("mg"));
        call.write_all(b"still there?").unwrap();
        called.write_all(b"and you?").unwrap();
        assert!(called.read(&mut [0; 32]).is_err());
        assert!(tap.wait(SILENCE, |frame| frame[12..14] == [8, 0]).is_none());
        // And goes on with the port's role.
        filter.apply(&Policy { ports: vec![management(index)] }).unwrap();
        called.set_read_timeout(Some(NEVER)).unwrap();
        assert_eq!(called.read(&mut [0; 32]).unwrap(), 12);
    });
}

#[test]
fn a_management_port_answers_ping_and_the_documented_ports_and_resets_the_rest() {
    in_a_namespace("a_management_port_answers_ping_and_the_documented_ports_and_resets_the_rest", || {
        let peer = Peer::new();
        let index = peer.cable("mg", 2);
        let mut filter = Filter::open().unwrap();
        filter.apply(&Policy { ports: vec![management(index)] }).unwrap();
        let _listeners = [22, 8000, 9000, 7777].map(|port| TcpListener::bind(("::", port)).unwrap());
        peer.on(|| {
            let unanswered = [
                "UDP to a closed port",
                "an unknown protocol",
                "UDP by IPv6 to a closed port",
                "an unknown header of IPv6",
            ];
            // These first: who has answered asks some seconds later whether the other is still there.
            settle(&Tap::on("mg"));
            let (silent, answered): (Vec<_>, Vec<_>) =
                questions(2).into_iter().partition(|(name, _)| unanswered.contains(name));
            assert_eq!(silent.len(), unanswered.len());
            let tap = Tap::on("mg");
            for (_, question) in silent {
                tap.send(&question);
            }
            assert!(tap.wait(SILENCE, |_| true).is_none());
            for (name, question) in answered {
                let tap = Tap::on("mg");
                tap.send(&question);
                assert!(tap.wait(NEVER, |_| true).is_some(), "{name}");
            }
            for port in [22, 8000, 9000] {
                for address in [SocketAddr::from((v4(2, 2), port)), (v6(2, 2), port).into()] {
                    TcpStream::connect_timeout(&address, NEVER).unwrap();
                }
            }
            // Something listens there, and nobody learns of it.
            for address in [SocketAddr::from((v4(2, 2), 7777)), (v6(2, 2), 7777).into()] {
                let error = TcpStream::connect_timeout(&address, NEVER).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{address}");
            }
        });
        let mdns = UdpSocket::bind("0.0.0.0:5353").unwrap();
        mdns.join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 251), &v4(2, 2)).unwrap();
        mdns.set_read_timeout(Some(NEVER)).unwrap();
        peer.on(|| {
            let tap = Tap::on("mg");
            tap.send(&Cable(2).udp_v4((v4(2, 9), 5353), (v4(2, 2), 5353)));
            tap.send(&Cable(2).udp_v4((v4(2, 1), 5353), (Ipv4Addr::new(224, 0, 0, 251), 5353)));
        });
        // The one to the group, and not the one before it to the port's address.
        assert_eq!(mdns.recv_from(&mut [0; 32]).unwrap().1.ip(), v4(2, 1));
    });
}

#[test]
fn a_flood_of_pings_gets_a_bounded_number_of_answers() {
    in_a_namespace("a_flood_of_pings_gets_a_bounded_number_of_answers", || {
        let peer = Peer::new();
        let index = peer.cable("mg", 2);
        Filter::open().unwrap().apply(&Policy { ports: vec![management(index)] }).unwrap();
        let answers = peer.on(|| {
            let tap = Tap::on("mg");
            for _ in 0..2000 {
                tap.send(&Cable(2).icmp(v4(2, 1), v4(2, 2), 8, &[0, 1, 0, 1]));
            }
            std::iter::from_fn(|| tap.wait(SILENCE, |frame| frame.get(34) == Some(&0))).count()
        });
        assert!((100..1000).contains(&answers), "{answers}");
    });
}

#[test]
fn the_technician_s_dhcp_request_reaches_a_service_port_and_no_other() {
    in_a_namespace("the_technician_s_dhcp_request_reaches_a_service_port_and_no_other", || {
        let (peer, other) = (Peer::new(), Peer::new());
        let (sv, mg) = (peer.cable("sv", 3), other.cable("mg", 2));
        let service = PortPolicy { name: "sv".to_owned(), index: sv, service: true, ..PortPolicy::default() };
        Filter::open().unwrap().apply(&Policy { ports: vec![service, management(mg)] }).unwrap();
        let server = UdpSocket::bind("0.0.0.0:67").unwrap();
        server.set_read_timeout(Some(NEVER)).unwrap();
        let request = |net| Cable(net).udp_v4((Ipv4Addr::UNSPECIFIED, 68), (Ipv4Addr::BROADCAST, 67));
        other.on(move || Tap::on("mg").send(&request(2)));
        peer.on(move || {
            Tap::on("sv").send(&request(3));
            Tap::on("sv").send(&Cable(3).udp_v4((v4(3, 9), 68), (v4(3, 2), 67)));
        });
        assert_eq!(server.recv_from(&mut [0; 32]).unwrap().1, (Ipv4Addr::UNSPECIFIED, 68).into());
        assert_eq!(server.recv_from(&mut [0; 32]).unwrap().1, (v4(3, 9), 68).into());
        server.set_read_timeout(Some(SILENCE)).unwrap();
        assert!(server.recv_from(&mut [0; 32]).is_err());
    });
}

#[test]
fn what_is_spoofed_or_for_another_port_s_address_is_dropped_as_such() {
    in_a_namespace("what_is_spoofed_or_for_another_port_s_address_is_dropped_as_such", || {
        let (peer, other) = (Peer::new(), Peer::new());
        let (mg, up) = (peer.cable("mg", 2), other.cable("ul", 1));
        let mut filter = Filter::open().unwrap();
        filter.apply(&Policy { ports: vec![management(mg), uplink(up)] }).unwrap();
        let _open = TcpListener::bind("[::]:9000").unwrap();
        let (taps, local) = ((peer.on(|| Tap::on("mg")), other.on(|| Tap::on("ul"))), Ipv4Addr::LOCALHOST);
        let cable = Cable(2);
        for (reason, packets) in [
            (
                "elsewhere",
                vec![cable.syn_v4(v4(2, 9), v4(1, 2), 9000), cable.syn_v6(v6(2, 9), v6(1, 2), 9000)],
            ),
            // From the other port's network, from nowhere, and from ourselves.
            ("spoofed", vec![cable.syn_v4(v4(1, 9), v4(2, 2), 9000), cable.syn_v6(v6(1, 9), v6(2, 2), 9000)]),
            (
                "spoofed",
                vec![cable.syn_v4(v4(77, 9), v4(2, 2), 9000), cable.syn_v6(v6(7, 9), v6(2, 2), 9000)],
            ),
            ("spoofed", vec![cable.syn_v4(v4(2, 2), v4(2, 2), 9000), cable.syn_v6(v6(2, 2), v6(2, 2), 9000)]),
            ("loopback", vec![cable.syn_v4(local, v4(2, 2), 9000), cable.syn_v4(v4(2, 9), local, 9000)]),
        ] {
            let mut count = || {
                let dropped = filter.dropped().unwrap();
                dropped.iter().find(|(name, _)| name == reason).map(|(_, packets)| *packets).unwrap()
            };
            let before = count();
            for packet in &packets {
                taps.0.send(packet);
            }
            let end = std::time::Instant::now() + NEVER;
            while count() < before + 2 && std::time::Instant::now() < end {
                std::thread::yield_now();
            }
            assert_eq!(count(), before + 2, "{reason}");
        }
        let tcp = |frame: &[u8]| frame.get(23) == Some(&6) || frame.get(20) == Some(&6);
        assert!(taps.0.wait(SILENCE, tcp).is_none());
        assert!(taps.1.wait(SILENCE, tcp).is_none());
    });
}

#[test]
fn two_ports_in_overlapping_networks_each_answer_by_their_own() {
    in_a_namespace("two_ports_in_overlapping_networks_each_answer_by_their_own", || {
        let (one, two) = (Peer::new(), Peer::new());
        let ports = [("mg", 2, &one), ("sv", 3, &two)].map(|(name, net, peer)| {
            let index = peer.cable(name, net);
            // The same network behind both, and the same address at the other end.
            run(&format!("ip address add 10.50.0.{net}/24 dev {name}"));
            // And one address of ours on both, as their DHCP servers may give it.
            run(&format!("ip address add 10.50.0.9/24 dev {name}"));
            peer.on(move || run(&format!("ip address add 10.50.0.1/24 dev {name}")));
            run(&format!("ip route add 10.50.0.0/24 dev {name} table {index}"));
            run(&format!("ip rule add fwmark {index} lookup {index}"));
            PortPolicy { shared: vec![v4(50, 9)], ..management(index) }
        });
        set("ipv4/tcp_fwmark_accept", "1");
        set("ipv4/fwmark_reflect", "1");
        Filter::open().unwrap().apply(&Policy { ports: ports.to_vec() }).unwrap();
        let _open = TcpListener::bind("0.0.0.0:9000").unwrap();
        for (net, peer) in [(2, &one), (3, &two)] {
            peer.on(move || {
                let from = format!("10.50.0.{net}:9000").parse().unwrap();
                TcpStream::connect_timeout(&from, NEVER).unwrap();
                TcpStream::connect_timeout(&"10.50.0.9:9000".parse().unwrap(), NEVER).unwrap();
                let tap = Tap::on(if net == 2 { "mg" } else { "sv" });
                tap.send(&Cable(net).icmp(v4(50, 1), v4(50, net), 8, &[0, 1, 0, 1]));
                assert!(tap.wait(NEVER, |frame| frame.get(34) == Some(&0)).is_some());
            });
        }
    });
}

#[test]
fn no_packet_gets_through_while_the_rules_are_replaced() {
    in_a_namespace("no_packet_gets_through_while_the_rules_are_replaced", || {
        let peer = Peer::new();
        let index = peer.cable("mg", 2);
        let policy = Policy { ports: vec![management(index)] };
        let mut filter = Filter::open().unwrap();
        filter.apply(&policy).unwrap();
        let closed = UdpSocket::bind("0.0.0.0:7777").unwrap();
        closed.set_nonblocking(true).unwrap();
        let flood = Flood::start(&peer, Cable(2).udp_v4((v4(2, 9), 4000), (v4(2, 2), 7777)));
        let began = std::time::Instant::now();
        for _ in 0..100 {
            // Everything anew, as after a restart of the role.
            filter = Filter::open().unwrap();
            filter.apply(&policy).unwrap();
        }
        println!("{:?} for 100 replacements, {} packets", began.elapsed(), flood.sent());
        let (began, so_far) = (std::time::Instant::now(), flood.sent());
        for _ in 0..100 {
            filter.apply(&policy).unwrap();
        }
        println!("{:?} for 100 changes, {} packets", began.elapsed(), flood.sent() - so_far);
        assert!(flood.stop() > 1000);
        let got = closed.recv_from(&mut [0; 32]);
        assert!(got.is_err(), "a packet got through: {got:?}");
        // The socket would have had it.
        run("nft flush ruleset");
        closed.set_nonblocking(false).unwrap();
        closed.set_read_timeout(Some(NEVER)).unwrap();
        peer.on(|| Tap::on("mg").send(&Cable(2).udp_v4((v4(2, 9), 4000), (v4(2, 2), 7777))));
        closed.recv_from(&mut [0; 32]).unwrap();
    });
}

#[test]
fn no_packet_that_is_welcome_gets_lost_while_the_sets_change() {
    in_a_namespace("no_packet_that_is_welcome_gets_lost_while_the_sets_change", || {
        let peer = Peer::new();
        let index = peer.cable("mg", 2);
        let policies = [vec![management(index)], vec![management(index), uplink(index + 1)]];
        let mut filter = Filter::open().unwrap();
        filter.apply(&Policy { ports: policies[0].clone() }).unwrap();
        let _group = UdpSocket::bind("0.0.0.0:5353").unwrap();
        let flood =
            Flood::start(&peer, Cable(2).udp_v4((v4(2, 9), 5353), (Ipv4Addr::new(224, 0, 0, 251), 5353)));
        let mut changes = 0_u16;
        while changes < 500 || flood.sent() < 20_000 {
            filter.apply(&Policy { ports: policies[usize::from(changes % 2)].clone() }).unwrap();
            filter.set_talked_to(index + 1, &[v4(2, 1).into()]).unwrap();
            changes = changes.saturating_add(1);
        }
        println!("{changes} changes, {} packets", flood.stop());
        let dropped = filter.dropped().unwrap();
        assert!(dropped.iter().all(|(_, packets)| *packets == 0), "{dropped:?}");
    });
}

/// A machine that sends the same packet as fast as it can.
struct Flood {
    end: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Flood {
    fn start(peer: &Peer, packet: Vec<u8>) -> Self {
        let tap = peer.on(|| Tap::on("mg"));
        let (end, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, count) = (Arc::clone(&end), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                tap.send(&packet);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        while sent.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        Self { end, sent, thread }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn stop(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("the flood ends");
        self.sent.load(Ordering::Relaxed)
    }
}

/// A socket in a group, for which routers may ask.
fn in_a_group() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:5353").expect("a free port");
    socket.join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 251), &v4(1, 2)).expect("the port is there");
    socket
}

/// Waits until what the port has to say of itself (reports to groups) is said.
fn settle(tap: &Tap) {
    while tap.wait(SILENCE, |_| true).is_some() {}
}
