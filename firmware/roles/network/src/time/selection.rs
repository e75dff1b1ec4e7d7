//! Which time to believe when several servers were asked. Pure: it never asks one.
//!
//! Each server says: the true offset lies in `[offset - distance, offset + distance]`. The offset that most of them can
//! agree on is the true one if most of them are honest (Marzullo's algorithm; RFC 5905, section 11.2.1).

use super::packet::Reply;
use std::time::Duration;

/// What a server's distance is at least: clocks of honest servers on one switch are not nearer to each other
/// (`MINDISP` of RFC 5905, section 11.1).
const DISTANCE_LEAST: Duration = Duration::from_millis(5);
/// The vaguest word that is listened to. A server that is farther off would agree with everybody.
const DISTANCE_MOST: Duration = Duration::from_secs(3);
/// How much longer than the whole exchange a server may claim to have thought: two clocks never run alike.
const CLOCKS_APART: i128 = 1_000_000;

/// What one exchange with a server showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// By how much its clock is ahead of the one here, in nanoseconds.
    pub offset: i128,
    /// The round trip, without the server's own time.
    pub delay: Duration,
    /// How many servers it is away from a clock of its own.
    pub stratum: u8,
    /// The way from it to that clock and back.
    pub root_delay: Duration,
    /// How far off it may be beyond that.
    pub root_dispersion: Duration,
}

/// Why an exchange gives no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Useless {
    /// It claims more time for its answer than the whole exchange took.
    #[error("it claims to have worked on the reply for longer than the whole exchange took")]
    Slower,
    /// Its word is too vague.
    #[error("its time may be off by {distance:.1?}, and {DISTANCE_MOST:?} are accepted at most")]
    Vague {
        /// How far.
        distance: Duration,
    },
}

impl Sample {
    /// The sample of a reply to a request sent when the clock here showed `sent` (nanoseconds since 1970), and received
    /// after `elapsed` by a clock that nobody sets.
    ///
    /// # Errors
    /// [`Useless`]: it cannot be true, or is too vague.
    pub fn of(reply: &Reply, sent: i128, elapsed: Duration) -> Result<Sample, Useless> {
        let worked = reply.transmitted - reply.received;
        let elapsed = nanoseconds(elapsed);
        if worked > elapsed + CLOCKS_APART {
            return Err(Useless::Slower);
        }
        let sample = Sample {
            offset: (reply.received + reply.transmitted - sent - (sent + elapsed)) / 2,
            delay: Duration::from_nanos(u64::try_from(elapsed - worked).unwrap_or(0)),
            stratum: reply.stratum,
            root_delay: reply.root_delay,
            root_dispersion: reply.root_dispersion,
        };
        match sample.distance() {
            distance if distance > DISTANCE_MOST => Err(Useless::Vague { distance }),
            _ => Ok(sample),
        }
    }

    /// How far the offset may be from the true one.
    pub fn distance(&self) -> Duration {
        (self.delay.saturating_add(self.root_delay) / 2)
            .max(DISTANCE_LEAST)
            .saturating_add(self.root_dispersion)
    }

    fn interval(&self) -> (i128, i128) {
        let distance = nanoseconds(self.distance());
        (self.offset - distance, self.offset + distance)
    }
}

fn nanoseconds(span: Duration) -> i128 {
    i128::try_from(span.as_nanos()).unwrap_or(i128::MAX)
}

/// What is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// By how much the true time is ahead of the clock here, in nanoseconds.
    pub offset: i128,
    /// How far the offset may be from the true one, if the servers are honest.
    pub error: Duration,
    /// The places of the samples that agree.
    pub agree: Vec<usize>,
}

/// Why nothing is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// There is no sample.
    #[error("no time server gave a usable answer")]
    Nobody,
    /// Two, and each says something else: nobody can tell which is wrong.
    #[error("the two time servers that answered disagree, by {0:.1?}: a third would tell which is wrong")]
    TwoDisagree(Duration),
    /// No majority.
    #[error("of {asked} time servers that answered no more than {agree} agree, and more than half must")]
    NoMajority {
        /// How many answered.
        asked: usize,
        /// The most that agree.
        agree: usize,
    },
}

/// Decides, one vote a sample.
pub fn select(samples: &[Sample]) -> Result<Choice, Doubt> {
    let mut edges: Vec<(i128, bool)> = Vec::with_capacity(samples.len() * 2);
    for sample in samples {
        let (low, high) = sample.interval();
        edges.push((low, false));
        edges.push((high, true));
    }
    // Where one ends and another begins they still agree: beginnings first.
    edges.sort_unstable();
    let (mut open, mut most) = (0_usize, 0_usize);
    let (mut low, mut high) = (0, 0);
    for (at, end) in edges {
        if end {
            // Of several places where as many agree the span over all of them is taken: the truth is in one of them.
            if open == most {
                high = at;
            }
            open -= 1;
        } else {
            open += 1;
            if open > most {
                (most, low) = (open, at);
            }
        }
    }
    match samples {
        [] => return Err(Doubt::Nobody),
        [one, other] if most < 2 => {
            let apart = u64::try_from(one.offset.abs_diff(other.offset)).unwrap_or(u64::MAX);
            return Err(Doubt::TwoDisagree(Duration::from_nanos(apart)));
        }
        _ if most * 2 <= samples.len() => {
            return Err(Doubt::NoMajority { asked: samples.len(), agree: most });
        }
        _ => {}
    }
    let agrees = |sample: &Sample| {
        let (begin, end) = sample.interval();
        begin <= high && end >= low
    };
    let agree: Vec<usize> = (0..samples.len()).filter(|place| agrees(&samples[*place])).collect();
    // The surest of them, held to what they all can agree on.
    let surest = agree.iter().map(|place| &samples[*place]).min_by_key(|sample| sample.distance());
    let offset = surest.map_or(low, |sample| sample.offset).clamp(low, high);
    let error = u64::try_from((high - offset).max(offset - low)).unwrap_or(u64::MAX);
    Ok(Choice { offset, error: Duration::from_nanos(error), agree })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;
    const YEARS: i128 = 10 * 365 * 86_400 * SECOND;

    fn sample(offset: i128, delay_milliseconds: u64) -> Sample {
        Sample {
            offset,
            delay: Duration::from_millis(delay_milliseconds),
            stratum: 2,
            root_delay: Duration::ZERO,
            root_dispersion: Duration::ZERO,
        }
    }

    #[test]
    fn nobody_is_nobody_and_one_is_believed() {
        assert_eq!(select(&[]), Err(Doubt::Nobody));
        let choice = select(&[sample(YEARS, 40)]).unwrap();
        assert_eq!((choice.offset, choice.error, choice.agree), (YEARS, Duration::from_millis(20), vec![0]));
    }

    #[test]
    fn of_two_that_disagree_neither_is_believed() {
        let error = select(&[sample(0, 20), sample(SECOND, 20)]).unwrap_err();
        assert_eq!(error, Doubt::TwoDisagree(Duration::from_secs(1)));
        assert_eq!(select(&[sample(0, 20), sample(SECOND / 50, 20)]).unwrap().agree, [0, 1], "they touch");
    }

    #[test]
    fn two_liars_do_not_outvote_three_honest_servers_wherever_they_stand() {
        let honest = [sample(SECOND, 20), sample(SECOND + 1_000_000, 10), sample(SECOND - 1_000_000, 30)];
        for lies in [[YEARS, YEARS], [-YEARS, YEARS], [-YEARS, -YEARS], [SECOND * 2, SECOND * 2]] {
            for (first, second) in [(0, 1), (0, 4), (2, 3), (3, 4)] {
                let mut samples = honest.to_vec();
                samples.insert(first, sample(lies[0], 1));
                samples.insert(second, sample(lies[1], 1));
                let choice = select(&samples).unwrap();
                assert_eq!(choice.agree.len(), 3, "{samples:?}");
                assert!(choice.offset.abs_diff(SECOND) <= 1_000_000);
                assert!(choice.error <= Duration::from_millis(15));
            }
        }
    }

    #[test]
    fn half_is_no_majority() {
        let error = select(&[sample(0, 1), sample(0, 1), sample(YEARS, 1), sample(-YEARS, 1)]).unwrap_err();
        assert_eq!(error, Doubt::NoMajority { asked: 4, agree: 2 });
        assert_eq!(
            select(&[sample(0, 1), sample(YEARS, 1), sample(-YEARS, 1)]).unwrap_err(),
            Doubt::NoMajority { asked: 3, agree: 1 }
        );
    }

    #[test]
    fn where_two_pairs_agree_the_error_covers_both() {
        // The middle one is vague and agrees with each of the others, which do not agree with each other.
        let choice = select(&[sample(0, 20), sample(SECOND / 2, 1200), sample(SECOND, 20)]).unwrap();
        assert_eq!(choice.agree, [0, 1, 2]);
        assert!(nanoseconds(choice.error) + choice.offset >= SECOND);
    }

    #[test]
    fn the_truth_is_always_within_the_error() {
        // Every honest server's interval holds 0: so must the choice's.
        for step in 0..1000_i64 {
            let wide = |salt: i64| 10 + (step * 7919 + salt * 104_729).rem_euclid(400);
            let near = |salt: i64, delay: i64| {
                let most = delay * 500_000;
                i128::from((step * 15_485_863 + salt * 32_452_843).rem_euclid(2 * most + 1) - most)
            };
            let samples: Vec<Sample> = (0..5)
                .map(|salt| sample(near(salt, wide(salt)), u64::try_from(wide(salt)).unwrap()))
                .collect();
            let choice = select(&samples).unwrap();
            assert!(choice.offset.abs() <= nanoseconds(choice.error), "{samples:?} {choice:?}");
        }
    }

    #[test]
    fn an_exchange_gives_the_offset_and_half_the_way_as_its_doubt() {
        let reply = Reply {
            stratum: 1,
            root_delay: Duration::ZERO,
            root_dispersion: Duration::ZERO,
            received: 100 * SECOND + 50_000_000,
            transmitted: 100 * SECOND + 60_000_000,
        };
        let got = Sample::of(&reply, 90 * SECOND, Duration::from_millis(110)).unwrap();
        assert_eq!((got.offset, got.delay), (10 * SECOND, Duration::from_millis(100)));
        assert_eq!(got.distance(), Duration::from_millis(50));
        assert_eq!(Sample::of(&reply, 90 * SECOND, Duration::from_millis(2)), Err(Useless::Slower));
        let vague = Reply { root_dispersion: Duration::from_mins(1), ..reply };
        assert!(matches!(Sample::of(&vague, 0, Duration::from_secs(1)), Err(Useless::Vague { .. })));
    }
}
