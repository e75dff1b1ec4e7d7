//! A syslog message of any event: one that RFC 5424 knows, bounded, without a control character, whose fields and parameters
//! say exactly what the event does.
#![no_main]

use drawbridge_audit::Kept;
use drawbridge_audit::event::{
    BootId, Clock, Draft, Event, Health, Long, Name, Part, Stamp, What, Who, WhoKind,
};
use drawbridge_audit::sink::syslog::{BOM, DATAGRAM_BYTES, Facility, Header, STREAM_BYTES, frame, message};
use drawbridge_chain::Utc;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

/// The elements of structured data and what stands after them (RFC 5424, section 6.3).
fn elements(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut all = BTreeMap::new();
    while let Some(inside) = rest.strip_prefix('[') {
        let (id, mut inside) = inside.split_at(inside.find([' ', ']']).expect("an identifier"));
        while let Some(parameter) = inside.strip_prefix(' ') {
            let (name, value) = parameter.split_once("=\"").expect("a parameter");
            let mut text = String::new();
            let mut chars = value.char_indices();
            let end = loop {
                match chars.next().expect("the end of a value") {
                    (_, '\\') => text.push(chars.next().expect("what is escaped").1),
                    (at, '"') => break at + 1,
                    (_, ']') => panic!("a bracket that is not escaped"),
                    (_, char) => text.push(char),
                }
            };
            all.insert(format!("{id}.{name}"), text);
            inside = &value[end..];
        }
        rest = inside.strip_prefix(']').expect("the end of an element");
    }
    (all, rest)
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, '\0');
    let (one, two, three) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or("-"), parts.next().unwrap_or("-"));
    let header = Header {
        facility: Facility::AUDIT,
        host: three.to_owned(),
        enterprise: 32_473,
        version: two.to_owned(),
        serial: one.to_owned(),
    };
    let stamp = Stamp { time: Utc::default(), clock: Clock::Ntp, boot: BootId(1), monotonic_ms: 2 };
    let what = What::Hardware { part: Part::Disk, health: Health::Failed, text: Long::of(two) };
    let mut draft = Draft::new(what, Who::new(WhoKind::Engineer, one));
    draft.endpoint = Some(Name::of(three));
    let all = [Some(Kept::from(Event::new(7, stamp, draft))), Kept::parse(data).ok()];
    for kept in all.into_iter().flatten() {
        for most in [DATAGRAM_BYTES, STREAM_BYTES] {
            let text = message(&header, &kept, most);
            assert!(text.len() <= most && !text.chars().any(char::is_control), "{text:?}");
            let framed = frame(&text);
            assert_eq!(framed, format!("{} {text}", text.len()).into_bytes());
            let mut fields = text.splitn(7, ' ');
            let mut field = || fields.next().expect("a field");
            let priority = field();
            assert!(priority.starts_with('<') && priority.ends_with(">1"), "{priority}");
            assert_eq!(field(), kept.entry.time().to_string());
            let (host, app, process, id) = (field(), field(), field(), field());
            assert!((1..=255).contains(&host.len()) && host.bytes().all(|byte| byte.is_ascii_graphic()));
            assert_eq!((app, process), ("drawbridge", "-"));
            assert!((1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
            let (data, rest) = elements(field());
            assert!(rest.strip_prefix(' ').is_some_and(|rest| rest.starts_with(BOM)), "{rest:?}");
            assert_eq!(data.get("audit@32473.sequence"), Some(&kept.sequence().to_string()));
            assert_eq!(data.get("audit@32473.sha256"), Some(&kept.hash().to_string()));
            if let (Some(who), Some(event)) = (data.get("audit@32473.who"), kept.entry.event()) {
                assert_eq!(who, event.who.name.as_str());
            }
        }
    }
});
