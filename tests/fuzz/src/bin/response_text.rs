//! A response as somebody pasted it: none is admitted that the vendor's key did not sign. The check over the text hides what
//! is behind it from a fuzzer, so the bytes are also put into a text that is whole.
#![no_main]

use drawbridge_identity::Serial;
use drawbridge_identity::armour::{Kind, block};
use drawbridge_identity::challenge::Purpose;
use drawbridge_identity::desk::Desk;
use drawbridge_identity::vendor::VendorKeys;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const KEYS: &str = "drawbridge-ed25519 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= test";

fuzz_target!(|data: &[u8]| {
    let keys = VendorKeys::parse(KEYS).expect("a list");
    let mut desk = Desk::new(Serial::new("A").expect("a serial number"));
    let (session, source) = ([1; 32], "192.0.2.1".parse().expect("an address"));
    desk.ask(session, source, Purpose::Login, Duration::ZERO).expect("random bytes");
    let whole = block(Kind::Response, data);
    let plain = std::str::from_utf8(data).ok();
    for text in plain.into_iter().chain([whole.as_str()]) {
        let verdict = desk.answer(&session, Purpose::Login, text, &keys, Duration::ZERO);
        assert!(verdict.is_err(), "{verdict:?}");
    }
});
