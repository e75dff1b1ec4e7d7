//! What breaks on the way while an engineer is in, and comes back; and Stop while bytes flow.

use super::ways::{through, tinyproxy};
use drawbridge_bus::bridge::{BridgeState, Link, ProxyProtocol};
use drawbridge_bus::{Reply, Request};
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_mins(1);

fn waits(bridge: &Bridge, what: &str) {
    bridge.until(what, |status| (!matches!(status.link, Link::Connected { .. })).then_some(()));
}

fn gets_in(bridge: &Bridge, what: &str, secret: &str) {
    let (said, code) = bridge.ssh(["whoami"], secret);
    assert_eq!(code, Some(0), "{what}: {said}\n{}", bridge.site.machine.serial().tail(30));
}

#[test]
fn a_server_that_was_killed_and_a_proxy_that_was_restarted_are_found_again() {
    let lab = Lab::new("found again");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let secret = bridge.lower(grant(Vec::new()));
    gets_in(&bridge, "before", &secret);

    bridge.vendor.kill();
    waits(&bridge, "a server that is gone");
    let killed = bridge.status();
    assert_eq!(killed.state, BridgeState::Open, "the bridge stays lowered: {killed:?}");
    bridge.vendor.start(&bridge.outside).unwrap();
    let back = Instant::now();
    bridge.connected();
    println!("figure: connected {:?} after the server was back", back.elapsed());
    gets_in(&bridge, "after the server's return, with the same secret", &secret);
    bridge.raise();

    let proxy = tinyproxy(&bridge);
    let secret = bridge.offer();
    bridge.open(grant(Vec::new()), Some(&secret), through(&bridge, ProxyProtocol::Http, 8888, None));
    bridge.connected();
    gets_in(&bridge, "through the proxy", &secret);
    drop(proxy);
    waits(&bridge, "a proxy that is gone");
    let _proxy = tinyproxy(&bridge);
    bridge.connected();
    gets_in(&bridge, "through the proxy that was restarted", &secret);
    bridge.raise();
}

#[test]
fn a_cable_that_was_pulled_costs_the_engineer_nothing_when_it_is_back_in_time() {
    let lab = Lab::new("cable");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let secret = bridge.lower(grant(Vec::new()));
    // An engineer's command that goes on over the loss: it says what it is sent, and is sent something afterwards.
    let go = lab.folder().join("go");
    let script = format!(
        "(while [ ! -e {go} ]; do sleep 0.1; done; echo echo still here; echo exit) | ssh -F \"$CONFIG\" -tt sa",
        go = go.display()
    );
    let inside = bridge.script(&script, &secret);
    inside.wait_for("case 4711", within(SOON)).unwrap();
    bridge.until("a visitor", |status| status.visitors.first().cloned());

    let cable = bridge.site.port("uplink").cable();
    cable.pull();
    bridge.site.machine.set_link("uplink", false).unwrap();
    bridge.site.until("a cable that is out", Duration::from_secs(30), |status| {
        status.ports.iter().any(|port| port.interface == "uplink" && !port.carrier).then_some(())
    });
    cable.plug();
    bridge.site.machine.set_link("uplink", true).unwrap();
    let back = Instant::now();
    std::fs::write(&go, "").unwrap();
    let status = inside.wait(within(SOON)).unwrap();
    let said = inside.whole_text();
    assert!(status.success() && said.contains("still here"), "{status}: {said}");
    println!("figure: the engineer's words came back {:?} after the cable", back.elapsed());
    bridge.connected();
    gets_in(&bridge, "after the cable's return", &secret);
}

#[test]
fn stop_in_the_middle_of_a_transfer_leaves_nothing() {
    let lab = Lab::new("stop in the middle");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let secret = bridge.lower(grant(Vec::new()));
    // More than is copied before Stop.
    let copying = lab.folder().join("large");
    std::fs::File::create(&copying).unwrap().set_len(2 << 30).unwrap();
    let script = format!("scp -F \"$CONFIG\" {} sa:large", copying.display());
    let copying = bridge.script(&script, &secret);
    let grows = |bridge: &Bridge| {
        let (said, code) = bridge.ssh(["ls", "-l"], &secret);
        assert_eq!(code, Some(0), "{said}");
        said.lines().any(|line| line.contains("large") && !line.split_whitespace().any(|word| word == "0"))
    };
    let end = Instant::now() + within(SOON);
    while !grows(&bridge) {
        assert!(Instant::now() < end, "nothing is copied\n{}", bridge.site.machine.serial().tail(30));
    }
    let before = Instant::now();
    assert_eq!(bridge.ask(&Request::CloseBridge { by: "the owner".to_owned() }), Reply::Done);
    let status = copying.wait(within(Duration::from_secs(10))).unwrap();
    assert!(!status.success(), "{}", copying.text());
    println!("figure: scp ended {:?} after Stop", before.elapsed());
    bridge.until("nothing left", |status| (status.state == BridgeState::Closed).then_some(()));
    println!("figure: nothing was left {:?} after Stop", before.elapsed());
    let secret = bridge.offer();
    let path = bridge.known_path();
    bridge.open(grant(Vec::new()), Some(&secret), path);
    bridge.connected();
    let (said, code) = bridge.ssh(["ls"], &secret);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("large"), "{said}");
}
