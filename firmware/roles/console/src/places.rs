//! Who may be connected: at most so many at one time, and at most so many from one source. Pure: it never opens or
//! closes a connection.
//!
//! When there is no room, the newcomer comes in and the oldest connection of the source that holds most has to leave. So
//! whoever opens connections and leaves them idle shuts out nobody but himself.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// The most connections at one time. Each costs some 40 kB.
pub(crate) const PLACES: usize = 128;

/// The most connections from one source: five browsers of six connections each, behind one address.
pub(crate) const PLACES_A_SOURCE: usize = 32;

/// A connection's number.
pub(crate) type Guest = u64;

/// The connections that there are.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Of each source, oldest first.
    guests: HashMap<IpAddr, Vec<Guest>>,
    count: usize,
    next: Guest,
}

/// Who came in, and who has to leave for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    /// The newcomer.
    pub(crate) guest: Guest,
    /// Whose connection is to be closed.
    pub(crate) leaves: Option<Guest>,
}

impl Places {
    /// Takes somebody in.
    pub(crate) fn admit(&mut self, address: IpAddr) -> Admission {
        let source = source(address);
        let own = self.guests.get(&source).map_or(0, Vec::len);
        let leaves = if own >= PLACES_A_SOURCE {
            self.oldest_of(source)
        } else if self.count >= PLACES {
            let most = self.guests.iter().max_by_key(|(_, guests)| guests.len()).map(|(source, _)| *source);
            most.and_then(|most| self.oldest_of(most))
        } else {
            None
        };
        if let Some(guest) = leaves {
            self.leave(guest);
        }
        let guest = self.next;
        self.next += 1;
        self.count += 1;
        self.guests.entry(source).or_default().push(guest);
        Admission { guest, leaves }
    }

    /// Somebody has left. Who had to leave before is not counted twice.
    pub(crate) fn leave(&mut self, guest: Guest) {
        self.guests.retain(|_, guests| {
            let before = guests.len();
            guests.retain(|other| *other != guest);
            self.count -= before - guests.len();
            !guests.is_empty()
        });
    }

    fn oldest_of(&self, source: IpAddr) -> Option<Guest> {
        self.guests.get(&source)?.first().copied()
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 network of 64 bits, in which a host can take as many
/// addresses as it likes (RFC 4291, section 2.5.4).
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn host(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))
    }

    #[test]
    fn whoever_opens_many_connections_shuts_out_his_own_oldest_only() {
        let mut places = Places::default();
        let person = places.admit(host(1));
        let first = places.admit(host(2));
        for _ in 1..PLACES_A_SOURCE {
            assert_eq!(places.admit(host(2)).leaves, None);
        }
        assert_eq!(places.admit(host(2)).leaves, Some(first.guest));
        assert_eq!(places.admit(host(1)).leaves, None);
        places.leave(person.guest);
        assert_eq!(places.count, PLACES_A_SOURCE + 1);
    }

    #[test]
    fn a_full_house_makes_room_where_most_are() {
        let mut places = Places::default();
        let person = places.admit(host(1));
        let mut crowd = Vec::new();
        for number in 2..6 {
            for _ in 0..PLACES_A_SOURCE {
                crowd.push(places.admit(host(number)));
            }
        }
        assert_eq!(places.count, PLACES);
        assert!(crowd.iter().all(|admission| admission.leaves != Some(person.guest)));
        assert!(places.admit(host(9)).leaves.is_some_and(|guest| guest != person.guest));
        assert_eq!(places.count, PLACES);
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one_source() {
        let mut places = Places::default();
        let address = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        for last in 0..32 {
            assert_eq!(places.admit(address(last)).leaves, None);
        }
        assert!(places.admit(address(99)).leaves.is_some());
        assert_eq!(source("::ffff:10.0.0.1".parse().unwrap()), host(1));
    }

    #[test]
    fn who_had_to_leave_is_counted_once() {
        let mut places = Places::default();
        for _ in 0..=PLACES_A_SOURCE {
            places.admit(host(1));
        }
        places.leave(0);
        assert_eq!(places.count, PLACES_A_SOURCE);
        for guest in 1..=PLACES_A_SOURCE as u64 {
            places.leave(guest);
        }
        assert_eq!((places.count, places.guests.len()), (0, 0));
    }
}
