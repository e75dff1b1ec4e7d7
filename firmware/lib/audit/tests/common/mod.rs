//! Real servers as ordinary processes on 127.0.0.1, each with a folder and a configuration of its own; and a log with events.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use drawbridge_audit::event::{BootId, Clock, Draft, Name, Stamp, What, Who, WhoKind};
use drawbridge_audit::log::{Identity, Limits, Log};
use drawbridge_audit::queue::{Begin, Positions, Queue, SinkState, Source, Watch};
use drawbridge_audit::sink::{Sink, Way};
use drawbridge_audit::{Filter, Kept};
use drawbridge_chain::{DeviceKey, Utc};
use drawbridge_dial::{CertificateDer, HostPort, NameFailure, Names, Plain, Trust, Wait};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;

/// What a server gets at the most to open its port; a loaded machine takes long.
const START: Duration = Duration::from_mins(1);

/// A program that ends, with all its children, when this is dropped.
pub(crate) struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It leads a group of its own, and its children are in it.
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

impl Peer {
    /// Starts a program and waits for its port.
    pub(crate) fn start(program: &Path, arguments: &[&str], port: u16, folder: &Path) -> Self {
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .current_dir(folder)
            .process_group(0);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let mut peer = Self(child);
        let end = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = peer.0.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < end,
                "{} does not open port {port} ({ended:?}): {}",
                program.display(),
                fs::read_to_string(folder.join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
        peer
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A server's certificate for `log.test` and `mail.test`, its key, and its root.
pub(crate) fn certificates(folder: &Path) -> CertificateDer<'static> {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "Root of the tests");
    let root_key = KeyPair::generate().unwrap();
    let root_certificate = root.self_signed(&root_key).unwrap();
    let leaf = CertificateParams::new(vec!["log.test".to_owned(), "mail.test".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
    fs::write(folder.join("root.pem"), root_certificate.pem()).unwrap();
    fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    root_certificate.der().clone()
}

pub(crate) fn trust(root: &CertificateDer<'static>) -> Trust {
    Trust { uploaded: vec![root.clone()], ..Trust::default() }
}

/// Every name is this machine.
pub(crate) struct Here;

impl Names for Here {
    fn addresses<'a>(&'a self, _: &'a str) -> Wait<'a, Result<Vec<IpAddr>, NameFailure>> {
        Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into()]) })
    }
}

pub(crate) fn way(name: &str, port: u16) -> Way {
    Way::new(HostPort::parse(&format!("{name}:{port}")).unwrap(), Arc::new(Here), Arc::new(Plain))
}

pub(crate) fn stamp(number: u64) -> Stamp {
    Stamp {
        time: Utc::from_millis(1_767_225_600_000 + number).unwrap(),
        clock: Clock::Ntp,
        boot: BootId(7),
        monotonic_ms: number,
    }
}

pub(crate) fn paused(session: &str) -> Draft {
    Draft::new(What::Paused { session: Name::of(session) }, Who::new(WhoKind::Owner, "anna"))
}

/// A log, and a way to tell of new events.
pub(crate) struct Bench {
    pub(crate) log: Log,
    tell: watch::Sender<u64>,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { serial: "1001".to_owned().try_into().unwrap(), key: DeviceKey([1; 32]) };
        let (log, _) = Log::open(folder.path(), identity, Limits::default(), 0, stamp(0)).unwrap();
        Self { log, tell: watch::channel(0).0, folder }
    }

    pub(crate) fn add(&mut self, draft: Draft) -> Kept {
        let number = self.log.append(vec![draft], stamp(self.log.last())).unwrap()[0];
        self.tell.send_replace(number);
        self.log.reader().one(number).unwrap().unwrap()
    }

    pub(crate) fn queue<S: Sink>(
        &self,
        name: &'static str,
        sink: S,
    ) -> (Queue<S, drawbridge_audit::log::Reader, Positions>, Watch) {
        let positions = Positions::at(&self.folder.path().join(name)).unwrap();
        let source = Source { events: self.log.reader(), last: self.tell.subscribe(), positions };
        Queue::new(name, sink, Filter::default(), source, Begin::Oldest, Arc::new(|| stamp(0).time))
    }
}

/// Waits until a queue stands so.
pub(crate) async fn until(watch: &Watch, holds: impl Fn(&SinkState) -> bool) -> SinkState {
    let mut changes = watch.changes();
    let found = tokio::time::timeout(Duration::from_mins(2), changes.wait_for(holds)).await;
    match found {
        Ok(found) => found.expect("the queue has ended").clone(),
        Err(late) => panic!("it never was so, {late}: {:?}", watch.state()),
    }
}

/// Waits until something can be read of a file.
pub(crate) async fn read_until<T>(path: &Path, enough: impl Fn(&str) -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some(found) = enough(&text) {
            return found;
        }
        assert!(Instant::now() < end, "not enough in {}: {text:.2000}", path.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Python with aiosmtpd, in a folder that later runs use again.
pub(crate) fn python() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aiosmtpd");
    let wanted = here.join("requirements.txt");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aiosmtpd");
    let note = folder.join("requirements.txt");
    let python = folder.join("bin/python");
    // Several tests may want it at once.
    let lock = fs::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("aiosmtpd.lock")).unwrap();
    lock.lock().unwrap();
    if fs::read(&note).ok() == Some(fs::read(&wanted).unwrap()) && python.is_file() {
        return python;
    }
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let remedy = "python3 with the package python3-venv is needed, and a way to PyPI";
        assert!(output.status.success(), "{} {arguments:?}: {remedy}:\n{said}", program.display());
    };
    run(Path::new("python3"), &["-m", "venv", "--clear", folder.to_str().unwrap()]);
    let from = wanted.to_str().unwrap();
    let arguments =
        ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r", from];
    run(&python, &arguments);
    // Last, so that a broken installation is begun anew.
    fs::copy(&wanted, &note).unwrap();
    python
}
