//! Enrolment tokens: made, and redeemed once. The token itself is never kept.

use super::{Store, System, is_taken};
use crate::Trouble;
use crate::clock::now;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, TransactionBehavior, params};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Without 0, 1, I and O, which are taken for each other. 32 signs: five bits each.
const SIGNS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// 125 bits.
const LENGTH: usize = 25;
const GROUP: usize = 5;
/// So many tokens may be open at once.
const MOST: i64 = 10_000;

/// What a token is to be good for.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// For this system only.
    pub serial: Option<String>,
    /// What the system is to be called, in place of its own word.
    pub name: Option<String>,
    /// The network that the system must come from, now and later.
    pub address: Option<String>,
    /// For so long.
    pub minutes: u32,
}

/// How an enrolment went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// The system is known from now on.
    Done(System),
    /// No open token is this one, for this system and from this address.
    Refused,
    /// The name belongs to another system. The token stays good.
    NameTaken(String),
}

impl Store {
    /// Makes a token.
    pub fn make_token(&self, new: &NewToken) -> Result<Zeroizing<String>, Trouble> {
        let mut random = Zeroizing::new([0; LENGTH]);
        SystemRandom::new()
            .fill(random.as_mut_slice())
            .map_err(|_| Trouble::new("the kernel gives no random numbers: try again"))?;
        let mut token = Zeroizing::new(String::with_capacity(LENGTH + LENGTH / GROUP));
        for (at, byte) in random.iter().enumerate() {
            if at > 0 && at % GROUP == 0 {
                token.push('-');
            }
            token.push(char::from(SIGNS[usize::from(byte % 32)]));
        }
        let connection = self.lock();
        connection.execute("DELETE FROM tokens WHERE expires < ?1 OR used IS NOT NULL", [now()])?;
        let open: i64 = connection.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0))?;
        if open >= MOST {
            return Err(Trouble::new(format!(
                "{MOST} tokens are open already: wait until some have expired"
            )));
        }
        connection.execute(
            "INSERT INTO tokens (hash, serial, name, address, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![hash(&token), new.serial, new.name, new.address, now() + i64::from(new.minutes) * 60],
        )?;
        Ok(token)
    }

    /// Redeems a token: in one step it is used and the system is known, or neither.
    pub fn enrol(
        &self,
        token: &str,
        asking: &System,
        may_come: impl Fn(&str) -> bool,
    ) -> Result<Enrolment, Trouble> {
        let mut connection = self.lock();
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Some((hash, name, address)) = open_token(&change, token, &asking.serial, may_come)? else {
            return Ok(Enrolment::Refused);
        };
        let mut system = System { address, enrolled: now(), seen: Some(now()), ..asking.clone() };
        if let Some(name) = name {
            system.name = name;
        }
        if is_taken(&change, &system.name, &system.serial)? {
            return Ok(Enrolment::NameTaken(system.name));
        }
        change.execute("UPDATE tokens SET used = ?2 WHERE hash = ?1", params![hash, now()])?;
        let System { serial, name, login_key, host_key, address, enrolled, seen } = &system;
        change.execute(
            "INSERT INTO systems (serial, name, login_key, host_key, address, enrolled, seen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![serial, name, login_key, host_key, address, enrolled, seen],
        )?;
        change.commit()?;
        Ok(Enrolment::Done(system))
    }
}

type OpenToken = (Vec<u8>, Option<String>, Option<String>);

/// Compares with every open token, each in constant time, so that the time tells nothing about them.
fn open_token(
    connection: &Connection,
    token: &str,
    serial: &str,
    may_come: impl Fn(&str) -> bool,
) -> Result<Option<OpenToken>, rusqlite::Error> {
    let shown = hash(token);
    let mut found = None;
    let mut question = connection
        .prepare("SELECT hash, serial, name, address FROM tokens WHERE used IS NULL AND expires >= ?1")?;
    let mut rows = question.query([now()])?;
    while let Some(row) = rows.next()? {
        let hash: Vec<u8> = row.get(0)?;
        let wanted: Option<String> = row.get(1)?;
        let address: Option<String> = row.get(3)?;
        let is_for_it = wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(serial))
            && address.as_deref().is_none_or(&may_come);
        if bool::from(hash.ct_eq(&shown)) && is_for_it {
            found = Some((hash, row.get(2)?, address));
        }
    }
    Ok(found)
}

/// The hash of a token however it was typed: case, spaces and dashes do not count.
fn hash(token: &str) -> Vec<u8> {
    let plain: Zeroizing<String> = Zeroizing::new(
        token
            .chars()
            .filter(|sign| !matches!(sign, '-' | ' '))
            .map(|sign| sign.to_ascii_uppercase())
            .collect(),
    );
    digest(&SHA256, plain.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(serial: &str, name: &str) -> System {
        System {
            serial: serial.to_owned(),
            name: name.to_owned(),
            login_key: "ssh-ed25519 A".to_owned(),
            host_key: "ssh-ed25519 B".to_owned(),
            address: None,
            enrolled: 0,
            seen: None,
        }
    }

    #[test]
    fn a_token_is_good_once_in_its_time_and_for_its_system_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let new = NewToken { minutes: 15, ..NewToken::default() };
        let enrol =
            |token: &str, serial: &str| store.enrol(token, &asking(serial, serial), |_| false).unwrap();
        assert_eq!(enrol("", "a"), Enrolment::Refused);
        let token = store.make_token(&new).unwrap();
        // As somebody types it.
        assert!(matches!(enrol(&token.to_lowercase().replace('-', " "), "a"), Enrolment::Done(_)));
        assert_eq!(enrol(&token, "b"), Enrolment::Refused);
        let token = store.make_token(&new).unwrap();
        store.lock().execute("UPDATE tokens SET expires = ?1", [now() - 1]).unwrap();
        assert_eq!(enrol(&token, "b"), Enrolment::Refused);
        let token = store.make_token(&NewToken { serial: Some("c".to_owned()), ..new.clone() }).unwrap();
        assert_eq!(enrol(&token, "b"), Enrolment::Refused);
        assert!(matches!(enrol(&token, "C"), Enrolment::Done(_)));
        // From elsewhere it is not good, and not used up either.
        let token = store.make_token(&NewToken { address: Some("192.0.2.0/24".to_owned()), ..new }).unwrap();
        assert_eq!(enrol(&token, "d"), Enrolment::Refused);
        let done = store.enrol(&token, &asking("d", "d"), |network| network == "192.0.2.0/24").unwrap();
        assert!(matches!(done, Enrolment::Done(System { address: Some(_), .. })));
    }

    #[test]
    fn no_system_gets_a_name_or_serial_that_stands_for_another() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let new = NewToken { minutes: 15, ..NewToken::default() };
        let token = store.make_token(&new).unwrap();
        assert!(matches!(store.enrol(&token, &asking("SN-1", "box"), |_| true).unwrap(), Enrolment::Done(_)));
        let token = store.make_token(&new).unwrap();
        for (serial, name) in [("SN-2", "BOX"), ("SN-2", "sn-1"), ("box", "other")] {
            let enrolment = store.enrol(&token, &asking(serial, name), |_| true).unwrap();
            assert!(matches!(enrolment, Enrolment::NameTaken(_)), "{serial} {name}: {enrolment:?}");
        }
        assert!(matches!(store.enrol(&token, &asking("SN-2", "two"), |_| true).unwrap(), Enrolment::Done(_)));
        assert!(store.rename_system("SN-2", "Box").is_err());
        assert!(store.rename_system("sn-2", "Two").unwrap());
        assert_eq!(store.called("TWO").unwrap().unwrap().serial, "SN-2");
    }

    #[test]
    fn the_token_itself_is_not_in_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let token = store.make_token(&NewToken { minutes: 15, ..NewToken::default() }).unwrap();
        let plain = token.replace('-', "");
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for text in [token.as_bytes(), plain.as_bytes()] {
                assert!(!bytes.windows(text.len()).any(|window| window == text));
            }
        }
    }
}
