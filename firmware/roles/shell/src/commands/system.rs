//! The appliance as init and network tell it. It changes nothing.

use super::{Shell, misused};
use crate::output::{Done, Fault, columns, duration, flush, line, size};
use drawbridge_bus::client::Client;
use drawbridge_bus::{ClockState, DataState, Level, LogLine, Port, Reply, Request, Role, RoleState};
use std::collections::VecDeque;
use std::time::Duration;

/// How many lines `logs` shows unless asked.
const LINES: usize = 40;
/// How often it looks for further ones.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// The most lines that it shows.
const LINES_MOST: usize = 10_000;

fn otherwise() -> Fault {
    Fault::new("the appliance answered with something else than was asked: is its version the newest?")
}

pub(super) async fn status(shell: &Shell) -> Done {
    let Reply::Status(status) = shell.ask(Role::Init, Request::Status).await? else {
        return Err(otherwise());
    };
    let data = match &status.data {
        DataState::Disk { device, fault: None } => format!("on {device}"),
        DataState::Disk { device, fault: Some(fault) } => format!("on {device}: {fault}"),
        DataState::Volatile { reason } => format!("in memory, gone at the next restart: {reason}"),
    };
    let clock = match &status.clock {
        ClockState::Hardware => "by the hardware clock; no time server has answered yet".to_owned(),
        ClockState::Floor { .. } => "by the last known time: the hardware clock is behind it".to_owned(),
        ClockState::Ceiling { .. } => {
            "by the last known time: the hardware clock is far beyond any plausible time".to_owned()
        }
        ClockState::Synchronised { servers, milliseconds, .. } => {
            format!("by time servers ({}), last correction {milliseconds} ms", servers.join(", "))
        }
    };
    let (total, available) = status.memory;
    let memory =
        format!("{} of {} available", size(available.saturating_mul(1024)), size(total.saturating_mul(1024)));
    let mut rows = vec![
        vec!["version".to_owned(), status.version],
        vec!["host name".to_owned(), status.host_name],
        vec!["serial".to_owned(), if status.serial.is_empty() { "none".to_owned() } else { status.serial }],
        vec!["uptime".to_owned(), duration(status.uptime_seconds)],
        vec!["clock".to_owned(), clock],
        vec!["data".to_owned(), data],
        vec!["memory".to_owned(), memory],
        vec![
            "watchdogs".to_owned(),
            if status.watchdogs.is_empty() { "none".to_owned() } else { status.watchdogs.join(", ") },
        ],
    ];
    if let Some(failure) = &status.last_failure {
        let first = failure.lines().next().unwrap_or_default();
        rows.push(vec!["last failure".to_owned(), first.to_owned()]);
    }
    columns(&rows)?;
    line("")?;
    let mut rows = vec![["role", "state", "starts", "memory", "last end"].map(str::to_owned).to_vec()];
    for role in status.roles {
        let state = match role.state {
            RoleState::Starting => "starting".to_owned(),
            RoleState::Running => "running".to_owned(),
            RoleState::Waiting { milliseconds } => format!("starts again in {milliseconds} ms"),
            RoleState::Failed => "FAILED".to_owned(),
            RoleState::Stopping => "stopping".to_owned(),
            RoleState::Stopped => "stopped".to_owned(),
            RoleState::Dormant => "not needed".to_owned(),
        };
        let memory = size(role.memory_kib.saturating_mul(1024));
        rows.push(vec![role.role.to_string(), state, role.starts.to_string(), memory, role.last_end]);
    }
    columns(&rows)
}

pub(super) async fn network(shell: &Shell) -> Done {
    let Reply::Network(network) = shell.ask(Role::Network, Request::Network).await? else {
        return Err(otherwise());
    };
    let now = shell.ask(Role::Network, Request::Ports).await?;
    let Reply::Ports(ports) = now else { return Err(otherwise()) };
    for port in &ports {
        describe(port)?;
    }
    let servers: Vec<String> =
        network.name_servers.iter().map(|(address, interface)| format!("{address} ({interface})")).collect();
    let or_none = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    line(&format!("Name servers: {}", or_none(&servers)))?;
    line(&format!("Time servers: {}", or_none(&network.time_servers)))?;
    if let Some(pending) = network.pending {
        line(&format!("A change of the network waits to be confirmed, for {} s still.", pending.seconds))?;
    }
    network.remarks.iter().try_for_each(|remark| line(remark))
}

fn describe(port: &Port) -> Done {
    let roles: Vec<String> = port.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
    let link = match (port.carrier, port.megabits) {
        (false, _) => "no link".to_owned(),
        (true, None) => "link".to_owned(),
        (true, Some(megabits)) => format!("link at {megabits} Mbit/s"),
    };
    let mac: Vec<String> = port.mac.iter().map(|byte| format!("{byte:02x}")).collect();
    line(&format!(
        "{} ({}), {}: {link}",
        port.interface,
        port.name,
        if roles.is_empty() { "unused".to_owned() } else { roles.join(", ") }
    ))?;
    line(format!("    {}  MTU {}  {} {}", mac.join(":"), port.mtu, port.driver, port.pci).trim_end())?;
    for (address, prefix) in &port.addresses {
        line(&format!("    {address}/{prefix}"))?;
    }
    port.remarks.iter().try_for_each(|remark| line(&format!("    {remark}")))
}

/// What is asked of the log.
struct Wanted {
    most: usize,
    follow: bool,
    /// In small letters; empty for every line.
    filter: String,
}

impl Wanted {
    fn read(arguments: &[String]) -> Result<Self, Fault> {
        let mut wanted = Self { most: LINES, follow: false, filter: String::new() };
        let mut rest = arguments;
        loop {
            rest = match rest {
                [option, rest @ ..] if option == "-f" => {
                    wanted.follow = true;
                    rest
                }
                [option, count, rest @ ..] if option == "-n" => {
                    let count = count.parse().ok().filter(|count| (1..=LINES_MOST).contains(count));
                    wanted.most = count.ok_or_else(|| {
                        Fault::usage(format!("a number of lines is from 1 to {LINES_MOST}"))
                    })?;
                    rest
                }
                [] => return Ok(wanted),
                [text] if text != "-n" => {
                    wanted.filter = text.to_lowercase();
                    return Ok(wanted);
                }
                _ => return Err(misused("logs")),
            };
        }
    }

    fn wants(&self, one: &LogLine) -> bool {
        self.filter.is_empty()
            || one.text.to_lowercase().contains(&self.filter)
            || one.source.to_lowercase().contains(&self.filter)
    }
}

fn show(one: &LogLine) -> Done {
    let level = match one.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    let (seconds, thousandths) = (one.milliseconds / 1000, one.milliseconds % 1000);
    line(&format!("{seconds:>7}.{thousandths:03} {:<8} {level:<7} {}", one.source, one.text))
}

/// The lines after this one, and the number of the last.
async fn lines_after(client: &mut Client, after: u64) -> Result<(Vec<LogLine>, u64), Fault> {
    let request = Request::Log { after, most: drawbridge_bus::message::LOG_LINES_A_REPLY };
    let reply = client.call(request).await.map_err(|error| Fault::new(error.to_string()))?;
    let Reply::Log(lines) = reply else { return Err(otherwise()) };
    let last = lines.last().map_or(after, |last| last.number.max(after));
    Ok((lines, last))
}

pub(super) async fn logs(shell: &Shell, arguments: &[String]) -> Done {
    let wanted = Wanted::read(arguments)?;
    let mut client = crate::role::connect(&shell.place.sockets, Role::Init)
        .await
        .map_err(|error| Fault::new(error.to_string()))?;
    let (mut kept, mut after) = (VecDeque::with_capacity(LINES), 0);
    // Each turn brings larger numbers, and the ring is finite: what comes in meanwhile is shown too, up to a bound.
    for _ in 0..1_000 {
        let (lines, last) = lines_after(&mut client, after).await?;
        if last == after {
            break;
        }
        after = last;
        for one in lines.into_iter().filter(|one| wanted.wants(one)) {
            if kept.len() == wanted.most {
                kept.pop_front();
            }
            kept.push_back(one);
        }
    }
    kept.iter().try_for_each(show)?;
    if !wanted.follow {
        return Ok(());
    }
    // Ctrl-C, the end of the connection and that of the grant are the ends of it.
    loop {
        flush()?;
        tokio::time::sleep(FOLLOW_EVERY).await;
        let (lines, last) = lines_after(&mut client, after).await?;
        after = last;
        lines.iter().filter(|one| wanted.wants(one)).try_for_each(show)?;
    }
}
