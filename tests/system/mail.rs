//! What happens is told by mail to aiosmtpd: in order, once each, by STARTTLS with a login, to a server that the setting trusts; and
//! no text in it does more than be read.

use crate::events::{happen, last, tell, telling, trial, until};
use drawbridge_bus::bridge::{SecretText, Verification};
use drawbridge_bus::notify::{Least, MailNotices, MailSecurity, NoticeSecrets, Notices, Receiver};
use drawbridge_bus::support::Target;
use drawbridge_bus::{Reply, Role};
use drawbridge_lab::net::{NamespaceConfig, Network, Program};
use drawbridge_lab::{Lab, NicModel};
use drawbridge_tests::{Image, Site, SitePlan};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::Path;

const SETTINGS: &str = r#"{"interfaces": [
    {"name": "management", "at": {"port": "{management}"}, "roles": ["management"],
     "ipv4": {"static": {"address": "10.0.2.20/24"}}, "ipv6": "off"}]}"#;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 5);
const PORT: u16 = 587;
/// Notes each mail as a line of JSON; it takes this login only, and that over TLS only.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/lib/audit/tests/aiosmtpd/server.py");
const PASSWORD: &str = "correct horse \"\\";

/// A name that would be markup.
const MARKUP: &str = "<b onclick=alert(2)>=?utf-8?q?bold?=";
/// One that would be markup, an end of a line, another header and an order to a terminal.
const EVIL: &str =
    "<img src=x onerror=alert(1)>\r\nBcc: eve@evil.example\r\n\r\n.\r\n\u{1b}]0;mine\u{7}\u{1b}[2J\u{9b}31m";

/// A root, and in the folder what the server needs to show a certificate by it.
fn certificates(folder: &Path) -> Vec<u8> {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "Root of the tests");
    let root_key = KeyPair::generate().unwrap();
    let root_certificate = root.self_signed(&root_key).unwrap();
    let leaf = CertificateParams::new(vec![SERVER.to_string()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
    std::fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    root_certificate.der().to_vec()
}

/// Has the appliance write to anna by this server.
fn write_to_anna(site: &Site, verification: Verification) {
    let mail = MailNotices {
        server: Target { host: SERVER.to_string().parse().unwrap(), port: PORT },
        security: MailSecurity::StartTls,
        verification,
        user: Some("sa".to_owned()),
        from: "sa@box1.example".to_owned(),
        to: vec!["anna@example.com".to_owned()],
        least: Least::Notice,
    };
    let password = SecretText::new(PASSWORD.to_owned().into());
    let secrets = NoticeSecrets { array: None, mail: Some(password) };
    tell(site, Notices { mail: Some(mail), ..Notices::default() }, secrets);
}

/// After a mail the next one waits minutes for company: another courier, after this one's death, sends at once whatever waits.
fn goes_on(site: &Site) {
    site.kill(Role::Courier, 0);
    site.says("the courier role was ended by signal SIGKILL");
    let now = last(site);
    until(site, Receiver::Mail, "the mail server has all", |state| state.settled >= now);
}

/// The mails that the server has taken.
fn mails(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'m>(mail: &'m Value, field: &str) -> &'m str {
    mail[field].as_str().unwrap_or_else(|| panic!("no {field} in {mail}"))
}

#[test]
fn what_happens_reaches_people_by_mail_in_order_once_each_from_a_trusted_server_only_and_inert() {
    let lab = Lab::new("mail");
    let management = Network::new(&lab, "management").unwrap();
    let office = management.namespace("office", &NamespaceConfig::new().ipv4(SERVER, 24)).unwrap();
    let root = certificates(lab.folder());
    let file = |name: &str| lab.folder().join(name).to_str().unwrap().to_owned();
    let out = lab.folder().join("mails");
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let words =
        [PROGRAM, &SERVER.to_string(), &PORT.to_string(), "starttls", &certificate, &key, &file("mails")];
    let server: Program = office.run("/usr/bin/python3", words).unwrap();
    let ports = vec![("management", NicModel::VirtioNet, &management)];
    let site = Site::boot(&lab, &Image::here(), SitePlan::new(ports).settings(SETTINGS));
    site.has("management", Ipv4Addr::new(10, 0, 2, 20));

    // Who is trusted stands in the setting: by the roots of browsers nobody gets a word.
    write_to_anna(&site, Verification::default());
    let steps = trial(&site, EVIL, Receiver::Mail, None);
    assert!(steps.iter().any(|step| !step.worked), "{steps:#?}");
    assert_eq!(mails(&out), Vec::<Value>::new(), "{}", server.text());
    let trusted = Verification { built_in: false, uploaded: vec![root], ..Verification::default() };
    write_to_anna(&site, trusted);
    let steps = trial(&site, "anna", Receiver::Mail, Some("otto@example.com"));
    assert!(!steps.is_empty() && steps.iter().all(|step| step.worked), "{steps:#?}");
    let of = |name: &str| {
        let to = serde_json::json!([format!("{name}@example.com")]);
        mails(&out).into_iter().filter(|mail| mail["to"] == to).collect::<Vec<_>>()
    };
    let tried = of("otto");
    assert!(matches!(&tried[..], [one] if text(one, "subject").contains("Test of")), "{tried:#?}");
    // What was set and tried is told, too.
    goes_on(&site);

    for number in 0..5 {
        happen(&site, &format!("first {number}"));
    }
    // A text that is no line is nothing that the console has written down; markup is a text like others.
    assert!(matches!(site.ask(Role::Session, &telling(EVIL)), Reply::NotTaken(_)));
    happen(&site, MARKUP);
    goes_on(&site);
    for number in 0..5 {
        happen(&site, &format!("second {number}"));
    }
    goes_on(&site);

    assert_eq!(of("otto").len(), 1);
    let all = of("anna");
    assert_eq!(all.len() + 1, mails(&out).len(), "nobody else is written to");
    let mut body = String::new();
    for mail in &all {
        assert_eq!((text(mail, "user"), text(mail, "from")), ("sa", "sa@box1.example"));
        // What is text is shown as text, and neither ends a line of its own nor steers a terminal.
        assert_eq!(text(mail, "type"), "text/plain");
        let headers = mail["headers"].as_array().unwrap();
        assert!(!headers.is_empty() && headers.iter().all(|name| name != "Bcc"), "{mail}");
        assert!(!text(mail, "subject").contains(char::is_control), "{mail}");
        assert!(
            text(mail, "body").lines().all(|line| !line.contains(char::is_control) && line != "."),
            "{mail}"
        );
        body.push_str(text(mail, "body"));
    }
    let names = (0..5).map(|n| format!("first {n}"));
    let names = names.chain([MARKUP.to_owned()]).chain((0..5).map(|n| format!("second {n}")));
    let mut from = 0;
    for name in names {
        // A mail of one event has its sentence in the subject, too; in the bodies it stands once.
        assert_eq!(body.matches(&name).count(), 1, "{name} once: {body}");
        let at = body.find(&name).unwrap();
        assert!(at > from, "{name} in its order: {body}");
        from = at;
    }
    assert!(body.contains("<img src=x onerror=alert(1)>"), "who has tried it is named: {body}");
    assert!(!body.contains(PASSWORD) && !site.machine.serial().text().contains(PASSWORD));
    assert!(server.runs(), "{}", server.text());
    assert!(all.len() >= 2, "{all:#?}");
    println!("figure: 11 events in {} mails", all.len());
}
