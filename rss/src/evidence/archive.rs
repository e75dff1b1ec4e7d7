//! The folder tree of recordings: where each one is. Names of files are made of parsed types only, so that none leads elsewhere; files
//! are for the server's user alone.

use crate::Trouble;
use crate::access::is_name;
use drawbridge_wire::upload::RecordingName;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The tree's folder in the data folder.
const FOLDER: &str = "sessions";
/// What stands behind the name of one that is being removed.
const GONE: &str = ".gone";

/// A recording, by the system that it is of and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Called {
    system: String,
    name: RecordingName,
}

impl Called {
    /// None when the serial number is none that a system can have here.
    pub fn new(system: &str, name: RecordingName) -> Option<Self> {
        // No two serial numbers differ in case only.
        is_name(system).then(|| Self { system: system.to_lowercase(), name })
    }

    /// Its name.
    pub fn name(&self) -> &RecordingName {
        &self.name
    }
}

/// The tree.
#[derive(Clone, Debug)]
pub struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// In that data folder.
    pub fn new(data: &Path) -> Self {
        Self { folder: data.join(FOLDER) }
    }

    /// Where a recording is.
    pub fn folder_of(&self, called: &Called) -> PathBuf {
        self.folder.join(&called.system).join(called.name.as_str())
    }

    /// Makes a recording's folder, and returns when its name outlives a power cut.
    pub(crate) fn make(&self, called: &Called) -> io::Result<PathBuf> {
        let path = self.folder_of(called);
        let system = self.folder.join(&called.system);
        for (folder, parent) in
            [(&self.folder, self.folder.parent()), (&system, Some(&*self.folder)), (&path, Some(&*system))]
        {
            match DirBuilder::new().mode(0o700).create(folder) {
                Ok(()) => parent.map_or(Ok(()), sync_folder)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(path)
    }

    /// Removes a recording's files. Renamed first, so that no half of one is ever taken for a recording.
    pub fn remove(&self, called: &Called) -> Result<(), Trouble> {
        let path = self.folder_of(called);
        let gone = path.with_file_name(format!("{}{GONE}", called.name));
        let remove = || {
            if gone.exists() {
                std::fs::remove_dir_all(&gone)?;
            }
            match std::fs::rename(&path, &gone) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                renamed => renamed.and_then(|()| std::fs::remove_dir_all(&gone)),
            }
        };
        remove().map_err(|error| Trouble::new(format!("{} cannot be removed: {error}", path.display())))
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Opens a file to append to, which is made when it is not there; whether it was made. A link is not followed.
pub(crate) fn append_to(path: &Path) -> io::Result<(File, bool)> {
    let is_new = match path.symlink_metadata() {
        Ok(facts) if facts.is_file() => false,
        Ok(_) => return Err(io::Error::other("it is no plain file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error),
    };
    let file = OpenOptions::new().append(true).create_new(is_new).mode(0o600).open(path)?;
    Ok((file, is_new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn called(system: &str, name: &str) -> Option<Called> {
        Called::new(system, RecordingName::parse(name)?)
    }

    #[test]
    fn no_name_leads_out_of_the_tree_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::new(folder.path());
        for (system, name) in [
            ("..", "a"),
            (".a", "a"),
            ("a/b", "a"),
            ("", "a"),
            ("a", ".."),
            ("a", "../b"),
            ("a", "b.gone"),
            ("a", "-b"),
        ] {
            assert!(called(system, name).is_none(), "{system} {name}");
        }
        let one = called("SN-1", "20261127T014500Z-3fa9c01d").unwrap();
        let path = archive.make(&one).unwrap();
        assert_eq!(path, folder.path().join("sessions/sn-1/20261127T014500Z-3fa9c01d"));
        let (_, is_new) = append_to(&path.join("chain.jsonl")).unwrap();
        assert!(is_new && !append_to(&path.join("chain.jsonl")).unwrap().1);
        std::os::unix::fs::symlink("/etc/passwd", path.join("events.jsonl")).unwrap();
        assert!(append_to(&path.join("events.jsonl")).is_err());
        for (path, mode) in
            [(&path, 0o700), (&path.join("chain.jsonl"), 0o600), (&folder.path().join("sessions"), 0o700)]
        {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
        }
        // The same system in another spelling is the same folder.
        assert_eq!(archive.make(&called("sn-1", "20261127T014500Z-3fa9c01d").unwrap()).unwrap(), path);
        archive.remove(&one).unwrap();
        archive.remove(&one).unwrap();
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 0);
    }
}
