//! Names that are no UTF-8, which the crate hands on with U+FFFD in place of what it could not read: each is found again, and none
//! is ever taken for another.

use super::Refused;
use crate::path::{NAMES_MOST, PATH_BYTES, PathError, SafePath, steps};
use crate::tree::Tree;
use bytes::Bytes;
use russh_sftp::de;
use russh_sftp::protocol::StatusCode;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands for bytes that are no UTF-8.
pub(super) const LOST: char = char::REPLACEMENT_CHARACTER;

/// The paths of the request at hand, as they were sent, if one of them is no UTF-8.
#[derive(Clone, Default)]
pub(super) struct Sent(Arc<Mutex<Vec<Vec<u8>>>>);

impl Sent {
    /// Looks at a request, without its length.
    pub(super) fn look(&self, packet: &[u8]) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.clear();
        if let Some(paths) = paths(packet)
            && paths.iter().any(|path| str::from_utf8(path).is_err())
        {
            *sent = paths;
        }
    }

    /// The path of this place in the request, if it was sent as no UTF-8.
    fn at(&self, place: usize) -> Option<Vec<u8>> {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.get(place).filter(|path| str::from_utf8(path).is_err()).cloned()
    }
}

/// The paths of a request, as the crate's own reader finds them; none: there are none, or it is malformed.
fn paths(packet: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (kind, rest) = packet.split_first()?;
    let rest = || Bytes::copy_from_slice(rest);
    Some(match kind {
        3 | 7 | 9 | 11 | 13..=17 => {
            let (_, path): (u32, Vec<u8>) = de::from_bytes(&mut rest()).ok()?;
            vec![path]
        }
        18 => {
            let (_, from, to): (u32, Vec<u8>, Vec<u8>) = de::from_bytes(&mut rest()).ok()?;
            vec![from, to]
        }
        200 => {
            let (_, name, from, to): (u32, String, Vec<u8>, Vec<u8>) = de::from_bytes(&mut rest()).ok()?;
            if name == super::POSIX_RENAME { vec![from, to] } else { return None }
        }
        _ => return None,
    })
}

/// What a path is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// What is there.
    Use,
    /// What may be made by it.
    Make,
}

/// The path that was sent in this place of the request, and that the crate has read as `text`.
pub(super) fn path(
    tree: &Tree,
    sent: &Sent,
    place: usize,
    text: &str,
    wanted: For,
) -> Result<SafePath, Refused> {
    if text.contains(LOST) {
        // Bytes that were sent are meant as they are, not what looks like them.
        found(tree, sent.at(place).as_deref().unwrap_or(text.as_bytes()), wanted)
    } else {
        Ok(SafePath::parse(text.as_bytes())?)
    }
}

/// A path as it is told: without a look at any file, as the client itself would find it.
pub(super) fn normal(text: &str) -> Result<String, PathError> {
    if text.contains(LOST) {
        let names = bounded(text.as_bytes())?;
        let names: Vec<_> = names.into_iter().map(String::from_utf8_lossy).collect();
        Ok(format!("/{}", names.join("/")))
    } else {
        Ok(SafePath::parse(text.as_bytes())?.to_string())
    }
}

/// The names of a path as it is shown, where each byte that is no UTF-8 may have become three.
fn bounded(path: &[u8]) -> Result<Vec<&[u8]>, PathError> {
    if path.contains(&0) {
        return Err(PathError::Zero);
    }
    let names = steps(path);
    if path.len() > LOST.len_utf8() * PATH_BYTES || names.len() > NAMES_MOST {
        return Err(PathError::TooLong);
    }
    Ok(names)
}

/// The path that these bytes lead to: a name with U+FFFD in it is the one that a listing shows like this.
fn found(tree: &Tree, path: &[u8], wanted: For) -> Result<SafePath, Refused> {
    let names = bounded(path)?;
    let last = names.len().saturating_sub(1);
    let mut path = SafePath::default();
    for (place, name) in names.into_iter().enumerate() {
        let name = match str::from_utf8(name) {
            Ok(shown) if shown.contains(LOST) => {
                the_one(tree, &path, shown, if place == last { wanted } else { For::Use })?
            }
            _ => name.to_vec(),
        };
        path = path.join(&name).ok_or(PathError::TooLong)?;
    }
    if path.to_bytes().len() > PATH_BYTES { Err(PathError::TooLong.into()) } else { Ok(path) }
}

/// The one name in a folder that is shown like this.
fn the_one(tree: &Tree, folder: &SafePath, shown: &str, wanted: For) -> Result<Vec<u8>, Refused> {
    let mut alike = tree.names(folder)?.into_iter().filter(|name| String::from_utf8_lossy(name) == shown);
    match (alike.next(), alike.next()) {
        (Some(name), None) => Ok(name),
        (Some(_), Some(_)) => Err(Refused(
            StatusCode::Failure,
            "more than one name here is shown so: say the bytes of the one that is meant".to_owned(),
        )),
        (None, _) if wanted == For::Make => Err(Refused(
            StatusCode::Failure,
            "the name is no UTF-8: U+FFFD stands in it for what could not be read, choose another".to_owned(),
        )),
        (None, _) => Err(nix::errno::Errno::ENOENT.into()),
    }
}
