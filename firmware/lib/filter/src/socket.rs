//! The netlink socket: one transaction out, the kernel's answer in. It never waits: the kernel answers within the call that
//! asks, so that an answer which is not there then will not come.

use crate::FilterError;
use crate::kernel::{COUNTER, SUBSYSTEM, attribute, message};
use crate::message::{self as wire, FAMILY_HEADER, Finished, HEADER, attributes, read_u16, read_u32};
use netlink_sys::protocols::NETLINK_NETFILTER;
use std::io;

/// The kernel's answers come in pieces of at most 32 KiB.
const PIECE: usize = 64 * 1024;
/// More pieces than any answer has. A refused transaction answers for each of its messages at most.
const PIECES: usize = 10_000;
/// `NLM_F_ACK_TLVS`: the reason follows in words.
const REASON_FOLLOWS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`: the kernel's words.
const WORDS: u16 = 1;

/// A socket to `nf_tables`.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: netlink_sys::Socket,
    next: u32,
}

impl Socket {
    pub(crate) fn open() -> Result<Self, FilterError> {
        let open = || -> io::Result<_> {
            let mut socket = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            // An answer without a copy of what it answers, and with the reason in words.
            socket.set_cap_ack(true)?;
            socket.set_ext_ack(true)?;
            Ok(socket)
        };
        Ok(Self { socket: open().map_err(FilterError::Socket)?, next: 1 })
    }

    /// The number that the next batch begins with.
    pub(crate) fn next_number(&self) -> u32 {
        self.next
    }

    /// Lets the kernel do all of the batch, or nothing of it.
    pub(crate) fn transact(&mut self, batch: &Finished) -> Result<(), FilterError> {
        self.next = batch.next();
        self.send(&batch.bytes)?;
        let mut done = false;
        let mut refused = None;
        self.answers(|answer| {
            let Some(label) = batch.label(answer.number) else { return false };
            let Some((error, words)) = answer.error() else { return false };
            if error != 0 {
                // Later ones are mostly the consequences of the first.
                refused.get_or_insert_with(|| FilterError::Refused {
                    what: label.to_owned(),
                    error: io::Error::from_raw_os_error(error),
                    words,
                });
            }
            // After the answer to the last message there is none: refusals are told in the order of the messages, but for
            // that of the whole, which comes first.
            done = answer.number == batch.answered;
            done
        })?;
        match refused {
            Some(error) => Err(error),
            None if done => Ok(()),
            None => Err(FilterError::NoAnswer),
        }
    }

    /// All counters of a table: name and packets.
    pub(crate) fn counters(&mut self, family: u8, table: &str) -> Result<Vec<(String, u64)>, FilterError> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let mut request = Vec::new();
        let kind = SUBSYSTEM << 8 | message::GET_OBJECT;
        wire::message(&mut request, kind, libc::NLM_F_DUMP, number, family, 0, |inner| {
            inner.text(attribute::OBJECT_TABLE, table);
            inner.number(attribute::OBJECT_TYPE, COUNTER);
        });
        self.send(&request)?;
        let (mut found, mut failed, mut done) = (Vec::new(), None, false);
        self.answers(|answer| {
            if answer.number != number {
                return false;
            }
            if i32::from(answer.kind) == libc::NLMSG_DONE {
                done = true;
            } else if let Some((error, words)) = answer.error() {
                failed = Some(FilterError::Refused {
                    what: "the counters".to_owned(),
                    error: io::Error::from_raw_os_error(error),
                    words,
                });
                done = true;
            } else if answer.kind == SUBSYSTEM << 8 | message::NEW_OBJECT {
                found.extend(counter(answer.body));
            }
            done
        })?;
        match failed {
            Some(error) => Err(error),
            None if done => Ok(found),
            None => Err(FilterError::NoAnswer),
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), FilterError> {
        match self.socket.send(bytes, libc::MSG_DONTWAIT) {
            Ok(length) if length == bytes.len() => Ok(()),
            Ok(_) => Err(FilterError::Socket(io::Error::from_raw_os_error(libc::EMSGSIZE))),
            Err(error) => Err(FilterError::Socket(error)),
        }
    }

    /// Gives each message that is there to `take`, until it says that it has all or there is no more.
    fn answers(&self, mut take: impl FnMut(&Answer<'_>) -> bool) -> Result<(), FilterError> {
        let mut buffer = Vec::with_capacity(PIECE);
        for _ in 0..PIECES {
            buffer.clear();
            match self.socket.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(FilterError::Socket(error)),
            }
            let mut rest = buffer.as_slice();
            while let Some((answer, length)) = Answer::read(rest) {
                if take(&answer) {
                    return Ok(());
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
        Err(FilterError::NoAnswer)
    }
}

/// One message of the kernel's.
struct Answer<'a> {
    kind: u16,
    flags: u16,
    number: u32,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let length = usize::try_from(read_u32(bytes, 0)?).ok()?;
        let answer = Self {
            kind: read_u16(bytes, 4)?,
            flags: read_u16(bytes, 6)?,
            number: read_u32(bytes, 8)?,
            body: bytes.get(HEADER..length)?,
        };
        Some((answer, length))
    }

    /// The number and the words of an error, if it is an answer of this kind; 0 is success.
    fn error(&self) -> Option<(i32, Option<String>)> {
        if i32::from(self.kind) != libc::NLMSG_ERROR {
            return None;
        }
        let error = read_u32(self.body, 0)?.cast_signed().saturating_neg();
        let words = (self.flags & REASON_FOLLOWS != 0)
            .then(|| {
                let (_, words) = attributes(self.body.get(4 + HEADER..)?).find(|(kind, _)| *kind == WORDS)?;
                Some(String::from_utf8_lossy(words).trim_end_matches('\0').to_owned())
            })
            .flatten();
        Some((error, words))
    }
}

fn counter(body: &[u8]) -> Option<(String, u64)> {
    let (mut name, mut packets) = (None, None);
    for (kind, value) in attributes(body.get(FAMILY_HEADER..)?) {
        if kind == attribute::OBJECT_NAME {
            name = Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned());
        } else if kind == attribute::OBJECT_DATA {
            let (_, bytes) = attributes(value).find(|(kind, _)| *kind == attribute::COUNTER_PACKETS)?;
            packets = Some(u64::from_be_bytes(bytes.try_into().ok()?));
        }
    }
    Some((name?, packets?))
}
