//! The appliance's own tunnel against the server: a recording that it hands over, and gets back when the appliance has none any more.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_bus::bridge::{
    BridgePath, DeviceKeys, SecretBytes, SecretText, TunnelJob, TunnelOrders, Verification,
};
use drawbridge_bus::client::Client;
use drawbridge_bus::fetch::{KeptRecording, Unfetched};
use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::record::RecordingId;
use drawbridge_bus::support::Target;
use drawbridge_bus::upload::Unsent;
use drawbridge_bus::{Event, Refusal, Reply, Request, Role, receive_with, send_with};
use drawbridge_chain::FILE;
use drawbridge_tunnel::{Pace, Place, run_at};
use drawbridge_verify::Found;
use peers::recordings::{Device, NAME, record, verified};
use peers::{Server, public, soon, text};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fs::{self, Permissions};
use std::os::fd::{AsFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use zeroize::Zeroizing;

/// Where a caller's own process connects to.
const CALLER: &str = "DRAWBRIDGE_TEST_CALL";

#[test]
#[ignore = "the console's process, which the test starts as another user"]
fn a_callers_own_process() {
    let Some(socket) = std::env::var_os(CALLER) else { return };
    let to = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    send_with(&to, b"x", &[stream.as_fd()]).unwrap();
    std::process::exit(0);
}

/// A connection to the tunnel that is the console's, by the kernel's word.
fn console(sockets: &Path) -> Client {
    let socket = sockets.join("tunnel");
    for path in [sockets, &socket] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let (mine, its) = std::os::unix::net::UnixStream::pair().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["a_callers_own_process", "--exact", "--ignored", "--nocapture"])
        .env(CALLER, socket)
        .uid(Role::Console.uid())
        .gid(Role::Console.uid())
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

/// The roles around the tunnel: a recorder with one recording until that is confirmed, and others that say yes.
struct House {
    orders: TunnelOrders,
    evidence_key: String,
    recording: PathBuf,
    /// Not confirmed yet.
    is_unsent: Mutex<bool>,
    init: Mutex<Option<UnixStream>>,
}

impl House {
    fn recorder(&self, request: Request) -> Reply {
        match request {
            Request::Unsent if !*self.is_unsent.lock().unwrap() => Reply::Unsent(Vec::new()),
            Request::Unsent => {
                let chain = fs::metadata(self.recording.join(FILE)).unwrap().len();
                Reply::Unsent(vec![Unsent { id: RecordingId::parse(NAME).unwrap(), running: false, chain }])
            }
            Request::UnsentPart { file, offset, most, .. } => {
                let Ok(content) = fs::read(self.recording.join(file)) else {
                    return Reply::Refused(Refusal::NotNow);
                };
                let from = usize::try_from(offset).unwrap().min(content.len());
                let to = content.len().min(from + usize::try_from(most).unwrap());
                Reply::RecordingPart(content[from..to].to_vec(), content.len() as u64)
            }
            Request::Confirmed { .. } => {
                *self.is_unsent.lock().unwrap() = false;
                Reply::Done
            }
            other => panic!("the tunnel asks {other:?}"),
        }
    }

    async fn answer(self: Arc<Self>, mut stream: UnixStream) {
        let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            decoder.push(&buffer[..length]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
                let is_ready = request == Request::Ready;
                let reply = match request {
                    Request::Ready | Request::TunnelNews(_) => Reply::Done,
                    Request::TunnelOrders => Reply::TunnelOrders(Box::new(self.orders.clone())),
                    Request::Ports => Reply::Ports(Vec::new()),
                    Request::DeviceKeys => Reply::DeviceKeys(Box::new(DeviceKeys {
                        host_key: String::new(),
                        host_fingerprint: String::new(),
                        login_key: String::new(),
                        evidence_key: self.evidence_key.clone(),
                        evidence_fingerprint: String::new(),
                        serial: "SN-1".to_owned(),
                        name: "box-1".to_owned(),
                    })),
                    other => self.recorder(other),
                };
                if stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).await.is_err() {
                    return;
                }
                if is_ready {
                    *self.init.lock().unwrap() = Some(stream);
                    return;
                }
            }
        }
    }
}

async fn orders(server: &Server) -> TunnelOrders {
    let token = server.operate(&["enrol"]).await.trim().to_owned();
    let host = peers::key(server.home.path(), "box-host").await;
    let host = text(&fs::read(public(&host)).unwrap());
    let certificate = CertificateDer::from_pem_file(server.path("data/tls.crt")).unwrap();
    TunnelOrders {
        job: TunnelJob::Bridge { relay: SecretBytes::new([7; 32]) },
        path: BridgePath {
            server: Target { host: "127.0.0.1".parse().unwrap(), port: server.tls.port() },
            tls_name: Some("localhost".parse().unwrap()),
            verification: Verification {
                built_in: false,
                certificate_pin: Some(digest(&SHA256, &certificate).as_ref().try_into().unwrap()),
                ..Verification::default()
            },
            hops: Vec::new(),
            proxy: None,
            interface: None,
            enrolment: Some(SecretText::new(Zeroizing::new(token))),
        },
        login_key: SecretBytes::new([8; 32]),
        host_key: host.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
        serial: "SN-1".to_owned(),
        name: "box-1".to_owned(),
        version: "1.2.3".to_owned(),
        server_key: None,
    }
}

async fn call(console: &mut Client, request: Request) -> Reply {
    soon("an answer", console.call_within(request, Duration::from_mins(1))).await.unwrap()
}

/// What the server keeps, when it has this many.
async fn listed(console: &mut Client, count: usize) -> Vec<KeptRecording> {
    let list = Box::pin(async {
        loop {
            match call(console, Request::KeptRecordings { before: None }).await {
                Reply::KeptRecordings { recordings, more: false }
                    if recordings.iter().filter(|one| one.whole).count() == count =>
                {
                    return recordings;
                }
                // It is on its way, or the connection is.
                Reply::KeptRecordings { .. } | Reply::Unfetched(Unfetched::Failed { .. }) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => panic!("{other:?}"),
            }
        }
    });
    soon("the list", list).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_tunnel_handed_over_the_owner_gets_back_byte_by_byte_when_the_appliance_has_it_no_more() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: the console has a user of its own, which takes root");
        return;
    }
    let server = Server::start().await;
    let device = Device::new(9);
    let recording = record(server.home.path(), NAME, "SN-1", &device, 120);
    let original = server.path("original");
    fs::create_dir(&original).unwrap();
    for file in fs::read_dir(&recording).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), original.join(file.file_name())).unwrap();
    }
    let sockets = tempfile::tempdir().unwrap();
    let house = Arc::new(House {
        orders: orders(&server).await,
        evidence_key: device.key().to_ssh(),
        recording: recording.clone(),
        is_unsent: Mutex::new(true),
        init: Mutex::new(None),
    });
    for role in [Role::Init, Role::Session, Role::Network, Role::Recorder] {
        let listener = UnixListener::bind(sockets.path().join(role.name())).unwrap();
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&house).answer(stream));
            }
        });
    }
    let place = Place {
        sockets: sockets.path().to_owned(),
        listener: std::os::unix::net::UnixListener::bind(sockets.path().join("tunnel"))
            .unwrap()
            .into_raw_fd(),
        sshd: 9,
        narrow: |_| Ok(()),
        pace: Pace { upload_every: Duration::from_millis(100), ..Pace::default() },
    };
    let role = std::thread::spawn(move || run_at(&place));

    let mut console = console(sockets.path());
    let recordings = listed(&mut console, 1).await;
    let one = &recordings[0];
    assert_eq!((one.id.as_str(), one.engineer.as_str(), one.end.as_str()), (NAME, "anna", "he left"));
    assert!(one.verified && one.seconds == 121, "{one:?}");
    soon("the confirmation", async {
        while *house.is_unsent.lock().unwrap() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // The appliance wants its room.
    fs::remove_dir_all(&recording).unwrap();

    let id = one.id.clone();
    let reply = call(&mut console, Request::FetchRecording { id }).await;
    let Reply::Fetching { fetch, length } = reply else { panic!("{reply:?}") };
    let mut bundle = Vec::new();
    while (bundle.len() as u64) < length {
        let from = bundle.len() as u64;
        match call(&mut console, Request::FetchedPart { fetch, from }).await {
            Reply::RecordingPart(bytes, _) => bundle.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    let path = server.path("fetched.tar");
    fs::write(&path, &bundle).unwrap();
    assert_eq!(verified(&path, &device).0, Found::Whole);
    let mut files = 0;
    for entry in tar::Archive::new(bundle.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let file = entry.path().unwrap().strip_prefix(NAME).unwrap().to_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        assert!(bytes == fs::read(original.join(&file)).unwrap(), "{} is another", file.display());
        files += 1;
    }
    assert_eq!(files, fs::read_dir(&original).unwrap().count());
    server.audit_has(&[("who", "SN-1"), ("what", "fetch recording"), ("result", NAME)]).await;

    let other = RecordingId::parse("20260101T000000Z-00000001").unwrap();
    let reply = call(&mut console, Request::FetchRecording { id: other }).await;
    assert_eq!(reply, Reply::Unfetched(Unfetched::Unknown));
    let stop = encode(&Frame::Event(Event::Stop { seconds: 5 })).unwrap();
    let mut init = house.init.lock().unwrap().take().unwrap();
    init.write_all(&stop).await.unwrap();
    let code = soon("the role's end", tokio::task::spawn_blocking(|| role.join().unwrap())).await.unwrap();
    assert_eq!(code, ExitCode::SUCCESS);
}
