//! Events in a CSV: each row is read back with as many cells as there are columns, none of which a spreadsheet runs, a browser
//! draws or a terminal obeys, and the last of which has the event whole.
#![no_main]

use drawbridge_audit::Kept;
use drawbridge_audit::event::{BootId, Clock, Denial, Draft, Event, Long, Name, Stamp, What, Who, WhoKind};
use drawbridge_audit::export::{COLUMNS, Exporter, Format};
use drawbridge_chain::Utc;
use libfuzzer_sys::fuzz_target;

/// The cells of a row: all in quotes, quotes doubled, a comma between, CRLF at the end (RFC 4180).
fn cells(row: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut rest = row.strip_suffix("\r\n").expect("a line end");
    loop {
        rest = rest.strip_prefix('"').expect("a quote");
        let mut cell = String::new();
        loop {
            let at = rest.find('"').expect("the end of a cell");
            cell.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let Some(more) = rest.strip_prefix('"') else { break };
            cell.push('"');
            rest = more;
        }
        cells.push(cell);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    assert!(rest.is_empty(), "something after the last cell");
    cells
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (one, two) = text.split_once('\0').unwrap_or((&text, &text));
    let stamp = Stamp { time: Utc::default(), clock: Clock::Floor, boot: BootId(1), monotonic_ms: 2 };
    let what = What::AccessDenied { reason: Denial::Target, asked: Some(Long::of(two)) };
    let mut draft = Draft::new(what, Who::new(WhoKind::Engineer, one));
    draft.endpoint = Some(Name::of(one));
    draft.gateway = Some(Name::of(two));
    let event = Event::new(1, stamp, draft);
    // And whatever else is taken for a line of the log.
    let all = [Some(Kept::from(event.clone())), Kept::parse(data).ok()];
    for kept in all.into_iter().flatten() {
        let mut exporter = Exporter::new(Vec::new(), Format::Csv).expect("memory");
        exporter.write(&kept).expect("memory");
        let csv = String::from_utf8(exporter.finish().expect("memory")).expect("UTF-8");
        let (head, row) = csv.split_once("\r\n").expect("a first line");
        assert_eq!(head.matches(',').count() + 1, COLUMNS.len());
        let cells = cells(row);
        assert_eq!(cells.len(), COLUMNS.len());
        for cell in &cells {
            let first = cell.trim_start_matches([' ', '"', '\u{a0}']).chars().next();
            assert!(
                !first.is_some_and(|first| "=+-@\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(first)),
                "{cell}"
            );
            assert!(!cell.contains(['<', '>']) && !cell.chars().any(char::is_control), "{cell}");
        }
        if kept.entry.event() == Some(&event) {
            let last = cells.last().expect("cells");
            assert_eq!(serde_json::from_str::<Event>(last).expect("the whole event"), event);
        }
    }
});
