//! Makes a FAT file system that UEFI firmware starts a system from; it never reads one.

use std::io::{Cursor, Write as _};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

use crate::error::{Error, Result};

/// The file that UEFI firmware starts from a disk without being told more: the removable-media path of x86-64
/// (UEFI specification 2.10, section 3.5.1.1). An entry in the firmware's boot list names the same file, so one copy serves
/// both, and a board that lost its list still starts.
pub const BOOT_PATH: [&str; 3] = ["EFI", "BOOT", "BOOTX64.EFI"];

/// A cluster's size. The smallest, because FAT32 is told by having 65,525 clusters or more, and 48 MiB has to.
const CLUSTER: u32 = 512;

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

/// A FAT32 volume, with `system` at [`BOOT_PATH`] if it is given. All times in it are FAT's epoch, 1980-01-01: the
/// date of a system is within it.
pub fn build(volume: Volume, system: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; volume.bytes as usize];
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(CLUSTER)
        .volume_id(volume.serial)
        .volume_label(volume.label);
    fill(&mut bytes, options, system).map_err(|wrong| {
        Error::malformed("the system partition", &format!("its file system could not be made: {wrong}"))
    })?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8], options: FormatVolumeOptions, system: Option<&[u8]>) -> std::io::Result<()> {
    let mut disk = Cursor::new(bytes);
    fatfs::format_volume(&mut disk, options)?;
    let volume = FileSystem::new(disk, FsOptions::new())?;
    if let Some(system) = system {
        let [top, folder, name] = BOOT_PATH;
        let folder = volume.root_dir().create_dir(top)?.create_dir(folder)?;
        let mut file = folder.create_file(name)?;
        file.write_all(system)?;
        file.flush()?;
    }
    volume.unmount()
}
