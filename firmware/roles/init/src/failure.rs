//! The end of init that must not be: a record that survives the restart, and the restart. And at the next boot: what the
//! last one left. It never goes on after a failure.

use nix::mount::{MntFlags, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Below `/data/init`: there while init runs, gone after an orderly end.
const RUNNING: &str = "running";
/// Below `/data/init`: what [`fatal`] wrote.
const RECORD: &str = "failure";
/// Below `/data/init`: the records of the past.
const RECORDS: &str = "failures";

/// So many records are kept; a machine that fails at every boot does not fill its disk.
const RECORDS_KEPT: usize = 8;
/// A record is no longer than this: a ramoops zone.
const RECORD_BYTES: u64 = 64 * 1024;
/// What of it others are shown: the beginning, where the reason is.
const SHOWN_BYTES: usize = 4000;

static FAILING: AtomicBool = AtomicBool::new(false);

/// Whether `/data` is in memory: what is written there does not survive.
static VOLATILE: AtomicBool = AtomicBool::new(true);

/// From now on, what is written to `/data` survives a restart.
pub(crate) fn data_survives() {
    VOLATILE.store(false, Ordering::Relaxed);
}

/// A panic in init is [`fatal`].
pub(crate) fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| fatal(&format!("init panicked: {panic}"))));
}

/// Ends init: writes the reason where it survives, and restarts the machine.
pub fn fatal(reason: &str) -> ! {
    if FAILING.swap(true, Ordering::SeqCst) {
        // A failure while failing: PID 1 dies, the kernel panics, keeps its own record, and restarts.
        crate::sys::abort()
    }
    let mut record =
        format!("Drawbridge {} failed {} ms after start.\n", crate::VERSION, crate::clock::since_boot());
    let _ = writeln!(record, "{reason}\nThe last lines of the log:\n{}", crate::logs::last_lines(60));
    if let Ok(mut kernel) = File::options().write(true).open("/dev/kmsg") {
        for line in reason.lines().take(8) {
            let _ = kernel.write_all(format!("<2>init: FATAL: {line}\n").as_bytes());
        }
    }
    // Memory that a restart may leave alone (ramoops), should the disk be what failed.
    if let Ok(mut memory) = File::options().write(true).open("/dev/pmsg0") {
        let _ = memory.write_all(record.as_bytes());
    }
    // Not replaced in one step as other files are: half a record is better than none.
    let written = File::create(crate::data::own_folder().join(RECORD))
        .and_then(|mut file| file.write_all(record.as_bytes()).and_then(|()| file.sync_all()));
    nix::unistd::sync();
    let kept = written.is_ok()
        && umount2(crate::data::DATA, MntFlags::MNT_DETACH).is_ok()
        && !VOLATILE.load(Ordering::Relaxed);
    if kept {
        let _ = reboot(RebootMode::RB_AUTOBOOT);
    }
    // There is no disk to keep the record: the kernel panics, keeps the end of its log in the firmware's variables, in
    // which the reason stands, and restarts.
    crate::sys::abort()
}

/// What the kernel kept over the restart (pstore): its own last words after a panic, and init's. Taken out, so that
/// there is room for the next.
pub(crate) fn take_kernel_records() -> Option<String> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir("/sys/fs/pstore").ok()?.flatten().map(|entry| entry.path()).take(32).collect();
    entries.sort();
    let mut text = String::new();
    for path in entries {
        let mut bytes = Vec::new();
        if File::open(&path).and_then(|file| file.take(RECORD_BYTES).read_to_end(&mut bytes)).is_ok() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let _ = writeln!(text, "--- {name}\n{}", String::from_utf8_lossy(&bytes).trim_end());
        }
        if let Err(error) = fs::remove_file(&path) {
            log::warn!("cannot remove {}: {error}", path.display());
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Keeps the records of the last run among those of the past, and gives what is to be shown of them. `kernel` is what
/// [`take_kernel_records`] found.
pub(crate) fn collect(folder: &Path, kernel: Option<String>, watchdog: bool) -> Option<String> {
    let running = folder.join(RUNNING);
    let disorderly = running.exists();
    let own = fs::read(folder.join(RECORD)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    // It is empty, so there is nothing to replace: one write to the journal, in which ext4 keeps the name too, and none
    // when it is still there.
    if !disorderly && let Err(error) = File::create(&running).and_then(|file| file.sync_all()) {
        log::warn!("cannot note that init runs: {error}");
    }
    let text = match (own, kernel) {
        (Some(own), kernel) => format!("{own}{}", kernel.unwrap_or_default()),
        (None, Some(kernel)) => kernel,
        (None, None) if watchdog => {
            "The watchdog restarted the machine: init or the kernel had hung, and could leave no record.".to_owned()
        }
        (None, None) if disorderly => {
            "The last run ended without order and left no record: the power was cut, or the machine was reset."
                .to_owned()
        }
        (None, None) => return None,
    };
    match keep(folder, &text) {
        Ok(()) => {
            // Only now: a power cut in between leaves it where it was.
            let _ = fs::remove_file(folder.join(RECORD));
        }
        Err(error) => log::warn!("cannot keep the record of the last failure: {error}"),
    }
    Some(shown(&text))
}

fn keep(folder: &Path, text: &str) -> std::io::Result<()> {
    let records = folder.join(RECORDS);
    fs::create_dir_all(&records)?;
    let number_of = |name: &std::ffi::OsStr| name.to_str()?.strip_suffix(".txt")?.parse::<u32>().ok();
    let mut numbers: Vec<u32> =
        fs::read_dir(&records)?.flatten().filter_map(|entry| number_of(&entry.file_name())).collect();
    numbers.sort_unstable();
    let next = numbers.last().map_or(1, |last| last.saturating_add(1));
    crate::data::write_whole(&records.join(format!("{next:06}.txt")), text.as_bytes())?;
    let surplus = (numbers.len() + 1).saturating_sub(RECORDS_KEPT);
    for number in numbers.iter().take(surplus) {
        fs::remove_file(records.join(format!("{number:06}.txt")))?;
    }
    Ok(())
}

/// The part that is shown: lines without control characters, the first ones and no more than fit.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let line = drawbridge_bus::logger::clean(line);
        if shown.len() + line.len() + 1 > SHOWN_BYTES {
            break;
        }
        shown.push_str(&line);
        shown.push('\n');
    }
    shown
}

/// Notes the orderly end.
pub(crate) fn ended_in_order(folder: &Path) {
    if let Err(error) = fs::remove_file(folder.join(RUNNING))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        log::warn!("cannot note the orderly end: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_bounded_and_can_do_nothing_to_a_terminal() {
        let text = shown(&"\x1b[31mline\n".repeat(10_000));
        assert!(text.len() <= SHOWN_BYTES && !text.contains('\x1b') && text.starts_with("·[31mline\n"));
    }

    #[test]
    fn the_oldest_record_goes_when_there_are_too_many() {
        let folder = std::env::temp_dir().join(format!("drawbridge-records-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for number in 0..12 {
            keep(&folder, &format!("{number}")).unwrap();
        }
        let mut names: Vec<_> =
            fs::read_dir(folder.join(RECORDS)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), RECORDS_KEPT);
        assert_eq!((names[0].to_str(), names[7].to_str()), (Some("000005.txt"), Some("000012.txt")));
        fs::remove_dir_all(&folder).unwrap();
    }
}
