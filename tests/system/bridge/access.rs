//! An engineer with the stock `ssh` gets in with the secret, and is out when the owner says so.

use drawbridge_bus::bridge::{BridgeRequest, BridgeState, StepResult};
use drawbridge_bus::support::{EngineerKey, GrantRequest, Proof};
use drawbridge_bus::{Reply, Request, Role, RoleState};
use drawbridge_lab::{Lab, within};
use drawbridge_tests::bridge::{Bridge, grant};
use drawbridge_tests::{Image, SitePlan};
use std::time::{Duration, Instant};

#[test]
fn an_engineer_gets_in_with_the_secret_and_is_out_when_the_owner_says_so() {
    let lab = Lab::new("in and out");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let secret = bridge.lower(grant(Vec::new()));

    // Not with another secret: no byte of a shell.
    let (said, code) = bridge.ssh(["whoami"], "gravel-tuesday-umbrella-quench-nine-lamp");
    assert_ne!(code, Some(0), "{said}");
    assert!(!said.contains("case 4711"), "{said}");

    let (said, code) = bridge.ssh(["status"], &secret);
    assert_eq!(code, Some(0), "{said}\n{}", bridge.site.machine.serial().tail(40));
    assert!(said.contains("session"), "{said}");
    let (said, code) = bridge.ssh(["no-such-command"], &secret);
    assert_eq!(code, Some(127), "{said}");

    // He stays in, and is shown.
    let inside = bridge.client("ssh", ["-tt", "sa"], &secret);
    let visitor = bridge.until("a visitor", |status| status.visitors.first().cloned());
    assert_eq!(visitor.name, "anna");
    inside.wait_for("case 4711", within(Duration::from_secs(20))).unwrap();

    let before = Instant::now();
    assert_eq!(bridge.ask(&Request::CloseBridge { by: "the owner".to_owned() }), Reply::Done);
    let status = inside.wait(within(Duration::from_secs(10))).unwrap();
    assert!(!status.success());
    println!("figure: the engineer was out {:?} after Stop", before.elapsed());
    bridge.until("nothing left", |status| (status.state == BridgeState::Closed).then_some(()));
    for role in [Role::Tunnel, Role::Sshd] {
        assert_eq!(bridge.site.role(role).state, RoleState::Dormant);
    }
    let (said, code) = bridge.ssh(["status"], &secret);
    assert_ne!(code, Some(0), "{said}");
}

#[test]
fn a_test_of_the_way_tells_each_step_and_what_is_wrong() {
    let lab = Lab::new("path doctor");
    let bridge = Bridge::boot(&lab, &Image::here());
    let steps = bridge.test(bridge.path());
    assert!(steps.iter().all(|step| matches!(step.result, StepResult::Pass)), "{steps:#?}");
    let last = steps.last().unwrap();
    assert!(last.title.contains("Login") && last.detail.contains("enrolment token"), "{steps:#?}");

    let steps = bridge.test(bridge.known_path());
    let wrong = steps.iter().find(|step| matches!(step.result, StepResult::Fail { .. })).unwrap();
    assert!(wrong.detail.contains("does not know this appliance"), "{steps:#?}");

    let mut pinned = bridge.known_path();
    pinned.verification.certificate_pin = Some([7; 32]);
    let steps = bridge.test(pinned);
    let wrong = steps.iter().find(|step| matches!(step.result, StepResult::Fail { .. })).unwrap();
    assert!(wrong.detail.contains("pinned"), "{steps:#?}");
    assert!(matches!(steps.last().unwrap().result, StepResult::Skip), "{steps:#?}");

    // What was not reached is said, too, so that nobody takes it for right.
    let mut nowhere = bridge.known_path();
    nowhere.server.port = 9;
    let steps = bridge.test(nowhere);
    let skipped: Vec<&str> = (steps.iter().filter(|step| step.result == StepResult::Skip))
        .map(|step| step.title.as_str())
        .collect();
    assert_eq!(skipped, ["TLS with the server", "The pin", "SSH with the server", "Login at the server"]);
}

#[test]
fn a_key_lets_its_engineer_in_until_its_end_and_with_a_secret_beside_it_neither_is_enough() {
    let lab = Lab::new("keys");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let line = std::fs::read_to_string(bridge.vendor.file("id_ed25519.pub")).unwrap().trim().to_owned();
    let key = |minutes| EngineerKey { line: line.clone(), authority: false, minutes };
    let path = bridge.path();
    let before = Instant::now();
    bridge.open(GrantRequest { proof: Proof::Key(vec![key(Some(1))]), ..grant(Vec::new()) }, None, path);
    bridge.connected();
    let (said, code) = bridge.ssh(["whoami"], "no secret is asked for");
    assert_eq!(code, Some(0), "{said}\n{}", bridge.site.machine.serial().tail(20));
    let end = before + Duration::from_mins(1) + within(Duration::from_secs(30));
    while bridge.ssh(["whoami"], "no secret is asked for").1 == Some(0) {
        assert!(Instant::now() < end, "the key is good beyond its end");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(before.elapsed() >= Duration::from_secs(59), "good for {:?} only", before.elapsed());
    assert_eq!(bridge.status().state, BridgeState::Open);
    bridge.raise();

    let secret = bridge.offer();
    let proof = Proof::KeyAndSecret(vec![key(None)]);
    bridge.open(GrantRequest { proof, ..grant(Vec::new()) }, Some(&secret), bridge.known_path());
    bridge.connected();
    let (said, code) = bridge.ssh(["whoami"], "gravel-tuesday-umbrella-quench-nine-lamp");
    assert_ne!(code, Some(0), "the key alone is not enough: {said}");
    let (said, code) = bridge.ssh(["whoami"], &secret);
    assert_eq!(code, Some(0), "{said}");
    let program = bridge.client("ssh", ["-o", "PubkeyAuthentication=no", "-T", "sa", "whoami"], &secret);
    let status = program.wait(within(Duration::from_mins(1))).unwrap();
    assert!(!status.success(), "the secret alone is not enough: {}", program.whole_text());
}

#[test]
fn an_end_that_fails_is_an_alarm_and_takes_the_uplink_down_until_nothing_is_left() {
    let lab = Lab::new("failed to close");
    let mut bridge = Bridge::boot_with(&lab, &Image::here(), |plan| SitePlan { faults: "stuck@12", ..plan });
    let secret = bridge.lower(grant(Vec::new()));
    let (said, code) = bridge.ssh(["whoami"], &secret);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(bridge.ask(&Request::CloseBridge { by: "the owner".to_owned() }), Reply::Done);
    let left = bridge.until("an alarm", |status| match &status.state {
        BridgeState::FailedToClose(left) => Some(*left),
        _ => None,
    });
    assert_eq!(left.processes, 1, "{left:?}");
    let uplink = |is_up: bool| {
        bridge.site.until("the uplink", Duration::from_secs(30), |status| {
            status.ports.iter().any(|port| port.interface == "uplink" && port.carrier == is_up).then_some(())
        });
    };
    uplink(false);
    assert!(matches!(bridge.status().state, BridgeState::FailedToClose(_)), "{:?}", bridge.status());
    let request = BridgeRequest { grant: grant(Vec::new()), secret: None, path: bridge.known_path() };
    let answer = bridge.ask(&Request::OpenBridge(Box::new(request)));
    assert!(!matches!(answer, Reply::Opened(_)), "opened in spite of the alarm");
    // The administrator's port is not touched.
    bridge.site.serves(&bridge.inside.1, std::net::Ipv4Addr::new(10, 0, 1, 10));

    bridge.until("nothing left", |status| (status.state == BridgeState::Closed).then_some(()));
    uplink(true);
    let secret = bridge.offer();
    bridge.open(grant(Vec::new()), Some(&secret), bridge.known_path());
    bridge.connected();
    let (said, code) = bridge.ssh(["whoami"], &secret);
    assert_eq!(code, Some(0), "{said}");
}
