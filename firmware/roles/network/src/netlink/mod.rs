//! The kernel's links, addresses, routes and rules, over rtnetlink. It never decides which of them should be there.

mod advertised;
mod changes;
mod links;
mod paths;

pub(crate) use advertised::Advertisements;
pub(crate) use changes::{Change, Changes};

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::{Handle, MulticastGroup, new_connection, new_multicast_connection};
use std::net::IpAddr;
use std::time::Duration;

/// Marks addresses as ours (`IFA_PROTO`), so that a role that was started anew knows which it may take away. The number
/// is the kernel's own for routes by DHCP (`RTPROT_DHCP`).
const OUR_ADDRESSES: AddressProtocol = AddressProtocol::Other(16);

/// Marks routes and rules as ours. No program that the kernel's list names (rtnetlink.h, `RTPROT_…`) has this number.
const OURS: RouteProtocol = RouteProtocol::Other(97);

/// How long the kernel may take to answer: it answers from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The most neighbours of which the kernel's word is taken. Its own table is bounded at 1,024 (`gc_thresh3`).
const NEIGHBOURS_MOST: usize = 1024;

/// Why the kernel did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// No netlink socket.
    #[error("the kernel gives no netlink socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The kernel said no.
    #[error("the kernel did not {what}: {error}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// What it said.
        error: std::io::Error,
    },
    /// The socket is of no use any more.
    #[error("the kernel's netlink socket has failed")]
    Ended,
    /// No answer.
    #[error("the kernel did not {0} in time")]
    TimedOut(&'static str),
}

impl NetlinkError {
    /// Whether it is only that what was asked about is not there any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_one_of(&[libc::ENODEV, libc::ENXIO, libc::ESRCH, libc::ENOENT, libc::EADDRNOTAVAIL])
    }

    /// Whether it is only that it was there already.
    pub(crate) fn is_there(&self) -> bool {
        self.is_one_of(&[libc::EEXIST])
    }

    fn is_one_of(&self, codes: &[i32]) -> bool {
        matches!(self, Self::Refused { error, .. } if error.raw_os_error().is_some_and(|code| codes.contains(&code)))
    }
}

/// The kernel's side of the ports.
#[derive(Clone, Debug)]
pub(crate) struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Opens the sockets. Changes are kept from now on.
    pub(crate) fn open() -> Result<(Self, Changes, Advertisements), NetlinkError> {
        // A socket of its own for the changes: on a common one, what follows from an order of ours would be taken for
        // the answer to it (it bears the order's number).
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Neigh,
        ];
        let (connection, _, messages) = new_multicast_connection(&groups)?;
        // Each ends by itself when its socket fails: then the changes end, or all orders fail.
        tokio::spawn(connection);
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        Ok((Self { handle }, Changes::new(messages), Advertisements::open()?))
    }

    /// All addresses, with the numbers of their links.
    pub(crate) async fn addresses(&self) -> Result<Vec<(u32, (IpAddr, u8))>, NetlinkError> {
        Ok(self.address_messages().await?.iter().filter_map(read_address).collect())
    }

    /// The neighbours of a link that it has spoken with of late.
    pub(crate) async fn neighbours(&self, index: u32) -> Result<Vec<IpAddr>, NetlinkError> {
        let all: Vec<_> =
            bounded("list its neighbours", self.handle.neighbours().get().execute().try_collect()).await?;
        Ok(all
            .iter()
            .filter(|neighbour| neighbour.header.ifindex == index)
            .filter_map(read_neighbour)
            .take(NEIGHBOURS_MOST)
            .collect())
    }

    async fn address_messages(&self) -> Result<Vec<AddressMessage>, NetlinkError> {
        bounded("list its addresses", self.handle.address().get().execute().try_collect()).await
    }
}

async fn bounded<T>(
    what: &'static str,
    request: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, NetlinkError> {
    tokio::time::timeout(ANSWER_WITHIN, request).await.map_err(|_| NetlinkError::TimedOut(what))?.map_err(
        |error| NetlinkError::Refused {
            what,
            error: match error {
                rtnetlink::Error::NetlinkError(message) => message.to_io(),
                other => std::io::Error::other(other),
            },
        },
    )
}

fn read_address(message: &AddressMessage) -> Option<(u32, (IpAddr, u8))> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link the address is the other end's: the local one is ours.
            AddressAttribute::Local(local) => address = Some(*local),
            AddressAttribute::Address(other) => address = address.or(Some(*other)),
            _ => {}
        }
    }
    Some((message.header.index, (address?, message.header.prefix_len)))
}

/// A neighbour that was spoken with: the kernel makes an entry when it has something to send, and not when somebody asks.
fn read_neighbour(message: &NeighbourMessage) -> Option<IpAddr> {
    let known = !matches!(
        message.header.state,
        NeighbourState::Noarp | NeighbourState::None | NeighbourState::Failed
    );
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) if known => {
            Some(IpAddr::V4(*address))
        }
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) if known => {
            Some(IpAddr::V6(*address))
        }
        _ => None,
    })
}
