//! Method and path in, answer out: the routes and the headers that every answer bears. It never reads a request's body.

use crate::facts::Asker;
use crate::page;
use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::sync::Arc;
use std::time::SystemTime;

/// A page may load nothing, run nothing, send nothing and be framed by nobody; its one style sheet is its own.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The site.
#[derive(Debug)]
pub(crate) struct Site {
    asker: Asker,
    fingerprint: tokio::sync::watch::Receiver<[u8; 32]>,
}

enum Route {
    Status,
    Style,
}

impl Site {
    /// A site whose page shows what `asker` is told, and the certificate's fingerprint.
    pub(crate) fn new(asker: Asker, fingerprint: tokio::sync::watch::Receiver<[u8; 32]>) -> Arc<Self> {
        Arc::new(Self { asker, fingerprint })
    }

    /// The answer to a request. hyper leaves the body of an answer to HEAD out.
    pub(crate) async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let route = match request.uri().path() {
            "/" => Some(Route::Status),
            "/style.css" => Some(Route::Style),
            _ => None,
        };
        let readable = matches!(*request.method(), Method::GET | Method::HEAD);
        let mut response = match route {
            None => text(StatusCode::NOT_FOUND, "There is no such page. The state of the system is at /"),
            Some(_) if !readable => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "This page can only be read.");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
            Some(Route::Style) => typed(StatusCode::OK, "text/css; charset=utf-8", page::STYLE),
            Some(Route::Status) => {
                let facts = self.asker.facts().await;
                let fingerprint = *self.fingerprint.borrow();
                typed(StatusCode::OK, "text/html; charset=utf-8", page::status(&facts, &fingerprint, &now()))
            }
        };
        // A body is never read: what follows it cannot be told from it, so the connection ends here.
        if !request.body().is_end_stream() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn text(status: StatusCode, sentence: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", format!("{sentence}\n"))
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The system's clock in UTC, to the minute: `2026-11-22 11:04 UTC`.
fn now() -> String {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match x509_cert::der::DateTime::from_unix_duration(since_1970) {
        Ok(now) => format!(
            "{}-{:02}-{:02} {:02}:{:02} UTC",
            now.year(),
            now.month(),
            now.day(),
            now.hour(),
            now.minutes()
        ),
        Err(_) => "beyond the year 9999".to_owned(),
    }
}
