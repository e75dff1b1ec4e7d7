//! The kernel's changes as they happen. It never asks for anything.

use super::links::read_link;
use super::paths::is_learned_route;
use super::{read_address, read_neighbour};
use crate::ports::Link;
use futures_util::Stream;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use std::net::IpAddr;
use std::pin::Pin;

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
    /// The kernel has learned a route from a router's advertisement, or has dropped one.
    LearnedRoute,
    /// A neighbour of this link is known, or is no more.
    Neighbour(u32),
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
    pub(super) fn new(
        messages: impl Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, rtnetlink::sys::SocketAddr)>
        + Send
        + 'static,
    ) -> Self {
        Self { messages: Box::pin(messages) }
    }

    /// The next change that may be of interest; none when the kernel's socket has failed. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Change> {
        use futures_util::StreamExt as _;
        loop {
            let (message, _) = self.messages.next().await?;
            if let Some(change) = read(message.payload) {
                return Some(change);
            }
        }
    }
}

fn read(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<Change> {
    let address = |message: &_, there| {
        read_address(message).map(|(index, address)| Change::Address { index, address, there })
    };
    match payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
            read_link(&link).map(Change::Link)
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
            Some(Change::Gone(link.header.index))
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message)) => address(&message, true),
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(message)) => address(&message, false),
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => is_learned_route(&route).then_some(Change::LearnedRoute),
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(neighbour)) => {
            read_neighbour(&neighbour).map(|_| Change::Neighbour(neighbour.header.ifindex))
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelNeighbour(neighbour)) => {
            Some(Change::Neighbour(neighbour.header.ifindex))
        }
        NetlinkPayload::Overrun(_) => Some(Change::Lost),
        _ => None,
    }
}
