//! `ssh` from the command line, to a server that is not ours.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

#[allow(dead_code)] // Not every one of these tests needs all of it.
mod common;

use common::terminal::Terminal;
use common::{Bench, scope};
use drawbridge_bus::support::Target;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Starts the role, in a process of its own; by itself it does nothing.
#[test]
#[ignore = "run by the others"]
fn the_roles_own_process() {
    common::be_the_role();
}

/// The server; it ends with its input.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    port: u16,
}

impl Server {
    fn start(folder: &Path, login: &str) -> Self {
        let key = folder.join("host-key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server.py");
        // Debian's own Python: it has Debian's packages.
        let mut child = Command::new("/usr/bin/python3")
            .args(["-W", "ignore", script])
            .arg(&key)
            .arg(login)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the server says its port");
        Self { input: child.stdin.take(), child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bench(port: u16) -> Bench {
    Bench::new(scope(vec![Target { host: "node.example".parse().unwrap(), port }], true, true))
}

#[test]
fn a_shell_on_a_place_has_password_window_and_status() {
    let keys = tempfile::tempdir().unwrap();
    let server = Server::start(keys.path(), "password");
    let bench = bench(server.port);
    let mut terminal = Terminal::start(&bench, &["7", "interactive"]);
    terminal.shows("SA-LAB> ");
    terminal.types("ssh root@node.example\r");
    terminal.shows("SHA256:");
    terminal.shows("(yes/no) ");
    terminal.types("yes\r");
    terminal.shows("password: ");
    assert!(!terminal.echoes());
    terminal.types("wrong\r");
    terminal.shows("not right");
    terminal.shows("password: ");
    assert!(!terminal.echoes());
    terminal.types("open sesamx\u{7f}e\r");
    terminal.shows("shell of root on xterm");
    terminal.types("hello\n");
    terminal.shows("heard hello");
    terminal.resize(101, 31);
    terminal.shows("size 101 x 31");
    terminal.types("leave\n");
    terminal.shows("SA-LAB> ");
    // Neither password was shown; the key is known now, and a command has its own status.
    assert!(!terminal.all.contains("sesam") && !terminal.all.contains("wrong"));
    terminal.types("exit\r");
    assert_eq!(terminal.ends(), 0);
    let place = format!("ssh -p {} root@node.example exit 3", server.port);
    let mut terminal = Terminal::start(&bench, &["7", "exec", &place]);
    terminal.shows("password: ");
    assert!(!terminal.echoes());
    terminal.types("open sesame\r");
    terminal.shows("an error");
    assert_eq!(terminal.ends(), 3);
}

#[test]
fn questions_are_answered_unseen() {
    let keys = tempfile::tempdir().unwrap();
    let server = Server::start(keys.path(), "questions");
    let bench = bench(server.port);
    let mut terminal = Terminal::start(&bench, &["7", "exec", "ssh root@node.example exit 5"]);
    terminal.shows("(yes/no) ");
    terminal.types("yes\r");
    terminal.shows("Say the word.");
    terminal.shows("Word: ");
    assert!(!terminal.echoes());
    terminal.types("friend\r");
    terminal.shows("an error");
    assert_eq!(terminal.ends(), 5);
    assert!(!terminal.all.contains("friend"));
}

#[test]
fn a_host_key_that_is_new_is_asked_for_and_one_that_changed_is_refused() {
    let keys = tempfile::tempdir().unwrap();
    let server = Server::start(keys.path(), "password");
    let bench = bench(server.port);
    let (status, why) = bench.fails("ssh root@node.example exit 0");
    assert!(
        status == 1 && why.contains("is new to this session, and there is no terminal to ask on"),
        "{why}"
    );
    let mut terminal = Terminal::start(&bench, &["7", "exec", "ssh root@node.example exit 0"]);
    terminal.shows("(yes/no) ");
    terminal.types("no\r");
    terminal.shows("was not taken for right");
    assert_eq!(terminal.ends(), 1);
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let known = format!("node.example:{} {other}\n", server.port);
    std::fs::write(bench.folder.path().join("known-hosts"), known).unwrap();
    let (status, why) = bench.fails("ssh root@node.example exit 0");
    assert!(status == 1 && why.contains("was another before"), "{why}");
}

#[test]
fn ssh_leads_to_places_of_the_session_only() {
    let bench = bench(22);
    let (status, why) = bench.fails("ssh root@127.0.0.1");
    assert!(status == 1 && why.contains("does not open 127.0.0.1"), "{why}");
    assert_eq!(bench.fails("ssh").0, 2);
}
