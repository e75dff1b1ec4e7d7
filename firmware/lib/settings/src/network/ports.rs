//! What a port is known by: its hardware address or its place on the PCI bus. It never looks for one.

use super::names::as_string;
use crate::fault::{Wrong, quoted};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a port with [`PortKey::Pci`] is written with in front.
const PCI: &str = "pci-";

/// The hardware address of a port: of one machine (not of a group), and not all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The six bytes.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl TryFrom<[u8; 6]> for MacAddress {
    type Error = Wrong;

    fn try_from(bytes: [u8; 6]) -> Result<Self, Wrong> {
        let address = Self(bytes);
        if bytes == [0; 6] || bytes[0] & 1 == 1 {
            return Err(Wrong::new(format!("{address} is no single port's address"), "as 52:54:00:12:34:56"));
        }
        Ok(address)
    }
}

impl FromStr for MacAddress {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let wrong = || {
            Wrong::new(
                format!("{} is no hardware address", quoted(text)),
                "six pairs of hexadecimal digits, as 52:54:00:12:34:56",
            )
        };
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut pairs = text.split(separator);
        for byte in &mut bytes {
            *byte = pairs
                .next()
                .and_then(|pair| hexadecimal(pair, 2))
                .and_then(|n| n.try_into().ok())
                .ok_or_else(wrong)?;
        }
        if pairs.next().is_some() {
            return Err(wrong());
        }
        Self::try_from(bytes)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            write!(to, "{}{byte:02x}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// A place on the PCI bus, `0000:00:02.0`: domain, bus, device (at most 1f), function (at most 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciPath {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl PciPath {
    /// Domain, bus, device and function.
    pub const fn parts(self) -> (u32, u8, u8, u8) {
        (self.domain, self.bus, self.device, self.function)
    }
}

impl FromStr for PciPath {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        fn parts(text: &str) -> Option<PciPath> {
            let (domain, rest) = text.split_once(':')?;
            let (bus, rest) = rest.split_once(':')?;
            let (device, function) = rest.split_once('.')?;
            // The kernel writes four digits, and more for the domains of some RAID controllers.
            let path = PciPath {
                domain: (4..=8).contains(&domain.len()).then(|| hexadecimal(domain, domain.len()))??,
                bus: hexadecimal(bus, 2)?.try_into().ok()?,
                device: hexadecimal(device, 2)?.try_into().ok()?,
                function: hexadecimal(function, 1)?.try_into().ok()?,
            };
            (path.device <= 0x1f && path.function <= 7).then_some(path)
        }
        parts(text).ok_or_else(|| {
            Wrong::new(
                format!("{} is no place on the PCI bus", quoted(text)),
                "domain, bus, device and function as 0000:00:02.0",
            )
        })
    }
}

impl fmt::Display for PciPath {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

/// What a port is known by in settings. As text `52:54:00:12:34:56` or `pci-0000:00:02.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PortKey {
    /// The card, wherever it is put.
    Mac(MacAddress),
    /// The place, whichever card is in it.
    Pci(PciPath),
}

impl FromStr for PortKey {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let key = match text.strip_prefix(PCI) {
            Some(path) => path.parse().map(Self::Pci),
            None => text.parse().map(Self::Mac),
        };
        key.map_err(|_: Wrong| {
            Wrong::new(
                format!("{} names no port", quoted(text)),
                "its hardware address as 52:54:00:12:34:56 or its place as pci-0000:00:02.0",
            )
        })
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(address) => address.fmt(to),
            Self::Pci(path) => write!(to, "{PCI}{path}"),
        }
    }
}

as_string!(MacAddress, PciPath, PortKey);

/// A number of exactly so many hexadecimal digits (at most 8).
fn hexadecimal(text: &str, digits: usize) -> Option<u32> {
    if text.len() != digits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}
