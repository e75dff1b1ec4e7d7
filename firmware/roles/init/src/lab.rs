//! Faults on request, for the lab's images only: it is not compiled into any other. The request stands on the kernel's
//! command line, `drawbridge.lab=WHAT[,WHAT…]`, where WHAT is one of the following, and S counts the seconds since every
//! role has served. After a failure nothing is done: the next start is an ordinary one.
//!
//! - `init-panic@S`, `init-abort@S`, `init-hang@S`: init panics, dies, or stops turning;
//! - `kill:ROLE@S`: the role gets KILL;
//! - `dies:ROLE`: the role gets KILL whenever it runs;
//! - `bus`: whoever is at the second serial line may ask what the console may ask, and have a role killed at the moment of his
//!   choice (see `gateway`);
//! - `measure@S`: for a minute from then on, memory in use, context switches and interrupts are counted and logged;
//! - `stuck@S`: whatever is left of a bridge, one process more is said to be, for S seconds from the first time that
//!   somebody asks;
//! - `attempts:ROLE@S`: each of [`ATTEMPTS`] is tried, one process each, in the role's own sandbox, and how it ended is
//!   logged.

use crate::roles::{Process, Supervised, Tokens, start};
use crate::{bridge, clock, logs, table};
use drawbridge_bus::support::Leftovers;
use drawbridge_bus::{Level, Role, RoleState};
use mio::Registry;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use std::collections::VecDeque;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

pub mod attempts;
mod gateway;

pub use attempts::{ATTEMPTS, attempt};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Panic,
    Abort,
    Hang,
    Kill(Role),
    Dies(Role),
    Attempts(Role),
    Bus,
    Stuck,
    Measure,
    Measured(Counts),
}

/// What the kernel has counted since it started (`/proc/stat`): context switches, interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    switches: u64,
    interrupts: u64,
}

impl Counts {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0)
        };
        Self { switches: field("ctxt"), interrupts: field("intr") }
    }
}

/// The faults that were asked for.
#[derive(Default)]
pub(crate) struct Lab {
    /// When every role served for the first time.
    since: Option<u64>,
    /// What is asked for, and when: milliseconds after `since`.
    faults: Vec<(u64, Fault)>,
    attempts: VecDeque<(Role, &'static str)>,
    running: Option<(Role, &'static str, Process)>,
    /// What is said to be left of a bridge: for so many milliseconds, and since when.
    stuck: Option<u64>,
    stuck_since: Option<u64>,
}

/// Reads the faults out of a kernel command line; what is none is passed over.
fn parse(command_line: &str) -> Vec<(u64, Fault)> {
    let requests = command_line.split_whitespace().filter_map(|word| word.strip_prefix("drawbridge.lab="));
    let fault = |text: &str| {
        let (what, seconds) = text.split_once('@').unwrap_or((text, "0"));
        let (what, role) = what.split_once(':').unwrap_or((what, ""));
        let fault = match (what, Role::of_name(role)) {
            ("init-panic", _) => Fault::Panic,
            ("init-abort", _) => Fault::Abort,
            ("init-hang", _) => Fault::Hang,
            ("kill", Some(role)) => Fault::Kill(role),
            ("dies", Some(role)) => Fault::Dies(role),
            ("attempts", Some(role)) => Fault::Attempts(role),
            ("bus", _) => Fault::Bus,
            ("stuck", _) => Fault::Stuck,
            ("measure", _) => Fault::Measure,
            _ => return None,
        };
        Some((seconds.parse::<u64>().ok()?.checked_mul(1000)?, fault))
    };
    requests.flat_map(|list| list.split(',')).filter_map(fault).collect()
}

impl Lab {
    /// `failed` says whether the last run ended in a failure, a power cut among them: then only questions are answered.
    pub(crate) fn from_command_line(failed: bool) -> Self {
        let command_line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let mut faults = parse(&command_line);
        faults.retain(|(_, fault)| !failed || *fault == Fault::Bus);
        // Nothing that is done at a time.
        let stuck = faults.iter().find(|(_, fault)| *fault == Fault::Stuck).map(|(length, _)| *length);
        faults.retain(|(_, fault)| *fault != Fault::Stuck);
        Self { faults, stuck, ..Self::default() }
    }

    /// Adds a process to what is left, for as long as was asked for.
    pub(crate) fn leave(&mut self, mut left: Leftovers) -> Leftovers {
        let now = clock::since_boot();
        if let Some(length) = self.stuck
            && now < self.stuck_since.get_or_insert(now).saturating_add(length)
        {
            left.processes = left.processes.saturating_add(1);
        }
        left
    }

    pub(crate) fn deadline(&self) -> u64 {
        // A role that serves is an event of its own.
        let Some(since) = self.since else { return u64::MAX };
        let dies = self.faults.iter().any(|(_, fault)| matches!(fault, Fault::Dies(_)));
        let next = self.faults.iter().map(|(at, _)| at.saturating_add(since)).min().unwrap_or(u64::MAX);
        if dies { next.min(clock::since_boot() + 20) } else { next }
    }

    pub(crate) fn act(&mut self, now: u64, roles: &[Supervised], tokens: Tokens, registry: &Registry) {
        let process =
            |role: Role| roles.iter().find(|one| one.role == role).and_then(|one| one.process.as_ref());
        let settled = |role: &Supervised| {
            matches!(role.supervision.state(now), RoleState::Running | RoleState::Dormant)
        };
        if self.since.is_none() && roles.iter().all(settled) {
            self.since = Some(now);
        }
        let Some(since) = self.since else { return };
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.faults).into_iter().partition(|(at, _)| at.saturating_add(since) <= now);
        self.faults = later;
        for (at, fault) in due {
            match &fault {
                Fault::Panic => panic!("as the lab asked"),
                Fault::Abort => std::process::abort(),
                Fault::Hang => {
                    log::warn!("lab: init hangs from now on");
                    loop {
                        std::hint::spin_loop();
                    }
                }
                Fault::Kill(role) => {
                    log::warn!("lab: KILL for {role}");
                    if *role == Role::Shell {
                        // Init keeps no one process of it.
                        bridge::end_shells();
                    } else {
                        process(*role).inspect(|process| process.signal(Signal::SIGKILL));
                    }
                }
                Fault::Dies(role) => {
                    process(*role).inspect(|process| process.signal(Signal::SIGKILL));
                    self.faults.push((at, fault));
                }
                // Not in an orderly end, in which the console's has taken the gateway along.
                Fault::Bus if roles.iter().any(|role| role.supervision.state(now) == RoleState::Stopped) => {}
                Fault::Bus => self.open_gateway(tokens, registry),
                // Taken out at the start.
                Fault::Stuck => {}
                Fault::Measure => self.faults.push((at + 60_000, Fault::Measured(Counts::now()))),
                Fault::Measured(before) => {
                    let after = Counts::now();
                    let (total, available) = crate::memory::now();
                    log::info!(
                        "lab: idle: {} of {total} KiB in use, {} context switches and {} interrupts in a minute",
                        total - available,
                        after.switches - before.switches,
                        after.interrupts - before.interrupts
                    );
                }
                Fault::Attempts(role) => {
                    self.attempts.extend(ATTEMPTS.iter().map(|(name, _)| (*role, *name)));
                }
            }
        }
        if self.running.is_none()
            && let Some((role, name)) = self.attempts.pop_front()
        {
            let Some(profile) = table::profile(role) else { return };
            let victim = process(Role::Network).map_or(0, |process| process.pid);
            let arguments =
                [format!("{}{name}", attempts::PREFIX), role.name().to_owned(), victim.to_string()];
            match start(profile, &arguments.each_ref().map(String::as_str), None, tokens, registry) {
                Ok(process) => self.running = Some((role, name, process)),
                Err(error) => log::error!("lab: attempt {role} {name}: could not be started: {error}"),
            }
            if self.attempts.is_empty() && self.running.is_none() {
                log::info!("lab: attempts are over");
            }
        }
    }

    fn open_gateway(&mut self, tokens: Tokens, registry: &Registry) {
        let role = Role::Console;
        let Some(profile) = table::profile(role) else { return };
        let started = gateway::open()
            .and_then(|line| start(profile, &[gateway::ARGUMENT], Some(line.as_fd()), tokens, registry));
        match started {
            Ok(process) => {
                log::info!("lab: questions to the bus are answered on {}", gateway::DEVICE);
                self.running = Some((role, gateway::ARGUMENT, process));
            }
            Err(error) => log::error!("lab: no questions to the bus: {error}"),
        }
    }

    pub(crate) fn hear(&mut self) {
        let Some((role, name, process)) = &mut self.running else { return };
        let is_gateway = *name == gateway::ARGUMENT;
        let mut orders = Vec::new();
        process.hear_each(|level, text| match gateway::Kill::heard(text).filter(|_| is_gateway) {
            Some(order) => orders.push(order),
            None => logs::line(role.name(), level, text),
        });
        let after = clock::since_boot().saturating_sub(self.since.unwrap_or(0));
        self.faults.extend(
            orders.into_iter().map(|order| (after.saturating_add(order.after), Fault::Kill(order.kill))),
        );
    }

    pub(crate) fn reaped(&mut self, pid: u32, status: WaitStatus, registry: &Registry) -> bool {
        let Some((role, name, mut process)) = self.running.take_if(|(_, _, process)| process.pid == pid)
        else {
            return false;
        };
        process.close(role.name(), registry);
        if name == gateway::ARGUMENT && matches!(status, WaitStatus::Signaled(..)) {
            // It is of the console's control group, and ends with a console that was killed.
            self.faults.push((0, Fault::Bus));
            return true;
        }
        let how = match status {
            WaitStatus::Exited(_, code) => match attempts::outcome(code) {
                Some(outcome) => outcome,
                None => format!("ended with status {code}"),
            },
            WaitStatus::Signaled(_, signal, _) => format!("stopped by {signal}"),
            other => format!("{other:?}"),
        };
        logs::line("init", Level::Warning, &format!("lab: attempt {role} {name}: {how}"));
        if self.attempts.is_empty() {
            log::info!("lab: attempts are over");
        }
        true
    }
}

/// How a process that made an attempt says how it went.
fn code(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::from(attempts::SUCCEEDED),
        Err(error) => ExitCode::from(u8::try_from(error.raw_os_error().unwrap_or(0)).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_the_command_line() {
        assert_eq!(
            parse("quiet drawbridge.lab=init-hang@5,kill:console@7,nonsense,kill:nobody x"),
            [(5_000, Fault::Hang), (7_000, Fault::Kill(Role::Console))]
        );
    }
}
