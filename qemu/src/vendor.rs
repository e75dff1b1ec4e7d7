//! The vendor's side of a support session: a Remote Support Server in a namespace, and an engineer with the stock `ssh`. It never
//! knows an appliance but by what the server is told.
//!
//! ```text
//!   engineer's ssh ──► rss (its own program, port 22) ══ the appliance's connection ◄── rss, port 443 ◄── appliance
//! ```

use crate::net::{Namespace, Program};
use crate::{LabError, within};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the server may take to listen, and one of its other commands to end.
const SOON: Duration = Duration::from_secs(20);

/// The name of the server, which its certificate bears.
pub const SERVER_NAME: &str = "rss.lab";
/// The port that appliances dial.
pub const TLS_PORT: u16 = 443;
/// The port that engineers' `ssh` dials.
pub const SSH_PORT: u16 = 22;

/// A Remote Support Server, with one engineer who may reach every system.
#[derive(Debug)]
pub struct Vendor {
    program: PathBuf,
    folder: PathBuf,
    running: Mutex<Option<Program>>,
    engineer: String,
}

impl Vendor {
    /// Prepares one in a folder, which may be one of an earlier run. `program` is the server's binary.
    pub fn new(folder: &Path, program: &Path, engineer: &str) -> Result<Self, LabError> {
        fs::create_dir_all(folder).map_err(LabError::file("make", folder))?;
        let vendor = Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            running: Mutex::new(None),
            engineer: engineer.to_owned(),
        };
        let text = format!(
            "data = \"data\"\ntls = [\"0.0.0.0:{TLS_PORT}\"]\nssh = [\"0.0.0.0:{SSH_PORT}\"]\nnames = [\"{SERVER_NAME}\"]\n"
        );
        vendor.write("rss.toml", &text)?;
        let data = vendor.file("data");
        fs::create_dir_all(&data).map_err(LabError::file("make", &data))?;
        Ok(vendor)
    }

    /// The binary of the server beside the running program, or where cargo puts both.
    pub fn program() -> Option<PathBuf> {
        beside("rss")
    }

    /// A file of this vendor's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, LabError> {
        let path = self.file(name);
        fs::write(&path, text).map_err(LabError::file("write", &path))?;
        Ok(path)
    }

    fn running(&self) -> MutexGuard<'_, Option<Program>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the server in a namespace, and waits until it listens. At the first time the engineer is made known to it.
    pub fn start(&self, namespace: &Namespace) -> Result<(), LabError> {
        let mut command = Command::new(&self.program);
        command.args([OsStr::new("serve"), OsStr::new("--config")]).arg(self.file("rss.toml"));
        let program = namespace.run_command(command)?;
        program.wait_for("ready ", within(SOON))?;
        *self.running() = Some(program);
        if !self.file("id_ed25519").exists() {
            self.make_engineer()?;
        }
        Ok(())
    }

    /// Ends the server at once, as a power cut would.
    pub fn kill(&self) {
        if let Some(program) = self.running().take() {
            program.kill();
        }
    }

    /// Asks the server to end, and waits for it.
    pub fn stop(&self) -> Result<(), LabError> {
        if let Some(program) = self.running().take() {
            program.signal(nix::sys::signal::Signal::SIGTERM)?;
            program.wait(within(SOON))?;
        }
        Ok(())
    }

    /// What the server has said so far.
    pub fn text(&self) -> String {
        self.running().as_ref().map(Program::text).unwrap_or_default()
    }

    /// Runs another of the server's commands, on the store that it shares with the running one.
    pub fn command<S: AsRef<OsStr>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, LabError> {
        let mut command = Command::new(&self.program);
        command.arg(name).arg("--config").arg(self.file("rss.toml")).args(arguments);
        run(command)
    }

    /// A new enrolment token.
    pub fn token(&self) -> Result<String, LabError> {
        Ok(self.command("enrol", [""; 0])?.trim().to_owned())
    }

    fn make_engineer(&self) -> Result<(), LabError> {
        let key = self.file("id_ed25519");
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", &self.engineer, "-f"]).arg(&key);
        run(command)?;
        let public = key.with_extension("pub");
        let words = [OsStr::new("add"), OsStr::new(&self.engineer), OsStr::new("--key"), public.as_os_str()];
        self.command("engineers", words.into_iter().chain([OsStr::new("--systems"), OsStr::new("*")]))?;
        Ok(())
    }

    /// SHA-256 of the server's certificate.
    pub fn certificate_pin(&self) -> Result<[u8; 32], LabError> {
        let path = self.file("data/tls.crt");
        let pem = fs::read(&path).map_err(LabError::file("read", &path))?;
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|error| LabError::Description(format!("{}: {error}", path.display())))?;
        let mut pin = [0; 32];
        pin.copy_from_slice(digest(&SHA256, &certificate).as_ref());
        Ok(pin)
    }

    /// Writes what the engineer's `ssh` is to know: how to reach the server at this address and port, by which key both are
    /// known, and `sa` for the system. Gives the file, for `ssh -F`.
    pub fn ssh_config(&self, server: IpAddr, port: u16, system: &str) -> Result<PathBuf, LabError> {
        let mut known = String::new();
        let mut public = Command::new("ssh-keygen");
        public.arg("-y").arg("-f").arg(self.file("data/host_key"));
        let host_key = run(public)?;
        let _ = writeln!(known, "drawbridge-rss {}", host_key.trim());
        for line in self.command("systems", ["known-hosts"])?.lines() {
            let _ = writeln!(known, "{line}");
        }
        let known = self.write("known_hosts", &known)?;
        let (known, key, engineer) = (known.display(), self.file("id_ed25519"), &self.engineer);
        let key = key.display();
        let text = format!(
            "Host *\n  UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  \
             UpdateHostKeys no\n  IdentitiesOnly yes\n  IdentityFile {key}\n  User {engineer}\n  \
             ServerAliveInterval 5\n  LogLevel ERROR\n\
             Host rss\n  HostName {server}\n  Port {port}\n  HostKeyAlias drawbridge-rss\n  BatchMode yes\n\
             Host sa\n  HostName {system}\n  HostKeyAlias {system}\n  ProxyJump rss\n"
        );
        self.write("ssh_config", &text)
    }

    /// A program that answers `OpenSSH`'s question for the secret, for [`Vendor::ask_pass`].
    pub fn answerer(&self) -> Result<PathBuf, LabError> {
        let path = self.write("askpass", "#!/bin/sh\nprintf '%s\\n' \"$DRAWBRIDGE_LAB_SECRET\"\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            .map_err(LabError::file("make executable", &path))?;
        Ok(path)
    }

    /// Has an `ssh` or `sftp` answer the question for the secret with this.
    pub fn ask_pass(&self, command: &mut Command, secret: &str) -> Result<(), LabError> {
        command
            .env("SSH_ASKPASS", self.answerer()?)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("DISPLAY", "none")
            .env("DRAWBRIDGE_LAB_SECRET", secret);
        Ok(())
    }
}

/// A binary of the project's beside the running program, or where cargo puts both.
pub fn beside(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Runs a command of this machine to its end: what it printed.
fn run(mut command: Command) -> Result<String, LabError> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null());
    let output = command.output().map_err(|source| LabError::Start { program: name.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(LabError::Program {
        program: name,
        namespace: "this machine".to_owned(),
        status: output.status.to_string(),
        tail: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
