//! Where a recorder's files come from; it only ever makes new ones.

use drawbridge_chain::Durable;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Makes the files of one bundle. Tests have one that fails where they want.
pub trait Store {
    /// What is written to.
    type File: Durable;
    /// A new, empty file, whose name is durable when this returns.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;
}

/// A folder of the file system. Folder and files are for their user only.
#[derive(Debug)]
pub struct FolderStore {
    path: PathBuf,
}

impl FolderStore {
    /// Makes the folder, which must not be there yet, and returns when its name is durable.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        DirBuilder::new().mode(0o700).create(&path)?;
        if let Some(parent) = path.parent() {
            sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        Ok(Self { path })
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Store for FolderStore {
    type File = File;

    fn create(&mut self, name: &str) -> io::Result<File> {
        let file = File::options().append(true).create_new(true).mode(0o600).open(self.path.join(name))?;
        sync_folder(&self.path)?;
        Ok(file)
    }
}
