//! Where built kernels are kept, `drawbridge/kernel/KEY/` in the user's cache; it never builds one.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Kernel, Provenance, Recipe};
use crate::error::{Error, Result};
use crate::{digest, files, names};

/// How long one build waits for another. A cold build takes half an hour of one core; this is a slow machine's several.
const LONGEST_WAIT: Duration = Duration::from_hours(3);
/// How often the lock is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The folder of built kernels.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// Held while a kernel is built; the kernel of this machine gives it up when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, not read")] File);

impl Cache {
    /// The user's: below `$XDG_CACHE_HOME`, or `~/.cache` (XDG Base Directory Specification 0.8).
    pub fn of_user() -> Result<Self> {
        let absolute = |path: &PathBuf| path.is_absolute();
        std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            // A relative path is to be ignored, says the specification.
            .filter(absolute)
            .or_else(|| std::env::home_dir().filter(absolute).map(|home| home.join(".cache")))
            .map(|cache| Self::at(&cache.join("drawbridge/kernel")))
            .ok_or_else(|| Error::Missing {
                what: "a folder to keep built kernels in",
                path: PathBuf::from("$HOME/.cache"),
                remedy: "set HOME or XDG_CACHE_HOME to a folder".to_owned(),
            })
    }

    /// Kernels in `folder`.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kernel of `recipe`, if it was built before.
    pub(super) fn find(&self, recipe: &Recipe) -> Result<Option<Kernel>> {
        let folder = self.folder.join(recipe.key());
        if !folder.is_dir() {
            return Ok(None);
        }
        let provenance = Provenance::parse(&files::read(&folder.join(names::KERNEL_PROVENANCE))?);
        let image = folder.join(names::KERNEL);
        match provenance {
            Ok(provenance) if digest::of_file(&image)? == provenance.image_sha256 => {
                Ok(Some(Kernel { image, config: folder.join(names::KERNEL_CONFIG), provenance }))
            }
            _ => {
                eprintln!("kernel: what is kept in {} was damaged; building it again", folder.display());
                Ok(None)
            }
        }
    }

    /// Waits until nobody else builds, and says so.
    pub(super) fn lock(&self) -> Result<Lock> {
        files::create_folder(&self.folder)?;
        let path = self.folder.join("lock");
        let file = File::create(&path).map_err(Error::write(&path))?;
        let asked = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::Error(source)) => return Err(Error::Write { path, source }),
                Err(TryLockError::WouldBlock) if asked.elapsed() > LONGEST_WAIT => {
                    return Err(Error::OutOfRange {
                        what: "the wait for another build of a kernel",
                        given: format!("{} minutes", asked.elapsed().as_secs() / 60),
                        rule: format!(
                            "it should have ended: see which process holds {} (`fuser`)",
                            path.display()
                        ),
                    });
                }
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        eprintln!("kernel: another build is under way; waiting for it");
                        told = true;
                    }
                    std::thread::sleep(TRY_AGAIN);
                }
            }
        }
    }

    /// An empty folder to build in. Whoever calls it holds the lock, so that what lies there is left from a build that was
    /// cut short.
    pub(super) fn build_folder(&self) -> Result<PathBuf> {
        let folder = self.folder.join("build");
        remove(&folder)?;
        files::create_folder(&folder)?;
        Ok(folder)
    }

    /// Keeps a built kernel. It is there whole or not at all.
    pub(super) fn keep(&self, recipe: &Recipe, image: &[u8], config: &[u8]) -> Result<()> {
        let new = self.folder.join("new");
        remove(&new)?;
        files::create_folder(&new)?;
        let about = recipe.provenance(image)?.json()?;
        files::write(&new.join(names::KERNEL), image)?;
        files::write(&new.join(names::KERNEL_CONFIG), config)?;
        files::write(&new.join(names::KERNEL_PROVENANCE), &about)?;
        let kept = self.folder.join(recipe.key());
        // There only if it was found to be damaged.
        remove(&kept)?;
        fs::rename(&new, &kept).map_err(Error::write(kept))
    }
}

/// Removes a folder with all that is in it; one that is not there is no error.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Write { path: folder.to_path_buf(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            config: String::new(),
            source: PathBuf::from("/linux.tar.xz"),
            source_sha256: String::new(),
            source_package: None,
            tools: Vec::new(),
        }
    }

    /// The least that has a release: a header that says where it is, and the text.
    fn image() -> Vec<u8> {
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20E..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image.extend_from_slice(b"6.12.1 (x)\0");
        image
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        assert!(cache.find(&recipe()).unwrap().is_none());
        cache.keep(&recipe(), &image(), b"CONFIG_A=y\n").unwrap();
        let kernel = cache.find(&recipe()).unwrap().unwrap();
        assert_eq!(files::read(&kernel.image).unwrap(), image());
        assert_eq!(kernel.provenance.release, "6.12.1");
    }

    #[test]
    fn a_kernel_that_was_damaged_in_the_cache_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        cache.keep(&recipe(), &image(), b"").unwrap();
        let path = cache.find(&recipe()).unwrap().unwrap().image;
        files::write(&path, &image()[1..]).unwrap();
        assert!(cache.find(&recipe()).unwrap().is_none());
        cache.keep(&recipe(), &image(), b"").unwrap();
        assert!(cache.find(&recipe()).unwrap().is_some());
    }

    #[test]
    fn a_build_that_was_cut_short_leaves_nothing_that_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        fs::write(cache.build_folder().unwrap().join("half"), b"").unwrap();
        files::create_folder(&folder.path().join("new")).unwrap();
        assert!(cache.find(&recipe()).unwrap().is_none());
        assert_eq!(fs::read_dir(cache.build_folder().unwrap()).unwrap().count(), 0);
        cache.keep(&recipe(), &image(), b"").unwrap();
        assert!(cache.find(&recipe()).unwrap().is_some());
    }

    #[test]
    fn two_builds_at_once_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let held = cache.lock().unwrap();
        let other = File::create(folder.path().join("lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(other.try_lock().is_ok());
    }
}
