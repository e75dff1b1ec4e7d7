use super::*;
use crate::secret::{Secret, TRIES_IN_ALL};
use drawbridge_bus::support::{Level, Proof, Recording, Scope, USUAL_GRACE};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

fn request() -> GrantRequest {
    let target = Target { host: "10.0.3.10".parse().unwrap(), port: 22 };
    GrantRequest {
        name: "case 4711".to_owned(),
        opener: "anna".to_owned(),
        reason: "a disk".to_owned(),
        level: Level::Direct,
        recording: Recording::Strict,
        grace_seconds: USUAL_GRACE,
        scope: Scope { targets: vec![target], shell: true, files: false, forwards: true },
        minutes: 60,
        proof: Proof::Secret,
        sources: Vec::new(),
    }
}

fn kept() -> Kept {
    Kept::new(&Secret::offer().unwrap()).unwrap()
}

fn keys(minutes: Option<u32>) -> Vec<EngineerKey> {
    vec![EngineerKey { line: "ssh-ed25519 AAAA".to_owned(), authority: false, minutes }]
}

/// An open session, whose orders so far were taken.
fn open(request: GrantRequest, now: u64) -> (Machine, GrantId) {
    let mut machine = Machine::default();
    let secret = request.proof.needs_secret().then(kept);
    let id = machine.open(request, secret, now).unwrap();
    assert_eq!(machine.orders(), [Do::Note(Note::Opened(id)), Do::Begin(id)]);
    assert_eq!(machine.state(), State::Opening);
    machine.serves(id);
    assert_eq!(machine.state(), State::Open);
    (machine, id)
}

/// Lets an engineer in by the secret.
fn enter(machine: &mut Machine, number: u64) -> Connection {
    let connection = Connection(number);
    machine.connect(connection, HERE).unwrap();
    machine.try_secret(connection).unwrap();
    assert_eq!(machine.secret(connection, true), Ok(Next::In));
    assert_eq!(machine.orders(), [Do::Note(Note::Arrived(connection))]);
    connection
}

#[test]
fn nothing_is_open_before_a_grant_and_nobody_comes_in_before_both_serve() {
    let mut machine = Machine::default();
    assert_eq!(machine.state(), State::Closed);
    assert_eq!(machine.connect(Connection(1), HERE), Err(Denial::Closed));
    let id = machine.open(request(), Some(kept()), 0).unwrap();
    assert_eq!(machine.connect(Connection(2), HERE), Err(Denial::Closed));
    machine.serves(GrantId(id.0 + 1));
    assert_eq!(machine.state(), State::Opening);
}

#[test]
fn a_second_grant_waits_for_the_end_of_the_first() {
    let (mut machine, id) = open(request(), 0);
    let error = machine.open(request(), Some(kept()), 1).unwrap_err();
    assert!(error[0].wrong.contains("open already"), "{error:?}");
    machine.end(id, EndReason::Stopped { by: "anna".to_owned() }, 2);
    assert!(machine.open(request(), Some(kept()), 3).is_err(), "not while something may be left");
    machine.left(Leftovers::default(), 4);
    let next = machine.open(request(), Some(kept()), 5).unwrap();
    assert_ne!(next, id);
    // Late words about the first one change nothing of the second.
    machine.end(id, EndReason::Expired, 6);
    assert_eq!(machine.state(), State::Opening);
}

#[test]
fn a_grant_and_its_secret_go_together() {
    let mut machine = Machine::default();
    assert_eq!(machine.open(request(), None, 0).unwrap_err()[0].field, "secret");
    let by_key = GrantRequest { proof: Proof::Key(keys(None)), ..request() };
    assert_eq!(machine.open(by_key, Some(kept()), 0).unwrap_err()[0].field, "secret");
    assert_eq!(machine.orders(), []);
}

#[test]
fn a_session_ends_at_its_time_whatever_is_under_way() {
    let (mut machine, id) = open(request(), 1_000);
    enter(&mut machine, 1);
    assert_eq!(machine.next(), Some(1_000 + 60 * MINUTE));
    machine.tick(1_000 + 60 * MINUTE - 1);
    assert_eq!(machine.state(), State::Open);
    machine.tick(1_000 + 60 * MINUTE);
    assert_eq!(machine.orders(), [Do::Note(Note::Ending(EndReason::Expired)), Do::End(id), Do::Look]);
    assert_eq!(machine.engineers(), []);
}

#[test]
fn its_end_can_be_moved_both_ways_and_not_without_bound() {
    let (mut machine, id) = open(request(), 0);
    machine.set_end(id, 120, MINUTE).unwrap();
    assert_eq!(machine.time_left(MINUTE), Some(120 * MINUTE));
    machine.set_end(id, 1, MINUTE).unwrap();
    machine.tick(2 * MINUTE);
    assert_eq!(machine.state(), State::Closing);
    assert_eq!(machine.set_end(id, 120, 0), Err(Denial::Closed));
    let (mut machine, id) = open(request(), 0);
    assert!(machine.set_end(id, 0, 0).is_err() && machine.set_end(id, u32::MAX, 0).is_err());
}

#[test]
fn after_stop_nobody_is_in_and_closed_is_said_only_when_nothing_is_left() {
    let (mut machine, id) = open(request(), 0);
    let engineer = enter(&mut machine, 1);
    machine.end(id, EndReason::Stopped { by: "anna".to_owned() }, 1_000);
    assert_eq!(machine.may(engineer, &Use::Shell), Err(Denial::Closed));
    assert_eq!(machine.try_secret(engineer).unwrap_err(), Denial::Closed);
    machine.orders();
    machine.left(Leftovers { processes: 1, ..Leftovers::default() }, 1_100);
    assert_eq!((machine.state(), machine.orders()), (State::Closing, Vec::new()));
    machine.tick(machine.next().unwrap());
    assert_eq!(machine.orders(), [Do::Look]);
    machine.left(Leftovers::default(), 1_200);
    assert_eq!((machine.state(), machine.orders()), (State::Closed, vec![Do::Note(Note::Closed(id))]));
    assert_eq!(machine.next(), None);
}

#[test]
fn an_end_that_fails_is_an_alarm_and_takes_the_uplink_down_until_nothing_is_left() {
    let (mut machine, id) = open(request(), 0);
    machine.end(id, EndReason::Expired, 0);
    machine.orders();
    let left = Leftovers { sockets: 2, ..Leftovers::default() };
    machine.left(left, CLOSE_WITHIN - 1);
    assert_eq!(machine.orders(), []);
    machine.left(left, CLOSE_WITHIN);
    assert_eq!(machine.state(), State::FailedToClose(left));
    assert_eq!(machine.orders(), [Do::UplinkDown, Do::Note(Note::FailedToClose(left)), Do::End(id)]);
    machine.left(left, CLOSE_WITHIN + 100);
    assert_eq!(machine.orders(), [], "said once");
    assert!(machine.open(request(), Some(kept()), CLOSE_WITHIN + 150).is_err());
    machine.left(Leftovers::default(), CLOSE_WITHIN + 200);
    assert_eq!(machine.orders(), [Do::UplinkUp, Do::Note(Note::Closed(id))]);
    assert_eq!(machine.state(), State::Closed);
}

#[test]
fn a_wrong_secret_is_counted_over_all_connections_until_it_is_burned() {
    let (mut machine, _) = open(request(), 0);
    for number in 0..TRIES_IN_ALL {
        let connection = Connection(number.into());
        machine.connect(connection, HERE).unwrap();
        machine.try_secret(connection).unwrap();
        let burned = number + 1 == TRIES_IN_ALL;
        let denial = if burned { Denial::Tries(NoTry::Burned) } else { Denial::Wrong };
        assert_eq!(machine.secret(connection, false), Err(denial));
        assert_eq!(machine.is_burned(), burned);
        machine.gone(connection);
    }
    machine.orders();
    let late = Connection(99);
    machine.connect(late, HERE).unwrap();
    let denial = Denial::Tries(NoTry::Burned);
    assert_eq!(machine.try_secret(late).unwrap_err(), denial);
    assert_eq!(machine.orders(), [Do::Note(Note::Denied(late, denial)), Do::Cut(late)]);
}

#[test]
fn a_key_alone_a_secret_alone_and_both_are_three_ways() {
    let both = GrantRequest { proof: Proof::KeyAndSecret(keys(None)), ..request() };
    let (mut machine, _) = open(both, 0);
    let one = Connection(1);
    machine.connect(one, HERE).unwrap();
    assert_eq!(machine.try_secret(one).unwrap_err(), Denial::Proof, "the key comes first");
    assert_eq!(machine.key(one, 0, 0), Ok(Next::Secret));
    assert_eq!(machine.may(one, &Use::Shell), Err(Denial::Closed), "half a proof is none");
    machine.try_secret(one).unwrap();
    assert_eq!(machine.secret(one, true), Ok(Next::In));

    let (mut machine, _) = open(GrantRequest { proof: Proof::Key(keys(None)), ..request() }, 0);
    machine.connect(one, HERE).unwrap();
    assert_eq!(machine.try_secret(one).unwrap_err(), Denial::Proof, "there is no secret");
    assert_eq!(machine.key(one, 1, 0), Err(Denial::Proof), "no key of the grant");
    assert_eq!(machine.key(one, 0, 0), Ok(Next::In));

    let (mut machine, _) = open(request(), 0);
    machine.connect(one, HERE).unwrap();
    assert_eq!(machine.key(one, 0, 0), Err(Denial::Proof), "there is no key");
}

#[test]
fn a_key_ends_before_the_grant_when_it_is_told_so() {
    let request = GrantRequest { proof: Proof::Key(keys(Some(10))), ..request() };
    let (mut machine, _) = open(request, 5_000);
    machine.connect(Connection(1), HERE).unwrap();
    assert_eq!(machine.key(Connection(1), 0, 5_000 + 10 * MINUTE - 1), Ok(Next::In));
    machine.connect(Connection(2), HERE).unwrap();
    assert_eq!(machine.key(Connection(2), 0, 5_000 + 10 * MINUTE), Err(Denial::KeyExpired));
}

#[test]
fn engineers_come_from_the_allowed_networks_only_and_not_too_many() {
    let sources = vec!["198.51.100.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let (mut machine, _) = open(GrantRequest { sources, ..request() }, 0);
    for allowed in ["198.51.100.7", "::ffff:198.51.100.7", "2001:db8:9::1"] {
        assert_eq!(machine.connect(Connection(1), allowed.parse().unwrap()), Ok(()), "{allowed}");
        machine.gone(Connection(1));
    }
    for other in ["198.51.101.7", "2001:db9::1"] {
        assert_eq!(machine.connect(Connection(2), other.parse().unwrap()), Err(Denial::Source), "{other}");
    }
    machine.orders();
    for number in 0..CONNECTIONS_MOST {
        machine.connect(Connection(100 + number as u64), HERE).unwrap();
    }
    assert_eq!(machine.connect(Connection(999), HERE), Err(Denial::Many));
    assert_eq!(machine.orders().len(), 2, "noted, and cut");
}

#[test]
fn an_engineer_uses_what_the_scope_opens_and_nothing_else() {
    let (mut machine, _) = open(request(), 0);
    let engineer = enter(&mut machine, 1);
    let inside = Target { host: "10.0.3.10".parse().unwrap(), port: 22 };
    let other_port = Target { port: 23, ..inside.clone() };
    let outside = Target { host: "10.0.3.11".parse().unwrap(), port: 22 };
    for (what, allowed) in [
        (Use::Shell, true),
        (Use::Files, false),
        (Use::Forward(&inside), true),
        (Use::Forward(&other_port), false),
        (Use::Forward(&outside), false),
    ] {
        assert_eq!(machine.may(engineer, &what).is_ok(), allowed, "{what:?}");
    }
    // Who is not in may nothing.
    machine.connect(Connection(2), HERE).unwrap();
    assert_eq!(machine.may(Connection(2), &Use::Shell), Err(Denial::Closed));
}

#[test]
fn who_has_left_is_told_of_once_and_who_never_was_in_is_not() {
    let (mut machine, _) = open(request(), 0);
    let engineer = enter(&mut machine, 1);
    assert_eq!(machine.engineers(), [engineer]);
    machine.gone(engineer);
    machine.gone(engineer);
    machine.connect(Connection(2), HERE).unwrap();
    machine.gone(Connection(2));
    assert_eq!(machine.orders(), [Do::Note(Note::Left(engineer))]);
    // A verdict that comes after he has gone lets nobody in.
    machine.connect(Connection(3), HERE).unwrap();
    machine.try_secret(Connection(3)).unwrap();
    machine.gone(Connection(3));
    assert_eq!(machine.secret(Connection(3), true), Err(Denial::Closed));
    assert_eq!(machine.engineers(), []);
}
