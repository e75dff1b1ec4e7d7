//! Small files of the role's own folder, written whole or not at all. It never reads or writes anywhere else.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest file that is read. A key and a certificate are below 1 kB each.
const BYTES_MOST: u64 = 64 * 1024;

/// Whether others may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Its owner only.
    Secret,
    /// Anybody.
    Public,
}

/// The role's own folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The content of a file; none when there is no such file.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let file =
            match OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(self.path(name)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
        // One reservation: content that grows by moving would leave copies behind.
        let length = file.metadata()?.len();
        if length > BYTES_MOST {
            return Err(io::Error::from_raw_os_error(nix::libc::EFBIG));
        }
        let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
        file.take(BYTES_MOST).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Writes a file so that, whenever the power fails, the old content or the new one is there. When it returns, it is
    /// the new one.
    pub(crate) fn write(&self, name: &str, secrecy: Secrecy, content: &[u8]) -> io::Result<()> {
        self.replace(name, secrecy, content)?;
        self.sync()
    }

    /// The same, but which of the two is there is certain only after the next [`Folder::write`].
    pub(crate) fn replace(&self, name: &str, secrecy: Secrecy, content: &[u8]) -> io::Result<()> {
        let new = self.path(&format!("{name}.new"));
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mode = match secrecy {
            Secrecy::Secret => 0o600,
            Secrecy::Public => 0o644,
        };
        let written =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()
            });
        written.and_then(|()| std::fs::rename(&new, self.path(name))).inspect_err(|_| {
            // A disk that is full has room again without it.
            let _ = std::fs::remove_file(&new);
        })
    }

    /// Renames a file that is of no use to `name.bad`, in the place of an earlier one. No file is no error.
    pub(crate) fn set_aside(&self, name: &str) -> io::Result<()> {
        match std::fs::rename(self.path(name), self.path(&format!("{name}.bad"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(Path::new(&self.0))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("drawbridge-keep-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Folder::new(path)
    }

    #[test]
    fn what_was_written_is_read_and_only_the_owner_may_read_a_secret() {
        let folder = folder("secret");
        assert!(folder.read("key").unwrap().is_none());
        folder.write("key", Secrecy::Secret, b"one").unwrap();
        folder.write("key", Secrecy::Secret, b"two").unwrap();
        assert_eq!(folder.read("key").unwrap().unwrap().as_slice(), b"two");
        assert_eq!(folder.path("key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder.0).unwrap();
    }

    #[test]
    fn a_write_that_was_cut_off_leaves_the_old_content_and_does_not_stop_the_next() {
        let folder = folder("cut");
        folder.write("key", Secrecy::Secret, b"old").unwrap();
        std::fs::write(folder.path("key.new"), b"ne").unwrap();
        assert_eq!(folder.read("key").unwrap().unwrap().as_slice(), b"old");
        folder.write("key", Secrecy::Secret, b"new").unwrap();
        assert_eq!(folder.read("key").unwrap().unwrap().as_slice(), b"new");
        std::fs::remove_dir_all(&folder.0).unwrap();
    }

    #[test]
    fn a_link_and_a_huge_file_are_refused() {
        let folder = folder("odd");
        std::os::unix::fs::symlink("/etc/hostname", folder.path("key")).unwrap();
        assert!(folder.read("key").is_err());
        let huge = File::create(folder.path("cert")).unwrap();
        huge.set_len(BYTES_MOST + 1).unwrap();
        assert!(folder.read("cert").is_err());
        std::fs::remove_dir_all(&folder.0).unwrap();
    }
}
