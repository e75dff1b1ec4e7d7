//! What went wrong, as a sentence; it never holds a secret.

use std::io::Write as _;

/// A sentence that says what is wrong, and where it can, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(String);

impl Trouble {
    /// From a sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self(format!("the database does not answer as it should: {error}"))
    }
}

/// Says on stderr what nobody waits for. Where stderr is closed, nobody is told.
pub(crate) fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "rss: {sentence}");
}
