//! The appliance comes up, in each way that it can be started.

use drawbridge_lab::Lab;
use drawbridge_tests::{Appliance, Image, Plan};

#[test]
fn a_direct_boot_ends_at_the_status_page() {
    let lab = Lab::new("direct boot");
    let image = Image::here();
    let appliance = Appliance::boot(&lab, &image, Plan::of(&image));
    appliance.says("guarded by i6300ESB timer");
    appliance.says("/data is on vda3");
    appliance.is_up();
    let text = appliance.page_text();
    assert!(text.contains("Drawbridge"));
}

#[test]
fn a_boot_from_the_disk_by_uefi_ends_at_the_status_page() {
    let lab = Lab::new("UEFI boot");
    let image = Image::here();
    let appliance = Appliance::boot(&lab, &image, Plan { uefi: true, ..Plan::of(&image) });
    appliance.says("/data is on vda3");
    appliance.is_up();
    assert!(appliance.page_text().contains("Drawbridge"));
}

#[test]
fn sixty_four_mebibytes_are_enough_to_serve() {
    let lab = Lab::new("64 MiB");
    let image = Image::here();
    let appliance = Appliance::boot(&lab, &image, Plan { memory: 64, ..Plan::of(&image) });
    appliance.is_up();
    for _ in 0..20 {
        assert_eq!(appliance.page().status, 200);
    }
    assert!(!appliance.machine.serial().text().contains("Out of memory"));
}

#[test]
fn the_console_s_key_is_made_once_and_shown_at_the_machine() {
    let lab = Lab::new("key");
    let image = Image::here();
    let appliance = Appliance::boot(&lab, &image, Plan::of(&image));
    appliance.is_up();
    let shown = appliance.says("SHA-256 fingerprint ");
    let first = appliance.page();
    assert!(shown.trim_end().ends_with(&first.fingerprint()), "{shown} is not {}", first.fingerprint());
    appliance.machine.qmp().send_key(&["ctrl", "alt", "delete"]).unwrap();
    appliance.says("Restarting.");
    appliance.is_up();
    assert_eq!(appliance.page().certificate_der, first.certificate_der);
}
