//! A record of the kernel's log, whose text a device can choose (a USB stick's name): it is one line, fit to be shown, and what it is
//! taken to say of the machine names a part by a short name and never a path.
#![no_main]

use drawbridge_bus::message::LOG_LINE_BYTES;
use drawbridge_init::kmsg::parse;
use drawbridge_init::symptom::{Symptom, classify};
use libfuzzer_sys::fuzz_target;

/// How lines of the kernel's begin that say something of the machine.
const BEGINNINGS: [&str; 16] = [
    "I/O error, dev ",
    "critical medium error, dev sda",
    "ata1.00: failed command: ",
    "ata",
    "nvme nvme0: ",
    "nvme nvme0: I/O tag 1 timeout, aborting",
    "EDAC MC0: 1 CE ",
    "EDAC MC",
    "mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 7: ",
    "mce: [Hardware Error]: CPU ",
    "{1}[Hardware Error]: ",
    "CPU0: Core temperature",
    "thermal thermal_zone0: ",
    "EXT4-fs error (device ",
    "EXT4-fs (",
    "Aborting journal on device ",
];

/// What is taken for a name.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=32).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

fn look(text: &str) {
    if let Some(Symptom::Part { unit: name, .. } | Symptom::FileSystem { device: name }) = classify(text) {
        assert!(is_name(&name), "{name:?} of {text:?}");
    }
    // Words of a device stand behind the driver's, and are nothing then.
    assert_eq!(classify(&format!("usb 1-1: Product: {text}")), None, "{text:?}");
}

fuzz_target!(|data: &[u8]| {
    if let Some((beginning, rest)) = data.split_first() {
        let beginning = BEGINNINGS[usize::from(*beginning) % BEGINNINGS.len()];
        look(&format!("{beginning}{}", String::from_utf8_lossy(rest)));
    }
    // Seldom does a fuzzer write a whole head: half of its inputs get one.
    let mut bytes = data.to_vec();
    if let Some((0..128, text)) = data.split_first() {
        bytes = [b"30,339,5140900,-,caller=T1;", text].concat();
    }
    let Some(record) = parse(&bytes) else { return };
    look(&record.text);
    assert!(record.text.len() <= LOG_LINE_BYTES, "{} bytes", record.text.len());
    assert!(!record.text.chars().any(char::is_control), "a control character: {:?}", record.text);
    let head = bytes.split(|byte| *byte == b';').next().unwrap_or_default();
    assert!(head.iter().filter(|byte| **byte == b',').count() >= 2, "a record without its fields");
});
