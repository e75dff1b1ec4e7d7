//! What an appliance has kept on its data partition, looked at from outside when the machine is off. It never changes the disk.

use drawbridge_lab::vendor::beside;
use drawbridge_tests::data_partition;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(program).args(arguments).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// What the data partition of a disk has in these folders, after the kernel's journal was played back.
pub(crate) fn unpack(disk: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    let extent = data_partition(disk);
    let partition = to.join("data.ext4");
    let mut from = File::open(disk).unwrap();
    from.seek(SeekFrom::Start(extent.offset)).unwrap();
    std::io::copy(&mut from.take(extent.length), &mut File::create(&partition).unwrap()).unwrap();
    let file = partition.to_str().unwrap();
    // 1: what was wrong is mended, which is what a journal is for.
    let (status, said) = run("/usr/sbin/e2fsck", &["-fy", file]);
    assert!(matches!(status, Some(0 | 1)), "{said}");
    for folder in ["/session/audit", "/recorder"] {
        run("/usr/sbin/debugfs", &["-R", &format!("rdump {folder} {}", to.display()), file]);
    }
    std::fs::remove_file(partition).unwrap();
}

pub(crate) fn verify(folder: &Path, key: &str) -> (Option<i32>, String) {
    let program = beside("verify").expect("verify beside the tests: cargo build -p drawbridge-verify");
    run(program.to_str().unwrap(), &["--key", key, folder.to_str().unwrap()])
}

/// The numbers and names of the events in a log that was unpacked, as far as its chain goes.
pub(crate) fn events(folder: &Path) -> Vec<(u64, String)> {
    let mut segments: Vec<PathBuf> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect(),
        Err(_) => Vec::new(),
    };
    segments.sort();
    let mut all = Vec::new();
    for segment in segments {
        let text = std::fs::read_to_string(segment.join("events.jsonl")).unwrap_or_default();
        // What is torn at the end was not acknowledged, and is dropped when the log is opened.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let name = event["what"]["setting"].as_str().unwrap_or_default().to_owned();
            all.push((event["sequence"].as_u64().unwrap(), name));
        }
    }
    all
}

/// What the terminals of a recording were shown, one after the other.
pub(crate) fn terminals(recording: &Path) -> String {
    let files = std::fs::read_dir(recording).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "ttyrec"));
    files.map(|file| String::from_utf8_lossy(&played(&file)).into_owned()).collect()
}

/// What a terminal's file has, without the headers of its frames: seconds, microseconds and length, of 4 bytes each.
pub(crate) fn played(file: &Path) -> Vec<u8> {
    let (bytes, mut at, mut all) = (std::fs::read(file).unwrap(), 0, Vec::new());
    while let Some(length) = bytes.get(at + 8..at + 12) {
        let length = usize::try_from(u32::from_le_bytes(length.try_into().unwrap())).unwrap();
        all.extend_from_slice(&bytes[at + 12..at + 12 + length]);
        at += 12 + length;
    }
    all
}
