//! A SOCKS4 proxy's reply: 8 bytes, whatever comes, and never one of the tunnel's.
#![no_main]

use drawbridge_dial::reply::Parsed;
use drawbridge_dial::reply::socks4::reply;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = reply(data);
    match whole {
        Ok(Parsed::Whole(_)) => {
            assert!(data.len() >= 8);
            assert_eq!(reply(&data[..8]), whole);
        }
        Ok(Parsed::More(more)) => assert_eq!(more + data.len(), 8),
        Err(_) => assert!(!data.is_empty()),
    }
});
