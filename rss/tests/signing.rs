//! The vendor's signing key, and what the commands sign with it: the appliance's side takes it, and the audit log has it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use drawbridge_identity::challenge::Purpose;
use drawbridge_identity::desk::{Desk, Open};
use drawbridge_identity::grant::{Clock, Grant, GrantRefusal};
use drawbridge_identity::vendor::VendorKeys;
use drawbridge_identity::{Line, Serial};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const BOOT: Duration = Duration::from_secs(100);
const SESSION: [u8; 32] = [3; 32];

/// A vendor's machine: settings, a data folder and a signing key.
struct Vendor {
    home: tempfile::TempDir,
    keys: VendorKeys,
}

impl Vendor {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(
            home.path().join("rss.toml"),
            format!("data = \"{}\"\n", home.path().join("data").display()),
        )
        .unwrap();
        let mut vendor = Self { home, keys: VendorKeys::default() };
        let made = vendor.rss(&["key", &vendor.path("vendor.pem"), "--name", "Vendor 2026"], "");
        assert!(made.status.success(), "{}", text(&made.stderr));
        vendor.keys = VendorKeys::parse(&text(&made.stdout)).unwrap();
        vendor
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs a command, with what somebody types.
    fn rss(&self, words: &[&str], typed: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rss"))
            .args(words)
            .args(["--config", &self.path("rss.toml")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that does not read has ended, which its status says.
        let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn audit(&self) -> String {
        text(&self.rss(&["audit"], "").stdout)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn asked() -> (Desk, Open) {
    let mut desk = Desk::new(Serial::new("IBOX-1").unwrap());
    let open = desk.ask(SESSION, "192.0.2.1".parse().unwrap(), Purpose::Login, BOOT).unwrap();
    (desk, open)
}

#[test]
fn a_signing_key_is_its_owners_alone_and_never_written_over() {
    let vendor = Vendor::new();
    let path = PathBuf::from(vendor.path("vendor.pem"));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let before = fs::read_to_string(&path).unwrap();
    let again = vendor.rss(&["key", &vendor.path("vendor.pem")], "");
    assert!(!again.status.success() && text(&again.stderr).contains("never written over"));
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    let secret = before.lines().nth(1).unwrap();
    let audit = vendor.audit();
    assert!(audit.contains("make signing key") && !audit.contains(secret), "{audit}");
    // Once others can read it, nothing is signed with it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, open) = asked();
    let words = ["respond", "--key", &vendor.path("vendor.pem"), &open.challenge.text()];
    let refused = vendor.rss(&words, "Grace\ncase 1\n60\n");
    assert!(!refused.status.success() && text(&refused.stderr).contains("chmod 600"));
    assert!(refused.stdout.is_empty());
}

#[test]
fn a_challenge_is_answered_by_one_who_says_who_why_and_how_long() {
    let vendor = Vendor::new();
    let (mut desk, open) = asked();
    // Typed from the telephone, with mistakes that are asked for again.
    let heard = open.challenge.text().to_lowercase().replace('-', " ");
    let typed = format!("{}\n{heard}\n\nGrace Müller\ncase 4711\n481\n60\n", &heard[..heard.len() - 1]);
    let answered = vendor.rss(&["respond", "--key", &vendor.path("vendor.pem")], &typed);
    let shown = text(&answered.stderr);
    assert!(answered.status.success(), "{shown}");
    for part in [
        "System:  IBOX-1",
        "Purpose: login at the console",
        "481 minutes cannot be given",
        "a character is wrong",
    ] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let response = text(&answered.stdout);
    let admitted = desk.answer(&SESSION, Purpose::Login, &response, &vendor.keys, BOOT).unwrap();
    let claims = admitted.claims;
    assert_eq!(
        (claims.who.as_str(), claims.reason.as_str(), claims.minutes.get()),
        ("Grace Müller", "case 4711", 60)
    );
    assert_eq!(admitted.key, Line::new("Vendor 2026").unwrap());
    let audit = vendor.audit();
    let line = audit.lines().find(|line| line.contains(r#""what":"respond""#)).unwrap();
    assert!(line.contains("IBOX-1") && line.contains("Grace Müller") && line.contains("case 4711"), "{line}");
}

#[test]
fn a_challenge_is_answered_without_questions_when_all_is_given() {
    let vendor = Vendor::new();
    let (mut desk, open) = asked();
    let key = vendor.path("vendor.pem");
    let challenge = open.challenge.text();
    let all =
        ["respond", "--key", &key, &challenge, "--who", "Grace", "--reason", "case 1", "--minutes", "30"];
    let answered = vendor.rss(&all, "");
    assert!(answered.status.success(), "{}", text(&answered.stderr));
    desk.answer(&SESSION, Purpose::Login, &text(&answered.stdout), &vendor.keys, BOOT).unwrap();
    // A wrong one is refused at once, and an answer that does not come is not waited for.
    for wrong in
        [&["respond", "--key", &key, "C0000-00000"][..], &all[..4], &[&all[..], &["--case", "x"]].concat()]
    {
        let refused = vendor.rss(wrong, "");
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{wrong:?}");
    }
}

#[test]
fn nothing_is_signed_that_the_audit_log_does_not_take() {
    let vendor = Vendor::new();
    fs::rename(vendor.path("data"), vendor.path("elsewhere")).unwrap();
    fs::write(vendor.path("data"), "no folder").unwrap();
    let (_, open) = asked();
    let (key, challenge) = (vendor.path("vendor.pem"), open.challenge.text());
    let all =
        ["respond", "--key", &key, &challenge, "--who", "Grace", "--reason", "case 1", "--minutes", "30"];
    let refused = vendor.rss(&all, "");
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(text(&refused.stderr).contains(&vendor.path("data")), "{}", text(&refused.stderr));
}

#[test]
fn a_grant_is_signed_for_one_engineer_and_one_system() {
    let vendor = Vendor::new();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "grace", "-f", &vendor.path("grace")])
        .status()
        .unwrap();
    assert!(made.success());
    let (key, engineer) = (vendor.path("vendor.pem"), vendor.path("grace.pub"));
    let words = [
        &["grant", "--key", &key, "--engineer", &engineer, "--serial", "IBOX-1", "--case", "4711"][..],
        &[
            "--minutes",
            "240",
            "--target",
            "node1:22,192.0.2.1:443",
            "--target",
            "[2001:db8::1]:22",
            "--forwards",
        ],
    ]
    .concat();
    let granted = vendor.rss(&words, "");
    assert!(granted.status.success(), "{}", text(&granted.stderr));
    let (grant, _) = Grant::open(&text(&granted.stdout), &vendor.keys).unwrap();
    let targets: Vec<String> = grant.scope.targets.iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["node1:22", "192.0.2.1:443", "[2001:db8::1]:22"]);
    assert!(grant.scope.forwards && !grant.scope.shell && !grant.scope.files);
    assert!(fs::read_to_string(&engineer).unwrap().starts_with(grant.engineer.as_str()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let ours = Serial::new("IBOX-1").unwrap();
    assert_eq!(grant.check(&ours, Clock::About(now)), Ok(()));
    assert_eq!(grant.check(&ours, Clock::About(now - 3600)), Ok(()), "for a clock that is behind");
    assert_eq!(grant.check(&ours, Clock::About(now + 86_500)), Err(GrantRefusal::Expired));
    let later = vendor.rss(&[&words[..], &["--after-hours", "2"]].concat(), "");
    let (later, _) = Grant::open(&text(&later.stdout), &vendor.keys).unwrap();
    assert!(matches!(later.check(&ours, Clock::About(now)), Err(GrantRefusal::NotYet(7000..7300))));
    assert_eq!(later.check(&ours, Clock::About(now + 86_500)), Ok(()));
    assert!(vendor.audit().contains(r#""what":"grant""#));
    // Without a scope, or with a private key in the place of the public one, there is none.
    for wrong in [
        &words[..11],
        &words.iter().map(|word| if *word == engineer { &key } else { *word }).collect::<Vec<_>>(),
    ] {
        let refused = vendor.rss(wrong, "");
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{wrong:?}");
        assert!(!text(&refused.stderr).contains("PRIVATE"));
    }
}
