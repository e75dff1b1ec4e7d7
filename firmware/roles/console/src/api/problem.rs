//! What went wrong, as the answer says it: problem details (RFC 9457) with a sentence, a remedy, and every field that is wrong.
//! It never repeats a secret.

use crate::body::Body;
use drawbridge_bus::client::CallError;
use drawbridge_bus::{Refusal, Reply};
use drawbridge_settings::FieldError;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// An answer that is an error. Boxed: most answers are none.
#[derive(Debug)]
pub(crate) struct Problem(Box<Told>);

#[derive(Debug)]
struct Told {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    remedy: String,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    /// What belongs to this code alone.
    more: Option<(&'static str, Value)>,
}

impl Problem {
    /// A problem; `title` is the same for all of one code.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self(Box::new(Told {
            status,
            code,
            title,
            detail: detail.into(),
            remedy: remedy.into(),
            errors: Vec::new(),
            retry_after: None,
            more: None,
        }))
    }

    /// Fields that are wrong.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [error] => error.to_string(),
            errors => format!("{} entries are not right.", errors.len()),
        };
        let remedy = "Correct what is marked, and send it again.";
        let mut problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "An entry is not right", detail, remedy);
        problem.0.errors = errors;
        problem
    }

    /// One field that is wrong.
    pub(crate) fn field(field: &str, wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(field, wrong, right)])
    }

    /// There is nothing at this address.
    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "There is nothing here",
            "There is no such page or call.",
            "The console begins at /, and its calls are described at /api/v1/openapi.json.",
        )
    }

    /// After so many seconds it may be tried again.
    pub(crate) fn after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// With a member of its own (RFC 9457, section 3.2).
    pub(crate) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.0.more = Some((name, value));
        self
    }

    /// Whether this is its code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.0.code == code
    }

    /// What is wrong, and what to do.
    pub(crate) fn sentences(self) -> (String, String) {
        (self.0.detail, self.0.remedy)
    }

    /// Its code.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// The answer.
    pub(crate) fn answer(self) -> Response<Body> {
        let told = *self.0;
        let errors: Vec<Value> = told
            .errors
            .iter()
            .map(|error| json!({"field": error.field, "wrong": error.wrong, "right": error.right}))
            .collect();
        let mut body = json!({
            "type": format!("/problems/{}", told.code),
            "title": told.title,
            "status": told.status.as_u16(),
            "code": told.code,
            "detail": told.detail,
            "remedy": told.remedy,
        });
        if !errors.is_empty() {
            body["errors"] = errors.into();
        }
        if let Some((name, value)) = told.more {
            body[name] = value;
        }
        let mut response = Response::new(Body::full(body.to_string()));
        *response.status_mut() = told.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = told.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        if let CallError::Refused(_, Refusal::NotNow) = error {
            return not_now();
        }
        log::warn!("a question of a browser has no answer: {error}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "role-away",
            "A part of the appliance does not answer",
            format!("A part of the appliance does not answer: {error}."),
            "Wait a few seconds and try again; a part that has failed is started anew by itself. If it stays so, choose \
             Reload Service, or restart the appliance.",
        )
        .after(2)
    }
}

/// What was asked for does not fit the state.
pub(crate) fn not_now() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "not-now",
        "That cannot be done now",
        "That cannot be done in the state that the appliance is in now.",
        "Look at the state, which has changed, and decide anew.",
    )
}

/// A role does not do it, and says why, as a sentence without its end.
pub(crate) fn not_taken(why: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "not-taken",
        "That was not done",
        format!("It was not done: {}.", why.trim_end_matches('.')),
        "See what is asked now.",
    )
}

/// A role has answered something that is no answer to this.
pub(crate) fn unexpected(reply: &Reply) -> Problem {
    match reply {
        Reply::Invalid(errors) => Problem::invalid(errors.clone()),
        _ => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unexpected",
            "An answer within the appliance does not fit",
            "A part of the appliance has answered something else than was asked.",
            "Try again; if it stays so, choose Reload Service and tell support.",
        ),
    }
}
