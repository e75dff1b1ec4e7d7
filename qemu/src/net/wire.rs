//! QEMU's stream framing: four bytes of length, big-endian, then the Ethernet frame. It never looks into a frame.

/// The longest frame QEMU sends: 64 KiB and what its network layer adds (`NET_BUFSIZE`, 4096 + 65536).
pub const FRAME_LIMIT: usize = 4096 + 65536;

/// What came is no stream of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes was announced; at most {FRAME_LIMIT} can be")]
pub struct FramingError(pub u32);

/// Takes a stream of bytes, in pieces of any size, apart into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How much of the buffer is used up.
    taken: usize,
}

impl Decoder {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one. After an error the stream is lost.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FramingError> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((header, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let announced = u32::from_be_bytes(*header);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length > FRAME_LIMIT {
            return Err(FramingError(announced));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        self.taken += 4 + length;
        Ok(Some(frame))
    }
}

/// Appends a frame to what is to be sent. A frame over [`FRAME_LIMIT`] is not appended, and the answer is false.
pub fn encode(frame: &[u8], out: &mut Vec<u8>) -> bool {
    let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= FRAME_LIMIT);
    let Some(length) = length else { return false };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(frame);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_pieces() {
        let frames: [&[u8]; 4] = [b"one", b"", &vec![7; FRAME_LIMIT], b"four"];
        let mut stream = Vec::new();
        for frame in frames {
            assert!(encode(frame, &mut stream));
        }
        for piece in [1, 3, 4, 1000, stream.len()] {
            let mut decoder = Decoder::default();
            let mut out = Vec::new();
            for bytes in stream.chunks(piece) {
                decoder.push(bytes);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    out.push(frame.to_vec());
                }
            }
            assert!(out == frames, "pieces of {piece}");
        }
    }

    #[test]
    fn a_frame_too_long_is_refused_at_its_header() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xff; 4]);
        assert_eq!(decoder.next_frame(), Err(FramingError(u32::MAX)));
        assert!(!encode(&vec![0; FRAME_LIMIT + 1], &mut Vec::new()));
    }
}
