//! A tiny DHCP server for the technician's laptop on a `service` port: it gives link-local addresses, and nothing that
//! would lead the laptop's other traffic here. It never runs on a port with a DHCP client, and stays silent where another
//! server answers.
//!
//! ```text
//!   Listening ──three questions, no offer──► Serving ──another server is heard──► Silent
//!      ▲   └──────── an offer ───────────────────────────────────────────────────► │
//!      └────────────────────────── five minutes later ─────────────────────────────┘
//! ```
//! A laptop that gets nothing, because somebody has taken all addresses, falls back to a link-local address of its own
//! (RFC 3927), and reaches [`ADDRESS`] all the same: both are in 169.254.0.0/16.

use crate::client::{FRAMES_A_TURN, REST};
use crate::dhcp::{blank, to_all};
use crate::frame::{self, CLIENT_PORT, Envelope, SERVER_PORT};
use crate::ports::Link;
use crate::random::Random;
use crate::system::{self, FRAME_BYTES, Filter};
use futures_util::FutureExt as _;
use pool::Pool;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress};
use std::io;
use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;
use tokio::sync::mpsc;

mod pool;

/// The service address: the same on each appliance, so that it can be printed on its lid.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 100, 1);
/// Its prefix: all link-local addresses, so that a laptop that chose one itself reaches it too.
pub const PREFIX: u8 = 16;
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 0, 0);
/// For how long an address is given, in seconds.
const LEASE_SECONDS: u32 = 600;

/// How many times it asks whether there is another server, and how long one question is apart from the next.
const QUESTIONS: u8 = 3;
const QUESTION_EVERY: Duration = Duration::from_secs(1);
/// How long it waits after the last question: a server may ping an address for three seconds before it offers it
/// (dnsmasq's `PING_WAIT`), counted from the first question.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// After how much time of silence it listens again.
const SILENCE: Duration = Duration::from_secs(300);
/// How often a laptop's address is told of at most.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What the server of a port has to say.
#[derive(Debug)]
pub enum ServerNews {
    /// Nobody else serves the cable: it does from now on.
    Serving,
    /// This other DHCP server serves the cable: it stays silent, and asks again every five minutes.
    Silent {
        /// What it calls itself.
        server: Ipv4Addr,
    },
    /// A laptop has got an address. Said at most once a second.
    Given {
        /// The address.
        address: Ipv4Addr,
        /// The laptop's hardware address.
        mac: [u8; 6],
    },
    /// The server cannot go on.
    Failed(io::Error),
}

/// Runs the server of `link`, which has [`ADDRESS`], until its socket fails. Its news go to `news`.
pub async fn run(link: Link, news: mpsc::Sender<(u32, ServerNews)>) {
    let index = link.index;
    let end = AssertUnwindSafe(serve(&link, &news)).catch_unwind().await;
    if let Err(error) = end.unwrap_or_else(|_| Err(io::Error::other("it panicked"))) {
        // A role that does not listen any more is about to end.
        let _ = news.send((index, ServerNews::Failed(error))).await;
    }
}

async fn serve(link: &Link, news: &mpsc::Sender<(u32, ServerNews)>) -> io::Result<()> {
    let start = tokio::time::Instant::now();
    let now = || Instant::from_micros(i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX));
    let socket = system::packet_socket(link.index, &Filter::server())?;
    let mut server = Server::new(link.mac, now(), system::random_number()?);
    let mut buffer = vec![0; FRAME_BYTES];
    loop {
        server.poll(now());
        for frame in server.frames() {
            system::transmit(socket.get_ref(), &frame)?;
        }
        for said in server.news() {
            let _ = news.send((link.index, said)).await;
        }
        let wait = async {
            match server.next() {
                Some(at) => {
                    let (at, now) = (at.total_micros(), now().total_micros());
                    let micros = u64::try_from(at.saturating_sub(now)).unwrap_or(0).max(1000);
                    tokio::time::sleep(std::time::Duration::from_micros(micros)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = socket.readable() => {
                let mut ready = ready?;
                let mut full = true;
                for _ in 0..FRAMES_A_TURN {
                    let Some(length) = system::receive(socket.get_ref(), &mut buffer)? else {
                        ready.clear_ready();
                        full = false;
                        break;
                    };
                    server.take(now(), &buffer[..length]);
                }
                if full {
                    drop(ready);
                    tokio::time::sleep(REST).await;
                }
            }
            () = wait => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Listening { asked: u8, at: Instant },
    Serving,
    Silent { until: Instant },
}

/// The server's state machine. Pure: it is told the time and given frames, and tells what to send and what is new.
pub struct Server {
    mac: [u8; 6],
    number: u32,
    phase: Phase,
    /// The other server that was told of.
    other: Option<Ipv4Addr>,
    pool: Pool,
    told_at: Option<Instant>,
    frames: Vec<Vec<u8>>,
    news: Vec<ServerNews>,
}

impl Server {
    /// A server on the port with the hardware address `mac`, which begins to listen. Nobody outside may guess the seed.
    pub fn new(mac: [u8; 6], now: Instant, seed: u64) -> Self {
        Self {
            mac,
            number: u32::try_from(Random::new(seed).next() >> 32).unwrap_or_default(),
            phase: Phase::Listening { asked: 0, at: now },
            other: None,
            pool: Pool::default(),
            told_at: None,
            frames: Vec::new(),
            news: Vec::new(),
        }
    }

    /// What is to be sent.
    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.frames)
    }

    /// What is new.
    pub fn news(&mut self) -> Vec<ServerNews> {
        std::mem::take(&mut self.news)
    }

    /// When something is due next, unless a frame comes before.
    pub fn next(&self) -> Option<Instant> {
        match self.phase {
            Phase::Listening { at, .. } | Phase::Silent { until: at } => Some(at),
            Phase::Serving => None,
        }
    }

    /// Does what is due.
    pub fn poll(&mut self, now: Instant) {
        match self.phase {
            Phase::Listening { asked: QUESTIONS, at } if now >= at => {
                self.phase = Phase::Serving;
                self.other = None;
                self.news.push(ServerNews::Serving);
            }
            Phase::Listening { asked, at } if now >= at => {
                let wait = if asked + 1 == QUESTIONS { LAST_WAIT } else { QUESTION_EVERY };
                self.phase = Phase::Listening { asked: asked + 1, at: now + wait };
                let question = DhcpRepr {
                    parameter_request_list: Some(&[1]),
                    broadcast: true,
                    ..blank(self.mac, DhcpMessageType::Discover, self.number)
                };
                self.frames.extend(frame::sealed(to_all(self.mac), &question));
            }
            Phase::Silent { until } if now >= until => {
                self.phase = Phase::Listening { asked: 0, at: now };
                self.poll(now);
            }
            _ => {}
        }
    }

    /// Takes in a frame from the cable.
    pub fn take(&mut self, now: Instant, frame: &[u8]) {
        if !frame::passes_to_server(frame) {
            return;
        }
        let Some((envelope, message)) = frame::opened(frame) else { return };
        let Ok(packet) = DhcpPacket::new_checked(message) else { return };
        let Ok(repr) = DhcpRepr::parse(&packet) else { return };
        if envelope.from.2 == SERVER_PORT {
            self.hear_server(now, &repr);
        } else if self.phase == Phase::Serving {
            self.answer(now, &repr);
        }
    }

    /// Another server's word: an offer to us, or whatever it gives others.
    fn hear_server(&mut self, now: Instant, repr: &DhcpRepr<'_>) {
        let Some(server) = repr.server_identifier else { return };
        let to_us = repr.transaction_id == self.number
            && repr.client_hardware_address == EthernetAddress(self.mac)
            && repr.message_type == DhcpMessageType::Offer;
        let gives = matches!(repr.message_type, DhcpMessageType::Offer | DhcpMessageType::Ack);
        let others = gives && server != ADDRESS;
        if !to_us && !others {
            return;
        }
        self.phase = Phase::Silent { until: now + SILENCE };
        if self.other != Some(server) && self.may_tell(now) {
            self.other = Some(server);
            self.news.push(ServerNews::Silent { server });
        }
    }

    fn may_tell(&mut self, now: Instant) -> bool {
        let may = self.told_at.is_none_or(|at| now >= at + TELL_EVERY);
        if may {
            self.told_at = Some(now);
        }
        may
    }

    fn answer(&mut self, now: Instant, repr: &DhcpRepr<'_>) {
        let mac = repr.client_hardware_address;
        // A service port has no relays behind it.
        if !mac.is_unicast() || mac.0 == [0; 6] || !repr.relay_agent_ip.is_unspecified() {
            return;
        }
        match repr.message_type {
            DhcpMessageType::Discover => {
                if let Some(address) = self.pool.offer(now, mac.0, repr.requested_ip) {
                    self.reply(repr, DhcpMessageType::Offer, address);
                }
            }
            DhcpMessageType::Request => self.request(now, repr),
            DhcpMessageType::Decline if repr.server_identifier == Some(ADDRESS) => {
                if let Some(address) = repr.requested_ip {
                    self.pool.decline(now, mac.0, address);
                }
            }
            DhcpMessageType::Release => self.pool.release(now, mac.0, repr.client_ip),
            DhcpMessageType::Inform if repr.client_ip.is_link_local() && repr.client_ip != ADDRESS => {
                self.reply(repr, DhcpMessageType::Ack, Ipv4Addr::UNSPECIFIED);
            }
            _ => {}
        }
    }

    /// A request (RFC 2131, section 4.3.2): after our offer, after a restart of the laptop, or to renew.
    fn request(&mut self, now: Instant, repr: &DhcpRepr<'_>) {
        let mac = repr.client_hardware_address.0;
        let wanted = repr.requested_ip.unwrap_or(repr.client_ip);
        let given = match repr.server_identifier {
            Some(ADDRESS) => self.pool.confirm(now, mac, wanted),
            // It has chosen another server.
            Some(_) => return self.pool.release(now, mac, wanted),
            // It had this address before, perhaps from us before a restart, or on another network: whoever is the only
            // server may say no, and the laptop asks anew at once.
            None => {
                self.pool.offer(now, mac, Some(wanted)) == Some(wanted) && self.pool.confirm(now, mac, wanted)
            }
        };
        if !given {
            return self.reply(repr, DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED);
        }
        self.reply(repr, DhcpMessageType::Ack, wanted);
        if self.pool.is_news(mac) && self.may_tell(now) {
            self.news.push(ServerNews::Given { address: wanted, mac });
        }
    }

    fn reply(&mut self, to: &DhcpRepr<'_>, kind: DhcpMessageType, your_ip: Ipv4Addr) {
        let refusal = kind == DhcpMessageType::Nak;
        let lease = !your_ip.is_unspecified();
        let mac = to.client_hardware_address;
        // RFC 2131, section 4.1: where the client can hear it.
        let (mac_to, ip_to) = if refusal || (to.broadcast && to.client_ip.is_unspecified()) {
            (EthernetAddress::BROADCAST, Ipv4Addr::BROADCAST)
        } else if to.client_ip.is_unspecified() {
            (mac, your_ip)
        } else {
            (mac, to.client_ip)
        };
        let repr = DhcpRepr {
            client_ip: if refusal { Ipv4Addr::UNSPECIFIED } else { to.client_ip },
            your_ip,
            broadcast: to.broadcast,
            client_identifier: None,
            server_identifier: Some(ADDRESS),
            subnet_mask: (!refusal).then_some(MASK),
            lease_duration: lease.then_some(LEASE_SECONDS),
            ..blank(mac.0, kind, to.transaction_id)
        };
        let envelope =
            Envelope { from: (self.mac, ADDRESS, SERVER_PORT), to: (mac_to.0, ip_to, CLIENT_PORT) };
        self.frames.extend(frame::sealed(envelope, &repr));
    }
}

#[cfg(test)]
mod tests;
