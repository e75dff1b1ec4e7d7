//! The random seed that outlives a restart: credited once, and only if it can never be credited again. It never trusts a
//! seed that came with an image.
//!
//! The order is `SeedRNG`'s (Jason Donenfeld): the old seed is removed from the disk before it counts, and the new one is a
//! hash of the old and of the kernel's pool, so that losing either leaves the other.

use ring::digest::{Context, SHA256};
use std::fs::{self, File};
use std::io;
use std::path::Path;

const SEED: &str = "seed";
const BYTES: usize = 32;

/// Feeds the saved seed to the kernel and keeps a new one.
pub(crate) fn renew(folder: &Path, volatile: bool) {
    if let Err(error) = try_renew(folder, volatile) {
        log::warn!("the random seed could not be renewed: {error}");
    }
}

fn try_renew(folder: &Path, volatile: bool) -> io::Result<()> {
    let path = folder.join(SEED);
    let old = read(&path);
    if let Some(old) = old {
        fs::remove_file(&path)?;
        File::open(folder)?.sync_all()?;
        let random = File::options().write(true).open("/dev/urandom")?;
        if volatile {
            // A copy: the one on the disk is still there, and would be credited a second time.
            io::Write::write_all(&mut &random, &old)?;
        } else {
            crate::sys::ioctl::add_entropy(&random, old)?;
            log::info!("the saved random seed was credited");
        }
    }
    save_new(folder, old)
}

/// Keeps a new seed, as at the end of each run.
pub(crate) fn save(folder: &Path) -> io::Result<()> {
    save_new(folder, read(&folder.join(SEED)))
}

fn read(path: &Path) -> Option<[u8; BYTES]> {
    fs::read(path).ok()?.try_into().ok()
}

fn save_new(folder: &Path, old: Option<[u8; BYTES]>) -> io::Result<()> {
    let mut fresh = [0_u8; BYTES];
    let rng = ring::rand::SystemRandom::new();
    // Waits until the kernel's pool is ready, which it is by now on every machine with RDRAND or a virtio source; the
    // kernel gathers enough from its own timing within a second elsewhere.
    ring::rand::SecureRandom::fill(&rng, &mut fresh)
        .map_err(|_| io::Error::other("the kernel gave no random bytes"))?;
    let mut hash = Context::new(&SHA256);
    hash.update(b"drawbridge seed");
    hash.update(&old.unwrap_or_default());
    hash.update(&fresh);
    crate::data::write_whole(&folder.join(SEED), hash.finish().as_ref())
}
