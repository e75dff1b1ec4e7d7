//! The file systems that the kernel itself provides. It never mounts a disk.

use drawbridge_bus::Role;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
use std::fs;
use std::os::fd::OwnedFd;

const NOTHING_SPECIAL: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// `/dev`, before all else: the watchdog is in it.
pub(crate) fn mount_devices() {
    // EBUSY: the kernel has mounted it already.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    if let Err(error) = mount(Some("devtmpfs"), "/dev", Some("devtmpfs"), flags, Some("mode=0755"))
        && error != Errno::EBUSY
    {
        log::error!("cannot mount /dev: {error}");
    }
}

/// The rest. What cannot be mounted is logged, and missed where it is needed.
pub(crate) fn mount_rest() {
    // hidepid: a role sees no process but its own.
    let table: [(&str, &str, MsFlags, &str); 7] = [
        ("proc", "/proc", NOTHING_SPECIAL, "hidepid=invisible"),
        ("sysfs", "/sys", NOTHING_SPECIAL, ""),
        ("tmpfs", "/run", NOTHING_SPECIAL, "mode=0755,size=1m,nr_inodes=256"),
        ("tmpfs", "/tmp", NOTHING_SPECIAL, "mode=0700,size=64k,nr_inodes=16"),
        // Terminals of engineers. Each is its maker's, who hands its other end over open: nobody opens one by its name.
        (
            "devpts",
            "/dev/pts",
            MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
            "mode=0600,ptmxmode=0666,max=64",
        ),
        ("cgroup2", "/sys/fs/cgroup", NOTHING_SPECIAL, ""),
        ("pstore", "/sys/fs/pstore", NOTHING_SPECIAL, ""),
    ];
    // devtmpfs has no place for it.
    if let Err(error) = fs::create_dir("/dev/pts")
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        log::error!("cannot make /dev/pts: {error}");
    }
    for (kind, target, flags, options) in table {
        if let Err(error) = mount(Some(kind), target, Some(kind), flags, Some(options)) {
            log::error!("cannot mount {target}: {error}");
        }
    }
}

/// The root file system, which is memory, becomes read-only: nothing below it changes but what is mounted there.
pub(crate) fn seal_root() {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    if let Err(error) = mount(None::<&str>, "/", None::<&str>, flags, None::<&str>) {
        log::error!("cannot make the root file system read-only: {error}");
    }
}

/// Settings of the kernel that are no build options. Each but the last three hides something that only helps an attacker.
pub(crate) fn set_kernel() {
    // An engineer's shell may send echo requests, and nothing else that TCP and UDP are not; by itself nobody may.
    let pings = format!("{0} {0}", Role::Shell.uid());
    for (name, value) in [
        ("kernel/kptr_restrict", "2"),
        ("kernel/dmesg_restrict", "1"),
        // Nobody traces anybody, not even root, until the next restart.
        ("kernel/yama/ptrace_scope", "3"),
        ("fs/protected_symlinks", "1"),
        ("fs/protected_hardlinks", "1"),
        ("fs/protected_fifos", "2"),
        ("fs/protected_regular", "2"),
        ("fs/suid_dumpable", "0"),
        // The log's rate is bounded by init, role by role; the kernel's own bound would drop init's lines.
        ("kernel/printk_devkmsg", "on"),
        // Init's lines of severity 6 are shown on serial line and screen.
        ("kernel/printk", "7"),
        ("net/ipv4/ping_group_range", &pings),
    ] {
        if let Err(error) = fs::write(format!("/proc/sys/{name}"), value) {
            log::warn!("cannot set {name}: {error}");
        }
    }
    if let Err(error) = nix::unistd::sethostname("drawbridge") {
        log::warn!("cannot set the host name: {error}");
    }
}

/// The kernel's announcements of devices (netlink, group 1).
pub(crate) fn uevents() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket =
        socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkKObjectUEvent)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &NetlinkAddr::new(0, 1))?;
    Ok(socket)
}
