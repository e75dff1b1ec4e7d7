//! From the links that are there to those that are planned, step by step: bonds, VLANs, sizes, on and off. Pure: it never
//! touches a link.
//!
//! [`steps`] gives what can be done now; what depends on it follows when the links were looked at again. When it gives
//! nothing, the links are as planned.

use crate::plan::{On, Planned};
use crate::ports::{Kind, Link};
use drawbridge_settings::network::BondMode;

/// The largest packet where nothing else is set or learned (IEEE 802.3).
const USUAL_MTU: u32 = 1500;

/// A change of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Remove a bond or a VLAN.
    Remove(u32),
    /// Make a bond without members.
    MakeBond {
        /// Its name.
        name: String,
        /// Its mode.
        mode: BondMode,
    },
    /// Make a VLAN.
    MakeVlan {
        /// Its name.
        name: String,
        /// The link that it runs on.
        on: u32,
        /// Its number.
        id: u16,
    },
    /// Switch a port off, and make it a member of a bond.
    Join {
        /// The port.
        member: u32,
        /// The bond.
        bond: u32,
    },
    /// Take a port out of its bond.
    Leave(u32),
    /// Set the largest packet.
    SetMtu {
        /// The link.
        index: u32,
        /// In bytes.
        mtu: u32,
    },
    /// Switch it on.
    SwitchOn(u32),
    /// Switch it off.
    SwitchOff(u32),
}

/// What can be done now to bring the links in line with the plan.
pub fn steps(plan: &[Planned], links: &[Link]) -> Vec<Step> {
    let mut steps = Vec::new();
    let named = |name: &str| links.iter().find(|link| link.name == name);
    // What is not planned, or planned as something else, goes first: its members and its name are wanted elsewhere.
    for link in links {
        let fits = plan.iter().any(|planned| {
            planned.kernel_name(links) == Some(link.name.as_str()) && is(planned, link, links)
        });
        if link.kind != Kind::Port && !fits {
            steps.push(Step::Remove(link.index));
        }
    }
    if !steps.is_empty() {
        return steps;
    }
    for planned in plan {
        match &planned.on {
            On::Port(_) => {}
            On::Bond { mode, members } => match named(&planned.interface.name.to_string()) {
                None => steps.push(Step::MakeBond { name: planned.interface.name.to_string(), mode: *mode }),
                Some(bond) => steps.extend(members_of(bond, members, links)),
            },
            On::Vlan { parent, id } => {
                let below = plan.iter().find(|one| one.interface.name.to_string() == *parent);
                let below = below.and_then(|below| named(below.kernel_name(links)?));
                if let Some(below) = below
                    && named(&planned.interface.name.to_string()).is_none()
                {
                    let name = planned.interface.name.to_string();
                    steps.push(Step::MakeVlan { name, on: below.index, id: *id });
                }
            }
        }
    }
    let members: Vec<u32> = plan
        .iter()
        .flat_map(|planned| match &planned.on {
            On::Bond { members, .. } => members.clone(),
            _ => Vec::new(),
        })
        .collect();
    for link in links.iter().filter(|link| link.bond.is_some() && !members.contains(&link.index)) {
        steps.push(Step::Leave(link.index));
    }
    for planned in plan {
        let Some(link) = planned.kernel_name(links).and_then(named) else { continue };
        let most = link.mtu_most.unwrap_or(u32::MAX);
        let mtu = planned.mtu.unwrap_or(USUAL_MTU).min(most);
        // A VLAN's packets fit into its parent's: the parent's size comes first, in the order of the plan.
        let fits = match link.kind {
            Kind::Vlan { on, .. } => {
                links.iter().find(|one| one.index == on).is_none_or(|below| below.mtu >= mtu)
            }
            _ => true,
        };
        if link.mtu != mtu && fits {
            steps.push(Step::SetMtu { index: link.index, mtu });
        }
        if planned.interface.enabled && !link.up {
            steps.push(Step::SwitchOn(link.index));
        } else if !planned.interface.enabled && link.up {
            steps.push(Step::SwitchOff(link.index));
        }
    }
    for link in links.iter().filter(|link| link.bond.is_some() && members.contains(&link.index) && !link.up) {
        steps.push(Step::SwitchOn(link.index));
    }
    steps
}

/// Whether a link is what is planned by its name.
fn is(planned: &Planned, link: &Link, links: &[Link]) -> bool {
    match (&planned.on, link.kind) {
        (On::Port(index), _) => *index == link.index,
        (On::Bond { mode, .. }, Kind::Bond { mode: found }) => found == Some(*mode),
        (On::Vlan { id, .. }, Kind::Vlan { on, id: found }) => {
            *id == found && links.iter().any(|below| below.index == on && Some(below.index) == planned.below)
        }
        _ => false,
    }
}

fn members_of(bond: &Link, members: &[u32], links: &[Link]) -> Vec<Step> {
    let mut steps = Vec::new();
    for member in links.iter().filter(|link| members.contains(&link.index)) {
        match member.bond {
            Some(in_bond) if in_bond == bond.index => {}
            Some(_) => steps.push(Step::Leave(member.index)),
            None => steps.push(Step::Join { member: member.index, bond: bond.index }),
        }
    }
    for link in links.iter().filter(|link| link.bond == Some(bond.index) && !members.contains(&link.index)) {
        steps.push(Step::Leave(link.index));
    }
    steps
}
