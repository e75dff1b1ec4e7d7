//! The one place with unsafe code: what a child does between fork and exec, and sockets that nothing safe makes. It never
//! decides what is done.
#![allow(unsafe_code)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the C library's constants are wider than the fields they go into"
)]

use nix::sched::CloneFlags;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// From `linux/if_packet.h`, not in the crate `libc`.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

const SIZE_OF_INT: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;

/// Makes the child die with this process, and hands it the descriptors under the numbers that they have here.
///
/// The kernel sends the signal when the *thread* that started the child ends, so the caller must be a thread that lives
/// as long as the process ([`crate::process`] has one).
pub(crate) fn bind_to_this_process(command: &mut Command, keep: Vec<OwnedFd>) {
    let parent = nix::unistd::getpid();
    let prepare = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // The parent may have died before the line above: then no signal will come.
        if nix::unistd::getppid() != parent {
            return Err(io::Error::other("the lab ended while it started a process"));
        }
        // What the lab's own threads leave to one of theirs, such as a request to end, is for the child to hear again.
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        for descriptor in &keep {
            let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
            nix::fcntl::fcntl(descriptor.as_fd(), flags)?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child after fork, where only async-signal-safe calls are sound. prctl, getppid,
    // pthread_sigmask and fcntl are; the closure allocates nothing, takes no lock, and its error is built from a static text.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// What a child does before its program starts, so that the program runs in namespaces.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// Namespaces to enter, in this order: that of users first.
    pub(crate) enter: Vec<OwnedFd>,
    /// Namespaces to make.
    pub(crate) make: CloneFlags,
    /// With a new namespace of users: the lines of its `uid_map` and `gid_map`.
    pub(crate) maps: Option<[String; 2]>,
    /// Over this socket, a packet socket that was opened inside is handed out.
    pub(crate) packet_socket_to: Option<OwnedFd>,
}

/// Makes the child do it.
pub(crate) fn run_in_namespaces(command: &mut Command, namespaces: Namespaces) {
    let prepare = move || {
        for namespace in &namespaces.enter {
            nix::sched::setns(namespace, CloneFlags::empty())?;
        }
        nix::sched::unshare(namespaces.make)?;
        if let Some([users, groups]) = &namespaces.maps {
            // user_namespaces(7): who may set groups could leave one that is denied something.
            write_file(c"/proc/self/setgroups", b"deny")?;
            write_file(c"/proc/self/uid_map", users.as_bytes())?;
            write_file(c"/proc/self/gid_map", groups.as_bytes())?;
        }
        if let Some(to) = &namespaces.packet_socket_to {
            send_descriptor(to.as_fd(), packet_socket()?.as_fd())?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child after fork, where only async-signal-safe calls are sound. It makes plain system
    // calls (setns, unshare, open, write, close, socket, sendmsg) on what was allocated before the fork; paths are C
    // strings already, so nothing is allocated.
    unsafe {
        command.pre_exec(prepare);
    }
}

fn write_file(path: &std::ffi::CStr, text: &[u8]) -> io::Result<()> {
    use nix::fcntl::OFlag;
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let file = nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())?;
    nix::unistd::write(file, text)?;
    Ok(())
}

/// A packet socket that receives nothing before it is bound.
fn packet_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: it takes numbers only.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    owned(socket)
}

/// The descriptor that a system call returned, or its error.
fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A control message with one descriptor, as the kernel lays it out on 64-bit machines (unix(7), cmsg(3)): its length
/// without padding, level and type, the descriptor.
type Control = [u64; 3];

const CONTROL_LENGTH: u64 = 20;

fn two(first: i32, second: i32) -> u64 {
    let mut both = [0; 8];
    both[..4].copy_from_slice(&first.to_ne_bytes());
    both[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(both)
}

/// Hands a message of one byte, with a control message, to a system call.
fn with_message<R>(control: &mut Control, call: impl FnOnce(&mut libc::msghdr) -> R) -> R {
    let mut byte = 0_u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: a message header of zeros is one without name, data and control message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>();
    call(&mut message)
}

fn send_descriptor(to: BorrowedFd<'_>, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let rights = two(libc::SOL_SOCKET, libc::SCM_RIGHTS);
    let mut control: Control = [CONTROL_LENGTH, rights, two(descriptor.as_raw_fd(), 0)];
    let sent = with_message(&mut control, |message| {
        // SAFETY: the header points to a byte and a control message that live until this returns.
        unsafe { libc::sendmsg(to.as_raw_fd(), message, libc::MSG_NOSIGNAL) }
    });
    checked(if sent < 0 { -1 } else { 0 })
}

/// Takes the descriptor that a child sends.
pub(crate) fn receive_descriptor(from: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut control: Control = [0; 3];
    let received = with_message(&mut control, |message| {
        // SAFETY: the header points to a byte and room for a control message, which live until this returns.
        unsafe { libc::recvmsg(from.as_raw_fd(), message, libc::MSG_CMSG_CLOEXEC) }
    });
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    let [length, rights, descriptor] = control;
    if length != CONTROL_LENGTH || rights != two(libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return Err(io::Error::other("the program in the namespace sent no descriptor"));
    }
    let [a, b, c, d, ..] = descriptor.to_ne_bytes();
    owned(RawFd::from_ne_bytes([a, b, c, d]))
}

/// Binds a packet socket to a device of its namespace: whole frames from now on, of every protocol.
pub(crate) fn bind_packet_socket(socket: BorrowedFd<'_>, device: i32) -> io::Result<()> {
    let yes: libc::c_int = 1;
    // SAFETY: the option is a number, and its size is said.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_IGNORE_OUTGOING,
            (&raw const yes).cast(),
            SIZE_OF_INT,
        )
    };
    checked(done)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: device,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is one of this family, and its size is said.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    checked(bound)
}

/// Leaves no checksum and no cutting to a card that is not there: what the kernel sends on the device is sound and short.
pub(crate) fn turn_offloads_off(socket: BorrowedFd<'_>, device: &str) -> io::Result<()> {
    // From linux/ethtool.h. Without checksums the kernel makes no long segments either; the others are for certainty.
    const SET_SEND_CHECKSUM: u32 = 0x17;
    const SET_TCP_SEGMENTATION: u32 = 0x1f;
    const SET_SEGMENTATION: u32 = 0x24;
    for order in [SET_SEND_CHECKSUM, SET_TCP_SEGMENTATION, SET_SEGMENTATION] {
        let mut value = [order, 0];
        let mut name = [0; libc::IFNAMSIZ];
        for (to, from) in name.iter_mut().take(libc::IFNAMSIZ - 1).zip(device.bytes()) {
            *to = from as libc::c_char;
        }
        let data = libc::__c_anonymous_ifr_ifru { ifru_data: value.as_mut_ptr().cast() };
        let mut request = libc::ifreq { ifr_name: name, ifr_ifru: data };
        // SAFETY: the request holds a name with its end and points to an order with its value, which live until it returns.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        checked(done)?;
    }
    Ok(())
}
