//! mDNS on one port: what arrives and what the time is become what is sent. Pure: it has no clock and no socket.

use super::message::{self, data};
use super::records::{Records, Service};
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The port of mDNS.
pub const MDNS_PORT: u16 = 5353;

/// Questions before a name is ours, and the time between them (RFC 6762, section 8.1).
const PROBES: u8 = 3;
const PROBE_GAP: Duration = Duration::from_millis(250);
/// How long the loser of two that ask at once steps back (section 8.2).
const STEP_BACK: Duration = Duration::from_secs(1);
/// Announcements, and the time between them (section 8.3).
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCEMENT_GAP: Duration = Duration::from_secs(1);
/// How often a record goes out on a port at most, and in answer to somebody who probes for its name (section 6).
const RECORD_GAP: Duration = Duration::from_secs(1);
const DEFENCE_GAP: Duration = Duration::from_millis(250);
/// So many conflicts in so long a time, and each further one is followed by a rest (section 8.1).
const CONFLICTS_MOST: usize = 15;
const CONFLICTS_WITHIN: Duration = Duration::from_secs(10);
const CONFLICT_REST: Duration = Duration::from_secs(5);
/// The time to live of what a plain resolver is told (section 6.7), in seconds.
const LEGACY_SECONDS: u32 = 10;
/// Questions of one message that are looked at.
const QUESTIONS_MOST: usize = 64;
/// Answers to single hosts in a second. Multicast has its own limit; these could be made to flood somebody.
const SINGLE_ANSWERS_MOST: u32 = 20;

/// The two groups, 224.0.0.251 and `ff02::fb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4 = 0,
    /// IPv6.
    V6 = 1,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Everybody on the link.
    Group(Family),
    /// One host on the link.
    Host(SocketAddr),
}

/// A message to be sent on the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// To whom.
    pub to: To,
    /// The message.
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many questions were asked whether somebody has the names; the next step is at that time.
    Probing(u8, Duration),
    /// The names are ours, and everybody was told so many times.
    Announcing(u8, Duration),
    /// Questions are answered.
    Standing,
}

/// An answer that waits for its time.
#[derive(Clone, Debug, Default)]
struct Pending {
    at: Duration,
    places: BTreeSet<usize>,
    negative: [bool; 2],
}

/// The responder of one port. Times are spans since a start that the caller chooses.
#[derive(Debug)]
pub struct Machine {
    label: String,
    attempt: u32,
    service: Service,
    addresses: Vec<(IpAddr, u8)>,
    records: Option<Records>,
    state: State,
    /// When each of our records was last sent to each group, and behind them the two that deny what there is not.
    told: [Vec<Option<Duration>>; 2],
    pending: [Option<Pending>; 2],
    conflicts: VecDeque<Duration>,
    taken: bool,
    single: (Duration, u32),
    random: u64,
}

impl Machine {
    /// A responder that is about to ask whether the `attempt`th name (from 1) is free.
    pub fn new(
        label: &str,
        attempt: u32,
        service: &Service,
        addresses: &[(IpAddr, u8)],
        now: Duration,
        random: u64,
    ) -> Machine {
        let mut machine = Machine {
            label: label.to_owned(),
            attempt,
            service: service.clone(),
            addresses: addresses.to_vec(),
            records: None,
            state: State::Standing,
            told: [Vec::new(), Vec::new()],
            pending: [None, None],
            conflicts: VecDeque::new(),
            taken: false,
            single: (now, 0),
            random: random | 1,
        };
        machine.rebuild();
        let wait = machine.spread(Duration::ZERO, PROBE_GAP);
        machine.state = State::Probing(0, now + wait);
        machine
    }

    /// The host's name as it is asked for or told, with `.local.` behind it.
    pub fn host_name(&self) -> String {
        self.records.as_ref().map(|records| records.host.to_ascii()).unwrap_or_default()
    }

    /// Whether the names are ours.
    pub fn is_standing(&self) -> bool {
        !matches!(self.state, State::Probing(..))
    }

    /// Whether somebody else has the name. Told once; another name is the caller's choice, since it is the same on all ports.
    pub fn name_is_taken(&mut self) -> bool {
        std::mem::take(&mut self.taken)
    }

    /// Takes another name, and asks for it.
    pub fn rename(&mut self, attempt: u32, now: Duration) -> Vec<Outgoing> {
        let farewell = if self.is_standing() { self.goodbye() } else { Vec::new() };
        self.attempt = attempt;
        self.taken = false;
        self.rebuild();
        let rest = self.rest(now);
        self.state = State::Probing(0, now + rest);
        farewell
    }

    /// The port has these addresses now. What is no more is taken back, and the rest is told anew.
    pub fn set_addresses(&mut self, addresses: &[(IpAddr, u8)], now: Duration) -> Vec<Outgoing> {
        if self.addresses == addresses {
            return Vec::new();
        }
        let before = self.records.clone();
        let families: Vec<Family> = self.families().collect();
        self.addresses = addresses.to_vec();
        self.rebuild();
        if let State::Probing(..) = self.state {
            return Vec::new();
        }
        self.state = State::Announcing(0, now);
        let (Some(before), Some(records)) = (before, &self.records) else { return Vec::new() };
        let gone: Vec<Record> = before
            .own
            .into_iter()
            .filter(|own| records.place(&own.record).is_none())
            .map(|own| farewell(&own.record))
            .collect();
        if gone.is_empty() { Vec::new() } else { to_groups(families, &response(gone, Vec::new())) }
    }

    /// What is said when the port is given up: every record with no time to live (section 10.1).
    pub fn goodbye(&self) -> Vec<Outgoing> {
        let Some(records) = self.records.as_ref().filter(|_| self.is_standing()) else { return Vec::new() };
        let last = records.own.iter().map(|own| farewell(&own.record)).collect();
        to_groups(self.families(), &response(last, Vec::new()))
    }

    /// When [`Self::tick`] is to be called next.
    pub fn due(&self) -> Option<Duration> {
        let step = match self.state {
            State::Probing(_, at) | State::Announcing(_, at) => Some(at),
            State::Standing => None,
        };
        let pending = self.pending.iter().flatten().map(|pending| pending.at);
        pending.chain(step).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        match self.state {
            State::Probing(asked, at) if at <= now && asked < PROBES => {
                outgoing.extend(self.probe());
                self.state = State::Probing(asked + 1, now + PROBE_GAP);
            }
            State::Probing(_, at) | State::Announcing(0, at) if at <= now => {
                outgoing.extend(self.announce(now));
                self.state = State::Announcing(1, now + ANNOUNCEMENT_GAP);
            }
            State::Announcing(told, at) if at <= now => {
                outgoing.extend(self.announce(now));
                let more = told + 1 < ANNOUNCEMENTS;
                self.state =
                    if more { State::Announcing(told + 1, now + ANNOUNCEMENT_GAP) } else { State::Standing };
            }
            _ => {}
        }
        for family in Family::ALL {
            if self.pending[family as usize].as_ref().is_some_and(|pending| pending.at <= now) {
                let pending = self.pending[family as usize].take().unwrap_or_default();
                outgoing.extend(self.answer_all(family, &pending, now));
            }
        }
        outgoing
    }

    /// Takes in a message that came to the group. What is broken is passed over.
    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], now: Duration) -> Vec<Outgoing> {
        let Ok(message) = message::parse(bytes) else { return Vec::new() };
        match message.metadata.message_type {
            // Nobody but a responder answers (section 6).
            MessageType::Response if from.port() != MDNS_PORT => {}
            MessageType::Response => self.heard(&message, now),
            MessageType::Query if self.is_standing() => return self.asked(from, &message, now),
            MessageType::Query => self.contested(&message, now),
        }
        Vec::new()
    }

    /// Somebody told something: perhaps about a name that is ours.
    fn heard(&mut self, message: &Message, now: Duration) {
        let Some(records) = &self.records else { return };
        let standing = self.is_standing();
        let conflict = message.all_sections().any(|record| {
            let against = if standing {
                records.contradicts(record)
            } else {
                records.is_unique(&record.name) && records.place(record).is_none()
            };
            against && record.dns_class == DNSClass::IN && record.ttl > 0
        });
        if !conflict {
            return;
        }
        if standing {
            // Section 9: ask again whose it is. If it is the other's, its answer comes while we ask.
            let rest = self.rest(now);
            self.state = State::Probing(0, now + rest);
            self.pending = [None, None];
        } else {
            self.taken = true;
        }
    }

    /// Somebody asks while we ask ourselves: for the same name at the same time, perhaps (section 8.2).
    fn contested(&mut self, message: &Message, now: Duration) {
        let Some(records) = &self.records else { return };
        for name in [&records.host, &records.instance] {
            let mut theirs: Vec<_> =
                message.authorities.iter().filter(|record| record.name == *name).map(rank).collect();
            let own = records.own.iter().filter(|own| own.record.name == *name);
            let mut ours: Vec<_> = own.map(|own| rank(&own.record)).collect();
            theirs.sort_unstable();
            ours.sort_unstable();
            if theirs > ours {
                self.state = State::Probing(0, now + STEP_BACK);
                return;
            }
        }
    }

    /// Somebody asks.
    fn asked(&mut self, from: SocketAddr, message: &Message, now: Duration) -> Vec<Outgoing> {
        let Some(records) = &self.records else { return Vec::new() };
        let family = Family::of(from.ip());
        let known: BTreeSet<usize> = message
            .answers
            .iter()
            .filter_map(|record| Some((records.place(record)?, record.ttl)))
            .filter(|(place, seconds)| *seconds >= records.own[*place].record.ttl / 2)
            .map(|(place, _)| place)
            .collect();
        if let (true, Some(pending)) = (message.queries.is_empty(), &mut self.pending[family as usize]) {
            // The rest of what somebody knows already, whose question came before (section 7.2).
            pending.places.retain(|place| !known.contains(place));
            return Vec::new();
        }
        let legacy = from.port() != MDNS_PORT;
        let on_link = self.is_on_link(from.ip());
        let (mut all, mut single) = (Pending::default(), Pending::default());
        for query in message.queries.iter().take(QUESTIONS_MOST) {
            if !matches!(query.query_class(), DNSClass::IN | DNSClass::ANY) {
                continue;
            }
            let wanted = |record: &Record| {
                record.name == *query.name()
                    && [record.record_type(), RecordType::ANY].contains(&query.query_type())
            };
            let mut nothing = true;
            for (place, own) in records.own.iter().enumerate().filter(|(_, own)| wanted(&own.record)) {
                nothing = false;
                if known.contains(&place) {
                    continue;
                }
                // Who asks for an answer to himself gets one if everybody has heard it not long ago (section 5.4).
                let quarter = Duration::from_secs(u64::from(own.record.ttl) / 4);
                let fresh =
                    self.told[family as usize][place].is_some_and(|told| now.saturating_sub(told) < quarter);
                let alone = legacy || (query.mdns_unicast_response() && fresh && on_link);
                if alone { &mut single } else { &mut all }.places.insert(place);
            }
            for (place, name) in [&records.host, &records.instance].into_iter().enumerate() {
                if nothing && name == query.name() {
                    if legacy { &mut single } else { &mut all }.negative[place] = true;
                }
            }
        }
        let mut outgoing = Vec::new();
        if on_link && !single.is_empty() && self.may_answer_single(now) {
            outgoing.extend(self.answer_single(from, &single, legacy.then_some(message)));
        }
        if !all.is_empty() {
            self.delay(family, all, message, now);
            outgoing.extend(self.tick(now));
        }
        outgoing
    }

    /// Sets an answer to everybody up for its time.
    fn delay(&mut self, family: Family, answer: Pending, message: &Message, now: Duration) {
        let Some(records) = &self.records else { return };
        let gap = if message.authorities.is_empty() { RECORD_GAP } else { DEFENCE_GAP };
        let told = answer.all(records).filter_map(|place| self.told[family as usize][place]).max();
        let earliest = told.map_or(now, |told| told + gap);
        let shared = answer.places.iter().any(|place| !records.own[*place].unique);
        let wait = if message.metadata.truncation {
            // More of what the other knows is on its way.
            self.spread(Duration::from_millis(400), Duration::from_millis(500))
        } else if shared {
            // Others may have answers to the same question.
            self.spread(Duration::from_millis(20), Duration::from_millis(120))
        } else {
            Duration::ZERO
        };
        let pending = &mut self.pending[family as usize];
        // What waits already waits no longer for a further question: only for the sake of the limit.
        let at = pending.as_ref().map_or(now + wait, |pending| pending.at).max(earliest);
        let pending = pending.get_or_insert_default();
        pending.at = at;
        pending.places.extend(answer.places);
        pending.negative = [0, 1].map(|place| pending.negative[place] || answer.negative[place]);
    }

    fn answer_all(&mut self, family: Family, pending: &Pending, now: Duration) -> Option<Outgoing> {
        let records = self.records.as_ref()?;
        let told = &mut self.told[family as usize];
        let mut beside = beside(records, &pending.places);
        beside.retain(|place| told[*place].is_none_or(|told| now.saturating_sub(told) >= RECORD_GAP));
        for place in pending.all(records).chain(beside.iter().copied()) {
            told[place] = Some(now);
        }
        let (answers, additionals) = sections(records, pending, &beside);
        if answers.is_empty() {
            return None; // all of it was known
        }
        Some(Outgoing { to: To::Group(family), bytes: response(answers, additionals).to_vec().ok()? })
    }

    fn answer_single(&self, to: SocketAddr, answer: &Pending, legacy: Option<&Message>) -> Option<Outgoing> {
        let records = self.records.as_ref()?;
        let (answers, additionals) = sections(records, answer, &beside(records, &answer.places));
        let mut message = response(answers, additionals);
        if let Some(asked) = legacy {
            message.metadata.id = asked.metadata.id;
            message.queries = asked.queries.iter().take(QUESTIONS_MOST).cloned().collect();
            // What a plain resolver would take for part of a class.
            message.queries.iter_mut().for_each(|query| query.mdns_unicast_response = false);
            for record in message.answers.iter_mut().chain(&mut message.additionals) {
                record.ttl = record.ttl.min(LEGACY_SECONDS);
                record.mdns_cache_flush = false;
            }
        }
        Some(Outgoing { to: To::Host(to), bytes: message.to_vec().ok()? })
    }

    fn probe(&self) -> Vec<Outgoing> {
        let Some(records) = &self.records else { return Vec::new() };
        let mut message = message::new(MessageType::Query);
        for name in [&records.host, &records.instance] {
            message.add_query(hickory_proto::op::Query::query(name.clone(), RecordType::ANY));
        }
        let unique = records.own.iter().filter(|own| own.unique);
        message.authorities = unique.map(|own| plain(&own.record)).collect();
        to_groups(self.families(), &message)
    }

    fn announce(&mut self, now: Duration) -> Vec<Outgoing> {
        let Some(records) = &self.records else { return Vec::new() };
        let answers = records.own.iter().map(|own| own.record.clone()).collect();
        let outgoing = to_groups(self.families(), &response(answers, records.negative.to_vec()));
        self.told.iter_mut().flatten().for_each(|told| *told = Some(now));
        outgoing
    }

    fn rebuild(&mut self) {
        let addresses: Vec<IpAddr> = self.addresses.iter().map(|(address, _)| *address).collect();
        // A label is made so that it fits: a service whose kind does not is not announced.
        self.records = Records::new(&self.label, self.attempt, &self.service, &addresses).ok();
        let count = self.records.as_ref().map_or(0, |records| records.own.len());
        self.told = [vec![None; count + 2], vec![None; count + 2]];
        self.pending = [None, None];
    }

    /// How long to wait before asking again whose the name is.
    fn rest(&mut self, now: Duration) -> Duration {
        self.conflicts.retain(|at| now.saturating_sub(*at) < CONFLICTS_WITHIN);
        if self.conflicts.len() >= CONFLICTS_MOST {
            return CONFLICT_REST;
        }
        self.conflicts.push_back(now);
        Duration::ZERO
    }

    fn may_answer_single(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.single.0) >= Duration::from_secs(1) {
            self.single = (now, 0);
        }
        self.single.1 += 1;
        self.single.1 <= SINGLE_ANSWERS_MOST
    }

    /// Whether an address is one of this port's network.
    fn is_on_link(&self, from: IpAddr) -> bool {
        self.addresses.iter().any(|(address, prefix)| match (address, from) {
            (IpAddr::V4(address), IpAddr::V4(from)) => {
                let bits = u32::from(*address) ^ u32::from(from);
                bits.checked_shr(32_u32.saturating_sub(u32::from(*prefix))).unwrap_or(0) == 0
            }
            (IpAddr::V6(address), IpAddr::V6(from)) => {
                let bits = u128::from(*address) ^ u128::from(from);
                from.is_unicast_link_local()
                    || bits.checked_shr(128_u32.saturating_sub(u32::from(*prefix))).unwrap_or(0) == 0
            }
            _ => false,
        })
    }

    fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let there = Family::ALL
            .map(|family| self.addresses.iter().any(|(address, _)| Family::of(*address) == family));
        Family::ALL.into_iter().filter(move |family| there[*family as usize])
    }

    /// A time between two (xorshift64: spread, not secret).
    fn spread(&mut self, least: Duration, most: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(0);
        least + Duration::from_micros(self.random % (span + 1))
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.places.is_empty() && self.negative == [false; 2]
    }

    /// The places of all of it in the times at which it was last sent.
    fn all(&self, records: &Records) -> impl Iterator<Item = usize> {
        let denied = (0..2).filter(|place| self.negative[*place]).map(|place| records.own.len() + place);
        self.places.iter().copied().chain(denied)
    }
}

/// How records of two that ask at once are compared: by class, type and data.
fn rank(record: &Record) -> (u16, u16, Vec<u8>) {
    (record.dns_class.into(), record.record_type().into(), data(record))
}

/// The records that who asked for these will ask for next (RFC 6763, section 12).
fn beside(records: &Records, places: &BTreeSet<usize>) -> Vec<usize> {
    let has =
        |wanted: &dyn Fn(&Record) -> bool| places.iter().any(|place| wanted(&records.own[*place].record));
    let instance = has(&|record| matches!(&record.data, RData::PTR(to) if to.0 == records.instance));
    let host = instance
        || has(&|record| matches!(record.data, RData::SRV(_)))
        || has(&|record| record.name == records.host);
    let wanted = |record: &Record| {
        (instance && record.name == records.instance) || (host && record.name == records.host)
    };
    (0..records.own.len())
        .filter(|place| !places.contains(place) && wanted(&records.own[*place].record))
        .collect()
}

/// Answers, and what goes beside them: with addresses also that there are no others.
fn sections(records: &Records, answer: &Pending, beside: &[usize]) -> (Vec<Record>, Vec<Record>) {
    let record = |place: &usize| records.own[*place].record.clone();
    let mut answers: Vec<Record> = answer.places.iter().map(record).collect();
    let mut additionals: Vec<Record> = beside.iter().map(record).collect();
    let negative = records.negative.iter().zip(answer.negative);
    answers.extend(negative.filter(|(_, said)| *said).map(|(record, _)| record.clone()));
    let host = answers.iter().chain(&additionals).any(|record| record.name == records.host);
    if host && !answer.negative[0] {
        additionals.push(records.negative[0].clone());
    }
    (answers, additionals)
}

/// A record as a proposal: without the word that there is no other.
fn plain(record: &Record) -> Record {
    let mut record = record.clone();
    record.mdns_cache_flush = false;
    record
}

/// A record that is no more.
fn farewell(record: &Record) -> Record {
    let mut record = plain(record);
    record.ttl = 0;
    record
}

fn response(answers: Vec<Record>, additionals: Vec<Record>) -> Message {
    let mut message = message::new(MessageType::Response);
    message.answers = answers;
    message.additionals = additionals;
    message
}

fn to_groups(families: impl IntoIterator<Item = Family>, message: &Message) -> Vec<Outgoing> {
    // What cannot be written is not sent: our own records are bounded so that it can.
    let bytes = message.to_vec().unwrap_or_default();
    let families = families.into_iter().filter(|_| !bytes.is_empty());
    families.map(|family| Outgoing { to: To::Group(family), bytes: bytes.clone() }).collect()
}

#[cfg(test)]
mod tests;
