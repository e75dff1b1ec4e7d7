//! Name servers that routers advertise (RFC 8106), as the kernel hands them on (`RTM_NEWNDUSEROPT`). Pure: it never looks at a
//! clock and asks no kernel.
//!
//! The kernel has judged the advertisement itself: it came from a neighbour, on a link that listens to routers, with a sound
//! checksum. What the option says is judged here.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// The most name servers of one interface that are remembered. RFC 8106, section 5.3.1, finds three enough.
pub const ADVERTISED_MOST: usize = 4;

/// The netlink header (`nlmsghdr`), and the one of an option that follows it (`nduseroptmsg`).
const NETLINK_HEADER: usize = 16;
const OPTION_HEADER: usize = 16;
/// `RTM_NEWNDUSEROPT` (rtnetlink.h).
const NEW_OPTION: u16 = 68;
/// The type of a router's advertisement (RFC 4861, section 4.2).
const ROUTER_ADVERTISEMENT: u8 = 134;
/// The option's type (RFC 8106, section 5.1).
const RDNSS: u8 = 25;
/// A lifetime without end.
const FOR_EVER: u32 = u32::MAX;

/// What one option says: these servers, for so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The link that it came by.
    pub index: u32,
    /// The servers, at most [`ADVERTISED_MOST`]; each could be one.
    pub servers: Vec<Ipv6Addr>,
    /// For how many seconds; 0: no longer, [`u32::MAX`]: for ever.
    pub seconds: u32,
}

/// Reads all that a datagram of the kernel's says of name servers. What is no such message is passed over, and so is what
/// follows a message with a wrong length.
pub fn read(mut datagram: &[u8]) -> Vec<Advertised> {
    let mut advertised = Vec::new();
    while let Some((header, _)) = datagram.split_first_chunk::<NETLINK_HEADER>() {
        let [a, b, c, d, kind, kind2, ..] = *header;
        // The kernel's integers are in the order of its processor.
        let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some(message) = datagram.get(NETLINK_HEADER..length) else { break };
        if u16::from_ne_bytes([kind, kind2]) == NEW_OPTION {
            read_message(message, &mut advertised);
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    advertised
}

fn read_message(message: &[u8], advertised: &mut Vec<Advertised>) {
    let Some((header, rest)) = message.split_first_chunk::<OPTION_HEADER>() else { return };
    let [family, _, length, length2, a, b, c, d, kind, code, ..] = *header;
    let of_router = i32::from(family) == libc::AF_INET6 && (kind, code) == (ROUTER_ADVERTISEMENT, 0);
    let Ok(index) = u32::try_from(i32::from_ne_bytes([a, b, c, d])) else { return };
    let length = usize::from(u16::from_ne_bytes([length, length2]));
    let Some(mut options) = rest.get(..length).filter(|_| of_router && index > 0) else { return };
    // Each is as long as its second byte says, in units of eight bytes; none is of no length (RFC 4861, section 4.6).
    while let [kind, units, ..] = *options {
        let length = usize::from(units) * 8;
        let Some(option) = options.get(..length).filter(|option| !option.is_empty()) else { return };
        if kind == RDNSS {
            advertised.extend(read_option(index, option));
        }
        options = options.get(length..).unwrap_or_default();
    }
}

fn read_option(index: u32, option: &[u8]) -> Option<Advertised> {
    let (head, addresses) = option.split_first_chunk::<8>()?;
    let [.., a, b, c, d] = *head;
    let (addresses, rest) = addresses.as_chunks::<16>();
    // At least one, and each whole.
    if addresses.is_empty() || !rest.is_empty() {
        return None;
    }
    let servers = addresses.iter().copied().map(Ipv6Addr::from).filter(|address| could_serve(*address));
    let servers: Vec<_> = servers.take(ADVERTISED_MOST).collect();
    (!servers.is_empty()).then(|| Advertised { index, servers, seconds: u32::from_be_bytes([a, b, c, d]) })
}

/// Whether the address can be that of another host. A link-local one can: it is asked by the port that it was learned on.
fn could_serve(address: Ipv6Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.to_ipv4_mapped().is_some())
}

/// The advertised name servers of one interface, with the time when each ends; none: never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameServers {
    known: Vec<(Ipv6Addr, Option<Instant>)>,
}

impl NameServers {
    /// Takes what was advertised; tells whether the servers are others now. Those that are known stay until their time is
    /// over: who floods a cable with advertisements cannot drive them out.
    pub fn hear(&mut self, now: Instant, advertised: &Advertised) -> bool {
        let before = self.servers();
        self.expire(now);
        let until = match advertised.seconds {
            FOR_EVER => None,
            // What the clock cannot count is for ever, too.
            seconds => now.checked_add(Duration::from_secs(seconds.into())),
        };
        for server in &advertised.servers {
            let place = self.known.iter().position(|(known, _)| known == server);
            match (place, advertised.seconds) {
                (Some(place), 0) => drop(self.known.remove(place)),
                (Some(place), _) => self.known[place].1 = until,
                (None, 0) => {}
                (None, _) if self.known.len() < ADVERTISED_MOST => self.known.push((*server, until)),
                (None, _) => {}
            }
        }
        self.servers() != before
    }

    /// Forgets those whose time is over; tells whether there were any.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.known.len();
        self.known.retain(|(_, until)| until.is_none_or(|until| now < until));
        self.known.len() != before
    }

    /// When the next one ends.
    pub fn next_end(&self) -> Option<Instant> {
        self.known.iter().filter_map(|(_, until)| *until).min()
    }

    /// Those that are known, the first that was heard of first.
    pub fn servers(&self) -> Vec<IpAddr> {
        self.known.iter().map(|(server, _)| IpAddr::V6(*server)).collect()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.known.clear();
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
    }

    fn option(seconds: u32, servers: &[Ipv6Addr]) -> Vec<u8> {
        let units = u8::try_from(1 + servers.len() * 2).unwrap();
        let mut option = vec![RDNSS, units, 0, 0];
        option.extend(seconds.to_be_bytes());
        option.extend(servers.iter().flat_map(Ipv6Addr::octets));
        option
    }

    /// As the kernel sends it, with the router's address behind the options.
    fn message(index: i32, options: &[u8]) -> Vec<u8> {
        let mut body = vec![10, 0];
        body.extend(u16::try_from(options.len()).unwrap().to_ne_bytes());
        body.extend(index.to_ne_bytes());
        body.extend([ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0]);
        body.extend(options);
        body.extend([20, 0, 1, 0]);
        body.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets());
        let mut message = u32::try_from(body.len() + NETLINK_HEADER).unwrap().to_ne_bytes().to_vec();
        message.extend(NEW_OPTION.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    #[test]
    fn servers_are_read_from_one_message_and_from_several() {
        let one = message(3, &option(600, &[server(1), server(2)]));
        let expected = Advertised { index: 3, servers: vec![server(1), server(2)], seconds: 600 };
        assert_eq!(read(&one), std::slice::from_ref(&expected));
        let other = message(4, &[&[31, 1, 0, 0, 0, 0, 0, 9][..], &option(0, &[server(9)])].concat());
        let last = Advertised { index: 4, servers: vec![server(9)], seconds: 0 };
        assert_eq!(read(&[one, other].concat()), [expected, last]);
    }

    #[test]
    fn what_is_no_such_option_says_nothing() {
        let good = message(3, &option(600, &[server(1)]));
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), [], "{length}");
        }
        let mut other_kind = good.clone();
        other_kind[4] = 16;
        let mut other_family = good.clone();
        other_family[16] = 2;
        let mut other_type = good.clone();
        other_type[24] = 136;
        for (what, bytes) in [
            ("another message", other_kind),
            ("another family", other_family),
            ("no router's", other_type),
            ("no link", message(0, &option(600, &[server(1)]))),
            ("a link below zero", message(-1, &option(600, &[server(1)]))),
            ("no length", message(3, &[25, 0, 0, 0, 0, 0, 0, 9])),
            ("no server", message(3, &option(600, &[]))),
            ("half a server", message(3, &[&[25, 2][..], &[1; 14]].concat())),
            ("longer than it is", message(3, &[25, 200, 0, 0, 0, 0, 0, 9])),
            ("nobody's address", message(3, &option(600, &[Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST]))),
            ("everybody's", message(3, &option(600, &["ff02::1".parse().unwrap()]))),
        ] {
            assert_eq!(read(&bytes), [], "{what}");
        }
    }

    #[test]
    fn a_server_is_known_until_its_time_is_over_or_taken_back() {
        let (mut known, now) = (NameServers::default(), Instant::now());
        let said =
            |seconds, servers: &[Ipv6Addr]| Advertised { index: 3, servers: servers.to_vec(), seconds };
        assert!(known.hear(now, &said(10, &[server(1)])));
        assert!(known.hear(now, &said(FOR_EVER, &[server(2)])));
        assert!(!known.hear(now + Duration::from_secs(5), &said(10, &[server(1)])), "known already");
        assert_eq!(known.next_end(), Some(now + Duration::from_secs(15)));
        assert!(!known.expire(now + Duration::from_secs(14)));
        assert!(known.expire(now + Duration::from_secs(15)));
        assert_eq!(known.servers(), [IpAddr::V6(server(2))]);
        assert_eq!(known.next_end(), None);
        assert!(known.hear(now, &said(0, &[server(2), server(3)])));
        assert!(known.is_empty());
    }

    #[test]
    fn a_flood_drives_no_server_out() {
        let (mut known, now) = (NameServers::default(), Instant::now());
        for last in 1..1000 {
            known.hear(now, &Advertised { index: 3, servers: vec![server(last)], seconds: 3600 });
        }
        assert_eq!(known.servers(), (1..=4).map(|last| IpAddr::V6(server(last))).collect::<Vec<_>>());
    }
}
