//! The daemon's tap with stock clients: what is said to the recorder, in which order, and what happens when it is not kept.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::recorder::{Answer, Recorder};
use common::{Daemon, SECRET, SOON, Setup, output, output_of, paramiko, text, wait_until};
use drawbridge_bus::bridge::EngineerAsk;
use drawbridge_bus::record::{RecordAsk, RecordedEnd, RecordedUse, RecordingFacts};
use drawbridge_bus::support::{GrantId, Level, Recording, Target};
use drawbridge_sshd::Limits;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

#[test]
#[ignore = "not a test: the process of the daemon under test"]
fn the_roles_own_process() {
    common::be_the_role();
}

/// A daemon, and the recorder that it speaks to.
fn with(recorder: Recorder, recording: Recording) -> (Daemon, Recorder) {
    let limits = Limits { kept: Duration::from_secs(2), ..Limits::default() };
    let setup = Setup { recorder: Some(recorder.clone()), recording, limits, ..Setup::default() };
    (Daemon::start(setup), recorder)
}

fn is_output(ask: &RecordAsk) -> bool {
    matches!(ask, RecordAsk::Output { .. })
}

/// Starts a client with all its ends in our hands.
fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What comes out of a pipe, piece by piece.
fn pieces(mut pipe: impl std::io::Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, pieces) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    pieces
}

/// Nothing comes for a while that is long for bytes that are free to go.
fn nothing_comes(pieces: &Receiver<Vec<u8>>) {
    let came = pieces.recv_timeout(Duration::from_millis(500));
    assert_eq!(came, Err(RecvTimeoutError::Timeout));
}

/// Waits until the connection's last word is there, and gives all that was said.
fn whole(recorder: &Recorder) -> Vec<RecordAsk> {
    let ended = || recorder.kept().iter().any(|ask| matches!(ask, RecordAsk::End(_)));
    wait_until(ended, || format!("an end in {:?}", recorder.kept()));
    recorder.kept()
}

#[test]
fn a_connection_is_told_from_its_beginning_to_its_end_with_all_that_passes() {
    let (daemon, recorder) = with(Recorder::default(), Recording::Strict);
    let mut child = spawn(daemon.ssh(SECRET).arg("cat; echo wrong >&2; exit 7"));
    child.stdin.take().unwrap().write_all(b"there and back\n").unwrap();
    let out = output_of(child);
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(7), "there and back\n"), "{out:?}");
    let said = text(&out.stderr);
    assert!(said.contains("for how long, is logged, and all that is done here is recorded.\r\n"), "{said}");
    let kept = whole(&recorder);
    let facts = RecordingFacts {
        grant: (GrantId(1), "case 7".to_owned()),
        level: Level::Direct,
        engineer: "anna".to_owned(),
        login: "anna".to_owned(),
        source: "192.0.2.7".parse().unwrap(),
        system: ("box-7".to_owned(), "4711".to_owned()),
    };
    assert_eq!(kept[0], RecordAsk::Begin(Box::new(facts)));
    let what = RecordedUse::Command(Some("cat; echo wrong >&2; exit 7".to_owned()));
    assert_eq!(kept[1], RecordAsk::Open { channel: 1, what });
    assert_eq!(recorder.typed(), [(true, b"there and back\n".to_vec())]);
    assert_eq!(recorder.output(), b"there and back\n");
    let wrong = RecordAsk::Output { channel: 1, errors: true, bytes: b"wrong\n".to_vec() };
    assert!(kept.contains(&wrong), "{kept:?}");
    let end = RecordAsk::Close { channel: 1, end: RecordedEnd::Exited(7) };
    assert_eq!(kept[kept.len() - 2..], [end, RecordAsk::End("The engineer has left.".to_owned())]);
}

#[test]
fn a_terminal_is_told_with_its_size_and_what_it_does_not_show_is_marked() {
    let (daemon, recorder) = with(Recorder::default(), Recording::Strict);
    let out = paramiko(
        &daemon,
        r#"
channel = transport.open_session()
channel.get_pty("vt100", 101, 37)
channel.settimeout(60)
channel.exec_command("trap 'echo resized' WINCH; echo ready; until read line; do :; done; stty -echo; echo hidden; read secret; stty echo; echo shown; read line; kill -TERM $$")
text = b""
def wait(what):
    global text
    while what not in text:
        piece = channel.recv(1000)
        assert piece, text
        text += piece
wait(b"ready")
channel.resize_pty(55, 44)
channel.sendall(b"seen\n")
wait(b"hidden")
channel.sendall(b"swordfish\n")
wait(b"shown")
channel.sendall(b"seen again\n")
while channel.recv(1000):
    pass
print("over")
"#,
    );
    assert_eq!(text(&out.stdout), "over\n", "{out:?}");
    let kept = whole(&recorder);
    let RecordAsk::Open { channel: 1, what: RecordedUse::Terminal { size: (101, 37), command: Some(_) } } =
        &kept[1]
    else {
        panic!("{kept:?}")
    };
    assert!(kept.contains(&RecordAsk::Size { channel: 1, size: (55, 44) }));
    let typed = recorder.typed();
    let all =
        |echo| typed.iter().filter(|one| one.0 == echo).flat_map(|one| one.1.clone()).collect::<Vec<_>>();
    assert_eq!(
        (text(&all(true)), text(&all(false))),
        ("seen\nseen again\n".to_owned(), "swordfish\n".to_owned())
    );
    let signalled = RecordedEnd::Signalled(15);
    assert!(kept.contains(&RecordAsk::Close { channel: 1, end: signalled }), "{kept:?}");
}

#[test]
fn no_byte_reaches_the_client_before_the_recorder_has_it() {
    // At the gate: it has the bytes, and has not said that they are kept.
    let recorder = Recorder::with(|ask| if is_output(ask) { Answer::Hold } else { Answer::Keep });
    let setup = Setup { recorder: Some(recorder.clone()), ..Setup::default() };
    let daemon = Daemon::start(setup);
    let mut child = spawn(daemon.ssh(SECRET).arg("echo first; exec cat"));
    let out = pieces(child.stdout.take().unwrap());
    wait_until(|| !recorder.held().is_empty(), || "the output at the gate".to_owned());
    nothing_comes(&out);
    recorder.open_the_gate();
    assert_eq!(out.recv_timeout(SOON).unwrap(), b"first\n");
    drop(child.stdin.take());
    assert!(output_of(child).status.success());
    // And in the flow: whatever the client has at any time is kept, though each answer comes late.
    let late = |_: &RecordAsk| Answer::Late(Duration::from_millis(15));
    let (daemon, recorder) = with(Recorder::with(late), Recording::Strict);
    let mut child = spawn(
        daemon.ssh(SECRET).arg("for n in 1 2 3 4 5 6 7 8 9; do echo line $n; echo more; sleep 0.05; done"),
    );
    let out = pieces(child.stdout.take().unwrap());
    let mut all = Vec::new();
    while let Ok(piece) = out.recv_timeout(SOON) {
        all.extend(piece);
        assert!(recorder.output().starts_with(&all), "{} before it was kept", text(&all));
    }
    assert_eq!(text(&all).lines().count(), 18);
    assert!(output_of(child).status.success());
}

#[test]
fn no_byte_reaches_the_process_before_the_recorder_has_it() {
    let is_typed = |ask: &RecordAsk| matches!(ask, RecordAsk::Typed { .. });
    let recorder = Recorder::with(move |ask| if is_typed(ask) { Answer::Hold } else { Answer::Keep });
    let daemon = Daemon::start(Setup { recorder: Some(recorder.clone()), ..Setup::default() });
    let place = daemon.folder.path().join("typed");
    let mut child =
        spawn(daemon.ssh(SECRET).arg(format!("head -c 5 > {0}.new; mv {0}.new {0}", place.display())));
    child.stdin.as_mut().unwrap().write_all(b"hello").unwrap();
    wait_until(|| !recorder.held().is_empty(), || "the input at the gate".to_owned());
    std::thread::sleep(Duration::from_millis(300));
    assert!(!place.exists());
    assert_eq!(std::fs::read(place.with_extension("new")).unwrap(), b"");
    recorder.open_the_gate();
    assert!(output_of(child).status.success());
    assert_eq!(std::fs::read(place).unwrap(), b"hello");
}

/// A recorder that keeps nothing from the first output on that has this in it.
fn fails_at(word: &'static [u8], how: Answer) -> Recorder {
    let mut failed = false;
    Recorder::with(move |ask| {
        failed |= matches!(ask, RecordAsk::Output { bytes, .. } if bytes.windows(word.len()).any(|part| part == word));
        match ask {
            // It has room for the last word.
            RecordAsk::End(_) => Answer::Keep,
            _ if failed => how,
            _ => Answer::Keep,
        }
    })
}

#[test]
fn a_strict_session_that_is_not_recorded_freezes_and_ends_and_nothing_more_crosses() {
    for (how, why) in [
        (Answer::Refuse("The disk is full."), "The disk is full."),
        (Answer::Silence, "the recorder does not answer in time."),
        (Answer::HangUp, "the recorder role ended the connection."),
    ] {
        let (daemon, recorder) = with(fails_at(b"second", how), Recording::Strict);
        let mark = daemon.folder.path().join("went-on");
        let command =
            format!("echo first; read x; echo second; read y; echo $y > {}; echo third", mark.display());
        let mut child = spawn(daemon.ssh(SECRET).arg(command));
        let out = pieces(child.stdout.take().unwrap());
        assert_eq!(out.recv_timeout(SOON).unwrap(), b"first\n");
        child.stdin.as_mut().unwrap().write_all(b"x\ny\n").unwrap();
        assert_eq!(out.recv_timeout(SOON), Err(RecvTimeoutError::Disconnected), "{how:?}");
        let out = output_of(child);
        assert_eq!(out.status.code(), Some(255));
        let said = text(&out.stderr);
        assert!(
            said.contains(&format!("This session is ended, because it cannot be recorded: {why}")),
            "{said}"
        );
        daemon.logs("the session of anna from 192.0.2.7 is ended, because it cannot be recorded");
        assert!(daemon.was_asked(|ask| matches!(ask, EngineerAsk::Unrecorded(_))));
        let kept = whole(&recorder);
        assert_eq!(recorder.output(), b"first\n");
        let RecordAsk::End(end) = kept.last().unwrap() else { panic!("{kept:?}") };
        assert!(end.ends_with("Nothing passed after it."), "{end}");
    }
}

#[test]
fn a_strict_session_does_not_begin_where_the_recorder_does_not_keep_its_beginning() {
    let refuses = || Some(Recorder::with(|_| Answer::Refuse("There is no room.")));
    let silent = || Some(Recorder::with(|_| Answer::Silence));
    for recorder in [None, refuses(), silent()] {
        let limits = Limits { kept: Duration::from_secs(2), ..Limits::default() };
        let daemon = Daemon::start(Setup { limits, recorder, ..Setup::default() });
        let mark = daemon.folder.path().join("ran");
        let out = output(daemon.ssh(SECRET).arg(format!("echo in; touch {}", mark.display())));
        assert_eq!((out.status.code(), out.stdout.len()), (Some(255), 0), "{out:?}");
        assert!(
            text(&out.stderr).contains("This session is ended, because it cannot be recorded"),
            "{out:?}"
        );
        assert!(!mark.exists());
        daemon.logs("is ended, because it cannot be recorded");
    }
}

#[test]
fn a_recorder_that_ends_while_nothing_passes_ends_a_strict_session_too() {
    let (server, target) = echo_server();
    let mut opened = false;
    let recorder = Recorder::with(move |ask| {
        // The second channel's beginning is where it goes.
        let is_open = matches!(ask, RecordAsk::Open { .. });
        let hangs_up = is_open && opened;
        opened |= is_open;
        if hangs_up { Answer::HangUp } else { Answer::Keep }
    });
    let setup =
        Setup { recorder: Some(recorder), targets: vec![("node.example", target)], ..Setup::default() };
    let daemon = Daemon::start(setup);
    let out = paramiko(
        &daemon,
        &format!(
            r#"
forward = transport.open_channel("direct-tcpip", ("node.example", {target}), ("127.0.0.1", 1))
forward.settimeout(60)
forward.sendall(b"there")
assert forward.recv(5) == b"there"
try:
    transport.open_session().exec_command("echo in")
except (paramiko.SSHException, EOFError):
    pass
# Nothing comes back any more, and the connection ends by itself.
began = time.time()
got = b""
try:
    forward.sendall(b"again")
    got = forward.recv(5)
except (socket.error, EOFError):
    pass
while transport.is_active() and time.time() - began < 60:
    time.sleep(0.05)
print(got, transport.is_active())
"#
        ),
    );
    assert_eq!(text(&out.stdout).trim(), "b'' False", "{out:?}");
    drop(server);
}

#[test]
fn a_break_glass_session_goes_on_unrecorded_says_so_once_and_has_session_note_it() {
    let (daemon, recorder) =
        with(fails_at(b"second", Answer::Refuse("The disk is full.")), Recording::BreakGlass);
    let out = output(daemon.ssh(SECRET).arg("echo first; sleep 0.3; echo second; sleep 0.3; echo third"));
    assert_eq!(
        (out.status.code(), text(&out.stdout).as_str()),
        (Some(0), "first\nsecond\nthird\n"),
        "{out:?}"
    );
    let said = text(&out.stderr);
    assert!(said.contains("is recorded, unless you are told otherwise"), "{said}");
    let notice = "From here on this session is not recorded: The disk is full. It goes on all the same.";
    assert_eq!(said.matches(notice).count(), 1, "{said}");
    daemon.logs("goes on unrecorded (break glass): The disk is full");
    assert!(daemon.was_asked(|ask| *ask == EngineerAsk::Unrecorded("The disk is full".to_owned())));
    let kept = whole(&recorder);
    let RecordAsk::End(end) = kept.last().unwrap() else { panic!("{kept:?}") };
    assert!(end.ends_with("What came after it is not recorded."), "{end}");
    // One that cannot even begin: with his first word from the appliance he is told.
    let setup = Setup { recorder: None, recording: Recording::BreakGlass, ..Setup::default() };
    let daemon = Daemon::start(setup);
    let out = output(daemon.ssh(SECRET).arg("true"));
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stderr).contains("From here on this session is not recorded"), "{out:?}");
}

#[test]
fn a_break_glass_session_ends_where_session_does_not_note_it() {
    let setup = Setup { recorder: None, recording: Recording::BreakGlass, ..Setup::default() };
    let daemon = Daemon::start(setup);
    daemon.session.lock().unwrap().refuse_unrecorded = true;
    let out = output(daemon.ssh(SECRET).arg("echo in"));
    assert_eq!((out.status.code(), out.stdout.len()), (Some(255), 0), "{out:?}");
}

/// A server that sends back what it gets.
fn echo_server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        for stream in accepting.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut other = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut stream, &mut other);
                let _ = other.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    (listener, port)
}

#[test]
fn a_forward_is_told_by_its_place_and_the_bytes_each_way_and_files_by_what_they_are() {
    let (_server, port) = echo_server();
    let recorder = Recorder::default();
    let targets = vec![("node.example", port)];
    let daemon = Daemon::start(Setup { recorder: Some(recorder.clone()), targets, ..Setup::default() });
    let mut command = daemon.openssh("ssh", SECRET);
    command.args(["-W", &format!("node.example:{port}"), "-p", &daemon.port.to_string(), "anna@127.0.0.1"]);
    let mut child = spawn(&mut command);
    child.stdin.take().unwrap().write_all(&vec![b'x'; 100_000]).unwrap();
    assert_eq!(output_of(child).stdout.len(), 100_000);
    let kept = whole(&recorder);
    let target = Target { host: "node.example".parse().unwrap(), port };
    let what = RecordedUse::Forward(target);
    let end = RecordedEnd::Carried { sent: 100_000, received: 100_000 };
    let open = RecordAsk::Open { channel: 1, what };
    assert_eq!(kept[1..3], [open, RecordAsk::Close { channel: 1, end }]);
    // Files: neither their bytes nor the protocol's.
    let recorder = Recorder::default();
    let daemon = Daemon::start(Setup { recorder: Some(recorder.clone()), ..Setup::default() });
    let (here, there) = (daemon.folder.path().join("here"), daemon.folder.path().join("there"));
    std::fs::write(&here, vec![b'x'; 300_000]).unwrap();
    for old in [&["-O"][..], &[]] {
        let mut command = daemon.openssh("scp", SECRET);
        command.args(["-q", "-P", &daemon.port.to_string()]).args(old);
        let out = output(command.arg(&here).arg(format!("anna@127.0.0.1:{}", there.display())));
        assert!(out.status.success(), "{out:?}");
    }
    let ends = || recorder.kept().iter().filter(|ask| matches!(ask, RecordAsk::End(_))).count();
    wait_until(|| ends() == 2, || format!("two ends in {:?}", recorder.kept()));
    assert!(recorder.typed().is_empty() && recorder.output().is_empty(), "{:?}", recorder.kept());
    let uses: Vec<_> = recorder
        .kept()
        .into_iter()
        .filter_map(|ask| if let RecordAsk::Open { what, .. } = ask { Some(what) } else { None })
        .collect();
    // What scp has to say in words is text as any other.
    let out = output(daemon.ssh(SECRET).arg("scp --no-such-option"));
    assert!(text(&out.stderr).contains("usage"), "{out:?}");
    let said = |ask: &RecordAsk| matches!(ask, RecordAsk::Output { errors: true, bytes, .. } if text(bytes).contains("usage"));
    assert!(recorder.kept().iter().any(said), "{:?}", recorder.kept());
    let scp = format!("scp -t {}", there.display());
    assert_eq!(uses, [RecordedUse::Files { scp: Some(scp) }, RecordedUse::Files { scp: None }]);
}

#[test]
fn bulk_beside_it_does_not_make_a_keystroke_wait_for_more_than_its_turn_though_each_is_kept() {
    let late = |_: &RecordAsk| Answer::Late(Duration::from_millis(2));
    let (daemon, recorder) = with(Recorder::with(late), Recording::Strict);
    let began = Instant::now();
    let out = paramiko(
        &daemon,
        r#"
import threading
bulk = transport.open_session()
bulk.exec_command("head -c 8000000 /dev/zero")
count = 0
def drain():
    global count
    while True:
        piece = bulk.recv(65536)
        if not piece:
            break
        count += len(piece)
reader = threading.Thread(target=drain)
reader.start()
quick = transport.open_session()
quick.exec_command("cat")
answered = 0
for number in range(20):
    quick.sendall(b"%03d" % number)
    got = b""
    while len(got) < 3:
        got += quick.recv(3 - len(got))
    answered += reader.is_alive()
reader.join()
print(count, answered > 0)
"#,
    );
    assert_eq!(text(&out.stdout).trim(), "8000000 True", "{out:?} after {:?}", began.elapsed());
    // In each channel's order, nothing lost and nothing twice.
    let typed: Vec<u8> = recorder.typed().into_iter().flat_map(|(_, bytes)| bytes).collect();
    let sent: Vec<u8> = (0..20).flat_map(|number| format!("{number:03}").into_bytes()).collect();
    assert_eq!(typed, sent);
    let of_bulk = |ask: &RecordAsk| match ask {
        RecordAsk::Output { channel: 1, bytes, .. } => bytes.len(),
        _ => 0,
    };
    assert_eq!(recorder.kept().iter().map(of_bulk).sum::<usize>(), 8_000_000);
}

#[test]
fn a_recorder_that_stands_still_for_one_engineer_holds_up_no_other() {
    // Whoever comes first is held.
    let mut first = true;
    let recorder = Recorder::with(move |ask| {
        if is_output(ask) && std::mem::take(&mut first) { Answer::Hold } else { Answer::Keep }
    });
    let daemon = Daemon::start(Setup { recorder: Some(recorder.clone()), ..Setup::default() });
    let held = spawn(daemon.ssh(SECRET).arg("echo first"));
    wait_until(|| !recorder.held().is_empty(), || "the output at the gate".to_owned());
    let out = output(daemon.ssh(SECRET).arg("echo second"));
    assert_eq!(text(&out.stdout), "second\n");
    recorder.open_the_gate();
    assert_eq!(text(&output_of(held).stdout), "first\n");
}

#[test]
fn a_client_that_goes_in_the_middle_leaves_a_recording_that_ends() {
    let (daemon, recorder) = with(Recorder::default(), Recording::Strict);
    let mut child = spawn(daemon.ssh(SECRET).arg("trap '' HUP TERM; echo up; while :; do sleep 0.1; done"));
    let mut word = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = whole(&recorder);
    let [RecordAsk::Close { channel: 1, end: RecordedEnd::Cut }, RecordAsk::End(_)] = &kept[kept.len() - 2..]
    else {
        panic!("{kept:?}")
    };
}
