//! A socket with its error queue: what came back, and what routers and the kernel say about what was sent.

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::Socket;
use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The largest IP packet.
const LARGEST: usize = 65_536;
/// So many errors that belong to nothing are passed over in one turn.
const STALE: usize = 8;

/// What came.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A packet's payload.
    Data { bytes: Vec<u8>, from: Option<IpAddr> },
    /// An error about what was sent.
    Error(QueuedError),
}

/// A message of the error queue (`ip(7)`, `IP_RECVERR`).
#[derive(Debug)]
pub(crate) struct QueuedError {
    /// Whether it is the kernel's own (too big for the port), and no ICMP message.
    pub(crate) local: bool,
    /// `errno`.
    pub(crate) errno: i32,
    /// ICMP type and code.
    pub(crate) kind: (u8, u8),
    /// The MTU, when it is "too big".
    pub(crate) info: u32,
    /// Who says so.
    pub(crate) from: Option<IpAddr>,
    /// What was sent, as far as it was quoted.
    pub(crate) quoted: Vec<u8>,
}

/// A connected datagram socket that hears errors.
pub(crate) struct Queue {
    socket: AsyncFd<Socket>,
}

impl Queue {
    pub(crate) fn new(socket: Socket, is_ipv4: bool) -> io::Result<Self> {
        if is_ipv4 {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        }
        let socket = crate::sys::watch(socket, Interest::READABLE | Interest::ERROR)?;
        Ok(Self { socket })
    }

    pub(crate) fn socket(&self) -> &Socket {
        self.socket.get_ref()
    }

    /// Sends. An error of an earlier packet that the kernel hands out here is passed over: the queue has it as well.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // Reading the pending error clears it.
        let _: Option<io::Error> = self.socket().take_error()?;
        let sent = self.socket().send(bytes).map(drop);
        match sent {
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENOPROTOOPT)
                ) =>
            {
                self.socket().send(bytes).map(drop)
            }
            sent => sent,
        }
    }

    /// The next thing that comes. It may be dropped while it waits; nothing is lost.
    pub(crate) async fn hear(&self) -> io::Result<Heard> {
        loop {
            let mut ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await?;
            match self.hear_now()? {
                Some(heard) => return Ok(heard),
                None => ready.clear_ready(),
            }
        }
    }

    /// What is there already.
    pub(crate) fn hear_now(&self) -> io::Result<Option<Heard>> {
        for _ in 0..STALE {
            if let Some(error) = self.receive(MsgFlags::MSG_ERRQUEUE)? {
                return Ok(Some(error));
            }
            match self.receive(MsgFlags::empty()) {
                Ok(heard) => return Ok(heard),
                // The error itself is in the queue.
                Err(error) if error.raw_os_error().is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn receive(&self, flags: MsgFlags) -> io::Result<Option<Heard>> {
        let mut bytes = vec![0; LARGEST];
        let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let descriptor = self.socket().as_fd().as_raw_fd();
        let flags = flags | MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<SockaddrStorage>(descriptor, &mut slices, Some(&mut control), flags) {
            Ok(message) => message,
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (length, from) = (message.bytes, message.address.as_ref().and_then(ip));
        let mut error = None;
        if flags.contains(MsgFlags::MSG_ERRQUEUE) {
            for control in message.cmsgs()? {
                error = match control {
                    ControlMessageOwned::Ipv4RecvErr(error, from) => Some((
                        error,
                        from.filter(|from| i32::from(from.sin_family) == libc::AF_INET)
                            .map(|from| IpAddr::from(from.sin_addr.s_addr.to_ne_bytes())),
                    )),
                    ControlMessageOwned::Ipv6RecvErr(error, from) => Some((
                        error,
                        from.filter(|from| i32::from(from.sin6_family) == libc::AF_INET6)
                            .map(|from| IpAddr::from(from.sin6_addr.s6_addr)),
                    )),
                    _ => continue,
                };
            }
        }
        bytes.truncate(length);
        if !flags.contains(MsgFlags::MSG_ERRQUEUE) {
            return Ok(Some(Heard::Data { bytes, from }));
        }
        Ok(error.map(|(error, from)| {
            Heard::Error(QueuedError {
                local: error.ee_origin == libc::SO_EE_ORIGIN_LOCAL,
                errno: i32::try_from(error.ee_errno).unwrap_or(0),
                kind: (error.ee_type, error.ee_code),
                info: error.ee_info,
                from,
                quoted: bytes,
            })
        }))
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}
