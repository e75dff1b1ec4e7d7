//! What the audit is told of what happens in the console, in its own types. Nothing secret is ever among it.

use super::browser::{Person, Rank, Way};
use super::problem::Problem;
use drawbridge_audit::event::{Change, Denial, Draft, Long, Name, Proof, What, Who, WhoKind};
use drawbridge_bus::network::ChangeId;
use serde_json::Value;
use std::net::IpAddr;

/// Of an old and a new value, so many differences are named.
const DIFFERENCES: usize = 24;

/// Who does something, and from where.
pub(crate) struct By<'a> {
    pub(crate) person: &'a Person,
    pub(crate) from: IpAddr,
}

impl By<'_> {
    /// That he has done it.
    pub(crate) fn did(&self, what: What) -> Draft {
        did(self.person, self.from, what)
    }

    /// That he has changed a setting: what is different of it, before and after.
    pub(crate) fn set(&self, setting: &str, old: &Value, new: &Value) -> Option<Draft> {
        let (old, new) = differences(old, new)?;
        Some(self.did(changed(setting, &old, &new)))
    }
}

/// That somebody has done something.
pub(crate) fn did(person: &Person, from: IpAddr, what: What) -> Draft {
    let kind = if matches!(person.rank, Rank::Grant(_)) { WhoKind::Vendor } else { WhoKind::Owner };
    Draft { from: Some(from), ..Draft::new(what, Who::new(kind, &person.name)) }
}

/// The change of a setting.
pub(crate) fn changed(setting: &str, old: &str, new: &str) -> What {
    let value = |text: &str| (!text.is_empty()).then(|| Long::of(text));
    What::SettingChanged {
        setting: Name::of(setting),
        change: Change::Plain { old: value(old), new: value(new) },
    }
}

/// That somebody has logged in.
pub(crate) fn login(person: &Person, from: IpAddr) -> Draft {
    let proof = match person.way {
        Way::Array => Proof::Password,
        Way::Sso => Proof::SingleSignOn,
        Way::Challenge => Proof::Challenge,
        Way::Grant => Proof::Grant,
    };
    did(person, from, What::Login { proof })
}

/// That somebody who says that this is his name was not let in; none when he did nothing that is wrong.
pub(crate) fn refused(name: &str, from: IpAddr, problem: &Problem) -> Option<Draft> {
    let reason = match problem.code() {
        "wrong-credentials" | "wrong-code" => Denial::WrongSecret,
        "no-role" | "barred" => Denial::NoRight,
        "array-down" | "array-fault" | "array-damaged" | "array-certificate" | "array-unset" => {
            Denial::NoArray
        }
        "response-wrong" | "response-damaged" | "challenge-expired" | "challenge-used" => {
            Denial::WrongResponse
        }
        code if code.starts_with("grant-") => Denial::WrongGrant,
        "too-many" => Denial::TooMany,
        _ => return None,
    };
    let name = if name.trim().is_empty() { "somebody" } else { name };
    let who = Who::new(WhoKind::Owner, name);
    Some(Draft { from: Some(from), ..Draft::new(What::LoginRefused { reason }, who) })
}

/// A change that becomes one when somebody confirms it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: ChangeId,
    pub(crate) old: String,
    pub(crate) new: String,
}

/// What is different between two values: each path with what stood there, and with what stands there now. None when nothing is.
pub(crate) fn differences(old: &Value, new: &Value) -> Option<(String, String)> {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    if found.is_empty() {
        return None;
    }
    let text = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let side = |of: fn(&(String, Value, Value)) -> &Value| {
        let each: Vec<_> = found
            .iter()
            .map(|one| if one.0.is_empty() { text(of(one)) } else { format!("{}={}", one.0, text(of(one))) })
            .collect();
        each.join(", ")
    };
    Some((side(|one| &one.1), side(|one| &one.2)))
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<(String, Value, Value)>) {
    if old == new || found.len() >= DIFFERENCES {
        return;
    }
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                compare(&path, &of(before), &of(after), found);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (number, (before, after)) in before.iter().zip(after).enumerate() {
                compare(&format!("{path}[{number}]"), before, after, found);
            }
        }
        _ => found.push((path.to_owned(), old.clone(), new.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_different_is_told_with_its_place() {
        let old = json!({"name": "a", "ports": [{"mtu": 1500, "on": true}], "mail": null, "to": ["a"]});
        let new = json!({"name": "a", "ports": [{"mtu": 9000, "on": true}], "mail": {"host": "x"}, "to": []});
        let told = differences(&old, &new).unwrap();
        assert_eq!(told.0, r#"mail=none, ports[0].mtu=1500, to=["a"]"#);
        assert_eq!(told.1, r#"mail={"host":"x"}, ports[0].mtu=9000, to=[]"#);
        assert_eq!(differences(&old, &old), None);
        assert_eq!(differences(&json!("x"), &json!("y")), Some(("x".to_owned(), "y".to_owned())));
    }

    #[test]
    fn a_refusal_says_why_in_the_audits_words_and_a_slip_of_the_pen_is_none() {
        let from = [10, 0, 0, 1].into();
        let problem = |code| Problem::new(hyper::StatusCode::FORBIDDEN, code, "", "", "");
        let reason = |code| refused("anna", from, &problem(code)).map(|draft| draft.what);
        assert_eq!(reason("wrong-credentials"), Some(What::LoginRefused { reason: Denial::WrongSecret }));
        assert_eq!(reason("grant-used"), Some(What::LoginRefused { reason: Denial::WrongGrant }));
        assert_eq!(reason("too-many"), Some(What::LoginRefused { reason: Denial::TooMany }));
        assert_eq!(reason("invalid"), None);
        assert_eq!(refused("  ", from, &problem("no-role")).unwrap().who.name.as_str(), "somebody");
    }
}
