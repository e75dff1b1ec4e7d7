//! The kernel's command line, each word with its reason; what the kernel's configuration already says is not repeated.
//!
//! The words are those of `Documentation/admin-guide/kernel-parameters.txt` and `ramoops.rst` of Linux 6.12.

/// The words of every command line, in their order.
const WORDS: [&str; 7] = [
    // Messages go to the screen and to the first serial port. The last one named is /dev/console, where init writes.
    "console=tty0",
    "console=ttyS0,115200",
    // Warnings and worse reach the console; the rest stays in the log, where init reads it.
    "loglevel=5",
    // init forwards what the roles say and bounds it itself: the kernel's own limit would drop lines silently.
    "printk.devkmsg=on",
    // The page allocator shuffles only when told, though the configuration has the code.
    "page_alloc.shuffle=1",
    // Else what is unpacked may take half of the memory at most, which is too little in a machine of 64 MiB.
    "rootfstype=ramfs",
    // Without it the kernel makes a bond of its own at each start, which nobody has asked for.
    "bonding.max_bonds=0",
];

/// What UEFI adds: a dying kernel's last words go to the firmware's variables, which every restart leaves alone.
const UEFI: [&str; 1] = ["pstore.backend=efi_pstore"];

/// What a start without UEFI adds: a dying kernel's last words go to memory, which a warm restart may leave alone.
const MEMORY: [&str; 4] = [
    // A megabyte at the same place on each warm start, if the firmware and the kernel's own random place allow it.
    "reserve_mem=1M:4096:oops",
    "ramoops.mem_name=oops",
    // A record holds the end of the kernel's log; init's own last words get twice as much.
    "ramoops.record_size=65536 ramoops.pmsg_size=131072",
    // Memory that lost its refresh for a moment can be mended.
    "ramoops.ecc=1",
];

/// The whole command line of the system file, which only UEFI starts; without a line break.
pub fn uefi() -> String {
    [&WORDS[..], &UEFI].concat().join(" ")
}

/// The whole command line for a kernel that is started without UEFI, as in the lab; without a line break.
pub fn direct() -> String {
    [&WORDS[..], &MEMORY].concat().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_shorter_than_the_kernel_s_buffer() {
        // COMMAND_LINE_SIZE of arch/x86/include/asm/setup.h.
        for text in [uefi(), direct()] {
            assert!(text.len() < 2048);
            assert!(!text.contains(['\n', '\0']));
        }
    }
}
