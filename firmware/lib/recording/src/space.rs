//! Which recordings may be removed to make room; it only says so, and never names one that nobody else has.

use std::time::Duration;

/// A bundle, as the policy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<I> {
    /// By which the caller knows it.
    pub id: I,
    /// Its bytes on the disk.
    pub bytes: u64,
    /// Whether the server has said that it has all of it.
    pub confirmed: bool,
    /// How long ago it ended.
    pub age: Duration,
}

/// What is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal<I> {
    /// In this order.
    pub remove: Vec<I>,
    /// So many bytes are missing even then: no session can be recorded before somebody uploads or takes recordings away.
    pub missing: u64,
}

/// What is to be removed so that `wanted` bytes are free when `free` are: the oldest that are confirmed, as few as do, and
/// never one that is not confirmed.
pub fn removal<I: Clone + Ord>(kept: &[Kept<I>], free: u64, wanted: u64) -> Removal<I> {
    let mut confirmed: Vec<&Kept<I>> = kept.iter().filter(|kept| kept.confirmed && kept.bytes > 0).collect();
    // Of the same age in the order of their names, so that the answer is always the same.
    confirmed.sort_by(|a, b| b.age.cmp(&a.age).then_with(|| a.id.cmp(&b.id)));
    let mut missing = wanted.saturating_sub(free);
    let mut remove = Vec::new();
    for kept in confirmed {
        if missing == 0 {
            break;
        }
        missing = missing.saturating_sub(kept.bytes);
        remove.push(kept.id.clone());
    }
    Removal { remove, missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: u32, bytes: u64, confirmed: bool, hours: u64) -> Kept<u32> {
        Kept { id, bytes, confirmed, age: Duration::from_hours(hours) }
    }

    #[test]
    fn the_oldest_confirmed_go_first_and_no_more_than_needed() {
        let all = [
            kept(1, 10, true, 1),
            kept(2, 10, true, 9),
            kept(3, 10, false, 99),
            kept(4, 10, true, 9),
            kept(5, 0, true, 100),
        ];
        let removed = |free, wanted| removal(&all, free, wanted);
        assert_eq!(removed(50, 50), Removal { remove: vec![], missing: 0 });
        assert_eq!(removed(49, 50), Removal { remove: vec![2], missing: 0 });
        assert_eq!(removed(35, 50), Removal { remove: vec![2, 4], missing: 0 });
        assert_eq!(removed(0, 30), Removal { remove: vec![2, 4, 1], missing: 0 });
    }

    #[test]
    fn what_is_not_confirmed_is_never_removed_however_full_the_disk_is() {
        for seed in 0..2000_u64 {
            // A small generator, so that each run tries the same.
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = |most: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % most
            };
            let all: Vec<_> = (0..12).map(|id| kept(id, next(100), next(2) == 0, next(5))).collect();
            let (free, wanted) = (next(300), next(900));
            let Removal { remove, missing } = removal(&all, free, wanted);
            let of = |id: &u32| all.iter().find(|kept| kept.id == *id).unwrap();
            assert!(remove.iter().all(|id| of(id).confirmed));
            let freed: u64 = remove.iter().map(|id| of(id).bytes).sum();
            assert!(free + freed + missing >= wanted);
            let youngest = remove.iter().map(|id| of(id).age).min().unwrap_or(Duration::MAX);
            let left =
                all.iter().filter(|kept| kept.confirmed && kept.bytes > 0 && !remove.contains(&kept.id));
            assert!(left.clone().all(|kept| kept.age <= youngest));
            if missing > 0 {
                assert_eq!(left.count(), 0);
            }
        }
        assert_eq!(removal(&[kept(1, u64::MAX, true, 1)], 0, u64::MAX).missing, 0);
    }
}
