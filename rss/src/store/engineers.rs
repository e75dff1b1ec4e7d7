//! Engineers and authorities, as they are kept. Who may do what is decided elsewhere.

use super::Store;
use crate::Trouble;
use rusqlite::params;

/// So many engineers and authorities may be kept.
const MOST: i64 = 10_000;

/// The roles: an engineer reaches his systems, an observer sees that they are there and since when.
pub const ROLES: [&str; 2] = [ENGINEER, OBSERVER];
/// Who reaches systems.
pub const ENGINEER: &str = "engineer";
/// Who sees systems and reaches none.
pub const OBSERVER: &str = "observer";

/// An engineer, or an authority that signs engineers' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engineer {
    /// The name, which is also the SSH user name; an authority's is a label.
    pub name: String,
    /// The public key as OpenSSH writes it.
    pub key: String,
    /// Whether the key signs certificates and opens nothing itself.
    pub is_authority: bool,
    /// What the systems below are to him: one of [`ROLES`]. Any other word opens nothing.
    pub role: String,
    /// Patterns of the systems that may be reached (`*` and `?`), names or serial numbers.
    pub systems: Vec<String>,
    /// The networks that one may come from; none is any.
    pub sources: Vec<String>,
    /// From then on it is over.
    pub ends: Option<i64>,
    /// Whether nobody gets in by it for now.
    pub disabled: bool,
}

impl Store {
    /// All engineers and authorities, by name.
    pub fn engineers(&self) -> Result<Vec<Engineer>, Trouble> {
        let connection = self.lock();
        let mut question = connection.prepare_cached(
            "SELECT name, key, is_authority, role, systems, sources, ends, disabled FROM engineers
             ORDER BY name LIMIT ?1",
        )?;
        let engineers = question
            .query_map([MOST], |row| {
                Ok(Engineer {
                    name: row.get(0)?,
                    key: row.get(1)?,
                    is_authority: row.get(2)?,
                    role: row.get(3)?,
                    systems: split(&row.get::<_, String>(4)?),
                    sources: split(&row.get::<_, String>(5)?),
                    ends: row.get(6)?,
                    disabled: row.get(7)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(engineers)
    }

    /// Adds one, or replaces who had the name.
    pub fn put_engineer(&self, engineer: &Engineer) -> Result<(), Trouble> {
        let connection = self.lock();
        let others: i64 = connection.query_row(
            "SELECT count(*) FROM engineers WHERE name <> ?1",
            [&engineer.name],
            |row| row.get(0),
        )?;
        if others >= MOST {
            return Err(Trouble::new(format!(
                "there are {MOST} engineers already: remove some, or use an authority"
            )));
        }
        let Engineer { name, key, is_authority, role, systems, sources, ends, disabled } = engineer;
        connection.execute(
            "INSERT OR REPLACE INTO engineers (name, key, is_authority, role, systems, sources, ends, disabled)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![name, key, is_authority, role, systems.join(","), sources.join(","), ends, disabled],
        )?;
        Ok(())
    }

    /// Removes one; whether it was there.
    pub fn remove_engineer(&self, name: &str) -> Result<bool, Trouble> {
        Ok(self.lock().execute("DELETE FROM engineers WHERE name = ?1", [name])? > 0)
    }

    /// Keeps one out; whether it was there.
    pub fn disable_engineer(&self, name: &str) -> Result<bool, Trouble> {
        Ok(self.lock().execute("UPDATE engineers SET disabled = 1 WHERE name = ?1", [name])? > 0)
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect()
}
