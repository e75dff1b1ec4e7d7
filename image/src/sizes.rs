//! The size report: what the system's parts take, beside what they may take; it fails nothing.

use std::fmt::Write as _;

use crate::elf;
use crate::error::Result;

/// What the system file should stay below, in bytes: it is fetched over slow lines and kept in memory.
pub const GOAL: u64 = 16 << 20;

/// So many of the binary's sections are listed.
const SECTIONS: usize = 10;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The kernel.
    pub kernel: &'a [u8],
    /// The binary.
    pub binary: &'a [u8],
    /// The compressed root file system.
    pub initramfs: &'a [u8],
    /// The system file.
    pub system: &'a [u8],
}

/// The report, as text.
pub fn report(inputs: &Inputs<'_>) -> Result<String> {
    let mut text = String::from("          bytes     MiB  part\n");
    let mut line = |bytes: u64, part: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{bytes:>15} {:>7}  {part}", mebibytes(bytes));
    };
    line(length(inputs.kernel), "kernel (bzImage)");
    line(length(inputs.binary), "binary (drawbridge)");
    line(length(inputs.initramfs), "root file system, compressed (initramfs.zst)");
    line(length(inputs.system), "system file (system.efi)");
    line(GOAL, "goal for the system file");
    for section in elf::sections(inputs.binary)?.iter().take(SECTIONS) {
        line(section.bytes, &format!("section {} of the binary", section.name));
    }
    let share = length(inputs.system) * 100 / GOAL;
    let _ = writeln!(text, "The system file takes {share} % of its goal.");
    Ok(text)
}

/// Lossless: no platform's lengths exceed 64 bits.
fn length(content: &[u8]) -> u64 {
    content.len() as u64
}

/// A number of bytes in MiB with two digits after the point.
fn mebibytes(bytes: u64) -> String {
    let hundredths = bytes * 100 / (1 << 20);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mebibytes_have_two_digits() {
        assert_eq!(mebibytes(GOAL), "16.00");
        assert_eq!(mebibytes(1_100_000), "1.04");
    }
}
