//! Each role's sandbox stops what the table does not allow, each attempt made from inside.

use drawbridge_lab::{Lab, seconds};
use drawbridge_tests::{Appliance, Image, Plan};

/// What a role may do of what is tried, because the table says so. All else must be stopped.
fn allowed(role: &str, attempt: &str) -> bool {
    attempt.starts_with("may-")
        || match role {
            "network" => ["packet-socket", "netlink-socket"].contains(&attempt),
            "console" => attempt == "bus-log",
            _ => false,
        }
}

/// The attempts that the promise names; more are made.
const NAMED: [&str; 10] = [
    "open-seed",
    "open-disk",
    "mount",
    "ptrace",
    "raw-socket",
    "connect-tcp",
    "exec",
    "kill-other-role",
    "bus-end-bridge",
    "bus-log",
];

#[test]
fn a_role_that_tries_what_its_sandbox_forbids_is_stopped_at_each() {
    for role in ["console", "network", "recorder"] {
        let lab = Lab::new(&format!("sandbox {role}"));
        let image = Image::here();
        let faults = match role {
            "console" => "attempts:console@2",
            "network" => "attempts:network@2",
            _ => "attempts:recorder@2",
        };
        let appliance = Appliance::boot(&lab, &image, Plan { faults: Some(faults), ..Plan::of(&image) });
        appliance.machine.serial().wait_for("lab: attempts are over", seconds(120)).unwrap();
        let text = appliance.machine.serial().text();
        let prefix = format!("lab: attempt {role} ");
        let attempts: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.split_once(&prefix)?.1.split_once(": ")).collect();
        for name in NAMED {
            assert!(attempts.iter().any(|(attempt, _)| *attempt == name), "{name} was not tried");
        }
        assert!(attempts.len() >= 30, "only {} attempts were made", attempts.len());
        for (attempt, how) in attempts {
            if allowed(role, attempt) {
                assert_eq!(how.trim_end(), "SUCCEEDED", "{role} {attempt}");
            } else {
                assert!(how.starts_with("stopped by "), "{role} {attempt}: {how}");
            }
        }
        assert!(
            text.contains(&format!("refused: {role} asked init for EndBridge")),
            "the refusal was not logged"
        );
        // The victims live: init, and the role that was to be killed.
        assert_eq!(appliance.page().status, 200);
        assert!(!text.contains("was ended by signal SIGKILL"));
    }
}
