//! The bytes of a document's file, to and from. It never opens one.

use super::{Document, FILE_BYTES_MOST, SaveError, first, hexadecimal};
use crate::fault::printable;
use crate::network::from_value;
use ring::digest::{SHA256, digest};
use serde_json::Value;

/// The first word of every file.
const WORD: &str = "drawbridge";
/// The longest first line: a document's name and a version are short, the checksum is 64 digits.
const HEADER_MOST: usize = 160;

/// Why a file is of no use, as a part of a sentence: "…, because …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is none.
    #[error("the file is missing")]
    Missing,
    /// It cannot be read.
    #[error("the file cannot be read ({0})")]
    Unreadable(String),
    /// It is longer than any that was written.
    #[error("the file is longer than {FILE_BYTES_MOST} bytes")]
    TooLong,
    /// The first line is not one of ours.
    #[error("the file does not begin as one of this appliance's")]
    Header,
    /// It is another document.
    #[error("the file holds something else, namely {0}")]
    Other(String),
    /// The content is not what was written.
    #[error("the file is damaged: its checksum is wrong")]
    Damaged,
    /// Whole, and written by newer software.
    #[error("the file is of version {version}, and this software knows versions up to {known}")]
    Newer {
        /// Its version.
        version: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Whole, and could not be brought up to now.
    #[error("the file is of version {version}, and cannot be brought to version {wanted}: {why}")]
    Migration {
        /// Its version.
        version: u32,
        /// The version that is known.
        wanted: u32,
        /// Why not.
        why: String,
    },
    /// Whole, and not a document.
    #[error("the file's content is wrong ({0})")]
    Wrong(String),
}

/// A document from the bytes of its file. Any bytes are safe.
pub fn parse_file<T: Document>(bytes: &[u8]) -> Result<T, Unusable> {
    if bytes.len() > FILE_BYTES_MOST {
        return Err(Unusable::TooLong);
    }
    let (version, body) = open(T::NAME, bytes)?;
    if version > T::VERSION {
        return Err(Unusable::Newer { version, known: T::VERSION });
    }
    let mut value: Value =
        serde_json::from_slice(body).map_err(|error| Unusable::Wrong(error.to_string()))?;
    for from in version..T::VERSION {
        value = T::migrate(from, value).map_err(|why| Unusable::Migration {
            version,
            wanted: T::VERSION,
            why: printable(&why, 200),
        })?;
    }
    let document: T = from_value(value).map_err(|error| Unusable::Wrong(error.to_string()))?;
    document.check().map_err(|faults| Unusable::Wrong(first(&faults)))?;
    Ok(document)
}

/// A file around a body: the first line, then the body as it is.
pub fn file_bytes(name: &str, version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("{WORD} {name} {version} {}\n", hexadecimal(digest(&SHA256, body).as_ref())).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The file of a document that follows its rules.
pub(super) fn document_bytes<T: Document>(value: &T) -> Result<Vec<u8>, SaveError> {
    value.check().map_err(SaveError::Wrong)?;
    let mut body =
        serde_json::to_vec_pretty(value).map_err(|error| SaveError::Unsayable(error.to_string()))?;
    body.push(b'\n');
    let bytes = file_bytes(T::NAME, T::VERSION, &body);
    if bytes.len() > FILE_BYTES_MOST {
        return Err(SaveError::TooLong(bytes.len()));
    }
    Ok(bytes)
}

/// Version and body of a file that is whole.
fn open<'a>(name: &str, bytes: &'a [u8]) -> Result<(u32, &'a [u8]), Unusable> {
    let end = bytes.iter().take(HEADER_MOST).position(|byte| *byte == b'\n').ok_or(Unusable::Header)?;
    let (header, body) = (&bytes[..end], &bytes[end + 1..]);
    let header = std::str::from_utf8(header).map_err(|_| Unusable::Header)?;
    let words: Vec<&str> = header.split(' ').collect();
    let [WORD, said, version, checksum] = words[..] else { return Err(Unusable::Header) };
    if checksum != hexadecimal(digest(&SHA256, body).as_ref()) {
        return Err(Unusable::Damaged);
    }
    if said != name {
        return Err(Unusable::Other(printable(said, 64)));
    }
    let plain = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    let version = plain.then(|| version.parse().ok()).flatten().ok_or(Unusable::Header)?;
    Ok((version, body))
}
