//! The log: what was acknowledged is there after a cut at any byte and after a disk that fails, once; segments, signatures,
//! bounds.

use super::segment::EVENTS;
use super::*;
use crate::event::tests::stamp;
use crate::event::{Code, Name, WhoKind};
use crate::filter::Filter;
use drawbridge_chain::{Expected, FILE};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::cell::RefCell;
use std::fs;
use std::sync::Mutex;

/// The disk's trouble, by test: after so many writes and syncs all fail, a write in the middle of its bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<(u32, usize, io::ErrorKind)>>>);

thread_local! {
    static TROUBLE: RefCell<Trouble> = RefCell::default();
}

impl Trouble {
    pub(crate) fn here() -> Self {
        TROUBLE.with_borrow(Clone::clone)
    }

    fn set(&self, to: Option<(u32, usize, io::ErrorKind)>) {
        *self.0.lock().unwrap() = to;
    }

    fn count(&self) -> Result<(), (usize, io::ErrorKind)> {
        match self.0.lock().unwrap().as_mut() {
            Some((0, bytes, kind)) => Err((*bytes, *kind)),
            Some((left, ..)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn write<'a>(&self, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        match self.count() {
            Ok(()) => Ok(bytes),
            // A part is written once, and then nothing more.
            Err((0, kind)) => Err(kind.into()),
            Err((part, kind)) => {
                self.set(Some((0, 0, kind)));
                Ok(&bytes[..part.min(bytes.len())])
            }
        }
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.count().map_err(|(_, kind)| kind.into())
    }
}

struct Device(Ed25519KeyPair);

impl Device {
    fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn key(&self) -> DeviceKey {
        DeviceKey(self.0.public_key().as_ref().try_into().unwrap())
    }

    fn identity(&self) -> Identity {
        Identity { serial: "1001".to_owned().try_into().unwrap(), key: self.key() }
    }

    fn sign_all(&self, log: &mut Log) -> u32 {
        let mut count = 0;
        while let Some(wanted) = log.to_sign(stamp(1)).unwrap() {
            let signature = Signature(self.0.sign(&wanted.to_sign.bytes()).as_ref().try_into().unwrap());
            log.signed(&wanted, signature, stamp(1)).unwrap();
            count += 1;
        }
        count
    }
}

/// A folder in memory where there is one: what is brought to the disk thousands of times is not the test of a disk.
pub(crate) fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn draft(name: &str) -> Draft {
    Draft::new(What::Paused { session: Name::of(name) }, Who::new(WhoKind::Owner, "anna"))
}

fn small() -> Limits {
    Limits { segment_bytes: 1200, ..Limits::default() }
}

fn open(folder: &Path, device: &Device, limits: Limits) -> Log {
    Log::open(folder, device.identity(), limits, 0, stamp(0)).unwrap().0
}

/// The names of all sessions that were paused, in order.
fn names(reader: &Reader) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = reader.range().map_or(1, |(first, _)| first);
    let gather = |kept: &crate::Kept| {
        assert_eq!(kept.sequence(), next, "no gap and nothing twice");
        next += 1;
        if let Some(What::Paused { session }) = kept.entry.event().map(|event| &event.what) {
            all.push(session.as_str().to_owned());
        }
        Ok(())
    };
    reader.each(&Filter::default(), gather).unwrap();
    all
}

fn check(folder: &Path, device: &Device) -> Checked {
    let checked = verify(folder, &Expected::Key(device.key())).unwrap();
    assert!(checked.is_whole(), "{:?}", checked.faults);
    checked
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn events_are_written_in_segments_that_continue_each_other_whenever_they_are_signed() {
    let (folder, device) = (memory(), Device::new(1));
    let mut log = open(folder.path(), &device, small());
    let mut wanted = Vec::new();
    for number in 0..20 {
        wanted.push(format!("s{number}"));
        log.append(vec![draft(&wanted[number])], stamp(number as u64)).unwrap();
    }
    // The signer was away while three segments were filled.
    assert!(log.reader().segments().len() > 3);
    assert_eq!(check(folder.path(), &device).proved, 0);
    assert!(device.sign_all(&mut log) > 3);
    let last = log.last();
    assert_eq!(check(folder.path(), &device).proved, last);
    assert_eq!(names(&log.reader()), wanted);
    // Signed in time, and opened again in between.
    for number in 20..30 {
        wanted.push(format!("s{number}"));
        log.append(vec![draft(&wanted[number])], stamp(number as u64)).unwrap();
        device.sign_all(&mut log);
        if number % 3 == 0 {
            drop(log);
            log = open(folder.path(), &device, small());
        }
    }
    assert_eq!(names(&log.reader()), wanted);
    device.sign_all(&mut log);
    let checked = check(folder.path(), &device);
    assert_eq!(checked.proved, log.last());
    assert!(checked.segments[1..].iter().all(|segment| segment.continues == Some(true)));
    assert!(checked.segments.iter().rev().skip(1).all(|segment| {
        matches!(segment.report.as_ref().unwrap().verdict, drawbridge_chain::Verdict::Whole { .. })
    }));
}

#[test]
fn only_one_process_writes_a_log() {
    let (folder, device) = (memory(), Device::new(1));
    let log = open(folder.path(), &device, small());
    let second = Log::open(folder.path(), device.identity(), small(), 0, stamp(0));
    assert!(matches!(second, Err(LogError::Busy)));
    drop(log);
    open(folder.path(), &device, small());
}

/// The two files of the only segment after each step, in the order in which they grow.
struct Steps {
    events: Vec<u8>,
    chain: Vec<u8>,
    /// After each acknowledged call: lengths of both, and how many events there were.
    done: Vec<(usize, usize, usize)>,
}

fn steps(device: &Device) -> (tempfile::TempDir, Steps) {
    let folder = memory();
    let mut log = open(folder.path(), device, Limits::default());
    let path = folder.path().join("00000001");
    let length = |name: &str| usize::try_from(fs::metadata(path.join(name)).unwrap().len()).unwrap();
    let mut done = vec![(length(EVENTS), length(FILE), 0)];
    let mut count = 0;
    for batch in [1_usize, 3, 1, 2] {
        let drafts = (0..batch).map(|number| draft(&format!("s{}", count + number))).collect();
        log.append(drafts, stamp(0)).unwrap();
        count += batch;
        done.push((length(EVENTS), length(FILE), count));
        if batch == 3 {
            device.sign_all(&mut log);
            done.push((length(EVENTS), length(FILE), count));
        }
    }
    drop(log);
    let steps = Steps {
        events: fs::read(path.join(EVENTS)).unwrap(),
        chain: fs::read(path.join(FILE)).unwrap(),
        done,
    };
    (folder, steps)
}

#[test]
fn after_a_cut_at_any_byte_every_acknowledged_event_is_there_once() {
    let device = Device::new(1);
    let (_folder, steps) = steps(&device);
    let place = memory();
    let path = place.path().join("00000001");
    fs::create_dir(&path).unwrap();
    let mut cuts = 0;
    for pair in steps.done.windows(2) {
        let ((events, chain, before), (more_events, more_chain, after)) = (pair[0], pair[1]);
        // First the events grow, then the chain; what a file system had no time to write may read as zeros.
        let first = (events..=more_events).map(|events| (events, chain));
        for (events, chain) in first.chain((chain..=more_chain).map(|chain| (more_events, chain))) {
            for zeros in [false, true] {
                let mut files = [steps.events[..events].to_vec(), steps.chain[..chain].to_vec()];
                if zeros {
                    let grown = usize::from(events == more_events);
                    let to = if grown == 0 { more_events } else { more_chain };
                    files[grown].resize(to, 0);
                }
                fs::write(path.join(EVENTS), &files[0]).unwrap();
                fs::write(path.join(FILE), &files[1]).unwrap();
                let mut log = open(place.path(), &device, Limits::default());
                let found = names(&log.reader());
                let wanted: Vec<_> = (0..found.len()).map(|number| format!("s{number}")).collect();
                assert_eq!(found, wanted);
                assert!((before..=after).contains(&found.len()), "{events} {chain}: {}", found.len());
                let next = log.append(vec![draft("after")], stamp(9)).unwrap();
                assert_eq!(next, [found.len() as u64 + 1]);
                device.sign_all(&mut log);
                assert_eq!(check(place.path(), &device).proved, next[0]);
                cuts += 1;
            }
        }
    }
    assert!(cuts > 2 * steps.events.len(), "{cuts}");
}

#[test]
fn after_a_cut_while_a_segment_follows_another_none_is_missing() {
    let (folder, device) = (memory(), Device::new(1));
    let mut log = open(folder.path(), &device, small());
    while log.reader().segments().len() < 2 {
        log.append(vec![draft("s")], stamp(0)).unwrap();
    }
    let wanted = names(&log.reader()).len() - 1;
    drop(log);
    let whole = |path: &Path, name: &str| fs::read(path.join(name)).unwrap();
    let (one, two) = (folder.path().join("00000001"), folder.path().join("00000002"));
    let (chain, new_chain) = (whole(&one, FILE), whole(&two, FILE));
    let mark = chain[..chain.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let header = new_chain.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut states: Vec<(usize, Option<(&str, usize)>)> = Vec::new();
    states.extend((mark..=chain.len()).map(|cut| (cut, None)));
    states.extend((0..=header).map(|cut| (chain.len(), Some(("new-00000002", cut)))));
    states.push((chain.len(), Some(("00000002", header))));
    for (cut, follows) in states {
        let place = memory();
        copy(&one, &place.path().join("00000001"));
        fs::write(place.path().join("00000001").join(FILE), &chain[..cut]).unwrap();
        if let Some((name, length)) = follows {
            fs::create_dir(place.path().join(name)).unwrap();
            fs::write(place.path().join(name).join(FILE), &new_chain[..length]).unwrap();
            fs::write(place.path().join(name).join(EVENTS), b"").unwrap();
        }
        let mut log = open(place.path(), &device, small());
        log.append(vec![draft("after")], stamp(1)).unwrap();
        assert_eq!(names(&log.reader()).len(), wanted + 1, "{cut} {follows:?}");
        device.sign_all(&mut log);
        assert_eq!(check(place.path(), &device).proved, log.last(), "{cut} {follows:?}");
        assert!(!place.path().join("new-00000002").exists());
    }
}

#[test]
fn a_disk_that_fails_at_any_step_takes_no_acknowledged_event_and_doubles_none() {
    let device = Device::new(1);
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for step in 0..40 {
            for part in [0, 1, 50] {
                let folder = memory();
                let trouble = Trouble::here();
                let mut log = open(folder.path(), &device, small());
                trouble.set(Some((step, part, kind)));
                let mut wanted = Vec::new();
                let mut failures = 0;
                for number in 0..12 {
                    let name = format!("s{number}");
                    // Whoever was told that it failed tries again, and then the disk is well.
                    while log.append(vec![draft(&name)], stamp(0)).is_err() {
                        failures += 1;
                        assert!(failures < 3);
                        assert_eq!(
                            names(&log.reader()),
                            wanted,
                            "what was acknowledged can be read meanwhile"
                        );
                        trouble.set(None);
                    }
                    wanted.push(name);
                    assert_eq!(names(&log.reader()), wanted);
                    if number % 4 == 0 && log.to_sign(stamp(0)).is_err() {
                        trouble.set(None);
                    }
                }
                trouble.set(None);
                device.sign_all(&mut log);
                assert_eq!(check(folder.path(), &device).proved, log.last(), "{kind} {step} {part}");
                drop(log);
                let log = open(folder.path(), &device, small());
                assert_eq!(names(&log.reader()), wanted, "{kind} {step} {part}");
            }
        }
    }
}

#[test]
fn a_damaged_segment_is_kept_as_it_is_and_the_log_goes_on_with_new_numbers() {
    let (folder, device) = (memory(), Device::new(1));
    let mut log = open(folder.path(), &device, Limits::default());
    for name in ["a", "b", "c"] {
        log.append(vec![draft(name)], stamp(0)).unwrap();
    }
    device.sign_all(&mut log);
    drop(log);
    let path = folder.path().join("00000001").join(FILE);
    let mut chain = fs::read(&path).unwrap();
    let at = chain.len() / 2;
    chain[at] ^= 1;
    fs::write(&path, &chain).unwrap();
    let (mut log, opened) =
        Log::open(folder.path(), device.identity(), Limits::default(), 0, stamp(5)).unwrap();
    assert!(opened.damaged);
    assert_eq!(fs::read(&path).unwrap(), chain);
    log.append(vec![draft("d")], stamp(6)).unwrap();
    assert_eq!(names(&log.reader()), ["a", "b", "c", "d"]);
    let rotated = log.reader().page(&Filter::only([Code::AuditRotated]), None, 10).unwrap();
    assert!(rotated.events[0].entry.summary().contains("DAMAGED"));
    let checked = verify(folder.path(), &Expected::Key(device.key())).unwrap();
    assert!(checked.faults.iter().all(|fault| fault.starts_with("segment 1:")), "{:?}", checked.faults);
    assert!(!checked.is_whole());
}

#[test]
fn a_log_that_was_lost_begins_after_what_receivers_have_had_and_says_what_is_missing() {
    let (folder, device) = (memory(), Device::new(1));
    let mut log = open(folder.path(), &device, small());
    log.append(vec![draft("a")], stamp(0)).unwrap();
    drop(log);
    let (mut log, _) = Log::open(folder.path(), device.identity(), small(), 41, stamp(0)).unwrap();
    assert_eq!(log.append(vec![draft("b")], stamp(0)).unwrap(), [44]);
    let gap = log.reader().page(&Filter::only([Code::AuditGap]), None, 10).unwrap();
    assert!(gap.events[0].entry.summary().starts_with("The events 2 to 41 of the audit are MISSING"));
    drop(log);
    for number in ["00000001", "00000002"] {
        fs::remove_dir_all(folder.path().join(number)).unwrap();
    }
    let (mut log, _) = Log::open(folder.path(), device.identity(), small(), 44, stamp(0)).unwrap();
    assert!(log.append(vec![draft("c")], stamp(0)).unwrap()[0] > 44);
}

#[test]
fn another_key_begins_another_segment() {
    let (folder, old, new) = (memory(), Device::new(1), Device::new(2));
    let mut log = open(folder.path(), &old, Limits::default());
    log.append(vec![draft("a")], stamp(0)).unwrap();
    old.sign_all(&mut log);
    drop(log);
    let mut log = open(folder.path(), &new, Limits::default());
    log.append(vec![draft("b")], stamp(0)).unwrap();
    assert_eq!(new.sign_all(&mut log), 1, "what the old key had to sign is asked of nobody");
    assert_eq!(names(&log.reader()), ["a", "b"]);
    let checked = verify(folder.path(), &Expected::FirstSight).unwrap();
    assert!(checked.is_whole() && checked.segments[1].continues == Some(true), "{:?}", checked.faults);
}

#[test]
fn the_oldest_go_when_every_receiver_has_had_them_and_beyond_the_bound_with_a_gap_that_is_told() {
    let (folder, device) = (memory(), Device::new(1));
    let limits = Limits { segment_bytes: 2000, keep_bytes: 10_000, most_bytes: 20_000 };
    let mut log = open(folder.path(), &device, limits);
    let fill = |log: &mut Log, settled: &dyn Fn(&Log) -> u64| {
        for _ in 0..60 {
            log.append(vec![draft("x")], stamp(0)).unwrap();
            device.sign_all(log);
            let settled = settled(log);
            log.make_room(settled, stamp(0)).unwrap();
        }
    };
    let gaps = |log: &Log| log.reader().page(&Filter::only([Code::AuditGap]), None, 100).unwrap().events;
    fill(&mut log, &|log| log.last());
    assert!(log.bytes() < 13_000 && gaps(&log).is_empty(), "{}", log.bytes());
    let first = log.reader().range().unwrap().0;
    assert!(first > 1);
    // A receiver is down: nothing that it waits for goes before the bound.
    let stuck = first + 5;
    for _ in 0..5 {
        log.append(vec![draft("y")], stamp(0)).unwrap();
        log.make_room(stuck, stamp(0)).unwrap();
    }
    assert!(log.reader().range().unwrap().0 <= stuck + 1);
    fill(&mut log, &|_| stuck);
    assert!(log.bytes() < 23_000, "{}", log.bytes());
    let gaps = gaps(&log);
    let (oldest, _) = log.reader().range().unwrap();
    let Some(What::AuditGap { last, .. }) = gaps[0].entry.event().map(|event| &event.what) else {
        panic!("{gaps:?}")
    };
    assert_eq!(*last, oldest - 1);
    let checked = verify(folder.path(), &Expected::Key(device.key())).unwrap();
    assert!(checked.is_whole(), "the rest verifies: {:?}", checked.faults);
    drop(log);
    let log = open(folder.path(), &device, limits);
    assert_eq!(log.reader().range().unwrap().0, oldest);
}

#[test]
fn a_change_of_any_byte_of_the_log_is_found() {
    let (folder, device) = (memory(), Device::new(1));
    let mut log = open(folder.path(), &device, small());
    while log.reader().segments().len() < 3 {
        log.append(vec![draft("s")], stamp(0)).unwrap();
    }
    device.sign_all(&mut log);
    drop(log);
    assert!(check(folder.path(), &device).proved > 0);
    let expected = Expected::Key(device.key());
    let mut changes = 0;
    for number in ["00000001", "00000002", "00000003"] {
        for name in [EVENTS, FILE] {
            let path = folder.path().join(number).join(name);
            let whole = fs::read(&path).unwrap();
            for at in (0..whole.len()).step_by(7) {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 + u8::try_from(at % 200).unwrap();
                fs::write(&path, &bytes).unwrap();
                assert!(!verify(folder.path(), &expected).unwrap().is_whole(), "{number} {name} {at}");
                changes += 1;
            }
            fs::write(&path, &whole).unwrap();
        }
    }
    assert!(changes > 300, "{changes}");
    // A whole segment taken out.
    fs::rename(folder.path().join("00000002"), folder.path().join("elsewhere")).unwrap();
    let checked = verify(folder.path(), &expected).unwrap();
    assert!(checked.faults.iter().any(|fault| fault.contains("does not continue")), "{:?}", checked.faults);
}

#[test]
fn pages_and_cursors_have_every_event_once_over_the_ends_of_segments() {
    let (folder, device) = (memory(), Device::new(1));
    let mut log = open(folder.path(), &device, small());
    for number in 0..40 {
        log.append(vec![draft(&format!("s{}", number % 4))], stamp(number)).unwrap();
    }
    let reader = log.reader();
    let all = log.last();
    for most in [1, 3, 7, MOST_ON_PAGE] {
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = reader.page(&Filter::default(), before, most).unwrap();
            assert!(page.events.len() <= most);
            seen.extend(page.events.iter().map(crate::Kept::sequence));
            before = page.before;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, (1..=all).rev().collect::<Vec<_>>());
        let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
        loop {
            let some = reader.after(&mut cursor, most).unwrap();
            if some.is_empty() {
                break;
            }
            seen.extend(some.iter().map(crate::Kept::sequence));
        }
        assert_eq!(seen, (1..=all).collect::<Vec<_>>());
    }
    let text = Filter { text: Some(Name::of("session 's2'")), ..Filter::default() };
    let page = reader.page(&text, None, 4).unwrap();
    assert_eq!((page.events.len(), page.before.is_some()), (4, true));
    assert_eq!(reader.one(5).unwrap().unwrap().sequence(), 5);
    assert!(reader.one(all + 1).unwrap().is_none() && reader.one(0).unwrap().is_none());
}

#[tokio::test]
async fn many_who_tell_the_log_at_once_are_each_answered_when_theirs_is_on_the_disk() {
    let (folder, device) = (memory(), Device::new(1));
    let log = open(folder.path(), &device, Limits::default());
    let (journal, thread) = Journal::start(log, || stamp(0)).unwrap();
    let tasks: Vec<_> = (0..500)
        .map(|number| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.record(draft(&format!("s{number}"))).await })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.unwrap().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=500).collect::<Vec<_>>());
    assert_eq!(*journal.last().borrow(), 500);
    assert_eq!(names(journal.reader()).len(), 500);
    let wanted = journal.to_sign().await.unwrap().unwrap();
    let signature = Signature(device.0.sign(&wanted.to_sign.bytes()).as_ref().try_into().unwrap());
    journal.signed(wanted, signature).await.unwrap();
    assert!(journal.signed(wanted, signature).await.is_err(), "nobody asks twice");
    assert!(journal.head().await.unwrap().is_some());
    drop(journal);
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    let blocks = check(folder.path(), &device).segments[0].report.as_ref().unwrap().blocks;
    assert!(blocks < 500, "some were written together: {blocks} blocks");
}
