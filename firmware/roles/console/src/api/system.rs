//! The calls of the machine itself: how it is, its log, restart and end. Init decides and does.

use super::answer::{nothing, parse};
use super::problem::{Problem, unexpected};
use super::told::By;
use super::{Api, Done};
use crate::body::Body;
use crate::page;
use drawbridge_audit::event::{self, Long, Name, Outcome, What};
use drawbridge_bus::bridge::BridgeState;
use drawbridge_bus::message::LOG_LINES_A_REPLY;
use drawbridge_bus::{
    ClockState, DataState, Level, LogLine, Power, Reply, Request, Role, RoleState, SystemStatus,
};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// The most lines of a log that is downloaded: the ring of init's holds fewer.
const DOWNLOAD_LINES: usize = 20_000;

/// How long the machine stays on for the audit.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// How the machine is.
pub(crate) async fn health(api: &Api) -> Result<Value, Problem> {
    let facts = api.facts().await;
    let checks: Vec<Value> = page::checks(&facts)
        .into_iter()
        .map(|check| {
            json!({ "title": check.title, "result": check.result, "detail": check.detail, "remedy": check.remedy })
        })
        .collect();
    let status = match &facts.status {
        Ok(status) => status,
        Err(why) => {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "role-away",
                "A part of the appliance does not answer",
                format!("The state of the system is unknown: {why}."),
                "Wait a few seconds and try again; if it stays so, restart the appliance by its power button.",
            ));
        }
    };
    let mut value = status_json(status);
    value["checks"] = checks.into();
    Ok(value)
}

fn status_json(status: &SystemStatus) -> Value {
    let data = match &status.data {
        DataState::Disk { device, fault } => json!({ "state": "disk", "device": device, "fault": fault }),
        DataState::Volatile { reason } => json!({ "state": "volatile", "device": null, "fault": reason }),
    };
    let clock = match &status.clock {
        ClockState::Hardware => "hardware",
        ClockState::Floor { .. } => "floor",
        ClockState::Ceiling { .. } => "ceiling",
        ClockState::Synchronised { .. } => "synchronised",
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let roles: Vec<Value> = status
        .roles
        .iter()
        .map(|role| {
            json!({
                "role": role.role.name(),
                "state": state(&role.state),
                "pid": role.pid,
                "starts": role.starts,
                "memory_kib": role.memory_kib,
                "last_end": role.last_end,
            })
        })
        .collect();
    json!({
        "version": status.version,
        "serial": status.serial,
        "host_name": status.host_name,
        "uptime_seconds": status.uptime_seconds,
        "data": data,
        "clock": { "state": clock, "detail": page::clock_sentence(&status.clock), "now": now },
        "memory": { "total_kib": status.memory.0, "available_kib": status.memory.1 },
        "watchdogs": status.watchdogs,
        "last_failure": status.last_failure,
        "roles": roles,
    })
}

const fn state(state: &RoleState) -> &'static str {
    match state {
        RoleState::Starting => "starting",
        RoleState::Running => "running",
        RoleState::Waiting { .. } => "waiting",
        RoleState::Failed => "failed",
        RoleState::Stopping => "stopping",
        RoleState::Stopped => "stopped",
        RoleState::Dormant => "dormant",
    }
}

/// Log lines, as a query asks for them: `after=N&most=N`.
pub(crate) async fn log(api: &Api, query: &str) -> Result<Value, Problem> {
    let (mut after, mut most) = (0, LOG_LINES_A_REPLY);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let number = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| Problem::field("query", "this is no number", "as in after=100&most=200"))
        };
        match pair.split_once('=') {
            Some(("after", text)) => after = number(text)?,
            Some(("most", text)) => {
                most = u16::try_from(number(text)?).unwrap_or(u16::MAX).clamp(1, LOG_LINES_A_REPLY);
            }
            _ => return Err(Problem::field("query", "this is not asked for so", "as in after=100&most=200")),
        }
    }
    let lines: Vec<Value> = lines(api, after, most).await?.iter().map(line_json).collect();
    Ok(json!({ "lines": lines }))
}

async fn lines(api: &Api, after: u64, most: u16) -> Result<Vec<LogLine>, Problem> {
    match api.ask(Role::Init, Request::Log { after, most }).await? {
        Reply::Log(lines) => Ok(lines),
        other => Err(unexpected(&other)),
    }
}

fn line_json(line: &LogLine) -> Value {
    json!({
        "number": line.number,
        "milliseconds": line.milliseconds,
        "source": line.source,
        "level": level(line.level),
        "text": line.text,
    })
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

/// The whole log, as a file.
pub(crate) async fn log_file(api: &Api) -> Done {
    let mut text = String::new();
    let mut after = 0;
    let mut count = 0;
    while count < DOWNLOAD_LINES {
        let lines = lines(api, after, LOG_LINES_A_REPLY).await?;
        let Some(last) = lines.last() else { break };
        after = last.number;
        count += lines.len();
        for line in &lines {
            let (seconds, rest) = (line.milliseconds / 1000, line.milliseconds % 1000);
            let level = level(line.level);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{seconds:>8}.{rest:03} {level:<7} {}: {}", line.source, line.text);
        }
    }
    let mut response = Response::new(Body::full(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"support-appliance-log.txt\""),
    );
    Ok(response)
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Restart,
    Off,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedPower {
    action: Action,
}

/// Restarts the machine, or switches it off.
pub(crate) async fn power(api: &Api, by: &By<'_>, body: &[u8]) -> Done {
    let AskedPower { action } = parse(body)?;
    let (power, words, what) = match action {
        Action::Restart => (Power::Reboot, "restarts", event::Power::Restarting),
        Action::Off => (Power::Off, "switches off", event::Power::SwitchingOff),
    };
    log::warn!("{} {words} the appliance", by.person.name);
    api.teller.tell_first(by.did(What::Power { what }), TOLD_WITHIN).await;
    done(api.ask(Role::Init, Request::Power(power)).await?)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AskedReload {
    force: bool,
}

/// Starts the remote-support service anew: a session that is open ends.
pub(crate) async fn reload(api: &Api, by: &By<'_>, body: &[u8]) -> Done {
    let AskedReload { force } = parse(body)?;
    if !force {
        // One that does not answer is what this is for.
        if let Ok(Reply::Bridge(status)) = api.ask(Role::Session, Request::Bridge).await
            && status.state != BridgeState::Closed
        {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "bridge-open",
                "A support session is open",
                "A support session is open, and would be cut off.",
                "Stop the session first, or reload all the same.",
            ));
        }
    }
    log::warn!("{} starts the remote-support service anew", by.person.name);
    let answer = done(api.ask(Role::Init, Request::ReloadService).await?)?;
    // Whoever writes it down is being started anew: it waits in the queue until he is back.
    let why = Long::of(&format!("{} has started the remote-support service anew", by.person.name));
    api.tell(by.did(What::Role {
        role: Name::of(Role::Session.name()),
        outcome: Outcome::Done,
        why: Some(why),
    }));
    Ok(answer)
}

fn done(reply: Reply) -> Done {
    match reply {
        Reply::Done => Ok(nothing(StatusCode::ACCEPTED)),
        other => Err(unexpected(&other)),
    }
}
