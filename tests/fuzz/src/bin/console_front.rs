//! Any bytes to the console's HTTP, beyond its TLS: nothing panics, all of it ends, and what comes back are whole answers of the
//! console's own, none of which is an administrator's.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../console.rs"]
mod console;

fuzz_target!(|data: &[u8]| {
    console::with(async |front| {
        let answer = front.speak(data).await.expect("the connection ends");
        if answer.is_empty() {
            return;
        }
        let head = answer.get(..12).map(String::from_utf8_lossy).expect("a whole status line");
        assert!(head.starts_with("HTTP/1.1 ") || head.starts_with("HTTP/1.0 "), "{head}");
        let own = front.cookie().as_bytes();
        assert!(!answer.windows(own.len()).any(|part| part == own), "a cookie of somebody's");
    });
});
