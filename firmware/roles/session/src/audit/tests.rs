use super::*;
use crate::identity::Identity;
use drawbridge_audit::event::Name;
use drawbridge_bus::audit::{AuditLines, AuditPage, AuditState};
use tokio::sync::Notify;

/// Generous: the machine that runs this may be busy.
const SOON: Duration = Duration::from_mins(1);

struct Bench {
    folder: tempfile::TempDir,
    key: EvidenceKey,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = Identity::open(folder.path()).unwrap().evidence();
        Self { folder, key }
    }

    fn auditor(&self) -> Auditor {
        Auditor::new(self.folder.path(), "1001", self.key.clone(), 0)
    }
}

fn paused(name: &str) -> Draft {
    Draft::new(What::Paused { session: Name::of(name) }, Who::new(WhoKind::Owner, "anna"))
}

async fn lines(auditor: &Auditor, after: u64) -> AuditLines {
    match auditor.after(after, 200, false, &Notify::new()).await {
        Reply::AuditLines(lines) => *lines,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_written_down_is_read_signed_and_verified_and_outlives_the_role() {
    let bench = Bench::new();
    let auditor = bench.auditor();
    auditor.begin().await;
    assert!(auditor.write(|| vec![paused("one"), paused("two")]).await);
    let signing = auditor.sign(|| None);
    let proved = async {
        loop {
            if let Reply::AuditChecked(checked) = auditor.verify().await
                && checked.proved == 3
            {
                return *checked;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let checked = tokio::select! {
        () = signing => panic!("it signs until the role ends"),
        checked = tokio::time::timeout(SOON, proved) => checked.expect("it is signed"),
    };
    assert_eq!((checked.segments, checked.faults), (1, Vec::new()));
    let Reply::AuditState(state) = auditor.state().await else { panic!("no state") };
    let AuditState { range, key, trouble, .. } = *state;
    assert_eq!((range, key, trouble), (Some((1, 3)), bench.key.public().0, String::new()));
    drop(auditor);
    let again = bench.auditor();
    // The same run of the machine: no second start is written down.
    let begun = async {
        loop {
            again.begin().await;
            if again.last() > 0 {
                return;
            }
            // The thread of the first may still hold the log.
            again.inner.lock().await.tried = None;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, begun).await.expect("the log is let go");
    let read = lines(&again, 1).await;
    assert_eq!((read.last, read.lines.len()), (3, 2));
    assert!(read.lines[0].contains("\"one\"") && read.lines[1].contains("\"two\""), "{:?}", read.lines);
}

#[tokio::test]
async fn a_role_tells_of_what_is_its_own_to_tell_and_of_nothing_else() {
    let bench = Bench::new();
    let auditor = bench.auditor();
    let login = Draft::new(What::Logout {}, Who::new(WhoKind::Owner, "anna")).encode();
    assert_eq!(auditor.tell(Role::Console, &login).await, Reply::Done);
    for (role, text) in [
        (Role::Recorder, login.as_str()),
        (Role::Courier, &login),
        (Role::Console, &paused("x").encode()),
        (Role::Console, &login.replace("owner", "engineer")),
        (Role::Console, "{}"),
        (Role::Console, ""),
    ] {
        assert!(matches!(auditor.tell(role, text).await, Reply::NotTaken(_)), "{role} {text}");
    }
    assert_eq!(lines(&auditor, 0).await.lines.len(), 1);
}

#[tokio::test]
async fn who_waits_is_told_at_once_and_pages_files_and_parts_have_bounds() {
    let bench = Bench::new();
    let auditor = bench.auditor();
    let woken = Notify::new();
    let waits = auditor.after(0, 200, true, &woken);
    let writes = async { auditor.write(|| vec![paused("one")]).await };
    let (reply, written) = tokio::join!(waits, writes);
    assert!(written && matches!(&reply, Reply::AuditLines(lines) if lines.lines.len() == 1), "{reply:?}");
    let Reply::AuditPage(page) = auditor.page("{\"codes\":[\"PAUSED\"]}", None, 1).await else { panic!() };
    let AuditPage { lines, before } = *page;
    assert_eq!((lines.len(), before), (1, None));
    for wrong in ["", "{\"unknown\":1}", "null"] {
        assert!(matches!(auditor.page(wrong, None, 1).await, Reply::NotTaken(_)), "{wrong}");
    }
    let Reply::AuditFiles(files) = auditor.files().await else { panic!() };
    assert_eq!(
        files.iter().map(|file| file.0.as_str()).collect::<Vec<_>>(),
        ["00000001/chain.jsonl", "00000001/events.jsonl"]
    );
    let Reply::AuditPart(bytes, length) = auditor.part(&files[1].0, 0, 10).await else { panic!() };
    assert_eq!((bytes.len(), length), (10, files[1].1));
    for wrong in ["../keys.json", "00000001/../../keys.json", "00000001", "00000002/chain.jsonl", "lock"] {
        assert!(matches!(auditor.part(wrong, 0, 10).await, Reply::NotTaken(_)), "{wrong}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_waits_is_said_and_comes_in_its_order() {
    let bench = Bench::new();
    // Something else stands where the log is to be.
    let place = bench.folder.path().join("audit");
    std::fs::write(&place, "").unwrap();
    let auditor = bench.auditor();
    assert!(!auditor.write(|| vec![paused("one")]).await);
    assert!(!auditor.write(|| vec![paused("two")]).await);
    let Reply::AuditState(state) = auditor.state().await else { panic!() };
    assert!(!state.trouble.is_empty() && state.range.is_none());
    std::fs::remove_file(&place).unwrap();
    auditor.inner.lock().await.tried = None;
    assert!(auditor.write(|| vec![paused("three")]).await);
    let read = lines(&auditor, 0).await;
    let told: Vec<bool> =
        read.lines.iter().zip(["one", "two", "three"]).map(|(line, name)| line.contains(name)).collect();
    assert_eq!(told, [true, true, true]);
    let Reply::AuditState(state) = auditor.state().await else { panic!() };
    assert_eq!(state.trouble, "");
}

#[tokio::test]
async fn events_that_found_no_room_to_wait_are_told_as_a_gap_in_their_place_when_the_log_can_be_written_again()
 {
    let bench = Bench::new();
    let place = bench.folder.path().join("audit");
    std::fs::write(&place, "").unwrap();
    let auditor = bench.auditor();
    let many = || (0..WAITING_MOST + 3).map(|number| paused(&format!("early {number}"))).collect();
    assert!(!auditor.write(many).await);
    assert!(!auditor.write(|| vec![paused("late")]).await);
    std::fs::remove_file(&place).unwrap();
    auditor.inner.lock().await.tried = None;
    // Nobody has to tell anything for that.
    assert!(auditor.write(Vec::new).await);
    assert!(auditor.write(|| vec![paused("after")]).await);
    let all = u64::try_from(WAITING_MOST).unwrap();
    let read = lines(&auditor, all - 1).await;
    assert_eq!((read.last, read.lines.len()), (all + 2, 3));
    assert!(read.lines[0].contains(&format!("early {}", all - 1)), "{}", read.lines[0]);
    let gap = format!(r#""AUDIT_GAP","first":{all},"last":{all},"reason":"unwritten","events":4}}"#);
    assert!(read.lines[1].contains(&gap), "{}", read.lines[1]);
    assert!(read.lines[2].contains("\"after\""), "{}", read.lines[2]);
    let Reply::AuditChecked(checked) = auditor.verify().await else { panic!("it is not verified") };
    assert_eq!(checked.faults, Vec::<String>::new());
}

#[test]
fn a_gap_stands_between_what_waited_before_it_and_what_comes_after_and_counts_what_was_lost() {
    let mut inner = Inner::default();
    for number in 0..WAITING_MOST + 2 {
        inner.wait(paused(&format!("{number}")));
    }
    assert_eq!((inner.waiting.len(), inner.lost), (WAITING_MOST, 2));
    // Some of it was written, and then the disk failed again.
    inner.waiting.drain(..2);
    inner.wait(paused("later"));
    assert_eq!((inner.waiting.len(), inner.lost), (WAITING_MOST, 0));
    assert_eq!(inner.waiting[WAITING_MOST - 2..], [gap(2), paused("later")]);
    inner.waiting.drain(..1);
    inner.lost = 7;
    // The last place is the gap's: what comes with it is lost as well, and told by the next.
    inner.wait(paused("last"));
    assert_eq!((inner.waiting.last(), inner.lost), (Some(&gap(7)), 1));
}
