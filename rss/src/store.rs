//! The one door to what the server keeps: systems, enrolment tokens, engineers, the index of recordings and the audit log. It decides nothing, and it
//! never keeps a token, only its hash.
//!
//! Several programs may have the same database open, the server and the operator's commands, through `SQLite` with its write-ahead log.
//! All times are seconds since 1970, UTC.

use crate::Trouble;
use crate::clock::now;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod audit;
mod engineers;
mod evidence;
mod tokens;

pub use audit::Record;
pub use engineers::{ENGINEER, Engineer, OBSERVER, ROLES};
pub use evidence::{EvidenceKey, KeyWord, Recording};
pub use tokens::{Enrolment, NewToken};

/// Another program may hold the database for so long.
const BUSY: Duration = Duration::from_secs(5);
/// 2: recordings.
const VERSION: i64 = 2;
/// So many are listed.
const MOST_SYSTEMS: i64 = 100_000;

const TABLES: &str = "
    CREATE TABLE systems (
        serial TEXT PRIMARY KEY COLLATE NOCASE, name TEXT NOT NULL UNIQUE COLLATE NOCASE, login_key TEXT NOT NULL,
        host_key TEXT NOT NULL, address TEXT, enrolled INTEGER NOT NULL, seen INTEGER) STRICT;
    CREATE TABLE tokens (
        hash BLOB PRIMARY KEY, serial TEXT COLLATE NOCASE, name TEXT COLLATE NOCASE, address TEXT,
        expires INTEGER NOT NULL, used INTEGER) STRICT;
    CREATE TABLE engineers (
        name TEXT PRIMARY KEY, key TEXT NOT NULL, is_authority INTEGER NOT NULL, role TEXT NOT NULL, systems TEXT NOT NULL,
        sources TEXT NOT NULL, ends INTEGER, disabled INTEGER NOT NULL) STRICT;
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, who TEXT NOT NULL, source TEXT NOT NULL,
        what TEXT NOT NULL, system TEXT NOT NULL, result TEXT NOT NULL) STRICT;
";

/// A system as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Its serial number; no two differ in case only.
    pub serial: String,
    /// What engineers call it; no two differ in case only.
    pub name: String,
    /// The key it logs in with, as OpenSSH writes it, without comment.
    pub login_key: String,
    /// The key of its SSH daemon, likewise.
    pub host_key: String,
    /// The network that it must come from, if it must.
    pub address: Option<String>,
    /// When it was enrolled.
    pub enrolled: i64,
    /// When it connected or went last.
    pub seen: Option<i64>,
}

impl System {
    /// A line for `known_hosts`, by name and serial number (sshd(8)).
    pub fn known_host(&self) -> String {
        format!("{},{} {}\n", self.name, self.serial, self.host_key)
    }
}

/// The database.
#[derive(Clone, Debug)]
pub struct Store(Arc<Mutex<Connection>>);

impl Store {
    /// Opens the database in a folder, which is made if it is not there.
    pub fn open(folder: &Path) -> Result<Self, Trouble> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
            Trouble::new(format!("the folder {} cannot be made: {error}", folder.display()))
        })?;
        let path = folder.join("rss.sqlite");
        // Made with its mode before SQLite opens it: what it puts beside it gets the same one.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Trouble::new(format!("{} cannot be opened: {error}", path.display())))?;
        Self::prepare(Connection::open(&path)?)
    }

    fn prepare(mut connection: Connection) -> Result<Self, Trouble> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A record that is written is there after a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        match change.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? {
            0 => {
                change.execute_batch(TABLES)?;
                change.execute_batch(evidence::TABLES)?;
                change.pragma_update(None, "user_version", VERSION)?;
            }
            1 => {
                change.execute_batch(evidence::TABLES)?;
                change.pragma_update(None, "user_version", VERSION)?;
            }
            VERSION => {}
            other => {
                return Err(Trouble::new(format!(
                    "the database is of version {other}, and this program knows version {VERSION}: use the newer program"
                )));
            }
        }
        change.commit()?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The system with this serial number.
    pub fn system(&self, serial: &str) -> Result<Option<System>, Trouble> {
        self.find("SELECT * FROM systems WHERE serial = ?1", serial)
    }

    /// The system that an engineer calls so: by its name, or else by its serial number.
    pub fn called(&self, name: &str) -> Result<Option<System>, Trouble> {
        self.find(
            "SELECT * FROM systems WHERE name = ?1 OR serial = ?1 ORDER BY name = ?1 DESC LIMIT 1",
            name,
        )
    }

    fn find(&self, question: &str, value: &str) -> Result<Option<System>, Trouble> {
        Ok(self.lock().query_row(question, [value], system).optional()?)
    }

    /// All systems, by name.
    pub fn systems(&self) -> Result<Vec<System>, Trouble> {
        let connection = self.lock();
        let mut question = connection.prepare_cached("SELECT * FROM systems ORDER BY name LIMIT ?1")?;
        let systems = question.query_map([MOST_SYSTEMS], system)?.collect::<Result<_, _>>()?;
        Ok(systems)
    }

    /// Removes a system, with the keys by which its recordings were known; whether it was there. Its recordings stay.
    pub fn remove_system(&self, serial: &str) -> Result<bool, Trouble> {
        let mut connection = self.lock();
        let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let was_there = change.execute("DELETE FROM systems WHERE serial = ?1", [serial])? > 0;
        change.execute("DELETE FROM evidence_keys WHERE system = ?1", [serial])?;
        change.commit()?;
        Ok(was_there)
    }

    /// Gives a system another name; whether it was there.
    pub fn rename_system(&self, serial: &str, name: &str) -> Result<bool, Trouble> {
        let connection = self.lock();
        if is_taken(&connection, name, serial)? {
            return Err(Trouble::new(format!("another system is called {name}: choose another name")));
        }
        Ok(connection.execute("UPDATE systems SET name = ?2 WHERE serial = ?1", [serial, name])? > 0)
    }

    /// Notes that a system is connected.
    pub fn seen(&self, serial: &str) -> Result<(), Trouble> {
        self.lock().execute("UPDATE systems SET seen = ?2 WHERE serial = ?1", params![serial, now()])?;
        Ok(())
    }
}

/// Whether another system's name or serial number is this name, or its name this serial number.
fn is_taken(connection: &Connection, name: &str, serial: &str) -> Result<bool, rusqlite::Error> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM systems WHERE (name IN (?1, ?2) OR serial = ?1) AND serial <> ?2)",
        [name, serial],
        |row| row.get(0),
    )
}

fn system(row: &Row<'_>) -> Result<System, rusqlite::Error> {
    Ok(System {
        serial: row.get("serial")?,
        name: row.get("name")?,
        login_key: row.get("login_key")?,
        host_key: row.get("host_key")?,
        address: row.get("address")?,
        enrolled: row.get("enrolled")?,
        seen: row.get("seen")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_before_there_were_recordings_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let old = Connection::open(folder.path().join("rss.sqlite")).unwrap();
        old.execute_batch(TABLES).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute(
            "INSERT INTO systems (serial, name, login_key, host_key, enrolled) VALUES ('SN-1', 'box-1', 'a', 'b', 1)",
            [],
        )
        .unwrap();
        drop(old);
        for _ in 0..2 {
            let store = Store::open(folder.path()).unwrap();
            assert_eq!(store.systems().unwrap()[0].name, "box-1");
            assert!(store.recordings(None).unwrap().is_empty());
        }
    }
}
