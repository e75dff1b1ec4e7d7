//! The DHCP client of one port: smoltcp's state machine between two gates of ours. Pure: it is told the time and given
//! frames that `frame` has judged, and tells what to send and what it has come to. It never uses a lease.
//!
//! ```text
//!   carrier ──► Discovering ──offer──► Requesting ──ack──► leased ──half of the time──► Renewing
//!                  ▲  ▲                    │ no answer        │  ▲─────────ack──────────────┘ │
//!                  │  └────────────────────┘                  │                               │
//!                  └──── a rest ──── refused, declined, or the time is over ◄─────────────────┘
//! ```
//! The gate inwards lets through only an answer to the last question, once, and from the server that was asked: another
//! one that butts in changes nothing as long as the chosen one answers. The gate outwards adds what smoltcp's client does
//! not say: the host's name, and the address that it would like to have again (RFC 2131, section 4.4.1; smoltcp has no
//! INIT-REBOOT state).

use crate::frame::{self, CLIENT_PORT, Envelope, Heard, SERVER_PORT};
use crate::lease::Lease;
use crate::options;
use crate::random::Random;
use crate::wire::Wire;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, HardwareAddress, IpCidr, Ipv4Cidr,
};
use std::net::Ipv4Addr;

/// The first wait for an offer. A switch that has just seen the link come up may forward nothing for a while, so the
/// first question is often lost.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);
/// The longest wait for an offer (RFC 2131, section 4.1: 64 s).
const LAST_PATIENCE: Duration = Duration::from_secs(64);
/// How long an acknowledgement is waited for: this, this again, and twice this. A server that has offered is awake, and
/// behind one that offers and never gives another one may wait.
const REQUEST_PATIENCE: Duration = Duration::from_secs(3);
const REQUESTS: u16 = 3;
/// The least wait after an address that turned out to be another's (RFC 2131, section 3.1, step 5).
const REST_AFTER_CONFLICT: Duration = Duration::from_secs(10);
/// The longest rest (RFC 5227, section 1.1: `RATE_LIMIT_INTERVAL`).
const LONGEST_REST: Duration = Duration::from_secs(60);
/// An address that was kept for so long was a good one: the next conflict is the first again.
const KEPT: Duration = Duration::from_secs(600);

/// What the client has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The lease is this one, or this one again.
    Lease(Lease),
    /// There is no lease any more: its time is over, or the server has taken it back.
    Lost,
}

/// The last question.
#[derive(Debug)]
struct Asked {
    number: u32,
    discover: bool,
    /// Who may answer; none: anyone.
    of: Option<Ipv4Addr>,
}

/// The lease, since when it counts, and since when the address is ours.
struct Held {
    lease: Lease,
    since: Instant,
    first: Instant,
}

pub(crate) struct Dhcp {
    mac: [u8; 6],
    host_name: Option<String>,
    wanted: Option<Ipv4Addr>,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    wire: Wire,
    asked: Option<Asked>,
    /// A server that offered and then said nothing: the next question is for the others.
    shunned: Option<Ipv4Addr>,
    lease: Option<Held>,
    patience: Duration,
    /// How often in a row a renewal was due and could not be sent, because the server does not answer to ARP.
    futile: u32,
    not_before: Instant,
    rest_until: Instant,
    refusals: u32,
    conflicts: u32,
    random: Random,
    frames: Vec<Vec<u8>>,
    said: Vec<Said>,
}

impl Dhcp {
    /// A client for the port with the hardware address `mac`. It asks for `wanted`, which it had before; its transaction
    /// numbers come from `seed`, which nobody outside may guess.
    pub(crate) fn new(mac: [u8; 6], host_name: Option<String>, wanted: Option<Ipv4Addr>, seed: u64) -> Self {
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        // Transaction numbers come from it: whoever cannot see our questions cannot answer them.
        config.random_seed = seed;
        let interface = Interface::new(config, &mut wire, Instant::ZERO);
        let mut dhcp = dhcpv4::Socket::new();
        dhcp.set_parameter_request_list(options::ASKED_FOR);
        // With a buffer, even an empty one, each acknowledgement is reported, and not only those with a new address: a
        // renewed lease has a new end.
        dhcp.set_receive_packet_buffer(&mut []);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(dhcp);
        Self {
            mac,
            host_name: host_name.filter(|name| is_host_name(name)),
            wanted,
            interface,
            sockets,
            handle,
            wire,
            asked: None,
            shunned: None,
            lease: None,
            patience: FIRST_PATIENCE,
            futile: 0,
            not_before: Instant::ZERO,
            rest_until: Instant::ZERO,
            refusals: 0,
            conflicts: 0,
            random: Random::new(seed.rotate_left(17)),
            frames: Vec::new(),
            said: Vec::new(),
        }
    }

    /// What is to be sent.
    pub(crate) fn frames(&mut self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.frames.drain(..)
    }

    /// What it has come to since it was asked last.
    pub(crate) fn said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    /// Takes in a DHCP message to this port, with the lease that is in it.
    pub(crate) fn take(&mut self, now: Instant, frame: Vec<u8>, lease: Option<Lease>) {
        let (Some(heard), Some(asked)) = (Heard::read(&frame), &self.asked) else { return };
        let Some(server) = heard.server else { return };
        let expected = match heard.kind {
            DhcpMessageType::Offer => asked.discover && self.shunned != Some(server),
            DhcpMessageType::Ack | DhcpMessageType::Nak => {
                !asked.discover && asked.of.is_none_or(|of| of == server)
            }
            _ => false,
        };
        if !expected || heard.number != asked.number || now < self.rest_until {
            return;
        }
        if heard.kind != DhcpMessageType::Offer {
            // The same answer again is none: each would be a change for the kernel.
            self.asked = None;
        }
        if heard.kind == DhcpMessageType::Nak {
            self.wanted = None;
            // The first time it asks again at once; a server that says no to all that it offers is asked seldom.
            let rest = Duration::from_secs((1_u64 << self.refusals.min(6)) - 1).min(LONGEST_REST);
            self.refusals = self.refusals.saturating_add(1);
            self.rest_until = now + rest;
        }
        self.hand_over(now, frame);
        self.hear(now, lease);
        self.sort_out();
    }

    /// Takes in an answer to ARP: perhaps the server's, who is about to be asked to renew the lease.
    pub(crate) fn take_arp(&mut self, now: Instant, frame: Vec<u8>) {
        if self.lease.is_some() {
            self.hand_over(now, frame);
            self.not_before = now;
        }
    }

    fn hand_over(&mut self, now: Instant, frame: Vec<u8>) {
        self.wire.incoming = Some(frame);
        self.interface.poll_ingress_single(now, &mut self.wire, &mut self.sockets);
        self.wire.incoming = None;
    }

    /// Sends what is due.
    pub(crate) fn poll(&mut self, now: Instant) {
        if now < self.rest_until {
            return;
        }
        let due = self.interface.poll_at(now, &self.sockets).is_some_and(|at| at <= now);
        let dhcp = self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.handle);
        let mut retry = dhcp.get_retry_config();
        retry.discover_timeout = self.patience;
        retry.initial_request_timeout = REQUEST_PATIENCE;
        retry.request_retries = REQUESTS;
        dhcp.set_retry_config(retry);
        self.interface.poll_egress(now, &mut self.wire, &mut self.sockets);
        let sent = self.sort_out();
        self.hear(now, None);
        if sent {
            (self.futile, self.not_before) = (0, now);
        } else if due && self.lease.is_some() && now >= self.not_before {
            // A server that is away is asked for by ARP once a second from half of the lease on, for hours: less and less
            // often is enough.
            self.futile = (self.futile + 1).min(6);
            self.not_before = now + Duration::from_secs(1 << self.futile);
        }
    }

    /// When something is due next.
    pub(crate) fn next(&mut self, now: Instant) -> Instant {
        if now < self.rest_until {
            return self.rest_until;
        }
        let at = self.interface.poll_at(now, &self.sockets).unwrap_or(now).max(self.not_before);
        self.lease.as_ref().map_or(at, |held| at.min(held.since + lifetime(&held.lease)))
    }

    /// Turns down a lease whose address another host has (RFC 2131, section 3.1, step 5), and starts over after a rest.
    pub(crate) fn decline(&mut self, now: Instant) {
        let Some(Held { lease, first, .. }) = self.lease.take() else { return };
        let repr = DhcpRepr {
            requested_ip: Some(lease.address()),
            server_identifier: Some(lease.server()),
            ..blank(self.mac, DhcpMessageType::Decline, self.number())
        };
        self.frames.extend(frame::sealed(to_all(self.mac), &repr));
        self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.handle).reset();
        self.hear(now, None);
        self.said.clear();
        (self.asked, self.wanted) = (None, None);
        if now >= first + KEPT {
            self.conflicts = 0;
        }
        let rest = REST_AFTER_CONFLICT * (1 << self.conflicts.min(6));
        self.conflicts = self.conflicts.saturating_add(1);
        self.rest_until = now + rest.min(LONGEST_REST);
    }

    fn number(&mut self) -> u32 {
        u32::try_from(self.random.next() >> 32).unwrap_or_default()
    }

    /// Hears what smoltcp's client has come to, perhaps by this lease.
    fn hear(&mut self, now: Instant, acknowledged: Option<Lease>) {
        let dhcp = self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.handle);
        match dhcp.poll() {
            None => {}
            Some(dhcpv4::Event::Configured(config)) => {
                let address = config.address;
                let Some(lease) =
                    acknowledged.filter(|lease| address == Ipv4Cidr::new(lease.address(), lease.prefix()))
                else {
                    return;
                };
                (self.patience, self.refusals, self.shunned) = (FIRST_PATIENCE, 0, None);
                (self.futile, self.not_before) = (0, now);
                let server = config.server.address;
                self.wanted = Some(lease.address());
                self.interface.update_ip_addrs(|addresses| {
                    addresses.clear();
                    // There is room for one at least, and there is none now.
                    let _ = addresses.push(IpCidr::Ipv4(address));
                });
                let routes = self.interface.routes_mut();
                routes.remove_default_ipv4_route();
                if let Some(router) = lease.router_to(server) {
                    // Likewise.
                    let _ = routes.add_default_ipv4_route(router);
                }
                let first = self.lease.as_ref().filter(|held| held.lease.address() == lease.address());
                let first = first.map_or(now, |held| held.first);
                self.lease = Some(Held { lease: lease.clone(), since: now, first });
                self.said.push(Said::Lease(lease));
            }
            Some(dhcpv4::Event::Deconfigured) => {
                self.interface.update_ip_addrs(|addresses| addresses.truncate(0));
                self.interface.routes_mut().remove_default_ipv4_route();
                // The first event of all says that there is no lease yet: no news.
                if self.lease.take().is_some() {
                    self.said.push(Said::Lost);
                }
            }
        }
    }

    /// Makes ready what smoltcp wants to send, and tells whether a DHCP message is among it.
    fn sort_out(&mut self) -> bool {
        let mut message = false;
        for frame in std::mem::take(&mut self.wire.outgoing) {
            if Heard::read(&frame).is_none() {
                self.frames.push(frame);
            } else if let Some(frame) = self.complete(&frame) {
                message = true;
                self.frames.push(frame);
            }
        }
        message
    }

    /// Notes what a message of smoltcp's client asks, and adds what it does not say.
    fn complete(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let (envelope, message) = frame::opened(frame)?;
        let packet = DhcpPacket::new_checked(message).ok()?;
        let mut repr = DhcpRepr::parse(&packet).ok()?;
        let number = repr.transaction_id;
        let all = envelope.to.1.is_broadcast();
        if repr.message_type == DhcpMessageType::Discover {
            // Whoever offered and did not give is passed over once.
            let silent = self.asked.take().filter(|asked| !asked.discover).and_then(|asked| asked.of);
            self.shunned = silent.filter(|_| self.shunned != silent);
            self.asked = Some(Asked { number, discover: true, of: None });
            self.patience = (self.patience * 2).min(LAST_PATIENCE);
            repr.requested_ip = self.wanted;
        } else {
            let leased_by = self.lease.as_ref().filter(|_| !all).map(|held| held.lease.server());
            let of = repr.server_identifier.or(leased_by);
            self.asked = Some(Asked { number, discover: false, of });
        }
        let name = self
            .host_name
            .as_deref()
            .map(|name| DhcpOption { kind: options::HOST_NAME, data: name.as_bytes() });
        repr.additional_options = name.as_slice();
        frame::sealed(envelope, &repr)
    }
}

fn lifetime(lease: &Lease) -> Duration {
    Duration::from_secs(lease.seconds().into())
}

/// The frame that gives a lease back (RFC 2131, section 4.4.6), by the way it came.
pub(crate) fn release(mac: [u8; 6], lease: &Lease, number: u32) -> Option<Vec<u8>> {
    let envelope = Envelope {
        from: (mac, lease.address(), CLIENT_PORT),
        to: (lease.sender(), lease.server(), SERVER_PORT),
    };
    let repr = DhcpRepr {
        client_ip: lease.address(),
        server_identifier: Some(lease.server()),
        ..blank(mac, DhcpMessageType::Release, number)
    };
    frame::sealed(envelope, &repr)
}

/// From a host without an address to all servers.
pub(crate) fn to_all(mac: [u8; 6]) -> Envelope {
    Envelope {
        from: (mac, Ipv4Addr::UNSPECIFIED, CLIENT_PORT),
        to: (EthernetAddress::BROADCAST.0, Ipv4Addr::BROADCAST, SERVER_PORT),
    }
}

/// A message that says who sends it, and nothing more.
pub(crate) fn blank(mac: [u8; 6], kind: DhcpMessageType, number: u32) -> DhcpRepr<'static> {
    DhcpRepr {
        message_type: kind,
        transaction_id: number,
        secs: 0,
        client_hardware_address: EthernetAddress(mac),
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: Some(EthernetAddress(mac)),
        server_identifier: None,
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    }
}

/// Whether a name may be sent as the host's (RFC 2132, section 3.14): one label, or several.
fn is_host_name(name: &str) -> bool {
    options::DomainName::parse(name.as_bytes()).is_some_and(|parsed| parsed.as_str().len() == name.len())
}
