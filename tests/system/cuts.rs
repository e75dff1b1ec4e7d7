//! The power fails at any write of the data disk: every event of the audit that was acknowledged is there once, the log and the
//! recordings are whole or can be made so, and all of it verifies.

use crate::events::happen;
use crate::kept::{events, unpack, verify};
use drawbridge_audit::event::{BootId, Clock, Stamp};
use drawbridge_audit::log::{Identity, Limits, Log};
use drawbridge_chain::{DeviceKey, Expected, Line, Text, Utc};
use drawbridge_lab::powercut::{Loss, WriteLog};
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant};
use std::path::Path;
use std::time::{Duration, SystemTime};

const SOON: Duration = Duration::from_mins(1);
/// Cuts that are looked at, where nothing else is said.
const CUTS: usize = 24;

#[test]
fn after_a_power_cut_at_any_write_every_acknowledged_event_is_there_once_and_recordings_are_closed_and_verify()
 {
    let lab = Lab::new("cuts");
    let image = Image::here();
    let log = lab.folder().join("writes.log");
    let mut bridge = Bridge::boot_with(&lab, &image, |mut plan| {
        plan.writes = Some(log.clone());
        plan
    });
    let length = || std::fs::metadata(&log).unwrap().len();
    let keys = bridge.keys();
    let (key, public) = (keys.evidence_fingerprint, DeviceKey::parse_ssh(&keys.evidence_key).unwrap());
    let mut acknowledged: Vec<(String, u64)> = Vec::new();
    let mut note = |bridge: &Bridge, name: String| {
        happen(&bridge.site, &name);
        acknowledged.push((name, length()));
    };
    let began = length();
    for number in 0..10 {
        note(&bridge, format!("before {number}"));
    }
    let secret = bridge.lower(grant(Vec::new()));
    let held = bridge.client("ssh", ["-tt", "sa"], &secret);
    held.wait_for("Support Appliance", within(SOON)).unwrap();
    for number in 0..10 {
        note(&bridge, format!("while he is in {number}"));
    }
    let (said, status) = bridge.ssh(["status"], &secret);
    assert_eq!(status, Some(0), "{said}");
    bridge.raise();
    let _ = held.wait(within(SOON));
    for number in 0..10 {
        note(&bridge, format!("after {number}"));
    }
    // The machine is gone without a word.
    let disk = bridge.site.disk.clone();
    bridge.site.machine.kill();
    let writes = WriteLog::open(&log).unwrap();
    let (first, all) = (writes.begun_by(began), writes.writes().len());
    assert!(all > first + 50, "{all} writes, {first} of them before anything was told");
    let cuts = std::env::var("DRAWBRIDGE_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(CUTS);
    let (cut, unpacked) = (lab.folder().join("cut.img"), lab.folder().join("cut"));
    let mut most = 0;
    for number in 0..cuts {
        // Evenly, and at none of the same places in two runs of different length.
        let count = first + (all - first) * (number + 1) / cuts;
        let loss = if number % 3 == 0 { Loss::Nothing } else { Loss::Random(u64::try_from(number).unwrap()) };
        writes.cut(&disk.with_extension("began.img"), &cut, count, loss).unwrap();
        unpack(&cut, &unpacked);
        let events = events(&unpacked.join("audit"));
        let numbers: Vec<u64> = events.iter().map(|(number, _)| *number).collect();
        let expected: Vec<u64> = (1..=u64::try_from(numbers.len()).unwrap()).collect();
        assert_eq!(numbers, expected, "after {count} of {all} writes, {loss:?}");
        most = most.max(numbers.len());
        for (name, length) in &acknowledged {
            let there = events.iter().filter(|(_, one)| one == name).count();
            if writes.begun_by(*length) <= count {
                assert_eq!(there, 1, "{name} was acknowledged; after {count} of {all} writes, {loss:?}");
            }
            assert!(there <= 1, "{name}; after {count} of {all} writes, {loss:?}");
        }
        audit(&unpacked.join("audit"), &keys.serial, public);
        recordings(&unpacked.join("recorder"), &key);
    }
    println!("figure: {cuts} cuts of {} writes, {most} events at the last", all - first);
    assert!(most >= 30, "{most}");
}

/// The log is opened as the appliance does it at its next start, and nothing in it is wrong.
fn audit(folder: &Path, serial: &str, key: DeviceKey) {
    if !folder.exists() {
        return;
    }
    let identity = Identity { serial: Text::of(serial), key };
    let now =
        Stamp { time: Utc::of(SystemTime::now()), clock: Clock::Hardware, boot: BootId(0), monotonic_ms: 0 };
    let opened =
        Log::open(folder, identity, Limits::default(), 0, now).unwrap_or_else(|error| panic!("{error}"));
    assert!(!opened.1.damaged);
    drop(opened);
    let checked = drawbridge_audit::log::verify(folder, &Expected::Key(key)).unwrap();
    assert_eq!(checked.faults, Vec::<String>::new());
}

/// Each recording is closed as the appliance does it at its next start, and nothing in it is wrong.
fn recordings(folder: &Path, key: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let reason = Text::of("cut: the power failed");
        match drawbridge_recording::close(&path, SystemTime::now(), reason) {
            Ok(_) => {}
            // It had not begun: that is told only when its chain's first line is on the disk, and nothing of it before.
            Err(error) if !has_begun(&path) => {
                eprintln!("{}: {error}", path.display());
                continue;
            }
            Err(error) => panic!("{}: {error}", path.display()),
        }
        let (status, said) = verify(&path, key);
        // Its end is signed at the next start; until then it is not proved to its end, and nothing is wrong with it.
        let is_sound = said.contains("WHOLE") || said.contains("NOT FINISHED");
        assert!(is_sound && !said.contains("BROKEN") && matches!(status, Some(0 | 1)), "{said}");
    }
}

/// Whether the first line of its chain is there.
fn has_begun(recording: &Path) -> bool {
    let chain = std::fs::read(recording.join("chain.jsonl")).unwrap_or_default();
    chain.split(|byte| *byte == b'\n').next().is_some_and(|line| Line::parse(line).is_ok())
}
