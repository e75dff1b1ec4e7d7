//! The kernel's links, addresses and routes, over rtnetlink. It never decides which of them should be there.

use crate::lease::Lease;
use crate::ports::Link;
use futures_util::{Stream, TryStreamExt as _};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol, CacheInfo};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::{
    Handle, LinkUnspec, MulticastGroup, RouteMessageBuilder, new_connection, new_multicast_connection,
};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::time::Duration;

/// Marks addresses as ours (`IFA_PROTO`), so that a role that was started anew knows which it may take away. The number
/// is the kernel's own for routes by DHCP (`RTPROT_DHCP`).
const OURS: AddressProtocol = AddressProtocol::Other(16);

/// The metric of a port's default route is this and the port's number: several ports live beside each other, and the
/// first one leads.
const FIRST_METRIC: u32 = 1000;

/// How long the kernel may take to answer: it answers from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

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
    /// Whether it is only that the port is not there any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error.raw_os_error() == Some(libc::ENODEV))
    }
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A link is new or different.
    Link(Link),
    /// A link is gone.
    Gone(u32),
    /// An address has come, or has gone.
    Address {
        /// The number of its link.
        index: u32,
        /// The address with its prefix length.
        address: (IpAddr, u8),
        /// Whether it has come.
        there: bool,
    },
    /// Some changes were lost: everything has to be asked for again.
    Lost,
}

type Messages =
    Pin<Box<dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, rtnetlink::sys::SocketAddr)> + Send>>;

/// The changes as they happen.
pub(crate) struct Changes {
    messages: Messages,
}

impl Changes {
    /// The next change that may be of interest; none when the kernel's socket has failed. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Change> {
        use futures_util::StreamExt as _;
        loop {
            let (message, _) = self.messages.next().await?;
            let change = match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    read_link(&link).map(Change::Link)
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                    Some(Change::Gone(link.header.index))
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                    read_address(&address).map(|(index, address)| Change::Address {
                        index,
                        address,
                        there: true,
                    })
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) => {
                    read_address(&address).map(|(index, address)| Change::Address {
                        index,
                        address,
                        there: false,
                    })
                }
                NetlinkPayload::Overrun(_) => Some(Change::Lost),
                _ => None,
            };
            if change.is_some() {
                return change;
            }
        }
    }
}

/// The kernel's side of the ports.
#[derive(Clone, Debug)]
pub(crate) struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Opens the sockets. Changes are kept from now on.
    pub(crate) fn open() -> Result<(Self, Changes), NetlinkError> {
        // A socket of its own for the changes: on a common one, what follows from an order of ours would be taken for
        // the answer to it (it bears the order's number).
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, _, messages) = new_multicast_connection(&groups)?;
        // Each ends by itself when its socket fails: then the changes end, or all orders fail.
        tokio::spawn(connection);
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        Ok((Self { handle }, Changes { messages: Box::pin(messages) }))
    }

    /// All Ethernet links but loopback.
    pub(crate) async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let links: Vec<_> =
            bounded("list its links", self.handle.link().get().execute().try_collect()).await?;
        Ok(links.iter().filter_map(read_link).collect())
    }

    /// All addresses, with the numbers of their links.
    pub(crate) async fn addresses(&self) -> Result<Vec<(u32, (IpAddr, u8))>, NetlinkError> {
        Ok(self.address_messages().await?.iter().filter_map(read_address).collect())
    }

    /// Switches a link on.
    pub(crate) async fn switch_on(&self, index: u32) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(index).up().build();
        bounded("switch the port on", self.handle.link().change(message).execute()).await
    }

    /// Gives a link the address and the router of a lease, and takes away what an earlier lease gave it.
    pub(crate) async fn apply(&self, index: u32, lease: &Lease) -> Result<(), NetlinkError> {
        // First what was: of two addresses in one network the later is the earlier one's secondary, and goes with it.
        self.clear(index, Some(lease)).await?;
        let mut add = self.handle.address().add(index, IpAddr::V4(lease.address()), lease.prefix()).replace();
        let mut life = CacheInfo::default();
        life.ifa_preferred = lease.seconds();
        life.ifa_valid = lease.seconds();
        add.message_mut()
            .attributes
            .extend([AddressAttribute::CacheInfo(life), AddressAttribute::Protocol(OURS)]);
        bounded("set the address", add.execute()).await?;
        if let Some(router) = lease.router() {
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(router)
                .output_interface(index)
                .pref_source(lease.address())
                .priority(FIRST_METRIC.saturating_add(index))
                .protocol(RouteProtocol::Dhcp)
                .build();
            bounded("set the default route", self.handle.route().add(route).replace().execute()).await?;
        }
        Ok(())
    }

    /// Takes away what leases gave a link, but for what is in `keep`.
    pub(crate) async fn clear(&self, index: u32, keep: Option<&Lease>) -> Result<(), NetlinkError> {
        let kept_router = keep.and_then(Lease::router);
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes: Vec<_> =
            bounded("list its routes", self.handle.route().get(all).execute().try_collect()).await?;
        for route in routes {
            if is_our_route(&route, index) && (kept_router.is_none() || gateway(&route) != kept_router) {
                bounded("remove the default route", self.handle.route().del(route).execute()).await?;
            }
        }
        let kept = keep.map(|lease| (IpAddr::V4(lease.address()), lease.prefix()));
        for message in self.address_messages().await? {
            let ours = message.attributes.contains(&AddressAttribute::Protocol(OURS));
            let Some((of, address)) = read_address(&message) else { continue };
            if ours && of == index && Some(address) != kept {
                bounded("remove the address", self.handle.address().del(message).execute()).await?;
            }
        }
        Ok(())
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

/// A link, if it is Ethernet and not loopback.
fn read_link(message: &LinkMessage) -> Option<Link> {
    let flags = message.header.flags;
    if message.header.link_layer_type != LinkLayerType::Ether || flags.contains(LinkFlags::Loopback) {
        return None;
    }
    let (mut name, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            _ => {}
        }
    }
    let up = flags.contains(LinkFlags::Up);
    Some(Link {
        index: message.header.index,
        name: name?,
        mac: mac?,
        up,
        carrier: up && flags.contains(LinkFlags::LowerUp),
    })
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

fn is_our_route(route: &RouteMessage, index: u32) -> bool {
    route.header.protocol == RouteProtocol::Dhcp
        && route.header.destination_prefix_length == 0
        && route.attributes.contains(&RouteAttribute::Oif(index))
}

fn gateway(route: &RouteMessage) -> Option<Ipv4Addr> {
    use rtnetlink::packet_route::route::RouteAddress;
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}
