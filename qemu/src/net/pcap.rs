//! Frames written to a capture file (classic pcap, whole frames) that Wireshark and tcpdump read. It never reads one.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::SystemTime;

/// A capture that grows over this ends there: a test's folder must not fill the disk.
const SIZE_LIMIT: u64 = 1 << 30;

/// A capture file that is being written.
#[derive(Debug)]
pub struct Capture<W: Write = BufWriter<File>> {
    out: W,
    written: u64,
    unflushed: bool,
}

impl Capture {
    /// Begins a file.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Self::new(BufWriter::new(File::create(path)?))
    }
}

impl<W: Write> Capture<W> {
    /// Writes the file's header (pcap-savefile(5)): version 2.4, microseconds, Ethernet.
    pub fn new(mut out: W) -> std::io::Result<Self> {
        let mut header = Vec::with_capacity(24);
        header.extend(0xa1b2_c3d4_u32.to_le_bytes());
        header.extend(2_u16.to_le_bytes());
        header.extend(4_u16.to_le_bytes());
        header.extend([0; 8]);
        header.extend(262_144_u32.to_le_bytes());
        header.extend(1_u32.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out, written: 24, unflushed: true })
    }

    /// Adds a frame.
    pub fn write(&mut self, frame: &[u8]) -> std::io::Result<()> {
        if self.written > SIZE_LIMIT {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let mut header = Vec::with_capacity(16);
        // The format's seconds have 32 bits, until 2106.
        header.extend(u32::try_from(now.as_secs()).unwrap_or(u32::MAX).to_le_bytes());
        header.extend(now.subsec_micros().to_le_bytes());
        header.extend(length.to_le_bytes());
        header.extend(length.to_le_bytes());
        self.out.write_all(&header)?;
        self.out.write_all(frame)?;
        self.written += 16 + u64::from(length);
        self.unflushed = true;
        Ok(())
    }

    /// Writes out what is held back, if anything is.
    pub fn flush(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.unflushed) { self.out.flush() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_has_its_header_and_whole_frames() {
        let mut file = Vec::new();
        let mut capture = Capture::new(&mut file).unwrap();
        capture.write(&[1; 60]).unwrap();
        capture.write(&[2; 1514]).unwrap();
        capture.flush().unwrap();
        assert_eq!(file.len(), 24 + 16 + 60 + 16 + 1514);
        assert_eq!(file.get(..4), Some(&[0xd4, 0xc3, 0xb2, 0xa1][..]));
        assert_eq!(file.get(24 + 8..24 + 16), Some(&[60, 0, 0, 0, 60, 0, 0, 0][..]));
    }
}
