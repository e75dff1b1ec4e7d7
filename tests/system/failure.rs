//! Init's own end: a record that is read at the next start, and a restart.

use drawbridge_lab::{Lab, Watchdog, seconds};
use drawbridge_tests::{Appliance, Image, Plan};

fn restarts(name: &str, faults: &'static str, uefi: bool, watchdog: Watchdog) -> (Lab, Appliance) {
    let lab = Lab::new(name);
    let image = Image::here();
    let plan = Plan { uefi, faults: Some(faults), watchdog, ..Plan::of(&image) };
    let appliance = Appliance::boot(&lab, &image, plan);
    appliance.says("Drawbridge");
    (lab, appliance)
}

#[test]
fn a_panic_in_init_leaves_a_record_and_restarts() {
    let (_lab, appliance) = restarts("init panic", "init-panic@2", false, Watchdog::I6300esb);
    appliance.says("FATAL: init panicked");
    let line = appliance.says("the last run failed: ");
    assert!(line.contains("init panicked"), "{line}");
    appliance.is_up();
    assert!(!appliance.page_text().contains("none on record"), "the page does not tell of it");
}

#[test]
fn a_death_of_init_is_the_kernel_s_panic_with_a_record_and_a_restart() {
    // The kernel keeps its record in UEFI's variables. Without UEFI there is only memory that a restart may leave alone.
    let (_lab, appliance) = restarts("init death", "init-abort@2", true, Watchdog::I6300esb);
    appliance.says("Attempted to kill init");
    let line = appliance.says("the last run failed: ");
    assert!(line.contains("Panic#"), "{line}");
}

#[test]
fn a_panic_in_init_without_a_disk_is_kept_by_the_firmware() {
    let lab = Lab::new("init panic without disk");
    let image = Image::here();
    let plan = Plan { uefi: true, faults: Some("init-panic@2"), disk: None, ..Plan::of(&image) };
    let appliance = Appliance::boot(&lab, &image, plan);
    appliance.says("FATAL: init panicked");
    let line = appliance.says("the last run failed: ");
    assert!(line.contains("Panic#"), "{line}");
}

#[test]
fn an_init_that_hangs_is_restarted_by_either_watchdog() {
    for (watchdog, name) in [(Watchdog::I6300esb, "i6300ESB timer"), (Watchdog::Itco, "iTCO_wdt")] {
        let (_lab, appliance) = restarts(&format!("init hang {name}"), "init-hang@2", false, watchdog);
        appliance.says(name);
        appliance.says("lab: init hangs from now on");
        // The watchdog's 30 s, and a boot.
        appliance.machine.serial().wait_for("the last run failed: ", seconds(60)).unwrap();
    }
}
