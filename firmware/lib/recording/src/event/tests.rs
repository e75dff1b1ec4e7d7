use super::*;
use std::time::{SystemTime, UNIX_EPOCH};

fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).unwrap()
}

/// The longest that can be put into an event.
fn worst() -> Quoted {
    Quoted::of(&vec![b'"'; 5000])
}

fn all() -> Vec<Event> {
    let hash = Some(Hash::of(b""));
    let size = Size::clamped(24, 80);
    vec![
        Event::Began(Facts {
            id: text("a1"),
            serial: text("SN-1"),
            system: text("lab"),
            version: text("0.1.0"),
            grant: 1,
            session: text("s1"),
            level: Guidance::Watched,
            engineer: text("anna"),
            login: text("support"),
            source: Some("2001:db8::1".parse().unwrap()),
        }),
        Event::Terminal { terminal: 1, name: text("xterm"), size },
        Event::Window { terminal: 1, size },
        Event::Mask { terminal: 1, masked: true },
        Event::Closed { terminal: 1, status: Some(0) },
        Event::Command { command: worst(), terminal: None },
        Event::CommandEnded { command: worst(), status: None, received: 0, sent: u64::MAX, sha256: hash },
        Event::File {
            protocol: Some(Protocol::Sftp),
            way: Way::In,
            path: worst(),
            bytes: 1,
            sha256: hash,
            complete: true,
        },
        Event::FileChange {
            protocol: Protocol::Scp,
            change: Change::Renamed,
            path: worst(),
            to: Some(worst()),
        },
        Event::Changed { what: worst() },
        Event::Reached { host: worst(), port: 22 },
        Event::Forward { number: 1, host: Quoted::of(b"node1"), port: 22 },
        Event::ForwardEnded { number: 1, sent: 1, received: 2, millis: 3 },
        Event::Pause { paused: true, by: text("owner") },
        Event::Message { from: text("owner"), text: Quoted::of(b"please wait") },
        Event::Gap { millis: 1, bytes: 2, why: text("lost") },
        Event::Verdict { asked: Quoted::of(b"forward"), allowed: false, why: text("not in the grant") },
        Event::Ended { reason: text("he left") },
    ]
}

#[test]
fn every_event_comes_back_as_it_was_written_and_fits_a_line() {
    let mut clock = crate::ttyrec::Clock::new(UNIX_EPOCH + Duration::from_hours(490_896), Duration::ZERO);
    let moment = clock.tick(Duration::from_micros(1_500_001));
    let entries: Vec<Entry> = all().into_iter().map(|event| Entry::at(moment, event)).collect();
    let bytes: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
    let mut reader = EntryReader::new(bytes.as_slice());
    for entry in &entries {
        assert!(entry.encode().len() <= EVENT_BYTES, "{entry:?}");
        assert_eq!(reader.next_entry().unwrap().as_ref(), Some(entry));
    }
    assert!(reader.next_entry().unwrap().is_none());
    assert_eq!(reader.bytes(), bytes.len() as u64);
    assert_eq!(entries[0].utc.to_string(), "2026-01-01T00:00:01.500Z");
    assert!(String::from_utf8(bytes).unwrap().starts_with(
        r#"{"utc":1767225601500,"after":1500001,"event":{"kind":"began","id":"a1","serial":"SN-1","system":"lab","#
    ));
}

#[test]
fn what_is_no_event_is_told_with_its_line() {
    let good = Entry::at(
        crate::ttyrec::Clock::new(SystemTime::UNIX_EPOCH, Duration::ZERO).tick(Duration::ZERO),
        all().remove(2),
    );
    let line = String::from_utf8(good.encode()).unwrap();
    for wrong in [
        "{}\n".to_owned(),
        line.replace("window", "wind"),
        line.replace("[24,80]", "[24,8000]"),
        line.replace(":0,", ":0.0,"),
        line.replace("\"after\":0", "\"after\":9999999999999999"),
        line.replace("}}", ",\"more\":1}}"),
        line.replace("}}", "},\"more\":1}"),
    ] {
        let mut reader = EntryReader::new(io::Cursor::new(format!("{line}{wrong}")));
        assert!(reader.next_entry().unwrap().is_some());
        assert!(matches!(reader.next_entry(), Err(EntryFault::Malformed(_))), "{wrong}");
    }
    assert!(matches!(EntryReader::new(&line.as_bytes()[..20]).next_entry(), Err(EntryFault::Cut(1))));
    let long = vec![b'x'; 10 * EVENT_BYTES];
    assert!(matches!(EntryReader::new(long.as_slice()).next_entry(), Err(EntryFault::Long(1))));
}

#[test]
fn what_was_typed_comes_back_and_what_was_masked_is_a_count() {
    let shown = Typed::Shown { after: 1, text: Quoted::of(b"ls\r") };
    let masked = Typed::Masked { after: 2, masked: 9 };
    let bytes = [shown.encode(), masked.encode()].concat();
    assert_eq!(bytes, b"{\"after\":1,\"text\":{\"text\":\"ls\\\\r\"}}\n{\"after\":2,\"masked\":9}\n");
    let mut reader = EntryReader::new(bytes.as_slice());
    assert_eq!(reader.next_typed().unwrap(), Some(shown));
    assert_eq!(reader.next_typed().unwrap(), Some(masked));
    assert_eq!(reader.next_typed().unwrap(), None);
}
