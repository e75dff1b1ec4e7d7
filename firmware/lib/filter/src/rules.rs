//! The rules themselves, the same for every policy: which port is what stands in sets. The module doc of the crate says why
//! each is there.

use crate::kernel::{AddressType, Hook, PRIORITY_FILTER, PRIORITY_RAW};
use crate::rule::{
    Counter, Icmpv6, Rule, Set, Words, arrived_by, arrived_by_loopback, every, leaves_by, leaves_by_loopback,
    not_arrived_by, sent_by,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Both tables have this name.
pub(crate) const TABLE: &str = "drawbridge";

/// Ports of which is known what they are for.
pub(crate) const KNOWN: Set = Set("known");
/// Those that answer at all: with any role but the uplink's alone.
pub(crate) const ANSWERING: Set = Set("answering");
/// Those for people: management or service.
pub(crate) const MANAGING: Set = Set("managing");
/// Those for the technician.
pub(crate) const SERVICE: Set = Set("service");
/// Those with the uplink's role alone.
pub(crate) const QUIET: Set = Set("quiet");
/// Port and address of whom a quiet port has business with.
pub(crate) const TALKED_TO: Set = Set("talked_to");
/// Port and IPv4 address, where more than one port has the address.
pub(crate) const SHARED: Set = Set("shared");
/// Ports on which routers have spoken of late.
pub(crate) const ADVERTISED: Set = Set("advertised");
/// Port and user, where nothing of the user's may leave by the port.
pub(crate) const BARRED: Set = Set("barred");
/// TCP ports that people use: SSH, the console, and what sends to the console (FEATURES A19).
pub(crate) const DOORS: Set = Set("doors");
/// See [`DOORS`].
pub(crate) const OPEN_DOORS: [u16; 3] = [22, 8000, 9000];

const MDNS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const MDNS: u16 = 5353;
const DHCP_CLIENT: u16 = 68;
const DHCP_SERVER: u16 = 67;

const UNKNOWN: Counter = Counter("unknown");
const LOOPBACK: Counter = Counter("loopback");
const ELSEWHERE: Counter = Counter("elsewhere");
const SPOOFED: Counter = Counter("spoofed");
const INVALID: Counter = Counter("invalid");
const UNINVITED: Counter = Counter("uninvited");
const STRANGERS: Counter = Counter("strangers");
const ANSWERS: Counter = Counter("answers");
const FORWARDED: Counter = Counter("forwarded");
const BARRED_OUT: Counter = Counter("barred");
const ARP: Counter = Counter("arp");

/// Rules that are looked at in turn.
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// Where the kernel looks at it by itself, and in which order of priority. What no rule decides is dropped there.
    pub(crate) hook: Option<(u32, i32)>,
    pub(crate) rules: Vec<Rule>,
}

/// The kernel's table for IPv4 and IPv6, or that for ARP.
pub(crate) struct Table {
    pub(crate) family: u8,
    pub(crate) shown: &'static str,
    pub(crate) sets: &'static [Set],
    pub(crate) counters: &'static [Counter],
    pub(crate) chains: Vec<Chain>,
}

/// All tables.
pub(crate) fn tables() -> [Table; 2] {
    [
        Table {
            family: family(libc::NFPROTO_INET),
            shown: "inet",
            sets: &[KNOWN, ANSWERING, MANAGING, SERVICE, QUIET, TALKED_TO, ADVERTISED, SHARED, BARRED, DOORS],
            counters: &[
                UNKNOWN, LOOPBACK, ELSEWHERE, SPOOFED, INVALID, UNINVITED, STRANGERS, ANSWERS, FORWARDED,
                BARRED_OUT,
            ],
            chains: vec![
                origin(),
                neighbours(),
                managing(),
                service(),
                quiet(),
                prerouting(),
                input(),
                forward(),
                output(),
            ],
        },
        Table {
            family: family(libc::NFPROTO_ARP),
            shown: "arp",
            sets: &[ANSWERING, QUIET, TALKED_TO],
            counters: &[ARP],
            chains: vec![arp_input()],
        },
    ]
}

fn family(number: libc::c_int) -> u8 {
    u8::try_from(number).unwrap_or_default()
}

fn prerouting() -> Chain {
    Chain {
        name: "prerouting",
        hook: Some((Hook::Prerouting as u32, PRIORITY_RAW)),
        rules: vec![
            arrived_by_loopback().accept(),
            not_arrived_by(KNOWN).drop(UNKNOWN),
            every().source_loopback_v4().drop(LOOPBACK),
            every().destination_loopback_v4().drop(LOOPBACK),
            every().source_v6(Ipv6Addr::LOCALHOST).drop(LOOPBACK),
            every().destination_v6(Ipv6Addr::LOCALHOST).drop(LOOPBACK),
            every().mark_with_port(),
            every().for_this_port(AddressType::Local).goto("origin"),
            every().destination_member_of(SHARED).goto("origin"),
            every().for_this_port(AddressType::Broadcast).goto("origin"),
            every().for_this_port(AddressType::Multicast).goto("origin"),
            // Of IPv6 the kernel calls a group's address by its type only where a route leads to it.
            every().destination_ipv6_group().goto("origin"),
            every().drop(ELSEWHERE),
        ],
    }
}

fn origin() -> Chain {
    Chain { name: "origin", hook: None, rules: vec![every().no_way_back().drop(SPOOFED), every().accept()] }
}

fn input() -> Chain {
    Chain {
        name: "input",
        hook: Some((Hook::Input as u32, PRIORITY_FILTER)),
        rules: vec![
            arrived_by_loopback().accept(),
            every().icmp_redirect().drop(INVALID),
            every().invalid().drop(INVALID),
            every().reply().established_or_related().accept(),
            arrived_by(QUIET).goto("quiet"),
            arrived_by(ANSWERING).jump("neighbours"),
            arrived_by(MANAGING).jump("managing"),
            arrived_by(SERVICE).jump("service"),
            every().drop(UNINVITED),
        ],
    }
}

fn neighbours() -> Chain {
    Chain {
        name: "neighbours",
        hook: None,
        rules: vec![
            every().unforwarded().icmpv6(Icmpv6::NeighbourSolicitation).accept(),
            every().unforwarded().icmpv6(Icmpv6::NeighbourAdvertisement).accept(),
            router_advertisement().accept(),
            every().source_link_local().icmpv6(Icmpv6::ListenerQuery).accept(),
            every().igmp_query().accept(),
        ],
    }
}

/// One that a router on the link sent, and not too many: each may make a route and an address, and the kernel bounds no
/// number of routes.
fn router_advertisement() -> Words {
    let sound = every().unforwarded().source_link_local().icmpv6(Icmpv6::RouterAdvertisement);
    sound.no_more_than_routers_speak(ADVERTISED)
}

fn managing() -> Chain {
    Chain {
        name: "managing",
        hook: None,
        rules: vec![
            every().established_or_related().accept(),
            every().new_connection().tcp_to(DOORS).accept(),
            every().icmp_echo_request().seldom().accept(),
            every().icmpv6(Icmpv6::EchoRequest).seldom().accept(),
            every().destination_v4(MDNS_V4).udp_to(MDNS).accept(),
            every().destination_v6(MDNS_V6).udp_to(MDNS).accept(),
            every().any_tcp().seldom().reset(),
        ],
    }
}

fn service() -> Chain {
    Chain {
        name: "service",
        hook: None,
        rules: vec![every().udp_from(DHCP_CLIENT).udp_to(DHCP_SERVER).accept()],
    }
}

fn quiet() -> Chain {
    Chain {
        name: "quiet",
        hook: None,
        rules: vec![
            every().unforwarded().icmpv6(Icmpv6::NeighbourAdvertisement).accept(),
            router_advertisement().accept(),
            every().unforwarded().icmpv6(Icmpv6::NeighbourSolicitation).source_member_of(TALKED_TO).accept(),
            every().drop(STRANGERS),
        ],
    }
}

fn forward() -> Chain {
    Chain {
        name: "forward",
        hook: Some((Hook::Forward as u32, PRIORITY_FILTER)),
        rules: vec![every().drop(FORWARDED)],
    }
}

fn output() -> Chain {
    let mut rules = vec![
        leaves_by_loopback().accept(),
        sent_by(BARRED).drop(BARRED_OUT),
        leaves_by(ANSWERING).accept(),
        every().original().any_tcp().accept(),
        every().original().any_udp().accept(),
        every().icmp_echo_request().accept(),
        every().any_igmp().accept(),
    ];
    rules.extend(
        [
            Icmpv6::EchoRequest,
            Icmpv6::ListenerReport,
            Icmpv6::ListenerDone,
            Icmpv6::RouterSolicitation,
            Icmpv6::NeighbourSolicitation,
            Icmpv6::NeighbourAdvertisement,
            Icmpv6::ListenerReport2,
        ]
        .map(|kind| every().icmpv6(kind).accept()),
    );
    rules.push(every().drop(ANSWERS));
    Chain { name: "output", hook: Some((Hook::Output as u32, PRIORITY_FILTER)), rules }
}

fn arp_input() -> Chain {
    Chain {
        name: "input",
        hook: Some((crate::kernel::ARP_INPUT, PRIORITY_FILTER)),
        rules: vec![
            arrived_by(ANSWERING).accept(),
            arrived_by(QUIET).arp_reply().accept(),
            arrived_by(QUIET).arp_request_from(TALKED_TO).accept(),
            every().drop(ARP),
        ],
    }
}
