//! The calls of the recordings that the support server keeps: which there are, and each as one file to take away, through the tunnel. It
//! never looks into one, and asks nobody while the bridge is raised.

use super::download::{self, Sink};
use super::problem::{Problem, unexpected};
use super::recordings::{before, parse};
use super::told::By;
use super::{Api, Done};
use drawbridge_audit::event::{Name, What};
use drawbridge_bus::bridge::{BridgeState, Link};
use drawbridge_bus::fetch::{KeptRecording, Unfetched};
use drawbridge_bus::{Reply, Request, Role};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// Recordings, as a query asks for them: the latest, or `before=ID` those before that one.
pub(crate) async fn list(api: &Api, query: &str) -> Result<Value, Problem> {
    let before = before(query)?;
    is_connected(api).await?;
    match ask(api, Request::KeptRecordings { before }).await? {
        Reply::KeptRecordings { recordings, more } => {
            Ok(json!({ "recordings": recordings.iter().map(line_json).collect::<Vec<_>>(), "more": more }))
        }
        other => Err(unexpected(&other)),
    }
}

fn line_json(line: &KeptRecording) -> Value {
    json!({
        "id": line.id.as_str(),
        "began": line.began,
        "seconds": line.seconds,
        "bytes": line.bytes,
        "engineer": line.engineer,
        "grant": line.session,
        "end": line.end,
        "whole": line.whole,
        "verified": line.verified,
    })
}

/// Asks the tunnel; that there is nothing, and why, is a problem.
async fn ask(api: &Api, question: Request) -> Result<Reply, Problem> {
    match api.asker.ask_server(question).await? {
        Reply::Unfetched(why) => Err(problem(why)),
        reply => Ok(reply),
    }
}

/// Without the bridge nobody is there who could be asked: the socket of a tunnel that does not run takes questions and answers none.
async fn is_connected(api: &Api) -> Result<(), Problem> {
    let status = match api.ask(Role::Session, Request::Bridge).await? {
        Reply::Bridge(status) => status,
        other => return Err(unexpected(&other)),
    };
    let (detail, remedy) = match (status.state, status.link) {
        (BridgeState::Open, Link::Connected { .. }) => return Ok(()),
        (BridgeState::Open, Link::Waiting { why, remedy }) => {
            (format!("There is no connection to the support server: {why}"), remedy)
        }
        (BridgeState::Open | BridgeState::Opening, _) => (
            "The connection to the support server is being made.".to_owned(),
            "Try again in a few seconds.".to_owned(),
        ),
        _ => {
            let detail = "The support server is asked through the bridge only, and the bridge is raised.";
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "bridge-raised",
                "The bridge is raised",
                detail,
                "Lower the bridge on the page Connection, and try again.",
            ));
        }
    };
    Err(Problem::new(
        StatusCode::CONFLICT,
        "not-connected",
        "The support server is not connected",
        detail,
        remedy,
    ))
}

fn problem(why: Unfetched) -> Problem {
    match why {
        Unfetched::Unable => Problem::new(
            StatusCode::CONFLICT,
            "server-cannot",
            "The support server cannot do this",
            "This support server gives no recordings back.",
            "Ask its operator for them, or for a newer server.",
        ),
        Unfetched::Unknown => Problem::new(
            StatusCode::NOT_FOUND,
            "not-kept",
            "The support server has no such recording",
            "The support server has no recording of this appliance by that name.",
            "See which it has: the page Recordings lists them.",
        ),
        Unfetched::Failed { why, remedy } => Problem::new(
            StatusCode::BAD_GATEWAY,
            "server-failed",
            "The support server has not given it",
            format!("It was not given: {}.", why.trim_end_matches('.')),
            remedy,
        ),
    }
}

/// A recording as a tar file, of the same form as the appliance's own.
pub(crate) async fn download(api: &Arc<Api>, by: &By<'_>, name: &str) -> Done {
    let id = parse(name.strip_suffix(".tar").ok_or_else(Problem::not_found)?)?;
    let place = download::place(api)?;
    is_connected(api).await?;
    let (fetch, length) = match ask(api, Request::FetchRecording { id: id.clone() }).await? {
        Reply::Fetching { fetch, length } => (fetch, length),
        other => return Err(unexpected(&other)),
    };
    api.tell(by.did(What::RecordingFetched { recording: Name::of(id.as_str()), from_server: true }));
    let name = format!("drawbridge-{id}.tar");
    let (sink, response) = download::file(api, &name, "application/x-tar", Some(length));
    let api = Arc::clone(api);
    tokio::spawn(async move {
        let _place = place;
        match send(&api, fetch, length, &sink).await {
            Ok(true) => sink.end().await,
            Ok(false) => {
                // The tunnel lets it go in a while anyway.
                let _ = ask(&api, Request::EndFetch { fetch }).await;
            }
            Err(problem) => log::warn!("the download of {name} is broken off: {}", problem.sentences().0),
        }
    });
    Ok(response)
}

/// Sends it as it is taken. False: nobody takes it any more.
async fn send(api: &Api, fetch: u64, length: u64, sink: &Sink) -> Result<bool, Problem> {
    let mut from = 0;
    while from < length {
        match ask(api, Request::FetchedPart { fetch, from }).await? {
            Reply::RecordingPart(bytes, _) if !bytes.is_empty() && bytes.len() as u64 <= length - from => {
                from += bytes.len() as u64;
                if !sink.send(bytes).await {
                    return Ok(false);
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
    Ok(true)
}
