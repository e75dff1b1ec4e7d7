use super::*;
use crate::role::tests::shared;
use drawbridge_audit::event::Event;
use drawbridge_bus::frame::{Decoder, Frame, encode};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::Notify;

/// Generous: the machine that runs this may be busy.
const SOON: Duration = Duration::from_mins(1);

/// An init to which this has happened, in two parts.
struct Init {
    folder: tempfile::TempDir,
    /// The numbers up to which it was told to forget.
    kept: Arc<Mutex<Vec<u64>>>,
    asked: Arc<Notify>,
}

impl Init {
    fn start(parts: Vec<Vec<Happened>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (kept, asked) = (Arc::<Mutex<Vec<u64>>>::default(), Arc::new(Notify::new()));
        let listener = UnixListener::bind(folder.path().join(Role::Init.name())).unwrap();
        let (noted, told) = (Arc::clone(&kept), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (parts, noted, told) = (parts.clone(), Arc::clone(&noted), Arc::clone(&told));
                tokio::spawn(async move {
                    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        decoder.push(&buffer[..length]);
                        while let Some(frame) = decoder.next_frame().unwrap() {
                            let Frame::Request { id, request: Request::Happened { kept } } = frame else {
                                panic!("{frame:?}")
                            };
                            noted.lock().unwrap().push(kept);
                            told.notify_one();
                            // Each part counts as ten.
                            let part = parts.get(usize::try_from(kept / 10).unwrap());
                            let last = if part.is_some() { kept + 10 } else { kept };
                            let reply = Reply::Happened(part.cloned().unwrap_or_default(), last);
                            stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).await.unwrap();
                        }
                    }
                });
            }
        });
        Self { folder, kept, asked }
    }

    /// Waits until it was asked so often.
    async fn asked(&self, count: usize) -> Vec<u64> {
        let all = async {
            loop {
                let kept = self.kept.lock().unwrap().clone();
                if kept.len() >= count {
                    return kept;
                }
                self.asked.notified().await;
            }
        };
        tokio::time::timeout(SOON, all).await.expect("it is asked")
    }
}

fn role(works: bool) -> Happened {
    Happened::Role { role: Role::Recorder, works, why: "it was ended by signal SIGKILL".to_owned() }
}

async fn written(shared: &Shared) -> Vec<Event> {
    match shared.audit.after(0, 200, false, &Notify::new()).await {
        Reply::AuditLines(lines) => {
            lines.lines.iter().map(|line| Event::parse(line.as_bytes()).unwrap()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_becomes_of_the_machine_is_written_down_in_its_order_before_init_may_forget_it() {
    let part = |part, health, text: &str| Happened::Part { part, health, text: text.to_owned() };
    let first = vec![
        role(false),
        part(PartOf::Disk, Stands::Failing, "I/O error, dev vda, sector 2048"),
        part(PartOf::Data, Stands::Failed, "It is full."),
        part(PartOf::Link, Stands::Well, "uplink"),
    ];
    let second = vec![
        role(true),
        Happened::Clock { from: -5, to: i64::MAX, servers: vec!["192.0.2.1".to_owned()] },
        Happened::Missed(7),
    ];
    let init = Init::start(vec![first, second]);
    let (shared, _folder) = shared();
    let sockets = init.folder.path().to_owned();
    let watching = Arc::clone(&shared);
    let watch = tokio::spawn(async move { watch(&watching, &sockets).await });
    assert_eq!(init.asked(3).await, [0, 10, 20]);
    let told: Vec<String> = written(&shared).await.iter().map(Event::summary).collect();
    assert_eq!(
        told,
        [
            "The process recorder has failed: it was ended by signal SIGKILL.",
            "Hardware, disk: will fail: I/O error, dev vda, sector 2048.",
            "Hardware, data partition: has FAILED: It is full.",
            "Hardware, link: works again: uplink.",
            "The process recorder works again: it was ended by signal SIGKILL.",
            "The clock was changed by the appliance from 1970-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z, endpoint \
             192.0.2.1.",
            "7 events after the event 6 of the audit are MISSING, because they could not be written down, and too many waited \
             already.",
        ]
    );
    // It is asked again when init says that there is more.
    shared.happened.notify_one();
    assert_eq!(init.asked(4).await[3], 20);
    watch.abort();
}

#[tokio::test]
async fn while_the_disk_takes_nothing_init_is_not_told_to_forget() {
    let init = Init::start(vec![vec![role(false)]]);
    let (shared, folder) = shared();
    // Something else stands where the log is to be.
    std::fs::write(folder.path().join("audit"), "").unwrap();
    let sockets = init.folder.path().to_owned();
    let watching = Arc::clone(&shared);
    let hopeless = tokio::spawn(async move { watch(&watching, &sockets).await });
    init.asked(1).await;
    let said = async {
        loop {
            if let Reply::AuditState(state) = shared.audit.state().await
                && !state.trouble.is_empty()
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, said).await.expect("the audit says that it cannot be written");
    assert_eq!(init.asked(1).await, [0]);
    // The role is started anew: init has it still.
    hopeless.abort();
    std::fs::remove_file(folder.path().join("audit")).unwrap();
    let (again, _folder) = crate::role::tests::shared();
    let sockets = init.folder.path().to_owned();
    let watching = Arc::clone(&again);
    let watch = tokio::spawn(async move { watch(&watching, &sockets).await });
    assert_eq!(init.asked(3).await, [0, 0, 10]);
    assert_eq!(written(&again).await.len(), 1);
    watch.abort();
}
