//! States as words, for a person who has never seen the inside of the machine. It never writes markup.

use crate::facts::Facts;
use drawbridge_bus::{ClockState, DataState, RoleState, SystemStatus};
use drawbridge_settings::network::PortRole;
use std::fmt::Write as _;
use std::net::IpAddr;

/// A thing that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What.
    pub(crate) title: String,
    /// `pass`, `warn` or `fail`.
    pub(crate) result: &'static str,
    /// What was found, as a sentence.
    pub(crate) detail: String,
    /// What to do, as a sentence; empty where nothing is to be done.
    pub(crate) remedy: String,
}

impl Check {
    fn new(title: &str, result: &'static str, detail: impl Into<String>, remedy: &str) -> Self {
        Self { title: title.to_owned(), result, detail: detail.into(), remedy: remedy.to_owned() }
    }
}

/// Everything that is looked at, whether it is well or not.
pub(crate) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    match &facts.status {
        Err(why) => checks.push(Check::new(
            "State of the system",
            "fail",
            format!("The state of the system is unknown: {why}."),
            "Wait a few seconds; if it stays so, restart the appliance.",
        )),
        Ok(status) => {
            checks.push(parts(status));
            checks.push(storage(&status.data));
            checks.push(match &status.clock {
                clock @ (ClockState::Hardware | ClockState::Synchronised { .. }) => {
                    Check::new("Clock", "pass", self::clock(clock), "")
                }
                other => Check::new(
                    "Clock",
                    "warn",
                    clock(other),
                    "Name a time server on the page Network; if it happens again, replace the machine's battery.",
                ),
            });
            checks.push(free_memory(status.memory));
            checks.push(if status.watchdogs.is_empty() {
                Check::new("Watchdog", "warn", "This machine does not restart by itself when it hangs.", "")
            } else {
                Check::new("Watchdog", "pass", format!("On guard: {}.", status.watchdogs.join(", ")), "")
            });
            if status.last_failure.is_some() {
                checks.push(Check::new(
                    "Last failure",
                    "warn",
                    last_failure(true),
                    "Send the record to support.",
                ));
            }
        }
    }
    match &facts.ports {
        Err(why) => checks.push(Check::new(
            "Ports",
            "fail",
            format!("The state of the ports is unknown: {why}."),
            "Wait a few seconds; if it stays so, restart the appliance.",
        )),
        Ok(ports) => {
            let dark: Vec<&str> =
                ports.iter().filter(|port| !port.carrier).map(|port| port.interface.as_str()).collect();
            checks.push(if dark.is_empty() {
                Check::new("Ports", "pass", "Every port has its cable.", "")
            } else {
                let detail = format!("No cable, or nothing at its other end: {}.", dark.join(", "));
                Check::new("Ports", "warn", detail, "Plug the cable in, or leave it if the port is not used.")
            });
        }
    }
    checks
}

fn parts(status: &SystemStatus) -> Check {
    let failed = |state: &RoleState| matches!(state, RoleState::Failed);
    let resting = |state: &RoleState| matches!(state, RoleState::Running | RoleState::Dormant);
    let names = |wanted: &dyn Fn(&RoleState) -> bool| {
        let roles = status.roles.iter().filter(|role| wanted(&role.state));
        roles.map(|role| role.role.name()).collect::<Vec<_>>().join(", ")
    };
    if status.roles.iter().any(|role| failed(&role.state)) {
        let detail = format!("Failed, and started again only once in a while: {}.", names(&failed));
        return Check::new("Parts", "fail", detail, "Choose Reload Service, then Restart; the log says why.");
    }
    if status.roles.iter().any(|role| !resting(&role.state)) {
        let detail = format!("Not running now: {}.", names(&|state| !resting(state)));
        return Check::new(
            "Parts",
            "warn",
            detail,
            "Wait a few seconds: a part that has ended is started again.",
        );
    }
    Check::new("Parts", "pass", "Every part is running.", "")
}

fn storage(state: &DataState) -> Check {
    match state {
        DataState::Disk { device, fault: None } => {
            Check::new("Settings and records", "pass", format!("They are kept on the disk ({device})."), "")
        }
        DataState::Disk { fault: Some(fault), .. } => {
            Check::new("Settings and records", "fail", fault.clone(), "Have the disk looked at soon.")
        }
        DataState::Volatile { reason } => Check::new(
            "Settings and records",
            "fail",
            format!("They are kept in memory only, and lost at the next restart. {reason}"),
            "Have the disk looked at before the appliance is restarted.",
        ),
    }
}

fn free_memory((total, available): (u64, u64)) -> Check {
    let detail = format!("{}.", memory((total, available)));
    // Less than a sixteenth: a session may not fit any more.
    if total > 0 && available < total / 16 {
        Check::new(
            "Memory",
            "warn",
            detail,
            "Restart the appliance when no session is open, and tell support.",
        )
    } else {
        Check::new("Memory", "pass", detail, "")
    }
}

/// What a person should look after, a sentence each.
pub(super) fn troubles(facts: &Facts) -> Vec<String> {
    let mut troubles = Vec::new();
    match &facts.status {
        Err(why) => troubles.push(format!("The state of the system is unknown: {why}.")),
        Ok(status) => {
            for role in &status.roles {
                match role.state {
                    RoleState::Failed => troubles.push(format!(
                        "The part {} has failed: it ended too often and is started again only once in a while. \
                         The machine's own screen shows why.",
                        role.role
                    )),
                    RoleState::Waiting { .. } => {
                        troubles.push(format!("The part {} has ended and is about to start again.", role.role));
                    }
                    RoleState::Running => {}
                    _ => troubles.push(format!("The part {} is {}.", role.role, role_state(&role.state))),
                }
            }
            match &status.data {
                DataState::Disk { fault: None, .. } => {}
                DataState::Disk { fault: Some(fault), .. } => {
                    troubles.push(format!("The disk with settings and records has a fault. {fault}"));
                }
                DataState::Volatile { reason } => {
                    troubles.push(format!("Settings and records are lost at the next restart. {reason}"));
                }
            }
            if !matches!(status.clock, ClockState::Hardware | ClockState::Synchronised { .. }) {
                troubles.push(clock(&status.clock).to_owned());
            }
            if status.last_failure.is_some() {
                troubles.push(last_failure(true).to_owned());
            }
        }
    }
    if let Err(why) = &facts.ports {
        troubles.push(format!("The state of the ports is unknown: {why}."));
    }
    troubles
}

pub(super) fn role_state(state: &RoleState) -> String {
    match state {
        RoleState::Starting => "starting".to_owned(),
        RoleState::Running => "running".to_owned(),
        RoleState::Waiting { milliseconds } => {
            format!("ended; starts again in {} s", milliseconds.div_ceil(1000))
        }
        RoleState::Failed => "failed: ended too often".to_owned(),
        RoleState::Stopping => "stopping".to_owned(),
        RoleState::Stopped => "stopped".to_owned(),
        RoleState::Dormant => "not needed now".to_owned(),
    }
}

pub(super) fn data(state: &DataState) -> String {
    match state {
        DataState::Disk { device, fault } => {
            let fault = fault.as_ref().map_or(String::new(), |fault| format!(". {fault}"));
            format!("kept on the disk ({device}){fault}")
        }
        DataState::Volatile { reason } => format!("kept in memory only, lost at the next restart. {reason}"),
    }
}

pub(crate) fn clock(state: &ClockState) -> &'static str {
    match state {
        ClockState::Hardware => "It was taken from the hardware clock.",
        ClockState::Synchronised { .. } => "It is kept right by time servers.",
        ClockState::Floor { .. } => {
            "The hardware clock was behind the last known time, which was taken instead; set the clock, and if it \
             happens again replace its battery."
        }
        ClockState::Ceiling { .. } => {
            "The hardware clock was years ahead, so the last known time was taken instead; set the clock, and if it \
             happens again replace its battery."
        }
    }
}

/// What a port is for.
pub(super) fn roles(roles: &[PortRole]) -> String {
    if roles.is_empty() {
        return "member of a bond".to_owned();
    }
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    names.join(", ")
}

/// A port's cable.
pub(super) fn cable(carrier: bool, megabits: Option<u32>) -> String {
    match (carrier, megabits) {
        (false, _) => "not connected".to_owned(),
        (true, None) => "connected".to_owned(),
        (true, Some(megabits)) => format!("connected, {megabits} Mbit/s"),
    }
}

/// Memory as `(total, available)` in KiB, in words.
pub(super) fn memory((total, available): (u64, u64)) -> String {
    if total == 0 {
        return "unknown".to_owned();
    }
    format!("{} MiB of {} MiB free", available / 1024, total / 1024)
}

pub(super) fn watchdogs(names: &[String]) -> String {
    if names.is_empty() {
        "none: this machine does not restart by itself when it hangs".to_owned()
    } else {
        names.join(", ")
    }
}

pub(super) fn last_failure(any: bool) -> &'static str {
    if any {
        "An earlier run ended in a failure; its record is on the machine's own screen and serial line."
    } else {
        "none on record"
    }
}

pub(super) fn addresses(addresses: &[(IpAddr, u8)]) -> String {
    if addresses.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<_> = addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
    shown.join(", ")
}

/// `3 d 4 h 5 min`; seconds only within the first minute.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, minutes) => format!("{days} d {hours} h {minutes} min"),
    }
}

/// `52:54:00:…`
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for (place, byte) in bytes.iter().enumerate() {
        if place > 0 {
            text.push(':');
        }
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_at_a_glance() {
        for (seconds, words) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_661, "1 h 1 min"), (90_061, "1 d 1 h 1 min")]
        {
            assert_eq!(duration(seconds), words);
        }
    }
}
