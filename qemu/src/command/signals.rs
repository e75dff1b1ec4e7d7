//! Requests to end (Ctrl-C, a closed terminal, TERM) as messages. It ends nothing itself.

use nix::sys::signal::{SigSet, Signal};

/// From now on such requests are told by `tell` instead of ending the program. To be called before any other thread is
/// started: threads inherit what is blocked.
pub(super) fn watch(tell: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let mut requests = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        requests.add(signal);
    }
    requests.thread_block()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        while requests.wait().is_ok() {
            tell();
        }
    })?;
    Ok(())
}
