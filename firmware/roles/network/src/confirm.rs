//! Commit-confirm: a change holds only if somebody says so over the new configuration. Pure: it never applies one, and never
//! looks at a clock.
//!
//! ```text
//!            propose                      confirm
//!   settled ────────► pending ──────────────────────────► settled, with the new settings
//!      ▲                 │ time is over, or revert
//!      └─────────────────┘ with the old settings
//! ```
//! What is pending is kept in memory only: after a power cut, or when the role is started anew, the old settings are in
//! force.

use drawbridge_bus::ChangeId;
use drawbridge_settings::network::NetworkSettings;
use std::time::{Duration, Instant};

/// The settings in force, and the change that waits.
#[derive(Debug)]
pub struct Commit {
    kept: NetworkSettings,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    id: ChangeId,
    settings: NetworkSettings,
    until: Instant,
}

/// Why a change is neither confirmed nor taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no change with this number waits: it was confirmed or taken back already")]
pub struct NoSuchChange;

impl Commit {
    /// With what is kept.
    pub fn new(kept: NetworkSettings) -> Self {
        Self { kept, pending: None }
    }

    /// The settings in force: the pending ones, else the kept ones.
    pub fn in_force(&self) -> &NetworkSettings {
        self.pending.as_ref().map_or(&self.kept, |pending| &pending.settings)
    }

    /// Puts settings in force that have to be confirmed until `until`. A change that waits already is replaced: what is
    /// kept is still what was confirmed last.
    pub fn propose(&mut self, id: ChangeId, settings: NetworkSettings, until: Instant) {
        self.pending = Some(Pending { id, settings, until });
    }

    /// The change that waits, and for how long still.
    pub fn pending(&self, now: Instant) -> Option<(ChangeId, Duration)> {
        let pending = self.pending.as_ref()?;
        Some((pending.id, pending.until.saturating_duration_since(now)))
    }

    /// When the change that waits is taken back.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.until)
    }

    /// The settings of the change, to be kept; [`Commit::kept`] follows when they are.
    ///
    /// # Errors
    /// No such change waits, or its time is over.
    pub fn confirm(&self, id: ChangeId, now: Instant) -> Result<&NetworkSettings, NoSuchChange> {
        match &self.pending {
            Some(pending) if pending.id == id && now < pending.until => Ok(&pending.settings),
            _ => Err(NoSuchChange),
        }
    }

    /// The pending change was kept.
    pub fn kept(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.kept = pending.settings;
        }
    }

    /// Takes the change back.
    ///
    /// # Errors
    /// No such change waits.
    pub fn revert(&mut self, id: ChangeId) -> Result<(), NoSuchChange> {
        match &self.pending {
            Some(pending) if pending.id == id => {
                self.pending = None;
                Ok(())
            }
            _ => Err(NoSuchChange),
        }
    }

    /// Takes the change back when its time is over; tells whether it was.
    pub fn expire(&mut self, now: Instant) -> bool {
        let over = self.pending.as_ref().is_some_and(|pending| now >= pending.until);
        if over {
            self.pending = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(seconds: u16) -> NetworkSettings {
        NetworkSettings { confirm_seconds: seconds, ..NetworkSettings::default() }
    }

    #[test]
    fn a_change_that_nobody_confirms_is_taken_back() {
        let now = Instant::now();
        let mut commit = Commit::new(settings(60));
        commit.propose(ChangeId(7), settings(30), now + Duration::from_secs(30));
        assert_eq!(commit.in_force(), &settings(30));
        assert_eq!(commit.pending(now), Some((ChangeId(7), Duration::from_secs(30))));
        assert!(!commit.expire(now + Duration::from_secs(29)));
        assert!(commit.expire(now + Duration::from_secs(30)));
        assert_eq!(commit.in_force(), &settings(60));
        assert_eq!(commit.confirm(ChangeId(7), now), Err(NoSuchChange));
        assert_eq!(commit.deadline(), None);
    }

    #[test]
    fn a_confirmed_change_stays_and_a_late_or_foreign_confirmation_is_none() {
        let now = Instant::now();
        let mut commit = Commit::new(settings(60));
        commit.propose(ChangeId(7), settings(30), now + Duration::from_secs(30));
        assert_eq!(commit.confirm(ChangeId(8), now), Err(NoSuchChange));
        assert_eq!(commit.confirm(ChangeId(7), now + Duration::from_secs(30)), Err(NoSuchChange));
        assert_eq!(commit.confirm(ChangeId(7), now), Ok(&settings(30)));
        commit.kept();
        assert!(!commit.expire(now + Duration::from_mins(1)));
        assert_eq!(commit.in_force(), &settings(30));
    }

    #[test]
    fn a_second_change_replaces_the_first_and_what_comes_back_is_what_was_confirmed() {
        let now = Instant::now();
        let mut commit = Commit::new(settings(60));
        commit.propose(ChangeId(1), settings(30), now + Duration::from_secs(30));
        commit.propose(ChangeId(2), settings(20), now + Duration::from_secs(20));
        assert_eq!(commit.revert(ChangeId(1)), Err(NoSuchChange));
        assert_eq!(commit.revert(ChangeId(2)), Ok(()));
        assert_eq!(commit.in_force(), &settings(60));
    }
}
