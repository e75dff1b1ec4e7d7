//! Lists as the array gives them: filtered, sorted, cut into pages, with the fields that were asked for. It never keeps one.

use super::api::Reply;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

/// A page's length where none is said, and the greatest.
const PAGE: (usize, usize) = (50, 1000);

/// A request's query: names and values, in their order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a path with its query apart.
    pub(super) fn split(url: &str) -> (&str, Self) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name), unescape(value))
        });
        (path, Self(pairs.collect()))
    }

    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(is, _)| is == name).map(|(_, value)| value.as_str())
    }

    fn filters(&self) -> impl Iterator<Item = (&str, &str)> {
        let apart = ["sort", "page", "page_size", "fields", "approved"];
        let all = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, _)| !apart.contains(name))
    }
}

/// Percent-encoding (RFC 3986, section 2.1) and plus signs undone.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let hex = (*first == b'%').then(|| more.get(..2)).flatten();
        let hex = hex.and_then(|two| std::str::from_utf8(two).ok());
        if let Some(byte) = hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            bytes.push(byte);
            rest = more.get(2..).unwrap_or_default();
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
            rest = more;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Only the fields that the query asks for.
pub(super) fn fields(object: &Value, query: &Query) -> Value {
    let (Some(wanted), Some(object)) = (query.get("fields"), object.as_object()) else {
        return object.clone();
    };
    let wanted = wanted.split(',').filter_map(|name| object.get_key_value(name));
    Value::Object(wanted.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

/// A page of the objects.
pub(super) fn list(mut objects: Vec<Value>, query: &Query) -> Reply {
    for (name, condition) in query.filters() {
        let (operator, wanted) = condition.split_once(':').unwrap_or(("eq", condition));
        if !objects.iter().all(|object| object.get(name).is_some()) {
            return Reply::error(400, "UNKNOWN_FIELD", &format!("there is no field {name:?}"));
        }
        if !["eq", "ne", "lt", "le", "gt", "ge", "in", "like"].contains(&operator) {
            return Reply::error(400, "UNKNOWN_OPERATOR", &format!("there is no operator {operator:?}"));
        }
        objects.retain(|object| holds(object.get(name), operator, wanted));
    }
    for key in query.get("sort").unwrap_or_default().split(',').rev().filter(|key| !key.is_empty()) {
        let name = key.trim_start_matches('-');
        objects.sort_by(|one, other| {
            let order = compare(one.get(name), other.get(name));
            if key.starts_with('-') { order.reverse() } else { order }
        });
    }
    let number = |name: &str, default: usize| match query.get(name) {
        None => Some(default),
        Some(text) => text.parse().ok().filter(|number| *number > 0),
    };
    let (Some(page), Some(size)) = (number("page", 1), number("page_size", PAGE.0)) else {
        return Reply::error(400, "BAD_PAGE", "page and page_size are numbers from 1");
    };
    let size = size.min(PAGE.1);
    let count = objects.len();
    let page_of = objects.iter().skip((page - 1).saturating_mul(size)).take(size);
    let result: Vec<_> = page_of.map(|object| fields(object, query)).collect();
    let metadata = json!({
        "ready": true,
        "number_of_objects": count,
        "page": page,
        "page_size": size,
        "pages_total": count.div_ceil(size).max(1),
    });
    Reply::of(200, &json!({"result": result, "metadata": metadata, "error": null}))
}

fn holds(value: Option<&Value>, operator: &str, wanted: &str) -> bool {
    let is = |wanted: &str| order(value, wanted);
    match operator {
        "eq" => is(wanted) == Some(Ordering::Equal),
        "ne" => is(wanted) != Some(Ordering::Equal),
        "lt" => is(wanted) == Some(Ordering::Less),
        "le" => is(wanted).is_some_and(Ordering::is_le),
        "gt" => is(wanted) == Some(Ordering::Greater),
        "ge" => is(wanted).is_some_and(Ordering::is_ge),
        "in" => wanted.trim_matches(['(', ')']).split(',').any(|one| is(one) == Some(Ordering::Equal)),
        _ => value.and_then(Value::as_str).is_some_and(|text| text.contains(wanted)),
    }
}

fn order(value: Option<&Value>, wanted: &str) -> Option<Ordering> {
    match value? {
        Value::Number(number) => Some(number.as_i64()?.cmp(&wanted.parse().ok()?)),
        Value::String(text) => Some(text.as_str().cmp(wanted)),
        _ => None,
    }
}

fn compare(one: Option<&Value>, other: Option<&Value>) -> Ordering {
    match (one, other) {
        (Some(Value::Number(one)), Some(Value::Number(other))) => one.as_i64().cmp(&other.as_i64()),
        (one, other) => one.and_then(Value::as_str).cmp(&other.and_then(Value::as_str)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(query: &str) -> (Vec<u64>, u64) {
        let objects = (1..=5).map(|id| json!({"id": id, "level": if id < 3 { "INFO" } else { "ERROR" }}));
        let url = format!("/x?{query}");
        let (_, query) = Query::split(&url);
        let reply: Value = serde_json::from_slice(&list(objects.collect(), &query).body).unwrap();
        let ids = reply["result"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
        (ids, reply["metadata"]["number_of_objects"].as_u64().unwrap())
    }

    #[test]
    fn a_list_is_filtered_sorted_and_cut_into_pages() {
        assert_eq!(ids("sort=-id&page=1&page_size=3"), (vec![5, 4, 3], 5));
        assert_eq!(ids("sort=-id&page=2&page_size=3"), (vec![2, 1], 5));
        assert_eq!(ids("id=ge%3A4"), (vec![4, 5], 2));
        assert_eq!(ids("level=eq:INFO&sort=id"), (vec![1, 2], 2));
        assert_eq!(ids("id=in:(2,3)&fields=id"), (vec![2, 3], 2));
    }

    #[test]
    fn a_field_that_is_not_there_is_refused() {
        let (_, query) = Query::split("/x?colour=red");
        assert_eq!(list(vec![json!({"id": 1})], &query).status, 400);
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_left() {
        assert_eq!(unescape("a%20b+c%zz%4"), "a b c%zz%4");
    }
}
