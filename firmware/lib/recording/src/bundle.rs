//! Reads a bundle, from a folder or whatever has files; it believes nothing but what it reads, and proves nothing: that is
//! [`drawbridge_chain::verify`]'s.

use crate::EVENTS;
use crate::event::{Entry, EntryFault, EntryReader, Event, Facts};
use crate::ttyrec::FrameReader;
use drawbridge_chain::{FILE, Fault, Header, LineReader, ReadFault, State, Text};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// The most files that are looked at.
const MOST_FILES: usize = 4096;

/// A part of a file, read by itself.
#[derive(Debug)]
pub struct Section {
    file: File,
    at: u64,
    end: u64,
}

impl Section {
    /// So many bytes of a file, from a byte on.
    pub fn new(file: File, start: u64, length: u64) -> Self {
        Self { file, at: start, end: start.saturating_add(length) }
    }

    /// No more than so many bytes of it.
    #[must_use]
    pub fn first(self, most: u64) -> Self {
        let end = self.end.min(self.at.saturating_add(most));
        Self { end, ..self }
    }

    /// So many bytes are left to read.
    pub fn left(&self) -> u64 {
        self.end - self.at
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left()).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

/// Where the files of a bundle are.
pub trait Files {
    /// The names of all plain files, in order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Opens one by its name; none when it is not there.
    fn open(&self, name: &str) -> io::Result<Option<Section>>;
}

/// Files of a folder. No link is followed.
#[derive(Debug)]
pub struct FolderFiles(PathBuf);

impl FolderFiles {
    /// Of that folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Files for FolderFiles {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.0.read_dir()?.take(MOST_FILES) {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Option<Section>> {
        if name.contains('/') || name.starts_with('.') {
            return Ok(None);
        }
        let path = self.0.join(name);
        match path.symlink_metadata() {
            Ok(facts) if facts.is_file() => {
                let file = File::open(path)?;
                let length = file.metadata()?.len();
                Ok(Some(Section::new(file, 0, length)))
            }
            Ok(_) => Err(io::Error::other("it is no plain file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleFault {
    /// A file is not there.
    #[error("there is no {0}: this is no recording, or not all of it")]
    Missing(String),
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(String, io::Error),
    /// The chain has no header.
    #[error("{FILE} does not begin as a chain does: {0}")]
    Header(Fault),
    /// The events are wrong.
    #[error("{EVENTS}: {0}")]
    Events(EntryFault),
    /// The first event does not say who came in.
    #[error("{EVENTS} does not begin with who came in")]
    NoFacts,
    /// Chain and events are of two recordings.
    #[error("{FILE} and {EVENTS} are not of the same recording")]
    Foreign,
}

/// A bundle.
#[derive(Debug)]
pub struct Bundle<F> {
    files: F,
    header: Header,
    facts: Facts,
    recipient: Option<Text<128>>,
    terminals: Vec<u32>,
}

impl<F: Files> Bundle<F> {
    /// Reads the first line of chain and events.
    pub fn open(files: F) -> Result<Self, BundleFault> {
        let header = match LineReader::new(open(&files, FILE)?).next_line() {
            Ok(Some(line)) => State::begin(line).map_err(BundleFault::Header)?.header().clone(),
            Ok(None) | Err(ReadFault::Torn | ReadFault::Long) => {
                return Err(BundleFault::Header(Fault::NoHeader));
            }
            Err(ReadFault::Read(error)) => return Err(BundleFault::Read(FILE.to_owned(), error)),
        };
        let mut events = EntryReader::new(open(&files, EVENTS)?);
        let first = events.next_entry().map_err(BundleFault::Events)?;
        let Some(Event::Began(facts)) = first.map(|entry| entry.event) else {
            return Err(BundleFault::NoFacts);
        };
        // Whether more can be read is shown where it is read.
        let recipient = match events.next_entry() {
            Ok(Some(Entry { event: Event::Encrypted { recipient }, .. })) => Some(recipient),
            _ => None,
        };
        if facts.id != header.id || facts.serial != header.serial {
            return Err(BundleFault::Foreign);
        }
        let names = files.names().map_err(|error| BundleFault::Read("the folder".to_owned(), error))?;
        let mut terminals: Vec<u32> = names.iter().filter_map(|name| crate::terminal_of(name)).collect();
        terminals.sort_unstable();
        Ok(Self { files, header, facts, recipient, terminals })
    }

    /// The chain's first line: which system, when, and whose key.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Who came in.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The public key of whoever alone can read it, where it is encrypted. What its files hold has then to be opened first
    /// ([`crate::open`]), and here are who came in and how it ended.
    pub fn recipient(&self) -> Option<&str> {
        self.recipient.as_ref().map(Text::as_str)
    }

    /// The numbers of its terminals, in order.
    pub fn terminals(&self) -> &[u32] {
        &self.terminals
    }

    /// All events from the beginning.
    pub fn events(&self) -> Result<EntryReader<BufReader<Section>>, BundleFault> {
        Ok(EntryReader::new(open(&self.files, EVENTS)?))
    }

    /// What a terminal showed.
    pub fn frames(&self, terminal: u32) -> Result<FrameReader<BufReader<Section>>, BundleFault> {
        Ok(FrameReader::new(open(&self.files, &crate::terminal_file(terminal))?))
    }

    /// What was typed at a terminal; none when nothing was.
    pub fn typed(&self, terminal: u32) -> Result<Option<EntryReader<BufReader<Section>>>, BundleFault> {
        match open(&self.files, &crate::typed_file(terminal)) {
            Ok(file) => Ok(Some(EntryReader::new(file))),
            Err(BundleFault::Missing(_)) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// How long the connection was, as far as it can be read: to the last event, or to the last frame when there is no end.
    pub fn duration(&self) -> Result<Duration, BundleFault> {
        let mut events = self.events()?;
        let mut last = Duration::ZERO;
        while let Ok(Some(entry)) = events.next_entry() {
            last = last.max(entry.after());
            if matches!(entry.event, Event::Ended { .. }) {
                return Ok(last);
            }
        }
        let start = Duration::from_millis(self.header.start.millis());
        for terminal in &self.terminals {
            let mut frames = self.frames(*terminal)?;
            while let Ok(Some(frame)) = frames.next_frame() {
                last = last.max(frame.time.saturating_sub(start));
            }
        }
        Ok(last)
    }
}

fn open(files: &impl Files, name: &str) -> Result<BufReader<Section>, BundleFault> {
    let section = files.open(name).map_err(|error| BundleFault::Read(name.to_owned(), error))?;
    section.map(BufReader::new).ok_or_else(|| BundleFault::Missing(name.to_owned()))
}
