//! The network role: ports, links, addresses and routes, each port by DHCP. It never opens a connection to anyone.
//!
//! ```text
//!   kernel ──rtnetlink──► netlink ──changes──► role ──steps──► client (one a port with carrier)
//!                            ▲                  │ ▲                │ AF_PACKET, smoltcp's DHCP client
//!                            └── address, route ┘ └──── news ──────┘
//!                                               └──► bus: the ports, to init and to whoever may ask
//! ```
//! Bytes from a cable become types in [`frame`] and [`lease`]; nothing beyond them sees a byte that was not judged there.

mod bus;
mod client;
pub mod frame;
pub mod lease;
mod netlink;
pub mod ports;
mod role;
mod system;

pub use bus::{Place, run, run_at};
pub use role::Kind;
