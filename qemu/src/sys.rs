//! The one place with unsafe code: what a child does between fork and exec. It never runs in the lab's own process.
#![allow(unsafe_code)]

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Makes the child die with this process, and hands it the descriptors under the numbers that they have here.
///
/// The kernel sends the signal when the *thread* that started the child ends, so the caller must be a thread that lives
/// as long as the process ([`crate::process`] has one).
pub(crate) fn bind_to_this_process(command: &mut Command, keep: Vec<OwnedFd>) {
    let parent = nix::unistd::getpid();
    let prepare = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // The parent may have died before the line above: then no signal will come.
        if nix::unistd::getppid() != parent {
            return Err(std::io::Error::other("the lab ended while it started a process"));
        }
        for descriptor in &keep {
            let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
            nix::fcntl::fcntl(descriptor.as_fd(), flags)?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child after fork, where only async-signal-safe calls are sound. prctl, getppid and
    // fcntl are; the closure allocates nothing, takes no lock, and its error is built from a static text.
    unsafe {
        command.pre_exec(prepare);
    }
}
