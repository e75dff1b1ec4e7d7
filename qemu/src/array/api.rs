//! The array's REST API: from a request to an answer. It never waits, and never sees a socket.

use super::query::{self, Query};
use super::store::{Refusal, Store, User};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A request's body may be so long (100 kB).
pub(super) const BODY: usize = 100_000;

/// A request, as far as the array looks at it.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    /// The value of the header `Cookie`.
    pub(super) cookie: Option<&'a str>,
    /// The value of the header `Authorization`.
    pub(super) authorization: Option<&'a str>,
    /// None when it was longer than [`BODY`].
    pub(super) body: Option<&'a [u8]>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) cookie: Option<String>,
}

impl Reply {
    pub(super) fn of(status: u16, envelope: &Value) -> Self {
        Self { status, body: envelope.to_string().into_bytes(), cookie: None }
    }

    fn result(result: &Value) -> Self {
        Self::of(200, &json!({"result": result, "metadata": {"ready": true}, "error": null}))
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let error = json!({
            "code": code, "message": message, "severity": "ERROR", "is_remote": false, "data": null, "reasons": [],
        });
        Self::of(status, &json!({"result": null, "metadata": {"ready": true}, "error": error}))
    }
}

/// Answers a request.
pub(super) fn answer(store: &mut Store, request: &Request<'_>) -> Reply {
    let (path, query) = Query::split(request.url);
    let Some(path) = path.strip_prefix("/api/rest/") else {
        return Reply::error(404, "NOT_FOUND", "there is nothing here but /api/rest");
    };
    let Some(body) = request.body else {
        return Reply::error(413, "DATA_TOO_LARGE", "a request may have 100 kB");
    };
    if store.approval && request.method != "GET" && query.get("approved") != Some("true") {
        return Reply::error(
            403,
            "APPROVAL_REQUIRED",
            "this operation wants approval: repeat it with approved=true",
        );
    }
    match (request.method, path.trim_end_matches('/')) {
        ("POST", "users/login") => return login(store, body),
        ("GET", "_features") => return Reply::result(&features()),
        _ => {}
    }
    let user = match who(store, request) {
        Ok(user) => user,
        Err(refused) => return refused,
    };
    match (request.method, path.trim_end_matches('/')) {
        ("POST", "users/logout") => {
            if let Some(token) = request.cookie.and_then(token) {
                store.end(token);
            }
            let gone = "JSESSIONID=; Path=/; Max-Age=0; Secure; HttpOnly".to_owned();
            Reply { cookie: Some(gone), ..Reply::result(&Value::Null) }
        }
        ("GET", "users/current") => Reply::result(&user.result()),
        ("GET", "system") => Reply::result(&query::fields(&store.system, &query)),
        ("GET", "system/name") => Reply::result(&store.system["name"]),
        ("GET", "events") => query::list(store.events(), &query),
        ("GET", "events/types") => Reply::result(&types()),
        ("POST", "events/custom") => post(store, &user, body),
        _ => Reply::error(404, "NOT_FOUND", "there is no such thing here"),
    }
}

fn features() -> Value {
    let names = ["api/auth_sessions", "user_disabling", "sso_authentication"];
    names.iter().map(|name| json!({"name": name, "version": 1, "enabled": true})).collect()
}

fn types() -> Value {
    let levels = [("INFO", 0), ("WARNING", 1), ("ERROR", 2), ("CRITICAL", 3)];
    let levels: Vec<_> = levels.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "levels": levels,
        "visibilities": ["CUSTOMER", "INFINIDAT"],
        "reporters": ["CUSTOM"],
        "codes": levels.iter().map(|level| code(level["name"].as_str().unwrap_or_default())).collect::<Vec<_>>(),
    })
}

fn code(level: &str) -> String {
    format!("CUSTOM_{level}_EVENT")
}

/// The session's token in a header `Cookie`.
fn token(header: &str) -> Option<&str> {
    header.split(';').find_map(|pair| pair.trim().strip_prefix("JSESSIONID="))
}

fn refused(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::Wrong => {
            Reply::error(401, "AUTHENTICATION_FAILED", "the user name or the password is wrong")
        }
        Refusal::Locked => Reply::error(403, "USER_LOCKED", "this user is locked"),
    }
}

/// Who asks: by his session, or by name and password in the request (RFC 7617).
fn who(store: &mut Store, request: &Request<'_>) -> Result<User, Reply> {
    if let Some(user) = request.cookie.and_then(token).and_then(|token| store.whose(token)) {
        return Ok(user);
    }
    let unknown = || Reply::error(401, "AUTHENTICATION_REQUIRED", "log in first");
    let basic = request.authorization.and_then(|header| header.strip_prefix("Basic ")).ok_or_else(unknown)?;
    let decoded = STANDARD.decode(basic.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (name, password) = decoded.as_deref().and_then(|text| text.split_once(':')).ok_or_else(unknown)?;
    store.check(name, password).map_err(refused)
}

fn login(store: &mut Store, body: &[u8]) -> Reply {
    let bad = || Reply::error(400, "BAD_REQUEST", "a login is {\"username\", \"password\", \"clientid\"}");
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return bad() };
    let (Some(name), Some(password)) = (body["username"].as_str(), body["password"].as_str()) else {
        return bad();
    };
    store.logins += 1;
    let user = match store.check(name, password) {
        Ok(user) => user,
        Err(refusal) => return refused(refusal),
    };
    let Some(token) = store.begin(name) else {
        return Reply::error(500, "INTERNAL_ERROR", "no session can be made");
    };
    let cookie = format!("JSESSIONID={token}; Path=/; Secure; HttpOnly");
    Reply { cookie: Some(cookie), ..Reply::result(&user.result()) }
}

fn post(store: &mut Store, user: &User, body: &[u8]) -> Reply {
    if !user.may_post() {
        return Reply::error(403, "PERMISSION_REQUIRED", "this user may post no events");
    }
    let bad = |what: &str| Reply::error(400, "BAD_REQUEST", what);
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return bad("this is no JSON") };
    let (level, visibility) = (body["level"].as_str(), body["visibility"].as_str().unwrap_or("CUSTOMER"));
    let Some(level) = level.filter(|one| ["INFO", "WARNING", "ERROR", "CRITICAL"].contains(one)) else {
        return bad("level is INFO, WARNING, ERROR or CRITICAL");
    };
    if !["CUSTOMER", "INFINIDAT"].contains(&visibility) {
        return bad("visibility is CUSTOMER or INFINIDAT");
    }
    let Some(template) = body["description_template"].as_str() else {
        return bad("description_template is missing");
    };
    let data = body.get("data").cloned().unwrap_or_else(|| json!([]));
    let Some(items) = data.as_array() else { return bad("data is a list") };
    let description = items.iter().fold(template.to_owned(), |text, item| {
        let value = match &item["value"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        text.replace(&format!("{{{}}}", item["name"].as_str().unwrap_or_default()), &value)
    });
    let event = json!({
        "code": code(level),
        "level": level,
        "username": user.name,
        "description": description,
        "description_template": template,
        "visibility": visibility,
        "data": data,
    });
    Reply::result(&store.post(event))
}
