//! The recorder as a process of its own, in its sandbox and as its own user, with an init that only listens and a session that signs;
//! and callers that are, by the kernel's word, the roles that they say they are. That takes root.
#![allow(dead_code, reason = "each test program uses its part")]

use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::record::{
    Deed, RecordAsk, RecordedEnd, RecordedUse, RecordingFacts, RecordingId, RecordingLine,
};
use drawbridge_bus::support::{GrantId, Level};
use drawbridge_bus::{Event, Reply, Request, Role, receive_with, send_with};
use drawbridge_chain::{DeviceKey, Expected, FILE, FolderTracks, Report, verify};
use drawbridge_recorder::{Place, run_at};
use drawbridge_recording::{Bundle, FolderFiles, Section};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::io::{BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Generous: the machine that runs this may be busy.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// Whether these tests can be run; they say so when they cannot.
pub(crate) fn may_run() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: callers have the users of roles, which takes root");
    }
    is_root
}

/// To be called by the one test that is the role's own process: it becomes the role if it was started as one.
pub(crate) fn be_the_role() {
    let (Some(sockets), Some(data)) =
        (std::env::var_os("DRAWBRIDGE_TEST_SOCKETS"), std::env::var_os("DRAWBRIDGE_TEST_DATA"))
    else {
        return;
    };
    drawbridge_bus::logger::start();
    lock(&data.to_string_lossy());
    let place = Place { sockets: PathBuf::from(sockets), listener: 0, folder: PathBuf::from(data) };
    let code = run_at(&place);
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}

/// The sandbox that init's table has for the role, but for its files.
fn lock(data: &str) {
    use drawbridge_sandbox::{Calls, Connects, File, Limits, Profile};
    nix::sys::prctl::set_no_new_privs().unwrap();
    let data: &'static str = Box::leak(data.to_owned().into_boxed_str());
    let profile = Profile {
        name: Role::Recorder.name(),
        uid: Role::Recorder.uid(),
        capabilities: &[],
        calls: &[Calls::Connections, Calls::Files],
        files: Box::leak(Box::new([File { path: data, write: true }])),
        listens: &[],
        connects: Connects::Ports(&[]),
        network: false,
        limits: Limits { memory: 0, tasks: 0, descriptors: 0, temporary: 0, file: 0 },
    };
    match drawbridge_sandbox::lock(&profile) {
        Ok(()) => {}
        Err(drawbridge_sandbox::SandboxError::Landlock(why)) => eprintln!("not locked: {why}"),
        Err(error) => panic!("{error}"),
    }
}

/// To be called by the one test that is a caller's own process: it connects, and gives the connection back.
pub(crate) fn be_a_caller() {
    let Some(socket) = std::env::var_os("DRAWBRIDGE_TEST_CALL") else { return };
    let to = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let stream = UnixStream::connect(socket).unwrap();
    send_with(&to, b"x", &[stream.as_fd()]).unwrap();
    std::process::exit(0);
}

/// What stands around the role, and outlives its processes.
pub(crate) struct House {
    pub(crate) sockets: tempfile::TempDir,
    pub(crate) data: PathBuf,
    /// Session does not sign while it is away.
    pub(crate) is_away: Arc<AtomicBool>,
    /// So many signatures it has given.
    pub(crate) signed: Arc<AtomicU32>,
    /// What it was told for the audit.
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    bus: UnixListener,
    ready: Arc<Mutex<Option<Sender<UnixStream>>>>,
    _folder: Option<tempfile::TempDir>,
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        Self { _folder: Some(folder), ..Self::at(data) }
    }

    /// With this folder as the role's own.
    pub(crate) fn at(data: PathBuf) -> Self {
        let user = Some(Role::Recorder.uid());
        std::os::unix::fs::chown(&data, user, user).unwrap();
        let sockets = tempfile::tempdir().unwrap();
        open_to_all(sockets.path());
        let (is_away, signed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let ready: Arc<Mutex<Option<Sender<UnixStream>>>> = Arc::default();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        for role in [Role::Init, Role::Session] {
            let path = sockets.path().join(role.name());
            let listener = UnixListener::bind(&path).unwrap();
            open_to_all(&path);
            let (is_away, signed, ready) = (Arc::clone(&is_away), Arc::clone(&signed), Arc::clone(&ready));
            let told = Arc::clone(&told);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (is_away, signed) = (Arc::clone(&is_away), Arc::clone(&signed));
                    let (ready, told) = (Arc::clone(&ready), Arc::clone(&told));
                    std::thread::spawn(move || answer(stream.unwrap(), &is_away, &signed, &told, &ready));
                }
            });
        }
        let path = sockets.path().join("recorder");
        let bus = UnixListener::bind(&path).unwrap();
        open_to_all(&path);
        Self { sockets, data, is_away, signed, told, bus, ready, _folder: None }
    }

    /// Starts the role, and waits until it serves.
    pub(crate) fn start(&self) -> Recorder {
        let (sender, started) = channel();
        *self.ready.lock().unwrap() = Some(sender);
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let bus: OwnedFd = self.bus.try_clone().unwrap().into();
        let role = Command::new(std::env::current_exe().unwrap())
            .args(["the_roles_own_process", "--exact", "--ignored", "--nocapture"])
            .env("DRAWBRIDGE_TEST_SOCKETS", self.sockets.path())
            .env("DRAWBRIDGE_TEST_DATA", &self.data)
            .uid(Role::Recorder.uid())
            .gid(Role::Recorder.uid())
            .stdin(Stdio::from(bus))
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let mut recorder = Recorder { role: Some(role), init: None, log: self.log_path() };
        recorder.init = Some(started.recv_timeout(SOON).unwrap_or_else(|_| panic!("{}", recorder.log())));
        recorder
    }

    fn log_path(&self) -> PathBuf {
        self.sockets.path().join("log")
    }

    /// A connection to the role as that role.
    pub(crate) fn call_as(&self, role: Role) -> Caller {
        let (mine, its) = UnixStream::pair().unwrap();
        let its: OwnedFd = its.into();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["a_callers_own_process", "--exact", "--ignored", "--nocapture"])
            .env("DRAWBRIDGE_TEST_CALL", self.sockets.path().join("recorder"))
            .uid(role.uid())
            .gid(role.uid())
            .stdin(Stdio::from(its))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let mut came = Vec::new();
        assert_eq!(receive_with(&mine, &mut [0; 1], &mut came).unwrap(), 1);
        Caller { stream: came.remove(0).into(), decoder: Decoder::default(), last: 0 }
    }

    /// All recordings.
    pub(crate) fn lines(&self) -> Vec<RecordingLine> {
        match self.call_as(Role::Console).call(Request::Recordings { before: None }) {
            Reply::Recordings(lines) => lines,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until so many recordings are there, whole and signed.
    pub(crate) fn whole(&self, count: usize) -> Vec<RecordingLine> {
        let mut console = self.call_as(Role::Console);
        let until = Instant::now() + SOON;
        loop {
            let Reply::Recordings(lines) = console.call(Request::Recordings { before: None }) else {
                panic!()
            };
            if lines.len() == count && lines.iter().all(|line| line.head.is_some() && !line.running) {
                return lines;
            }
            assert!(Instant::now() < until, "not whole in time: {lines:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the audit was told so many things, and gives all.
    pub(crate) fn told(&self, count: usize) -> Vec<String> {
        let until = Instant::now() + SOON;
        loop {
            let told = self.told.lock().unwrap().clone();
            if told.len() >= count {
                return told;
            }
            assert!(Instant::now() < until, "{told:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn folder_of(&self, id: &RecordingId) -> PathBuf {
        self.data.join(id.as_str())
    }

    pub(crate) fn bundle(&self, id: &RecordingId) -> Bundle<FolderFiles> {
        Bundle::open(FolderFiles::new(self.folder_of(id))).unwrap()
    }

    /// What a terminal showed, sizes left out.
    pub(crate) fn shown(&self, id: &RecordingId, terminal: u32) -> Vec<u8> {
        shown(self.bundle(id).frames(terminal).unwrap())
    }

    pub(crate) fn verify(&self, id: &RecordingId) -> Report {
        let folder = self.folder_of(id);
        let key = DeviceKey(pair().public_key().as_ref().try_into().unwrap());
        let chain = BufReader::new(std::fs::File::open(folder.join(FILE)).unwrap());
        verify(chain, &mut FolderTracks::new(folder), &Expected::Key(key)).unwrap()
    }

    /// Verifies that a recording is whole, and was changed nowhere.
    pub(crate) fn is_proved(&self, id: &RecordingId) {
        let report = self.verify(id);
        assert!(matches!(report.verdict, drawbridge_chain::Verdict::Whole { .. }), "{report:#?}");
    }

    /// Whether these bytes are anywhere in the folder.
    pub(crate) fn has(&self, bytes: &[u8]) -> bool {
        fn look(folder: &Path, bytes: &[u8]) -> bool {
            folder.read_dir().unwrap().any(|entry| {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    return look(&path, bytes);
                }
                std::fs::read(path).unwrap().windows(bytes.len()).any(|part| part == bytes)
            })
        }
        look(&self.data, bytes)
    }
}

pub(crate) fn shown(mut frames: drawbridge_recording::FrameReader<BufReader<Section>>) -> Vec<u8> {
    let mut shown = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        if drawbridge_recording::Size::announced(&frame.data).is_none() {
            shown.extend_from_slice(&frame.data);
        }
    }
    shown
}

/// A process of the role.
pub(crate) struct Recorder {
    role: Option<Child>,
    init: Option<UnixStream>,
    log: PathBuf,
}

impl Recorder {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// As a power cut would, but for what the kernel has already.
    pub(crate) fn kill(mut self) {
        let mut role = self.role.take().unwrap();
        role.kill().unwrap();
        role.wait().unwrap();
    }

    /// Tells it to end; how it did.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let stop = encode(&Frame::Event(Event::Stop { seconds: 5 })).unwrap();
        self.init.as_ref().unwrap().write_all(&stop).unwrap();
        self.role.take().unwrap().wait().unwrap()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(mut role) = self.role.take() {
            role.kill().unwrap();
            role.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("the role's log:\n{}", self.log());
        }
    }
}

/// Stands for init and session.
fn answer(
    mut stream: UnixStream,
    is_away: &AtomicBool,
    signed: &AtomicU32,
    told: &Mutex<Vec<String>>,
    ready: &Mutex<Option<Sender<UnixStream>>>,
) {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        decoder.push(&buffer[..length]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
            let reply = match request {
                Request::Ready => {
                    if let Some(ready) = ready.lock().unwrap().take() {
                        ready.send(stream.try_clone().unwrap()).unwrap();
                    }
                    Reply::Done
                }
                Request::Sign(_) | Request::Tell(_) if is_away.load(Ordering::SeqCst) => return,
                Request::Sign(bytes) => {
                    assert!(bytes.starts_with(b"drawbridge chain v1\0recording\0"));
                    signed.fetch_add(1, Ordering::SeqCst);
                    let pair = pair();
                    let public = pair.public_key().as_ref().try_into().unwrap();
                    Reply::Signature(pair.sign(&bytes).as_ref().to_vec(), public)
                }
                Request::Tell(text) => {
                    told.lock().unwrap().push(text);
                    Reply::Done
                }
                other => panic!("{other:?}"),
            };
            if stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).is_err() {
                return;
            }
        }
    }
}

/// A connection to the role.
pub(crate) struct Caller {
    stream: UnixStream,
    decoder: Decoder,
    last: u32,
}

impl Caller {
    pub(crate) fn call(&mut self, request: Request) -> Reply {
        self.try_call(request).expect("the role answers")
    }

    /// None when the role has gone.
    pub(crate) fn try_call(&mut self, request: Request) -> Option<Reply> {
        self.last += 1;
        self.stream.write_all(&encode(&Frame::Request { id: self.last, request }).unwrap()).ok()?;
        let mut buffer = [0; 16_384];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                let Frame::Reply { id, reply } = frame else { panic!("{frame:?}") };
                assert_eq!(id, self.last);
                return Some(reply);
            }
            match self.stream.read(&mut buffer) {
                Ok(length @ 1..) => self.decoder.push(&buffer[..length]),
                _ => return None,
            }
        }
    }

    pub(crate) fn record(&mut self, connection: u64, ask: RecordAsk) -> Reply {
        self.call(Request::Record { connection, ask })
    }

    /// Has this kept.
    pub(crate) fn keep(&mut self, connection: u64, ask: RecordAsk) {
        assert_eq!(self.record(connection, ask), Reply::Done);
    }

    pub(crate) fn begin(&mut self, connection: u64) {
        self.keep(connection, RecordAsk::Begin(Box::new(facts())));
    }

    pub(crate) fn terminal(&mut self, connection: u64, channel: u32) {
        let what = RecordedUse::Terminal { size: (80, 24), command: None };
        self.keep(connection, RecordAsk::Open { channel, what });
    }

    pub(crate) fn deed(&mut self, connection: u64, deed: Deed) -> Reply {
        self.call(Request::RecordDeed { connection, deed })
    }

    pub(crate) fn screen(&mut self, id: &RecordingId, channel: u32, after: u64) -> Reply {
        self.call(Request::Screen { id: id.clone(), channel, after })
    }
}

pub(crate) fn facts() -> RecordingFacts {
    RecordingFacts {
        grant: (GrantId(7), "case 7".to_owned()),
        level: Level::Direct,
        engineer: "anna".to_owned(),
        login: "support".to_owned(),
        source: "192.0.2.7".parse().unwrap(),
        system: ("box-7".to_owned(), "4711".to_owned()),
    }
}

pub(crate) fn output(channel: u32, bytes: &[u8]) -> RecordAsk {
    RecordAsk::Output { channel, errors: false, bytes: bytes.to_vec() }
}

pub(crate) fn typed(channel: u32, echo: bool, bytes: &[u8]) -> RecordAsk {
    RecordAsk::Typed { channel, echo, bytes: bytes.to_vec() }
}

pub(crate) fn close(channel: u32, end: RecordedEnd) -> RecordAsk {
    RecordAsk::Close { channel, end }
}

pub(crate) fn end() -> RecordAsk {
    RecordAsk::End("he left".to_owned())
}
