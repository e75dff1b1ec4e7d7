//! The data disk fills up while an engineer is in: nothing passes that is not recorded, he is told why his session ends, and where
//! there is room again another one can be had.

use crate::events::{events, proved, recordings};
use crate::kept::{terminals, unpack, verify};
use drawbridge_bus::record::RecorderStatus;
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_lab::{Lab, seconds, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_mins(1);
/// Room for a recording to begin (16 MiB), and little more to fill.
const DATA_BYTES: u64 = 40 << 20;
/// Twice what engineers' files leave free for the appliance: it cannot all be recorded.
const LINES: usize = 160_000;

fn recorder(bridge: &Bridge) -> RecorderStatus {
    match bridge.site.ask(Role::Recorder, &Request::Recorder) {
        Reply::Recorder(status) => *status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn on_a_disk_that_fills_up_a_strict_session_ends_saying_so_with_all_that_crossed_recorded() {
    let lab = Lab::new("full");
    let mut bridge = Bridge::boot_with(&lab, &Image::here(), |mut plan| {
        plan.data_bytes = DATA_BYTES;
        plan
    });
    let key = bridge.keys().evidence_fingerprint;
    let secret = bridge.lower(grant(Vec::new()));
    let before = recorder(&bridge);
    assert!(before.takes && before.trouble.is_empty(), "{before:?}");
    let (text, fill) = (lab.folder().join("text"), lab.folder().join("fill"));
    let lines = (0..LINES).fold(String::new(), |mut all, number| {
        let _ = writeln!(all, "line {number:07} and some more, so that it fills up");
        all
    });
    std::fs::write(&text, &lines).unwrap();
    bridge.client("scp", [text.to_str().unwrap(), "sa:text"], &secret).finish(within(SOON)).unwrap();

    // He is in while the disk has room; another one fills it as far as engineers may, and the first one's output does the rest.
    let (go, out) = (lab.folder().join("go"), lab.folder().join("out"));
    let script = format!(
        "(while [ ! -e {go} ]; do sleep 0.1; done; echo cat text) | ssh -F \"$CONFIG\" -T sa > {out}",
        go = go.display(),
        out = out.display()
    );
    let reads = bridge.script(&script, &secret);
    bridge.until("the engineer", |status| status.visitors.first().cloned());
    std::fs::File::create(&fill).unwrap().set_len(DATA_BYTES).unwrap();
    let fills = bridge.client("scp", [fill.to_str().unwrap(), "sa:fill"], &secret);
    let status = fills.wait(within(SOON)).unwrap();
    assert!(!status.success() && fills.whole_text().contains("write remote"), "{}", fills.whole_text());
    let filled = recorder(&bridge);
    assert!(!filled.takes && filled.trouble.contains("No session can be recorded"), "{filled:?}");
    assert!(reads.runs(), "{}", reads.text());
    std::fs::write(&go, "").unwrap();
    let began = Instant::now();
    let ended = "This session is ended, because it cannot be recorded";
    reads.wait_for(ended, within(SOON)).unwrap_or_else(|error| {
        panic!("{error}\n{}\n{}", reads.text(), bridge.site.machine.serial().tail(30))
    });
    println!("figure: the session had ended {:?} after the engineer's command", began.elapsed());
    bridge.until("nobody in", |status| status.visitors.is_empty().then_some(()));
    reads.kill();
    let crossed = std::fs::read_to_string(&out).unwrap();
    let crossed = &crossed[crossed.find("line 0000000").expect("some of it has crossed")..];
    assert!(
        crossed.len() < lines.len() && lines.starts_with(crossed),
        "{} bytes have crossed",
        crossed.len()
    );
    // Nobody else comes in, and is told why.
    let (said, status) = bridge.ssh(["whoami"], &secret);
    assert!(status != Some(0) && said.contains(ended) && said.contains("a recording begins with"), "{said}");

    // The engineers' files go with the grant: there is room again.
    bridge.raise();
    let end = Instant::now() + within(SOON);
    while !recorder(&bridge).takes {
        assert!(Instant::now() < end, "{:?}", recorder(&bridge));
        std::thread::sleep(Duration::from_millis(200));
    }
    let (secret, path) = (bridge.offer(), bridge.known_path());
    bridge.open(grant(Vec::new()), Some(&secret), path);
    bridge.connected();
    let (said, status) = bridge.ssh(["whoami"], &secret);
    assert!(
        status == Some(0) && said.contains("time left"),
        "{said}\n{}",
        bridge.site.machine.serial().tail(30)
    );
    bridge.raise();

    let told = events(&bridge.site);
    let of = |code: &str| told.iter().filter(|event| event["what"]["code"] == code).collect::<Vec<_>>();
    assert_eq!(of("RECORDING_FAILED").len(), 1, "{told:#?}");
    // The one who was in, and the one who wanted to.
    let denied = of("ACCESS_DENIED");
    assert!(
        denied.len() == 2 && denied.iter().all(|one| one["what"]["reason"] == "not_recorded"),
        "{told:#?}"
    );
    let listed = recordings(&bridge.site);
    assert_eq!(proved(&bridge.site).faults, Vec::<String>::new());
    bridge.site.machine.power_off(seconds(30)).unwrap();
    let kept = lab.folder().join("kept");
    unpack(&bridge.site.disk, &kept);
    let mut all = String::new();
    for line in &listed {
        let folder = kept.join("recorder").join(line.id.as_str());
        let (status, said) = verify(&folder, &key);
        assert_eq!(status, Some(0), "{said}\n{line:#?}");
        all.push_str(&terminals(&folder).replace('\r', ""));
    }
    assert!(all.contains(crossed), "{} bytes have crossed, and not all of them are recorded", crossed.len());
    let (status, said) = verify(&kept.join("audit"), &key);
    assert_eq!(status, Some(0), "{said}");
    println!("figure: {} of {} bytes had crossed, all of them recorded", crossed.len(), lines.len());
}
