//! The first bytes of a session's connection: a ticket is what begins with the magic, and its token is what follows.
#![no_main]

use drawbridge_wire::ticket::{BYTES, MAGIC, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(bytes) = data.first_chunk::<BYTES>() else { return };
    match parse(bytes) {
        Some(token) => {
            assert!(bytes.starts_with(&MAGIC));
            assert_eq!(token.bytes().as_slice(), &bytes[MAGIC.len()..]);
        }
        None => assert!(!bytes.starts_with(&MAGIC)),
    }
});
