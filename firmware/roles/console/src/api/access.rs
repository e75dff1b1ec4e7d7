//! Who gets in: by the array's word for name and password, or by the vendor's response to a challenge. It keeps no password, and
//! tells nobody more than that it was not right.

use super::answer::{nothing, ok, parse};
use super::array;
use super::browser::{ABSOLUTE, Person, Rank, Token, Way, no_session_cookie, session_cookie};
use super::problem::Problem;
use super::told;
use super::{Api, Asks, Done};
use super::{grant, notices};
use crate::body::Body;
use crate::keep::Folder;
use crate::places::source;
use crate::setup::SetupCode;
use drawbridge_audit::event::What;
use drawbridge_bus::bridge::SecretText;
use drawbridge_identity::Serial;
use drawbridge_identity::armour::{self, Kind};
use drawbridge_identity::challenge::Purpose;
use drawbridge_identity::desk::{Desk, Refusal};
use drawbridge_identity::vendor::{VendorKey, VendorKeys};
use hyper::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What the calls of access share, beside sessions.
pub(crate) struct Gate {
    /// The code for whoever stands at the machine.
    code: SetupCode,
    /// Whether it is of use now: no array is set, or the one that is set shows another certificate.
    wanted: watch::Sender<bool>,
    /// None until the machine's serial number was told.
    desk: Mutex<Option<Desk>>,
}

impl Gate {
    /// None when the system has no random bytes.
    pub(crate) fn new(folder: &Folder) -> Option<Self> {
        let gate = Self { code: SetupCode::new()?, wanted: watch::channel(false).0, desk: Mutex::new(None) };
        gate.array_is(array::is_kept(folder));
        Some(gate)
    }

    /// Whether an array is set, and is the one that is known.
    pub(crate) fn array_is(&self, known: bool) {
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, !known) == known);
    }

    /// The code for the machine's own screen, as long as it is of use.
    pub(crate) fn code(&self) -> (watch::Receiver<bool>, String) {
        (self.wanted.subscribe(), self.code.text())
    }

    fn desk(&self) -> MutexGuard<'_, Option<Desk>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: SecretText,
    #[serde(default)]
    token: Option<SecretText>,
    #[serde(default)]
    setup: Option<Setup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    code: String,
    host: String,
    #[serde(default)]
    fingerprint: Option<String>,
}

/// Who the caller is, and what his writes must bear.
pub(crate) async fn session(api: &Api, asks: &Asks<'_>) -> Done {
    let left = api.session_left(asks.caller.token);
    let person = asks.caller.person.as_ref().zip(left);
    Ok(ok(&session_json(api, asks.caller.token, person).await))
}

async fn session_json(api: &Api, token: Token, person: Option<(&Person, (u64, u64))>) -> Value {
    let facts = api.facts().await;
    let (name, serial) = match &facts.status {
        Ok(status) => (status.host_name.as_str(), status.serial.as_str()),
        Err(_) => ("", ""),
    };
    let array = array::kept(api);
    json!({
        "csrf": api.browsers().csrf(token),
        "system": { "name": name, "product": "Drawbridge", "serial": serial },
        "profile": super::profile::outside(&api.profile),
        "array": { "set": array.is_some(), "host": array.map(|array| array.host) },
        "person": person.map(|(person, (idle, left))| json!({
            "name": person.name,
            "role": match person.rank {
                Rank::Admin => "admin",
                Rank::Viewer => "viewer",
                Rank::Grant(_) => "grant",
            },
            "way": match person.way {
                Way::Array => "array",
                Way::Sso => "sso",
                Way::Challenge => "challenge",
                Way::Grant => "grant",
            },
            "grant": person.rank.granted().map(|granted| grant::terms_json(&granted.terms)),
            "idle_seconds_left": idle,
            "seconds_left": left,
        })),
    })
}

/// Counts a try of this source.
pub(crate) fn may_try(api: &Api, asks: &Asks<'_>) -> Result<(), Problem> {
    let tried = api.limits().try_from(asks.peer, api.now());
    tried.map_err(|wait| {
        let seconds = wait.as_secs().max(1);
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many",
            "There were too many tries",
            format!("There were too many tries to log in; the next is taken in {seconds} s."),
            "Wait, and try once more. If it was not you who tried, somebody else in this network did.",
        )
        .after(seconds)
    })
}

/// Who somebody is by the array's word, with the credentials that he gave.
pub(crate) async fn by_array(
    api: &Api,
    asks: &Asks<'_>,
    user: &str,
    password: &SecretText,
    token: Option<&SecretText>,
) -> Result<Person, Problem> {
    let asked = async {
        may_try(api, asks)?;
        let kept = array::kept(api).ok_or_else(array::unset)?;
        array::who(api, &kept, user, password, token).await
    };
    let person = asked.await.inspect_err(|problem| not_let_in(api, asks, user, problem))?;
    api.limits().succeeded(asks.peer);
    Ok(person)
}

/// Tells the audit of whoever was not let in.
fn not_let_in(api: &Api, asks: &Asks<'_>, name: &str, problem: &Problem) {
    if let Some(draft) = told::refused(name, asks.peer, problem) {
        api.tell(draft);
    }
}

/// Logs somebody in by the array's word.
pub(crate) async fn log_in(api: &Api, asks: &Asks<'_>, body: &[u8]) -> Done {
    let Login { user, password, token, setup } = parse(body)?;
    let person = match setup {
        None => by_array(api, asks, &user, &password, token.as_ref()).await?,
        Some(setup) => {
            let asked = async {
                may_try(api, asks)?;
                first_time(api, asks, setup, &user, &password).await
            };
            // That a person has to compare the certificate first is a step of his way.
            let wrong = |problem: &Problem| !problem.is("array-certificate");
            asked.await.inspect_err(|problem| {
                if wrong(problem) {
                    not_let_in(api, asks, &user, problem);
                }
            })?
        }
    };
    begin(api, asks, person, ABSOLUTE).await
}

/// The first login says which array it is: taken from whoever stands at the machine, or has been told the code by one who does.
async fn first_time(
    api: &Api,
    asks: &Asks<'_>,
    setup: Setup,
    user: &str,
    password: &SecretText,
) -> Result<Person, Problem> {
    if !*api.gate.wanted.borrow() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "array-set",
            "The array is set already",
            "This appliance belongs to an array already.",
            "Log in with a user of that array; it is changed on the page Array.",
        ));
    }
    if !api.gate.code.is(&setup.code) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "wrong-code",
            "The set-up code is not right",
            "The set-up code is not the one that the appliance shows.",
            "Look at the appliance's screen or serial line: the code is another after each restart.",
        ));
    }
    let host = array::host(&setup.host).map_err(|mut wrong| {
        "setup.host".clone_into(&mut wrong.field);
        Problem::invalid(vec![wrong])
    })?;
    let shown = array::shown(api, &host).await?;
    let compared = setup.fingerprint.as_deref().and_then(super::verification::fingerprint);
    if compared != Some(shown.sha256) {
        return Err(array::compare(&shown));
    }
    let kept = array::Kept::pinned(host, &shown);
    let person = array::who(api, &kept, user, password, None).await?;
    if person.rank != Rank::Admin {
        return Err(array::no_role());
    }
    let before = array::kept(api);
    array::keep(api, &kept)?;
    log::warn!("{} has set the array: {}", person.name, kept.host);
    let by = told::By { person: &person, from: asks.peer };
    array::tell(api, &by, before.as_ref(), &kept);
    notices::follow_array(api, &by).await;
    api.limits().succeeded(asks.peer);
    Ok(person)
}

/// Begins a session, and says who is in.
async fn begin(api: &Api, asks: &Asks<'_>, person: Person, lasts: Duration) -> Done {
    let now = api.now();
    let token =
        api.browsers().log_in(asks.caller, person.clone(), lasts, now).ok_or_else(super::no_random_bytes)?;
    let left = api.session_left(token).unwrap_or_default();
    log::info!("{} has logged in from {}", person.name, asks.peer);
    api.tell(told::login(&person, asks.peer));
    let mut response = ok(&session_json(api, token, Some((&person, left))).await);
    if let Some(cookie) = session_cookie(token) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends the caller's session.
pub(crate) fn log_out(api: &Api, asks: &Asks<'_>) -> Response<Body> {
    api.browsers().log_out(asks.caller);
    if let Some(person) = &asks.caller.person {
        api.tell(told::did(person, asks.peer, What::Logout {}));
    }
    let mut response: Response<Body> = nothing(StatusCode::NO_CONTENT);
    if let Some(cookie) = no_session_cookie() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// A challenge for the vendor's support, bound to this browser.
pub(crate) async fn challenge(api: &Api, asks: &Asks<'_>) -> Done {
    let keys: Vec<String> =
        grant::keys(api).await?.into_iter().filter(|key| key.on).map(|key| key.name).collect();
    if keys.is_empty() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "no-support-key",
            "No support key is set",
            "This appliance knows no key of the vendor's support, and could take no response.",
            "Log in with a user of the array, and add the key on the page Array.",
        ));
    }
    let facts = api.facts().await;
    let serial = facts.status.as_ref().map_or("", |status| status.serial.as_str());
    // A machine whose firmware tells no number is still one that a person can name.
    let serial = Serial::new(if serial.is_empty() { "UNKNOWN" } else { serial });
    let serial = serial.map_err(|fault| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "no-serial",
            "The machine's serial number is of no use",
            format!("The machine's serial number cannot be written down: {fault}."),
            "Log in with a user of the array.",
        )
    })?;
    let (session, now) = (asks.caller.token.hash(), api.now());
    let mut desk = api.gate.desk();
    let desk = desk.get_or_insert_with(|| Desk::new(serial));
    let open = match desk.open(&session, Purpose::Login, now) {
        Some(open) => open,
        None => {
            desk.ask(session, source(asks.peer), Purpose::Login, now).map_err(|_| super::no_random_bytes())?
        }
    };
    let text = open.challenge.text();
    let row = |row: Vec<bool>| row.into_iter().map(|dark| if dark { '1' } else { '0' }).collect::<String>();
    let squares = drawbridge_identity::qr::squares(&text).unwrap_or_default();
    Ok(ok(&json!({
        "text": text,
        "qr": squares.into_iter().map(row).collect::<Vec<_>>(),
        "expires_seconds": open.left.as_secs(),
        "tries_left": open.tries,
        "keys": keys,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    response: String,
}

/// Logs somebody in by the vendor's response, or by a grant, which the text itself tells apart.
pub(crate) async fn respond(api: &Api, asks: &Asks<'_>, body: &[u8]) -> Done {
    let Answered { response } = parse(body)?;
    let (person, lasts) =
        vouched(api, asks, response).await.inspect_err(|problem| not_let_in(api, asks, "", problem))?;
    api.limits().succeeded(asks.peer);
    begin(api, asks, person, lasts).await
}

/// Whom a text of the vendor's vouches for, and for how long.
async fn vouched(api: &Api, asks: &Asks<'_>, response: String) -> Result<(Person, Duration), Problem> {
    may_try(api, asks)?;
    if armour::kind(&response) == Some(Kind::Grant) {
        return Ok((grant::person(api, response).await?, ABSOLUTE));
    }
    let keys = grant::keys(api).await?;
    let keys = keys.iter().filter(|key| key.on).filter_map(|key| VendorKey::parse(&key.line).ok());
    // Session has seen that they go together.
    let keys = VendorKeys::new(keys.collect()).unwrap_or_default();
    let verdict = {
        let mut desk = api.gate.desk();
        match desk.as_mut() {
            None => Err(Refusal::NotOpen),
            Some(desk) => desk.answer(&asks.caller.token.hash(), Purpose::Login, &response, &keys, api.now()),
        }
    };
    let admitted = verdict.map_err(|refusal| {
        log::warn!("a response to a challenge was refused: {refusal}");
        refused(&refusal)
    })?;
    let claims = &admitted.claims;
    log::warn!(
        "{} was let in by a response that is signed by {}: {}",
        claims.who,
        admitted.key,
        claims.reason
    );
    let person = Person { name: claims.who.to_string(), rank: Rank::Admin, way: Way::Challenge };
    Ok((person, Duration::from_mins(claims.minutes.get().into())))
}

fn refused(refusal: &Refusal) -> Problem {
    let code = match refusal {
        Refusal::Text(_) => "response-damaged",
        Refusal::Expired => "challenge-expired",
        Refusal::Used => "challenge-used",
        _ => "response-wrong",
    };
    Problem::new(
        StatusCode::FORBIDDEN,
        code,
        "The response is not taken",
        refusal.to_string(),
        refusal.remedy(),
    )
}
