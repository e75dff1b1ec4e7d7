//! Any body to any call that writes, from an administrator: nothing panics, and what is wrong is told as problem details (RFC 9457).
#![no_main]

use drawbridge_console::hostile::Front;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[path = "../console.rs"]
mod console;

fuzz_target!(|data: &[u8]| {
    let Some((number, body)) = data.split_first() else { return };
    if *number == 255 {
        drop(Front::array(body));
        return;
    }
    console::with(async |front| {
        let answer = front.write((*number).into(), body).await.expect("an answer");
        let answer = String::from_utf8(answer).expect("text");
        let (head, content) = answer.split_once("\r\n\r\n").expect("a head");
        let status: u16 = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        // The other roles are not there (503), and neither is an array (409); nothing else is the console's fault.
        assert!(matches!(status, 200..=299 | 400..=499 | 503), "{answer}");
        assert!(status != 401 || body.is_empty() || content.contains("\"code\""), "{answer}");
        if status >= 400 {
            let problem: Value = serde_json::from_str(content).expect("problem details");
            assert!(
                problem["status"] == status && problem["detail"].is_string() && problem["title"].is_string(),
                "{answer}"
            );
        }
    });
});
