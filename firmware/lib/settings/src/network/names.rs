//! Names: of hosts, domains and interfaces. It never looks one up.

use crate::fault::{Wrong, quoted};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The longest label of a name, in bytes (RFC 1035, section 2.3.4).
const LABEL_MOST: usize = 63;
/// The longest name without its last dot (RFC 1035, section 2.3.4: 255 bytes on the wire).
const DOMAIN_MOST: usize = 253;
/// The longest name that the kernel takes (IFNAMSIZ less the closing zero).
const INTERFACE_MOST: usize = 15;

/// Gives a type its way through a string: for files, the bus and people the same one.
macro_rules! as_string {
    ($($type:ty),+) => {$(
        impl TryFrom<String> for $type {
            type Error = Wrong;

            fn try_from(text: String) -> Result<Self, Wrong> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )+};
}
pub(super) use as_string;

/// A machine's own name: one label of letters, digits and hyphens (RFC 1123, section 2.1), in small letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        if is_label(text) && !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(Wrong::new(
            format!("{} is no host name", quoted(text)),
            "up to 63 letters, digits and inner hyphens, with a letter among them and without a dot, as support-1",
        ))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// A domain or the full name of a host: labels with dots between them, in small letters and without a last dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

impl DomainName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let name = text.strip_suffix('.').unwrap_or(text);
        // A last label of digits only would be read as an address by somebody (RFC 1123, section 2.1).
        let last_is_number =
            name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if name.len() <= DOMAIN_MOST && !last_is_number && name.split('.').all(is_label) {
            return Ok(Self(name.to_ascii_lowercase()));
        }
        Err(Wrong::new(
            format!("{} is no domain name", quoted(text)),
            "labels of letters, digits and inner hyphens with dots between them, as example.com",
        ))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// A host by name or by address. An address is always allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// By name.
    Name(DomainName),
    /// By address.
    Address(IpAddr),
}

impl FromStr for Host {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        text.parse().map(Self::Name).map_err(|_: Wrong| {
            Wrong::new(
                format!("{} is neither a host's name nor an address", quoted(text)),
                "a name as ntp.example.com or an address as 192.0.2.10 or 2001:db8::10",
            )
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(to),
            Self::Address(address) => address.fmt(to),
        }
    }
}

/// A person's name for an interface: `management`, `bond0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name of last resort, for a port whose own cannot be made.
    pub(crate) fn plain() -> Self {
        Self("port".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        // The kernel has its own meaning for these.
        if matches!(text, "lo" | "all" | "default") {
            return Err(Wrong::new(
                format!("the name {} means something else to the system", quoted(text)),
                "any other name, as management",
            ));
        }
        let bytes = text.as_bytes();
        if (1..=INTERFACE_MOST).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
        {
            return Ok(Self(text.to_owned()));
        }
        Err(Wrong::new(
            format!("{} is no name of an interface", quoted(text)),
            "1 to 15 small letters, digits and hyphens with a letter first, as management or bond0",
        ))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

as_string!(HostName, DomainName, Host, InterfaceName);

/// A label by RFC 1123, section 2.1.
fn is_label(text: &str) -> bool {
    (1..=LABEL_MOST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
