//! What the desk tells the audit: each thing that happens in a support session, with whom it is put down to. It writes nothing
//! itself, and tells no secret.

use super::{Bridge, Desk, Guest};
use crate::approval::Approved;
use crate::machine::{Connection, Denial, Note};
use crate::secret::NoTry;
use crate::supervision::{Happened, Supervision};
use crate::words;
use drawbridge_audit::event::{
    Change, Denial as Denied, Draft, Level as AuditLevel, Long, Name, Outcome, Proof, What, Who, WhoKind,
};
use drawbridge_bus::bridge::{PathStep, StepResult};
use drawbridge_bus::support::{EndReason, Level};
use drawbridge_chain::{Hash, Text, Utc};
use std::time::{Duration, SystemTime};

impl Bridge {
    /// An event of this session's.
    fn event(&self, what: What, who: Who) -> Draft {
        Draft {
            grant: Some(self.id.0),
            endpoint: Some(Name::of(&words::server(&self.path))),
            gateway: self
                .path
                .proxy
                .as_ref()
                .map(|proxy| Name::of(&format!("{}:{}", proxy.address.host, proxy.address.port))),
            ..Draft::new(what, who)
        }
    }

    /// One of an engineer's.
    fn of_guest(&self, what: What, guest: &Guest) -> Draft {
        let lasted = guest.since.map(|since| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
        Draft {
            from: Some(guest.source),
            lasted_ms: lasted,
            ..self.event(what, Who::new(WhoKind::Engineer, &guest.name))
        }
    }

    fn session(&self) -> Name {
        Name::of(&self.request.name)
    }

    fn opener(&self) -> Who {
        Who::new(WhoKind::Owner, &self.request.opener)
    }

    fn proof(&self) -> Proof {
        let proof = &self.request.proof;
        match (self.approved.is_some(), proof.needs_secret(), proof.keys().is_empty()) {
            (true, ..) => Proof::Grant,
            (_, true, true) => Proof::Secret,
            (_, true, false) => Proof::SecretAndKey,
            (_, false, _) => Proof::Key,
        }
    }
}

/// When a session ends that has so long to go.
fn ends_after(milliseconds: u64) -> Utc {
    Utc::of(SystemTime::now()).after(Duration::from_millis(milliseconds))
}

impl Desk {
    /// What is to be written down since the last call.
    pub(crate) fn told(&mut self) -> Vec<Draft> {
        self.flush();
        std::mem::take(&mut self.told)
    }

    pub(super) fn tell_note(&mut self, note: &Note) {
        let Some(bridge) = &self.bridge else {
            // The end is told after everything of the session is gone.
            let what = match note {
                Note::FailedToClose(left) => What::FailedToClose {
                    session: Name::of(&self.last_name),
                    left: Long::of(&left.to_string()),
                },
                Note::Closed(_) => What::AuditHead { head: Hash([0; 32]), segment: 0 },
                _ => return,
            };
            self.told.push(Draft::new(what, Who::device()));
            return;
        };
        let guest = |connection: &Connection| bridge.visitors.get(&connection.0);
        let session = bridge.session();
        let told = match note {
            Note::Opened(_) => {
                self.last_name.clone_from(&bridge.request.name);
                let what = What::SessionOpened {
                    session,
                    expires: ends_after(self.machine.time_left(self.now()).unwrap_or(0)),
                    level: match bridge.request.level {
                        Level::Direct => AuditLevel::Direct,
                        Level::Watched => AuditLevel::Watched,
                        Level::Guided => AuditLevel::Guided,
                    },
                    recorded: true,
                };
                Some(bridge.event(what, bridge.opener()))
            }
            Note::EndSet(minutes) => {
                let change =
                    Change::Plain { old: None, new: Some(Long::of(&format!("in {minutes} minutes"))) };
                let what = What::SettingChanged { setting: Name::of("end of the support session"), change };
                Some(bridge.event(what, bridge.opener()))
            }
            Note::Arrived(connection) => guest(connection).map(|guest| {
                bridge.of_guest(What::EngineerArrived { session, proof: bridge.proof() }, guest)
            }),
            Note::Left(connection) => {
                guest(connection).map(|guest| bridge.of_guest(What::EngineerLeft { session }, guest))
            }
            Note::Denied(connection, denial) => guest(connection).map(|guest| {
                bridge.of_guest(What::AccessDenied { reason: denied(*denial), asked: None }, guest)
            }),
            Note::Ending(why) => {
                let (what, who) = match why {
                    EndReason::Stopped { by } => {
                        (What::SessionStopped { session }, Who::new(WhoKind::Owner, by))
                    }
                    EndReason::Expired => (What::SessionExpired { session }, Who::device()),
                    EndReason::Failed(why) => (
                        What::SessionStopped { session },
                        Who::new(WhoKind::Device, &format!("appliance: {why}")),
                    ),
                };
                let lasted = u64::try_from(bridge.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
                Some(Draft { lasted_ms: Some(lasted), ..bridge.event(what, who) })
            }
            Note::Closed(_) | Note::FailedToClose(_) => None,
        };
        // Those who are in when it ends are cut off with it.
        let mut cut: Vec<Draft> = Vec::new();
        if matches!(note, Note::Ending(_)) {
            for guest in bridge.visitors.values().filter(|guest| guest.since.is_some()) {
                cut.push(bridge.of_guest(What::EngineerLeft { session: bridge.session() }, guest));
            }
        }
        self.told.extend(told.into_iter().chain(cut));
        if matches!(note, Note::Opened(_)) {
            self.tell_grant();
        }
    }

    /// The vendor's grant by which a session was opened.
    fn tell_grant(&mut self) {
        let Some(bridge) = &self.bridge else { return };
        let Some(approved) = &bridge.approved else { return };
        let by = Approved::by(approved);
        let key = bridge
            .request
            .proof
            .keys()
            .first()
            .map_or_else(|| "none".to_owned(), |key| crate::keys::fingerprint(&key.line));
        let what = What::GrantUsed {
            case: Name::of(&by.case),
            key: Name::of(&key),
            expires: ends_after(self.machine.time_left(self.now()).unwrap_or(0)),
        };
        self.told.push(bridge.event(what, Who::new(WhoKind::Vendor, &by.signer)));
    }

    /// What has happened in an engineer's supervision.
    pub(super) fn tell_happened(bridge: &Bridge, connection: u64, happened: &Happened) -> Option<Draft> {
        let guest = bridge.visitors.get(&connection)?;
        let session = bridge.session();
        let watchers = || {
            let count = guest.supervision.as_ref().map_or(0, Supervision::watchers);
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let line = |text: &str| Text::<1024>::of(text);
        let (what, by) = match happened {
            Happened::Watches(by) => (What::WatchBegan { session, watchers: watchers() }, by),
            Happened::Left(by) => (What::WatchEnded { session, watchers: watchers() }, by),
            Happened::Paused(by) => (What::Paused { session }, by),
            Happened::Resumed(by) => (What::Resumed { session }, by),
            Happened::Told(by, text) => (What::Message { session, text: line(text) }, by),
            Happened::Approved(by, text) => (What::ProposalApproved { session, line: line(text) }, by),
            Happened::Refused(by, text) => (What::ProposalRefused { session, line: line(text) }, by),
            // Who froze it has left, and who proposes is judged: both are written down as such.
            Happened::Frozen | Happened::Thawed | Happened::Proposed(_) => return None,
        };
        Some(bridge.event(what, Who::new(WhoKind::Owner, by)))
    }

    /// What an engineer does is not recorded: it goes on all the same, or does not.
    pub(super) fn tell_unrecorded(&mut self, connection: u64, goes_on: bool, why: &str) {
        let Some(bridge) = &self.bridge else { return };
        let Some(guest) = bridge.visitors.get(&connection) else { return };
        let why = Long::of(why);
        let what = if goes_on {
            What::BreakGlass { session: bridge.session(), why }
        } else {
            What::AccessDenied { reason: Denied::NotRecorded, asked: Some(why) }
        };
        let draft = bridge.of_guest(what, guest);
        self.told.push(draft);
    }

    /// A test of the way is over.
    pub(super) fn tell_test(&mut self, server: &str, steps: &[PathStep]) {
        let failed = steps.iter().find(|step| matches!(step.result, StepResult::Fail { .. }));
        let Some(step) = failed.or(steps.last()) else { return };
        let what = What::PathTested {
            outcome: if failed.is_some() { Outcome::Failed } else { Outcome::Done },
            step: Name::of(&step.title),
            why: failed.map(|step| Long::of(&step.detail)),
        };
        let draft = Draft { endpoint: Some(Name::of(server)), ..Draft::new(what, Who::device()) };
        self.told.push(draft);
    }

    /// The server knows the appliance from now on.
    pub(super) fn tell_enrolled(&mut self) {
        let Some(bridge) = &self.bridge else { return };
        let what = What::Enrolled { server: Name::of(&words::server(&bridge.path)) };
        let draft = bridge.event(what, bridge.opener());
        self.told.push(draft);
    }
}

fn denied(denial: Denial) -> Denied {
    match denial {
        Denial::Closed => Denied::NoSession,
        Denial::Source => Denied::Address,
        Denial::Proof => Denied::UnknownKey,
        Denial::KeyExpired => Denied::KeyEnded,
        Denial::Tries(NoTry::Burned) => Denied::SecretBurned,
        Denial::Many | Denial::Tries(_) => Denied::TooMany,
        Denial::Wrong => Denied::WrongSecret,
        Denial::Scope => Denied::Target,
    }
}
