//! How often somebody may try to log in: at most so often a source, and so often in all. It never looks at what was tried.
//!
//! Sources from which somebody has logged in have an allowance of their own: whoever tries from many others keeps nobody out who
//! has been in.

use crate::places::source;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// The time that is looked at.
const WINDOW: Duration = Duration::from_mins(1);
/// The most tries of one source in that time.
pub(crate) const A_SOURCE: usize = 10;
/// The most tries of all sources together in that time, but for those that are known.
pub(crate) const IN_ALL: usize = 30;
/// The most sources that are remembered as known.
const KNOWN_MOST: usize = 64;

/// The tries of late. Times are monotonic, from any beginning.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    tries: HashMap<IpAddr, VecDeque<Duration>>,
    all: VecDeque<Duration>,
    known: VecDeque<IpAddr>,
}

impl Limits {
    /// Counts a try; or says after how long another may be made.
    pub(crate) fn try_from(&mut self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let source = source(address);
        self.forget(now);
        let known = self.known.contains(&source);
        let own = self.tries.get(&source);
        let wait = |oldest: Option<&Duration>| {
            oldest.map_or(WINDOW, |oldest| (*oldest + WINDOW).saturating_sub(now)).max(Duration::from_secs(1))
        };
        if let Some(own) = own.filter(|own| own.len() >= A_SOURCE) {
            return Err(wait(own.front()));
        }
        if !known && self.all.len() >= IN_ALL {
            return Err(wait(self.all.front()));
        }
        self.tries.entry(source).or_default().push_back(now);
        if !known {
            self.all.push_back(now);
        }
        Ok(())
    }

    /// Somebody has logged in from here.
    pub(crate) fn succeeded(&mut self, address: IpAddr) {
        let source = source(address);
        self.known.retain(|known| *known != source);
        self.known.push_back(source);
        if self.known.len() > KNOWN_MOST {
            self.known.pop_front();
        }
        self.tries.remove(&source);
    }

    fn forget(&mut self, now: Duration) {
        let old = |tries: &mut VecDeque<Duration>| {
            while tries.front().is_some_and(|time| *time + WINDOW <= now) {
                tries.pop_front();
            }
        };
        old(&mut self.all);
        // At most IN_ALL strangers and KNOWN_MOST others: the table is small.
        self.tries.retain(|_, tries| {
            old(tries);
            !tries.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_source_has_ten_tries_a_minute() {
        let mut limits = Limits::default();
        for second in 0..10 {
            limits.try_from(host(1), at(second)).unwrap();
        }
        assert_eq!(limits.try_from(host(1), at(10)), Err(at(50)));
        limits.try_from(host(1), at(60)).unwrap();
        assert!(limits.try_from(host(1), at(60)).is_err());
    }

    #[test]
    fn all_sources_have_thirty_tries_and_who_has_been_in_has_his_own() {
        let mut limits = Limits::default();
        limits.succeeded(host(1));
        for number in 2..5 {
            for _ in 0..10 {
                limits.try_from(host(number), at(0)).unwrap();
            }
        }
        assert!(limits.try_from(host(9), at(1)).is_err());
        limits.try_from(host(1), at(1)).unwrap();
        // And when the attack is over, everybody.
        limits.try_from(host(9), at(61)).unwrap();
    }

    #[test]
    fn an_attack_from_a_million_addresses_takes_no_memory() {
        let mut limits = Limits::default();
        for number in 0..1_000_000_u32 {
            let _ = limits.try_from(IpAddr::from(number.to_be_bytes()), at(0));
        }
        assert!(limits.tries.len() <= IN_ALL);
    }
}
