//! A cable between a switch's port and what is plugged in: it carries, and fails as it is told. It never invents a frame
//! that nobody sent.

use super::random::Random;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An Ethernet frame without its checksum.
pub type Frame = Arc<[u8]>;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From what is plugged in, towards the switch.
    FromEnd,
    /// From the switch, towards what is plugged in.
    ToEnd,
}

/// What goes wrong on a cable. Rates are from 0 (never) to 1 (always), the same both ways.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// How many frames are lost.
    pub loss: f64,
    /// How many arrive twice.
    pub duplicate: f64,
    /// How many are held back for [`Faults::hold`], so that later ones overtake them.
    pub reorder: f64,
    /// How many have one bit turned over behind the Ethernet header.
    pub corrupt: f64,
    /// How long each frame takes.
    pub delay: Duration,
    /// How much longer it may take, evenly spread. Frames overtake each other then.
    pub jitter: Duration,
    /// How long a reordered frame is held back; 5 ms when zero.
    pub hold: Duration,
}

impl Faults {
    /// Frames are lost at this rate.
    pub fn loss(rate: f64) -> Self {
        Self { loss: rate, ..Self::default() }
    }

    /// Every frame takes this long.
    pub fn delay(time: Duration) -> Self {
        Self { delay: time, ..Self::default() }
    }
}

/// What a cable has carried, in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CableCounters {
    /// Sent by what is plugged in.
    pub from_end: u64,
    /// Sent to what is plugged in.
    pub to_end: u64,
    /// Lost, by rate, filter, overflow, or because the cable was pulled.
    pub lost: u64,
    /// Delivered a second time.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Damaged.
    pub corrupted: u64,
}

/// What decides about each frame: true lets it pass.
pub type Filter = Box<dyn FnMut(Direction, &[u8]) -> bool + Send>;

/// More frames than this are not on a cable at once: the rest is lost, as in a full queue.
const QUEUE_LIMIT: usize = 20_000;

const USUAL_HOLD: Duration = Duration::from_millis(5);

/// The state of a cable.
pub struct Cable {
    faults: Faults,
    filter: Option<Filter>,
    pulled: bool,
    random: Random,
    under_way: BinaryHeap<UnderWay>,
    sequence: u64,
    counters: CableCounters,
}

impl Cable {
    /// A sound cable. What goes wrong later follows from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            faults: Faults::default(),
            filter: None,
            pulled: false,
            random: Random::new(seed),
            under_way: BinaryHeap::new(),
            sequence: 0,
            counters: CableCounters::default(),
        }
    }

    /// From now on these things go wrong.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// From now on this decides which frames pass; none: all do.
    pub fn set_filter(&mut self, filter: Option<Filter>) {
        self.filter = filter;
    }

    /// Pulls it: nothing passes, and what was under way is lost.
    pub fn pull(&mut self) {
        self.pulled = true;
        self.counters.lost += u64::try_from(self.under_way.len()).unwrap_or(u64::MAX);
        self.under_way.clear();
    }

    /// Plugs it back in.
    pub fn plug(&mut self) {
        self.pulled = false;
    }

    /// What it has carried so far.
    pub fn counters(&self) -> CableCounters {
        self.counters
    }

    /// Puts a frame on it. What arrives at once is given to `deliver`; the rest is [`Cable::due`] later.
    pub fn carry(
        &mut self,
        now: Instant,
        direction: Direction,
        frame: Frame,
        mut deliver: impl FnMut(Direction, Frame),
    ) {
        match direction {
            Direction::FromEnd => self.counters.from_end += 1,
            Direction::ToEnd => self.counters.to_end += 1,
        }
        let passes = !self.pulled
            && self.filter.as_mut().is_none_or(|filter| filter(direction, &frame))
            && !self.random.chance(self.faults.loss);
        if !passes {
            self.counters.lost += 1;
            return;
        }
        let frame = if self.random.chance(self.faults.corrupt) { self.damaged(&frame) } else { frame };
        let copies = if self.random.chance(self.faults.duplicate) {
            self.counters.duplicated += 1;
            2
        } else {
            1
        };
        for _ in 0..copies {
            let time = self.travel_time();
            if time.is_zero() && self.under_way.is_empty() {
                deliver(direction, Arc::clone(&frame));
            } else if self.under_way.len() < QUEUE_LIMIT {
                self.sequence += 1;
                let frame = Arc::clone(&frame);
                self.under_way.push(UnderWay { due: now + time, sequence: self.sequence, direction, frame });
            } else {
                self.counters.lost += 1;
            }
        }
    }

    fn travel_time(&mut self) -> Duration {
        let mut time = self.faults.delay;
        if !self.faults.jitter.is_zero() {
            time += self.faults.jitter.mul_f64(self.random.unit());
        }
        if self.random.chance(self.faults.reorder) {
            self.counters.reordered += 1;
            time += if self.faults.hold.is_zero() { USUAL_HOLD } else { self.faults.hold };
        }
        time
    }

    /// The switch must still find its way, so the header stays whole.
    fn damaged(&mut self, frame: &Frame) -> Frame {
        let mut bytes = frame.to_vec();
        let place = 14 + self.random.below(bytes.len().saturating_sub(14));
        let bit = self.random.below(8);
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << bit;
            self.counters.corrupted += 1;
        }
        bytes.into()
    }

    /// Takes a frame that has arrived by now.
    pub fn due(&mut self, now: Instant) -> Option<(Direction, Frame)> {
        let first = self.under_way.peek()?;
        if first.due > now {
            return None;
        }
        self.under_way.pop().map(|arrived| (arrived.direction, arrived.frame))
    }

    /// When the next frame arrives.
    pub fn next_due(&self) -> Option<Instant> {
        self.under_way.peek().map(|first| first.due)
    }
}

impl fmt::Debug for Cable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cable")
            .field("faults", &self.faults)
            .field("pulled", &self.pulled)
            .field("under_way", &self.under_way.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// A frame on the cable. The greatest is the next: the earliest, and among equals the first sent.
struct UnderWay {
    due: Instant,
    sequence: u64,
    direction: Direction,
    frame: Frame,
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for UnderWay {}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u16) -> Frame {
        let mut bytes = vec![0; 60];
        bytes.extend(number.to_be_bytes());
        bytes.into()
    }

    /// Sends frames 0 to 9999 a microsecond apart and returns those that arrived, by number.
    fn sent(faults: Faults) -> (Vec<u16>, CableCounters) {
        let mut cable = Cable::new(1);
        cable.set_faults(faults);
        let start = Instant::now();
        let mut arrived = Vec::new();
        let mut take = |frame: Frame| {
            let number = frame.last_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
            arrived.push(number.unwrap());
        };
        for number in 0..10_000 {
            let now = start + Duration::from_micros(number.into());
            while let Some((_, frame)) = cable.due(now) {
                take(frame);
            }
            cable.carry(now, Direction::FromEnd, frame(number), |_, frame| take(frame));
        }
        while let Some((_, frame)) = cable.due(start + Duration::from_mins(1)) {
            take(frame);
        }
        (arrived, cable.counters())
    }

    #[test]
    fn a_sound_cable_carries_everything_in_order() {
        assert_eq!(sent(Faults::default()).0, (0..10_000).collect::<Vec<_>>());
        assert_eq!(sent(Faults::delay(Duration::from_millis(3))).0, (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_fifth_is_lost_at_a_loss_of_a_fifth() {
        let (arrived, counters) = sent(Faults::loss(0.2));
        assert!((7_800..8_200).contains(&arrived.len()), "{}", arrived.len());
        assert_eq!(usize::try_from(counters.lost).unwrap() + arrived.len(), 10_000);
        assert!(arrived.is_sorted());
    }

    #[test]
    fn reordered_frames_arrive_late_and_duplicates_twice() {
        let (arrived, counters) = sent(Faults { reorder: 0.1, duplicate: 0.1, ..Faults::default() });
        assert!(!arrived.is_sorted());
        assert_eq!(arrived.len(), 10_000 + usize::try_from(counters.duplicated).unwrap());
        assert!(counters.reordered > 800 && counters.duplicated > 800);
    }

    #[test]
    fn a_pulled_cable_carries_nothing() {
        let mut cable = Cable::new(1);
        cable.set_faults(Faults::delay(Duration::from_secs(1)));
        let now = Instant::now();
        cable.carry(now, Direction::ToEnd, frame(1), |_, _| panic!("it is delayed"));
        cable.pull();
        cable.carry(now, Direction::ToEnd, frame(2), |_, _| panic!("it is pulled"));
        assert_eq!(cable.due(now + Duration::from_secs(2)), None);
        assert_eq!(cable.counters().lost, 2);
    }

    #[test]
    fn damage_spares_the_header() {
        let mut cable = Cable::new(1);
        cable.set_faults(Faults { corrupt: 1.0, ..Faults::default() });
        for _ in 0..1000 {
            cable.carry(Instant::now(), Direction::ToEnd, frame(0), |_, damaged| {
                assert_eq!(damaged.get(..14), Some(&[0; 14][..]));
                assert_eq!(damaged.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
            });
        }
    }
}
