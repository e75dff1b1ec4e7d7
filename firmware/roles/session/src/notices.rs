//! To whom events are told: the settings, how far each receiver has come, and what the courier is to do. It never sends anything.
//!
//! Passwords are kept under a key that is made of the device's key for evidence: a copy of the settings alone does not give them
//! away. Whoever has the whole disk has both.

mod shown;

use crate::identity::EvidenceKey;
use drawbridge_audit::event::{Change, Draft, Long, Name, Outcome, What, Who, WhoKind};
use drawbridge_audit::queue::Positions;
use drawbridge_bus::bridge::SecretText;
use drawbridge_bus::notify::{
    CREDENTIAL_BYTES, CourierNews, CourierOrders, CourierSystem, NOTIFY_STEPS_MOST, NoticeSecrets,
    NoticeStep, NoticeTest, Notices, NoticesChange, NoticesStatus, Receiver, ReceiverState,
};
use drawbridge_bus::{Refusal, Reply};
use drawbridge_settings::FieldError;
use drawbridge_settings::store::{Document, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A test is over within this time, or it is given up.
const TEST_WITHIN: Duration = Duration::from_mins(4);
/// The courier asks for orders at least so often.
const SILENT_FOR: Duration = Duration::from_secs(20);

/// One of the lines in which a receiver's settings are told.
type Shown = fn(&Notices, Receiver) -> Option<String>;

/// The settings as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Kept {
    notices: Notices,
    /// Sealed by [`EvidenceKey::seal`].
    array_password: Option<String>,
    mail_password: Option<String>,
}

impl Document for Kept {
    const NAME: &'static str = "notices";
    const VERSION: u32 = 1;

    fn migrate(from: u32, _: Value) -> Result<Value, String> {
        Err(format!("there never was a version {from}"))
    }

    fn check(&self) -> Result<(), Vec<FieldError>> {
        self.notices.check()
    }
}

struct Test {
    what: NoticeTest,
    steps: Vec<NoticeStep>,
    over: bool,
    began: Instant,
    /// The courier has it.
    is_taken: bool,
}

/// What the role knows of those who are told.
pub(crate) struct NoticeDesk {
    store: Store,
    folder: PathBuf,
    key: EvidenceKey,
    kept: Kept,
    secrets: NoticeSecrets,
    positions: BTreeMap<Receiver, (Positions, u64)>,
    states: BTreeMap<Receiver, ReceiverState>,
    test: Option<Test>,
    /// By what the courier works, as far as it was told.
    given: Option<(Notices, NoticeSecrets, CourierSystem)>,
    /// When the courier was heard of last.
    heard: Option<Instant>,
    told: Vec<Draft>,
}

impl NoticeDesk {
    /// Reads what is kept below the role's folder.
    pub(crate) fn open(folder: &Path, key: EvidenceKey) -> Self {
        let store = Store::at(folder);
        let loaded = store.load::<Kept>();
        if loaded.is_troubled() {
            log::error!("whom events are told: {}", loaded.sentence());
        }
        let kept = loaded.value;
        let unsealed = |sealed: &Option<String>, of: Receiver| {
            let opened = sealed.as_ref().map(|sealed| key.unseal(of.name(), sealed));
            if matches!(opened, Some(None)) {
                log::error!("the password for {} cannot be read; it has to be typed again", of.name());
            }
            opened.flatten().map(SecretText::new)
        };
        let secrets = NoticeSecrets {
            array: unsealed(&kept.array_password, Receiver::Array),
            mail: unsealed(&kept.mail_password, Receiver::Mail),
        };
        let mut desk = Self {
            store,
            folder: folder.join("receivers"),
            key,
            kept,
            secrets,
            positions: BTreeMap::new(),
            states: BTreeMap::new(),
            test: None,
            given: None,
            heard: None,
            told: Vec::new(),
        };
        for receiver in desk.kept.notices.receivers().collect::<Vec<_>>() {
            // One whose place is lost is told all again.
            desk.place(receiver, 0);
        }
        desk
    }

    fn place(&mut self, receiver: Receiver, first: u64) {
        let made = std::fs::create_dir(&self.folder).or_else(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
        });
        match made.and_then(|()| Positions::at(&self.folder.join(receiver.name()))) {
            Ok(positions) => {
                let settled = positions.load().unwrap_or_else(|| {
                    if let Err(error) = positions.save(first) {
                        log::warn!("{}: {error}", receiver.name());
                    }
                    first
                });
                self.positions.insert(receiver, (positions, settled));
            }
            Err(error) => {
                log::error!("how far {} has come cannot be kept: {error}", receiver.name());
            }
        }
    }

    /// What is to be written down since the last call.
    pub(crate) fn told(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.told)
    }

    /// The highest number that anybody was told.
    pub(crate) fn highest(&self) -> u64 {
        self.positions.values().map(|(_, settled)| *settled).max().unwrap_or(0)
    }

    /// The number of the last event that all have who are set; none when nobody is.
    pub(crate) fn settled_by_all(&self) -> Option<u64> {
        let of = |receiver| self.positions.get(&receiver).map_or(0, |(_, settled)| *settled);
        self.kept.notices.receivers().map(of).min()
    }

    /// Whether the courier has something to do.
    pub(crate) fn wants_courier(&self) -> bool {
        self.kept.notices.receivers().next().is_some() || self.waiting_test().is_some()
    }

    /// Whether it has something to do and is not heard of.
    pub(crate) fn misses_courier(&self) -> bool {
        self.wants_courier() && self.heard.is_none_or(|heard| heard.elapsed() > SILENT_FOR)
    }

    /// It is being started.
    pub(crate) fn starts_courier(&mut self) {
        self.heard = Some(Instant::now());
    }

    fn waiting_test(&self) -> Option<&Test> {
        self.test.as_ref().filter(|test| !test.over && !test.is_taken)
    }

    /// To whom events are told, and how it stands.
    pub(crate) fn status(&self) -> Reply {
        let settled = |receiver| self.positions.get(&receiver).map_or(0, |(_, settled)| *settled);
        let states = self.kept.notices.receivers().map(|receiver| {
            self.states.get(&receiver).cloned().unwrap_or_else(|| ReceiverState {
                receiver,
                is_up: None,
                since_ms: 0,
                settled: settled(receiver),
                backlog: 0,
                oldest_ms: None,
                error: None,
                next_try_ms: None,
            })
        });
        Reply::Notices(Box::new(NoticesStatus {
            notices: self.kept.notices.clone(),
            has_password: (self.secrets.array.is_some(), self.secrets.mail.is_some()),
            states: states.collect(),
            runs: self.heard.is_some_and(|heard| heard.elapsed() <= SILENT_FOR) && self.wants_courier(),
        }))
    }

    /// Sets to whom they are told. `last` is the number of the last event: who is new is told what comes after it.
    pub(crate) fn set(&mut self, change: &NoticesChange, last: u64) -> Reply {
        let mut errors = change.notices.check().err().unwrap_or_default();
        let fits =
            |text: &str| (1..=CREDENTIAL_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        for (field, secret) in
            [("array.password", &change.secrets.array), ("mail.password", &change.secrets.mail)]
        {
            if secret.as_ref().is_some_and(|secret| !fits(secret.reveal())) {
                errors.push(FieldError::new(field, "this is no password", "1 to 256 bytes in one line"));
            }
        }
        let array = change.secrets.array.clone().or_else(|| {
            // A password is for the user and the array that it was typed for.
            let same =
                |one: &Notices| one.array.as_ref().map(|array| (array.user.clone(), array.host.clone()));
            self.secrets.array.clone().filter(|_| same(&self.kept.notices) == same(&change.notices))
        });
        let mail = change.secrets.mail.clone().or_else(|| {
            let same =
                |one: &Notices| one.mail.as_ref().map(|mail| (mail.user.clone(), mail.server.host.clone()));
            self.secrets.mail.clone().filter(|_| same(&self.kept.notices) == same(&change.notices))
        });
        let needs = |is: bool, has: bool| is && !has;
        if needs(change.notices.array.is_some(), array.is_some()) {
            let right = "the password of the array's user: it is kept for this user at this array only";
            errors.push(FieldError::new("array.password", "there is no password", right));
        }
        let has_user = change.notices.mail.as_ref().is_some_and(|mail| mail.user.is_some());
        if needs(has_user, mail.is_some()) {
            let right = "the password of the server's user: it is kept for this user at this server only";
            errors.push(FieldError::new("mail.password", "there is no password", right));
        }
        if !errors.is_empty() {
            return Reply::Invalid(errors);
        }
        let secrets = NoticeSecrets {
            array: array.filter(|_| change.notices.array.is_some()),
            mail: mail.filter(|_| has_user),
        };
        let sealed = |secret: &Option<SecretText>, of: Receiver| match secret {
            Some(secret) => self.key.seal(of.name(), secret.reveal()).map(Some),
            None => Some(None),
        };
        let (Some(array_password), Some(mail_password)) =
            (sealed(&secrets.array, Receiver::Array), sealed(&secrets.mail, Receiver::Mail))
        else {
            log::error!("the kernel gives no random numbers: no password can be kept");
            return Reply::Refused(Refusal::NotNow);
        };
        let kept = Kept { notices: change.notices.clone(), array_password, mail_password };
        if let Err(error) = self.store.save(&kept) {
            return Reply::NotTaken(error.to_string());
        }
        for receiver in Receiver::ALL {
            self.note(receiver, &kept.notices, change);
            let (was, is) = (has(&self.kept.notices, receiver), has(&kept.notices, receiver));
            if is && !was {
                // Not what came while nobody was to be told.
                if let Some((positions, _)) = self.positions.get(&receiver)
                    && let Err(error) = positions.save(last)
                {
                    log::warn!("{}: {error}", receiver.name());
                }
                self.place(receiver, last);
                if let Some((positions, settled)) = self.positions.get_mut(&receiver)
                    && *settled != last
                {
                    *settled = last;
                    if let Err(error) = positions.save(last) {
                        log::warn!("{}: {error}", receiver.name());
                    }
                }
            }
            self.states.remove(&receiver);
        }
        (self.kept, self.secrets) = (kept, secrets);
        self.status()
    }

    /// Notes a change for the audit.
    fn note(&mut self, receiver: Receiver, new: &Notices, change: &NoticesChange) {
        let who = || Who::new(WhoKind::Owner, &change.by);
        for (setting, shown) in [("events to", shown::place as Shown), ("trust in", shown::trust)] {
            let (was, is) = (shown(&self.kept.notices, receiver), shown(new, receiver));
            if was != is {
                let change =
                    Change::Plain { old: was.as_deref().map(Long::of), new: is.as_deref().map(Long::of) };
                let setting = Name::of(&format!("{setting} {}", receiver.name()));
                self.told.push(Draft::new(What::SettingChanged { setting, change }, who()));
            }
        }
        let has_secret = match receiver {
            Receiver::Array => change.secrets.array.is_some(),
            Receiver::Mail => change.secrets.mail.is_some(),
            Receiver::Syslog => false,
        };
        if has_secret {
            let setting = Name::of(&format!("password for {}", receiver.name()));
            self.told.push(Draft::new(What::SettingChanged { setting, change: Change::Secret }, who()));
        }
    }

    /// Has a receiver tried.
    pub(crate) fn test(&mut self, test: NoticeTest) -> Reply {
        self.tick();
        if self.test.as_ref().is_some_and(|test| !test.over) {
            return Reply::NotTaken("A test runs already; wait until it is over.".to_owned());
        }
        if !has(&self.kept.notices, test.receiver) {
            return Reply::NotTaken("This receiver is not set: save it first, then test it.".to_owned());
        }
        self.test =
            Some(Test { what: test, steps: Vec::new(), over: false, began: Instant::now(), is_taken: false });
        Reply::Done
    }

    /// What the last test came to.
    pub(crate) fn steps(&mut self) -> Reply {
        self.tick();
        let (steps, over) =
            self.test.as_ref().map_or((Vec::new(), true), |test| (test.steps.clone(), test.over));
        Reply::NoticeSteps { steps, over }
    }

    fn tick(&mut self) {
        if self.test.as_ref().is_some_and(|test| !test.over && test.began.elapsed() >= TEST_WITHIN) {
            self.end_test(vec![NoticeStep {
                title: "The test".to_owned(),
                worked: false,
                detail: "It was not over in time.".to_owned(),
                remedy: "Try again; look into the log if it stays.".to_owned(),
            }]);
        }
    }

    fn end_test(&mut self, mut steps: Vec<NoticeStep>) {
        steps.truncate(NOTIFY_STEPS_MOST);
        let Some(test) = self.test.as_mut().filter(|test| !test.over) else { return };
        let failed = steps.iter().find(|step| !step.worked);
        let what = What::DeliveryTested {
            target: Name::of(test.what.to.as_deref().unwrap_or(test.what.receiver.name())),
            outcome: if failed.is_none() { Outcome::Done } else { Outcome::Failed },
            why: failed.map(|step| Long::of(&step.detail)),
        };
        self.told.push(Draft::new(what, Who::new(WhoKind::Owner, &test.what.by)));
        (test.steps, test.over) = (steps, true);
    }

    /// What the courier is to do. `first`: a process asks that has begun nothing yet; the one before it has ended.
    pub(crate) fn orders(&mut self, system: CourierSystem, first: bool) -> Reply {
        self.tick();
        if first && self.test.as_ref().is_some_and(|test| test.is_taken) {
            self.end_test(vec![NoticeStep {
                title: "The test".to_owned(),
                worked: false,
                detail:
                    "It was cut short: the settings were changed meanwhile, or what sends was started anew."
                        .to_owned(),
                remedy: "Test again.".to_owned(),
            }]);
        }
        self.heard = Some(Instant::now());
        if !self.wants_courier() {
            return Reply::Refused(Refusal::NotNow);
        }
        let now = (self.kept.notices.clone(), self.secrets.clone(), system.clone());
        // A process that gets other orders ends, and the next one does the test by these.
        let goes_on = first || self.given.as_ref() == Some(&now);
        self.given = Some(now);
        let test = self.test.as_mut().filter(|test| goes_on && !test.over && !test.is_taken).map(|test| {
            test.is_taken = true;
            test.what.clone()
        });
        Reply::CourierOrders(Box::new(CourierOrders {
            notices: self.kept.notices.clone(),
            secrets: self.secrets.clone(),
            settled: self.positions.iter().map(|(receiver, (_, settled))| (*receiver, *settled)).collect(),
            test,
            system,
        }))
    }

    /// What it has to tell.
    pub(crate) fn news(&mut self, news: CourierNews) -> Reply {
        self.heard = Some(Instant::now());
        match news {
            CourierNews::State(state) => {
                if !has(&self.kept.notices, state.receiver) {
                    return Reply::Refused(Refusal::NotNow);
                }
                if let Some((positions, settled)) = self.positions.get_mut(&state.receiver)
                    && state.settled > *settled
                {
                    match positions.save(state.settled) {
                        Ok(()) => *settled = state.settled,
                        // It is delivered all the same, and perhaps again after a restart.
                        Err(error) => log::warn!("{}: {error}", state.receiver.name()),
                    }
                }
                self.states.insert(state.receiver, *state);
            }
            CourierNews::Tested(steps) => self.end_test(steps),
        }
        Reply::Done
    }
}

fn has(notices: &Notices, receiver: Receiver) -> bool {
    notices.receivers().any(|one| one == receiver)
}

#[cfg(test)]
mod tests;
