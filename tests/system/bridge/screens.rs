//! Real programs on a node of the array, reached by the appliance's own `ssh`: the owner's live screen is the engineer's, as pyte draws
//! it, and what was recorded of it plays to its last frame in ttyplay.

use crate::events::recordings;
use crate::kept::{played, unpack, verify};
use drawbridge_bus::record::RecordingId;
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_lab::net::NamespaceConfig;
use drawbridge_lab::{Lab, within};
use drawbridge_recording::{FrameReader, Screen, Size};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant, target};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_mins(2);
const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/system/bridge/node.py");
const ENGINEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/system/bridge/engineer.py");
/// The engineer's terminal: rows and columns.
const SIZE: (u16, u16) = (24, 80);
/// The recording of a flood is larger than what other tests have room for.
const DATA_BYTES: u64 = 96 << 20;
/// Lines of the flood: 10 MB.
const FLOOD: u32 = 1_400_000;

/// What the engineer does, and where the owner looks: `what` is as the script has it.
fn steps() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut add = |what, text: &str| all.push((what, text.to_owned()));
    add("shows", "> ");
    add("types", "ssh root@10.0.1.3\r");
    add("shows", "(yes/no) ");
    add("types", "yes\r");
    add("shows", "assword:");
    add("types", "open sesame\r");
    add("shows", "node$ ");

    add("types", "vim.tiny -u NONE -n file\r");
    add("shows", "line 1 of");
    for (typed, then) in
        [("50G", "line 50 of"), ("ddOa new line\u{1b}", "a new line"), (":set number\r", "     50 ")]
    {
        add("types", typed);
        add("shows", then);
    }
    add("mark", "vi");
    add("types", ":q!\r");
    add("shows", "node$ ");

    add("types", "clear; less file\r");
    add("shows", "line 18 of");
    add("types", " /line 60\r");
    add("shows", "line 60 of");
    add("mark", "less");
    add("types", "q");
    add("shows", "node$ ");

    // More than a screen is wide: it wraps, and what is typed in one go comes in one go.
    add("types", "clear; echo rea''dy; cat > /dev/null; echo tak''en\r");
    add("shows", "ready");
    add("types", &format!("{}end\r\u{4}", "0123456789".repeat(100)));
    add("shows", "taken");
    add("mark", "paste");

    // Wide and combining characters; and a colour in pieces.
    add("types", "clear; printf '\\346\\274\\242\\345\\255\\227 q\\314\\210x %077d\\346\\274\\242\\n' 0\r");
    add("shows", "\u{6f22}\u{5b57}");
    add(
        "types",
        "printf '\\033[3'; sleep 0.4; printf '1;4'; sleep 0.4; printf 'mred\\033[0m %s\\n' in-pieces\r",
    );
    add("shows", "red in-pieces");
    add("mark", "characters");

    add("types", "clear; top -d 0.2 -n 3; echo that was'' top\r");
    add("shows", "that was top");
    add("mark", "top");

    add("types", &format!("seq {FLOOD}; echo 'the end' of it\r"));
    add("flood", "the end of it");
    add("mark", "flood");

    add("types", "exit 3\r");
    add("shows", "> ");
    add("types", "exit 7\r");
    all
}

/// The lines of the engineer's terminal, as the owner sees them now; none when it is not all there yet.
fn live(bridge: &Bridge, id: &RecordingId, channel: u32) -> Option<Vec<String>> {
    let (mut lines, mut after) = (BTreeMap::new(), 0);
    loop {
        let request = Request::Screen { id: id.clone(), channel, after };
        let screen = match bridge.site.ask(Role::Recorder, &request) {
            Reply::Screen(screen) => *screen,
            other => panic!("no screen: {other:?}"),
        };
        for row in screen.rows {
            lines.insert(row.row, row.runs.into_iter().map(|run| run.text).collect::<String>());
        }
        if !screen.more {
            let line = |row| lines.remove(&row).unwrap_or_default().trim_end().to_owned();
            return (screen.behind == 0).then(|| (0..SIZE.0).map(line).collect());
        }
        after = screen.revision;
    }
}

/// What ttyplay shows of a recording, as fast as it can.
fn ttyplay(file: &Path) -> Vec<u8> {
    let played = Command::new("ttyplay").arg("-n").arg(file).stdin(Stdio::null()).output().unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    played.stdout
}

#[test]
fn the_owner_sees_what_real_programs_draw_and_what_is_recorded_plays_to_its_last_frame() {
    let lab = Lab::new("screens");
    let mut bridge = Bridge::boot_with(&lab, &Image::here(), |mut plan| {
        plan.data_bytes = DATA_BYTES;
        plan
    });
    let evidence = bridge.keys().evidence_fingerprint;
    let place = lab.folder().join("node");
    std::fs::create_dir(&place).unwrap();
    let text: String = (1..200)
        .map(|line: usize| {
            ["line ", &line.to_string(), " of a file with ", &"words ".repeat(line % 12), "in it\n"].concat()
        })
        .collect();
    std::fs::write(place.join("file"), text).unwrap();
    let key = lab.folder().join("node-key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    let node = bridge.inside.0.namespace("node", &NamespaceConfig::new().ipv4([10, 0, 1, 3], 24)).unwrap();
    let words = ["-u", "-W", "ignore", NODE, "10.0.1.3", key.to_str().unwrap(), place.to_str().unwrap()];
    let server = node.run("/usr/bin/python3", words).unwrap();
    server.wait_for("serves", within(SOON)).unwrap();

    let secret = bridge.lower(grant(vec![target("10.0.1.3", 22)]));
    let folder = lab.folder().join("engineer");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("steps.json"), serde_json::to_string(&steps()).unwrap()).unwrap();
    let script = format!("/usr/bin/python3 -u {ENGINEER} {}", folder.display());
    let engineer = bridge.script(&script, &secret);
    let end = Instant::now() + within(SOON);
    let (id, channel) = loop {
        if let Reply::Live(live) = bridge.site.ask(Role::Recorder, &Request::Live)
            && let Some(one) =
                live.iter().find_map(|one| Some((one.id.clone(), one.channels.first()?.channel)))
        {
            break one;
        }
        assert!(Instant::now() < end, "{}\n{}", engineer.text(), bridge.site.machine.serial().tail(30));
        std::thread::sleep(Duration::from_millis(200));
    };
    for (_, mark) in steps().iter().filter(|(what, _)| *what == "mark") {
        let file = folder.join(format!("mark-{mark}.json"));
        let end = Instant::now() + within(SOON);
        let seen = loop {
            let theirs: Option<Vec<String>> =
                std::fs::read(&file).ok().map(|json| serde_json::from_slice(&json).unwrap());
            let ours = theirs.as_ref().and_then(|_| live(&bridge, &id, channel));
            if ours.is_some() && ours == theirs {
                break ours.unwrap_or_default();
            }
            assert!(
                engineer.runs() && Instant::now() < end,
                "{mark}: {ours:#?}\nis not {theirs:#?}\n{}",
                engineer.text()
            );
            std::thread::sleep(Duration::from_millis(200));
        };
        assert!(seen.iter().filter(|line| !line.is_empty()).count() > 2, "{mark}: {seen:#?}");
        std::fs::write(folder.join(format!("go-{mark}")), "").unwrap();
    }
    engineer.wait(within(SOON)).unwrap();
    assert!(engineer.text().contains("over: 7"), "{}", engineer.text());
    bridge.raise();

    let listed = recordings(&bridge.site);
    bridge.site.machine.power_off(within(Duration::from_secs(30))).unwrap();
    let kept = lab.folder().join("kept");
    unpack(&bridge.site.disk, &kept);
    assert_eq!(listed.len(), 1, "{listed:#?}");
    let recording = kept.join("recorder").join(id.as_str());
    let (status, said) = verify(&recording, &evidence);
    assert_eq!(status, Some(0), "{said}");
    let file = recording.join("terminal-1.ttyrec");
    let bytes = played(&file);
    // Beside what the engineer has seen stands the size of his terminal only.
    let seen = std::fs::read(folder.join("seen")).unwrap();
    let size = format!("\u{1b}[8;{};{}t", SIZE.0, SIZE.1);
    let rest = bytes.strip_prefix(size.as_bytes()).expect("the size stands first");
    assert!(
        seen.windows(rest.len()).any(|part| part == rest),
        "{} bytes were recorded, {} seen",
        rest.len(),
        seen.len()
    );
    assert!(rest.len() > 10_000_000, "{}", rest.len());
    let shown = ttyplay(&file);
    assert!(
        shown.windows(bytes.len()).any(|part| part == bytes),
        "{} bytes came out of ttyplay",
        shown.len()
    );
    // And the model that everybody may use draws from the file what the owner saw last.
    let mut screen = Screen::new(Size::clamped(SIZE.0.into(), SIZE.1.into()));
    let content = std::fs::read(&file).unwrap();
    let mut frames = FrameReader::new(content.as_slice());
    while let Some(frame) = frames.next_frame().unwrap() {
        screen.frame(frame);
    }
    let last = screen.snapshot().text().join("\n");
    assert!(last.contains("the end of it") && last.contains("exit 7"), "{last}");
    println!("figure: {} bytes of real programs, recorded and played", bytes.len());
}
