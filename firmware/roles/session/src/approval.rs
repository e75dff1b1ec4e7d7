//! The vendor's word: whose keys count, what a signed grant allows, and which grants were used. It opens nothing by itself.
//!
//! The keys are kept here, and not where they are typed in: a console that was taken over can still ask for another key, as it
//! can ask for a bridge, but not make believe that a grant is behind it, nor use one twice or beyond what it says. Those that
//! are built in come from the image, which this role reads itself.
//!
//! A grant is used when its session is opened. That is on the disk before anything is opened, in both generations of the
//! file, so that a damaged one forgets nothing. Ids are kept until their grant's time is over. When there is no more room, those
//! whose time is over are forgotten, and with them every grant whose time is not longer: a clock that is set back makes none of
//! them new.

use crate::words;
use drawbridge_bus::Reply;
use drawbridge_bus::approval::{
    ApprovedBy, GRANT_BYTES, GrantFault, GrantTerms, VendorKeyChange, VendorKeyLine,
};
use drawbridge_bus::bridge::BridgeRequest;
use drawbridge_bus::support::{Scope, Target};
use drawbridge_identity::armour::{Kind, TextFault};
use drawbridge_identity::grant::{Clock, Grant, GrantRefusal};
use drawbridge_identity::vendor::{VendorKey, VendorKeys};
use drawbridge_identity::{Line, Serial};
use drawbridge_settings::FieldError;
use drawbridge_settings::store::{Document, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

/// The most used grants that are known by their ids.
const USED_MOST: usize = 1024;

/// Whose word the owner takes, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OwnersKeys {
    own: Vec<String>,
    off: Vec<String>,
}

impl Document for OwnersKeys {
    const NAME: &'static str = "vendor-keys";
    const VERSION: u32 = 1;

    fn migrate(from: u32, _: Value) -> Result<Value, String> {
        Err(format!("there never was a version {from}"))
    }

    fn check(&self) -> Result<(), Vec<FieldError>> {
        parsed("own", &self.own)?;
        parsed("off", &self.off).map(drop)
    }
}

/// Grants that were used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct UsedGrants {
    /// The last second of each, by its id in hexadecimal.
    used: BTreeMap<String, u64>,
    /// Every grant whose last second is not later counts as used.
    forgotten_until: u64,
}

impl Document for UsedGrants {
    const NAME: &'static str = "used-grants";
    const VERSION: u32 = 1;

    fn migrate(from: u32, _: Value) -> Result<Value, String> {
        Err(format!("there never was a version {from}"))
    }

    fn check(&self) -> Result<(), Vec<FieldError>> {
        if self.used.len() > USED_MOST {
            return Err(vec![FieldError::new("used", "these are too many", format!("at most {USED_MOST}"))]);
        }
        Ok(())
    }
}

/// A grant that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Approved {
    grant: Grant,
    signer: Line<64>,
}

impl Approved {
    /// For how many minutes a session may be open, at most.
    pub(crate) fn minutes(&self) -> u32 {
        self.grant.minutes.get().into()
    }

    /// What is shown of it beside its session.
    pub(crate) fn by(&self) -> ApprovedBy {
        ApprovedBy { id: self.grant.id, case: self.grant.case.to_string(), signer: self.signer.to_string() }
    }

    /// What it allows.
    fn terms(&self, is_open: bool) -> GrantTerms {
        let scope = &self.grant.scope;
        GrantTerms {
            id: self.grant.id,
            case: self.grant.case.to_string(),
            signer: self.signer.to_string(),
            engineer: self.grant.engineer.as_str().to_owned(),
            scope: Scope {
                targets: scope.targets.iter().filter_map(bus_target).collect(),
                shell: scope.shell,
                files: scope.files,
                forwards: scope.forwards,
            },
            minutes: self.minutes(),
            not_after: self.grant.not_after,
            is_open,
        }
    }

    /// Whether this is asked for, or less. The fault is everything that is more.
    fn allows(&self, request: &BridgeRequest) -> Result<(), Vec<FieldError>> {
        let (asked, allowed) = (&request.grant, &self.grant);
        let mut errors = Vec::new();
        let mut no =
            |field: &str, wrong: String, right: String| errors.push(FieldError::new(field, wrong, right));
        let engineer = allowed.engineer.as_str();
        match asked.proof.keys() {
            [key] if !key.authority && is_same_key(&key.line, engineer) => {}
            _ => no(
                "proof.keys",
                "the grant is for another engineer's key".to_owned(),
                format!("{engineer}, and no other"),
            ),
        }
        for (field, is_asked, is_allowed) in [
            ("scope.shell", asked.scope.shell, allowed.scope.shell),
            ("scope.files", asked.scope.files, allowed.scope.files),
            ("scope.forwards", asked.scope.forwards, allowed.scope.forwards),
        ] {
            if is_asked && !is_allowed {
                no(field, "the grant does not allow this".to_owned(), "without it".to_owned());
            }
        }
        for (number, target) in asked.scope.targets.iter().enumerate() {
            if !allowed
                .scope
                .targets
                .iter()
                .any(|one| bus_target(one).is_some_and(|one| is_same_place(&one, target)))
            {
                let right: Vec<String> = allowed.scope.targets.iter().map(ToString::to_string).collect();
                let right = if right.is_empty() { "no target".to_owned() } else { right.join(", ") };
                no(
                    &format!("scope.targets[{number}]"),
                    "the grant does not name this target".to_owned(),
                    right,
                );
            }
        }
        if asked.minutes > self.minutes() {
            no(
                "minutes",
                "the grant is for a shorter time".to_owned(),
                format!("at most {} minutes", self.minutes()),
            );
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// Why a grant opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotApproved {
    /// It does not count.
    Refused(GrantFault),
    /// It counts, and something else was asked for.
    Beyond(Vec<FieldError>),
}

impl From<GrantRefusal> for NotApproved {
    fn from(refusal: GrantRefusal) -> Self {
        Self::Refused(fault(&refusal))
    }
}

impl NotApproved {
    /// As the bus says it.
    pub(crate) fn reply(self) -> Reply {
        match self {
            Self::Refused(fault) => Reply::GrantRefused(fault),
            Self::Beyond(errors) => Reply::Invalid(errors),
        }
    }
}

fn fault(refusal: &GrantRefusal) -> GrantFault {
    GrantFault { code: refusal.code().to_owned(), sentence: format!("The grant does not count: {refusal}.") }
}

/// All that is known of the vendor's word.
pub(crate) struct Approvals {
    store: Store,
    built_in: VendorKeys,
    owners: OwnersKeys,
    used: UsedGrants,
    /// Those that count now.
    keys: VendorKeys,
}

impl Approvals {
    /// Reads what is kept in this folder. `built_in` are the keys of the vendor's profile.
    pub(crate) fn open(folder: &Path, built_in: VendorKeys) -> Self {
        let store = Store::at(folder);
        let (owners, used) = (store.load::<OwnersKeys>(), store.load::<UsedGrants>());
        if owners.is_troubled() {
            log::error!("{}", owners.sentence());
        }
        if used.is_troubled() {
            log::error!("{}", used.sentence());
        }
        let (owners, used) = (owners.value, used.value);
        let keys = counted(&built_in, &owners).unwrap_or_else(|errors| {
            // An image with other keys than the one before may bring the owner's own.
            log::error!(
                "the vendor's keys do not go together, and only those that are built in count: {errors:?}"
            );
            built_in.clone()
        });
        Self { store, built_in, owners, used, keys }
    }

    /// Whose word is known, and counts or not.
    pub(crate) fn list(&self) -> Vec<VendorKeyLine> {
        let line = |key: &VendorKey, built_in, on| VendorKeyLine {
            line: key.to_string(),
            name: key.name().to_owned(),
            built_in,
            on,
        };
        let built_in =
            self.built_in.iter().map(|key| line(key, true, !self.owners.off.contains(&key.to_string())));
        let own = self.owners.own.iter().filter_map(|text| VendorKey::parse(text).ok());
        built_in.chain(own.map(|key| line(&key, false, true))).collect()
    }

    /// Sets whose word the owner takes.
    pub(crate) fn set(&mut self, change: &VendorKeyChange) -> Result<(), Vec<FieldError>> {
        let own = parsed("keys", &change.own)?;
        let off = parsed("off", &change.off)?;
        let mut errors = Vec::new();
        for (number, key) in off.iter().enumerate() {
            if !self.built_in.iter().any(|one| one == key) {
                let right = "a key that is built in; one of your own is taken out of the list";
                errors.push(FieldError::new(format!("off[{number}]"), "this key is not built in", right));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let lines = |keys: &[VendorKey]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        let owners = OwnersKeys { own: lines(&own), off: lines(&off) };
        let keys = counted(&self.built_in, &owners)?;
        if owners != self.owners {
            self.store.save(&owners).map_err(|error| {
                let wrong = format!("the keys cannot be kept: {error}");
                vec![FieldError::new("keys", wrong, "a disk that can be written: see the page Health")]
            })?;
            self.note_change(&owners, &change.by);
            (self.owners, self.keys) = (owners, keys);
        }
        Ok(())
    }

    /// Each key that comes, goes, or is switched is in the log by name, whoever asked for it.
    fn note_change(&self, next: &OwnersKeys, by: &str) {
        let by = words::line(by);
        let differ = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|line| !other.contains(line)).cloned().collect()
        };
        for (what, lines) in [
            ("takes the word of", differ(&next.own, &self.owners.own)),
            ("does not take any more the word of", differ(&self.owners.own, &next.own)),
            ("switches off", differ(&next.off, &self.owners.off)),
            ("switches on again", differ(&self.owners.off, &next.off)),
        ] {
            for line in lines {
                log::warn!("{by} {what} {line}");
            }
        }
    }

    /// Whether a text is a grant that counts now, and what it allows. `open` is the grant of the session that is open.
    pub(crate) fn look(
        &self,
        text: &str,
        serial: &str,
        clock: Clock,
        open: Option<&[u8; 16]>,
    ) -> Result<GrantTerms, GrantFault> {
        let approved = self.verified(text, serial).map_err(|refusal| fault(&refusal))?;
        if open == Some(&approved.grant.id) {
            return Ok(approved.terms(true));
        }
        self.is_good(&approved.grant, serial, clock).map_err(|refusal| fault(&refusal))?;
        Ok(approved.terms(false))
    }

    /// Whether a grant allows this request now.
    pub(crate) fn approve(
        &self,
        text: &str,
        request: &BridgeRequest,
        serial: &str,
        clock: Clock,
    ) -> Result<Approved, NotApproved> {
        let approved = self.verified(text, serial)?;
        self.is_good(&approved.grant, serial, clock)?;
        approved.allows(request).map_err(NotApproved::Beyond)?;
        Ok(approved)
    }

    /// Uses a grant up. When this fails nothing may be opened by it.
    pub(crate) fn take(&mut self, approved: &Approved, clock: Clock) -> Result<(), NotApproved> {
        let (Clock::About(now) | Clock::NotBefore(now)) = clock;
        let mut next = self.used.clone();
        if next.used.len() >= USED_MOST {
            let over = next.used.values().copied().filter(|last| *last < now).max();
            next.forgotten_until = next.forgotten_until.max(over.unwrap_or(0));
            let until = next.forgotten_until;
            next.used.retain(|_, last| *last > until);
        }
        let refused = |code: &str, sentence: String| {
            NotApproved::Refused(GrantFault { code: code.to_owned(), sentence })
        };
        if next.used.len() >= USED_MOST {
            let sentence = format!(
                "No grant can be used now: {USED_MOST} are known that were used and whose time is not over. Connect with a secret."
            );
            return Err(refused("grant-room", sentence));
        }
        next.used.insert(hex(&approved.grant.id), approved.grant.not_after);
        // Twice: the generation before must know it, too.
        for _ in 0..2 {
            self.store.save(&next).map_err(|error| {
                let sentence = format!(
                    "The grant opens nothing, because it cannot be kept that it was used: {error}. Have the disk looked at, or connect \
                     with a secret."
                );
                refused("grant-not-kept", sentence)
            })?;
        }
        self.used = next;
        Ok(())
    }

    fn verified(&self, text: &str, serial: &str) -> Result<Approved, GrantRefusal> {
        if text.len() > GRANT_BYTES {
            return Err(TextFault::Long(Kind::Grant).into());
        }
        let (grant, signer) = Grant::open(text, &self.keys)?;
        if grant.serial.as_str() != serial {
            return Err(GrantRefusal::OtherSystem(grant.serial));
        }
        Ok(Approved { grant, signer })
    }

    fn is_good(&self, grant: &Grant, serial: &str, clock: Clock) -> Result<(), GrantRefusal> {
        // A serial number that is none is no grant's.
        let ours = Serial::new(serial).map_err(|_| GrantRefusal::OtherSystem(grant.serial.clone()))?;
        grant.check(&ours, clock)?;
        if grant.not_after <= self.used.forgotten_until || self.used.used.contains_key(&hex(&grant.id)) {
            return Err(GrantRefusal::Used);
        }
        Ok(())
    }
}

/// Lines of keys, each with its fault.
fn parsed(field: &str, lines: &[String]) -> Result<Vec<VendorKey>, Vec<FieldError>> {
    let (mut keys, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in lines.iter().enumerate() {
        match VendorKey::parse(line) {
            Ok(key) => keys.push(key),
            Err(fault) => {
                let right = "a line as the vendor gives it: drawbridge-ed25519 AAAA… NAME";
                errors.push(FieldError::new(format!("{field}[{number}]"), fault.to_string(), right));
            }
        }
    }
    if errors.is_empty() { Ok(keys) } else { Err(errors) }
}

/// The keys that count: those that are built in and not switched off, and the owner's own.
fn counted(built_in: &VendorKeys, owners: &OwnersKeys) -> Result<VendorKeys, Vec<FieldError>> {
    let mut keys: Vec<VendorKey> =
        built_in.iter().filter(|key| !owners.off.contains(&key.to_string())).cloned().collect();
    keys.extend(parsed("keys", &owners.own)?);
    VendorKeys::new(keys).map_err(|fault| vec![FieldError::new("keys", fault.to_string(), "each key once")])
}

fn bus_target(target: &drawbridge_identity::grant::Target) -> Option<Target> {
    target.host().parse().ok().map(|host| Target { host, port: target.port() })
}

/// The same port of the same host, however its name or address is written.
fn is_same_place(one: &Target, other: &Target) -> bool {
    let (here, there) = (one.host.to_string(), other.host.to_string());
    let same = match (here.parse::<IpAddr>(), there.parse::<IpAddr>()) {
        (Ok(here), Ok(there)) => here == there,
        _ => here.trim_end_matches('.').eq_ignore_ascii_case(there.trim_end_matches('.')),
    };
    same && one.port == other.port
}

/// The same key, whatever its comments.
fn is_same_key(one: &str, other: &str) -> bool {
    let words = |line: &str| line.split_ascii_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    words(one) == words(other)
}

fn hex(id: &[u8]) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::new(), |mut text, byte| {
        // A string takes what there is.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(crate) mod tests;
