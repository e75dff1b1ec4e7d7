use super::*;
use hickory_proto::op::Query;
use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::A;

const NEIGHBOUR: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9)), MDNS_PORT);
const SECOND: Duration = Duration::from_secs(1);

fn service() -> Service {
    Service { kind: "drawbridge".to_owned(), port: 9000, text: vec![("path".to_owned(), "/".to_owned())] }
}

fn addresses() -> Vec<(IpAddr, u8)> {
    vec![(IpAddr::from([10, 0, 0, 1]), 24)]
}

fn machine() -> Machine {
    Machine::new("sa", 1, &service(), &addresses(), Duration::ZERO, 7)
}

/// Lets it do all that is due until then, and tells when what was sent.
fn until(machine: &mut Machine, end: Duration) -> Vec<(Duration, Outgoing)> {
    let mut sent = Vec::new();
    while let Some(at) = machine.due().filter(|at| *at <= end) {
        sent.extend(machine.tick(at).into_iter().map(|outgoing| (at, outgoing)));
    }
    sent
}

/// One that has probed and announced, and the time at which it had.
fn standing() -> (Machine, Duration) {
    let mut machine = machine();
    until(&mut machine, SECOND * 5);
    assert!(machine.is_standing() && machine.due().is_none());
    (machine, SECOND * 10)
}

fn read(outgoing: &Outgoing) -> Message {
    message::parse(&outgoing.bytes).unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn question(names: &[(&str, RecordType)]) -> Message {
    let mut message = message::new(MessageType::Query);
    message.add_queries(names.iter().map(|(text, kind)| Query::query(name(text), *kind)));
    message
}

fn answer(record: Record) -> Vec<u8> {
    response(vec![record], Vec::new()).to_vec().unwrap()
}

fn address_of(text: &str, last: u8) -> Record {
    Record::from_rdata(name(text), 120, RData::A(A::new(10, 0, 0, last)))
}

fn types(records: &[Record]) -> Vec<RecordType> {
    let mut types: Vec<_> = records.iter().map(Record::record_type).collect();
    types.sort_unstable();
    types
}

#[test]
fn a_name_is_asked_for_three_times_and_then_told_twice() {
    let mut machine = machine();
    let sent = until(&mut machine, SECOND * 60);
    assert_eq!(sent.len(), 5);
    for (_, outgoing) in &sent[..3] {
        let probe = read(outgoing);
        assert_eq!(probe.metadata.message_type, MessageType::Query);
        assert_eq!(probe.queries.len(), 2);
        assert!(probe.queries.iter().all(|query| query.query_type() == RecordType::ANY));
        assert_eq!(types(&probe.authorities), [RecordType::A, RecordType::TXT, RecordType::SRV]);
        assert!(probe.authorities.iter().all(|record| !record.mdns_cache_flush));
    }
    assert!(sent[0].0 < PROBE_GAP);
    let times: Vec<Duration> = sent.iter().map(|(at, _)| *at).collect();
    let gaps = [PROBE_GAP, PROBE_GAP, PROBE_GAP, SECOND];
    assert!(times.windows(2).zip(gaps).all(|(pair, gap)| pair[0] + gap == pair[1]), "{times:?}");
    for (_, outgoing) in &sent[3..] {
        let told = read(outgoing);
        assert_eq!(outgoing.to, To::Group(Family::V4));
        let [ptr, srv, txt, a] = [RecordType::PTR, RecordType::SRV, RecordType::TXT, RecordType::A];
        assert_eq!(types(&told.answers), [a, ptr, ptr, txt, srv]);
        assert!(told.answers.iter().all(|record| record.mdns_cache_flush == (record.record_type() != ptr)));
        assert!(told.metadata.authoritative);
    }
}

#[test]
fn who_looks_for_the_service_gets_all_he_needs_in_one_answer() {
    let (mut machine, now) = standing();
    let asked = question(&[("_drawbridge._tcp.local.", RecordType::PTR)]).to_vec().unwrap();
    assert!(machine.receive(NEIGHBOUR, &asked, now).is_empty(), "others may answer as well");
    let due = machine.due().unwrap().saturating_sub(now);
    assert!((20..=120).contains(&due.as_millis()), "{due:?}");
    let sent = until(&mut machine, now + SECOND);
    assert_eq!(sent.len(), 1);
    let said = read(&sent[0].1);
    assert_eq!(said.answers.len(), 1);
    let [a, srv, txt] = [RecordType::A, RecordType::SRV, RecordType::TXT];
    assert_eq!(types(&said.additionals), [a, txt, srv, RecordType::NSEC]);
}

#[test]
fn what_is_ours_alone_is_answered_at_once_and_what_is_not_is_denied() {
    let (mut machine, now) = standing();
    let ask = |kind| question(&[("SA.local.", kind)]).to_vec().unwrap();
    let sent = machine.receive(NEIGHBOUR, &ask(RecordType::A), now);
    assert_eq!(
        read(&sent[0]).answers,
        [{
            let mut record = address_of("sa.local.", 1);
            record.mdns_cache_flush = true;
            record
        }]
    );
    let sent = machine.receive(NEIGHBOUR, &ask(RecordType::AAAA), now);
    assert_eq!(types(&read(&sent[0]).answers), [RecordType::NSEC]);
    let other = question(&[("other.local.", RecordType::A), ("_http._tcp.local.", RecordType::PTR)]);
    assert!(machine.receive(NEIGHBOUR, &other.to_vec().unwrap(), now).is_empty());
    assert_eq!(machine.due(), None);
}

#[test]
fn a_record_goes_out_once_a_second_however_often_it_is_asked_for() {
    let (mut machine, now) = standing();
    for (kind, start) in [(RecordType::A, now), (RecordType::AAAA, now + SECOND * 60)] {
        let asked = question(&[("sa.local.", kind)]).to_vec().unwrap();
        let mut sent = 0;
        for step in 0..1000 {
            let at = start + Duration::from_millis(5) * step;
            sent += machine.receive(NEIGHBOUR, &asked, at).len() + until(&mut machine, at).len();
        }
        assert!((4..=6).contains(&sent), "{sent} in five seconds");
    }
}

#[test]
fn what_is_known_already_is_not_said_again() {
    let (mut machine, now) = standing();
    let records = machine.records.clone().unwrap();
    let mut asked = question(&[("_drawbridge._tcp.local.", RecordType::PTR)]);
    asked.answers = vec![records.own[0].record.clone()];
    machine.receive(NEIGHBOUR, &asked.to_vec().unwrap(), now);
    assert_eq!(machine.due(), None);
    // Half of its time is over: it is said again.
    asked.answers[0].ttl = 2000;
    machine.receive(NEIGHBOUR, &asked.to_vec().unwrap(), now);
    assert!(machine.due().is_some());
    until(&mut machine, now + SECOND);
    // It does not fit beside the question, and comes afterwards.
    let now = now + SECOND * 5;
    asked.answers.clear();
    asked.metadata.truncation = true;
    machine.receive(NEIGHBOUR, &asked.to_vec().unwrap(), now);
    assert!(machine.due().unwrap() >= now + Duration::from_millis(400));
    let mut rest = message::new(MessageType::Query);
    rest.answers = vec![records.own[0].record.clone()];
    machine.receive(NEIGHBOUR, &rest.to_vec().unwrap(), now);
    assert!(until(&mut machine, now + SECOND).is_empty());
}

#[test]
fn a_plain_resolver_is_answered_alone_and_only_on_the_link() {
    let (mut machine, now) = standing();
    let mut asked = question(&[("sa.local.", RecordType::A)]);
    asked.metadata.id = 77;
    let bytes = asked.to_vec().unwrap();
    let resolver = SocketAddr::from(([10, 0, 0, 9], 40_000));
    let sent = machine.receive(resolver, &bytes, now);
    assert_eq!((sent.len(), sent[0].to), (1, To::Host(resolver)));
    let said = read(&sent[0]);
    assert_eq!((said.metadata.id, said.queries.len()), (77, 1));
    assert!(
        said.answers
            .iter()
            .chain(&said.additionals)
            .all(|record| record.ttl <= 10 && !record.mdns_cache_flush)
    );
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 40_000));
    assert!(machine.receive(elsewhere, &bytes, now).is_empty());
    let flood: usize = (0..1000).map(|_| machine.receive(resolver, &bytes, now).len()).sum();
    assert!(flood <= 20, "{flood}");
}

#[test]
fn who_asks_for_an_answer_of_his_own_gets_it_while_all_know_the_record() {
    let (mut machine, now) = standing();
    let mut asked = question(&[("sa.local.", RecordType::A)]);
    asked.queries[0].set_mdns_unicast_response(true);
    let bytes = asked.to_vec().unwrap();
    assert_eq!(machine.receive(NEIGHBOUR, &bytes, now)[0].to, To::Host(NEIGHBOUR));
    let later = now + SECOND * 40;
    assert_eq!(machine.receive(NEIGHBOUR, &bytes, later)[0].to, To::Group(Family::V4), "not told for long");
    let stranger = SocketAddr::from(([192, 0, 2, 1], MDNS_PORT));
    assert!(
        machine.receive(stranger, &bytes, later + SECOND).iter().all(|sent| sent.to == To::Group(Family::V4))
    );
}

#[test]
fn a_name_that_somebody_has_is_taken_and_another_is_asked_for() {
    let mut machine = machine();
    machine.tick(SECOND);
    machine.receive(NEIGHBOUR, &answer(address_of("sa.local.", 9)), SECOND);
    assert!(machine.name_is_taken() && !machine.name_is_taken());
    machine.rename(2, SECOND);
    assert_eq!(machine.host_name(), "sa-2.local.");
    let sent = until(&mut machine, SECOND * 10);
    assert_eq!(sent.len(), 5);
    let told = read(&sent[4].1);
    assert!(told.answers.iter().any(|record| record.name == name("sa-2._drawbridge._tcp.local.")));
}

#[test]
fn a_name_that_becomes_contested_is_asked_for_again_and_kept_if_nobody_answers() {
    let (mut machine, now) = standing();
    machine.receive(NEIGHBOUR, &answer(address_of("sa.local.", 9)), now);
    assert!(!machine.is_standing() && !machine.name_is_taken());
    assert_eq!(until(&mut machine, now + SECOND * 10).len(), 5);
    assert!(machine.is_standing());
    // Nobody else's word: another type, no time to live, our own data, another port than a responder's.
    let mut over = address_of("sa.local.", 9);
    over.ttl = 0;
    let text = RData::TXT(hickory_proto::rr::rdata::TXT::new(vec!["x".to_owned()]));
    let harmless = [over, address_of("sa.local.", 1), Record::from_rdata(name("sa.local."), 120, text)];
    for record in harmless {
        machine.receive(NEIGHBOUR, &answer(record), now);
    }
    machine.receive(SocketAddr::from(([10, 0, 0, 9], 53)), &answer(address_of("sa.local.", 9)), now);
    assert!(machine.is_standing());
}

#[test]
fn of_two_that_ask_at_once_the_lesser_steps_back_for_a_second() {
    let probe = |last: u8| {
        let mut message = question(&[("sa.local.", RecordType::ANY)]);
        message.authorities = vec![address_of("sa.local.", last)];
        message.to_vec().unwrap()
    };
    let mut loser = machine();
    loser.tick(SECOND);
    loser.receive(NEIGHBOUR, &probe(2), SECOND);
    assert_eq!(loser.due(), Some(SECOND * 2));
    let mut winner = machine();
    winner.tick(SECOND);
    winner.receive(NEIGHBOUR, &probe(0), SECOND);
    winner.receive(NEIGHBOUR, &probe(1), SECOND);
    assert_eq!(winner.due(), Some(SECOND + PROBE_GAP));
}

#[test]
fn one_who_contests_every_name_cannot_make_it_hurry() {
    let mut machine = machine();
    let (mut now, mut attempt) = (SECOND, 1);
    let mut messages = 0;
    while now < SECOND * 120 {
        messages += until(&mut machine, now).len();
        let host = machine.host_name();
        messages += machine.receive(NEIGHBOUR, &answer(address_of(&host, 9)), now).len();
        if machine.name_is_taken() {
            attempt += 1;
            machine.rename(attempt, now);
        }
        now += Duration::from_millis(10);
    }
    assert!(messages < 200, "{messages} messages in two minutes");
}

#[test]
fn addresses_that_go_are_taken_back_and_those_that_come_are_told() {
    let (mut machine, now) = standing();
    let new = vec![(IpAddr::from([10, 0, 0, 2]), 24), ("fe80::1".parse().unwrap(), 64)];
    let sent = machine.set_addresses(&new, now);
    let gone = read(&sent[0]);
    assert_eq!((gone.answers.len(), gone.answers[0].ttl), (1, 0));
    let sent = until(&mut machine, now + SECOND * 5);
    assert_eq!(sent.len(), 4, "twice, in both families");
    assert!(types(&read(&sent[0].1).answers).contains(&RecordType::AAAA));
    assert!(machine.set_addresses(&new, now).is_empty());
}

#[test]
fn the_last_word_takes_everything_back() {
    let (machine, _) = standing();
    let last = read(&machine.goodbye()[0]);
    assert_eq!(last.answers.len(), 5);
    assert!(last.answers.iter().all(|record| record.ttl == 0));
    assert!(self::machine().goodbye().is_empty(), "what was never told is not taken back");
}
