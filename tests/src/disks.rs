//! The data partition inside a disk image, found and replaced from outside. It never mounts anything.

use drawbridge_image::disk::DATA;
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// A part of a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// The data partition of a disk image, by its name in the partition table.
///
/// # Panics
/// When the image has none: it is not an image of ours.
pub fn data_partition(disk: &Path) -> Extent {
    let table = GptConfig::new().writable(false).open(disk).expect("the disk image has a partition table");
    let partition = table.partitions().values().find(|partition| partition.name == DATA);
    let partition = partition.expect("the disk image has a data partition");
    let size = LogicalBlockSize::Lb512;
    Extent {
        offset: partition.bytes_start(size).expect("its place is in bounds"),
        length: partition.bytes_len(size).expect("its length is in bounds"),
    }
}

/// Writes a file's contents over the data partition of a disk image, from its beginning.
///
/// # Panics
/// When the file is longer than the partition, or cannot be read.
pub fn put_data(disk: &Path, contents: &Path) {
    let extent = data_partition(disk);
    let mut from = File::open(contents).expect("the contents can be read");
    assert!(
        from.metadata().expect("it has a length").len() <= extent.length,
        "the contents fit the partition"
    );
    let mut to = File::options().write(true).open(disk).expect("the disk image can be written");
    to.seek(SeekFrom::Start(extent.offset)).expect("a file can be sought in");
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = from.read(&mut buffer).expect("the contents can be read");
        if length == 0 {
            return;
        }
        to.write_all(&buffer[..length]).expect("the disk image can be written");
    }
}
