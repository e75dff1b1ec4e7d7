//! Netlink messages as bytes: attributes, and a batch of messages that the kernel takes as one transaction. It never sends
//! anything.

use crate::kernel::{SUBSYSTEM, batch};

/// The length of a `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// The length of a `struct nfgenmsg`.
pub(crate) const FAMILY_HEADER: usize = 4;
/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;

/// Writes attributes behind what is there.
pub(crate) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |inner| inner.0.extend_from_slice(value));
    }

    /// A text, which ends with a zero byte.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |inner| {
            inner.0.extend_from_slice(value.as_bytes());
            inner.0.push(0);
        });
    }

    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn long_number(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Attributes<'_>)) {
        self.attribute(kind | NESTED, write);
    }

    fn attribute(&mut self, kind: u16, write: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        write(&mut Attributes(self.0));
        // What is written here is bounded by constants far below this; were it not so, the kernel would say no to it.
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        put(self.0, start, &length.to_ne_bytes());
        align(self.0);
    }
}

/// Messages that take effect together or not at all.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    first: u32,
    labels: Vec<String>,
    last: usize,
}

impl Batch {
    /// An empty one, whose messages are numbered from `first` on.
    pub(crate) fn begin(first: u32) -> Self {
        let mut batch = Self { bytes: Vec::new(), first, labels: Vec::new(), last: 0 };
        batch.raw(batch::BEGIN, "the transaction".to_owned(), 0, 0, SUBSYSTEM, |_| {});
        batch
    }

    /// Adds a message. `label` says what it is about, for when the kernel refuses it.
    pub(crate) fn add(
        &mut self,
        message: u16,
        family: u8,
        flags: i32,
        label: impl Into<String>,
        write: impl FnOnce(&mut Attributes<'_>),
    ) {
        self.raw(SUBSYSTEM << 8 | message, label.into(), flags, family, 0, write);
    }

    /// Ends it: the bytes to send, and what the answers to them are recognised by.
    pub(crate) fn end(mut self) -> Finished {
        // One answer is enough, and a refusal comes unasked. It is the last message that is answered, as not every kernel
        // answers the end of a batch.
        let flags = read_u16(&self.bytes, self.last + 6).unwrap_or_default() | flag(libc::NLM_F_ACK);
        put(&mut self.bytes, self.last + 6, &flags.to_ne_bytes());
        let answered = self.next_number().wrapping_sub(1);
        self.raw(batch::END, "the end of the transaction".to_owned(), 0, 0, SUBSYSTEM, |_| {});
        Finished { bytes: self.bytes, first: self.first, answered, labels: self.labels }
    }

    fn next_number(&self) -> u32 {
        self.first.wrapping_add(u32::try_from(self.labels.len()).unwrap_or(u32::MAX))
    }

    fn raw(
        &mut self,
        kind: u16,
        label: String,
        flags: i32,
        family: u8,
        resource: u16,
        write: impl FnOnce(&mut Attributes<'_>),
    ) {
        self.last = self.bytes.len();
        let number = self.next_number();
        message(&mut self.bytes, kind, flags, number, family, resource, write);
        self.labels.push(label);
    }
}

/// A batch that is whole.
pub(crate) struct Finished {
    /// What to send.
    pub(crate) bytes: Vec<u8>,
    /// The number of the first message.
    pub(crate) first: u32,
    /// The number of the message that is answered when all is well.
    pub(crate) answered: u32,
    labels: Vec<String>,
}

impl Finished {
    /// What the message of this number is about, if it is one of this batch.
    pub(crate) fn label(&self, number: u32) -> Option<&str> {
        let place = usize::try_from(number.wrapping_sub(self.first)).ok()?;
        self.labels.get(place).map(String::as_str)
    }

    /// The first number that is free after this batch.
    pub(crate) fn next(&self) -> u32 {
        self.first.wrapping_add(u32::try_from(self.labels.len()).unwrap_or(u32::MAX))
    }
}

/// Writes one message with its two headers behind what is there.
pub(crate) fn message(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: i32,
    number: u32,
    family: u8,
    resource: u16,
    write: impl FnOnce(&mut Attributes<'_>),
) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(flag(flags) | flag(libc::NLM_F_REQUEST)).to_ne_bytes());
    bytes.extend_from_slice(&number.to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&[family, 0]);
    bytes.extend_from_slice(&resource.to_be_bytes());
    write(&mut Attributes(bytes));
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    put(bytes, start, &length.to_ne_bytes());
}

fn flag(flags: i32) -> u16 {
    u16::try_from(flags).unwrap_or_default()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Two bytes in the machine's order.
pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Four bytes in the machine's order.
pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The attributes in `bytes`, kind and value. It ends where they are no attributes any more.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(read_u16(rest, 0)?);
        let kind = read_u16(rest, 2)? & !NESTED;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut bytes = Vec::new();
        let mut writer = Attributes(&mut bytes);
        writer.text(1, "abc");
        writer.nest(2, |inner| {
            inner.number(3, 7);
            inner.bytes(4, &[9]);
        });
        assert_eq!(bytes.len() % 4, 0);
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read[0], (1, b"abc\0".as_slice()));
        let inner: Vec<_> = attributes(read[1].1).collect();
        assert_eq!(inner, [(3, [0, 0, 0, 7].as_slice()), (4, [9].as_slice())]);
    }

    #[test]
    fn broken_attributes_end_the_reading() {
        for bytes in [&[][..], &[1], &[3, 0, 1, 0], &[0, 0, 0, 0], &[9, 0, 1, 0, 5], &[255, 255, 255, 255]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }

    #[test]
    fn the_last_message_of_a_batch_asks_for_the_answer() {
        let mut batch = Batch::begin(u32::MAX);
        batch.add(1, 2, 0, "a", |_| {});
        batch.add(1, 2, 0, "b", |_| {});
        let finished = batch.end();
        let length = HEADER + FAMILY_HEADER;
        let flags = |place: usize| read_u16(&finished.bytes, place * length + 6).unwrap();
        assert_eq!([flags(0), flags(1), flags(2), flags(3)], [1, 1, 5, 1]);
        assert_eq!(finished.answered, 1);
        assert_eq!(finished.label(1), Some("b"));
        assert_eq!(finished.label(0), Some("a"));
        assert_eq!(finished.label(3), None);
        assert_eq!(finished.next(), 3);
    }
}
