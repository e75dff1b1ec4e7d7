//! Real proxies and servers as ordinary processes on 127.0.0.1, each with a folder and a configuration of its own.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use drawbridge_dial::{
    CertificateDer, DialError, Dialler, HostPort, NameFailure, Names, Plain, Protocol, Proxy, Route, Step,
    Trust, Tunnel, Wait,
};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What a peer gets at the most to open its port; a loaded machine takes long.
const START: Duration = Duration::from_secs(30);

/// A program that ends, with all its children, when this is dropped.
pub(crate) struct Peer {
    child: Child,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It leads a group of its own, and its children are in it.
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // Asked first: squid takes its shared memory away.
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(2);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Starts `program`, found in the usual folders, and waits for its port.
    pub(crate) fn start(
        program: &str,
        package: &str,
        port: u16,
        folder: TempDir,
        set: impl FnOnce(&mut Command),
    ) -> Self {
        let path = found(program, package);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(path);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .current_dir(folder.path())
            .process_group(0);
        set(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let mut peer = Self { child, port, folder };
        let end = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = peer.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < end,
                "{program} does not open port {port} ({ended:?}): {}",
                fs::read_to_string(peer.folder.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
        peer
    }
}

/// Where a program is, or a sentence that says what to install.
pub(crate) fn found(program: &str, package: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/lib/squid"];
    let place = folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
    place.unwrap_or_else(|| {
        panic!("{program} is not here: install the package {package} (apt-get install {package})")
    })
}

/// A folder that every user may use, for programs that change theirs.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A certificate authority and a certificate of it.
pub(crate) struct Identity {
    pub(crate) root: CertificateDer<'static>,
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
    pub(crate) certificate: CertificateDer<'static>,
}

/// A certificate for `names`, as `change` changes it.
pub(crate) fn identity(names: &[&str], change: impl FnOnce(&mut rcgen::CertificateParams)) -> Identity {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "Test Root of Interception");
    let root_key = KeyPair::generate().unwrap();
    let root_certificate = root.self_signed(&root_key).unwrap();
    let mut leaf = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, names[0]);
    change(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
    Identity {
        root: root_certificate.der().clone(),
        chain_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        certificate: certificate.der().clone(),
    }
}

/// The target: OpenSSL's own server, which gives each line back in reverse.
pub(crate) fn target(identity: &Identity, options: &[&str]) -> Peer {
    let (folder, port) = (folder(), free_port());
    fs::write(folder.path().join("c.pem"), &identity.chain_pem).unwrap();
    fs::write(folder.path().join("k.pem"), &identity.key_pem).unwrap();
    Peer::start("openssl", "openssl", port, folder, |command| {
        command
            .args(["s_server", "-quiet", "-rev", "-cert", "c.pem", "-key", "k.pem", "-accept"])
            .arg(format!("127.0.0.1:{port}"))
            .args(options);
    })
}

/// Names of the tests.
pub(crate) struct Fixed(pub Vec<(&'static str, Vec<IpAddr>)>);

impl Names for Fixed {
    fn addresses<'a>(&'a self, name: &'a str) -> Wait<'a, Result<Vec<IpAddr>, NameFailure>> {
        let found = self.0.iter().find(|one| one.0 == name).map(|one| one.1.clone());
        Box::pin(async move {
            found.ok_or_else(|| NameFailure::Unknown(format!("there is no host named {name}")))
        })
    }
}

/// Takes what this root has signed, and knows `rss.test` only.
pub(crate) fn dialler(root: &CertificateDer<'static>) -> Dialler {
    dialler_by(&Trust { uploaded: vec![root.clone()], ..Trust::default() })
}

pub(crate) fn dialler_by(trust: &Trust) -> Dialler {
    let names = Fixed(vec![
        ("rss.test", vec![Ipv4Addr::LOCALHOST.into()]),
        ("six.test", vec!["::1".parse().unwrap()]),
    ]);
    Dialler::new(trust, Arc::new(names), Arc::new(Plain)).unwrap()
}

pub(crate) fn at(port: u16) -> HostPort {
    HostPort::parse(&format!("127.0.0.1:{port}")).unwrap()
}

/// The direct way to a port here whose certificate is for `rss.test`.
pub(crate) fn route(port: u16) -> Route {
    Route { tls_name: "rss.test".try_into().unwrap(), ..Route::direct(at(port)) }
}

/// The same through a proxy.
pub(crate) fn through(proxy: u16, protocol: Protocol, target: &str) -> Route {
    Route {
        proxy: Some(Proxy { address: at(proxy), hops: Vec::new(), protocol }),
        tls_name: "rss.test".try_into().unwrap(),
        ..Route::direct(HostPort::parse(target).unwrap())
    }
}

/// Sends a line and wants it back in reverse.
pub(crate) async fn works(mut tunnel: Tunnel) {
    tunnel.stream.write_all(b"abc\n").await.unwrap();
    tunnel.stream.flush().await.unwrap();
    let mut answer = [0; 4];
    tokio::time::timeout(Duration::from_secs(10), tunnel.stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"cba\n");
}

/// Dials, and gives the steps as well.
pub(crate) async fn dial(dialler: &Dialler, route: &Route) -> (Result<Tunnel, DialError>, Vec<Step>) {
    let steps = Mutex::new(Vec::new());
    let result = dialler.dial(route, &|step| steps.lock().unwrap().push(step)).await;
    (result, steps.into_inner().unwrap())
}

/// Dials where it must fail.
pub(crate) async fn fails(dialler: &Dialler, route: &Route) -> DialError {
    let error = dial(dialler, route).await.0.expect_err("this path must not open");
    assert!(error.remedy().ends_with('.'), "{error}: {}", error.remedy());
    error
}

/// A server that answers each connection with bytes, once it was asked, and notes what it was asked.
pub(crate) async fn scripted(answers: Vec<&'static [u8]>) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let notes = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in &answers {
                let mut asked = [0; 4096];
                let Ok(count) = stream.read(&mut asked).await else { break };
                notes.lock().unwrap().extend_from_slice(&asked[..count]);
                let _ = stream.write_all(answer).await;
            }
            let _ = stream.shutdown().await;
            let mut rest = [0; 4096];
            while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        }
    });
    (port, heard)
}

/// Relays each connection to one place, as a hop does. (The real one has tests of its own.)
pub(crate) async fn hop(to: u16) -> u16 {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let far = tokio::net::TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, to))).await;
                if let Ok(mut far) = far {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    port
}
