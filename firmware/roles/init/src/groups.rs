//! Control groups: a bound on memory and tasks for each role, and the end of all that it has started. It never starts
//! anything.

use drawbridge_sandbox::Profile;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// The folder of a role's group.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// Makes the role's group with its bounds.
pub(crate) fn make(profile: &Profile) {
    let folder = folder(profile.name);
    let limits = &profile.limits;
    let made = || -> std::io::Result<()> {
        fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+memory +pids")?;
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        fs::write(folder.join("memory.max"), limits.memory.to_string())?;
        fs::write(folder.join("memory.oom.group"), "1")?;
        fs::write(folder.join("pids.max"), limits.tasks.to_string())
    };
    if let Err(error) = made() {
        log::error!("cannot bound the {} role: {error}", profile.name);
    }
}

/// What the group holds of memory, in KiB; 0 when the kernel does not say.
pub(crate) fn memory_kib(name: &str) -> u64 {
    let bytes = fs::read_to_string(folder(name).join("memory.current")).ok();
    bytes.and_then(|bytes| bytes.trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// How many processes and threads' leaders the group has; 0 when the kernel does not say.
pub(crate) fn processes(name: &str) -> u32 {
    let text = fs::read_to_string(folder(name).join("cgroup.procs")).unwrap_or_default();
    u32::try_from(text.lines().count()).unwrap_or(u32::MAX)
}

/// Ends every process of the group at once (KILL), those that the role has started included.
pub(crate) fn kill(name: &str) {
    if let Err(error) = fs::write(folder(name).join("cgroup.kill"), "1") {
        log::error!("cannot end the processes of the {name} role: {error}");
    }
}
