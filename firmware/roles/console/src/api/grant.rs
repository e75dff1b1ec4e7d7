//! The calls of the vendor's word: whose keys count, and signed grants. The session role verifies and decides; a grant that
//! is refused there opens nothing here.

use super::answer::{ok, parse};
use super::browser::{Granted, Person, Rank, Way};
use super::problem::{Problem, unexpected};
use super::told::By;
use super::{Api, Done, bridge};
use drawbridge_audit::event::{KeyChange, Name, What};
use drawbridge_bus::approval::{GrantFault, GrantTerms, VendorKeyChange, VendorKeyLine};
use drawbridge_bus::{Reply, Request, Role};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a grant allows, as the pages read it.
pub(crate) fn terms_json(terms: &GrantTerms) -> Value {
    let targets =
        terms.scope.targets.iter().map(|target| bridge::place(&target.host.to_string(), target.port));
    json!({
        "case": terms.case,
        "signer": terms.signer,
        "engineer": terms.engineer,
        "scope": {
            "targets": targets.collect::<Vec<_>>(),
            "shell": terms.scope.shell,
            "files": terms.scope.files,
            "forwards": terms.scope.forwards,
        },
        "minutes": terms.minutes,
        "not_after": terms.not_after,
        "is_open": terms.is_open,
    })
}

/// What a refused grant is answered with.
pub(crate) fn refused(fault: &GrantFault) -> Problem {
    let (code, remedy) = match fault.code.as_str() {
        "grant-damaged" => (
            "grant-damaged",
            "Copy the whole text again, with its first and last line; nothing is lost by trying again.",
        ),
        "grant-expired" => (
            "grant-expired",
            "Tell support this system's serial number, and that the last one came too late.",
        ),
        "grant-not-yet" => ("grant-not-yet", "Nothing is lost by trying again."),
        "grant-used" => ("grant-used", "Tell support that a second session is needed."),
        "grant-other-system" => {
            ("grant-other-system", "Tell support the serial number that is shown at the login.")
        }
        "grant-room" | "grant-not-kept" => ("grant-not-kept", "Look at the page Health."),
        _ => ("grant-wrong", "Tell support that this grant did not hold, and do not use it anywhere else."),
    };
    Problem::new(StatusCode::FORBIDDEN, code, "The grant is not taken", fault.sentence.clone(), remedy)
}

/// That somebody who came by a grant asks for more.
pub(crate) fn only_its_session() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "grant-only",
        "A grant opens its own session, and nothing else",
        "You have come by a grant: you may look, and open and stop the support session that it describes.",
        "Log in with an administrator of the array for anything else.",
    )
}

async fn terms(api: &Api, text: String) -> Result<GrantTerms, Problem> {
    match api.ask(Role::Session, Request::CheckGrant(text)).await? {
        Reply::Grant(terms) => Ok(*terms),
        Reply::GrantRefused(fault) => Err(refused(&fault)),
        other => Err(unexpected(&other)),
    }
}

/// Who somebody is by a grant.
pub(crate) async fn person(api: &Api, text: String) -> Result<Person, Problem> {
    let terms = terms(api, text.clone()).await?;
    log::warn!(
        "somebody was let in by a grant for the case {} that is signed by {}",
        terms.case,
        terms.signer
    );
    let name = format!("grant for case {}", terms.case);
    Ok(Person { name, rank: Rank::Grant(Arc::new(Granted { text, terms })), way: Way::Grant })
}

/// The text of the grant that somebody asks by: his own, where he came by one.
pub(crate) fn text(person: &Person, asked: Option<&str>) -> Result<Option<String>, Problem> {
    let asked = asked.map(str::trim).filter(|text| !text.is_empty());
    match (person.rank.granted(), asked) {
        (None, asked) => Ok(asked.map(str::to_owned)),
        (Some(granted), None) => Ok(Some(granted.text.clone())),
        (Some(granted), Some(asked)) if asked == granted.text.trim() => Ok(Some(granted.text.clone())),
        (Some(_), Some(_)) => Err(only_its_session()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedGrant {
    grant: String,
}

/// What a grant that was pasted allows.
pub(crate) async fn check(api: &Api, body: &[u8]) -> Done {
    let AskedGrant { grant } = parse(body)?;
    Ok(ok(&terms_json(&terms(api, grant).await?)))
}

/// Whose word is known, and counts or not.
pub(crate) async fn keys(api: &Api) -> Result<Vec<VendorKeyLine>, Problem> {
    match api.ask(Role::Session, Request::VendorKeys).await? {
        Reply::VendorKeys(keys) => Ok(keys),
        other => Err(unexpected(&other)),
    }
}

fn keys_json(keys: &[VendorKeyLine]) -> Value {
    let keys = keys
        .iter()
        .map(|key| json!({ "name": key.name, "key": key.line, "built_in": key.built_in, "on": key.on }));
    json!({ "keys": keys.collect::<Vec<_>>() })
}

/// Whose responses and grants are taken.
pub(crate) async fn support_keys(api: &Api) -> Done {
    Ok(ok(&keys_json(&keys(api).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedKeys {
    keys: Vec<String>,
    #[serde(default)]
    off: Vec<String>,
}

/// Sets whose responses and grants are taken.
pub(crate) async fn set_support_keys(api: &Api, by: &By<'_>, body: &[u8]) -> Done {
    let AskedKeys { keys: own, off } = parse(body)?;
    let change = VendorKeyChange { own, off, by: by.person.name.clone() };
    let before = keys(api).await?;
    match api.ask(Role::Session, Request::SetVendorKeys(Box::new(change))).await? {
        Reply::VendorKeys(keys) => {
            for (change, key) in changes(&before, &keys) {
                let what = What::KeyChanged { change, key: known_by(&key.line), owner: Name::of(&key.name) };
                api.tell(by.did(what));
            }
            Ok(ok(&keys_json(&keys)))
        }
        other => Err(unexpected(&other)),
    }
}

/// What was done to which keys.
fn changes<'a>(
    before: &'a [VendorKeyLine],
    after: &'a [VendorKeyLine],
) -> impl Iterator<Item = (KeyChange, &'a VendorKeyLine)> {
    let counts = |keys: &[VendorKeyLine], line: &str| keys.iter().any(|key| key.line == line && key.on);
    let added = after.iter().filter(move |key| key.on && !counts(before, &key.line));
    let gone = before.iter().filter(move |key| key.on && !counts(after, &key.line)).map(|key| {
        let stays = after.iter().any(|one| one.line == key.line);
        (if stays { KeyChange::Disabled } else { KeyChange::Removed }, key)
    });
    added.map(|key| (KeyChange::Added, key)).chain(gone)
}

/// A vendor's key has no other name than itself: its line without the owner's word for it.
fn known_by(line: &str) -> Name {
    Name::of(line.split_whitespace().nth(1).unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_added_switched_off_or_taken_away() {
        let key = |name: &str, on| VendorKeyLine {
            line: format!("drawbridge-ed25519 KEY-{name} {name}"),
            name: name.to_owned(),
            built_in: false,
            on,
        };
        let (before, after) = (
            [key("a", true), key("b", true), key("c", true)],
            [key("a", true), key("b", false), key("d", true)],
        );
        let found: Vec<_> =
            changes(&before, &after).map(|(change, key)| (change, key.name.as_str())).collect();
        assert_eq!(found, [(KeyChange::Added, "d"), (KeyChange::Disabled, "b"), (KeyChange::Removed, "c")]);
        assert_eq!(known_by(&before[0].line).as_str(), "KEY-a");
    }
}
