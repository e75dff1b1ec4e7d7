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

/// Makes the calling process, a child before its exec, the leader of a session of its own, whose terminal is its standard input.
pub(crate) fn take_terminal() -> io::Result<()> {
    // SAFETY: plain numbers; only the calling process is changed.
    let result = unsafe { libc::setsid() };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above; 0 stands for "do not take it away from another session".
    let result = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) };
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

    /// linux/rtc.h: `struct rtc_time`.
    #[repr(C)]
    pub(crate) struct RtcTime {
        pub(crate) second: libc::c_int,
        pub(crate) minute: libc::c_int,
        pub(crate) hour: libc::c_int,
        pub(crate) day: libc::c_int,
        pub(crate) month: libc::c_int,
        pub(crate) year: libc::c_int,
        pub(crate) unused: [libc::c_int; 3],
    }

    nix::ioctl_write_ptr!(rtc_set_time, b'p', 0x0a, RtcTime);

    /// Sets the hardware clock.
    pub(crate) fn set_hardware_clock(clock: &File, time: &RtcTime) -> io::Result<()> {
        // SAFETY: the kernel reads one struct of this size.
        unsafe { rtc_set_time(clock.as_raw_fd(), &raw const *time) }?;
        Ok(())
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

/// A time as the hardware clock has it: UTC, month 1 to 12, day 1 to 31.
pub(crate) struct HardwareTime {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

/// Sets the hardware clock (`RTC_SET_TIME` of rtc(4)).
pub(crate) fn write_hardware_clock(time: &HardwareTime) -> io::Result<()> {
    let int = |value: i64| libc::c_int::try_from(value).map_err(io::Error::other);
    // linux/rtc.h: years from 1900, months from 0; the last three are not used.
    let time = ioctl::RtcTime {
        second: int(time.second)?,
        minute: int(time.minute)?,
        hour: int(time.hour)?,
        day: int(time.day)?,
        month: int(time.month - 1)?,
        year: int(time.year - 1900)?,
        unused: [0; 3],
    };
    ioctl::set_hardware_clock(&File::open("/dev/rtc0")?, &time)
}

/// Lets the clock run faster or slower until it has made good so many microseconds (`adjtimex(2)`).
pub(crate) fn slew_clock(microseconds: i64) -> io::Result<()> {
    // SAFETY: all-zero bytes are a value of this plain C struct.
    let mut change: libc::timex = unsafe { std::mem::zeroed() };
    change.modes = libc::ADJ_OFFSET_SINGLESHOT;
    change.offset = microseconds;
    // SAFETY: the kernel reads and writes the struct, which lives until the call returns.
    let result = unsafe { libc::adjtimex(&raw mut change) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends the process by a signal that the kernel takes for PID 1's death, when even a restart call fails.
pub(crate) fn abort() -> ! {
    std::process::abort()
}
