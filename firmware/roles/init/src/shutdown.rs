//! The orderly end: ask, TERM, KILL, then save, sync, unmount, and restart or switch off. It never goes back.

use drawbridge_bus::{DataState, Power};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use std::path::Path;

/// How long roles may take to end by themselves, in seconds.
pub(crate) const ASK_SECONDS: u16 = 5;
/// How long after TERM, in milliseconds.
const TERM_MILLISECONDS: u64 = 2_000;
/// How long after KILL: a process that is still there then hangs in the kernel, and would for ever.
const KILL_MILLISECONDS: u64 = 2_000;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Roles were asked to end.
    Asked,
    /// TERM was sent.
    Terminated,
    /// KILL was sent.
    Killed,
    /// Nothing is left to wait for.
    Over,
}

/// An end under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shutdown {
    /// What comes after.
    pub(crate) power: Power,
    /// How far it has come.
    pub(crate) stage: Stage,
    /// When the next stage begins, in milliseconds since boot.
    pub(crate) until: u64,
}

impl Shutdown {
    /// Begins with asking.
    pub(crate) fn new(power: Power, now: u64) -> Self {
        Self { power, stage: Stage::Asked, until: now + u64::from(ASK_SECONDS) * 1000 }
    }

    /// The next stage, when its time has come. `left` says whether any process is left.
    pub(crate) fn advance(&mut self, now: u64, left: bool) -> Option<Stage> {
        if self.stage == Stage::Over || (left && now < self.until) {
            return None;
        }
        (self.stage, self.until) = match self.stage {
            _ if !left => (Stage::Over, now),
            Stage::Asked => (Stage::Terminated, now + TERM_MILLISECONDS),
            Stage::Terminated => (Stage::Killed, now + KILL_MILLISECONDS),
            Stage::Killed | Stage::Over => (Stage::Over, now),
        };
        Some(self.stage)
    }
}

/// The last steps: what is to be kept is written, disks are put away, the machine ends.
pub(crate) fn finish(power: Power, data: &DataState) -> ! {
    let folder = crate::data::own_folder();
    if let Err(error) = crate::clock::save(&folder) {
        log::warn!("the time could not be kept: {error}");
    }
    if let Err(error) = crate::seed::save(&folder) {
        log::warn!("the random seed could not be kept: {error}");
    }
    crate::failure::ended_in_order(&folder);
    nix::unistd::sync();
    if let DataState::Disk { device, .. } = data {
        put_away(device);
    }
    let (mode, words) = match power {
        Power::Reboot => (RebootMode::RB_AUTOBOOT, "Restarting."),
        Power::Off => (RebootMode::RB_POWER_OFF, "Switching off."),
    };
    log::info!("{words}");
    // The watchdogs stay armed: should the call hang, they restart the machine.
    let _ = reboot(mode);
    crate::fatal("the machine could not be restarted or switched off")
}

fn put_away(device: &str) {
    let data = Path::new(crate::data::DATA);
    match umount2(data, MntFlags::empty()) {
        Ok(()) => log::info!("{device} is unmounted, with everything written."),
        Err(error) => {
            log::error!("{device} cannot be unmounted ({error}); it is made read-only instead");
            let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            if let Err(error) = mount(None::<&str>, data, None::<&str>, read_only, None::<&str>) {
                log::error!("{device} cannot be made read-only: {error}");
            }
            nix::unistd::sync();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_asked_then_told_then_ended() {
        let mut shutdown = Shutdown::new(Power::Off, 1_000);
        assert_eq!(shutdown.advance(1_000, true), None);
        assert_eq!(shutdown.advance(6_000, true), Some(Stage::Terminated));
        assert_eq!(shutdown.advance(7_999, true), None);
        assert_eq!(shutdown.advance(8_000, true), Some(Stage::Killed));
        assert_eq!(shutdown.advance(10_000, true), Some(Stage::Over));
        assert_eq!(shutdown.advance(99_000, true), None);
    }

    #[test]
    fn it_is_over_as_soon_as_nothing_is_left() {
        let mut shutdown = Shutdown::new(Power::Reboot, 1_000);
        assert_eq!(shutdown.advance(1_500, false), Some(Stage::Over));
    }
}
