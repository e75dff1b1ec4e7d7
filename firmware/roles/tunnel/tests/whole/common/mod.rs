//! The tunnel role with an init, a session and a network role that say what the test wants, and a listener in the SSH daemon's
//! place.

pub(crate) mod recorder;
pub(crate) mod server;

use drawbridge_bus::bridge::{
    BridgePath, DeviceKeys, Link, SecretBytes, TunnelJob, TunnelNews, TunnelOrders, Verification,
};
use drawbridge_bus::client::Client;
use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::relay::{self, Caller};
use drawbridge_bus::support::Target;
use drawbridge_bus::{Event, Reply, Request, Role, receive_with, send_with};
use drawbridge_tunnel::{Pace, Place, run_at};
use drawbridge_wire::Token;
use recorder::House;
use server::Server;
use std::os::fd::{AsFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

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
pub(crate) fn fast() -> Pace {
    Pace {
        ping_every: Duration::from_secs(1),
        silent_for: Duration::from_secs(25),
        wait_most: Duration::from_millis(300),
        wait_refused: Duration::from_millis(900),
        upload_every: Duration::from_millis(100),
        ..Pace::default()
    }
}

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
        server_key: Some(server.host_key_line()),
    }
}

/// A running role.
pub(crate) struct Tunnel {
    news: mpsc::UnboundedReceiver<TunnelNews>,
    init: UnixStream,
    ended: oneshot::Receiver<bool>,
    daemon: TcpListener,
    relay: SecretBytes,
    folder: tempfile::TempDir,
}

impl Tunnel {
    /// Starts one with these orders.
    pub(crate) async fn start(orders: TunnelOrders) -> Self {
        Self::start_at(orders, |_| {}).await
    }

    /// Starts one with these orders, at another pace.
    pub(crate) async fn start_at(orders: TunnelOrders, change: impl FnOnce(&mut Pace)) -> Self {
        Self::start_in(orders, change, Arc::new(House::new().0)).await
    }

    /// Starts one beside this recorder.
    pub(crate) async fn start_beside(orders: TunnelOrders, house: Arc<House>) -> Self {
        Self::start_in(orders, |_| {}, house).await
    }

    async fn start_in(orders: TunnelOrders, change: impl FnOnce(&mut Pace), house: Arc<House>) -> Self {
        let mut speed = fast();
        change(&mut speed);
        let folder = tempfile::tempdir().unwrap();
        let TunnelJob::Bridge { relay } = orders.job.clone() else { panic!("{orders:?}") };
        let (told, news) = mpsc::unbounded_channel();
        let (ready, mut is_ready) = mpsc::unbounded_channel();
        for role in [Role::Init, Role::Session, Role::Network, Role::Recorder] {
            let listener = UnixListener::bind(folder.path().join(role.name())).unwrap();
            let (orders, told, ready) = (orders.clone(), told.clone(), ready.clone());
            let house = Arc::clone(&house);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (told, ready, house) = (told.clone(), ready.clone(), Arc::clone(&house));
                    tokio::spawn(answer(stream, orders.clone(), told, ready, house));
                }
            });
        }
        let bus = std::os::unix::net::UnixListener::bind(folder.path().join("tunnel")).unwrap();
        let daemon = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Place {
            sockets: folder.path().to_owned(),
            listener: bus.into_raw_fd(),
            sshd: daemon.local_addr().unwrap().port(),
            narrow: |_| Ok(()),
            pace: speed,
        };
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let _ = end.send(run_at(&place) == ExitCode::SUCCESS);
        });
        let init = soon("the role's start", is_ready.recv()).await.unwrap();
        Self { news, init, ended, daemon, relay, folder }
    }

    /// What the role tells next.
    pub(crate) async fn news(&mut self) -> TunnelNews {
        soon("news", self.news.recv()).await.expect("the role lives")
    }

    /// Waits until the role says that it is connected: by this name.
    pub(crate) async fn connected(&mut self) -> String {
        self.connected_to().await.0
    }

    /// Waits until the role says that it is connected: by this name, and whether to a server that takes recordings.
    pub(crate) async fn connected_to(&mut self) -> (String, bool) {
        loop {
            if let TunnelNews::Link(Link::Connected { system, takes_recordings }) = self.news().await {
                return (system, takes_recordings);
            }
        }
    }

    /// Waits until the role says that it is not connected, and never was meanwhile: why, and what to do.
    pub(crate) async fn waiting(&mut self) -> (String, String) {
        loop {
            match self.news().await {
                TunnelNews::Link(Link::Connecting) => {}
                TunnelNews::Link(Link::Waiting { why, remedy }) => return (why, remedy),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next connection to the SSH daemon, which must begin with the grant's token.
    pub(crate) async fn comes_in(&self) -> (Caller, TcpStream) {
        let (mut stream, _) = soon("a connection to the SSH daemon", self.daemon.accept()).await.unwrap();
        let begin = soon("its preface", relay::read(&mut stream)).await.unwrap();
        let (token, caller) = begin.expect("it begins with a preface");
        assert!(token == self.relay, "it begins with another grant's token");
        (caller, stream)
    }

    /// Whether somebody waits at the SSH daemon's door.
    pub(crate) async fn has_caller(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(50), self.daemon.accept()).await.is_ok()
    }

    /// A connection to the role as that role is, by the kernel's word. That takes root.
    pub(crate) fn call_as(&self, role: Role) -> Client {
        use std::os::unix::fs::PermissionsExt as _;
        let socket = self.folder.path().join("tunnel");
        for path in [self.folder.path(), &socket] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let (mine, its) = std::os::unix::net::UnixStream::pair().unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["a_callers_own_process", "--exact", "--ignored", "--nocapture"])
            .env(CALLER, socket)
            .uid(role.uid())
            .gid(role.uid())
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let mut came = Vec::new();
        assert_eq!(receive_with(&mine, &mut [0; 1], &mut came).unwrap(), 1);
        let stream = std::os::unix::net::UnixStream::from(came.remove(0));
        stream.set_nonblocking(true).unwrap();
        Client::over(Role::Tunnel, UnixStream::from_std(stream).unwrap())
    }

    /// Says stop: whether the role has ended well.
    pub(crate) async fn stop(mut self) -> bool {
        let stop = encode(&Frame::Event(Event::Stop { seconds: 5 })).unwrap();
        self.init.write_all(&stop).await.unwrap();
        soon("the role's end", self.ended).await.expect("the role has not panicked")
    }
}

/// Where a caller's own process connects to.
const CALLER: &str = "DRAWBRIDGE_TEST_CALL";

/// To be called by the one test that is a caller's own process: it connects, and gives the connection back.
pub(crate) fn be_a_caller() {
    let Some(socket) = std::env::var_os(CALLER) else { return };
    let to = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    send_with(&to, b"x", &[stream.as_fd()]).unwrap();
    std::process::exit(0);
}

/// Whether callers can be who they say they are; whoever cannot do without says so.
pub(crate) fn has_callers() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: callers have the users of roles, which takes root");
    }
    is_root
}

fn device_keys() -> DeviceKeys {
    let (line, print) = (recorder::evidence_key().to_ssh(), recorder::evidence_key().fingerprint());
    DeviceKeys {
        host_key: String::new(),
        host_fingerprint: String::new(),
        login_key: String::new(),
        evidence_key: line,
        evidence_fingerprint: print,
        serial: "SN-0042".to_owned(),
        name: "sa-0042".to_owned(),
    }
}

async fn answer(
    mut stream: UnixStream,
    orders: TunnelOrders,
    told: mpsc::UnboundedSender<TunnelNews>,
    ready: mpsc::UnboundedSender<UnixStream>,
    house: Arc<House>,
) {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        decoder.push(&buffer[..length]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
            let is_ready = request == Request::Ready;
            let reply = match request {
                Request::Ready => Reply::Done,
                Request::TunnelOrders => Reply::TunnelOrders(Box::new(orders.clone())),
                Request::Ports => Reply::Ports(Vec::new()),
                Request::DeviceKeys => Reply::DeviceKeys(Box::new(device_keys())),
                request @ (Request::Unsent | Request::UnsentPart { .. } | Request::Confirmed { .. }) => {
                    house.answer(request)
                }
                Request::TunnelNews(news) => {
                    let _ = told.send(*news);
                    Reply::Done
                }
                other => panic!("the tunnel asks {other:?}"),
            };
            if stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).await.is_err() {
                return;
            }
            if is_ready {
                let _ = ready.send(stream);
                return;
            }
        }
    }
}
