//! The smallest memory with which a system still serves. It tells nothing about how well it does.

use crate::error::Result;
use crate::guest::Guest;
use std::path::Path;
use std::time::Duration;

/// Finds the least memory of a range, in MiB, with which the system serves; nothing if its upper end is too little. `usual`
/// is how long it takes with plenty.
pub(crate) fn least(guest: &Guest, disk: &Path, [low, high]: [u32; 2], usual: Duration) -> Option<u32> {
    // What takes so much longer reads its program from memory again and again, and does not serve.
    let within = usual * 3 + Duration::from_secs(10);
    smallest(low, high, |memory| {
        eprintln!("bench: {} with {memory} MiB", guest.name);
        let tried = || -> Result<_> {
            let running = guest.start(disk, memory)?;
            running.first_line(guest, within)?;
            running.serves(guest, within)
        };
        // A system without memory dies in many ways. That the lab itself works has been seen before.
        tried().is_ok()
    })
}

/// The smallest number of a range that will do, where every larger one does as well.
fn smallest(low: u32, high: u32, mut will_do: impl FnMut(u32) -> bool) -> Option<u32> {
    if !will_do(high) {
        return None;
    }
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low.midpoint(high);
        if will_do(middle) { high = middle } else { low = middle + 1 }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_found_in_few_tries() {
        for wanted in 32..=64 {
            let mut tries = 0;
            let found = smallest(32, 64, |memory| {
                tries += 1;
                memory >= wanted
            });
            assert_eq!(found, Some(wanted));
            assert!(tries <= 7, "{tries} tries for {wanted}");
        }
        assert_eq!(smallest(32, 64, |_| false), None);
    }
}
