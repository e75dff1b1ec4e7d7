//! A message of scp's old protocol: whatever it names is a name and leads nowhere else.
#![no_main]

use drawbridge_shell::path::is_name;
use drawbridge_shell::scp::{Message, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Some(Message::File(mode, length, name)) => {
            assert!(is_name(name) && mode <= 0o77777 && i64::try_from(length).is_ok());
        }
        Some(Message::Folder(name)) => assert!(is_name(name)),
        _ => {}
    }
});
