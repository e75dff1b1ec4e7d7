//! The lines of events and of what was typed: each is read into bounds or refused, and what is written from it reads
//! the same; and any bytes that somebody typed are quoted on one printable line.
#![no_main]

use drawbridge_recording::{EVENT_BYTES, EntryReader, QUOTED_BYTES, Quoted};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut entries = EntryReader::new(data);
    while let Ok(Some(entry)) = entries.next_entry() {
        let line = entry.encode();
        let again = EntryReader::new(line.as_slice()).next_entry();
        assert_eq!(again.expect("what was written"), Some(entry));
        assert!(line.len() <= EVENT_BYTES + 1);
    }
    let mut typed = EntryReader::new(data);
    while let Ok(Some(typed)) = typed.next_typed() {
        let line = typed.encode();
        assert_eq!(EntryReader::new(line.as_slice()).next_typed().expect("what was written"), Some(typed));
    }
    let quoted = Quoted::of(data);
    assert!(quoted.as_str().len() <= QUOTED_BYTES && !quoted.as_str().contains(drawbridge_chain::is_hidden));
    let json = serde_json::to_string(&quoted).expect("JSON");
    assert_eq!(serde_json::from_str::<Quoted>(&json).expect("what was written"), quoted);
});
