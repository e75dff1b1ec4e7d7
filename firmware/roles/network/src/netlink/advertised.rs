//! What routers advertise beside addresses and routes, as the kernel hands it on. It never asks for anything.
//!
//! A socket of its own: rtnetlink's does not know these messages.

use super::NetlinkError;
use crate::rdnss::{self, Advertised};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};
use std::collections::VecDeque;

/// `RTNLGRP_ND_USEROPT` (rtnetlink.h).
const OPTIONS_OF_ROUTERS: u32 = 20;

/// An option has 2,040 bytes at most, its headers and the router's address fewer than 100.
const DATAGRAM_MOST: usize = 4096;

/// The advertisements as they come.
pub(crate) struct Advertisements {
    socket: TokioSocket,
    heard: VecDeque<Advertised>,
}

impl Advertisements {
    pub(super) fn open() -> Result<Self, NetlinkError> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
        socket.socket_mut().add_membership(OPTIONS_OF_ROUTERS)?;
        Ok(Self { socket, heard: VecDeque::new() })
    }

    /// The next one that names servers; none when the kernel's socket has failed. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Advertised> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Some(heard);
            }
            let mut datagram = Vec::with_capacity(DATAGRAM_MOST);
            match self.socket.recv_from(&mut datagram).await {
                // Only the kernel's word: it has the number 0.
                Ok(from) if from.port_number() == 0 => self.heard.extend(rdnss::read(&datagram)),
                Ok(_) => {}
                // More came than fit: routers say it again before its time is over.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => return None,
            }
        }
    }
}
