//! An encrypted file of a recording: whatever it holds, what is read lies within it, one reader without a key and one with it agree on
//! where it ends, and nothing opens that was not sealed with the key.
#![no_main]

use drawbridge_recording::{ContentKey, Opening, RecordFault, RecordReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut records = RecordReader::new(data);
    let mut count = 0_u64;
    while let Ok(Some(sealed)) = records.next_sealed() {
        assert!((17..=64 * 1024 + 16).contains(&sealed.len()));
        count += 1;
    }
    assert_eq!(records.number(), count);
    assert!(records.bytes() <= data.len() as u64 && records.bytes() >= count * 29);

    let content = ContentKey::from_text(&"5a".repeat(32)).expect("a key");
    let mut opening = Opening::new(data, &content, "terminal-1.ttyrec").expect("a cipher");
    match opening.next_record() {
        // Its tag would have to be guessed.
        Ok(Some(_)) => panic!("it was not sealed with this key"),
        Ok(None) => assert!(data.is_empty()),
        Err(RecordFault::Key(at)) => assert!(at == 0 && count > 0),
        Err(_) => assert_eq!(count, 0),
    }
    let _ = ContentKey::from_text(&String::from_utf8_lossy(data));
});
