//! Makes a FAT32 volume that UEFI firmware starts a system from; it never reads or changes an existing one.
//!
//! `fatfs` lays the empty volume out. The two folders and the one file are put in here, because `fatfs` 0.3 gives `.` and `..`
//! long names, which `fsck.fat` takes for damage. Being put into an empty volume, the file is one run of clusters.
//!
//! The layout is that of Microsoft's "FAT: General Overview of On-Disk Format" 1.03, which the UEFI specification
//! (2.10, section 13.3) refers to.

use std::io::Cursor;

use fatfs::{FatType, FormatVolumeOptions};

use crate::error::{Error, Result};
use crate::source::SourceDate;

/// The file that UEFI firmware starts from a disk without being told more: the removable-media path of x86-64
/// (UEFI specification 2.10, section 3.5.1.1). An entry in the firmware's boot list names the same file, so one copy
/// serves both, and a board that lost its list still starts.
pub const BOOT_PATH: &str = "EFI/BOOT/BOOTX64.EFI";

/// The parts of [`BOOT_PATH`] as a folder holds them: eight and three characters, padded with spaces.
const TOP: [u8; 11] = *b"EFI        ";
const FOLDER: [u8; 11] = *b"BOOT       ";
const FILE: [u8; 11] = *b"BOOTX64 EFI";
const SELF: [u8; 11] = *b".          ";
const PARENT: [u8; 11] = *b"..         ";

/// A sector's and a cluster's size, in bytes. A cluster is the smallest there is, because FAT32 is told by having 65,525
/// clusters or more, and 48 MiB has to have them.
const SECTOR: usize = 512;
const CLUSTER: usize = SECTOR;

/// The clusters of the root folder, which `fatfs` chose, and of what is put in.
const ROOT_CLUSTER: u32 = 2;
const TOP_CLUSTER: u32 = 3;
const FOLDER_CLUSTER: u32 = 4;
const FILE_CLUSTER: u32 = 5;

/// Says in the table that a cluster is its file's last.
const END_OF_CHAIN: u32 = 0x0FFF_FFFF;

/// Attributes of an entry in a folder.
const IS_FOLDER: u8 = 0x10;
const IS_FILE: u8 = 0x20;
/// An entry's size in bytes.
const ENTRY: usize = 32;

/// What a volume is known by.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    /// Its size in bytes, a multiple of 512.
    pub bytes: u32,
    /// Its serial number.
    pub serial: u32,
    /// Its label, padded with spaces.
    pub label: [u8; 11],
}

/// A FAT32 volume, with `system` at [`BOOT_PATH`] if it is given. Its files date from `date`.
pub fn build(volume: Volume, system: Option<&[u8]>, date: SourceDate) -> Result<Vec<u8>> {
    let mut bytes = vec![0; volume.bytes as usize];
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(u32::try_from(CLUSTER).unwrap_or(u32::MAX))
        .volume_id(volume.serial)
        .volume_label(volume.label);
    fatfs::format_volume(Cursor::new(bytes.as_mut_slice()), options).map_err(|wrong| refuse(&wrong))?;
    let layout = Layout::read(&bytes)?;
    let used = match system {
        Some(system) => put_system(&mut bytes, &layout, system, date)?,
        None => ROOT_CLUSTER,
    };
    put_summary(&mut bytes, &layout, used);
    Ok(bytes)
}

/// Where the parts of a volume lie, in bytes from its start.
struct Layout {
    summary: usize,
    tables: Vec<usize>,
    clusters: usize,
    cluster_count: u32,
}

impl Layout {
    /// From the boot sector that `fatfs` has just written; the numbers are the fields' offsets.
    fn read(bytes: &[u8]) -> Result<Self> {
        let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let long = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let table_bytes = long(36) as usize * SECTOR;
        let reserved = short(14) * SECTOR;
        let table_count = usize::from(bytes[16]);
        if short(11) != SECTOR || usize::from(bytes[13]) * SECTOR != CLUSTER || long(44) != ROOT_CLUSTER {
            return Err(refuse(&"its layout is not the one that was asked for"));
        }
        let clusters = reserved + table_count * table_bytes;
        let cluster_count = bytes.len().saturating_sub(clusters) / CLUSTER;
        Ok(Self {
            summary: short(48) * SECTOR,
            tables: (0..table_count).map(|index| reserved + index * table_bytes).collect(),
            clusters,
            cluster_count: u32::try_from(cluster_count).map_err(|wrong| refuse(&wrong))?,
        })
    }

    /// Where a cluster begins; the first is number 2.
    fn cluster(&self, number: u32) -> usize {
        self.clusters + (number - ROOT_CLUSTER) as usize * CLUSTER
    }
}

/// Puts the folders and the file in, and returns the last cluster that is used.
fn put_system(bytes: &mut [u8], layout: &Layout, system: &[u8], date: SourceDate) -> Result<u32> {
    let size = u32::try_from(system.len()).map_err(|wrong| refuse(&wrong))?;
    let clusters = u32::try_from(system.len().div_ceil(CLUSTER)).map_err(|wrong| refuse(&wrong))?;
    let last = FILE_CLUSTER + clusters - 1;
    if clusters == 0 || clusters > layout.cluster_count - (FILE_CLUSTER - ROOT_CLUSTER) {
        return Err(refuse(&format!("a system of {size} bytes has no place in it")));
    }
    for table in &layout.tables {
        let mut chain =
            |cluster: u32, next: u32| put(bytes, table + cluster as usize * 4, &next.to_le_bytes());
        chain(TOP_CLUSTER, END_OF_CHAIN);
        chain(FOLDER_CLUSTER, END_OF_CHAIN);
        (FILE_CLUSTER..last).for_each(|cluster| chain(cluster, cluster + 1));
        chain(last, END_OF_CHAIN);
    }
    let entry = |name, attributes, cluster, size| entry(name, attributes, cluster, size, date);
    // The volume's label is the root folder's first entry. A folder in the root says that its parent is cluster 0.
    put(bytes, layout.cluster(ROOT_CLUSTER) + ENTRY, &entry(TOP, IS_FOLDER, TOP_CLUSTER, 0));
    let top = [
        entry(SELF, IS_FOLDER, TOP_CLUSTER, 0),
        entry(PARENT, IS_FOLDER, 0, 0),
        entry(FOLDER, IS_FOLDER, FOLDER_CLUSTER, 0),
    ];
    put(bytes, layout.cluster(TOP_CLUSTER), &top.concat());
    let folder = [
        entry(SELF, IS_FOLDER, FOLDER_CLUSTER, 0),
        entry(PARENT, IS_FOLDER, TOP_CLUSTER, 0),
        entry(FILE, IS_FILE, FILE_CLUSTER, size),
    ];
    put(bytes, layout.cluster(FOLDER_CLUSTER), &folder.concat());
    put(bytes, layout.cluster(FILE_CLUSTER), system);
    Ok(last)
}

/// Writes into the `FSInfo` sector how many clusters are free and where to look for one.
fn put_summary(bytes: &mut [u8], layout: &Layout, last_used: u32) {
    let used = last_used - ROOT_CLUSTER + 1;
    put(bytes, layout.summary + 488, &(layout.cluster_count - used).to_le_bytes());
    put(bytes, layout.summary + 492, &(last_used + 1).to_le_bytes());
}

/// An entry of a folder, with `date` as the time of its making, its last writing and its last reading.
fn entry(name: [u8; 11], attributes: u8, cluster: u32, size: u32, date: SourceDate) -> [u8; ENTRY] {
    let (day, time) = date.dos();
    let [low, high] = [cluster & 0xFFFF, cluster >> 16].map(u32::to_le_bytes);
    let mut entry = [0; ENTRY];
    put(&mut entry, 0, &name);
    entry[11] = attributes;
    put(&mut entry, 14, &time.to_le_bytes());
    put(&mut entry, 16, &day.to_le_bytes());
    put(&mut entry, 18, &day.to_le_bytes());
    put(&mut entry, 20, &high[..2]);
    put(&mut entry, 22, &time.to_le_bytes());
    put(&mut entry, 24, &day.to_le_bytes());
    put(&mut entry, 26, &low[..2]);
    put(&mut entry, 28, &size.to_le_bytes());
    entry
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn refuse(wrong: &dyn std::fmt::Display) -> Error {
    Error::malformed("the system partition's file system", wrong)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::Path;
    use std::process::Command;

    use fatfs::{FileSystem, FsOptions};

    use super::*;

    const VOLUME: Volume = Volume { bytes: 48 << 20, serial: 1, label: *b"TEST       " };

    fn date() -> SourceDate {
        SourceDate::new(1_767_225_601).unwrap()
    }

    /// What `fsck.fat` says of a volume without changing it.
    fn check(volume: &[u8], folder: &Path) -> (bool, String) {
        let path = folder.join("volume");
        std::fs::write(&path, volume).unwrap();
        let output = Command::new("fsck.fat")
            .env("PATH", crate::command::path_with_sbin())
            .arg("-n")
            .arg(&path)
            .output()
            .expect("the test checks the volume with fsck.fat: apt-get install dosfstools");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn a_volume_has_nothing_that_fsck_would_mend() {
        let folder = tempfile::tempdir().unwrap();
        for system in [None, Some(vec![7_u8; 1]), Some(vec![7_u8; 1 << 20])] {
            let volume = build(VOLUME, system.as_deref(), date()).unwrap();
            let (clean, said) = check(&volume, folder.path());
            // Its version, and the count of files and clusters: a third line would be a complaint.
            assert!(clean && said.lines().count() == 2, "{said}");
        }
    }

    #[test]
    fn another_reader_finds_the_system_where_firmware_looks() {
        let system: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let volume = build(VOLUME, Some(&system), date()).unwrap();
        let volume = FileSystem::new(Cursor::new(volume), FsOptions::new()).unwrap();
        let mut found = Vec::new();
        volume.root_dir().open_file(BOOT_PATH).unwrap().read_to_end(&mut found).unwrap();
        assert!(found == system);
        let top = volume.root_dir().iter().next().unwrap().unwrap();
        assert_eq!(
            (top.modified().date.year, top.modified().date.month, top.modified().date.day),
            (2026, 1, 1)
        );
    }

    #[test]
    fn a_system_that_fills_the_volume_fits_and_one_more_byte_does_not() {
        let layout = Layout::read(&build(VOLUME, None, date()).unwrap()).unwrap();
        let most = (layout.cluster_count - 3) as usize * CLUSTER;
        let folder = tempfile::tempdir().unwrap();
        let volume = build(VOLUME, Some(&vec![1; most]), date()).unwrap();
        assert!(check(&volume, folder.path()).0);
        assert!(build(VOLUME, Some(&vec![1; most + 1]), date()).is_err());
        assert!(build(VOLUME, Some(&[]), date()).is_err());
    }
}
