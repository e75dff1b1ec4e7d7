//! The tunnel as a process of its own, so that its memory and its end are its own, with an init, a session and a network role that
//! say what the test wants, and a listener in the SSH daemon's place.

mod bus;
#[allow(dead_code, reason = "another test uses the rest of it")]
#[path = "../../whole/common/server.rs"]
pub(crate) mod server;

use bus::{Bus, Said, port};
use drawbridge_bus::bridge::{
    BridgePath, Link, SecretBytes, TunnelJob, TunnelNews, TunnelOrders, Verification,
};
use drawbridge_bus::frame::{Frame, encode};
use drawbridge_bus::relay::{self, Caller};
use drawbridge_bus::support::Target;
use drawbridge_bus::{Event, Role};
use drawbridge_tunnel::{Pace, Place, run_at};
use drawbridge_wire::Token;
use server::Server;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Generous: the machine that runs this may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What comes of it, soon.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

/// 32 bytes that nobody knows.
pub(crate) fn random() -> [u8; 32] {
    *Token::random().unwrap().bytes()
}

/// Everything goes fast, so that a test need not wait.
pub(crate) const FAST: Pace = Pace {
    ping_every: Duration::from_millis(500),
    silent_for: Duration::from_secs(25),
    wait_first: Duration::from_millis(250),
    wait_most: Duration::from_millis(300),
    wait_refused: Duration::from_millis(600),
    upload_every: Duration::from_millis(100),
    fetch_idle: Duration::from_secs(30),
};

/// Orders for a bridge to this server, by the pin of its certificate.
pub(crate) fn orders(server: &Server) -> TunnelOrders {
    TunnelOrders {
        job: TunnelJob::Bridge { relay: SecretBytes::new(random()) },
        path: BridgePath {
            server: Target { host: "127.0.0.1".parse().unwrap(), port: server.port },
            tls_name: None,
            verification: Verification {
                built_in: false,
                certificate_pin: Some(server.pin),
                ..Verification::default()
            },
            hops: Vec::new(),
            proxy: None,
            interface: None,
            enrolment: None,
        },
        login_key: SecretBytes::new(random()),
        host_key: "ssh-ed25519 AAAA".to_owned(),
        serial: "SN-0042".to_owned(),
        name: "sa-0042".to_owned(),
        version: "1.2.3".to_owned(),
        server_key: None,
    }
}

/// To be called by the one test that is the role's own process: it becomes the role if it was started as one.
pub(crate) fn be_the_role() {
    let Some(sockets) = std::env::var_os("DRAWBRIDGE_TEST_TUNNEL").map(PathBuf::from) else { return };
    let text = std::env::var("DRAWBRIDGE_TEST_PACE").unwrap();
    let times: Vec<Duration> =
        text.split(' ').map(|time| Duration::from_millis(time.parse().unwrap())).collect();
    let [ping_every, silent_for, wait_first, wait_most, wait_refused] = times[..] else { panic!("{text}") };
    let pace = Pace { ping_every, silent_for, wait_first, wait_most, wait_refused, ..FAST };
    let sshd = std::env::var("DRAWBRIDGE_TEST_SSHD").unwrap().parse().unwrap();
    drawbridge_bus::logger::start();
    let code = run_at(&Place { sockets, listener: 0, sshd, narrow: |_| Ok(()), pace });
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

/// A running role.
pub(crate) struct Tunnel {
    role: Child,
    said: Arc<Said>,
    news: mpsc::UnboundedReceiver<TunnelNews>,
    looks: watch::Receiver<u64>,
    init: UnixStream,
    pub(crate) daemon: TcpListener,
    folder: tempfile::TempDir,
}

impl Tunnel {
    /// Starts one with these orders, at this pace.
    pub(crate) async fn start(orders: TunnelOrders, pace: Pace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (told, news) = mpsc::unbounded_channel();
        let (ready, mut is_ready) = mpsc::unbounded_channel();
        let (look, looks) = watch::channel(0);
        let said = Arc::new(Said::default());
        let bus = Arc::new(Bus { said: Arc::clone(&said), orders, told, ready, look });
        for role in [Role::Init, Role::Session, Role::Network] {
            let listener = UnixListener::bind(folder.path().join(role.name())).unwrap();
            let bus = Arc::clone(&bus);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let bus = Arc::clone(&bus);
                    std::thread::spawn(move || bus.answer(stream.unwrap()));
                }
            });
        }
        let own = UnixListener::bind(folder.path().join("tunnel")).unwrap();
        let daemon = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let times = [pace.ping_every, pace.silent_for, pace.wait_first, pace.wait_most, pace.wait_refused];
        let times: Vec<String> = times.iter().map(|time| time.as_millis().to_string()).collect();
        let role = Command::new(std::env::current_exe().unwrap())
            .args(["the_roles_own_process", "--exact", "--ignored", "--nocapture"])
            .env("DRAWBRIDGE_TEST_TUNNEL", folder.path())
            .env("DRAWBRIDGE_TEST_PACE", times.join(" "))
            .env("DRAWBRIDGE_TEST_SSHD", daemon.local_addr().unwrap().port().to_string())
            .stdin(Stdio::from(OwnedFd::from(own)))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let init = soon("the role's start", is_ready.recv()).await.unwrap();
        Self { role, said, news, looks, init, daemon, folder }
    }

    /// Where the control connection stands next, after what the test has asked for.
    pub(crate) async fn link(&mut self) -> Link {
        loop {
            if let TunnelNews::Link(link) = soon("news", self.news.recv()).await.expect("the role lives") {
                return link;
            }
        }
    }

    pub(crate) async fn connected(&mut self) {
        while !matches!(self.link().await, Link::Connected { .. }) {}
    }

    /// Why it waits.
    pub(crate) async fn waiting(&mut self) -> String {
        loop {
            if let Link::Waiting { why, .. } = self.link().await {
                return why;
            }
        }
    }

    /// The next connection to the SSH daemon.
    pub(crate) async fn comes_in(&self) -> (Caller, TcpStream) {
        let (mut stream, _) = soon("a connection to the SSH daemon", self.daemon.accept()).await.unwrap();
        let begin = soon("its preface", relay::read(&mut stream)).await.unwrap();
        (begin.expect("it begins with a preface").1, stream)
    }

    /// Waits until the role has looked at the ports twice: then it knows them as they are now.
    pub(crate) async fn has_looked(&mut self) {
        let seen = *self.looks.borrow();
        let looked = self.looks.wait_for(|looks| *looks >= seen + 2);
        drop(soon("a look at the ports", looked).await.unwrap());
    }

    /// A port comes up.
    pub(crate) fn comes_up(&self, name: &str) {
        self.said.ports.lock().unwrap().push(port(name));
    }

    /// Session wants no news any more.
    pub(crate) fn grant_is_over(&self) {
        *self.said.over.lock().unwrap() = true;
    }

    pub(crate) fn lose_init(&self) {
        self.init.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// The role's memory, in KiB (`proc_pid_status(5)`).
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.role.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.role.id())).unwrap().count()
    }

    pub(crate) fn tell_to_stop(&mut self, seconds: u16) {
        self.init.write_all(&encode(&Frame::Event(Event::Stop { seconds })).unwrap()).unwrap();
    }

    /// Whether the role has ended well, and how long that took.
    pub(crate) async fn ends(&mut self) -> (bool, Duration) {
        let began = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        let status = soon("the role's end", async {
            loop {
                looks.tick().await;
                if let Some(status) = self.role.try_wait().unwrap() {
                    break status;
                }
            }
        });
        (status.await.success(), began.elapsed())
    }

    /// Says stop, and is content only with a good end within the time given.
    pub(crate) async fn stop(&mut self) -> Duration {
        self.tell_to_stop(5);
        let (well, time) = self.ends().await;
        assert!(well, "the role has failed: {}", self.log());
        time
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.role.kill();
        let _ = self.role.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
