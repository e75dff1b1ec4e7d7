//! Promises of the whole path from kernel and binary to a disk image, held against the tools of others. They need neither a built
//! kernel nor the appliance: any hardened binary and any kernel's header do.

#![allow(clippy::unwrap_used, reason = "the helpers of a test end it as its own lines do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use drawbridge_image::disk::{self, DiskSize, MIB};
use drawbridge_image::source::SourceDate;
use drawbridge_image::uki::{self, Section};
use drawbridge_image::{Error, cmdline, elf, names, system};
use object::LittleEndian as LE;
use object::pe::ImageSectionHeader;
use object::read::pe::PeFile64;

const VERSION: &str = "0.1.0+0123456789ab";

fn date() -> SourceDate {
    SourceDate::new(1_767_225_600).unwrap()
}

fn stub() -> Vec<u8> {
    system::read_stub(None).unwrap_or_else(|error| panic!("{error}"))
}

/// A vendor's profile.
const PROFILE: &[u8] = drawbridge_profile::BUILT_IN[0].1.as_bytes();

/// As much of a kernel as is looked at: its header, and a body that no compression makes small.
fn kernel() -> Vec<u8> {
    let mut kernel = vec![0; 0x400];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x20E..0x210].copy_from_slice(&0x200_u16.to_le_bytes());
    kernel.extend_from_slice(b"6.12.1-drawbridge (drawbridge@drawbridge) #1\0");
    let mut state = 1_u32;
    kernel.extend((0..1_000_000).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    }));
    kernel
}

/// A program compiled with `flags` besides what cargo's target gives.
fn program(flags: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("init.rs");
    let output = folder.path().join("init");
    fs::write(&source, "fn main() { println!(\"init\"); }\n").unwrap();
    let compiled = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
        .args(["--edition", "2024", "--target", "x86_64-unknown-linux-gnu", "-Cstrip=symbols"])
        .args(flags)
        .arg("-o")
        .args([&output, &source])
        .output()
        .expect("the test compiles a program with rustc");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    fs::read(output).unwrap()
}

/// A program as hardened as the appliance's.
fn hardened() -> &'static [u8] {
    static HARDENED: OnceLock<Vec<u8>> = OnceLock::new();
    HARDENED.get_or_init(|| {
        program(&[
            "-Ctarget-feature=+crt-static",
            "-Crelocation-model=pie",
            "-Clink-arg=-Wl,-z,relro,-z,now,-z,noexecstack",
        ])
    })
}

/// Writes a system and a disk of it into `folder`.
fn write_all(folder: &Path, size: DiskSize) -> PathBuf {
    let (kernel, stub) = (kernel(), stub());
    let inputs = system::Inputs {
        kernel: &kernel,
        binary: hardened(),
        profile: PROFILE,
        stub: &stub,
        version: VERSION,
        date: date(),
    };
    let system = system::write(&inputs, folder).unwrap();
    let path = folder.join(names::DISK);
    disk::write(&path, &system.efi, size, date()).unwrap();
    path
}

/// The section of a name.
fn find<'a>(file: &PeFile64<'a>, name: &[u8]) -> &'a ImageSectionHeader {
    let mut sections = file.section_table().iter();
    sections.find(|section| section.name.split(|byte| *byte == 0).next() == Some(name)).unwrap()
}

/// Runs one of the tools that check disks.
fn run(program: &str, package: &str, arguments: &[&str], file: &Path) -> Output {
    Command::new(program)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .args(arguments)
        .arg(file)
        .output()
        .unwrap_or_else(|_| panic!("the test checks the disk with {program}: apt-get install {package}"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Copies a part of the disk into a file of its own.
fn cut(disk: &Path, from: u64, bytes: u64) -> PathBuf {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = fs::File::open(disk).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    let part = disk.with_extension(format!("part-{from}"));
    std::io::copy(&mut file.take(bytes), &mut fs::File::create(&part).unwrap()).unwrap();
    part
}

#[test]
fn two_builds_in_two_folders_are_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "another/folder"].map(|folder| scratch.path().join(folder));
    let size = DiskSize::new(disk::LEAST_BYTES).unwrap();
    write_all(&one, size);
    write_all(&other, size);
    for name in [names::KERNEL, names::INITRAMFS, names::CMDLINE, names::SYSTEM, names::DISK] {
        assert!(fs::read(one.join(name)).unwrap() == fs::read(other.join(name)).unwrap(), "{name} differs");
    }
}

#[test]
fn the_disk_s_partitions_pass_the_checks_of_others() {
    let scratch = tempfile::tempdir().unwrap();
    for bytes in [disk::LEAST_BYTES, disk::DEFAULT_BYTES] {
        let path = write_all(scratch.path(), DiskSize::new(bytes).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes);

        let table = run("sgdisk", "gdisk", &["--verify", "--print"], &path);
        let said = text(&table);
        assert!(table.status.success() && said.contains("No problems found"), "{said}");
        for name in [disk::SYSTEM_A, disk::SYSTEM_B, disk::DATA] {
            assert!(said.contains(name), "{said}");
        }
        for start in [MIB, MIB + disk::SYSTEM_BYTES] {
            let checked = run("fsck.fat", "dosfstools", &["-n"], &cut(&path, start, disk::SYSTEM_BYTES));
            // Its version, and the count of files and clusters: a third line would be a complaint.
            assert!(checked.status.success() && text(&checked).lines().count() == 2, "{}", text(&checked));
        }
        let start = MIB + 2 * disk::SYSTEM_BYTES;
        let data = cut(&path, start, bytes - MIB - start);
        let checked = run("e2fsck", "e2fsprogs", &["-f", "-n"], &data);
        assert!(checked.status.success(), "{}", text(&checked));
        let described = text(&run("dumpe2fs", "e2fsprogs", &["-h"], &data));
        for promised in ["metadata_csum", "has_journal", "Remount read-only", "drawbridge-data"] {
            assert!(described.contains(promised), "{promised}: {described}");
        }
    }
}

#[test]
fn a_disk_image_takes_little_room_on_the_builder_s_disk() {
    use std::os::unix::fs::MetadataExt as _;
    let scratch = tempfile::tempdir().unwrap();
    let path = write_all(scratch.path(), DiskSize::new(4 << 30).unwrap());
    let taken = fs::metadata(path).unwrap().blocks() * 512;
    assert!(taken < 256 * MIB, "{taken} bytes of 4 GiB");
}

#[test]
fn a_failed_disk_leaves_no_file_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(names::DISK);
    let error = disk::write(&path, &vec![0; 64 << 20], DiskSize::default(), date()).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn the_system_file_holds_what_was_joined_where_firmware_can_map_it() {
    let (kernel, stub) = (kernel(), stub());
    let inputs = system::Inputs {
        kernel: &kernel,
        binary: hardened(),
        profile: PROFILE,
        stub: &stub,
        version: VERSION,
        date: date(),
    };
    let system = system::build(&inputs).unwrap();
    let file = PeFile64::parse(system.efi.as_slice()).unwrap();
    let before = PeFile64::parse(stub.as_slice()).unwrap();
    let optional = &file.nt_headers().optional_header;

    let mut end = 0;
    for section in file.section_table().iter() {
        let start = section.virtual_address.get(LE);
        assert!(start >= end, "sections overlap");
        end = start + section.virtual_size.get(LE);
    }
    assert!(optional.size_of_image.get(LE) >= end);
    assert_eq!(optional.size_of_image.get(LE) % optional.section_alignment.get(LE), 0);
    assert_eq!(optional.address_of_entry_point, before.nt_headers().optional_header.address_of_entry_point);

    let cmdline = cmdline::uefi();
    let added: [(&str, &[u8]); 4] = [
        (".uname", b"6.12.1-drawbridge"),
        (".cmdline", cmdline.as_bytes()),
        (".initrd", &system.initramfs),
        (".linux", &kernel),
    ];
    for (name, content) in added {
        let section = find(&file, name.as_bytes());
        assert_eq!(section.virtual_address.get(LE) % 4096, 0, "{name} does not begin on a page");
        assert!(section.pe_data(system.efi.as_slice()).unwrap() == content, "{name}");
        assert!(uki::section(&system.efi, name).unwrap() == Some(content), "{name}");
    }
    for section in before.section_table().iter() {
        let name = section.name.split(|byte| *byte == 0).next().unwrap();
        let kept = find(&file, name);
        assert!(
            kept.pe_data(system.efi.as_slice()) == section.pe_data(stub.as_slice()),
            "the stub's own part changed"
        );
    }
}

#[test]
fn a_stub_that_cannot_take_the_sections_is_refused() {
    let stub = stub();
    let section = Section { name: ".linux", content: b"kernel" };
    assert!(uki::join(&stub, &[section]).is_ok());
    assert!(uki::join(&stub, &[Section { name: ".too-long-a-name", content: b"" }]).is_err());
    assert!(uki::join(&stub, &[section; 100]).is_err(), "there is no room for so many");
    for length in [0, 1, 64, 0x200, stub.len() / 2] {
        assert!(uki::join(&stub[..length], &[section]).is_err(), "{length} bytes of a stub");
    }
    assert!(uki::join(hardened(), &[section]).is_err());
}

#[test]
fn a_binary_that_is_not_hardened_is_refused_with_its_faults() {
    elf::check_hardened(hardened()).unwrap();
    let usual = elf::check_hardened(&program(&[])).unwrap_err().to_string();
    assert!(usual.contains("INTERP") && usual.contains("shared library"), "{usual}");
    let fixed = program(&["-Ctarget-feature=+crt-static", "-Crelocation-model=static"]);
    let fixed = elf::check_hardened(&fixed).unwrap_err().to_string();
    assert!(fixed.contains("static-pie"), "{fixed}");
    let lazy = program(&[
        "-Ctarget-feature=+crt-static",
        "-Crelro-level=off",
        "-Clink-arg=-Wl,-z,lazy,-z,norelro,-z,execstack",
    ]);
    let lazy = elf::check_hardened(&lazy).unwrap_err().to_string();
    for fault in ["RELRO", "BIND_NOW", "NX"] {
        assert!(lazy.contains(fault), "{fault}: {lazy}");
    }
    assert!(elf::check_hardened(b"#!/bin/sh\n").is_err());
}
