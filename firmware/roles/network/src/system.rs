//! The system calls that no crate wraps: the raw socket of one port, and a random number. It never looks into a frame.
#![allow(unsafe_code)]

use crate::frame::Watched;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike as _, bind, recv, send,
};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The longest frame that a DHCP client needs: 1,500 bytes behind an Ethernet header. A longer one is dropped.
pub(crate) const FRAME_BYTES: usize = 1514;

/// A number that nobody outside can guess.
pub(crate) fn random_number() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the pointer and the length are those of `bytes`, which lives until the call returns.
    let length = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(length) {
        Ok(length) if length == bytes.len() => Ok(u64::from_ne_bytes(bytes)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A raw socket on the link of this index that gives only what the filter lets through of what came from outside without
/// a VLAN tag. It never blocks.
///
/// On a VLAN link of the kernel the tag is gone before its sockets see a frame (`vlan_do_receive` clears it), and on a bond
/// a frame arrives as on a card: the same rule holds on each. A card that carries VLANs shows its socket their frames too,
/// with the tag beside them: they are dropped there.
pub(crate) fn packet_socket(index: u32, filter: &Filter) -> io::Result<AsyncFd<OwnedFd>> {
    // No protocol yet: nothing arrives before the filter is in place.
    let socket = nix::sys::socket::socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    attach_filter(&socket, filter)?;
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be(),
        sll_ifindex: i32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENXIO))?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: `address` is a whole sockaddr_ll of family AF_PACKET, the length is its own, and it is copied.
    let address = unsafe {
        LinkAddr::from_raw(
            std::ptr::from_ref(&address).cast(),
            Some(u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default()),
        )
    }
    .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    bind(socket.as_raw_fd(), &address)?;
    // Readable only: that the card has sent a frame is no news to anyone.
    // SAFETY: an OwnedFd owns an open descriptor and gives the same one each time; the AsyncFd lends it out shared only,
    // so that it is neither closed nor replaced before the AsyncFd is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// The next frame into `buffer`: its length, `None` when there is none now. A frame that is too long for the buffer is
/// passed over.
pub(crate) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC) {
            Ok(length) if length <= buffer.len() => return Ok(Some(length)),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends a frame. A full queue loses it, as a wire may: the protocols above send again.
pub(crate) fn transmit(socket: &OwnedFd, frame: &[u8]) -> io::Result<()> {
    match send(socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
        Ok(_) | Err(nix::Error::EAGAIN | nix::Error::ENOBUFS | nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Where the kernel keeps what is not in the frame (`SKF_AD_OFF` of linux/filter.h, a negative offset).
const BESIDE_THE_FRAME: u32 = 0xffff_f000;
/// `SKF_AD_PKTTYPE`: 0 to this host, 1 to all; 2 multicast, 3 to another host, 4 sent by this host.
const PACKET_TYPE: u32 = BESIDE_THE_FRAME + 4;
/// `SKF_AD_VLAN_TAG`: the kernel takes the tag out of the frame. VLAN 0 is a priority and no other network
/// (IEEE 802.1Q, 9.6).
const VLAN_TAG: u32 = BESIDE_THE_FRAME + 44;

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF_BEHIND: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
const LOAD_HEADER_LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_GREATER: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// A rule in the kernel, so that the port's other traffic never wakes this process.
pub(crate) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// The same rule as `frame::passes`.
    pub(crate) fn client(watched: Watched) -> Self {
        let [one, two] = watched.0.map(u32::from);
        let branch =
            |at, code, k, then, otherwise| branch(at, code, k, place(then, 28), place(otherwise, 28));
        let mut steps = outside(28).to_vec();
        steps.extend([
            step(LOAD_HALF, 12), // EtherType
            branch(5, IF_EQUAL, 0x0800, 17, 6),
            branch(6, IF_EQUAL, 0x0806, 7, DROP),
            step(LOAD_HALF, 20), // ARP operation: 2 is an answer, 1 a question
            branch(8, IF_EQUAL, 2, ACCEPT, 9),
            branch(9, IF_EQUAL, 1, 10, DROP),
            step(LOAD_WORD, 28), // what the sender claims; a probe claims nothing
            branch(11, IF_EQUAL, one, ACCEPT, 12),
            branch(12, IF_EQUAL, two, ACCEPT, 13),
            branch(13, IF_EQUAL, 0, 14, DROP),
            step(LOAD_WORD, 38), // what it asks for
            branch(15, IF_EQUAL, one, ACCEPT, 16),
            branch(16, IF_EQUAL, two, ACCEPT, DROP),
            step(LOAD_BYTE, 23), // IPv4 protocol: 17 is UDP
            branch(18, IF_EQUAL, 17, 19, DROP),
            step(LOAD_HALF, 20), // IPv4 flags and fragment offset: no fragments
            branch(20, IF_ANY_BIT, 0x3fff, DROP, 21),
            step(LOAD_HEADER_LENGTH, 14),
            step(LOAD_HALF_BEHIND, 14), // UDP source port
            branch(23, IF_EQUAL, 67, 24, DROP),
            step(LOAD_HALF_BEHIND, 16), // UDP destination port
            branch(25, IF_EQUAL, 68, ACCEPT, DROP),
            step(RETURN, u32::MAX),
            step(RETURN, 0),
        ]);
        Self(steps)
    }

    /// The same rule as `frame::passes_to_server`.
    pub(crate) fn server() -> Self {
        let branch =
            |at, code, k, then, otherwise| branch(at, code, k, place(then, 20), place(otherwise, 20));
        let mut steps = outside(20).to_vec();
        steps.extend([
            step(LOAD_HALF, 12), // EtherType
            branch(5, IF_EQUAL, 0x0800, 6, DROP),
            step(LOAD_BYTE, 23), // IPv4 protocol: 17 is UDP
            branch(7, IF_EQUAL, 17, 8, DROP),
            step(LOAD_HALF, 20), // IPv4 flags and fragment offset: no fragments
            branch(9, IF_ANY_BIT, 0x3fff, DROP, 10),
            step(LOAD_HEADER_LENGTH, 14),
            step(LOAD_HALF_BEHIND, 14),         // UDP source port
            branch(12, IF_EQUAL, 67, 16, 13),   // from a server: to a client
            branch(13, IF_EQUAL, 68, 14, DROP), // from a client: to a server
            step(LOAD_HALF_BEHIND, 16),
            branch(15, IF_EQUAL, 67, ACCEPT, DROP),
            step(LOAD_HALF_BEHIND, 16),
            branch(17, IF_EQUAL, 68, ACCEPT, DROP),
            step(RETURN, u32::MAX),
            step(RETURN, 0),
        ]);
        Self(steps)
    }

    /// Lets nothing through.
    pub(crate) fn nothing() -> Self {
        Self(vec![step(RETURN, 0)])
    }
}

/// Where a filter accepts, and where it drops: its last step but one, and its last.
const ACCEPT: u8 = 254;
const DROP: u8 = 255;

const fn place(named: u8, length: u8) -> u8 {
    match named {
        ACCEPT => length - 2,
        DROP => length - 1,
        place => place,
    }
}

/// How each filter begins: what came from outside, without a VLAN tag.
fn outside(length: u8) -> [libc::sock_filter; 4] {
    [
        step(LOAD_WORD, PACKET_TYPE),
        branch(1, IF_GREATER, 1, length - 1, 2),
        step(LOAD_WORD, VLAN_TAG),
        branch(3, IF_ANY_BIT, 0x0fff, length - 1, 4),
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "the codes of linux/bpf_common.h are below 256")]
const fn step(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// A branch at place `at` to one of two places behind it.
const fn branch(at: u8, code: u32, k: u32, then: u8, otherwise: u8) -> libc::sock_filter {
    libc::sock_filter { jt: then - at - 1, jf: otherwise - at - 1, ..step(code, k) }
}

/// Puts a filter in the place of the one before, in one step.
pub(crate) fn attach_filter(socket: &OwnedFd, filter: &Filter) -> io::Result<()> {
    let mut filter = filter.0.clone();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or_default(),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `program` and the filter that it points to live until the call returns; the kernel copies and checks both.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            std::ptr::from_ref(&program).cast(),
            u32::try_from(size_of::<libc::sock_fprog>()).unwrap_or_default(),
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{passes, passes_to_server, tests as frames};
    use std::net::Ipv4Addr;

    /// What the kernel's filter lets through, asked of the kernel itself: a Unix datagram socket takes filters too.
    fn kernel_passes(frame: &[u8], filter: &Filter) -> bool {
        let (from, to) = nix::sys::socket::socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        )
        .unwrap();
        attach_filter(&to, filter).unwrap();
        transmit(&from, frame).unwrap_or_default();
        receive(&to, &mut [0; FRAME_BYTES]).unwrap().is_some()
    }

    fn agree(filter: &Filter, passes: impl Fn(&[u8]) -> bool) {
        for (name, frame) in frames::samples() {
            for length in 0..=frame.len() {
                let cut = &frame[..length];
                assert_eq!(kernel_passes(cut, filter), passes(cut), "{name} cut at {length}");
            }
        }
    }

    #[test]
    fn the_kernels_filter_and_ours_agree_on_every_frame() {
        let other = Ipv4Addr::new(192, 168, 9, 9);
        let watches = [vec![], vec![frames::ADDRESS], vec![other, frames::ADDRESS], vec![other]];
        for watched in watches.map(Watched::new) {
            agree(&Filter::client(watched), |frame| passes(frame, watched));
        }
        agree(&Filter::server(), passes_to_server);
        agree(&Filter::nothing(), |_| false);
    }
}
