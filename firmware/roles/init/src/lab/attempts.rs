//! What a role may not do, tried: each attempt is a function that does it, and the sandbox is what stops it.
#![allow(unsafe_code)]

use drawbridge_bus::{Reply, Request, Role};
use nix::errno::Errno;
use std::io;
use std::os::fd::FromRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

/// An argument that begins with this asks for an attempt; then come the role and the process to harm.
pub(super) const PREFIX: &str = "attempt-";

/// The status of an attempt that nothing stopped. Any other up to 199 is the error number that stopped it.
pub(super) const SUCCEEDED: u8 = 200;
/// The bus refused.
const REFUSED: i32 = 201;

type Attempt = fn(victim: i32) -> io::Result<()>;

/// The attempts. Those that begin with `may-` are no crimes: they show that it is the sandbox that stops the others.
pub const ATTEMPTS: &[(&str, Attempt)] = &[
    ("may-write-own-tmp", |_| std::fs::write("/tmp/x", "x")),
    ("may-connect-bus", |_| std::os::unix::net::UnixStream::connect("/run/bus/init").map(drop)),
    ("open-seed", |_| std::fs::read("/data/init/seed").map(drop)),
    ("open-other-role", |_| other_role().map(drop)),
    ("open-disk", |_| std::fs::File::open("/dev/vda").map(drop)),
    ("open-kernel-log", |_| std::fs::File::open("/dev/kmsg").map(drop)),
    ("open-init-memory", |_| std::fs::read("/proc/1/environ").map(drop)),
    ("write-root", |_| std::fs::write("/x", "x")),
    ("mount", |_| {
        let flags = nix::mount::MsFlags::empty();
        Ok(nix::mount::mount(Some("tmpfs"), "/tmp", Some("tmpfs"), flags, None::<&str>)?)
    }),
    ("unmount", |_| Ok(nix::mount::umount("/proc")?)),
    ("ptrace", |victim| {
        call(libc::SYS_ptrace, &[number(libc::PTRACE_ATTACH.cast_signed()), number(victim), 0, 0])
    }),
    ("read-other-memory", |victim| {
        // Both vectors name one byte, ours and the victim's.
        let ours = [0_usize; 1];
        let vector = [ours.as_ptr().expose_provenance(), 1];
        let vector = vector.as_ptr().expose_provenance();
        call(libc::SYS_process_vm_readv, &[number(victim), vector, 1, vector, 1, 0])
    }),
    ("raw-socket", |_| socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)),
    ("packet-socket", |_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
    ("netlink-socket", |_| socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)),
    ("connect-tcp", |_| std::net::TcpStream::connect(("127.0.0.1", 9000)).map(drop)),
    ("listen-tcp", |_| std::net::TcpListener::bind(("0.0.0.0", 2222)).map(drop)),
    ("exec", |_| Err(std::process::Command::new("/init").exec())),
    ("fork", |_| call(libc::SYS_fork, &[])),
    ("kill-other-role", |victim| call(libc::SYS_kill, &[number(victim), number(libc::SIGKILL)])),
    ("kill-init", |_| call(libc::SYS_kill, &[1, number(libc::SIGTERM)])),
    ("become-root", |_| Ok(nix::unistd::setuid(nix::unistd::Uid::from_raw(0))?)),
    ("unshare", |_| Ok(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?)),
    ("chroot", |_| Ok(nix::unistd::chroot("/tmp")?)),
    ("reboot", |_| Ok(nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_AUTOBOOT).map(drop)?)),
    ("set-clock", |_| {
        let time = nix::sys::time::TimeSpec::new(0, 0);
        Ok(nix::time::clock_settime(nix::time::ClockId::CLOCK_REALTIME, time)?)
    }),
    ("run-written-memory", |_| {
        let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        call(libc::SYS_mmap, &[0, 4096, number(protection), number(flags), number(-1), 0])
    }),
    ("bpf", |_| call(libc::SYS_bpf, &[0, 0, 0])),
    ("io-uring", |_| call(libc::SYS_io_uring_setup, &[1, 0])),
    ("keyring", |_| call(libc::SYS_add_key, &[0, 0, 0, 0, 0])),
    ("type-on-console", |_| {
        let request = usize::try_from(libc::TIOCSTI).unwrap_or(0);
        call(libc::SYS_ioctl, &[0, request, c"x".as_ptr().expose_provenance()])
    }),
    ("bus-end-bridge", |_| ask(Request::EndBridge).map(drop)),
    ("bus-log", |_| read_log()),
];

/// Makes the attempt that the first argument names, in the sandbox of the role that the next argument names. None when it names
/// no attempt.
pub fn attempt() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let argument = arguments.next()?;
    if argument == super::gateway::ARGUMENT {
        drawbridge_bus::logger::start();
        // SAFETY: init has left the line there for this process, which has opened nothing yet and takes it once.
        let line = unsafe { std::fs::File::from_raw_fd(drawbridge_bus::LISTENER) };
        return Some(super::gateway::run(line));
    }
    let name = argument.strip_prefix(PREFIX)?;
    drawbridge_bus::logger::start();
    let role = arguments.next().and_then(|role| Role::of_name(&role))?;
    let victim: i32 = arguments.next()?.parse().ok()?;
    let (_, attempt) = ATTEMPTS.iter().find(|(one, _)| *one == name)?;
    if let Err(error) = drawbridge_sandbox::lock(crate::table::profile(role)?) {
        log::error!("the sandbox of {role} cannot be made: {error}");
        return Some(ExitCode::from(SUCCEEDED));
    }
    Some(super::code(attempt(victim)))
}

/// The words for an attempt's exit status.
pub(super) fn outcome(code: i32) -> Option<String> {
    match code {
        code if code == i32::from(SUCCEEDED) => Some("SUCCEEDED".to_owned()),
        REFUSED => Some("stopped by the bus table".to_owned()),
        0 | 101 => None,
        number => Some(format!("stopped by {:?}", Errno::from_raw(number))),
    }
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<()> {
    call(libc::SYS_socket, &[number(family), number(kind), number(protocol)])
}

/// An `int` as the kernel takes it in a register.
fn number(int: i32) -> usize {
    isize::try_from(int).unwrap_or(0).cast_unsigned()
}

fn call(number: libc::c_long, arguments: &[usize]) -> io::Result<()> {
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    // SAFETY: what these calls would do is to others, if the sandbox let them; the only memory of ours that they name is
    // read by the kernel or written within its bounds, and a forked child goes on to its exit like its parent.
    let result = unsafe {
        libc::syscall(number, argument(0), argument(1), argument(2), argument(3), argument(4), argument(5))
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The folder of a role that this process is not.
fn other_role() -> io::Result<std::fs::ReadDir> {
    let mine = nix::unistd::getuid().as_raw();
    let other = Role::ALL.into_iter().find(|role| role.uid() != mine && role.uid() != 0);
    std::fs::read_dir(format!("/data/{}", other.map_or("init", Role::name)))
}

/// Reads the whole log over the bus: the kernel's lines, init's and the network role's must be in it.
fn read_log() -> io::Result<()> {
    let mut missing = vec!["kernel", "init", "network"];
    let mut after = 0;
    while !missing.is_empty() {
        let Reply::Log(lines) = ask(Request::Log { after, most: u16::MAX })? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        after = lines.last().ok_or(io::ErrorKind::UnexpectedEof)?.number;
        missing.retain(|source| lines.iter().all(|line| line.source != *source));
    }
    Ok(())
}

/// Asks init on the bus.
fn ask(request: Request) -> io::Result<Reply> {
    match super::gateway::ask_role(Role::Init, request)? {
        Reply::Refused(_) => Err(io::Error::from_raw_os_error(REFUSED)),
        reply => Ok(reply),
    }
}
