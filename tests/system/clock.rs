//! The clock at boot: no earlier than what is known, no later than can be.

use drawbridge_lab::Lab;
use drawbridge_tests::{Appliance, Image, Plan};

#[test]
fn a_hardware_clock_of_the_past_or_of_a_far_future_is_not_believed() {
    for (date, sentence) in [
        ("1970-01-01T00:10:00", "the hardware clock said 1970-01-01, before the last known time"),
        ("2001-09-09T12:00:00", "the hardware clock said 2001-09-09, before the last known time"),
        ("2099-06-01T00:00:00", "the hardware clock said 2099-06-01, which cannot be"),
    ] {
        let lab = Lab::new(&format!("clock {date}"));
        let image = Image::here();
        let appliance = Appliance::boot(&lab, &image, Plan { clock: Some(date), ..Plan::of(&image) });
        appliance.says(sentence);
        appliance.is_up();
        assert_eq!(appliance.page().status, 200, "{date}");
    }
}

#[test]
fn a_clock_that_fell_back_over_a_restart_is_the_last_known_time() {
    let lab = Lab::new("clock fell back");
    let image = Image::here();
    let disk = lab.folder().join("disk.img");
    std::fs::copy(image.file(drawbridge_image::names::DISK), &disk).unwrap();
    let plan = |clock| Plan {
        clock: Some(clock),
        disk: Some(drawbridge_lab::Disk::in_place(&disk)),
        ..Plan::of(&image)
    };
    let first = Appliance::boot(&lab, &image, plan("2030-05-05T00:00:00"));
    first.says("the clock has the hardware clock's time");
    first.is_up();
    first.machine.power_off(drawbridge_lab::seconds(30)).unwrap();
    drop(first);
    let second = Appliance::boot(&lab, &image, plan("2029-01-01T00:00:00"));
    second.says("the hardware clock said 2029-01-01, before the last known time");
}
