//! Browsers: their cookies, the sessions of those who have logged in, and the tokens against writes from elsewhere. It never knows a
//! password.
//!
//! Two cookies, both `__Host-`, Secure, `HttpOnly` and `SameSite=Strict` (RFC 6265bis, section 4.1.3.2): one that tells browsers apart
//! before anybody has logged in, and costs no memory here; one that stands for a session. A session is known by the hash of its
//! cookie: what is kept in memory lets nobody in.

use drawbridge_bus::approval::GrantTerms;
use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// The cookie of whoever has not logged in.
const VISIT: &str = "__Host-visit";
/// The cookie of a session.
const SESSION: &str = "__Host-session";
/// A session ends when nothing was asked for so long.
pub(crate) const IDLE: Duration = Duration::from_mins(30);
/// A session ends after this, whatever is done.
pub(crate) const ABSOLUTE: Duration = Duration::from_hours(8);
/// The most sessions at one time; the one that has been idle for longest goes for a new one.
const SESSIONS: usize = 64;

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// All.
    Admin,
    /// Look.
    Viewer,
    /// Look, and open and end the one support session that this grant describes.
    Grant(Arc<Granted>),
}

impl Rank {
    /// The grant that it is bound to.
    pub(crate) fn granted(&self) -> Option<&Granted> {
        match self {
            Self::Grant(granted) => Some(granted),
            _ => None,
        }
    }
}

/// A signed grant that somebody has come by, and what it allowed when he came. Session looks at its text again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) text: String,
    pub(crate) terms: GrantTerms,
}

/// How somebody has shown who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the array's word for name and password.
    Array,
    /// By the array's word for its own session.
    Sso,
    /// By the vendor's answer to a challenge.
    Challenge,
    /// By a grant that the vendor signed.
    Grant,
}

/// Who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) rank: Rank,
    pub(crate) way: Way,
}

#[derive(Debug)]
struct Session {
    person: Person,
    begun: Duration,
    used: Duration,
    lasts: Duration,
}

/// 32 bytes of a cookie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token([u8; 32]);

impl Token {
    fn new() -> Option<Self> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            if !pair.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)) {
                return None;
            }
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }

    fn text(self) -> String {
        hex(&self.0)
    }

    /// By this a session, or a challenge, is known.
    pub(crate) fn hash(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        hash
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Who asks, as far as his cookies say.
pub(crate) struct Caller {
    /// The cookie that tells his browser from others.
    pub(crate) token: Token,
    /// He had none: the answer gives it to him.
    pub(crate) new: bool,
    /// Who he is, if he has logged in.
    pub(crate) person: Option<Person>,
}

/// The sessions.
pub(crate) struct Browsers {
    key: hmac::Key,
    sessions: HashMap<[u8; 32], Session>,
}

impl Browsers {
    /// None yet. Fails when the system has no random bytes.
    pub(crate) fn new() -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        Some(Self { key, sessions: HashMap::new() })
    }

    /// Who asks. What he asks for counts as use of his session when `counts`.
    pub(crate) fn caller(&mut self, headers: &HeaderMap, now: Duration, counts: bool) -> Option<Caller> {
        self.sweep(now);
        if let Some(token) = cookie(headers, SESSION)
            && let Some(session) = self.sessions.get_mut(&token.hash())
        {
            if counts {
                session.used = now;
            }
            return Some(Caller { token, new: false, person: Some(session.person.clone()) });
        }
        match cookie(headers, VISIT) {
            Some(token) => Some(Caller { token, new: false, person: None }),
            None => Some(Caller { token: Token::new()?, new: true, person: None }),
        }
    }

    /// Begins a session for `lasts` at most ([`ABSOLUTE`] at the most), and ends the one that the caller had. Gives its cookie.
    pub(crate) fn log_in(
        &mut self,
        before: &Caller,
        person: Person,
        lasts: Duration,
        now: Duration,
    ) -> Option<Token> {
        self.sessions.remove(&before.token.hash());
        if self.sessions.len() >= SESSIONS
            && let Some(idle) =
                self.sessions.iter().min_by_key(|(_, session)| session.used).map(|(hash, _)| *hash)
        {
            self.sessions.remove(&idle);
        }
        let token = Token::new()?;
        let session = Session { person, begun: now, used: now, lasts: lasts.min(ABSOLUTE) };
        self.sessions.insert(token.hash(), session);
        Some(token)
    }

    /// Ends the caller's session.
    pub(crate) fn log_out(&mut self, caller: &Caller) {
        self.sessions.remove(&caller.token.hash());
    }

    /// Seconds until the caller's session ends when nothing is done, and at the latest.
    pub(crate) fn left(&mut self, token: Token, now: Duration) -> Option<(u64, u64)> {
        self.sweep(now);
        let session = self.sessions.get(&token.hash())?;
        let absolute = (session.begun + session.lasts).saturating_sub(now);
        let idle = (session.used + IDLE).saturating_sub(now).min(absolute);
        Some((idle.as_secs(), absolute.as_secs()))
    }

    /// What a write of this browser must bear: nobody who cannot read the console's answers knows it.
    pub(crate) fn csrf(&self, token: Token) -> String {
        let mut text = b"csrf".to_vec();
        text.extend_from_slice(&token.0);
        hex(hmac::sign(&self.key, &text).as_ref())
    }

    /// Whether this is it.
    pub(crate) fn is_csrf(&self, token: Token, shown: &[u8]) -> bool {
        self.csrf(token).as_bytes().ct_eq(shown).into()
    }

    fn sweep(&mut self, now: Duration) {
        self.sessions.retain(|_, session| session.begun + session.lasts > now && session.used + IDLE > now);
    }
}

/// A cookie's value, where there is exactly one of its name.
fn cookie(headers: &HeaderMap, name: &str) -> Option<Token> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name);
    let value = found.next()?.1;
    if found.next().is_some() { None } else { Token::parse(value) }
}

fn set(name: &str, value: &str, more: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{more}")).ok()
}

/// The header that gives a browser the cookie by which it is known.
pub(crate) fn visit_cookie(token: Token) -> Option<HeaderValue> {
    set(VISIT, &token.text(), "")
}

/// The header that gives a browser the cookie of its session. It ends with the browser.
pub(crate) fn session_cookie(token: Token) -> Option<HeaderValue> {
    set(SESSION, &token.text(), "")
}

/// The header that takes a session's cookie away.
pub(crate) fn no_session_cookie() -> Option<HeaderValue> {
    set(SESSION, "", "; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Person {
        Person { name: "anna".to_owned(), rank: Rank::Admin, way: Way::Array }
    }

    fn with(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(pair).unwrap())])
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    #[test]
    fn a_login_makes_a_new_cookie_and_a_logout_ends_it() {
        let mut browsers = Browsers::new().unwrap();
        let visitor = browsers.caller(&HeaderMap::new(), minutes(0), true).unwrap();
        assert!(visitor.new && visitor.person.is_none());
        let token = browsers.log_in(&visitor, person(), ABSOLUTE, minutes(0)).unwrap();
        assert!(token != visitor.token);
        let headers = with(&session_cookie(token).unwrap());
        let caller = browsers.caller(&headers, minutes(1), true).unwrap();
        assert_eq!(caller.person, Some(person()));
        assert!(browsers.is_csrf(token, browsers.csrf(token).as_bytes()));
        assert!(!browsers.is_csrf(token, browsers.csrf(visitor.token).as_bytes()));
        // Whoever logs in again has another, and the first is of no use.
        let again = browsers.log_in(&caller, person(), ABSOLUTE, minutes(1)).unwrap();
        assert!(browsers.caller(&headers, minutes(1), true).unwrap().person.is_none());
        let caller = browsers.caller(&with(&session_cookie(again).unwrap()), minutes(1), true).unwrap();
        browsers.log_out(&caller);
        assert!(browsers.left(again, minutes(1)).is_none());
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_after_its_time() {
        let mut browsers = Browsers::new().unwrap();
        let visitor = browsers.caller(&HeaderMap::new(), minutes(0), true).unwrap();
        let token = browsers.log_in(&visitor, person(), minutes(50), minutes(0)).unwrap();
        let headers = with(&session_cookie(token).unwrap());
        assert_eq!(browsers.left(token, minutes(10)), Some((20 * 60, 40 * 60)));
        assert!(browsers.caller(&headers, minutes(29), true).unwrap().person.is_some());
        // What a page asks for by itself keeps no session alive.
        assert!(browsers.caller(&headers, minutes(45), false).unwrap().person.is_some());
        assert!(browsers.caller(&headers, minutes(50), true).unwrap().person.is_none());
        let token = browsers.log_in(&visitor, person(), minutes(90), minutes(0)).unwrap();
        let headers = with(&session_cookie(token).unwrap());
        assert!(browsers.caller(&headers, minutes(31), true).unwrap().person.is_none());
    }

    #[test]
    fn what_is_no_cookie_of_ours_is_nobody() {
        let mut browsers = Browsers::new().unwrap();
        let visitor = browsers.caller(&HeaderMap::new(), minutes(0), true).unwrap();
        let token = browsers.log_in(&visitor, person(), ABSOLUTE, minutes(0)).unwrap();
        let right = token.text();
        for wrong in [
            format!("{SESSION}={}", right.to_uppercase()),
            format!("{SESSION}={right}0"),
            format!("{SESSION}={right}; {SESSION}={right}"),
            format!("session={right}"),
            format!("{SESSION}=\"{right}\""),
            format!("{SESSION}="),
        ] {
            let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&wrong).unwrap())]);
            assert!(browsers.caller(&headers, minutes(0), true).unwrap().person.is_none(), "{wrong}");
        }
    }

    #[test]
    fn there_are_so_many_sessions_and_no_more() {
        let mut browsers = Browsers::new().unwrap();
        let visitor = browsers.caller(&HeaderMap::new(), minutes(0), true).unwrap();
        let first = browsers.log_in(&visitor, person(), ABSOLUTE, minutes(0)).unwrap();
        for _ in 0..SESSIONS {
            browsers.log_in(&visitor, person(), ABSOLUTE, minutes(1)).unwrap();
        }
        assert_eq!(browsers.sessions.len(), SESSIONS);
        assert!(browsers.left(first, minutes(1)).is_none());
    }
}
