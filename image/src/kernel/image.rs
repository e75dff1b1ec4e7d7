//! Reads the header of a built kernel (`bzImage`); it builds none.
//!
//! The header is that of `Documentation/arch/x86/boot.rst` in the kernel's source, "The Real-Mode Kernel Header".

use crate::error::{Error, Result};

/// Where the header's magic lies, and what it is.
const MAGIC: (usize, &[u8; 4]) = (0x202, b"HdrS");
/// Where the header says where the version text lies, as 16 bits counted from [`VERSION_BASE`].
const VERSION_POINTER: usize = 0x20E;
const VERSION_BASE: usize = 0x200;
/// No release name is longer (`__NEW_UTS_LEN` in the kernel's `uts.h`), in bytes.
const LONGEST_RELEASE: usize = 64;

/// The kernel's release as `uname -r` says it, such as `6.12.1-drawbridge`.
pub fn release(kernel: &[u8]) -> Result<String> {
    let bad = |wrong: &str| Error::malformed("the kernel", &wrong);
    if kernel.get(MAGIC.0..MAGIC.0 + 4) != Some(MAGIC.1.as_slice()) {
        return Err(bad("it is no bzImage for x86"));
    }
    let pointer = kernel
        .get(VERSION_POINTER..VERSION_POINTER + 2)
        .map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
        .filter(|pointer| *pointer != 0)
        .ok_or_else(|| bad("its header names no version"))?;
    let text = kernel.get(VERSION_BASE + pointer..).ok_or_else(|| bad("its version lies outside of it"))?;
    let length = text
        .iter()
        .take(LONGEST_RELEASE)
        .position(|byte| !byte.is_ascii_graphic())
        .filter(|length| *length > 0)
        .ok_or_else(|| bad("its version has no end"))?;
    Ok(String::from_utf8_lossy(&text[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pointer: u16, text: &[u8]) -> Vec<u8> {
        let mut kernel = vec![0; 0x400];
        kernel[MAGIC.0..MAGIC.0 + 4].copy_from_slice(MAGIC.1);
        kernel[VERSION_POINTER..VERSION_POINTER + 2].copy_from_slice(&pointer.to_le_bytes());
        kernel.extend_from_slice(text);
        kernel
    }

    #[test]
    fn the_release_is_the_first_word_of_the_version() {
        assert_eq!(
            release(&header(0x200, b"6.12.1-drawbridge (who@where) #1\0")).unwrap(),
            "6.12.1-drawbridge"
        );
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        for wrong in
            [vec![], vec![0; 0x400], header(0, b""), header(0xFFFF, b""), header(0x200, &[b'6'; 100])]
        {
            assert!(release(&wrong).is_err());
        }
    }
}
