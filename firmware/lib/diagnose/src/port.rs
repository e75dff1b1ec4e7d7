//! Sockets on a chosen port. It never picks a port itself.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// Where a probe leaves: a port's kernel name, or where the routes say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct On(pub(crate) Option<String>);

impl On {
    /// A socket that is bound to the port and does not block.
    pub(crate) fn socket(&self, to: IpAddr, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
        let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, kind.nonblocking(), protocol)?;
        if let Some(port) = &self.0 {
            // Allowed without any capability since Linux 5.7, for a socket that is bound to no device yet.
            socket.bind_device(Some(port.as_bytes()))?;
        }
        Ok(socket)
    }

    /// The address with the port's index where it needs one (link-local, RFC 4007).
    pub(crate) fn to(&self, address: IpAddr, port: u16) -> SocketAddr {
        match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                let index =
                    self.0.as_deref().and_then(|port| nix::net::if_::if_nametoindex(port).ok()).unwrap_or(0);
                SocketAddrV6::new(v6, port, 0, index).into()
            }
            address => SocketAddr::new(address, port),
        }
    }
}
