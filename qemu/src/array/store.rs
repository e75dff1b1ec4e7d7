//! What the simulated array knows: its users, their sessions, its events, and the faults that are switched on. It never
//! touches a socket.

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

/// Events beyond this are forgotten, the oldest first.
const EVENTS: usize = 10_000;
/// Sessions beyond this are forgotten, the oldest first.
const SESSIONS: usize = 1_000;
/// How long a session lasts after its last use.
const SESSION_LASTS: Duration = Duration::from_mins(30);

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// His own pools.
    PoolAdmin,
    /// Look.
    ReadOnly,
    /// The vendor's support.
    Infinidat,
    /// The vendor's technician.
    Technician,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Admin, Self::PoolAdmin, Self::ReadOnly, Self::Infinidat, Self::Technician];

    /// As the array writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::PoolAdmin => "POOL_ADMIN",
            Self::ReadOnly => "READ_ONLY",
            Self::Infinidat => "INFINIDAT",
            Self::Technician => "TECHNICIAN",
        }
    }

    /// Reads what [`Role::name`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == text)
    }
}

/// A user of the array.
#[derive(Debug, Clone)]
pub(super) struct User {
    /// His name.
    pub name: String,
    /// None for who comes by single sign-on only.
    pub password: Option<String>,
    /// What he may do.
    pub roles: Vec<Role>,
    /// Whether the array lets him in at all.
    pub locked: bool,
    id: i64,
    tries: u32,
}

impl User {
    /// The answer to who this is.
    pub(super) fn result(&self) -> Value {
        let roles: Vec<_> = self.roles.iter().map(|role| role.name()).collect();
        let object = json!({
            "type": if self.password.is_some() { "Local" } else { "SSO" },
            "id": self.id,
            "name": self.name,
            "role": roles.first(),
            "roles": roles,
            "email": format!("{}@array.lab", self.name),
            "enabled": !self.locked,
        });
        let mut result = object.clone();
        result["user_objects"] = json!([object]);
        result
    }

    fn may(&self, roles: &[Role]) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }

    /// Whether he may post events.
    pub(super) fn may_post(&self) -> bool {
        self.may(&[Role::Admin, Role::Infinidat, Role::Technician])
    }
}

/// What goes wrong, until it is told otherwise. `down` and `forged` are the front's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Every answer comes so much later.
    Slow(Duration),
    /// Every answer is this status (500 to 599), with the array's envelope.
    Status(u16),
    /// Every answer is a page and no JSON.
    Page,
    /// Every answer calls itself JSON and is none.
    Garbage,
    /// Every answer is a JSON text that does not end.
    Endless,
}

#[derive(Debug)]
struct Session {
    token: String,
    user: String,
    used: Instant,
    requests: u32,
}

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No such user, or not his password.
    Wrong,
    /// Locked.
    Locked,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) system: Value,
    pub(super) version: String,
    users: BTreeMap<String, User>,
    sessions: VecDeque<Session>,
    events: VecDeque<Value>,
    next_event: u64,
    next_user: i64,
    /// Wrong passwords in a row after which a user is locked.
    pub(super) lock_after: Option<u32>,
    /// Requests after which a session is forgotten.
    pub(super) forget_after: Option<u32>,
    /// Whether whatever changes something wants `approved=true`.
    pub(super) approval: bool,
    pub(super) fault: Fault,
    pub(super) logins: u64,
    pub(super) requests: u64,
    pub(super) ended: bool,
}

impl Store {
    pub(super) fn new(name: &str, serial: u64, version: &str) -> Self {
        let system = json!({
            "id": serial,
            "name": name,
            "serial_number": serial,
            "version": version,
            "model": "F6000",
            "product_id": "INFINIBOX",
            "release": {"system": {"version": version, "revision": "lab"}},
            "operational_state": {"state": "ACTIVE", "mode": "NORMAL", "read_only_system": false},
        });
        Self {
            system,
            version: version.to_owned(),
            users: BTreeMap::new(),
            sessions: VecDeque::new(),
            events: VecDeque::new(),
            next_event: 1,
            next_user: 1,
            lock_after: None,
            forget_after: None,
            approval: false,
            fault: Fault::None,
            logins: 0,
            requests: 0,
            ended: false,
        }
    }

    /// Makes a user, or makes him anew.
    pub(super) fn user(&mut self, name: &str, password: Option<&str>, roles: &[Role]) {
        let id = self.next_user;
        self.next_user += 1;
        self.sessions.retain(|session| session.user != name);
        let user = User {
            name: name.to_owned(),
            password: password.map(ToOwned::to_owned),
            roles: roles.to_vec(),
            locked: false,
            id,
            tries: 0,
        };
        self.users.insert(name.to_owned(), user);
    }

    /// Locks or unlocks; whether there is such a user.
    pub(super) fn lock(&mut self, name: &str, locked: bool) -> bool {
        let Some(user) = self.users.get_mut(name) else { return false };
        (user.locked, user.tries) = (locked, 0);
        true
    }

    /// Who this is by his password.
    pub(super) fn check(&mut self, name: &str, password: &str) -> Result<User, Refusal> {
        let user = self.users.get_mut(name).ok_or(Refusal::Wrong)?;
        if user.locked {
            return Err(Refusal::Locked);
        }
        if user.password.as_deref() == Some(password) {
            user.tries = 0;
            return Ok(user.clone());
        }
        user.tries += 1;
        user.locked = self.lock_after.is_some_and(|most| user.tries >= most);
        Err(Refusal::Wrong)
    }

    /// Begins a session; its token.
    pub(super) fn begin(&mut self, name: &str) -> Option<String> {
        let user = self.users.get(name)?.name.clone();
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let token = bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        });
        if self.sessions.len() >= SESSIONS {
            self.sessions.pop_front();
        }
        self.sessions.push_back(Session { token: token.clone(), user, used: Instant::now(), requests: 0 });
        Some(token)
    }

    /// Who uses this session. A session that has expired is forgotten.
    pub(super) fn whose(&mut self, token: &str) -> Option<User> {
        self.sessions.retain(|session| session.used.elapsed() < SESSION_LASTS);
        let index = self.sessions.iter().position(|session| session.token == token)?;
        let session = self.sessions.get_mut(index)?;
        if self.forget_after.is_some_and(|most| session.requests >= most) {
            self.sessions.remove(index);
            return None;
        }
        session.requests += 1;
        session.used = Instant::now();
        self.users.get(&session.user).filter(|user| !user.locked).cloned()
    }

    /// Ends a session.
    pub(super) fn end(&mut self, token: &str) {
        self.sessions.retain(|session| session.token != token);
    }

    /// Ends them all.
    pub(super) fn forget(&mut self) {
        self.sessions.clear();
    }

    /// How many sessions there are.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Keeps an event and gives it as the array shows it.
    pub(super) fn post(&mut self, mut event: Value) -> Value {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        event["id"] = self.next_event.into();
        event["timestamp"] = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).into();
        event["system_version"] = self.version.clone().into();
        event["source_node_id"] = 1.into();
        event["reporter"] = "CUSTOM".into();
        event["affected_entity_id"] = Value::Null;
        event["tenant_id"] = 1.into();
        self.next_event += 1;
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        event
    }

    /// All events, the oldest first.
    pub(super) fn events(&self) -> Vec<Value> {
        self.events.iter().cloned().collect()
    }
}
