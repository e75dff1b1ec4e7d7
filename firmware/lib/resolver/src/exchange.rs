//! One server, one question: addresses, a "no", or how the server failed. It never remembers an answer.

use crate::cache::Finding;
use crate::error::Reason;
use crate::name::HostName;
use crate::provider::OnPort;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::xfer::{DnsHandle as _, FirstAnswer as _};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, MessageType, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// More addresses of one name are left out.
const ADDRESSES: usize = 32;
/// An alias of an alias of an alias … (hickory's own bound; resolvers take between 8 and 16).
const ALIASES: usize = 8;
/// How long "no such name" is good when the server does not say (no SOA; RFC 2308, section 5, would not keep it).
const NEGATIVE_TTL: u32 = 30;
/// When addresses of one kind are there, those of the other kind are awaited so long (RFC 8305, section 3, has 50 ms for a
/// user who waits; a DNS server behind a slow line gets more here).
const GRACE: Duration = Duration::from_millis(300);
/// An answer about one kind of addresses only is good no longer.
const PARTIAL_TTL: u32 = 60;

/// What one server said.
pub(crate) type Said = Result<(Finding, Duration), Reason>;

/// A server, as it is asked.
pub(crate) struct Exchange {
    pool: NameServerPool<OnPort>,
    sockets: OnPort,
    attempt: Duration,
}

/// What one server said to the question for one kind of addresses.
struct Records {
    addresses: Vec<IpAddr>,
    canonical: Name,
    ttl: u32,
    /// The code was NXDOMAIN.
    absent: bool,
}

impl Exchange {
    pub(crate) fn new(
        server: IpAddr,
        server_port: u16,
        sockets: OnPort,
        attempt: Duration,
    ) -> Result<Self, NetError> {
        let mut options = ResolverOpts::default();
        options.timeout = attempt;
        options.num_concurrent_reqs = 1;
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server_port;
            connection
        });
        let config = NameServerConfig::new(server, true, connections.into());
        let context = Arc::new(PoolContext::new(options, TlsConfig::new()?));
        Ok(Self { pool: NameServerPool::from_config([config], context, sockets.clone()), sockets, attempt })
    }

    /// Asks for the addresses of both kinds.
    pub(crate) async fn ask(&self, name: &HostName) -> Said {
        // A valid host's name is a valid name of hickory's.
        let mut query =
            Name::from_ascii(name.as_str()).map_err(|error| Reason::Nonsense(error.to_string()))?;
        query.set_fqdn(true);
        self.sockets.forget_failure();
        let v4 = self.ask_kind(&query, RecordType::A);
        let v6 = self.ask_kind(&query, RecordType::AAAA);
        tokio::pin!(v4, v6);
        let (v4, v6) = tokio::select! {
            v4 = &mut v4 => { let v6 = self.other(&v4, v6).await; (v4, v6) }
            v6 = &mut v6 => { let v4 = self.other(&v6, v4).await; (v4, v6) }
        };
        combine(v4, v6)
    }

    async fn other(
        &self,
        first: &Result<Records, Reason>,
        second: impl Future<Output = Result<Records, Reason>>,
    ) -> Result<Records, Reason> {
        let enough = first.as_ref().is_ok_and(|records| !records.addresses.is_empty());
        let wait = if enough { GRACE } else { self.attempt };
        tokio::time::timeout(wait, second).await.unwrap_or(Err(Reason::Silent))
    }

    async fn ask_kind(&self, name: &Name, kind: RecordType) -> Result<Records, Reason> {
        tokio::time::timeout(self.attempt, self.follow(name, kind)).await.unwrap_or(Err(Reason::Silent))
    }

    /// Asks, and asks on where the answer is an alias only.
    async fn follow(&self, name: &Name, kind: RecordType) -> Result<Records, Reason> {
        let mut records =
            Records { addresses: Vec::new(), canonical: name.clone(), ttl: u32::MAX, absent: false };
        for _ in 0..ALIASES {
            let asked = records.canonical.clone();
            match self.question(&asked, kind).await {
                Ok(response) => read(&response, kind, &mut records)?,
                Err(NetError::Dns(DnsError::NoRecordsFound(no))) => {
                    // Over UDP hickory has compared the question, over TCP nobody has.
                    if *no.query != Query::query(asked, kind) {
                        return Err(Reason::Nonsense("an answer to another question".to_owned()));
                    }
                    records.absent = no.response_code == ResponseCode::NXDomain;
                    records.ttl = records.ttl.min(no.negative_ttl.unwrap_or(NEGATIVE_TTL));
                    return Ok(records);
                }
                Err(error) => return Err(self.reason(&error)),
            }
            if !records.addresses.is_empty() || records.absent || records.canonical == asked {
                return Ok(records);
            }
        }
        Err(Reason::Aliases)
    }

    fn reason(&self, error: &NetError) -> Reason {
        match error {
            // The pool says so whatever the kernel said.
            NetError::NoConnections => self.sockets.failure().map_or(Reason::Silent, kernel_says),
            error => reason(error),
        }
    }

    async fn question(&self, name: &Name, kind: RecordType) -> Result<DnsResponse, NetError> {
        let query = Query::query(name.clone(), kind);
        let mut options = DnsRequestOptions::default();
        let mut said = self.pool.lookup(query.clone(), options).first_answer().await;
        if let Err(NetError::Dns(DnsError::ResponseCode(
            ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS,
        ))) = said
        {
            // A server from before EDNS (RFC 6891, section 7).
            options.use_edns = false;
            said = self.pool.lookup(query.clone(), options).first_answer().await;
        }
        let response = said?;
        if response.queries != [query] || response.metadata.message_type != MessageType::Response {
            return Err(NetError::Message("an answer to another question"));
        }
        Ok(response)
    }
}

/// Follows the aliases in the answer from the name that was asked for, and takes the addresses at their end. Records of any
/// other name are not believed.
fn read(response: &DnsResponse, kind: RecordType, records: &mut Records) -> Result<(), Reason> {
    records.absent = response.metadata.response_code == ResponseCode::NXDomain;
    let mut hops = 0;
    loop {
        let alias = response.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == records.canonical => Some((target.0.clone(), record.ttl)),
            _ => None,
        });
        let Some((target, ttl)) = alias else { break };
        hops += 1;
        if hops > ALIASES {
            return Err(Reason::Aliases);
        }
        records.canonical = target;
        records.ttl = records.ttl.min(ttl);
    }
    for record in &response.answers {
        if record.record_type() != kind || record.name != records.canonical {
            continue;
        }
        let address = match &record.data {
            RData::A(address) => IpAddr::V4(address.0),
            RData::AAAA(address) => IpAddr::V6(address.0),
            _ => continue,
        };
        records.ttl = records.ttl.min(record.ttl);
        if is_another_host(address)
            && !records.addresses.contains(&address)
            && records.addresses.len() < ADDRESSES
        {
            records.addresses.push(address);
        }
    }
    if records.ttl == u32::MAX {
        records.ttl = response.negative_ttl().unwrap_or(NEGATIVE_TTL);
    }
    Ok(())
}

/// Whether the address can be that of another host, which can be reached without knowing by which port.
fn is_another_host(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.octets()[0] == 0 || v4.is_loopback() || v4.is_multicast() || v4.octets()[0] >= 240)
        }
        IpAddr::V6(v6) => {
            !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.is_unicast_link_local())
        }
    }
}

/// One finding from what was said about both kinds.
fn combine(v4: Result<Records, Reason>, v6: Result<Records, Reason>) -> Said {
    let (mut first, second) = match (v4, v6) {
        (Ok(v4), Ok(v6)) => (v4, v6),
        // The other kind may be there as well: soon it is asked for again.
        (Ok(one), Err(_)) | (Err(_), Ok(one)) if !one.addresses.is_empty() => {
            let canonical = text(&one.canonical);
            let ttl = Duration::from_secs(one.ttl.min(PARTIAL_TTL).into());
            return Ok((Finding::Addresses { addresses: one.addresses, canonical }, ttl));
        }
        (Err(reason), _) | (_, Err(reason)) => return Err(reason),
    };
    let (some4, some6) = (!first.addresses.is_empty(), !second.addresses.is_empty());
    if !some4 && !some6 {
        let finding = if first.absent && second.absent { Finding::NotFound } else { Finding::NoAddress };
        return Ok((finding, Duration::from_secs(first.ttl.min(second.ttl).into())));
    }
    // How long "no address of the other kind" is good says nothing about the addresses.
    let ttl = match (some4, some6) {
        (true, true) => first.ttl.min(second.ttl),
        (true, false) => first.ttl,
        _ => second.ttl,
    };
    let canonical = text(if some4 { &first.canonical } else { &second.canonical });
    // Room for both kinds when there are too many.
    let most4 = ADDRESSES - second.addresses.len().min(ADDRESSES / 2);
    first.addresses.truncate(most4);
    first.addresses.extend(second.addresses);
    first.addresses.truncate(ADDRESSES);
    Ok((Finding::Addresses { addresses: first.addresses, canonical }, Duration::from_secs(ttl.into())))
}

/// A name from a server as printable text, without the final dot. hickory escapes what is not ASCII.
fn text(name: &Name) -> String {
    let name = name.to_ascii();
    let name = name.strip_suffix('.').unwrap_or(&name);
    name.chars().map(|c| if c.is_ascii_graphic() { c.to_ascii_lowercase() } else { '?' }).collect()
}

/// What an error of hickory's says about the server.
fn reason(error: &NetError) -> Reason {
    match error {
        NetError::Timeout | NetError::NoConnections | NetError::Busy => Reason::Silent,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => Reason::ServerFailure,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused | ResponseCode::NotAuth)) => {
            Reason::Refused
        }
        NetError::Io(error) => kernel_says(error.raw_os_error().unwrap_or(0)),
        NetError::Truncated => Reason::Nonsense("a part of an answer only".to_owned()),
        NetError::Message(text) => Reason::Nonsense((*text).to_owned()),
        NetError::Dns(DnsError::ResponseCode(code)) => Reason::Nonsense(format!("code {}", u16::from(*code))),
        _ => Reason::Nonsense("not to be read".to_owned()),
    }
}

/// What an error of the kernel's (`errno`) says about the server.
fn kernel_says(error: i32) -> Reason {
    match error {
        libc::ECONNREFUSED => Reason::NoServer,
        libc::ENODEV | libc::EADDRNOTAVAIL | libc::EINVAL => Reason::NoPort,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EACCES | libc::EPERM => {
            Reason::Unreachable
        }
        libc::ECONNRESET | libc::EPIPE => Reason::Nonsense("it ends the connection".to_owned()),
        _ => Reason::Silent,
    }
}
