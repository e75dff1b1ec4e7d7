//! What the built files are called; it holds names only.

/// The kernel.
pub const KERNEL: &str = "bzImage";
/// The configuration that the kernel was built with.
pub const KERNEL_CONFIG: &str = "linux.config";
/// What the kernel was made of, as JSON.
pub const KERNEL_PROVENANCE: &str = "kernel.json";
/// The appliance's binary.
pub const BINARY: &str = "drawbridge";
/// The same with faults on request, for the lab's tests only.
pub const BINARY_LAB: &str = "drawbridge-lab";
/// The root file system.
pub const INITRAMFS: &str = "initramfs.zst";
/// The root file system with the lab's binary.
pub const INITRAMFS_LAB: &str = "initramfs-lab.zst";
/// The kernel's command line and a line break.
pub const CMDLINE: &str = "cmdline";
/// The system file: kernel, initramfs and command line, as UEFI firmware starts it.
pub const SYSTEM: &str = "system.efi";
/// The disk image.
pub const DISK: &str = "disk.img";
/// The bill of materials.
pub const BOM: &str = "bom.cdx.json";
/// The size report.
pub const SIZES: &str = "sizes.txt";

/// Every file that is made.
pub const ALL: [&str; 12] = [
    KERNEL,
    KERNEL_CONFIG,
    KERNEL_PROVENANCE,
    BINARY,
    BINARY_LAB,
    INITRAMFS,
    INITRAMFS_LAB,
    CMDLINE,
    SYSTEM,
    DISK,
    BOM,
    SIZES,
];
