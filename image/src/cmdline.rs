//! The kernel's command line, each word with its reason; what the kernel's configuration already says is not repeated.
//!
//! The words are those of `Documentation/admin-guide/kernel-parameters.txt` and `ramoops.rst` of Linux 6.12.

/// The words of the command line, in their order.
const WORDS: [&str; 9] = [
    // Messages go to the screen and to the first serial port. The last one named is /dev/console, where init writes.
    "console=tty0",
    "console=ttyS0,115200",
    // Warnings and worse reach the console; the rest stays in the log, where init reads it.
    "loglevel=5",
    // init forwards what the roles say and bounds it itself: the kernel's own limit would drop lines silently.
    "printk.devkmsg=on",
    // The page allocator shuffles only when told, though the configuration has the code.
    "page_alloc.shuffle=1",
    // A megabyte at the same place on each warm start, for what the kernel or init says as it dies.
    "reserve_mem=1M:4096:oops",
    "ramoops.mem_name=oops",
    // A record holds the end of the kernel's log; init's own last words get twice as much.
    "ramoops.record_size=65536 ramoops.pmsg_size=131072",
    // Memory that lost its refresh for a moment can be mended.
    "ramoops.ecc=1",
];

/// The whole command line, without a line break.
pub fn text() -> String {
    WORDS.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_shorter_than_the_kernel_s_buffer() {
        // COMMAND_LINE_SIZE of arch/x86/include/asm/setup.h.
        assert!(text().len() < 2048);
        assert!(!text().contains(['\n', '\0']));
    }
}
