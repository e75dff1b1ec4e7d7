//! The way to the server: the path of the orders, as the dialler knows it. It never changes, and holds the path's credentials as
//! long as it lives.

use crate::bus::{Asker, ByNetwork};
use crate::leave::Leaving;
use crate::trouble::Trouble;
use drawbridge_bus::bridge::{BridgePath, ProxyPath, ProxyProtocol, SecretText, Verification};
use drawbridge_bus::support::Target;
use drawbridge_dial::{
    Authentication, CertificateDer, Credentials, CredentialsError, Dialler, Host, HostError, HostPort,
    Observer, Pin, Protocol, Proxy, ProxyTls, Route, Trust, TrustError, Tunnel,
};
use std::sync::Arc;

/// Why there is no such way. Session has checked the path before, so that none of these should be seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WayError {
    /// A host that cannot be dialled.
    #[error("{what} cannot be dialled: {error}")]
    Host {
        /// Which.
        what: &'static str,
        /// Why.
        error: HostError,
    },
    /// Credentials that cannot be used.
    #[error("the proxy's user and password cannot be used: {0}")]
    Credentials(#[from] CredentialsError),
    /// Nothing to verify the server by.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// What is dialled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// The control connection.
    Control,
    /// An engineer's own connection.
    Session,
    /// A connection for recordings.
    Recording,
    /// A connection on which recordings come back.
    Archive,
}

/// The way.
pub(crate) struct Way {
    dialler: Dialler,
    control: Route,
    session: Route,
    recording: Route,
    archive: Route,
    leaving: Arc<Leaving>,
    pinned: bool,
}

impl Way {
    /// The way of a path.
    pub(crate) fn new(path: &BridgePath, asker: &Asker) -> Result<Self, WayError> {
        let interface = path.interface.as_ref().map(|name| name.as_str().to_owned());
        let names = ByNetwork { asker: asker.clone(), interface: interface.clone() };
        let leaving = Arc::new(Leaving::new(asker.clone(), interface));
        let connector = Arc::clone(&leaving);
        let trust = trust(&path.verification);
        // One dialler for all, so that an engineer's connection resumes the control connection's TLS session.
        let dialler = Dialler::new(&trust, Arc::new(names), connector)?;
        let mut route = Route::direct(place("the server", &path.server)?);
        if let Some(name) = &path.tls_name {
            let error = |error| WayError::Host { what: "the name of the server's certificate", error };
            route.tls_name = Host::parse(&name.to_string()).map_err(error)?.server_name();
        }
        route.hops = hops("a hop", &path.hops)?;
        route.proxy = path.proxy.as_ref().map(proxy).transpose()?;
        let for_service = |service: &[u8]| Route { alpn: vec![service.to_owned()], ..route.clone() };
        Ok(Self {
            dialler,
            control: for_service(drawbridge_wire::CONTROL),
            session: for_service(drawbridge_wire::SESSION),
            recording: for_service(drawbridge_wire::RECORDING),
            archive: for_service(drawbridge_wire::ARCHIVE),
            leaving,
            pinned: trust.pin.is_some(),
        })
    }

    /// The one TCP port that is ever dialled, of whatever host.
    pub(crate) fn port(&self) -> u16 {
        self.control.dialled().port
    }

    /// The route of the control connection.
    pub(crate) const fn route(&self) -> &Route {
        &self.control
    }

    /// Whether the server's certificate or key is pinned.
    pub(crate) const fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Dials. Dropping what it gives gives up at once.
    pub(crate) async fn dial(&self, service: Service, observer: &dyn Observer) -> Result<Tunnel, Trouble> {
        self.leaving.look().await?;
        let (route, wanted) = match service {
            Service::Control => (&self.control, drawbridge_wire::CONTROL),
            Service::Session => (&self.session, drawbridge_wire::SESSION),
            Service::Recording => (&self.recording, drawbridge_wire::RECORDING),
            Service::Archive => (&self.archive, drawbridge_wire::ARCHIVE),
        };
        let tunnel = self.dialler.dial(route, observer).await?;
        if tunnel.report.alpn.as_deref() == Some(wanted) { Ok(tunnel) } else { Err(Trouble::NotOurs) }
    }
}

fn place(what: &'static str, target: &Target) -> Result<HostPort, WayError> {
    let host = Host::parse(&target.host.to_string()).map_err(|error| WayError::Host { what, error })?;
    if target.port == 0 {
        return Err(WayError::Host { what, error: HostError::Port });
    }
    Ok(HostPort { host, port: target.port })
}

fn hops(what: &'static str, targets: &[Target]) -> Result<Vec<HostPort>, WayError> {
    targets.iter().map(|target| place(what, target)).collect()
}

fn trust(verification: &Verification) -> Trust {
    Trust {
        built_in: verification.built_in,
        uploaded: verification.uploaded.iter().cloned().map(CertificateDer::from).collect(),
        pin: verification.key_pin.map(Pin::Key).or(verification.certificate_pin.map(Pin::Certificate)),
    }
}

fn proxy(path: &ProxyPath) -> Result<Proxy, WayError> {
    let address = place("the proxy", &path.address)?;
    let credentials = || {
        let password = path.password.as_ref().map_or("", SecretText::reveal);
        let user = path.user.as_ref().filter(|user| !user.is_empty());
        user.map(|user| Credentials::new(user.clone(), password.to_owned())).transpose()
    };
    let authentication =
        || credentials().map(|given| given.map_or(Authentication::None, Authentication::Basic));
    let protocol = match path.protocol {
        ProxyProtocol::Http => Protocol::Http { tls: None, authentication: authentication()? },
        ProxyProtocol::Https => {
            let tls = ProxyTls { name: address.host.server_name(), trust: trust(&path.verification) };
            Protocol::Http { tls: Some(Box::new(tls)), authentication: authentication()? }
        }
        ProxyProtocol::Socks4 => Protocol::Socks4 { user: credentials()? },
        ProxyProtocol::Socks4a => Protocol::Socks4a { user: credentials()? },
        ProxyProtocol::Socks5 => Protocol::Socks5 { credentials: credentials()? },
    };
    Ok(Proxy { address, hops: hops("a hop before the proxy", &path.hops)?, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use zeroize::Zeroizing;

    fn target(text: &str) -> Target {
        let (host, port) = text.rsplit_once(':').unwrap();
        Target { host: host.parse().unwrap(), port: port.parse().unwrap() }
    }

    fn path() -> BridgePath {
        BridgePath {
            server: target("rss.example.com:443"),
            tls_name: None,
            verification: Verification::default(),
            hops: Vec::new(),
            proxy: None,
            interface: None,
            enrolment: None,
        }
    }

    fn way(path: &BridgePath) -> Way {
        Way::new(path, &Asker::new(PathBuf::new())).unwrap()
    }

    #[test]
    fn the_port_that_is_dialled_is_that_of_the_nearest_place() {
        assert_eq!(way(&path()).port(), 443);
        let hops = vec![target("192.0.2.1:8001"), target("192.0.2.2:8002")];
        assert_eq!(way(&BridgePath { hops: hops.clone(), ..path() }).port(), 8001);
        let mut proxy = ProxyPath {
            protocol: ProxyProtocol::Socks5,
            address: target("proxy.example.com:1080"),
            hops: Vec::new(),
            user: None,
            password: None,
            verification: Verification::default(),
        };
        assert_eq!(
            way(&BridgePath { hops: hops.clone(), proxy: Some(proxy.clone()), ..path() }).port(),
            1080
        );
        proxy.hops = vec![target("192.0.2.3:8003")];
        assert_eq!(way(&BridgePath { hops, proxy: Some(proxy), ..path() }).port(), 8003);
    }

    #[test]
    fn the_path_of_the_orders_is_the_route_that_is_dialled() {
        let verification = Verification { key_pin: Some([7; 32]), ..Verification::default() };
        let proxy = ProxyPath {
            protocol: ProxyProtocol::Https,
            address: target("192.0.2.9:8443"),
            hops: Vec::new(),
            user: Some("anna".to_owned()),
            password: Some(SecretText::new(Zeroizing::new("hush-hush".to_owned()))),
            verification: verification.clone(),
        };
        let tls_name = Some("inner.example.com".parse().unwrap());
        let way = way(&BridgePath { tls_name, verification, proxy: Some(proxy), ..path() });
        assert_eq!(way.route().tls_name.to_str(), "inner.example.com");
        assert_eq!(way.route().target.to_string(), "rss.example.com:443");
        assert!(way.is_pinned());
        let Some(Proxy { protocol: Protocol::Http { tls: Some(tls), authentication }, .. }) =
            &way.route().proxy
        else {
            panic!("{:?}", way.route());
        };
        assert_eq!((tls.name.to_str().as_ref(), tls.trust.pin), ("192.0.2.9", Some(Pin::Key([7; 32]))));
        assert!(matches!(authentication, Authentication::Basic(_)));
        assert!(!format!("{:?}", way.route()).contains("hush"));
    }
}
