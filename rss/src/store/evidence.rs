//! The keys by which a system's recordings are known, and the index of those that are kept. It holds no recording, and proves none.

use super::{Store, System};
use crate::Trouble;
use crate::clock::now;
use rusqlite::{OptionalExtension as _, Row, TransactionBehavior, params};

/// So many keys a system has at most: a new one each year for longer than anything lasts.
const MOST_KEYS: i64 = 32;
/// So many recordings are listed.
const MOST_LISTED: i64 = 100_000;

pub(super) const TABLES: &str = "
    CREATE TABLE evidence_keys (
        system TEXT NOT NULL COLLATE NOCASE, key TEXT NOT NULL, accepted INTEGER, offered INTEGER NOT NULL,
        PRIMARY KEY (system, key)) STRICT;
    CREATE TABLE recordings (
        system TEXT NOT NULL COLLATE NOCASE, name TEXT NOT NULL, system_name TEXT NOT NULL, key TEXT NOT NULL,
        began INTEGER NOT NULL, marked INTEGER NOT NULL, updated INTEGER NOT NULL, engineer TEXT NOT NULL,
        login TEXT NOT NULL, source TEXT NOT NULL, session TEXT NOT NULL, level TEXT NOT NULL, chain INTEGER NOT NULL,
        bytes INTEGER NOT NULL, head TEXT NOT NULL, ended TEXT, whole INTEGER NOT NULL,
        PRIMARY KEY (system, name)) STRICT;
    CREATE INDEX recordings_by_name ON recordings (name);
";

/// What is known of a key that a system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWord {
    /// It is one of those by which the system's recordings are known.
    Known,
    /// It is the first, and is one of those from now on.
    First,
    /// It is another one. It is noted; whether for the first time.
    Other {
        /// Whether it was not noted before.
        is_new: bool,
    },
}

/// A key of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceKey {
    /// As OpenSSH writes it.
    pub key: String,
    /// Since when recordings are known by it; none: it was only said.
    pub accepted: Option<i64>,
    /// When it was said first.
    pub offered: i64,
}

/// A recording, as the index has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The system's serial number.
    pub system: String,
    /// The recording's name.
    pub name: String,
    /// What the system was called.
    pub system_name: String,
    /// Whose signatures are in it, as OpenSSH writes it.
    pub key: String,
    /// When it began, in milliseconds since 1970 by the system's clock.
    pub began: i64,
    /// Up to when it is known, likewise.
    pub marked: i64,
    /// When the last of it came, in seconds by the server's clock.
    pub updated: i64,
    /// Who came in.
    pub engineer: String,
    /// As whom he logged in.
    pub login: String,
    /// From where.
    pub source: String,
    /// What the support session is called.
    pub session: String,
    /// How closely he was led.
    pub level: String,
    /// Bytes of the chain.
    pub chain: u64,
    /// Bytes that the chain names.
    pub bytes: u64,
    /// The hash of the chain's last line.
    pub head: String,
    /// Why it ended, where it has.
    pub ended: Option<String>,
    /// Whether its end is signed.
    pub whole: bool,
}

impl Store {
    /// What is known of a key that a system says by its login; the first one is taken.
    pub fn evidence_key(&self, system: &str, key: &str) -> Result<KeyWord, Trouble> {
        let mut connection = self.lock();
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: Option<Option<i64>> = change
            .query_row(
                "SELECT accepted FROM evidence_keys WHERE system = ?1 AND key = ?2",
                [system, key],
                |row| row.get(0),
            )
            .optional()?;
        let accepted: i64 = change.query_row(
            "SELECT count(*) FROM evidence_keys WHERE system = ?1 AND accepted IS NOT NULL",
            [system],
            |row| row.get(0),
        )?;
        let word = match found {
            Some(Some(_)) => KeyWord::Known,
            Some(None) if accepted > 0 => KeyWord::Other { is_new: false },
            _ if accepted == 0 => {
                change.execute(
                    "INSERT OR REPLACE INTO evidence_keys (system, key, accepted, offered) VALUES (?1, ?2, ?3, ?3)",
                    params![system, key, now()],
                )?;
                KeyWord::First
            }
            _ => {
                // Of those that were only said, the last one is kept.
                change
                    .execute("DELETE FROM evidence_keys WHERE system = ?1 AND accepted IS NULL", [system])?;
                change.execute(
                    "INSERT INTO evidence_keys (system, key, accepted, offered) VALUES (?1, ?2, NULL, ?3)",
                    params![system, key, now()],
                )?;
                KeyWord::Other { is_new: true }
            }
        };
        change.commit()?;
        Ok(word)
    }

    /// A system's keys, the oldest first.
    pub fn evidence_keys(&self, system: &str) -> Result<Vec<EvidenceKey>, Trouble> {
        let connection = self.lock();
        let mut question = connection.prepare_cached(
            "SELECT key, accepted, offered FROM evidence_keys WHERE system = ?1 ORDER BY offered, key LIMIT ?2",
        )?;
        let key =
            |row: &Row<'_>| Ok(EvidenceKey { key: row.get(0)?, accepted: row.get(1)?, offered: row.get(2)? });
        let keys = question.query_map(params![system, MOST_KEYS + 1], key)?.collect::<Result<_, _>>()?;
        Ok(keys)
    }

    /// Takes a key that a system has said; false when it has said no such key.
    pub fn accept_evidence_key(&self, system: &str, key: &str) -> Result<bool, Trouble> {
        let connection = self.lock();
        let accepted: i64 = connection.query_row(
            "SELECT count(*) FROM evidence_keys WHERE system = ?1 AND accepted IS NOT NULL",
            [system],
            |row| row.get(0),
        )?;
        if accepted >= MOST_KEYS {
            return Err(Trouble::new(format!("the system has {MOST_KEYS} keys already: forget one first")));
        }
        let question =
            "UPDATE evidence_keys SET accepted = coalesce(accepted, ?3) WHERE system = ?1 AND key = ?2";
        Ok(connection.execute(question, params![system, key, now()])? > 0)
    }

    /// Forgets a key; false when there is none such.
    pub fn forget_evidence_key(&self, system: &str, key: &str) -> Result<bool, Trouble> {
        let question = "DELETE FROM evidence_keys WHERE system = ?1 AND key = ?2";
        Ok(self.lock().execute(question, [system, key])? > 0)
    }

    /// Notes how far a recording is.
    pub fn put_recording(&self, recording: &Recording) -> Result<(), Trouble> {
        let Recording { system, name, system_name, key, began, marked, engineer, login, .. } = recording;
        let Recording { source, session, level, chain, bytes, head, ended, whole, updated: _, .. } =
            recording;
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.lock().execute(
            "INSERT OR REPLACE INTO recordings (system, name, system_name, key, began, marked, updated, engineer, login,
                 source, session, level, chain, bytes, head, ended, whole)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            params![
                system,
                name,
                system_name,
                key,
                began,
                marked,
                now(),
                engineer,
                login,
                source,
                session,
                level,
                number(*chain),
                number(*bytes),
                head,
                ended,
                whole
            ],
        )?;
        Ok(())
    }

    /// Recordings of a system, or of all, the latest first.
    pub fn recordings(&self, system: Option<&str>) -> Result<Vec<Recording>, Trouble> {
        let connection = self.lock();
        let mut question = connection.prepare_cached(
            "SELECT * FROM recordings WHERE ?1 IS NULL OR system = ?1 ORDER BY name DESC, system LIMIT ?2",
        )?;
        let recordings =
            question.query_map(params![system, MOST_LISTED], recording)?.collect::<Result<_, _>>()?;
        Ok(recordings)
    }

    /// The latest recordings of a system, or those with an earlier name than this: so many at most.
    pub fn recordings_before(
        &self,
        system: &str,
        before: Option<&str>,
        most: usize,
    ) -> Result<Vec<Recording>, Trouble> {
        let connection = self.lock();
        let mut question = connection.prepare_cached(
            "SELECT * FROM recordings WHERE system = ?1 AND (?2 IS NULL OR name < ?2) ORDER BY name DESC LIMIT ?3",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let recordings =
            question.query_map(params![system, before, most], recording)?.collect::<Result<_, _>>()?;
        Ok(recordings)
    }

    /// Recordings of this name: of that system, or of any.
    pub fn recordings_called(&self, name: &str, system: Option<&str>) -> Result<Vec<Recording>, Trouble> {
        let connection = self.lock();
        let mut question = connection.prepare_cached(
            "SELECT * FROM recordings WHERE name = ?1 AND (?2 IS NULL OR system = ?2) ORDER BY system LIMIT 16",
        )?;
        let recordings = question.query_map(params![name, system], recording)?.collect::<Result<_, _>>()?;
        Ok(recordings)
    }

    /// Takes a recording out of the index; whether it was there.
    pub fn remove_recording(&self, system: &str, name: &str) -> Result<bool, Trouble> {
        let question = "DELETE FROM recordings WHERE system = ?1 AND name = ?2";
        Ok(self.lock().execute(question, [system, name])? > 0)
    }

    /// How many recordings a system has, and how many bytes all recordings of all systems take.
    pub fn recordings_take(&self, system: &str) -> Result<(u64, u64), Trouble> {
        let of = |row: &Row<'_>| -> Result<(i64, i64), rusqlite::Error> { Ok((row.get(0)?, row.get(1)?)) };
        let (count, bytes) = self.lock().query_row(
            "SELECT count(*) FILTER (WHERE system = ?1), coalesce(sum(bytes + chain), 0) FROM recordings",
            [system],
            of,
        )?;
        Ok((u64::try_from(count).unwrap_or(0), u64::try_from(bytes).unwrap_or(0)))
    }

    /// The serial number for what an operator calls a system, which may be one that was removed.
    pub fn serial_of(&self, called: &str) -> Result<String, Trouble> {
        Ok(self.called(called)?.map_or_else(|| called.to_owned(), |System { serial, .. }| serial))
    }
}

fn recording(row: &Row<'_>) -> Result<Recording, rusqlite::Error> {
    let number = |column: &str| -> Result<u64, rusqlite::Error> {
        Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
    };
    Ok(Recording {
        system: row.get("system")?,
        name: row.get("name")?,
        system_name: row.get("system_name")?,
        key: row.get("key")?,
        began: row.get("began")?,
        marked: row.get("marked")?,
        updated: row.get("updated")?,
        engineer: row.get("engineer")?,
        login: row.get("login")?,
        source: row.get("source")?,
        session: row.get("session")?,
        level: row.get("level")?,
        chain: number("chain")?,
        bytes: number("bytes")?,
        head: row.get("head")?,
        ended: row.get("ended")?,
        whole: row.get("whole")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_is_taken_and_another_one_only_by_the_operator() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.evidence_key("SN-1", "one").unwrap(), KeyWord::First);
        assert_eq!(store.evidence_key("sn-1", "one").unwrap(), KeyWord::Known);
        assert_eq!(store.evidence_key("SN-1", "two").unwrap(), KeyWord::Other { is_new: true });
        assert_eq!(store.evidence_key("SN-1", "two").unwrap(), KeyWord::Other { is_new: false });
        assert_eq!(store.evidence_key("SN-2", "two").unwrap(), KeyWord::First);
        assert!(!store.accept_evidence_key("SN-1", "three").unwrap());
        assert!(store.accept_evidence_key("SN-1", "two").unwrap());
        assert_eq!(store.evidence_key("SN-1", "two").unwrap(), KeyWord::Known);
        assert_eq!(store.evidence_key("SN-1", "one").unwrap(), KeyWord::Known);
        // Of those that are only said, one is noted.
        for key in ["four", "five"] {
            assert_eq!(store.evidence_key("SN-1", key).unwrap(), KeyWord::Other { is_new: true });
        }
        let keys = store.evidence_keys("SN-1").unwrap();
        assert_eq!(keys.iter().filter(|key| key.accepted.is_none()).count(), 1);
        assert_eq!(keys.len(), 3);
        assert!(store.forget_evidence_key("SN-1", "one").unwrap());
        assert_eq!(store.evidence_key("SN-1", "one").unwrap(), KeyWord::Other { is_new: true });
    }

    #[test]
    fn the_index_counts_what_a_system_has_and_what_all_take() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let of = |system: &str, name: &str, bytes| Recording {
            system: system.to_owned(),
            name: name.to_owned(),
            bytes,
            chain: 5,
            ..Recording::default()
        };
        for one in [of("SN-1", "a", 10), of("SN-1", "b", 20), of("SN-2", "a", 30), of("SN-1", "b", 25)] {
            store.put_recording(&one).unwrap();
        }
        assert_eq!(store.recordings_take("sn-1").unwrap(), (2, 80));
        assert_eq!(store.recordings_called("a", None).unwrap().len(), 2);
        assert_eq!(store.recordings_called("a", Some("SN-2")).unwrap()[0].bytes, 30);
        let names = |system| -> Vec<String> {
            store.recordings(system).unwrap().into_iter().map(|one| one.name).collect()
        };
        assert_eq!(
            (names(None), names(Some("SN-1"))),
            (vec!["b".to_owned(), "a".to_owned(), "a".to_owned()], vec!["b".to_owned(), "a".to_owned()])
        );
        let page = |before, most| -> Vec<String> {
            let page = store.recordings_before("sn-1", before, most).unwrap();
            page.into_iter().map(|one| one.name).collect()
        };
        assert_eq!((page(None, 1), page(Some("b"), 9)), (vec!["b".to_owned()], vec!["a".to_owned()]));
        assert!(page(Some("a"), 9).is_empty());
        assert!(store.remove_recording("SN-1", "b").unwrap());
        assert_eq!(store.recordings_take("SN-1").unwrap(), (1, 50));
    }
}
