//! Keys and files of age: whatever stands in them, a public key is taken in one spelling only, and a file that is none, or is another's,
//! gives no content key.
#![no_main]

use drawbridge_recording::Recipient;
use drawbridge_verify::{Identity, IdentityFault};
use libfuzzer_sys::fuzz_target;

/// Of the format's own examples: anybody has it.
const PRIVATE: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(recipient) = Recipient::parse(&text) {
        assert!(recipient.as_str().starts_with("age1") && recipient.as_str().eq_ignore_ascii_case(&text));
        assert_eq!(Recipient::parse(recipient.as_str()).as_ref(), Ok(&recipient));
    }
    let _ = Identity::parse(&text);
    if let Ok(identity) = Identity::parse(PRIVATE) {
        let fault = identity.content(data).expect_err("nobody has encrypted to it here");
        assert!(matches!(fault, IdentityFault::File | IdentityFault::Other), "{fault}");
    }
});
