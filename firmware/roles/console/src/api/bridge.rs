//! The calls of the bridge: lower it, raise it, test the way, see where it stands. The session role decides; this only translates.

use super::answer::{json, nothing, ok, parse};
use super::asked::{Asked, AskedPath};
use super::browser::{Person, Rank};
use super::problem::{Problem, unexpected};
use super::{Api, Done, grant, recordings, visitors};
use crate::keep::Secrecy;
use drawbridge_bus::approval::ApprovedBy;
use drawbridge_bus::bridge::{BridgeState, BridgeStatus, Link, PathStep, StepResult, Visitor};
use drawbridge_bus::support::{GrantRequest, Proof, USUAL_GRACE};
use drawbridge_bus::{Reply, Request, Role};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::SystemTime;

/// The file of what was last asked for, without secrets.
const LAST: &str = "last-bridge.json";

/// Where the bridge stands.
pub(crate) async fn status(api: &Api) -> Result<Value, Problem> {
    match api.ask(Role::Session, Request::Bridge).await? {
        Reply::Bridge(status) => Ok(status_json(&status)),
        other => Err(unexpected(&other)),
    }
}

/// The steps of the test of the way.
pub(crate) async fn steps(api: &Api) -> Result<Value, Problem> {
    match api.ask(Role::Session, Request::TestSteps).await? {
        Reply::TestSteps { steps, over } => {
            Ok(json!({ "steps": steps.iter().map(step_json).collect::<Vec<_>>(), "over": over }))
        }
        other => Err(unexpected(&other)),
    }
}

fn kept(api: &Api) -> Option<Asked> {
    let kept = api.folder.read(LAST).ok().flatten()?;
    serde_json::from_slice(&kept).ok()
}

/// The server that was last asked for, or else the one of the vendor's profile.
pub(crate) fn last_server(api: &Api) -> Option<String> {
    kept(api).map(|asked| asked.path.server).or_else(|| suggested(api))
}

fn suggested(api: &Api) -> Option<String> {
    api.profile.hosts.server.as_ref().map(ToString::to_string)
}

/// What was last asked for, without secrets; or what is usual.
pub(crate) fn last(api: &Api) -> Value {
    kept(api).and_then(|kept| serde_json::to_value(kept).ok()).unwrap_or_else(|| {
        json!({
            "name": "", "reason": "", "level": "direct", "recording": "strict", "grace_seconds": USUAL_GRACE, "minutes": 240, "keys": [], "sources": [],
            "scope": { "targets": [], "shell": true, "files": true, "forwards": false },
            "path": {
                "server": suggested(api).unwrap_or_default(), "tls_name": null, "hops": [], "proxy": null, "interface": null,
                "verification": { "built_in": true, "uploaded": [], "certificate_pin": null, "key_pin": null },
            },
        })
    })
}

/// A secret that can be used.
pub(crate) async fn offer(api: &Api) -> Done {
    match api.ask(Role::Session, Request::OfferSecret).await? {
        Reply::Secret(secret) => Ok(ok(&json!({ "secret": secret.reveal() }))),
        other => Err(unexpected(&other)),
    }
}

/// Lowers the bridge.
pub(crate) async fn open(api: &Api, person: &Person, body: &[u8]) -> Done {
    open_asked(api, person, parse(body)?).await
}

/// [`open`], of what is read already.
pub(crate) async fn open_asked(api: &Api, person: &Person, asked: Asked) -> Done {
    let granted = grant::text(person, asked.grant.as_deref())?;
    // What a grant says is for one session: of that one only the way is of use again.
    let kept = match &granted {
        None => serde_json::to_vec(&asked).ok(),
        Some(_) => with_path(last(api), &asked),
    };
    let request = Box::new(asked.request(&person.name).map_err(Problem::invalid)?);
    let name = request.grant.name.clone();
    let question = match granted {
        None => Request::OpenBridge(request),
        Some(grant) => Request::OpenGranted { request, grant },
    };
    match api.ask(Role::Session, question).await? {
        Reply::GrantRefused(fault) => Err(grant::refused(&fault)),
        Reply::Opened(grant) => {
            log::info!("{} has lowered the bridge: {name}", person.name);
            if let Some(kept) = kept
                && let Err(error) = api.folder.write(LAST, Secrecy::Secret, &kept)
            {
                log::warn!("what was asked for is not kept for the next time: {error}");
            }
            Ok(json(StatusCode::CREATED, &json!({ "grant": grant.0 })))
        }
        other => Err(unexpected(&other)),
    }
}

fn with_path(mut last: Value, asked: &Asked) -> Option<Vec<u8>> {
    last["path"] = serde_json::to_value(&asked.path).ok()?;
    serde_json::to_vec(&last).ok()
}

/// Whether the session that is open is this person's to end: anybody's who may change something, and else that of his grant.
async fn is_his(api: &Api, person: &Person) -> Result<(), Problem> {
    let Rank::Grant(granted) = &person.rank else { return Ok(()) };
    match api.ask(Role::Session, Request::Bridge).await? {
        Reply::Bridge(status) if status.state == BridgeState::Closed => Ok(()),
        Reply::Bridge(status) if status.approved_by.as_ref().is_some_and(|by| by.id == granted.terms.id) => {
            Ok(())
        }
        Reply::Bridge(_) => Err(grant::only_its_session()),
        other => Err(unexpected(&other)),
    }
}

/// Raises the bridge.
pub(crate) async fn close(api: &Api, person: &Person) -> Done {
    is_his(api, person).await?;
    order(api, Request::CloseBridge { by: person.name.clone() }, StatusCode::ACCEPTED).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    minutes: u32,
}

/// Sets the end anew.
pub(crate) async fn set_end(api: &Api, person: &Person, body: &[u8]) -> Done {
    let End { minutes } = parse(body)?;
    is_his(api, person).await?;
    let reply = api.ask(Role::Session, Request::SetBridgeEnd { minutes }).await?;
    match reply {
        Reply::Done => Ok(ok(&status(api).await?)),
        other => Err(unexpected(&other)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    path: AskedPath,
}

/// Begins a test of the way.
pub(crate) async fn test(api: &Api, body: &[u8]) -> Done {
    let Test { path } = parse(body)?;
    let path = path.path().map_err(Problem::invalid)?;
    path.check().map_err(Problem::invalid)?;
    order(api, Request::TestBridge(Box::new(path)), StatusCode::ACCEPTED).await
}

async fn order(api: &Api, request: Request, status: StatusCode) -> Done {
    match api.ask(Role::Session, request).await? {
        Reply::Done => Ok(nothing(status)),
        other => Err(unexpected(&other)),
    }
}

/// What the appliance is known by.
pub(crate) async fn device(api: &Api) -> Result<Value, Problem> {
    match api.ask(Role::Session, Request::DeviceKeys).await? {
        Reply::DeviceKeys(keys) => Ok(json!({
            "host_key": keys.host_key,
            "host_fingerprint": keys.host_fingerprint,
            "login_key": keys.login_key,
            "evidence_key": keys.evidence_key,
            "evidence_fingerprint": keys.evidence_fingerprint,
            "serial": keys.serial,
            "name": keys.name,
        })),
        other => Err(unexpected(&other)),
    }
}

fn status_json(status: &BridgeStatus) -> Value {
    let (state, leftovers) = match &status.state {
        BridgeState::Closed => ("closed", None),
        BridgeState::Opening => ("opening", None),
        BridgeState::Open => ("open", None),
        BridgeState::Closing => ("closing", None),
        BridgeState::FailedToClose(left) => ("failed_to_close", Some(left.to_string())),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({
        "state": state,
        "leftovers": leftovers,
        "grant": status.grant.as_ref().map(|(id, grant)| grant_json(id.0, grant)),
        "approved_by": status.approved_by.as_ref().map(approved_json),
        "seconds_left": status.seconds_left,
        "ends_at": status.seconds_left.map(|left| now + left),
        "burned": status.burned,
        "link": link_json(&status.link),
        "visitors": status.visitors.iter().map(visitor_json).collect::<Vec<_>>(),
        "last_end": status.last_end,
    })
}

fn approved_json(by: &ApprovedBy) -> Value {
    json!({ "case": by.case, "signer": by.signer })
}

fn grant_json(id: u64, grant: &GrantRequest) -> Value {
    let targets: Vec<String> =
        grant.scope.targets.iter().map(|target| place(&target.host.to_string(), target.port)).collect();
    json!({
        "id": id,
        "name": grant.name,
        "opener": grant.opener,
        "reason": grant.reason,
        "level": recordings::level(grant.level),
        "recording": recordings::policy(grant.recording),
        "grace_seconds": grant.grace_seconds,
        "scope": {
            "targets": targets,
            "shell": grant.scope.shell,
            "files": grant.scope.files,
            "forwards": grant.scope.forwards,
        },
        "minutes": grant.minutes,
        "proof": match grant.proof {
            Proof::Secret => "secret",
            Proof::Key(_) => "key",
            Proof::KeyAndSecret(_) => "key_and_secret",
        },
        "keys": grant.proof.keys().len(),
        "sources": grant.sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

pub(crate) fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn link_json(link: &Link) -> Value {
    let (state, system, takes_recordings, why, remedy) = match link {
        Link::Down => ("down", None, None, "", ""),
        Link::Connecting => ("connecting", None, None, "", ""),
        Link::Connected { system, takes_recordings } => {
            ("connected", Some(system), Some(takes_recordings), "", "")
        }
        Link::Waiting { why, remedy } => ("waiting", None, None, why.as_str(), remedy.as_str()),
    };
    json!({ "state": state, "system": system, "takes_recordings": takes_recordings, "why": why, "remedy": remedy })
}

fn visitor_json(visitor: &Visitor) -> Value {
    json!({
        // Larger than what browsers count exactly.
        "connection": visitor.connection.to_string(),
        "name": visitor.name,
        "source": visitor.source.to_string(),
        "seconds": visitor.seconds,
        "supervised": visitors::supervised_json(&visitor.supervised),
    })
}

fn step_json(step: &PathStep) -> Value {
    let (result, remedy) = match &step.result {
        StepResult::Running => ("running", ""),
        StepResult::Pass => ("pass", ""),
        StepResult::Fail { remedy } => ("fail", remedy.as_str()),
        StepResult::Skip => ("skip", ""),
    };
    json!({
        "number": step.number,
        "title": step.title,
        "result": result,
        "detail": step.detail,
        "remedy": remedy,
        "milliseconds": step.milliseconds,
    })
}
