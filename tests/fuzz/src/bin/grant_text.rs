//! A grant as somebody pasted it: none is taken that the vendor's key did not sign; and lines of keys and targets, which
//! are read or refused.
#![no_main]

use drawbridge_identity::armour::{Kind, block};
use drawbridge_identity::grant::{EngineerKey, Grant, Target};
use drawbridge_identity::vendor::{VendorKey, VendorKeys};
use libfuzzer_sys::fuzz_target;

const KEYS: &str = "drawbridge-ed25519 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= test";

fuzz_target!(|data: &[u8]| {
    let keys = VendorKeys::parse(KEYS).expect("a list");
    let whole = block(Kind::Grant, data);
    let plain = std::str::from_utf8(data).ok();
    for text in plain.into_iter().chain([whole.as_str()]) {
        assert!(Grant::open(text, &keys).is_err());
    }
    let Some(text) = plain else { return };
    if let Ok(target) = Target::parse(text) {
        assert_eq!(Target::parse(&target.to_string()), Ok(target));
    }
    if let Ok(key) = EngineerKey::parse(text) {
        assert_eq!(EngineerKey::parse(key.as_str()), Ok(key));
    }
    if let Ok(key) = VendorKey::parse(text) {
        assert_eq!(VendorKey::parse(&key.to_string()), Ok(key));
    }
});
