//! What a stranger on a cable finds: on the uplink nothing, on the others what is promised and no more.

use drawbridge_lab::net::{
    Attacker, DnsRecords, EthernetAddress, HostConfig, Network, PortAnswer, Recording,
};
use drawbridge_lab::{Lab, NicModel, seconds};
use drawbridge_tests::{Image, Site, SitePlan};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Ports that have one role each, and their IPv4 addresses. The link-local one is the technician's port's own.
const PORTS: [(&str, Ipv4Addr); 4] = [
    ("management", Ipv4Addr::new(10, 0, 1, 20)),
    ("uplink", Ipv4Addr::new(198, 51, 100, 20)),
    ("array", Ipv4Addr::new(10, 0, 3, 20)),
    ("service", Ipv4Addr::new(169, 254, 100, 1)),
];

const SETTINGS: &str = r#"{"interfaces": [
    {"name": "management", "at": {"port": "{management}"}, "roles": ["management"],
     "ipv4": {"static": {"address": "10.0.1.20/24", "router": "10.0.1.1"}}},
    {"name": "uplink", "at": {"port": "{uplink}"}, "roles": ["uplink"], "dns": ["198.51.100.1"],
     "ipv4": {"static": {"address": "198.51.100.20/24", "router": "198.51.100.1"}},
     "ipv6": {"static": {"addresses": ["2001:db8:2::20/64"], "router": "2001:db8:2::1"}}},
    {"name": "array", "at": {"port": "{array}"}, "roles": ["array"],
     "ipv4": {"static": {"address": "10.0.3.20/24"}}},
    {"name": "service", "at": {"port": "{service}"}, "roles": ["service"], "ipv4": "link_local"}]}"#;

const UPLINK_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x20);
const ROUTER: [u8; 4] = [198, 51, 100, 1];

/// UDP services that devices in a rack are found by, beside a few where nothing ever is.
const UDP: [u16; 20] =
    [1, 7, 53, 67, 68, 69, 111, 123, 137, 161, 500, 514, 623, 1900, 4500, 5353, 5355, 9000, 33434, 65535];

/// For scans by IPv6, which pass the same rules: every port once by IPv4 is enough.
const SOME_TCP: [u16; 12] = [1, 22, 23, 53, 80, 111, 443, 5353, 8000, 8080, 9000, 65535];

/// A question for the console in the way of mDNS (RFC 6762 section 6.7): `PTR _drawbridge._tcp.local`.
const WHO_IS_THERE: &[u8] = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x0b_drawbridge\x04_tcp\x05local\0\0\x0c\0\x01";

/// What a stranger hears within so long, he hears.
const A_MOMENT: Duration = Duration::from_millis(300);

/// A network with a stranger on it, and all that the appliance sends there.
struct Cable {
    name: &'static str,
    address: Ipv4Addr,
    link_local: Ipv6Addr,
    mac: EthernetAddress,
    stranger: Attacker,
    sent: Recording,
}

impl Cable {
    /// Does all that a stranger does.
    fn probe(&self) -> Found {
        let begun = std::time::Instant::now();
        let all = self.stranger.scan_tcp_at(self.mac, self.address.into(), 1..=u16::MAX, A_MOMENT * 4);
        eprintln!("all TCP ports of {} in {:.1?}", self.name, begun.elapsed());
        let some = self.stranger.scan_tcp_at(self.mac, self.link_local.into(), SOME_TCP, A_MOMENT);
        if self.name != "uplink" {
            // Behind all that it has still to handle.
            assert_eq!(self.stranger.find(self.address.into(), seconds(10)).unwrap(), self.mac);
        }
        let udp =
            self.stranger.scan_udp_at(self.mac, self.address.into(), UDP, b"is there anybody?", A_MOMENT);
        let udp_v6 =
            self.stranger.scan_udp_at(self.mac, self.link_local.into(), UDP, b"is there anybody?", A_MOMENT);
        let group = (EthernetAddress([1, 0, 0x5e, 0, 0, 0xfb]), IpAddr::from([224, 0, 0, 251]));
        self.stranger.scan_udp_at(group.0, group.1, [5353], WHO_IS_THERE, A_MOMENT);
        let pinged = self.stranger.ping_all_nodes(A_MOMENT).iter().any(|(mac, _)| *mac == self.mac);
        let is_here = |address: IpAddr| self.stranger.who_has(address, A_MOMENT).contains(&self.mac);
        let own = [self.address.into(), self.link_local.into()].map(is_here);
        let others = PORTS.iter().filter(|(name, _)| *name != self.name);
        let others = others.filter(|(_, address)| is_here((*address).into())).map(|(name, _)| *name);
        let others = others.collect();
        // As somebody who wants the addresses himself: he gets an answer where a neighbour does.
        self.stranger.probe(self.address, A_MOMENT);
        self.stranger.probe(self.link_local, A_MOMENT);
        let mut open = all.open();
        open.extend(some.open());
        open.sort_unstable();
        open.dedup();
        let answers = [udp, udp_v6].map(|scan| scan.answers).into_iter().flatten();
        let udp = answers.filter(|(_, answer)| *answer != PortAnswer::Silent).collect();
        Found { open, udp, pinged, own, others }
    }

    /// A line for each frame of the appliance on this cable that has this in its line.
    fn said(&self, what: &str) -> Vec<String> {
        self.sent.list(|_| true).into_iter().filter(|line| line.contains(what)).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    open: Vec<u16>,
    udp: Vec<(u16, PortAnswer)>,
    pinged: bool,
    own: [bool; 2],
    others: Vec<&'static str>,
}

/// What the uplink may send although a stranger is there: what it would send without him.
fn is_its_own_business(frame: &[u8]) -> bool {
    let is = |at: usize, bytes: &[u8]| frame.get(at..at + bytes.len()) == Some(bytes);
    let icmpv6 = is(12, &[0x86, 0xdd]) && is(20, &[58]);
    // Questions by ARP for the router.
    (is(12, &[0x08, 0x06]) && is(20, &[0, 1]) && is(38, &ROUTER))
        // Router solicitations, questions whether its own address is free (from nobody), and reports of the groups that it is
        // in (behind a header of options to each hop).
        || (icmpv6 && is(54, &[133]))
        || (icmpv6 && is(54, &[135]) && is(22, &[0; 16]))
        || (is(12, &[0x86, 0xdd]) && is(20, &[0]) && is(62, &[143]))
}

#[test]
fn a_stranger_finds_nothing_on_the_uplink_and_elsewhere_what_is_promised() {
    let lab = Lab::new("strangers on four networks");
    let networks = PORTS.map(|(name, _)| Network::new(&lab, name).unwrap());
    let [_, uplink, ..] = &networks;
    let router = HostConfig::new("router").ipv4(ROUTER, 24).ipv6([0x2001, 0xdb8, 2, 0, 0, 0, 0, 1], 64);
    let router = uplink.host(router);
    let records = DnsRecords::new().address("one.example", [192, 0, 2, 1]);
    let _dns = router.serve_dns(records.address("two.example", [192, 0, 2, 2])).unwrap();
    let ports = PORTS.iter().zip(&networks).map(|((name, _), network)| (*name, NicModel::VirtioNet, network));
    let site = Site::boot(&lab, &Image::here(), SitePlan::new(ports.collect()).settings(SETTINGS));
    site.has("uplink", UPLINK_V6);
    let cables = PORTS.iter().zip(&networks).map(|((name, address), network)| {
        site.has(name, *address);
        let link_local = site.until("a link-local address", Duration::from_secs(30), |status| {
            site.seen(status, name)?.addresses.iter().find_map(|(address, _)| match address {
                IpAddr::V6(address) if address.is_unicast_link_local() => Some(*address),
                _ => None,
            })
        });
        let [a, b, c, _] = address.octets();
        // He is on the same network as the port, and knows all of its addresses.
        let stranger =
            network.attacker("stranger", &[IpAddr::from([a, b, c, 66]), "fe80::66".parse().unwrap()]);
        let (mac, sent) = (site.mac(name), site.port(name).cable().record());
        Cable { name, address: *address, link_local, mac, stranger: stranger.in_haste(), sent }
    });
    let cables: Vec<Cable> = cables.collect();
    let [management, uplink_cable, array, service] = &cables[..] else { unreachable!() };

    // Its own connection works.
    assert_eq!(site.resolve("one.example"), Ok(vec![IpAddr::from([192, 0, 2, 1])]));
    uplink_cable.sent.clear();
    let found = uplink_cable.probe();
    let nothing = Found { open: vec![], udp: vec![], pinged: false, own: [false; 2], others: vec![] };
    assert_eq!(found, nothing);
    let some = uplink_cable.stranger.scan_tcp_at(uplink_cable.mac, UPLINK_V6.into(), SOME_TCP, A_MOMENT);
    assert!(some.is_mute(), "{some:?}");
    assert_eq!(uplink_cable.stranger.who_has(UPLINK_V6, A_MOMENT), []);
    uplink_cable.stranger.probe(UPLINK_V6, A_MOMENT);
    // From no address of this network, and to an address of another port.
    for (name, address) in PORTS {
        let scan = uplink_cable.stranger.scan_tcp_at(uplink_cable.mac, address.into(), SOME_TCP, A_MOMENT);
        assert!(scan.is_mute(), "{name}: {scan:?}");
    }
    let mut sent = uplink_cable.sent.list(|frame| !is_its_own_business(frame));
    // The second announcement of its address, two seconds after the first (RFC 5227 section 2.3), may fall into this time.
    if let Some(second) =
        sent.iter().position(|line| line.contains("who has 198.51.100.20? 198.51.100.20 asks"))
    {
        sent.remove(second);
    }
    assert_eq!(sent, [""; 0]);
    // It does still, and has handled all that went before: the router's question is answered behind it.
    assert_eq!(site.resolve("two.example"), Ok(vec![IpAddr::from([192, 0, 2, 2])]));
    let asks = uplink.attacker("router's voice", &[IpAddr::from(ROUTER)]);
    assert_eq!(asks.find(uplink_cable.address.into(), seconds(5)).unwrap(), uplink_cable.mac);

    // The others all at once, as on a machine where they are.
    let [found, on_service, on_array] = std::thread::scope(|scope| {
        [management, service, array]
            .map(|cable| scope.spawn(|| cable.probe()))
            .map(|probe| probe.join().unwrap())
    });
    let promised =
        Found { open: vec![8000, 9000], udp: vec![], pinged: true, own: [true; 2], others: vec![] };
    assert_eq!(found, promised, "management");
    assert_eq!(on_service, promised, "service");
    assert_eq!(on_array, Found { own: [true; 2], ..nothing }, "array");
    // The question that nobody answered on the uplink is a right one.
    for (network, address) in [(&networks[0], [10, 0, 1, 77]), (&networks[3], [169, 254, 100, 77])] {
        let desk = network.host(HostConfig::new("desk").ipv4(address, 16)).udp(0).unwrap();
        desk.send_to(WHO_IS_THERE, (Ipv4Addr::new(224, 0, 0, 251), 5353)).unwrap();
        let (answer, _) = desk.receive_from(seconds(5)).unwrap();
        assert!(answer.windows(11).any(|name| name == b"_drawbridge"), "{answer:?}");
    }
    assert_eq!(array.said("TCP from"), [""; 0]);
    assert_eq!(array.said("UDP from"), [""; 0]);
}
