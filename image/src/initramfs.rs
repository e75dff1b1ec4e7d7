//! Makes the appliance's root file system: one binary, the vendor's profile, and the empty folders it mounts on; nothing else ever
//! gets in.

use crate::cpio::Archive;
use crate::error::{Error, Result};
use crate::source::SourceDate;
use zstd::zstd_safe::CParameter;

/// Folders that init mounts on, and the devices' folder.
const FOLDERS: [&str; 6] = ["data", "dev", "proc", "run", "sys", "tmp"];

/// The device that becomes init's standard input, output and error: the kernel opens it before anything is mounted
/// (5:1 in the kernel's `Documentation/admin-guide/devices.txt`).
const CONSOLE: (u32, u32) = (5, 1);
/// The null device (1:3), so that the Rust runtime finds one where standard input, output or error is closed.
const NULL: (u32, u32) = (1, 3);

/// How hard the archive is pressed.
const LEVEL: i32 = 19;

/// The kernel keeps a window of so many bytes (a power of two) while it unpacks, beside both archives: that is when it needs the most
/// memory of all. Level 19 has four times as much (23), for an archive that is a fortieth smaller.
const WINDOW: u32 = 21;

/// What repeats for fewer bytes than this is not pointed at but written out. The archive becomes a tenth larger by that, and
/// the kernel unpacks it with a fifth fewer instructions (66 million for 82).
const SHORTEST_MATCH: u32 = 6;

/// The initramfs with `init` as its only program, and the vendor's profile where there is one, as the kernel takes it: a cpio archive,
/// compressed with zstd, with a checksum.
pub fn build(init: &[u8], profile: Option<&[u8]>, date: SourceDate) -> Result<Vec<u8>> {
    compress(&archive(init, profile, date)?.bytes()?)
}

/// What is in the initramfs.
pub fn archive(init: &[u8], profile: Option<&[u8]>, date: SourceDate) -> Result<Archive> {
    let mut archive = Archive::new(date);
    for folder in FOLDERS {
        archive.folder(folder, 0o755)?;
    }
    archive.character_device("dev/console", 0o600, CONSOLE.0, CONSOLE.1)?;
    archive.character_device("dev/null", 0o666, NULL.0, NULL.1)?;
    archive.file("init", 0o755, init.to_vec())?;
    if let Some(profile) = profile {
        archive.file(drawbridge_profile::FILE.trim_start_matches('/'), 0o644, profile.to_vec())?;
    }
    Ok(archive)
}

fn compress(archive: &[u8]) -> Result<Vec<u8>> {
    let compressed = || {
        let mut encoder = zstd::bulk::Compressor::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
        encoder.set_parameter(CParameter::MinMatch(SHORTEST_MATCH))?;
        encoder.include_checksum(true)?;
        encoder.include_contentsize(true)?;
        encoder.compress(archive)
    };
    compressed()
        .map_err(|wrong| Error::malformed("the initramfs", &format!("zstd could not compress it: {wrong}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initramfs_has_a_checksum_and_its_length() {
        let date = SourceDate::new(1_767_225_600).unwrap();
        let plain = archive(b"init", None, date).unwrap().bytes().unwrap();
        let packed = build(b"init", None, date).unwrap();
        assert_eq!(packed[..4], 0xFD2F_B528_u32.to_le_bytes(), "zstd's magic number, RFC 8878 section 3.1.1");
        assert_ne!(packed[4] & 0b100, 0, "the frame says that a checksum follows");
        assert_eq!(zstd::bulk::decompress(&packed, 1 << 20).unwrap(), plain);
    }

    #[test]
    fn there_is_one_program_and_nothing_setuid() {
        let date = SourceDate::new(1_767_225_600).unwrap();
        let listed = format!("{:?}", archive(b"", Some(b"{}"), date).unwrap());
        assert_eq!(listed.matches("mode: ").count(), FOLDERS.len() + 4);
        assert!(listed.contains("profile.json"), "{listed}");
    }
}
