//! The calls under `/api/v1`: one table of what there is and who may ask for it, and the way from a request to its answer. It never
//! decides what another role decides.

mod access;
mod admit;
mod answer;
mod archive;
mod array;
mod asked;
mod audit;
mod bridge;
mod browser;
mod calls;
mod certificate;
mod download;
mod encryption;
mod events;
mod export;
mod grant;
mod limits;
mod live;
mod network;
mod notices;
mod play;
mod problem;
mod profile;
mod query;
mod recordings;
mod support;
mod system;
mod targets;
mod told;
mod verification;
mod visitors;

use crate::body::{self, Body};
use crate::connection::Member;
use crate::facts::{Asker, Facts};
use crate::keep::Folder;
pub(crate) use access::Gate;
pub(crate) use verification::fingerprint;

use crate::serving::Certificates;
use crate::streams::Streams;
use crate::tell::Teller;
use admit::{admit, no_session};
use browser::{Browsers, Caller, Token};
use calls::{Call, Found, find};
use drawbridge_audit::event::Draft;
use drawbridge_bus::{Reply, Request as Question, Role};
use drawbridge_profile::Profile;
use events::Seen;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use limits::Limits;
use problem::Problem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Under this all calls are.
pub(crate) const ROOT: &str = "/api/v1/";
/// The longest body of a request: the largest settings, and the largest upload.
const BODY_BYTES: usize = 64 * 1024;
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(20);
/// The header with the token against writes from elsewhere.
static CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
/// The header by which a page says that nobody has asked for this.
static BACKGROUND: HeaderName = HeaderName::from_static("x-background");
/// The description of the calls (`OpenAPI` 3.1).
const OPENAPI: &str = include_str!("api/openapi.json");

/// An answer, or what is wrong.
pub(crate) type Done = Result<Response<Body>, Problem>;

/// What the calls share.
pub(crate) struct Api {
    asker: Arc<Asker>,
    folder: Folder,
    profile: Arc<Profile>,
    browsers: Mutex<Browsers>,
    limits: Mutex<Limits>,
    gate: Gate,
    certificates: Arc<Certificates>,
    streams: Streams,
    downloads: Arc<Semaphore>,
    teller: Teller,
    /// A change of the network that waits to be confirmed, as it is told when it is.
    changing: Mutex<Option<told::Waiting>>,
    players: play::Players,
    began: Instant,
    seen: watch::Receiver<Arc<Seen>>,
}

impl Api {
    /// The calls, answered with the help of the other roles. None when the system has no random bytes.
    pub(crate) fn new(
        asker: Arc<Asker>,
        folder: Folder,
        profile: Arc<Profile>,
        gate: Gate,
        certificates: Arc<Certificates>,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Option<Arc<Self>> {
        let (told, seen) = watch::channel(Arc::new(Seen::default()));
        let api = Arc::new(Self {
            teller: Teller::start(Arc::clone(&asker)),
            asker,
            folder,
            profile,
            browsers: Mutex::new(Browsers::new()?),
            limits: Mutex::new(Limits::default()),
            gate,
            certificates,
            streams: Streams::new(stop),
            downloads: Arc::new(Semaphore::new(download::DOWNLOADS)),
            changing: Mutex::new(None),
            players: play::Players::default(),
            began: Instant::now(),
            seen,
        });
        tokio::spawn(events::look(Arc::clone(&api), told));
        Some(api)
    }

    /// Asks another role.
    async fn ask(&self, role: Role, question: Question) -> Result<Reply, Problem> {
        Ok(self.asker.call(role, question).await?)
    }

    async fn facts(&self) -> Arc<Facts> {
        self.asker.facts().await
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn browsers(&self) -> MutexGuard<'_, Browsers> {
        // What a panic left is whole: each change is one insert or remove.
        self.browsers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> watch::Receiver<Arc<Seen>> {
        let mut seen = self.seen.clone();
        seen.mark_unchanged();
        seen
    }

    /// The change of the network that waits to be confirmed.
    fn changing(&self) -> MutexGuard<'_, Option<told::Waiting>> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the audit.
    fn tell(&self, draft: Draft) {
        self.teller.tell(draft);
    }

    fn session_left(&self, session: Token) -> Option<(u64, u64)> {
        self.browsers().left(session, self.now())
    }

    /// The answer to a request for a path below [`ROOT`]. `host` is the request's, found to be one of ours.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        peer: IpAddr,
        host: &str,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().strip_prefix(ROOT).unwrap_or_default();
        let found = find(&parts.method, path);
        // What a page asks for by itself keeps no session alive.
        let counts = !parts.headers.contains_key(&BACKGROUND)
            && !matches!(found, Found::Call(_, Call::Events | Call::Session, _));
        let caller = self.browsers().caller(&parts.headers, self.now(), counts);
        let Some(caller) = caller else {
            return no_random_bytes().answer();
        };
        let done = match found {
            Found::Call(access, call, star) => {
                let admitted = admit(&self.browsers(), access, &parts, host, &caller);
                if let Err(problem) = admitted {
                    Err(problem)
                } else {
                    let query = parts.uri.query().unwrap_or_default();
                    self.carry_out(call, Asks { peer, caller: &caller, star, query }, body).await
                }
            }
            _ if caller.person.is_none() => Err(no_session()),
            Found::Methods(methods) => {
                let mut response = Problem::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method",
                    "This cannot be done here",
                    "This address does not take that method.",
                    "See /api/v1/openapi.json.",
                )
                .answer();
                if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
                    response.headers_mut().insert(header::ALLOW, allow);
                }
                Ok(response)
            }
            Found::Nothing => Err(Problem::not_found()),
        };
        let mut response = done.unwrap_or_else(Problem::answer);
        if caller.person.is_some() {
            // Whoever has logged in keeps his connection when a crowd comes.
            response.extensions_mut().insert(Member);
        }
        if caller.new
            && caller.person.is_none()
            && let Some(cookie) = browser::visit_cookie(caller.token)
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    async fn carry_out(self: &Arc<Self>, call: Call, asks: Asks<'_>, incoming: Incoming) -> Done {
        let body = match body::read(incoming, BODY_BYTES, BODY_WITHIN).await {
            Ok(body) => Zeroizing::new(body),
            Err(error) => return Err(unread(&error)),
        };
        let body: &[u8] = &body;
        match call {
            Call::Session => return access::session(self, &asks).await,
            Call::LogIn => return access::log_in(self, &asks, body).await,
            Call::LogOut => return Ok(access::log_out(self, &asks)),
            Call::Challenge => return access::challenge(self, &asks).await,
            Call::ChallengeResponse => return access::respond(self, &asks, body).await,
            Call::Description => return Ok(description()),
            Call::Support => return support::open(self, &asks, body).await,
            Call::SupportStatus => return support::status(self, &asks, body).await,
            Call::SupportTerminate => return support::terminate(self, &asks, body).await,
            _ => {}
        }
        let person = asks.caller.person.as_ref().ok_or_else(no_session)?;
        let by = told::By { person, from: asks.peer };
        match call {
            Call::Bridge => bridge::status(self).await.map(|value| answer::ok(&value)),
            Call::BridgeLast => Ok(answer::ok(&bridge::last(self))),
            Call::OfferSecret => bridge::offer(self).await,
            Call::CheckGrant => grant::check(self, body).await,
            Call::OpenBridge => bridge::open(self, person, body).await,
            Call::CloseBridge => bridge::close(self, person).await,
            Call::SetEnd => bridge::set_end(self, person, body).await,
            Call::Supervise => visitors::supervise(self, person, &asks, body).await,
            Call::Test => bridge::test(self, body).await,
            Call::Steps => bridge::steps(self).await.map(|value| answer::ok(&value)),
            Call::Device => bridge::device(self).await.map(|value| answer::ok(&value)),
            Call::Profile => Ok(answer::ok(&profile::whole(&self.profile))),
            Call::Network => network::status(self).await.map(|value| answer::ok(&value)),
            Call::NetworkSettings => network::settings(self).await.map(|value| answer::ok(&value)),
            Call::ChangeNetwork => network::change(self, person, body).await,
            Call::ConfirmNetwork => network::confirm(self, &by, asks.star).await,
            Call::RevertNetwork => network::revert(self, person, asks.star).await,
            Call::Certificate => Ok(certificate::served(self)),
            Call::Upload => certificate::upload(self, &by, body).await,
            Call::CertificateRequest => certificate::request(self, body),
            Call::SelfSigned => certificate::self_signed(self, &by, body),
            Call::Array => array::status(self).await,
            Call::SetArray => array::set(self, &by, body).await,
            Call::ProbeArray => array::probe(self, body).await,
            Call::SupportKeys => grant::support_keys(self).await,
            Call::SetSupportKeys => grant::set_support_keys(self, &by, body).await,
            Call::Health => system::health(self).await.map(|value| answer::ok(&value)),
            Call::Log => system::log(self, asks.query).await.map(|value| answer::ok(&value)),
            Call::LogFile => system::log_file(self).await,
            Call::Recordings => recordings::list(self, asks.query).await.map(|value| answer::ok(&value)),
            Call::RecordingKey => encryption::status(self).await.map(|value| answer::ok(&value)),
            Call::SetRecordingKey => encryption::set(self, &by, body).await.map(|value| answer::ok(&value)),
            Call::KeptRecordings => archive::list(self, asks.query).await.map(|value| answer::ok(&value)),
            Call::KeptRecordingFile => archive::download(self, &by, asks.star).await,
            Call::RecordingFile => recordings::download(self, &by, asks.star).await,
            Call::RecordingEvents => play::events(self, &by, &asks).await.map(|value| answer::ok(&value)),
            Call::PlayRecording => play::frames(self, &by, &asks).await.map(|value| answer::ok(&value)),
            Call::SearchRecording => play::search(self, &by, &asks).await.map(|value| answer::ok(&value)),
            Call::RecordingCast => play::cast(self, &by, &asks).await,
            Call::Audit => audit::page(self, asks.query).await.map(|value| answer::ok(&value)),
            Call::AuditState => audit::state(self).await.map(|value| answer::ok(&value)),
            Call::ExportAudit => export::lines(self, &by, asks.query).await,
            Call::AuditBundle => export::bundle(self, &by).await,
            Call::VerifyAudit => audit::verify(self, &by).await.map(|value| answer::ok(&value)),
            Call::Notices => notices::status(self).await.map(|value| answer::ok(&value)),
            Call::SetNotices => notices::set(self, &by, body).await.map(|value| answer::ok(&value)),
            Call::TestNotices => notices::test(self, person, body).await,
            Call::NoticeSteps => notices::steps(self).await.map(|value| answer::ok(&value)),
            Call::Live => live::list(self).await.map(|value| answer::ok(&value)),
            Call::Screen => live::screen(self, asks.star, asks.query).await,
            Call::Reload => system::reload(self, &by, body).await,
            Call::Power => system::power(self, &by, body).await,
            Call::Events => Ok(events::stream(self, asks.peer, asks.caller.token)),
            _ => Err(Problem::not_found()),
        }
    }
}

/// Of a request, what a call may use.
pub(crate) struct Asks<'a> {
    /// From where it comes.
    peer: IpAddr,
    caller: &'a Caller,
    /// What stands where the table has a star.
    star: &'a str,
    query: &'a str,
}

fn no_random_bytes() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "no-random-bytes",
        "The appliance cannot make a secret now",
        "The system has no random bytes.",
        "Restart the appliance.",
    )
}

fn unread(error: &body::ReadError) -> Problem {
    let status = match error {
        body::ReadError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
        body::ReadError::TooSlow => StatusCode::REQUEST_TIMEOUT,
        body::ReadError::BrokenOff => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, "body", "The request was not read to its end", format!("{error}."), "Send it again.")
}

fn description() -> Response<Body> {
    let mut response = Response::new(Body::full(OPENAPI));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// For tests: a session of an administrator, and each call with a body.
#[cfg(any(test, fuzzing))]
pub(crate) mod trial {
    use super::browser::{Person, Rank};
    use super::calls::CALLS;
    use super::*;
    use hyper::HeaderMap;

    /// The cookie and the token of a session that begins now.
    pub(crate) fn session(api: &Api) -> Option<(String, String)> {
        let person = Person { name: "anna".to_owned(), rank: Rank::Admin, way: browser::Way::Array };
        let mut browsers = api.browsers();
        let visitor = browsers.caller(&HeaderMap::new(), api.now(), true)?;
        let token = browsers.log_in(&visitor, person, browser::ABSOLUTE, api.now())?;
        let cookie = browser::session_cookie(token)?;
        let pair = cookie.to_str().ok()?.split(';').next()?.to_owned();
        Some((pair, browsers.csrf(token)))
    }

    /// Whether these cookies are a session's.
    pub(crate) fn is_session(api: &Api, cookies: &[HeaderValue]) -> bool {
        let headers = cookies.iter().map(|value| (header::COOKIE, value.clone())).collect();
        api.browsers().caller(&headers, api.now(), false).is_some_and(|caller| caller.person.is_some())
    }

    /// Method and path of each call that writes, asks nobody on the network by what it reads, and leaves the session.
    pub(crate) fn writes() -> impl Iterator<Item = (&'static str, String)> {
        let others = [Call::SetArray, Call::ProbeArray, Call::LogOut];
        let writes =
            CALLS.iter().filter(move |(method, _, _, call)| !method.is_safe() && !others.contains(call));
        writes.map(|(method, path, ..)| (method.as_str(), path.replace('*', "1")))
    }

    /// Path of each call that only looks, and ends.
    pub(crate) fn reads() -> impl Iterator<Item = String> {
        let reads = CALLS.iter().filter(|(method, _, _, call)| method.is_safe() && *call != Call::Events);
        reads.map(|(_, path, ..)| path.replace('*', "1"))
    }

    /// What is shown of these bytes as a terminal's file and as a list of events.
    pub(crate) fn play(bytes: &[u8], at: u64, text: &str) -> Vec<String> {
        play::trial(bytes, at, text)
    }

    /// What is wrong with a body of the calls that ask an array.
    pub(crate) fn array(body: &[u8]) -> Option<String> {
        array::read_body(body).err().map(|problem| format!("{problem:?}"))
    }
}

#[cfg(test)]
mod tests;
