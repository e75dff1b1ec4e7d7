//! The folder of one test: everything it writes, thrown away when it passes and kept when it fails. It never holds what
//! another test needs.

use crate::LabError;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The environment variable that keeps the folder of every test, passed or not.
const KEEP: &str = "DRAWBRIDGE_KEEP";

/// Disk images and other files above this size are not kept: logs and captures are what tells.
const KEPT_FILE_LIMIT: u64 = 64 << 20;

/// The folders' names go on with the number of the process that they belong to.
const PREFIX: &str = "drawbridge-lab-";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// One test's folder. Make it first, so that it is dropped last.
///
/// When the test panics (or [`Lab::keep`] was called) the folder's logs, captures and screenshots are moved to
/// `target/lab/<name>`, and a line on standard error says so. A test that returns an error does not panic: wrap it in
/// [`Lab::run`].
#[derive(Debug)]
pub struct Lab {
    name: String,
    folder: PathBuf,
    keep: AtomicBool,
    machines: AtomicU32,
    started: std::time::Instant,
}

impl Lab {
    /// A new folder for a test of this name.
    ///
    /// # Panics
    /// When the system's folder for temporary files cannot be written: no test can run then.
    pub fn new(name: &str) -> Self {
        static SWEPT: Once = Once::new();
        let temporary = std::env::temp_dir();
        SWEPT.call_once(|| sweep(&temporary));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a Unix socket in it holds 107 bytes at most (unix(7)).
        let folder = temporary.join(format!("{PREFIX}{}-{count}", std::process::id()));
        if let Err(error) = std::fs::create_dir_all(&folder) {
            panic!("cannot make the test's folder {}: {error}", folder.display());
        }
        Self {
            name: name.to_owned(),
            folder,
            keep: AtomicBool::new(std::env::var_os(KEEP).is_some()),
            machines: AtomicU32::new(0),
            started: std::time::Instant::now(),
        }
    }

    /// Runs a test that returns a result.
    ///
    /// # Panics
    /// When the test does, or when it returns an error, with its text.
    pub fn run<T, E: std::fmt::Display>(name: &str, test: impl FnOnce(&Self) -> Result<T, E>) -> T {
        let lab = Self::new(name);
        match test(&lab) {
            Ok(value) => value,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// The test's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// When the test began: captures and logs count from here.
    pub fn started(&self) -> std::time::Instant {
        self.started
    }

    /// Keeps the folder whatever comes.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }

    /// A private copy of a file, holes left as holes. It lives as long as the test, so several machines may be started
    /// from it in turn.
    pub fn copy_of(&self, original: impl AsRef<Path>, name: &str) -> Result<PathBuf, LabError> {
        let copy = self.file(name);
        crate::machine::disk::copy_sparse(original.as_ref(), &copy)?;
        Ok(copy)
    }

    /// The number of the next machine of this test.
    pub(crate) fn next_machine(&self) -> u32 {
        self.machines.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Where the folder's files go when they are kept.
    pub fn kept_folder(&self) -> PathBuf {
        target_folder().join("lab").join(file_name(&self.name))
    }

    fn move_to_kept(&self) -> Result<PathBuf, LabError> {
        let kept = self.kept_folder();
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::create_dir_all(&kept).map_err(LabError::file("make", &kept))?;
        let entries = std::fs::read_dir(&self.folder).map_err(LabError::file("read", &self.folder))?;
        for entry in entries.filter_map(Result::ok) {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && metadata.len() <= KEPT_FILE_LIMIT {
                let to = kept.join(entry.file_name());
                std::fs::copy(entry.path(), &to).map_err(LabError::file("keep", to))?;
            }
        }
        Ok(kept)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() || self.keep.load(Ordering::Relaxed) {
            match self.move_to_kept() {
                Ok(kept) => eprintln!("{}: logs and captures are in {}", self.name, kept.display()),
                Err(error) => eprintln!("{}: logs and captures are lost: {error}", self.name),
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Removes what processes have left that were killed.
fn sweep(temporary: &Path) {
    let entries = std::fs::read_dir(temporary).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let owner = rest.and_then(|rest| rest.split('-').next()).and_then(|owner| owner.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Cargo's target folder: the one the running program lies in, known by the tag that cargo puts there.
fn target_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let tagged = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    tagged.map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

/// A test's name as a file name.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passed_test_leaves_nothing() {
        let lab = Lab::new("a passed test");
        let folder = lab.folder().to_path_buf();
        std::fs::write(lab.file("serial.log"), "text").unwrap();
        drop(lab);
        assert!(!folder.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let lab = Lab::new("sweeping");
        // No process has the number 0.
        let (left, own) = (format!("{PREFIX}0-7"), format!("{PREFIX}{}-9", std::process::id()));
        for name in [&left, &own] {
            std::fs::create_dir(lab.file(name)).unwrap();
        }
        sweep(lab.folder());
        assert!(!lab.file(&left).exists());
        assert!(lab.file(&own).exists());
    }

    #[test]
    fn a_failed_test_leaves_its_logs() {
        let name = format!("a failed test {}", std::process::id());
        let failed = std::panic::catch_unwind(|| {
            Lab::run(&name, |lab| {
                std::fs::write(lab.file("serial.log"), "last words").unwrap();
                Err::<(), _>("it failed")
            });
        });
        assert!(failed.is_err());
        let kept = target_folder().join("lab").join(file_name(&name));
        assert_eq!(std::fs::read_to_string(kept.join("serial.log")).unwrap(), "last words");
        std::fs::remove_dir_all(kept).unwrap();
    }
}
