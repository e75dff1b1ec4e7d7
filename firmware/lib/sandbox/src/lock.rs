//! The half that the role does itself, before anything else. It never gives back what it took.

use crate::syscalls::ALWAYS;
use crate::{Connects, Profile, SandboxError};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;

/// Locks the calling process, which has one thread, into the profile. To be called first in a role.
///
/// # Errors
/// The process is not enclosed, or the kernel does not enforce all of it: the role must not run.
pub fn lock(profile: &Profile) -> Result<(), SandboxError> {
    let user = nix::unistd::Uid::from_raw(profile.uid);
    if nix::unistd::getresuid().is_ok_and(|is| is.real != user || is.effective != user || is.saved != user) {
        return Err(SandboxError::NotEnclosed("it runs as another user than the table says"));
    }
    if !nix::sys::prctl::get_no_new_privs().unwrap_or(false) {
        return Err(SandboxError::NotEnclosed("it could still gain privileges"));
    }
    // No other role, and no core, can look into this one's memory.
    nix::sys::prctl::set_dumpable(false).map_err(|error| SandboxError::call("hide its memory", error))?;
    lock_files(profile)?;
    lock_calls(profile)
}

/// Gives the calling process its name for the kernel's log and process table; of a longer one the first 15 bytes.
///
/// # Errors
/// The kernel refused.
pub fn name_process(name: &str) -> Result<(), SandboxError> {
    let short: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
    let short = std::ffi::CString::new(short).unwrap_or_default();
    nix::sys::prctl::set_name(&short).map_err(|error| SandboxError::call("name its process", error))
}

/// Landlock ABI 6 (Linux 6.12): files, TCP ports, signals, abstract sockets. Nothing less is accepted.
fn lock_files(profile: &Profile) -> Result<(), SandboxError> {
    let failed = |error: &dyn std::fmt::Display| SandboxError::Landlock(error.to_string());
    let abi = ABI::V6;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| match profile.connects {
            Connects::Ports(_) => rules.handle_access(AccessNet::from_all(abi)),
            Connects::Ordered => rules.handle_access(AccessNet::BindTcp),
        })
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .map_err(|error| failed(&error))?;
    let temporary = crate::File { path: "/tmp", write: true };
    for file in profile.files.iter().chain([&temporary]) {
        // What may only be read and is not there needs no rule: the role finds nothing, as it would have.
        if !file.write && !std::path::Path::new(file.path).exists() {
            continue;
        }
        let place = PathFd::new(file.path).map_err(|error| failed(&error))?;
        let mut access = AccessFs::ReadFile | AccessFs::ReadDir;
        if file.path.starts_with("/dev/") {
            // A device is used and never made. Of one that is no folder, rights of folders cannot be given.
            access = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        } else if std::path::Path::new(file.path).is_file() {
            // Neither can those of folders be given of a file.
            access =
                if file.write { AccessFs::ReadFile | AccessFs::WriteFile } else { AccessFs::ReadFile.into() };
        } else if file.write {
            access |= AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
                // To another folder of the same place: none that has other rights.
                | AccessFs::Refer;
        }
        rules = rules.add_rule(PathBeneath::new(place, access)).map_err(|error| failed(&error))?;
    }
    for port in profile.listens {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp)).map_err(|error| failed(&error))?;
    }
    if let Connects::Ports(ports) = profile.connects {
        for port in ports {
            let rule = NetPort::new(*port, AccessNet::ConnectTcp);
            rules = rules.add_rule(rule).map_err(|error| failed(&error))?;
        }
    }
    let status = rules.restrict_self().map_err(|error| failed(&error))?;
    if status.ruleset != RulesetStatus::FullyEnforced {
        return Err(SandboxError::Landlock("it enforces only a part".to_owned()));
    }
    Ok(())
}

/// Gives up every TCP port to connect to but these, for the calling process, which must have one thread still: for a role whose
/// profile says [`Connects::Ordered`], as soon as it knows its orders. It cannot be taken back, only narrowed again.
///
/// # Errors
/// The kernel does not enforce it: the role must not go on.
pub fn narrow(ports: &[u16]) -> Result<(), SandboxError> {
    let failed = |error: &dyn std::fmt::Display| SandboxError::Landlock(error.to_string());
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessNet::ConnectTcp)
        .and_then(Ruleset::create)
        .map_err(|error| failed(&error))?
        // It has none to gain since it was enclosed, and may not say so again.
        .no_new_privs(false);
    for port in ports {
        let rule = NetPort::new(*port, AccessNet::ConnectTcp);
        rules = rules.add_rule(rule).map_err(|error| failed(&error))?;
    }
    let status = rules.restrict_self().map_err(|error| failed(&error))?;
    if status.ruleset != RulesetStatus::FullyEnforced {
        return Err(SandboxError::Landlock("it enforces only a part".to_owned()));
    }
    Ok(())
}

/// Of a socket's type, what says the kind: the rest are flags (`SOCK_TYPE_MASK` of linux/net.h).
const KIND: SeccompCmpOp = SeccompCmpOp::MaskedEq(0xf);

/// The filter: what is not listed ends the process at once (SIGSYS), which init sees, logs and counts.
fn lock_calls(profile: &Profile) -> Result<(), SandboxError> {
    let failed = |error: &dyn std::fmt::Display| SandboxError::Seccomp(error.to_string());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    for group in profile.calls {
        rules.extend(group.list().iter().map(|call| (*call, Vec::new())));
    }
    let rule = |argument: u8, compare: SeccompCmpOp, value: u64| -> Result<SeccompRule, SandboxError> {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, compare, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| failed(&error))
    };
    let both =
        |one: (u8, SeccompCmpOp, u64), other: (u8, SeccompCmpOp, u64)| -> Result<SeccompRule, SandboxError> {
            let condition = |(argument, compare, value): (u8, SeccompCmpOp, u64)| {
                SeccompCondition::new(argument, SeccompCmpArgLen::Qword, compare, value)
            };
            condition(one)
                .and_then(|one| SeccompRule::new(vec![one, condition(other)?]))
                .map_err(|error| failed(&error))
        };
    let bits = |bits: i32| u64::from(bits.cast_unsigned());
    // Memory is written or executed, never both, and what is executed is the one binary that was started.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![rule(2, SeccompCmpOp::MaskedEq(bits(libc::PROT_EXEC)), 0)?]);
    }
    // Threads, no processes. clone3 hides its flags from the filter: it must pass here to be answered ENOSYS below,
    // whereupon the C library takes clone.
    let thread = bits(libc::CLONE_THREAD | libc::CLONE_VM);
    rules.insert(libc::SYS_clone, vec![rule(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
    rules.insert(libc::SYS_clone3, Vec::new());
    // A signal to itself (abort), to nobody else.
    rules.insert(libc::SYS_tgkill, vec![rule(0, SeccompCmpOp::Eq, u64::from(std::process::id()))?]);
    // Thread names.
    rules.insert(libc::SYS_prctl, vec![rule(0, SeccompCmpOp::Eq, bits(libc::PR_SET_NAME))?]);
    // Limits are read (0: nothing new is set), never changed.
    rules.insert(libc::SYS_prlimit64, vec![rule(2, SeccompCmpOp::Eq, 0)?]);
    let families: Vec<i32> = profile.calls.iter().flat_map(|group| group.families()).copied().collect();
    if !families.is_empty() {
        let mut some = Vec::new();
        for family in families {
            if !matches!(family, libc::AF_INET | libc::AF_INET6) {
                some.push(rule(0, SeccompCmpOp::Eq, bits(family))?);
                continue;
            }
            // Packets of any making are for sockets of the packet family; these are for UDP and TCP.
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
                some.push(both((0, SeccompCmpOp::Eq, bits(family)), (1, KIND, bits(kind)))?);
            }
        }
        rules.insert(libc::SYS_socket, some);
        // socketpair is how tokio makes its signal pipe.
        rules.insert(libc::SYS_socketpair, vec![rule(0, SeccompCmpOp::Eq, bits(libc::AF_UNIX))?]);
    }
    let mut requests: Vec<u64> = profile.calls.iter().flat_map(|group| group.requests()).copied().collect();
    requests.sort_unstable();
    requests.dedup();
    if !requests.is_empty() {
        let some = requests.iter().map(|request| rule(1, SeccompCmpOp::Eq, *request));
        rules.insert(libc::SYS_ioctl, some.collect::<Result<_, _>>()?);
    }
    // The order matters: loading a filter is itself a call that the second one forbids.
    let no_clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    load(no_clone3, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.cast_unsigned()))?;
    load(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

fn load(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<(), SandboxError> {
    let failed = |error: &dyn std::fmt::Display| SandboxError::Seccomp(error.to_string());
    let filter =
        SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64).map_err(|error| failed(&error))?;
    let program: BpfProgram = filter.try_into().map_err(|error: seccompiler::BackendError| failed(&error))?;
    seccompiler::apply_filter(&program).map_err(|error| failed(&error))
}

/// The one system call that nix does not wrap.
#[allow(unsafe_code)]
pub(crate) mod sys {
    /// Marks every descriptor from `first` up to be closed by the next exec (`close_range(2)`).
    pub(crate) fn close_on_exec_from(first: u32) -> std::io::Result<()> {
        // SAFETY: plain numbers; descriptors stay open and keep their owners until the exec.
        let result =
            unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}
