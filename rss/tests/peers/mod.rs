//! What the tests use: the server as a child process, OpenSSH's client, and an appliance that speaks the control protocol and
//! carries sessions to OpenSSH's own daemon.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

pub mod appliance;
pub mod recordings;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Generous: machines that build are slow at times.
pub const LONG: Duration = Duration::from_mins(1);

/// Waits, within bounds.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(LONG, work).await.unwrap_or_else(|_| panic!("{what}: not within {LONG:?}"))
}

/// Runs a program to its end.
pub async fn run(command: &mut Command) -> Output {
    soon("a program", command.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes a key pair; the path of the private one.
pub async fn key(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let made =
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path))
            .await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    path
}

pub fn public(key: &Path) -> PathBuf {
    key.with_file_name(format!("{}.pub", key.file_name().unwrap().to_str().unwrap()))
}

/// The server, in a folder of its own.
pub struct Server {
    pub home: TempDir,
    pub tls: SocketAddr,
    pub ssh: SocketAddr,
    pub fingerprint: String,
    child: Child,
}

impl Server {
    /// Starts one. Its engineer `anna` has a key of her own and may reach everything that is called `box-…`.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    pub async fn start_with(more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = format!(
            "data = \"data\"\ntls = [\"127.0.0.1:0\"]\nssh = [\"127.0.0.1:0\"]\nnames = [\"localhost\"]\n{more}"
        );
        fs::write(home.path().join("rss.toml"), settings).unwrap();
        let anna = key(home.path(), "anna").await;
        let (child, tls, ssh, fingerprint) = launch(home.path()).await;
        let server = Self { home, tls, ssh, fingerprint, child };
        let anna = public(&anna);
        server
            .operate(&["engineers", "add", "anna", "--key", anna.to_str().unwrap(), "--systems", "box-*"])
            .await;
        server.write_client("anna").await;
        server
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Ends it by TERM, and says how it ended.
    pub async fn stop(&mut self) -> std::process::ExitStatus {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        timeout(Duration::from_secs(5), self.child.wait()).await.expect("it ends within 5 s").unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal).unwrap();
    }

    /// Starts it again, on other ports.
    pub async fn start_again(&mut self) {
        (self.child, self.tls, self.ssh, self.fingerprint) = launch(self.home.path()).await;
    }

    /// Runs one of the operator's commands; its stdout.
    pub async fn operate(&self, arguments: &[&str]) -> String {
        let output = self.try_operate(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub async fn try_operate(&self, arguments: &[&str]) -> Output {
        run(Command::new(env!("CARGO_BIN_EXE_rss"))
            .args(arguments)
            .arg("--config")
            .arg(self.path("rss.toml")))
        .await
    }

    /// The audit log, a line each.
    pub async fn audit(&self) -> Vec<serde_json::Value> {
        self.operate(&["audit"]).await.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whether a line of the audit log has these fields; waits until it does.
    pub async fn audit_has(&self, fields: &[(&str, &str)]) {
        soon(&format!("{fields:?} in the audit log"), async {
            loop {
                let is_there = self.audit().await.iter().any(|line| {
                    fields
                        .iter()
                        .all(|(field, value)| line[field].as_str().is_some_and(|text| text.contains(value)))
                });
                if is_there {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    /// Writes the engineer's own files: an `ssh_config`, and the server's host key.
    pub async fn write_client(&self, user: &str) {
        let known = run(Command::new("ssh-keygen").arg("-y").arg("-f").arg(self.path("data/host_key"))).await;
        assert!(known.status.success(), "{}", text(&known.stderr));
        fs::write(self.path("known_hosts"), format!("rss {}", text(&known.stdout))).unwrap();
        let home = self.home.path().display();
        let me = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
        let settings = format!(
            "Host rss\n HostName {}\n Port {}\n User {user}\n HostKeyAlias rss\n\
             Host *\n IdentityFile {home}/{user}\n IdentitiesOnly yes\n UserKnownHostsFile {home}/known_hosts\n\
             GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n BatchMode yes\n LogLevel INFO\n User {me}\n",
            self.ssh.ip(),
            self.ssh.port(),
        );
        fs::write(self.path(&format!("{user}.conf")), settings).unwrap();
    }

    /// OpenSSH's client, as an engineer has set it up.
    pub fn ssh(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.path(&format!("{user}.conf"))).args(arguments);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Makes what the server hands out known to the engineer.
    pub async fn take_known_hosts(&self, user: &str, system: &str) {
        let lines = run(&mut self.ssh(user, &["rss", "known-hosts", system])).await;
        assert!(lines.status.success(), "{}", text(&lines.stderr));
        let before = fs::read_to_string(self.path("known_hosts")).unwrap();
        fs::write(self.path("known_hosts"), before + &text(&lines.stdout)).unwrap();
    }
}

async fn launch(home: &Path) -> (Child, SocketAddr, SocketAddr, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rss"))
        .args(["serve", "--config"])
        .arg(home.join("rss.toml"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = soon("the server's first line", lines.next_line()).await.unwrap().unwrap();
    let host_key = soon("the server's host key", lines.next_line()).await.unwrap().unwrap();
    let address = |name: &str| {
        let word = ready.split(' ').find_map(|word| word.strip_prefix(name)).unwrap();
        word.parse().unwrap()
    };
    (child, address("tls="), address("ssh="), host_key.trim_start_matches("host key ").to_owned())
}
