//! Descriptors that come from another process: the listening socket that init has left for a role, and those that come with a
//! request. It never opens one.
#![allow(unsafe_code)]

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockType, getsockopt, recvmsg, sendmsg, sockopt,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
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

/// The file at `descriptor` that init has left for a process: its log, where standard error is not. To be called once, before
/// the process opens anything.
///
/// # Errors
/// When nothing is open there.
pub fn inherited_file(descriptor: RawFd) -> io::Result<std::fs::File> {
    if descriptor <= nix::libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(nix::libc::EBADF));
    }
    // SAFETY: borrowed for the question below only, which fails with EBADF when the number is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    nix::sys::stat::fstat(borrowed)?;
    // SAFETY: it is open (asked above), and nobody else owns it: init leaves it for this process, which takes it once.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }.into())
}

/// The most descriptors that come with one request.
pub const DESCRIPTORS_MOST: usize = 3;

/// Sends bytes with descriptors on a Unix stream socket: they arrive with the first of the bytes. How many bytes were sent.
///
/// # Errors
/// As `sendmsg(2)`; no descriptor was sent then.
pub fn send_with(socket: &impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &control[..] };
    let flags = MsgFlags::MSG_NOSIGNAL;
    Ok(sendmsg::<()>(socket.as_fd().as_raw_fd(), &[io::IoSlice::new(bytes)], control, flags, None)?)
}

/// Receives bytes, and the descriptors that come with them, which are closed by an exec. 0: the other end is closed.
///
/// # Errors
/// As `recvmsg(2)`. More than [`DESCRIPTORS_MOST`] descriptors, which are closed then.
pub fn receive_with(
    socket: &impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS_MOST]);
    let mut parts = [io::IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    // The kernel closes those for which there was no room.
    let cut = message.flags.contains(MsgFlags::MSG_CTRUNC);
    if let Ok(all) = message.cmsgs() {
        for one in all {
            if let ControlMessageOwned::ScmRights(numbers) = one {
                for number in numbers {
                    // SAFETY: the kernel has just made this descriptor for this process, and nobody else knows its number.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
        }
    }
    if cut || descriptors.len() > DESCRIPTORS_MOST {
        descriptors.clear();
        return Err(io::Error::from_raw_os_error(nix::libc::ETOOMANYREFS));
    }
    Ok(message.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd as _;

    #[test]
    fn descriptors_arrive_with_the_bytes_and_too_many_are_refused() {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(send_with(&one, b"ab", &[theirs.as_fd()]).unwrap(), 2);
        drop(theirs);
        let (mut buffer, mut taken) = ([0; 8], Vec::new());
        assert_eq!(receive_with(&other, &mut buffer, &mut taken).unwrap(), 2);
        assert_eq!(taken.len(), 1);
        drop(taken);
        // What was taken is the last of its ends: closed, the other end sees it.
        assert_eq!(io::Read::read(&mut &ours, &mut buffer).unwrap(), 0);
        send_with(&one, b"c", &[ours.as_fd(); 4]).unwrap();
        let mut taken = Vec::new();
        assert!(receive_with(&other, &mut buffer, &mut taken).is_err());
        assert!(taken.is_empty());
    }

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
