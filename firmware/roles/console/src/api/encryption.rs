//! The calls of the customer's key: to whose public key recordings are encrypted. The recorder keeps and tries it; a private key is
//! refused there, and never kept or shown.

use super::Api;
use super::answer::parse;
use super::problem::{Problem, unexpected};
use super::told::{By, changed};
use drawbridge_bus::record::RECIPIENT_BYTES;
use drawbridge_bus::{Reply, Request, Role};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// To whose key recordings are encrypted.
pub(crate) async fn status(api: &Api) -> Result<Value, Problem> {
    Ok(json!({ "recipient": key(api).await? }))
}

async fn key(api: &Api) -> Result<Option<String>, Problem> {
    match api.ask(Role::Recorder, Request::RecordingKey).await? {
        Reply::RecordingKey(key) => Ok(key),
        Reply::NotTaken(why) => Err(unreadable(&why)),
        other => Err(unexpected(&other)),
    }
}

fn unreadable(why: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "key-unreadable",
        "The key of the recordings cannot be read",
        format!("It is not known whether recordings are to be encrypted: {why}."),
        "Set the key again, or say that recordings are not encrypted. Until then no session is recorded.",
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    // To be named: nobody ends the encryption by leaving something out.
    #[serde(deserialize_with = "Option::deserialize")]
    recipient: Option<String>,
}

/// Sets to whose key recordings are encrypted that begin from now on.
pub(crate) async fn set(api: &Api, by: &By<'_>, body: &[u8]) -> Result<Value, Problem> {
    let Asked { recipient } = parse(body)?;
    let wanted = recipient.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let right = "a public key of age, as age1 and 58 letters and digits; `age-keygen -y FILE` shows it";
    if wanted.as_ref().is_some_and(|text| text.len() > RECIPIENT_BYTES) {
        return Err(Problem::field("recipient", "this is too long for a key", right));
    }
    // One that cannot be read is another, too.
    let before = key(api).await.unwrap_or_else(|_| Some("a key that could not be read".to_owned()));
    match api.ask(Role::Recorder, Request::SetRecordingKey(wanted)).await? {
        Reply::RecordingKey(now) => {
            if now != before {
                let words = |key: &Option<String>| key.clone().unwrap_or_else(|| "none".to_owned());
                let (old, new) = (words(&before), words(&now));
                log::warn!("{} has set to whose key recordings are encrypted: {new}", by.person.name);
                api.tell(by.did(changed("key that recordings are encrypted to", &old, &new)));
            }
            Ok(json!({ "recipient": now }))
        }
        Reply::NotTaken(why) => Err(Problem::field("recipient", &why, right)),
        other => Err(unexpected(&other)),
    }
}
