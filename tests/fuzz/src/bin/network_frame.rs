//! A frame from a cable, as the network role sees it first: what it lets through keeps its bounds, and what a lease says
//! can be used as it stands.
#![no_main]

use drawbridge_network::frame::{Verdict, judge, passes};
use drawbridge_network::lease::{SHORTEST_LEASE_SECONDS, SHORTEST_RENEWAL_SECONDS};
use libfuzzer_sys::fuzz_target;
use smoltcp::wire::{DhcpPacket, DhcpRepr};
use std::net::Ipv4Addr;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

fuzz_target!(|data: &[u8]| {
    let Some((form, rest)) = data.split_first() else { return };
    // Of random bytes none would ever be a DHCP message: of four forms three have headers that are right, and two of them
    // say that they give a lease.
    let mut frame = match form % 4 {
        0 => rest.to_vec(),
        1 => message(&[], rest),
        _ => message(&[53, 1, 5, 1, 4, 255, 255, 255, 0], rest),
    };
    let before = frame.clone();
    let verdict = judge(&mut frame, MAC);

    assert_eq!(frame.len(), before.len());
    assert!(
        verdict == Verdict::Drop || passes(&before),
        "what the kernel's filter stops is used: {verdict:?}"
    );
    let Verdict::Lease(lease) = &verdict else {
        assert_eq!(frame, before, "changed, though it is no lease");
        return;
    };
    assert_eq!(judge(&mut frame.clone(), MAC), verdict, "a second look finds something else");
    assert!((8..=32).contains(&lease.prefix()));
    assert!(is_unicast(lease.address()), "{lease}");
    assert!(lease.seconds() >= SHORTEST_LEASE_SECONDS);
    if let Some(router) = lease.router() {
        let mask = u32::MAX << (32 - lease.prefix());
        assert_ne!(router, lease.address());
        assert!(is_unicast(router), "{lease}");
        assert_eq!(u32::from(router) & mask, u32::from(lease.address()) & mask, "{lease}");
    }
    // The client below reads the same bytes: it must find no time that keeps it busy.
    let start = 14 + usize::from(frame[14] & 0x0f) * 4 + 8;
    let packet = DhcpPacket::new_checked(&frame[start..]).expect("a lease is a message");
    let repr = DhcpRepr::parse(&packet).expect("a lease is a message");
    for time in [repr.renew_duration, repr.rebind_duration].into_iter().flatten() {
        assert!(time >= SHORTEST_RENEWAL_SECONDS, "a renewal after {time} s");
    }
});

fn is_unicast(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast())
}

/// A frame from port 67 to port 68 with a DHCP reply to [`MAC`]: its address is the first four of `bytes`, its options are
/// `first` and the rest of them.
fn message(first: &[u8], bytes: &[u8]) -> Vec<u8> {
    let (address, options) = bytes.split_at(bytes.len().min(4));
    let mut dhcp = vec![0; 240];
    dhcp[..4].copy_from_slice(&[2, 1, 6, 0]); // a reply, Ethernet, six bytes of address
    dhcp[16..16 + address.len()].copy_from_slice(address);
    dhcp[28..34].copy_from_slice(&MAC);
    dhcp[236..].copy_from_slice(&[99, 130, 83, 99]); // the magic cookie (RFC 2131, section 3)
    dhcp.extend_from_slice(first);
    dhcp.extend_from_slice(options);

    let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes();
    let mut frame = [&MAC[..], &[0x52, 0x54, 0, 0, 0, 1], &[0x08, 0x00]].concat();
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&length(20 + 8 + dhcp.len()));
    frame.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 1, 1, 255, 255, 255, 255]);
    frame.extend_from_slice(&[0, 67, 0, 68]);
    frame.extend_from_slice(&length(8 + dhcp.len()));
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(&dhcp);
    frame
}
