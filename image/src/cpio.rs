//! Writes cpio archives as the kernel unpacks them (`newc`); it reads nothing and knows nothing of what is inside.
//!
//! The format is that of `Documentation/driver-api/early-userspace/buffer-format.rst` in the kernel's source:
//! a header of `070701` and thirteen numbers of eight hexadecimal digits, the name with its NUL, the content,
//! each of the last two padded to four bytes, and an entry named `TRAILER!!!` at the end.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::source::SourceDate;

/// Bits of `st_mode` that say what an entry is.
const KIND_FILE: u32 = 0o100_000;
const KIND_FOLDER: u32 = 0o040_000;
const KIND_CHARACTER_DEVICE: u32 = 0o020_000;
/// Bits of `st_mode` that say who may do what.
const PERMISSIONS: u32 = 0o7777;

/// An archive in the making. Its bytes depend on its entries and its date alone, not on the order of the calls.
#[derive(Debug)]
pub struct Archive {
    date: SourceDate,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    mode: u32,
    device: (u32, u32),
    content: Vec<u8>,
}

impl Archive {
    /// An empty archive in which everything belongs to root and dates from `date`.
    pub fn new(date: SourceDate) -> Self {
        Self { date, entries: BTreeMap::new() }
    }

    /// Adds the folder `path`, without a leading slash.
    pub fn folder(&mut self, path: &str, permissions: u32) -> Result<()> {
        self.add(
            path,
            Entry { mode: KIND_FOLDER | (permissions & PERMISSIONS), device: (0, 0), content: Vec::new() },
        )
    }

    /// Adds the plain file `path`, without a leading slash.
    pub fn file(&mut self, path: &str, permissions: u32, content: Vec<u8>) -> Result<()> {
        self.add(path, Entry { mode: KIND_FILE | (permissions & PERMISSIONS), device: (0, 0), content })
    }

    /// Adds the character device `major`:`minor` at `path`, without a leading slash.
    pub fn character_device(&mut self, path: &str, permissions: u32, major: u32, minor: u32) -> Result<()> {
        let mode = KIND_CHARACTER_DEVICE | (permissions & PERMISSIONS);
        self.add(path, Entry { mode, device: (major, minor), content: Vec::new() })
    }

    /// The archive's bytes. Folders come before what is in them, as the kernel needs it.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        // Sorted by path, so a folder, whose path is a prefix, precedes what it holds.
        for (inode, (path, entry)) in (1..).zip(&self.entries) {
            put(&mut out, inode, self.date.seconds(), path, entry)?;
        }
        let end = Entry { mode: 0, device: (0, 0), content: Vec::new() };
        put(&mut out, 0, 0, "TRAILER!!!", &end)?;
        Ok(out)
    }

    fn add(&mut self, path: &str, entry: Entry) -> Result<()> {
        let refuse = |wrong: &str| Err(Error::malformed(format!("the archive's path {path:?}"), &wrong));
        if path.is_empty()
            || path.contains('\0')
            || path.split('/').any(|part| matches!(part, "" | "." | ".."))
        {
            return refuse("it must be relative and without empty or dotted parts");
        }
        if let Some((folder, _)) = path.rsplit_once('/')
            && self.entries.get(folder).is_none_or(|above| above.mode & KIND_FOLDER == 0)
        {
            return refuse("the folder that it is in was not added before it");
        }
        match self.entries.insert(path.to_owned(), entry) {
            None => Ok(()),
            Some(_) => refuse("it was added twice"),
        }
    }
}

fn put(out: &mut Vec<u8>, inode: u32, date: u32, path: &str, entry: &Entry) -> Result<()> {
    let narrow = |length: usize| {
        u32::try_from(length).map_err(|_| Error::OutOfRange {
            what: "a file of the initramfs",
            given: format!("{length} bytes"),
            rule: "cpio holds at most 4 GiB in one file".to_owned(),
        })
    };
    let links = if entry.mode & KIND_FOLDER == KIND_FOLDER { 2 } else { 1 };
    let (major, minor) = entry.device;
    let size = narrow(entry.content.len())?;
    let name_size = narrow(path.len() + 1)?;
    out.extend_from_slice(b"070701");
    // Inode, mode, owner, group, links, date, size, the device it lies on, the device it is, name, checksum (unused).
    for field in [inode, entry.mode, 0, 0, links, date, size, 0, 0, major, minor, name_size, 0] {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(&entry.content);
    pad(out);
    Ok(())
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn date() -> SourceDate {
        SourceDate::new(1_767_225_600).unwrap()
    }

    /// What GNU cpio lists of the archive.
    fn listed(archive: &Archive) -> String {
        let mut cpio = Command::new("cpio")
            .args(["--list", "--verbose", "--numeric-uid-gid", "--quiet"])
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test reads the archive with GNU cpio: apt-get install cpio");
        cpio.stdin.take().unwrap().write_all(&archive.bytes().unwrap()).unwrap();
        let output = cpio.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn gnu_cpio_reads_what_is_written() {
        let mut archive = Archive::new(date());
        archive.folder("dev", 0o755).unwrap();
        archive.character_device("dev/console", 0o600, 5, 1).unwrap();
        archive.file("init", 0o755, b"12345".to_vec()).unwrap();
        let lines: Vec<Vec<String>> = listed(&archive)
            .lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
        assert_eq!(lines[0][..4], ["drwxr-xr-x", "2", "0", "0"]);
        assert_eq!(lines[1].join(" "), "crw------- 1 0 0 5, 1 Jan 1 2026 dev/console");
        assert_eq!(lines[2].join(" "), "-rwxr-xr-x 1 0 0 5 Jan 1 2026 init");
    }

    #[test]
    fn the_order_of_the_calls_does_not_show() {
        let mut one = Archive::new(date());
        one.folder("a", 0o755).unwrap();
        one.folder("b", 0o755).unwrap();
        let mut other = Archive::new(date());
        other.folder("b", 0o755).unwrap();
        other.folder("a", 0o755).unwrap();
        assert_eq!(one.bytes().unwrap(), other.bytes().unwrap());
    }

    #[test]
    fn a_path_that_the_kernel_could_not_unpack_is_refused() {
        let mut archive = Archive::new(date());
        for path in ["", "/init", "a//b", "../init", "not-there/file"] {
            assert!(archive.file(path, 0o644, Vec::new()).is_err(), "{path}");
        }
        archive.file("init", 0o755, Vec::new()).unwrap();
        assert!(archive.file("init", 0o755, Vec::new()).is_err());
        assert!(archive.file("init/child", 0o755, Vec::new()).is_err());
    }
}
