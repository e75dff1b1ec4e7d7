//! SHA-256 of bytes and files, in hexadecimal; it never compares secrets.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ring::digest::{Context, SHA256};

use crate::error::{Error, Result};

/// SHA-256 of `content`, 64 lower-case hexadecimal digits.
pub fn of(content: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, content).as_ref())
}

/// SHA-256 of several parts, each preceded by its length, so that moving a byte from one to the next changes it.
pub fn of_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        context.update(part);
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

/// SHA-256 of a file's content, read in pieces: a disk image does not fit into every builder's memory.
pub fn of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::read(path))?;
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece).map_err(Error::read(path))? {
            0 => return Ok(hex(context.finish().as_ref())),
            length => context.update(&piece[..length]),
        }
    }
}

/// `bytes` in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_fips_180_4() {
        assert_eq!(of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_byte_moved_between_parts_changes_the_digest() {
        assert_ne!(of_parts(&[b"ab", b"c"]), of_parts(&[b"a", b"bc"]));
    }
}
