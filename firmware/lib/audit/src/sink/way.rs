//! The way to a syslog or mail server: name to address, TCP, and TLS where it is wanted; no byte is sent before the server is
//! verified, and what verifies it is `dial`.

use super::Failure;
use drawbridge_dial::{
    Connector, Dialler, Host, HostPort, NameFailure, Names, Route, Transport, Trust, TrustError, Wait,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long each address has for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long names have.
const NAMES: Duration = Duration::from_secs(10);
/// So many of a name's addresses are tried.
const ADDRESSES: usize = 4;
/// What was sent and is not acknowledged for so long ends the connection (RFC 5482).
pub(super) const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether what is sent can be read on the way.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS, verified by this.
    Tls(Trust),
    /// By anybody; somebody has chosen that.
    Plain,
}

/// Makes UDP sockets: from which port or address is its own business.
pub trait Datagrams: Send + Sync {
    /// A socket that is connected to there.
    fn socket(&self, to: SocketAddr) -> Wait<'_, io::Result<UdpSocket>>;
}

/// As the kernel's routes say.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainDatagrams;

impl Datagrams for PlainDatagrams {
    fn socket(&self, to: SocketAddr) -> Wait<'_, io::Result<UdpSocket>> {
        Box::pin(async move {
            let any: IpAddr = match to {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(to).await?;
            Ok(socket)
        })
    }
}

/// A server, and how it is reached.
#[derive(Clone)]
pub struct Way {
    server: HostPort,
    names: Arc<dyn Names>,
    connector: Arc<dyn Connector>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Way").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Way {
    /// To a server.
    pub fn new(server: HostPort, names: Arc<dyn Names>, connector: Arc<dyn Connector>) -> Self {
        Self { server, names, connector }
    }

    /// Where it leads.
    pub fn server(&self) -> &HostPort {
        &self.server
    }

    /// The addresses of the server, at least one and at most four.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let port = self.server.port;
        let name = match &self.server.host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, port)]),
            Host::Name(name) => name.as_ref(),
        };
        let remedy = "Correct the server's name, or give its address; see that the DNS servers answer.";
        let fail = |why: &str| Failure::new(&format!("the name {name} has no address: {why}"), remedy);
        let found = timeout(NAMES, self.names.addresses(name)).await;
        let found = found.map_err(|_| fail("no DNS server answers in time"))?;
        let found = found.map_err(|failure| match failure {
            NameFailure::Unknown(why) | NameFailure::Failed(why) => fail(&why),
        })?;
        if found.is_empty() {
            return Err(fail("there is none"));
        }
        Ok(found.into_iter().take(ADDRESSES).map(|address| SocketAddr::new(address, port)).collect())
    }

    /// A TCP connection to the first of these that takes one.
    pub(super) async fn tcp(&self, addresses: &[SocketAddr]) -> Result<tokio::net::TcpStream, Failure> {
        let mut last = "it has no address".to_owned();
        for address in addresses {
            match timeout(CONNECT, self.connector.connect(*address)).await {
                Ok(Ok(stream)) => {
                    watchful(&stream);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("nobody answers within {} s", CONNECT.as_secs()),
            }
        }
        Err(Failure::new(
            &format!("{} cannot be reached: {last}", self.server),
            "See that the server runs there, that address and port are right, and that no firewall is in the way.",
        ))
    }

    /// A connection, verified where it is to be.
    pub(super) async fn open(&self, security: &Security) -> Result<Box<dyn Transport>, Failure> {
        match security {
            Security::Plain => Ok(Box::new(self.tcp(&self.addresses().await?).await?)),
            Security::Tls(trust) => {
                let watchful = Arc::new(Watchful(Arc::clone(&self.connector)));
                let dialler = Dialler::new(trust, Arc::clone(&self.names), watchful)
                    .map_err(|error| trust_failure(&error))?;
                let tunnel = dialler.dial(&Route::direct(self.server.clone()), &()).await;
                let tunnel = tunnel.map_err(|error| Failure::new(&error.to_string(), error.remedy()))?;
                Ok(Box::new(tunnel.stream))
            }
        }
    }

    /// TLS over a connection that is open already.
    pub(super) async fn upgrade(
        &self,
        trust: &Trust,
        stream: tokio::net::TcpStream,
    ) -> Result<Box<dyn Transport>, Failure> {
        let dialler = Dialler::new(trust, Arc::clone(&self.names), Arc::clone(&self.connector))
            .map_err(|error| trust_failure(&error))?;
        let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
        let ends = ends.map_err(|error| {
            Failure::new(&format!("{}: the connection was cut: {error}", self.server), "Try again.")
        })?;
        let route = Route::direct(self.server.clone());
        let tunnel = dialler.upgrade(Box::new(stream), ends, &route, &()).await;
        let tunnel = tunnel.map_err(|error| Failure::new(&error.to_string(), error.remedy()))?;
        Ok(Box::new(tunnel.stream))
    }
}

/// What cannot be trusted.
fn trust_failure(error: &TrustError) -> Failure {
    Failure::new(
        &error.to_string(),
        "Choose the built-in roots, upload the server's root, or pin its certificate.",
    )
}

/// Makes each connection end soon when the other side is gone.
struct Watchful(Arc<dyn Connector>);

impl Connector for Watchful {
    fn connect(&self, to: SocketAddr) -> Wait<'_, io::Result<tokio::net::TcpStream>> {
        Box::pin(async move {
            let stream = self.0.connect(to).await?;
            watchful(&stream);
            Ok(stream)
        })
    }
}

fn watchful(stream: &tokio::net::TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // Without these it is noticed later that the other side is gone.
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
    let _ = socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(Duration::from_mins(1)));
    let _ = stream.set_nodelay(true);
}
