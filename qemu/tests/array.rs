//! The simulated array, driven by a client that is not ours: infinisdk, the vendor's own, from `PyPI`.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::array::{Fault, HostedArray, Order, Role};
use drawbridge_lab::net::{HostConfig, NamespaceConfig, Network, Program};
use drawbridge_lab::{Array, ArrayConfig, Lab, LabError, https, seconds};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Python with infinisdk, in a folder that later runs use again.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/infinisdk/requirements.txt");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("infinisdk");
        let note = folder.join("requirements.txt");
        let python = folder.join("bin/python");
        if fs::read(&note).ok() == Some(fs::read(&wanted).unwrap()) && python.is_file() {
            return python;
        }
        let run = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new(program);
            let output = command.args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let remedy = "python3 with the package python3-venv is needed, and a way to PyPI";
            assert!(output.status.success(), "{} {arguments:?}: {remedy}:\n{said}", program.display());
        };
        run(Path::new("python3"), &["-m", "venv", "--clear", folder.to_str().unwrap()]);
        let from = wanted.to_str().unwrap();
        let arguments =
            ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r", from];
        run(&python, &arguments);
        // Last, so that a broken installation is begun anew.
        fs::copy(&wanted, &note).unwrap();
        python
    })
}

struct Setting {
    array: Array,
    certificate: PathBuf,
    lab: Lab,
}

fn setting(name: &str) -> Setting {
    let lab = Lab::new(name);
    let array = Array::start(&ArrayConfig::new(lab.folder())).unwrap();
    array.user("anna", "correct horse", &[Role::Admin]);
    array.user("eva", "reads only", &[Role::ReadOnly]);
    let certificate = lab.folder().join("array.pem");
    fs::write(&certificate, array.certificate_pem()).unwrap();
    Setting { array, certificate, lab }
}

impl Setting {
    fn client(&self, deed: &str) {
        let mut command = Command::new(python());
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/infinisdk/client.py"))
            .args([deed, &self.array.address().port().to_string()])
            .arg(&self.certificate)
            // It looks for settings of its user's.
            .env("HOME", self.lab.folder());
        let said = Program::of_this_machine(&self.lab, command).unwrap().finish(seconds(60));
        assert!(said.unwrap_or_else(|error| panic!("{error}")).contains("done"));
    }
}

#[test]
fn the_vendors_client_logs_in_learns_what_is_there_and_posts_events() {
    let setting = setting("the vendor's client");
    setting.client("tour");
    assert_eq!(setting.array.sessions(), 1, "of two logins, one was logged out of");
    let events = setting.array.events();
    assert_eq!(events.len(), 5);
    assert_eq!(events[0]["description_template"], "Support session '{session}' started");
}

#[test]
fn the_vendors_client_is_told_of_a_wrong_password_and_of_a_locked_user() {
    let setting = setting("a wrong password");
    setting.client("wrong");
    setting.array.obey(Order::Lock("anna".to_owned(), true)).unwrap();
    setting.client("locked");
    assert_eq!(setting.array.sessions(), 0);
}

#[test]
fn the_vendors_client_sees_what_a_user_may() {
    setting("roles").client("reader");
}

#[test]
fn the_vendors_client_logs_in_again_when_the_array_has_forgotten_its_session() {
    let setting = setting("forgotten sessions");
    setting.array.obey(Order::ForgetAfter(Some(2))).unwrap();
    setting.client("forgotten");
    assert!(setting.array.logins() > 2, "{}", setting.array.logins());
}

#[test]
fn the_vendors_client_is_asked_for_approval() {
    let setting = setting("approval");
    setting.array.obey(Order::Approval(true)).unwrap();
    setting.client("approval");
    assert_eq!(setting.array.events().len(), 1);
}

#[test]
fn the_vendors_client_takes_faults_for_what_they_are() {
    let setting = setting("faults");
    setting.array.fault(Fault::Status(503));
    setting.client("broken");
    setting.array.obey(Order::Well).unwrap();
    setting.array.forge(true);
    setting.client("forged");
    setting.array.forge(false);
    setting.array.open(false).unwrap();
    setting.client("down");
    setting.array.open(true).unwrap();
    setting.client("reader");
}

#[test]
fn an_array_in_a_namespace_is_told_what_to_do_while_it_runs() {
    let lab = Lab::new("an array in a namespace");
    let network = Network::new(&lab, "array").unwrap();
    let host = network.host(HostConfig::new("host").ipv4([10, 0, 3, 1], 24));
    let address = Ipv4Addr::new(10, 0, 3, 10);
    let namespace = match network.namespace("nodes", &NamespaceConfig::new().ipv4(address, 24)) {
        Err(error @ LabError::Namespace(_)) => return println!("not shown here: {error}"),
        namespace => namespace.unwrap(),
    };
    let program = Path::new(env!("CARGO_BIN_EXE_lab"));
    let array = HostedArray::start(&namespace, program, (address, 443).into(), &["box7.lab"], None).unwrap();
    array.tell("user anna secret ADMIN").unwrap();
    let login = |password: &str| {
        let body = format!(r#"{{"username":"anna","password":"{password}","clientid":"t"}}"#);
        let head = "POST /api/rest/users/login HTTP/1.1\r\nHost: box7.lab\r\nConnection: close\r\n";
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let stream = host.connect((address, 443), seconds(10)).unwrap();
        https::request(stream, "box7.lab", request, seconds(10)).unwrap()
    };
    let page = login("secret");
    assert_eq!((page.status, page.certificate_der.as_slice()), (200, array.certificate_der()));
    assert!(page.header("Set-Cookie").unwrap().starts_with("JSESSIONID="));
    assert_eq!(login("guess").status, 401);
    array.tell("down").unwrap();
    assert!(host.connect((address, 443), seconds(10)).is_err());
    array.tell("up").unwrap();
    array.tell("forge").unwrap();
    assert_ne!(login("secret").certificate_der, array.certificate_der());
    assert!(array.tell("status").unwrap().contains("\"logins\":3"));
    assert!(array.tell("fly").unwrap_err().to_string().contains("no order"));
}
