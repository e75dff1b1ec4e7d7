//! Before the site: a request that can be read in two ways is refused, and with it whatever comes behind it. It never
//! changes one.
//!
//! hyper has refused by then what is no HTTP/1: a space before a colon, a folded line, a NUL or a bare CR, lengths that
//! differ or are none, chunks that are not the last coding. Where a length comes beside chunks it reads the chunks and ends
//! the connection (RFC 9112, section 6.3).

use crate::body::Body;
use crate::connection::Answer;
use crate::site::Site;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use std::net::SocketAddr;

impl Answer for Site {
    async fn answer(
        &self,
        peer: SocketAddr,
        local: SocketAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        match ambiguous(&request) {
            Some(why) => refusal(why),
            None => Self::answer(self, peer, local, request).await,
        }
    }
}

/// Why it is not certain what a request asks, or of whom (RFC 9112, section 3.2); none when it is.
fn ambiguous<T>(request: &Request<T>) -> Option<&'static str> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Some("A request has exactly one Host field.\n");
    }
    if request.uri().authority().is_some() || request.uri().scheme().is_some() {
        return Some("This is no proxy: a request begins with a path.\n");
    }
    let whole = request.uri() == "*" && *request.method() == Method::OPTIONS;
    if !request.uri().path().starts_with('/') && !whole {
        return Some("A request begins with a path.\n");
    }
    None
}

fn refusal(why: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(why));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        // Nothing that comes behind such a request is believed to be another.
        (header::CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
