//! The daemon as a process of its own, with an init that starts real programs in the shell's place, a session role that says
//! what the test wants, and a relay to which stock clients connect.
#![allow(dead_code)]

pub(crate) mod recorder;

use drawbridge_bus::bridge::{
    EngineerAsk, EngineerUse, SecretBytes, ShellEnd, ShellId, ShellJob, ShellSignal, SshdOrders, Verdict,
};
use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::relay::{Caller, preface};
use drawbridge_bus::support::{EngineerKey, GrantId, Level, Recording, Scope, Target};
use drawbridge_bus::{Event, Refusal, Reply, Request, Role, receive_with};
use drawbridge_sshd::{Limits, Place, run_at};
use recorder::Recorder;
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Generous: the machine that runs this may be busy.
pub(crate) const SOON: Duration = Duration::from_mins(1);

pub(crate) const SECRET: &str = "correct horse battery staple";

pub(crate) const TOKEN: [u8; 32] = [0x5a; 32];

/// What the fake session role goes by, and what it was asked.
#[derive(Default)]
pub(crate) struct Session {
    /// Keys by number that are followed by the secret.
    pub(crate) secret_too: bool,
    pub(crate) refuse_connect: bool,
    pub(crate) refuse_unrecorded: bool,
    /// The third wrong secret cuts.
    pub(crate) wrong: u32,
    pub(crate) asked: Vec<(u64, EngineerAsk)>,
}

/// What the test wants of the daemon.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Setup {
    pub(crate) keys: Vec<EngineerKey>,
    pub(crate) secret: bool,
    pub(crate) secret_too: bool,
    pub(crate) targets: Vec<(&'static str, u16)>,
    pub(crate) shell: bool,
    pub(crate) own_targets: bool,
    pub(crate) limits: Limits,
    pub(crate) recording: Recording,
    /// None: there is no recorder.
    pub(crate) recorder: Option<Recorder>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            secret: true,
            secret_too: false,
            targets: Vec::new(),
            shell: true,
            own_targets: true,
            limits: Limits::default(),
            recording: Recording::Strict,
            recorder: Some(Recorder::default()),
        }
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    /// Where clients connect: the relay.
    pub(crate) port: u16,
    /// Where the daemon itself listens.
    pub(crate) inner: u16,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) session: Arc<Mutex<Session>>,
    role: Option<Child>,
    init: Arc<Mutex<UnixStream>>,
}

/// To be called by the one test that is the role's own process: it becomes the role if it was started as one.
pub(crate) fn be_the_role() {
    let Some(folder) = std::env::var_os("DRAWBRIDGE_TEST_SSHD") else { return };
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    drawbridge_bus::logger::start();
    let port = u16::try_from(number("DRAWBRIDGE_TEST_PORT")).unwrap();
    let place = Place {
        sockets: PathBuf::from(folder),
        listener: 0,
        port,
        narrow: lock(port),
        own_targets: number("DRAWBRIDGE_TEST_OWN") == 1,
        limits: Limits {
            preface: Duration::from_millis(number("DRAWBRIDGE_TEST_PREFACE")),
            grace: Duration::from_millis(number("DRAWBRIDGE_TEST_GRACE")),
            idle: Duration::from_millis(number("DRAWBRIDGE_TEST_IDLE")),
            kept: Duration::from_millis(number("DRAWBRIDGE_TEST_KEPT")),
            strangers: usize::try_from(number("DRAWBRIDGE_TEST_STRANGERS")).unwrap(),
            ..Limits::default()
        },
    };
    let code = run_at(&place);
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}

/// Puts the calling thread, which is the whole of the role, into the sandbox that init's table has for it, but as the user of the
/// tests. False where the kernel is too old for that.
fn lock(port: u16) -> bool {
    use drawbridge_sandbox::{Calls, Connects, File, Limits, Profile};
    nix::sys::prctl::set_no_new_privs().unwrap();
    let profile = Profile {
        name: Role::Sshd.name(),
        uid: nix::unistd::getuid().as_raw(),
        capabilities: &[],
        calls: &[Calls::Connections, Calls::Internet, Calls::Narrowing, Calls::Keys, Calls::TerminalsMade],
        files: &[File { path: "/dev/ptmx", write: true }, File { path: "/dev/pts", write: true }],
        listens: Box::leak(Box::new([port])),
        connects: Connects::Ordered,
        network: true,
        limits: Limits { memory: 0, tasks: 0, descriptors: 0, temporary: 0, file: 0 },
    };
    match drawbridge_sandbox::lock(&profile) {
        Ok(()) => true,
        Err(drawbridge_sandbox::SandboxError::Landlock(why)) => {
            eprintln!("not locked: {why}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

impl Daemon {
    pub(crate) fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let session = Arc::new(Mutex::new(Session { secret_too: setup.secret_too, ..Session::default() }));
        let target = |(host, port): &(&str, u16)| Target { host: host.parse().unwrap(), port: *port };
        let orders = SshdOrders {
            grant: GrantId(1),
            host_key: SecretBytes::new([7; 32]),
            relay: SecretBytes::new(TOKEN),
            keys: setup.keys,
            secret: setup.secret,
            scope: Scope {
                targets: setup.targets.iter().map(target).collect(),
                shell: setup.shell,
                files: true,
                forwards: true,
            },
            name: "box-7".to_owned(),
            serial: "4711".to_owned(),
            title: "case 7".to_owned(),
            level: Level::Direct,
            recording: setup.recording,
        };
        let (ready, started) = channel();
        for role in [Role::Init, Role::Session, Role::Network] {
            let listener = UnixListener::bind(folder.path().join(role.name())).unwrap();
            let (session, orders, ready) = (Arc::clone(&session), orders.clone(), ready.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (session, orders, ready) = (Arc::clone(&session), orders.clone(), ready.clone());
                    std::thread::spawn(move || match role {
                        Role::Init => be_init(stream.unwrap(), &ready),
                        _ => answer(stream.unwrap(), &session, &orders),
                    });
                }
            });
        }
        if let Some(recorder) = setup.recorder {
            let listener = UnixListener::bind(folder.path().join(Role::Recorder.name())).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let recorder = recorder.clone();
                    std::thread::spawn(move || recorder.serve(stream.unwrap()));
                }
            });
        }
        let bus = UnixListener::bind(folder.path().join("sshd")).unwrap();
        // A port that is free now.
        let inner = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let limits = setup.limits;
        let role = Command::new(std::env::current_exe().unwrap())
            .args(["the_roles_own_process", "--exact", "--ignored", "--nocapture"])
            .env("DRAWBRIDGE_TEST_SSHD", folder.path())
            .env("DRAWBRIDGE_TEST_PORT", inner.to_string())
            .env("DRAWBRIDGE_TEST_OWN", u8::from(setup.own_targets).to_string())
            .env("DRAWBRIDGE_TEST_PREFACE", limits.preface.as_millis().to_string())
            .env("DRAWBRIDGE_TEST_GRACE", limits.grace.as_millis().to_string())
            .env("DRAWBRIDGE_TEST_IDLE", limits.idle.as_millis().to_string())
            .env("DRAWBRIDGE_TEST_KEPT", limits.kept.as_millis().to_string())
            .env("DRAWBRIDGE_TEST_STRANGERS", limits.strangers.to_string())
            .stdin(Stdio::from(OwnedFd::from(bus)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(folder.path().join("log")).unwrap()))
            .spawn()
            .unwrap();
        let init = started.recv_timeout(SOON).expect("the daemon starts");
        let port = relay(inner);
        Self { port, inner, folder, session, role: Some(role), init }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the log has this in it.
    pub(crate) fn logs(&self, what: &str) {
        wait_until(|| self.log().contains(what), || format!("{what:?} in the log:\n{}", self.log()));
    }

    /// Tells the role to end; how it did.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        let stop = encode(&Frame::Event(Event::Stop { seconds: 5 })).unwrap();
        self.init.lock().unwrap().write_all(&stop).unwrap();
        self.role.take().unwrap().wait().unwrap()
    }

    /// `ssh` with nothing of the user's own configuration, which takes the secret from a program.
    pub(crate) fn ssh(&self, secret: &str) -> Command {
        let mut command = self.openssh("ssh", secret);
        command.args(["-p", &self.port.to_string(), "-l", "anna", "127.0.0.1"]);
        command
    }

    /// One of OpenSSH's clients, without where to go.
    pub(crate) fn openssh(&self, program: &str, secret: &str) -> Command {
        let ask = self.folder.path().join("askpass");
        if !ask.exists() {
            std::fs::write(&ask, "#!/bin/sh\nprintf '%s\\n' \"$TEST_SECRET\"\n").unwrap();
            std::fs::set_permissions(&ask, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let mut command = Command::new(program);
        command
            .env("SSH_ASKPASS", ask)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("TEST_SECRET", secret)
            .env_remove("SSH_AUTH_SOCK")
            .args(["-F", "none"])
            .args(["-o", &format!("UserKnownHostsFile={}", self.known_hosts().display())])
            .args(["-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=none"])
            .args(["-o", "NumberOfPasswordPrompts=3", "-o", "IdentitiesOnly=yes", "-o", "IdentityFile=none"])
            .stdin(Stdio::null());
        command
    }

    /// The host key that the daemon has by its orders, for clients to compare.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        use ring::signature::{Ed25519KeyPair, KeyPair as _};
        let path = self.folder.path().join("known_hosts");
        if !path.exists() {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
            let mut blob = Vec::new();
            for part in [b"ssh-ed25519".as_slice(), pair.public_key().as_ref()] {
                blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
                blob.extend(part);
            }
            let line = format!("[127.0.0.1]:{} ssh-ed25519 {}\n", self.port, base64(&blob));
            std::fs::write(&path, line).unwrap();
        }
        path
    }

    /// A key of the client's own, and its public line.
    pub(crate) fn key(&self, name: &str) -> (PathBuf, String) {
        make_key(self.folder.path(), name)
    }

    /// Seconds of the processor that the role has used.
    pub(crate) fn processor(&self) -> f64 {
        let pid = self.role.as_ref().unwrap().id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // After the name in its brackets: the 12th and the 13th field, in ticks of which Linux counts 100 a second (proc(5)).
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |place: usize| fields[place].parse::<u32>().unwrap();
        f64::from(ticks(11) + ticks(12)) / 100.0
    }

    /// Whether session was asked this.
    pub(crate) fn was_asked(&self, what: impl Fn(&EngineerAsk) -> bool) -> bool {
        self.session.lock().unwrap().asked.iter().any(|(_, ask)| what(ask))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut role) = self.role.take() {
            role.kill().unwrap();
            role.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

/// Runs a script of paramiko's, which has `client` connected and `port` set.
pub(crate) fn paramiko(daemon: &Daemon, script: &str) -> Output {
    output(&mut paramiko_command(daemon, script))
}

pub(crate) fn paramiko_command(daemon: &Daemon, script: &str) -> Command {
    let begin = format!(
        "import paramiko, socket, sys, time\nport = {}\nclient = paramiko.SSHClient()\n\
         client.set_missing_host_key_policy(paramiko.AutoAddPolicy())\n\
         client.connect('127.0.0.1', port, 'anna', {SECRET:?}, allow_agent=False, look_for_keys=False, timeout=60)\n\
         transport = client.get_transport()\n",
        daemon.port
    );
    let mut command = Command::new("/usr/bin/python3");
    command.arg("-c").arg(begin + script).stdin(Stdio::null());
    command
}

pub(crate) fn make_key(folder: &Path, name: &str) -> (PathBuf, String) {
    let path = folder.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let line = std::fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned();
    (path, line)
}

pub(crate) fn engineer_key(line: &str, authority: bool) -> EngineerKey {
    EngineerKey { line: line.to_owned(), authority, minutes: None }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command says, within the time that everything here has.
pub(crate) fn output(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    output_of(child)
}

pub(crate) fn output_of(child: Child) -> Output {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (done, is_done) = channel::<()>();
    let watch = std::thread::spawn(move || {
        if is_done.recv_timeout(SOON).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watch.join().unwrap();
    output
}

pub(crate) fn wait_until(is_so: impl Fn() -> bool, what: impl Fn() -> String) {
    let until = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < until, "not in time: {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Stands for the tunnel: whoever connects is relayed with the grant's token.
fn relay(inner: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            std::thread::spawn(move || {
                let Ok(daemon) = TcpStream::connect((Ipv4Addr::LOCALHOST, inner)) else { return };
                let caller = Caller { name: "anna".to_owned(), source: "192.0.2.7".parse().unwrap() };
                if (&daemon).write_all(&preface(&SecretBytes::new(TOKEN), &caller)).is_err() {
                    return;
                }
                let back = (daemon.try_clone().unwrap(), client.try_clone().unwrap());
                let other = std::thread::spawn(move || pass(back.0, back.1));
                pass(client, daemon);
                other.join().unwrap();
            });
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// Answers for session and network.
fn answer(mut stream: UnixStream, session: &Mutex<Session>, orders: &SshdOrders) {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        decoder.push(&buffer[..length]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
            let reply = match request {
                Request::SshdOrders => Reply::SshdOrders(Box::new(orders.clone())),
                Request::Engineer { connection, ask } => {
                    Reply::Verdict(judge(&mut session.lock().unwrap(), orders, connection, ask))
                }
                Request::Resolve { name, .. } if name == "node.example" => {
                    Reply::Addresses(vec!["127.0.0.1".parse().unwrap()])
                }
                Request::Resolve { name, .. } => Reply::Unresolved(format!("nobody knows {name}")),
                _ => Reply::Refused(Refusal::NotMine),
            };
            if stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).is_err() {
                return;
            }
        }
    }
}

fn judge(session: &mut Session, orders: &SshdOrders, connection: u64, ask: EngineerAsk) -> Verdict {
    let no = |why: &str, cut| Verdict::No { why: why.to_owned(), cut };
    session.asked.push((connection, ask.clone()));
    match ask {
        EngineerAsk::Connect { .. } if session.refuse_connect => no("closed", true),
        EngineerAsk::Unrecorded(_) if session.refuse_unrecorded => no("closed", true),
        EngineerAsk::Key(number) => {
            assert!(usize::from(number) < orders.keys.len());
            if session.secret_too { Verdict::SecretToo } else { Verdict::Yes }
        }
        EngineerAsk::Secret(secret) if secret.reveal() == SECRET => Verdict::Yes,
        EngineerAsk::Secret(_) => {
            session.wrong += 1;
            no(&format!("That was wrong; try {} of 3.", session.wrong), session.wrong >= 3)
        }
        EngineerAsk::May(EngineerUse::Shell) if !orders.scope.shell => {
            no("This grant has no command line.", false)
        }
        _ => Verdict::Yes,
    }
}

/// Stands for init: starts real programs in the shell's place.
fn be_init(mut stream: UnixStream, ready: &Sender<Arc<Mutex<UnixStream>>>) {
    let out = Arc::new(Mutex::new(stream.try_clone().unwrap()));
    let running: Arc<Mutex<HashMap<ShellId, i32>>> = Arc::default();
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    let mut last = 0;
    let mut came = Vec::new();
    loop {
        match receive_with(&stream, &mut buffer, &mut came) {
            Ok(length @ 1..) => decoder.push(&buffer[..length]),
            _ => return,
        }
        while let Some(frame) = decoder.next_frame().unwrap() {
            let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
            let mut child = None;
            let reply = match request {
                Request::Ready => {
                    ready.send(Arc::clone(&out)).unwrap();
                    Reply::Done
                }
                Request::StartShell(order) => {
                    last += 1;
                    let started = start(&order, std::mem::take(&mut came));
                    running.lock().unwrap().insert(ShellId(last), i32::try_from(started.id()).unwrap());
                    child = Some((ShellId(last), started));
                    Reply::ShellStarted(ShellId(last))
                }
                Request::SignalShell(id, signal) => {
                    let signal = match signal {
                        ShellSignal::Hangup => nix::sys::signal::Signal::SIGHUP,
                        ShellSignal::Interrupt => nix::sys::signal::Signal::SIGINT,
                        ShellSignal::Terminate => nix::sys::signal::Signal::SIGTERM,
                        ShellSignal::Kill => nix::sys::signal::Signal::SIGKILL,
                    };
                    if let Some(pid) = running.lock().unwrap().get(&id) {
                        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), signal);
                    }
                    Reply::Done
                }
                _ => Reply::Refused(Refusal::NotMine),
            };
            stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).unwrap();
            if let Some((id, mut child)) = child {
                let (out, running) = (Arc::clone(&out), Arc::clone(&running));
                std::thread::spawn(move || {
                    let status = child.wait().unwrap();
                    running.lock().unwrap().remove(&id);
                    let end = match status.signal() {
                        Some(signal) => ShellEnd::Signalled(u8::try_from(signal).unwrap()),
                        None => ShellEnd::Exited(u8::try_from(status.code().unwrap()).unwrap()),
                    };
                    // The role may have ended before.
                    let event = encode(&Frame::Event(Event::ShellEnded(id, end))).unwrap();
                    let _ = out.lock().unwrap().write_all(&event);
                });
            }
        }
    }
}

fn start(order: &drawbridge_bus::bridge::ShellOrder, came: Vec<OwnedFd>) -> Child {
    // `setsid --ctty` does what init does for a terminal; without one a program is in a session of its own as well.
    let mut command = Command::new("setsid");
    if came.len() == 1 {
        command.arg("--ctty");
    }
    match &order.job {
        ShellJob::Interactive => command.args(["sh", "-i"]),
        ShellJob::Exec(line) => command.args(["sh", "-c", line]),
        ShellJob::Sftp => command.arg("/usr/lib/openssh/sftp-server"),
    };
    command.env_clear().env("PATH", "/usr/bin:/bin").env("PS1", "ready> ");
    for (name, value) in [("TERM", &order.terminal), ("LANG", &order.language)] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let mut came = came.into_iter();
    match (came.next(), came.next(), came.next()) {
        (Some(terminal), None, None) => command
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal),
        (Some(input), Some(output), Some(errors)) => command.stdin(input).stdout(output).stderr(errors),
        other => panic!("{other:?}"),
    };
    command.spawn().unwrap()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0usize, |number, byte| number << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = if place <= chunk.len() { LETTERS[number >> (18 - 6 * place) & 63] } else { b'=' };
            out.push(char::from(letter));
        }
    }
    out
}
