//! Router advertisements (RFC 4861 section 4.2), sound and hostile, as frames. It routes nothing.

use super::Random;
use super::packet::{self, ALL_NODES, link_local};
use smoltcp::wire::EthernetAddress;
use std::net::Ipv6Addr;
use std::time::Duration;

/// What a router says of itself and its network.
#[derive(Debug, Clone)]
pub struct RouterAdvertisement {
    hop_limit: u8,
    flags: u8,
    lifetime: u16,
    options: Vec<u8>,
}

/// RFC 4861 section 4.6.2: on-link, and to make addresses from.
const ON_LINK_AUTONOMOUS: u8 = 0xc0;

impl Default for RouterAdvertisement {
    fn default() -> Self {
        Self::new()
    }
}

impl RouterAdvertisement {
    /// A default router for half an hour, without a prefix.
    pub fn new() -> Self {
        Self { hop_limit: 64, flags: 0, lifetime: 1800, options: Vec::new() }
    }

    /// It is the default router this long, in whole seconds up to 65,535; zero: no longer.
    #[must_use]
    pub fn lifetime(mut self, time: Duration) -> Self {
        self.lifetime = u16::try_from(time.as_secs()).unwrap_or(u16::MAX);
        self
    }

    /// Addresses (and other settings) are to be had by `DHCPv6`.
    #[must_use]
    pub fn managed(mut self) -> Self {
        self.flags |= 0xc0;
        self
    }

    /// Packets may pass this many routers; zero: not said.
    #[must_use]
    pub fn hop_limit(mut self, hops: u8) -> Self {
        self.hop_limit = hops;
        self
    }

    /// With a prefix from which addresses are made, valid for a day and preferred for half of it.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<Ipv6Addr>, length: u8) -> Self {
        self.prefix_for(prefix, length, Duration::from_hours(24), Duration::from_hours(12))
    }

    /// The same with its times, in whole seconds.
    #[must_use]
    pub fn prefix_for(
        self,
        prefix: impl Into<Ipv6Addr>,
        length: u8,
        valid: Duration,
        preferred: Duration,
    ) -> Self {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX).to_be_bytes();
        let mut data = vec![length, ON_LINK_AUTONOMOUS];
        data.extend([seconds(valid), seconds(preferred), [0; 4]].concat());
        data.extend(prefix.into().octets());
        self.option(3, &data)
    }

    /// With a DNS server, for an hour (RFC 8106).
    #[must_use]
    pub fn dns(self, server: impl Into<Ipv6Addr>) -> Self {
        let mut data = vec![0, 0, 0, 0, 14, 16];
        data.extend(server.into().octets());
        self.option(25, &data)
    }

    /// Packets on the network are this long at most.
    #[must_use]
    pub fn mtu(self, bytes: u32) -> Self {
        let [a, b, c, d] = bytes.to_be_bytes();
        self.option(5, &[0, 0, a, b, c, d])
    }

    /// With an option of this type as well. Its data is filled up to units of eight bytes, and cut off behind 255 of them.
    #[must_use]
    pub fn option(mut self, kind: u8, data: &[u8]) -> Self {
        let units = (data.len() + 2).div_ceil(8).min(255);
        let start = self.options.len();
        self.options.extend([kind, u8::try_from(units).unwrap_or(u8::MAX)]);
        self.options.extend(data);
        self.options.resize(start + units * 8, 0);
        self
    }

    /// The frame that a router with this hardware address sends to all, from its link-local address.
    pub fn frame(&self, router: EthernetAddress) -> Vec<u8> {
        packet::icmpv6(router, link_local(router), ALL_NODES, &self.message(router))
    }

    fn message(&self, router: EthernetAddress) -> Vec<u8> {
        let [high, low] = self.lifetime.to_be_bytes();
        let mut message = vec![134, 0, 0, 0, self.hop_limit, self.flags, high, low];
        message.extend([0; 8]);
        // The source's hardware address.
        message.extend([1, 1]);
        message.extend(router.0);
        message.extend(&self.options);
        message
    }
}

/// Advertisements of routers that nobody needs: each from another router, with another prefix and DNS server. The same seed
/// gives the same; it never ends.
pub fn flood(seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random::new(seed);
    std::iter::repeat_with(move || {
        let router = random_router(&mut random);
        let mut prefix = [0; 16];
        prefix[..8].copy_from_slice(&random.next().to_be_bytes());
        prefix[0] = 0xfd;
        let mut server = prefix;
        server[15] = 0x53;
        let mtu = u32::try_from(1280 + random.below(8000)).unwrap_or(1280);
        RouterAdvertisement::new().prefix(prefix, 64).dns(server).mtu(mtu).frame(router)
    })
}

/// Advertisements that are wrong: options without length or beyond the end, odd prefixes, bytes turned over. The same seed
/// gives the same; it never ends.
pub fn hostile(seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random::new(seed);
    std::iter::repeat_with(move || {
        let router = random_router(&mut random);
        let some = |random: &mut Random, below: usize| -> Vec<u8> {
            let count = random.below(below);
            (0..count).map(|_| random.next().to_le_bytes()[0]).collect()
        };
        let [length, kind, ..] = random.next().to_le_bytes();
        let mut advertisement = RouterAdvertisement::new().prefix([0xfd; 16], length);
        if random.chance(0.5) {
            let kinds = [1, 3, 5, 24, 25, 31, kind];
            let kind = kinds.get(random.below(kinds.len())).copied().unwrap_or(kind);
            advertisement = advertisement.option(kind, &some(&mut random, 300));
        }
        let mut message = advertisement.message(router);
        match random.below(5) {
            0 => message.truncate(random.below(message.len())),
            // An option of no length makes a careless reader turn for ever.
            1 => message.extend([25, 0]),
            2 => message.extend([25, 200, 0, 0]),
            3 => message.extend(some(&mut random, 900)),
            _ => {
                let place = 4 + random.below(message.len() - 4);
                if let Some(byte) = message.get_mut(place) {
                    *byte = kind;
                }
            }
        }
        packet::icmpv6(router, link_local(router), ALL_NODES, &message)
    })
}

fn random_router(random: &mut Random) -> EthernetAddress {
    let [a, b, c, d, ..] = random.next().to_be_bytes();
    EthernetAddress([0x02, 0xba, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{EthernetFrame, Icmpv6Packet, Icmpv6Repr, Ipv6Packet, NdiscRepr};
    use std::collections::HashSet;

    const ROUTER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

    /// The advertisement as smoltcp reads it, its checksum looked at.
    fn read(frame: &[u8]) -> Option<Icmpv6Repr<'_>> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
        let (from, to) = (ip.src_addr(), ip.dst_addr());
        // A shortest frame is filled up behind the packet.
        let packet = Icmpv6Packet::new_checked(frame.get(54..54 + usize::from(ip.payload_len()))?).ok()?;
        Icmpv6Repr::parse(&from, &to, &packet, &ChecksumCapabilities::default()).ok()
    }

    #[test]
    fn an_advertisement_is_understood() {
        let advertisement = RouterAdvertisement::new()
            .prefix([0xfd00, 0, 0, 7, 0, 0, 0, 0], 64)
            .mtu(1400)
            .dns([0xfd00, 0, 0, 0, 0, 0, 0, 0x53])
            .lifetime(Duration::from_mins(10));
        let frame = advertisement.frame(ROUTER);
        let Some(Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
            hop_limit,
            router_lifetime,
            mtu,
            prefix_info,
            ..
        })) = read(&frame)
        else {
            panic!("{frame:?}");
        };
        assert_eq!((hop_limit, router_lifetime.secs(), mtu), (64, 600, Some(1400)));
        let prefix = prefix_info.unwrap();
        assert_eq!((prefix.prefix_len, prefix.prefix), (64, Ipv6Addr::new(0xfd00, 0, 0, 7, 0, 0, 0, 0)));
        assert_eq!(frame.get(..6), Some(&[0x33, 0x33, 0, 0, 0, 1][..]));
        // RDNSS: type 25, three units, an hour, the server.
        let server = [25, 3, 0, 0, 0, 0, 14, 16, 0xfd, 0];
        assert!(frame.windows(server.len()).any(|window| window == server));
    }

    #[test]
    fn floods_differ_and_hostile_ones_have_a_sound_checksum() {
        let routers: HashSet<Vec<u8>> = flood(1).take(1000).collect();
        assert_eq!(routers.len(), 1000);
        assert!(routers.iter().all(|frame| read(frame).is_some()));
        let mut read_at_all = 0;
        for frame in hostile(1).take(10_000) {
            assert!(frame.len() <= 1514, "{}", frame.len());
            read_at_all += usize::from(read(&frame).is_some());
        }
        assert!((1_000..9_900).contains(&read_at_all), "{read_at_all}");
        assert!(hostile(3).take(50).eq(hostile(3).take(50)));
    }
}
