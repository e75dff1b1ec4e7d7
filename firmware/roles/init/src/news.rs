//! What init sees anyway, noted for the audit: roles that end, the data partition, links, the clock, the kernel's own words. It tells
//! nobody by itself: session asks for it, and writes it down.

use crate::ledger::{Ledger, Thing};
use crate::supervision::Supervision;
use crate::symptom::Symptom;
use crate::{data, devices};
use drawbridge_bus::happened::{Happened, Health, Part};
use drawbridge_bus::logger::clean;
use drawbridge_bus::{ClockState, DataState, Port, Role, RoleState};
use drawbridge_settings::network::PortRole;
use std::collections::{BTreeMap, BTreeSet};

/// What is noted.
#[derive(Debug, Default)]
pub(crate) struct News {
    ledger: Ledger,
    /// So many deaths of each role are noted.
    deaths: BTreeMap<Role, u32>,
    /// Links that were up in this run: what never was is not missed.
    links: BTreeSet<String>,
}

impl News {
    /// Looks at a role: whether it has died since the last look, and how it stands.
    pub(crate) fn role(&mut self, now: u64, role: Role, supervision: &Supervision, last_end: &str) {
        let thing = Thing::Role(role);
        let noted = self.deaths.insert(role, supervision.deaths).unwrap_or(0);
        let has_died = supervision.deaths != noted;
        match supervision.state(now) {
            RoleState::Failed if has_died => {
                let text = format!("it {last_end}, too often in a short time, and is tried once a minute");
                self.ledger.bad(now, &thing, Health::Failed, &text);
            }
            _ if has_died => {
                let text = format!("it {last_end}, and is started again");
                self.ledger.bad(now, &thing, Health::Failing, &text);
            }
            RoleState::Running => self.ledger.well(now, &thing, "it serves again"),
            _ => {}
        }
    }

    /// Looks at the data partition.
    pub(crate) fn data(&mut self, now: u64, state: &DataState) {
        let thing = Thing::Part(Part::Data, String::new());
        match state {
            DataState::Volatile { reason } => self.ledger.bad(now, &thing, Health::Failed, reason),
            DataState::Disk { fault: Some(fault), .. } => {
                let health = if data::can_be_written() { Health::Failing } else { Health::Failed };
                self.ledger.bad(now, &thing, health, fault);
            }
            DataState::Disk { device, fault: None } => {
                self.ledger.well(now, &thing, &format!("{device} has nothing wrong with it any more"));
            }
        }
    }

    /// The ports as they are now.
    pub(crate) fn ports(&mut self, now: u64, ports: &[Port]) {
        let matters = |role: &PortRole| *role != PortRole::Service;
        let ports: Vec<&Port> = ports.iter().filter(|port| port.roles.iter().any(matters)).collect();
        let thing = |name: &str| Thing::Part(Part::Link, name.to_owned());
        self.links.retain(|name| {
            let is_there = ports.iter().any(|port| clean(&port.interface) == *name);
            if !is_there {
                // Not forgotten: whoever names ports in turns is paced as a cable is that flaps.
                self.ledger.well(now, &thing(name), &format!("{name} is not in use any more"));
            }
            is_there
        });
        for port in ports {
            let name = &clean(&port.interface);
            if port.carrier {
                self.links.insert(name.clone());
                self.ledger.well(now, &thing(name), &format!("{name} ({}) is connected again", uses(port)));
            } else if self.links.contains(name) {
                let text = format!("{name} ({}) has no live other end: check cable and switch", uses(port));
                self.ledger.bad(now, &thing(name), Health::Failed, &text);
            }
        }
    }

    /// How the clock was found at the start, when it now says `to` (milliseconds since 1970).
    pub(crate) fn clock_found(&mut self, state: &ClockState, to: i64) {
        if let ClockState::Floor { hardware } | ClockState::Ceiling { hardware } = state {
            self.ledger.clock_set(hardware.saturating_mul(1000), to, &[]);
        }
    }

    /// The clock was set: from, to (milliseconds since 1970), and by whose word.
    pub(crate) fn clock_set(&mut self, from: i64, to: i64, servers: &[String]) {
        self.ledger.clock_set(from, to, servers);
    }

    /// A line of the kernel's; whether the data partition is to be looked at because of it. Of a file system the kernel's word is a
    /// reason to look, and what is found is told; and disks that can be pulled out are not the appliance's.
    pub(crate) fn kernel(&mut self, now: u64, symptom: &Symptom, text: &str, data: &DataState) -> bool {
        let own = if let DataState::Disk { device, .. } = data { device.as_str() } else { "" };
        match symptom {
            Symptom::FileSystem { device } => device == own,
            Symptom::Part { part: Part::Disk, unit, .. } if !devices::is_fixed(unit, own) => false,
            Symptom::Part { part, unit, health: Health::Well } => {
                self.ledger.well(now, &Thing::Part(*part, unit.clone()), text);
                false
            }
            Symptom::Part { part, unit, health } => {
                self.ledger.bad(now, &Thing::Part(*part, unit.clone()), *health, text);
                false
            }
        }
    }

    /// Does what is due; whether session is to be told that something waits.
    pub(crate) fn act(&mut self, now: u64) -> bool {
        self.ledger.act(now);
        self.ledger.has_news()
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> u64 {
        self.ledger.deadline()
    }

    /// See [`Ledger::take`].
    pub(crate) fn take(&mut self, kept: u64) -> (Vec<Happened>, u64) {
        self.ledger.take(kept)
    }
}

fn uses(port: &Port) -> String {
    let name = |role: &PortRole| match role {
        PortRole::Management => "management",
        PortRole::Uplink => "uplink",
        PortRole::Array => "array",
        PortRole::Service => "service",
    };
    port.roles.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
