//! Links: those that are there, and orders to change them. It never decides what a link is for.

use super::{Netlink, NetlinkError, bounded};
use crate::arrange::Step;
use crate::ports::{Kind, Link};
use drawbridge_settings::network::BondMode;
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{
    BondLacpRate, BondMode as KernelMode, BondXmitHashPolicy, InfoBond, InfoData, InfoKind, InfoVlan,
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::{LinkBond, LinkUnspec, LinkVlan};

/// How often a bond looks whether its members have carrier, in milliseconds.
const LOOK_EVERY: u32 = 100;

impl Netlink {
    /// All Ethernet links but loopback.
    pub(crate) async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let links: Vec<_> =
            bounded("list its links", self.handle.link().get().execute().try_collect()).await?;
        Ok(links.iter().filter_map(read_link).collect())
    }

    /// Switches the loopback device on, by which the relay of a support session reaches the SSH daemon.
    pub(crate) async fn switch_loopback_on(&self) -> Result<(), NetlinkError> {
        // The kernel makes it first of all devices of a network namespace.
        let message = LinkUnspec::new_with_index(1).up().build();
        bounded("switch the loopback device on", self.handle.link().change(message).execute()).await
    }

    /// Does one step of an arrangement of links.
    pub(crate) async fn arrange(&self, step: &Step) -> Result<(), NetlinkError> {
        match step {
            Step::Remove(index) => bounded("remove the link", self.handle.link().del(*index).execute()).await,
            Step::MakeBond { name, mode } => {
                let message = match mode {
                    BondMode::ActiveBackup => LinkBond::new(name).mode(KernelMode::ActiveBackup),
                    // The fast rate notices a dead partner within 3 s and not 90; the hash takes ports into account.
                    BondMode::Lacp => LinkBond::new(name)
                        .mode(KernelMode::Ieee8023Ad)
                        .ad_lacp_rate(BondLacpRate::Fast)
                        .xmit_hash_policy(BondXmitHashPolicy::Layer34),
                };
                let message = message.miimon(LOOK_EVERY).build();
                bounded("make the bond", self.handle.link().add(message).execute()).await
            }
            Step::MakeVlan { name, on, id } => {
                let message = LinkVlan::new(name, *on, *id).build();
                bounded("make the VLAN", self.handle.link().add(message).execute()).await
            }
            Step::Join { member, bond } => {
                let message = LinkUnspec::new_with_index(*member).down().controller(*bond).build();
                bounded("join the port to its bond", self.handle.link().change(message).execute()).await
            }
            Step::Leave(member) => {
                let message = LinkUnspec::new_with_index(*member).nocontroller().build();
                bounded("take the port out of its bond", self.handle.link().change(message).execute()).await
            }
            Step::SetMtu { index, mtu } => {
                let message = LinkUnspec::new_with_index(*index).mtu(*mtu).build();
                bounded("set the largest packet", self.handle.link().change(message).execute()).await
            }
            Step::SwitchOn(index) => {
                let message = LinkUnspec::new_with_index(*index).up().build();
                bounded("switch the link on", self.handle.link().change(message).execute()).await
            }
            Step::SwitchOff(index) => {
                let message = LinkUnspec::new_with_index(*index).down().build();
                bounded("switch the link off", self.handle.link().change(message).execute()).await
            }
        }
    }
}

/// A link, if it is Ethernet and not loopback.
pub(super) fn read_link(message: &LinkMessage) -> Option<Link> {
    let flags = message.header.flags;
    if message.header.link_layer_type != LinkLayerType::Ether || flags.contains(LinkFlags::Loopback) {
        return None;
    }
    let (mut name, mut mac, mut permanent, mut mtu, mut below, mut bond, mut mtu_most) =
        (None, None, None, 0, 0, None, None);
    let mut kind = Kind::Port;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            LinkAttribute::PermAddress(bytes) => permanent = <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            LinkAttribute::Mtu(bytes) => mtu = *bytes,
            // 0: the driver does not say.
            LinkAttribute::MaxMtu(bytes) => mtu_most = Some(*bytes).filter(|most| *most > 0),
            LinkAttribute::Link(index) => below = *index,
            LinkAttribute::Controller(index) => bond = Some(*index).filter(|index| *index != 0),
            LinkAttribute::LinkInfo(info) => kind = read_kind(info),
            _ => {}
        }
    }
    if let Kind::Vlan { on, .. } = &mut kind {
        *on = below;
    }
    let (name, mac) = (name?, mac?);
    let up = flags.contains(LinkFlags::Up);
    Some(Link {
        index: message.header.index,
        name,
        mac,
        // Virtual ones have none.
        permanent_mac: permanent.unwrap_or(mac),
        up,
        carrier: up && flags.contains(LinkFlags::LowerUp),
        mtu,
        mtu_most,
        kind,
        bond,
    })
}

fn read_kind(info: &[LinkInfo]) -> Kind {
    let kind = info.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    let data = info.iter().find_map(|info| match info {
        LinkInfo::Data(data) => Some(data),
        _ => None,
    });
    match (kind, data) {
        (Some(InfoKind::Vlan), Some(InfoData::Vlan(data))) => {
            let id = data.iter().find_map(|one| match one {
                InfoVlan::Id(id) => Some(*id),
                _ => None,
            });
            Kind::Vlan { on: 0, id: id.unwrap_or(0) }
        }
        (Some(InfoKind::Bond), data) => {
            let mode = match data {
                Some(InfoData::Bond(data)) => data.iter().find_map(|one| match one {
                    InfoBond::Mode(KernelMode::ActiveBackup) => Some(BondMode::ActiveBackup),
                    InfoBond::Mode(KernelMode::Ieee8023Ad) => Some(BondMode::Lacp),
                    _ => None,
                }),
                _ => None,
            };
            Kind::Bond { mode }
        }
        _ => Kind::Port,
    }
}
