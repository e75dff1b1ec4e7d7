//! What nix and tokio have no safe call for: a socket option, and waiting for a socket's errors. No decision is made here.
#![allow(unsafe_code)]

use socket2::Socket;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

fn set(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as it is borrowed; the kernel reads `length` bytes of `value`, which lives on.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(&value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Never fragments, and tries sizes that the kernel believes are too big for the path (`ip(7)`, `ipv6(7)`).
pub(crate) fn probe_path_mtu(socket: BorrowedFd<'_>, is_ipv4: bool) -> io::Result<()> {
    if is_ipv4 {
        set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
    } else {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
    }
}

/// Waits for what happens to a socket, its error queue included.
pub(crate) fn watch(socket: Socket, interest: Interest) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor and gives the same one from its making to its end.
    unsafe { AsyncFd::register_with_interest(socket, interest) }.map_err(io::Error::from)
}
