//! What is known of the array from one start to the next: where it is, and what it is known by. No credentials are among it.

use super::address;
use crate::api::Api;
use crate::api::problem::Problem;
use crate::api::verification::fingerprint;
use crate::keep::{Folder, Secrecy};
use drawbridge_array::{Array, Plain, Shown, Trust};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The file of what is known of the array.
const FILE: &str = "array.json";

/// What is known of the array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// By name or address, without a port.
    pub(crate) host: String,
    pub(super) known_by: KnownBy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum KnownBy {
    /// SHA-256 of its certificate, in hexadecimal.
    Pinned { fingerprint: String },
    /// Roots that were uploaded, in PEM.
    Uploaded { pem: String },
}

impl Kept {
    /// Known by just this certificate.
    pub(crate) fn pinned(host: String, shown: &Shown) -> Self {
        Self { host, known_by: KnownBy::Pinned { fingerprint: shown.fingerprint() } }
    }

    fn trust(&self) -> Result<Trust, Problem> {
        match &self.known_by {
            KnownBy::Pinned { fingerprint: text } => fingerprint(text).map(Trust::Pin).ok_or_else(damaged),
            KnownBy::Uploaded { pem } => Trust::from_pem(pem.as_bytes()).map_err(|_| damaged()),
        }
    }

    pub(super) fn array(&self) -> Result<Array, Problem> {
        Array::new(address(&self.host)?, self.trust()?, Arc::new(Plain)).map_err(|_| damaged())
    }
}

/// Whether anything is known.
pub(crate) fn is_kept(folder: &Folder) -> bool {
    read(folder).is_some()
}

/// What is known, if anything.
pub(crate) fn kept(api: &Api) -> Option<Kept> {
    read(&api.folder)
}

fn read(folder: &Folder) -> Option<Kept> {
    let bytes = match folder.read(FILE) {
        Ok(bytes) => bytes?,
        Err(error) => {
            log::error!("{FILE} cannot be read: {error}");
            return None;
        }
    };
    let read: Result<Kept, _> = serde_json::from_slice(&bytes);
    read.inspect_err(|_| log::error!("{FILE} is damaged: the array has to be set anew")).ok()
}

/// Keeps it.
pub(crate) fn keep(api: &Api, kept: &Kept) -> Result<(), Problem> {
    let not_kept = |why: String| {
        Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "not-kept",
            "The array's address cannot be kept",
            format!("The array's address cannot be kept: {why}."),
            "Look at the page Health, and have the disk looked at.",
        )
    };
    let text = serde_json::to_vec(kept).map_err(|error| not_kept(error.to_string()))?;
    api.folder.write(FILE, Secrecy::Secret, &text).map_err(|error| not_kept(error.to_string()))?;
    api.gate.array_is(true);
    Ok(())
}

/// By what the array is known: SHA-256 of its certificate, or certificates that were uploaded (DER).
pub(crate) type KnownAs = (Option<[u8; 32]>, Vec<Vec<u8>>);

/// Where the array is, and what it is known by, for whoever posts events there; a sentence where there is none.
pub(crate) fn known(api: &Api) -> Result<(String, KnownAs), &'static str> {
    let kept = kept(api).ok_or("no array is set")?;
    match kept.trust() {
        Ok(Trust::Pin(pin)) => Ok((kept.host, (Some(pin), Vec::new()))),
        Ok(Trust::Uploaded(all)) => Ok((kept.host, (None, all.iter().map(|one| one.to_vec()).collect()))),
        Err(_) => Err("the record of the array is damaged"),
    }
}

/// The record is of no use.
pub(super) fn damaged() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "array-damaged",
        "What is known of the array is damaged",
        "The record of the array is damaged.",
        "Set the array anew on the page Array.",
    )
}
