//! A port and a small world on its cable, in virtual time.

use super::*;
use crate::arp;
use crate::dhcp::blank;
use crate::frame::{CLIENT_PORT, Envelope, SERVER_PORT, opened, sealed};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame,
    EthernetProtocol, EthernetRepr,
};
use std::time::Duration as StdDuration;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const SERVER_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const ROGUE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 66);
const ROGUE_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0x66];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 6);
const THIEF: [u8; 6] = [0x52, 0x54, 0, 0, 0, 9];

/// What the server on the cable does.
#[derive(Clone)]
struct Server {
    gives: Ipv4Addr,
    seconds: u32,
    answers: bool,
    acknowledges: bool,
    refuses: bool,
    /// Each answer comes so many times.
    copies: usize,
}

struct Cable {
    port: Addressing,
    now: Instant,
    server: Server,
    /// A second server, which is faster.
    rogue: Option<Ipv4Addr>,
    /// Who has which address already.
    thief: Option<Ipv4Addr>,
    news: Vec<(i64, News)>,
    /// What the port has said by DHCP, and when, in milliseconds.
    said: Vec<(i64, DhcpMessageType, Option<Ipv4Addr>)>,
    last: Option<Vec<u8>>,
    arps: Vec<(i64, Arp)>,
}

fn dhcp() -> Mode {
    Mode::Dhcp {
        link_local_after: Some(StdDuration::from_secs(10)),
        host_name: Some("drawbridge".into()),
        wanted: None,
    }
}

impl Cable {
    fn new(mode: Mode) -> Self {
        Self {
            port: Addressing::new(MAC, mode, Instant::ZERO, 42),
            now: Instant::ZERO,
            server: Server {
                gives: ADDRESS,
                seconds: 3600,
                answers: true,
                acknowledges: true,
                refuses: false,
                copies: 1,
            },
            rogue: None,
            thief: None,
            news: Vec::new(),
            said: Vec::new(),
            last: None,
            arps: Vec::new(),
        }
    }

    fn without_server(mode: Mode) -> Self {
        let mut cable = Self::new(mode);
        cable.server.answers = false;
        cable
    }

    fn exchange(&mut self) {
        self.port.poll(self.now);
        for _ in 0..100 {
            let frames = self.port.frames();
            let at = self.now.total_millis();
            self.news.extend(self.port.news().into_iter().map(|news| (at, news)));
            if frames.is_empty() {
                return;
            }
            for frame in frames {
                self.hear(&frame);
            }
            self.port.poll(self.now);
        }
        panic!("the port does not come to rest");
    }

    /// Lets time pass to this second.
    fn until(&mut self, seconds: i64) {
        let end = Instant::from_secs(seconds);
        self.exchange();
        let mut turns = 0;
        while let Some(next) = self.port.next(self.now).filter(|next| *next <= end) {
            turns += 1;
            assert!(turns < 10_000, "the port is busy with nothing");
            self.now = next.max(self.now);
            self.exchange();
        }
        self.now = end;
    }

    /// The world's answers to a frame.
    fn hear(&mut self, frame: &[u8]) {
        let at = self.now.total_millis();
        if let Some(arp) = Arp::parse(frame) {
            self.arps.push((at, arp));
            if !arp.sender.is_unspecified() && arp.target == SERVER {
                self.arp_answer(SERVER_MAC, SERVER);
            }
            if self.thief == Some(arp.target) {
                self.arp_answer(THIEF, arp.target);
            }
            return;
        }
        let (_, bytes) = opened(frame).expect("nothing but ARP and DHCP");
        let packet = DhcpPacket::new_checked(bytes).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        self.said.push((at, repr.message_type, repr.requested_ip));
        self.last = Some(frame.to_vec());
        if let Some(rogue) = self.rogue {
            self.answer(&repr, rogue, ROGUE_MAC, OTHER);
        }
        if self.server.answers {
            self.answer(&repr, SERVER, SERVER_MAC, self.server.gives);
        }
    }

    fn answer(&mut self, to: &DhcpRepr<'_>, server: Ipv4Addr, mac: [u8; 6], gives: Ipv4Addr) {
        let kind = match to.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if self.server.refuses => DhcpMessageType::Nak,
            DhcpMessageType::Request if self.server.acknowledges => DhcpMessageType::Ack,
            _ => return,
        };
        // A rogue server answers what is not for it, too.
        let frame = self.reply(kind, to.transaction_id, server, mac, gives);
        for _ in 0..self.server.copies {
            self.port.take(self.now, frame.clone());
        }
    }

    fn reply(
        &self,
        kind: DhcpMessageType,
        number: u32,
        server: Ipv4Addr,
        mac: [u8; 6],
        gives: Ipv4Addr,
    ) -> Vec<u8> {
        let repr = DhcpRepr {
            your_ip: gives,
            server_identifier: Some(server),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            router: Some(SERVER),
            lease_duration: Some(self.server.seconds),
            client_identifier: None,
            ..blank(MAC, kind, number)
        };
        let envelope =
            Envelope { from: (mac, server, SERVER_PORT), to: ([0xff; 6], Ipv4Addr::BROADCAST, CLIENT_PORT) };
        sealed(envelope, &repr).unwrap()
    }

    fn arp_answer(&mut self, mac: [u8; 6], address: Ipv4Addr) {
        let mut frame = vec![0; arp::ARP_BYTES];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
        EthernetRepr {
            src_addr: EthernetAddress(mac),
            dst_addr: EthernetAddress(MAC),
            ethertype: EthernetProtocol::Arp,
        }
        .emit(&mut ethernet);
        ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(mac),
            source_protocol_addr: address,
            target_hardware_addr: EthernetAddress(MAC),
            target_protocol_addr: ADDRESS,
        }
        .emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
        self.port.take(self.now, frame);
    }

    /// Another host claims an address.
    fn claim(&mut self, address: Ipv4Addr) {
        self.port.take(self.now, arp::announcement(THIEF, address));
        self.exchange();
    }

    /// The news since it was asked last, in short.
    fn told(&mut self) -> Vec<String> {
        let short = |news| match news {
            News::Leased(lease) => format!("leased {}", lease.address()),
            News::LinkLocal(address) => {
                assert!(address.is_link_local());
                "link-local".into()
            }
            News::Usable { address } => format!("usable {address}"),
            News::Lost => "lost".into(),
            News::Conflict { mac, gave_up, .. } => {
                assert_eq!(mac, THIEF);
                if gave_up { "gave up".into() } else { "defended".into() }
            }
            News::Failed(error) => panic!("{error}"),
        };
        self.news.drain(..).map(|(_, news)| short(news)).collect()
    }

    fn count(&self, kind: DhcpMessageType) -> usize {
        self.said.iter().filter(|(_, said, _)| *said == kind).count()
    }
}

#[test]
fn a_lease_is_probed_before_it_is_told_of_and_announced_afterwards() {
    let mut cable = Cable::new(dhcp());
    cable.until(5);
    assert!((550..=700).contains(&cable.news[0].0), "leased after {} ms", cable.news[0].0);
    assert_eq!(cable.told(), ["leased 10.0.1.5"]);
    let senders: Vec<_> = cable.arps.iter().map(|(_, arp)| arp.sender).collect();
    let none = Ipv4Addr::UNSPECIFIED;
    assert_eq!(senders, [none, none, none, ADDRESS, ADDRESS]);
    assert!(cable.arps.iter().all(|(_, arp)| arp.target == ADDRESS));
}

#[test]
fn the_server_is_told_the_hosts_name_and_asked_for_what_is_used() {
    let mut cable = Cable::new(dhcp());
    cable.until(1);
    let frame = cable.last.unwrap();
    let (_, bytes) = opened(&frame).unwrap();
    let packet = DhcpPacket::new_checked(bytes).unwrap();
    let option = |kind| packet.options().find(|option| option.kind == kind).unwrap().data.to_vec();
    assert_eq!(option(12), b"drawbridge");
    assert_eq!(option(61), [&[1], &MAC[..]].concat());
    for kind in [1, 3, 6, 15, 26, 28, 42, 119, 121] {
        assert!(option(55).contains(&kind), "{kind}");
    }
    assert!(bytes.len() >= 300);
}

#[test]
fn the_address_of_before_is_asked_for_again() {
    let mut cable = Cable::new(Mode::Dhcp { link_local_after: None, host_name: None, wanted: Some(OTHER) });
    cable.until(1);
    assert_eq!(cable.said[0], (0, DhcpMessageType::Discover, Some(OTHER)));
}

#[test]
fn a_lease_is_renewed_at_its_half_and_told_of_once_each_time_though_answers_are_doubled() {
    let mut cable = Cable::new(dhcp());
    cable.server.copies = 3;
    cable.until(1799);
    assert_eq!(cable.told(), ["leased 10.0.1.5"]);
    cable.until(1801);
    assert_eq!(cable.told(), ["leased 10.0.1.5"]);
    assert_eq!(cable.count(DhcpMessageType::Request), 2);
    let envelope = opened(cable.last.as_ref().unwrap()).unwrap().0;
    assert_eq!(envelope.to.1, SERVER, "the server itself is asked");
}

#[test]
fn a_lease_that_nobody_renews_ends_in_time_and_a_link_local_address_takes_its_place() {
    let mut cable = Cable::new(dhcp());
    cable.server.seconds = 600;
    cable.until(1);
    cable.server.answers = false;
    cable.until(599);
    assert_eq!(cable.told(), ["leased 10.0.1.5"]);
    let envelope = opened(cable.last.as_ref().unwrap()).unwrap().0;
    assert_eq!(envelope.to.1, Ipv4Addr::BROADCAST, "in the end all servers are asked");
    assert!(cable.said.len() < 20, "{} messages", cable.said.len());
    cable.until(601);
    assert_eq!(cable.told(), ["lost"]);
    cable.until(620);
    assert_eq!(cable.told(), ["link-local"]);
    cable.server.answers = true;
    cable.until(700);
    assert_eq!(cable.told(), ["leased 10.0.1.5"], "the lease replaces it");
    assert!(cable.said.iter().any(|(_, _, wanted)| *wanted == Some(ADDRESS)), "the same one is wanted again");
}

#[test]
fn a_lease_for_ever_is_never_asked_for_again() {
    let mut cable = Cable::new(dhcp());
    cable.server.seconds = u32::MAX;
    cable.until(10);
    let messages = cable.said.len();
    cable.until(365 * 24 * 3600);
    assert_eq!((cable.said.len(), cable.told().len()), (messages, 1));
}

#[test]
fn a_refusal_ends_the_lease_and_a_server_that_only_refuses_is_asked_seldom() {
    let mut cable = Cable::new(dhcp());
    cable.until(1);
    cable.server.refuses = true;
    cable.until(1801);
    assert_eq!(cable.told(), ["leased 10.0.1.5", "lost"]);
    let before = cable.said.len();
    cable.until(1801 + 600);
    let asked = cable.said.len() - before;
    assert!((10..60).contains(&asked), "{asked} messages in ten minutes");
    cable.server.refuses = false;
    cable.until(1801 + 700);
    assert!(cable.told().contains(&"leased 10.0.1.5".into()));
}

#[test]
fn a_second_server_changes_nothing_as_long_as_the_chosen_one_answers() {
    let mut cable = Cable::new(dhcp());
    cable.until(1);
    // It answers each renewal first, with another address, and then says no.
    cable.rogue = Some(ROGUE);
    for refuses in [false, true] {
        let number = {
            let (_, bytes) = opened(cable.last.as_ref().unwrap()).unwrap();
            DhcpPacket::new_checked(bytes).unwrap().transaction_id()
        };
        let kind = if refuses { DhcpMessageType::Nak } else { DhcpMessageType::Ack };
        let frame = cable.reply(kind, number, ROGUE, ROGUE_MAC, OTHER);
        cable.port.take(cable.now, frame);
        cable.until(1801 + i64::from(refuses) * 1801);
    }
    assert_eq!(cable.told(), ["leased 10.0.1.5"; 3]);
}

#[test]
fn a_server_that_offers_and_never_gives_makes_room_for_another() {
    let mut cable = Cable::new(dhcp());
    // Two servers: the fast one only offers.
    cable.rogue = Some(ROGUE);
    cable.server.acknowledges = false;
    cable.until(8);
    assert!(cable.told().is_empty());
    let discovers = cable.count(DhcpMessageType::Discover);
    cable.until(13);
    assert_eq!(cable.count(DhcpMessageType::Discover), discovers + 1, "it asks anew after twelve seconds");
    cable.server.acknowledges = true;
    cable.until(30);
    assert_eq!(cable.told().last().unwrap(), "leased 10.0.1.5", "the other one's offer was taken");
}

#[test]
fn answers_to_nothing_that_was_asked_are_no_lease() {
    let mut cable = Cable::without_server(dhcp());
    cable.until(1);
    for number in 0..2000 {
        for kind in [DhcpMessageType::Offer, DhcpMessageType::Ack, DhcpMessageType::Nak] {
            let frame = cable.reply(kind, number, SERVER, SERVER_MAC, ADDRESS);
            cable.port.take(cable.now, frame);
        }
    }
    cable.exchange();
    assert_eq!((cable.told().len(), cable.count(DhcpMessageType::Request)), (0, 0));
}

#[test]
fn an_address_that_another_has_is_declined_and_asked_for_again_after_a_rest() {
    let mut cable = Cable::new(dhcp());
    cable.thief = Some(ADDRESS);
    cable.until(9);
    assert_eq!(cable.told(), ["gave up"]);
    let (at, kind, address) = *cable.said.last().unwrap();
    assert_eq!((kind, address), (DhcpMessageType::Decline, Some(ADDRESS)));
    let envelope = opened(cable.last.as_ref().unwrap()).unwrap().0;
    assert_eq!((envelope.from.1, envelope.to.1), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));
    // The server does not learn: less and less often.
    cable.until(600);
    let declined: Vec<_> = cable
        .said
        .iter()
        .filter(|(_, kind, _)| *kind == DhcpMessageType::Decline)
        .map(|(at, ..)| *at)
        .collect();
    assert!((8..=16).contains(&declined.len()), "{declined:?}");
    assert!(declined[1] - at >= 10_000 && declined[3] - declined[2] >= 40_000, "{declined:?}");
    assert!(cable.told().contains(&"link-local".into()), "meanwhile it has an address of its own");
    cable.server.gives = OTHER;
    cable.until(700);
    assert_eq!(cable.told().last().unwrap(), "leased 10.0.1.6");
}

#[test]
fn a_leased_address_is_defended_once_and_then_given_up() {
    let mut cable = Cable::new(dhcp());
    cable.until(100);
    cable.arps.clear();
    cable.claim(ADDRESS);
    assert_eq!(cable.told(), ["leased 10.0.1.5", "defended"]);
    assert_eq!(cable.arps.len(), 1);
    cable.until(120);
    cable.claim(ADDRESS);
    cable.claim(ADDRESS);
    assert_eq!(cable.told(), ["defended"], "one frame twice is one claim");
    cable.until(125);
    cable.claim(ADDRESS);
    assert_eq!(cable.told(), ["gave up", "lost"]);
    assert_eq!(cable.said.last().unwrap().1, DhcpMessageType::Decline);
    cable.until(140);
    assert_eq!(cable.told(), ["leased 10.0.1.5"]);
}

#[test]
fn a_fixed_address_is_kept_whatever_others_claim() {
    let mut cable = Cable::without_server(Mode::Static { address: ADDRESS });
    cable.until(10);
    assert_eq!(cable.told(), ["usable 10.0.1.5"]);
    cable.arps.clear();
    for _ in 0..100_000 {
        cable.now += Duration::from_millis(1);
        cable.claim(ADDRESS);
    }
    assert_eq!((cable.told(), cable.arps.len()), (vec!["defended".to_owned(); 10], 10), "in 100 s");
    assert_eq!(cable.said.len(), 0);
}

#[test]
fn a_fixed_address_that_another_has_is_not_used_until_it_is_free() {
    let mut cable = Cable::without_server(Mode::Static { address: ADDRESS });
    cable.thief = Some(ADDRESS);
    cable.until(25);
    assert_eq!(cable.told(), ["gave up"; 3]);
    cable.thief = None;
    cable.until(40);
    assert_eq!(cable.told(), ["usable 10.0.1.5"]);
}

#[test]
fn a_port_without_any_server_takes_a_link_local_address_after_ten_seconds_and_goes_on_asking() {
    let mut cable = Cable::without_server(dhcp());
    cable.until(60);
    let (at, _) = cable.news[0];
    assert!((14_000..=17_000).contains(&at), "after {at} ms");
    assert_eq!(cable.told(), ["link-local"]);
    assert!(cable.count(DhcpMessageType::Discover) >= 4);
    let mut never =
        Cable::without_server(Mode::Dhcp { link_local_after: None, host_name: None, wanted: None });
    never.until(600);
    assert_eq!(never.told().len(), 0);
}

#[test]
fn a_link_local_address_that_another_has_is_left_for_the_next() {
    let first = linklocal::address(MAC, 0);
    let mut cable = Cable::without_server(Mode::LinkLocal);
    cable.thief = Some(first);
    cable.until(20);
    assert_eq!(cable.told(), ["gave up", "link-local"]);
    let second = linklocal::address(MAC, 1);
    assert_eq!(cable.arps.last().unwrap().1.sender, second);
    cable.claim(second);
    cable.until(25);
    cable.claim(second);
    assert_eq!(cable.told(), ["defended", "gave up", "lost"]);
    cable.until(40);
    assert_eq!(cable.told(), ["link-local"]);
}

#[test]
fn whoever_claims_each_link_local_address_keeps_the_port_from_nothing_else() {
    let mut cable = Cable::without_server(Mode::LinkLocal);
    let mut tried = 0;
    while cable.now < Instant::from_secs(3600) {
        let next = cable.port.next(cable.now).unwrap();
        cable.now = next.max(cable.now);
        cable.exchange();
        if let Some((_, arp)) = cable.arps.pop() {
            tried += 1;
            cable.claim(arp.target);
        }
    }
    assert!((60..=80).contains(&tried), "{tried} addresses in an hour");
}

#[test]
fn questions_about_our_addresses_alone_are_watched() {
    let mut cable = Cable::new(dhcp());
    assert_eq!(cable.port.watched(), Watched::new([]));
    cable.until(5);
    assert_eq!(cable.port.watched(), Watched::new([ADDRESS]));
    let mut cable = Cable::without_server(dhcp());
    cable.until(20);
    assert_eq!(cable.port.watched(), Watched::new([linklocal::address(MAC, 0)]));
}

#[test]
fn a_flood_of_hostile_frames_leaves_the_lease_as_it_is() {
    let mut cable = Cable::new(dhcp());
    cable.until(100);
    cable.told();
    let mut random = Random::new(7);
    let question = cable.last.clone().unwrap();
    for number in 0..50_000_u32 {
        let mut frame = match number % 4 {
            0 => cable.reply(DhcpMessageType::Ack, number, SERVER, SERVER_MAC, OTHER),
            1 => arp::announcement(THIEF, OTHER),
            2 => question.clone(),
            _ => cable.reply(DhcpMessageType::Nak, number, SERVER, SERVER_MAC, OTHER),
        };
        for _ in 0..3 {
            let at = usize::try_from(random.next()).unwrap() % frame.len();
            frame[at] = random.next().to_le_bytes()[0];
        }
        cable.port.take(cable.now, frame);
        cable.port.refusals();
    }
    cable.exchange();
    assert_eq!(cable.told().len(), 0);
    assert_eq!(cable.said.len(), 2);
}

#[test]
fn the_quick_schedule_is_within_a_second() {
    for seed in 0..200 {
        let mut port = Addressing::new(MAC, Mode::Static { address: ADDRESS }, Instant::ZERO, seed);
        let mut now = Instant::ZERO;
        while port.news().is_empty() {
            port.poll(now);
            now = port.next(now).unwrap().max(now);
            assert!(now < Instant::from_secs(3), "seed {seed}");
        }
    }
}
