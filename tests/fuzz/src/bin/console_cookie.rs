//! Any fields `Cookie`, one a line: nobody is taken for the administrator but by his own cookie, once.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../console.rs"]
mod console;

fuzz_target!(|data: &[u8]| {
    console::with(async |front| {
        let own = front.cookie();
        let (name, value) = own.split_once('=').expect("a pair");
        // A byte 1 stands for the pair, 2 for its name, 3 for its value: nobody guesses those.
        let mut text = Vec::new();
        for byte in data {
            match byte {
                1 => text.extend_from_slice(own.as_bytes()),
                2 => text.extend_from_slice(name.as_bytes()),
                3 => text.extend_from_slice(value.as_bytes()),
                other => text.push(*other),
            }
        }
        let fields: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        let Some(known) = front.knows(&fields) else { return };
        // Worked out once more, in another way (RFC 6265, section 5.4): pairs parted by semicolons, spaces around them of no account.
        let pairs: Vec<String> = fields
            .iter()
            .filter_map(|field| std::str::from_utf8(field).ok())
            .filter(|field| field.bytes().all(|byte| byte == b'\t' || (32..127).contains(&byte)))
            .flat_map(|field| field.split(';').map(|pair| pair.trim().to_owned()))
            .filter(|pair| pair.split('=').next() == Some(name) && pair.contains('='))
            .collect();
        assert_eq!(known, pairs == [own.to_owned()], "{:?}", String::from_utf8_lossy(&text));
    });
});
