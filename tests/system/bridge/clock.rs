//! A grant's end is counted by a clock that nobody sets: the time of day may jump as it likes.

use drawbridge_bus::bridge::BridgeState;
use drawbridge_bus::{ClockState, Reply, Request, Role};
use drawbridge_lab::net::HostConfig;
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, SETTINGS, grant};
use std::time::{Duration, Instant};

const YEARS: i64 = 10 * 365 * 86_400;
const SOON: Duration = Duration::from_mins(1);

/// Waits until the clock was corrected by about so many seconds.
fn corrected(bridge: &Bridge, by: i64) {
    let end = Instant::now() + within(SOON);
    loop {
        let clock = match bridge.site.ask(Role::Init, &Request::Status) {
            Reply::Status(status) => status.clock,
            other => panic!("not a status: {other:?}"),
        };
        if matches!(&clock, ClockState::Synchronised { milliseconds, .. } if (milliseconds / 1000 - by).abs() < 86_400)
        {
            return;
        }
        assert!(Instant::now() < end, "not corrected by {by} s: {clock:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_grant_ends_at_its_time_while_the_clock_jumps_by_ten_years_and_back() {
    let lab = Lab::new("ten years");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let server = bridge.inside.0.host(HostConfig::new("clock").ipv4([10, 0, 1, 3], 24)).serve_ntp().unwrap();
    let mut short = grant(Vec::new());
    short.minutes = 2;
    // The grant begins between these two.
    let before = Instant::now();
    let secret = bridge.lower(short);
    let after = Instant::now();
    let inside = bridge.client("ssh", ["-tt", "sa"], &secret);
    inside.wait_for("case 4711", within(SOON)).unwrap();

    for (offset, by) in [(YEARS, YEARS), (0, -YEARS)] {
        server.set_offset(offset);
        // Other settings have the servers asked at once.
        let settings = SETTINGS.replacen(
            '{',
            &format!("{{\"confirm_seconds\": {}, \"time_servers\": [\"10.0.1.3\"], ", 300 + offset.signum()),
            1,
        );
        let change = bridge.site.change(&settings);
        corrected(&bridge, by);
        let status = bridge.status();
        assert_eq!(status.state, BridgeState::Open, "{status:?}");
        let left = status.seconds_left.unwrap();
        let bound = |since: Instant| 120_u64.saturating_sub(since.elapsed().as_secs());
        assert!(left + 3 >= bound(before) && left <= bound(after) + 3, "{left} s are left");
        assert!(inside.runs(), "{}", inside.text());
        assert_eq!(bridge.site.ask(Role::Network, &Request::RevertNetwork(change.id)), Reply::Done);
    }
    let (said, code) = bridge.ssh(["whoami"], &secret);
    assert_eq!(code, Some(0), "the secret is still right: {said}");

    let status = inside.wait(Duration::from_mins(2) + within(Duration::from_secs(10))).unwrap();
    let passed = before.elapsed();
    assert!(!status.success(), "{}", inside.text());
    assert!(passed >= Duration::from_secs(119), "cut off after {passed:?}");
    println!("figure: cut off {passed:?} after a grant of two minutes was asked for");
    bridge.until("the end", |status| (status.state == BridgeState::Closed).then_some(()));
}
