//! Roles that end: started again, or shown as failed, and never anybody else's trouble.

use drawbridge_lab::{Lab, within};
use drawbridge_tests::{Appliance, Image, Plan};
use std::time::Duration;

/// The kernel's time of a line, `[   12.345678] …`.
fn kernel_time(line: &str) -> Duration {
    let seconds =
        line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(time, _)| time.trim());
    Duration::from_secs_f64(
        seconds.and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("no time in {line}")),
    )
}

#[test]
fn a_role_that_is_killed_is_back_within_two_seconds() {
    for role in ["console", "network", "recorder"] {
        let lab = Lab::new(&format!("killed {role}"));
        let image = Image::here();
        let faults = match role {
            "console" => "kill:console@2",
            "network" => "kill:network@2",
            _ => "kill:recorder@2",
        };
        let appliance = Appliance::boot(&lab, &image, Plan { faults: Some(faults), ..Plan::of(&image) });
        let killed = kernel_time(&appliance.says(&format!("lab: KILL for {role}")));
        appliance.says(&format!("the {role} role was ended by signal SIGKILL"));
        let back = kernel_time(&appliance.says(&format!("the {role} role serves")));
        let away = back.checked_sub(killed).unwrap();
        println!("{role}: back after {} ms", away.as_millis());
        assert!(away < within(Duration::from_secs(2)), "{role} was away for {away:?}");
        assert_eq!(appliance.page().status, 200, "{role}");
    }
}

#[test]
fn a_role_that_keeps_dying_is_shown_as_failed_and_takes_no_other_with_it() {
    let lab = Lab::new("failed role");
    let image = Image::here();
    let appliance =
        Appliance::boot(&lab, &image, Plan { faults: Some("dies:network@15"), ..Plan::of(&image) });
    appliance.is_up();
    appliance.says("it has FAILED");
    // The console is still the same process, and says what is wrong. The address is the kernel's, and stays.
    assert!(!appliance.machine.serial().text().contains("the console role was ended"));
    let text = appliance.page_text();
    assert!(text.to_lowercase().contains("failed"), "{text}");
}

#[test]
fn the_console_failing_leaves_the_network_alone() {
    let lab = Lab::new("failed console");
    let image = Image::here();
    let appliance =
        Appliance::boot(&lab, &image, Plan { faults: Some("dies:console@1"), ..Plan::of(&image) });
    appliance.says("it has FAILED");
    let address = appliance.address();
    appliance.gateway.ping(address, within(Duration::from_secs(10))).unwrap();
    assert!(!appliance.machine.serial().text().contains("the network role was ended"));
}
