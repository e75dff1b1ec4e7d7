use super::*;
use drawbridge_bus::bridge::{BridgePath, Verification};
use drawbridge_bus::support::{EngineerKey, GrantRequest, Level, Proof};
use drawbridge_identity::grant::{self, RawScope};
use drawbridge_identity::response::Minutes;
use drawbridge_identity::signer::Signer;

const OURS: &str = "IBOX-1";
const NOW: u64 = 1_795_700_000;
const ENGINEER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH grace@example.org";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI mallory@example.org";

pub(crate) fn signer(name: &str) -> Signer {
    Signer::read(&Signer::generate().unwrap(), Line::new(name).unwrap()).unwrap()
}

pub(crate) fn text(signer: &Signer, change: impl FnOnce(&mut Grant)) -> String {
    let targets = ["Node1.example.org:22", "[2001:db8::1]:443"];
    let raw = RawScope {
        targets: targets.iter().map(|target| grant::Target::parse(target).unwrap()).collect(),
        shell: true,
        files: false,
        forwards: true,
    };
    let mut grant = Grant {
        id: Grant::new_id().unwrap(),
        case: Line::new("CASE-4711").unwrap(),
        engineer: grant::EngineerKey::parse(ENGINEER).unwrap(),
        serial: Serial::new(OURS).unwrap(),
        scope: raw.try_into().unwrap(),
        minutes: Minutes::new(90).unwrap(),
        not_before: NOW - 3600,
        not_after: NOW + 3600,
    };
    change(&mut grant);
    signer.grant(&grant)
}

pub(crate) fn request() -> BridgeRequest {
    let target = |host: &str, port| Target { host: host.parse().unwrap(), port };
    let key = EngineerKey { line: ENGINEER.to_owned(), authority: false, minutes: None };
    BridgeRequest {
        grant: GrantRequest {
            name: "case 4711".to_owned(),
            opener: "anna".to_owned(),
            reason: String::new(),
            level: Level::Direct,
            recording: drawbridge_bus::support::Recording::Strict,
            grace_seconds: drawbridge_bus::support::USUAL_GRACE,
            scope: Scope {
                targets: vec![target("node1.example.org", 22), target("2001:DB8:0::1", 443)],
                shell: true,
                files: false,
                forwards: true,
            },
            minutes: 90,
            proof: Proof::Key(vec![key]),
            sources: Vec::new(),
        },
        secret: None,
        path: BridgePath {
            server: target("rss.example.com", 443),
            tls_name: None,
            verification: Verification::default(),
            hops: Vec::new(),
            proxy: None,
            interface: None,
            enrolment: None,
        },
    }
}

struct Office {
    approvals: Approvals,
    folder: tempfile::TempDir,
}

impl Office {
    fn new(built_in: &[&Signer]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { approvals: Approvals::open(folder.path(), keys(built_in)), folder }
    }

    fn again(&mut self, built_in: &[&Signer]) {
        self.approvals = Approvals::open(self.folder.path(), keys(built_in));
    }

    fn code(&self, text: &str) -> String {
        self.approvals
            .look(text, OURS, Clock::About(NOW), None)
            .map_or_else(|fault| fault.code, |_| String::new())
    }

    fn take(&mut self, text: &str) -> Result<(), NotApproved> {
        let approved = self.approvals.approve(text, &request(), OURS, Clock::About(NOW))?;
        self.approvals.take(&approved, Clock::About(NOW))
    }
}

pub(crate) fn keys(signers: &[&Signer]) -> VendorKeys {
    VendorKeys::new(signers.iter().map(|signer| signer.public().clone()).collect()).unwrap()
}

#[test]
fn a_grant_opens_one_session_and_is_known_after_a_restart_and_with_a_damaged_file() {
    let vendor = signer("2026");
    let mut office = Office::new(&[&vendor]);
    let (one, other) = (text(&vendor, |_| {}), text(&vendor, |_| {}));
    assert_eq!(office.take(&one), Ok(()));
    assert_eq!(office.code(&one), "grant-used");
    assert!(matches!(office.take(&one), Err(NotApproved::Refused(fault)) if fault.code == "grant-used"));
    office.again(&[&vendor]);
    assert_eq!((office.code(&one).as_str(), office.code(&other).as_str()), ("grant-used", ""));
    std::fs::write(office.folder.path().join("used-grants.json"), "damaged").unwrap();
    office.again(&[&vendor]);
    assert_eq!((office.code(&one).as_str(), office.code(&other).as_str()), ("grant-used", ""));
    // Whose session it opened may look at it while that is open.
    let id = Grant::open(&one, &keys(&[&vendor])).unwrap().0.id;
    let terms = office.approvals.look(&one, OURS, Clock::About(NOW), Some(&id)).unwrap();
    assert!(terms.is_open && terms.case == "CASE-4711" && terms.signer == "2026" && terms.minutes == 90);
}

#[test]
fn a_use_that_cannot_be_kept_opens_nothing() {
    let vendor = signer("2026");
    let mut office = Office::new(&[&vendor]);
    let one = text(&vendor, |_| {});
    let folder = office.folder.path().to_owned();
    office.approvals.store = Store::at(folder.join("is-not-there"));
    assert!(matches!(office.take(&one), Err(NotApproved::Refused(fault)) if fault.code == "grant-not-kept"));
    office.approvals.store = Store::at(folder);
    assert_eq!(office.take(&one), Ok(()), "it was not used");
}

#[test]
fn each_grant_that_does_not_count_is_told_why() {
    let (vendor, stranger) = (signer("2026"), signer("somebody"));
    let office = Office::new(&[&vendor]);
    let code = |text: &str| office.code(text);
    assert_eq!(code(&text(&vendor, |_| {})), "");
    assert_eq!(code(&text(&stranger, |_| {})), "grant-unknown-key");
    assert_eq!(
        code(&text(&vendor, |grant| grant.serial = Serial::new("IBOX-2").unwrap())),
        "grant-other-system"
    );
    assert_eq!(code(&text(&vendor, |grant| grant.not_after = NOW - 1)), "grant-expired");
    assert_eq!(code(&text(&vendor, |grant| grant.not_before = NOW + 60)), "grant-not-yet");
    let right = text(&vendor, |_| {});
    let third = right.lines().nth(2).unwrap();
    let wrong = if third.starts_with('7') { "8" } else { "7" };
    let damaged = right.replace(third, &format!("{wrong}{}", &third[1..]));
    let fault = office.approvals.look(&damaged, OURS, Clock::About(NOW), None).unwrap_err();
    assert_eq!(fault.code, "grant-damaged");
    assert!(fault.sentence.contains("line 2, group 1"), "{}", fault.sentence);
    assert_eq!(code(&"A".repeat(GRANT_BYTES + 1)), "grant-damaged");
    // A clock that was lost is never ahead.
    let later = text(&vendor, |grant| grant.not_before = NOW + 60);
    assert!(office.approvals.look(&later, OURS, Clock::NotBefore(NOW), None).is_ok());
    let over = text(&vendor, |grant| grant.not_after = NOW - 1);
    assert_eq!(
        office.approvals.look(&over, OURS, Clock::NotBefore(NOW), None).unwrap_err().code,
        "grant-expired"
    );
}

#[test]
fn nothing_is_opened_that_the_grant_does_not_say() {
    let vendor = signer("2026");
    let office = Office::new(&[&vendor]);
    let text = text(&vendor, |_| {});
    let beyond = |change: &dyn Fn(&mut BridgeRequest)| {
        let mut request = request();
        change(&mut request);
        match office.approvals.approve(&text, &request, OURS, Clock::About(NOW)) {
            Ok(_) => Vec::new(),
            Err(NotApproved::Beyond(errors)) => errors.into_iter().map(|error| error.field).collect(),
            Err(NotApproved::Refused(fault)) => vec![fault.code],
        }
    };
    let key = |line: &str, authority| EngineerKey { line: line.to_owned(), authority, minutes: None };
    assert_eq!(beyond(&|_| {}), Vec::<String>::new());
    for proof in [
        Proof::Secret,
        Proof::Key(vec![key(OTHER, false)]),
        Proof::Key(vec![key(ENGINEER, true)]),
        Proof::Key(vec![key(ENGINEER, false), key(OTHER, false)]),
        Proof::Key(Vec::new()),
    ] {
        let set = |request: &mut BridgeRequest| request.grant.proof = proof.clone();
        assert_eq!(beyond(&set), ["proof.keys"], "{proof:?}");
    }
    assert_eq!(beyond(&|request| request.grant.scope.files = true), ["scope.files"]);
    assert_eq!(beyond(&|request| request.grant.minutes = 91), ["minutes"]);
    let target = |text: &str, port| Target { host: text.parse().unwrap(), port };
    for wrong in
        [target("node1.example.org", 23), target("node2.example.org", 22), target("2001:db8::2", 443)]
    {
        let set = |request: &mut BridgeRequest| request.grant.scope.targets.push(wrong.clone());
        assert_eq!(beyond(&set), ["scope.targets[2]"], "{wrong:?}");
    }
    // Less than it says is the owner's to choose, a secret beside the key too.
    let less = |request: &mut BridgeRequest| {
        request.grant.scope = Scope { targets: Vec::new(), shell: true, files: false, forwards: false };
        request.grant.minutes = 5;
        request.grant.proof = Proof::KeyAndSecret(vec![key(ENGINEER, false)]);
    };
    assert_eq!(beyond(&less), Vec::<String>::new());
}

#[test]
fn what_is_kept_of_used_grants_is_bounded_and_a_clock_that_is_set_back_makes_none_new() {
    let vendor = signer("2026");
    let mut office = Office::new(&[&vendor]);
    for number in 0..u64::try_from(USED_MOST).unwrap() {
        // Half of them are over at the end of the hour.
        office.approvals.used.used.insert(format!("{number:032x}"), NOW + number % 2 * 7200);
    }
    let one = text(&vendor, |grant| grant.not_after = NOW + 9000);
    assert!(matches!(office.take(&one), Err(NotApproved::Refused(fault)) if fault.code == "grant-room"));
    let short = text(&vendor, |grant| grant.not_after = NOW);
    assert_eq!(office.code(&short), "");
    let approved = office.approvals.approve(&one, &request(), OURS, Clock::About(NOW + 10)).unwrap();
    office.approvals.take(&approved, Clock::About(NOW + 10)).unwrap();
    assert_eq!(office.approvals.used.used.len(), USED_MOST / 2 + 1);
    office.again(&[&vendor]);
    assert_eq!(office.code(&short), "grant-used", "by a clock that was set back");
    assert_eq!(office.code(&text(&vendor, |grant| grant.not_after = NOW + 1)), "");
}

#[test]
fn the_owner_adds_keys_and_switches_off_built_in_ones_and_that_outlives_a_restart() {
    let (vendor, own, third) = (signer("2026"), signer("ours"), signer("third"));
    let mut office = Office::new(&[&vendor]);
    let line = |signer: &Signer| signer.public().to_string();
    let change = |own: &[&Signer], off: &[&Signer]| VendorKeyChange {
        own: own.iter().map(|signer| line(signer)).collect(),
        off: off.iter().map(|signer| line(signer)).collect(),
        by: "anna".to_owned(),
    };
    let fields = |approvals: &mut Approvals, change: &VendorKeyChange| -> Vec<String> {
        approvals.set(change).unwrap_err().into_iter().map(|error| error.field).collect()
    };
    office.approvals.set(&change(&[&own], &[&vendor])).unwrap();
    assert_eq!(office.code(&text(&vendor, |_| {})), "grant-unknown-key");
    assert_eq!(office.code(&text(&own, |_| {})), "");
    office.again(&[&vendor]);
    let shown: Vec<(String, bool, bool)> =
        office.approvals.list().into_iter().map(|key| (key.name, key.built_in, key.on)).collect();
    assert_eq!(shown, [("2026".to_owned(), true, false), ("ours".to_owned(), false, true)]);
    assert_eq!(office.code(&text(&vendor, |_| {})), "grant-unknown-key");
    office.approvals.set(&change(&[], &[])).unwrap();
    assert_eq!(office.code(&text(&vendor, |_| {})), "");
    assert_eq!(office.code(&text(&own, |_| {})), "grant-unknown-key");
    // What is wrong changes nothing.
    let approvals = &mut office.approvals;
    assert_eq!(fields(approvals, &change(&[], &[&third])), ["off[0]"]);
    assert_eq!(fields(approvals, &change(&[&vendor], &[])), ["keys"]);
    let nonsense = VendorKeyChange { own: vec![line(&own), "nonsense".to_owned()], ..change(&[], &[]) };
    assert_eq!(fields(approvals, &nonsense), ["keys[1]"]);
    let many: Vec<Signer> = (0..16).map(|number| signer(&number.to_string())).collect();
    assert_eq!(fields(approvals, &change(&many.iter().collect::<Vec<_>>(), &[])), ["keys"]);
    assert_eq!(approvals.list().len(), 1);
}
