//! What comes in as JSON, to types; and what goes out. It never reads more than its bound.

use super::problem::Problem;
use crate::body::Body;
use drawbridge_settings::FieldError;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer in JSON, with status 200.
pub(crate) fn ok(value: &Value) -> Response<Body> {
    json(StatusCode::OK, value)
}

/// An answer without a body.
pub(crate) fn nothing(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::full(String::new()));
    *response.status_mut() = status;
    response
}

/// JSON to a type. What is wrong is told by its field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            // The library repeats what it found, and that may be a secret: what was expected is enough.
            return Problem::invalid(vec![FieldError::new(
                path,
                expected(&inner.to_string()),
                "see /api/v1/openapi.json",
            )]);
        }
        not_json(inner.line(), inner.column())
    })?;
    deserializer.end().map_err(|error| not_json(error.line(), error.column()))?;
    Ok(parsed)
}

/// Of a sentence of serde's, what does not repeat a value: the part from `expected` on, or the names of fields, which are ours.
fn expected(sentence: &str) -> String {
    let end = sentence.rfind(" at line ").unwrap_or(sentence.len());
    let sentence = &sentence[..end];
    if let Some(at) = sentence.find(", expected ") {
        return format!("this is not as it should be: {}", &sentence[at + 2..]);
    }
    if sentence.starts_with("missing field ") {
        return sentence.to_owned();
    }
    "this is not as it should be".to_owned()
}

fn not_json(line: usize, column: usize) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "not-json",
        "The request is no JSON",
        format!("The request's body is no JSON (RFC 8259): line {line}, column {column}."),
        "Send what /api/v1/openapi.json describes.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Asked {
        secret: Option<u32>,
        list: Vec<u8>,
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field_and_never_repeated() {
        let wrong = |text: &str| {
            let problem = parse::<Asked>(text.as_bytes()).unwrap_err();
            (problem.code(), format!("{problem:?}"))
        };
        for (text, code, field) in [
            (r#"{"secret":"open sesame","list":[]}"#, "invalid", "secret"),
            (r#"{"list":[1,2,"sesame"]}"#, "invalid", "list[2]"),
            (r#"{"list":[],"sesame":1}"#, "invalid", ""),
            (r#"{"list":[]"#, "not-json", ""),
            (r#"{"list":[]} sesame"#, "not-json", ""),
            ("", "not-json", ""),
        ] {
            let (found, shown) = wrong(text);
            assert_eq!(found, code, "{text}");
            assert!(shown.contains(field) && !shown.contains("open sesame"), "{shown}");
        }
        parse::<Asked>(br#"{"list":[1]}"#).unwrap();
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert_eq!(parse::<Value>(deep.as_bytes()).unwrap_err().code(), "not-json");
    }
}
