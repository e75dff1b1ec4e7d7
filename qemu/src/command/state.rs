//! The machine's disk, kept from run to run: a rebuilt system goes onto it, the data on it stays.

use drawbridge_lab::LabError;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Names of built files (`drawbridge-image` has them).
const DISK: &str = "disk.img";
const SYSTEM: &str = "system.efi";

/// The name of the partition whose content is the user's (`drawbridge-image` gives it).
const DATA_PARTITION: &str = "drawbridge-data";

const SECTOR: u64 = 512;

/// What can be wrong with the kept disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("cannot {0} {1}: {2}")]
    File(&'static str, PathBuf, io::Error),
    #[error("the partition table of {0} cannot be read: {1}")]
    Table(PathBuf, gpt::GptError),
    #[error(
        "the disk in {0} is divided otherwise than the new image, so the new system cannot be put onto it. Move that folder \
         away for a fresh disk, or choose another by --state"
    )]
    OtherLayout(PathBuf),
    #[error(transparent)]
    Lab(#[from] LabError),
}

/// What was done to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It is a fresh copy of the image.
    Fresh,
    /// It was there, with this very system.
    Kept,
    /// It was there, and the image's system was put onto it.
    Updated,
}

/// The kept files.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) disk: PathBuf,
    pub(crate) variables: PathBuf,
    pub(crate) freshness: Freshness,
}

/// Makes the folder's disk ready: a copy of the image's the first time, and later with the image's system on it.
pub(crate) fn prepare(image: &Path, folder: &Path) -> Result<State, StateError> {
    fs::create_dir_all(folder).map_err(failed("make", folder))?;
    let (disk, variables) = (folder.join(DISK), folder.join("variables.fd"));
    let stamp = folder.join("system.sha256");
    let system = digest(&image.join(SYSTEM))?;
    let freshness = if !disk.exists() {
        let partial = folder.join("disk.img.partial");
        drawbridge_lab::copy_sparse(&image.join(DISK), &partial)?;
        fs::rename(&partial, &disk).map_err(failed("name", &disk))?;
        forget(&variables)?;
        Freshness::Fresh
    } else if fs::read_to_string(&stamp).is_ok_and(|known| known == system) {
        Freshness::Kept
    } else {
        // Gone first: a run that is ended in the middle writes the system anew the next time.
        forget(&stamp)?;
        put_system(&image.join(DISK), &disk)?;
        // The firmware may have been told to start from another slot.
        forget(&variables)?;
        Freshness::Updated
    };
    fs::write(&stamp, system).map_err(failed("write", &stamp))?;
    Ok(State { disk, variables, freshness })
}

/// Copies every partition but the data.
fn put_system(image: &Path, disk: &Path) -> Result<(), StateError> {
    let layout = partitions(image)?;
    if layout != partitions(disk)? {
        return Err(StateError::OtherLayout(disk.to_path_buf()));
    }
    let mut from = File::open(image).map_err(failed("open", image))?;
    let mut to = File::options().write(true).open(disk).map_err(failed("open", disk))?;
    for (name, first, last) in layout {
        if name == DATA_PARTITION {
            continue;
        }
        let (start, length) = (first * SECTOR, (last + 1).saturating_sub(first) * SECTOR);
        from.seek(SeekFrom::Start(start)).map_err(failed("read", image))?;
        to.seek(SeekFrom::Start(start)).map_err(failed("write", disk))?;
        io::copy(&mut (&mut from).take(length), &mut to).map_err(failed("write", disk))?;
    }
    to.flush().map_err(failed("write", disk))
}

/// Name, first and last sector of each partition.
fn partitions(disk: &Path) -> Result<Vec<(String, u64, u64)>, StateError> {
    let table =
        gpt::GptConfig::new().open(disk).map_err(|error| StateError::Table(disk.to_path_buf(), error))?;
    let partitions = table.partitions().values();
    Ok(partitions.map(|part| (part.name.clone(), part.first_lba, part.last_lba)).collect())
}

fn digest(file: &Path) -> Result<String, StateError> {
    let content = fs::read(file).map_err(failed("read", file))?;
    Ok(drawbridge_lab::https::fingerprint(&content))
}

fn forget(file: &Path) -> Result<(), StateError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", file)(error)),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_path_buf();
    move |error| StateError::File(action, path, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_lab::Lab;
    use std::os::unix::fs::FileExt as _;

    /// An image with a system partition and a data partition, filled with this byte.
    fn write_image(folder: &Path, byte: u8, data_sectors: u64) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(SYSTEM), [byte]).unwrap();
        let path = folder.join(DISK);
        let _ = fs::remove_file(&path);
        let file = File::create(&path).unwrap();
        file.set_len(8 << 20).unwrap();
        let sectors = gpt::mbr::ProtectiveMBR::with_lb_size((8 << 20) / 512 - 1);
        sectors.overwrite_lba0(&mut &file).unwrap();
        let config =
            gpt::GptConfig::new().writable(true).logical_block_size(gpt::disk::LogicalBlockSize::Lb512);
        let mut table = config.create(&path).unwrap();
        let kind = gpt::partition_types::LINUX_FS;
        table.add_partition("drawbridge-a", 1 << 20, kind.clone(), 0, None).unwrap();
        table.add_partition(DATA_PARTITION, data_sectors * 512, kind, 0, None).unwrap();
        table.write().unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        for (_, first, last) in partitions(&path).unwrap() {
            let length = usize::try_from((last - first + 1) * SECTOR).unwrap();
            file.write_all_at(&vec![byte; length], first * SECTOR).unwrap();
        }
    }

    fn first_bytes(disk: &Path) -> Vec<u8> {
        let file = File::open(disk).unwrap();
        let byte = |(_, first, _): (String, u64, u64)| {
            let mut byte = [0];
            file.read_exact_at(&mut byte, first * SECTOR).unwrap();
            byte[0]
        };
        partitions(disk).unwrap().into_iter().map(byte).collect()
    }

    #[test]
    fn a_new_system_replaces_the_old_one_and_the_data_stays() {
        let lab = Lab::new("a new system replaces the old one");
        let (image, folder) = (lab.file("image"), lab.file("state"));
        write_image(&image, 1, 2048);
        let state = prepare(&image, &folder).unwrap();
        assert_eq!(state.freshness, Freshness::Fresh);
        assert_eq!(prepare(&image, &folder).unwrap().freshness, Freshness::Kept);
        fs::write(&state.variables, "boot from b").unwrap();
        write_image(&image, 2, 2048);
        assert_eq!(prepare(&image, &folder).unwrap().freshness, Freshness::Updated);
        assert_eq!(first_bytes(&state.disk), [2, 1]);
        assert!(!state.variables.exists());
        write_image(&image, 3, 1024);
        assert!(matches!(prepare(&image, &folder), Err(StateError::OtherLayout(_))));
    }
}
