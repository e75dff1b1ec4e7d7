use super::*;
use smoltcp::wire::Ipv4Packet;

const PORT: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];

fn at(seconds: i64) -> Instant {
    Instant::from_secs(seconds)
}

fn laptop(number: u16) -> [u8; 6] {
    let [high, low] = number.to_be_bytes();
    [0x52, 0x54, 1, 0, high, low]
}

fn message(repr: &DhcpRepr<'_>) -> Vec<u8> {
    frame::sealed(to_all(repr.client_hardware_address.0), repr).unwrap()
}

fn discover(mac: [u8; 6]) -> Vec<u8> {
    message(&blank(mac, DhcpMessageType::Discover, 7))
}

fn request(mac: [u8; 6], wanted: Ipv4Addr, server: Option<Ipv4Addr>) -> Vec<u8> {
    message(&DhcpRepr {
        requested_ip: Some(wanted),
        server_identifier: server,
        ..blank(mac, DhcpMessageType::Request, 7)
    })
}

/// What was answered: its kind, the address in it, and to whom it went.
type Answer = (DhcpMessageType, Ipv4Addr, ([u8; 6], Ipv4Addr, u16));

fn ask(server: &mut Server, seconds: i64, question: &[u8]) -> Option<Answer> {
    server.take(at(seconds), question);
    let frames = server.frames();
    assert!(frames.len() <= 1, "more answers than questions");
    let (envelope, bytes) = frame::opened(frames.first()?).unwrap();
    assert!(Ipv4Packet::new_checked(&frames[0][14..]).unwrap().verify_checksum());
    assert!(bytes.len() >= 300, "shorter than BOOTP's least");
    let packet = DhcpPacket::new_checked(bytes).unwrap();
    let repr = DhcpRepr::parse(&packet).unwrap();
    assert_eq!((repr.server_identifier, envelope.from), (Some(ADDRESS), (PORT, ADDRESS, 67)));
    assert_eq!((repr.router, repr.dns_servers.clone()), (None, None), "the laptop's traffic stays its own");
    Some((repr.message_type, repr.your_ip, envelope.to))
}

fn serving() -> Server {
    let mut server = Server::new(PORT, at(0), 5);
    let mut questions = 0;
    while let Some(next) = server.next() {
        server.poll(next);
        questions += server.frames().len();
        assert!(next <= at(4));
    }
    assert_eq!(questions, 3);
    assert!(matches!(server.news()[..], [ServerNews::Serving]));
    server
}

fn pool(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(169, 254, 100, last)
}

#[test]
fn a_laptop_gets_an_address_and_the_same_one_again() {
    let mut server = serving();
    let mac = laptop(1);
    let to = (mac, pool(10), 68);
    assert_eq!(ask(&mut server, 10, &discover(mac)), Some((DhcpMessageType::Offer, pool(10), to)));
    let wants = request(mac, pool(10), Some(ADDRESS));
    assert_eq!(ask(&mut server, 11, &wants), Some((DhcpMessageType::Ack, pool(10), to)));
    assert!(
        matches!(server.news()[..], [ServerNews::Given { address, mac: of }] if (address, of) == (pool(10), mac))
    );
    let renews = message(&DhcpRepr { client_ip: pool(10), ..blank(mac, DhcpMessageType::Request, 8) });
    assert_eq!(ask(&mut server, 300, &renews), Some((DhcpMessageType::Ack, pool(10), to)));
    assert!(server.news().is_empty(), "a renewal is no news");
    // Long after its end, and after others.
    ask(&mut server, 301, &discover(laptop(2)));
    let again = ask(&mut server, 5000, &discover(mac)).unwrap();
    assert_eq!(again.1, pool(10));
}

#[test]
fn a_request_for_what_is_not_the_laptops_is_refused_so_that_all_hear_it() {
    let mut server = serving();
    let all = ([0xff; 6], Ipv4Addr::BROADCAST, 68);
    let refused = Some((DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED, all));
    assert_eq!(ask(&mut server, 10, &request(laptop(1), Ipv4Addr::new(192, 168, 1, 7), None)), refused);
    assert_eq!(ask(&mut server, 10, &request(laptop(2), pool(61), None)), refused);
    ask(&mut server, 11, &request(laptop(3), pool(33), None)).unwrap();
    assert_eq!(ask(&mut server, 12, &request(laptop(4), pool(33), None)), refused);
    assert_eq!(ask(&mut server, 12, &request(laptop(5), pool(10), Some(ADDRESS))), refused);
    assert_eq!(ask(&mut server, 13, &request(laptop(3), pool(33), Some(pool(2)))), None, "to another server");
}

#[test]
fn a_flood_of_questions_keeps_no_laptop_out() {
    let mut server = serving();
    for number in 100..10_100 {
        ask(&mut server, 10, &discover(laptop(number)));
    }
    let (_, address, _) = ask(&mut server, 11, &discover(laptop(1))).unwrap();
    let answer = ask(&mut server, 11, &request(laptop(1), address, Some(ADDRESS))).unwrap();
    assert_eq!((answer.0, answer.1), (DhcpMessageType::Ack, address));
    for number in 100..10_100 {
        assert_ne!(ask(&mut server, 12, &discover(laptop(number))).unwrap().1, address, "given twice");
    }
}

#[test]
fn when_all_addresses_are_given_it_says_nothing_until_one_is_free() {
    let mut server = serving();
    for number in 0..51 {
        let (_, address, _) = ask(&mut server, 10, &discover(laptop(number))).unwrap();
        ask(&mut server, 10, &request(laptop(number), address, Some(ADDRESS))).unwrap();
    }
    assert!(server.news().len() <= 1, "the role is not flooded");
    assert_eq!(ask(&mut server, 11, &discover(laptop(99))), None);
    let back = message(&DhcpRepr { client_ip: pool(20), ..blank(laptop(10), DhcpMessageType::Release, 1) });
    assert_eq!(ask(&mut server, 12, &back), None);
    assert_eq!(ask(&mut server, 12, &discover(laptop(99))).unwrap().1, pool(20));
    assert!(ask(&mut server, 700, &discover(laptop(98))).is_some(), "ten minutes later all are free");
}

#[test]
fn an_address_that_was_declined_rests_and_who_declines_all_does_not_end_the_service() {
    let mut server = serving();
    for number in 0..200 {
        let (_, address, _) = ask(&mut server, 10, &discover(laptop(number))).unwrap();
        let declines = message(&DhcpRepr {
            requested_ip: Some(address),
            server_identifier: Some(ADDRESS),
            ..blank(laptop(number), DhcpMessageType::Decline, 1)
        });
        assert_eq!(ask(&mut server, 10, &declines), None);
        assert_ne!(ask(&mut server, 10, &discover(laptop(1000 + number))).unwrap().1, address);
    }
}

#[test]
fn where_another_server_answers_it_stays_silent_and_says_so() {
    let other = Ipv4Addr::new(10, 0, 1, 1);
    let mut server = Server::new(PORT, at(0), 5);
    server.poll(at(0));
    let question = server.frames().remove(0);
    let (_, bytes) = frame::opened(&question).unwrap();
    let number = DhcpPacket::new_checked(bytes).unwrap().transaction_id();
    let offer = |number, mac: [u8; 6]| {
        let envelope = Envelope { from: ([2; 6], other, 67), to: ([0xff; 6], Ipv4Addr::BROADCAST, 68) };
        let repr = DhcpRepr {
            your_ip: Ipv4Addr::new(10, 0, 1, 9),
            server_identifier: Some(other),
            ..blank(mac, DhcpMessageType::Offer, number)
        };
        frame::sealed(envelope, &repr).unwrap()
    };
    server.take(at(1), &offer(number, PORT));
    assert!(matches!(server.news()[..], [ServerNews::Silent { server }] if server == other));
    assert_eq!(ask(&mut server, 2, &discover(laptop(1))), None);
    for _ in 0..1000 {
        server.take(at(3), &offer(number, PORT));
    }
    assert!(server.news().is_empty(), "once is enough");
    // It is gone five minutes later.
    assert_eq!(server.next(), Some(at(303)));
    for seconds in 303..310 {
        server.poll(at(seconds));
    }
    assert!(matches!(server.news()[..], [ServerNews::Serving]));
    // One that comes while it serves.
    server.frames();
    server.take(at(400), &offer(9, laptop(3)));
    assert!(matches!(server.news()[..], [ServerNews::Silent { .. }]));
}

#[test]
fn an_inform_is_answered_without_an_address() {
    let mut server = serving();
    let own = Ipv4Addr::new(169, 254, 3, 4);
    let asks = message(&DhcpRepr { client_ip: own, ..blank(laptop(1), DhcpMessageType::Inform, 1) });
    let to = (laptop(1), own, 68);
    assert_eq!(ask(&mut server, 10, &asks), Some((DhcpMessageType::Ack, Ipv4Addr::UNSPECIFIED, to)));
}

#[test]
fn what_is_no_question_of_a_laptop_is_not_answered() {
    let mut server = serving();
    let relayed = DhcpRepr { relay_agent_ip: pool(9), ..blank(laptop(1), DhcpMessageType::Discover, 1) };
    for frame in [
        discover([0; 6]),
        discover([0xff; 6]),
        message(&relayed),
        discover(laptop(1))[..200].to_vec(),
        message(&blank(laptop(1), DhcpMessageType::Offer, 1)),
    ] {
        assert_eq!(ask(&mut server, 10, &frame), None);
    }
    for (_, frame) in frame::tests::samples() {
        for length in 0..=frame.len() {
            server.take(at(20), &frame[..length]);
        }
    }
}
