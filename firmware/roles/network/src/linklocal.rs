//! Which link-local address a port tries (RFC 3927, section 2.1), and when. It never probes one: `conflict` does.

use crate::random::Random;
use smoltcp::time::Duration;
use std::net::Ipv4Addr;

/// The prefix of all link-local addresses.
pub const PREFIX: u8 = 16;

/// How many addresses there are to choose from: 169.254.1.0 to 169.254.254.255.
const ADDRESSES: u64 = 254 * 256;

/// After so many conflicts it tries less often (RFC 3927, section 9: `MAX_CONFLICTS`).
const CONFLICTS_MOST: u32 = 10;
/// And then once in this time (`RATE_LIMIT_INTERVAL`).
const SELDOM: Duration = Duration::from_secs(60);

/// The address that a port with this hardware address tries at its `attempt`-th attempt: the same each time, so that a
/// port mostly keeps its address over a restart.
pub fn address(mac: [u8; 6], attempt: u32) -> Ipv4Addr {
    let seed = mac.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let mut random = Random::new(seed);
    // The first numbers of seeds that differ in one bit are as different as any: neighbours in a rack do not meet.
    let mut number = random.next();
    for _ in 0..attempt.min(1000) {
        number = random.next();
    }
    let host = u32::try_from(number % ADDRESSES).unwrap_or_default() + 256;
    Ipv4Addr::from(u32::from(Ipv4Addr::new(169, 254, 0, 0)) + host)
}

/// How long to wait after the `conflicts`-th conflict before the next address is tried.
pub(crate) fn wait(conflicts: u32) -> Duration {
    if conflicts < CONFLICTS_MOST { Duration::ZERO } else { SELDOM }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_attempt_is_in_the_range_that_is_free_to_choose_from() {
        let mut seen = HashSet::new();
        for last in 0..=255 {
            for attempt in 0..20 {
                let address = address([0x52, 0x54, 0, 0, 0, last], attempt);
                assert!((1..=254).contains(&address.octets()[2]), "{address}");
                assert!(address.is_link_local());
                seen.insert(address);
            }
        }
        // 5,120 draws out of 65,024 give some 4,920 different ones.
        assert!(seen.len() > 4800, "{} different ones", seen.len());
    }

    #[test]
    fn a_port_tries_the_same_address_each_time_it_begins() {
        let mac = [0x52, 0x54, 0, 0, 0, 7];
        assert_eq!(address(mac, 0), address(mac, 0));
        assert_ne!(address(mac, 0), address(mac, 1));
    }

    #[test]
    fn a_cable_full_of_conflicts_is_asked_once_a_minute() {
        assert_eq!(wait(9), Duration::ZERO);
        assert_eq!(wait(10), Duration::from_secs(60));
    }
}
