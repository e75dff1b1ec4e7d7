//! Reads and writes whole files; a file is either the old or the new one, never half of one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::error::{Error, Result};

/// The whole content of `path`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::read(path))
}

/// The whole content of `path`, which must be UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::read(path))
}

/// Makes `folder` and the folders above it.
pub fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::write(folder))
}

/// Writes `content` to `path` under another name first, so that whoever reads `path` never sees half of it.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let partial = partial_name(path);
    let written = File::create(&partial)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_data()
        })
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // Best effort: the error that matters is the one already at hand.
        let _ = fs::remove_file(&partial);
    }
    written.map_err(Error::write(path))
}

/// The name beside `path` under which it is written before it is whole; another process uses another name.
pub fn partial_name(path: &Path) -> std::path::PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".partial-{}", std::process::id()));
    path.with_file_name(name)
}
