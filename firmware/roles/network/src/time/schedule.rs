//! When the servers are asked again. Pure: it never waits.

use std::time::Duration;

/// The times of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long an answer is waited for.
    pub patience: Duration,
    /// How often a server is asked in a round while the clock is not synchronised, and in a round after that.
    pub burst: u32,
    /// The time between two questions of a burst (RFC 5905, section 13.1: 2 s).
    pub gap: Duration,
    /// The first wait when nobody answered (RFC 4330, section 10: no less than 15 s).
    pub retry: Duration,
    /// The shortest time between two rounds: a poll exponent of 6.
    pub shortest: Duration,
    /// The longest time between two rounds: a poll exponent of 10.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            patience: Duration::from_secs(3),
            burst: 4,
            gap: Duration::from_secs(2),
            retry: Duration::from_secs(16),
            shortest: Duration::from_secs(64),
            longest: Duration::from_secs(1024),
        }
    }
}

/// An offset from which on the clock is looked at more often again (the step threshold of RFC 5905, section 11.3).
const LARGE_OFFSET: Duration = Duration::from_millis(128);

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The servers agree, and the clock is off by this much.
    Agreed(Duration),
    /// They answered, and nobody can be believed.
    Doubt,
    /// Nobody answered.
    Silence,
}

/// The waits between rounds.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pace: Pace,
    last: Option<(Outcome, Duration)>,
}

impl Schedule {
    /// A schedule before its first round.
    pub const fn new(pace: Pace) -> Schedule {
        Schedule { pace, last: None }
    }

    /// How often each server is asked in the round to come. One question more is one answer less that was held up in a
    /// queue; once the clock is right, time does the same.
    pub fn burst(&self) -> u32 {
        match self.last {
            Some((Outcome::Agreed(offset), _)) if offset < LARGE_OFFSET => 1,
            _ => self.pace.burst.max(1),
        }
    }

    /// The wait after a round. `random` spreads it by a tenth either way, so that many systems that were switched on
    /// together do not ask together.
    pub fn wait(&mut self, outcome: Outcome, random: u64) -> Duration {
        let Pace { retry, shortest, longest, .. } = self.pace;
        let longer = |wait: Duration| (wait * 2).min(longest);
        let wait = match (outcome, self.last) {
            (Outcome::Agreed(offset), Some((Outcome::Agreed(_), wait))) if offset < LARGE_OFFSET => {
                longer(wait)
            }
            (Outcome::Agreed(_) | Outcome::Doubt, _) => shortest,
            (Outcome::Silence, Some((Outcome::Silence, wait))) => longer(wait),
            (Outcome::Silence, _) => retry,
        };
        self.last = Some((outcome, wait));
        // From 900 to 1100 thousandths.
        let thousandths = 900 + u32::try_from(random % 201).unwrap_or(100);
        wait * thousandths / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What spreads a wait by nothing.
    const EVEN: u64 = 100;

    fn waits(schedule: &mut Schedule, outcome: Outcome, times: usize) -> Vec<u64> {
        (0..times).map(|_| schedule.wait(outcome, EVEN).as_secs()).collect()
    }

    #[test]
    fn the_wait_grows_from_64_to_1024_seconds_while_the_clock_is_right() {
        let mut schedule = Schedule::new(Pace::default());
        assert_eq!(schedule.burst(), 4);
        let right = Outcome::Agreed(Duration::from_millis(3));
        assert_eq!(waits(&mut schedule, right, 6), [64, 128, 256, 512, 1024, 1024]);
        assert_eq!(schedule.burst(), 1);
        assert_eq!(
            waits(&mut schedule, Outcome::Agreed(Duration::from_secs(2)), 1),
            [64],
            "the clock has run away"
        );
        assert_eq!(schedule.burst(), 4);
    }

    #[test]
    fn silence_is_asked_again_ever_more_seldom_and_soon_after_the_first_time() {
        let mut schedule = Schedule::new(Pace::default());
        assert_eq!(waits(&mut schedule, Outcome::Silence, 8), [16, 32, 64, 128, 256, 512, 1024, 1024]);
        assert_eq!(waits(&mut schedule, Outcome::Doubt, 2), [64, 64]);
        assert_eq!(waits(&mut schedule, Outcome::Silence, 1), [16]);
    }

    #[test]
    fn a_wait_is_spread_by_a_tenth_at_most() {
        for random in 0..1000 {
            let wait = Schedule::new(Pace::default()).wait(Outcome::Doubt, random).as_millis();
            assert!((57_600..=70_400).contains(&wait), "{wait}");
        }
    }
}
