//! mDNS messages between bytes and meaning, with bounds. Pure: it never decides what is answered.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder};

/// The longest message (RFC 6762, section 17).
pub const MESSAGE_BYTES: usize = 9000;
/// The bytes of a header.
const HEADER_BYTES: usize = 12;
/// What a question takes at least: the root's name, type and class.
const QUESTION_BYTES: usize = 5;
/// What a record takes at least: the root's name, type, class, time to live and length.
const RECORD_BYTES: usize = 11;

/// Why a message is passed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than a message may be, or shorter than its header.
    #[error("a message of {0} bytes: it has {HEADER_BYTES} to {MESSAGE_BYTES}")]
    Length(usize),
    /// It promises more questions or records than it has room for.
    #[error("a message that is too short for what it says is in it")]
    Counts,
    /// Not an mDNS message (RFC 6762, sections 18.3 and 18.11).
    #[error("a message with an operation or a result, which mDNS does not have")]
    Operation,
    /// Broken.
    #[error("a broken message: {0}")]
    Broken(String),
}

/// Reads a message.
///
/// # Errors
/// [`Refusal`]: it is to be passed over in silence (RFC 6762, section 6).
pub fn parse(bytes: &[u8]) -> Result<Message, Refusal> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Refusal::Length(bytes.len()));
    };
    if bytes.len() > MESSAGE_BYTES {
        return Err(Refusal::Length(bytes.len()));
    }
    // Memory is set aside for as many questions as the header says, before the first is read.
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    let least = count(4) * QUESTION_BYTES + (count(6) + count(8) + count(10)) * RECORD_BYTES;
    if HEADER_BYTES + least > bytes.len() {
        return Err(Refusal::Counts);
    }
    let message = Message::from_vec(bytes).map_err(|error| Refusal::Broken(error.to_string()))?;
    if message.metadata.op_code != OpCode::Query || message.metadata.response_code != ResponseCode::NoError {
        return Err(Refusal::Operation);
    }
    Ok(message)
}

/// An empty question or answer.
pub(super) fn new(kind: MessageType) -> Message {
    let mut message = Message::new(0, kind, OpCode::Query);
    message.metadata.authoritative = kind == MessageType::Response;
    message
}

/// The data of a record as it is compared (RFC 6762, section 8.2): without compression.
pub(super) fn data(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    // What cannot be written is nothing, and loses against anything.
    if record.data.emit(&mut encoder).is_err() {
        bytes.clear();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_promises_more_than_it_has_is_refused_before_memory_is_set_aside_for_it() {
        let mut bytes = [0; 12];
        bytes[4..6].fill(0xff);
        assert_eq!(parse(&bytes), Err(Refusal::Counts));
        bytes[4..6].fill(0);
        bytes[11] = 1;
        assert_eq!(parse(&bytes), Err(Refusal::Counts));
        assert_eq!(parse(&bytes[..11]), Err(Refusal::Length(11)));
        assert_eq!(parse(&[0; 9001]), Err(Refusal::Length(9001)));
    }

    #[test]
    fn a_name_that_points_at_itself_is_refused() {
        for name in [&[0xc0, 12][..], &[1, b'a', 0xc0, 12], &[0xc0, 14, 0xc0, 12], &[0xc0, 0xff]] {
            let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&[0, 1, 0, 1]);
            assert!(matches!(parse(&bytes), Err(Refusal::Broken(_))), "{name:?}");
        }
    }
}
