//! PID 1: mounts, clock, seed, data, supervision, shutdown. It has no network code, and nothing that comes from outside
//! can make it fail.
//!
//! It is one thread and one event loop. Every error on its path is either handled, so that the appliance comes up with
//! less and says so, or it is [`fatal`]: a record that survives, then a restart.

mod boot;
mod bridge;
mod bus;
mod buttons;
mod clock;
mod data;
mod devices;
mod events;
mod failure;
mod groups;
pub mod kmsg;
#[cfg(feature = "lab")]
pub mod lab;
mod ledger;
mod loglines;
mod logs;
mod memory;
mod mounts;
mod news;
mod roles;
mod screen;
mod seed;
mod shutdown;
mod supervision;
pub mod symptom;
mod sys;
pub mod table;
mod watchdog;

pub use clock::{parse_saved as parse_saved_time, verdict as clock_verdict};
pub use devices::{parse_keys, parse_uevent};
pub use failure::fatal;
pub use loglines::Lines;
pub use memory::parse as parse_memory;

/// The version of the system, from the build.
pub const VERSION: &str = match option_env!("DRAWBRIDGE_VERSION") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), "-dev"),
};

/// Runs as PID 1. Never returns.
pub fn run() -> ! {
    failure::catch_panics();
    let booted = boot::boot();
    events::run(booted)
}
