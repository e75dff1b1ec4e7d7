//! The half that needs root: it runs in the child, between fork and exec, and never returns a privilege.

use crate::{Profile, SandboxError};
use caps::{CapSet, CapsHashSet};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, getpid, getsid, setgid, setgroups, setsid, setuid};
use std::path::Path;

/// Puts the calling process, which is a freshly forked child of init and single-threaded, into its sandbox as far as root is
/// needed for it. Descriptors from 4 up are closed by the coming exec.
///
/// # Errors
/// What could not be taken away; the caller must not go on to exec.
pub fn enclose(profile: &Profile) -> Result<(), SandboxError> {
    let call = SandboxError::call;
    // A process that has a terminal has started its session already, and is refused another.
    if getsid(None) != Ok(getpid()) {
        setsid().map_err(|error| call("start a session of its own", error))?;
    }
    // Descriptors are all opened close-on-exec; this holds for one that a library opened without.
    crate::lock::sys::close_on_exec_from(4)
        .map_err(|error| SandboxError::call("close what init has open", error))?;
    enclose_mounts(profile)?;
    if !profile.network {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| call("leave the network", error))?;
    }
    limit(profile)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    become_user(profile)?;
    nix::sys::prctl::set_no_new_privs().map_err(|error| call("give up new privileges", error))
}

/// Moves the calling process into its control group, which init made before. Last of what needs init's own view.
pub fn join_group(folder: &Path) -> Result<(), SandboxError> {
    // Init itself is never the victim when memory runs out; its children are.
    std::fs::write("/proc/self/oom_score_adj", "0")
        .map_err(|error| SandboxError::call("become killable", error))?;
    std::fs::write(folder.join("cgroup.procs"), "0")
        .map_err(|error| SandboxError::call("join its control group", error))
}

/// A mount tree of its own in which `/tmp` is private; what init unmounts later disappears here too.
fn enclose_mounts(profile: &Profile) -> Result<(), SandboxError> {
    let call = SandboxError::call;
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| call("make a mount tree of its own", error))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(|error| call("cut its mounts off from init's", error))?;
    let options =
        format!("mode=0700,uid={0},gid={0},size={1},nr_inodes=1024", profile.uid, profile.limits.temporary);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), "/tmp", Some("tmpfs"), flags, Some(options.as_str()))
        .map_err(|error| call("mount its own /tmp", error))?;
    Ok(())
}

fn limit(profile: &Profile) -> Result<(), SandboxError> {
    let limits = &profile.limits;
    for (resource, most) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, limits.descriptors),
        (Resource::RLIMIT_NPROC, u64::from(limits.tasks)),
        (Resource::RLIMIT_FSIZE, limits.file),
        (Resource::RLIMIT_MEMLOCK, 64 * 1024),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
    ] {
        setrlimit(resource, most, most).map_err(|error| SandboxError::call("set a limit", error))?;
    }
    Ok(())
}

/// From root to the role's user, with exactly the profile's capabilities, which then outlive the exec (ambient).
fn become_user(profile: &Profile) -> Result<(), SandboxError> {
    let call = SandboxError::call;
    let keep: CapsHashSet = profile.capabilities.iter().copied().collect();
    let capabilities = |what| move |error| SandboxError::Capabilities { what, error };
    for capability in caps::all().difference(&keep) {
        // A capability newer than the kernel is none: dropping it fails with EINVAL, and there is nothing to drop.
        if caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(false) {
            caps::drop(None, CapSet::Bounding, *capability)
                .map_err(capabilities("drop a capability from the bounding set"))?;
        }
    }
    caps::securebits::set_keepcaps(true)
        .map_err(capabilities("keep capabilities over the change of user"))?;
    setgroups(&[]).map_err(|error| call("leave all groups", error))?;
    setgid(Gid::from_raw(profile.uid)).map_err(|error| call("change group", error))?;
    setuid(Uid::from_raw(profile.uid)).map_err(|error| call("change user", error))?;
    caps::set(None, CapSet::Effective, &CapsHashSet::new())
        .map_err(capabilities("drop effective capabilities"))?;
    caps::set(None, CapSet::Permitted, &keep).map_err(capabilities("drop permitted capabilities"))?;
    caps::set(None, CapSet::Inheritable, &keep).map_err(capabilities("set inheritable capabilities"))?;
    caps::set(None, CapSet::Ambient, &keep).map_err(capabilities("set ambient capabilities"))?;
    caps::securebits::set_keepcaps(false).map_err(capabilities("stop keeping capabilities"))
}
