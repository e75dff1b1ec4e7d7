//! The options of a DHCP message that say more than an address (RFC 2132, 3397, 3442): read with bounds. Pure: what they
//! may make a host do is judged in `lease`.

use smoltcp::wire::DhcpPacket;
use std::fmt;
use std::net::Ipv4Addr;

/// The router option (RFC 2132, section 3.5).
pub(crate) const ROUTER: u8 = 3;
const DNS_SERVERS: u8 = 6;
pub(crate) const HOST_NAME: u8 = 12;
const DOMAIN_NAME: u8 = 15;
const MTU: u8 = 26;
const BROADCAST: u8 = 28;
const NTP_SERVERS: u8 = 42;
const LEASE_TIME: u8 = 51;
/// The renewal time, T1 (RFC 2132, section 9.11).
pub(crate) const RENEWAL_TIME: u8 = 58;
/// The rebinding time, T2 (RFC 2132, section 9.12).
pub(crate) const REBINDING_TIME: u8 = 59;
/// RFC 3397.
const SEARCH_LIST: u8 = 119;
/// RFC 3442.
const CLASSLESS_ROUTES: u8 = 121;

/// What a server is asked for. The classless routes come before the router, as RFC 3442 wants it.
pub(crate) const ASKED_FOR: &[u8] = &[
    CLASSLESS_ROUTES,
    1,
    ROUTER,
    DNS_SERVERS,
    DOMAIN_NAME,
    MTU,
    BROADCAST,
    NTP_SERVERS,
    LEASE_TIME,
    RENEWAL_TIME,
    REBINDING_TIME,
    SEARCH_LIST,
];

/// The most DNS servers, and the most time servers, that are taken.
pub const SERVERS_MOST: usize = 4;
/// The most domains to search that are taken.
pub const SEARCH_MOST: usize = 8;
/// The most routes that are taken.
pub const ROUTES_MOST: usize = 32;
/// Domains that are looked at: some may be none, and each may cost a walk through the whole option.
const NAMES_LOOKED_AT: usize = 32;
/// The longest name in text (RFC 1035, section 2.3.4: 255 octets on the wire).
const NAME_BYTES: usize = 253;

/// A domain name that can be shown and handed on as it is: labels of letters, digits, `-` and `_`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainName(Box<str>);

impl DomainName {
    /// The name that this text is; none when it is no name. A dot or a zero byte at its end is no part of it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(&[0]).unwrap_or(text);
        let text = text.strip_suffix(b".").unwrap_or(text);
        if text.is_empty() || text.len() > NAME_BYTES {
            return None;
        }
        let is_label = |label: &[u8]| {
            let edges = [label.first(), label.last()];
            (1..=63).contains(&label.len())
                && edges.iter().all(|edge| edge.is_some_and(|byte| *byte != b'-'))
                && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if !text.split(|byte| *byte == b'.').all(is_label) {
            return None;
        }
        Some(Self(std::str::from_utf8(text).ok()?.to_ascii_lowercase().into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A route as the option has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenRoute {
    /// The network.
    pub destination: Ipv4Addr,
    /// The length of its prefix, 0 to 32.
    pub prefix: u8,
    /// The router; 0.0.0.0 when the network is on the cable itself.
    pub gateway: Ipv4Addr,
}

/// What is in a message.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) routers: Vec<Ipv4Addr>,
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) ntp: Vec<Ipv4Addr>,
    /// `Err` when there is one and it is no name.
    pub(crate) domain: Option<Result<DomainName, ()>>,
    pub(crate) search: Vec<DomainName>,
    /// How many domains to search were no names, or too many.
    pub(crate) search_passed_over: usize,
    pub(crate) mtu: Option<u16>,
    pub(crate) broadcast: Option<Ipv4Addr>,
    /// `Err` when there are some and they cannot be read.
    pub(crate) routes: Option<Result<Vec<GivenRoute>, ()>>,
}

impl Given {
    pub(crate) fn read(packet: &DhcpPacket<&[u8]>) -> Self {
        let all = |kind| joined(packet, kind);
        let (search, search_passed_over) =
            all(SEARCH_LIST).map(|data| search_list(&data)).unwrap_or_default();
        Self {
            // An option holds at most 63 routers (RFC 2132, section 3.5).
            routers: addresses(all(ROUTER), 63),
            // Some that are none may come first.
            dns: addresses(all(DNS_SERVERS), 63),
            ntp: addresses(all(NTP_SERVERS), 63),
            domain: all(DOMAIN_NAME).map(|text| DomainName::parse(&text).ok_or(())),
            search,
            search_passed_over,
            mtu: all(MTU).and_then(|data| <[u8; 2]>::try_from(data).ok()).map(u16::from_be_bytes),
            broadcast: addresses(all(BROADCAST), 1).first().copied(),
            routes: all(CLASSLESS_ROUTES).map(|data| classless_routes(&data).ok_or(())),
        }
    }
}

/// An option's data; if it is there more than once, its parts one behind the other (RFC 3396).
fn joined(packet: &DhcpPacket<&[u8]>, kind: u8) -> Option<Vec<u8>> {
    let mut parts = packet.options().filter(|option| option.kind == kind);
    let mut data = parts.next()?.data.to_vec();
    parts.for_each(|part| data.extend_from_slice(part.data));
    Some(data)
}

fn addresses(data: Option<Vec<u8>>, most: usize) -> Vec<Ipv4Addr> {
    let data = data.unwrap_or_default();
    data.as_chunks::<4>().0.iter().take(most).map(|octets| Ipv4Addr::from(*octets)).collect()
}

/// The routes of option 121 (RFC 3442). None when they cannot be read to their end, or are more than
/// [`ROUTES_MOST`]: half of a table would lead astray.
pub fn classless_routes(mut data: &[u8]) -> Option<Vec<GivenRoute>> {
    let mut routes = Vec::new();
    while let Some((&prefix, rest)) = data.split_first() {
        if prefix > 32 || routes.len() == ROUTES_MOST {
            return None;
        }
        let (significant, rest) = rest.split_at_checked(usize::from(prefix.div_ceil(8)))?;
        let (gateway, rest) = rest.split_first_chunk::<4>()?;
        let mut octets = [0; 4];
        octets.get_mut(..significant.len())?.copy_from_slice(significant);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        routes.push(GivenRoute {
            destination: Ipv4Addr::from(u32::from_be_bytes(octets) & mask),
            prefix,
            gateway: Ipv4Addr::from(*gateway),
        });
        data = rest;
    }
    (!routes.is_empty()).then_some(routes)
}

/// The domains of option 119 (RFC 3397), at most [`SEARCH_MOST`], and how many were passed over because they are no names,
/// or are too many. It stops where the option cannot be read.
pub fn search_list(data: &[u8]) -> (Vec<DomainName>, usize) {
    let (mut names, mut passed_over, mut at) = (Vec::new(), 0, 0);
    for _ in 0..NAMES_LOOKED_AT {
        if at >= data.len() {
            break;
        }
        let Some((name, next)) = name_at(data, at) else {
            passed_over += 1;
            break;
        };
        at = next;
        match DomainName::parse(&name) {
            Some(name) if names.contains(&name) => {}
            Some(name) if names.len() < SEARCH_MOST => names.push(name),
            _ => passed_over += 1,
        }
    }
    (names, passed_over)
}

/// The name at a place in compressed form (RFC 1035, section 4.1.4), in text, and the place behind it. Every pointer has
/// to lead further to the front than the one before it, and a name ends by its length: neither can go round in circles.
fn name_at(data: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let (mut name, mut at, mut before, mut next) = (Vec::new(), start, start, None);
    loop {
        let length = usize::from(*data.get(at)?);
        match length >> 6 {
            0 if length == 0 => return Some((name, next.unwrap_or(at + 1))),
            0 => {
                let label = data.get(at + 1..at + 1 + length)?;
                if name.len() + length > NAME_BYTES {
                    return None;
                }
                if !name.is_empty() {
                    name.push(b'.');
                }
                // A dot within a label would be taken for the end of it.
                name.extend(label.iter().map(|byte| if *byte == b'.' { b'?' } else { *byte }));
                at += 1 + length;
            }
            3 => {
                let place = (length & 0x3f) << 8 | usize::from(*data.get(at + 1)?);
                next.get_or_insert(at + 2);
                if place >= before {
                    return None;
                }
                (at, before) = (place, place);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(data: &[u8]) -> (Vec<String>, usize) {
        let (names, passed_over) = search_list(data);
        (names.iter().map(ToString::to_string).collect(), passed_over)
    }

    #[test]
    fn the_search_list_of_the_standard_is_read() {
        // RFC 3397, section 3.
        let data = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04";
        assert_eq!(names(data), (vec!["eng.apple.com".into(), "marketing.apple.com".into()], 0));
    }

    #[test]
    fn a_search_list_that_goes_round_in_circles_or_past_its_end_ends() {
        for data in [
            &b"\xc0\x00"[..],
            b"\x01a\xc0\x00",
            b"\x01a\xc0\x02\x00",
            b"\x01a\xc0\xff",
            b"\x3fa",
            b"\x80\x00",
            b"\xc0",
        ] {
            assert_eq!(names(data).0, Vec::<String>::new(), "{data:?}");
        }
        let pointers: Vec<u8> = (0..=255_u8).flat_map(|at| [0xc0, at]).collect();
        assert_eq!(names(&pointers).0.len(), 0);
        assert_eq!(names(&[1, b'a'].repeat(2000)).0.len(), 0, "a name without end");
    }

    #[test]
    fn no_more_domains_than_eight_are_taken_and_none_that_is_no_name() {
        let data: Vec<u8> = (b'a'..=b'z').flat_map(|letter| [1, letter, 0]).collect();
        let (list, passed_over) = names(&data);
        assert_eq!((list.len(), passed_over), (8, 18));
        assert_eq!(names(b"\x04a;rm\x00\x02$x\x00\x02ok\x00\x03a.b\x00"), (vec!["ok".into()], 3));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for text in
            ["", ".", "a..b", "-a", "a-", "a b", "a\n", "`id`", "ä", &"a".repeat(64), &"a.".repeat(128)]
        {
            assert_eq!(DomainName::parse(text.as_bytes()), None, "{text}");
        }
        for (text, name) in [("Example.COM.", "example.com"), ("lab\0", "lab"), ("a_b.c", "a_b.c")] {
            assert_eq!(DomainName::parse(text.as_bytes()).unwrap().as_str(), name);
        }
    }

    #[test]
    fn classless_routes_are_read_and_their_host_bits_cleared() {
        let data =
            [0, 10, 0, 1, 1, 8, 10, 10, 0, 1, 2, 20, 172, 16, 255, 0, 0, 0, 0, 32, 1, 2, 3, 4, 10, 0, 1, 3];
        let routes = classless_routes(&data).unwrap();
        let text: Vec<_> = routes
            .iter()
            .map(|route| format!("{}/{} {}", route.destination, route.prefix, route.gateway))
            .collect();
        assert_eq!(
            text,
            ["0.0.0.0/0 10.0.1.1", "10.0.0.0/8 10.0.1.2", "172.16.240.0/20 0.0.0.0", "1.2.3.4/32 10.0.1.3"]
        );
        for length in (1..data.len()).filter(|length| ![5, 11, 19].contains(length)) {
            assert_eq!(classless_routes(&data[..length]), None, "cut at {length}");
        }
        assert_eq!(classless_routes(&[33, 1, 2, 3, 4, 5, 6, 7, 8, 9]), None);
        assert_eq!(classless_routes(&[]), None);
        assert_eq!(classless_routes(&[0, 10, 0, 1, 1].repeat(33)), None);
    }
}
