//! The role's desk: every question of the bus is answered here, and what the machine orders is passed on. It never starts or
//! ends anything itself.

mod audit;
mod granted;
mod supervise;

use crate::approval::{Approvals, Approved};
use crate::identity::Identity;
use crate::keys;
use crate::machine::{Connection, Denial, Do, Machine, Next, Note, State, Use};
use crate::secret::{Kept, Secret};
use crate::supervision::Supervision;
use crate::words;
use drawbridge_audit::event::Draft;
use drawbridge_bus::bridge::{
    BridgePath, BridgeRequest, BridgeState, BridgeStatus, DeviceKeys, EngineerAsk, EngineerUse, Link,
    PathStep, STEPS_MOST, SecretBytes, SecretText, ShellScope, SshdOrders, StepResult, TunnelJob, TunnelNews,
    TunnelOrders, Verdict, Visitor,
};
use drawbridge_bus::support::{EndReason, GrantId, GrantRequest, Leftovers, MINUTES, Recording};
use drawbridge_bus::{Refusal, Reply};
use drawbridge_settings::FieldError;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Tunnel and SSH daemon are up within this time, or the grant ends.
const OPEN_WITHIN: Duration = Duration::from_mins(1);
/// From when the SSH daemon is told that a connection is to end: after this the whole grant does.
const LEAVE_WITHIN: u64 = 20_000;
/// A test of the way is over within this time, or it is ended.
const TEST_WITHIN: Duration = Duration::from_mins(3);

/// What the machine and its host are called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// The version of the firmware.
    pub(crate) version: String,
    /// The machine's serial number, or nothing.
    pub(crate) serial: String,
    /// The name of the host.
    pub(crate) host: String,
    /// The clock was not lost: it says about what time it is.
    pub(crate) clock_holds: bool,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Start SSH daemon and tunnel for the grant.
    Begin(GrantId),
    /// Start a tunnel that tests the way.
    BeginTest,
    /// End tunnel, SSH daemon and shells.
    End,
    /// Look what is left.
    Look,
    /// Bar the uplink, or let it up.
    Bar(bool),
}

/// What is open.
struct Bridge {
    id: GrantId,
    request: GrantRequest,
    /// The signed grant that it was opened by.
    approved: Option<Approved>,
    path: BridgePath,
    relay: SecretBytes,
    opened: Instant,
    /// SSH daemon, tunnel.
    serving: (bool, bool),
    link: Link,
    visitors: BTreeMap<u64, Guest>,
}

/// Somebody whose connection has come in.
struct Guest {
    name: String,
    source: IpAddr,
    since: Option<Instant>,
    /// From when he is in.
    supervision: Option<Supervision>,
    /// Since when he is told to end, in milliseconds.
    ending: Option<u64>,
}

/// A test of the way.
struct Test {
    path: BridgePath,
    steps: Vec<PathStep>,
    over: bool,
    began: Instant,
}

/// All that the role knows.
pub(crate) struct Desk {
    machine: Machine,
    identity: Identity,
    approvals: Approvals,
    bridge: Option<Bridge>,
    test: Option<Test>,
    last_end: String,
    /// What the session was called that was open last.
    last_name: String,
    began: Instant,
    orders: Vec<Order>,
    /// What is to be written down.
    told: Vec<Draft>,
}

impl Desk {
    pub(crate) fn new(identity: Identity, approvals: Approvals) -> Self {
        Self {
            machine: Machine::default(),
            identity,
            approvals,
            bridge: None,
            test: None,
            last_end: String::new(),
            last_name: String::new(),
            began: Instant::now(),
            orders: Vec::new(),
            told: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What is to be done outside since the last call.
    pub(crate) fn orders(&mut self) -> Vec<Order> {
        for order in self.machine.orders() {
            match order {
                Do::Begin(id) => self.orders.push(Order::Begin(id)),
                Do::End(_) => {
                    // With it the way's credentials and the relay's token go.
                    self.bridge = None;
                    self.orders.push(Order::End);
                }
                Do::Look => self.orders.push(Order::Look),
                Do::UplinkDown => self.orders.push(Order::Bar(true)),
                Do::UplinkUp => self.orders.push(Order::Bar(false)),
                // The verdict has told the SSH daemon already.
                Do::Cut(_) => {}
                Do::Note(note) => self.note(&note),
            }
        }
        std::mem::take(&mut self.orders)
    }

    fn note(&mut self, note: &Note) {
        self.tell_note(note);
        let who = |connection: &Connection| {
            let guest = self.bridge.as_ref().and_then(|bridge| bridge.visitors.get(&connection.0));
            guest.map_or_else(
                || "somebody".to_owned(),
                |guest| format!("{} from {}", guest.name, guest.source),
            )
        };
        match note {
            Note::Opened(_) => {
                if let Some(Bridge { request, approved, .. }) = &self.bridge {
                    log::info!(
                        "the bridge is lowered by {} for {}: {}, {} minutes, {}",
                        request.opener,
                        request.name,
                        words::scope(&request.scope),
                        request.minutes,
                        words::recording(request.recording)
                    );
                    if let Some(by) = approved.as_ref().map(Approved::by) {
                        log::info!("it is by a grant for the case {}, signed by {}", by.case, by.signer);
                    }
                }
            }
            Note::EndSet(minutes) => log::info!("the bridge is raised in {minutes} minutes"),
            Note::Arrived(connection) => log::info!("{} has come in", who(connection)),
            Note::Left(connection) => log::info!("{} has left", who(connection)),
            Note::Denied(connection, denial) => log::warn!("{} was not let in: {denial}", who(connection)),
            Note::Ending(why) => {
                self.last_end = words::end(why);
                log::info!("the bridge is being raised: {}", self.last_end);
            }
            Note::Closed(_) => log::info!("the bridge is up: nothing is left"),
            Note::FailedToClose(left) => {
                log::error!("the bridge FAILED TO CLOSE: {left}; the uplink is barred until nothing is left");
            }
        }
    }

    /// Until something is due.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let machine = self.machine.next().map(|at| Duration::from_millis(at.saturating_sub(self.now())));
        let opening = matches!(self.machine.state(), State::Opening);
        let opening = self.bridge.as_ref().filter(|_| opening).map(|bridge| bridge.opened + OPEN_WITHIN);
        let test = self.test.as_ref().filter(|test| !test.over).map(|test| test.began + TEST_WITHIN);
        let guests = self.bridge.iter().flat_map(|bridge| bridge.visitors.values());
        let supervised = guests.filter_map(|guest| {
            let at = guest.ending.map(|since| since + LEAVE_WITHIN);
            at.into_iter().chain(guest.supervision.as_ref()?.next()).min()
        });
        let supervised = supervised.min().map(|at| Duration::from_millis(at.saturating_sub(self.now())));
        let others = [opening, test].into_iter().flatten();
        machine
            .into_iter()
            .chain(supervised)
            .chain(others.map(|at| at.saturating_duration_since(Instant::now())))
            .min()
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self) {
        let now = self.now();
        self.machine.tick(now);
        self.supervise_all(now);
        if matches!(self.machine.state(), State::Opening)
            && let Some(bridge) = self.bridge.as_ref().filter(|bridge| bridge.opened.elapsed() >= OPEN_WITHIN)
        {
            let missing = if bridge.serving.0 { "the tunnel" } else { "the SSH daemon" };
            self.failed(bridge.id, &format!("{missing} does not come up"));
        }
        if self.test.as_ref().is_some_and(|test| !test.over && test.began.elapsed() >= TEST_WITHIN) {
            self.end_test("It took too long.", true);
        }
    }

    /// A part of the grant cannot be had.
    pub(crate) fn failed(&mut self, id: GrantId, why: &str) {
        let now = self.now();
        self.machine.end(id, EndReason::Failed(why.to_owned()), now);
    }

    /// What is left of the bridge, as init has counted it.
    pub(crate) fn left(&mut self, left: Leftovers) {
        let now = self.now();
        self.machine.left(left, now);
    }

    /// Ends what may be open, because the appliance goes down.
    pub(crate) fn shut(&mut self) {
        if let Some(id) = self.bridge.as_ref().map(|bridge| bridge.id) {
            let now = self.now();
            self.machine.end(id, EndReason::Stopped { by: "the appliance, which goes down".to_owned() }, now);
        }
    }

    /// Whether a request may be opened, but for the secret; the fault is every one that it has.
    pub(crate) fn check(&self, request: &BridgeRequest) -> Result<(), Vec<FieldError>> {
        let mut errors = request.grant.check().err().unwrap_or_default();
        errors.extend(request.path.check().err().unwrap_or_default());
        for (number, key) in request.grant.proof.keys().iter().enumerate() {
            if let Err(error) = keys::check(&key.line) {
                let right = "one line of a file that ends in .pub: ssh-ed25519 or ecdsa-sha2-nistp…";
                errors.push(FieldError::new(format!("proof.keys[{number}].line"), error.to_string(), right));
            }
        }
        if !matches!(self.machine.state(), State::Closed) {
            let right = "Stop it first, and wait until nothing is left of it";
            errors.push(FieldError::new("(all)", "a support session is open already", right));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Lowers the bridge. The request was checked; `kept` is its secret.
    pub(crate) fn open(&mut self, request: BridgeRequest, kept: Option<Kept>) -> Reply {
        let mut relay = [0; 32];
        if SystemRandom::new().fill(&mut relay).is_err() {
            return Reply::Refused(Refusal::NotNow);
        }
        if self.test.as_ref().is_some_and(|test| !test.over) {
            self.end_test("The bridge was lowered.", true);
        }
        let (now, opened) = (self.now(), Instant::now());
        match self.machine.open(request.grant.clone(), kept, now) {
            Ok(id) => {
                self.bridge = Some(Bridge {
                    id,
                    request: request.grant,
                    approved: None,
                    path: request.path,
                    relay: SecretBytes::new(relay),
                    opened,
                    serving: (false, false),
                    link: Link::Connecting,
                    visitors: BTreeMap::new(),
                });
                Reply::Opened(id)
            }
            Err(errors) => Reply::Invalid(errors),
        }
    }

    /// Raises the bridge.
    pub(crate) fn close(&mut self, by: &str) -> Reply {
        if let Some(id) = self.bridge.as_ref().map(|bridge| bridge.id) {
            let now = self.now();
            self.machine.end(id, EndReason::Stopped { by: words::line(by) }, now);
        }
        Reply::Done
    }

    pub(crate) fn set_end(&mut self, minutes: u32) -> Reply {
        let Some(id) = self.bridge.as_ref().map(|bridge| bridge.id) else {
            return Reply::Refused(Refusal::NotNow);
        };
        if !MINUTES.contains(&minutes) {
            let right = format!("{} to {} minutes", MINUTES.start(), MINUTES.end());
            let wrong = format!("{minutes} minutes are too few or too many");
            return Reply::Invalid(vec![FieldError::new("minutes", wrong, right)]);
        }
        if let Err(error) = self.end_within_grant(minutes) {
            return Reply::Invalid(vec![error]);
        }
        let now = self.now();
        match self.machine.set_end(id, minutes, now) {
            Ok(()) => Reply::Done,
            Err(_) => Reply::Refused(Refusal::NotNow),
        }
    }

    pub(crate) fn status(&self) -> Reply {
        let state = match self.machine.state() {
            State::Closed => BridgeState::Closed,
            State::Opening => BridgeState::Opening,
            State::Open => BridgeState::Open,
            State::Closing => BridgeState::Closing,
            State::FailedToClose(left) => BridgeState::FailedToClose(left),
        };
        let (bridge, now) = (self.bridge.as_ref(), self.now());
        let visitors = bridge.map(|bridge| &bridge.visitors).into_iter().flatten();
        let visitors = visitors.filter_map(|(connection, guest)| {
            Some(Visitor {
                connection: *connection,
                name: guest.name.clone(),
                source: guest.source,
                seconds: guest.since?.elapsed().as_secs(),
                supervised: guest.supervision.as_ref().map(|one| one.shown(now)).unwrap_or_default(),
            })
        });
        Reply::Bridge(Box::new(BridgeStatus {
            state,
            grant: bridge.map(|bridge| (bridge.id, bridge.request.clone())),
            approved_by: bridge.and_then(|bridge| bridge.approved.as_ref()).map(Approved::by),
            seconds_left: self.machine.time_left(self.now()).map(|milliseconds| milliseconds.div_ceil(1000)),
            burned: self.machine.is_burned(),
            link: bridge.map_or(Link::Down, |bridge| bridge.link.clone()),
            visitors: visitors.collect(),
            last_end: self.last_end.clone(),
        }))
    }

    /// Begins a test of the way.
    pub(crate) fn test(&mut self, path: BridgePath) -> Reply {
        if let Err(errors) = path.check() {
            return Reply::Invalid(errors);
        }
        let running = self.test.as_ref().is_some_and(|test| !test.over);
        if running || !matches!(self.machine.state(), State::Closed) {
            return Reply::Refused(Refusal::NotNow);
        }
        self.test = Some(Test { path, steps: Vec::new(), over: false, began: Instant::now() });
        self.orders.push(Order::BeginTest);
        Reply::Done
    }

    pub(crate) fn test_steps(&self) -> Reply {
        match &self.test {
            Some(test) => Reply::TestSteps { steps: test.steps.clone(), over: test.over },
            None => Reply::TestSteps { steps: Vec::new(), over: true },
        }
    }

    /// The test cannot go on.
    pub(crate) fn end_test(&mut self, why: &str, end: bool) {
        let Some(test) = self.test.as_mut().filter(|test| !test.over) else { return };
        test.over = true;
        for step in &mut test.steps {
            if step.result == StepResult::Running {
                step.result = StepResult::Skip;
                why.clone_into(&mut step.detail);
            }
        }
        if test.steps.is_empty() {
            test.steps.push(PathStep {
                number: 1,
                title: "The test".to_owned(),
                result: StepResult::Fail { remedy: "Try again; look into the log if it stays.".to_owned() },
                detail: why.to_owned(),
                milliseconds: 0,
            });
        }
        let told = (words::server(&test.path), test.steps.clone());
        if end {
            self.orders.push(Order::End);
        }
        self.tell_test(&told.0, &told.1);
    }

    /// The serial number that the appliance is known by.
    pub(crate) fn serial(&self, names: &Names) -> String {
        self.identity.serial(&names.serial).to_owned()
    }

    /// The key for evidence.
    pub(crate) fn evidence(&self) -> crate::identity::EvidenceKey {
        self.identity.evidence()
    }

    pub(crate) fn device_keys(&self, names: &Names) -> Reply {
        Reply::DeviceKeys(Box::new(DeviceKeys {
            host_key: self.identity.host_line.clone(),
            host_fingerprint: keys::fingerprint(&self.identity.host_line),
            login_key: self.identity.login_line.clone(),
            evidence_key: self.identity.evidence_line.clone(),
            evidence_fingerprint: keys::fingerprint(&self.identity.evidence_line),
            serial: self.identity.serial(&names.serial).to_owned(),
            name: names.host.clone(),
        }))
    }

    /// A signature under evidence.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Reply {
        let Some((signature, public)) = self.identity.sign(bytes) else {
            log::error!("something else than a recording was to be signed; it is not");
            return Reply::Refused(Refusal::Forbidden);
        };
        Reply::Signature(signature, public)
    }

    pub(crate) fn tunnel_orders(&mut self, names: &Names) -> Reply {
        let (job, path) = match (&mut self.bridge, &self.test) {
            (Some(bridge), _) => {
                bridge.serving.1 = true;
                // A new one has none of the old one's connections.
                bridge.link = Link::Connecting;
                (TunnelJob::Bridge { relay: bridge.relay.clone() }, bridge.path.clone())
            }
            (None, Some(test)) if !test.over => (TunnelJob::Test, test.path.clone()),
            _ => return Reply::Refused(Refusal::NotNow),
        };
        self.serves();
        let server = words::server(&path);
        Reply::TunnelOrders(Box::new(TunnelOrders {
            job,
            path,
            login_key: self.identity.login.clone(),
            host_key: self.identity.host_line.clone(),
            serial: self.identity.serial(&names.serial).to_owned(),
            name: names.host.clone(),
            version: names.version.clone(),
            server_key: self.identity.server_key(&server),
        }))
    }

    pub(crate) fn tunnel_news(&mut self, news: TunnelNews) -> Reply {
        match news {
            TunnelNews::Link(link) => {
                if let Some(bridge) = &mut self.bridge
                    && bridge.link != link
                {
                    log::info!("the way to {}: {}", words::server(&bridge.path), words::link(&link));
                    bridge.link = link;
                }
            }
            TunnelNews::ServerKey(key) => {
                let path = self.bridge.as_ref().map(|bridge| &bridge.path);
                let path =
                    path.or_else(|| self.test.as_ref().filter(|test| !test.over).map(|test| &test.path));
                // A test only looks.
                if let Some(server) = path.filter(|_| self.bridge.is_some()).map(words::server) {
                    self.identity.learn(&server, &key);
                }
            }
            TunnelNews::Enrolled => {
                if let Some(bridge) = &mut self.bridge {
                    bridge.path.enrolment = None;
                    log::info!("the server {} has enrolled the appliance", words::server(&bridge.path));
                }
                self.tell_enrolled();
            }
            TunnelNews::Step(step) => {
                let Some(test) = self.test.as_mut().filter(|test| !test.over) else { return Reply::Done };
                match test.steps.iter().position(|one| one.number == step.number) {
                    Some(place) => test.steps[place] = step,
                    None if test.steps.len() < STEPS_MOST => test.steps.push(step),
                    None => {}
                }
            }
            TunnelNews::TestOver => self.end_test("It was not reached.", false),
        }
        Reply::Done
    }

    pub(crate) fn sshd_orders(&mut self, names: &Names) -> Reply {
        let Some(bridge) = &mut self.bridge else { return Reply::Refused(Refusal::NotNow) };
        // A new daemon has none of the old one's connections.
        for connection in std::mem::take(&mut bridge.visitors).into_keys() {
            self.machine.gone(Connection(connection));
        }
        bridge.serving.0 = true;
        let orders = SshdOrders {
            grant: bridge.id,
            host_key: self.identity.host.clone(),
            relay: bridge.relay.clone(),
            keys: bridge.request.proof.keys().to_vec(),
            secret: bridge.request.proof.needs_secret(),
            scope: bridge.request.scope.clone(),
            name: names.host.clone(),
            serial: self.identity.serial(&names.serial).to_owned(),
            title: bridge.request.name.clone(),
            level: bridge.request.level,
            recording: bridge.request.recording,
        };
        self.serves();
        Reply::SshdOrders(Box::new(orders))
    }

    fn serves(&mut self) {
        if let Some(bridge) = self.bridge.as_ref().filter(|bridge| bridge.serving == (true, true)) {
            self.machine.serves(bridge.id);
        }
    }

    /// What the SSH daemon asks of an engineer, but for a secret ([`Desk::try_secret`]).
    pub(crate) fn engineer(&mut self, connection: u64, ask: EngineerAsk) -> Verdict {
        let id = Connection(connection);
        let now = self.now();
        let verdict = match ask {
            EngineerAsk::Connect { name, source } => {
                let Some(bridge) = &mut self.bridge else { return no(Denial::Closed) };
                if bridge.visitors.contains_key(&connection) {
                    return no(Denial::Closed);
                }
                let guest =
                    Guest { name: words::line(&name), source, since: None, supervision: None, ending: None };
                bridge.visitors.insert(connection, guest);
                let verdict = self.machine.connect(id, source);
                if verdict.is_err() {
                    // Told by name before he is forgotten.
                    self.flush();
                    self.forget(connection);
                }
                verdict.map(|()| Verdict::Yes)
            }
            EngineerAsk::Key(number) => {
                self.machine.key(id, usize::from(number), now).map(|next| match next {
                    Next::In => Verdict::Yes,
                    Next::Secret => Verdict::SecretToo,
                })
            }
            EngineerAsk::May(what) => {
                let what = match &what {
                    EngineerUse::Shell => Use::Shell,
                    EngineerUse::Files => Use::Files,
                    EngineerUse::Forward(target) => Use::Forward(target),
                };
                self.machine.may(id, &what).map(|()| Verdict::Yes)
            }
            EngineerAsk::Unrecorded(why) => {
                return self.unrecorded(connection, &why);
            }
            EngineerAsk::Gone => {
                self.machine.gone(id);
                self.flush();
                self.forget(connection);
                Ok(Verdict::Yes)
            }
            EngineerAsk::Secret(_) => Err(Denial::Proof),
        };
        self.came_in(connection, matches!(verdict, Ok(Verdict::Yes)));
        verdict.unwrap_or_else(no)
    }

    /// An engineer's connection cannot be recorded any more: it goes on only if that was chosen with the grant.
    fn unrecorded(&mut self, connection: u64, why: &str) -> Verdict {
        let Some(bridge) = &self.bridge else { return no(Denial::Closed) };
        let guest = bridge.visitors.get(&connection);
        let Some(guest) = guest.filter(|_| self.machine.engineers().contains(&Connection(connection))) else {
            return no(Denial::Closed);
        };
        let (name, source, why) = (&guest.name, guest.source, words::line(why));
        let goes_on = bridge.request.recording == Recording::BreakGlass;
        if goes_on {
            log::warn!("what {name} from {source} does is not recorded any more (break glass): {why}");
        } else {
            log::error!("what {name} from {source} does cannot be recorded; he is sent away: {why}");
        }
        self.tell_unrecorded(connection, goes_on, &why);
        if goes_on {
            return Verdict::Yes;
        }
        Verdict::No { why: "this cannot be recorded".to_owned(), cut: true }
    }

    /// What is done to somebody whose coming could not be written down.
    pub(crate) fn unwritten(&self) -> Verdict {
        match self.bridge.as_ref().map(|bridge| bridge.request.recording) {
            Some(Recording::BreakGlass) => Verdict::Yes,
            _ => Verdict::No { why: "this cannot be written down".to_owned(), cut: true },
        }
    }

    /// Whether an SSH daemon was there before for the grant that is open: what it had recorded has no owner any more.
    pub(crate) fn had_sshd(&self) -> bool {
        self.bridge.as_ref().is_some_and(|bridge| bridge.serving.0)
    }

    /// What a secret is to be checked by.
    pub(crate) fn try_secret(&mut self, connection: u64) -> Result<Kept, Verdict> {
        self.machine.try_secret(Connection(connection)).map_err(no)
    }

    /// What the check has found.
    pub(crate) fn secret(&mut self, connection: u64, right: bool) -> Verdict {
        let verdict = self.machine.secret(Connection(connection), right);
        self.came_in(connection, verdict.is_ok());
        verdict.map_or_else(no, |_| Verdict::Yes)
    }

    fn came_in(&mut self, connection: u64, yes: bool) {
        let now = self.now();
        if yes
            && self.machine.engineers().contains(&Connection(connection))
            && let Some(bridge) = self.bridge.as_mut()
            && let Some(guest) = bridge.visitors.get_mut(&connection)
        {
            guest.since.get_or_insert_with(Instant::now);
            let (level, grace) = (bridge.request.level, u64::from(bridge.request.grace_seconds) * 1_000);
            guest.supervision.get_or_insert_with(|| Supervision::new(level, grace, now));
        }
    }

    fn forget(&mut self, connection: u64) {
        if let Some(bridge) = &mut self.bridge {
            bridge.visitors.remove(&connection);
        }
    }

    /// Writes notes while those are known of whom they are.
    fn flush(&mut self) {
        let orders = self.orders();
        self.orders.extend(orders);
    }

    pub(crate) fn shell_scope(&self, connection: u64, names: &Names) -> Reply {
        let Some(bridge) = &self.bridge else { return Reply::Refused(Refusal::NotNow) };
        let guest = bridge.visitors.get(&connection);
        let Some(guest) = guest.filter(|_| self.machine.engineers().contains(&Connection(connection))) else {
            return Reply::Refused(Refusal::NotNow);
        };
        Reply::ShellScope(Box::new(ShellScope {
            engineer: guest.name.clone(),
            system: names.host.clone(),
            grant: bridge.request.name.clone(),
            scope: bridge.request.scope.clone(),
            recording: bridge.request.recording,
            seconds_left: self.machine.time_left(self.now()).unwrap_or(0).div_ceil(1000),
            level: bridge.request.level,
        }))
    }
}

/// Keeps the secret of a request as it may be kept. Takes a good part of a second.
pub(crate) fn keep_secret(request: &BridgeRequest, system: &str) -> Result<Option<Kept>, Vec<FieldError>> {
    let Some(secret) = &request.secret else { return Ok(None) };
    let text = Zeroizing::new(secret.reveal().to_owned());
    let grant = &request.grant;
    let kept = Secret::typed(text, &[&grant.name, &grant.opener, &grant.reason, system])
        .and_then(|secret| Kept::new(&secret));
    kept.map(Some).map_err(|error| {
        vec![FieldError::new("secret", error.to_string(), "the words that are offered, or one of your own")]
    })
}

/// A secret to be offered.
pub(crate) fn offer() -> Reply {
    match Secret::offer() {
        Ok(secret) => Reply::Secret(SecretText::new(Zeroizing::new(secret.reveal().to_owned()))),
        Err(error) => {
            log::error!("{error}");
            Reply::Refused(Refusal::NotNow)
        }
    }
}

fn no(denial: Denial) -> Verdict {
    let cut = matches!(denial, Denial::Tries(_) | Denial::Source | Denial::Many | Denial::Closed);
    Verdict::No { why: denial.to_string(), cut }
}

#[cfg(test)]
mod tests;
