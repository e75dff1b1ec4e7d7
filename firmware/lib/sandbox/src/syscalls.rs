//! The system calls by purpose. A list, never a decision who gets which.

// The table below is made of nothing but this crate's numbers; naming each twice would hide a slip.
#[allow(clippy::wildcard_imports)]
use libc::{c_long, *};

/// A group of system calls with one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Being asked and asking over Unix sockets, and accepting connections on sockets that are there.
    Connections,
    /// TCP and UDP over IPv4 and IPv6: making sockets of their own.
    Internet,
    /// rtnetlink and packet sockets.
    Ports,
    /// Files below the folders that the profile names.
    Files,
    /// Giving up TCP ports when the role's orders have come.
    Narrowing,
    /// Making terminals for others.
    TerminalsMade,
    /// Using the terminal that it was given.
    Terminal,
    /// Keeping memory with keys in it where it is, as the SSH library does.
    Keys,
}

/// What every role does: memory without execution, threads, waiting, its own clock and name.
pub(crate) const ALWAYS: &[c_long] = &[
    SYS_read,
    SYS_readv,
    SYS_write,
    SYS_writev,
    SYS_close,
    SYS_fstat,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_futex,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_restart_syscall,
    SYS_getpid,
    SYS_gettid,
    SYS_getuid,
    SYS_getgid,
    SYS_geteuid,
    SYS_getegid,
    SYS_exit,
    SYS_exit_group,
    SYS_getrandom,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_wait,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_poll,
    SYS_ppoll,
    SYS_pipe2,
    SYS_fcntl,
    SYS_dup,
    SYS_set_robust_list,
    SYS_rseq,
];

impl Calls {
    /// The calls of the group that need no look at their arguments.
    pub(crate) const fn list(self) -> &'static [c_long] {
        match self {
            Calls::Connections => &[
                SYS_connect,
                SYS_accept4,
                SYS_recvfrom,
                SYS_sendto,
                SYS_recvmsg,
                SYS_sendmsg,
                SYS_shutdown,
                SYS_getsockopt,
                SYS_setsockopt,
                SYS_getsockname,
                SYS_getpeername,
                SYS_listen,
            ],
            Calls::Internet | Calls::Ports => &[SYS_bind],
            Calls::Files => &[
                SYS_openat,
                SYS_newfstatat,
                SYS_statx,
                SYS_lseek,
                SYS_pread64,
                SYS_pwrite64,
                SYS_getdents64,
                SYS_mkdir,
                SYS_mkdirat,
                SYS_rename,
                SYS_renameat,
                SYS_renameat2,
                SYS_unlink,
                SYS_unlinkat,
                SYS_rmdir,
                SYS_fsync,
                SYS_fdatasync,
                SYS_ftruncate,
                SYS_chmod,
                SYS_fchmod,
                SYS_fchmodat,
                SYS_readlink,
                SYS_readlinkat,
                SYS_flock,
                SYS_fstatfs,
                SYS_statfs,
            ],
            Calls::Narrowing => {
                &[SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self]
            }
            Calls::TerminalsMade => &[SYS_openat],
            Calls::Keys => &[SYS_mlock, SYS_munlock],
            Calls::Terminal => &[],
        }
    }

    /// The socket families (`AF_…`) of the group.
    pub(crate) const fn families(self) -> &'static [c_int] {
        match self {
            Calls::Connections => &[AF_UNIX],
            Calls::Internet => &[AF_INET, AF_INET6],
            Calls::Ports => &[AF_NETLINK, AF_PACKET],
            Calls::Files | Calls::Narrowing | Calls::TerminalsMade | Calls::Terminal | Calls::Keys => &[],
        }
    }

    /// The requests of `ioctl` of the group.
    pub(crate) const fn requests(self) -> &'static [u64] {
        match self {
            // Making a socket non-blocking: the standard library's way.
            Calls::Connections | Calls::Internet => &[FIONBIO],
            // The index and hardware address of a port, for packet sockets.
            Calls::Ports => &[FIONBIO, SIOCGIFINDEX, SIOCGIFHWADDR],
            Calls::Files | Calls::Narrowing | Calls::Keys => &[],
            // From the master's end: its lock, the other end, the size of the window, the modes that the client wants. The
            // second pair of modes is what newer C libraries ask by.
            Calls::TerminalsMade => {
                &[FIONBIO, TIOCSPTLCK, TIOCGPTPEER, TIOCSWINSZ, TIOCGWINSZ, TCGETS, TCSETS, TCGETS2, TCSETS2]
            }
            // Raw and back, the size, and being the one that it interrupts and hangs up.
            Calls::Terminal => &[TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, TIOCSCTTY],
        }
    }
}
