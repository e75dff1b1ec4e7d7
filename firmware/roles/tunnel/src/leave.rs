//! TCP connections that leave by the interface that the path names, and that notice a dead other end. It never chooses whom to
//! connect to.

use crate::bus::Asker;
use crate::trouble::Trouble;
use drawbridge_dial::{Connector, Wait};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// A connection on which nothing moves is asked after so long, and then so often, and is dead after three of them.
const ASKED_AFTER: Duration = Duration::from_secs(15);
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// Bytes that are not acknowledged for so long mean that the other end is gone. An engineer who has stopped his reader is not
/// told from a dead one by the kernel: so it is minutes. A dead control connection is known by its silence, and sooner.
const DEAD_AFTER: Duration = Duration::from_mins(5);

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Leaving {
    asker: Asker,
    /// As the settings name it.
    interface: Option<String>,
    /// As the kernel names it.
    device: Mutex<Option<String>>,
}

impl Leaving {
    pub(crate) fn new(asker: Asker, interface: Option<String>) -> Self {
        Self { asker, interface, device: Mutex::new(None) }
    }

    /// Finds out which device the interface is now: to be called before each dial, because ports come, go and change names.
    pub(crate) async fn look(&self) -> Result<(), Trouble> {
        let Some(interface) = &self.interface else { return Ok(()) };
        let ports = self.asker.ports().await.map_err(|error| Trouble::Bus(error.to_string()))?;
        let port = ports.into_iter().find(|port| port.interface == *interface);
        let port = port.ok_or_else(|| Trouble::NoInterface(interface.clone()))?;
        *self.device.lock().unwrap_or_else(PoisonError::into_inner) = Some(port.name);
        Ok(())
    }

    fn socket(&self, to: SocketAddr) -> io::Result<TcpSocket> {
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(to), kind, Some(Protocol::TCP))?;
        if let Some(device) = &*self.device.lock().unwrap_or_else(PoisonError::into_inner) {
            socket.bind_device(Some(device.as_bytes()))?;
        } else if self.interface.is_some() {
            // Nobody has looked: better no connection than one by another port.
            return Err(io::ErrorKind::NetworkDown.into());
        }
        watch(&SockRef::from(&socket))?;
        Ok(TcpSocket::from_std_stream(socket.into()))
    }
}

/// Has the kernel notice that the other end is gone.
fn watch(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(ASKED_AFTER).with_interval(ASKED_EVERY).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))
}

impl Connector for Leaving {
    fn connect(&self, to: SocketAddr) -> Wait<'_, io::Result<TcpStream>> {
        Box::pin(async move { self.socket(to)?.connect(to).await })
    }
}
