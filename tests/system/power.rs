//! The orderly end.

use drawbridge_image::names;
use drawbridge_lab::{Disk, Lab, seconds};
use drawbridge_tests::{Appliance, Image, Plan, data_partition};
use std::process::Command;

#[test]
fn the_power_button_ends_everything_in_order_with_all_written() {
    let lab = Lab::new("power button");
    let image = Image::here();
    let disk = lab.folder().join("own-disk.img");
    std::fs::copy(image.file(names::DISK), &disk).unwrap();
    let appliance =
        Appliance::boot(&lab, &image, Plan { disk: Some(Disk::in_place(&disk)), ..Plan::of(&image) });
    appliance.is_up();
    appliance.page();
    appliance.machine.qmp().system_powerdown().unwrap();
    appliance.says("The power button was pressed.");
    appliance.says("vda3 is unmounted, with everything written.");
    appliance.says("Switching off.");
    let status = appliance.machine.wait_for_exit(seconds(30)).unwrap();
    assert!(status.success());
    let text = appliance.machine.serial().text();
    assert!(
        !text.contains("TERM is sent") && !text.contains("KILL is sent"),
        "a role did not end when asked"
    );
    // Somebody else's word for it: the file system needs neither repair nor its journal, and the files are there.
    let extent = data_partition(&disk);
    let place = format!("{}?offset={}", disk.display(), extent.offset);
    let checked = Command::new("e2fsck").args(["-f", "-n", &place]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let look = |command: &str| {
        let output = Command::new("debugfs").args(["-R", command, &place]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(!look("features").contains("needs_recovery"));
    let own = look("ls -l /init");
    assert!(own.contains("seed") && own.contains("clock") && !own.contains("running"), "{own}");
}

#[test]
fn ctrl_alt_del_restarts_in_order() {
    let lab = Lab::new("ctrl-alt-del");
    let image = Image::here();
    let appliance = Appliance::boot(&lab, &image, Plan::of(&image));
    appliance.is_up();
    appliance.machine.qmp().send_key(&["ctrl", "alt", "delete"]).unwrap();
    appliance.says("Ctrl-Alt-Del was pressed.");
    appliance.says("vda3 is unmounted, with everything written.");
    appliance.says("the saved random seed was credited");
    appliance.is_up();
    assert!(!appliance.machine.serial().text().contains("the last run failed"));
}
