//! The schema: one of each, read as it is written, and bounded.

use super::*;
use drawbridge_chain::Hash;

/// A text of the most bytes, each of which JSON doubles.
fn worst<const MOST: usize>() -> Text<MOST> {
    Text::new("\"".repeat(MOST)).unwrap()
}

pub(crate) fn stamp(millis: u64) -> Stamp {
    Stamp {
        time: Utc::from_millis(1_767_225_600_000 + millis).unwrap(),
        clock: Clock::Ntp,
        boot: BootId(0x00c0_ffee),
        monotonic_ms: millis,
    }
}

/// One of each, with texts as given.
pub(crate) fn one_of_each(name: &Name, long: &Long, line: &Text<1024>) -> Vec<What> {
    let (session, text) = (|| name.clone(), || long.clone());
    let hash = Hash::of(b"");
    let expires = Utc::from_millis(1_767_229_200_000).unwrap();
    let (why, none) = (Some(text()), None);
    vec![
        What::SessionOpened { session: session(), expires, level: Level::Guided, recorded: true },
        What::SessionStopped { session: session() },
        What::SessionExpired { session: session() },
        What::FailedToClose { session: session(), left: text() },
        What::EngineerArrived { session: session(), proof: Proof::SecretAndKey },
        What::EngineerLeft { session: session() },
        What::AccessDenied { reason: Denial::SecretBurned, asked: Some(text()) },
        What::GrantUsed { case: session(), key: session(), expires },
        What::PathTested { outcome: Outcome::Failed, step: session(), why: why.clone() },
        What::SettingChanged {
            setting: session(),
            change: Change::Plain { old: Some(text()), new: Some(text()) },
        },
        What::CertificateChanged { subject: text(), sha256: hash, expires },
        What::KeyChanged { change: KeyChange::Disabled, key: session(), owner: session() },
        What::Enrolled { server: session() },
        What::Login { proof: Proof::SingleSignOn },
        What::LoginRefused { reason: Denial::WrongResponse },
        What::Logout {},
        What::WatchBegan { session: session(), watchers: u32::MAX },
        What::WatchEnded { session: session(), watchers: u32::MAX },
        What::Paused { session: session() },
        What::Resumed { session: session() },
        What::ProposalApproved { session: session(), line: line.clone() },
        What::ProposalRefused { session: session(), line: line.clone() },
        What::Message { session: session(), text: line.clone() },
        What::Command { session: session(), line: line.clone(), status: Some(u32::MAX) },
        What::File {
            session: session(),
            direction: Direction::Out,
            path: text(),
            bytes: u64::MAX,
            sha256: hash,
            outcome: Outcome::Failed,
        },
        What::Forward { session: session(), target: session(), bytes_out: u64::MAX, bytes_in: u64::MAX },
        What::Discovery { networks: text(), found: u32::MAX },
        What::RecordingClosed { recording: session(), head: hash, bytes: u64::MAX, end: session() },
        What::RecordingFailed { recording: session(), why: text() },
        What::RecordingFetched { recording: session(), from_server: true },
        What::RecordingRemoved { recording: session(), head: hash, why: text() },
        What::BreakGlass { session: session(), why: text() },
        What::Upgrade { outcome: Outcome::Failed, from: session(), to: session(), why },
        What::Power { what: Power::StartedAfterCut },
        What::Hardware { part: Part::DataPartition, health: Health::Failing, text: text() },
        What::Role { role: session(), outcome: Outcome::Done, why: none },
        What::ClockChanged { from: expires, to: expires },
        What::AuditHead { head: hash, segment: u32::MAX },
        What::AuditRotated { segment: u32::MAX, head: Some(hash), reason: Rotation::Damaged },
        What::AuditGap { first: u64::MAX, last: u64::MAX, reason: Gap::Unwritten, events: Some(u64::MAX) },
        What::AuditExported { events: u64::MAX, format: session() },
        What::DeliveryTested { target: session(), outcome: Outcome::Failed, why: Some(text()) },
    ]
}

fn all_set(what: What, name: &Name) -> Event {
    let draft = Draft {
        what,
        who: Who { kind: WhoKind::Technician, name: name.clone() },
        from: Some("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()),
        endpoint: Some(name.clone()),
        gateway: Some(name.clone()),
        grant: Some(u64::MAX),
        lasted_ms: Some(u64::MAX),
    };
    Event::new(u64::MAX, stamp(u64::MAX >> 24), draft)
}

#[test]
fn one_of_each_code_is_read_as_it_is_written_and_the_longest_fits() {
    let name = worst();
    let all = one_of_each(&name, &worst(), &worst());
    let codes: Vec<_> = all.iter().map(What::code).collect();
    assert_eq!(codes, Code::ALL, "one of each");
    for what in all {
        let code = what.code();
        let event = all_set(what, &name);
        let line = event.encode();
        assert_eq!(Event::parse(&line), Ok(event), "{code}");
        let text = String::from_utf8(line).unwrap();
        assert!(text.contains(&format!("\"what\":{{\"code\":\"{code}\"")), "{text}");
    }
}

#[test]
fn each_event_has_a_sentence_of_its_own_on_one_line() {
    let (name, long, line) = (Name::of("spring <b>"), Long::of("it is so"), Text::of("reboot now"));
    let mut sentences = Vec::new();
    for what in one_of_each(&name, &long, &line) {
        let event = Event::new(1, stamp(0), Draft::new(what, Who::new(WhoKind::Owner, "anna")));
        let sentence = event.summary();
        assert!(sentence.ends_with('.') && !sentence.chars().any(char::is_control), "{sentence}");
        sentences.push(sentence);
    }
    assert!(sentences[0].starts_with(
        "Support session 'spring <b>' was opened by owner anna until 2026-01-01T01:00:00.000Z, each line"
    ));
    let count = sentences.len();
    sentences.sort();
    sentences.dedup();
    assert_eq!(sentences.len(), count);
    let mut left =
        Draft::new(What::EngineerLeft { session: name }, Who::new(WhoKind::Engineer, "eva\nroot logged in"));
    left.from = Some("192.0.2.7".parse().unwrap());
    left.gateway = Some(Name::of("rss.example"));
    left.lasted_ms = Some(3_723_000);
    assert_eq!(
        Event::new(1, stamp(0), left).summary(),
        "engineer eva?root logged in has left session 'spring <b>', from 192.0.2.7, through rss.example, after 1:02:03."
    );
}

#[test]
fn of_a_secret_setting_nothing_is_written_but_that_it_was_changed() {
    let what = What::SettingChanged { setting: Name::of("proxy.password"), change: Change::Secret };
    let event = Event::new(7, stamp(0), Draft::new(what, Who::new(WhoKind::Owner, "anna")));
    assert_eq!(event.summary(), "The secret setting proxy.password was changed by owner anna.");
    assert_eq!(
        String::from_utf8(event.encode()).unwrap(),
        concat!(
            r#"{"sequence":7,"time":"2026-01-01T00:00:00.000Z","clock":"ntp","#,
            r#""boot":"00000000000000000000000000c0ffee","monotonic_ms":0,"severity":"notice","#,
            r#""what":{"code":"SETTING_CHANGED","setting":"proxy.password","change":{"kind":"secret"}},"#,
            r#""who":{"kind":"owner","name":"anna"}}"#
        )
    );
}

#[test]
fn no_line_has_a_second_spelling_or_a_text_that_is_not_printable() {
    let what = What::Paused { session: Name::of("one") };
    let event = Event::new(7, stamp(0), Draft::new(what, Who::new(WhoKind::Owner, "anna")));
    let text = String::from_utf8(event.encode()).unwrap();
    assert_eq!(Event::parse(text.as_bytes()), Ok(event));
    for (old, new) in [
        ("anna", "an\\u001bna"),
        ("anna", "\\u0061nna"),
        ("anna", ""),
        ("anna\"", "anna\",\"more\":1"),
        ("\"one\"", "\"one\",\"more\":1"),
        ("\"one\"", "\"one\",\"session\":\"two\""),
        (":7", ": 7"),
        (":7", ":7.0"),
        (":7", ":-7"),
        ("PAUSED", "PAUSE"),
        ("00:00.000Z", "00:00.000z"),
    ] {
        let other = text.replacen(old, new, 1);
        assert!(other != text && Event::parse(other.as_bytes()).is_err(), "{other}");
    }
    assert_eq!(Event::parse(&vec![b' '; LINE_BYTES + 1]), Err(LineFault::Long));
    assert_eq!(Event::parse("[".repeat(LINE_BYTES).as_bytes()), Err(LineFault::Unknown));
}

#[test]
fn a_gap_of_numbers_is_written_as_it_always_was_and_one_of_events_without_numbers_tells_how_many() {
    let event = |what| Event::new(7, stamp(0), Draft::new(what, Who::device()));
    let gap = event(What::AuditGap { first: 3, last: 5, reason: Gap::NoRoom, events: None });
    let line = String::from_utf8(gap.encode()).unwrap();
    assert!(line.contains(r#""what":{"code":"AUDIT_GAP","first":3,"last":5,"reason":"no_room"},"#), "{line}");
    assert!(gap.summary().starts_with("The events 3 to 5 of the audit are MISSING"), "{}", gap.summary());
    let gap = event(What::AuditGap { first: 6, last: 6, reason: Gap::Unwritten, events: Some(9) });
    let sentence = "9 events after the event 6 of the audit are MISSING, because they could not be written down, and too many \
                    waited already.";
    assert_eq!((gap.summary().as_str(), gap.severity), (sentence, Severity::Error));
    assert_eq!(Event::parse(&gap.encode()), Ok(gap));
}

#[test]
fn what_one_role_tells_another_of_an_event_arrives_as_it_was() {
    let what = What::Paused { session: Name::of("Spring") };
    let draft = Draft {
        from: Some([192, 0, 2, 1].into()),
        grant: Some(4),
        lasted_ms: Some(1),
        ..Draft::new(what, Who::new(WhoKind::Owner, "anna"))
    };
    assert_eq!(Draft::parse(&draft.encode()), Ok(draft.clone()));
    let bare = Draft::new(What::Logout {}, Who::device());
    assert_eq!(Draft::parse(&bare.encode()), Ok(bare));
    for wrong in [
        String::new(),
        "{}".to_owned(),
        draft.encode().replace("PAUSED", "FLOWN"),
        draft.encode().replace("\"grant\"", "\"grunt\""),
        draft.encode().replace("anna", "\\u001b[2J"),
        " ".repeat(LINE_BYTES + 1),
    ] {
        assert!(Draft::parse(&wrong).is_err(), "{wrong}");
    }
}
