use super::*;
use crate::lease::{Oddity, Route, SHORTEST_LEASE_SECONDS};
use crate::options::{GivenRoute, ROUTER};

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);

const ACK: u8 = 5;
const OFFER: u8 = 2;

/// A DHCP reply, to be bent.
struct Message {
    kind: u8,
    address: Ipv4Addr,
    mac: [u8; 6],
    mask: Option<[u8; 4]>,
    routers: Vec<Ipv4Addr>,
    seconds: Option<u32>,
    times: Vec<(u8, u32)>,
    others: Vec<(u8, Vec<u8>)>,
    end: bool,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            kind: ACK,
            address: ADDRESS,
            mac: MAC,
            mask: Some([255, 255, 255, 0]),
            routers: vec![SERVER],
            seconds: Some(3600),
            times: vec![(RENEWAL_TIME, 1800), (REBINDING_TIME, 3150)],
            others: Vec::new(),
            end: true,
        }
    }
}

impl Message {
    fn frame(&self) -> Vec<u8> {
        let mut dhcp = vec![0; OPTIONS];
        dhcp[..4].copy_from_slice(&[2, 1, 6, 0]);
        dhcp[16..20].copy_from_slice(&self.address.octets());
        dhcp[28..34].copy_from_slice(&self.mac);
        dhcp[236..].copy_from_slice(&[99, 130, 83, 99]);
        dhcp.extend([53, 1, self.kind, 54, 4]);
        dhcp.extend(SERVER.octets());
        if let Some(mask) = self.mask {
            dhcp.extend([1, 4]);
            dhcp.extend(mask);
        }
        if !self.routers.is_empty() {
            dhcp.extend([ROUTER, u8::try_from(self.routers.len() * 4).unwrap()]);
            self.routers.iter().for_each(|router| dhcp.extend(router.octets()));
        }
        for (kind, seconds) in
            self.seconds.iter().map(|seconds| (51, *seconds)).chain(self.times.iter().copied())
        {
            dhcp.extend([kind, 4]);
            dhcp.extend(seconds.to_be_bytes());
        }
        for (kind, data) in &self.others {
            dhcp.extend([*kind, u8::try_from(data.len()).unwrap()]);
            dhcp.extend(data);
        }
        dhcp.extend(self.end.then_some(255));
        udp(&dhcp)
    }

    fn judged(&self) -> Verdict {
        judge(&mut self.frame(), MAC, nobody())
    }
}

fn nobody() -> Watched {
    Watched::new([])
}

fn lease(message: &Message) -> Lease {
    match message.judged() {
        Verdict::Lease(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let mut frame = [&MAC[..], &[0x52, 0x54, 0, 0, 0, 1], &[0x08, 0x00, 0x45, 0]].concat();
    frame.extend(length(28 + payload.len()));
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 1, 1, 10, 0, 1, 5, 0, 67, 0, 68]);
    frame.extend(length(8 + payload.len()));
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

fn arp(operation: u8, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = [&MAC[..], &[0x52, 0x54, 0, 0, 0, 1], &[0x08, 0x06]].concat();
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation, 0x52, 0x54, 0, 0, 0, 1]);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// Frames of each kind, for whoever wants to compare filters.
pub(crate) fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize, byte: u8| {
        let mut frame = Message::default().frame();
        frame[at] = byte;
        frame
    };
    let mut with_options = Message::default().frame();
    with_options[14] = 0x46;
    with_options.splice(34..34, [1; 4]);
    vec![
        ("an acknowledgement", Message::default().frame()),
        ("one behind IP options", with_options),
        ("an ARP answer", arp(2, SERVER, ADDRESS)),
        ("an ARP question", arp(1, SERVER, ADDRESS)),
        ("a claim", arp(1, ADDRESS, ADDRESS)),
        ("a probe", arp(1, Ipv4Addr::UNSPECIFIED, ADDRESS)),
        ("a probe for another", arp(1, Ipv4Addr::UNSPECIFIED, SERVER)),
        ("a claim of the address that is none", arp(1, Ipv4Addr::BROADCAST, SERVER)),
        ("no ARP operation", arp(3, ADDRESS, ADDRESS)),
        ("a fragment", changed(21, 1)),
        ("a first fragment", changed(20, 0x20)),
        ("one that may not be fragmented", changed(20, 0x40)),
        ("TCP", changed(23, 6)),
        ("UDP from another port", changed(35, 66)),
        ("UDP to another port", changed(37, 67)),
        ("a question to a server", {
            let mut frame = changed(37, 67);
            frame[35] = 68;
            frame
        }),
        ("IPv6", changed(12, 0x86)),
        ("a header length of nothing", changed(14, 0x40)),
        ("a header length beyond the frame", [&changed(14, 0x4f)[..60]].concat()),
    ]
}

fn passing(passes: impl Fn(&[u8]) -> bool) -> Vec<&'static str> {
    samples().into_iter().filter(|(_, frame)| passes(frame)).map(|(name, _)| name).collect()
}

#[test]
fn only_answers_to_a_dhcp_client_and_to_arp_pass() {
    let none = "a claim of the address that is none";
    let always =
        ["an acknowledgement", "one behind IP options", "an ARP answer", "one that may not be fragmented"];
    let passed = passing(|frame| passes(frame, nobody()));
    assert_eq!(passed, [&always[..3], &[none], &always[3..]].concat());
    let passed = passing(|frame| passes(frame, Watched::new([ADDRESS, SERVER])));
    let claims = ["an ARP question", "a claim", "a probe", "a probe for another"];
    assert_eq!(passed, [&always[..3], &claims[..], &always[3..]].concat(), "both are watched");
    let passed = passing(|frame| passes(frame, Watched::new([SERVER, ADDRESS].into_iter().skip(1))));
    assert_eq!(passed, [&always[..3], &["a claim", "a probe", none], &always[3..]].concat());
    let verdict = judge(&mut arp(2, SERVER, ADDRESS), MAC, nobody());
    let said = Arp { answer: true, sender_mac: [0x52, 0x54, 0, 0, 0, 1], sender: SERVER, target: ADDRESS };
    assert_eq!(verdict, Verdict::Arp(said));
    assert_eq!(judge(&mut arp(1, SERVER, ADDRESS), MAC, nobody()), Verdict::Drop);
}

#[test]
fn a_server_hears_questions_and_other_servers_only() {
    assert_eq!(
        passing(passes_to_server),
        [
            "an acknowledgement",
            "one behind IP options",
            "one that may not be fragmented",
            "a question to a server",
        ]
    );
}

#[test]
fn no_frame_that_is_cut_off_anywhere_does_harm() {
    for (_, frame) in samples() {
        for length in 0..frame.len() {
            judge(&mut frame[..length].to_vec(), MAC, Watched::new([ADDRESS]));
        }
    }
}

#[test]
fn a_lease_is_read_whole() {
    let Verdict::Lease(lease) = Message::default().judged() else { panic!() };
    assert_eq!((lease.address(), lease.prefix(), lease.router()), (ADDRESS, 24, Some(SERVER)));
    assert_eq!((lease.server(), lease.seconds(), lease.refused_router()), (SERVER, 3600, None));
    assert_eq!(lease.to_string(), "10.0.1.5/24 by DHCP from 10.0.1.1 for 3600 s, router 10.0.1.1");
    assert!(matches!(Message { end: false, ..Message::default() }.judged(), Verdict::Lease(_)));
}

#[test]
fn a_lease_for_somebody_else_is_none() {
    assert_eq!(Message { mac: [2; 6], ..Message::default() }.judged(), Verdict::Drop);
}

#[test]
fn an_address_that_is_no_hosts_is_refused_in_offer_and_lease() {
    for address in [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [169, 254, 1, 1],
        [224, 0, 0, 1],
        [240, 0, 0, 1],
        [255, 255, 255, 255],
        [10, 0, 1, 0],
        [10, 0, 1, 255],
    ] {
        for kind in [ACK, OFFER] {
            let verdict = Message { kind, address: address.into(), ..Message::default() }.judged();
            assert!(matches!(verdict, Verdict::Refuse(Refusal::Address { .. })), "{address:?}: {verdict:?}");
        }
    }
}

#[test]
fn a_mask_with_holes_or_one_that_is_too_wide_is_refused() {
    for mask in [[0, 0, 0, 0], [254, 0, 0, 0], [255, 0, 255, 0], [0, 0, 0, 255]] {
        for kind in [ACK, OFFER] {
            let verdict = Message { kind, mask: Some(mask), ..Message::default() }.judged();
            assert!(matches!(verdict, Verdict::Refuse(Refusal::Mask { .. })), "{mask:?}: {verdict:?}");
        }
    }
    assert!(matches!(
        Message { mask: None, ..Message::default() }.judged(),
        Verdict::Refuse(Refusal::Mask { .. })
    ));
    assert_eq!(Message { kind: OFFER, mask: None, ..Message::default() }.judged(), Verdict::Pass);
}

#[test]
fn the_smallest_networks_are_taken() {
    for (mask, prefix) in [([255, 255, 255, 254], 31), ([255, 255, 255, 255], 32)] {
        let Verdict::Lease(lease) = Message { mask: Some(mask), ..Message::default() }.judged() else {
            panic!()
        };
        assert_eq!((lease.prefix(), lease.router(), lease.refused_router()), (prefix, None, Some(SERVER)));
    }
}

#[test]
fn a_router_out_of_reach_is_passed_over_for_the_next() {
    let near = Ipv4Addr::new(10, 0, 1, 254);
    for bad in [[10, 0, 2, 1], [10, 0, 1, 5], [0, 0, 0, 0], [10, 0, 1, 255], [224, 0, 0, 1]] {
        let routers = vec![bad.into(), near];
        let Verdict::Lease(lease) = Message { routers, ..Message::default() }.judged() else { panic!() };
        assert_eq!((lease.router(), lease.refused_router()), (Some(near), Some(bad.into())));
    }
}

#[test]
fn a_lease_that_is_too_short_is_refused_and_one_for_ever_is_taken() {
    for kind in [ACK, OFFER] {
        for seconds in [0, SHORTEST_LEASE_SECONDS - 1] {
            let verdict = Message { kind, seconds: Some(seconds), ..Message::default() }.judged();
            assert!(matches!(verdict, Verdict::Refuse(Refusal::Time { .. })), "{verdict:?}");
        }
    }
    for (seconds, counted) in [(Some(u32::MAX), u32::MAX), (None, 120)] {
        let Verdict::Lease(lease) = Message { seconds, ..Message::default() }.judged() else { panic!() };
        assert_eq!(lease.seconds(), counted);
    }
}

#[test]
fn times_that_would_keep_the_client_busy_become_padding() {
    let times = vec![(RENEWAL_TIME, 0), (REBINDING_TIME, SHORTEST_RENEWAL_SECONDS - 1)];
    let mut frame = Message { times, ..Message::default() }.frame();
    assert!(matches!(judge(&mut frame, MAC, nobody()), Verdict::Lease(_)));
    let packet = DhcpPacket::new_checked(&frame[42..]).unwrap();
    let repr = DhcpRepr::parse(&packet).unwrap();
    assert_eq!((repr.renew_duration, repr.rebind_duration), (None, None));
    assert_eq!(repr.lease_duration, Some(3600));
    let mut kept = Message::default().frame();
    judge(&mut kept, MAC, nobody());
    assert_eq!(kept, Message::default().frame(), "sensible times are left as they are");
}

#[test]
fn what_a_lease_says_beside_the_address_is_read() {
    let others = vec![
        (6, vec![10, 0, 1, 2, 10, 0, 1, 3]),
        (15, b"Example.com".to_vec()),
        (26, vec![0x23, 0x28]),
        (28, vec![10, 0, 1, 255]),
        (42, vec![10, 0, 1, 4]),
        // In two parts (RFC 3396).
        (119, b"\x03lab\x07exam".to_vec()),
        (119, b"ple\x03com\x00".to_vec()),
    ];
    let lease = lease(&Message { others, ..Message::default() });
    assert_eq!(lease.dns_servers(), [Ipv4Addr::new(10, 0, 1, 2), Ipv4Addr::new(10, 0, 1, 3)]);
    assert_eq!(lease.time_servers(), [Ipv4Addr::new(10, 0, 1, 4)]);
    assert_eq!(lease.domain().unwrap().as_str(), "example.com");
    assert_eq!(lease.search().iter().map(ToString::to_string).collect::<Vec<_>>(), ["lab.example.com"]);
    assert_eq!((lease.mtu(), lease.broadcast()), (Some(9000), Ipv4Addr::new(10, 0, 1, 255)));
    assert_eq!((lease.renewal_seconds(), lease.rebinding_seconds()), (1800, 3150));
    assert_eq!((lease.sender(), lease.oddities()), ([0x52, 0x54, 0, 0, 0, 1], &[][..]));
}

#[test]
fn what_no_host_should_take_is_passed_over_and_the_lease_is_kept() {
    let others = vec![
        (6, vec![0, 0, 0, 0, 224, 0, 0, 1, 10, 0, 1, 5, 10, 0, 1, 3, 9]),
        (15, b"a;reboot".to_vec()),
        (26, vec![0, 68]),
        (28, vec![10, 0, 1, 254]),
        (42, vec![127, 0, 0, 1]),
        (119, vec![0xc0, 0]),
        (121, vec![24, 10]),
    ];
    let lease = lease(&Message { others, ..Message::default() });
    assert_eq!((lease.dns_servers(), lease.time_servers().len()), (&[Ipv4Addr::new(10, 0, 1, 3)][..], 0));
    assert_eq!((lease.domain(), lease.mtu(), lease.search().len()), (None, None, 0));
    assert_eq!(lease.router(), Some(SERVER), "routes that cannot be read do not count");
    assert_eq!(lease.oddities().len(), 9, "{:?}", lease.oddities());
    assert!(lease.oddities().contains(&Oddity::Mtu(68)));
}

#[test]
fn a_server_cannot_fill_the_journal_with_oddities() {
    let lease = lease(&Message { others: vec![(6, vec![0; 252])], ..Message::default() });
    assert_eq!((lease.oddities().len(), lease.dns_servers().len()), (16, 0));
    let many = (1..=63).flat_map(|last| [10, 0, 2, last]).collect();
    let lease = self::lease(&Message { others: vec![(6, many)], ..Message::default() });
    assert_eq!(lease.dns_servers().len(), 4);
}

#[test]
fn classless_routes_take_the_routers_place() {
    let route = |destination: [u8; 4], prefix, gateway: Option<[u8; 4]>| Route {
        destination: destination.into(),
        prefix,
        gateway: gateway.map(Into::into),
    };
    let routes = |data: &[u8]| {
        let lease = lease(&Message { others: vec![(121, data.to_vec())], ..Message::default() });
        (lease.router(), lease.routes().to_vec(), lease.oddities().len())
    };
    let near = [10, 0, 1, 254];
    assert_eq!(routes(&[0, 10, 0, 1, 254]), (Some(near.into()), vec![], 0));
    let data = [16, 172, 16, 10, 0, 1, 254, 24, 10, 9, 9, 0, 0, 0, 0, 0, 10, 9, 9, 7];
    let two = vec![route([10, 9, 9, 0], 24, None), route([172, 16, 0, 0], 16, Some(near))];
    assert_eq!(routes(&data), (Some(Ipv4Addr::new(10, 9, 9, 7)), two, 0), "by a network on the cable");
    let unfit = [
        &[0, 8, 8, 8, 8][..],
        &[16, 172, 16, 10, 0, 1, 5],
        &[8, 127, 10, 0, 1, 254],
        &[4, 224, 10, 0, 1, 254],
        &[16, 169, 254, 10, 0, 1, 254],
        &[1, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0],
    ];
    for data in unfit {
        assert_eq!(routes(data), (None, vec![], 1), "{data:?}");
    }
    let given = GivenRoute { destination: [8, 0, 0, 0].into(), prefix: 8, gateway: [9, 9, 9, 9].into() };
    assert_eq!(
        Oddity::Route(given).to_string(),
        "a route to 8.0.0.0/8 by 9.9.9.9, which no host should take"
    );
}

#[test]
fn a_message_comes_out_as_it_was_put_in() {
    let frame = Message::default().frame();
    let (envelope, message) = opened(&frame).unwrap();
    let packet = DhcpPacket::new_checked(message).unwrap();
    let repr = DhcpRepr::parse(&packet).unwrap();
    let sealed = sealed(envelope, &repr).unwrap();
    let (again, message) = opened(&sealed).unwrap();
    assert_eq!(again, envelope);
    assert_eq!(DhcpRepr::parse(&DhcpPacket::new_checked(message).unwrap()).unwrap().your_ip, ADDRESS);
    assert!(Ipv4Packet::new_checked(&sealed[14..]).unwrap().verify_checksum());
}
