//! A challenge as somebody typed it: what is read has one way to be written, which is read again.
#![no_main]

use drawbridge_identity::challenge::Challenge;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(challenge) = Challenge::parse(text) {
        assert!((1..=64).contains(&challenge.serial().as_str().len()));
        assert_eq!(Challenge::parse(&challenge.text()), Ok(challenge));
    }
});
