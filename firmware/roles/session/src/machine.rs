//! The course of a support session. Pure: it is told the time and what happens, and tells what is to be done. It never starts
//! or ends anything itself.
//!
//! ```text
//!             open                 both serve
//!   Closed ─────────► Opening ───────────────────► Open ◄──► engineers come and go
//!     ▲                  │ stop, expiry, failure      │ stop, expiry, failure
//!     │                  ▼                            ▼
//!     │ nothing is ┌─ Closing ◄───────────────────────┘
//!     ├────────────┤     │ something is left after 5 s
//!     │ left       │     ▼
//!     └────────────┴─ FailedToClose: an alarm, and the uplink is down until nothing is left
//! ```
//!
//! Times are milliseconds of the monotonic clock: a clock of the day that is set, or that a time server sets, moves no end.

use crate::secret::{ConnectionTries, Kept, NoTry, Tries};
use drawbridge_bus::support::{EndReason, EngineerKey, GrantId, GrantRequest, Leftovers, Target};
use drawbridge_settings::FieldError;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// After so long with something left, the end has failed.
pub const CLOSE_WITHIN: u64 = 5_000;
/// How often it is looked whether something is left.
pub const LOOK_EVERY: u64 = 100;
/// Connections of engineers at one time, those that have not proved themselves among them.
pub const CONNECTIONS_MOST: usize = 32;
const MINUTE: u64 = 60_000;

/// A connection of an engineer's, by the number that the SSH daemon gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection(pub u64);

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Do {
    /// Start tunnel and SSH daemon for the grant.
    Begin(GrantId),
    /// End tunnel, SSH daemon and every shell, at once.
    End(GrantId),
    /// End what this engineer has open, and his connection.
    Cut(Connection),
    /// Look what is left, and tell [`Machine::left`].
    Look,
    /// Take the uplink down: something is left that cannot be ended.
    UplinkDown,
    /// Let the uplink up again.
    UplinkUp,
    /// Write it down and tell it.
    Note(Note),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A grant was given.
    Opened(GrantId),
    /// Its end was set anew, in minutes from now.
    EndSet(u32),
    /// An engineer has proved himself.
    Arrived(Connection),
    /// He has gone.
    Left(Connection),
    /// Somebody could not.
    Denied(Connection, Denial),
    /// The end has begun.
    Ending(EndReason),
    /// Nothing is left.
    Closed(GrantId),
    /// Something is left.
    FailedToClose(Leftovers),
}

/// Why somebody is not let in, or not to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// There is no grant, or not this one.
    #[error("no support session is open")]
    Closed,
    /// From elsewhere than the owner allows.
    #[error("engineers may not come from this address")]
    Source,
    /// More than are served.
    #[error("too many engineers are connected")]
    Many,
    /// The grant wants no secret, or a key first.
    #[error("this is not how the grant wants it proved")]
    Proof,
    /// The key's time is over.
    #[error("the key's time is over")]
    KeyExpired,
    /// The secret is not looked at.
    #[error("{0}")]
    Tries(#[from] NoTry),
    /// The secret is wrong.
    #[error("the secret is wrong")]
    Wrong,
    /// The grant does not open that.
    #[error("the grant does not allow this")]
    Scope,
}

/// What is left to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: he is in.
    In,
    /// The secret, too.
    Secret,
}

/// What an engineer wants to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use<'a> {
    /// The command line.
    Shell,
    /// Files of the grant's folder.
    Files,
    /// A connection from the appliance to a place of the array.
    Forward(&'a Target),
}

/// Where the session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is open.
    Closed,
    /// Tunnel and SSH daemon are coming up.
    Opening,
    /// Engineers can come in.
    Open,
    /// Everything is being ended.
    Closing,
    /// Something cannot be ended: an alarm.
    FailedToClose(Leftovers),
}

#[derive(Default)]
struct Engineer {
    tries: ConnectionTries,
    key: bool,
    is_in: bool,
}

struct Grant {
    id: GrantId,
    request: GrantRequest,
    kept: Option<Kept>,
    tries: Tries,
    opened: u64,
    ends: u64,
    engineers: BTreeMap<Connection, Engineer>,
}

enum Phase {
    Closed,
    Opening(Box<Grant>),
    Open(Box<Grant>),
    Closing { id: GrantId, since: u64, look: u64 },
    Failed { id: GrantId, look: u64, left: Leftovers },
}

/// A support session from the beginning of one grant to the proof that nothing is left of it, and so on.
pub struct Machine {
    phase: Phase,
    last: u64,
    orders: Vec<Do>,
}

impl Default for Machine {
    fn default() -> Self {
        Self { phase: Phase::Closed, last: 0, orders: Vec::new() }
    }
}

impl Machine {
    /// Gives a grant. `kept` is its secret, where the grant wants one.
    pub fn open(
        &mut self,
        request: GrantRequest,
        kept: Option<Kept>,
        now: u64,
    ) -> Result<GrantId, Vec<FieldError>> {
        request.check()?;
        if request.proof.needs_secret() != kept.is_some() {
            let (wrong, right) = if kept.is_some() {
                ("there is a secret, and the grant wants none", "no secret, or a proof that wants it")
            } else {
                ("there is no secret", "the words that are offered, or one of your own")
            };
            return Err(vec![FieldError::new("secret", wrong, right)]);
        }
        if !matches!(self.phase, Phase::Closed) {
            let right = "Stop it first, and wait until nothing is left of it";
            return Err(vec![FieldError::new("(all)", "a support session is open already", right)]);
        }
        self.last += 1;
        let id = GrantId(self.last);
        let ends = now.saturating_add(u64::from(request.minutes) * MINUTE);
        let engineers = BTreeMap::new();
        let grant = Grant { id, request, kept, tries: Tries::default(), opened: now, ends, engineers };
        self.phase = Phase::Opening(Box::new(grant));
        self.orders.extend([Do::Note(Note::Opened(id)), Do::Begin(id)]);
        Ok(id)
    }

    /// Tunnel and SSH daemon of the grant serve.
    pub fn serves(&mut self, id: GrantId) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Opening(grant) if grant.id == id => Phase::Open(grant),
            other => other,
        };
    }

    /// Ends the grant. What has ended already, or was another one, is left alone.
    pub fn end(&mut self, id: GrantId, why: EndReason, now: u64) {
        if self.grant().is_none_or(|grant| grant.id != id) {
            return;
        }
        // With the grant its hash goes, and whoever was in.
        self.phase = Phase::Closing { id, since: now, look: now + LOOK_EVERY };
        self.orders.extend([Do::Note(Note::Ending(why)), Do::End(id), Do::Look]);
    }

    /// Sets the end of the grant anew: so many minutes from now.
    pub fn set_end(&mut self, id: GrantId, minutes: u32, now: u64) -> Result<(), Denial> {
        let grant = self.grant_mut().filter(|grant| grant.id == id).ok_or(Denial::Closed)?;
        if !drawbridge_bus::support::MINUTES.contains(&minutes) {
            return Err(Denial::Scope);
        }
        grant.ends = now.saturating_add(u64::from(minutes) * MINUTE);
        self.orders.push(Do::Note(Note::EndSet(minutes)));
        Ok(())
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) {
        if let Some(id) = self.grant().filter(|grant| now >= grant.ends).map(|grant| grant.id) {
            self.end(id, EndReason::Expired, now);
        }
        let (Phase::Closing { look, .. } | Phase::Failed { look, .. }) = &mut self.phase else { return };
        if now >= *look {
            *look = now + LOOK_EVERY;
            self.orders.push(Do::Look);
        }
    }

    /// When [`Machine::tick`] is to be called next.
    pub fn next(&self) -> Option<u64> {
        match &self.phase {
            Phase::Closed => None,
            Phase::Opening(grant) | Phase::Open(grant) => Some(grant.ends),
            Phase::Closing { look, .. } | Phase::Failed { look, .. } => Some(*look),
        }
    }

    /// What was found to be left.
    pub fn left(&mut self, left: Leftovers, now: u64) {
        let (id, since, failed) = match &self.phase {
            Phase::Closing { id, since, .. } => (*id, *since, None),
            Phase::Failed { id, left, .. } => (*id, now, Some(*left)),
            // Said before the next grant began.
            _ => return,
        };
        if left.is_none() {
            self.phase = Phase::Closed;
            if failed.is_some() {
                self.orders.push(Do::UplinkUp);
            }
            self.orders.push(Do::Note(Note::Closed(id)));
            return;
        }
        match failed {
            None if now >= since + CLOSE_WITHIN => {
                self.phase = Phase::Failed { id, look: now + LOOK_EVERY, left };
                self.orders.extend([Do::UplinkDown, Do::Note(Note::FailedToClose(left)), Do::End(id)]);
            }
            Some(before) if before != left => {
                self.phase = Phase::Failed { id, look: now + LOOK_EVERY, left };
                self.orders.push(Do::Note(Note::FailedToClose(left)));
            }
            _ => {}
        }
    }

    /// An engineer's connection has come in.
    pub fn connect(&mut self, connection: Connection, from: IpAddr) -> Result<(), Denial> {
        let verdict = match &mut self.phase {
            Phase::Open(grant) => grant.connect(connection, from),
            _ => Err(Denial::Closed),
        };
        self.noted(connection, verdict)
    }

    /// He has shown that he has this key, by number in the grant's list: itself, or a certificate that it has signed and
    /// whose own dates were checked.
    pub fn key(&mut self, connection: Connection, key: usize, now: u64) -> Result<Next, Denial> {
        let verdict = match &mut self.phase {
            Phase::Open(grant) => grant.key(connection, key, now),
            _ => Err(Denial::Closed),
        };
        if verdict == Ok(Next::In) {
            self.orders.push(Do::Note(Note::Arrived(connection)));
        }
        self.noted(connection, verdict)
    }

    /// He offers a secret: what it is to be checked by, if it is looked at at all. It counts as wrong until
    /// [`Machine::secret`] says otherwise.
    pub fn try_secret(&mut self, connection: Connection) -> Result<Kept, Denial> {
        let verdict = match &mut self.phase {
            Phase::Open(grant) => grant.try_secret(connection),
            _ => Err(Denial::Closed),
        };
        self.noted(connection, verdict)
    }

    /// What the check of the secret has found.
    pub fn secret(&mut self, connection: Connection, right: bool) -> Result<Next, Denial> {
        let verdict = match &mut self.phase {
            Phase::Open(grant) => grant.secret(connection, right),
            _ => Err(Denial::Closed),
        };
        if verdict == Ok(Next::In) {
            self.orders.push(Do::Note(Note::Arrived(connection)));
        }
        self.noted(connection, verdict)
    }

    /// Whether an engineer who is in may use this.
    pub fn may(&mut self, connection: Connection, what: &Use<'_>) -> Result<(), Denial> {
        let verdict = match &self.phase {
            Phase::Open(grant) if grant.engineers.get(&connection).is_some_and(|one| one.is_in) => {
                if grant.allows(what) { Ok(()) } else { Err(Denial::Scope) }
            }
            _ => Err(Denial::Closed),
        };
        self.noted(connection, verdict)
    }

    /// A connection has ended.
    pub fn gone(&mut self, connection: Connection) {
        let Phase::Open(grant) = &mut self.phase else { return };
        if grant.engineers.remove(&connection).is_some_and(|one| one.is_in) {
            self.orders.push(Do::Note(Note::Left(connection)));
        }
    }

    /// What is to be done, each told once.
    pub fn orders(&mut self) -> Vec<Do> {
        std::mem::take(&mut self.orders)
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Closed => State::Closed,
            Phase::Opening(_) => State::Opening,
            Phase::Open(_) => State::Open,
            Phase::Closing { .. } => State::Closing,
            Phase::Failed { left, .. } => State::FailedToClose(*left),
        }
    }

    /// Milliseconds until the grant ends by itself, while there is one.
    pub fn time_left(&self, now: u64) -> Option<u64> {
        self.grant().map(|grant| grant.ends.saturating_sub(now))
    }

    /// The engineers who are in.
    pub fn engineers(&self) -> Vec<Connection> {
        let engineers = self.grant().map(|grant| &grant.engineers).into_iter().flatten();
        engineers.filter(|(_, one)| one.is_in).map(|(connection, _)| *connection).collect()
    }

    /// Whether the secret was burned, while there is a grant.
    pub fn is_burned(&self) -> bool {
        self.grant().is_some_and(|grant| grant.tries.is_burned())
    }

    /// The keys of the grant, in the order of their numbers.
    pub fn keys(&self) -> &[EngineerKey] {
        self.grant().map_or(&[], |grant| grant.request.proof.keys())
    }

    fn noted<T>(&mut self, connection: Connection, verdict: Result<T, Denial>) -> Result<T, Denial> {
        if let Err(denial) = &verdict {
            self.orders.push(Do::Note(Note::Denied(connection, *denial)));
            if matches!(denial, Denial::Tries(_) | Denial::Source | Denial::Many) {
                self.orders.push(Do::Cut(connection));
            }
        }
        verdict
    }

    fn grant(&self) -> Option<&Grant> {
        match &self.phase {
            Phase::Opening(grant) | Phase::Open(grant) => Some(grant),
            _ => None,
        }
    }

    fn grant_mut(&mut self) -> Option<&mut Grant> {
        match &mut self.phase {
            Phase::Opening(grant) | Phase::Open(grant) => Some(grant),
            _ => None,
        }
    }
}

impl Grant {
    fn connect(&mut self, connection: Connection, from: IpAddr) -> Result<(), Denial> {
        let sources = &self.request.sources;
        if !sources.is_empty() && !sources.iter().any(|net| net.contains(from.to_canonical())) {
            return Err(Denial::Source);
        }
        if self.engineers.len() >= CONNECTIONS_MOST {
            return Err(Denial::Many);
        }
        self.engineers.insert(connection, Engineer::default());
        Ok(())
    }

    fn key(&mut self, connection: Connection, key: usize, now: u64) -> Result<Next, Denial> {
        let engineer = self.engineers.get_mut(&connection).ok_or(Denial::Closed)?;
        let key = self.request.proof.keys().get(key).ok_or(Denial::Proof)?;
        let over = |minutes: u32| now >= self.opened.saturating_add(u64::from(minutes) * MINUTE);
        if key.minutes.is_some_and(over) {
            return Err(Denial::KeyExpired);
        }
        engineer.key = true;
        if self.request.proof.needs_secret() {
            return Ok(Next::Secret);
        }
        engineer.is_in = true;
        Ok(Next::In)
    }

    fn try_secret(&mut self, connection: Connection) -> Result<Kept, Denial> {
        let engineer = self.engineers.get_mut(&connection).ok_or(Denial::Closed)?;
        let kept = self.kept.as_ref().ok_or(Denial::Proof)?;
        if !self.request.proof.keys().is_empty() && !engineer.key {
            return Err(Denial::Proof);
        }
        self.tries.begin(&mut engineer.tries)?;
        Ok(kept.clone())
    }

    fn secret(&mut self, connection: Connection, right: bool) -> Result<Next, Denial> {
        // Who has gone meanwhile has lost his try.
        let engineer = self.engineers.get_mut(&connection).ok_or(Denial::Closed)?;
        if !right {
            return Err(if self.tries.is_burned() { NoTry::Burned.into() } else { Denial::Wrong });
        }
        self.tries.was_right(&mut engineer.tries);
        engineer.is_in = true;
        Ok(Next::In)
    }

    fn allows(&self, what: &Use<'_>) -> bool {
        let scope = &self.request.scope;
        match what {
            Use::Shell => scope.shell,
            Use::Files => scope.files,
            Use::Forward(target) => scope.forwards && scope.targets.contains(target),
        }
    }
}

#[cfg(test)]
mod tests;
