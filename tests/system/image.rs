//! What is in the image, by other people's tools.

use drawbridge_image::names;
use drawbridge_lab::Lab;
use drawbridge_tests::Image;
use std::path::Path;
use std::process::{Command, Stdio};

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn unpacked(lab: &Lab, image: &Image) -> String {
    let archive = lab.folder().join("initramfs.cpio");
    let packed = image.file(names::INITRAMFS);
    output("zstd", &["-dqf", packed.to_str().unwrap(), "-o", archive.to_str().unwrap()]);
    let listing =
        Command::new("cpio").args(["-itv", "--quiet"]).stdin(std::fs::File::open(&archive).unwrap()).output();
    String::from_utf8(listing.unwrap().stdout).unwrap()
}

#[test]
fn the_image_holds_one_binary_no_shell_no_private_key_and_no_setuid_file() {
    let lab = Lab::new("image contents");
    let image = Image::here();
    let listing = unpacked(&lab, &image);
    let files: Vec<&str> = listing.lines().filter(|line| line.starts_with('-')).collect();
    assert_eq!(files.len(), 2, "{listing}");
    assert!(files.iter().any(|file| file.starts_with("-rwxr-xr-x") && file.ends_with(" init")), "{listing}");
    // The vendor's profile, which is data.
    let is_profile = |file: &&&str| file.starts_with("-rw-r--r--") && file.ends_with(" profile.json");
    assert!(files.iter().any(|file| is_profile(&file)), "{listing}");
    for line in listing.lines() {
        let mode = line.split_whitespace().next().unwrap_or_default();
        assert!(!mode.contains(['s', 'S', 't', 'T']), "{line}");
    }
    let binary = std::fs::read(image.file(names::BINARY)).unwrap();
    let has = |text: &[u8]| binary.windows(text.len()).any(|window| window == text);
    // The words that begin a key are in the binary, since it reads such files; what would follow is not.
    for begin in [
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    ] {
        for follows in ["M", "b"] {
            assert!(!has(format!("{begin}{follows}").as_bytes()), "a private key is in the binary");
        }
    }
    assert!(!has(b"drawbridge.lab="), "the shipped binary has the lab's faults");
}

#[test]
fn the_binary_is_static_and_hardened() {
    let image = Image::here();
    let binary = image.file(names::BINARY);
    let headers = output("readelf", &["-hldW", binary.to_str().unwrap()]);
    let line =
        |wanted: &str| headers.lines().find(|line| line.contains(wanted)).unwrap_or_default().to_owned();
    assert!(line("Type:").contains("DYN"), "it is not position-independent: {headers}");
    assert!(line("INTERP").is_empty() && line("NEEDED").is_empty(), "it is not static: {headers}");
    assert!(!line("GNU_RELRO").is_empty(), "no RELRO: {headers}");
    assert!(headers.contains("NOW"), "not bound at start: {headers}");
    let stack = line("GNU_STACK");
    assert!(stack.contains("RW") && !stack.contains("RWE"), "an executable stack: {stack}");
    for segment in headers.lines().filter(|line| line.trim_start().starts_with("LOAD")) {
        assert!(!segment.contains("RWE"), "memory to be written and executed: {segment}");
    }
}

#[test]
fn the_system_file_is_below_sixteen_mebibytes() {
    let bytes = std::fs::metadata(Image::here().file(names::SYSTEM)).unwrap().len();
    println!("system.efi: {bytes} bytes");
    assert!(bytes <= 16 << 20);
}

#[test]
fn the_disk_image_passes_the_checks_of_others() {
    let lab = Lab::new("disk image");
    let image = Image::here();
    let disk = image.file(names::DISK);
    let verdict = output("sgdisk", &["-v", disk.to_str().unwrap()]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let table = output("sgdisk", &["-p", disk.to_str().unwrap()]);
    for name in ["drawbridge-a", "drawbridge-b", "drawbridge-data"] {
        assert!(table.contains(name), "{table}");
    }
    let extent = drawbridge_tests::data_partition(&disk);
    output("e2fsck", &["-f", "-n", &format!("{}?offset={}", disk.display(), extent.offset)]);
    // The first partition begins at 1 MiB and is copied out, since fsck.fat knows no offset.
    let system = lab.folder().join("system.fat");
    copy_part(&disk, &system, 1 << 20, drawbridge_image::disk::SYSTEM_BYTES);
    output("fsck.fat", &["-n", system.to_str().unwrap()]);
    let listing = output("mdir", &["-b", "-/", "-i", system.to_str().unwrap()]);
    assert!(listing.to_uppercase().contains("BOOTX64.EFI"), "{listing}");
}

fn copy_part(from: &Path, to: &Path, offset: u64, bytes: u64) {
    use std::io::{Read as _, Seek as _};
    let mut from = std::fs::File::open(from).unwrap();
    from.seek(std::io::SeekFrom::Start(offset)).unwrap();
    std::io::copy(&mut from.take(bytes), &mut std::fs::File::create(to).unwrap()).unwrap();
}
