//! A mail about any event, from and to any address that is taken: its headers are those that it is given and no more, and its
//! body comes after them.
#![no_main]

use drawbridge_audit::Kept;
use drawbridge_audit::event::{BootId, Clock, Draft, Event, Long, Name, Stamp, What, Who, WhoKind};
use drawbridge_audit::sink::mail::{HostName, Letter, Letterhead, Mailbox};
use drawbridge_chain::{Text, Utc};
use libfuzzer_sys::fuzz_target;

const HEADERS: [&str; 8] = [
    "From",
    "Subject",
    "Message-ID",
    "Date",
    "Auto-Submitted",
    "Content-Type",
    "To",
    "Content-Transfer-Encoding",
];

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (one, two) = text.split_once('\0').unwrap_or((&text, &text));
    let address = |text: &str| {
        let mailbox = Mailbox::parse(text).ok();
        if let Some(mailbox) = &mailbox {
            let shown = mailbox.to_string();
            assert!(shown.len() <= 512 && !shown.contains(['<', '>', '\r', '\n', ' ', ',']), "{shown}");
        }
        mailbox.unwrap_or_else(|| Mailbox::parse("sa@example.com").expect("an address"))
    };
    let head = Letterhead {
        from: address(one),
        system: Text::of(one),
        serial: Text::of(two),
        host: HostName::of(two),
    };
    let stamp = Stamp { time: Utc::default(), clock: Clock::Ntp, boot: BootId(1), monotonic_ms: 2 };
    let what = What::RecordingFailed { recording: Name::of(one), why: Long::of(two) };
    let kept: Kept = Event::new(7, stamp, Draft::new(what, Who::new(WhoKind::Engineer, two))).into();
    for events in [vec![kept.clone()], vec![kept.clone(), kept]] {
        let letter = Letter::about(&head, &events).expect("there are events");
        // An address that the library cannot write is refused; nothing is made of it.
        let Ok(bytes) = letter.bytes(&head, &[address(two)]) else { continue };
        let mail = String::from_utf8_lossy(&bytes);
        let (headers, _) = mail.split_once("\r\n\r\n").expect("headers and a body");
        let mut names = Vec::new();
        for line in headers.split("\r\n") {
            assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
            if !line.starts_with([' ', '\t']) {
                names.push(line.split_once(':').expect("a header").0.to_owned());
            }
        }
        assert_eq!(names, HEADERS, "{headers}");
    }
});
