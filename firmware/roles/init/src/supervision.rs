//! When a role is started again, and when it counts as failed. It never touches a process.
//!
//! ```text
//!            started                ready
//!  Waiting ───────────► Starting ──────────► Running
//!    ▲                     │ ended, late        │ ended
//!    │   few ends lately   ▼                    ▼
//!    └───────────────── how often lately? ◄─────┘
//!                          │ too often
//!                          ▼         once in a while
//!                        Failed ─────────────────────► Starting
//!
//!  Dormant ── wanted ──► Waiting;  any ── not wanted any more, or done ──► Dormant: roles that run on demand only
//! ```

use drawbridge_bus::RoleState;
use std::collections::VecDeque;

/// The first restart comes at once for a person's eye; milliseconds, as all times here.
const FIRST_DELAY: u64 = 100;
/// Each further one waits twice as long, up to this.
const LONGEST_DELAY: u64 = 10_000;
/// So many ends …
const MANY_ENDS: usize = 5;
/// … within this time are a failure, and not bad luck.
const LATELY: u64 = 60_000;
/// A failed role gets another chance so often.
const FAILED_DELAY: u64 = 60_000;
/// A role that lets others start first waits for them so long.
const TURN_WITHIN: u64 = 2_000;
/// A role that does not serve within this time after its start hangs.
const READY_WITHIN: u64 = 60_000;

/// The life of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Supervision {
    phase: Phase,
    delay: u64,
    ends: VecDeque<u64>,
    /// How often it was started.
    pub(crate) starts: u32,
    /// How often it has ended, when nobody had wanted it.
    pub(crate) deaths: u32,
    by_order: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting {
        until: u64,
    },
    Failed {
        until: u64,
    },
    Starting {
        since: u64,
    },
    Running,
    Stopping,
    Stopped,
    /// Runs on demand, and nobody wants it; its process may be on its way out.
    Dormant,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Start it.
    Start,
    /// It hangs: end its process.
    Kill,
}

impl Supervision {
    /// A role that is to be started at once.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            phase: Phase::Waiting { until: now },
            delay: FIRST_DELAY,
            ends: VecDeque::new(),
            starts: 0,
            deaths: 0,
            by_order: false,
        }
    }

    /// A role that is to be started when others serve ([`Self::turn`]), or soon anyway.
    pub(crate) fn later(now: u64) -> Self {
        Self::new(now + TURN_WITHIN)
    }

    /// Those that it waits for serve.
    pub(crate) fn turn(&mut self, now: u64) {
        if let Phase::Waiting { until } = &mut self.phase
            && self.starts == 0
        {
            *until = now.min(*until);
        }
    }

    /// A role that is started when somebody asks for it.
    pub(crate) fn dormant() -> Self {
        Self { phase: Phase::Dormant, ..Self::new(0) }
    }

    /// A dormant role is to be started at once, as if it had never ended.
    pub(crate) fn wake(&mut self, now: u64) {
        if self.phase == Phase::Dormant {
            self.phase = Phase::Waiting { until: now };
            self.delay = FIRST_DELAY;
            self.ends.clear();
        }
    }

    /// A role that runs on demand is not wanted any more, or has done what it was started for.
    pub(crate) fn rest(&mut self) {
        if !matches!(self.phase, Phase::Stopping | Phase::Stopped) {
            self.phase = Phase::Dormant;
        }
    }

    /// Its process was started.
    pub(crate) fn started(&mut self, now: u64) {
        self.starts = self.starts.saturating_add(1);
        self.phase = Phase::Starting { since: now };
    }

    /// It is about to be ended and started anew, because somebody wants that.
    pub(crate) fn ends_by_order(&mut self) {
        self.by_order = matches!(self.phase, Phase::Starting { .. } | Phase::Running);
    }

    /// It says that it serves.
    pub(crate) fn ready(&mut self) {
        if let Phase::Starting { .. } = self.phase {
            self.phase = Phase::Running;
        }
    }

    /// Its process has ended, or could not be started. True when it counts as failed from now on.
    pub(crate) fn ended(&mut self, now: u64) -> bool {
        if matches!(self.phase, Phase::Stopping | Phase::Stopped) {
            self.phase = Phase::Stopped;
            return false;
        }
        if self.phase == Phase::Dormant {
            return false;
        }
        if !std::mem::take(&mut self.by_order) {
            self.deaths = self.deaths.saturating_add(1);
        }
        let lately = now.saturating_sub(LATELY);
        while self.ends.front().is_some_and(|end| *end < lately) {
            self.ends.pop_front();
        }
        if self.ends.is_empty() {
            self.delay = FIRST_DELAY;
        }
        self.ends.push_back(now);
        if self.ends.len() >= MANY_ENDS {
            // Bounded, and one more end lately is enough to be failed again.
            self.ends.pop_front();
            self.phase = Phase::Failed { until: now + FAILED_DELAY };
            return true;
        }
        self.phase = Phase::Waiting { until: now + self.delay };
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        false
    }

    /// It was asked to end for good.
    pub(crate) fn stop(&mut self, has_process: bool) {
        self.phase = if has_process { Phase::Stopping } else { Phase::Stopped };
    }

    /// What is to be done at this time, if anything.
    pub(crate) fn due(&self, now: u64) -> Option<Due> {
        match self.phase {
            Phase::Waiting { until } | Phase::Failed { until } if now >= until => Some(Due::Start),
            Phase::Starting { since } if now >= since + READY_WITHIN => Some(Due::Kill),
            _ => None,
        }
    }

    /// When [`Self::due`] is to be asked next.
    pub(crate) fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Waiting { until } | Phase::Failed { until } => Some(until),
            Phase::Starting { since } => Some(since + READY_WITHIN),
            Phase::Running | Phase::Stopping | Phase::Stopped | Phase::Dormant => None,
        }
    }

    /// The state for others.
    pub(crate) fn state(&self, now: u64) -> RoleState {
        match self.phase {
            Phase::Waiting { until } => RoleState::Waiting {
                milliseconds: u32::try_from(until.saturating_sub(now)).unwrap_or(u32::MAX),
            },
            Phase::Failed { .. } => RoleState::Failed,
            Phase::Starting { .. } => RoleState::Starting,
            Phase::Running => RoleState::Running,
            Phase::Stopping => RoleState::Stopping,
            Phase::Stopped => RoleState::Stopped,
            Phase::Dormant => RoleState::Dormant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(supervision: &mut Supervision, start: u64, end: u64) -> bool {
        supervision.started(start);
        supervision.ready();
        supervision.ended(end)
    }

    #[test]
    fn one_that_dies_once_is_back_at_once_and_again_after_a_long_life() {
        let mut supervision = Supervision::new(0);
        assert_eq!(supervision.due(0), Some(Due::Start));
        assert!(!run(&mut supervision, 0, 5_000));
        assert_eq!(supervision.deadline(), Some(5_100));
        assert!(!run(&mut supervision, 5_100, 500_000));
        assert_eq!(supervision.deadline(), Some(500_100));
    }

    #[test]
    fn one_that_keeps_dying_is_failed_and_tried_once_in_a_while() {
        let mut supervision = Supervision::new(0);
        let mut now = 0;
        let mut delays = Vec::new();
        while !run(&mut supervision, now, now) {
            let next = supervision.deadline().unwrap();
            delays.push(next - now);
            now = next;
        }
        assert_eq!(delays, [100, 200, 400, 800]);
        assert_eq!(supervision.state(now), RoleState::Failed);
        let next = supervision.deadline().unwrap();
        assert_eq!(next - now, FAILED_DELAY);
        assert_eq!(supervision.due(next), Some(Due::Start));
    }

    #[test]
    fn one_that_never_serves_is_ended() {
        let mut supervision = Supervision::new(0);
        supervision.started(10);
        assert_eq!(supervision.due(10), None);
        assert_eq!(supervision.due(10 + READY_WITHIN), Some(Due::Kill));
    }

    #[test]
    fn one_that_lets_others_go_first_starts_with_its_turn_or_soon_and_a_turn_hastens_no_restart() {
        let mut supervision = Supervision::later(5);
        assert_eq!((supervision.due(5), supervision.due(5 + TURN_WITHIN)), (None, Some(Due::Start)));
        supervision.turn(300);
        assert_eq!(supervision.due(300), Some(Due::Start));
        assert!(!run(&mut supervision, 300, 400));
        supervision.turn(401);
        assert_eq!((supervision.due(401), supervision.deadline()), (None, Some(400 + FIRST_DELAY)));
    }

    #[test]
    fn one_on_demand_runs_when_it_is_wanted_and_rests_when_it_is_not() {
        let mut supervision = Supervision::dormant();
        assert_eq!((supervision.due(u64::MAX), supervision.deadline()), (None, None));
        supervision.wake(5);
        assert_eq!(supervision.due(5), Some(Due::Start));
        assert!(!run(&mut supervision, 5, 10));
        // It died while it was wanted: it comes back.
        assert_eq!(supervision.deadline(), Some(110));
        supervision.started(110);
        supervision.rest();
        assert!(!supervision.ended(120));
        assert_eq!((supervision.state(120), supervision.deadline()), (RoleState::Dormant, None));
    }

    #[test]
    fn one_that_was_stopped_stays_so() {
        let mut supervision = Supervision::new(0);
        supervision.started(0);
        supervision.stop(true);
        assert!(!supervision.ended(5));
        assert_eq!(supervision.state(5), RoleState::Stopped);
        assert_eq!((supervision.due(u64::MAX), supervision.deadline()), (None, None));
    }
}
