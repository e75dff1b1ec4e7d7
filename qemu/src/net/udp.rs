//! UDP sockets of a host, with bounds.

use super::NetError;
use super::host::Host;
use super::network::Signal;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// Datagrams held until somebody receives them; what comes beyond is lost.
const QUEUE: usize = 256;
const BUFFER: usize = 256 << 10;

/// A UDP socket. Dropped, it is closed.
#[derive(Debug)]
pub struct UdpSocket {
    host: Host,
    handle: SocketHandle,
    port: u16,
    signal: Arc<Signal>,
}

impl UdpSocket {
    pub(super) fn new(host: &Host, port: u16) -> Result<Self, NetError> {
        let bound = host.with(|stack| {
            let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; QUEUE], vec![0; BUFFER]);
            let port = if port == 0 { stack.ephemeral_port() } else { port };
            let mut socket = udp::Socket::new(buffer(), buffer());
            socket.bind(port).map(|()| (stack.sockets.add(socket), port))
        });
        let (handle, port) = bound.map_err(|error| host.refuse("open a UDP socket", &error))?;
        Ok(Self { host: host.clone(), handle, port, signal: Arc::default() })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a datagram.
    pub fn send_to(&self, data: &[u8], to: impl Into<SocketAddr>) -> Result<(), NetError> {
        let to = to.into();
        let sent =
            self.host.with(|stack| stack.sockets.get_mut::<udp::Socket>(self.handle).send_slice(data, to));
        sent.map_err(|error| self.host.refuse("send a datagram", &format!("{to}: {error}")))
    }

    /// Sends a datagram that claims to come from another address, with this socket's port.
    pub fn send_from(&self, data: &[u8], from: IpAddr, to: impl Into<SocketAddr>) -> Result<(), NetError> {
        let to = to.into();
        let meta = udp::UdpMetadata { local_address: Some(from.into()), ..udp::UdpMetadata::from(to) };
        let sent =
            self.host.with(|stack| stack.sockets.get_mut::<udp::Socket>(self.handle).send_slice(data, meta));
        sent.map_err(|error| self.host.refuse("send a datagram", &format!("{to}: {error}")))
    }

    /// Waits for a datagram.
    pub fn receive_from(&self, within: Duration) -> Result<(Vec<u8>, SocketAddr), NetError> {
        let waker = Waker::from(Arc::clone(&self.signal));
        let received = self.host.network.shared.wait(&self.signal, within, |core| {
            let socket = self.host.stack(core).sockets.get_mut::<udp::Socket>(self.handle);
            if let Ok((data, meta)) = socket.recv() {
                let from = SocketAddr::new(meta.endpoint.addr.into(), meta.endpoint.port);
                return Some((data.to_vec(), from));
            }
            socket.register_recv_waker(&waker);
            None
        });
        received.ok_or(NetError::NoDatagram(self.port, within))
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.host.with(|stack| stack.sockets.remove(self.handle));
    }
}
