//! Recordings that are encrypted to a key of the customer's: the vendor keeps and verifies them and sees nothing, and the customer opens
//! them.

use super::uploads::{SOON, confirmed, engineer, listed, sessions, until};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_lab::vendor::beside;
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn run(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(done.status.success(), "{command:?}: {said}");
    said
}

/// Waits until the owner sees this on the screen of a running session.
fn sees(bridge: &Bridge, wanted: &str) {
    let end = Instant::now() + within(SOON);
    loop {
        let Reply::Live(live) = bridge.site.ask(Role::Recorder, &Request::Live) else {
            panic!("no sessions")
        };
        let mut seen = String::new();
        for (one, channel) in
            live.iter().flat_map(|one| one.channels.iter().map(move |channel| (one, channel)))
        {
            let request = Request::Screen { id: one.id.clone(), channel: channel.channel, after: 0 };
            if let Reply::Screen(screen) = bridge.site.ask(Role::Recorder, &request) {
                for row in &screen.rows {
                    row.runs.iter().for_each(|run| seen.push_str(&run.text));
                    seen.push('\n');
                }
            }
        }
        if seen.contains(wanted) {
            return;
        }
        assert!(Instant::now() < end, "{wanted} is not seen: {seen}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn what_is_encrypted_to_the_customers_key_is_kept_and_verified_by_the_vendor_and_read_by_the_customer_only() {
    let lab = Lab::new("sealed");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let identity = lab.folder().join("identity");
    let _ = std::fs::remove_file(&identity);
    run(Command::new("age-keygen").arg("-o").arg(&identity));
    let public = run(Command::new("age-keygen").arg("-y").arg(&identity)).trim().to_owned();
    let set = bridge.site.ask(Role::Recorder, &Request::SetRecordingKey(Some(public.clone())));
    assert_eq!(set, Reply::RecordingKey(Some(public.clone())));

    let secret = bridge.lower(grant(Vec::new()));
    let key = bridge.keys().evidence_fingerprint;
    let (inside, next) = engineer(&bridge, &lab, &secret);
    inside.wait_for("time left", within(SOON)).unwrap();
    // The owner looks on all the same.
    sees(&bridge, "time left");
    let name = until(&bridge, "one that runs", |list| list.first().map(|one| one.name.clone()));
    std::fs::write(&next, "status\n").unwrap();
    assert!(inside.wait(within(SOON)).unwrap().success(), "{}", inside.whole_text());
    until(&bridge, "whole", |list| (list.len() == 1 && list[0].state == "whole").then_some(()));
    let lines = confirmed(&bridge);
    assert_eq!((lines.len(), lines[0].recipient.as_ref()), (1, Some(&public)));

    // The vendor knows who and when, proves it, and sees nothing.
    let show = sessions(&bridge, &["show", &name]);
    assert!(show.contains("engineer  anna") && show.contains(&format!("customer's key {public}")), "{show}");
    let refused = bridge.vendor.command("sessions", ["play", &name]).unwrap_err().to_string();
    assert!(refused.contains("it is encrypted to the customer's key"), "{refused}");
    let said = sessions(&bridge, &["verify", &name]);
    assert!(said.contains("WHOLE") && said.contains("which was to be expected"), "{said}");
    let tar = lab.folder().join(format!("{name}.tar"));
    let _ = std::fs::remove_file(&tar);
    sessions(&bridge, &["export", &name, tar.to_str().expect("a path")]);
    let bytes = std::fs::read(&tar).unwrap();
    for word in ["whoami", "time left", "Support Appliance"] {
        assert!(!bytes.windows(word.len()).any(|part| part == word.as_bytes()), "{word}");
    }

    // The customer opens what the vendor has given him, and stock programs play it.
    let verify = beside("verify").expect("verify beside the tests: cargo build -p drawbridge-verify");
    let open = lab.folder().join("open");
    let _ = std::fs::remove_dir_all(&open);
    let mut command = Command::new(verify);
    command.args(["--key", &key, "--open"]).arg(&open).arg("--identity").arg(&identity).arg(&tar);
    let said = run(&mut command);
    assert!(said.contains("WHOLE") && said.contains("terminal-1.ttyrec"), "{said}");
    let film = run(Command::new("ttyplay").arg("-n").arg(open.join("terminal-1.ttyrec")));
    assert!(film.contains("whoami") && film.contains("time left"), "{film}");
    let typed = std::fs::read_to_string(open.join("typed-1.jsonl")).unwrap();
    assert!(typed.contains("whoami"), "{typed}");
    assert_eq!(listed(&bridge).len(), 1);
    bridge.raise();
}
