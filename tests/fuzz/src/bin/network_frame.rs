//! A frame from a cable, as the network role sees it first: what it lets through keeps its bounds, and what a lease says
//! can be used as it stands.
#![no_main]

use drawbridge_network::addressing::{Addressing, Mode};
use drawbridge_network::arp::{Arp, announcement};
use drawbridge_network::dhcp_server::Server;
use drawbridge_network::frame::{Verdict, Watched, judge, passes};
use drawbridge_network::lease::{SHORTEST_LEASE_SECONDS, SHORTEST_RENEWAL_SECONDS};
use drawbridge_network::options::{
    DomainName, ROUTES_MOST, SEARCH_MOST, SERVERS_MOST, classless_routes, search_list,
};
use libfuzzer_sys::fuzz_target;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{DhcpPacket, DhcpRepr};
use std::net::Ipv4Addr;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

fuzz_target!(|data: &[u8]| {
    let Some((form, rest)) = data.split_first() else { return };
    // Of random bytes none would ever be a DHCP message: of four forms three have headers that are right, and two of them
    // say that they give a lease.
    match form % 8 {
        4 => return options(rest),
        5 => return server(rest),
        6 => return client(rest),
        _ => {}
    }
    let mut frame = match form % 4 {
        0 => rest.to_vec(),
        1 => message(&[], rest),
        _ => message(&[53, 1, 5, 1, 4, 255, 255, 255, 0], rest),
    };
    let before = frame.clone();
    let watched = Watched::new([Ipv4Addr::new(10, 0, 1, 5), Ipv4Addr::new(169, 254, 7, 7)]);
    let verdict = judge(&mut frame, MAC, watched);

    assert_eq!(frame.len(), before.len());
    assert!(
        verdict == Verdict::Drop || passes(&before, watched),
        "what the kernel's filter stops is used: {verdict:?}"
    );
    let Verdict::Lease(lease) = &verdict else {
        assert_eq!(frame, before, "changed, though it is no lease");
        return;
    };
    assert_eq!(judge(&mut frame.clone(), MAC, watched), verdict, "a second look finds something else");
    assert!((8..=32).contains(&lease.prefix()));
    assert!(is_unicast(lease.address()), "{lease}");
    assert!(lease.seconds() >= SHORTEST_LEASE_SECONDS);
    let near = |host: Ipv4Addr| {
        let within = |network: Ipv4Addr, prefix: u8| {
            let mask = u32::MAX << (32 - prefix);
            u32::from(host) & mask == u32::from(network) & mask
        };
        let mut on_cable = lease.routes().iter().filter(|route| route.gateway.is_none());
        within(lease.address(), lease.prefix())
            || on_cable.any(|route| within(route.destination, route.prefix))
    };
    for router in lease.router().into_iter().chain(lease.routes().iter().filter_map(|route| route.gateway)) {
        assert_ne!(router, lease.address());
        assert!(is_unicast(router), "{lease}");
        assert!(near(router), "{router} cannot be reached: {lease}");
    }
    for route in lease.routes() {
        assert!((if route.gateway.is_some() { 1 } else { 8 }..=32).contains(&route.prefix), "{route:?}");
    }
    let servers = [lease.dns_servers(), lease.time_servers()];
    assert!(servers.iter().all(|list| list.len() <= SERVERS_MOST));
    assert!(servers.concat().into_iter().all(is_unicast), "{servers:?}");
    assert!(lease.routes().len() <= ROUTES_MOST && lease.search().len() <= SEARCH_MOST);
    assert!(lease.mtu().is_none_or(|mtu| (576..=9216).contains(&mtu)));
    for name in lease.search().iter().chain(lease.domain()) {
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(name.as_str().len() <= 253 && name.as_str().bytes().all(fit), "{name}");
    }
    assert!(lease.renewal_seconds() >= SHORTEST_RENEWAL_SECONDS);
    assert!(lease.renewal_seconds() <= lease.rebinding_seconds());
    assert!(lease.rebinding_seconds() <= lease.seconds());
    // The client below reads the same bytes: it must find no time that keeps it busy.
    let start = 14 + usize::from(frame[14] & 0x0f) * 4 + 8;
    let packet = DhcpPacket::new_checked(&frame[start..]).expect("a lease is a message");
    let repr = DhcpRepr::parse(&packet).expect("a lease is a message");
    for time in [repr.renew_duration, repr.rebind_duration].into_iter().flatten() {
        assert!(time >= SHORTEST_RENEWAL_SECONDS, "a renewal after {time} s");
    }
});

/// What ARP and the longer options say, byte for byte.
fn options(bytes: &[u8]) {
    if let Some(arp) = Arp::parse(bytes) {
        assert!(arp.sender_mac[0] & 1 == 0 && arp.sender_mac != [0; 6], "{arp:?}");
    }
    let (names, _) = search_list(bytes);
    assert!(names.len() <= SEARCH_MOST);
    for name in &names {
        assert_eq!(DomainName::parse(name.as_str().as_bytes()).as_ref(), Some(name), "read differently");
    }
    for route in classless_routes(bytes).unwrap_or_default() {
        assert!(route.prefix <= 32, "{route:?}");
    }
}

/// The service port's server, asked whatever the bytes say: it never answers more than it is asked, and gives no address
/// but its own.
fn server(bytes: &[u8]) {
    let mut server = Server::new(MAC, Instant::ZERO, 1);
    while let Some(next) = server.next() {
        server.poll(next);
    }
    server.frames();
    let mut now = Instant::from_secs(10);
    for (number, part) in bytes.chunks(64).enumerate() {
        now += Duration::from_secs(u64::from(part[0]));
        // Every second one from one of few laptops, with a kind that is one.
        let kind = [53, 1, 1 + part[0] % 8, 54, 4, 169, 254, 100, 1];
        let mut frame = message(if number % 2 == 0 { &kind } else { &[] }, part);
        (frame[35], frame[37]) = (68, 67);
        frame[42] = 1;
        frame[75] = part[0] % 4;
        server.take(now, &frame);
        server.poll(now);
        let frames = server.frames();
        assert!(frames.len() <= 1 || matches!(server.next(), Some(_)), "more answers than questions");
        for frame in &frames {
            let packet = DhcpPacket::new_checked(&frame[42..]).expect("what it sends is a message");
            let [a, b, c, d] = packet.your_ip().octets();
            assert!([a, b, c, d] == [0; 4] || ([a, b, c] == [169, 254, 100] && (10..=60).contains(&d)));
        }
        assert!(server.news().len() <= 2);
    }
}

/// The client, told whatever the bytes say as time goes on: it never floods the cable.
fn client(bytes: &[u8]) {
    let mode = Mode::Dhcp {
        link_local_after: Some(std::time::Duration::from_secs(10)),
        host_name: Some("drawbridge".into()),
        wanted: None,
    };
    let (mut now, mut sent) = (Instant::ZERO, 0);
    let mut client = Addressing::new(MAC, mode, now, 1);
    for part in bytes.chunks(64) {
        client.poll(now);
        let mut frame = match part[0] % 4 {
            0 => part.to_vec(),
            1 => announcement([2, 0, 0, 0, 0, part[0]], Ipv4Addr::new(10, 0, 1, 5)),
            // The number of the question is known to whoever sees it.
            _ => message(&[53, 1, 2 + part[0] % 5, 54, 4, 10, 0, 1, 1, 1, 4, 255, 255, 255, 0], part),
        };
        for asked in client.frames() {
            sent += 1;
            if asked.len() > 280 && frame.len() > 50 {
                frame[46..50].copy_from_slice(&asked[46..50]);
            }
        }
        client.take(now, frame);
        client.refusals();
        client.news();
        now += Duration::from_millis(u64::from(part[0]) * 20);
    }
    // At most five seconds a part; nothing is asked more than some ten times a second.
    let most = 100 + 12 * now.secs();
    assert!(sent <= most, "{sent} frames in {now}");
}

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
