//! The power button. It never reads what is typed: only devices that have the key are opened, and only the key is looked
//! at.

use crate::devices::parse_keys;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// linux/input-event-codes.h
const EV_KEY: u16 = 1;
/// linux/input-event-codes.h
const KEY_POWER: u16 = 116;

/// Bytes of a `struct input_event` on x86-64: two 64-bit times, type, code, value.
const EVENT_BYTES: usize = 24;

/// Every input device that has a power key.
pub(crate) fn open() -> Vec<File> {
    let Ok(entries) = fs::read_dir("/sys/class/input") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("event"))
        .filter(|entry| {
            fs::read_to_string(entry.path().join("device/capabilities/key"))
                .is_ok_and(|keys| parse_keys(&keys, usize::from(KEY_POWER)))
        })
        .filter_map(|entry| {
            let device = Path::new("/dev/input").join(entry.file_name());
            File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(device).ok()
        })
        .collect()
}

/// Whether the button was pressed since the last look.
pub(crate) fn pressed(button: &mut File) -> bool {
    let mut events = [0; EVENT_BYTES * 16];
    let mut pressed = false;
    while let Ok(length) = button.read(&mut events)
        && length > 0
    {
        pressed |= events[..length].chunks_exact(EVENT_BYTES).any(is_press);
    }
    pressed
}

fn is_press(event: &[u8]) -> bool {
    let number = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    number(16) == EV_KEY && number(18) == KEY_POWER && event[20..24] == 1_i32.to_ne_bytes()
}
