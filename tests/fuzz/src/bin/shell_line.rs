//! A line of an engineer's: words come out, each of which is itself when it is quoted and read again.
#![no_main]

use drawbridge_shell::words::{WORDS_MOST, quote, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(line) = std::str::from_utf8(data) else { return };
    let Ok(words) = split(line) else { return };
    assert!(words.len() <= WORDS_MOST);
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    assert_eq!(split(&quoted.join(" ")), Ok(words), "{quoted:?}");
});
