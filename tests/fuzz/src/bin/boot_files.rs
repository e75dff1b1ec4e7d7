//! What init reads from disk and sysfs before anything else runs: whatever stands there, it is read or passed over, and
//! the clock is never set to what cannot be.
#![no_main]

use drawbridge_init::{clock_verdict, parse_keys, parse_saved_time, parse_uevent};
use libfuzzer_sys::fuzz_target;

/// A build of 2026 for the clock's floor.
const BUILD: i64 = 1_793_491_200;

fuzz_target!(|data: &[u8]| {
    let Some((hardware, rest)) = data.split_first_chunk::<8>() else { return };
    let saved = parse_saved_time(rest);
    if let Some(saved) = saved {
        assert!(saved >= 0);
        assert_eq!(
            parse_saved_time(format!("{saved}\n").as_bytes()),
            Some(saved),
            "a time that is saved is read again"
        );
    }
    let hardware = i64::from_le_bytes(*hardware);
    let (set, state) = clock_verdict(hardware, BUILD, saved);
    let time = set.unwrap_or(hardware);
    assert!(time >= BUILD, "a clock before the build: {time} ({state:?})");
    // Once it is right it stays: the next look changes nothing.
    assert_eq!(clock_verdict(time, BUILD, saved).0, None, "the clock is set twice: {state:?}");

    let Ok(text) = std::str::from_utf8(rest) else { return };
    let uevent = parse_uevent(text);
    assert!(uevent.len() <= 64);
    assert!(uevent.keys().all(|key| !key.contains(['=', '\n'])));
    // Only bits that stand there are there.
    let keys = (0..1024).filter(|key| parse_keys(text, *key)).count();
    assert!(keys <= 4 * text.len(), "{keys} keys in {} bytes", text.len());
});
