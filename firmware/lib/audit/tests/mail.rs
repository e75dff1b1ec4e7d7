//! Events by mail to aiosmtpd, a mail server that is not ours: with STARTTLS, TLS from the start and neither, with a login; and
//! what comes of it is read by Python's own parser.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod common;

use common::{Bench, Peer, certificates, free_port, paused, python, read_until, trust, until, way};
use drawbridge_audit::event::{Draft, Health, Long, Part, What, Who};
use drawbridge_audit::sink::Sink as _;
use drawbridge_audit::sink::mail::{
    HostName, Letterhead, Login, Mail, MailConfig, MailError, MailSecurity, Mailbox, Step, Tried, trial,
};
use drawbridge_dial::{CertificateDer, Trust};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const PASSWORD: &str = "correct horse \"\\";

struct Server {
    folder: TempDir,
    port: u16,
    root: CertificateDer<'static>,
    _peer: Peer,
}

impl Server {
    fn start(mode: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let root = certificates(folder.path());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aiosmtpd/server.py");
        let arguments = [
            script.to_str().unwrap(),
            "127.0.0.1",
            &port.to_string(),
            mode,
            "certificate.pem",
            "key.pem",
            "out",
        ];
        let peer = Peer::start(&python(), &arguments, port, folder.path());
        Self { folder, port, root, _peer: peer }
    }

    fn config(&self, security: MailSecurity, login: Option<&str>, to: &[&str]) -> MailConfig {
        MailConfig {
            way: way("mail.test", self.port),
            security,
            login: login.map(|password| Login::new("sa".to_owned(), password.to_owned().into()).unwrap()),
            head: Letterhead {
                from: Mailbox::parse("sa@box1.example").unwrap(),
                system: "box1".to_owned().try_into().unwrap(),
                serial: "1001".to_owned().try_into().unwrap(),
                host: HostName::of("box1-sa.example"),
            },
            to: to.iter().map(|one| Mailbox::parse(one).unwrap()).collect(),
            gather: Duration::from_millis(300),
        }
    }

    fn start_tls(&self) -> MailSecurity {
        MailSecurity::StartTls(trust(&self.root))
    }

    async fn mails(&self, count: usize) -> Vec<Value> {
        read_until(&self.folder.path().join("out"), |text| {
            let all: Vec<_> = text
                .split_inclusive('\n')
                .filter_map(|line| serde_json::from_str(line.trim_end()).ok())
                .collect();
            (all.len() >= count).then_some(all)
        })
        .await
    }

    /// How many there are now.
    fn count(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default().lines().count()
    }
}

fn failed(text: &str) -> Draft {
    let what = What::Hardware { part: Part::Disk, health: Health::Failed, text: Long::of(text) };
    Draft::new(what, Who::device())
}

#[tokio::test]
async fn events_arrive_by_starttls_with_a_login_and_many_are_one_mail() {
    let server = Server::start("starttls");
    let mut bench = Bench::new();
    let evil = "sda \u{fc}ber 90 \u{b0}C\r\nBcc: eve@evil.example\r\n\r\n.\r\nQUIT";
    bench.add(failed(evil));
    let config = server.config(server.start_tls(), Some(PASSWORD), &["anna@example.com", "ops@example.com"]);
    let (queue, watch) = bench.queue("mail", Mail::new(config).unwrap());
    let run = tokio::spawn(queue.run());
    until(&watch, |state| state.settled == 1).await;
    let first = &server.mails(1).await[0];
    assert_eq!(first["user"], "sa");
    assert_eq!(first["from"], "sa@box1.example");
    assert_eq!(first["to"], serde_json::json!(["anna@example.com", "ops@example.com"]));
    let subject = first["subject"].as_str().unwrap();
    assert!(
        subject.starts_with("[box1] ERROR: Hardware, disk: has FAILED: sda \u{fc}ber 90 \u{b0}C??Bcc: eve@"),
        "{subject}"
    );
    assert!(first["body"].as_str().unwrap().contains("sda \u{fc}ber 90 \u{b0}C??Bcc"), "{first}");
    assert!(first["headers"].as_array().unwrap().iter().all(|name| name != "Bcc"));
    // What comes after a mail waits for company.
    for number in 0..30 {
        bench.add(paused(&format!("s{number}")));
    }
    until(&watch, |state| state.settled == 31).await;
    run.abort();
    let all = server.mails(2).await;
    assert_eq!(all.len(), 2);
    assert!(
        all[1]["subject"].as_str().unwrap().contains("30 events, the worst INFO"),
        "{}",
        all[1]["subject"]
    );
    let body = all[1]["body"].as_str().unwrap();
    assert!((0..30).all(|number| body.contains(&format!("Session 's{number}' was paused"))), "{body}");
    assert_ne!(all[0]["id"], all[1]["id"]);
}

#[tokio::test]
async fn events_arrive_by_tls_from_the_start_and_without_tls_where_that_is_chosen() {
    for (mode, login) in [("implicit", Some(PASSWORD)), ("plain", None)] {
        let server = Server::start(mode);
        let mut bench = Bench::new();
        let security = match mode {
            "implicit" => MailSecurity::Implicit(trust(&server.root)),
            _ => MailSecurity::Plain,
        };
        let mut mail = Mail::new(server.config(security, login, &["anna@example.com"])).unwrap();
        let kept = bench.add(failed("sda"));
        let (progress, failure) = mail.deliver(&[kept]).await;
        assert_eq!((progress.settled, failure), (1, None), "{mode}");
        assert_eq!(server.mails(1).await.len(), 1);
    }
}

fn steps(tried: &[Tried]) -> Vec<(Step, bool)> {
    tried.iter().map(|one| (one.step, one.failure.is_none())).collect()
}

#[tokio::test]
async fn a_trial_to_any_recipient_tells_what_each_step_came_to() {
    let server = Server::start("starttls");
    let anna = Mailbox::parse("anna@example.com").unwrap();
    let well = server.config(server.start_tls(), Some(PASSWORD), &["ops@example.com"]);
    let done = [
        (Step::Connection, true),
        (Step::Tls, true),
        (Step::Greeting, true),
        (Step::Login, true),
        (Step::Sender, true),
        (Step::Recipient, true),
        (Step::Message, true),
    ];
    let tried = trial(&well, &anna).await.unwrap();
    assert_eq!(steps(&tried), done, "{tried:?}");
    let mail = &server.mails(1).await[0];
    assert_eq!(mail["to"], serde_json::json!(["anna@example.com"]));
    assert!(mail["subject"].as_str().unwrap().contains("Test of the appliance's notifications"));

    let wrong = server.config(server.start_tls(), Some("guessed"), &["ops@example.com"]);
    let tried = trial(&wrong, &anna).await.unwrap();
    assert_eq!(steps(&tried)[3..], [(Step::Login, false)], "{tried:?}");
    assert!(!format!("{tried:?}").contains("guessed"));

    let tried = trial(&well, &Mailbox::parse("nobody@example.com").unwrap()).await.unwrap();
    assert_eq!(steps(&tried)[5..], [(Step::Recipient, false)], "{tried:?}");
    let failure = tried[5].failure.as_ref().unwrap();
    assert!(failure.what.as_str().contains("no such user here"), "{failure}");

    let other = certificates(TempDir::new().unwrap().path());
    let stranger = server.config(MailSecurity::StartTls(trust(&other)), Some(PASSWORD), &["ops@example.com"]);
    let tried = trial(&stranger, &anna).await.unwrap();
    assert_eq!(steps(&tried), [(Step::Connection, true), (Step::Tls, false)], "{tried:?}");

    let nobody = MailConfig { way: way("mail.test", free_port()), ..well };
    let tried = trial(&nobody, &anna).await.unwrap();
    assert_eq!(steps(&tried), [(Step::Connection, false)], "{tried:?}");
    assert_eq!(server.count(), 1, "none of those was sent");
}

#[tokio::test]
async fn without_the_tls_that_is_wanted_neither_password_nor_mail_is_sent() {
    // A server that offers no STARTTLS, or from whose offer somebody has taken it.
    let server = Server::start("plain");
    let mut bench = Bench::new();
    let kept = bench.add(failed("sda"));
    let config = server.config(server.start_tls(), Some(PASSWORD), &["anna@example.com"]);
    let (progress, failure) = Mail::new(config).unwrap().deliver(std::slice::from_ref(&kept)).await;
    let failure = failure.unwrap();
    assert_eq!(progress.settled, 0);
    assert!(failure.what.as_str().contains("does not offer STARTTLS"), "{failure}");
    let config =
        server.config(MailSecurity::Implicit(trust(&server.root)), Some(PASSWORD), &["anna@example.com"]);
    assert!(Mail::new(config).unwrap().deliver(&[kept]).await.1.is_some());
    assert_eq!(server.count(), 0);
    let config = server.config(MailSecurity::Plain, Some(PASSWORD), &["anna@example.com"]);
    assert_eq!(Mail::new(config).unwrap_err(), MailError::PasswordWithoutTls);
    let config = server.config(MailSecurity::StartTls(Trust::default()), None, &[]);
    assert_eq!(Mail::new(config).unwrap_err(), MailError::Recipients);
}

#[tokio::test]
async fn a_recipient_who_is_refused_keeps_the_mail_from_no_other_and_is_told() {
    let server = Server::start("starttls");
    let mut bench = Bench::new();
    let kept = bench.add(failed("sda"));
    let to = ["nobody@example.com", "anna@example.com"];
    let config = server.config(server.start_tls(), Some(PASSWORD), &to);
    let (progress, failure) = Mail::new(config).unwrap().deliver(&[kept]).await;
    assert_eq!(progress.settled, 1, "it is not sent to the others again");
    assert!(failure.unwrap().what.as_str().starts_with("1 of 2 recipients were refused"));
    assert_eq!(server.mails(1).await[0]["to"], serde_json::json!(["anna@example.com"]));
}

#[tokio::test]
async fn a_server_that_does_not_end_to_talk_is_left() {
    let server = Server::start("shout");
    let mut bench = Bench::new();
    let kept = bench.add(failed("sda"));
    for security in [server.start_tls(), MailSecurity::Plain] {
        let config = server.config(security, None, &["anna@example.com"]);
        let (_, failure) = Mail::new(config).unwrap().deliver(std::slice::from_ref(&kept)).await;
        let failure = failure.unwrap();
        assert!(failure.what.as_str().contains("more than it may"), "{failure}");
    }
}
