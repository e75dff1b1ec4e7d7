//! Opens an encrypted recording for whoever has its content key: each file as it would be without encryption. It proves nothing:
//! that is [`drawbridge_chain::verify`]'s, of the encrypted files.

use crate::EVENTS;
use crate::age::CannotEncrypt;
use crate::bundle::{Files, Section};
use crate::event::{Entry, EntryReader, Event};
use crate::sealed::{ContentKey, Opening, RecordFault, opened_file, sealed_file};
use std::io::{self, BufReader, Write};

/// Why a recording could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// It is not encrypted.
    #[error("it is not encrypted: there is nothing to open")]
    Clear,
    /// A file cannot be decrypted or read.
    #[error("{0}: {1}")]
    Record(String, RecordFault),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] CannotEncrypt),
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(String, io::Error),
    /// What was opened cannot be written.
    #[error("{0} cannot be written: {1}")]
    Write(String, io::Error),
}

/// What was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The name of the file.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Why what comes next is missing, where something is damaged or cut: what stands before it is opened all the same.
    pub cut: Option<String>,
}

/// The names that the encrypted files of a recording would have, in order.
pub fn names(files: &impl Files) -> io::Result<Vec<String>> {
    let names = files.names()?;
    Ok(names.iter().filter_map(|name| opened_file(name)).map(str::to_owned).collect())
}

/// Writes one of [`names`] in the clear. What the events say only where all can read them, that a recording was cut, is added
/// to them.
pub fn open(
    files: &impl Files,
    name: &str,
    content: &ContentKey,
    mut to: impl Write,
) -> Result<Opened, OpenFault> {
    let section = sections(files, &sealed_file(name))?.ok_or(OpenFault::Clear)?;
    let mut opening = Opening::new(BufReader::new(section), content, name)?;
    let failed = |error| OpenFault::Write(name.to_owned(), error);
    let mut opened = Opened { name: name.to_owned(), bytes: 0, cut: None };
    let mut has_ended = false;
    loop {
        match opening.next_record() {
            Ok(Some(plain)) => {
                to.write_all(plain).map_err(failed)?;
                opened.bytes += length(plain);
                has_ended |= name == EVENTS && ends(plain);
            }
            Ok(None) => break,
            // With another key nothing of it is opened.
            Err(fault @ (RecordFault::Key(0) | RecordFault::Read(_))) => {
                return Err(OpenFault::Record(name.to_owned(), fault));
            }
            Err(fault) => {
                opened.cut = Some(fault.to_string());
                break;
            }
        }
    }
    if name == EVENTS
        && !has_ended
        && let Some(section) = sections(files, EVENTS)?
    {
        let mut entries = EntryReader::new(BufReader::new(section));
        while let Ok(Some(entry)) = entries.next_entry() {
            if matches!(entry.event, Event::Gap { .. } | Event::Ended { .. }) {
                let line = entry.encode();
                to.write_all(&line).map_err(failed)?;
                opened.bytes += length(&line);
            }
        }
    }
    to.flush().map_err(failed)?;
    Ok(opened)
}

fn sections(files: &impl Files, name: &str) -> Result<Option<Section>, OpenFault> {
    files.open(name).map_err(|error| OpenFault::Read(name.to_owned(), error))
}

/// Whether the last of these lines is a recording's end.
fn ends(lines: &[u8]) -> bool {
    let last = lines.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
    matches!(EntryReader::new(last).next_entry(), Ok(Some(Entry { event: Event::Ended { .. }, .. })))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
