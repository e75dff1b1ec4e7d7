//! A console with one administrator's session, for the targets that need one.

use drawbridge_console::hostile::Front;
use std::cell::LazyCell;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

struct Console {
    runtime: Runtime,
    front: Front,
    _folder: TempDir,
}

thread_local! {
    static CONSOLE: LazyCell<Console> = const {
        LazyCell::new(|| {
            // The clock leaps as soon as nothing else moves: no time-out takes time.
            let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            let folder = TempDir::new().unwrap();
            let front = runtime.block_on(async { Front::new(folder.path()).unwrap() });
            Console { runtime, front, _folder: folder }
        })
    };
}

/// Does something with it, where tokio runs.
pub fn with<T>(work: impl AsyncFnOnce(&Front) -> T) -> T {
    CONSOLE.with(|console| console.runtime.block_on(work(&console.front)))
}
