use super::*;

fn all(news: &mut News, now: u64) -> Vec<Happened> {
    news.act(now);
    let (told, last) = news.take(0);
    news.take(last);
    told
}

fn port(interface: &str, roles: &[PortRole], carrier: bool) -> Port {
    Port {
        name: "eth0".to_owned(),
        interface: interface.to_owned(),
        roles: roles.to_vec(),
        mac: [0; 6],
        pci: String::new(),
        driver: String::new(),
        carrier,
        megabits: None,
        mtu: 1500,
        addresses: Vec::new(),
        remarks: Vec::new(),
    }
}

#[test]
fn a_role_that_dies_is_told_at_once_and_again_when_it_has_served_for_a_while() {
    let (mut news, mut supervision) = (News::default(), Supervision::new(0));
    let look = |news: &mut News, supervision: &Supervision, now| {
        news.role(now, Role::Recorder, supervision, "was ended by signal SIGKILL");
        all(news, now)
    };
    supervision.started(0);
    supervision.ready();
    assert!(look(&mut news, &supervision, 5).is_empty(), "its first start is no news");
    supervision.ended(1_000);
    let told = look(&mut news, &supervision, 1_000);
    let [Happened::Role { role: Role::Recorder, works: false, why }] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(why, "it was ended by signal SIGKILL, and is started again");
    assert!(look(&mut news, &supervision, 1_001).is_empty(), "once");
    supervision.started(1_100);
    supervision.ready();
    assert!(look(&mut news, &supervision, 1_200).is_empty());
    assert!(look(&mut news, &supervision, 11_199).is_empty());
    let told = look(&mut news, &supervision, 11_200);
    assert!(matches!(told.as_slice(), [Happened::Role { works: true, .. }]), "{told:?}");
}

#[test]
fn one_that_has_failed_is_told_apart_and_one_that_ends_as_it_should_is_not_told() {
    let (mut news, mut supervision) = (News::default(), Supervision::new(0));
    let mut told = Vec::new();
    for now in 0..9 {
        supervision.started(now);
        supervision.ended(now);
        news.role(now, Role::Console, &supervision, "ended with status 1");
        told.extend(all(&mut news, now));
    }
    let whys: Vec<_> = told
        .iter()
        .map(|one| match one {
            Happened::Role { works: false, why, .. } => why.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(whys.len(), 2, "{whys:?}");
    assert!(whys[1].ends_with("too often in a short time, and is tried once a minute"), "{whys:?}");
    let (mut news, mut supervision) = (News::default(), Supervision::new(0));
    supervision.started(0);
    supervision.ready();
    supervision.ends_by_order();
    supervision.ended(5);
    news.role(5, Role::Session, &supervision, "was ended by signal SIGKILL");
    supervision.started(6);
    supervision.stop(true);
    supervision.ended(7);
    news.role(7, Role::Session, &supervision, "ended by itself");
    assert!(all(&mut news, DAY).is_empty());
}

const DAY: u64 = 86_400_000;

#[test]
fn a_link_that_was_up_is_missed_and_one_that_never_was_or_is_a_technicians_is_not() {
    let mut news = News::default();
    let ports = |uplink, service, never| {
        [
            port("uplink", &[PortRole::Uplink], uplink),
            port("service", &[PortRole::Service], service),
            port("array", &[PortRole::Array, PortRole::Service], never),
            port("spare", &[], service),
        ]
    };
    news.ports(0, &ports(true, true, false));
    news.ports(10, &ports(false, false, false));
    assert!(all(&mut news, 10).is_empty());
    let told = all(&mut news, 10_000);
    let [Happened::Part { part: Part::Link, health: Health::Failed, text }] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(text, "uplink (uplink) has no live other end: check cable and switch");
    news.ports(20_000, &ports(true, false, false));
    let told = all(&mut news, 80_000);
    assert!(matches!(told.as_slice(), [Happened::Part { health: Health::Well, .. }]), "{told:?}");
    // Taken out of the settings: it is not missed.
    news.ports(90_000, &ports(false, false, false)[1..]);
    assert!(all(&mut news, DAY).is_empty());
}

#[test]
fn ports_that_are_named_and_not_named_in_turns_do_not_flood_the_audit() {
    let mut news = News::default();
    let mut told = 0;
    for turn in 0..DAY / 20_000 {
        let now = turn * 20_000;
        news.ports(now, &[port("uplink", &[PortRole::Uplink], true)]);
        news.ports(now + 1, &[port("uplink", &[PortRole::Uplink], false)]);
        told += all(&mut news, now + 10_000).len();
        news.ports(now + 10_001, &[]);
        told += all(&mut news, now + 19_999).len();
    }
    assert_eq!(told, 1);
}

#[test]
fn a_data_partition_in_memory_is_told_and_a_full_one_that_has_room_again_too() {
    let mut news = News::default();
    news.data(0, &DataState::Volatile { reason: "No disk was found.".to_owned() });
    let told = all(&mut news, 0);
    let text = "No disk was found.".to_owned();
    assert_eq!(told, [Happened::Part { part: Part::Data, health: Health::Failed, text }]);
    let mut news = News::default();
    let state =
        |fault: Option<&str>| DataState::Disk { device: "vda3".to_owned(), fault: fault.map(str::to_owned) };
    news.data(0, &state(None));
    assert!(all(&mut news, 0).is_empty());
    news.data(10, &state(Some("It is full.")));
    assert_eq!(all(&mut news, 10).len(), 1);
    news.data(20, &state(Some("It is full.")));
    news.data(30, &state(None));
    let told = all(&mut news, DAY);
    assert!(matches!(told.as_slice(), [Happened::Part { health: Health::Well, .. }]), "{told:?}");
}

#[test]
fn a_clock_that_was_corrected_at_the_start_is_told_and_one_that_was_right_is_not() {
    let mut news = News::default();
    news.clock_found(&ClockState::Hardware, 5);
    assert!(all(&mut news, 0).is_empty());
    news.clock_found(&ClockState::Floor { hardware: -7 }, 5);
    assert_eq!(all(&mut news, 0), [Happened::Clock { from: -7_000, to: 5, servers: Vec::new() }]);
}

#[test]
fn the_kernels_word_on_a_file_system_is_a_reason_to_look_and_a_disk_that_is_not_the_appliances_is_nobodys() {
    let mut news = News::default();
    let data = DataState::Disk { device: "vda3".to_owned(), fault: None };
    let on = |device: &str| Symptom::FileSystem { device: device.to_owned() };
    assert!(news.kernel(0, &on("vda3"), "x", &data));
    assert!(!news.kernel(0, &on("sdz1"), "x", &data));
    let disk =
        |unit: &str| Symptom::Part { part: Part::Disk, unit: unit.to_owned(), health: Health::Failing };
    // There is no such disk, or no more.
    news.kernel(0, &disk("sdzz"), "I/O error", &data);
    assert!(all(&mut news, 0).is_empty());
    // The appliance's own is known by what is on it, also when it has gone.
    news.kernel(0, &disk("vda"), "I/O error", &data);
    assert_eq!(all(&mut news, 0).len(), 1);
}
