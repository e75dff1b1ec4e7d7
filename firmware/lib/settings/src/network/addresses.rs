//! Addresses with the length of their network's prefix. It never says whose they are.

use super::names::as_string;
use crate::fault::{Wrong, quoted};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

macro_rules! net {
    ($name:ident, $address:ty, $bits:ty, $most:literal, $doc:literal, $right:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            address: $address,
            prefix: u8,
        }

        impl $name {
            /// An address, and how many of its first bits name the network.
            pub fn new(address: $address, prefix: u8) -> Result<Self, Wrong> {
                if prefix > $most {
                    return Err(Wrong::new(format!("/{prefix} is longer than an address"), $right));
                }
                Ok(Self { address, prefix })
            }

            /// The address.
            pub const fn address(self) -> $address {
                self.address
            }

            /// How many of its first bits name the network.
            pub const fn prefix(self) -> u8 {
                self.prefix
            }

            /// The first address of the network.
            pub const fn network(self) -> $address {
                <$address>::from_bits(self.address.to_bits() & self.mask())
            }

            /// The last address of the network.
            pub const fn last(self) -> $address {
                <$address>::from_bits(self.address.to_bits() | !self.mask())
            }

            /// Whether an address is in the network.
            pub const fn contains(self, address: $address) -> bool {
                (address.to_bits() ^ self.address.to_bits()) & self.mask() == 0
            }

            /// Whether it names a network: no bit is set beyond the prefix.
            pub const fn is_network(self) -> bool {
                self.address.to_bits() & !self.mask() == 0
            }

            const fn mask(self) -> $bits {
                // A shift by the whole width is no shift.
                if self.prefix == 0 { 0 } else { <$bits>::MAX << ($most - self.prefix) }
            }
        }

        impl FromStr for $name {
            type Err = Wrong;

            fn from_str(text: &str) -> Result<Self, Wrong> {
                let wrong = || Wrong::new(format!("{} is no address with a prefix", quoted(text)), $right);
                let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
                let plain =
                    (1..=3).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit());
                let prefix = plain.then(|| prefix.parse().ok()).flatten().ok_or_else(wrong)?;
                Self::new(address.parse().map_err(|_| wrong())?, prefix)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(to, "{}/{}", self.address, self.prefix)
            }
        }
    };
}

net!(
    Ipv4Net,
    Ipv4Addr,
    u32,
    32,
    "An IPv4 address and the length of its network's prefix (at most 32): `192.0.2.10/24`.",
    "an IPv4 address and a prefix of at most 32 bits, as 192.0.2.10/24"
);
net!(
    Ipv6Net,
    Ipv6Addr,
    u128,
    128,
    "An IPv6 address and the length of its network's prefix (at most 128): `2001:db8::10/64`.",
    "an IPv6 address and a prefix of at most 128 bits, as 2001:db8::10/64"
);

/// A network of either family: `192.0.2.0/24` or `2001:db8::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum IpNet {
    /// Of IPv4.
    V4(Ipv4Net),
    /// Of IPv6.
    V6(Ipv6Net),
}

impl IpNet {
    /// The address.
    pub const fn address(self) -> IpAddr {
        match self {
            Self::V4(net) => IpAddr::V4(net.address()),
            Self::V6(net) => IpAddr::V6(net.address()),
        }
    }

    /// How many of its first bits name the network.
    pub const fn prefix(self) -> u8 {
        match self {
            Self::V4(net) => net.prefix(),
            Self::V6(net) => net.prefix(),
        }
    }

    /// The same network without bits beyond the prefix.
    #[must_use]
    pub const fn network(self) -> Self {
        match self {
            Self::V4(net) => Self::V4(Ipv4Net { address: net.network(), prefix: net.prefix }),
            Self::V6(net) => Self::V6(Ipv6Net { address: net.network(), prefix: net.prefix }),
        }
    }

    /// Whether it names a network: no bit is set beyond the prefix.
    pub const fn is_network(self) -> bool {
        match self {
            Self::V4(net) => net.is_network(),
            Self::V6(net) => net.is_network(),
        }
    }

    /// Whether an address is in the network; one of the other family never is.
    pub const fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(net), IpAddr::V4(address)) => net.contains(address),
            (Self::V6(net), IpAddr::V6(address)) => net.contains(address),
            _ => false,
        }
    }
}

impl FromStr for IpNet {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        text.parse().map(Self::V4).or_else(|_: Wrong| text.parse().map(Self::V6)).map_err(|_: Wrong| {
            Wrong::new(
                format!("{} is no network", quoted(text)),
                "an address and the length of its prefix, as 192.0.2.0/24 or 2001:db8::/64",
            )
        })
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(net) => net.fmt(to),
            Self::V6(net) => net.fmt(to),
        }
    }
}

as_string!(Ipv4Net, Ipv6Net, IpNet);
