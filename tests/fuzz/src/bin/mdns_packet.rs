//! Messages from a link, as the mDNS responder takes them in: whatever comes and in whatever order, what it sends is bounded
//! in length and number, can be read, and goes to nobody off the link.
#![no_main]

use drawbridge_network::mdns::Service;
use drawbridge_network::mdns::machine::{Machine, To};
use drawbridge_network::mdns::message::{MESSAGE_BYTES, parse};
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A question for the service, and the start of an answer about our name: random bytes would never name either.
const HEADS: [&[u8]; 3] = [
    b"\0\0\0\0\0\x01\0\0\0\0\0\0\x0b_drawbridge\x04_tcp\x05local\0\0\x0c\0\x01",
    b"\0\0\x84\0\0\0\0\x01\0\0\0\0\x02sa\x05local\0\0\x01\0\x01\0\0\0\x78\0\x04",
    b"\0\0\0\0\0\x01\0\0\0\x01\0\0\x02sa\x05local\0\0\xff\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x78\0\x04",
];

fuzz_target!(|data: &[u8]| {
    let service = Service { kind: "drawbridge".to_owned(), port: 9000, text: Vec::new() };
    let addresses = [(IpAddr::from([10, 0, 0, 1]), 24)];
    let mut machine = Machine::new("sa", 1, &service, &addresses, Duration::ZERO, 7);
    let (mut now, mut sent, mut attempt) = (Duration::ZERO, 0_u64, 1);
    let mut rest = data;
    while let Some(([form, length, wait, host], more)) = rest.split_first_chunk::<4>() {
        let (body, more) = more.split_at(usize::from(*length).min(more.len()));
        rest = more;
        now += Duration::from_millis(u64::from(*wait) * 8);
        let mut bytes = HEADS.get(usize::from(form % 4)).map_or(Vec::new(), |head| head.to_vec());
        bytes.extend_from_slice(body);
        let port = if form & 0x80 == 0 { 5353 } else { 40_000 };
        let from = SocketAddr::from(([10, 0, host % 2, *host], port));
        let mut outgoing = machine.tick(now);
        outgoing.extend(machine.receive(from, &bytes, now));
        if machine.name_is_taken() {
            attempt += 1;
            outgoing.extend(machine.rename(attempt, now));
        }
        for outgoing in outgoing {
            assert!(outgoing.bytes.len() <= MESSAGE_BYTES);
            assert!(parse(&outgoing.bytes).is_ok(), "what it says cannot be read");
            match outgoing.to {
                To::Group(_) => sent += 1,
                To::Host(to) => assert!(to == from && host % 2 == 0, "{to} is not on the link"),
            }
        }
    }
    // Seven records, each of which somebody may have defended four times a second; probes and announcements are fewer.
    let seconds = u64::try_from(now.as_millis()).unwrap_or(u64::MAX) / 1000 + 1;
    assert!(sent <= 100 + seconds * 40, "{sent} messages in {seconds} seconds");
});
