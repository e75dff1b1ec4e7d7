//! A vendor's profile: it is read or refused, every fault with its field, and what is read stays within its bounds.
#![no_main]

use drawbridge_profile::{BUILT_IN, KEYS_MOST, ON_INSTRUCTION_MOST, Profile, sentence};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // As it is, and in the place of a text of a profile that is right.
    let text = serde_json::to_string(&String::from_utf8_lossy(data)).expect("a text");
    let within = BUILT_IN[1].1.replace("\"rss-us.infinidat.com:443\"", &format!("{text}, {text}"));
    for json in [data, within.as_bytes()] {
        match Profile::parse(json) {
            Ok(profile) => {
                assert!(profile.keys.iter().count() <= KEYS_MOST);
                assert!(profile.hosts.on_instruction.len() <= ON_INSTRUCTION_MOST);
                assert!(
                    !profile.files.key.as_str().contains('/') && profile.files.key != profile.files.request
                );
            }
            Err(faults) => {
                assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.field.is_empty()));
                assert!(!sentence(&faults).contains(['\n', '\r', '\u{1b}']));
            }
        }
    }
});
