//! How far each receiver has come, in a file of its own that a power cut leaves whole; it may tell of less than was delivered,
//! and never of more.

use drawbridge_settings::FieldError;
use drawbridge_settings::store::{Document, SaveError, Source, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::path::Path;

/// As it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// The number of the last event that it has for good.
    settled: u64,
}

impl Document for Position {
    const NAME: &'static str = "position";
    const VERSION: u32 = 0;

    fn migrate(from: u32, _: Value) -> Result<Value, String> {
        Err(format!("there never was a version {from}"))
    }

    fn check(&self) -> Result<(), Vec<FieldError>> {
        Ok(())
    }
}

/// Where the position of one receiver is kept: the number of the last event that it has.
pub trait Place: Send + 'static {
    /// None when it was never told anything.
    fn load(&self) -> Option<u64>;

    /// Keeps it. It may be kept later than this returns, and then as the greater ones are; never before.
    fn save(&self, settled: u64) -> Result<(), SaveError>;
}

impl Place for Positions {
    fn load(&self) -> Option<u64> {
        Self::load(self)
    }

    fn save(&self, settled: u64) -> Result<(), SaveError> {
        Self::save(self, settled)
    }
}

/// Where the position of one receiver is kept: in a folder.
#[derive(Clone, Debug)]
pub struct Positions {
    store: Store,
}

impl Positions {
    /// In a folder of the receiver's own, which is made where it is missing.
    pub fn at(folder: &Path) -> io::Result<Self> {
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self { store: Store::at(folder) }),
        }
    }

    /// The number of the last event that it has. None when it was never told anything; 0 when what was kept is lost, so that it
    /// is told all again.
    pub fn load(&self) -> Option<u64> {
        let loaded = self.store.load::<Position>();
        match &loaded.source {
            Source::Defaults { why: None } => None,
            source => {
                if *source != Source::Current {
                    log::warn!("events of the audit may be delivered twice: {}", loaded.sentence());
                }
                Some(loaded.value.settled)
            }
        }
    }

    /// Keeps it; when this returns it is on the disk.
    pub fn save(&self, settled: u64) -> Result<(), SaveError> {
        self.store.save(&Position { settled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_kept_and_a_damaged_one_leads_back_and_never_forward() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("syslog");
        let positions = Positions::at(&path).unwrap();
        assert_eq!(positions.load(), None);
        positions.save(5).unwrap();
        positions.save(9).unwrap();
        assert_eq!(Positions::at(&path).unwrap().load(), Some(9));
        let current = path.join("position.json");
        let text = std::fs::read_to_string(&current).unwrap();
        std::fs::write(&current, text.replace('9', "8")).unwrap();
        assert_eq!(positions.load(), Some(5));
        std::fs::write(path.join("position.previous.json"), "nonsense").unwrap();
        assert_eq!(positions.load(), Some(0));
    }
}
