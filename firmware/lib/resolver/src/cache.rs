//! What was answered, for as long as the answer is good. It never holds more than a fixed number of names.

use crate::name::HostName;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// No answer is kept shorter: a burst of questions about one name is one question.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);
/// No answer is kept longer (RFC 8767, section 4, would allow a week; a day brings a moved host back sooner).
pub(crate) const LONGEST: Duration = Duration::from_hours(24);
/// "No such name" is kept no longer: whoever has just had the name added wants to see it (RFC 2308, section 5, allows hours).
pub(crate) const LONGEST_NEGATIVE: Duration = Duration::from_mins(5);

/// What a server said about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Addresses { addresses: Vec<IpAddr>, canonical: String },
    NotFound,
    NoAddress,
}

#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) finding: Finding,
    pub(crate) server: IpAddr,
    pub(crate) until: Instant,
}

/// A name, and the place of the servers it was asked of in the list.
type Key = (HostName, usize);

pub(crate) struct Cache {
    entries: HashMap<Key, Kept>,
    most: usize,
}

impl Cache {
    pub(crate) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most }
    }

    pub(crate) fn get(&self, name: &HostName, servers: usize, now: Instant) -> Option<&Kept> {
        self.entries.get(&(name.clone(), servers)).filter(|kept| now < kept.until)
    }

    /// Keeps a finding; how long is bounded here.
    pub(crate) fn keep(
        &mut self,
        name: HostName,
        servers: usize,
        finding: Finding,
        server: IpAddr,
        ttl: Duration,
    ) -> Kept {
        let now = Instant::now();
        let longest = if matches!(finding, Finding::Addresses { .. }) { LONGEST } else { LONGEST_NEGATIVE };
        let kept = Kept { finding, server, until: now + ttl.clamp(SHORTEST, longest) };
        let key = (name, servers);
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.entries.retain(|_, kept| now < kept.until);
            while self.entries.len() >= self.most {
                let first =
                    self.entries.iter().min_by_key(|(_, kept)| kept.until).map(|(key, _)| key.clone());
                let Some(first) = first else { return kept };
                self.entries.remove(&first);
            }
        }
        self.entries.insert(key, kept.clone());
        kept
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53));

    fn name(number: usize) -> HostName {
        HostName::parse(&format!("host-{number}.example")).unwrap()
    }

    fn addresses() -> Finding {
        Finding::Addresses { addresses: vec![SERVER], canonical: String::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_between_a_second_and_a_day_and_a_negative_one_for_five_minutes_at_most() {
        let mut cache = Cache::new(8);
        for (finding, given, kept) in [
            (addresses(), Duration::ZERO, SHORTEST),
            (addresses(), Duration::from_secs(77), Duration::from_secs(77)),
            (addresses(), Duration::from_secs(u64::from(u32::MAX)), LONGEST),
            (Finding::NotFound, Duration::ZERO, SHORTEST),
            (Finding::NoAddress, Duration::from_secs(u64::from(u32::MAX)), LONGEST_NEGATIVE),
        ] {
            cache.keep(name(0), 0, finding, SERVER, given);
            let now = Instant::now();
            assert!(cache.get(&name(0), 0, now + kept - Duration::from_millis(1)).is_some());
            assert!(cache.get(&name(0), 0, now + kept).is_none());
            assert!(cache.get(&name(0), 1, now).is_none(), "other servers, other answers");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_cache_drops_what_would_end_first() {
        let mut cache = Cache::new(8);
        for number in 0..1000 {
            cache.keep(name(number), 0, addresses(), SERVER, Duration::from_secs(1000 - number as u64));
            assert!(cache.entries.len() <= 8);
        }
        assert!(cache.get(&name(0), 0, Instant::now()).is_some());
        assert!(cache.get(&name(999), 0, Instant::now()).is_some());
        assert!(cache.get(&name(990), 0, Instant::now()).is_none());
    }
}
