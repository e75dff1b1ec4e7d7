//! The recorder as a process: what it has said that it keeps is kept, whatever ends it.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::{House, close, end, facts, may_run, output, shown, typed};
use drawbridge_bus::record::{Deed, RecordAsk, RecordedEnd, RecordedUse, RecordingId};
use drawbridge_bus::support::Target;
use drawbridge_bus::{Refusal, Reply, Request, Role};
use drawbridge_recording::{Entry, Event, Typed, Way};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[test]
#[ignore = "the role itself, started by the others"]
fn the_roles_own_process() {
    common::be_the_role();
}

#[test]
#[ignore = "a caller itself, started by the others"]
fn a_callers_own_process() {
    common::be_a_caller();
}

fn events(house: &House, id: &RecordingId) -> Vec<Event> {
    let mut reader = house.bundle(id).events().unwrap();
    let mut events: Vec<Entry> = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        assert!(events.last().is_none_or(|last| last.after <= entry.after));
        events.push(entry);
    }
    events.into_iter().map(|entry| entry.event).collect()
}

fn typed_at(house: &House, id: &RecordingId, terminal: u32) -> Vec<String> {
    let mut reader = house.bundle(id).typed(terminal).unwrap().unwrap();
    let mut all = Vec::new();
    while let Some(typed) = reader.next_typed().unwrap() {
        all.push(match typed {
            Typed::Shown { text, .. } => text.to_string(),
            Typed::Masked { masked, .. } => format!("({masked})"),
            Typed::Key { key, .. } => format!("<{key}>"),
        });
    }
    all
}

fn target() -> Target {
    Target { host: "node-1.example".parse().unwrap(), port: 8443 }
}

#[test]
fn two_connections_at_once_are_two_recordings_that_verify() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let (mut one, mut other, mut shell) =
        (house.call_as(Role::Sshd), house.call_as(Role::Sshd), house.call_as(Role::Shell));
    one.begin(1);
    other.begin(2);
    one.terminal(1, 1);
    other.terminal(2, 1);
    for turn in 0..100 {
        one.keep(1, output(1, format!("one {turn}\r\n").as_bytes()));
        other.keep(2, output(1, format!("other {turn}\r\n").as_bytes()));
    }
    one.keep(1, RecordAsk::Size { channel: 1, size: (132, 50) });
    let command = RecordedUse::Command(Some("cat report".to_owned()));
    for channel in [2, 3] {
        one.keep(1, RecordAsk::Open { channel, what: command.clone() });
        one.keep(1, typed(channel, false, b"what goes in"));
        one.keep(1, output(channel, b"what comes out"));
        one.keep(1, close(channel, RecordedEnd::Exited(3)));
    }
    one.keep(1, RecordAsk::Open { channel: 4, what: RecordedUse::Files { scp: None } });
    let deed =
        Deed::File { written: true, path: "a\u{1b}b".to_owned(), carried: 5, length: 5, sha256: [7; 32] };
    assert_eq!(shell.deed(1, deed), Reply::Done);
    assert_eq!(shell.deed(1, Deed::Change("removed old".to_owned())), Reply::Done);
    assert_eq!(shell.deed(1, Deed::Reached(target())), Reply::Done);
    one.keep(1, close(4, RecordedEnd::Exited(0)));
    one.keep(1, RecordAsk::Open { channel: 5, what: RecordedUse::Forward(target()) });
    one.keep(1, close(5, RecordedEnd::Carried { sent: 10, received: 20 }));
    one.keep(1, end());
    let lines = house.lines();
    assert_eq!(lines.iter().map(|line| line.running).collect::<Vec<_>>().iter().filter(|is| **is).count(), 1);
    other.keep(2, close(1, RecordedEnd::Signalled(9)));
    other.keep(2, end());

    let lines = house.whole(2);
    assert!(lines.iter().all(|line| line.facts == Some(facts()) && line.end == "he left"));
    let is_first = events(&house, &lines[0].id).len() > 8;
    let (first, second) = (&lines[usize::from(!is_first)].id, &lines[usize::from(is_first)].id);
    for id in [first, second] {
        house.is_proved(id);
    }
    let expected =
        |word: &str| (0..100).flat_map(|turn| format!("{word} {turn}\r\n").into_bytes()).collect::<Vec<u8>>();
    assert_eq!(house.shown(first, 1), expected("one"));
    assert_eq!(house.shown(second, 1), expected("other"));
    // The second command went to the terminal that the first had left.
    assert_eq!(house.shown(first, 2), b"what comes outwhat comes out");
    assert!(!house.has(b"what goes in"));
    let events = events(&house, first);
    let has = |what: &dyn Fn(&Event) -> bool| events.iter().filter(|event| what(event)).count();
    assert_eq!(
        has(&|event| matches!(event, Event::Command { command, .. } if command.as_str() == "cat report")),
        2
    );
    let ended =
        |event: &Event| matches!(event, Event::CommandEnded { status: Some(3), received: 12, sent: 14, .. });
    assert_eq!(has(&ended), 2);
    let file = |event: &Event| {
        matches!(event, Event::File { way: Way::In, path, bytes: 5, complete: true, sha256: Some(hash), .. }
            if path.as_str() == "a\\eb" && hash.0 == [7; 32])
    };
    assert_eq!(has(&file), 1);
    assert_eq!(has(&|event| matches!(event, Event::Changed { what } if what.as_str() == "removed old")), 1);
    assert_eq!(has(&|event| matches!(event, Event::Reached { port: 8443, .. })), 1);
    assert_eq!(has(&|event| matches!(event, Event::ForwardEnded { sent: 10, received: 20, .. })), 1);
    let told = house.told(9);
    let told_of =
        |words: &[&str]| told.iter().filter(|text| words.iter().all(|word| text.contains(word))).count();
    assert_eq!(told_of(&["COMMAND", "cat report", "\"status\":3", "engineer"]), 2, "{told:?}");
    assert_eq!(told_of(&["\"FILE\"", "\"in\"", &"07".repeat(32)]), 1);
    assert_eq!(told_of(&["FORWARD", "node-1.example:8443", "\"bytes_out\":10", "\"bytes_in\":20"]), 1);
    assert_eq!(told_of(&["COMMAND", "ssh node-1.example:8443"]), 1);
    assert_eq!(told_of(&["RECORDING_CLOSED", first.as_str(), "he left", "\"device\""]), 1);
    assert_eq!(told_of(&["what goes in"]) + told_of(&["what comes out"]), 0);
    // Terminal, command, and the cut of the terminal that was still open.
    assert_eq!(has(&|event| matches!(event, Event::Closed { terminal: 1, status: None })), 1);
    assert!(matches!(events.last(), Some(Event::Ended { .. })));
    assert!(role.stop().success());
}

#[test]
fn what_was_acknowledged_outlives_a_kill_at_any_point() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    // Always the same points.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..20_usize {
        let role = house.start();
        let mut sshd = house.call_as(Role::Sshd);
        sshd.begin(1);
        sshd.terminal(1, 1);
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let until = Instant::now() + Duration::from_millis(seed % 1500);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            role.kill();
        });
        let (mut acknowledged, mut turn) = (Vec::new(), 0_u32);
        loop {
            let bytes = format!(
                "round {round} turn {turn} {}\r\n",
                "x".repeat(usize::try_from(turn % 3000).unwrap())
            );
            let ask = Request::Record { connection: 1, ask: output(1, bytes.as_bytes()) };
            match sshd.try_call(ask) {
                Some(Reply::Done) => acknowledged.extend(bytes.into_bytes()),
                None => break,
                Some(other) => panic!("{other:?}"),
            }
            turn += 1;
        }
        killer.join().unwrap();
        kept.push(acknowledged);
    }
    let role = house.start();
    let lines = house.whole(kept.len());
    let mut total = 0;
    for line in &lines {
        house.is_proved(&line.id);
        assert!(line.end.starts_with("cut"), "{}", line.end);
        let shown = house.shown(&line.id, 1);
        // What was acknowledged, and at most one piece that was written when its answer was not read any more.
        let round: usize = match String::from_utf8_lossy(&shown).strip_prefix("round ") {
            Some(rest) => rest.split(' ').next().unwrap().parse().unwrap(),
            None => continue,
        };
        let acknowledged = std::mem::take(&mut kept[round]);
        assert!(shown.starts_with(&acknowledged), "round {round}: {} of {}", shown.len(), acknowledged.len());
        assert!(shown.len() - acknowledged.len() < 4096);
        total += acknowledged.len();
    }
    assert!(kept.iter().all(Vec::is_empty), "what was acknowledged is nowhere");
    println!("{} recordings were cut, {total} bytes in them had been acknowledged", lines.len());
    assert!(role.stop().success());
}

#[test]
fn what_a_power_cut_leaves_is_closed_as_cut_and_verifies_up_to_its_last_seal() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let mut sshd = house.call_as(Role::Sshd);
    sshd.begin(1);
    sshd.terminal(1, 1);
    sshd.keep(1, output(1, b"this was sealed\r\n"));
    let id = house.lines()[0].id.clone();
    let chain = house.folder_of(&id).join("chain.jsonl");
    let until = Instant::now() + common::SOON;
    while !std::fs::read_to_string(&chain).unwrap().contains("terminal-1") {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    sshd.keep(1, output(1, b"this may be lost"));
    role.kill();
    // What the file system had no time for: the rest of the last line, and of the last frame.
    let terminal = house.folder_of(&id).join("terminal-1.ttyrec");
    for (path, cut) in [(&chain, 7), (&terminal, 3)] {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - if path == &chain { 0 } else { cut }).unwrap();
    }
    std::io::Write::write_all(
        &mut std::fs::File::options().append(true).open(&chain).unwrap(),
        b"{\"block\":{\"number\":",
    )
    .unwrap();
    let role = house.start();
    let line = house.whole(1).remove(0);
    house.is_proved(&id);
    assert!(line.end.starts_with("cut"));
    assert_eq!(house.shown(&id, 1), b"this was sealed\r\n");
    assert!(matches!(events(&house, &id).as_slice(), [.., Event::Gap { .. }, Event::Ended { .. }]));
    // Closed once: another start finds nothing to do.
    let files = line.files;
    assert!(role.stop().success());
    let role = house.start();
    assert_eq!(house.whole(1)[0].files, files);
    assert!(role.stop().success());
}

#[test]
fn a_recording_that_was_cut_before_its_first_line_is_gone_at_the_next_start_and_the_audit_is_told() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let mut sshd = house.call_as(Role::Sshd);
    sshd.begin(1);
    sshd.keep(1, end());
    let kept = house.whole(1).remove(0).id;
    role.kill();
    let before = house.told(0).len();
    let ghost = RecordingId::parse("20260101T000000Z-00000001").unwrap();
    let folder = house.folder_of(&ghost);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("chain.jsonl"), "{\"header\":{\"version\"").unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&house.folder_of(&kept).metadata().unwrap());
    for path in [folder.join("chain.jsonl"), folder] {
        std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
    }
    let role = house.start();
    let told = house.told(before + 1).split_off(before).remove(0);
    assert!(told.contains("RECORDING_REMOVED") && told.contains(ghost.as_str()), "{told}");
    let left: Vec<_> = house.lines().into_iter().map(|line| line.id).collect();
    assert_eq!(left, [kept]);
    assert!(role.stop().success());
}

#[test]
fn a_full_disk_fails_the_recording_for_good_and_leaves_it_readable() {
    if !may_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let flags = nix::mount::MsFlags::empty();
    if let Err(error) = nix::mount::mount(Some("none"), &disk, Some("tmpfs"), flags, Some("size=24m")) {
        eprintln!("skipped: no file system can be mounted here ({error})");
        return;
    }
    let data = disk.join("data");
    std::fs::create_dir(&data).unwrap();
    let rest = disk.join("rest");
    let house = House::at(data);
    let role = house.start();
    let mut sshd = house.call_as(Role::Sshd);
    sshd.begin(1);
    sshd.terminal(1, 1);
    let piece = vec![b'x'; 64 * 1024];
    let (mut kept, mut why) = (0, String::new());
    for _ in 0..1000 {
        match sshd.record(1, output(1, &piece)) {
            Reply::Done => kept += piece.len(),
            Reply::Unrecorded(sentence) => {
                why = sentence;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(kept > 16 * 1024 * 1024 && why.contains("No space left"), "{kept}: {why}");
    // The last of the disk is left to the others.
    let left = nix::sys::statvfs::statvfs(&disk).unwrap();
    let left = left.blocks_available() * left.fragment_size();
    assert!((2 << 20..3 << 20).contains(&left), "{left} bytes are left");
    // For good, though there would be room for a little.
    assert!(matches!(sshd.record(1, output(1, b"y")), Reply::Unrecorded(again) if again == why));
    assert!(matches!(sshd.record(1, typed(1, true, b"y")), Reply::Unrecorded(_)));
    // No other begins, and that is said in the status.
    let mut other = house.call_as(Role::Sshd);
    let Reply::Unrecorded(full) = other.record(2, RecordAsk::Begin(Box::new(facts()))) else { panic!() };
    assert!(full.contains("MiB left"), "{full}");
    let mut console = house.call_as(Role::Console);
    let Reply::Recorder(status) = console.call(Request::Recorder) else { panic!() };
    assert!(!status.takes && status.trouble.starts_with("No session can be recorded"), "{status:?}");
    let Reply::Live(live) = console.call(Request::Live) else { panic!() };
    assert!(live[0].failed.contains("No space left"));
    // All that was kept is there.
    let id = live[0].id.clone();
    let mut frames = house.bundle(&id).frames(1).unwrap();
    let mut there = 0;
    while let Ok(Some(frame)) = frames.next_frame() {
        there += frame.data.len();
    }
    assert!(there >= kept, "{there} of {kept}");
    // It is closed as soon as that can be written: here another has filled up the rest.
    std::fs::write(&rest, vec![0; 4 << 20]).unwrap_err();
    sshd.keep(1, end());
    std::fs::remove_file(rest).unwrap();
    let ended = house.whole(1).remove(0);
    assert!(ended.end.contains("failed"), "{}", ended.end);
    house.is_proved(&id);
    assert!(shown(house.bundle(&id).frames(1).unwrap()).len() >= kept);
    assert!(role.stop().success());
    nix::mount::umount2(&disk, nix::mount::MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn no_secret_that_was_typed_unseen_is_anywhere_in_the_folder() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let mut sshd = house.call_as(Role::Sshd);
    sshd.begin(1);
    sshd.terminal(1, 1);
    // At a program that switches the echo off.
    sshd.keep(1, typed(1, true, b"passwd\r"));
    sshd.keep(1, output(1, b"passwd\r\nNew password: "));
    for key in b"Tr0ub4dor&3" {
        sshd.keep(1, typed(1, false, &[*key]));
    }
    sshd.keep(1, typed(1, false, b"\r"));
    sshd.keep(1, output(1, b"\r\n"));
    // At another host, by ssh: in raw mode all the time.
    for key in b"su -" {
        sshd.keep(1, typed(1, false, &[*key]));
        sshd.keep(1, output(1, &[*key]));
    }
    sshd.keep(1, typed(1, false, b"\r"));
    sshd.keep(1, output(1, b"\r\nPassword: "));
    sshd.keep(1, typed(1, false, b"hunter2-hunter2\r"));
    sshd.keep(1, output(1, b"\r\nbox # "));
    // Pasted, and never answered.
    sshd.keep(1, typed(1, false, b"unanswered-secret"));
    sshd.keep(1, end());
    let id = house.whole(1).remove(0).id;
    for secret in [&b"Tr0ub4dor"[..], b"hunter2", b"unanswered"] {
        assert!(!house.has(secret));
    }
    assert!(!role.log().contains("hunter2"));
    assert_eq!(
        typed_at(&house, &id, 1),
        ["passwd", "<Enter>", "(11)", "<Enter>", "su -", "<Enter>", "(15)", "<Enter>", "(17)"]
    );
    assert!(role.stop().success());
}

#[test]
fn a_recording_goes_on_while_session_is_away_and_is_signed_when_it_is_back() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    house.is_away.store(true, Ordering::SeqCst);
    let mut sshd = house.call_as(Role::Sshd);
    // The key is not known yet: nothing could ever be proved.
    assert!(matches!(
        sshd.record(1, RecordAsk::Begin(Box::new(facts()))),
        Reply::Unrecorded(why) if why.contains("key for evidence")
    ));
    house.is_away.store(false, Ordering::SeqCst);
    sshd.begin(1);
    house.is_away.store(true, Ordering::SeqCst);
    sshd.begin(2);
    sshd.terminal(2, 1);
    sshd.keep(2, output(1, b"nobody signs this now"));
    sshd.keep(1, end());
    sshd.keep(2, end());
    assert!(house.lines().iter().all(|line| !line.running && line.end == "he left" && line.head.is_none()));
    house.is_away.store(false, Ordering::SeqCst);
    for line in house.whole(2) {
        house.is_proved(&line.id);
    }
    assert!(house.signed.load(Ordering::SeqCst) >= 2);
    assert!(role.stop().success());
}

#[test]
fn when_nobody_is_left_who_writes_all_that_is_open_is_cut() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let mut sshd = house.call_as(Role::Sshd);
    sshd.begin(1);
    sshd.begin(2);
    let mut session = house.call_as(Role::Session);
    assert_eq!(session.call(Request::RecordingsOver), Reply::Done);
    assert!(house.whole(2).iter().all(|line| line.end.starts_with("cut")));
    assert!(matches!(sshd.record(1, end()), Reply::Unrecorded(_)));
    // A number that comes again is another connection.
    sshd.begin(1);
    sshd.begin(1);
    sshd.keep(1, end());
    let mut ends: Vec<_> = house.whole(4).into_iter().map(|line| line.end).collect();
    ends.sort();
    assert_eq!(ends.iter().filter(|end| end.starts_with("cut")).count(), 3);
    assert_eq!(ends[3], "he left");
    // The role's own end is no cut.
    sshd.begin(9);
    assert!(role.stop().success());
    let role = house.start();
    let lines = house.whole(5);
    assert_eq!(lines.iter().filter(|line| line.end.contains("shut down")).count(), 1);
    assert!(role.stop().success());
}

#[test]
fn what_belongs_to_no_recording_is_not_kept_and_says_so() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let (mut sshd, mut shell) = (house.call_as(Role::Sshd), house.call_as(Role::Shell));
    let unknown = |reply: Reply| matches!(reply, Reply::Unrecorded(why) if why.contains("no recording"));
    assert!(unknown(sshd.record(1, output(1, b"x"))));
    assert!(unknown(shell.deed(1, Deed::Change("x".to_owned()))));
    sshd.begin(1);
    let refused = |reply: Reply| matches!(reply, Reply::Unrecorded(_));
    assert!(refused(sshd.record(1, output(1, b"x"))));
    sshd.terminal(1, 7);
    // Used before, and below one that was used.
    for channel in [7, 6, 0, u32::MAX] {
        let what = RecordedUse::Command(None);
        assert!(refused(sshd.record(1, RecordAsk::Open { channel, what })));
    }
    assert!(refused(sshd.record(1, output(7, &vec![b'x'; 64 * 1024 + 1]))));
    assert!(refused(sshd.record(1, RecordAsk::Size { channel: 8, size: (1, 1) })));
    assert!(refused(sshd.record(1, close(8, RecordedEnd::Cut))));
    // None of that has harmed the recording.
    sshd.keep(1, output(7, b"x"));
    sshd.keep(1, end());
    house.is_proved(&house.whole(1)[0].id);
    assert!(role.stop().success());
}

#[test]
fn the_owner_sees_running_terminals_as_they_are_and_nobody_else_does() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let mut sshd = house.call_as(Role::Sshd);
    sshd.begin(1);
    sshd.terminal(1, 3);
    sshd.keep(1, output(3, b"\x1b]0;title\x07hello\x1b[31m red\x1b[m"));
    let mut console = house.call_as(Role::Console);
    let Reply::Live(live) = console.call(Request::Live) else { panic!() };
    assert_eq!((live.len(), live[0].connection, &live[0].facts), (1, 1, &facts()));
    assert_eq!(
        live[0].channels.iter().map(|one| (one.channel, one.size)).collect::<Vec<_>>(),
        [(3, (80, 24))]
    );
    let id = live[0].id.clone();
    let Reply::Screen(screen) = console.screen(&id, 3, 0) else { panic!() };
    assert_eq!(
        (screen.size, screen.cursor, screen.rows.len(), screen.behind),
        ((80, 24), Some((9, 0)), 24, 0)
    );
    assert_eq!(
        screen.rows[0].runs.iter().map(|run| run.text.as_str()).collect::<Vec<_>>(),
        ["hello", " red"]
    );
    sshd.keep(1, output(3, b"\r\nmore"));
    let Reply::Screen(next) = console.screen(&id, 3, screen.revision) else { panic!() };
    assert_eq!(next.rows.iter().map(|row| row.row).collect::<Vec<_>>(), [1]);
    for other in [Role::Sshd, Role::Shell, Role::Session, Role::Tunnel, Role::Network] {
        let mut other = house.call_as(other);
        assert_eq!(other.screen(&id, 3, 0), Reply::Refused(Refusal::Forbidden));
        assert_eq!(other.call(Request::Live), Reply::Refused(Refusal::Forbidden));
        assert_eq!(other.call(Request::Recordings { before: None }), Reply::Refused(Refusal::Forbidden));
    }
    assert_eq!(console.record(1, output(3, b"x")), Reply::Refused(Refusal::Forbidden));
    assert_eq!(console.screen(&id, 4, 0), Reply::Refused(Refusal::NotNow));
    sshd.keep(1, close(3, RecordedEnd::Exited(0)));
    assert_eq!(console.screen(&id, 3, 0), Reply::Refused(Refusal::NotNow));
    sshd.keep(1, end());
    let Reply::Live(live) = console.call(Request::Live) else { panic!() };
    assert!(live.is_empty());
    assert!(role.stop().success());
}

#[test]
fn a_flood_in_many_connections_is_kept_whole_while_others_look_on() {
    const EACH: usize = 8 * 1024 * 1024;
    const CONNECTIONS: u64 = 8;
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let began = Instant::now();
    let flooding: Vec<_> = (1..=CONNECTIONS)
        .map(|connection| {
            let mut sshd = house.call_as(Role::Sshd);
            std::thread::spawn(move || {
                sshd.begin(connection);
                sshd.terminal(connection, 1);
                let line = format!("{connection} 0123456789abcdef\x1b[1mbold\x1b[m\r\n");
                let piece: Vec<u8> = line.bytes().cycle().take(16 * 1024).collect();
                for _ in 0..EACH / piece.len() {
                    sshd.keep(connection, output(1, &piece));
                }
                sshd.keep(connection, end());
            })
        })
        .collect();
    let mut console = house.call_as(Role::Console);
    let mut looks = 0;
    while flooding.iter().any(|one| !one.is_finished()) {
        let Reply::Live(live) = console.call(Request::Live) else { panic!() };
        for one in live {
            if !one.channels.is_empty() && matches!(console.screen(&one.id, 1, 0), Reply::Screen(_)) {
                looks += 1;
            }
        }
    }
    for one in flooding {
        one.join().unwrap();
    }
    let took = began.elapsed();
    let lines = house.whole(usize::try_from(CONNECTIONS).unwrap());
    for line in &lines {
        assert_eq!(house.shown(&line.id, 1).len(), EACH);
        house.is_proved(&line.id);
    }
    let mib = usize::try_from(CONNECTIONS).unwrap() * EACH / 1024 / 1024;
    println!("{mib} MiB in {CONNECTIONS} connections kept in {took:?}, with {looks} looks at screens");
    assert!(role.stop().success());
}

#[test]
fn what_session_cannot_be_told_is_told_when_it_is_there_again() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let mut one = house.call_as(Role::Sshd);
    one.begin(1);
    house.is_away.store(true, Ordering::SeqCst);
    for channel in 1..=3 {
        let what = RecordedUse::Command(Some(format!("command {channel}")));
        one.keep(1, RecordAsk::Open { channel, what });
        one.keep(1, close(channel, RecordedEnd::Exited(0)));
    }
    assert!(house.told.lock().unwrap().is_empty());
    house.is_away.store(false, Ordering::SeqCst);
    let told = house.told(3);
    for (text, number) in told.iter().zip(1..) {
        assert!(text.contains(&format!("command {number}")), "{told:?}");
    }
    one.keep(1, end());
    assert!(role.stop().success());
}
