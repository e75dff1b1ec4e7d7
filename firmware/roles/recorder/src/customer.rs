//! The customer's public key, to which recordings are encrypted where he wants that: kept in a file, and tried whenever it is read.
//! There is never a private key here.
//!
//! ```text
//!   /data/recorder/customer.key       the key as `age` has it, and a line's end
//!   /data/recorder/customer.key-next  the next one, while it is written
//! ```

use drawbridge_bus::record::RECIPIENT_BYTES;
use drawbridge_recording::Recipient;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const FILE: &str = "customer.key";
const NEXT: &str = "customer.key-next";

pub(crate) struct Customer {
    folder: PathBuf,
    /// One sets it at a time.
    setting: Mutex<()>,
}

impl Customer {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), setting: Mutex::default() }
    }

    /// The key, if there is one. The error says what to do: until then nothing may be recorded, since the customer has wanted it
    /// encrypted.
    pub(crate) fn key(&self) -> Result<Option<Recipient>, String> {
        let mut text = String::new();
        let read = File::open(self.folder.join(FILE))
            .and_then(|file| file.take(2 * RECIPIENT_BYTES as u64).read_to_string(&mut text));
        let damaged = |why: String| {
            format!(
                "the key that recordings are encrypted to cannot be read ({why}): set it anew on the page Recordings"
            )
        };
        match read {
            Ok(_) => Recipient::parse(text.trim_end()).map(Some).map_err(|fault| damaged(fault.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// Sets it for recordings that begin from now on, or takes it away. The error says why it was not set.
    pub(crate) fn set(&self, key: Option<&str>) -> Result<Option<Recipient>, String> {
        let _one = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key.map(Recipient::parse).transpose().map_err(|fault| fault.to_string())?;
        let kept = match &key {
            Some(key) => self.keep(key),
            None => self.forget(),
        };
        kept.map_err(|error| format!("the key could not be kept ({error}): look at the page Health"))?;
        Ok(key)
    }

    fn keep(&self, key: &Recipient) -> io::Result<()> {
        let next = self.folder.join(NEXT);
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        writeln!(file, "{key}")?;
        file.sync_all()?;
        fs::rename(next, self.folder.join(FILE))?;
        self.sync()
    }

    fn forget(&self) -> io::Result<()> {
        match fs::remove_file(self.folder.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync(),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the specification's examples (C2SP, age).
    const KEY: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

    #[test]
    fn the_key_is_kept_and_one_that_cannot_be_read_lets_nothing_be_recorded_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let customer = Customer::new(folder.path());
        assert_eq!(customer.key(), Ok(None));
        assert_eq!(customer.set(Some(KEY)).unwrap().unwrap().as_str(), KEY);
        assert_eq!(Customer::new(folder.path()).key().unwrap().unwrap().as_str(), KEY);
        // What is no key changes nothing.
        assert!(customer.set(Some("AGE-SECRET-KEY-1")).unwrap_err().contains("private key"));
        assert_eq!(customer.key().unwrap().unwrap().as_str(), KEY);
        fs::write(folder.path().join(FILE), "age1\n").unwrap();
        assert!(customer.key().unwrap_err().contains("set it anew"));
        fs::remove_file(folder.path().join(FILE)).unwrap();
        fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(customer.key().is_err());
        assert!(customer.set(None).is_err());
        fs::remove_dir(folder.path().join(FILE)).unwrap();
        assert_eq!((customer.set(None), customer.set(None)), (Ok(None), Ok(None)));
    }
}
