//! The data partition missing, full, damaged or failing: the appliance comes up, says so, and keeps what can be kept.

use drawbridge_image::names;
use drawbridge_lab::{Disk, DiskFault, Failing, Lab, Operations};
use drawbridge_tests::{Appliance, Image, Plan, data_partition, put_data};
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

fn copy_of_disk(lab: &Lab, image: &Image) -> PathBuf {
    let disk = lab.folder().join("own-disk.img");
    std::fs::copy(image.file(names::DISK), &disk).unwrap();
    disk
}

/// Boots with this disk, and expects a volatile `/data` for a reason, on serial line and page.
fn volatile(lab: &Lab, image: &Image, disk: Option<Disk>, reason: &str) -> Appliance {
    let appliance = Appliance::boot(lab, image, Plan { disk, ..Plan::of(image) });
    appliance.says(reason);
    appliance.is_up();
    let text = appliance.page_text();
    assert!(text.contains(reason), "the page does not say: {reason}\n{text}");
    appliance
}

/// A file system with this much room left in it, made without mounting.
fn filled(lab: &Lab, bytes: u64, left: u64) -> PathBuf {
    let (file, tree) = (lab.folder().join("data.ext4"), lab.folder().join("tree"));
    std::fs::create_dir_all(tree.join("console")).unwrap();
    std::fs::write(tree.join("console/kept"), "kept").unwrap();
    make(&file, bytes, &tree);
    let output = Command::new("dumpe2fs").arg("-h").arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("dumpe2fs does not say {name}: {text}")).trim().parse().unwrap()
    };
    let room = number("Free blocks:") * number("Block size:") - left;
    std::fs::write(tree.join("fill"), vec![7; usize::try_from(room).unwrap()]).unwrap();
    make(&file, bytes, &tree);
    file
}

fn make(file: &Path, bytes: u64, tree: &Path) {
    File::create(file).unwrap().set_len(bytes).unwrap();
    let made =
        Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-m", "0", "-d"]).arg(tree).arg(file).status();
    assert!(made.unwrap().success(), "mke2fs (package e2fsprogs) made no file system");
}

#[test]
fn no_data_partition() {
    let lab = Lab::new("data missing");
    let image = Image::here();
    volatile(&lab, &image, None, "No disk with a partition named drawbridge-data was found");
}

#[test]
fn a_full_data_partition() {
    let lab = Lab::new("data full");
    let image = Image::here();
    let disk = copy_of_disk(&lab, &image);
    // A small one, so that the test need not write hundreds of megabytes: a file system may be smaller than its partition.
    put_data(&disk, &filled(&lab, 24 << 20, 300_000));
    volatile(&lab, &image, Some(Disk::in_place(&disk)), "The data partition vda3 is full");
}

#[test]
fn a_data_partition_of_random_bytes() {
    let lab = Lab::new("data random");
    let image = Image::here();
    let disk = copy_of_disk(&lab, &image);
    overwrite(&disk, 0, 4 << 20);
    volatile(&lab, &image, Some(Disk::in_place(&disk)), "The data partition vda3 cannot be used");
}

#[test]
fn random_bytes_anywhere_in_a_used_data_partition_never_keep_it_from_coming_up() {
    let image = Image::here();
    let seed = Lab::new("data used");
    let used = copy_of_disk(&seed, &image);
    let appliance =
        Appliance::boot(&seed, &image, Plan { disk: Some(Disk::in_place(&used)), ..Plan::of(&image) });
    appliance.is_up();
    appliance.machine.power_off(drawbridge_lab::seconds(30)).unwrap();
    drop(appliance);
    // The superblock's neighbours, the first inodes, the journal, and all of the first group but the superblock.
    for (from, bytes) in
        [(4096_u64, 64 * 1024_u64), (128 * 1024, 256 * 1024), (4096, 8 << 20), (16 << 20, 32 << 20)]
    {
        let lab = Lab::new(&format!("data damaged at {from}"));
        let disk = lab.folder().join("own-disk.img");
        std::fs::copy(&used, &disk).unwrap();
        overwrite(&disk, from, bytes);
        let appliance =
            Appliance::boot(&lab, &image, Plan { disk: Some(Disk::in_place(&disk)), ..Plan::of(&image) });
        appliance.is_up();
        assert_eq!(appliance.page().status, 200, "damaged at {from}");
    }
}

/// Writes pseudo-random bytes over a part of the data partition (xorshift, the same each time).
fn overwrite(disk: &Path, from: u64, bytes: u64) {
    let extent = data_partition(disk);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ from;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(usize::try_from(bytes / 8).unwrap())
    .flatten()
    .collect();
    let mut file = File::options().write(true).open(disk).unwrap();
    file.seek(SeekFrom::Start(extent.offset + from)).unwrap();
    file.write_all(&noise).unwrap();
}

#[test]
fn a_disk_that_can_only_be_read_keeps_the_console_s_key() {
    let lab = Lab::new("data read-only");
    let image = Image::here();
    let disk = copy_of_disk(&lab, &image);
    let first = Appliance::boot(&lab, &image, Plan { disk: Some(Disk::in_place(&disk)), ..Plan::of(&image) });
    first.is_up();
    let certificate = first.page().certificate_der;
    first.machine.power_off(drawbridge_lab::seconds(30)).unwrap();
    drop(first);
    let reason = "The data partition vda3 can only be read";
    let second = volatile(&lab, &image, Some(Disk::in_place(&disk).read_only()), reason);
    assert_eq!(second.page().certificate_der, certificate, "the console's key was not kept");
    // A disk that cannot forget a seed would have it credited at every start.
    assert!(!second.machine.serial().text().contains("the saved random seed was credited"));
}

#[test]
fn a_disk_that_fails_at_every_write() {
    let lab = Lab::new("data failing");
    let image = Image::here();
    let disk = Disk::copy_of(image.file(names::DISK)).fault(DiskFault::new(Operations::Writes, Failing::Io));
    let appliance = Appliance::boot(&lab, &image, Plan { disk: Some(disk), ..Plan::of(&image) });
    appliance.says("The data partition vda3 can");
    appliance.is_up();
    assert_eq!(appliance.page().status, 200);
}
