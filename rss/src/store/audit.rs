//! The audit log: lines are added, read, and after very many the oldest go, which is a line itself. None is ever changed.

use super::Store;
use crate::Trouble;
use crate::clock::{now, shown};
use rusqlite::{OptionalExtension as _, params};

/// No more go at once, so that nobody else waits long for the database.
const AT_ONCE: i64 = 20_000;

/// A line of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When; filled in by the store.
    pub time: i64,
    /// An engineer's name, a system's serial number, `operator`, or `server`.
    pub who: String,
    /// From which address.
    pub source: String,
    /// What was done or tried.
    pub what: String,
    /// To which system.
    pub system: String,
    /// How it went.
    pub result: String,
}

impl Store {
    /// Adds a line to the audit log.
    pub fn record(&self, record: &Record) -> Result<(), Trouble> {
        let Record { time: _, who, source, what, system, result } = record;
        self.lock().execute(
            "INSERT INTO audit (time, who, source, what, system, result) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![now(), who, source, what, system, result],
        )?;
        Ok(())
    }

    /// Lets the oldest lines go when there are more than `most`, down to a hundredth below, and adds a line that says so. How
    /// many went; not all at once when they are very many.
    pub fn trim_audit(&self, most: u32) -> Result<u64, Trouble> {
        let most = i64::from(most);
        let mut connection = self.lock();
        let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Numbers are given one after the other, and only the lowest ever go.
        let ends: Option<(i64, i64)> = change
            .query_row(
                "SELECT (SELECT min(id) FROM audit), (SELECT max(id) FROM audit) WHERE EXISTS (SELECT 1 FROM audit)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let Some((first, last)) = ends else { return Ok(0) };
        if last - first < most {
            return Ok(0);
        }
        // One more than asked for: the line about it.
        let keep_from = (last - most + most / 100 + 2).min(first + AT_ONCE);
        let until: Option<i64> = change
            .query_row("SELECT max(time) FROM audit WHERE id < ?1", [keep_from], |row| row.get(0))
            .optional()?
            .flatten();
        let gone = change.execute("DELETE FROM audit WHERE id < ?1", [keep_from])?;
        let until = until.map_or("-".to_owned(), shown);
        let result = format!("the {gone} oldest lines went, until {until}: no more than {most} are kept");
        change.execute(
            "INSERT INTO audit (time, who, source, what, system, result) VALUES (?1, 'server', '', 'audit', '', ?2)",
            params![now(), result],
        )?;
        change.commit()?;
        Ok(u64::try_from(gone).unwrap_or(u64::MAX))
    }

    /// Reads the audit log through, oldest first.
    pub fn audit(&self, mut each: impl FnMut(Record) -> Result<(), Trouble>) -> Result<(), Trouble> {
        let connection = self.lock();
        let mut question =
            connection.prepare("SELECT time, who, source, what, system, result FROM audit ORDER BY id")?;
        let mut rows = question.query([])?;
        while let Some(row) = rows.next()? {
            each(Record {
                time: row.get(0)?,
                who: row.get(1)?,
                source: row.get(2)?,
                what: row.get(3)?,
                system: row.get(4)?,
                result: row.get(5)?,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_go_and_that_they_went_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.trim_audit(100).unwrap(), 0);
        let add = |from: u32, to: u32| {
            for number in from..to {
                let what = number.to_string();
                store.record(&Record { what, ..Record::default() }).unwrap();
            }
        };
        let whats = || {
            let mut whats = Vec::new();
            store
                .audit(|record| {
                    whats.push((record.what, record.result));
                    Ok(())
                })
                .unwrap();
            whats
        };
        add(0, 100);
        assert_eq!(store.trim_audit(100).unwrap(), 0);
        add(100, 150);
        assert_eq!(store.trim_audit(100).unwrap(), 52);
        let kept = whats();
        assert_eq!((kept.len(), kept[0].0.as_str(), kept[97].0.as_str()), (99, "52", "149"));
        assert!(kept[98].0 == "audit" && kept[98].1.starts_with("the 52 oldest lines went, until 20"));
        assert_eq!(store.trim_audit(100).unwrap(), 0);
    }
}
