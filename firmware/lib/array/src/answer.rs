//! The array's answers, from bytes to what they mean; it takes what it needs, and keeps nothing longer than it may be.

use crate::credentials::{NAME_CHARACTERS, Token};
use crate::error::{LoginError, Stranger};
use crate::event::{self, LoggedEvent};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// Text of the array's is cut here, in characters.
const CHARACTERS: usize = 256;
/// The most roles of a person.
const ROLES: usize = 16;

/// What a person may do at the array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// His own pools.
    PoolAdmin,
    /// Look.
    ReadOnly,
    /// The vendor's support.
    Infinidat,
    /// The vendor's technician.
    Technician,
    /// Another, by the array's name for it: at most 128 printable characters.
    Other(String),
}

impl Role {
    fn new(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "ADMIN" => Self::Admin,
            "POOL_ADMIN" => Self::PoolAdmin,
            "READ_ONLY" => Self::ReadOnly,
            "INFINIDAT" => Self::Infinidat,
            "TECHNICIAN" => Self::Technician,
            _ => Self::Other(printable(text).chars().take(NAME_CHARACTERS).collect()),
        }
    }
}

/// A person, by the array's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// His name: 1 to 128 printable characters.
    pub name: String,
    /// His roles, at most 16.
    pub roles: Vec<Role>,
}

impl Person {
    /// Whether he may open a support session: the array's administrators may, and nobody else. The vendor's own roles are whom
    /// a session is opened for.
    pub fn may_connect(&self) -> bool {
        self.roles.contains(&Role::Admin)
    }
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A login by name and password.
    Login,
    /// Whose a session is.
    Session,
}

/// An answer as it came.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The body, at most 256 KiB.
    pub body: &'a [u8],
}

#[derive(Deserialize)]
struct Envelope<T> {
    // Without a bound by itself: what is missing is none.
    #[serde(default = "Option::default")]
    result: Option<T>,
    #[serde(default)]
    error: Option<Wrong>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wrong {
    code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct User {
    name: String,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    role: Option<String>,
}

impl Answer<'_> {
    /// Who it is, or why it is not said.
    pub fn person(&self, asked: Asked) -> Result<Person, LoginError> {
        let user: User = self.told(asked)?;
        person(&user).ok_or(LoginError::NotAnArray(Stranger::OtherJson(self.status)))
    }

    /// The events that it tells, or why not.
    pub fn events(&self) -> Result<Vec<LoggedEvent>, LoginError> {
        let told: Vec<event::Told> = self.told(Asked::Session)?;
        Ok(told.into_iter().map(LoggedEvent::from).collect())
    }

    /// Whether it has taken an event, or why not.
    pub fn taken(&self) -> Result<(), LoginError> {
        self.told::<IgnoredAny>(Asked::Session).map(drop)
    }

    /// What it tells, as the envelope has it.
    fn told<T: DeserializeOwned>(&self, asked: Asked) -> Result<T, LoginError> {
        match self.status {
            300..=399 => return Err(LoginError::NotAnArray(Stranger::Redirect(self.status))),
            500..=599 => return Err(LoginError::Fault { status: self.status, words: self.words().1 }),
            // Some say no more than that.
            401 if self.body.is_empty() => return Err(unknown(asked)),
            _ => {}
        }
        if !self.is_json() {
            let kind = self.content_type.map_or_else(|| "something unnamed".to_owned(), printable);
            return Err(LoginError::NotAnArray(Stranger::NotJson(kind, self.status)));
        }
        let stranger = || LoginError::NotAnArray(Stranger::OtherJson(self.status));
        if (200..=299).contains(&self.status) {
            let told: Envelope<T> = serde_json::from_slice(self.body).map_err(|_| stranger())?;
            return match (told.result, told.error) {
                (Some(told), None) => Ok(told),
                (_, Some(wrong)) => Err(self.refused(&wrong, asked)),
                (None, None) => Err(stranger()),
            };
        }
        let told: Envelope<IgnoredAny> = serde_json::from_slice(self.body).map_err(|_| stranger())?;
        match told.error {
            Some(wrong) => Err(self.refused(&wrong, asked)),
            None if self.status == 401 => Err(unknown(asked)),
            None => Err(stranger()),
        }
    }

    fn is_json(&self) -> bool {
        let kind = self.content_type.unwrap_or_default();
        kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
    }

    /// Code and message of an error, where they can be read.
    fn words(&self) -> (String, String) {
        let told = serde_json::from_slice::<Envelope<IgnoredAny>>(self.body).ok();
        told.and_then(|told| told.error).map(|wrong| words(&wrong)).unwrap_or_default()
    }

    fn refused(&self, wrong: &Wrong, asked: Asked) -> LoginError {
        let (code, words) = words(wrong);
        let says = |part: &str| code.contains(part);
        match self.status {
            _ if code.starts_with("APPROVAL_REQUIRED") => LoginError::ApprovalRequired(words),
            423 | 429 => LoginError::Locked(words),
            _ if says("LOCKED") || says("TOO_MANY") || says("DISABLED") => LoginError::Locked(words),
            401 => unknown(asked),
            status => LoginError::Refused { status, words },
        }
    }
}

fn unknown(asked: Asked) -> LoginError {
    match asked {
        Asked::Login => LoginError::WrongCredentials,
        Asked::Session => LoginError::UnknownSession,
    }
}

fn words(wrong: &Wrong) -> (String, String) {
    let code = printable(wrong.code.as_deref().unwrap_or_default()).to_ascii_uppercase();
    let message = printable(wrong.message.as_deref().unwrap_or_default());
    (code.clone(), if message.is_empty() { code } else { message })
}

fn person(user: &User) -> Option<Person> {
    let named = user.roles.as_deref().unwrap_or_default().iter().chain(user.role.as_ref());
    let mut roles = Vec::new();
    for role in named {
        let role = Role::new(role);
        if !roles.contains(&role) {
            roles.push(role);
        }
        if roles.len() > ROLES {
            return None;
        }
    }
    let fits = (1..=NAME_CHARACTERS).contains(&user.name.chars().count());
    let plain = user.name == printable(&user.name);
    (fits && plain && !roles.is_empty()).then(|| Person { name: user.name.clone(), roles })
}

/// The session that an answer's headers `Set-Cookie` begin.
pub fn session<'a>(cookies: impl Iterator<Item = &'a str>) -> Option<Token> {
    cookies.take(16).find_map(|cookie| {
        let (name, rest) = cookie.split_once('=')?;
        let value = rest.split(';').next().unwrap_or_default().trim().trim_matches('"');
        (name.trim() == "JSESSIONID").then(|| Token::parse(value).ok()).flatten()
    })
}

/// Text from outside as one printable line of at most 256 characters.
pub(crate) fn printable(text: &str) -> String {
    let safe = text.chars().take(CHARACTERS);
    safe.map(|c| if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(status: u16, body: &str) -> Result<Person, LoginError> {
        let content_type = Some("application/json; charset=UTF-8");
        Answer { status, content_type, body: body.as_bytes() }.person(Asked::Login)
    }

    #[test]
    fn a_person_and_his_roles_are_read() {
        let body = r#"{"result":{"name":"anna","roles":["ADMIN","poet"],"role":"ADMIN"},"metadata":{},"error":null}"#;
        let anna = asked(200, body).unwrap();
        assert_eq!(anna.roles, [Role::Admin, Role::Other("poet".to_owned())]);
        assert!(anna.may_connect());
        for role in ["POOL_ADMIN", "READ_ONLY", "INFINIDAT", "TECHNICIAN", "ADMINISTRATOR", "ADMIN "] {
            let body = format!(r#"{{"result":{{"name":"eva","roles":["{role}"]}}}}"#);
            assert!(!asked(200, &body).unwrap().may_connect(), "{role}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let wrong =
            |code: &str| format!(r#"{{"result":null,"error":{{"code":"{code}","message":"so it is"}}}}"#);
        let words = || "so it is".to_owned();
        assert_eq!(asked(401, &wrong("ANY")), Err(LoginError::WrongCredentials));
        assert_eq!(asked(401, "{}"), Err(LoginError::WrongCredentials));
        assert_eq!(asked(403, &wrong("USER_LOCKED")), Err(LoginError::Locked(words())));
        assert_eq!(asked(401, &wrong("USER_DISABLED")), Err(LoginError::Locked(words())));
        assert_eq!(asked(429, &wrong("SLOW_DOWN")), Err(LoginError::Locked(words())));
        assert_eq!(asked(403, &wrong("APPROVAL_REQUIRED")), Err(LoginError::ApprovalRequired(words())));
        assert_eq!(asked(403, &wrong("OTHER")), Err(LoginError::Refused { status: 403, words: words() }));
        assert_eq!(asked(200, &wrong("OTHER")), Err(LoginError::Refused { status: 200, words: words() }));
        assert_eq!(asked(503, &wrong("OTHER")), Err(LoginError::Fault { status: 503, words: words() }));
        let nobody = Answer { status: 401, content_type: None, body: b"" };
        assert_eq!(nobody.person(Asked::Session), Err(LoginError::UnknownSession));
    }

    #[test]
    fn what_no_array_says_is_known_as_such() {
        let page = Answer { status: 401, content_type: Some("text/html"), body: b"<h1>Log in" };
        let kind = Stranger::NotJson("text/html".to_owned(), 401);
        assert_eq!(page.person(Asked::Login), Err(LoginError::NotAnArray(kind)));
        assert_eq!(asked(302, "{}"), Err(LoginError::NotAnArray(Stranger::Redirect(302))));
        let long = format!(r#"{{"result":{{"name":"{}","roles":["ADMIN"]}}}}"#, "a".repeat(129));
        let deep = "[".repeat(100_000);
        for (status, body) in [
            (200, "{"),
            (200, "{}"),
            (200, "[]"),
            (404, "{}"),
            (401, "nonsense"),
            (200, r#"{"result":{"name":"anna"}}"#),
            (200, r#"{"result":{"name":"","roles":["ADMIN"]}}"#),
            (200, r#"{"result":{"name":"a\nb","roles":["ADMIN"]}}"#),
            (200, &long),
            (200, &deep),
        ] {
            assert_eq!(
                asked(status, body),
                Err(LoginError::NotAnArray(Stranger::OtherJson(status))),
                "{body:.60}"
            );
        }
    }

    #[test]
    fn a_session_is_found_among_the_cookies() {
        let found =
            session(["a=b; Path=/", "JSESSIONID=1A2B; Path=/; Secure", "JSESSIONID=other"].into_iter());
        assert_eq!(found.unwrap().reveal(), "1A2B");
        assert!(session(["JSESSIONID=; Max-Age=0", "XJSESSIONID=a", "JSESSIONID"].into_iter()).is_none());
    }
}
