//! Lines of a file one at a time, in constant memory; it does not know what stands in them.

use crate::line::LINE_BYTES;
use std::io::{self, BufRead};

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// It is longer than the bound.
    #[error("a line is longer than {LINE_BYTES} bytes")]
    Long,
    /// The file ends without a line end.
    #[error("the last line has no end")]
    Torn,
    /// The file cannot be read.
    #[error("reading failed: {0}")]
    Read(#[from] io::Error),
}

/// Reads lines of at most [`LINE_BYTES`].
#[derive(Debug)]
pub struct LineReader<R> {
    from: R,
    line: Vec<u8>,
    taken: u64,
}

impl<R: BufRead> LineReader<R> {
    /// Of a buffered reader.
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new(), taken: 0 }
    }

    /// The next line without its end, or none at the end of the file. Not to be called again after an error.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, ReadFault> {
        self.line.clear();
        loop {
            let buffer = match self.from.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if buffer.is_empty() {
                return if self.line.is_empty() { Ok(None) } else { Err(ReadFault::Torn) };
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            if self.line.len() + part.len() > LINE_BYTES {
                return Err(ReadFault::Long);
            }
            self.line.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.from.consume(used);
            self.taken = self.taken.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
            if end.is_some() {
                return Ok(Some(&self.line));
            }
        }
    }

    /// So many bytes were read. After a line, that is where it ends.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// What is left to read, from the first byte after the last line, with what was read of a line that failed.
    pub fn into_rest(self) -> (Vec<u8>, R) {
        (self.line, self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Cursor};

    #[test]
    fn lines_are_read_over_the_ends_of_buffers_and_what_is_too_long_or_torn_is_told() {
        let mut lines =
            LineReader::new(BufReader::with_capacity(3, Cursor::new(b"abcdef\n\ngh\nij".to_vec())));
        assert_eq!(lines.next_line().unwrap(), Some(b"abcdef".as_slice()));
        assert_eq!(lines.next_line().unwrap(), Some(b"".as_slice()));
        assert_eq!(lines.next_line().unwrap(), Some(b"gh".as_slice()));
        assert!(matches!(lines.next_line(), Err(ReadFault::Torn)));
        let endless = io::repeat(b'x');
        let mut lines = LineReader::new(BufReader::with_capacity(7, endless));
        assert!(matches!(lines.next_line(), Err(ReadFault::Long)));
    }
}
