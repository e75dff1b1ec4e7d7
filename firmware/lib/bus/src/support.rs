//! What is said of support sessions: who may come in, to what, and for how long. Types and their bounds only: it never decides.

use drawbridge_settings::FieldError;
use drawbridge_settings::network::{Host, IpNet};
use serde::{Deserialize, Serialize};

/// The longest name, opener or reason of a grant, in characters.
pub const TEXT_MOST: usize = 200;
/// The most targets of a scope.
pub const TARGETS_MOST: usize = 64;
/// The most networks that engineers may come from.
pub const SOURCES_MOST: usize = 32;
/// The most keys of engineers.
pub const KEYS_MOST: usize = 16;
/// The longest line of a key, in bytes: a certificate with all its options fits.
pub const KEY_BYTES: usize = 4096;
/// The shortest and the longest life of a grant, in minutes: a minute, and four weeks.
pub const MINUTES: std::ops::RangeInclusive<u32> = 1..=28 * 24 * 60;

/// How long nobody need watch who should, in seconds: 10 seconds to an hour.
pub const GRACE: std::ops::RangeInclusive<u32> = 10..=3600;
/// The usual of it.
pub const USUAL_GRACE: u32 = 300;

/// The number of a grant: no two since the machine was started have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GrantId(pub u64);

/// How closely an engineer is led.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// He works by himself.
    Direct,
    /// He works while somebody watches.
    Watched,
    /// He proposes, and somebody approves each line.
    Guided,
}

/// What happens to a session that cannot be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recording {
    /// It does not begin, or ends.
    #[default]
    Strict,
    /// It goes on, because the owner has said before that help matters more ("break glass"). That it was chosen, and that it was
    /// needed, is in the log.
    BreakGlass,
}

/// A place of the array that an engineer may reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// By name or address.
    pub host: Host,
    /// TCP port, not 0.
    pub port: u16,
}

/// What a grant opens. Nothing else is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Places of the array, for `ssh TARGET` and forwards (at most [`TARGETS_MOST`]).
    pub targets: Vec<Target>,
    /// The appliance's command line.
    pub shell: bool,
    /// Files to and from the grant's own folder.
    pub files: bool,
    /// Forwards of TCP connections to the targets.
    pub forwards: bool,
}

/// A key by which an engineer proves himself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineerKey {
    /// The public key as OpenSSH writes it, one line of at most [`KEY_BYTES`].
    pub line: String,
    /// It signs engineers' certificates and lets nobody in by itself.
    pub authority: bool,
    /// It is of no use after so many minutes; none: as long as the grant lives.
    pub minutes: Option<u32>,
}

/// How an engineer proves himself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// By the grant's secret.
    Secret,
    /// By one of these keys (at most [`KEYS_MOST`]).
    Key(Vec<EngineerKey>),
    /// By one of these keys, and then by the secret.
    KeyAndSecret(Vec<EngineerKey>),
}

impl Proof {
    /// Its keys.
    pub fn keys(&self) -> &[EngineerKey] {
        match self {
            Self::Secret => &[],
            Self::Key(keys) | Self::KeyAndSecret(keys) => keys,
        }
    }

    /// Whether a secret is part of it.
    pub const fn needs_secret(&self) -> bool {
        matches!(self, Self::Secret | Self::KeyAndSecret(_))
    }
}

/// What an administrator asks for, but for the secret, which travels apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRequest {
    /// What the session is called.
    pub name: String,
    /// Who opens it.
    pub opener: String,
    /// Why.
    pub reason: String,
    /// How closely the engineer is led.
    pub level: Level,
    /// What happens when it cannot be recorded.
    pub recording: Recording,
    /// For so many seconds nobody need watch at the levels watched and guided ([`GRACE`]); then the engineer's connection ends.
    pub grace_seconds: u32,
    /// What is opened.
    pub scope: Scope,
    /// After how many minutes it ends, whatever happens ([`MINUTES`]).
    pub minutes: u32,
    /// How the engineer proves himself.
    pub proof: Proof,
    /// Where engineers may come from; empty: from anywhere (at most [`SOURCES_MOST`]).
    pub sources: Vec<IpNet>,
}

impl GrantRequest {
    /// Every fault, with its field.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        for (field, text, needed) in
            [("name", &self.name, true), ("opener", &self.opener, true), ("reason", &self.reason, false)]
        {
            let length = text.chars().count();
            if length > TEXT_MOST || text.chars().any(char::is_control) {
                errors.push(FieldError::new(
                    field,
                    "this is too long, or has control characters in it",
                    format!("one line of at most {TEXT_MOST} characters"),
                ));
            } else if needed && text.trim().is_empty() {
                errors.push(FieldError::new(
                    field,
                    "this is empty",
                    "a word or two that tell it from others",
                ));
            }
        }
        if !MINUTES.contains(&self.minutes) {
            errors.push(minutes_error("minutes", self.minutes));
        }
        if !GRACE.contains(&self.grace_seconds) {
            errors.push(FieldError::new(
                "grace_seconds",
                format!("{} seconds are too few or too many", self.grace_seconds),
                format!("{} to {} seconds", GRACE.start(), GRACE.end()),
            ));
        }
        let mut few = |field: &str, count: usize, most: usize| {
            if count > most {
                errors.push(FieldError::new(field, format!("these are {count}"), format!("at most {most}")));
            }
        };
        few("scope.targets", self.scope.targets.len(), TARGETS_MOST);
        few("sources", self.sources.len(), SOURCES_MOST);
        few("proof.keys", self.proof.keys().len(), KEYS_MOST);
        for (number, target) in self.scope.targets.iter().enumerate() {
            if target.port == 0 {
                let field = format!("scope.targets[{number}].port");
                errors.push(FieldError::new(field, "0 is no TCP port", "a port from 1 to 65535, as 22"));
            }
        }
        if self.scope.forwards && self.scope.targets.is_empty() {
            errors.push(FieldError::new(
                "scope.forwards",
                "forwards are allowed to no target",
                "at least one target, or no forwards",
            ));
        }
        if !self.scope.shell && !self.scope.files && !self.scope.forwards {
            errors.push(FieldError::new(
                "scope",
                "an engineer could do nothing at all",
                "at least one of shell, files and forwards",
            ));
        }
        if !matches!(self.proof, Proof::Secret) && self.proof.keys().is_empty() {
            errors.push(FieldError::new("proof.keys", "there is no key", "at least one public key"));
        }
        for (number, key) in self.proof.keys().iter().enumerate() {
            let field = format!("proof.keys[{number}]");
            if key.line.len() > KEY_BYTES || key.line.chars().any(char::is_control) {
                errors.push(FieldError::new(
                    format!("{field}.line"),
                    "this is too long, or more than one line",
                    format!("one public key as OpenSSH writes it, at most {KEY_BYTES} bytes"),
                ));
            }
            if let Some(minutes) = key.minutes.filter(|minutes| !MINUTES.contains(minutes)) {
                errors.push(minutes_error(&format!("{field}.minutes"), minutes));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn minutes_error(field: &str, minutes: u32) -> FieldError {
    let right = format!("{} to {} minutes", MINUTES.start(), MINUTES.end());
    FieldError::new(field, format!("{minutes} minutes are too few or too many"), right)
}

/// Why a support session ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// Somebody has stopped it.
    Stopped {
        /// Who.
        by: String,
    },
    /// Its time is over.
    Expired,
    /// A part of it could not be started, or has failed for good; the sentence says which.
    Failed(String),
}

/// What of a support session is still there after its end was ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftovers {
    /// Processes of the tunnel, the SSH daemon and the shells.
    pub processes: u32,
    /// Their sockets, listening or connected.
    pub sockets: u32,
    /// Terminals of engineers.
    pub terminals: u32,
    /// Files and folders in the grant's folder.
    pub files: u32,
}

impl Leftovers {
    /// Whether nothing is left.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Leftovers {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { processes, sockets, terminals, files } = self;
        write!(
            to,
            "{processes} processes, {sockets} sockets, {terminals} terminals and {files} files are left"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> GrantRequest {
        GrantRequest {
            name: "case 4711".to_owned(),
            opener: "anna".to_owned(),
            reason: String::new(),
            level: Level::Direct,
            recording: Recording::Strict,
            grace_seconds: USUAL_GRACE,
            scope: Scope { targets: Vec::new(), shell: true, files: false, forwards: false },
            minutes: 60,
            proof: Proof::Secret,
            sources: Vec::new(),
        }
    }

    #[test]
    fn what_is_wrong_with_a_grant_is_told_by_field_and_all_at_once() {
        assert_eq!(request().check(), Ok(()));
        let wrong = GrantRequest {
            name: " ".to_owned(),
            reason: "a\nb".to_owned(),
            minutes: 0,
            scope: Scope {
                targets: vec![Target { host: "node".parse().unwrap(), port: 0 }],
                shell: false,
                files: false,
                forwards: false,
            },
            proof: Proof::Key(Vec::new()),
            ..request()
        };
        let fields: Vec<String> = wrong.check().unwrap_err().into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["name", "reason", "minutes", "scope.targets[0].port", "scope", "proof.keys"]);
    }

    #[test]
    fn the_largest_grant_that_is_right_fits_a_frame() {
        let key = EngineerKey { line: "k".repeat(KEY_BYTES), authority: false, minutes: None };
        let target = Target { host: format!("{}.example", "n".repeat(63)).parse().unwrap(), port: 22 };
        let text = "\u{1f600}".repeat(TEXT_MOST);
        let largest = GrantRequest {
            name: text.clone(),
            opener: text.clone(),
            reason: text,
            scope: Scope { targets: vec![target; TARGETS_MOST], shell: true, files: true, forwards: true },
            proof: Proof::KeyAndSecret(vec![key; KEYS_MOST]),
            sources: vec!["2001:db8::/32".parse().unwrap(); SOURCES_MOST],
            ..request()
        };
        assert_eq!(largest.check(), Ok(()));
        assert!(postcard::to_stdvec(&largest).unwrap().len() < crate::frame::FRAME_BYTES);
    }
}
