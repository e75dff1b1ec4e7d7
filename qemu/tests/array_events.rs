//! The appliance's audit at the simulated array: what is posted, in which words, once each, through everything that an array does.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_array::{Address, Password, Plain, Poster, Trust, UserName, Visibility};
use drawbridge_audit::event::{
    BootId, Clock, Denial, Draft, Level, Name, Proof, Severity, Stamp, What, Who, WhoKind,
};
use drawbridge_audit::log::{Identity, Limits, Log};
use drawbridge_audit::queue::{Begin, Positions, Queue, SinkState, Source, Watch};
use drawbridge_audit::sink::array::{ArraySink, Style, Wording};
use drawbridge_audit::{Filter, Kept};
use drawbridge_chain::{DeviceKey, Utc};
use drawbridge_dial::{NameFailure, Names, Wait};
use drawbridge_lab::array::{Fault, Order, Role};
use drawbridge_lab::{Array, ArrayConfig, Lab};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PASSWORD: &str = "correct horse \"\\";

/// Every name is this machine.
struct Here;

impl Names for Here {
    fn addresses<'a>(&'a self, _: &'a str) -> Wait<'a, Result<Vec<IpAddr>, NameFailure>> {
        Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into()]) })
    }
}

fn stamp(number: u64) -> Stamp {
    Stamp {
        time: Utc::from_millis(1_767_225_600_000 + number).unwrap(),
        clock: Clock::Ntp,
        boot: BootId(7),
        monotonic_ms: number,
    }
}

fn owner() -> Who {
    Who::new(WhoKind::Owner, "anna")
}

fn session() -> Name {
    Name::of("spring {sequence}")
}

struct Setting {
    array: Array,
    log: Log,
    tell: watch::Sender<u64>,
    lab: Lab,
    number: u64,
}

impl Setting {
    fn new(name: &str) -> Self {
        let lab = Lab::new(name);
        let array = Array::start(&ArrayConfig::new(lab.folder())).unwrap();
        array.user("sa", PASSWORD, &[Role::Technician]);
        let folder = lab.folder().join("audit");
        std::fs::create_dir(&folder).unwrap();
        let identity = Identity { serial: "1001".to_owned().try_into().unwrap(), key: DeviceKey([1; 32]) };
        let (log, _) = Log::open(&folder, identity, Limits::default(), 0, stamp(0)).unwrap();
        Self { array, log, tell: watch::channel(0).0, lab, number: 0 }
    }

    fn add(&mut self, what: What, who: Who) {
        self.number += 1;
        self.log.append(vec![Draft::new(what, who)], stamp(self.number)).unwrap();
        self.tell.send_replace(self.log.last());
    }

    fn add_many(&mut self, count: u64) {
        for _ in 0..count {
            self.add(What::Paused { session: session() }, owner());
        }
    }

    fn sink(&self, style: Style, password: &str) -> ArraySink {
        let address = Address { port: self.array.address().port(), ..Address::parse("box1.lab").unwrap() };
        let trust = Trust::Pin(self.array.fingerprint());
        let array = drawbridge_array::Array::new(address, trust, Arc::new(Plain)).unwrap();
        let password = Password::parse(password.to_owned().into()).unwrap();
        let poster = Poster::new(array, UserName::parse("sa").unwrap(), password);
        let wording = Wording {
            style,
            vendor: "Infinidat".to_owned().try_into().unwrap(),
            serial: "1001".to_owned().try_into().unwrap(),
            visibility: Visibility::Customer,
        };
        ArraySink::new(poster, Arc::new(Here), wording)
    }

    /// Runs a queue whose position is kept in a folder of this name.
    fn run(&self, folder: &str, sink: ArraySink) -> (JoinHandle<()>, Watch) {
        let positions = Positions::at(&self.lab.folder().join(folder)).unwrap();
        let source = Source { events: self.log.reader(), last: self.tell.subscribe(), positions };
        let now = Arc::new(|| stamp(0).time);
        let (queue, watch) = Queue::new("array", sink, Filter::default(), source, Begin::Oldest, now);
        (tokio::spawn(queue.run()), watch)
    }

    /// The numbers of all events at the array, the oldest first.
    fn posted(&self) -> Vec<u64> {
        self.array.events().iter().map(|event| datum(event, "sequence").unwrap().parse().unwrap()).collect()
    }
}

fn datum<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    event["data"].as_array()?.iter().find(|item| item["name"] == name)?["value"].as_str()
}

async fn until(watch: &Watch, holds: impl Fn(&SinkState) -> bool) -> SinkState {
    let mut changes = watch.changes();
    let found = timeout(Duration::from_mins(2), changes.wait_for(holds)).await;
    match found {
        Ok(found) => found.expect("the queue has ended").clone(),
        Err(late) => panic!("it never was so, {late}: {:?}", watch.state()),
    }
}

fn a_session(setting: &mut Setting) {
    let expires = stamp(3_600_000).time;
    let engineer = || Who::new(WhoKind::Engineer, "eva");
    setting.add(
        What::SessionOpened { session: session(), expires, level: Level::Direct, recorded: true },
        owner(),
    );
    setting.add(What::EngineerArrived { session: session(), proof: Proof::Secret }, engineer());
    setting.add(What::AccessDenied { reason: Denial::Target, asked: None }, engineer());
    setting.add(What::EngineerLeft { session: session() }, engineer());
    setting.add(What::SessionStopped { session: session() }, owner());
    let left = "a socket".to_owned().try_into().unwrap();
    setting.add(What::FailedToClose { session: session(), left }, owner());
}

#[tokio::test]
async fn a_support_session_reads_at_the_array_as_the_guides_have_it_in_both_styles() {
    for style in [Style::Custom, Style::Codes] {
        let mut setting = Setting::new("wording");
        a_session(&mut setting);
        let (run, watch) = setting.run("position", setting.sink(style, PASSWORD));
        until(&watch, |state| state.settled == 6).await;
        run.abort();
        let events = setting.array.events();
        let read: Vec<_> = events
            .iter()
            .map(|event| (event["code"].as_str().unwrap(), event["description"].as_str().unwrap()))
            .collect();
        let four = match style {
            Style::Custom => [
                "Support session started",
                "Infinidat support connected to the system",
                "Infinidat support disconnected from the system",
                "Support session ended",
            ],
            Style::Codes => [
                "Support session 'spring (sequence)' started, will automatically be closed on 2026-01-01T01:00:00.000Z",
                "Infinidat support connected to the system",
                "Infinidat support disconnected from the system",
                "Support session 'spring (sequence)' ended",
            ],
        };
        for (at, text) in [0, 1, 3, 4].into_iter().zip(four) {
            assert_eq!(read[at], ("CUSTOM_INFO_EVENT", text));
        }
        assert_eq!(read[2].0, "CUSTOM_WARNING_EVENT");
        assert_eq!(read[5].0, "CUSTOM_CRITICAL_EVENT");
        assert!(read[5].1.contains("FAILED TO CLOSE"), "{}", read[5].1);
        let codes: Vec<_> = events.iter().filter_map(|event| datum(event, "code")).collect();
        let wanted: &[&str] = match style {
            Style::Custom => &[],
            Style::Codes => &[
                "SUPPORT_SESSION_STARTED",
                "SUPPORT_CONNECTED",
                "SUPPORT_DISCONNECTED",
                "SUPPORT_SESSION_ENDED",
            ],
        };
        assert_eq!(codes, wanted);
        let mut kept: Vec<Kept> = Vec::new();
        let keep = |one: &Kept| {
            kept.push(one.clone());
            Ok(())
        };
        setting.log.reader().each(&Filter::default(), keep).unwrap();
        for (event, kept) in events.iter().zip(&kept) {
            assert_eq!(datum(event, "sha256"), Some(kept.hash().to_string().as_str()));
            assert_eq!(datum(event, "audit_code"), Some(kept.entry.code()));
            assert_eq!((&event["visibility"], &event["username"]), (&"CUSTOMER".into(), &"sa".into()));
        }
        assert_eq!(kept[5].entry.severity(), Severity::Critical);
    }
}

#[tokio::test]
async fn an_array_that_was_down_gets_all_events_in_order_after_and_none_twice() {
    let mut setting = Setting::new("down");
    setting.array.open(false).unwrap();
    setting.add_many(15);
    let (run, watch) = setting.run("position", setting.sink(Style::Custom, PASSWORD));
    let state = until(&watch, |state| state.failures > 1).await;
    assert_eq!((state.is_up, state.backlog, state.settled), (Some(false), 15, 0));
    let error = state.error.unwrap();
    assert!(error.what.as_str().contains("cannot be reached") && error.remedy.as_str().ends_with('.'));
    setting.array.open(true).unwrap();
    watch.try_now();
    until(&watch, |state| state.settled == 15).await;
    // Sessions are forgotten, approval is wanted, and it goes on.
    setting.array.obey(Order::Forget).unwrap();
    setting.array.obey(Order::Approval(true)).unwrap();
    setting.add_many(3);
    until(&watch, |state| state.settled == 18).await;
    assert_eq!(setting.posted(), (1..=18).collect::<Vec<_>>());
    assert_eq!(setting.array.logins(), 2, "one session, and another after it was forgotten");
    run.abort();
}

#[tokio::test]
async fn what_stands_there_already_is_not_posted_again_after_a_restart_that_forgot_how_far_it_was() {
    let mut setting = Setting::new("twice");
    setting.add_many(12);
    let (run, watch) = setting.run("position", setting.sink(Style::Custom, PASSWORD));
    until(&watch, |state| state.settled == 12).await;
    run.abort();
    drop(run.await);
    // The position is lost, and others have posted much meanwhile.
    setting.add_many(2);
    let (run, watch) = setting.run("another position", setting.sink(Style::Custom, PASSWORD));
    let state = until(&watch, |state| state.settled == 14).await;
    assert_eq!(state.error, None);
    assert_eq!(setting.posted(), (1..=14).collect::<Vec<_>>());
    run.abort();
}

#[tokio::test]
async fn an_event_whose_answer_was_lost_is_looked_for_before_it_is_posted_again() {
    let mut setting = Setting::new("unsure");
    setting.add_many(1);
    let (run, watch) = setting.run("position", setting.sink(Style::Custom, PASSWORD));
    until(&watch, |state| state.settled == 1).await;
    // The array takes the event, and its answer comes too late: the line is cut while it waits.
    setting.array.obey(Order::Fault(Fault::Slow(Duration::from_secs(20)))).unwrap();
    setting.add_many(1);
    let state = until(&watch, |state| state.failures > 0).await;
    assert!(state.error.unwrap().what.as_str().contains("does not answer within"));
    setting.array.obey(Order::Well).unwrap();
    let end = std::time::Instant::now() + Duration::from_mins(1);
    while setting.posted().len() < 2 {
        assert!(std::time::Instant::now() < end, "the array never came to it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    watch.try_now();
    until(&watch, |state| state.settled == 2).await;
    assert_eq!(setting.posted(), [1, 2]);
    run.abort();
}

#[tokio::test]
async fn a_user_whom_the_array_does_not_let_in_is_not_tried_until_he_is_locked() {
    let mut setting = Setting::new("barred");
    setting.array.obey(Order::LockAfter(Some(3))).unwrap();
    setting.add_many(1);
    let (run, watch) = setting.run("position", setting.sink(Style::Custom, "guessed"));
    let state = until(&watch, |state| state.failures > 0).await;
    let error = state.error.unwrap();
    assert!(!format!("{error:?}").contains("guessed"));
    assert!(error.remedy.as_str().contains("array's user by which events are posted"), "{error}");
    for failures in 2..5 {
        watch.try_now();
        until(&watch, |state| state.failures >= failures).await;
    }
    assert_eq!(setting.array.logins(), 1);
    run.abort();
    drop(run.await);
    // Somebody has corrected the password.
    let (run, watch) = setting.run("position", setting.sink(Style::Custom, PASSWORD));
    until(&watch, |state| state.settled == 1).await;
    run.abort();
}

#[tokio::test]
async fn a_flood_of_events_becomes_a_trickle_and_all_arrive() {
    let mut setting = Setting::new("flood");
    setting.add_many(24);
    let (run, watch) = setting.run("position", setting.sink(Style::Custom, PASSWORD));
    let began = std::time::Instant::now();
    until(&watch, |state| state.settled == 24).await;
    // Twenty at once, and one a second after that.
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(setting.posted(), (1..=24).collect::<Vec<_>>());
    run.abort();
}

#[tokio::test]
async fn a_user_who_may_not_post_and_what_is_no_array_are_told_with_a_remedy() {
    let mut setting = Setting::new("refused");
    setting.add_many(1);
    setting.array.user("sa", PASSWORD, &[Role::ReadOnly]);
    let (run, watch) = setting.run("position", setting.sink(Style::Custom, PASSWORD));
    let state = until(&watch, |state| state.failures > 0).await;
    let error = state.error.unwrap();
    assert!(error.what.as_str().contains("may post no events") && error.remedy.as_str().contains("ADMIN"));
    for fault in [Fault::Page, Fault::Garbage, Fault::Endless, Fault::Status(503)] {
        setting.array.obey(Order::Fault(fault)).unwrap();
        let failures = watch.state().failures;
        watch.try_now();
        let state = until(&watch, |state| state.failures > failures).await;
        assert_eq!((state.settled, state.backlog), (0, 1), "{fault:?}");
    }
    run.abort();
}
