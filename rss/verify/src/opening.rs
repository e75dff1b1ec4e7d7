//! Writes an encrypted recording in the clear, for the customer who has its key: into a folder of its own that only he reads. It
//! changes nothing of what it reads.

use crate::identity::{AGE_FILE_BYTES, Identity, IdentityFault};
use crate::source::Source;
use drawbridge_recording::cast::export;
use drawbridge_recording::{ContentKey, ContentKeyFault, Files, FrameReader, KEY_FILE, open, terminal_of};
use std::fs::{DirBuilder, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest file of a private key or content key, in bytes.
const KEY_BYTES: u64 = 64 * 1024;

/// With what it is opened.
#[derive(Debug)]
pub enum Key {
    /// The customer's private key, by its file.
    Identity(PathBuf),
    /// The recording's key, by its file: what `age -d` found.
    Content(PathBuf),
}

/// Why it was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpeningFault {
    /// It is not encrypted.
    #[error("it is not encrypted: its files are as they are")]
    Clear,
    /// The file of the key.
    #[error("{path}: {why}", path = .0.display(), why = .1)]
    KeyFile(PathBuf, String),
    /// The key.
    #[error("{path}: {fault}", path = .0.display(), fault = .1)]
    Identity(PathBuf, IdentityFault),
    /// The key.
    #[error("{path}: {fault}", path = .0.display(), fault = .1)]
    Content(PathBuf, ContentKeyFault),
    /// The recording.
    #[error(transparent)]
    Open(#[from] open::OpenFault),
    /// A file of it.
    #[error("{0}: {1}")]
    File(String, io::Error),
}

/// Opens it into a folder that is not there yet, and says in words what is there then.
pub fn open(source: &Source, key: &Key, folder: &Path, out: &mut Vec<u8>) -> Result<(), OpeningFault> {
    let at = |name: &str| {
        let name = name.to_owned();
        move |error| OpeningFault::File(name, error)
    };
    let wrapped = Files::open(source, KEY_FILE).map_err(at(KEY_FILE))?.ok_or(OpeningFault::Clear)?;
    let content = content(key, wrapped)?;
    let shown = folder.display().to_string();
    DirBuilder::new().mode(0o700).create(folder).map_err(at(&shown))?;
    // What could not be opened leaves nothing behind: the folder is ours, and was not there before.
    opened(source, &content, folder, out).inspect_err(|_| drop(std::fs::remove_dir_all(folder)))
}

fn opened(
    source: &Source,
    content: &ContentKey,
    folder: &Path,
    out: &mut Vec<u8>,
) -> Result<(), OpeningFault> {
    let at = |name: &str| {
        let name = name.to_owned();
        move |error| OpeningFault::File(name, error)
    };
    let create = |name: &str| {
        let made = File::options().write(true).create_new(true).mode(0o600).open(folder.join(name));
        made.map(BufWriter::new).map_err(at(name))
    };
    for name in open::names(source).map_err(at("its files"))? {
        let opened = open::open(source, &name, content, create(&name)?)?;
        let cut = opened.cut.map_or_else(String::new, |why| format!("; what comes next is missing: {why}"));
        // Writing to memory cannot fail.
        let _ = writeln!(out, "  opened    {} ({} bytes{cut})", folder.join(&name).display(), opened.bytes);
        if let Some(number) = terminal_of(&name) {
            let cast = format!("terminal-{number}.cast");
            let film = File::open(folder.join(&name)).map_err(at(&name))?;
            let mut frames = FrameReader::new(BufReader::new(film));
            // A film whose end is missing is shown as far as it goes.
            match export(&mut frames, create(&cast)?) {
                Ok(()) | Err(drawbridge_recording::cast::CastFault::Frame(_)) => {}
                Err(drawbridge_recording::cast::CastFault::Write(error)) => return Err(at(&cast)(error)),
            }
            let _ = writeln!(out, "  opened    {} (asciicast)", folder.join(&cast).display());
        }
    }
    Ok(())
}

fn content(key: &Key, wrapped: impl io::Read) -> Result<ContentKey, OpeningFault> {
    let text = |path: &PathBuf| {
        let mut text = Zeroizing::new(String::new());
        let read = File::open(path).and_then(|file| file.take(KEY_BYTES).read_to_string(&mut text));
        read.map_err(|error| OpeningFault::KeyFile(path.clone(), error.to_string()))?;
        Ok::<_, OpeningFault>(text)
    };
    match key {
        Key::Content(path) => {
            ContentKey::from_text(&text(path)?).map_err(|fault| OpeningFault::Content(path.clone(), fault))
        }
        Key::Identity(path) => {
            let fault = |fault| OpeningFault::Identity(path.clone(), fault);
            let identity = Identity::parse(&text(path)?).map_err(fault)?;
            let mut file = Vec::new();
            let most = u64::try_from(AGE_FILE_BYTES).unwrap_or(u64::MAX);
            wrapped
                .take(most + 1)
                .read_to_end(&mut file)
                .map_err(|error| OpeningFault::File(KEY_FILE.to_owned(), error))?;
            identity.content(&file).map_err(fault)
        }
    }
}
