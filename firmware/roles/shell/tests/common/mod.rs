//! The shell role as a process of its own, with a session, an init and a network role that say what the test wants.

pub(crate) mod terminal;
pub(crate) mod wire;

use drawbridge_bus::bridge::ShellScope;
use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::record::Deed;
use drawbridge_bus::support::{Recording, Scope, Target};
use drawbridge_bus::{
    ClockState, DataState, Level, LogLine, NetworkStatus, Port, Refusal, Reply, Request, Role, RoleState,
    RoleStatus, SystemStatus,
};
use drawbridge_settings::network::PortRole;
use drawbridge_shell::{Place, run_at};
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Generous: the machine that runs this may be busy.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// Where the role's own process finds the test's folder, and its arguments: one a line, in a file of it.
const FOLDER: &str = "DRAWBRIDGE_TEST_SHELL";

/// Where the script puts the role's output: the test harness writes to the other one.
const OUTPUT: i32 = 9;

/// To be called by the one test that is the role's own process: it becomes the role if it was started as one.
pub(crate) fn be_the_role() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let arguments: Vec<String> =
        std::env::var("DRAWBRIDGE_TEST_ARGUMENTS").unwrap().split('\u{1}').map(str::to_owned).collect();
    let output = drawbridge_bus::inherited_file(OUTPUT).unwrap();
    nix::unistd::dup2_stdout(&output).unwrap();
    drop(output);
    let place = Place { sockets: folder.clone(), files: folder.join("files"), narrow: false };
    // As the appliance's binary ends: an ExitCode tells its number to the runtime only.
    let code = run_at(&place, &arguments);
    let status = (0..=u8::MAX)
        .find(|status| format!("{:?}", std::process::ExitCode::from(*status)) == format!("{code:?}"));
    std::process::exit(i32::from(status.unwrap()));
}

/// What the recorder does with a deed: keeps it, does not and says why, or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Keep,
    Refuse(&'static str),
    HangUp,
}

/// The recorder: what it has kept, and what it is to do.
struct Recorder {
    mood: Box<dyn FnMut(&Deed) -> Answer + Send>,
    kept: Vec<Deed>,
}

/// A grant's folder, and roles around it.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    recorder: Arc<Mutex<Recorder>>,
}

/// What a session may open.
pub(crate) fn scope(targets: Vec<Target>, shell: bool, files: bool) -> ShellScope {
    ShellScope {
        engineer: "erika".to_owned(),
        system: "SA-LAB".to_owned(),
        grant: "case 4711".to_owned(),
        scope: Scope { targets, shell, files, forwards: false },
        recording: Recording::Strict,
        seconds_left: 3 * 3600 + 300,
        level: drawbridge_bus::support::Level::Direct,
    }
}

impl Bench {
    pub(crate) fn new(scope: ShellScope) -> Self {
        Self::with(scope, |_| Answer::Keep)
    }

    /// With a recorder that does this.
    pub(crate) fn with(scope: ShellScope, mood: impl FnMut(&Deed) -> Answer + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let said = Arc::new(scope);
        for role in [Role::Session, Role::Init, Role::Network] {
            let listener = UnixListener::bind(folder.path().join(role.name())).unwrap();
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let said = Arc::clone(&said);
                    std::thread::spawn(move || answer(stream.unwrap(), role, &said));
                }
            });
        }
        let recorder = Arc::new(Mutex::new(Recorder { mood: Box::new(mood), kept: Vec::new() }));
        let listener = UnixListener::bind(folder.path().join(Role::Recorder.name())).unwrap();
        let recording = Arc::clone(&recorder);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let recording = Arc::clone(&recording);
                std::thread::spawn(move || record(stream.unwrap(), &recording));
            }
        });
        Self { folder, recorder }
    }

    /// What is recorded until now.
    pub(crate) fn deeds(&self) -> Vec<Deed> {
        self.recorder.lock().unwrap().kept.clone()
    }

    /// The changes among them.
    pub(crate) fn changes(&self) -> Vec<String> {
        let change = |deed| if let Deed::Change(words) = deed { Some(words) } else { None };
        self.deeds().into_iter().filter_map(change).collect()
    }

    /// The files among them: written, path, carried and length.
    pub(crate) fn passed(&self) -> Vec<(bool, String, u64, u64)> {
        let file = |deed| match deed {
            Deed::File { written, path, carried, length, .. } => Some((written, path, carried, length)),
            _ => None,
        };
        self.deeds().into_iter().filter_map(file).collect()
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// A program that is the role, for whoever starts one.
    pub(crate) fn program(&self, arguments: &[&str]) -> PathBuf {
        let words = format!("\"$(cat <<'E_O_T'\n{}\nE_O_T\n)\"", arguments.join("\u{1}"));
        self.script(&format!("role-{}", arguments[1]), "", &words)
    }

    /// A program in place of `ssh`: the role, for the subsystem or the line that the client asks for last.
    pub(crate) fn ssh(&self) -> PathBuf {
        let before = format!(
            "for last; do :; done\nif [ \"$last\" = sftp ]; then exec '{}'; fi\n",
            self.program(&["7", "sftp"]).display()
        );
        self.script("ssh", &before, "\"$(printf '7\\001exec\\001%s' \"$last\")\"")
    }

    /// A script that becomes the role with these arguments, which are a word of the shell's.
    fn script(&self, name: &str, before: &str, arguments: &str) -> PathBuf {
        let script = self.folder.path().join(name);
        let exe = std::env::current_exe().unwrap();
        let text = format!(
            "#!/bin/sh\n{before}exec 9>&1 >/dev/null\nexport DRAWBRIDGE_TEST_ARGUMENTS={arguments}\n\
             export {FOLDER}='{}'\nexec '{}' the_roles_own_process --exact --ignored --nocapture\n",
            self.folder.path().display(),
            exe.display(),
        );
        // Written by a process that nobody forks: a script that somebody else's child still holds open cannot be run (ETXTBSY).
        let output = run(
            Command::new("sh").args(["-c", "cat > \"$0\" && chmod 700 \"$0\""]).arg(&script),
            text.as_bytes(),
        );
        assert!(output.status.success());
        script
    }

    /// The role for one line, with nothing to read.
    pub(crate) fn exec(&self, line: &str) -> Output {
        self.exec_with(line, b"")
    }

    /// The role for one line, with this to read.
    pub(crate) fn exec_with(&self, line: &str, input: &[u8]) -> Output {
        run(&mut Command::new(self.program(&["7", "exec", line])), input)
    }

    /// The output of a line that succeeds.
    pub(crate) fn says(&self, line: &str) -> String {
        let output = self.exec(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Status and errors of a line that fails.
    pub(crate) fn fails(&self, line: &str) -> (i32, String) {
        let output = self.exec(line);
        assert!(!output.status.success(), "{line} succeeds");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap().trim_end().to_owned())
    }

    /// Stock `sftp` on the role, with this batch; its output and errors, and whether it was content.
    pub(crate) fn sftp(&self, batch: &str) -> (bool, String) {
        let program = self.program(&["7", "sftp"]);
        let mut command = Command::new("timeout");
        command.args(["60", "sftp", "-b", "-", "-D"]).arg(program).current_dir(self.folder.path());
        let output = run(&mut command, batch.as_bytes());
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

/// Waits until it is so.
pub(crate) fn wait_until(is_so: impl Fn() -> bool, what: impl Fn() -> String) {
    let until = std::time::Instant::now() + SOON;
    while !is_so() {
        assert!(std::time::Instant::now() < until, "not in time: {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // One that ends before it has read all has said what it had to say.
    std::thread::spawn(move || drop(stdin.write_all(&input)));
    child.wait_with_output().unwrap()
}

fn record(mut stream: UnixStream, recorder: &Mutex<Recorder>) {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        decoder.push(&buffer[..length]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
            assert!(drawbridge_bus::may(Role::Shell, Role::Recorder, request.ask()), "{request:?}");
            let Request::RecordDeed { connection: 7, deed } = request else { panic!("{request:?}") };
            let mut recorder = recorder.lock().unwrap();
            let reply = match (recorder.mood)(&deed) {
                Answer::Keep => {
                    recorder.kept.push(deed);
                    Reply::Done
                }
                Answer::Refuse(why) => Reply::Unrecorded(why.to_owned()),
                Answer::HangUp => return,
            };
            drop(recorder);
            if stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).is_err() {
                return;
            }
        }
    }
}

fn answer(mut stream: UnixStream, role: Role, scope: &ShellScope) {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        decoder.push(&buffer[..length]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
            assert!(
                drawbridge_bus::may(Role::Shell, role, request.ask()),
                "{request:?} is not for the shell"
            );
            let reply = match request {
                Request::ShellScope { connection: 7 } => Reply::ShellScope(Box::new(scope.clone())),
                Request::Status => Reply::Status(Box::new(status())),
                Request::Log { after, most } => Reply::Log(log(after, most)),
                Request::Ports => Reply::Ports(ports()),
                Request::Network => Reply::Network(Box::new(network())),
                Request::Resolve { name, .. } if name == "node.example" => {
                    Reply::Addresses(vec!["127.0.0.1".parse().unwrap()])
                }
                Request::Resolve { name, .. } => Reply::Unresolved(format!("no server knows {name}")),
                _ => Reply::Refused(Refusal::NotNow),
            };
            if stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).is_err() {
                return;
            }
        }
    }
}

fn log(after: u64, most: u16) -> Vec<LogLine> {
    let line = |number| LogLine {
        number,
        milliseconds: number * 10,
        source: if number % 2 == 0 { "kernel" } else { "network" }.to_owned(),
        level: Level::Info,
        text: format!("line {number} \u{1b}[31m"),
    };
    (after + 1..=500).take(most.into()).map(line).collect()
}

fn status() -> SystemStatus {
    SystemStatus {
        memory: (250_000, 200_000),
        version: "0.1.0".to_owned(),
        serial: String::new(),
        host_name: "sa-010203".to_owned(),
        uptime_seconds: 3_700,
        data: DataState::Disk { device: "vda3".to_owned(), fault: None },
        clock: ClockState::Hardware,
        watchdogs: vec!["i6300esb".to_owned()],
        last_failure: None,
        roles: vec![RoleStatus {
            role: Role::Network,
            state: RoleState::Running,
            pid: 77,
            starts: 1,
            memory_kib: 4096,
            last_end: String::new(),
        }],
    }
}

fn ports() -> Vec<Port> {
    vec![Port {
        name: "eth0".to_owned(),
        interface: "office".to_owned(),
        roles: vec![PortRole::Management],
        pci: "0000:01:00.0".to_owned(),
        megabits: Some(1000),
        mtu: 1500,
        remarks: vec!["The address comes from DHCP.".to_owned()],
        mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
        driver: "e1000e".to_owned(),
        carrier: true,
        addresses: vec![("10.0.1.5".parse().unwrap(), 24)],
    }]
}

fn network() -> NetworkStatus {
    NetworkStatus {
        host_name: "sa-010203".to_owned(),
        ports: ports(),
        pending: None,
        name_servers: vec![("10.0.1.1".parse().unwrap(), "office".to_owned())],
        time_servers: Vec::new(),
        remarks: Vec::new(),
    }
}

/// The bytes of a file.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
