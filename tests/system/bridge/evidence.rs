//! What an engineer does is recorded by the appliance, and anybody can check it; and the owner's hand on what he does.

use drawbridge_bus::record::{PART_BYTES, RecordingLine};
use drawbridge_bus::supervise::Supervision;
use drawbridge_bus::support::Level;
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_lab::net::Program;
use drawbridge_lab::vendor::beside;
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_mins(1);

/// A terminal on which `whoami` is typed at the first prompt, and `exit` when it has answered; what was seen, a line when it is over.
const TYPES: &str = r#"
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp("ssh", ["ssh", "-F", os.environ["CONFIG"], "-t", "sa"])
said, step = b"", 0
while True:
    try: piece = os.read(fd, 4096)
    except OSError: break
    if not piece: break
    said += piece
    sys.stdout.buffer.write(piece); sys.stdout.flush()
    if step == 0 and b"> " in said:
        os.write(fd, b"whoami\r"); step = 1
    elif step == 1 and b"time left" in said:
        os.write(fd, b"exit 7\r"); step = 2
print("\nover:", step, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"#;

fn types(bridge: &Bridge, secret: &str) -> Program {
    bridge.script(&format!("python3 -u - <<'PYTHON'\n{TYPES}PYTHON\n"), secret)
}

/// All recordings, the latest first, once none runs.
fn recordings(bridge: &Bridge) -> Vec<RecordingLine> {
    let end = Instant::now() + within(SOON);
    loop {
        match bridge.site.ask(Role::Recorder, &Request::Recordings { before: None }) {
            // The last signature comes a moment after the end.
            Reply::Recordings(lines) if lines.iter().all(|line| !line.running && line.head.is_some()) => {
                return lines;
            }
            Reply::Recordings(lines) => assert!(Instant::now() < end, "{lines:#?}"),
            other => panic!("no recordings: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A recording as it is given away.
fn fetch(bridge: &Bridge, lab: &Lab, line: &RecordingLine) -> PathBuf {
    let folder = lab.folder().join(line.id.as_str());
    std::fs::create_dir_all(&folder).unwrap();
    for (name, length) in &line.files {
        let mut content = Vec::new();
        while (content.len() as u64) < *length {
            let (id, file, offset) = (line.id.clone(), name.clone(), content.len() as u64);
            // The lab's line to the bus is slow.
            let request = Request::RecordingPart { id, file, offset, most: PART_BYTES.min(16 * 1024) };
            match bridge.site.ask(Role::Recorder, &request) {
                Reply::RecordingPart(bytes, _) if !bytes.is_empty() => content.extend_from_slice(&bytes),
                other => panic!("{name} at {offset}: {other:?}"),
            }
        }
        std::fs::write(folder.join(name), content).unwrap();
    }
    folder
}

/// What the program `verify` says, and its status.
pub(super) fn verify(folder: &Path, key: &str) -> (String, Option<i32>) {
    let program = beside("verify").expect("verify beside the tests: cargo build -p drawbridge-verify");
    let told = Command::new(program).args(["--key", key]).arg(folder).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    (said, told.status.code())
}

#[test]
fn what_an_engineer_does_is_recorded_and_anybody_can_check_it() {
    let lab = Lab::new("recorded");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let secret = bridge.lower(grant(Vec::new()));
    let key = bridge.keys().evidence_fingerprint;
    let here = lab.folder().join("here.txt");
    std::fs::write(&here, "a line\n").unwrap();
    bridge.client("scp", [here.to_str().unwrap(), "sa:there.txt"], &secret).finish(within(SOON)).unwrap();
    let typed = types(&bridge, &secret);
    let status = typed.wait(within(SOON)).unwrap();
    let said = typed.whole_text();
    assert!(
        status.success() && said.contains("over: 2 7"),
        "{said}\n{}",
        bridge.site.machine.serial().tail(30)
    );
    // The daemon dies in the middle of a third: what it had said is kept, and closed.
    let held = bridge.client("ssh", ["-tt", "sa"], &secret);
    held.wait_for("Support Appliance", within(SOON)).unwrap();
    bridge.raise();
    let _ = held.wait(within(SOON));

    let lines = recordings(&bridge);
    let ends: Vec<_> = lines.iter().map(|line| (&line.id, &line.end)).collect();
    assert_eq!(ends.len(), 3, "{ends:?}\n{}", bridge.site.machine.serial().tail(60));
    let mut all = String::new();
    for line in &lines {
        let facts = line.facts.as_ref().unwrap();
        assert_eq!((facts.engineer.as_str(), facts.grant.1.as_str()), ("anna", "case 4711"));
        let folder = fetch(&bridge, &lab, line);
        let (said, status) = verify(&folder, &key);
        assert_eq!(status, Some(0), "{said}\n{line:#?}");
        for (name, length) in &line.files {
            let path = folder.join(name);
            let content = std::fs::read(&path).unwrap();
            all.push_str(&String::from_utf8_lossy(&content));
            if *length == 0 {
                continue;
            }
            // One byte of any file is another: it is found.
            let mut other = content.clone();
            let middle = other.len() / 2;
            other[middle] ^= 1;
            std::fs::write(&path, other).unwrap();
            let (said, status) = verify(&folder, &key);
            assert_ne!(status, Some(0), "{name}: {said}");
            std::fs::write(&path, content).unwrap();
        }
        let (said, status) = verify(&folder, &bridge.keys().host_fingerprint);
        assert_ne!(status, Some(0), "it is another key's: {said}");
    }
    for wanted in ["whoami", "time left", "there.txt", &sha256("a line\n")] {
        assert!(all.contains(wanted), "{wanted} is not recorded:\n{all}");
    }
    assert!(!all.contains(&secret), "the secret is in a recording");
}

fn sha256(text: &str) -> String {
    use std::fmt::Write as _;
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[test]
fn who_is_to_be_watched_does_nothing_until_somebody_watches_and_is_paused_spoken_to_and_ended() {
    let lab = Lab::new("watched");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let mut watched = grant(Vec::new());
    watched.level = Level::Watched;
    let secret = bridge.lower(watched);
    let (said, status) = bridge.ssh(["whoami"], &secret);
    assert!(status != Some(0) && said.contains("nobody is watching"), "{said}");
    let typed = types(&bridge, &secret);
    typed.wait_for("nobody is watching", within(SOON)).unwrap();
    let connection =
        bridge.until("the engineer", |status| status.visitors.first().map(|visitor| visitor.connection));
    let supervise = |what| {
        let request = Request::Supervise { connection, viewer: 1, by: "otto".to_owned(), what };
        assert_eq!(bridge.ask(&request), Reply::Done);
    };
    // As long as a look at what is ordered takes, and longer: what was typed has not been done.
    std::thread::sleep(within(Duration::from_secs(2)));
    assert!(!typed.text().contains("time left"), "{}", typed.text());
    supervise(Supervision::Pause);
    supervise(Supervision::Watch);
    typed.wait_for("otto has paused", within(SOON)).unwrap();
    supervise(Supervision::Watch);
    supervise(Supervision::Message("mind the gap".to_owned()));
    typed.wait_for("otto: mind the gap", within(SOON)).unwrap();
    assert!(!typed.text().contains("time left"), "{}", typed.text());
    supervise(Supervision::Watch);
    supervise(Supervision::Resume);
    let end = Instant::now() + within(SOON);
    while typed.runs() {
        assert!(Instant::now() < end, "{}", typed.text());
        let request =
            Request::Supervise { connection, viewer: 1, by: "otto".to_owned(), what: Supervision::Watch };
        // He may have left meanwhile.
        let _ = bridge.ask(&request);
        std::thread::sleep(Duration::from_millis(300));
    }
    let said = typed.whole_text();
    assert!(said.contains("over: 2 7"), "{said}\n{}", bridge.site.machine.serial().tail(30));

    let held = bridge.client("ssh", ["-tt", "sa"], &secret);
    let connection =
        bridge.until("the engineer", |status| status.visitors.first().map(|visitor| visitor.connection));
    let request = Request::Supervise { connection, viewer: 1, by: "otto".to_owned(), what: Supervision::End };
    assert_eq!(bridge.ask(&request), Reply::Done);
    held.wait(within(SOON)).unwrap();
    assert!(held.whole_text().contains("otto has ended your connection"), "{}", held.whole_text());
}

#[test]
fn at_the_level_guided_a_line_runs_when_the_owner_lets_it() {
    let lab = Lab::new("guided");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let mut guided = grant(Vec::new());
    guided.level = Level::Guided;
    let secret = bridge.lower(guided);
    let typed = types(&bridge, &secret);
    typed.wait_for("nobody is watching", within(SOON)).unwrap();
    let connection =
        bridge.until("the engineer", |status| status.visitors.first().map(|visitor| visitor.connection));
    let ask = |what| bridge.ask(&Request::Supervise { connection, viewer: 1, by: "otto".to_owned(), what });
    let end = Instant::now() + within(SOON);
    let number = loop {
        assert_eq!(ask(Supervision::Watch), Reply::Done);
        let waiting = bridge.status().visitors.into_iter().find_map(|visitor| visitor.supervised.proposal);
        if let Some(proposal) = waiting {
            assert_eq!(proposal.line, "whoami");
            break proposal.number;
        }
        assert!(Instant::now() < end, "{}\n{}", typed.text(), bridge.site.machine.serial().tail(20));
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(!typed.text().contains("time left"), "{}", typed.text());
    assert!(matches!(ask(Supervision::Judge { number: number + 1, approved: true }), Reply::NotTaken(_)));
    assert_eq!(ask(Supervision::Judge { number, approved: true }), Reply::Done);
    while typed.runs() {
        assert!(Instant::now() < end + within(SOON), "{}", typed.text());
        let _ = ask(Supervision::Watch);
        std::thread::sleep(Duration::from_millis(300));
    }
    let said = typed.whole_text();
    assert!(said.contains("otto lets it run") && said.contains("over: 2 7"), "{said}");
    let there = lab.folder().join("here.txt");
    std::fs::write(&there, "a line\n").unwrap();
    let copied = bridge.client("scp", [there.to_str().unwrap(), "sa:there.txt"], &secret);
    assert!(!copied.wait(within(SOON)).unwrap().success(), "{}", copied.whole_text());
}
