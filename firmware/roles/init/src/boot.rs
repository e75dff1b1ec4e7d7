//! From the kernel's hand-over to the event loop, in this order and no other. No step here ends the boot: each either
//! works, or the appliance comes up with less and says so.

use crate::symptom::Symptom;
use crate::watchdog::Watchdogs;
use crate::{clock, data, failure, logs, mounts, seed};
use drawbridge_bus::{ClockState, DataState};
use std::fs::File;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

/// What the boot has found.
pub(crate) struct Booted {
    pub(crate) watchdogs: Watchdogs,
    pub(crate) kernel_log: Option<File>,
    pub(crate) clock: ClockState,
    pub(crate) data: DataState,
    pub(crate) last_failure: Option<String>,
    /// What the kernel has said of the machine's health.
    pub(crate) symptoms: Vec<(Symptom, String)>,
}

pub(crate) fn boot() -> Booted {
    mounts::mount_devices();
    // First: from here on a hang is a restart.
    let mut watchdogs = Watchdogs::open();
    mounts::mount_rest();
    mounts::set_kernel();
    logs::start();
    log::info!("Drawbridge {} starts", crate::VERSION);
    let reading =
        File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open("/dev/kmsg");
    let mut kernel_log =
        reading.map_err(|error| log::error!("the kernel's log cannot be read: {error}")).ok();
    let symptoms = kernel_log.as_mut().map(logs::read_kernel).unwrap_or_default();
    let names = watchdogs.names();
    if names.is_empty() {
        log::warn!("this machine has no watchdog: a hang will not end by itself");
    } else {
        log::info!("guarded by {}", names.join(" and "));
    }
    let clock = clock::correct_by_build();
    let kernel_records = failure::take_kernel_records();
    let data = data::mount_data();
    watchdogs.feed();
    let folder = data::own_folder();
    let volatile = matches!(data, DataState::Volatile { .. });
    if !volatile {
        failure::data_survives();
    }
    let clock = clock::correct_by_saved(&clock, &folder);
    log::info!("{}", clock::sentence(&clock));
    if let DataState::Disk { device, .. } = &data {
        log::info!("/data is on {device}");
    }
    seed::renew(&folder, volatile);
    let last_failure = failure::collect(&folder, kernel_records, watchdogs.caused_restart);
    if let Some(text) = &last_failure {
        log::warn!("the last run failed: {}", text.lines().take(2).collect::<Vec<_>>().join(" "));
    }
    make_bus_folder();
    mounts::seal_root();
    Booted { watchdogs, kernel_log, clock, data, last_failure, symptoms }
}

fn make_bus_folder() {
    let folder = drawbridge_bus::SOCKETS;
    let made = std::fs::create_dir(folder)
        .and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)));
    if let Err(error) = made {
        log::error!("cannot make {folder}: {error}");
    }
}
