//! The watchdogs: opened before all else, fed by the event loop's own progress, never closed. A hung init is a restart.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

/// An init that has not come round for so long is hung; seconds. Twice what the slowest step of the loop may take.
const TIMEOUT_SECONDS: i32 = 30;

/// How often they are fed, in milliseconds: three times in each time-out.
pub(crate) const FEED_EVERY: u64 = 10_000;

/// `WDIOF_CARDRESET` (linux/watchdog.h): the watchdog caused the last restart.
const CARD_RESET: i32 = 0x20;

/// The watchdogs of the machine.
#[derive(Debug, Default)]
pub(crate) struct Watchdogs {
    open: Vec<(String, File)>,
    /// Whether one of them caused the last restart.
    pub(crate) caused_restart: bool,
}

impl Watchdogs {
    /// Opens all that there are. Opened, they run: `NOWAYOUT` is built in.
    pub(crate) fn open() -> Self {
        let mut watchdogs = Self::default();
        for number in 0..4 {
            let Ok(device) = File::options().write(true).open(format!("/dev/watchdog{number}")) else {
                continue;
            };
            if let Err(error) = crate::sys::ioctl::set_timeout(&device, TIMEOUT_SECONDS) {
                log::warn!("watchdog{number} keeps its own time-out: {error}");
            }
            watchdogs.caused_restart |=
                crate::sys::ioctl::boot_status(&device).is_ok_and(|status| status & CARD_RESET != 0);
            watchdogs.open.push((format!("watchdog{number}"), device));
        }
        watchdogs
    }

    /// Says that init goes on.
    pub(crate) fn feed(&mut self) {
        for (name, device) in &mut self.open {
            if let Err(error) = device.write_all(b"\n") {
                log::error!("cannot feed {name}: {error}");
            }
        }
    }

    /// Their names as the kernel's drivers give them. Needs /sys.
    pub(crate) fn names(&self) -> Vec<String> {
        let identity = |name: &String| {
            fs::read_to_string(Path::new("/sys/class/watchdog").join(name).join("identity"))
                .map_or_else(|_| name.clone(), |text| drawbridge_bus::logger::clean(&text))
        };
        self.open.iter().map(|(name, _)| identity(name)).collect()
    }
}
