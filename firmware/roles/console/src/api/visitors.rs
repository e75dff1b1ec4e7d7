//! The call by which the owner supervises an engineer's connection. The session role decides what follows; this only translates.

use super::answer::{nothing, parse};
use super::browser::Person;
use super::problem::{Problem, not_taken, unexpected};
use super::{Api, Asks, Done};
use drawbridge_bus::client::CallError;
use drawbridge_bus::supervise::{Hold, Supervised, Supervision};
use drawbridge_bus::{Refusal, Reply, Request, Role};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(tag = "want", rename_all = "snake_case", deny_unknown_fields)]
enum Asked {
    Watch,
    Leave,
    Pause,
    Resume,
    End,
    Message { text: String },
    Judge { number: u64, approved: bool },
}

impl From<Asked> for Supervision {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Watch => Self::Watch,
            Asked::Leave => Self::Leave,
            Asked::Pause => Self::Pause,
            Asked::Resume => Self::Resume,
            Asked::End => Self::End,
            Asked::Message { text } => Self::Message(text),
            Asked::Judge { number, approved } => Self::Judge { number, approved },
        }
    }
}

/// What somebody wants of an engineer's connection.
pub(crate) async fn supervise(api: &Api, person: &Person, asks: &Asks<'_>, body: &[u8]) -> Done {
    let connection = asks.star.parse().map_err(|_| Problem::not_found())?;
    let what: Asked = parse(body)?;
    // A page is known by its session; two pages of one session are one viewer.
    let viewer = asks.caller.token.hash().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let request = Request::Supervise { connection, viewer, by: person.name.clone(), what: what.into() };
    match api.asker.call(Role::Session, request).await {
        Ok(Reply::Done) => Ok(nothing(StatusCode::NO_CONTENT)),
        Err(CallError::Refused(_, Refusal::NotNow)) => Err(Problem::new(
            StatusCode::CONFLICT,
            "gone",
            "The engineer has gone",
            "This connection is not there any more.",
            "See who is there now.",
        )),
        Ok(Reply::NotTaken(why)) => Err(not_taken(&why)),
        Ok(other) => Err(unexpected(&other)),
        Err(error) => Err(error.into()),
    }
}

/// How an engineer is supervised.
pub(super) fn supervised_json(supervised: &Supervised) -> Value {
    json!({
        "watchers": supervised.watchers,
        "hold": supervised.hold.as_ref().map(|hold| match hold {
            Hold::Paused { by } => json!({ "why": "paused", "by": by }),
            Hold::Unwatched { seconds } => json!({ "why": "unwatched", "seconds": seconds }),
        }),
        "proposal": supervised.proposal.as_ref().map(|proposal| json!({
            "number": proposal.number,
            "line": proposal.line,
            "seconds": proposal.seconds,
        })),
    })
}
