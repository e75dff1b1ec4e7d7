//! The command line.

use drawbridge_chain::{DeviceKey, Expected, KeyFault};
use drawbridge_verify::Key;
use lexopt::prelude::{Long, Short, Value, ValueExt as _};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Usage: verify [--key FINGERPRINT | --key-file FILE] [--open FOLDER (--identity FILE | --content-key FILE)] PATH

Says whether a recording or an audit that was exported is as the appliance sealed it. PATH is its folder, or an
uncompressed tar file of it; of an audit, the folder with its segments. Works offline and changes nothing.

  --key FINGERPRINT   the appliance's key, as its console and `ssh-keygen -l` show it: SHA256:...
  --key-file FILE     its public key: a line `ssh-ed25519 AAAA...`
Without one of them the key is taken that the recording names: that shows that nothing was changed since, and not
which appliance made it.


A recording that is encrypted is verified without a key. Who has one opens it too:
  --open FOLDER       writes what happened, and what was shown and typed, in the clear into this folder, which is made;
                      `ttyplay` plays its files terminal-N.ttyrec, players of asciicasts terminal-N.cast
  --identity FILE     with the private key of age, as `age-keygen` made it
  --content-key FILE  with the recording's own key, as `age -d -i FILE key.age` has found it
A recording in which something is wrong is opened all the same.

Ends with 0 when it is whole, 1 when something is wrong or its end is not signed, 2 when it cannot be read.
";

/// A public key's file is shorter.
const KEY_FILE_BYTES: u64 = 64 * 1024;

pub(crate) struct Arguments {
    pub(crate) path: PathBuf,
    pub(crate) expected: Expected,
    /// With what it is opened, and into which folder.
    pub(crate) opening: Option<(Key, PathBuf)>,
}

pub(crate) enum Wanted {
    Help,
    Run(Arguments),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ArgumentFault {
    #[error(transparent)]
    Syntax(#[from] lexopt::Error),
    #[error("--key: {0}")]
    Key(KeyFault),
    #[error("--key-file: {path}: {why}", path = .0.display(), why = .1)]
    KeyFile(PathBuf, String),
    #[error("--key and --key-file are given twice, or both: give one of them")]
    TwoKeys,
    #[error("--open needs --identity or --content-key, one of them, and they need it (see --help)")]
    Opening,
    #[error("give one path: the folder of a recording, or a tar file of it (see --help)")]
    Path,
}

impl Arguments {
    pub(crate) fn read(mut parser: lexopt::Parser) -> Result<Wanted, ArgumentFault> {
        let (mut path, mut expected, mut folder, mut keys) = (None, None, None, Vec::new());
        while let Some(argument) = parser.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(Wanted::Help),
                Long("key") => {
                    let text = parser.value()?.string()?;
                    let hash = DeviceKey::parse_fingerprint(&text).map_err(ArgumentFault::Key)?;
                    if expected.replace(Expected::Fingerprint(hash)).is_some() {
                        return Err(ArgumentFault::TwoKeys);
                    }
                }
                Long("key-file") => {
                    let file = PathBuf::from(parser.value()?);
                    let key = key_of(&file)?;
                    if expected.replace(Expected::Key(key)).is_some() {
                        return Err(ArgumentFault::TwoKeys);
                    }
                }
                Long("open") => folder = Some(PathBuf::from(parser.value()?)),
                Long("identity") => keys.push(Key::Identity(PathBuf::from(parser.value()?))),
                Long("content-key") => keys.push(Key::Content(PathBuf::from(parser.value()?))),
                Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
                Value(_) => return Err(ArgumentFault::Path),
                other => return Err(other.unexpected().into()),
            }
        }
        let path = path.ok_or(ArgumentFault::Path)?;
        let opening = match (folder, keys.pop(), keys.is_empty()) {
            (None, None, _) => None,
            (Some(folder), Some(key), true) => Some((key, folder)),
            _ => return Err(ArgumentFault::Opening),
        };
        Ok(Wanted::Run(Self { path, expected: expected.unwrap_or(Expected::FirstSight), opening }))
    }
}

/// The first line of a file that is a key; others may be comments.
fn key_of(path: &PathBuf) -> Result<DeviceKey, ArgumentFault> {
    let fault = |why: String| ArgumentFault::KeyFile(path.clone(), why);
    let mut text = String::new();
    let read = |text: &mut String| -> io::Result<usize> {
        File::open(path)?.take(KEY_FILE_BYTES).read_to_string(text)
    };
    read(&mut text).map_err(|error| fault(error.to_string()))?;
    let key = text.lines().find_map(|line| DeviceKey::parse_ssh(line).ok());
    key.ok_or_else(|| fault(KeyFault::Key.to_string()))
}
