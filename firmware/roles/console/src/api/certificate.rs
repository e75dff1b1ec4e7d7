//! The calls of the console's own certificate: what is served, another in its place, a request for one. No key that was made or
//! uploaded is ever in an answer but once, where it was asked for.

use super::answer::{ok, parse};
use super::problem::Problem;
use super::told::By;
use super::verification::fingerprint;
use super::{Api, Done, array};
use crate::body::Body;
use crate::serving::{NotServed, seconds};
use drawbridge_audit::event::{Long, What};
use drawbridge_bus::ClockState;
use drawbridge_bus::bridge::SecretText;
use drawbridge_chain::{Hash, Utc};
use drawbridge_identity::facts::CertificateFacts;
use drawbridge_identity::request::{NewKey, RequestFault, Subject, Wanted};
use drawbridge_identity::upload::Expected;
use drawbridge_settings::FieldError;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;
use zeroize::Zeroizing;

/// What stands in a certificate.
pub(crate) fn facts_json(facts: &CertificateFacts) -> Value {
    json!({
        "subject": facts.subject,
        "common_name": facts.common_name.as_deref().unwrap_or_default(),
        "names": facts.names,
        "addresses": facts.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "issuer": facts.issuer,
        "self_signed": facts.self_issued,
        "not_before": facts.begins,
        "not_after": facts.ends,
        "fingerprint": facts.fingerprint,
        "key": facts.key.to_string(),
    })
}

/// What is served.
pub(crate) fn served(api: &Api) -> Response<Body> {
    ok(&facts_json(&api.certificates.facts().borrow()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedUpload {
    pem: SecretText,
}

/// Serves what is uploaded, where it is right in every respect.
pub(crate) async fn upload(api: &Api, by: &By<'_>, body: &[u8]) -> Done {
    let AskedUpload { pem } = parse(body)?;
    let facts = api.facts().await;
    let mut expected = Expected::default();
    if let Ok(status) = &facts.status {
        if !status.host_name.is_empty() {
            expected.names = vec![status.host_name.clone(), format!("{}.local", status.host_name)];
        }
        // Dates are looked at by a clock that is believed.
        if matches!(status.clock, ClockState::Hardware | ClockState::Synchronised { .. }) {
            expected.now = Some(seconds(SystemTime::now()));
        }
    }
    expected.names.extend(array::name(api));
    if let Ok(ports) = &facts.ports {
        let addresses = ports.iter().flat_map(|port| &port.addresses).map(|(address, _)| *address);
        expected.addresses = addresses.collect();
    }
    let advice = api.certificates.upload(pem.reveal().as_bytes(), &expected).map_err(problem)?;
    log::warn!("{} has set the console's certificate", by.person.name);
    tell(api, by);
    let mut value = facts_json(&api.certificates.facts().borrow());
    value["advice"] = advice.into();
    Ok(ok(&value))
}

/// Tells the audit which certificate is served now.
fn tell(api: &Api, by: &By<'_>) {
    let facts = Arc::clone(&api.certificates.facts().borrow());
    let expires = facts.ends.checked_mul(1000).and_then(Utc::from_millis);
    let Some((sha256, expires)) = fingerprint(&facts.fingerprint).map(Hash).zip(expires) else {
        log::error!("the audit is not told of the new certificate: its fingerprint or end cannot be read");
        return;
    };
    api.tell(by.did(What::CertificateChanged { subject: Long::of(&facts.subject), sha256, expires }));
}

fn problem(why: NotServed) -> Problem {
    match why {
        NotServed::Faults(faults) => Problem::invalid(
            faults.into_iter().map(|fault| FieldError::new("pem", fault.sentence, fault.remedy)).collect(),
        ),
        NotServed::Made(fault) => {
            Problem::field("common_name", fault.to_string(), "see /api/v1/openapi.json")
        }
        NotServed::Kept(error) => Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "not-kept",
            "The certificate cannot be kept",
            format!("The certificate cannot be kept: {error}. The one before is served on."),
            "Look at the page Health, and have the disk looked at.",
        ),
        NotServed::Served(error) => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "not-served",
            "The certificate cannot be served",
            format!("{error}. The one before is served on."),
            "Try another one, and tell support.",
        ),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum AskedKind {
    P256,
    P384,
}

const fn p256() -> AskedKind {
    AskedKind::P256
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedFields {
    common_name: String,
    #[serde(default)]
    organisation: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    country: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default = "p256")]
    key: AskedKind,
}

fn wanted(body: &[u8]) -> Result<Wanted, Problem> {
    let asked: AskedFields = parse(body)?;
    let mut faults = Vec::new();
    let subject =
        Subject::new(&asked.common_name, &asked.organisation, &asked.unit, &asked.country, &asked.state, "");
    let subject = subject.map_err(|fault| faults.push(field_error(&fault))).ok();
    let mut addresses = Vec::new();
    for (number, text) in asked.addresses.iter().enumerate() {
        match text.trim().parse() {
            Ok(address) => addresses.push(address),
            Err(_) => faults.push(FieldError::new(
                format!("addresses[{number}]"),
                "this is no address",
                "an IPv4 or IPv6 address, as 192.0.2.7",
            )),
        }
    }
    let names =
        asked.names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    let key = match asked.key {
        AskedKind::P256 => NewKey::P256,
        AskedKind::P384 => NewKey::P384,
    };
    match subject {
        Some(subject) if faults.is_empty() => Ok(Wanted { subject, names, addresses, key }),
        _ => Err(Problem::invalid(faults)),
    }
}

fn field_error(fault: &RequestFault) -> FieldError {
    let field = match fault {
        RequestFault::Field { field: "O", .. } => "organisation",
        RequestFault::Field { field: "OU", .. } => "unit",
        RequestFault::Field { field: "ST", .. } => "state",
        RequestFault::Country => "country",
        RequestFault::Name(_) | RequestFault::Many => "names",
        _ => "common_name",
    };
    FieldError::new(field, fault.to_string(), "see /api/v1/openapi.json")
}

/// A new key and a request for its certificate. Neither is kept: both are downloaded.
pub(crate) fn request(api: &Api, body: &[u8]) -> Done {
    let made = wanted(body)?.request().map_err(|fault| Problem::invalid(vec![field_error(&fault)]))?;
    let key: &Zeroizing<String> = &made.key;
    let names = &api.profile.files;
    Ok(ok(&json!({
        "files": [
            { "name": names.key.as_str(), "text": key.as_str() },
            { "name": names.request.as_str(), "text": made.request },
        ],
    })))
}

/// Serves a new certificate that the appliance has signed itself.
pub(crate) fn self_signed(api: &Api, by: &By<'_>, body: &[u8]) -> Done {
    let wanted = wanted(body)?;
    api.certificates.make(&wanted, SystemTime::now()).map_err(|why| match why {
        NotServed::Made(fault) => Problem::invalid(vec![field_error(&fault)]),
        other => problem(other),
    })?;
    log::warn!("{} has made the console a new certificate", by.person.name);
    tell(api, by);
    Ok(served(api))
}
