//! The queue: in order, at least once, over restarts, failures and receivers that hang; and nobody waits for another.

use super::*;
use crate::event::tests::stamp;
use crate::event::{Code, Draft, Name, Outcome, Severity, What, Who, WhoKind};
use crate::log::{Identity, Limits, Log};
use crate::sink::Progress;
use drawbridge_chain::DeviceKey;
use std::sync::Mutex;
use tokio::time::{Instant, timeout};

struct Bench {
    log: Log,
    tell: watch::Sender<u64>,
    folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let folder = crate::log::tests::memory();
    let identity = Identity { serial: "1001".to_owned().try_into().unwrap(), key: DeviceKey([1; 32]) };
    let (log, _) = Log::open(folder.path(), identity, Limits::default(), 0, stamp(0)).unwrap();
    Bench { log, tell: watch::channel(0).0, folder }
}

impl Bench {
    fn add(&mut self, count: u64) {
        for number in 0..count {
            // Each third one is a warning.
            let what = if number % 3 == 0 {
                What::PathTested { outcome: Outcome::Failed, step: Name::of("TCP"), why: None }
            } else {
                What::Paused { session: Name::of("one") }
            };
            self.log.append(vec![Draft::new(what, Who::new(WhoKind::Owner, "anna"))], stamp(number)).unwrap();
        }
        self.tell.send_replace(self.log.last());
    }

    fn queue<S: Sink>(
        &self,
        name: &'static str,
        sink: S,
        filter: Filter,
    ) -> (Queue<S, crate::log::Reader, Positions>, Watch) {
        let positions = Positions::at(&self.folder.path().join(name)).unwrap();
        let source = Source { events: self.log.reader(), last: self.tell.subscribe(), positions };
        Queue::new(name, sink, filter, source, Begin::Oldest, Arc::new(|| stamp(0).time))
    }
}

/// What a receiver does next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Well,
    /// Takes so many, and then fails.
    Fails(usize),
    /// Does not answer.
    Hangs,
    /// Takes all and settles them when it is idle, or fails then.
    Later(bool),
}

#[derive(Debug, Default)]
struct Seen {
    numbers: Vec<u64>,
    attempts: u32,
}

#[derive(Clone)]
struct Fake {
    mood: Arc<Mutex<Mood>>,
    seen: Arc<Mutex<Seen>>,
    last: u64,
}

impl Fake {
    fn new(mood: Mood) -> Self {
        Self { mood: Arc::new(Mutex::new(mood)), seen: Arc::default(), last: 0 }
    }

    fn numbers(&self) -> Vec<u64> {
        self.seen.lock().unwrap().numbers.clone()
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

impl Sink for Fake {
    async fn deliver(&mut self, events: &[Kept]) -> (Progress, Option<Failure>) {
        let mood = *self.mood.lock().unwrap();
        let taken = if let Mood::Fails(most) = mood { most.min(events.len()) } else { events.len() };
        self.seen.lock().unwrap().attempts += 1;
        if mood == Mood::Hangs {
            return std::future::pending().await;
        }
        self.seen.lock().unwrap().numbers.extend(events[..taken].iter().map(Kept::sequence));
        let last = events[..taken].last().map_or(0, Kept::sequence);
        self.last = last.max(self.last);
        match mood {
            Mood::Fails(_) => {
                (Progress { sent: last, settled: last }, Some(Failure::new("it is down", "Mend it.")))
            }
            Mood::Later(_) => (Progress { sent: last, settled: 0 }, None),
            _ => (Progress { sent: last, settled: last }, None),
        }
    }

    async fn idle(&mut self) -> Result<u64, Failure> {
        match *self.mood.lock().unwrap() {
            Mood::Later(true) if self.last > 0 => return Ok(std::mem::take(&mut self.last)),
            Mood::Later(false) => return Err(Failure::new("it was cut", "Wait.")),
            _ => {}
        }
        std::future::pending().await
    }
}

async fn until(watch: &Watch, holds: impl Fn(&SinkState) -> bool) -> SinkState {
    let mut changes = watch.changes();
    let found = timeout(Duration::from_secs(100_000), changes.wait_for(holds)).await;
    found.expect("it never was so").expect("the queue has ended").clone()
}

#[tokio::test(start_paused = true)]
async fn all_arrive_in_order_and_a_new_run_begins_where_the_last_one_was() {
    let mut bench = bench();
    bench.add(150);
    let fake = Fake::new(Mood::Well);
    let (queue, watch) = bench.queue("one", fake.clone(), Filter::default());
    let run = tokio::spawn(queue.run());
    until(&watch, |state| state.settled == 150).await;
    bench.add(10);
    let state = until(&watch, |state| state.settled == 160).await;
    assert_eq!((state.is_up, state.backlog, state.error), (Some(true), 0, None));
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    bench.add(5);
    let (queue, watch) = bench.queue("one", fake.clone(), Filter::default());
    assert_eq!(watch.state().settled, 160);
    tokio::spawn(queue.run());
    until(&watch, |state| state.settled == 165).await;
    assert_eq!(fake.numbers(), (1..=165).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_for_an_hour_gets_all_in_order_after_and_holds_up_no_other() {
    let mut bench = bench();
    let (down, hangs, well) = (Fake::new(Mood::Fails(0)), Fake::new(Mood::Hangs), Fake::new(Mood::Well));
    let mut watches = Vec::new();
    for (name, fake) in [("down", &down), ("hangs", &hangs), ("well", &well)] {
        let (queue, watch) = bench.queue(name, fake.clone(), Filter::default());
        tokio::spawn(queue.run());
        watches.push(watch);
    }
    bench.add(200);
    let began = Instant::now();
    until(&watches[2], |state| state.settled == 200).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let state = until(&watches[0], |state| state.failures == 15).await;
    assert!(began.elapsed() > Duration::from_mins(15) && began.elapsed() < Duration::from_hours(2));
    assert_eq!((state.is_up, state.settled, state.backlog), (Some(false), 0, 200));
    assert_eq!(state.oldest_ms, Some(stamp(0).time.millis()));
    assert_eq!(state.error, Some(Failure::new("it is down", "Mend it.")));
    assert!(state.next_try_ms.is_some());
    let state = until(&watches[1], |state| state.failures > 1).await;
    assert!(state.error.is_some_and(|error| error.what.as_str().contains("within 120 s")));
    assert_eq!(settled_by_all(&watches), Some(0));
    assert_eq!(settled_by_all([]), None);
    down.set(Mood::Well);
    hangs.set(Mood::Well);
    let now = Instant::now();
    watches[0].try_now();
    until(&watches[0], |state| state.settled == 200).await;
    assert!(now.elapsed() < Duration::from_secs(1), "told to try at once: {:?}", now.elapsed());
    until(&watches[1], |state| state.settled == 200).await;
    for fake in [down, hangs, well] {
        assert_eq!(fake.numbers(), (1..=200).collect::<Vec<_>>());
    }
    assert_eq!(settled_by_all(&watches), Some(200));
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_before_a_failure_is_not_sent_again() {
    let mut bench = bench();
    bench.add(20);
    let fake = Fake::new(Mood::Fails(3));
    let (queue, watch) = bench.queue("one", fake.clone(), Filter::default());
    tokio::spawn(queue.run());
    until(&watch, |state| state.settled == 20).await;
    assert_eq!(fake.numbers(), (1..=20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_not_settled_when_a_connection_ends_is_sent_again() {
    let mut bench = bench();
    bench.add(5);
    let fake = Fake::new(Mood::Later(false));
    let (queue, watch) = bench.queue("one", fake.clone(), Filter::default());
    tokio::spawn(queue.run());
    let state = until(&watch, |state| state.failures > 0).await;
    assert_eq!((state.settled, state.backlog), (0, 5));
    fake.set(Mood::Later(true));
    until(&watch, |state| state.settled == 5).await;
    let numbers = fake.numbers();
    assert!(numbers.len() >= 10 && numbers.chunks(5).all(|all| all == [1, 2, 3, 4, 5]), "{numbers:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_wanted_is_passed_over_and_waits_for_nobody() {
    let mut bench = bench();
    bench.add(300);
    let fake = Fake::new(Mood::Well);
    let (queue, watch) = bench.queue("one", fake.clone(), Filter::at_least(Severity::Warning));
    tokio::spawn(queue.run());
    until(&watch, |state| state.settled == 300).await;
    assert_eq!(fake.numbers(), (0..100).map(|number| 3 * number + 1).collect::<Vec<_>>());
    let none = Fake::new(Mood::Fails(0));
    let (queue, watch) = bench.queue("none", none.clone(), Filter::only([Code::Upgrade]));
    tokio::spawn(queue.run());
    until(&watch, |state| state.settled == 300).await;
    assert_eq!(none.seen.lock().unwrap().attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_new_may_begin_with_what_comes() {
    let mut bench = bench();
    bench.add(30);
    let fake = Fake::new(Mood::Well);
    let source = |bench: &Bench| Source {
        events: bench.log.reader(),
        last: bench.tell.subscribe(),
        positions: Positions::at(&bench.folder.path().join("new")).unwrap(),
    };
    let now: Now = Arc::new(|| stamp(0).time);
    let made =
        Queue::new("new", fake.clone(), Filter::default(), source(&bench), Begin::Now, Arc::clone(&now));
    drop(made);
    // Not what came before, but what came before it was ever run.
    bench.add(2);
    let (queue, watch) = Queue::new("new", fake.clone(), Filter::default(), source(&bench), Begin::Now, now);
    tokio::spawn(queue.run());
    until(&watch, |state| state.settled == 32).await;
    assert_eq!(fake.numbers(), [31, 32]);
}
