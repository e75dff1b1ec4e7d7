//! Documents in files: atomic, with a checksum, two generations, and a way up from older versions. It never knows what a
//! document means.
//!
//! `NAME.json` is one line, `drawbridge NAME VERSION SHA256`, then the document as JSON, which the checksum covers. A file
//! is replaced in steps ([`Step`]), each of which leaves a whole generation behind, so that whenever the power fails the
//! old document or the new one is read:
//!
//! ```text
//! NAME.new written, fsync ─► NAME.json becomes NAME.previous.json ─► folder fsync ─► NAME.new becomes NAME.json ─► folder fsync
//!                            (if it is whole; one of a newer version becomes NAME.newer.json)
//! ```
//!
//! No hard links, which a role may not make. A role's folder is its own: nobody else writes there at the same time.

mod file;

pub use file::{Unusable, file_bytes, parse_file};

use crate::fault::FieldError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// The longest file that is read or written.
pub const FILE_BYTES_MOST: usize = 256 * 1024;

/// What can be kept in a [`Store`].
pub trait Document: Serialize + DeserializeOwned + Default + PartialEq {
    /// The file's name without its ending: small letters, digits and hyphens.
    const NAME: &'static str;
    /// The version that is written, from 0. A change that older software cannot read makes a new one.
    const VERSION: u32;

    /// Brings a document of version `from` (less than [`Self::VERSION`]) to the version after it. An error is a sentence.
    fn migrate(from: u32, body: Value) -> Result<Value, String>;

    /// Whether the document's own rules hold. What does not follow them is neither written nor taken from a file.
    fn check(&self) -> Result<(), Vec<FieldError>>;
}

impl Document for crate::network::NetworkSettings {
    const NAME: &'static str = "network";
    const VERSION: u32 = 1;

    fn migrate(from: u32, _: Value) -> Result<Value, String> {
        Err(format!("there never was a version {from}"))
    }

    fn check(&self) -> Result<(), Vec<FieldError>> {
        self.check()
    }
}

/// Where a document comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file that was written last.
    Current,
    /// The generation before it.
    Previous {
        /// Why not the current one, as a part of a sentence.
        why: String,
    },
    /// No file.
    Defaults {
        /// Why not, when there was one.
        why: Option<String>,
    },
}

/// A document, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T> {
    /// The document.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

impl<T: Document> Loaded<T> {
    /// Where the document comes from, as a sentence for the log.
    pub fn sentence(&self) -> String {
        let name = T::NAME;
        match &self.source {
            Source::Current => format!("the {name} settings are those that were saved last"),
            Source::Previous { why } => {
                format!(
                    "the {name} settings are those of one save earlier, because {why}: look at them and save them again"
                )
            }
            Source::Defaults { why: None } => {
                format!("no {name} settings were ever saved: the defaults hold")
            }
            Source::Defaults { why: Some(why) } => {
                format!("the {name} settings are lost and the defaults hold, because {why}: set them again")
            }
        }
    }

    /// Whether somebody should look at it.
    pub fn is_troubled(&self) -> bool {
        !matches!(self.source, Source::Current | Source::Defaults { why: None })
    }
}

/// Why a document was not saved. The one that was there before still is.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// It breaks its own rules.
    #[error("the settings are wrong and were not saved: {}", first(.0))]
    Wrong(Vec<FieldError>),
    /// It is too long.
    #[error("the settings are {0} bytes long and were not saved; at most {FILE_BYTES_MOST} are kept")]
    TooLong(usize),
    /// It cannot be said in JSON.
    #[error("the settings cannot be written as JSON: {0}")]
    Unsayable(String),
    /// The disk.
    #[error("the settings could not be saved ({step}): {error}; the ones before hold")]
    Disk {
        /// In which step.
        step: Step,
        /// What the kernel says.
        error: io::Error,
    },
}

fn first(faults: &[FieldError]) -> String {
    match faults {
        [] => "no rule is named".to_owned(),
        [one] => one.to_string(),
        [one, rest @ ..] => format!("{one} (and {} more)", rest.len()),
    }
}

/// A step of saving, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// What an earlier save left half done goes.
    Clear,
    /// The new file is opened.
    Create,
    /// The new file is written.
    Write,
    /// The new file is on the disk.
    Sync,
    /// The current file becomes the previous one, or is kept aside if it is of a newer version.
    KeepOld,
    /// That is on the disk.
    SyncOld,
    /// The new file becomes the current one.
    PutNew,
    /// That is on the disk.
    SyncNew,
}

impl std::fmt::Display for Step {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::Clear => "removing what an earlier attempt left",
            Self::Create => "making the new file",
            Self::Write => "writing the new file",
            Self::Sync => "bringing the new file to the disk",
            Self::KeepOld => "keeping the file before",
            Self::SyncOld => "bringing the folder to the disk",
            Self::PutNew => "putting the new file in its place",
            Self::SyncNew => "bringing the folder to the disk at last",
        })
    }
}

/// A folder with documents in it.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The documents in this folder, which is there already and belongs to whoever calls.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The document: the current file, else the previous one, else the defaults. Whatever is in the files, there is a
    /// document, and it follows its rules.
    pub fn load<T: Document>(&self) -> Loaded<T> {
        let current = match read::<T>(&self.current::<T>()) {
            Ok(value) => return Loaded { value, source: Source::Current },
            Err(unusable) => unusable,
        };
        let previous = match read::<T>(&self.previous::<T>()) {
            Ok(value) => return Loaded { value, source: Source::Previous { why: current.to_string() } },
            Err(unusable) => unusable,
        };
        let why = match (&current, &previous) {
            (Unusable::Missing, Unusable::Missing) => None,
            (current, Unusable::Missing) => Some(format!("{current} and there is none before it")),
            (current, previous) => Some(format!("{current} and, of the file before it, {previous}")),
        };
        Loaded { value: T::default(), source: Source::Defaults { why } }
    }

    /// Saves a document. When this returns it is on the disk; when it fails, or the power does, the one before is.
    pub fn save<T: Document>(&self, value: &T) -> Result<(), SaveError> {
        self.save_in_steps(value, &mut |_| Ok(()))
    }

    /// Saves a document, and asks before each step whether to go on: a test's way to cut the power.
    fn save_in_steps<T: Document>(
        &self,
        value: &T,
        go_on: &mut dyn FnMut(Step) -> io::Result<()>,
    ) -> Result<(), SaveError> {
        let bytes = file::document_bytes(value)?;
        let mut now = Step::Clear;
        self.replace::<T>(&bytes, &mut |step| {
            now = step;
            go_on(step)
        })
        .map_err(|error| SaveError::Disk { step: now, error })
    }

    fn replace<T: Document>(
        &self,
        bytes: &[u8],
        go_on: &mut dyn FnMut(Step) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = self.folder.join(format!("{}.new", T::NAME));
        let current = self.current::<T>();
        go_on(Step::Clear)?;
        remove(&new)?;
        go_on(Step::Create)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let written = go_on(Step::Write).and_then(|()| file.write_all(bytes)).and_then(|()| {
            go_on(Step::Sync)?;
            file.sync_all()
        });
        if let Err(error) = written {
            // A disk that is full has room again without it.
            let _ = std::fs::remove_file(&new);
            return Err(error);
        }
        // A broken current file takes nobody's place: the previous one may be all there is.
        let kept = match read::<T>(&current) {
            Ok(_) => Some(self.previous::<T>()),
            Err(Unusable::Newer { .. }) => Some(self.folder.join(format!("{}.newer.json", T::NAME))),
            Err(_) => None,
        };
        if let Some(kept) = kept {
            go_on(Step::KeepOld)?;
            std::fs::rename(&current, kept)?;
            go_on(Step::SyncOld)?;
            self.sync()?;
        }
        go_on(Step::PutNew)?;
        std::fs::rename(&new, &current)?;
        go_on(Step::SyncNew)?;
        self.sync()
    }

    fn current<T: Document>(&self) -> PathBuf {
        self.folder.join(format!("{}.json", T::NAME))
    }

    fn previous<T: Document>(&self) -> PathBuf {
        self.folder.join(format!("{}.previous.json", T::NAME))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

fn read<T: Document>(path: &Path) -> Result<T, Unusable> {
    // No link is followed, and nothing is waited for: whatever lies there, it is a file or it is of no use.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Missing),
        Err(error) => return Err(Unusable::Unreadable(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.metadata()
        .and_then(|about| if about.is_file() { Ok(()) } else { Err(io::Error::other("it is no file")) })
        .and_then(|()| file.take(FILE_BYTES_MOST as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Unusable::Unreadable(error.to_string()))?;
    parse_file(&bytes)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes as hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
