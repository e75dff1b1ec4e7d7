//! Method and path in, answer out: pages, calls, and the headers that every answer bears. It never answers for a name that is not the
//! appliance's.

use crate::api::{self, Api};
use crate::body::Body;
use crate::facts::Asker;
use crate::names::Known;
use crate::{page, pages};
use drawbridge_identity::facts::CertificateFacts;
use drawbridge_profile::Profile;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// A page may run its own scripts, use its own style sheet and ask its own server, and be framed by nobody.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The console's site.
pub(crate) struct Site {
    asker: Arc<Asker>,
    api: Arc<Api>,
    profile: Arc<Profile>,
    certificate: watch::Receiver<Arc<CertificateFacts>>,
    names: Known,
}

impl Site {
    /// A site that answers to these names; `certificate` is the one that is served.
    pub(crate) fn new(
        asker: Arc<Asker>,
        api: Arc<Api>,
        profile: Arc<Profile>,
        certificate: watch::Receiver<Arc<CertificateFacts>>,
        names: Known,
    ) -> Arc<Self> {
        Arc::new(Self { asker, api, profile, certificate, names })
    }

    /// The answer to a request. hyper leaves the body of an answer to HEAD out.
    pub(crate) async fn answer(
        &self,
        peer: SocketAddr,
        _local: SocketAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let has_body = !request.body().is_end_stream();
        let path = request.uri().path().to_owned();
        let calls = path.starts_with(api::ROOT);
        let mut response = match self.host(&request).await {
            Err(sentence) => text(StatusCode::MISDIRECTED_REQUEST, sentence),
            Ok(host) if calls => self.api.answer(peer.ip().to_canonical(), &host, request).await,
            Ok(_) => self.page(&path, &request).await,
        };
        headers(&mut response);
        // A body that was not read cannot be told from what follows it, so the connection ends here.
        if has_body && !(calls && response.status().is_success()) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn page(&self, path: &str, request: &Request<Incoming>) -> Response<Body> {
        let found = match path {
            "/status" => {
                let facts = self.asker.facts().await;
                let certificate = Arc::clone(&self.certificate.borrow());
                let name = self.profile.names.appliance.as_str();
                let page = page::status(&facts, name, &certificate.fingerprint, &now());
                Some(typed(StatusCode::OK, "text/html; charset=utf-8", page))
            }
            "/status.css" => Some(typed(StatusCode::OK, "text/css; charset=utf-8", page::STYLE)),
            other => pages::find(other, request.headers()),
        };
        match found {
            None => text(StatusCode::NOT_FOUND, "There is no such page. The console begins at /"),
            Some(_) if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "This page can only be read.");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
            Some(response) => response,
        }
    }

    /// The request's host, as it came, where it is one of the appliance's. Without this a page elsewhere could give its own name the
    /// appliance's address, and read what is here. An address is no name: nobody can give it away.
    async fn host(&self, request: &Request<Incoming>) -> Result<String, &'static str> {
        const WRONG: &str = "This appliance is not known by that name. Use its address, or a name that its certificate bears.";
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err("The request must name one host.");
        };
        let host = host.to_str().map_err(|_| WRONG)?;
        // The target's own host counts where it is there (RFC 9112, section 3.2.2), and may not be another.
        if request.uri().authority().is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host)) {
            return Err(WRONG);
        }
        let uri: Uri = format!("https://{host}/").parse().map_err(|_| WRONG)?;
        let authority = uri.authority().ok_or(WRONG)?;
        if authority.as_str() != host || host.contains('@') {
            return Err(WRONG);
        }
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        if literal.parse::<IpAddr>().is_ok() || name == "localhost" {
            return Ok(host.to_owned());
        }
        // The certificate's own are known whether the other roles answer or not.
        let certified = self.certificate.borrow().names.iter().any(|own| own.eq_ignore_ascii_case(&name));
        if certified || self.names.now().await.has(&name) {
            return Ok(host.to_owned());
        }
        Err(WRONG)
    }
}

fn text(status: StatusCode, sentence: &'static str) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", format!("{sentence}\n"))
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn headers(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
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
