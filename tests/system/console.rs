//! The console's port before a crowd: an administrator gets in all the same, and not later than a second.

use drawbridge_lab::array::HostedArray;
use drawbridge_lab::net::{Host, HostConfig, NamespaceConfig, Network};
use drawbridge_lab::vendor::beside;
use drawbridge_lab::{Lab, NicModel, https, within};
use drawbridge_tests::{Image, Site, SitePlan};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const SETTINGS: &str = r#"{"interfaces": [
    {"name": "management", "at": {"port": "{management}"}, "roles": ["management"],
     "ipv4": {"static": {"address": "172.16.0.10/16"}}, "ipv6": "off"},
    {"name": "array", "at": {"port": "{array}"}, "roles": ["array"],
     "ipv4": {"static": {"address": "10.0.3.20/24"}}, "ipv6": "off"}]}"#;

const CONSOLE: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 10);
const ARRAY: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 10);
const PASSWORD: &str = "three-keys-on-a-ring";
/// What the appliance says when it wants to be told which array it belongs to.
const ASKS: &str = "The console asks for this set-up code: ";
/// The crowd's addresses: 512 of them.
const CROWD: (&str, &str) = ("172.16.2.0", "23");
/// Slow clients on each port.
const CLIENTS: &str = "1000";
/// The console takes ten logins a minute from one address.
const EVERY: Duration = Duration::from_secs(7);

/// A request of an administrator's browser, on a connection of its own.
fn ask(
    desk: &Host,
    method: &str,
    cookie: Option<(&str, &str)>,
    body: &Value,
) -> (u16, Value, Option<String>) {
    let stream = desk
        .connect((CONSOLE, 9000), within(Duration::from_secs(5)))
        .expect("a connection at the first attempt");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut request =
        format!("{method} /api/v1/session HTTP/1.1\r\nHost: {CONSOLE}:9000\r\nConnection: close\r\n");
    if let Some((cookie, token)) = cookie {
        let _ = write!(request, "Cookie: {cookie}\r\nX-CSRF-Token: {token}\r\n");
    }
    let _ = write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let page = https::request(stream, &CONSOLE.to_string(), request, within(Duration::from_secs(5)))
        .expect("an answer at the first attempt");
    let cookie = page.header("set-cookie").and_then(|set| Some(set.split_once(';')?.0.to_owned()));
    (page.status, serde_json::from_slice(&page.body).unwrap_or_default(), cookie)
}

/// A whole login, as a browser does it: what is there, and name and password. How long it took.
fn log_in(desk: &Host, more: &Value) -> Duration {
    let begun = Instant::now();
    let (status, session, cookie) = ask(desk, "GET", None, &Value::Null);
    assert_eq!(status, 200, "{session}");
    let token = session["csrf"].as_str().expect("a token").to_owned();
    let cookie = cookie.expect("a cookie");
    let mut body = json!({ "user": "anna", "password": PASSWORD });
    if !more.is_null() {
        body["setup"] = more.clone();
    }
    let (status, session, _) = ask(desk, "POST", Some((&cookie, &token)), &body);
    assert_eq!(status, 200, "{session}");
    assert_eq!(session["person"]["name"], "anna", "{session}");
    begun.elapsed()
}

fn besieged(name: &str, logins: usize) {
    let lab = Lab::new(name);
    let (management, inside) =
        (Network::new(&lab, "management").unwrap(), Network::new(&lab, "array").unwrap());
    let desk = management.host(HostConfig::new("desk").ipv4([172, 16, 0, 1], 16));
    let beyond = inside.namespace("array", &NamespaceConfig::new().ipv4(ARRAY, 24)).unwrap();
    let program = beside("lab").expect("the lab's program beside the tests: cargo build -p drawbridge-lab");
    let array = HostedArray::start(&beyond, &program, (ARRAY, 443).into(), &["box1.lab"], None).unwrap();
    array.tell(&format!("user anna {PASSWORD} ADMIN")).unwrap();
    let ports =
        vec![("management", NicModel::VirtioNet, &management), ("array", NicModel::VirtioNet, &inside)];
    let site = Site::boot(&lab, &Image::here(), SitePlan::new(ports).settings(SETTINGS));
    site.has("management", CONSOLE);
    site.has("array", Ipv4Addr::new(10, 0, 3, 20));
    // It may have said so before the bus answered.
    site.look_again();
    let text = site.says(ASKS);
    let code: String = text
        .split(ASKS)
        .nth(1)
        .unwrap_or_default()
        .chars()
        .take_while(|char| !char.is_whitespace())
        .collect();
    let mut fingerprint = String::new();
    for byte in array.fingerprint() {
        let _ = write!(fingerprint, "{byte:02x}");
    }
    log_in(&desk, &json!({ "code": code, "host": ARRAY.to_string(), "fingerprint": fingerprint }));
    let alone = log_in(&desk, &Value::Null);

    let street = management.namespace("street", &NamespaceConfig::new().ipv4([172, 16, 1, 1], 16)).unwrap();
    // All of a network is here (RFC 6890 has no name for it): its kernel answers for each of these addresses.
    let local = ["route", "add", "local", &format!("{}/{}", CROWD.0, CROWD.1), "dev", "lo"];
    street.run("ip", local).unwrap().finish(within(Duration::from_secs(5))).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/system/crowd.py");
    let host = CONSOLE.to_string();
    // Slow clients, and no flood of connections: what a second is for a machine is ten for an emulated one.
    let again = within(Duration::from_secs(2)).as_secs().to_string();
    let words = [script, &host, "9000", "8000", CLIENTS, CROWD.0, CROWD.1, &again];
    let crowd = street.run("/usr/bin/python3", words).unwrap();
    crowd.wait_for("all have come", within(Duration::from_mins(1))).unwrap();
    let begun = Instant::now();
    let mut took = Vec::new();
    for number in 0..logins {
        took.push(log_in(&desk, &Value::Null));
        // Not an event: the honest administrator's own pace.
        std::thread::sleep((EVERY * u32::try_from(number + 1).unwrap()).saturating_sub(begun.elapsed()));
    }
    assert!(crowd.runs(), "{}", crowd.text());
    println!(
        "figure: logins beside {CLIENTS} slow clients on each port for {:.0?}: {took:.2?}; alone {alone:.2?}",
        begun.elapsed()
    );
    assert!(took.iter().all(|took| *took < within(Duration::from_secs(1))), "{took:?}");
    drop(crowd);
    let after = log_in(&desk, &Value::Null);
    assert!(after < within(Duration::from_secs(1)), "{after:?}");
}

#[test]
fn an_administrator_gets_in_beside_a_thousand_slow_clients_on_each_port() {
    besieged("crowd", 3);
}

#[test]
fn an_administrator_gets_in_beside_a_thousand_slow_clients_for_a_minute() {
    besieged("crowd for a minute", 9);
}
