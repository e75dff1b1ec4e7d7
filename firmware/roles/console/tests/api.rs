//! The calls' promises to whoever has not logged in, kept to a real TLS client.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::Console;
use drawbridge_bus::approval::{ApprovedBy, GrantFault, GrantTerms};
use drawbridge_bus::bridge::{BridgeState, BridgeStatus, Link};
use drawbridge_bus::support::{GrantId, Scope};
use drawbridge_bus::{Reply, Request};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// Not a test: the role's process, which the tests start from this same program.
#[test]
#[ignore = "the role's own process, started by the other tests"]
fn the_roles_own_process() {
    common::be_the_role();
}

const ROOT: &str = "/api/v1/";

/// What may be asked without a session.
const OPEN: [(&str, &str); 8] = [
    ("GET", "session"),
    ("POST", "session"),
    ("POST", "challenge"),
    ("POST", "challenge/response"),
    ("GET", "openapi.json"),
    // These bear credentials of their own.
    ("POST", "support"),
    ("POST", "support/status"),
    ("POST", "support/terminate"),
];

/// Asks, with these lines in the head; status and body.
fn ask(console: &Console, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: drawbridge\r\n{head}{length}Connection: close\r\n\r\n{body}"
    );
    let answer = console.ask(&request).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (status, answer)
}

fn json(answer: &str) -> Value {
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

/// A browser that has looked at the login: its cookie and token, as lines of a head.
fn browser(console: &Console) -> String {
    let (status, answer) = ask(console, "GET", "/api/v1/session", "", "");
    assert_eq!(status, 200, "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    for part in ["__Host-visit=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let token = json(&answer)["csrf"].as_str().unwrap().to_owned();
    let pair = cookie.split(';').next().unwrap();
    format!("Cookie: {pair}\r\nX-CSRF-Token: {token}\r\nContent-Type: application/json\r\n")
}

#[test]
fn without_a_session_only_the_open_calls_answer() {
    let console = Console::start("open-calls", None);
    let head = browser(&console);
    let (_, answer) = ask(&console, "GET", "/api/v1/openapi.json", "", "");
    let described = json(&answer);
    let paths: Vec<&String> = described["paths"].as_object().unwrap().keys().collect();
    assert!(paths.len() > 25);
    for path in paths {
        let path = path.replace("{id}", "0123456789abcdef");
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let (status, answer) = ask(&console, method, &path, &head, "");
            let open = OPEN.contains(&(method, path.strip_prefix(ROOT).unwrap()));
            let refused = matches!(status, 401);
            assert_eq!(refused, !open, "{method} {path}: {answer}");
        }
    }
    for path in [
        "bridge/",
        "/bridge",
        "Bridge",
        "bridge;a",
        "%62ridge",
        "./bridge",
        "x/../bridge",
        "bridge%00",
        "bridge?x",
        "log.txt",
    ] {
        let (status, answer) = ask(&console, "GET", &format!("{ROOT}{path}"), &head, "");
        assert_eq!(status, 401, "{path}: {answer}");
    }
    // And what is not below the root is no call.
    for path in [
        "/api/v1",
        "/api//v1/bridge",
        "/API/v1/bridge",
        "/api/v2/bridge",
        "//api/v1/bridge",
        "/%61pi/v1/bridge",
    ] {
        let (status, answer) = ask(&console, "GET", path, &head, "");
        assert_eq!(status, 404, "{path}: {answer}");
    }
}

#[test]
fn the_vendors_profile_is_told_and_a_bad_one_keeps_nobody_out() {
    let told = |name: &str, content: Option<&str>| {
        let folder = common::folder(name);
        if let Some(content) = content {
            std::fs::write(folder.join("profile.json"), content).unwrap();
        }
        let console = Console::start_in(folder, None);
        let (_, answer) = ask(&console, "GET", "/api/v1/session", "", "");
        (json(&answer)["profile"].clone(), console.page().unwrap())
    };
    let infinibox = include_str!("../../../../board/profiles/infinibox.json");
    let (profile, page) = told("profile", Some(infinibox));
    assert_eq!(profile["appliance"], "InfiniBox Support Appliance");
    assert_eq!(profile["support"], "INFINIDAT support");
    assert!(page.contains("InfiniBox Support Appliance: state of the system"), "{page}");
    for (name, content) in [("profile-none", None), ("profile-bad", Some("{\"name\": 7}"))] {
        let (profile, page) = told(name, content);
        assert_eq!(profile["appliance"], "Support Appliance", "{name}");
        assert!(page.contains(">Support Appliance: state of the system"), "{page}");
    }
    let hostile = infinibox.replace("InfiniBox Support Appliance", "<script>x</script>");
    let (_, page) = told("profile-hostile", Some(&hostile));
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
}

#[test]
fn a_write_needs_the_token_of_its_own_browser_and_comes_from_no_other_page() {
    let console = Console::start("writes", None);
    let (one, other) = (browser(&console), browser(&console));
    let body = r#"{"user":"anna","password":"x"}"#;
    let code = |head: &str| {
        let (status, answer) = ask(&console, "POST", "/api/v1/session", head, body);
        assert!(answer.contains("content-type: application/problem+json"), "{answer}");
        (status, json(&answer)["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(code(&one), (409, "array-unset".to_owned()));
    let (cookie, token) = one.split_once("X-CSRF").unwrap();
    let foreign = format!("{cookie}X-CSRF{}", other.split_once("X-CSRF").unwrap().1);
    assert_eq!(code(&foreign), (403, "csrf".to_owned()));
    assert_eq!(code(&format!("{cookie}Content-Type: application/json\r\n")), (403, "csrf".to_owned()));
    assert_eq!(code(&format!("X-CSRF{token}")), (403, "csrf".to_owned()));
    for line in [
        "Origin: https://evil.example",
        "Origin: http://drawbridge",
        "Origin: null",
        "Origin: https://drawbridge:9001",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        assert_eq!(code(&format!("{one}{line}\r\n")), (403, "origin".to_owned()), "{line}");
    }
    assert_eq!(code(&format!("{one}Origin: https://drawbridge\r\nSec-Fetch-Site: same-origin\r\n")).0, 409);
    let form = one.replace("application/json", "application/x-www-form-urlencoded");
    assert_eq!(code(&form), (415, "not-json".to_owned()));
}

#[test]
fn logins_are_ten_a_minute_from_one_source_and_no_guess_is_looked_at_beyond() {
    let console = Console::start("tries", None);
    let head = browser(&console);
    let body = r#"{"user":"anna","password":"x"}"#;
    for _ in 0..10 {
        assert_eq!(ask(&console, "POST", "/api/v1/session", &head, body).0, 409);
    }
    let (status, answer) = ask(&console, "POST", "/api/v1/session", &head, body);
    assert!(status == 429 && answer.contains("retry-after: "), "{answer}");
    // Another way in is no way around.
    let (status, _) = ask(&console, "POST", "/api/v1/challenge/response", &head, r#"{"response":"x"}"#);
    assert_eq!(status, 429);
    let (status, _) = ask(&console, "POST", "/api/v1/support/status", "", body);
    assert_eq!(status, 429);
}

#[test]
fn what_is_wrong_with_a_body_is_told_without_repeating_it() {
    let console = Console::start("bodies", None);
    let head = browser(&console);
    for (body, status) in [
        (r#"{"user":"anna","password":{"sesame":1}}"#, 422),
        (r#"{"user":"anna","password":"sesame""#, 400),
        (r#"{"user":"anna","password":"sesame","admin":true}"#, 422),
        ("\u{0}", 400),
    ] {
        let (found, answer) = ask(&console, "POST", "/api/v1/session", &head, body);
        assert_eq!(found, status, "{answer}");
        assert!(!answer.contains("sesame"), "{answer}");
    }
    // Refused by its own word, before a byte of it has come.
    let (status, answer) =
        ask(&console, "POST", "/api/v1/session", &format!("{head}Content-Length: 70000\r\n"), "");
    assert!(status == 413 && answer.contains("connection: close"), "{answer}");
}

#[test]
fn the_first_login_needs_the_code_of_the_machines_own_screen() {
    let console = Console::start("code", None);
    let head = browser(&console);
    let body = r#"{"user":"anna","password":"x","setup":{"code":"0000-0000","host":"192.0.2.1"}}"#;
    let (status, answer) = ask(&console, "POST", "/api/v1/session", &head, body);
    assert_eq!((status, json(&answer)["code"].as_str()), (403, Some("wrong-code")));
}

/// A text that says that it is a grant. What it is worth is for the session role to say.
const GRANT: &str = "-----BEGIN DRAWBRIDGE GRANT-----\nG0000 00000\n-----END DRAWBRIDGE GRANT-----";

fn terms() -> GrantTerms {
    GrantTerms {
        id: [7; 16],
        case: "4711".to_owned(),
        signer: "2026".to_owned(),
        engineer: "ssh-ed25519 AAAA".to_owned(),
        scope: Scope { targets: Vec::new(), shell: true, files: false, forwards: false },
        minutes: 60,
        not_after: 1_795_720_000,
        is_open: false,
    }
}

fn bridge(state: BridgeState, by: Option<[u8; 16]>) -> Reply {
    Reply::Bridge(Box::new(BridgeStatus {
        state,
        grant: None,
        approved_by: by.map(|id| ApprovedBy { id, case: "4711".to_owned(), signer: "2026".to_owned() }),
        seconds_left: None,
        burned: false,
        link: Link::Down,
        visitors: Vec::new(),
        last_end: String::new(),
    }))
}

/// A console beside a session role that takes [`GRANT`] and no other, with what it was asked, and the state that it tells.
struct Beside {
    console: Console,
    asked: Arc<Mutex<Vec<Request>>>,
    state: Arc<Mutex<Reply>>,
}

fn beside(name: &str) -> Beside {
    let (asked, state) =
        (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(bridge(BridgeState::Closed, None))));
    let (noted, told) = (Arc::clone(&asked), Arc::clone(&state));
    let session = move |request: Request| {
        let reply = match &request {
            Request::CheckGrant(text) | Request::OpenGranted { grant: text, .. } if text != GRANT => {
                let sentence = "The grant does not count: it was used already.".to_owned();
                Reply::GrantRefused(GrantFault { code: "grant-used".to_owned(), sentence })
            }
            Request::CheckGrant(_) => Reply::Grant(Box::new(terms())),
            Request::OpenGranted { .. } => Reply::Opened(GrantId(3)),
            Request::VendorKeys => Reply::VendorKeys(Vec::new()),
            Request::Bridge => told.lock().unwrap().clone(),
            _ => Reply::Done,
        };
        noted.lock().unwrap().push(request);
        reply
    };
    let console = Console::start_beside(common::folder(name), None, Some(Arc::new(session)));
    Beside { console, asked, state }
}

impl Beside {
    fn asked(&self, is: impl Fn(&Request) -> bool) -> usize {
        self.asked.lock().unwrap().iter().filter(|request| is(request)).count()
    }

    /// Pastes a text at the login; status, answer, and the head of whoever is in.
    fn paste(&self, text: &str) -> (u16, Value, String) {
        let head = browser(&self.console);
        let body = serde_json::json!({ "response": text }).to_string();
        let (status, answer) = ask(&self.console, "POST", "/api/v1/challenge/response", &head, &body);
        let value = json(&answer);
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_default();
        let (pair, token) = (cookie.split(';').next().unwrap(), value["csrf"].as_str().unwrap_or_default());
        let head = format!("Cookie: {pair}\r\nX-CSRF-Token: {token}\r\nContent-Type: application/json\r\n");
        (status, value, head)
    }
}

#[test]
fn who_comes_by_a_grant_may_open_its_session_and_look_and_nothing_else() {
    let beside = beside("grant");
    let (status, session, head) = beside.paste(GRANT);
    assert_eq!(status, 200, "{session}");
    let person = &session["person"];
    assert_eq!((person["role"].as_str(), person["way"].as_str()), (Some("grant"), Some("grant")));
    assert_eq!(
        (person["grant"]["case"].as_str(), person["grant"]["minutes"].as_u64()),
        (Some("4711"), Some(60))
    );
    let console = &beside.console;
    let (_, answer) = ask(console, "GET", "/api/v1/openapi.json", "", "");
    let described = json(&answer);
    let allowed = [
        ("POST", "bridge"),
        ("DELETE", "bridge"),
        ("PUT", "bridge/end"),
        ("POST", "bridge/test"),
        ("DELETE", "session"),
    ];
    let mut refused = 0;
    for (path, item) in described["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "0123456789abcdef");
        for method in item.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            let call = (method.as_str(), path.strip_prefix(ROOT).unwrap());
            if allowed.contains(&call) || OPEN.contains(&call) || !["POST", "PUT", "DELETE"].contains(&call.0)
            {
                continue;
            }
            let (status, answer) = ask(console, call.0, &path, &head, "{}");
            assert_eq!((status, json(&answer)["code"].as_str()), (403, Some("grant-only")), "{call:?}");
            refused += 1;
        }
    }
    assert!(refused > 12, "{refused}");
    assert_eq!(ask(console, "GET", "/api/v1/bridge", &head, "").0, 200);
    assert_eq!(ask(console, "GET", "/api/v1/profile", &head, "").0, 200);
    // What belongs to the owner alone.
    for path in
        ["audit", "audit/state", "audit/export", "audit/bundle", "notifications", "notifications/test"]
    {
        let (status, answer) = ask(console, "GET", &format!("{ROOT}{path}"), &head, "");
        assert_eq!((status, json(&answer)["code"].as_str()), (403, Some("grant-only")), "{path}");
    }
    let told = |code: &str, proof: &str| {
        beside.asked(|request| {
            matches!(request, Request::Tell(line) if line.contains(code) && line.contains(proof) && line.contains("127.0.0.1"))
        })
    };
    assert_eq!(told("\"LOGIN\"", "\"grant\""), 1);
    // Its session is opened by its own grant, said or not, and by no other and none.
    let open = |grant: &str| {
        let body = format!(
            r#"{{"name":"case 4711","minutes":60,"scope":{{"shell":true}},"keys":[{{"line":"ssh-ed25519 AAAA"}}],{grant}
                "path":{{"server":"rss.example"}}}}"#
        );
        ask(console, "POST", "/api/v1/bridge", &head, &body)
    };
    let (status, answer) = open(r#""grant":"another","#);
    assert_eq!((status, json(&answer)["code"].as_str()), (403, Some("grant-only")));
    assert_eq!(open("").0, 201);
    let mine = |request: &Request| matches!(request, Request::OpenGranted { grant, .. } if grant == GRANT);
    assert_eq!(beside.asked(mine), 1);
    assert_eq!(beside.asked(|request| matches!(request, Request::OpenBridge(_))), 0);
    // It ends what it has opened, and nobody else's session.
    *beside.state.lock().unwrap() = bridge(BridgeState::Open, Some([8; 16]));
    assert_eq!(ask(console, "DELETE", "/api/v1/bridge", &head, "").0, 403);
    assert_eq!(ask(console, "PUT", "/api/v1/bridge/end", &head, r#"{"minutes":1}"#).0, 403);
    *beside.state.lock().unwrap() = bridge(BridgeState::Open, None);
    assert_eq!(ask(console, "DELETE", "/api/v1/bridge", &head, "").0, 403);
    assert_eq!(beside.asked(|request| matches!(request, Request::CloseBridge { .. })), 0);
    *beside.state.lock().unwrap() = bridge(BridgeState::Open, Some([7; 16]));
    assert_eq!(ask(console, "DELETE", "/api/v1/bridge", &head, "").0, 202);
    assert_eq!(beside.asked(|request| matches!(request, Request::CloseBridge { .. })), 1);
}

#[test]
fn the_login_tells_a_grant_from_a_response_and_says_why_one_does_not_count() {
    let beside = beside("grant-wrong");
    let grants = |request: &Request| matches!(request, Request::CheckGrant(_));
    let (status, problem, _) = beside.paste(&GRANT.replace("G0000", "G1111"));
    assert_eq!((status, problem["code"].as_str()), (403, Some("grant-used")));
    assert_eq!(problem["detail"], "The grant does not count: it was used already.");
    assert_eq!(beside.asked(grants), 1);
    let (status, problem, _) = beside.paste("R0000-00000");
    assert_eq!((status, problem["code"].as_str()), (403, Some("response-wrong")), "no challenge is open");
    assert_eq!(beside.asked(grants), 1, "a response is no grant");
    let refused = |reason: &str| {
        beside.asked(|request| {
            matches!(request, Request::Tell(line) if line.contains("LOGIN_REFUSED") && line.contains(reason))
        })
    };
    let until = std::time::Instant::now() + common::SOON;
    while (refused("wrong_grant"), refused("wrong_response")) != (1, 1) {
        assert!(std::time::Instant::now() < until, "{:?}", beside.asked.lock().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
