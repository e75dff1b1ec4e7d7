//! Any bytes as a recorded terminal and as a list of events, played and searched: nothing panics, all of it ends, and no control
//! character gets out.
#![no_main]

use drawbridge_console::hostile::Front;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((at, bytes)) = data.split_first() else { return };
    for text in Front::play(bytes, u64::from(*at) * 10_000_000_000, "e") {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
});
