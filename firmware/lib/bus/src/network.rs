//! What can be said of the network. Types only, as in `message`.

use drawbridge_settings::network::PortRole;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The most ports that are handled; further ones are named in the log and left alone.
pub const PORTS_MOST: usize = 64;

/// An Ethernet port, bond or VLAN as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The kernel's name, `eth0`. It follows probe order: never a key for settings.
    pub name: String,
    /// The name that settings or board give it; the kernel's where neither does.
    pub interface: String,
    /// What it is for.
    pub roles: Vec<PortRole>,
    /// The hardware address.
    pub mac: [u8; 6],
    /// Where it sits on the PCI bus, `0000:00:02.0`; empty where it sits on none.
    pub pci: String,
    /// The driver, `e1000e`; empty when the kernel does not say.
    pub driver: String,
    /// Whether a cable with a live other end is in.
    pub carrier: bool,
    /// Megabits a second; none without carrier, or where the card does not say.
    pub megabits: Option<u32>,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// Addresses with prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// What is to be known of it, each a sentence: where its address comes from, and what is wrong.
    pub remarks: Vec<String>,
}

/// The number of a change that is to be confirmed. It is not to be guessed: whoever has not asked for the change cannot
/// confirm it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeId(pub u64);

/// A change that was applied, and is taken back by itself unless it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChange {
    /// Its number.
    pub id: ChangeId,
    /// Seconds until it is taken back.
    pub seconds: u16,
}

/// The network as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// The name of the host, as it is announced.
    pub host_name: String,
    /// The ports.
    pub ports: Vec<Port>,
    /// The change that waits for its confirmation.
    pub pending: Option<PendingChange>,
    /// Name servers with the interface that they were learned on or set for, the first first.
    pub name_servers: Vec<(IpAddr, String)>,
    /// Time servers that are asked, by name or address.
    pub time_servers: Vec<String>,
    /// What is to be known of the whole, each a sentence.
    pub remarks: Vec<String>,
}
