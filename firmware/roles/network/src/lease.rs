//! A DHCP lease that a host may take: its bounds are checked where it is made. It never applies one.

use smoltcp::wire::DhcpRepr;
use std::net::Ipv4Addr;

/// The shortest lease that is taken, in seconds. A shorter one would be nothing but renewals; dnsmasq's least is 120.
pub const SHORTEST_LEASE_SECONDS: u32 = 10;

/// The shortest time to renewal that a server may set, in seconds: half of the shortest lease.
pub const SHORTEST_RENEWAL_SECONDS: u32 = SHORTEST_LEASE_SECONDS / 2;

/// What a lease without a time is taken for, in seconds. The DHCP client below counts the same (`smoltcp`'s default).
const LEASE_WITHOUT_TIME_SECONDS: u32 = 120;

/// The widest network that a lease may put on a cable. 10.0.0.0/8 is the widest private one (RFC 1918); a wider one
/// would draw traffic for foreign networks onto the cable.
const WIDEST_PREFIX: u8 = 8;

/// A lease that a host may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    address: Ipv4Addr,
    prefix: u8,
    router: Option<Ipv4Addr>,
    refused_router: Option<Ipv4Addr>,
    server: Ipv4Addr,
    seconds: u32,
}

/// Why an offer or a lease is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Loopback, multicast, link-local, reserved, or the network itself.
    #[error(
        "the DHCP server {server} gives {address}, which is no address for a host; correct its address range"
    )]
    Address {
        /// Who gives it.
        server: Ipv4Addr,
        /// What it gives.
        address: Ipv4Addr,
    },
    /// No mask, a mask with holes, or one that is too wide.
    #[error(
        "the DHCP server {server} gives {address} with the subnet mask {mask}, which is not a mask from /8 to /32; \
         correct its subnet"
    )]
    Mask {
        /// Who gives it.
        server: Ipv4Addr,
        /// The address beside it.
        address: Ipv4Addr,
        /// What it gives; 0.0.0.0 when it gives none.
        mask: Ipv4Addr,
    },
    /// A time that would keep client and server busy.
    #[error(
        "the DHCP server {server} gives {address} for {seconds} s; at least {SHORTEST_LEASE_SECONDS} s are needed: \
         lengthen its leases"
    )]
    Time {
        /// Who gives it.
        server: Ipv4Addr,
        /// The address beside it.
        address: Ipv4Addr,
        /// What it gives.
        seconds: u32,
    },
}

impl Lease {
    /// The lease in an acknowledgement. The first of `routers` that a host on this network can reach is its router.
    pub(crate) fn of_acknowledgement(
        repr: &DhcpRepr<'_>,
        routers: impl Iterator<Item = Ipv4Addr>,
    ) -> Result<Self, Refusal> {
        let server = server(repr);
        let address = repr.your_ip;
        let prefix = prefix(server, address, repr.subnet_mask)?;
        check_address(server, address, prefix)?;
        let seconds = repr.lease_duration.unwrap_or(LEASE_WITHOUT_TIME_SECONDS);
        if seconds < SHORTEST_LEASE_SECONDS {
            return Err(Refusal::Time { server, address, seconds });
        }
        let (mut router, mut refused_router) = (None, None);
        // An option holds at most 63 routers (RFC 2132, section 3.5).
        for candidate in routers.take(63) {
            if candidate != address && in_network(candidate, address, prefix) && is_host(candidate, prefix) {
                router = Some(candidate);
                break;
            }
            refused_router.get_or_insert(candidate);
        }
        Ok(Self { address, prefix, router, refused_router, server, seconds })
    }

    /// Whether an offer is worth a request. The acknowledgement is checked again, and further.
    pub(crate) fn check_offer(repr: &DhcpRepr<'_>) -> Result<(), Refusal> {
        let server = server(repr);
        // An offer may leave the mask out: RFC 2131, table 3, asks for it in neither.
        let prefix = match repr.subnet_mask {
            Some(mask) => prefix(server, repr.your_ip, Some(mask))?,
            None => 32,
        };
        check_address(server, repr.your_ip, prefix)?;
        match repr.lease_duration {
            Some(seconds) if seconds < SHORTEST_LEASE_SECONDS => {
                Err(Refusal::Time { server, address: repr.your_ip, seconds })
            }
            _ => Ok(()),
        }
    }

    /// The address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The length of the network's prefix, 8 to 32.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The default router: another host of the same network.
    pub fn router(&self) -> Option<Ipv4Addr> {
        self.router
    }

    /// A router that was given and cannot be reached from the address.
    pub fn refused_router(&self) -> Option<Ipv4Addr> {
        self.refused_router
    }

    /// The server that gave it, as it calls itself.
    pub fn server(&self) -> Ipv4Addr {
        self.server
    }

    /// For how long it is given, in seconds, at least [`SHORTEST_LEASE_SECONDS`]; `u32::MAX` is for ever
    /// (RFC 2131, section 3.3).
    pub fn seconds(&self) -> u32 {
        self.seconds
    }

    /// Whether it differs from another in more than its time.
    pub fn differs_from(&self, other: &Self) -> bool {
        *self != Self { seconds: self.seconds, ..*other }
    }
}

impl std::fmt::Display for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} by DHCP from {}", self.address, self.prefix, self.server)?;
        match self.seconds {
            u32::MAX => f.write_str(" for ever")?,
            seconds => write!(f, " for {seconds} s")?,
        }
        match self.router {
            Some(router) => write!(f, ", router {router}"),
            None => f.write_str(", no router"),
        }
    }
}

fn server(repr: &DhcpRepr<'_>) -> Ipv4Addr {
    repr.server_identifier.unwrap_or(repr.server_ip)
}

fn prefix(server: Ipv4Addr, address: Ipv4Addr, mask: Option<Ipv4Addr>) -> Result<u8, Refusal> {
    let bits = mask.map_or(0, u32::from);
    let ones = bits.leading_ones();
    u8::try_from(ones)
        .ok()
        .filter(|prefix| *prefix >= WIDEST_PREFIX && bits.count_ones() == ones)
        .ok_or(Refusal::Mask { server, address, mask: Ipv4Addr::from(bits) })
}

fn check_address(server: Ipv4Addr, address: Ipv4Addr, prefix: u8) -> Result<(), Refusal> {
    if is_host(address, prefix) { Ok(()) } else { Err(Refusal::Address { server, address }) }
}

fn in_network(candidate: Ipv4Addr, address: Ipv4Addr, prefix: u8) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    u32::from(candidate) & mask == u32::from(address) & mask
}

/// Whether one host may have this address: no 0.0.0.0/8, loopback, link-local (RFC 3927, section 1.9: never by DHCP),
/// multicast, class E or broadcast, and neither the first nor the last of its network, unless that has two hosts at most
/// (RFC 3021).
fn is_host(address: Ipv4Addr, prefix: u8) -> bool {
    let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    let host = u32::from(address) & host_bits;
    let edge = prefix <= 30 && (host == 0 || host == host_bits);
    !(address.octets()[0] == 0
        || address.octets()[0] >= 224
        || address.is_loopback()
        || address.is_link_local()
        || edge)
}
