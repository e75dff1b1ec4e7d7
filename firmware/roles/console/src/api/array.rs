//! The array that this appliance belongs to: where it is, what it is known by, and whom it knows. It keeps no credentials.

mod kept;

use super::answer::{ok, parse};
use super::browser::{Person, Rank, Way};
use super::certificate::facts_json;
use super::problem::Problem;
use super::told::By;
use super::verification::fingerprint;
use super::{Api, Done, notices};
use drawbridge_array::{
    Address, Host, LoginError, PORT, Password, Plain, Shown, Token, Trust, Unreachable, UserName,
};
use drawbridge_bus::bridge::SecretText;
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_identity::facts::CertificateFacts;
use drawbridge_settings::FieldError;
use hyper::StatusCode;
pub(crate) use kept::{Kept, KnownAs, is_kept, keep, kept, known};
use kept::{KnownBy, damaged};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use zeroize::Zeroizing;

fn address(host: &str) -> Result<Address, Problem> {
    Ok(Address { host: Host::parse(host).map_err(|_| damaged())?, port: PORT })
}

/// The addresses of a host, by the network role's word.
async fn addresses(api: &Api, host: &str) -> Result<Vec<IpAddr>, Problem> {
    let question = Request::Resolve { name: host.to_owned(), interface: None };
    match api.ask(Role::Network, question).await? {
        Reply::Addresses(addresses) => Ok(addresses),
        Reply::Unresolved(why) => {
            log::info!("the array's name has no address: {why}");
            Err(failed(&LoginError::Unreachable(Unreachable::NoAddress)))
        }
        other => Err(super::problem::unexpected(&other)),
    }
}

/// A host's name or address as somebody typed it, with nothing around it.
pub(crate) fn host(text: &str) -> Result<String, FieldError> {
    let text = text.trim();
    let text = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    let text = text.strip_suffix(":443").filter(|rest| !rest.contains(':')).unwrap_or(text);
    let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match Host::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(FieldError::new("host", error.to_string(), "a name or an address; its port is always 443"))
        }
    }
}

/// The certificate that is shown at a host.
pub(crate) async fn shown(api: &Api, host: &str) -> Result<Shown, Problem> {
    let addresses = addresses(api, host).await?;
    drawbridge_array::probe(&address(host)?, &addresses, &Plain).await.map_err(|why| failed(&why))
}

fn shown_json(shown: &Shown) -> Value {
    // What cannot be read is still a certificate with a fingerprint.
    CertificateFacts::of(&shown.der).map_or_else(
        |_| {
            json!({
                "subject": shown.subject, "common_name": "", "names": [], "addresses": [], "issuer": shown.issuer,
                "self_signed": false, "not_before": 0, "not_after": 0, "fingerprint": shown.fingerprint(), "key": "",
            })
        },
        |facts| facts_json(&facts),
    )
}

/// A person has to compare what is shown.
pub(crate) fn compare(shown: &Shown) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "array-certificate",
        "The array's certificate is to be compared",
        "Nothing says yet that this certificate is the array's.",
        "Compare the fingerprint with the one that the array's own management shows, and go on when they are the same.",
    )
    .with("shown", shown_json(shown))
}

/// No array is set.
pub(crate) fn unset() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "array-unset",
        "No array is set yet",
        "This appliance does not know its array yet.",
        "Enter the array's address, and the set-up code that the appliance shows on its screen and serial line.",
    )
}

/// The role does not do.
pub(crate) fn no_role() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "no-role",
        "The role Admin is needed",
        "This user does not have the role Admin at the array.",
        "Use a user who has it.",
    )
}

fn failed(why: &LoginError) -> Problem {
    let (status, code, title) = match why {
        LoginError::Unreachable(_) | LoginError::Late(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "array-down", "The array does not answer")
        }
        LoginError::Certificate(_) | LoginError::OtherCertificate { .. } => (
            StatusCode::CONFLICT,
            "array-certificate",
            "The array's certificate is not the one that is known",
        ),
        LoginError::WrongCredentials => {
            (StatusCode::UNAUTHORIZED, "wrong-credentials", "User name or password are not right")
        }
        LoginError::UnknownSession => {
            (StatusCode::UNAUTHORIZED, "wrong-credentials", "The array does not know the session")
        }
        LoginError::Locked(_) | LoginError::ApprovalRequired(_) | LoginError::Refused { .. } => {
            (StatusCode::FORBIDDEN, "barred", "The array does not let that user in")
        }
        _ => (StatusCode::BAD_GATEWAY, "array-fault", "The array does not answer as it should"),
    };
    let mut detail = why.to_string();
    if let Some(first) = detail.get(..1) {
        let first = first.to_uppercase();
        detail.replace_range(..1, &first);
    }
    let problem = Problem::new(status, code, title, format!("{detail}."), why.remedy());
    match why {
        LoginError::OtherCertificate { shown, .. } => problem.with("shown", shown_json(shown)),
        _ => problem,
    }
}

/// Who somebody is by the array's word.
pub(crate) async fn who(
    api: &Api,
    kept: &Kept,
    user: &str,
    password: &SecretText,
    token: Option<&SecretText>,
) -> Result<Person, Problem> {
    let array = kept.array()?;
    let addresses = addresses(api, &kept.host).await?;
    let no_credentials = || failed(&LoginError::WrongCredentials);
    let typed = Zeroizing::new(password.reveal().to_owned());
    let password = Password::parse(typed).map_err(|_| no_credentials())?;
    let (asked, way) = if let Some(token) = token.filter(|_| password.is_sso()) {
        let token = Token::parse(token.reveal()).map_err(|_| failed(&LoginError::UnknownSession))?;
        (array.who(&addresses, &token).await, Way::Sso)
    } else {
        let user = UserName::parse(user).map_err(|_| no_credentials())?;
        (array.login(&addresses, &user, &password).await, Way::Array)
    };
    match &asked {
        // Whoever stands at the machine may say that the new certificate is right.
        Err(LoginError::OtherCertificate { .. }) => api.gate.array_is(false),
        Ok(_) => api.gate.array_is(true),
        Err(_) => {}
    }
    let person = asked.map_err(|why| {
        log::info!("somebody could not log in: {why}");
        failed(&why)
    })?;
    let rank = if person.may_connect() { Rank::Admin } else { Rank::Viewer };
    Ok(Person { name: person.name, rank, way })
}

/// Tells the audit that the array was set.
pub(crate) fn tell(api: &Api, by: &By<'_>, before: Option<&Kept>, now: &Kept) {
    let of = |kept: &Kept| {
        let known_by = match &kept.known_by {
            KnownBy::Pinned { fingerprint } => fingerprint.clone(),
            KnownBy::Uploaded { .. } => "uploaded certificates".to_owned(),
        };
        json!({ "host": kept.host, "known_by": known_by })
    };
    if let Some(draft) = by.set("array", &before.map_or(Value::Null, of), &of(now)) {
        api.tell(draft);
    }
}

/// Its name, for certificates that bear it.
pub(crate) fn name(api: &Api) -> Option<String> {
    kept(api).map(|kept| kept.host)
}

/// The array, and whether it answers.
pub(crate) async fn status(api: &Api) -> Done {
    let Some(kept) = kept(api) else {
        return Ok(ok(&json!({
            "host": null, "certificate": null, "trust": null, "state": "unset",
            "detail": "No array is set.", "remedy": "Enter its address.",
        })));
    };
    Ok(ok(&status_of(api, &kept).await?))
}

async fn status_of(api: &Api, kept: &Kept) -> Result<Value, Problem> {
    let (state, detail, remedy, certificate) = match shown(api, &kept.host).await {
        Err(problem) => {
            let state = if problem.is("array-down") { "down" } else { "fault" };
            let (detail, remedy) = problem.sentences();
            (state, detail, remedy, None)
        }
        Ok(shown) => {
            let known = match &kept.known_by {
                KnownBy::Pinned { fingerprint: text } => fingerprint(text) == Some(shown.sha256),
                // Whether an authority has signed it is seen at the next login.
                KnownBy::Uploaded { .. } => true,
            };
            api.gate.array_is(known);
            let shown = Some(shown_json(&shown));
            if known {
                ("ok", "It answers.".to_owned(), String::new(), shown)
            } else {
                let detail = "It shows another certificate than the one that is known.".to_owned();
                let remedy = "Compare the fingerprint with the one that the array's own management shows, and accept it only \
                              when they are the same."
                    .to_owned();
                ("certificate", detail, remedy, shown)
            }
        }
    };
    Ok(json!({
        "host": kept.host,
        "certificate": certificate,
        "trust": match kept.known_by {
            KnownBy::Pinned { .. } => "pinned",
            KnownBy::Uploaded { .. } => "uploaded",
        },
        "state": state,
        "detail": detail,
        "remedy": remedy,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedArray {
    host: String,
    #[serde(default)]
    fingerprint: Option<String>,
    #[serde(default)]
    pem: Option<String>,
}

/// How a person says that an array is known.
enum Known {
    Uploaded(String),
    /// By a certificate with this fingerprint, if by any.
    Pinned(Option<[u8; 32]>),
}

fn asked(body: &[u8]) -> Result<(String, Known), Problem> {
    let asked: AskedArray = parse(body)?;
    let host = host(&asked.host).map_err(|error| Problem::invalid(vec![error]))?;
    let known = match asked.pem.filter(|pem| !pem.trim().is_empty()) {
        Some(pem) => {
            if let Err(error) = Trust::from_pem(pem.as_bytes()) {
                let right = "the text of a file in PEM, which begins with -----BEGIN CERTIFICATE-----";
                return Err(Problem::field("pem", error.to_string(), right));
            }
            Known::Uploaded(pem)
        }
        None => Known::Pinned(asked.fingerprint.as_deref().and_then(fingerprint)),
    };
    Ok((host, known))
}

/// Sets the array.
pub(crate) async fn set(api: &Api, by: &By<'_>, body: &[u8]) -> Done {
    let (host, known) = asked(body)?;
    let kept = match known {
        Known::Uploaded(pem) => Kept { host, known_by: KnownBy::Uploaded { pem } },
        Known::Pinned(pin) => {
            let shown = shown(api, &host).await?;
            if pin != Some(shown.sha256) {
                return Err(compare(&shown));
            }
            Kept::pinned(host, &shown)
        }
    };
    let before = self::kept(api);
    keep(api, &kept)?;
    log::warn!("{} has set the array: {}", by.person.name, kept.host);
    tell(api, by, before.as_ref(), &kept);
    notices::follow_array(api, by).await;
    Ok(ok(&status_of(api, &kept).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedHost {
    host: String,
}

fn asked_host(body: &[u8]) -> Result<String, Problem> {
    let AskedHost { host: typed } = parse(body)?;
    host(&typed).map_err(|error| Problem::invalid(vec![error]))
}

/// What these calls read of a body, without the network behind them.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_body(body: &[u8]) -> Result<(), Problem> {
    match (asked(body), asked_host(body)) {
        (Err(_), Err(problem)) => Err(problem),
        _ => Ok(()),
    }
}

/// The certificate that is shown at a host.
pub(crate) async fn probe(api: &Api, body: &[u8]) -> Done {
    let host = asked_host(body)?;
    let shown = shown(api, &host).await?;
    Ok(ok(&json!({ "shown": shown_json(&shown) })))
}
