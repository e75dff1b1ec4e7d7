//! A line of the audit's log: what is read is written the same, is bounded and printable, and says what it is in one sentence.
#![no_main]

use drawbridge_audit::event::{Event, LINE_BYTES, parse_utc};
use drawbridge_audit::{Filter, Kept};
use libfuzzer_sys::fuzz_target;

fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fuzz_target!(|data: &[u8]| {
    if let Ok(event) = Event::parse(data) {
        assert!(data.len() <= LINE_BYTES && event.encode() == data, "one spelling");
        assert!(is_line(&event.summary()) && is_line(event.who.name.as_str()));
    }
    if let Ok(kept) = Kept::parse(data) {
        assert_eq!(kept.line(), data);
        assert!(is_line(&kept.entry.summary()) && is_line(kept.entry.code()));
        assert!(Filter::default().wants(&kept.entry));
        assert_eq!(parse_utc(&kept.entry.time().to_string()), Some(kept.entry.time()));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(time) = parse_utc(text)
    {
        assert_eq!(time.to_string(), text);
    }
    // A filter as the console is sent it.
    if let Ok(filter) = serde_json::from_slice::<Filter>(data) {
        let again = serde_json::to_vec(&filter).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<Filter>(&again).expect("and read again"), filter);
    }
});
