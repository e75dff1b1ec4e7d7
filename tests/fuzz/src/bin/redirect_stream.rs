//! Any bytes to the redirect's port: nothing panics, all of it ends, and what comes back is HTTP of the appliance's own or
//! nothing.
#![no_main]

use drawbridge_console::redirect::{Names, speak};
use libfuzzer_sys::fuzz_target;
use std::cell::LazyCell;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: LazyCell<Runtime> =
        const { LazyCell::new(|| Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()) };
}

fuzz_target!(|data: &[u8]| {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(64 * 1024);
            let local = ([10, 0, 1, 5], 8000).into();
            let names = Names::new("sa", &["sa.example.com".to_owned()], &[]);
            let served = tokio::spawn(speak(server, local, names, 9000));
            let _ = client.write_all(data).await;
            let _ = client.shutdown().await;
            let mut answer = Vec::new();
            // The clock leaps as soon as nothing else moves: no time-out takes time.
            let read = tokio::time::timeout(Duration::from_mins(1), client.read_to_end(&mut answer)).await;
            assert!(read.is_ok(), "the connection does not end");
            served.await.expect("nothing panics");
            let answer = String::from_utf8(answer).expect("text");
            assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{answer}");
            assert!(answer.matches("HTTP/1.").count() <= 1, "two answers: {answer}");
            if answer.contains(" 308 ") {
                let led = answer.lines().find_map(|line| line.strip_prefix("location: ")).expect("a place");
                let own =
                    ["https://10.0.1.5:9000/", "https://sa.local:9000/", "https://sa.example.com:9000/"];
                assert!(own.contains(&led), "{led}");
            }
        });
    });
});
