use super::*;

const DAY: u64 = 86_400_000;

fn disk() -> Thing {
    Thing::Part(Part::Disk, "vda".to_owned())
}

fn link() -> Thing {
    Thing::Part(Part::Link, "uplink".to_owned())
}

/// Turns the ledger until this time, as init's loop does.
fn turn(ledger: &mut Ledger, now: &mut u64, until: u64) {
    while ledger.deadline() <= until {
        *now = ledger.deadline().max(*now);
        ledger.act(*now);
    }
    *now = until;
}

fn all(ledger: &mut Ledger) -> Vec<Happened> {
    let (told, last) = ledger.take(0);
    ledger.take(last);
    told
}

fn healths(told: &[Happened]) -> Vec<Health> {
    told.iter()
        .map(|what| match what {
            Happened::Part { health, .. } => *health,
            Happened::Role { works: true, .. } => Health::Well,
            Happened::Role { works: false, .. } => Health::Failed,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_thousand_lines_of_one_disk_are_one_event_and_another_when_it_gets_worse() {
    let (mut ledger, mut now) = (Ledger::default(), 0);
    for second in 0..1000 {
        ledger.bad(second * 1000, &disk(), Health::Failing, "a sector");
        turn(&mut ledger, &mut now, second * 1000);
    }
    let told = all(&mut ledger);
    assert_eq!(
        told,
        [Happened::Part { part: Part::Disk, health: Health::Failing, text: "a sector".to_owned() }]
    );
    ledger.bad(now, &disk(), Health::Failed, "it is gone");
    ledger.bad(now, &disk(), Health::Failing, "a sector");
    ledger.act(now);
    assert_eq!(healths(&all(&mut ledger)), [Health::Failed]);
    // Quiet for a day: forgotten, and told anew.
    now += DAY + 1000;
    ledger.act(now);
    ledger.bad(now, &disk(), Health::Failing, "again");
    ledger.act(now);
    assert_eq!(healths(&all(&mut ledger)), [Health::Failing]);
}

#[test]
fn a_link_that_is_down_for_a_moment_is_no_failure_and_one_that_stays_down_is() {
    let (mut ledger, mut now) = (Ledger::default(), 0);
    ledger.bad(0, &link(), Health::Failed, "down");
    turn(&mut ledger, &mut now, 2_000);
    ledger.well(2_000, &link(), "up");
    turn(&mut ledger, &mut now, 200_000);
    assert!(all(&mut ledger).is_empty());
    ledger.bad(200_000, &link(), Health::Failed, "down");
    turn(&mut ledger, &mut now, 204_999);
    assert!(all(&mut ledger).is_empty());
    turn(&mut ledger, &mut now, 205_000);
    assert_eq!(healths(&all(&mut ledger)), [Health::Failed]);
    ledger.well(300_000, &link(), "up");
    turn(&mut ledger, &mut now, 359_999);
    assert!(all(&mut ledger).is_empty());
    turn(&mut ledger, &mut now, 360_000);
    assert_eq!(healths(&all(&mut ledger)), [Health::Well]);
}

#[test]
fn a_cable_that_flaps_for_a_day_in_whatever_rhythm_is_told_some_dozen_times() {
    for half in [500, 3_000, 7_000, 30_000, 61_000, 130_000, 600_000] {
        let (mut ledger, mut now) = (Ledger::default(), 0);
        let mut told = Vec::new();
        for change in 0..DAY / half {
            if change % 2 == 0 {
                ledger.bad(now, &link(), Health::Failed, "down");
            } else {
                ledger.well(now, &link(), "up");
            }
            turn(&mut ledger, &mut now, (change + 1) * half);
            told.extend(all(&mut ledger));
        }
        let healths = healths(&told);
        assert!(!healths.is_empty() && healths.len() <= 60, "{half}: {}", healths.len());
        let in_turns = healths.windows(2).all(|two| (two[0] == Health::Well) != (two[1] == Health::Well));
        assert!(in_turns, "each is a change: {healths:?}");
    }
}

#[test]
fn a_role_that_dies_and_serves_in_turns_is_bounded_and_its_number_is_told() {
    let thing = Thing::Role(Role::Recorder);
    let (mut ledger, mut now) = (Ledger::default(), 0);
    let mut told = Vec::new();
    for death in 0..DAY / 15_000 {
        ledger.bad(now, &thing, Health::Failing, "it was ended by signal SIGKILL, and is started again");
        ledger.act(now);
        ledger.well(now + 300, &thing, "it serves again");
        turn(&mut ledger, &mut now, (death + 1) * 15_000);
        told.extend(all(&mut ledger));
    }
    assert!(told.len() <= 8, "{}", told.len());
    turn(&mut ledger, &mut now, DAY + LONGEST_HOLD);
    let last = all(&mut ledger);
    let [Happened::Role { role: Role::Recorder, works: true, why }] = last.as_slice() else {
        panic!("{last:?}")
    };
    assert!(why.starts_with("it serves again (") && why.ends_with(" times by now)"), "{why}");
}

#[test]
fn steps_of_the_clock_beyond_the_bound_are_told_together_and_none_is_left_out() {
    let (mut ledger, mut now) = (Ledger::default(), 0);
    for step in 0..100 {
        ledger.clock_set(step, step + 1, &["192.0.2.1".to_owned()]);
        let until = now + 1000;
        turn(&mut ledger, &mut now, until);
    }
    let told = all(&mut ledger);
    assert_eq!(told.len(), STEPS);
    turn(&mut ledger, &mut now, 2 * STEPS_WITHIN);
    let rest = all(&mut ledger);
    let servers = vec!["192.0.2.1".to_owned()];
    assert_eq!(rest, [Happened::Clock { from: 8, to: 100, servers }]);
}

#[test]
fn what_was_not_written_down_yet_is_told_again_and_what_finds_no_room_is_counted() {
    let mut ledger = Ledger::default();
    for number in 0..200 {
        let thing = Thing::Part(Part::Disk, format!("disk{number}"));
        ledger.bad(0, &thing, Health::Failing, "x");
        ledger.act(0);
    }
    assert!(ledger.has_news() && !ledger.has_news());
    let (first, last) = ledger.take(0);
    assert_eq!((first.len(), last), (HAPPENED_MOST, 64));
    // Session was started anew before it had written them down.
    assert_eq!(ledger.take(0), (first, 64));
    let (second, last) = ledger.take(64);
    assert_eq!((second.len(), last), (HAPPENED_MOST, 128));
    assert_eq!(ledger.take(128), (Vec::new(), 128));
    ledger.bad(0, &Thing::Part(Part::Disk, "disk0".to_owned()), Health::Failed, "x");
    ledger.act(0);
    let (rest, last) = ledger.take(128);
    assert_eq!(rest[0], Happened::Missed(72));
    assert_eq!((rest.len(), last), (2, 130));
}

#[test]
fn whatever_a_role_says_of_links_and_servers_one_reply_fits_a_frame() {
    let long = "\u{1f512}".repeat(10_000);
    let servers: Vec<String> =
        std::iter::repeat_n(long.clone(), drawbridge_bus::message::TIME_SERVERS_MOST).collect();
    let mut ledger = Ledger::default();
    for number in 0..u64::try_from(WAITING_MOST).unwrap() {
        let now = number * STEPS_WITHIN;
        ledger.clock_set(0, 1, &servers);
        ledger.bad(now, &Thing::Part(Part::Disk, format!("{number}")), Health::Failed, &long);
        ledger.act(now);
    }
    let (told, last) = ledger.take(0);
    assert_eq!(told.len(), HAPPENED_MOST);
    let frame =
        drawbridge_bus::frame::Frame::Reply { id: 1, reply: drawbridge_bus::Reply::Happened(told, last) };
    assert!(drawbridge_bus::frame::encode(&frame).is_ok());
}
