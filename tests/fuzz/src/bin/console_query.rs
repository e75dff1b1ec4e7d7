//! Any query to any call that looks, from an administrator: nothing panics, and what is wrong is told as problem details (RFC 9457).
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[path = "../console.rs"]
mod console;

fuzz_target!(|data: &[u8]| {
    let Some((number, query)) = data.split_first() else { return };
    // What can stand in a request's first line; all else is escaped, as browsers do.
    let query: String = query
        .iter()
        .map(|byte| match byte {
            b'=' | b'&' | b'%' | b'+' | b',' | b'-' | b'_' | b'.' => char::from(*byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect();
    console::with(async |front| {
        let answer = front.look((*number).into(), &query).await.expect("an answer");
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let (head, content) = answer.split_at(head + 4);
        let head = std::str::from_utf8(head).expect("text");
        let status: u16 = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        // The other roles are not there (503); nothing else is the console's fault.
        assert!(matches!(status, 200 | 404 | 409 | 422 | 503), "{head}");
        if status >= 400 {
            let problem: Value = serde_json::from_slice(content).expect("problem details");
            assert!(problem["status"] == status && problem["detail"].is_string(), "{head}");
        }
    });
});
