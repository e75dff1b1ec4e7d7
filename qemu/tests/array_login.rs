//! The appliance's client of the array: against the simulated array, which the vendor's own client has checked
//! (`array.rs`), and against a server that is no array and not ours (`strangers/stranger.py`).
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_array as client;
use drawbridge_array::{
    Address, CertificateFailure, LoginError, Password, Person, Plain, Stranger, TlsFailure, Token, Trust,
    Unreachable, UserName,
};
use drawbridge_lab::array::{Fault, Order, Role};
use drawbridge_lab::net::Program;
use drawbridge_lab::{Array, ArrayConfig, Lab, seconds};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const HERE: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
const PASSWORD: &str = "correct horse \"\u{1f40e}\\";

struct Setting {
    array: Array,
    runtime: tokio::runtime::Runtime,
    _lab: Lab,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn setting(name: &str) -> Setting {
    let lab = Lab::new(name);
    let array = Array::start(&ArrayConfig::new(lab.folder())).unwrap();
    array.user("anna", PASSWORD, &[Role::Admin]);
    Setting { array, runtime: runtime(), _lab: lab }
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn password(text: &str) -> Password {
    Password::parse(text.to_owned().into()).unwrap()
}

/// A client of whoever is at a port of this machine.
fn client_at(host: &str, port: u16, trust: Trust) -> client::Array {
    let address = Address { port, ..Address::parse(host).unwrap() };
    client::Array::new(address, trust, Arc::new(Plain)).unwrap()
}

impl Setting {
    fn client(&self, trust: Trust) -> client::Array {
        client_at("box1.lab", self.array.address().port(), trust)
    }

    fn pinned(&self) -> client::Array {
        self.client(Trust::Pin(self.array.fingerprint()))
    }

    fn login(&self, name: &str, text: &str) -> Result<Person, LoginError> {
        let told = self.runtime.block_on(self.pinned().login(&HERE, &user(name), &password(text)));
        if let Err(error) = &told {
            assert!(!format!("{error} {error:?} {}", error.remedy()).contains(text), "{error}");
        }
        told
    }

    fn who(&self, token: &str) -> Result<Person, LoginError> {
        self.runtime.block_on(self.pinned().who(&HERE, &Token::parse(token).unwrap()))
    }
}

#[test]
fn an_administrator_is_known_by_his_password_and_no_session_is_left() {
    let setting = setting("an administrator");
    let anna = setting.login("anna", PASSWORD).unwrap();
    assert_eq!((anna.name.as_str(), &anna.roles[..]), ("anna", &[client::Role::Admin][..]));
    assert!(anna.may_connect());
    assert_eq!((setting.array.logins(), setting.array.sessions()), (1, 0));
}

#[test]
fn whoever_is_no_administrator_may_look_and_not_connect() {
    let setting = setting("other roles");
    for role in [Role::PoolAdmin, Role::ReadOnly, Role::Infinidat, Role::Technician] {
        setting.array.user("eva", "secret", &[role]);
        assert!(!setting.login("eva", "secret").unwrap().may_connect(), "{role:?}");
    }
}

#[test]
fn a_wrong_password_and_a_locked_user_are_told_apart() {
    let setting = setting("refusals");
    assert_eq!(setting.login("anna", "guessed"), Err(LoginError::WrongCredentials));
    assert_eq!(setting.login("nobody", PASSWORD), Err(LoginError::WrongCredentials));
    setting.array.obey(Order::LockAfter(Some(2))).unwrap();
    assert_eq!(setting.login("anna", "guessed"), Err(LoginError::WrongCredentials));
    let locked = setting.login("anna", PASSWORD).unwrap_err();
    assert!(matches!(&locked, LoginError::Locked(words) if words == "this user is locked"), "{locked}");
    assert!(!locked.is_about_the_array());
    assert_eq!(setting.array.sessions(), 0);
}

#[test]
fn who_comes_by_single_sign_on_is_known_by_his_session_which_goes_on() {
    let setting = setting("single sign-on");
    let token = setting.array.sso("sara", &[Role::Admin]).unwrap();
    assert!(password("SSO").is_sso() && !password("sso").is_sso());
    assert_eq!(setting.login("sara", "SSO"), Err(LoginError::WrongCredentials), "SSO is no password");
    for _ in 0..2 {
        let sara = setting.who(&token).unwrap();
        assert!(sara.name == "sara" && sara.may_connect());
    }
    assert_eq!(setting.array.sessions(), 1);
    assert_eq!(setting.who("0123456789ABCDEF"), Err(LoginError::UnknownSession));
    setting.array.obey(Order::Forget).unwrap();
    assert_eq!(setting.who(&token), Err(LoginError::UnknownSession));
}

#[test]
fn the_certificate_that_was_looked_at_is_pinned_and_no_other_gets_a_password() {
    let setting = setting("a pinned certificate");
    let address = Address { port: setting.array.address().port(), ..Address::parse("any.name").unwrap() };
    let shown = setting.runtime.block_on(client::probe(&address, &HERE, &Plain)).unwrap();
    assert_eq!(&shown.der[..], setting.array.certificate_der());
    assert_eq!((shown.subject.as_str(), shown.names.as_str()), ("CN=box1.lab", "box1.lab, 127.0.0.1"));
    let trust = Trust::Pin(shown.sha256);
    let pinned = client_at("any.name", address.port, trust);
    assert!(setting.runtime.block_on(pinned.login(&HERE, &user("anna"), &password(PASSWORD))).is_ok());

    setting.array.forge(true);
    let (logins, requests) = (setting.array.logins(), setting.array.requests());
    let forged = setting.login("anna", PASSWORD).unwrap_err();
    let LoginError::OtherCertificate { pinned, shown } = &forged else { panic!("{forged}") };
    assert_eq!((*pinned, shown.sha256), (setting.array.fingerprint(), setting.array.forged_fingerprint()));
    let said = forged.to_string();
    assert!(said.contains(&client::fingerprint(pinned)) && said.contains(&shown.fingerprint()), "{said}");
    assert!(forged.is_about_the_array());
    assert_eq!((setting.array.logins(), setting.array.requests()), (logins, requests), "it was asked");
}

#[test]
fn an_uploaded_certificate_is_taken_and_no_other() {
    let setting = setting("an uploaded certificate");
    let trust = Trust::from_pem(setting.array.certificate_pem().as_bytes()).unwrap();
    let login = || {
        setting.runtime.block_on(setting.client(trust.clone()).login(
            &HERE,
            &user("anna"),
            &password(PASSWORD),
        ))
    };
    assert!(login().is_ok());
    setting.array.forge(true);
    let forged = login().unwrap_err();
    let issuer = CertificateFailure::UntrustedIssuer {
        subject: "CN=box1.lab".to_owned(),
        issuer: "CN=box1.lab".to_owned(),
    };
    assert_eq!(forged, LoginError::Certificate(Box::new(issuer)));
}

#[test]
fn an_array_that_is_down_is_no_wrong_password_and_is_asked_again_when_it_is_up() {
    let setting = setting("an array that is down");
    setting.array.open(false).unwrap();
    let down = setting.login("anna", PASSWORD).unwrap_err();
    assert_eq!(down, LoginError::Unreachable(Unreachable::Refused));
    assert!(down.is_about_the_array());
    setting.array.open(true).unwrap();
    assert!(setting.login("anna", PASSWORD).is_ok());
    let nowhere = setting.runtime.block_on(setting.pinned().login(&[], &user("anna"), &password(PASSWORD)));
    assert_eq!(nowhere, Err(LoginError::Unreachable(Unreachable::NoAddress)));
    // The second address of the name is as good.
    let two = [Ipv4Addr::new(127, 0, 0, 2).into(), HERE[0]];
    assert!(
        setting.runtime.block_on(setting.pinned().login(&two, &user("anna"), &password(PASSWORD))).is_ok()
    );
}

#[test]
fn the_arrays_own_faults_are_known_as_such() {
    let setting = setting("faults");
    setting.array.fault(Fault::Status(503));
    let fault = setting.login("anna", PASSWORD).unwrap_err();
    assert!(matches!(fault, LoginError::Fault { status: 503, .. }) && fault.is_about_the_array(), "{fault}");
    for (fault, told) in [
        (Fault::Page, Stranger::NotJson("text/html".to_owned(), 200)),
        (Fault::Garbage, Stranger::OtherJson(200)),
        (Fault::Endless, Stranger::TooLong(256)),
    ] {
        setting.array.fault(fault);
        assert_eq!(setting.login("anna", PASSWORD), Err(LoginError::NotAnArray(told)));
    }
    setting.array.fault(Fault::Slow(Duration::from_millis(700)));
    assert!(setting.login("anna", PASSWORD).is_ok(), "slow is not down");
}

#[test]
fn an_array_that_does_not_answer_is_waited_for_15_s_and_no_longer() {
    let setting = setting("no answer");
    setting.array.fault(Fault::Slow(Duration::from_hours(1)));
    let began = Instant::now();
    assert_eq!(setting.login("anna", PASSWORD), Err(LoginError::Late(client::WHOLE)));
    assert!(began.elapsed() >= client::WHOLE && began.elapsed() < client::WHOLE + seconds(10));
}

#[test]
fn approval_is_given_once_and_a_session_that_is_forgotten_in_between_is_no_failure() {
    let setting = setting("approval");
    setting.array.obey(Order::Approval(true)).unwrap();
    assert!(setting.login("anna", PASSWORD).is_ok());
    assert_eq!((setting.array.logins(), setting.array.sessions()), (1, 0));
    setting.array.obey(Order::ForgetAfter(Some(0))).unwrap();
    assert!(setting.login("anna", PASSWORD).is_ok());
}

/// A certificate, and its key, signed by a root.
struct Identity {
    root: String,
    leaf_sha256: [u8; 32],
    certificate: String,
    key: String,
}

fn identity(name: &str, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Identity {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "The Customer's Root");
    let root_key = KeyPair::generate().unwrap();
    let signed = root.self_signed(&root_key).unwrap();
    let mut leaf = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate.der());
    Identity {
        root: signed.pem(),
        leaf_sha256: digest.as_ref().try_into().unwrap(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

/// Python's server.
struct Foreign {
    program: Program,
    port: u16,
    lab: Lab,
}

impl Foreign {
    fn start(name: &str, identity: Option<&Identity>) -> Self {
        let lab = Lab::new(name);
        let mut command = Command::new("python3");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/strangers/stranger.py"));
        if let Some(identity) = identity {
            for (name, text) in [("c.pem", &identity.certificate), ("k.pem", &identity.key)] {
                let path = lab.folder().join(name);
                fs::write(&path, text).unwrap();
                command.arg(path);
            }
        }
        let program = Program::of_this_machine(&lab, command).unwrap();
        let line = program.wait_for(" ready", seconds(20)).unwrap();
        let port = line.text.split(' ').nth(1).unwrap().parse().unwrap();
        Self { program, port, lab }
    }

    fn login(&self, host: &str, trust: Trust, name: &str) -> Result<Person, LoginError> {
        assert!(self.lab.folder().is_dir());
        let client = client_at(host, self.port, trust);
        runtime().block_on(client.login(&HERE, &user(name), &password(PASSWORD)))
    }
}

#[test]
fn what_is_no_array_is_known_by_its_answers() {
    let identity = identity("box1.lab", |_| {});
    let foreign = Foreign::start("no array", Some(&identity));
    let login =
        |deed: &str| foreign.login("box1.lab", Trust::from_pem(identity.root.as_bytes()).unwrap(), deed);
    let html = |status| Stranger::NotJson("text/html".to_owned(), status);
    for (deed, told) in [
        ("page", html(200)),
        ("guarded", html(401)),
        ("elsewhere", Stranger::Redirect(302)),
        ("other", Stranger::OtherJson(200)),
        ("long_head", Stranger::NotHttp),
        ("many_heads", Stranger::NotHttp),
        ("long_body", Stranger::TooLong(256)),
        ("no_http", Stranger::NotHttp),
        ("bad_chunk", Stranger::NotHttp),
    ] {
        let error = login(deed).unwrap_err();
        assert_eq!(error, LoginError::NotAnArray(told), "{deed}");
        assert!(error.is_about_the_array());
    }
    for deed in ["closes", "half"] {
        assert_eq!(login(deed), Err(LoginError::Unreachable(Unreachable::Cut)), "{deed}");
    }
    assert_eq!(login("locked"), Err(LoginError::Locked("this is TOO_MANY_LOGINS".to_owned())));
}

#[test]
fn approval_that_is_asked_for_again_is_an_error_after_two_questions() {
    let identity = identity("box1.lab", |_| {});
    let foreign = Foreign::start("approval for ever", Some(&identity));
    let trust = Trust::from_pem(identity.root.as_bytes()).unwrap();
    let told = foreign.login("box1.lab", trust, "approval");
    assert_eq!(told, Err(LoginError::ApprovalRequired("this is APPROVAL_REQUIRED".to_owned())));
    let asked: Vec<_> =
        foreign.program.text().lines().filter(|line| line.starts_with("asked")).map(str::to_owned).collect();
    assert_eq!(asked, ["asked /api/rest/users/login", "asked /api/rest/users/login?approved=true"]);
}

#[test]
fn a_session_is_ended_over_another_connection_and_whatever_else_was_said_with_it() {
    let identity = identity("box1.lab", |_| {});
    let foreign = Foreign::start("sessions", Some(&identity));
    let trust = || Trust::from_pem(identity.root.as_bytes()).unwrap();
    assert!(foreign.login("box1.lab", trust(), "one_each").unwrap().may_connect());
    foreign.program.wait_for("logout JSESSIONID=abc123", seconds(10)).unwrap();
    let told = foreign.login("box1.lab", trust(), "session_without_person");
    assert_eq!(told, Err(LoginError::NotAnArray(Stranger::OtherJson(200))));
    foreign.program.wait_for("logout JSESSIONID=abc124", seconds(10)).unwrap();
}

#[test]
fn an_uploaded_authority_vouches_for_names_and_dates() {
    let wrong_name = identity("other.lab", |_| {});
    let foreign = Foreign::start("a wrong name", Some(&wrong_name));
    let trust = Trust::from_pem(wrong_name.root.as_bytes()).unwrap();
    let names = "other.lab".to_owned();
    let failure = CertificateFailure::WrongName { wanted: "box1.lab".to_owned(), names };
    let told = foreign.login("box1.lab", trust.clone(), "one_each");
    assert_eq!(told, Err(LoginError::Certificate(Box::new(failure))));
    assert!(foreign.login("other.lab", trust, "one_each").is_ok());
    // A pin says who it is by itself.
    assert!(foreign.login("box1.lab", Trust::Pin(wrong_name.leaf_sha256), "one_each").is_ok());

    let old = identity("box1.lab", |leaf| leaf.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let foreign = Foreign::start("an old certificate", Some(&old));
    let told = foreign.login("box1.lab", Trust::from_pem(old.root.as_bytes()).unwrap(), "one_each");
    let Err(LoginError::Certificate(failure)) = told else { panic!("{told:?}") };
    assert!(matches!(*failure, CertificateFailure::Expired { .. }), "{failure}");
}

#[test]
fn a_server_without_tls_gets_no_password() {
    let foreign = Foreign::start("no TLS", None);
    let told = foreign.login("box1.lab", Trust::Pin([0; 32]), "page");
    assert_eq!(told, Err(LoginError::Tls(TlsFailure::NotTls)));
    let address = Address { port: foreign.port, ..Address::parse("box1.lab").unwrap() };
    let probed = runtime().block_on(client::probe(&address, &HERE, &Plain));
    assert_eq!(probed, Err(LoginError::Tls(TlsFailure::NotTls)));
}
