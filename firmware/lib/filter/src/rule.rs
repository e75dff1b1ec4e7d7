//! Rules, word by word: each word is written as the kernel's expressions and, beside them, as the program `nft` would show it.
//! It never decides which rules there are.

use crate::kernel::{
    AddressType, BEHIND_FOUR_BYTES, COUNTER, Ct, EQUAL, FIRST, Header, INVERTED, LOOPBACK, Meta, NOT_EQUAL,
    REJECT_BY_RESET, UPDATE, VERDICT, attribute, fib, protocol, state, verdict,
};
use crate::message::Attributes;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How often something may come.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// So many…
    count: u64,
    /// …in so many seconds, a number for which the program `nft` has a word…
    seconds: u64,
    word: &'static str,
    /// …and so many at once after a silence.
    at_once: u32,
}

impl Rate {
    fn words(self) -> String {
        format!("limit rate {}/{} burst {} packets", self.count, self.word, self.at_once)
    }
}

/// What one answers to.
const ANSWERS: Rate = Rate { count: 50, seconds: 1, word: "second", at_once: 100 };

/// What one listens to of routers. One that keeps to the standard speaks to all once in three seconds at most (RFC 4861,
/// section 10: `MIN_DELAY_BETWEEN_RAS`), and a machine that comes up is answered at once.
const ADVERTISEMENTS: Rate = Rate { count: 20, seconds: 60, word: "minute", at_once: 10 };

/// A named set of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Set(pub(crate) &'static str);

/// A named counter of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter(pub(crate) &'static str);

/// One step of the kernel's.
#[derive(Clone, Copy, Debug)]
enum Expression {
    Meta(Meta),
    MetaBehind(Meta),
    SetMark,
    Ct(Ct),
    Fib {
        flags: u32,
        result: u32,
    },
    Payload {
        header: Header,
        offset: u32,
        length: u32,
        into: u32,
    },
    Mask(Bytes),
    Compare {
        operation: u32,
        with: Bytes,
    },
    Lookup {
        set: Set,
        flags: u32,
    },
    Limit(Rate),
    /// The same for each port that packets come in by, kept in a set.
    LimitEach(Set, Rate),
    Count(Counter),
    Reject,
    Verdict {
        code: i32,
        chain: Option<&'static str>,
    },
}

/// What one register holds.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    bytes: [u8; 16],
    length: usize,
}

impl Bytes {
    fn new(value: &[u8]) -> Self {
        let mut bytes = [0; 16];
        let length = value.len().min(bytes.len());
        bytes[..length].copy_from_slice(&value[..length]);
        Self { bytes, length }
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Expression {
    const fn name(self) -> &'static str {
        match self {
            Self::Meta(_) | Self::MetaBehind(_) | Self::SetMark => "meta",
            Self::Ct(_) => "ct",
            Self::Fib { .. } => "fib",
            Self::Payload { .. } => "payload",
            Self::Mask(_) => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Lookup { .. } => "lookup",
            Self::Limit(_) => "limit",
            Self::LimitEach(..) => "dynset",
            Self::Count(_) => "objref",
            Self::Reject => "reject",
            Self::Verdict { .. } => "immediate",
        }
    }

    fn write(self, out: &mut Attributes<'_>) {
        match self {
            Self::Meta(key) => {
                out.number(attribute::META_INTO, FIRST);
                out.number(attribute::META_KEY, key as u32);
            }
            Self::MetaBehind(key) => {
                out.number(attribute::META_INTO, BEHIND_FOUR_BYTES);
                out.number(attribute::META_KEY, key as u32);
            }
            Self::SetMark => {
                out.number(attribute::META_KEY, Meta::Mark as u32);
                out.number(attribute::META_FROM, FIRST);
            }
            Self::Ct(key) => {
                out.number(attribute::CT_REGISTER, FIRST);
                out.number(attribute::CT_KEY, key as u32);
            }
            Self::Fib { flags, result } => {
                out.number(attribute::FIB_REGISTER, FIRST);
                out.number(attribute::FIB_RESULT, result);
                out.number(attribute::FIB_FLAGS, flags);
            }
            Self::Payload { header, offset, length, into } => {
                out.number(attribute::PAYLOAD_REGISTER, into);
                out.number(attribute::PAYLOAD_BASE, header as u32);
                out.number(attribute::PAYLOAD_OFFSET, offset);
                out.number(attribute::PAYLOAD_LENGTH, length);
            }
            Self::Mask(mask) => {
                out.number(attribute::BITWISE_FROM, FIRST);
                out.number(attribute::BITWISE_INTO, FIRST);
                out.number(attribute::BITWISE_LENGTH, u32::try_from(mask.length).unwrap_or_default());
                out.nest(attribute::BITWISE_MASK, |out| out.bytes(attribute::DATA_VALUE, mask.as_slice()));
                let zero = Bytes { bytes: [0; 16], length: mask.length };
                out.nest(attribute::BITWISE_XOR, |out| out.bytes(attribute::DATA_VALUE, zero.as_slice()));
            }
            Self::Compare { operation, with } => {
                out.number(attribute::COMPARE_REGISTER, FIRST);
                out.number(attribute::COMPARE_OPERATION, operation);
                out.nest(attribute::COMPARE_DATA, |out| out.bytes(attribute::DATA_VALUE, with.as_slice()));
            }
            Self::Lookup { set, flags } => {
                out.text(attribute::LOOKUP_SET, set.0);
                out.number(attribute::LOOKUP_REGISTER, FIRST);
                out.number(attribute::LOOKUP_FLAGS, flags);
            }
            Self::Limit(rate) => {
                out.long_number(attribute::LIMIT_RATE, rate.count);
                out.long_number(attribute::LIMIT_UNIT, rate.seconds);
                out.number(attribute::LIMIT_BURST, rate.at_once);
            }
            Self::LimitEach(set, rate) => {
                out.text(attribute::UPDATE_SET, set.0);
                out.number(attribute::UPDATE_OPERATION, UPDATE);
                out.number(attribute::UPDATE_KEY, FIRST);
                out.nest(attribute::UPDATE_EXPRESSION, |out| {
                    let limit = Self::Limit(rate);
                    out.text(attribute::EXPRESSION_NAME, limit.name());
                    out.nest(attribute::EXPRESSION_DATA, |out| limit.write(out));
                });
            }
            Self::Count(counter) => {
                out.number(attribute::REFERENCE_TYPE, COUNTER);
                out.text(attribute::REFERENCE_NAME, counter.0);
            }
            Self::Reject => {
                out.number(attribute::REJECT_TYPE, REJECT_BY_RESET);
                out.bytes(attribute::REJECT_CODE, &[0]);
            }
            Self::Verdict { code, chain } => {
                out.number(attribute::IMMEDIATE_REGISTER, VERDICT);
                out.nest(attribute::IMMEDIATE_DATA, |out| {
                    out.nest(attribute::DATA_VERDICT, |out| {
                        out.number(attribute::VERDICT_CODE, code.cast_unsigned());
                        if let Some(chain) = chain {
                            out.text(attribute::VERDICT_CHAIN, chain);
                        }
                    });
                });
            }
        }
    }
}

/// The start of a rule: what a packet must be, and what becomes of it.
#[derive(Debug, Default)]
pub(crate) struct Words {
    expressions: Vec<Expression>,
    text: String,
    family: Option<u8>,
    transport: Option<u8>,
}

/// A rule that is whole.
#[derive(Debug)]
pub(crate) struct Rule {
    expressions: Vec<Expression>,
    /// As `nft` shows it.
    pub(crate) text: String,
}

impl Rule {
    pub(crate) fn write(&self, out: &mut Attributes<'_>) {
        for expression in &self.expressions {
            out.nest(attribute::LIST_ELEMENT, |out| {
                out.text(attribute::EXPRESSION_NAME, expression.name());
                out.nest(attribute::EXPRESSION_DATA, |out| expression.write(out));
            });
        }
    }
}

/// A rule about every packet.
pub(crate) fn every() -> Words {
    Words::default()
}

/// A rule about what came in by a port of a set.
pub(crate) fn arrived_by(set: Set) -> Words {
    every().then(Expression::Meta(Meta::ArrivedBy)).lookup(set, false).say(&format!("iif @{}", set.0))
}

/// A rule about what did not come in by a port of a set.
pub(crate) fn not_arrived_by(set: Set) -> Words {
    every().then(Expression::Meta(Meta::ArrivedBy)).lookup(set, true).say(&format!("iif != @{}", set.0))
}

/// A rule about what leaves by a port of a set.
pub(crate) fn leaves_by(set: Set) -> Words {
    every().then(Expression::Meta(Meta::LeavesBy)).lookup(set, false).say(&format!("oif @{}", set.0))
}

/// A rule about what a process sends by a port, where user and port stand in a set together.
pub(crate) fn sent_by(set: Set) -> Words {
    every()
        .then(Expression::Meta(Meta::LeavesBy))
        .then(Expression::MetaBehind(Meta::User))
        .lookup(set, false)
        .say(&format!("oif . meta skuid @{}", set.0))
}

/// A rule about what one process of ours says to another.
pub(crate) fn arrived_by_loopback() -> Words {
    every().then(Expression::Meta(Meta::ArrivedBy)).equals(&LOOPBACK.to_ne_bytes()).say("iif \"lo\"")
}

/// See [`arrived_by_loopback`].
pub(crate) fn leaves_by_loopback() -> Words {
    every().then(Expression::Meta(Meta::LeavesBy)).equals(&LOOPBACK.to_ne_bytes()).say("oif \"lo\"")
}

/// The kinds of `ICMPv6` messages that rules name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Icmpv6 {
    EchoRequest,
    ListenerQuery,
    ListenerReport,
    ListenerDone,
    ListenerReport2,
    RouterSolicitation,
    RouterAdvertisement,
    NeighbourSolicitation,
    NeighbourAdvertisement,
}

impl Icmpv6 {
    const fn number_and_name(self) -> (u8, &'static str) {
        match self {
            Self::EchoRequest => (128, "echo-request"),
            Self::ListenerQuery => (130, "mld-listener-query"),
            Self::ListenerReport => (131, "mld-listener-report"),
            Self::ListenerDone => (132, "mld-listener-done"),
            Self::RouterSolicitation => (133, "nd-router-solicit"),
            Self::RouterAdvertisement => (134, "nd-router-advert"),
            Self::NeighbourSolicitation => (135, "nd-neighbor-solicit"),
            Self::NeighbourAdvertisement => (136, "nd-neighbor-advert"),
            Self::ListenerReport2 => (143, "mld2-listener-report"),
        }
    }
}

impl Words {
    // What a packet is.

    /// A TCP connection's packet, to a door of ours.
    pub(crate) fn tcp_to(self, doors: Set) -> Self {
        self.transport(protocol::TCP)
            .payload(Header::Transport, 2, 2)
            .lookup(doors, false)
            .say(&format!("tcp dport @{}", doors.0))
    }

    pub(crate) fn udp_from(self, port: u16) -> Self {
        self.transport(protocol::UDP)
            .payload(Header::Transport, 0, 2)
            .equals(&port.to_be_bytes())
            .say(&format!("udp sport {port}"))
    }

    pub(crate) fn udp_to(self, port: u16) -> Self {
        self.transport(protocol::UDP)
            .payload(Header::Transport, 2, 2)
            .equals(&port.to_be_bytes())
            .say(&format!("udp dport {port}"))
    }

    pub(crate) fn any_tcp(self) -> Self {
        self.transport(protocol::TCP).say("meta l4proto tcp")
    }

    pub(crate) fn any_udp(self) -> Self {
        self.transport(protocol::UDP).say("meta l4proto udp")
    }

    pub(crate) fn any_igmp(self) -> Self {
        self.transport(protocol::IGMP).say("meta l4proto igmp")
    }

    pub(crate) fn icmp_echo_request(self) -> Self {
        self.icmp(8, "echo-request")
    }

    pub(crate) fn icmp_redirect(self) -> Self {
        self.icmp(5, "redirect")
    }

    pub(crate) fn icmpv6(self, kind: Icmpv6) -> Self {
        let (number, name) = kind.number_and_name();
        self.ipv6()
            .transport(protocol::ICMPV6)
            .payload(Header::Transport, 0, 1)
            .equals(&[number])
            .say(&format!("icmpv6 type {name}"))
    }

    /// A router's question which groups are listened to: all versions have the same first byte.
    pub(crate) fn igmp_query(self) -> Self {
        self.ipv4()
            .transport(protocol::IGMP)
            .payload(Header::Transport, 0, 1)
            .equals(&[0x11])
            .say("meta nfproto ipv4 igmp type membership-query")
    }

    /// Over no router: the sender is on this very link (RFC 4861, section 11.2).
    pub(crate) fn unforwarded(self) -> Self {
        self.ipv6().payload(Header::Network, 7, 1).equals(&[255]).say("ip6 hoplimit 255")
    }

    pub(crate) fn source_link_local(self) -> Self {
        let mut mask = [0; 16];
        mask[..2].copy_from_slice(&[0xff, 0xc0]);
        let mut prefix = [0; 16];
        prefix[..2].copy_from_slice(&[0xfe, 0x80]);
        self.ipv6()
            .payload(Header::Network, 8, 16)
            .then(Expression::Mask(Bytes::new(&mask)))
            .equals(&prefix)
            .say("ip6 saddr fe80::/10")
    }

    pub(crate) fn destination_ipv6_group(self) -> Self {
        self.ipv6().payload(Header::Network, 24, 1).equals(&[0xff]).say("ip6 daddr ff00::/8")
    }

    pub(crate) fn source_loopback_v4(self) -> Self {
        self.ipv4().payload(Header::Network, 12, 1).equals(&[127]).say("ip saddr 127.0.0.0/8")
    }

    pub(crate) fn destination_loopback_v4(self) -> Self {
        self.ipv4().payload(Header::Network, 16, 1).equals(&[127]).say("ip daddr 127.0.0.0/8")
    }

    pub(crate) fn source_v6(self, address: Ipv6Addr) -> Self {
        self.ipv6()
            .payload(Header::Network, 8, 16)
            .equals(&address.octets())
            .say(&format!("ip6 saddr {address}"))
    }

    pub(crate) fn destination_v6(self, address: Ipv6Addr) -> Self {
        self.ipv6()
            .payload(Header::Network, 24, 16)
            .equals(&address.octets())
            .say(&format!("ip6 daddr {address}"))
    }

    pub(crate) fn destination_v4(self, address: Ipv4Addr) -> Self {
        self.ipv4()
            .payload(Header::Network, 16, 4)
            .equals(&address.octets())
            .say(&format!("ip daddr {address}"))
    }

    pub(crate) fn arp_reply(self) -> Self {
        self.payload(Header::Network, 6, 2).equals(&[0, 2]).say("arp operation reply")
    }

    /// An ARP question whose asker stands in `set` with the port that the question came in by.
    pub(crate) fn arp_request_from(self, set: Set) -> Self {
        self.payload(Header::Network, 6, 2)
            .equals(&[0, 1])
            .then(Expression::Meta(Meta::ArrivedBy))
            .then(Expression::Payload {
                header: Header::Network,
                offset: 14,
                length: 4,
                into: BEHIND_FOUR_BYTES,
            })
            .lookup(set, false)
            .say(&format!("arp operation request iif . arp saddr ip @{}", set.0))
    }

    /// A sender that stands in `set` with the port that the packet came in by.
    pub(crate) fn source_member_of(self, set: Set) -> Self {
        self.ipv6()
            .then(Expression::Meta(Meta::ArrivedBy))
            .then(Expression::Payload {
                header: Header::Network,
                offset: 8,
                length: 16,
                into: BEHIND_FOUR_BYTES,
            })
            .lookup(set, false)
            .say(&format!("iif . ip6 saddr @{}", set.0))
    }

    /// For an address that stands in `set` with the port that the packet came in by.
    pub(crate) fn destination_member_of(self, set: Set) -> Self {
        self.ipv4()
            .then(Expression::Meta(Meta::ArrivedBy))
            .then(Expression::Payload {
                header: Header::Network,
                offset: 16,
                length: 4,
                into: BEHIND_FOUR_BYTES,
            })
            .lookup(set, false)
            .say(&format!("iif . ip daddr @{}", set.0))
    }

    // What the kernel knows of it.

    pub(crate) fn established_or_related(self) -> Self {
        self.state(state::ESTABLISHED | state::RELATED, "established,related")
    }

    pub(crate) fn new_connection(self) -> Self {
        self.state(state::NEW, "new")
    }

    pub(crate) fn invalid(self) -> Self {
        self.state(state::INVALID, "invalid")
    }

    /// From the called to the caller.
    pub(crate) fn reply(self) -> Self {
        self.then(Expression::Ct(Ct::Direction)).equals(&[1]).say("ct direction reply")
    }

    /// From the caller to the called.
    pub(crate) fn original(self) -> Self {
        self.then(Expression::Ct(Ct::Direction)).equals(&[0]).say("ct direction original")
    }

    /// For an address of this type at the very port that it came in by.
    pub(crate) fn for_this_port(self, kind: AddressType) -> Self {
        let name = match kind {
            AddressType::Local => "local",
            AddressType::Broadcast => "broadcast",
            AddressType::Multicast => "multicast",
        };
        self.then(Expression::Fib { flags: fib::DESTINATION | fib::ARRIVED_BY, result: fib::RESULT_TYPE })
            .equals(&(kind as u32).to_ne_bytes())
            .say(&format!("fib daddr . iif type {name}"))
    }

    /// From an address to which no route leads by the port that it came in by.
    pub(crate) fn no_way_back(self) -> Self {
        self.then(Expression::Fib {
            flags: fib::SOURCE | fib::MARK | fib::ARRIVED_BY | fib::PRESENT,
            result: fib::RESULT_PORT,
        })
        .equals(&[0; 4])
        .say("fib saddr . mark . iif oif missing")
    }

    /// No more often than is answered in a second.
    pub(crate) fn seldom(self) -> Self {
        self.then(Expression::Limit(ANSWERS)).say(&ANSWERS.words())
    }

    /// No more often than a router that keeps to the standard speaks, on each port apart: `set` remembers the ports.
    pub(crate) fn no_more_than_routers_speak(self, set: Set) -> Self {
        let limit = ADVERTISEMENTS.words();
        self.then(Expression::Meta(Meta::ArrivedBy))
            .then(Expression::LimitEach(set, ADVERTISEMENTS))
            .say(&format!("update @{} {{ iif {limit} }}", set.0))
    }

    // What becomes of it.

    pub(crate) fn accept(self) -> Rule {
        self.verdict(verdict::ACCEPT, None, "accept")
    }

    /// Drops it without a word, counted.
    pub(crate) fn drop(self, counter: Counter) -> Rule {
        self.then(Expression::Count(counter)).say(&format!("counter name \"{}\"", counter.0)).verdict(
            verdict::DROP,
            None,
            "drop",
        )
    }

    /// Looks into another chain, and comes back if that has no verdict.
    pub(crate) fn jump(self, chain: &'static str) -> Rule {
        self.verdict(verdict::JUMP, Some(chain), &format!("jump {chain}"))
    }

    /// Looks into another chain, and does not come back.
    pub(crate) fn goto(self, chain: &'static str) -> Rule {
        self.verdict(verdict::GOTO, Some(chain), &format!("goto {chain}"))
    }

    /// Answers that there is no such port.
    pub(crate) fn reset(self) -> Rule {
        self.then(Expression::Reject).say("reject with tcp reset").whole()
    }

    /// Marks it with the index of the port it came in by, and goes on.
    pub(crate) fn mark_with_port(self) -> Rule {
        self.then(Expression::Meta(Meta::ArrivedBy))
            .then(Expression::SetMark)
            .say("meta mark set iif")
            .whole()
    }

    fn icmp(self, number: u8, name: &str) -> Self {
        self.ipv4()
            .transport(protocol::ICMP)
            .payload(Header::Transport, 0, 1)
            .equals(&[number])
            .say(&format!("icmp type {name}"))
    }

    fn ipv4(self) -> Self {
        self.family(libc::NFPROTO_IPV4)
    }

    fn ipv6(self) -> Self {
        self.family(libc::NFPROTO_IPV6)
    }

    /// Offsets into a header mean something only where the header is of that kind.
    fn family(mut self, family: libc::c_int) -> Self {
        let family = u8::try_from(family).unwrap_or_default();
        if self.family.replace(family) == Some(family) {
            return self;
        }
        self.then(Expression::Meta(Meta::Family)).equals(&[family])
    }

    fn transport(mut self, number: u8) -> Self {
        if self.transport.replace(number) == Some(number) {
            return self;
        }
        self.then(Expression::Meta(Meta::Transport)).equals(&[number])
    }

    fn payload(self, header: Header, offset: u32, length: u32) -> Self {
        self.then(Expression::Payload { header, offset, length, into: FIRST })
    }

    fn state(self, bits: u32, names: &str) -> Self {
        self.then(Expression::Ct(Ct::State))
            .then(Expression::Mask(Bytes::new(&bits.to_ne_bytes())))
            .then(Expression::Compare { operation: NOT_EQUAL, with: Bytes::new(&[0; 4]) })
            .say(&format!("ct state {names}"))
    }

    fn lookup(self, set: Set, inverted: bool) -> Self {
        self.then(Expression::Lookup { set, flags: if inverted { INVERTED } else { 0 } })
    }

    fn equals(self, value: &[u8]) -> Self {
        self.then(Expression::Compare { operation: EQUAL, with: Bytes::new(value) })
    }

    fn verdict(self, code: i32, chain: Option<&'static str>, text: &str) -> Rule {
        self.then(Expression::Verdict { code, chain }).say(text).whole()
    }

    fn then(mut self, expression: Expression) -> Self {
        self.expressions.push(expression);
        self
    }

    fn say(mut self, text: &str) -> Self {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(text);
        self
    }

    fn whole(self) -> Rule {
        Rule { expressions: self.expressions, text: self.text }
    }
}
