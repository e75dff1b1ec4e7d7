//! Makes the disk image: partition table, two system partitions and the data partition; it never touches a real disk.
//!
//! ```text
//! 0            1 MiB            49 MiB           97 MiB                              end - 1 MiB
//! | MBR, GPT   | drawbridge-a   | drawbridge-b   | drawbridge-data            ...   | GPT again |
//! |            | FAT32, system  | FAT32, empty   | ext4, empty                      |           |
//! ```
//!
//! Every identifier is a constant of the project: two images of the same system are the same bytes. They are drawn at random
//! once and mean nothing.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{EFI, OperatingSystem, Type};
use uuid::{Uuid, uuid};

use crate::error::{Error, Result};
use crate::ext4::{self, Identity};
use crate::fat::{self, Volume};
use crate::files;
use crate::source::SourceDate;

/// A mebibyte, in bytes.
pub const MIB: u64 = 1 << 20;

/// The type of the data partition: the project's own, so that no other system takes the partition for one of its own. The
/// appliance itself finds its data by the name [`DATA`].
pub const DATA_TYPE: Uuid = uuid!("d43fc3e6-9f6a-4afc-a639-3bd167420ce6");
/// The name of the first system partition, where a new disk has its system.
pub const SYSTEM_A: &str = "drawbridge-a";
/// The name of the second system partition, which an upgrade fills.
pub const SYSTEM_B: &str = "drawbridge-b";
/// The name of the data partition.
pub const DATA: &str = "drawbridge-data";

/// Each system partition's size in bytes. FAT32, which UEFI asks of a fixed disk's system partition, begins at 65,525
/// clusters, 33 MiB with the smallest clusters; 48 MiB is that with room for a system of three times the 16 MiB that is its goal.
pub const SYSTEM_BYTES: u64 = 48 * MIB;
/// The disk's size unless another is asked for, in bytes.
pub const DEFAULT_BYTES: u64 = 512 * MIB;
/// The least data partition, in bytes: room for the journal and for settings, keys and a short log.
const LEAST_DATA_BYTES: u64 = 32 * MIB;
/// The least disk, in bytes.
pub const LEAST_BYTES: u64 = 2 * ALIGNMENT + 2 * SYSTEM_BYTES + LEAST_DATA_BYTES;
/// The largest disk that is made, in bytes: beyond it ext4's group descriptors take time and space that a builder would not
/// expect of an image file. A larger real disk can be had by growing the data partition.
pub const MOST_BYTES: u64 = 1 << 40;

/// Partitions begin at multiples of this, in bytes, which suits the erase blocks of flash. The first and the last are left
/// for the partition table and its copy (34 and 33 sectors).
const ALIGNMENT: u64 = MIB;
const SECTOR: u64 = 512;

const DISK_GUID: Uuid = uuid!("92f8c360-69f0-4bde-932d-5a85d7dcfa79");
const SYSTEM_A_GUID: Uuid = uuid!("a84aba1c-b1bc-49b9-b490-54bed5e39d38");
const SYSTEM_B_GUID: Uuid = uuid!("3c473265-aa56-4183-ae82-b734d6c725ef");
const DATA_GUID: Uuid = uuid!("ea5e8426-8502-4f81-8808-86a4c8eb7558");
const DATA_FILE_SYSTEM: Uuid = uuid!("066ffc22-3948-42bb-a04b-78c630361d34");
const DATA_HASH_SEED: Uuid = uuid!("cc508bab-bcc2-4638-9a49-cfbaf83650c2");

const VOLUME_A: Volume = Volume { bytes: 48 << 20, serial: 0xD2AB_000A, label: *b"DRAWBRDGE A" };
const VOLUME_B: Volume = Volume { bytes: 48 << 20, serial: 0xD2AB_000B, label: *b"DRAWBRDGE B" };
const _: () = assert!(VOLUME_A.bytes as u64 == SYSTEM_BYTES && VOLUME_B.bytes as u64 == SYSTEM_BYTES);

/// A disk's size in bytes, a multiple of 1 MiB from [`LEAST_BYTES`] to [`MOST_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSize(u64);

impl Default for DiskSize {
    fn default() -> Self {
        Self(DEFAULT_BYTES)
    }
}

impl DiskSize {
    /// A disk of `bytes` bytes.
    pub fn new(bytes: u64) -> Result<Self> {
        if (LEAST_BYTES..=MOST_BYTES).contains(&bytes) && bytes.is_multiple_of(MIB) {
            return Ok(Self(bytes));
        }
        Err(Error::OutOfRange {
            what: "the disk's size",
            given: format!("{bytes} bytes"),
            rule: format!(
                "it must be a whole number of MiB from {} to {} (for example --size 512M)",
                LEAST_BYTES / MIB,
                MOST_BYTES / MIB
            ),
        })
    }

    /// From a number of bytes, or one with the unit K, M, G or T (powers of 1024), as in `512M`.
    pub fn parse(text: &str) -> Result<Self> {
        let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
            Some(b'K') => (&text[..text.len() - 1], 10),
            Some(b'M') => (&text[..text.len() - 1], 20),
            Some(b'G') => (&text[..text.len() - 1], 30),
            Some(b'T') => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        let number: u64 =
            digits.parse().map_err(|wrong| Error::malformed(format!("the disk's size {text}"), &wrong))?;
        Self::new(number.saturating_mul(1 << shift))
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Where the data partition begins, in bytes from the disk's start.
    fn data_start() -> u64 {
        ALIGNMENT + 2 * SYSTEM_BYTES
    }

    fn data_bytes(self) -> u64 {
        self.0 - ALIGNMENT - Self::data_start()
    }
}

/// Writes a disk image with `system` on its first system partition to `path`. The file is sparse; the same system, size, date
/// and `mke2fs` always give the same bytes.
pub fn write(path: &Path, system: &[u8], size: DiskSize, date: SourceDate) -> Result<()> {
    // The rest is for FAT's two tables (388 KiB each) and for what firmware keeps beside the system.
    let most = SYSTEM_BYTES - 4 * MIB;
    if system.len() as u64 > most {
        return Err(Error::OutOfRange {
            what: "the system file",
            given: format!("{} bytes", system.len()),
            rule: format!("a system partition holds at most {most}"),
        });
    }
    let partial = files::partial_name(path);
    let written = fill(&partial, system, size, date)
        .and_then(|()| fs::rename(&partial, path).map_err(Error::write(path)));
    if written.is_err() {
        // Best effort: the error that matters is the one already at hand.
        let _ = fs::remove_file(&partial);
    }
    written
}

fn fill(path: &Path, system: &[u8], size: DiskSize, date: SourceDate) -> Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(Error::write(path))?;
    file.set_len(size.bytes()).map_err(Error::write(path))?;
    write_table(&mut file, size).map_err(|wrong| {
        Error::malformed("the disk image", &format!("its partition table could not be made: {wrong}"))
    })?;
    let system_a = fat::build(VOLUME_A, Some(system), date)?;
    let system_b = fat::build(VOLUME_B, None, date)?;
    put_sparse(&mut file, ALIGNMENT, &system_a).map_err(Error::write(path))?;
    put_sparse(&mut file, ALIGNMENT + SYSTEM_BYTES, &system_b).map_err(Error::write(path))?;
    drop(file);
    let identity = Identity { uuid: DATA_FILE_SYSTEM, hash_seed: DATA_HASH_SEED, label: DATA };
    ext4::format(path, DiskSize::data_start(), size.data_bytes(), identity, date)?;
    let file = File::open(path).map_err(Error::read(path))?;
    file.sync_all().map_err(Error::write(path))
}

fn write_table(file: &mut File, size: DiskSize) -> std::result::Result<(), gpt::GptError> {
    let sectors = size.bytes() / SECTOR;
    // The protective entry covers the disk, or as much of it as 32 bits can say (UEFI 2.10, section 5.2.3).
    let mbr = ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap_or(u32::MAX));
    mbr.overwrite_lba0(file).map_err(|wrong| gpt::GptError::Io(std::io::Error::other(wrong.to_string())))?;
    let mut disk = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(file, Some(DISK_GUID))?;
    let data_type = Type { guid: DATA_TYPE, os: OperatingSystem::Custom("Drawbridge".to_owned()) };
    let parts = [
        partition(SYSTEM_A, EFI, SYSTEM_A_GUID, ALIGNMENT, SYSTEM_BYTES),
        partition(SYSTEM_B, EFI, SYSTEM_B_GUID, ALIGNMENT + SYSTEM_BYTES, SYSTEM_BYTES),
        partition(DATA, data_type, DATA_GUID, DiskSize::data_start(), size.data_bytes()),
    ];
    disk.update_partitions((1..).zip(parts).collect::<BTreeMap<_, _>>())?;
    disk.write().map(drop)
}

fn partition(name: &str, kind: Type, guid: Uuid, start: u64, bytes: u64) -> Partition {
    Partition {
        part_type_guid: kind,
        part_guid: guid,
        first_lba: start / SECTOR,
        last_lba: (start + bytes) / SECTOR - 1,
        flags: 0,
        name: name.to_owned(),
    }
}

/// Writes `content` at `offset` of a file that is zero there, leaving out the pieces that are zero.
fn put_sparse(file: &mut File, offset: u64, content: &[u8]) -> std::io::Result<()> {
    const PIECE: usize = 1 << 16;
    for (position, piece) in (offset..).step_by(PIECE).zip(content.chunks(PIECE)) {
        if piece.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(position))?;
            file.write_all(piece)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_understood_with_and_without_its_unit() {
        assert_eq!(DiskSize::parse("512M").unwrap(), DiskSize::default());
        assert_eq!(DiskSize::parse("1g").unwrap().bytes(), 1 << 30);
        assert_eq!(DiskSize::parse("1073741824").unwrap().bytes(), 1 << 30);
    }

    #[test]
    fn a_size_that_cannot_hold_the_partitions_is_refused() {
        for wrong in
            ["", "M", "129M", "1T1", "2T", "99999999999999999999", "18446744073709551615T", "536870913"]
        {
            assert!(DiskSize::parse(wrong).is_err(), "{wrong}");
        }
        assert!(DiskSize::new(LEAST_BYTES).is_ok() && DiskSize::new(MOST_BYTES).is_ok());
    }
}
