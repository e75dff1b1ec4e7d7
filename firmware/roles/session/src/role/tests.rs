use super::*;
use drawbridge_bus::bridge::{BridgePath, Verification};
use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::support::{GrantRequest, Level, Proof, Recording, Scope, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

/// Generous: the machine that runs this may be busy.
const SOON: Duration = Duration::from_mins(1);

/// What the other roles were asked, in the order of it.
type Asked = Arc<Mutex<Vec<(Role, Request)>>>;

/// Init and recorder, which answer everything, or nothing.
struct Others {
    folder: tempfile::TempDir,
    asked: Asked,
    heard: Arc<Notify>,
}

impl Others {
    fn start(recorder_answers: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (asked, heard) = (Asked::default(), Arc::new(Notify::new()));
        for (role, answers) in [(Role::Init, true), (Role::Recorder, recorder_answers)] {
            let listener = UnixListener::bind(folder.path().join(role.name())).unwrap();
            let (asked, heard) = (Arc::clone(&asked), Arc::clone(&heard));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(be(role, stream, answers, Arc::clone(&asked), Arc::clone(&heard)));
                }
            });
        }
        Self { folder, asked, heard }
    }

    fn sockets(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until so many orders have come, and gives them all.
    async fn orders(&self, count: usize) -> Vec<(Role, Request)> {
        let all = async {
            loop {
                let asked = self.asked.lock().unwrap().clone();
                if asked.len() >= count {
                    return asked;
                }
                self.heard.notified().await;
            }
        };
        tokio::time::timeout(SOON, all).await.expect("the orders come")
    }
}

async fn be(role: Role, mut stream: UnixStream, answers: bool, asked: Asked, heard: Arc<Notify>) {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        decoder.push(&buffer[..length]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
            assert!(drawbridge_bus::may(Role::Session, role, request.ask()), "{request:?}");
            // What it is called, and what is left, are no orders.
            let reply = match &request {
                Request::Leftovers => Reply::Leftovers(Leftovers::default()),
                Request::Status => Reply::Refused(Refusal::NotNow),
                _ => {
                    asked.lock().unwrap().push((role, request));
                    heard.notify_one();
                    Reply::Done
                }
            };
            if answers {
                stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).await.unwrap();
            }
        }
    }
}

pub(super) fn shared() -> (Arc<Shared>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let approvals = Approvals::open(folder.path(), drawbridge_identity::vendor::VendorKeys::default());
    let identity = Identity::open(folder.path()).unwrap();
    let place = Place {
        sockets: folder.path().to_owned(),
        listener: 3,
        folder: folder.path().to_owned(),
        profile: folder.path().join("profile.json"),
    };
    let notices = NoticeDesk::open(folder.path(), identity.evidence());
    let desk = Desk::new(identity, approvals);
    let shared = Shared::new(&place, desk, Names::default(), notices, "Vendor".to_owned());
    (Arc::new(shared), folder)
}

fn request() -> BridgeRequest {
    let grant = GrantRequest {
        name: "case 4711".to_owned(),
        opener: "anna".to_owned(),
        reason: String::new(),
        level: Level::Direct,
        recording: Recording::Strict,
        grace_seconds: drawbridge_bus::support::USUAL_GRACE,
        scope: Scope { targets: Vec::new(), shell: true, files: false, forwards: false },
        minutes: 60,
        proof: Proof::Secret,
        sources: Vec::new(),
    };
    let path = BridgePath {
        server: Target { host: "rss.example.com".parse().unwrap(), port: 443 },
        tls_name: None,
        verification: Verification::default(),
        hops: Vec::new(),
        proxy: None,
        interface: None,
        enrolment: None,
    };
    let Reply::Secret(secret) = desk::offer() else { panic!("no secret is offered") };
    BridgeRequest { grant, secret: Some(secret), path }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn the_recorder_is_told_whenever_nobody_is_left_whom_it_records_and_before_anybody_new_comes() {
    run(async {
        let others = Others::start(true);
        let (shared, _folder) = shared();
        let mut init = connect(others.sockets(), Role::Init).await.unwrap();
        let hand = Arc::clone(&shared);
        let sockets = others.sockets().to_owned();
        let work = tokio::spawn(async move { work(&hand, &mut init, &sockets).await });
        let over = (Role::Recorder, Request::RecordingsOver);
        // At the start.
        assert_eq!(others.orders(1).await, std::slice::from_ref(&over));
        let begun =
            [over.clone(), (Role::Init, Request::Run(Role::Sshd)), (Role::Init, Request::Run(Role::Tunnel))];
        let request = request();
        let kept = desk::keep_secret(&request, "").unwrap();
        assert!(matches!(shared.desk().open(request, kept), Reply::Opened(_)));
        shared.changed.notify_one();
        assert_eq!(others.orders(3).await, begun);
        // The first SSH daemon of a grant has nobody before it; the second does.
        let orders =
            || answer(Arc::clone(&shared), others.sockets().to_owned(), Role::Sshd, Request::SshdOrders);
        assert!(matches!(orders().await, Reply::SshdOrders(_)));
        assert_eq!(others.orders(3).await.len(), 3);
        assert!(matches!(orders().await, Reply::SshdOrders(_)));
        assert_eq!(others.orders(4).await.len(), 4, "it is told before the new one has its orders");
        // After the end.
        shared.desk().close("anna");
        shared.changed.notify_one();
        let all = others.orders(6).await;
        assert_eq!(all[3..], [over.clone(), (Role::Init, Request::EndBridge), over]);
        work.abort();
    });
}

#[test]
fn a_recorder_that_does_not_answer_or_is_not_there_holds_session_up_for_a_bound() {
    run(async {
        let others = Others::start(false);
        let told = recordings_over(others.sockets(), Duration::from_millis(200));
        tokio::time::timeout(SOON, told).await.expect("it is not waited for");
        assert_eq!(others.orders(1).await, [(Role::Recorder, Request::RecordingsOver)]);
        let nowhere = tempfile::tempdir().unwrap();
        tokio::time::timeout(SOON, recordings_over(nowhere.path(), SOON))
            .await
            .expect("nobody is waited for");
    });
}
