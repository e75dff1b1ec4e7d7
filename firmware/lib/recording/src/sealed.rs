//! Files of a recording that only the customer can read: written as records that are encrypted one by one, so that a cut leaves
//! all but the last of them, and read again by whoever has the content key. It never holds a key longer than the recording.
//!
//! A bundle that is encrypted has, beside chain and `events.jsonl`:
//!
//! ```text
//!   key.age        the content key, in an age file for the customer's key     age
//!   NAME.sealed    what would be NAME: records, each of
//!     length  4 bytes   of what is encrypted, 17 to 65,552, the lowest byte first
//!     check   8 bytes   the first of SHA-256 of length and what is encrypted: what a cut has left is told without a key
//!     sealed            at most 64 KiB by ChaCha20-Poly1305 (RFC 8439), with its tag of 16 bytes
//! ```
//!
//! Each file has a key of its own, HKDF-SHA-256 (RFC 5869) of the content key with `drawbridge sealed v1 NAME`. The nonce is the
//! record's number in the file, from 0, in 12 bytes, the highest first; the length is authenticated with it. A record holds whole
//! frames or lines. The chain is over the encrypted bytes: anybody can verify it, and only the customer can read it.
//!
//! `events.jsonl` stays readable and says who came in, to whom it is encrypted, and how it ended; all else that happened is in
//! `events.jsonl.sealed`.

use crate::age::{CannotEncrypt, cipher, derived};
use crate::ttyrec::filled;
use drawbridge_chain::Hash;
use ring::aead::{Aad, LessSafeKey, Nonce};
use ring::error::Unspecified;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::io::{self, BufRead};
use zeroize::{Zeroize as _, Zeroizing};

/// The name of the file with the content key.
pub const KEY_FILE: &str = "key.age";
/// What the name of an encrypted file ends with.
const ENDING: &str = ".sealed";
/// The most bytes of one record that are encrypted.
const RECORD_BYTES: usize = 64 * 1024;
/// The size of an authentication tag.
const TAG_BYTES: usize = 16;
/// Length and check.
const HEAD_BYTES: usize = 12;

/// The name of the encrypted file of what would be `name`.
pub fn sealed_file(name: &str) -> String {
    format!("{name}{ENDING}")
}

/// What the encrypted file of this name would be.
pub fn opened_file(sealed: &str) -> Option<&str> {
    sealed.strip_suffix(ENDING)
}

/// A text is no content key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no content key: it is 64 hexadecimal digits, which `age -d` finds in {KEY_FILE}")]
pub struct ContentKeyFault;

/// What a recording is encrypted with. It is wiped after use.
#[derive(Clone)]
pub struct ContentKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("ContentKey")
    }
}

impl ContentKey {
    /// A new one.
    pub fn generate() -> Result<Self, CannotEncrypt> {
        let mut key = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// Reads what the age file holds.
    pub fn from_text(text: &str) -> Result<Self, ContentKeyFault> {
        let digits = text.trim_end_matches(['\r', '\n']).as_bytes();
        if digits.len() != 64 {
            return Err(ContentKeyFault);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut key = Zeroizing::new([0; 32]);
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return Err(ContentKeyFault) };
            *byte = digit(*high).ok_or(ContentKeyFault)? << 4 | digit(*low).ok_or(ContentKeyFault)?;
        }
        Ok(Self(key))
    }

    /// As the age file holds it.
    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        // Made at its full size, so that no copy of it is left behind.
        let mut text = Zeroizing::new(String::with_capacity(65));
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(DIGITS.get(usize::from(digit)).copied().unwrap_or_default());
            }
        }
        text.push('\n');
        text
    }

    /// The cipher of one file, by the name that it would have.
    fn of_file(&self, name: &str) -> Result<LessSafeKey, Unspecified> {
        let purpose = format!("drawbridge sealed v1 {name}");
        cipher(&*derived(self.0.as_slice(), &[], purpose.as_bytes())?)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    for (byte, of) in bytes.iter_mut().skip(4).zip(number.to_be_bytes()) {
        *byte = of;
    }
    Nonce::assume_unique_for_key(bytes)
}

fn check(length: [u8; 4], sealed: &[u8]) -> [u8; 8] {
    let mut hasher = drawbridge_chain::Hasher::default();
    hasher.update(&length);
    hasher.update(sealed);
    let Hash(hash) = hasher.finish();
    let mut check = [0; 8];
    for (byte, of) in check.iter_mut().zip(hash) {
        *byte = of;
    }
    check
}

/// Encrypts what is written to one new file.
#[derive(Debug)]
pub(crate) struct Sealing {
    key: LessSafeKey,
    number: u64,
    /// What waits for its record: whole frames or lines.
    pending: Zeroizing<Vec<u8>>,
}

impl Sealing {
    pub(crate) fn new(content: &ContentKey, name: &str) -> Result<Self, CannotEncrypt> {
        // It never grows, so that nothing is left of it elsewhere.
        let pending = Zeroizing::new(Vec::with_capacity(RECORD_BYTES + TAG_BYTES));
        Ok(Self { key: content.of_file(name)?, number: 0, pending })
    }

    /// So many bytes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Takes whole frames or lines, and gives the record that was full before.
    pub(crate) fn take(&mut self, bytes: &[u8], record: &mut Vec<u8>) -> io::Result<()> {
        if bytes.len() > RECORD_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more than one record holds"));
        }
        if self.pending.len() + bytes.len() > RECORD_BYTES {
            self.close(record)?;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives the record of all that waits, if anything does.
    pub(crate) fn close(&mut self, record: &mut Vec<u8>) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.pending.len() + TAG_BYTES).unwrap_or(u32::MAX).to_le_bytes();
        let number = nonce(self.number);
        let tag = self.key.seal_in_place_separate_tag(number, Aad::from(length), &mut self.pending);
        let tag = tag.map_err(|_| io::Error::other("it cannot be encrypted"))?;
        self.pending.extend_from_slice(tag.as_ref());
        record.extend_from_slice(&length);
        record.extend_from_slice(&check(length, &self.pending));
        record.extend_from_slice(&self.pending);
        self.pending.clear();
        self.number += 1;
        Ok(())
    }
}

/// Why there is no next record.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// The file ends inside of it.
    #[error("record {0} is cut: the file ends inside of it")]
    Cut(u64),
    /// It is none.
    #[error("record {0} is damaged")]
    Malformed(u64),
    /// It was encrypted with another key, or for another file or place.
    #[error("record {0} cannot be decrypted: the key is another recording's, or the file was changed")]
    Key(u64),
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// Reads the records of an encrypted file, with its key or without.
#[derive(Debug)]
pub struct RecordReader<R> {
    from: R,
    number: u64,
    bytes: u64,
    record: Zeroizing<Vec<u8>>,
}

impl<R: BufRead> RecordReader<R> {
    /// From the beginning.
    pub fn new(from: R) -> Self {
        Self::at(from, 0)
    }

    /// From a record on, by its number from 0.
    pub fn at(from: R, number: u64) -> Self {
        Self { from, number, bytes: 0, record: Zeroizing::new(Vec::new()) }
    }

    /// So many bytes were read as whole records.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of the next one.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next record, still encrypted, or none at the end. Not to be called again after an error.
    pub fn next_sealed(&mut self) -> Result<Option<&mut [u8]>, RecordFault> {
        let mut head = [0; HEAD_BYTES];
        match filled(&mut self.from, &mut head)? {
            0 => return Ok(None),
            HEAD_BYTES => {}
            _ => return Err(RecordFault::Cut(self.number)),
        }
        let [a, b, c, d, expected @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if !(TAG_BYTES + 1..=RECORD_BYTES + TAG_BYTES).contains(&size) {
            return Err(RecordFault::Malformed(self.number));
        }
        self.record.zeroize();
        self.record.resize(size, 0);
        if filled(&mut self.from, &mut self.record)? < size {
            return Err(RecordFault::Cut(self.number));
        }
        if check([a, b, c, d], &self.record) != expected {
            return Err(RecordFault::Malformed(self.number));
        }
        self.number += 1;
        self.bytes += u64::try_from(HEAD_BYTES + size).unwrap_or(u64::MAX);
        Ok(Some(&mut self.record))
    }
}

/// Reads an encrypted file in the clear.
#[derive(Debug)]
pub struct Opening<R> {
    records: RecordReader<R>,
    key: LessSafeKey,
}

impl<R: BufRead> Opening<R> {
    /// Of a file, by the name that it would have.
    pub fn new(from: R, content: &ContentKey, name: &str) -> Result<Self, CannotEncrypt> {
        Self::at(from, 0, content, name)
    }

    /// From a record on.
    pub fn at(from: R, number: u64, content: &ContentKey, name: &str) -> Result<Self, CannotEncrypt> {
        Ok(Self { records: RecordReader::at(from, number), key: content.of_file(name)? })
    }

    /// So many bytes of the file were read as whole records.
    pub fn bytes(&self) -> u64 {
        self.records.bytes()
    }

    /// The number of the next record.
    pub fn number(&self) -> u64 {
        self.records.number()
    }

    /// What the next record holds, or none at the end: whole frames or lines. Not to be called again after an error.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>, RecordFault> {
        let number = self.records.number();
        let Some(sealed) = self.records.next_sealed()? else { return Ok(None) };
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_le_bytes();
        match self.key.open_in_place(nonce(number), Aad::from(length), sealed) {
            Ok(plain) => Ok(Some(plain)),
            Err(_) => Err(RecordFault::Key(number)),
        }
    }
}

#[cfg(test)]
mod tests;
