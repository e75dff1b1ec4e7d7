//! An HTTP proxy's answer to CONNECT: read in pieces it means the same as read at once, and what follows its head is whole.
#![no_main]

use drawbridge_dial::reply::Parsed;
use drawbridge_dial::reply::http::{HEAD_BYTES, head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let data = &data[..data.len().min(HEAD_BYTES)];
    let whole = head(data);
    match &whole {
        Ok(Parsed::Whole(found)) => {
            assert!(found.length <= data.len(), "it takes what has not come");
            assert!(data[..found.length].ends_with(b"\n"), "the head ends inside of a line");
            assert!((200..=999).contains(&found.status) || found.status == 101, "{found:?}");
            assert!(found.schemes.len() <= 8);
            for scheme in &found.schemes {
                assert!(scheme.to_string().chars().all(|c| c.is_ascii_graphic()), "{scheme}");
            }
            // Not a byte less is enough, and not a byte more is looked at.
            assert!(
                matches!(head(&data[..found.length - 1]), Ok(Parsed::More(_))),
                "the head is shorter than said"
            );
            assert_eq!(head(&data[..found.length]), whole);
        }
        Ok(Parsed::More(more)) => assert!(*more > 0 && data.len() < HEAD_BYTES),
        Err(_) => {}
    }
    // Once refused, always refused: more bytes make no sense of what has none.
    let half = head(&data[..data.len() / 2]);
    assert!(half.is_ok() || half == whole || whole.is_err(), "{half:?} became {whole:?}");
});
