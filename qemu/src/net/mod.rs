//! Virtual networks on the other end of the machines' network cards. No frame ever leaves the process for a real network.
//!
//! ```text
//!   QEMU ── Unix socket ── NicPort ── cable ──┐
//!   QEMU ── Unix socket ── NicPort ── cable ──┤ switch (a thread a network)
//!   Host (smoltcp: TCP, UDP, ping, DHCP) ── cable ──┤
//!   Namespace (real servers, the kernel's stack) ── veth ── packet socket ── cable ──┤
//!   Tap (raw frames: Attacker) ── cable ──┘
//! ```
//!
//! A network is a thread that sleeps until a frame, a timer or a caller wants something. Callers share its state under one
//! lock, and wait on conditions with a bound.

pub mod attacker;
pub mod cable;
pub mod dhcp;
pub mod dns;
mod end;
pub mod forward;
mod host;
pub mod namespace;
mod network;
pub mod ntp;
mod observe;
mod packet;
pub mod pcap;
mod probes;
mod random;
pub mod record;
pub mod router;
mod stack;
pub mod switch;
mod tap;
mod tcp;
mod thief;
mod udp;
mod vlan;
pub mod wire;
mod worker;

pub use attacker::{Attacker, PortAnswer, Scan};
pub use cable::{CableCounters, Direction, Faults};
pub use dhcp::{DhcpBehaviour, DhcpConfig, DhcpCounters, DhcpServer, HostileDhcp};
pub use dns::{DnsBehaviour, DnsRecords, DnsServer};
pub use forward::Forward;
pub use host::{Host, HostConfig};
pub use namespace::{Namespace, NamespaceConfig, Program};
pub use network::{CableHandle, Network, NicPort};
pub use nix::sys::signal::Signal;
pub use ntp::{NtpBehaviour, NtpServer};
pub(crate) use random::Random;
pub use record::{Recorded, Recording};
pub use router::RouterAdvertisement;
pub use smoltcp::wire::EthernetAddress;
pub use tap::Tap;
pub use tcp::{TcpListener, TcpStream};
pub use thief::Thief;
pub use udp::UdpSocket;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What can go wrong in a virtual network.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The network's thread or sockets.
    #[error("cannot {0} of the network {1}: {2}")]
    System(&'static str, String, std::io::Error),
    /// No machine came.
    #[error("no machine was plugged into the port {port} of the network {network} within {within:.1?}")]
    NotConnected {
        /// The network.
        network: String,
        /// The port.
        port: String,
        /// The bound.
        within: Duration,
    },
    /// The other end refuses.
    #[error("{0} refused the connection")]
    Refused(SocketAddr),
    /// The other end is silent.
    #[error("{0} did not answer within {1:.1?}")]
    Silent(SocketAddr, Duration),
    /// Nobody connected.
    #[error("nobody connected to port {0} within {1:.1?}")]
    NoCaller(u16, Duration),
    /// No echo.
    #[error("{0} did not answer a ping within {1:.1?}")]
    NoEcho(IpAddr, Duration),
    /// No datagram.
    #[error("no datagram came to port {0} within {1:.1?}")]
    NoDatagram(u16, Duration),
    /// This host cannot do that.
    #[error("the host {host} cannot {action}: {why}")]
    Host {
        /// Which.
        host: String,
        /// What was attempted.
        action: &'static str,
        /// Why not.
        why: String,
    },
    /// A client has no lease.
    #[error("{client} got no lease within {within:.1?}; the server saw {seen}")]
    NoLease {
        /// The client's hardware address.
        client: EthernetAddress,
        /// The bound.
        within: Duration,
        /// What the server counted.
        seen: String,
    },
    /// The target cannot be found.
    #[error("{0} did not answer who has it within {1:.1?}")]
    NoNeighbour(IpAddr, Duration),
    /// A port of this machine cannot be had.
    #[error(
        "cannot listen on 127.0.0.1:{0}: {1}. If another program has it, end that or choose another port"
    )]
    Port(u16, std::io::Error),
}
