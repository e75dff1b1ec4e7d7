//! What the filter leaves of being a neighbour: discovery of one's own works on a quiet port, and a port of the array answers
//! neighbours and nobody else.

mod common;

use common::frames::{Cable, NEVER, Tap, is_arp_reply};
use common::{Peer, in_a_namespace, run};
use drawbridge_filter::{Filter, Policy, PortPolicy};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

const SILENCE: Duration = Duration::from_millis(500);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn quiet(index: u32) -> Policy {
    Policy { ports: vec![PortPolicy { name: "ul".to_owned(), index, uplink: true, ..PortPolicy::default() }] }
}

/// Runs a command until what it says is as wanted.
fn until(command: &str, wanted: impl Fn(&str) -> bool) -> String {
    let end = Instant::now() + NEVER;
    loop {
        let said = run(command);
        if wanted(&said) || Instant::now() > end {
            return said;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_address_that_somebody_else_has_is_noticed_on_a_quiet_port() {
    in_a_namespace("an_address_that_somebody_else_has_is_noticed_on_a_quiet_port", || {
        let peer = Peer::new();
        let index = peer.cable("ul", 1);
        Filter::open().unwrap().apply(&quiet(index)).unwrap();
        run("ip address add fd01::9/64 dev ul");
        run("ip address add fd01::77/64 dev ul");
        let taken = until("ip -6 address show dev ul to fd01::9", |said| said.contains("dadfailed"));
        assert!(taken.contains("dadfailed"), "{taken}");
        let free = until("ip -6 address show dev ul to fd01::77", |said| !said.contains("tentative"));
        assert!(free.contains("fd01::77/64") && !free.contains("dadfailed"), "{free}");
    });
}

#[test]
fn a_router_on_the_link_is_found_on_a_quiet_port_and_one_from_afar_is_not() {
    in_a_namespace("a_router_on_the_link_is_found_on_a_quiet_port_and_one_from_afar_is_not", || {
        let peer = Peer::new();
        let index = peer.cable("ul", 1);
        Filter::open().unwrap().apply(&quiet(index)).unwrap();
        // A port that has just come up hears nothing for a moment. A real router says it again, too.
        let advertise = || {
            let tap = Tap::on("ul");
            let advertisement = |from, hops, lifetime| {
                let body = [134, 0, 0, 0, 64, 0, 0, lifetime, 0, 0, 0, 0, 0, 0, 0, 0];
                Cable(1).ipv6(from, ALL_NODES, hops, 58, &body, 2)
            };
            tap.send(&advertisement(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9), 254, 200));
            tap.send(&advertisement(ROUTER, 255, 200));
        };
        let end = Instant::now() + NEVER;
        let mut routes = String::new();
        while routes.is_empty() && Instant::now() < end {
            peer.on(advertise);
            std::thread::sleep(Duration::from_millis(20));
            routes = run("ip -6 route show default");
        }
        assert!(routes.contains("via fe80::1 dev ul") && !routes.contains("fe80::9"), "{routes}");
    });
}

#[test]
fn a_port_of_the_array_answers_neighbours_and_no_call() {
    in_a_namespace("a_port_of_the_array_answers_neighbours_and_no_call", || {
        let peer = Peer::new();
        let index = peer.cable("ar", 4);
        let port = PortPolicy { name: "ar".to_owned(), index, array: true, ..PortPolicy::default() };
        Filter::open().unwrap().apply(&Policy { ports: vec![port] }).unwrap();
        let _open = TcpListener::bind("[::]:9000").unwrap();
        peer.on(|| {
            let (me, you) = (Ipv4Addr::new(10, 4, 0, 9), Ipv4Addr::new(10, 4, 0, 2));
            let (me6, you6) = ("fd04::9".parse().unwrap(), "fd04::2".parse().unwrap());
            while Tap::on("ar").wait(SILENCE, |_| true).is_some() {}
            let tap = Tap::on("ar");
            tap.send(&Cable(4).icmp(me, you, 8, &[0, 1, 0, 1]));
            tap.send(&Cable(4).ipv6(me6, you6, 64, 58, &[128, 0, 0, 0, 0, 1, 0, 1], 2));
            tap.send(&Cable(4).udp_v4((me, 4000), (you, 81)));
            for port in [22, 81, 9000] {
                tap.send(&Cable(4).syn_v4(me, you, port));
                tap.send(&Cable(4).syn_v6(me6, you6, port));
            }
            assert!(tap.wait(SILENCE, |_| true).is_none());
            tap.send(&Cable(4).arp(me, you));
            assert!(tap.wait(NEVER, is_arp_reply).is_some());
            tap.send(&Cable(4).solicitation(me6, you6));
            assert!(tap.wait(NEVER, |frame| frame.get(54) == Some(&136)).is_some());
        });
    });
}
