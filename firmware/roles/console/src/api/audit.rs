//! The calls of the audit's page: which events there are, how the log stands, and whether it is whole. The session role keeps and
//! verifies it; here nothing is written but that somebody looked.

use super::problem::{Problem, unexpected};
use super::query::Query;
use super::told::By;
use super::{Api, recordings};
use drawbridge_audit::event::{Code, Name, Severity, WhoKind};
use drawbridge_audit::{Filter, Kept};
use drawbridge_bus::audit::{AUDIT_LINES_MOST, FILTER_BYTES};
use drawbridge_bus::client::CallError;
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_chain::DeviceKey;
use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a filter is asked for by.
pub(super) const FILTERS: [&str; 9] =
    ["codes", "not", "severity", "from", "until", "kind", "who", "grant", "text"];

/// A word of the audit's own, as it is written in its lines.
fn word<T: DeserializeOwned>(query: &Query, name: &str, right: &str) -> Result<Option<T>, Problem> {
    let Some(text) = query.text(name) else { return Ok(None) };
    let wrong = |_| Problem::field(name, "there is no such one", right);
    serde_json::from_value(text.into()).map(Some).map_err(wrong)
}

fn codes(query: &Query, name: &str) -> Result<BTreeSet<Code>, Problem> {
    let each = query.text(name).unwrap_or_default().split(',').filter(|code| !code.is_empty());
    each.map(|code| {
        let right = "codes of events as LOGIN, with commas between them";
        Code::parse(code).ok_or_else(|| Problem::field(name, "there is no such code", right))
    })
    .collect()
}

fn name(query: &Query, name: &str) -> Result<Option<Name>, Problem> {
    let text = query.text(name).map(Name::new).transpose();
    text.map_err(|_| Problem::field(name, "this cannot be looked for", "one line of at most 128 bytes"))
}

/// The filter of a query.
pub(super) fn filter(query: &Query) -> Result<Filter, Problem> {
    let severities = "info, notice, warning, error or critical";
    let kinds = "owner, engineer, vendor, device or technician";
    Ok(Filter {
        codes: codes(query, "codes")?,
        not: codes(query, "not")?,
        severity: word::<Severity>(query, "severity", severities)?,
        also: BTreeSet::new(),
        from_ms: query.number("from")?,
        before_ms: query.number("until")?,
        kind: word::<WhoKind>(query, "kind", kinds)?,
        who: name(query, "who")?,
        grant: query.number("grant")?,
        text: name(query, "text")?,
    })
}

/// Events as a query asks for them, the newest first.
pub(crate) async fn page(api: &Api, query: &str) -> Result<Value, Problem> {
    let names: Vec<&str> = FILTERS.into_iter().chain(["before", "most"]).collect();
    let query = Query::parse(query, &names)?;
    let most = query.number("most")?.unwrap_or(50).clamp(1, AUDIT_LINES_MOST);
    let filter = serde_json::to_string(&filter(&query)?).ok().filter(|text| text.len() <= FILTER_BYTES);
    let filter = filter.ok_or_else(|| Problem::field("query", "this is too long", "fewer codes"))?;
    let question = Request::AuditPage { filter, before: query.number("before")?, most };
    match api.ask(Role::Session, question).await? {
        Reply::AuditPage(page) => Ok(json!({
            "events": page.lines.iter().filter_map(|line| line_json(line)).collect::<Vec<_>>(),
            "before": page.before,
        })),
        other => Err(unexpected(&other)),
    }
}

/// A line of the audit.
pub(super) fn read(line: &str) -> Option<Kept> {
    let kept = Kept::parse(line.as_bytes());
    kept.inspect_err(|fault| log::error!("a line of the audit cannot be read: {fault}")).ok()
}

fn line_json(line: &str) -> Option<Value> {
    let kept = read(line)?;
    let entry = &kept.entry;
    Some(json!({
        "sequence": entry.sequence(),
        "ms": entry.time().millis(),
        "severity": entry.severity(),
        "code": entry.code(),
        "summary": entry.summary(),
        "sha256": kept.hash().to_string(),
        "event": serde_json::from_str::<Value>(line).ok()?,
    }))
}

/// How the log stands.
pub(crate) async fn state(api: &Api) -> Result<Value, Problem> {
    match api.ask(Role::Session, Request::AuditState).await? {
        Reply::AuditState(state) => {
            let key = DeviceKey(state.key);
            Ok(json!({
                "first": state.range.map(|(first, _)| first),
                "last": state.range.map(|(_, last)| last),
                "bytes": state.bytes,
                "segment": state.head.map(|(segment, _)| segment),
                "head": state.head.map(|(_, head)| recordings::hex(&head)),
                "key": key.to_ssh(),
                "key_fingerprint": key.fingerprint(),
                "trouble": state.trouble,
            }))
        }
        other => Err(unexpected(&other)),
    }
}

/// Has the whole log verified.
pub(crate) async fn verify(api: &Api, by: &By<'_>) -> Result<Value, Problem> {
    log::info!("{} has the audit verified", by.person.name);
    match api.asker.call(Role::Session, Request::AuditVerify).await {
        Ok(Reply::AuditChecked(checked)) => Ok(json!({
            "segments": checked.segments,
            "proved": checked.proved,
            "faults": checked.faults,
        })),
        Ok(other) => Err(unexpected(&other)),
        Err(CallError::TimedOut(_)) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "long",
            "The audit is too long for that",
            "The audit is so long that it was not verified in the time that a browser waits.",
            "Download it for the program verify, which takes its time.",
        )),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Filter, Problem> {
        filter(&Query::parse(query, &FILTERS).unwrap())
    }

    #[test]
    fn a_query_becomes_the_audits_filter_and_what_is_wrong_is_told_by_its_name() {
        let all = asked(
            "codes=LOGIN,LOGOUT&not=PAUSED&severity=notice&from=5&until=9&kind=owner&who=Anna&grant=4&text=a%20b",
        );
        let all = all.unwrap();
        assert_eq!(all.codes, [Code::Login, Code::Logout].into());
        assert_eq!((all.from_ms, all.before_ms, all.grant), (Some(5), Some(9), Some(4)));
        assert_eq!((all.severity, all.kind), (Some(Severity::Notice), Some(WhoKind::Owner)));
        assert_eq!(all.text, Some(Name::of("a b")));
        assert_eq!(asked("text=").unwrap(), Filter::default());
        let long = format!("who={}", "x".repeat(129));
        for (wrong, field) in [
            ("codes=login", "codes"),
            ("severity=bad", "severity"),
            ("kind=anna", "kind"),
            ("grant=x", "grant"),
            ("text=a%0Ab", "text"),
            (long.as_str(), "who"),
        ] {
            let problem = asked(wrong).unwrap_err();
            assert!(format!("{problem:?}").contains(&format!("field: \"{field}\"")), "{problem:?}");
        }
    }

    #[test]
    fn every_code_at_once_still_fits_the_bus() {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let long = "%C3%A4".repeat(64);
        let query = format!("codes={0}&not={0}&who={long}&text={long}", codes.join(","));
        let filter = serde_json::to_string(&asked(&query).unwrap()).unwrap();
        assert!(filter.len() <= FILTER_BYTES, "{}", filter.len());
    }
}
