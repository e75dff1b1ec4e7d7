//! How each part and each role stands, and what is to be told of it: one event for a change, however many lines or deaths are behind
//! it. It never looks at anything itself, and holds no more than its bounds.
//!
//! ```text
//!          bad, at once or after some patience           well for long enough
//!   well ──────────────────────────────────────► told ─────────────────────────► told well
//!    ▲                                                                              │
//!    └── each time it is bad again, it must be well for twice as long, up to an hour ┘
//! ```

use drawbridge_bus::Role;
use drawbridge_bus::happened::{HAPPENED_MOST, Happened, Health, Part};
use drawbridge_bus::logger::clean;
use std::collections::{BTreeMap, VecDeque};

/// So many wait for session. It takes them at once; when it is not there, nothing is gained by more.
const WAITING_MOST: usize = 128;
/// So many parts and roles are known; the names of some come out of the kernel's log.
const THINGS_MOST: usize = 128;
/// A role that died works again when it has served for so long; milliseconds, as all times here.
const ROLE_HOLD: u64 = 10_000;
/// A part works again when it has for so long.
const PART_HOLD: u64 = 60_000;
/// The longest that something must be well: what fails and works in turns is told of twice an hour at most.
const LONGEST_HOLD: u64 = 3_600_000;
/// A link is down when it has been for so long: a cable that is plugged in elsewhere at once is no failure.
const LINK_PATIENCE: u64 = 5_000;
/// Or when it went down so often with less than [`PART_HOLD`] between.
const BOUTS: u32 = 3;
/// What nothing was heard of for so long is forgotten, and told anew when it comes again.
const FORGOTTEN: u64 = 86_400_000;
/// The clock's steps are told one by one, so many …
const STEPS: usize = 8;
/// … in this time; further ones are told together when it is over.
const STEPS_WITHIN: u64 = 3_600_000;

/// The most characters of a time server's name.
const SERVER_CHARS: usize = 64;

/// What can fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing {
    /// A role.
    Role(Role),
    /// One of the machine's parts, by its name.
    Part(Part, String),
}

impl Thing {
    fn patience(&self) -> u64 {
        if matches!(self, Self::Part(Part::Link, _)) { LINK_PATIENCE } else { 0 }
    }

    fn hold(&self) -> u64 {
        if matches!(self, Self::Role(_)) { ROLE_HOLD } else { PART_HOLD }
    }
}

/// How something stands.
#[derive(Clone, Debug)]
struct Known {
    /// What was told last.
    told: Health,
    /// How it is, and since when; while it is bad, the worst that it was.
    now: Health,
    since: u64,
    /// When it was last heard of.
    heard: u64,
    /// How often it went bad since it was told to be well.
    bouts: u32,
    /// For so long it must be well.
    hold: u64,
    text: String,
}

impl Known {
    /// When something is to be told of it.
    fn due(&self, patience: u64) -> Option<u64> {
        if self.now > self.told {
            return Some(if self.bouts >= BOUTS { self.since } else { self.since.saturating_add(patience) });
        }
        (self.now == Health::Well && self.told != Health::Well).then(|| self.since.saturating_add(self.hold))
    }
}

/// A step of the clock that was not told yet.
#[derive(Clone, Debug)]
struct Step {
    from: i64,
    to: i64,
    servers: Vec<String>,
}

/// What is known, and what waits to be told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    things: BTreeMap<Thing, Known>,
    step: Option<Step>,
    /// When the last steps were told.
    steps: VecDeque<u64>,
    waiting: VecDeque<(u64, Happened)>,
    /// The number of the last that was given a place.
    last: u64,
    missed: u64,
    is_news: bool,
}

impl Ledger {
    /// It does not work, or not for long.
    pub(crate) fn bad(&mut self, now: u64, thing: &Thing, health: Health, text: &str) {
        if !self.things.contains_key(thing) && self.things.len() >= THINGS_MOST {
            self.missed = self.missed.saturating_add(1);
            return;
        }
        let known = self.things.entry(thing.clone()).or_insert_with(|| Known {
            told: Health::Well,
            now: Health::Well,
            since: now,
            heard: now,
            bouts: 0,
            hold: thing.hold(),
            text: String::new(),
        });
        known.heard = now;
        if known.now == Health::Well {
            let was_long = now.saturating_sub(known.since) >= PART_HOLD && known.told == Health::Well;
            known.bouts = if was_long { 1 } else { known.bouts.saturating_add(1) };
            known.since = now;
        }
        if health >= known.now {
            known.now = health;
            known.text = clean(text);
        }
    }

    /// It works. What was never bad is not noted.
    pub(crate) fn well(&mut self, now: u64, thing: &Thing, text: &str) {
        if let Some(known) = self.things.get_mut(thing).filter(|known| known.now != Health::Well) {
            known.now = Health::Well;
            known.since = now;
            known.heard = now;
            known.text = clean(text);
        }
    }

    /// The clock was set, by these servers' word.
    pub(crate) fn clock_set(&mut self, from: i64, to: i64, servers: &[String]) {
        let from = self.step.take().map_or(from, |step| step.from);
        // Of a name that is longer the beginning is enough: what one reply carries has to fit a frame.
        let servers = servers.iter().map(|name| clean(name).chars().take(SERVER_CHARS).collect()).collect();
        self.step = Some(Step { from, to, servers });
    }

    /// Puts what is due among what waits.
    pub(crate) fn act(&mut self, now: u64) {
        let mut told = Vec::new();
        for (thing, known) in &mut self.things {
            if known.due(thing.patience()).is_none_or(|due| due > now) {
                continue;
            }
            let again =
                if known.bouts > 1 { format!(" ({} times by now)", known.bouts) } else { String::new() };
            let text = format!("{}{again}", known.text);
            if known.now == Health::Well {
                known.hold = known.hold.saturating_mul(2).min(LONGEST_HOLD);
                known.bouts = 0;
            }
            known.told = known.now;
            told.push(happened(thing, known.now, text));
        }
        for what in told {
            self.tell(what);
        }
        let is_due = self.step_due().is_some_and(|due| due <= now);
        if let Some(step) = self.step.take_if(|_| is_due) {
            if self.steps.len() >= STEPS {
                self.steps.pop_front();
            }
            self.steps.push_back(now);
            self.tell(Happened::Clock { from: step.from, to: step.to, servers: step.servers });
        }
        // A part that nothing tells to be well, such as a disk, is as good as well when it was quiet for so long.
        self.things.retain(|thing, known| {
            let tells_well = known.now != Health::Well
                && matches!(thing, Thing::Role(_) | Thing::Part(Part::Data | Part::Link, _));
            tells_well || now.saturating_sub(known.heard) < FORGOTTEN
        });
    }

    fn step_due(&self) -> Option<u64> {
        self.step.as_ref()?;
        let first = self.steps.front().copied().filter(|_| self.steps.len() >= STEPS);
        Some(first.map_or(0, |first| first.saturating_add(STEPS_WITHIN)))
    }

    fn tell(&mut self, what: Happened) {
        let mut place = |what| {
            let has_room = self.waiting.len() < WAITING_MOST;
            if has_room {
                self.last += 1;
                self.waiting.push_back((self.last, what));
                self.is_news = true;
            }
            has_room
        };
        if self.missed > 0 && place(Happened::Missed(self.missed)) {
            self.missed = 0;
        }
        if !place(what) {
            self.missed = self.missed.saturating_add(1);
        }
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> u64 {
        let things = self.things.iter().filter_map(|(thing, known)| known.due(thing.patience()));
        things.chain(self.step_due()).min().unwrap_or(u64::MAX)
    }

    /// Whether anything new waits since the last call.
    pub(crate) fn has_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// What waits behind this number, as much as one reply carries, and the number of its last. What was told up to it is kept
    /// elsewhere, and is forgotten.
    pub(crate) fn take(&mut self, kept: u64) -> (Vec<Happened>, u64) {
        while self.waiting.pop_front_if(|(number, _)| *number <= kept).is_some() {}
        let told = self.waiting.iter().take(HAPPENED_MOST);
        let last = told.clone().next_back().map_or(kept, |(number, _)| *number);
        (told.map(|(_, what)| what.clone()).collect(), last)
    }
}

fn happened(thing: &Thing, health: Health, text: String) -> Happened {
    match thing {
        Thing::Role(role) => Happened::Role { role: *role, works: health == Health::Well, why: text },
        Thing::Part(part, _) => Happened::Part { part: *part, health, text },
    }
}

#[cfg(test)]
mod tests;
