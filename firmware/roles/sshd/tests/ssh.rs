//! The daemon with stock clients: proofs, channels, forwards, bounds.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::{
    Daemon, SECRET, SOON, Setup, TOKEN, engineer_key, make_key, output, output_of, paramiko, text, wait_until,
};
use drawbridge_bus::bridge::{EngineerAsk, EngineerUse, SecretBytes};
use drawbridge_bus::relay::{Caller, preface};
use drawbridge_sshd::Limits;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
#[ignore = "not a test: the process of the daemon under test"]
fn the_roles_own_process() {
    common::be_the_role();
}

/// A key or certificate beside the secret that the fake session knows.
fn with_key(daemon: &Daemon, key: &std::path::Path, secret: &str) -> Command {
    let mut command = daemon.openssh("ssh", secret);
    command.args(["-i", key.to_str().unwrap(), "-p", &daemon.port.to_string(), "-l", "anna", "127.0.0.1"]);
    command
}

#[test]
fn the_secret_lets_an_engineer_in_by_each_way_of_asking_and_a_wrong_one_does_not() {
    let daemon = Daemon::start(Setup::default());
    for method in ["keyboard-interactive", "password"] {
        let right =
            output(daemon.ssh(SECRET).args(["-o", &format!("PreferredAuthentications={method}"), "echo in"]));
        assert_eq!((right.status.code(), text(&right.stdout).as_str()), (Some(0), "in\n"), "{right:?}");
        assert!(text(&right.stderr).contains("Support Appliance box-7"), "{right:?}");
    }
    let wrong = output(daemon.ssh("nonsense").arg("echo in"));
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(255), 0));
    // Session's last word was that he is to be sent away, and why.
    assert!(text(&wrong.stderr).contains("That was wrong; try 3 of 3."), "{}", text(&wrong.stderr));
    assert!(!daemon.log().contains("nonsense") && !daemon.log().contains(SECRET));
    wait_until(|| daemon.was_asked(|ask| *ask == EngineerAsk::Gone), || "Gone".to_owned());
}

#[test]
fn a_key_of_the_grant_lets_in_and_another_does_not() {
    let keys = tempfile::tempdir().unwrap();
    let (known, line) = make_key(keys.path(), "known");
    let (other, _) = make_key(keys.path(), "other");
    let setup = Setup { keys: vec![engineer_key(&line, false)], secret: false, ..Setup::default() };
    let daemon = Daemon::start(setup);
    let right = output(with_key(&daemon, &known, "").arg("echo in"));
    assert_eq!((right.status.code(), text(&right.stdout).as_str()), (Some(0), "in\n"), "{right:?}");
    let wrong = output(with_key(&daemon, &other, SECRET).arg("echo in"));
    assert_eq!(wrong.status.code(), Some(255));
    // Nothing else is offered.
    assert!(text(&wrong.stderr).contains("Permission denied (publickey)."), "{}", text(&wrong.stderr));
    assert!(!daemon.was_asked(|ask| matches!(ask, EngineerAsk::Secret(_))));
}

#[test]
fn where_both_are_wanted_the_secret_is_asked_for_after_the_key_and_never_instead() {
    let keys = tempfile::tempdir().unwrap();
    let (known, line) = make_key(keys.path(), "known");
    let (other, _) = make_key(keys.path(), "other");
    let setup = Setup { keys: vec![engineer_key(&line, false)], secret_too: true, ..Setup::default() };
    let daemon = Daemon::start(setup);
    let right = output(with_key(&daemon, &known, SECRET).arg("echo in"));
    assert_eq!((right.status.code(), text(&right.stdout).as_str()), (Some(0), "in\n"), "{right:?}");
    assert!(daemon.was_asked(|ask| *ask == EngineerAsk::Key(0)));
    let before = daemon.session.lock().unwrap().asked.len();
    let without = output(with_key(&daemon, &other, SECRET).arg("echo in"));
    assert_eq!(without.status.code(), Some(255));
    let asked = daemon.session.lock().unwrap().asked.split_off(before);
    assert!(
        !asked.iter().any(|(_, ask)| matches!(ask, EngineerAsk::Secret(_) | EngineerAsk::Key(_))),
        "{asked:?}"
    );
    let wrong = output(with_key(&daemon, &known, "nonsense").arg("echo in"));
    assert_eq!(wrong.status.code(), Some(255));
}

#[test]
fn a_certificate_lets_in_when_it_is_right_in_every_respect() {
    let keys = tempfile::tempdir().unwrap();
    let (authority, line) = make_key(keys.path(), "authority");
    let (foreign, _) = make_key(keys.path(), "foreign");
    let (own, _) = make_key(keys.path(), "own");
    let setup = Setup { keys: vec![engineer_key(&line, true)], secret: false, ..Setup::default() };
    let daemon = Daemon::start(setup);
    let sign = |signer: &std::path::Path, more: &[&str]| {
        let _ = std::fs::remove_file(keys.path().join("own-cert.pub"));
        let signed = Command::new("ssh-keygen")
            .args(["-q", "-s", signer.to_str().unwrap(), "-I", "test"])
            .args(more)
            .arg(own.with_extension("pub"))
            .output()
            .unwrap();
        assert!(signed.status.success(), "{}", text(&signed.stderr));
    };
    let comes_in = |command: &str| {
        let out = output(with_key(&daemon, &own, "").args(["-tt", command]));
        (out.status.code(), text(&out.stdout).trim().to_owned())
    };
    // The key alone is nothing.
    assert_eq!(comes_in("echo in").0, Some(255));
    sign(&authority, &["-n", "anna", "-V", "-1h:+1h"]);
    assert_eq!(comes_in("echo in"), (Some(0), "in".to_owned()));
    sign(&authority, &["-n", "drawbridge"]);
    assert_eq!(comes_in("echo in").0, Some(0));
    for wrong in [
        &["-n", "anna", "-V", "-2h:-1h"][..],
        &["-n", "anna", "-V", "+1h:+2h"],
        &["-n", "bert"],
        &[],
        &["-n", "anna", "-h"],
        &["-n", "anna", "-O", "source-address=198.51.100.0/24"],
        &["-n", "anna", "-O", "critical:unheard@of=x"],
    ] {
        sign(&authority, wrong);
        assert_eq!(comes_in("echo in").0, Some(255), "{wrong:?}");
    }
    sign(&foreign, &["-n", "anna"]);
    assert_eq!(comes_in("echo in").0, Some(255));
    sign(&authority, &["-n", "anna", "-O", "source-address=192.0.2.0/24", "-O", "force-command=echo forced"]);
    assert_eq!(comes_in("echo in"), (Some(0), "forced".to_owned()));
    sign(&authority, &["-n", "anna", "-O", "no-pty"]);
    let out = output(with_key(&daemon, &own, "").args(["-tt", "tty"]));
    assert!(text(&out.stderr).contains("PTY allocation request failed"), "{out:?}");
}

#[test]
fn output_errors_input_and_status_pass_apart_and_unchanged() {
    let daemon = Daemon::start(Setup::default());
    let out = output(daemon.ssh(SECRET).arg("echo out; echo err >&2; exit 42"));
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(42), "out\n"));
    assert!(text(&out.stderr).ends_with("err\n"), "{}", text(&out.stderr));
    // The end of the input reaches the process, and what it says after that reaches the client.
    let mut child = daemon
        .ssh(SECRET)
        .arg("wc -c; echo done")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&vec![b'x'; 3_000_000]).unwrap());
    let out = output_of(child);
    writer.join().unwrap();
    assert_eq!(text(&out.stdout), "3000000\ndone\n");
    // A signal as what it is, in both directions.
    let out = output(daemon.ssh(SECRET).arg("kill -TERM $$"));
    assert_eq!(out.status.code(), Some(255), "{out:?}");
    // What the process does not read is no reason to hang.
    let out = output(daemon.ssh(SECRET).arg("exec 0<&-; exit 3"));
    assert_eq!(out.status.code(), Some(3));
}

#[test]
fn keys_are_agreed_upon_anew_in_the_middle_and_nothing_is_lost() {
    let daemon = Daemon::start(Setup::default());
    let mut child = daemon
        .ssh(SECRET)
        .args(["-v", "-o", "RekeyLimit=256K", "-o", "LogLevel=DEBUG", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let mut input = child.stdin.take().unwrap();
    let bytes = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let out = output_of(child);
    writer.join().unwrap();
    assert!(out.status.success() && out.stdout == sent, "{} bytes came back", out.stdout.len());
    let said = text(&out.stderr);
    let agreed = said.matches("SSH2_MSG_NEWKEYS received").count();
    assert!(agreed > 5, "keys were agreed upon {agreed} times: {said}");
}

#[test]
fn only_the_language_comes_into_the_environment() {
    let daemon = Daemon::start(Setup::default());
    let out =
        output(daemon.ssh(SECRET).env("LANG", "de_DE.UTF-8").env("LD_PRELOAD", "").env("EVIL", "x").args([
            "-o",
            "SendEnv=LANG EVIL PATH",
            "env | sort",
        ]));
    let names: Vec<String> = text(&out.stdout)
        .lines()
        .filter_map(|line| line.split('=').next().map(str::to_owned))
        .filter(|name| !["PWD", "_", "OLDPWD", "SHLVL"].contains(&name.as_str()))
        .collect();
    assert_eq!(names, ["LANG", "PATH", "PS1"], "{out:?}");
    assert!(
        text(&out.stdout).contains("LANG=de_DE.UTF-8") && text(&out.stdout).contains("PATH=/usr/bin:/bin")
    );
}

#[test]
fn a_terminal_has_its_kind_and_size_and_learns_of_a_new_size() {
    let daemon = Daemon::start(Setup::default());
    let out = paramiko(
        &daemon,
        r#"
channel = transport.open_session()
channel.get_pty("xterm-256color", 101, 37)
channel.settimeout(60)
channel.exec_command("stty size; echo $TERM; trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.1; done")
text = b""
while b"ready" not in text:
    text += channel.recv(1000)
channel.resize_pty(55, 44)
while True:
    piece = channel.recv(1000)
    if not piece:
        break
    text += piece
print(text.decode().split(), channel.recv_exit_status())
"#,
    );
    let said = text(&out.stdout);
    assert_eq!(said.trim(), "['37', '101', 'xterm-256color', 'ready', '44', '55'] 7", "{out:?}");
}

#[test]
fn a_shell_on_a_terminal_is_interrupted_by_control_c_and_ended_by_control_d() {
    let daemon = Daemon::start(Setup::default());
    let out = paramiko(
        &daemon,
        r#"
channel = client.invoke_shell("vt100")
channel.settimeout(60)
text = b""
def wait(what):
    global text
    while what not in text:
        piece = channel.recv(1000)
        assert piece, text
        text += piece
    text = text.split(what, 1)[1]
wait(b"ready> ")
channel.send(b"sleep 1000\n")
wait(b"sleep 1000")
time.sleep(0.5)
channel.send(b"\x03")
wait(b"ready> ")
channel.send(b"echo $((40 + 2))\n")
wait(b"42")
wait(b"ready> ")
channel.send(b"\x04")
print("status", channel.recv_exit_status())
"#,
    );
    assert!(text(&out.stdout).starts_with("status "), "{out:?}");
}

#[test]
fn a_client_that_closes_its_channel_takes_the_process_with_it() {
    let daemon = Daemon::start(Setup::default());
    let mark = daemon.folder.path().join("pid");
    let script = format!(
        r#"
# One ends by the hang-up, one only by the kill that follows it.
for trap in ["", "trap '' HUP TERM INT;"]:
    channel = transport.open_session()
    channel.exec_command(trap + "echo $$ >> {}; echo up; while :; do sleep 0.1; done")
    assert channel.recv(3) == b"up\n"
    channel.close()
print("closed")
"#,
        mark.display()
    );
    let out = paramiko(&daemon, &script);
    assert_eq!(text(&out.stdout), "closed\n", "{out:?}");
    let pids = std::fs::read_to_string(mark).unwrap();
    assert_eq!(pids.lines().count(), 2);
    wait_until(
        || pids.lines().all(|pid| !std::path::Path::new("/proc").join(pid).exists()),
        || format!("the processes {pids:?} end"),
    );
}

#[test]
fn a_signal_reaches_the_process() {
    let daemon = Daemon::start(Setup::default());
    let out = paramiko(
        &daemon,
        r#"
channel = transport.open_session()
channel.exec_command("trap 'echo got; exit 5' INT; echo up; while :; do sleep 0.1; done")
assert channel.recv(3) == b"up\n"
message = paramiko.Message()
message.add_byte(b"\x62")
message.add_int(channel.remote_chanid)
message.add_string("signal")
message.add_boolean(False)
message.add_string("INT")
transport._send_user_message(message)
print(channel.recv(4), channel.recv_exit_status())
"#,
    );
    assert_eq!(text(&out.stdout).trim(), "b'got\\n' 5", "{out:?}");
}

/// A server that says hello and sends back what it gets.
fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut other = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut stream, &mut other);
                let _ = other.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    port
}

#[test]
fn forwards_lead_to_the_scope_and_nowhere_else() {
    let (inside, outside) = (echo_server(), echo_server());
    let setup = Setup { targets: vec![("node.example", inside), ("127.0.0.1", inside)], ..Setup::default() };
    let daemon = Daemon::start(setup);
    let through = |host: &str, port: u16| {
        let mut child = daemon.openssh("ssh", SECRET);
        child.args(["-W", &format!("{host}:{port}"), "-p", &daemon.port.to_string(), "anna@127.0.0.1"]);
        let mut child =
            child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = input.write_all(b"there and back");
        });
        let out = output_of(child);
        writer.join().unwrap();
        (text(&out.stdout), text(&out.stderr))
    };
    assert_eq!(through("node.example", inside).0, "there and back");
    assert_eq!(through("NODE.example.", inside).0, "there and back");
    assert_eq!(through("127.0.0.1", inside).0, "there and back");
    for (host, port) in [("node.example", outside), ("localhost", inside), ("other.example", inside)] {
        let (said, why) = through(host, port);
        assert_eq!(said, "", "{host}:{port}");
        assert!(why.contains("administratively prohibited"), "{why}");
    }
    assert!(daemon.was_asked(|ask| matches!(ask, EngineerAsk::May(EngineerUse::Forward(_)))));
}

#[test]
fn a_forward_never_leads_to_the_appliance_itself() {
    let server = echo_server();
    let setup = Setup { targets: vec![("node.example", server)], own_targets: false, ..Setup::default() };
    let daemon = Daemon::start(setup);
    let target = format!("node.example:{server}");
    let out = output(daemon.openssh("ssh", SECRET).args([
        "-W",
        &target,
        "-p",
        &daemon.port.to_string(),
        "anna@127.0.0.1",
    ]));
    assert!(text(&out.stderr).contains("the name leads to the appliance itself"), "{out:?}");
}

#[test]
fn what_would_lead_back_to_the_engineer_is_refused() {
    let daemon = Daemon::start(Setup::default());
    let out =
        output(daemon.ssh(SECRET).args(["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:9", "echo in"]));
    assert!(text(&out.stderr).contains("remote port forwarding failed"), "{out:?}");
    let out = paramiko(
        &daemon,
        r#"
channel = transport.open_session()
print(end="agent ")
try:
    print(channel.request_forward_agent(lambda *a: None), end=" ")
except paramiko.SSHException:
    print("refused", end=" ")
channel = transport.open_session()
try:
    channel.request_x11()
    print("x11 taken", end=" ")
except paramiko.SSHException:
    print("x11 refused", end=" ")
channel = transport.open_session()
channel.exec_command("echo $SSH_AUTH_SOCK,$DISPLAY.")
print(channel.recv(100))
"#,
    );
    assert!(text(&out.stdout).ends_with("x11 refused b',.\\n'\n"), "{out:?}");
}

#[test]
fn files_pass_whole_both_ways() {
    let daemon = Daemon::start(Setup::default());
    let place = tempfile::tempdir().unwrap();
    let (here, there, back) =
        (place.path().join("here"), place.path().join("there"), place.path().join("back"));
    let bytes: Vec<u8> = (0..16_000_003u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&here, &bytes).unwrap();
    let remote = format!("anna@127.0.0.1:{}", there.display());
    let port = daemon.port.to_string();
    for old in [&["-O"][..], &[]] {
        let copy = |from: &str, to: &str| {
            let mut command = daemon.openssh("scp", SECRET);
            let out = output(command.args(["-q", "-P", &port]).args(old).args([from, to]));
            assert!(out.status.success(), "{out:?}");
        };
        copy(here.to_str().unwrap(), &remote);
        assert!(std::fs::read(&there).unwrap() == bytes);
        copy(&remote, back.to_str().unwrap());
        assert!(std::fs::read(&back).unwrap() == bytes);
        std::fs::remove_file(&there).unwrap();
        std::fs::remove_file(&back).unwrap();
    }
    let uses = daemon.session.lock().unwrap();
    let files = |ask: &EngineerAsk| *ask == EngineerAsk::May(EngineerUse::Files);
    assert_eq!(uses.asked.iter().filter(|(_, ask)| files(ask)).count(), 4);
    assert!(!uses.asked.iter().any(|(_, ask)| *ask == EngineerAsk::May(EngineerUse::Shell)));
}

#[test]
fn what_the_grant_does_not_open_is_refused_with_the_reason() {
    let daemon = Daemon::start(Setup { shell: false, ..Setup::default() });
    let out = output(daemon.ssh(SECRET).arg("echo in"));
    assert_eq!((out.status.code(), out.stdout.len()), (Some(1), 0));
    assert!(text(&out.stderr).contains("This grant has no command line."), "{out:?}");
}

#[test]
fn a_channel_whose_reader_stands_still_holds_up_no_other() {
    let daemon = Daemon::start(Setup::default());
    let out = paramiko(
        &daemon,
        r#"
import threading
standing = transport.open_session()
standing.exec_command("echo up; exec sleep 1000")
assert standing.recv(3) == b"up\n"
def push():
    try:
        while True:
            standing.send(b"x" * 16384)
    except (socket.error, EOFError):
        pass
threading.Thread(target=push, daemon=True).start()
# One that sends bulk, and one whose keystrokes are answered, beside it.
bulk = transport.open_session()
bulk.exec_command("cat")
def feed():
    for _ in range(500):
        bulk.sendall(b"y" * 16384)
    bulk.shutdown_write()
threading.Thread(target=feed, daemon=True).start()
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
longest = 0
for number in range(40):
    began = time.time()
    quick.sendall(b"%03d" % number)
    got = b""
    while len(got) < 3:
        got += quick.recv(3 - len(got))
    longest = max(longest, time.time() - began)
reader.join()
limit = time.time() + 60
while not standing.closed and time.time() < limit:
    time.sleep(0.05)
print(count == 500 * 16384, longest < 10, standing.closed)
"#,
    );
    assert_eq!(text(&out.stdout).trim(), "True True True", "{out:?}");
    daemon.logs("is not read");
}

#[test]
fn a_client_that_leaves_output_unread_keeps_his_channel_and_holds_up_no_other() {
    let daemon = Daemon::start(Setup::default());
    let out = paramiko(
        &daemon,
        r#"
unread = transport.open_session()
unread.exec_command("head -c 20000000 /dev/zero")
quick = transport.open_session()
quick.exec_command("cat")
for number in range(20):
    quick.sendall(b"abc")
    got = b""
    while len(got) < 3:
        got += quick.recv(3 - len(got))
count = 0
while True:
    piece = unread.recv(65536)
    if not piece:
        break
    count += len(piece)
print(count, unread.recv_exit_status())
"#,
    );
    assert_eq!(text(&out.stdout).trim(), "20000000 0", "{out:?}");
}

#[test]
fn whoever_does_not_prove_himself_in_time_is_cut_off_whatever_he_sends() {
    let limits = Limits { grace: Duration::from_secs(3), ..Limits::default() };
    let daemon = Daemon::start(Setup { limits, ..Setup::default() });
    // One says nothing, and one does the key exchange and sends something all the time.
    let mut silent = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.port)).unwrap();
    silent.set_read_timeout(Some(SOON)).unwrap();
    let began = Instant::now();
    let out = output(Command::new("/usr/bin/python3").arg("-c").arg(format!(
        "import paramiko, socket, time\n\
         transport = paramiko.Transport(('127.0.0.1', {}))\ntransport.start_client(timeout=60)\n\
         began = time.time()\n\
         while transport.is_active() and time.time() - began < 60:\n    transport.send_ignore(64)\n    time.sleep(0.05)\n\
         print(time.time() - began < 50)\n",
        daemon.port
    )));
    assert_eq!(text(&out.stdout).trim(), "True", "{out:?}");
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest);
    assert!(text(&rest).starts_with("SSH-2.0-Drawbridge\r\n"));
    assert!(began.elapsed() >= Duration::from_secs(2) && began.elapsed() < SOON, "{:?}", began.elapsed());
    // He who has proved himself stays.
    let out = output(daemon.ssh(SECRET).arg("sleep 5; echo still in"));
    assert_eq!(text(&out.stdout), "still in\n", "{out:?}");
}

#[test]
fn an_engineer_who_does_nothing_is_sent_away_and_one_who_works_stays() {
    let limits = Limits { idle: Duration::from_secs(3), ..Limits::default() };
    let daemon = Daemon::start(Setup { limits, ..Setup::default() });
    let out =
        output(daemon.ssh(SECRET).arg("for i in 1 2 3 4 5 6; do echo $i; sleep 1; done; exec sleep 1000"));
    assert_eq!(text(&out.stdout).lines().count(), 6);
    assert!(text(&out.stderr).contains("Nothing has happened for too long."), "{out:?}");
}

/// What comes back on a connection that begins with these bytes, until it is closed.
fn answer_to(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; 1];
    // Closed with bytes unread, it is reset: that is no byte either.
    let count = match stream.read(&mut back) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
        other => other.expect("closed in time"),
    };
    back.truncate(count);
    back
}

#[test]
fn whoever_does_not_show_the_grants_token_gets_no_byte() {
    let limits = Limits { preface: Duration::from_secs(1), ..Limits::default() };
    let daemon = Daemon::start(Setup { limits, ..Setup::default() });
    let caller = Caller { name: "anna".to_owned(), source: "192.0.2.7".parse().unwrap() };
    let right = preface(&SecretBytes::new(TOKEN), &caller).to_vec();
    assert_eq!(answer_to(daemon.inner, &right), b"S");
    let mut wrong = TOKEN;
    wrong[31] ^= 1;
    for bytes in [
        preface(&SecretBytes::new(wrong), &caller).to_vec(),
        right[..20].to_vec(),
        b"SSH-2.0-x\r\n".repeat(20),
        b"DBR1".iter().copied().chain([0xff; 400]).collect(),
        Vec::new(),
    ] {
        assert_eq!(answer_to(daemon.inner, &bytes), b"", "{bytes:?}");
    }
    assert!(!daemon.log().contains("5a5a"));
}

#[test]
fn who_is_not_let_in_at_the_door_is_told_why_by_his_own_client() {
    let daemon = Daemon::start(Setup::default());
    daemon.session.lock().unwrap().refuse_connect = true;
    let told = output(daemon.ssh("swordfish").arg("true"));
    assert_eq!(told.status.code(), Some(255));
    assert!(text(&told.stderr).contains("You are not let in: closed."), "{}", text(&told.stderr));
    assert!(!daemon.was_asked(|ask| matches!(ask, EngineerAsk::Secret(_))));
    // Another's ends, too, and at once.
    let told = paramiko(&daemon, "");
    let said = format!("{}{}", text(&told.stdout), text(&told.stderr));
    assert!(!told.status.success() && said.contains("SSHException"), "{said}");
}

#[test]
fn strangers_beyond_the_bound_are_not_answered_and_engineers_who_are_in_take_no_strangers_place() {
    let limits = Limits { strangers: 3, ..Limits::default() };
    let daemon = Daemon::start(Setup { limits, ..Setup::default() });
    let inside: Vec<_> = (0..4)
        .map(|_| {
            let mut child = daemon.ssh(SECRET);
            let mut child =
                child.arg("echo in; exec cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut word = [0; 3];
            child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
            child
        })
        .collect();
    let mut strangers = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.port)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        strangers.push(stream);
    }
    assert_eq!(answer_to(daemon.port, b""), b"");
    drop(strangers.pop());
    wait_until(|| answer_to(daemon.port, b"") == b"S", || "a place is free again".to_owned());
    for mut child in inside {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn the_end_is_told_to_engineers_and_nothing_is_left() {
    let mut daemon = Daemon::start(Setup::default());
    let mut child = daemon.ssh(SECRET);
    let mut child = child
        .arg("echo up; exec sleep 1000")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
    assert!(daemon.stop().success());
    let out = output_of(child);
    assert_eq!(out.status.code(), Some(255));
    assert!(text(&out.stderr).contains("The owner has ended the session."), "{out:?}");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.inner)).is_err());
}

#[test]
fn other_clients_come_in_too() {
    let daemon = Daemon::start(Setup::default());
    let port = daemon.port.to_string();
    // dropbear's client and putty's.
    let out = output(
        Command::new("dbclient")
            .env("DROPBEAR_PASSWORD", SECRET)
            .args(["-y", "-y", "-p", &port, "anna@127.0.0.1", "echo in; exit 9"])
            .env("HOME", daemon.folder.path())
            .stdin(Stdio::null()),
    );
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(9), "in\n"), "{out:?}");
    let fingerprint =
        output(Command::new("ssh-keygen").args(["-lf", daemon.known_hosts().to_str().unwrap()]));
    let fingerprint = text(&fingerprint.stdout).split(' ').nth(1).unwrap().to_owned();
    let out = output(
        Command::new("plink")
            .env("HOME", daemon.folder.path())
            .args(["-batch", "-ssh", "-P", &port, "-hostkey", &fingerprint, "-pw", SECRET])
            .args(["anna@127.0.0.1", "echo in; exit 9"])
            .stdin(Stdio::null()),
    );
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(9), "in\n"), "{out:?}");
}

#[test]
fn an_auditor_finds_nothing_to_refuse_and_little_to_warn_of() {
    let daemon = Daemon::start(Setup::default());
    let out =
        output(Command::new("ssh-audit").args(["-n", "-b", "127.0.0.1", "-p", &daemon.port.to_string()]));
    let said = text(&out.stdout);
    assert!(said.contains("(kex) curve25519-sha256") && said.contains("(key) ssh-ed25519"), "{out:?}");
    let lines = |what: &str| said.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines("[fail]"), 0, "{said}");
    // Its table is older than ML-KEM; what it does not know it says so.
    let warnings = said.lines().filter(|line| line.contains("[warn]") && !line.contains("unknown algorithm"));
    assert!(warnings.clone().count() <= 2, "{said}");
}
