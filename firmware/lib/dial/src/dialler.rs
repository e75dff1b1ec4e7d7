//! Runs a route step by step. It decides nothing that the route does not say, and keeps nothing but TLS sessions.

use crate::connect::{Connector, NameFailure, Names};
use crate::error::{DialError, Failure};
use crate::host::{Host, HostPort};
use crate::proxy;
use crate::race::{in_turn, race};
use crate::route::{Protocol, Proxy, Route};
use crate::step::{Observer, Outcome, Stage, TlsReport, stage};
use crate::tls;
use crate::transport::{Link, Transport};
use crate::trust::{Trust, TrustError, printable};
use rustls::ClientConfig;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Servers whose sessions are kept for resumption.
const SESSIONS: usize = 32;

/// An open way to the target.
pub struct Tunnel {
    /// What is written here goes to the target, and nobody between can read it.
    pub stream: TlsStream<Box<dyn Transport>>,
    /// Our end of the TCP connection.
    pub local: SocketAddr,
    /// The end that was dialled: the target, the first hop, or the proxy.
    pub peer: SocketAddr,
    /// What the handshake has found.
    pub report: TlsReport,
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stream: _, local, peer, report } = self;
        formatter
            .debug_struct("Tunnel")
            .field("local", local)
            .field("peer", peer)
            .field("report", report)
            .finish()
    }
}

/// Dials. What it trusts is fixed, because a resumed session is not verified again.
pub struct Dialler {
    config: ClientConfig,
    names: Arc<dyn Names>,
    connector: Arc<dyn Connector>,
}

/// A TCP connection with its two ends.
struct Open {
    link: Link,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Dialler {
    /// A dialler that verifies targets by `trust`.
    pub fn new(
        trust: &Trust,
        names: Arc<dyn Names>,
        connector: Arc<dyn Connector>,
    ) -> Result<Self, TrustError> {
        Ok(Self { config: tls::config(trust, SESSIONS)?, names, connector })
    }

    /// Dials. Dropping what it gives gives up at once.
    pub async fn dial(&self, route: &Route, observer: &dyn Observer) -> Result<Tunnel, DialError> {
        let whole = route.time_outs.whole;
        tokio::time::timeout(whole, self.run(route, observer)).await.unwrap_or_else(|_| {
            Err(DialError { stage: Stage::Whole(route.target.clone()), failure: Failure::TimedOut(whole) })
        })
    }

    /// Shakes hands over a connection to the route's target that is open already, where TLS begins later than the connection
    /// (STARTTLS, RFC 3207). `ends` are its own address and the other one.
    pub async fn upgrade(
        &self,
        link: Box<dyn Transport>,
        ends: (SocketAddr, SocketAddr),
        route: &Route,
        observer: &dyn Observer,
    ) -> Result<Tunnel, DialError> {
        let mut config = self.config.clone();
        config.alpn_protocols.clone_from(&route.alpn);
        let open = Open { link, local: ends.0, peer: ends.1 };
        self.shake_hands(open, route, &Arc::new(config), observer).await
    }

    async fn run(&self, route: &Route, observer: &dyn Observer) -> Result<Tunnel, DialError> {
        let mut config = self.config.clone();
        config.alpn_protocols.clone_from(&route.alpn);
        let config = Arc::new(config);
        let dialled = route.dialled();
        let addresses = self.addresses(&dialled.host, route, observer).await?;
        let places: Vec<SocketAddr> =
            in_turn(&addresses).into_iter().map(|address| SocketAddr::new(address, dialled.port)).collect();
        let Some(proxy) = &route.proxy else {
            let config = &config;
            let attempt = |to| async move {
                let open = self.open(to, route, observer).await?;
                self.shake_hands(open, route, config, observer).await
            };
            return race(places, attempt).await.map_err(|failures| furthest(failures, route));
        };
        let open = race(places, |to| self.open(to, route, observer))
            .await
            .map_err(|failures| furthest(failures, route))?;
        let Open { link, local, peer } = open;
        let link = self.pass(link, proxy, route, observer).await?;
        self.shake_hands(Open { link, local, peer }, route, &config, observer).await
    }

    async fn addresses(
        &self,
        host: &Host,
        route: &Route,
        observer: &dyn Observer,
    ) -> Result<Vec<IpAddr>, DialError> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name.as_ref(),
        };
        let work = async {
            let found = self.names.addresses(name).await.map_err(|failure| match failure {
                NameFailure::Unknown(why) => Failure::NameUnknown(printable(&why)),
                NameFailure::Failed(why) => Failure::NameFailed(printable(&why)),
            })?;
            if found.is_empty() {
                return Err(Failure::NameUnknown(format!("{name} has no address")));
            }
            Ok((found.clone(), Outcome::Addresses(found)))
        };
        stage(observer, Stage::Names(host.clone()), route.time_outs.names, work).await
    }

    async fn open(&self, to: SocketAddr, route: &Route, observer: &dyn Observer) -> Result<Open, DialError> {
        let work = async {
            let stream = self.connector.connect(to).await.map_err(|error| unconnected(&error))?;
            let ends = |stream: &TcpStream| Ok((stream.local_addr()?, stream.peer_addr()?));
            let (local, peer) = ends(&stream).map_err(|error: io::Error| unconnected(&error))?;
            // What a person types must not wait for more of it; where that fails, it is slower and no less right.
            let _ = stream.set_nodelay(true);
            Ok((Open { link: Box::new(stream), local, peer }, Outcome::Connected { local, peer }))
        };
        stage(observer, Stage::Tcp(to), route.time_outs.tcp, work).await
    }

    /// From a connection to the proxy to one through it.
    async fn pass(
        &self,
        mut link: Link,
        proxy: &Proxy,
        route: &Route,
        observer: &dyn Observer,
    ) -> Result<Link, DialError> {
        let (to, time_outs) = (route.end(), &route.time_outs);
        if let Protocol::Http { tls: Some(tls), .. } = &proxy.protocol {
            let work = async {
                let config = Arc::new(tls::config(&tls.trust, 0)?);
                let (stream, report) = tls::shake_hands(config, tls.name.clone(), link).await?;
                Ok((Box::new(stream) as Link, tls::outcome(&report)))
            };
            link = stage(observer, Stage::ProxyTls(proxy.address.clone()), time_outs.tls, work).await?;
        }
        // SOCKS4 alone has to be told an address.
        let address = match &proxy.protocol {
            Protocol::Socks4 { .. } => self.ipv4(to, route, observer).await?,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let work = async {
            let link = match &proxy.protocol {
                Protocol::Http { authentication, .. } => proxy::connect(link, to, authentication).await?,
                Protocol::Socks4 { user } => proxy::socks4(link, address, to.port, user.as_ref()).await?,
                Protocol::Socks4a { user } => proxy::socks4a(link, to, user.as_ref()).await?,
                Protocol::Socks5 { credentials } => proxy::socks5(link, to, credentials.as_ref()).await?,
            };
            Ok((link, Outcome::Granted))
        };
        let at = Stage::Proxy { proxy: proxy.address.clone(), to: to.clone() };
        stage(observer, at, time_outs.proxy, work).await
    }

    async fn ipv4(
        &self,
        to: &HostPort,
        route: &Route,
        observer: &dyn Observer,
    ) -> Result<Ipv4Addr, DialError> {
        let found = self.addresses(&to.host, route, observer).await?;
        let first = found.into_iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        first.ok_or_else(|| DialError { stage: Stage::Names(to.host.clone()), failure: Failure::NoIpv4 })
    }

    async fn shake_hands(
        &self,
        open: Open,
        route: &Route,
        config: &Arc<ClientConfig>,
        observer: &dyn Observer,
    ) -> Result<Tunnel, DialError> {
        let Open { link, local, peer } = open;
        let at = Stage::Tls {
            name: route.tls_name.to_str().into_owned(),
            dialled: peer,
            through: route.proxy.is_some() || !route.hops.is_empty(),
        };
        let work = async {
            let (stream, report) = tls::shake_hands(Arc::clone(config), route.tls_name.clone(), link).await?;
            let outcome = tls::outcome(&report);
            Ok((Tunnel { stream, local, peer, report }, outcome))
        };
        stage(observer, at, route.time_outs.tls, work).await
    }
}

fn unconnected(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        // The kernel has given up sending.
        io::ErrorKind::TimedOut => Failure::Unanswered,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Failure::Unreachable,
        io::ErrorKind::PermissionDenied => Failure::Filtered,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Failure::Closed,
        kind => Failure::Kernel(kind.to_string()),
    }
}

/// Of several failures the one that came furthest: it says the most about what is wrong.
fn furthest(failures: Vec<DialError>, route: &Route) -> DialError {
    let far = |error: &DialError| match (&error.stage, &error.failure) {
        (Stage::Tls { .. }, Failure::Certificate(_)) => 5,
        (Stage::Tls { .. }, _) => 4,
        (_, Failure::Refused | Failure::Closed) => 3,
        (_, Failure::TimedOut(_) | Failure::Unanswered) => 2,
        (_, Failure::Filtered) => 1,
        _ => 0,
    };
    // The first of equals: its address was the best.
    failures.into_iter().rev().max_by_key(far).unwrap_or_else(|| DialError {
        stage: Stage::Whole(route.target.clone()),
        failure: Failure::Unreachable,
    })
}
