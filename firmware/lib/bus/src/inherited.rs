//! The listening socket that init has left for a role. It never binds one.
#![allow(unsafe_code)]

use nix::sys::socket::{SockType, getsockopt, sockopt};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

/// The role's listening socket at `descriptor` ([`crate::LISTENER`]), non-blocking. To be called once, before the role
/// opens anything.
///
/// # Errors
/// When no listening Unix stream socket is there: the role was not started by init.
pub fn inherited_listener(descriptor: RawFd) -> io::Result<UnixListener> {
    if descriptor < 0 {
        return Err(io::Error::from_raw_os_error(nix::libc::EBADF));
    }
    // SAFETY: it is borrowed for the questions below only, and nothing closes it meanwhile. A number that is not open
    // makes them fail with EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    if getsockopt(&borrowed, sockopt::SockType)? != SockType::Stream
        || !getsockopt(&borrowed, sockopt::AcceptConn)?
    {
        return Err(io::Error::from_raw_os_error(nix::libc::ENOTSOCK));
    }
    // SAFETY: it is an open socket (asked above), and nobody else owns it: init leaves it for the role, which has opened
    // nothing yet and takes it once.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let listener = UnixListener::from(owned);
    // Only a Unix socket has an address of this kind.
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsRawFd as _, IntoRawFd as _};

    #[test]
    fn a_descriptor_that_is_no_listener_is_refused_and_left_open() {
        assert!(inherited_listener(-1).is_err());
        assert!(inherited_listener(9_876).is_err());
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(inherited_listener(one.as_raw_fd()).is_err());
        assert!(other.peer_addr().is_ok());
        drop(one);
    }

    #[test]
    fn a_listener_is_taken_over() {
        let folder = std::env::temp_dir().join(format!("drawbridge-inherited-{}", std::process::id()));
        let descriptor = UnixListener::bind(&folder).unwrap().into_raw_fd();
        let listener = inherited_listener(descriptor).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        std::fs::remove_file(folder).unwrap();
    }
}
