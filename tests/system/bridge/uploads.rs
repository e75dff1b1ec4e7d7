//! Recordings at the vendor's: while they run, whole afterwards, and after the way to the server was lost.

use super::evidence::verify;
use drawbridge_bus::record::{RecordingId, RecordingLine};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_lab::net::Program;
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) const SOON: Duration = Duration::from_mins(1);

/// What `rss sessions` says.
pub(super) fn sessions(bridge: &Bridge, words: &[&str]) -> String {
    bridge.vendor.command("sessions", words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// A recording as the server lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) bytes: u64,
}

pub(super) fn listed(bridge: &Bridge) -> Vec<Listed> {
    let list = sessions(bridge, &["list"]);
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bytes =
            words.last().and_then(|word| word.strip_prefix("bytes=")).and_then(|bytes| bytes.parse().ok());
        Listed { name: words[0].to_owned(), state: words[2].to_owned(), bytes: bytes.expect("bytes") }
    };
    list.lines().map(line).collect()
}

/// Waits until the server's list is as it is wanted.
pub(super) fn until<T>(bridge: &Bridge, what: &str, wanted: impl Fn(&[Listed]) -> Option<T>) -> T {
    let end = Instant::now() + within(SOON);
    loop {
        let list = listed(bridge);
        if let Some(found) = wanted(&list) {
            return found;
        }
        assert!(Instant::now() < end, "{what}: {list:#?}\n{}", bridge.site.machine.serial().tail(30));
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until all that the appliance has is confirmed.
pub(super) fn confirmed(bridge: &Bridge) -> Vec<RecordingLine> {
    let end = Instant::now() + within(SOON);
    loop {
        match bridge.site.ask(Role::Recorder, &Request::Recordings { before: None }) {
            Reply::Recordings(lines) if lines.iter().all(|line| line.confirmed) => return lines,
            Reply::Recordings(lines) => assert!(Instant::now() < end, "{lines:#?}"),
            other => panic!("no recordings: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// An engineer on a terminal who types `whoami`, and what is in the file `next` when it is there, and then leaves.
pub(super) fn engineer(bridge: &Bridge, lab: &Lab, secret: &str) -> (Program, PathBuf) {
    let next = lab.folder().join("next");
    let script = format!(
        "(echo whoami; while [ ! -e {next} ]; do sleep 0.1; done; cat {next}; echo exit) | ssh -F \"$CONFIG\" -tt sa",
        next = next.display()
    );
    (bridge.script(&script, secret), next)
}

/// What stands on the recording's terminal, by the server's word.
fn shown(bridge: &Bridge, name: &str) -> String {
    // There may be no terminal yet.
    bridge.vendor.command("sessions", ["play", name]).unwrap_or_else(|error| error.to_string())
}

fn is_verified(bridge: &Bridge, lab: &Lab, name: &str, key: &str) {
    let said = sessions(bridge, &["verify", name]);
    assert!(said.contains("WHOLE") && said.contains("which was to be expected"), "{said}");
    // Taken away, it is checked by the program for it, with the key that the owner's console shows.
    let out = lab.folder().join(format!("{name}.tar"));
    sessions(bridge, &["export", name, out.to_str().expect("a path")]);
    let (said, status) = verify(&out, key);
    assert_eq!(status, Some(0), "{said}");
    let other = bridge.keys().host_fingerprint;
    assert_ne!(verify(&out, &other).1, Some(0));
}

/// A recording as the owner gets it back from the server, through the tunnel.
fn given_back(bridge: &Bridge, name: &str) -> Vec<u8> {
    let id = RecordingId::parse(name).expect("a name");
    match bridge.site.ask(Role::Tunnel, &Request::KeptRecordings { before: None }) {
        Reply::KeptRecordings { recordings, more: false } => {
            assert!(recordings.iter().any(|one| one.id == id && one.whole && one.verified), "{recordings:?}");
        }
        other => panic!("no list: {other:?}"),
    }
    let (fetch, length) = match bridge.site.ask(Role::Tunnel, &Request::FetchRecording { id }) {
        Reply::Fetching { fetch, length } => (fetch, length),
        other => panic!("no recording: {other:?}"),
    };
    let mut bundle = Vec::new();
    while (bundle.len() as u64) < length {
        let from = bundle.len() as u64;
        match bridge.site.ask(Role::Tunnel, &Request::FetchedPart { fetch, from }) {
            Reply::RecordingPart(bytes, _) => bundle.extend(bytes),
            other => panic!("no part: {other:?}"),
        }
    }
    bundle
}

#[test]
fn a_recording_is_at_the_vendors_while_it_runs_and_whole_afterwards() {
    let lab = Lab::new("uploaded");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let secret = bridge.lower(grant(Vec::new()));
    let key = bridge.keys().evidence_fingerprint;
    let (inside, next) = engineer(&bridge, &lab, &secret);
    inside.wait_for("time left", within(SOON)).unwrap();
    let typed = Instant::now();
    let name = until(&bridge, "one that runs", |list| {
        list.first().filter(|one| one.state == "open").map(|one| one.name.clone())
    });
    // What he has seen is there while he is still in.
    let end = Instant::now() + within(SOON);
    while !shown(&bridge, &name).contains("time left") {
        assert!(Instant::now() < end, "{}", shown(&bridge, &name));
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("figure: what the engineer saw was at the server {:?} later", typed.elapsed());
    assert!(inside.runs());
    let said = sessions(&bridge, &["verify", &name]);
    assert!(said.contains("NOT FINISHED"), "{said}");
    let show = sessions(&bridge, &["show", &name]);
    assert!(show.contains("engineer  anna") && show.contains("case 4711"), "{show}");

    std::fs::write(&next, "status\n").unwrap();
    assert!(inside.wait(within(SOON)).unwrap().success(), "{}", inside.whole_text());
    until(&bridge, "whole", |list| (list.len() == 1 && list[0].state == "whole").then_some(()));
    is_verified(&bridge, &lab, &name, &key);
    let lines = confirmed(&bridge);
    assert_eq!(lines[0].id.as_str(), name);
    // What was exported and verified is what the owner gets.
    let exported = std::fs::read(lab.folder().join(format!("{name}.tar"))).unwrap();
    assert!(given_back(&bridge, &name) == exported, "another bundle than the operator's");

    // Other people's player, to its last frame.
    let file = lab.folder().join("terminal.ttyrec");
    sessions(&bridge, &["export", &name, "--ttyrec", file.to_str().expect("a path")]);
    let played = Command::new("ttyplay").arg("-n").arg(&file).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&played.stdout).into_owned();
    assert!(played.status.success() && said.contains("whoami") && said.contains("exit"), "{said}");
    let cast = sessions(&bridge, &["export", &name, "--cast", "-"]);
    assert!(cast.starts_with("{\"version\": 2") && cast.contains("whoami"), "{cast}");
    bridge.raise();
}

#[test]
fn a_recording_goes_on_at_the_vendors_where_it_was_after_the_way_or_the_server_was_lost() {
    let lab = Lab::new("upload resumed");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let secret = bridge.lower(grant(Vec::new()));
    let key = bridge.keys().evidence_fingerprint;
    let (inside, next) = engineer(&bridge, &lab, &secret);
    inside.wait_for("time left", within(SOON)).unwrap();
    let first = until(&bridge, "one that runs", |list| list.first().filter(|one| one.bytes > 0).cloned());

    // The cable is out for a while; the engineer's own connection outlives that, and so does the recording.
    let cable = bridge.site.port("uplink").cable();
    cable.pull();
    bridge.site.machine.set_link("uplink", false).unwrap();
    bridge.site.until("a cable that is out", Duration::from_secs(30), |status| {
        status.ports.iter().any(|port| port.interface == "uplink" && !port.carrier).then_some(())
    });
    std::fs::write(&next, "status\n").unwrap();
    cable.plug();
    bridge.site.machine.set_link("uplink", true).unwrap();
    assert!(inside.wait(within(SOON)).unwrap().success(), "{}", inside.whole_text());
    until(&bridge, "whole", |list| (list[0].name == first.name && list[0].state == "whole").then_some(()));
    is_verified(&bridge, &lab, &first.name, &key);

    // The server dies while another one runs, and comes back with what it had confirmed.
    std::fs::remove_file(&next).unwrap();
    let (inside, _) = engineer(&bridge, &lab, &secret);
    inside.wait_for("time left", within(SOON)).unwrap();
    let second =
        until(&bridge, "another one", |list| list.iter().find(|one| one.name != first.name).cloned());
    bridge.vendor.kill();
    // He was carried by the server: that is his end, and the recording's.
    std::fs::write(&next, "").unwrap();
    inside.wait(within(SOON)).unwrap();
    bridge.vendor.start(&bridge.outside).unwrap();
    bridge.connected();
    until(&bridge, "both whole", |list| {
        let of = |name: &str| list.iter().find(|one| one.name == name);
        let is_whole = list.len() == 2 && list.iter().all(|one| one.state == "whole");
        (is_whole && of(&second.name).is_some_and(|one| one.bytes >= second.bytes)).then_some(())
    });
    is_verified(&bridge, &lab, &second.name, &key);
    // The older one may have gone from the appliance: its disk is small, and the server has it.
    assert!(!confirmed(&bridge).is_empty());
    let audit = bridge.vendor.command("audit", [""; 0]).unwrap();
    assert!(!audit.contains(" is refused: "), "{audit}");
    bridge.raise();
}
