//! Who may be connected: at most so many at one time, and at most so many from one source. Pure: it never opens or
//! closes a connection.
//!
//! When there is no room, the newcomer comes in and somebody has to leave for it. That is never chance:
//!
//! | who leaves | why |
//! |---|---|
//! | somebody who has not asked anything yet, while there are more of them than their share | whoever opens connections and leaves them idle shuts out strangers like himself, and nobody who is at work |
//! | else somebody who has a handshake behind him and waits before or between requests, then somebody whose answer is being made, and who is logged in last of all | a browser opens another connection by itself |
//! | among those, of the source whose connections came to nothing most often of late | slow clients that come again and again shut out each other, from however many addresses |
//! | among those, of the source that holds most; in it, of the address that holds most | a crowd at one source shuts out its own |
//! | among those, who has been there longest without a sign | each newcomer has as many arrivals to get on as there are places |

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// How many at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// In all.
    pub(crate) places: usize,
    /// From one source.
    pub(crate) a_source: usize,
    /// Of all, those that are kept for newcomers when the others are many.
    pub(crate) for_new: usize,
}

/// A connection's number.
pub(crate) type Guest = u64;

/// What a connection has shown of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It has not asked anything yet.
    New,
    /// Its handshake is done, which has cost it something as well.
    Shaken,
    /// It has been answered, and may ask again.
    Waiting,
    /// Its answer is being made.
    Busy,
    /// Somebody has asked by it who is logged in.
    Member,
}

impl Standing {
    /// In which order they leave. Between two requests a connection is worth as much as one before its first.
    fn rank(self) -> u8 {
        match self {
            Self::New => 0,
            Self::Shaken | Self::Waiting => 1,
            Self::Busy => 2,
            Self::Member => 3,
        }
    }
}

#[derive(Debug)]
struct Entry {
    guest: Guest,
    address: IpAddr,
    source: IpAddr,
    standing: Standing,
    /// When it last gave a sign, in signs of all.
    sign: u64,
}

/// After so many connections, what came to nothing before counts half. That bounds how many sources are remembered, too:
/// each has done something within the last such spans.
const MEMORY: u64 = 2_048;

/// The connections that there are.
#[derive(Debug)]
pub(crate) struct Places {
    room: Room,
    entries: Vec<Entry>,
    /// How many connections of a source came to nothing.
    vain: HashMap<IpAddr, u32>,
    next: Guest,
    signs: u64,
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
    pub(crate) fn new(room: Room) -> Self {
        Self { room, entries: Vec::new(), vain: HashMap::new(), next: 0, signs: 0 }
    }

    /// Takes somebody in.
    pub(crate) fn admit(&mut self, address: IpAddr) -> Admission {
        let address = address.to_canonical();
        let source = source(address);
        let own = self.entries.iter().filter(|entry| entry.source == source).count();
        let leaves = if own >= self.room.a_source {
            self.leaver(|entry| entry.source == source)
        } else if self.entries.len() >= self.room.places {
            let new = self.entries.iter().filter(|entry| entry.standing == Standing::New).count();
            let strangers = new >= self.room.for_new;
            self.leaver(|entry| (entry.standing == Standing::New) == strangers)
                .or_else(|| self.leaver(|_| true))
        } else {
            None
        };
        if let Some(guest) = leaves {
            self.leave(guest);
        }
        let guest = self.next;
        self.next += 1;
        self.signs += 1;
        if self.next.is_multiple_of(MEMORY) {
            self.vain.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
        self.entries.push(Entry { guest, address, source, standing: Standing::New, sign: self.signs });
        Admission { guest, leaves }
    }

    /// Somebody has given a sign of what it is.
    pub(crate) fn shows(&mut self, guest: Guest, standing: Standing) {
        self.signs += 1;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.guest == guest) {
            // Once a member, always: the connection is short enough.
            entry.standing = if entry.standing == Standing::Member { Standing::Member } else { standing };
            entry.sign = self.signs;
        }
    }

    /// Somebody has left. Who had to leave before is not counted twice.
    pub(crate) fn leave(&mut self, guest: Guest) {
        let Some(place) = self.entries.iter().position(|entry| entry.guest == guest) else { return };
        let entry = self.entries.swap_remove(place);
        if entry.standing <= Standing::Shaken {
            let count = self.vain.entry(entry.source).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Who leaves when anybody has to.
    pub(crate) fn first_to_leave(&self) -> Option<Guest> {
        self.leaver(|_| true)
    }

    /// Who of those that `may` leaves.
    fn leaver(&self, may: impl Fn(&Entry) -> bool) -> Option<Guest> {
        let lowest =
            self.entries.iter().filter(|entry| may(entry)).map(|entry| entry.standing.rank()).min()?;
        let vain = |entry: &&Entry| self.vain.get(&entry.source).copied().unwrap_or_default();
        let those = || self.entries.iter().filter(|entry| may(entry) && entry.standing.rank() == lowest);
        let most = those().map(|entry| vain(&entry)).max()?;
        // Neighbours in order are of one address and of one source, so that each crowd is one run.
        let mut crowd: Vec<&Entry> = those().filter(|entry| vain(entry) == most).collect();
        crowd.sort_unstable_by_key(|entry| (entry.source, entry.address, entry.sign));
        let of_source = crowd.chunk_by(|one, other| one.source == other.source);
        let of_source = of_source.max_by_key(|crowd| (crowd.len(), Reverse(eldest(crowd))))?;
        let of_address = of_source.chunk_by(|one, other| one.address == other.address);
        let of_address = of_address.max_by_key(|crowd| (crowd.len(), Reverse(eldest(crowd))))?;
        of_address.first().map(|entry| entry.guest)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.entries.len()
    }
}

/// The sign of who has been there longest without one.
fn eldest(crowd: &[&Entry]) -> Option<u64> {
    crowd.iter().map(|entry| entry.sign).min()
}

/// What counts as one source: an IPv4 address, or an IPv6 network of 64 bits, in which a host can take as many
/// addresses as it likes (RFC 4291, section 2.5.4).
pub(crate) fn source(address: IpAddr) -> IpAddr {
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

    const ROOM: Room = Room { places: 128, a_source: 32, for_new: 64 };

    fn host(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
    }

    #[test]
    fn whoever_opens_many_connections_shuts_out_his_own_oldest_only() {
        let mut places = Places::new(ROOM);
        let person = places.admit(host(1));
        let first = places.admit(host(2));
        for _ in 1..ROOM.a_source {
            assert_eq!(places.admit(host(2)).leaves, None);
        }
        assert_eq!(places.admit(host(2)).leaves, Some(first.guest));
        assert_eq!(places.admit(host(1)).leaves, None);
        places.leave(person.guest);
        assert_eq!(places.count(), ROOM.a_source + 1);
    }

    #[test]
    fn a_full_house_makes_room_where_most_are() {
        let mut places = Places::new(ROOM);
        let person = places.admit(host(1));
        let mut crowd = Vec::new();
        for number in 2..6 {
            for _ in 0..ROOM.a_source {
                crowd.push(places.admit(host(number)));
            }
        }
        assert_eq!(places.count(), ROOM.places);
        assert!(crowd.iter().all(|admission| admission.leaves != Some(person.guest)));
        assert!(places.admit(host(9)).leaves.is_some_and(|guest| guest != person.guest));
        assert_eq!(places.count(), ROOM.places);
    }

    #[test]
    fn whoever_is_at_work_stays_whatever_a_crowd_from_everywhere_does() {
        let mut places = Places::new(ROOM);
        let at_work: Vec<_> = (0..40).map(|number| places.admit(host(number)).guest).collect();
        for (number, guest) in at_work.iter().enumerate() {
            places.shows(*guest, if number % 2 == 0 { Standing::Waiting } else { Standing::Busy });
        }
        for number in 100..2_100 {
            assert!(places.admit(host(number)).leaves.is_none_or(|guest| !at_work.contains(&guest)));
        }
        assert_eq!(places.count(), ROOM.places);
    }

    #[test]
    fn a_newcomer_has_as_many_arrivals_to_get_on_as_there_are_places_for_new_ones() {
        let mut places = Places::new(ROOM);
        for number in 100..1_100 {
            places.admit(host(number));
        }
        let person = places.admit(host(1)).guest;
        for number in 2_000..2_000 + 127 {
            assert_ne!(places.admit(host(number)).leaves, Some(person));
        }
    }

    #[test]
    fn a_house_full_of_those_at_work_takes_newcomers_in_and_lets_the_one_longest_silent_go() {
        let mut places = Places::new(ROOM);
        for number in 0..128 {
            let guest = places.admit(host(number)).guest;
            places.shows(guest, Standing::Busy);
        }
        places.shows(5, Standing::Waiting);
        places.shows(3, Standing::Waiting);
        for (number, leaves) in [(200, 5), (201, 3), (202, 0), (203, 1)] {
            assert_eq!(places.admit(host(number)).leaves, Some(leaves));
        }
        // And so on, until the newcomers have their share.
        for number in 204..264 {
            assert!(places.admit(host(number)).leaves.is_some_and(|guest| guest < 128));
        }
        assert_eq!(places.admit(host(300)).leaves, Some(128));
    }

    #[test]
    fn slow_clients_that_come_again_and_again_shut_out_each_other_only() {
        let mut places = Places::new(ROOM);
        for number in (0..4).flat_map(|_| 100..600) {
            places.admit(host(number));
        }
        let person = places.admit(host(1)).guest;
        for number in (0..4).flat_map(|_| 100..600) {
            assert_ne!(places.admit(host(number)).leaves, Some(person));
        }
    }

    #[test]
    fn what_is_remembered_of_sources_is_bounded() {
        let mut places = Places::new(ROOM);
        for number in 0..10_000_u32 {
            places.admit(IpAddr::V4(Ipv4Addr::from(number)));
        }
        assert!(places.vain.len() as u64 <= MEMORY + 1, "{}", places.vain.len());
    }

    #[test]
    fn whoever_is_logged_in_stays_while_others_ask_and_ask() {
        let mut places = Places::new(ROOM);
        let member = places.admit(host(1)).guest;
        places.shows(member, Standing::Member);
        places.shows(member, Standing::Waiting);
        for number in 100..2_100 {
            let other = places.admit(host(number));
            assert_ne!(other.leaves, Some(member));
            places.shows(other.guest, Standing::Busy);
            // His own source's crowd does no better.
            assert_ne!(places.admit(host(1)).leaves, Some(member));
        }
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one_source_and_the_loudest_of_them_leaves() {
        let mut places = Places::new(ROOM);
        let address = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        let person = places.admit(address(1)).guest;
        for _ in 0..31 {
            assert_eq!(places.admit(address(2)).leaves, None);
        }
        for _ in 0..100 {
            assert!(places.admit(address(2)).leaves.is_some_and(|guest| guest != person));
        }
        assert_eq!(source("::ffff:10.0.0.1".parse().unwrap()), host(1));
    }

    #[test]
    fn who_had_to_leave_is_counted_once() {
        let mut places = Places::new(ROOM);
        for _ in 0..=ROOM.a_source {
            places.admit(host(1));
        }
        places.leave(0);
        assert_eq!(places.count(), ROOM.a_source);
        for guest in 1..=ROOM.a_source as u64 {
            places.leave(guest);
        }
        assert_eq!(places.count(), 0);
    }
}
