//! The system calls that no crate wraps safely. It never decides anything.
#![allow(unsafe_code)]

use nix::sys::signal::Signal;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// A descriptor for a child that has not been reaped (`pidfd_open(2)`). It becomes readable when the child has ended.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers in, a number out.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to exactly the process that the descriptor stands for (`pidfd_send_signal(2)`).
pub(crate) fn pidfd_signal(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
    let number = signal as i32;
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: no siginfo is given, which the call allows.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, none, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Starts `command` with `prepare` run in the child before the exec. The child is reaped by the event loop, like all.
pub(crate) fn spawn(
    mut command: Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<u32> {
    // SAFETY: init is single-threaded, so the child may do what its parent could: no lock can be held by another thread.
    let command = unsafe { command.pre_exec(prepare) };
    command.spawn().map(|child| child.id())
}

/// Duplicates a descriptor onto a number (`dup2`), for the coming exec: the copy is not close-on-exec.
pub(crate) fn place_descriptor(from: i32, to: i32) -> io::Result<()> {
    if from == to {
        // SAFETY: only flags of a descriptor that the caller holds are changed.
        let result = unsafe { libc::fcntl(from, libc::F_SETFD, 0) };
        return if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    }
    // SAFETY: runs in the child before exec, where no one relies on what `to` was.
    let result = unsafe { libc::dup2(from, to) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The requests of `ioctl` that init uses, each a small wrapper around one macro of nix.
pub(crate) mod ioctl {
    use super::{File, io};
    use std::os::fd::AsRawFd as _;

    // linux/watchdog.h
    nix::ioctl_read!(watchdog_boot_status, b'W', 2, libc::c_int);
    nix::ioctl_readwrite!(watchdog_set_timeout, b'W', 6, libc::c_int);

    /// Why the machine started, as the watchdog knows it (`WDIOF_…`).
    pub(crate) fn boot_status(watchdog: &File) -> io::Result<i32> {
        let mut status = 0;
        // SAFETY: the kernel writes one int.
        unsafe { watchdog_boot_status(watchdog.as_raw_fd(), &raw mut status) }?;
        Ok(status)
    }

    /// Sets the watchdog's time; gives back what it took, in seconds.
    pub(crate) fn set_timeout(watchdog: &File, seconds: i32) -> io::Result<i32> {
        let mut seconds = seconds;
        // SAFETY: the kernel reads and writes one int.
        unsafe { watchdog_set_timeout(watchdog.as_raw_fd(), &raw mut seconds) }?;
        Ok(seconds)
    }

    /// linux/random.h: `struct rand_pool_info` with room for one seed.
    #[repr(C)]
    pub(crate) struct Pool {
        entropy_bits: libc::c_int,
        bytes: libc::c_int,
        seed: [u8; 32],
    }

    // The header declares the request with the size of two ints, whatever follows them.
    const RNDADDENTROPY: libc::c_ulong = nix::request_code_write!(b'R', 3, 8);

    /// Mixes a seed into the kernel's pool and credits it as 256 bits.
    pub(crate) fn add_entropy(random: &File, seed: [u8; 32]) -> io::Result<()> {
        let pool = Pool { entropy_bits: 256, bytes: 32, seed };
        // SAFETY: the kernel reads the two ints and then as many bytes as the second says: all of `pool`.
        let result = unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, &raw const pool) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Ends the process by a signal that the kernel takes for PID 1's death, when even a restart call fails.
pub(crate) fn abort() -> ! {
    std::process::abort()
}
