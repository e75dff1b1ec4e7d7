//! Blocking TCP connections of a host, with bounds. They never reach the machine's own network.

use super::NetError;
use super::host::Host;
use super::network::{Core, Signal};
use super::stack::Stack;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, RecvError, State};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Reads and writes of a connection on which nothing else was said.
const USUAL_TIMEOUT: Duration = Duration::from_mins(1);

/// A connection. Clones are the same one; with the last of them it is closed.
///
/// Reading ends (0 bytes) when the peer has said that it will send no more; a reset is [`ErrorKind::ConnectionReset`]. A bound
/// that passes is [`ErrorKind::TimedOut`], and leaves the connection as it was.
#[derive(Debug, Clone)]
pub struct TcpStream(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    host: Host,
    handle: SocketHandle,
    /// One for each direction: smoltcp keeps one waker for each.
    readable: Arc<Signal>,
    writable: Arc<Signal>,
    timeout_ms: AtomicU64,
    local: SocketAddr,
    peer: SocketAddr,
}

impl TcpStream {
    pub(super) fn connect(host: &Host, to: SocketAddr, within: Duration) -> Result<Self, NetError> {
        let handle = host.with(|stack| {
            let mut socket = Stack::new_tcp_socket();
            let from = stack.ephemeral_port();
            socket.connect(stack.interface.context(), to, from).map(|()| stack.sockets.add(socket))
        });
        let handle = handle.map_err(|error| host.refuse("connect", &format!("{to}: {error}")))?;
        let stream = Self::from_socket(host, handle, SocketAddr::from(([0; 4], 0)), to);
        let waker = Waker::from(Arc::clone(&stream.0.writable));
        let outcome = host.network.shared.wait(&stream.0.writable, within, |core| {
            let socket = host.stack(core).sockets.get_mut::<tcp::Socket>(handle);
            match socket.state() {
                State::SynSent | State::SynReceived => {
                    socket.register_send_waker(&waker);
                    None
                }
                State::Closed => Some(None),
                _ => Some(socket.local_endpoint()),
            }
        });
        match outcome {
            Some(Some(local)) => {
                let local = SocketAddr::new(local.addr.into(), local.port);
                Ok(stream.with_local(local))
            }
            Some(None) => Err(NetError::Refused(to)),
            None => Err(NetError::Silent(to, within)),
        }
    }

    fn from_socket(host: &Host, handle: SocketHandle, local: SocketAddr, peer: SocketAddr) -> Self {
        let timeout_ms = AtomicU64::new(millis(USUAL_TIMEOUT));
        let (readable, writable) = (Arc::default(), Arc::default());
        Self(Arc::new(Connection { host: host.clone(), handle, readable, writable, timeout_ms, local, peer }))
    }

    fn with_local(mut self, local: SocketAddr) -> Self {
        if let Some(connection) = Arc::get_mut(&mut self.0) {
            connection.local = local;
        }
        self
    }

    /// Bounds each read and write from now on.
    pub fn set_timeout(&self, within: Duration) {
        self.0.timeout_ms.store(millis(within), Ordering::Relaxed);
    }

    /// This end.
    pub fn local_address(&self) -> SocketAddr {
        self.0.local
    }

    /// The other end.
    pub fn peer_address(&self) -> SocketAddr {
        self.0.peer
    }

    /// Says that nothing more will be sent. What was written still goes out.
    pub fn shutdown_write(&self) {
        self.0.with(tcp::Socket::close);
    }

    /// Ends the connection by a reset.
    pub fn abort(&self) {
        self.0.with(tcp::Socket::abort);
    }

    /// Waits until the peer has confirmed everything that was written.
    pub fn wait_confirmed(&self, within: Duration) -> io::Result<()> {
        let waker = Waker::from(Arc::clone(&self.0.writable));
        let connection = &*self.0;
        let done = connection.host.network.shared.wait(&connection.writable, within, |core| {
            let socket = connection.socket(core);
            if socket.send_queue() == 0 {
                return Some(Ok(()));
            }
            if !socket.is_active() {
                return Some(Err(ErrorKind::ConnectionReset.into()));
            }
            socket.register_send_waker(&waker);
            None
        });
        done.unwrap_or_else(|| Err(ErrorKind::TimedOut.into()))
    }
}

impl Connection {
    fn socket<'core>(&self, core: &'core mut Core) -> &'core mut tcp::Socket<'static> {
        self.host.stack(core).sockets.get_mut(self.handle)
    }

    fn with(&self, act: impl FnOnce(&mut tcp::Socket<'static>)) {
        self.host.with(|stack| act(stack.sockets.get_mut(self.handle)));
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.load(Ordering::Relaxed))
    }

    /// Tries until it succeeds, fails, or the bound passes; a success has the stack polled.
    fn attempt(
        &self,
        signal: &Signal,
        mut act: impl FnMut(&mut tcp::Socket<'static>) -> Option<io::Result<usize>>,
    ) -> io::Result<usize> {
        let done = self.host.network.shared.wait(signal, self.timeout(), |core| {
            let done = act(self.socket(core));
            if done.is_some() {
                self.host.stack(core).touch();
            }
            done
        });
        if done.is_some() {
            self.host.network.shared.wake();
        }
        done.unwrap_or_else(|| Err(ErrorKind::TimedOut.into()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.host.with(|stack| stack.close_later(self.handle));
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let waker = Waker::from(Arc::clone(&self.0.readable));
        self.0.attempt(&self.0.readable, |socket| match socket.recv_slice(buffer) {
            Ok(0) => {
                socket.register_recv_waker(&waker);
                None
            }
            Ok(count) => Some(Ok(count)),
            Err(RecvError::Finished) => Some(Ok(0)),
            Err(RecvError::InvalidState) => Some(Err(ErrorKind::ConnectionReset.into())),
        })
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let waker = Waker::from(Arc::clone(&self.0.writable));
        self.0.attempt(&self.0.writable, |socket| match socket.send_slice(buffer) {
            Ok(0) => {
                socket.register_send_waker(&waker);
                None
            }
            Ok(count) => Some(Ok(count)),
            Err(_) => Some(Err(ErrorKind::BrokenPipe.into())),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Connections that nobody has accepted yet. smoltcp has a socket for each; what comes beyond them is refused.
const BACKLOG: usize = 32;

/// A port that accepts connections.
#[derive(Debug)]
pub struct TcpListener {
    host: Host,
    port: u16,
    sockets: Mutex<Vec<SocketHandle>>,
    signal: Arc<Signal>,
}

impl TcpListener {
    pub(super) fn new(host: &Host, port: u16) -> Result<Self, NetError> {
        let mut sockets = Vec::new();
        for _ in 0..BACKLOG {
            let added = host.with(|stack| add_listening(stack, port));
            sockets.push(added.map_err(|why| host.refuse("listen", &why))?);
        }
        Ok(Self { host: host.clone(), port, sockets: Mutex::new(sockets), signal: Arc::default() })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for a connection.
    pub fn accept(&self, within: Duration) -> Result<TcpStream, NetError> {
        let deadline = crate::time::deadline(within);
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let waker = Waker::from(Arc::clone(&self.signal));
        let left = deadline.saturating_duration_since(Instant::now());
        let accepted = self.host.network.shared.wait(&self.signal, left, |core| {
            let stack = self.host.stack(core);
            let mut accepted = None;
            for handle in sockets.iter_mut() {
                let socket = stack.sockets.get_mut::<tcp::Socket>(*handle);
                match socket.state() {
                    State::Listen | State::SynReceived => socket.register_send_waker(&waker),
                    // It came and went before anyone accepted it.
                    State::Closed | State::TimeWait => {
                        let _ = socket.listen(self.port);
                        socket.register_send_waker(&waker);
                    }
                    _ => {
                        let ends = socket.local_endpoint().zip(socket.remote_endpoint());
                        let fresh = add_listening(stack, self.port).ok()?;
                        accepted = ends.map(|ends| (std::mem::replace(handle, fresh), ends));
                        break;
                    }
                }
            }
            accepted
        });
        drop(sockets);
        let (handle, (local, peer)) = accepted.ok_or(NetError::NoCaller(self.port, within))?;
        let address = |end: smoltcp::wire::IpEndpoint| SocketAddr::new(IpAddr::from(end.addr), end.port);
        Ok(TcpStream::from_socket(&self.host, handle, address(local), address(peer)))
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let sockets = std::mem::take(&mut *self.sockets.lock().unwrap_or_else(PoisonError::into_inner));
        self.host.with(|stack| sockets.into_iter().for_each(|handle| stack.close_later(handle)));
    }
}

fn add_listening(stack: &mut Stack, port: u16) -> Result<SocketHandle, tcp::ListenError> {
    let mut socket = Stack::new_tcp_socket();
    socket.listen(port)?;
    Ok(stack.sockets.add(socket))
}
