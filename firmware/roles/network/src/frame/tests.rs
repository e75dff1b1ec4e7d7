use super::*;
use crate::lease::SHORTEST_LEASE_SECONDS;
use std::net::Ipv4Addr;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);

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
        dhcp.extend(self.end.then_some(255));
        udp(&dhcp)
    }

    fn judged(&self) -> Verdict {
        judge(&mut self.frame(), MAC)
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

fn arp(operation: u8) -> Vec<u8> {
    let mut frame = [&MAC[..], &[0x52, 0x54, 0, 0, 0, 1], &[0x08, 0x06]].concat();
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
    frame.resize(42, 0);
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
        ("an ARP answer", arp(2)),
        ("an ARP question", arp(1)),
        ("a fragment", changed(21, 1)),
        ("a first fragment", changed(20, 0x20)),
        ("one that may not be fragmented", changed(20, 0x40)),
        ("TCP", changed(23, 6)),
        ("UDP from another port", changed(35, 66)),
        ("UDP to another port", changed(37, 67)),
        ("IPv6", changed(12, 0x86)),
        ("a header length of nothing", changed(14, 0x40)),
        ("a header length beyond the frame", [&changed(14, 0x4f)[..60]].concat()),
    ]
}

#[test]
fn only_answers_to_a_dhcp_client_and_to_arp_pass() {
    let passing: Vec<_> =
        samples().into_iter().filter(|(_, frame)| passes(frame)).map(|(name, _)| name).collect();
    assert_eq!(
        passing,
        ["an acknowledgement", "one behind IP options", "an ARP answer", "one that may not be fragmented"]
    );
    assert_eq!(judge(&mut arp(2), MAC), Verdict::Pass);
    assert_eq!(judge(&mut arp(1), MAC), Verdict::Drop);
}

#[test]
fn no_frame_that_is_cut_off_anywhere_does_harm() {
    for (_, frame) in samples() {
        for length in 0..frame.len() {
            judge(&mut frame[..length].to_vec(), MAC);
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
    assert!(matches!(judge(&mut frame, MAC), Verdict::Lease(_)));
    let packet = DhcpPacket::new_checked(&frame[42..]).unwrap();
    let repr = DhcpRepr::parse(&packet).unwrap();
    assert_eq!((repr.renew_duration, repr.rebind_duration), (None, None));
    assert_eq!(repr.lease_duration, Some(3600));
    let mut kept = Message::default().frame();
    judge(&mut kept, MAC);
    assert_eq!(kept, Message::default().frame(), "sensible times are left as they are");
}
