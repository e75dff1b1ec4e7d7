//! Port 8000: every request is sent to the console on 9000. It never does anything else, and nothing that a client sent is
//! ever in its answer.
//!
//! **Where to** is decided by what the SA knows of itself. By default it is the address at which the connection came in,
//! as the kernel says it. A `Host` field may only choose: when it is one of the SA's own names or addresses (those of the
//! served certificate, its host name in `.local`, its ports' addresses), the SA's own spelling of that one is used, so
//! that a browser which came by a name meets the certificate by that name. Path and query are left behind: whoever comes
//! by plain HTTP begins at the front page.
//!
//! **308** (RFC 9110, section 15.4.9) for every method: with 301 and 302 a browser turns a write into a read, and its user
//! would see a page, as if the write had been done. Repeated over TLS, at `/`, it is refused in words. Permanent redirects
//! are kept by browsers, and an address may be another machine's tomorrow; hence `no-store`.

use crate::body::Body;
use crate::connection::{self, Answer, Bounds, Seat};
use crate::names::Known;
use crate::places::Room;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// A redirect is one short answer to one short question.
pub(crate) const BOUNDS: Bounds = Bounds {
    head_within: Duration::from_secs(5),
    connection_for: Duration::from_secs(10),
    last_answer_within: Duration::from_secs(2),
    keep_alive: false,
};

/// Its own: a crowd here takes no place from the console.
pub(crate) const ROOM: Room = Room { places: 128, a_source: 32, for_new: 96 };

const SAID: &str = "The console is served over HTTPS, at the address in the field Location of this answer.\n";

/// The longest name (RFC 1035, section 2.3.4), and the longest that is looked at.
const NAME_BYTES: usize = 253;

/// The names and addresses that the SA has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// In `.local`: the one to be used where an address is of no use in a URL.
    local: Option<String>,
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Names {
    /// From the host name, the names in the certificate, and the ports' addresses. What is no name of a host is left out:
    /// a wildcard, and whatever could not stand in a URL.
    pub fn new(host_name: &str, certificate: &[String], ports: &[IpAddr]) -> Self {
        let local = name(&format!("{host_name}.local"));
        let mut hosts: Vec<String> = local
            .iter()
            .cloned()
            .chain(name(host_name))
            .chain(certificate.iter().filter_map(|own| name(own)))
            .collect();
        hosts.sort();
        hosts.dedup();
        let certified = certificate.iter().filter_map(|own| own.parse().ok());
        let mut addresses: Vec<IpAddr> =
            certified.chain(ports.iter().copied()).map(|own| own.to_canonical()).collect();
        addresses.retain(|own| !is_link_local(*own) && !own.is_unspecified() && !own.is_multicast());
        addresses.sort();
        addresses.dedup();
        Self { local, hosts, addresses }
    }

    /// Whether this, in small letters and without a port, is a name of the SA's.
    pub(crate) fn has(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own == host)
    }

    /// The SA's own spelling of what the client calls it; none when it is not called that.
    fn chosen(&self, host: &[u8]) -> Option<String> {
        let host = std::str::from_utf8(host).ok()?;
        let host = match host.rsplit_once(':') {
            // An IPv6 address is in brackets; only then can a port be behind it.
            Some((host, port)) if !port.ends_with(']') && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                host
            }
            _ => host,
        };
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(v6) = literal {
            let v6 = IpAddr::V6(v6.parse().ok()?).to_canonical();
            return self.addresses.contains(&v6).then(|| spelled(v6));
        }
        if let Ok(v4) = host.parse() {
            let v4 = IpAddr::V4(v4);
            return self.addresses.contains(&v4).then(|| spelled(v4));
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        self.hosts.iter().find(|own| own.eq_ignore_ascii_case(host)).cloned()
    }
}

/// A name of a host as URLs have it (RFC 1123, section 2.1), in small letters; none for anything else.
fn name(text: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // A last label of digits would be read as an address.
    let last = text.rsplit('.').next().unwrap_or_default();
    let good = text.len() <= NAME_BYTES
        && text.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.to_ascii_lowercase())
}

/// An address as URLs have it (RFC 3986, section 3.2.2).
fn spelled(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// Whether an address means something on one link only. 169.254.0.0/16 is used as any other: a host has one of it.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Where a client is sent that came in at `local` and named `host`: an URL of the console at `port`.
pub fn location(host: Option<&[u8]>, local: IpAddr, names: &Names, port: u16) -> String {
    let chosen = host.and_then(|host| names.chosen(host));
    let own = chosen.unwrap_or_else(|| match local.to_canonical() {
        // A URL has no zone (RFC 9844, section 5), and without one such an address leads nowhere. The name in `.local` is
        // known on the same link; any other address may be reached from there.
        IpAddr::V6(v6) if v6.is_unicast_link_local() => elsewhere(v6, names),
        other => spelled(other),
    });
    format!("https://{own}:{port}/")
}

fn elsewhere(link_local: Ipv6Addr, names: &Names) -> String {
    names.local.clone().unwrap_or_else(|| {
        names.addresses.first().map_or_else(|| spelled(link_local.into()), |address| spelled(*address))
    })
}

/// Answers every request with where the console is.
#[derive(Debug)]
pub(crate) struct Redirect {
    names: Known,
    port: u16,
}

impl Redirect {
    /// To `port`, by these names.
    pub(crate) fn new(names: Known, port: u16) -> Self {
        Self { names, port }
    }
}

impl Answer for Redirect {
    async fn answer(
        &self,
        _peer: SocketAddr,
        local: SocketAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        // Two are none: who knows which of them was meant.
        let host = hosts.next().filter(|_| hosts.next().is_none()).map(HeaderValue::as_bytes);
        let location = location(host, local.ip(), &self.names.now().await, self.port);
        let mut response = Response::new(Body::full(SAID));
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-store"),
            (header::CONNECTION, "close"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // Names and addresses are such that this cannot fail.
        match HeaderValue::from_str(&location) {
            Ok(location) => drop(headers.insert(header::LOCATION, location)),
            Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        }
        response
    }
}

/// Speaks with one client over any stream, as the port does: for tests that have no network.
pub async fn speak<S>(stream: S, local: SocketAddr, names: Names, port: u16)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (_stop, stops) = watch::channel(None);
    let site = std::sync::Arc::new(Redirect::new(Known::fixed(names), port));
    connection::speak(stream, (local, local), site, BOUNDS, Seat::alone(), stops).await;
}

#[cfg(test)]
mod tests;
