//! The network role: ports, links, addresses, routes, names and time. It never answers a stranger, and decides nothing but the
//! network.
//!
//! ```text
//!   settings, board ──► plan ──► arrange ──► links (bonds, VLANs, sizes)
//!                                              │
//!   kernel ──netlink──► role, the loop ──► client, one an interface with carrier: DHCP, conflicts, link-local
//!                          │    ▲                 │ leases
//!                          │    └─────────────────┘
//!                          ├──► filter      what may come in by which port
//!                          ├──► wanted ──► netlink: addresses, routes, rules
//!                          └──► outlook ──► resolver, time, mdns, bus: who asks, what is announced and shown
//! ```
//! Bytes from a cable become types in [`frame`], [`arp`], [`options`] and [`lease`], [`rdnss`], [`time`] and [`mdns`]; nothing
//! beyond them sees a byte that was not judged there.

pub mod addressing;
pub mod arp;
pub mod arrange;
mod bus;
mod cards;
pub mod client;
pub mod confirm;
mod conflict;
mod dhcp;
pub mod dhcp_server;
pub mod frame;
mod interface;
mod keep;
pub mod lease;
pub mod linklocal;
pub mod mdns;
mod netlink;
pub mod options;
mod orders;
mod outlook;
pub mod plan;
pub mod ports;
mod random;
pub mod rdnss;
mod role;
mod sysctl;
mod system;
pub mod time;
pub mod wanted;
mod wire;

pub use bus::{Place, run, run_at};
pub use role::Which;
