//! The log: a bounded ring of lines in memory, and each line to the kernel's log, from where it reaches serial line and
//! screen. It never writes to a disk.

use crate::symptom::{self, Symptom};
use drawbridge_bus::logger::clean;
use drawbridge_bus::message::{LOG_LINES_A_REPLY, LogLine};
use drawbridge_bus::{Level, Role};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::Mutex;

/// The most that the ring keeps, in bytes of text: some thousand lines.
const RING_BYTES: usize = 256 * 1024;

/// What a line costs beside its text.
const LINE_COST: usize = 64;

struct Log {
    ring: VecDeque<LogLine>,
    bytes: usize,
    next: u64,
    kernel: Option<File>,
}

// Init has one thread; the lock is for the `log` crate's facade, which asks for a shared one.
static LOG: Mutex<Log> = Mutex::new(Log { ring: VecDeque::new(), bytes: 0, next: 1, kernel: None });

struct Facade;

impl log::Log for Facade {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        line(Role::Init.name(), Level::from(record.level()), &record.args().to_string());
    }

    fn flush(&self) {}
}

/// Opens the kernel's log for writing, and takes init's own lines from now on. Lines before are in the ring only.
pub(crate) fn start() {
    static FACADE: Facade = Facade;
    if log::set_logger(&FACADE).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    let kernel = File::options().write(true).open("/dev/kmsg");
    if let Ok(mut log) = LOG.lock() {
        log.kernel = kernel.ok();
    }
}

/// Takes a line of a process.
pub(crate) fn line(source: &str, level: Level, text: &str) {
    let text = clean(text);
    let Ok(mut log) = LOG.lock() else { return };
    if let Some(kernel) = &mut log.kernel {
        // The kernel's log is the way to serial line and screen; without it the ring still has the line.
        let _ = kernel.write_all(format!("<{}>{source}: {text}\n", level.severity()).as_bytes());
    }
    push(&mut log, source, level, crate::clock::since_boot(), text);
}

/// Shows a line on serial line and screen, and keeps it nowhere that another role could read.
pub(crate) fn show(text: &str) {
    let text = clean(text);
    if let Ok(mut log) = LOG.lock()
        && let Some(kernel) = &mut log.kernel
    {
        // Facility "user", as all that processes write: the ring takes the kernel's own only.
        let _ = kernel
            .write_all(format!("<{}>{}: {text}\n", Level::Info.severity(), Role::Init.name()).as_bytes());
    }
}

/// Takes the kernel's own records that have come since the last call, and gives what they say of the machine's health, each with its
/// text. The kernel's log is opened non-blocking.
pub(crate) fn read_kernel(kernel: &mut File) -> Vec<(Symptom, String)> {
    let mut buffer = [0; 4096];
    let mut found = Vec::new();
    // At most this many at a time: a kernel that floods its log does not keep init from its other work.
    for _ in 0..256 {
        match kernel.read(&mut buffer) {
            Ok(length) => {
                let Some(record) = crate::kmsg::parse(&buffer[..length]) else { continue };
                // What has another facility was written by a process, most of it by `line` above.
                if record.facility != 0 {
                    continue;
                }
                found.extend(symptom::classify(&record.text).map(|symptom| (symptom, record.text.clone())));
                if let Ok(mut log) = LOG.lock() {
                    push(&mut log, "kernel", record.level, record.microseconds / 1000, record.text);
                }
            }
            // The oldest records were overwritten before they were read: go on with what is there.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    found
}

fn push(log: &mut Log, source: &str, level: Level, milliseconds: u64, text: String) {
    log.bytes += LINE_COST + text.len();
    let number = log.next;
    log.next += 1;
    log.ring.push_back(LogLine { number, milliseconds, source: source.to_owned(), level, text });
    while log.bytes > RING_BYTES
        && let Some(oldest) = log.ring.pop_front()
    {
        log.bytes -= LINE_COST + oldest.text.len();
    }
}

/// The lines after a number, oldest first, at most as many as one reply carries.
pub(crate) fn after(number: u64, most: u16) -> Vec<LogLine> {
    let most = usize::from(most.min(LOG_LINES_A_REPLY));
    LOG.lock().map_or_else(
        |_| Vec::new(),
        |log| log.ring.iter().filter(|line| line.number > number).take(most).cloned().collect(),
    )
}

/// The newest lines as text, for the record of a failure. It takes no lock that may be held.
pub(crate) fn last_lines(most: usize) -> String {
    let Ok(log) = LOG.try_lock() else { return String::new() };
    let skipped = log.ring.len().saturating_sub(most);
    let mut text = String::new();
    for line in log.ring.iter().skip(skipped) {
        let _ = writeln!(text, "[{:>9}] {}: {}", line.milliseconds, line.source, line.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_and_stays_in_its_bound() {
        let mut log = Log { ring: VecDeque::new(), bytes: 0, next: 1, kernel: None };
        for _ in 0..5000 {
            push(&mut log, "x", Level::Info, 0, "y".repeat(200));
        }
        assert!(log.bytes <= RING_BYTES && log.ring.len() > 500);
        assert_eq!(log.ring.back().map(|line| line.number), Some(5000));
        let counted: usize = log.ring.iter().map(|line| LINE_COST + line.text.len()).sum();
        assert_eq!(counted, log.bytes);
    }
}
