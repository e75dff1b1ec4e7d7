//! The kernel's log: its records read (`/dev/kmsg`, Documentation/ABI/testing/dev-kmsg), never changed.

use drawbridge_bus::Level;

/// A record of the kernel's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How grave.
    pub level: Level,
    /// Who: 0 is the kernel itself, anything else was written by a process.
    pub facility: u32,
    /// When, in microseconds since the kernel started.
    pub microseconds: u64,
    /// What, without continuation lines, fit to be shown.
    pub text: String,
}

/// Reads one record: `priority,sequence,microseconds,flags[,…];text`, then lines that begin with a space. None when it is
/// not one.
pub fn parse(bytes: &[u8]) -> Option<Record> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let split = line.iter().position(|byte| *byte == b';')?;
    let mut fields = std::str::from_utf8(&line[..split]).ok()?.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let _sequence: u64 = fields.next()?.parse().ok()?;
    let microseconds = fields.next()?.parse().ok()?;
    let severity = u8::try_from(priority & 7).ok()?;
    let text = drawbridge_bus::logger::clean(&String::from_utf8_lossy(&line[split + 1..]));
    Some(Record { level: Level::of_severity(severity), facility: priority >> 3, microseconds, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_without_its_continuation_lines() {
        let record = parse(b"4,339,5140900,-,caller=T1;usb 1-1: \x1bhello\n SUBSYSTEM=usb\n").unwrap();
        assert_eq!(record.level, Level::Warning);
        assert_eq!(record.facility, 0);
        assert_eq!(record.microseconds, 5_140_900);
        assert_eq!(record.text, "usb 1-1: ·hello");
        assert_eq!(parse(b"14,1,2,-;said by a process").unwrap().facility, 1);
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in [&b""[..], b";", b"x,1,2,-;t", b"6,1;t", b"6,1,2", b"99999999999,1,2,-;t"] {
            assert_eq!(parse(bytes), None);
        }
    }
}
