//! The calls of the recordings: which there are, and each as one file to take away. It never looks into one.

use super::download::{self, Folder};
use super::problem::{Problem, unexpected};
use super::told::By;
use super::{Api, Done};
use drawbridge_audit::event::{Name, What};
use drawbridge_bus::record::{RecordingFacts, RecordingId, RecordingLine};
use drawbridge_bus::support::{Level, Recording};
use drawbridge_bus::{Reply, Request, Role};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// What a level is called in the API.
pub(super) const fn level(level: Level) -> &'static str {
    match level {
        Level::Direct => "direct",
        Level::Watched => "watched",
        Level::Guided => "guided",
    }
}

/// What a policy is called in the API.
pub(super) const fn policy(recording: Recording) -> &'static str {
    match recording {
        Recording::Strict => "strict",
        Recording::BreakGlass => "break_glass",
    }
}

/// Recordings, as a query asks for them: the latest, or `before=ID` those before that one.
pub(crate) async fn list(api: &Api, query: &str) -> Result<Value, Problem> {
    let lines = lines(api, before(query)?).await?;
    let status = match api.ask(Role::Recorder, Request::Recorder).await? {
        Reply::Recorder(status) => status,
        other => return Err(unexpected(&other)),
    };
    Ok(json!({
        "recordings": lines.iter().map(line_json).collect::<Vec<_>>(),
        "kept": status.kept,
        "bytes": status.bytes.0,
        "free_bytes": status.bytes.1,
        "takes": status.takes,
        "trouble": status.trouble,
    }))
}

/// Before which one, as a query says it.
pub(super) fn before(query: &str) -> Result<Option<RecordingId>, Problem> {
    match query.split_once('=') {
        None if query.is_empty() => Ok(None),
        Some(("before", id)) => parse(id).map(Some),
        _ => {
            let right = "as in before=20261127T014500Z-3fa9c01d";
            Err(Problem::field("query", "this is not asked for so", right))
        }
    }
}

async fn lines(api: &Api, before: Option<RecordingId>) -> Result<Vec<RecordingLine>, Problem> {
    match api.ask(Role::Recorder, Request::Recordings { before }).await? {
        Reply::Recordings(lines) => Ok(lines),
        other => Err(unexpected(&other)),
    }
}

/// Whose a connection is.
pub(super) fn facts_json(facts: &RecordingFacts) -> Value {
    json!({
        "grant": facts.grant.1,
        "level": level(facts.level),
        "engineer": facts.engineer,
        "login": facts.login,
        "source": facts.source.to_string(),
        "system": facts.system.0,
        "serial": facts.system.1,
    })
}

fn line_json(line: &RecordingLine) -> Value {
    json!({
        "id": line.id.as_str(),
        "facts": line.facts.as_ref().map(facts_json),
        "began": line.began,
        "seconds": line.milliseconds / 1000,
        "running": line.running,
        "end": line.end,
        "recipient": line.recipient,
        "bytes": line.files.iter().map(|(_, length)| length).sum::<u64>(),
        "head": line.head.map(|head| hex(&head)),
        "confirmed": line.confirmed,
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn parse(id: &str) -> Result<RecordingId, Problem> {
    RecordingId::parse(id).ok_or_else(|| {
        Problem::field("id", "this is no recording's name", "one that the list of recordings has")
    })
}

/// One recording, as the list has it.
pub(super) async fn find(api: &Api, id: &str) -> Result<RecordingLine, Problem> {
    let id = parse(id)?;
    // Names sort by time: it is the latest of those before a name that is longer by a letter.
    let behind = RecordingId::parse(&format!("{id}z"));
    let lines = lines(api, behind).await?;
    lines.into_iter().find(|line| line.id == id).ok_or_else(Problem::not_found)
}

/// A recording as a tar file: what `verify` takes.
pub(crate) async fn download(api: &Arc<Api>, by: &By<'_>, name: &str) -> Done {
    let id = name.strip_suffix(".tar").ok_or_else(Problem::not_found)?;
    let line = find(api, id).await?;
    let place = download::place(api)?;
    api.tell(by.did(What::RecordingFetched { recording: Name::of(line.id.as_str()), from_server: false }));
    let files = line.files.iter().map(|(name, length)| (format!("{}/{name}", line.id), *length)).collect();
    let name = format!("drawbridge-{}.tar", line.id);
    let began = u64::try_from(line.began).unwrap_or(0);
    let id = line.id.clone();
    let ask = move |file: usize, offset, most| {
        let file = line.files.get(file).map(|(name, _)| name.clone()).unwrap_or_default();
        (Role::Recorder, Request::RecordingPart { id: id.clone(), file, offset, most })
    };
    Ok(download::tar(api, place, &name, Folder { files, modified: began, ask: Box::new(ask) }))
}
