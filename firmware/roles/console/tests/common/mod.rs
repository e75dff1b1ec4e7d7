//! The console as a process of its own, with an init and a network role that say what the test wants.

#![allow(dead_code, reason = "each test program uses its part")]

use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::{
    Announcement, ClockState, DataState, Event, Port, Reply, Request, Role, RoleState, RoleStatus,
    SystemStatus,
};
use drawbridge_console::{Place, Ports, run_at};
use drawbridge_settings::network::PortRole;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Generous: the machine that runs this may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What the roles of the test say.
#[derive(Clone, Default)]
pub(crate) struct Said {
    pub(crate) status: Arc<Mutex<Option<SystemStatus>>>,
    pub(crate) ports: Arc<Mutex<Option<Vec<Port>>>>,
    /// What the session role says, and the recorder, where there is one.
    pub(crate) session: Option<Session>,
}

/// Answers in the session role's place.
pub(crate) type Session = Arc<dyn Fn(Request) -> Reply + Send + Sync>;

/// A running console.
pub(crate) struct Console {
    pub(crate) port: u16,
    pub(crate) redirect: u16,
    pub(crate) folder: PathBuf,
    pub(crate) said: Said,
    pub(crate) fingerprint: [u8; 32],
    role: Option<Child>,
    init: UnixStream,
}

/// To be called by the one test that is the role's own process: it becomes the role if it was started as one.
pub(crate) fn be_the_role() {
    let Some(folder) = std::env::var_os("DRAWBRIDGE_TEST_CONSOLE") else { return };
    if let Some(descriptors) =
        std::env::var("DRAWBRIDGE_TEST_DESCRIPTORS").ok().and_then(|text| text.parse().ok())
    {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, descriptors, descriptors)
            .unwrap();
    }
    drawbridge_bus::logger::start();
    let folder = PathBuf::from(folder);
    let port = |name| std::env::var(name).unwrap().parse().unwrap();
    let ports = Ports { console: port("DRAWBRIDGE_TEST_PORT"), redirect: port("DRAWBRIDGE_TEST_REDIRECT") };
    let (sockets, profile) = (folder.clone(), folder.join("profile.json"));
    let place = Place { sockets, listener: 0, folder: folder.join("data"), profile, ports };
    let code = run_at(&place);
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}

impl Console {
    /// Starts one, with at most so many descriptors.
    pub(crate) fn start(name: &str, descriptors: Option<u64>) -> Self {
        Self::start_in(folder(name), descriptors)
    }

    /// Starts one in a folder that is there.
    pub(crate) fn start_in(folder: PathBuf, descriptors: Option<u64>) -> Self {
        Self::start_beside(folder, descriptors, None)
    }

    /// Starts one in a folder that is there, with this session role.
    pub(crate) fn start_beside(folder: PathBuf, descriptors: Option<u64>, session: Option<Session>) -> Self {
        let said = Said { session, ..Said::default() };
        *said.status.lock().unwrap() = Some(status());
        *said.ports.lock().unwrap() = Some(ports());
        let (ready, started) = channel();
        let others: &[Role] = if said.session.is_some() { &[Role::Session, Role::Recorder] } else { &[] };
        for role in [Role::Init, Role::Network].into_iter().chain(others.iter().copied()) {
            let path = folder.join(role.name());
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(path).unwrap();
            let (said, ready) = (said.clone(), ready.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (said, ready) = (said.clone(), ready.clone());
                    std::thread::spawn(move || answer(role, stream.unwrap(), &said, &ready));
                }
            });
        }
        let path = folder.join("console");
        let _ = std::fs::remove_file(&path);
        let bus = UnixListener::bind(path).unwrap();
        // Two ports that are free now.
        let free = [(); 2].map(|()| std::net::TcpListener::bind("[::]:0").unwrap());
        let [port, redirect] = free.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(free);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["the_roles_own_process", "--exact", "--ignored", "--nocapture"])
            .env("DRAWBRIDGE_TEST_CONSOLE", &folder)
            .env("DRAWBRIDGE_TEST_PORT", port.to_string())
            .env("DRAWBRIDGE_TEST_REDIRECT", redirect.to_string())
            .stdin(Stdio::from(OwnedFd::from(bus)))
            .stdout(Stdio::null());
        if let Some(descriptors) = descriptors {
            command.env("DRAWBRIDGE_TEST_DESCRIPTORS", descriptors.to_string());
        }
        let role = Some(command.spawn().unwrap());
        let (init, fingerprint) = started.recv_timeout(SOON).expect("the console starts");
        Self { port, redirect, folder, said, fingerprint, role, init }
    }

    /// The number of the role's process.
    pub(crate) fn id(&self) -> u32 {
        self.role.as_ref().unwrap().id()
    }

    /// Tells the role to end, and waits until it has.
    pub(crate) fn stop(&mut self, seconds: u16) -> ExitStatus {
        self.tell_to_stop(seconds);
        self.role.take().unwrap().wait().unwrap()
    }

    pub(crate) fn tell_to_stop(&mut self, seconds: u16) {
        self.init.write_all(&encode(&Frame::Event(Event::Stop { seconds })).unwrap()).unwrap();
    }

    pub(crate) fn ends(&mut self) -> ExitStatus {
        self.role.take().unwrap().wait().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut role) = self.role.take() {
            role.kill().unwrap();
            role.wait().unwrap();
        }
    }

    pub(crate) fn lose_init(&mut self) {
        self.init.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// A TCP connection.
    pub(crate) fn tcp(&self) -> io::Result<TcpStream> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let stream = TcpStream::connect_timeout(&address, SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(stream)
    }

    /// A TLS connection.
    pub(crate) fn tls(&self) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let config = Arc::new(trusting_config());
        let name = ServerName::try_from("drawbridge").unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), self.tcp()?);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(stream)
    }

    /// What the server says to this.
    pub(crate) fn ask(&self, request: &str) -> io::Result<String> {
        let mut stream = self.tls()?;
        stream.write_all(request.as_bytes())?;
        read_all(&mut stream)
    }

    /// The page.
    pub(crate) fn page(&self) -> io::Result<String> {
        self.ask("GET /status HTTP/1.1\r\nHost: drawbridge\r\nConnection: close\r\n\r\n")
    }

    /// The page, tried again while it cannot be had.
    pub(crate) fn page_soon(&self) -> String {
        let until = Instant::now() + SOON;
        loop {
            match self.page() {
                Ok(page) if !page.is_empty() => return page,
                other => assert!(Instant::now() < until, "no page: {other:?}"),
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An empty folder for one.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("drawbridge-console-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("data")).unwrap();
    folder
}

/// Everything until the end, however the other side ends it.
pub(crate) fn read_all(stream: &mut impl io::Read) -> io::Result<String> {
    let mut content = Vec::new();
    match stream.read_to_end(&mut content) {
        Err(error) if content.is_empty() => Err(error),
        _ => Ok(String::from_utf8_lossy(&content).into_owned()),
    }
}

fn answer(role: Role, mut stream: UnixStream, said: &Said, ready: &Sender<(UnixStream, [u8; 32])>) {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        decoder.push(&buffer[..length]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
            let reply = match request {
                request if matches!(role, Role::Session | Role::Recorder) => {
                    said.session.as_ref().map(|session| session(request))
                }
                Request::Status => {
                    said.status.lock().unwrap().clone().map(|status| Reply::Status(Box::new(status)))
                }
                Request::Ports => said.ports.lock().unwrap().clone().map(Reply::Ports),
                Request::Announce(Announcement::CertificateFingerprint(fingerprint)) => {
                    let _ = ready.send((stream.try_clone().unwrap(), fingerprint));
                    Some(Reply::Done)
                }
                _ => Some(Reply::Done),
            };
            // A role that has nothing to say hangs.
            let Some(reply) = reply else { continue };
            if stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).is_err() {
                return;
            }
        }
    }
}

fn status() -> SystemStatus {
    let role = |role| RoleStatus {
        role,
        state: RoleState::Running,
        pid: 77,
        starts: 1,
        memory_kib: 4096,
        last_end: String::new(),
    };
    SystemStatus {
        memory: (250_000, 200_000),
        version: "0.1.0".to_owned(),
        serial: String::new(),
        host_name: "sa-010203".to_owned(),
        uptime_seconds: 3_600,
        data: DataState::Disk { device: "vda3".to_owned(), fault: None },
        clock: ClockState::Hardware,
        watchdogs: vec!["i6300esb".to_owned()],
        last_failure: None,
        roles: vec![role(Role::Network), role(Role::Console)],
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
        remarks: Vec::new(),
        mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
        driver: "e1000e".to_owned(),
        carrier: true,
        addresses: vec![("10.0.1.5".parse().unwrap(), 24), ("fe80::5054:ff:fe12:3456".parse().unwrap(), 64)],
    }]
}

/// A client that believes every certificate.
pub(crate) fn trusting_config() -> ClientConfig {
    trusting(rustls::ALL_VERSIONS)
}

/// The same, of one version of TLS.
pub(crate) fn trusting_config_of(version: rustls::ProtocolVersion) -> ClientConfig {
    match version {
        rustls::ProtocolVersion::TLSv1_2 => trusting(&[&rustls::version::TLS12]),
        _ => trusting(&[&rustls::version::TLS13]),
    }
}

fn trusting(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth()
}

/// Takes any certificate: what is tested is not the client.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
