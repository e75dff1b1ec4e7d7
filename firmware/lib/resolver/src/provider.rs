//! The sockets that questions leave by: bound to a port, and connected, so that the kernel drops what comes from elsewhere.

use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime};
use socket2::{Domain, Protocol, Socket, Type};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{Interest, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// Makes sockets on one port.
#[derive(Clone)]
pub(crate) struct OnPort {
    handle: TokioHandle,
    port: Option<Arc<str>>,
    source: Option<IpAddr>,
    failed: Arc<AtomicI32>,
}

impl OnPort {
    pub(crate) fn new(port: Option<&str>, source: Option<IpAddr>) -> Self {
        Self { handle: TokioHandle::default(), port: port.map(Arc::from), source, failed: Arc::default() }
    }

    /// What the kernel last said against a socket (`errno`): hickory's pool drops it on the way.
    pub(crate) fn failure(&self) -> Option<i32> {
        Some(self.failed.load(Ordering::Relaxed)).filter(|error| *error != 0)
    }

    pub(crate) fn forget_failure(&self) {
        self.failed.store(0, Ordering::Relaxed);
    }

    fn socket(&self, kind: Type, protocol: Protocol, server: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(server), kind.nonblocking(), Some(protocol))?;
        if let Some(port) = &self.port {
            // Allowed without any capability since Linux 5.7, for a socket that is bound to no device yet.
            socket.bind_device(Some(port.as_bytes()))?;
        }
        Ok(socket)
    }

    /// The source if it is of the server's kind; the local port is the one asked for, which is random.
    fn local(&self, server: SocketAddr, local_port: u16) -> SocketAddr {
        let address = match (server, self.source) {
            (SocketAddr::V4(_), Some(source @ IpAddr::V4(_)))
            | (SocketAddr::V6(_), Some(source @ IpAddr::V6(_))) => source,
            (SocketAddr::V4(_), _) => Ipv4Addr::UNSPECIFIED.into(),
            (SocketAddr::V6(_), _) => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(address, local_port)
    }

    fn datagrams(&self, local_port: u16, server: SocketAddr) -> io::Result<Datagrams> {
        let socket = self.socket(Type::DGRAM, Protocol::UDP, server)?;
        socket.bind(&self.local(server, local_port).into())?;
        socket.connect(&server.into())?;
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let watched = Arc::clone(&socket);
        let error: Watch = Box::pin(async move { watched.ready(Interest::ERROR).await.map(drop) });
        Ok(Datagrams { socket, error: Mutex::new(error), server, failed: Arc::clone(&self.failed) })
    }

    fn stream(&self, server: SocketAddr) -> io::Result<TcpSocket> {
        let socket = self.socket(Type::STREAM, Protocol::TCP, server)?;
        let local = self.local(server, 0);
        // Where no address is wanted the kernel chooses one with the port. To bind all the same would be refused: a role
        // that serves no TCP port may bind to none (Landlock), not even to one of the kernel's choice.
        if !local.ip().is_unspecified() {
            socket.bind(&local.into())?;
        }
        socket.set_tcp_nodelay(true)?;
        Ok(TcpSocket::from_std_stream(socket.into()))
    }
}

impl RuntimeProvider for OnPort {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Datagrams;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.handle.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _local: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        let socket = self.stream(server);
        let failed = Arc::clone(&self.failed);
        Box::pin(async move {
            // Whoever asks has a time-out of his own, which is shorter.
            let connected = tokio::time::timeout(
                timeout.unwrap_or(Duration::from_secs(10)),
                note(&failed, socket)?.connect(server),
            );
            let connected = connected.await.map_err(|_| io::ErrorKind::TimedOut)?;
            Ok(AsyncIoTokioAsStd(note(&failed, connected)?))
        })
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        let socket = note(&self.failed, self.datagrams(local.port(), server));
        Box::pin(async move { socket })
    }
}

type Watch = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A datagram socket that speaks with one server. A server that is not there is an error at once (ICMP port unreachable).
pub(crate) struct Datagrams {
    socket: Arc<UdpSocket>,
    /// Ends when the socket has an error: that alone wakes nobody who waits for datagrams.
    error: Mutex<Watch>,
    server: SocketAddr,
    failed: Arc<AtomicI32>,
}

impl DnsUdpSocket for Datagrams {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            let mut buffer = ReadBuf::new(&mut *buffer);
            match self.socket.poll_recv(context, &mut buffer) {
                Poll::Ready(received) => note(&self.failed, received)?,
                Poll::Pending => return self.poll_error(context),
            }
            // A question is no answer, and a server that sends ours back is silent (RFC 1035, section 4.1.1, QR).
            if buffer.filled().get(2).is_some_and(|flags| flags & 0x80 != 0) {
                return Poll::Ready(Ok((buffer.filled().len(), self.server)));
            }
        }
    }

    fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        _server: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_send(context, bytes).map(|sent| note(&self.failed, sent))
    }
}

impl Datagrams {
    fn poll_error<T>(&self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        ready!(error.as_mut().poll(context))?;
        *error = Box::pin(std::future::pending());
        match self.socket.take_error()? {
            Some(error) => Poll::Ready(note(&self.failed, Err(error))),
            None => Poll::Pending,
        }
    }
}

/// Notes an error and hands the result on.
fn note<T>(failed: &AtomicI32, result: io::Result<T>) -> io::Result<T> {
    result.inspect_err(|error| failed.store(error.raw_os_error().unwrap_or(0), Ordering::Relaxed))
}
