//! Places for connections: for those who have said who they are, and apart from these for those who have not yet. It never
//! closes a connection; it says which one has to go.
//!
//! A newcomer always gets a place. Where there is none left, the one who has waited longest loses his: in the newcomer's
//! network when that has its share, or else in the network that has most. So whoever holds many connections without a login
//! loses his own, and a login that goes on gets through.

use crate::access::plain;
use crate::config::Limits;
use crate::guard::Cut;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    known: usize,
    known_by: HashMap<IpAddr, usize>,
    /// Whoever came first is first.
    unknown: BTreeMap<u64, (IpAddr, Cut)>,
    unknown_by: HashMap<IpAddr, BTreeSet<u64>>,
}

/// The places.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    limits: Limits,
    taken: Arc<Mutex<Taken>>,
}

/// A place that is taken until this is dropped, or until another one needs it.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    by: IpAddr,
    number: u64,
    lost: Cut,
    is_known: Mutex<bool>,
}

fn lock<T>(taken: &Mutex<T>) -> MutexGuard<'_, T> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has one IPv6 address has its network of 64 bits.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match plain(address) {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Taken {
    fn forget(&mut self, number: u64) -> Option<Cut> {
        let (by, lost) = self.unknown.remove(&number)?;
        if let Some(numbers) = self.unknown_by.get_mut(&by) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.unknown_by.remove(&by);
            }
        }
        Some(lost)
    }

    /// The one who has waited longest in this network.
    fn oldest_of(&self, by: IpAddr) -> Option<u64> {
        self.unknown_by.get(&by).and_then(BTreeSet::first).copied()
    }

    /// The one who has waited longest in the network that has most.
    fn oldest_of_most(&self) -> Option<u64> {
        let most = self.unknown_by.values().map(BTreeSet::len).max()?;
        self.unknown_by
            .values()
            .filter(|numbers| numbers.len() == most)
            .filter_map(BTreeSet::first)
            .min()
            .copied()
    }
}

impl Places {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, taken: Arc::default() }
    }

    /// A place for a connection from this address, of which nothing more is known.
    pub(crate) fn take(&self, from: IpAddr) -> Place {
        let by = neighbourhood(from);
        let lost = Cut::new();
        let mut taken = lock(&self.taken);
        let has = taken.unknown_by.get(&by).map_or(0, BTreeSet::len);
        let goes = if has >= self.limits.strangers_per_address {
            taken.oldest_of(by)
        } else if taken.unknown.len() >= self.limits.strangers {
            taken.oldest_of_most()
        } else {
            None
        };
        if let Some(cut) = goes.and_then(|number| taken.forget(number)) {
            cut.cut();
        }
        let number = taken.next;
        taken.next += 1;
        taken.unknown.insert(number, (by, lost.clone()));
        taken.unknown_by.entry(by).or_default().insert(number);
        drop(taken);
        Place { places: self.clone(), by, number, lost, is_known: Mutex::new(false) }
    }
}

impl Place {
    /// Waits until the place is lost.
    pub(crate) fn is_lost(&self) -> impl Future<Output = ()> + Send + use<> {
        self.lost.happens()
    }

    /// Whoever has it has shown who he is, and gets a place among his like. False when there is none left, or this one is lost.
    pub(crate) fn know(&self) -> bool {
        let mut is_known = lock(&self.is_known);
        if *is_known {
            return true;
        }
        let limits = self.places.limits;
        let mut taken = lock(&self.places.taken);
        let has = taken.known_by.get(&self.by).copied().unwrap_or(0);
        if taken.known >= limits.connections
            || has >= limits.per_address
            || taken.forget(self.number).is_none()
        {
            return false;
        }
        taken.known += 1;
        taken.known_by.insert(self.by, has + 1);
        *is_known = true;
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_known = *lock(&self.is_known);
        let mut taken = lock(&self.places.taken);
        if !is_known {
            taken.forget(self.number);
            return;
        }
        taken.known = taken.known.saturating_sub(1);
        let left = taken.known_by.get(&self.by).map_or(0, |has| has.saturating_sub(1));
        if left == 0 {
            taken.known_by.remove(&self.by);
        } else {
            taken.known_by.insert(self.by, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_lost(place: &Place) -> bool {
        !lock(&place.places.taken).unknown.contains_key(&place.number)
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_oldest_in_his_network_or_in_the_one_that_has_most() {
        let limits = Limits { strangers: 4, strangers_per_address: 3, ..Limits::default() };
        let places = Places::new(limits);
        let honest = places.take(address("192.0.2.1"));
        // One network of 64 bits.
        let [first, second, third, fourth] =
            ["1", "2", "3", "4"].map(|end| places.take(address(&format!("2001:db8::{end}"))));
        assert!(is_lost(&first) && !is_lost(&second));
        let other = places.take(address("192.0.2.2"));
        assert!(is_lost(&second) && ![&honest, &third, &fourth, &other].iter().any(|place| is_lost(place)));
        assert!(!first.know() && honest.know());
        drop((first, second, third, fourth, other));
        assert_eq!(lock(&places.taken).unknown_by.len(), 0);
    }

    #[test]
    fn who_is_known_takes_no_stranger_s_place_and_leaves_his_own_when_he_goes() {
        let limits = Limits {
            strangers: 1,
            strangers_per_address: 1,
            connections: 3,
            per_address: 2,
            ..Limits::default()
        };
        let places = Places::new(limits);
        let take = |text| {
            let place = places.take(address(text));
            let is_known = place.know();
            (place, is_known)
        };
        let (one, is_known) = take("192.0.2.1");
        assert!(is_known && one.know());
        let (_same, is_known) = take("::ffff:192.0.2.1");
        assert!(is_known);
        assert!(!take("192.0.2.1").1);
        let _third = take("192.0.2.2");
        assert!(!take("192.0.2.3").1);
        drop(one);
        assert!(take("192.0.2.1").1);
        assert_eq!(lock(&places.taken).known_by.len(), 2);
    }
}
