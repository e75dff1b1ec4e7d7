//! The system calls that no crate wraps: the raw socket of one port, and a random number. It never looks into a frame.
#![allow(unsafe_code)]

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

/// A raw socket on the port of this index that gives only what the kernel's filter lets through: answers to ARP, and
/// UDP from port 67 to port 68, that came from outside without a VLAN tag. It never blocks.
pub(crate) fn packet_socket(index: u32) -> io::Result<AsyncFd<OwnedFd>> {
    // No protocol yet: nothing arrives before the filter is in place.
    let socket = nix::sys::socket::socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    attach_filter(&socket)?;
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

/// Where the filter accepts, and where it drops.
const ACCEPT: u8 = 18;
const DROP: u8 = 19;

/// The same rule as `frame::passes`, in the kernel, so that the port's other traffic never wakes this process.
const FILTER: [libc::sock_filter; 20] = [
    step(LOAD_WORD, PACKET_TYPE),
    branch(1, IF_GREATER, 1, DROP, 2),
    step(LOAD_WORD, VLAN_TAG),
    branch(3, IF_ANY_BIT, 0x0fff, DROP, 4),
    step(LOAD_HALF, 12), // EtherType
    branch(5, IF_EQUAL, 0x0800, 9, 6),
    branch(6, IF_EQUAL, 0x0806, 7, DROP),
    step(LOAD_HALF, 20), // ARP operation: 2 is an answer
    branch(8, IF_EQUAL, 2, ACCEPT, DROP),
    step(LOAD_BYTE, 23), // IPv4 protocol: 17 is UDP
    branch(10, IF_EQUAL, 17, 11, DROP),
    step(LOAD_HALF, 20), // IPv4 flags and fragment offset: no fragments
    branch(12, IF_ANY_BIT, 0x3fff, DROP, 13),
    step(LOAD_HEADER_LENGTH, 14),
    step(LOAD_HALF_BEHIND, 14), // UDP source port
    branch(15, IF_EQUAL, 67, 16, DROP),
    step(LOAD_HALF_BEHIND, 16), // UDP destination port
    branch(17, IF_EQUAL, 68, ACCEPT, DROP),
    step(RETURN, u32::MAX),
    step(RETURN, 0),
];

#[expect(clippy::cast_possible_truncation, reason = "the codes of linux/bpf_common.h are below 256")]
const fn step(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// A branch at place `at` to one of two places behind it.
const fn branch(at: u8, code: u32, k: u32, then: u8, otherwise: u8) -> libc::sock_filter {
    libc::sock_filter { jt: then - at - 1, jf: otherwise - at - 1, ..step(code, k) }
}

fn attach_filter(socket: &OwnedFd) -> io::Result<()> {
    let mut filter = FILTER;
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
    use crate::frame::{passes, tests as frames};

    /// What the kernel's filter lets through, asked of the kernel itself: a Unix datagram socket takes filters too.
    fn kernel_passes(frame: &[u8]) -> bool {
        let (from, to) = nix::sys::socket::socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        )
        .unwrap();
        attach_filter(&to).unwrap();
        transmit(&from, frame).unwrap_or_default();
        receive(&to, &mut [0; FRAME_BYTES]).unwrap().is_some()
    }

    #[test]
    fn the_kernels_filter_and_ours_agree_on_every_frame() {
        for (name, frame) in frames::samples() {
            assert_eq!(kernel_passes(&frame), passes(&frame), "{name}");
            for length in 0..frame.len() {
                assert_eq!(
                    kernel_passes(&frame[..length]),
                    passes(&frame[..length]),
                    "{name} cut at {length}"
                );
            }
        }
    }
}
