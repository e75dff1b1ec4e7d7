//! The console alone, with an init and a network role that say the same thing always: for the benchmarks, which measure
//! its process. It says where it is, and ends by itself
//! after an hour.

#![expect(clippy::unwrap_used, reason = "a stage that cannot be set is no measurement")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Duration;

/// Whoever measures has ended it long before.
const LASTS: Duration = Duration::from_hours(1);

fn main() {
    // The role is a process of its own, started from this same program.
    common::be_the_role();
    let console = common::Console::start("alone", None);
    println!("{} {} {}", console.id(), console.port, console.folder.join("data").display());
    std::thread::sleep(LASTS);
}
