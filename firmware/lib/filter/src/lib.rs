//! The kernel's packet filter for the ports, set over netlink (`nf_tables`); it never decides which port has which role.
//!
//! The rules are the same for every policy, and which port is what stands in sets: `known` (has a role), `answering` (any role
//! but the uplink's alone), `managing` (management or service), `service`, and `quiet` (the uplink's role alone). Ports go by
//! the kernel's index, so that one which has vanished hurts nobody. What is not accepted is dropped without a word.
//!
//! Each chain of the kernel's ends with a rule that drops, although its policy is to drop as well: while one chain takes
//! another's place, the kernel takes its rules first and its policy a moment later, in which packets would get through (the
//! test with a flood shows it where the rule is missing).
//!
//! ```text
//!  ARP ────────────────────────► arp input ─────────────────────────► the kernel
//!  IPv4, IPv6 ─► prerouting ─► origin ─► (whose is it?) ─► input ─┬─► our processes ─► output ─► a port
//!                                             │                   ├─ quiet
//!                                             ▼                   ├─ neighbours, managing, service
//!                                          forward: drop          └─ drop
//! ```
//!
//! | chain | rule | why |
//! | --- | --- | --- |
//! | prerouting | loopback is accepted | roles talk to each other; nothing from a cable arrives by it |
//! | | what comes by a port that is not `known` is dropped | a port that has just appeared may be anybody's, and at boot every port is one |
//! | | 127.0.0.0/8 and `::1` on a cable are dropped | only a liar sends them; what listens on loopback trusts who calls |
//! | | the mark becomes the port's index | rules of the routing table go by it: replies leave by the port that the call came in by |
//! | | what is for an address that stands in `shared` with the port it came by goes on | two networks may give the same address: of that the kernel's look-up names one port only |
//! | | what is not for an address, broadcast or group of this very port is dropped | strong host model (RFC 1122, section 3.3.4.2): an address answers on its own port only; nothing is ever forwarded |
//! | origin | what has no way back by this port is dropped | a spoofed sender (RFC 3704, strict). Looked up with the mark, so in the port's own table. The kernel excepts 0.0.0.0 to broadcast (DHCP) and `::` to the link (duplicate address detection) |
//! | input | ICMP redirects are dropped | nobody on a cable changes our routes, not even for a connection of ours. Those of IPv6 are in no list of what is accepted |
//! | | invalid packets are dropped | an ICMP error about no connection of ours is one, and answers to nothing |
//! | | replies to calls of our own, and errors about those, are accepted | on every known port; *packet too big* is among them |
//! | quiet | neighbour and router advertisements, over no router, are accepted | they are answers to questions of the kernel's own or announcements: nobody gets an answer to them |
//! | | neighbour solicitations of who stands in `talked_to` are accepted | a router asks again from time to time whether we are there (RFC 4861, section 7.3); strangers get no answer |
//! | | all else is dropped | no port, no ping, no listener query is answered, and a call that came in while the port was no uplink goes on no more |
//! | quiet, neighbours | router advertisements, 20 a minute on each port and 10 at once | each may make a route, of which the kernel bounds no number; routers speak once in three seconds at most (RFC 4861, section 10) |
//! | neighbours | what IPv6 and groups live by is accepted: neighbour solicitations and advertisements and router advertisements over no router (RFC 4861, section 7.1), listener queries from the link (RFC 2710, RFC 3376) | on every port but quiet ones |
//! | managing | calls that people made here go on; new ones to TCP ports 22, 8000, 9000 are accepted | FEATURES A19. Where nothing listens the kernel says so |
//! | | ping, up to 50 a second | for people who look for a fault, and not for a flood |
//! | | mDNS to its group | the console is found by name |
//! | | other TCP is reset, up to 50 a second | who mistypes a port learns of it at once |
//! | service | DHCP requests are accepted | the technician's computer gets an address |
//! | forward | everything is dropped | it is no router |
//! | output | on ports that are not `answering`, only TCP and UDP of calls of our own, pings, router and neighbour discovery and reports to groups leave | what would be an answer to a stranger (errors, resets, echoes) does not, whatever brought it about: some packets are answered by the kernel before `prerouting` sees them, as those with an unknown option to each hop (RFC 8200, section 4.2) |
//! | arp input | on `quiet` ports, replies, and requests of who stands in `talked_to`, are accepted | an ARP answer is an answer too. The router asks for us now and then, and must get one |
//! | | on `answering` ports, all; elsewhere nothing | |
//!
//! What is not in the kernel's hands here: the packet sockets of the network role (its DHCP client, its probe for address
//! conflicts) see and send frames beside the filter, by design. A stranger's duplicate address detection for an address of
//! a quiet port gets no answer either: it comes from `::`, which is anybody.

mod kernel;
mod message;
mod policy;
mod rule;
mod rules;
mod socket;
mod transaction;

pub use policy::{Class, MAX_PORTS, MAX_TALKED_TO, Policy, PortPolicy};

use policy::TalkedTo;
use rules::{TABLE, tables};
use socket::Socket;
use std::io;
use std::net::IpAddr;

/// Why the filter is not as it was to be. Then it is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// No netlink socket, or one that fails.
    #[error("the kernel gives no way to its packet filter: {0}")]
    Socket(#[source] io::Error),
    /// The kernel said no.
    #[error("the kernel's packet filter refuses {what}: {error}{}", words.as_ref().map(|words| format!(" ({words})")).unwrap_or_default())]
    Refused {
        /// What was to be set.
        what: String,
        /// The kernel's reason.
        error: io::Error,
        /// The same in words, if it gives some.
        words: Option<String>,
    },
    /// The kernel took the request and said nothing.
    #[error("the kernel's packet filter gave no answer")]
    NoAnswer,
    /// More ports than are provided for.
    #[error("{0} ports are more than the {MAX_PORTS} that the packet filter is made for")]
    TooManyPorts(usize),
    /// Loopback, no port at all, or one that was named before.
    #[error("the packet filter's policy names {name} (index {index}), which is no port or was named before")]
    NotAPort {
        /// Its name in the policy.
        name: String,
        /// Its index in the policy.
        index: u32,
    },
}

/// The packet filter. It stays in the kernel as it is when this is dropped, so that no restart of a role opens a port.
///
/// No call waits: each is one system call or a few, which the kernel answers at once.
#[derive(Debug)]
pub struct Filter {
    socket: Socket,
    policy: Option<Policy>,
    talked_to: TalkedTo,
}

impl Filter {
    /// Opens the way to the kernel's filter and changes nothing. Needs `CAP_NET_ADMIN`.
    pub fn open() -> Result<Self, FilterError> {
        Ok(Self { socket: Socket::open()?, policy: None, talked_to: TalkedTo::default() })
    }

    /// Makes the filter that of `policy`, in one transaction: every packet meets the old rules or the new ones.
    ///
    /// The first time, all that is there under the filter's name is replaced, whoever left it; from then on, only who comes
    /// into a set or leaves one, and packets of the other ports do not notice. An empty policy drops all that comes in: the one to begin with.
    pub fn apply(&mut self, policy: &Policy) -> Result<(), FilterError> {
        policy.check()?;
        let mut talked_to = self.talked_to.clone();
        talked_to.keep_to(policy);
        self.set(policy, &talked_to)?;
        self.policy = Some(policy.clone());
        self.talked_to = talked_to;
        Ok(())
    }

    /// Says whom a port with the uplink's role alone has business with: who may ask for it by ARP and neighbour discovery.
    /// They take the place of those that were said before. Ports of other roles answer everybody; what was said of them is
    /// forgotten with the next policy.
    ///
    /// A router may ask by any address that it has on the link: its link-local one (RFC 4861, section 7.2.2) and, of IPv6, the
    /// global ones that are known of it.
    ///
    /// The most important first: beyond [`MAX_TALKED_TO`] they are left out. Returns how many were.
    pub fn set_talked_to(&mut self, port_index: u32, neighbours: &[IpAddr]) -> Result<usize, FilterError> {
        let mut talked_to = self.talked_to.clone();
        let left_out = talked_to.set(port_index, neighbours)?;
        if let Some(policy) = self.policy.clone() {
            self.set(&policy, &talked_to)?;
        }
        self.talked_to = talked_to;
        Ok(left_out)
    }

    /// How many packets were dropped since the filter was first set by this, by reason: `unknown` (port), `loopback` (address
    /// on a cable), `elsewhere` (not for this port), `spoofed` (sender), `invalid`, `uninvited` (on ports that answer),
    /// `strangers` (on quiet ports), `answers` (that were kept in), `forwarded`, and `arp`.
    pub fn dropped(&mut self) -> Result<Vec<(String, u64)>, FilterError> {
        let mut all = Vec::new();
        for table in tables() {
            all.extend(self.socket.counters(table.family, TABLE)?);
        }
        Ok(all)
    }

    fn set(&mut self, policy: &Policy, talked_to: &TalkedTo) -> Result<(), FilterError> {
        if let Some(old) = &self.policy {
            let (from, to) = ((old, &self.talked_to), (policy, talked_to));
            let change = transaction::change(self.socket.next_number(), from, to);
            match self.socket.transact(&change) {
                // Somebody has taken the tables away: put them back.
                Err(FilterError::Refused { error, .. }) if error.raw_os_error() == Some(libc::ENOENT) => {}
                other => return other,
            }
        }
        self.socket.transact(&transaction::anew(self.socket.next_number(), policy, talked_to))
    }
}
