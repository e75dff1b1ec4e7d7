//! The command line: one line at a time, from a pipe, and on a terminal.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

#[allow(dead_code)] // Not every one of these tests needs all of it.
mod common;

use common::terminal::Terminal;
use common::{Bench, scope};
use drawbridge_bus::support::Target;
use std::fs::File;
use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// Starts the role, in a process of its own; by itself it does nothing.
#[test]
#[ignore = "run by the others"]
fn the_roles_own_process() {
    common::be_the_role();
}

fn bench() -> Bench {
    Bench::new(scope(Vec::new(), true, true))
}

#[test]
fn the_appliance_is_told_as_its_roles_tell_it() {
    let bench = bench();
    let status = bench.says("status");
    for part in ["version    0.1.0", "1 h 1 min", "on vda3", "i6300esb", "running"] {
        assert!(status.contains(part), "{part}: {status}");
    }
    let network = bench.says("network");
    for part in [
        "office (eth0), management: link at 1000 Mbit/s",
        "10.0.1.5/24",
        "comes from DHCP",
        "10.0.1.1 (office)",
    ] {
        assert!(network.contains(part), "{part}: {network}");
    }
    assert_eq!(bench.says("resolve node.example"), "127.0.0.1\n");
    assert_eq!(bench.fails("resolve other.example"), (1, "no server knows other.example".to_owned()));
    let whoami = bench.says("whoami");
    for part in ["erika", "SA-LAB", "case 4711", "3 h 4 min", "command line, files"] {
        assert!(
            whoami.contains(part) || part == "3 h 4 min" && whoami.contains("3 h 5 min"),
            "{part}: {whoami}"
        );
    }
}

#[test]
fn the_log_is_shown_from_its_end_filtered_and_printable() {
    let bench = bench();
    let last = bench.says("logs -n 3");
    assert_eq!(last.lines().count(), 3);
    assert!(last.contains("line 500") && last.contains(r"\u{1b}[31m") && !last.contains('\u{1b}'), "{last}");
    let kernel = bench.says("logs -n 10000 KERNEL");
    assert_eq!(kernel.lines().count(), 250);
    assert_eq!(bench.fails("logs -n 0").0, 2);
}

#[test]
fn what_is_no_command_or_is_used_wrongly_has_the_status_of_its_kind() {
    let bench = bench();
    assert_eq!(
        bench.fails("statsu"),
        (127, "there is no command \"statsu\": did you mean \"status\"?".to_owned())
    );
    assert_eq!(bench.fails("reboot").0, 127);
    assert_eq!(bench.fails("echo a | cat").0, 2);
    assert_eq!(bench.fails("status now").0, 2);
    assert_eq!(bench.fails("exit 7").0, 7);
    assert_eq!(bench.fails("terminal").0, 1);
    assert_eq!(bench.says("echo 'a  b' \"c\""), "a  b c\n");
}

#[test]
fn a_connection_that_the_session_does_not_know_gets_nothing() {
    let bench = bench();
    let output = common::run(&mut Command::new(bench.program(&["8", "exec", "echo x"])), b"");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(126), &b""[..]));
    let shut = Bench::new(scope(Vec::new(), false, true));
    assert_eq!(shut.fails("echo x").0, 126);
    // Files go in and out all the same.
    let output = shut.exec_with("scp -t .", b"C0644 2 x\nhi\0");
    assert_eq!(output.stdout, b"\0\0\0");
    assert_eq!(common::bytes(&shut.files().join("x")), b"hi");
}

#[test]
fn only_places_of_the_session_are_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target { host: "node.example".parse().unwrap(), port };
    let bench = Bench::new(scope(vec![target], true, false));
    assert_eq!(bench.says("targets"), format!("node.example {port}\n"));
    let told = bench.says(&format!("tcp NODE.example {port}"));
    assert!(told.contains("127.0.0.1"), "{told}");
    drop(listener);
    assert_eq!(bench.fails(&format!("tcp node.example {port}")).0, 1);
    let (status, why) = bench.fails(&format!("tcp 127.0.0.1 {}", other.local_addr().unwrap().port()));
    assert!(status == 1 && why.starts_with("this session does not open"), "{why}");
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err());
}

#[test]
fn lines_from_a_pipe_are_run_to_their_end() {
    let bench = bench();
    let mut command = Command::new(bench.program(&["7", "interactive"]));
    let output = common::run(&mut command, b"echo one\nnonsense\necho two\nexit 5\necho three\n");
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(output.stdout, b"one\ntwo\n");
    let output = common::run(&mut Command::new(bench.program(&["7", "interactive"])), b"echo last");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"last\n"[..]));
}

#[test]
fn an_output_that_is_closed_ends_a_command_quietly() {
    let bench = bench();
    std::fs::write(bench.files().join("big"), vec![b'x'; 3_000_000]).unwrap();
    let mut child = Command::new(bench.program(&["7", "exec", "cat big"]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(141), ""));
}

#[test]
fn a_terminal_has_a_prompt_line_editing_completion_and_its_size() {
    let bench = bench();
    std::fs::write(bench.files().join("report.txt"), "found \u{1b}]0;x\u{7}\n").unwrap();
    let mut terminal = Terminal::start(&bench, &["7", "interactive"]);
    terminal.shows("is recorded and may be watched");
    terminal.shows("SA-LAB> ");
    terminal.types("echx\u{7f}o one\r");
    terminal.shows("\none");
    terminal.shows("SA-LAB> ");
    // The last line, by the arrow key.
    terminal.types("\u{1b}[A two\r");
    terminal.shows("\none two");
    terminal.shows("SA-LAB> ");
    terminal.types("cat rep\t\r");
    terminal.shows(r"found \u{1b}]0;x\u{7}");
    terminal.shows("SA-LAB> ");
    terminal.types("terminal\r");
    terminal.shows("80 x 24");
    terminal.resize(132, 50);
    terminal.shows("SA-LAB> ");
    terminal.types("terminal\r");
    terminal.shows("132 x 50");
    terminal.shows("SA-LAB> ");
    terminal.types("exit 3\r");
    assert_eq!(terminal.ends(), 3);
}

#[test]
fn lines_that_are_typed_ahead_or_pasted_are_run_one_after_the_other() {
    let bench = bench();
    let mut terminal = Terminal::start(&bench, &["7", "interactive"]);
    terminal.shows("SA-LAB> ");
    terminal.types("echo one\recho two\recho three\rexit 3\r");
    for wanted in ["\none", "\ntwo", "\nthree"] {
        terminal.shows(wanted);
    }
    assert_eq!(terminal.ends(), 3);
}

#[test]
fn ctrl_c_ends_the_command_and_not_the_command_line() {
    let bench = bench();
    // A file without end, as far as anybody waits.
    File::create(bench.files().join("short")).unwrap();
    File::create(bench.files().join("long")).unwrap().set_len(1 << 42).unwrap();
    let mut terminal = Terminal::start(&bench, &["7", "interactive"]);
    terminal.shows("SA-LAB> ");
    // The first sum tells that the command is under way.
    terminal.types("sha256sum short long\r");
    terminal.shows("  short");
    terminal.types("\u{3}");
    terminal.shows("interrupted");
    terminal.shows("SA-LAB> ");
    terminal.types("echo still here\r");
    terminal.shows("\nstill here");
    terminal.shows("SA-LAB> ");
    terminal.types("\u{4}");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_terminal_that_is_gone_ends_the_command_line() {
    let bench = bench();
    let mut terminal = Terminal::start(&bench, &["7", "interactive"]);
    terminal.shows("SA-LAB> ");
    // Its reader holds the other copy: the process group is told as the SSH daemon tells it.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(terminal.child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    assert_eq!(terminal.ends(), -1);
}
