//! The calls of notifications: to whom events are told, how each receiver stands, and a trial of one. The session role keeps the
//! settings, and the courier sends; no password is ever in an answer.

mod asked;

use super::answer::{nothing, parse};
use super::browser::Person;
use super::problem::{Problem, not_taken, unexpected};
use super::recordings::hex;
use super::told::By;
use super::{Api, Done, array};
use asked::{Asked, mailbox};
use drawbridge_bus::notify::{
    NoticeSecrets, NoticeStep, NoticeTest, NoticesChange, NoticesStatus, Receiver, ReceiverState,
};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_settings::network::Host;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// How long whoever sets the array waits for what follows from it.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(3);

/// To whom events are told, and how each stands.
pub(crate) async fn status(api: &Api) -> Result<Value, Problem> {
    Ok(status_json(api, &kept(api).await?))
}

async fn kept(api: &Api) -> Result<NoticesStatus, Problem> {
    match api.ask(Role::Session, Request::Notices).await? {
        Reply::Notices(status) => Ok(*status),
        other => Err(unexpected(&other)),
    }
}

fn status_json(api: &Api, status: &NoticesStatus) -> Value {
    let mut settings = serde_json::to_value(Asked::of(&status.notices)).unwrap_or_default();
    for (receiver, has) in [("array", status.has_password.0), ("mail", status.has_password.1)] {
        if let Some(object) = settings[receiver].as_object_mut() {
            object.insert("has_password".to_owned(), has.into());
        }
    }
    let known = array::known(api);
    json!({
        "settings": settings,
        "array_known": known.as_ref().ok().map(|(host, (certificate, _))| {
            json!({ "host": host, "fingerprint": certificate.as_ref().map(|one| hex(one)) })
        }),
        "array_unknown": known.err().unwrap_or_default(),
        "states": status.states.iter().map(state_json).collect::<Vec<_>>(),
        "runs": status.runs,
    })
}

fn state_json(state: &ReceiverState) -> Value {
    json!({
        "receiver": state.receiver.name(),
        "is_up": state.is_up,
        "since_ms": state.since_ms,
        "settled": state.settled,
        "backlog": state.backlog,
        "oldest_ms": state.oldest_ms,
        "error": state.error.as_ref().map(|(why, remedy)| json!({ "why": why, "remedy": remedy })),
        "next_try_ms": state.next_try_ms,
    })
}

/// Sets to whom events are told.
pub(crate) async fn set(api: &Api, by: &By<'_>, body: &[u8]) -> Result<Value, Problem> {
    let asked: Asked = parse(body)?;
    let (notices, secrets) = asked.read(array::known(api)).map_err(Problem::invalid)?;
    let change = NoticesChange { by: by.person.name.clone(), notices, secrets };
    match api.ask(Role::Session, Request::SetNotices(Box::new(change))).await? {
        Reply::Notices(status) => {
            // Session writes it down by itself.
            log::warn!("{} has set to whom events are told", by.person.name);
            Ok(status_json(api, &status))
        }
        Reply::NotTaken(why) => Err(not_taken(&why)),
        other => Err(unexpected(&other)),
    }
}

/// The array was set anew: where events are told to it, they go on to where it is now. Nobody waits long for that.
pub(crate) async fn follow_array(api: &Api, by: &By<'_>) {
    if timeout(FOLLOWED_WITHIN, follow(api, by)).await.is_err() {
        log::warn!("events may go on to the array that was set before: look at the page Notifications");
    }
}

async fn follow(api: &Api, by: &By<'_>) {
    let Ok(NoticesStatus { mut notices, .. }) = kept(api).await else { return };
    let Some(told) = &mut notices.array else { return };
    let known = array::known(api).ok().and_then(|(host, by)| Some((host.parse::<Host>().ok()?, by)));
    let Some((host, (certificate, uploaded))) = known else {
        log::warn!("events go on to the array that was set before: the new one is not known");
        return;
    };
    if (&told.host, &told.certificate, &told.uploaded) == (&host, &certificate, &uploaded) {
        return;
    }
    (told.host, told.certificate, told.uploaded) = (host, certificate, uploaded);
    let change = NoticesChange { by: by.person.name.clone(), notices, secrets: NoticeSecrets::default() };
    match api.ask(Role::Session, Request::SetNotices(Box::new(change))).await {
        Ok(Reply::Notices(_)) => {}
        _ => {
            log::warn!(
                "events go on to the array that was set before: save the page Notifications once more"
            );
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedTest {
    receiver: Receiver,
    #[serde(default)]
    to: Option<String>,
}

/// Tries a receiver, as it is set.
pub(crate) async fn test(api: &Api, person: &Person, body: &[u8]) -> Done {
    let AskedTest { receiver, to } = parse(body)?;
    let mut faults = Vec::new();
    let to = to.filter(|to| !to.trim().is_empty()).map(|to| mailbox("to", &to, &mut faults));
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    if to.is_some() && receiver != Receiver::Mail {
        return Err(Problem::field("to", "only mail goes to somebody", "no recipient for this receiver"));
    }
    let test = NoticeTest { by: person.name.clone(), receiver, to };
    match api.ask(Role::Session, Request::TestNotices(Box::new(test))).await? {
        Reply::Done => Ok(nothing(StatusCode::ACCEPTED)),
        Reply::NotTaken(why) => Err(not_taken(&why)),
        other => Err(unexpected(&other)),
    }
}

/// What the last trial came to.
pub(crate) async fn steps(api: &Api) -> Result<Value, Problem> {
    match api.ask(Role::Session, Request::NoticeSteps).await? {
        Reply::NoticeSteps { steps, over } => {
            Ok(json!({ "steps": steps.iter().map(step_json).collect::<Vec<_>>(), "over": over }))
        }
        other => Err(unexpected(&other)),
    }
}

fn step_json(step: &NoticeStep) -> Value {
    json!({
        "title": step.title,
        "result": if step.worked { "pass" } else { "fail" },
        "detail": step.detail,
        "remedy": step.remedy,
    })
}
