//! Power cuts: the disk as it was after any write of a machine, from the log that [`crate::Disk::log_writes`] makes. It never
//! changes the log or the image that the machine began with.
//!
//! Killing QEMU is no power cut: what the guest wrote is in the host's memory and stays. A real disk loses what it has not
//! flushed. So a test lets a machine write, and then asks of each place in the log: does the appliance come up on this?

use crate::LabError;
use crate::net::Random;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// `struct log_write_super` and `struct log_write_entry` of Linux's dm-log-writes (Documentation/admin-guide/device-mapper/
/// log-writes.rst); QEMU's blklogwrites writes the same.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// The largest sector that is plausible.
const SECTOR_LIMIT: u64 = 64 << 10;

/// One write, discard or flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Where it begins, in bytes.
    pub start: u64,
    /// How much, in bytes; 0 for a flush alone.
    pub length: u64,
    /// Everything before it is on the medium when it is done.
    pub flush: bool,
    /// It is on the medium itself when it is done.
    pub durable: bool,
    /// The content was given up; it reads as zeros here.
    pub discard: bool,
    /// Where its data is in the log.
    data: u64,
}

/// What the disk loses of the writes that it had not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: it wrote in order and at once.
    Nothing,
    /// Some of them, and parts of others, at random by this seed.
    Random(u64),
}

/// The log of a disk's writes.
#[derive(Debug)]
pub struct WriteLog {
    path: PathBuf,
    file: File,
    sector: u64,
    writes: Vec<Write>,
}

impl WriteLog {
    /// Reads a log, when its machine has ended.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, LabError> {
        let path = path.into();
        let file = File::open(&path).map_err(LabError::file("open", &path))?;
        let (sector, writes) = entries(&file).map_err(LabError::file("read the write log", &path))?;
        Ok(Self { path, file, sector, writes })
    }

    /// All writes in their order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The numbers of writes after which everything before was on the medium: the moments between which a cut differs.
    pub fn flushes(&self) -> Vec<usize> {
        let writes = self.writes.iter().enumerate();
        writes.filter(|(_, write)| write.flush).map(|(index, _)| index + 1).collect()
    }

    /// Makes the disk as it is after the first `count` writes: a copy of the image that the machine began with, and them.
    pub fn cut(&self, began_with: &Path, disk: &Path, count: usize, loss: Loss) -> Result<(), LabError> {
        crate::copy_sparse(began_with, disk)?;
        let out = File::options().write(true).open(disk).map_err(LabError::file("open", disk))?;
        let done = self.writes.get(..count).unwrap_or(&self.writes);
        let flushed = done.iter().rposition(|write| write.flush).unwrap_or(0);
        let mut random = match loss {
            Loss::Nothing => None,
            Loss::Random(seed) => Some(Random::new(seed)),
        };
        for (index, write) in done.iter().enumerate() {
            let safe = index < flushed || write.durable;
            let kept = match &mut random {
                Some(random) if !safe => self.kept_of(write, random),
                _ => 0..write.length,
            };
            self.apply(write, kept, &out).map_err(LabError::file("write", disk))?;
        }
        Ok(())
    }

    /// A third is lost, a third is kept, and of a third a beginning or an end of whole sectors is kept.
    fn kept_of(&self, write: &Write, random: &mut Random) -> std::ops::Range<u64> {
        let sectors = usize::try_from(write.length / self.sector).unwrap_or(usize::MAX);
        let place = u64::try_from(random.below(sectors)).unwrap_or(0) * self.sector;
        match random.below(6) {
            0 | 1 => 0..0,
            2 | 3 => 0..write.length,
            4 => 0..place,
            _ => place..write.length,
        }
    }

    fn apply(&self, write: &Write, kept: std::ops::Range<u64>, out: &File) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        let mut place = kept.start;
        while place < kept.end {
            let length = usize::try_from(kept.end - place).unwrap_or(usize::MAX).min(buffer.len());
            let piece = buffer.get_mut(..length).unwrap_or_default();
            if write.discard {
                piece.fill(0);
            } else {
                self.file.read_exact_at(piece, write.data + place)?;
            }
            out.write_all_at(piece, write.start + place)?;
            place += u64::try_from(length).unwrap_or(0);
        }
        Ok(())
    }

    /// So many writes had begun when the log's file was this long: what was acknowledged then is in every cut after them.
    pub fn begun_by(&self, bytes: u64) -> usize {
        self.writes.iter().take_while(|write| write.data <= bytes).count()
    }

    /// The log's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn entries(file: &File) -> io::Result<(u64, Vec<Write>)> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let [magic, version, count, sector] = numbers(file, 0)?;
    // The size of a sector has 32 bits, and padding after them.
    let sector = sector & 0xffff_ffff;
    if magic != MAGIC || version != VERSION {
        return Err(odd("it does not begin as one"));
    }
    if !sector.is_power_of_two() || !(512..=SECTOR_LIMIT).contains(&sector) {
        return Err(odd("its sectors have an odd size"));
    }
    let length = file.metadata()?.len();
    let mut writes = Vec::new();
    let mut place = sector;
    for _ in 0..count {
        let [start, sectors, flags, _] = numbers(file, place)?;
        let bytes = |sectors: u64| sectors.checked_mul(sector).ok_or_else(|| odd("an entry is out of range"));
        let (start, size, data) = (bytes(start)?, bytes(sectors)?, place + sector);
        let discard = flags & DISCARD != 0;
        let (flush, durable) = (flags & FLUSH != 0, flags & FUA != 0);
        writes.push(Write { start, length: size, flush, durable, discard, data });
        place = if discard { Some(data) } else { data.checked_add(size) }
            .filter(|next| *next <= length)
            .ok_or_else(|| odd("an entry goes beyond its end"))?;
    }
    Ok((sector, writes))
}

fn numbers(file: &File, place: u64) -> io::Result<[u64; 4]> {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, place)?;
    let mut numbers = [0; 4];
    for (number, chunk) in numbers.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*chunk);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lab;

    fn log(entries: &[(u64, u64, u64, u8)]) -> Vec<u8> {
        let mut log = Vec::new();
        for number in [MAGIC, VERSION, u64::try_from(entries.len()).unwrap(), 512] {
            log.extend(number.to_le_bytes());
        }
        log.resize(512, 0);
        for (sector, sectors, flags, fill) in entries {
            let end = log.len() + 512;
            for number in [*sector, *sectors, *flags, 0] {
                log.extend(number.to_le_bytes());
            }
            log.resize(end, 0);
            if flags & DISCARD == 0 {
                log.resize(end + usize::try_from(sectors * 512).unwrap(), *fill);
            }
        }
        log
    }

    fn cut(lab: &Lab, log: &WriteLog, count: usize, loss: Loss) -> Vec<u8> {
        let (image, disk) = (lab.file("image"), lab.file("disk"));
        std::fs::write(&image, vec![9; 4096]).unwrap();
        log.cut(&image, &disk, count, loss).unwrap();
        std::fs::read(disk).unwrap().into_iter().step_by(512).collect()
    }

    #[test]
    fn each_place_in_the_log_is_a_disk() {
        let lab = Lab::new("each place in the log");
        let path = lab.file("log");
        std::fs::write(&path, log(&[(0, 2, 0, 1), (0, 0, FLUSH, 0), (1, 1, 0, 2), (4, 2, DISCARD, 0)]))
            .unwrap();
        let log = WriteLog::open(&path).unwrap();
        assert_eq!(log.flushes(), [2]);
        let after = |count| cut(&lab, &log, count, Loss::Nothing);
        assert_eq!(after(0), [9; 8]);
        assert_eq!(after(2), [1, 1, 9, 9, 9, 9, 9, 9]);
        assert_eq!(after(3), [1, 2, 9, 9, 9, 9, 9, 9]);
        assert_eq!(after(4), [1, 2, 9, 9, 0, 0, 9, 9]);
    }

    #[test]
    fn only_what_was_not_flushed_can_be_lost() {
        let lab = Lab::new("only what was not flushed");
        let path = lab.file("log");
        std::fs::write(&path, log(&[(0, 1, 0, 1), (0, 0, FLUSH, 0), (2, 1, FUA, 3), (4, 4, 0, 4)])).unwrap();
        let log = WriteLog::open(&path).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let disk = cut(&lab, &log, 4, Loss::Random(seed));
            assert_eq!(disk.get(..4), Some(&[1, 9, 3, 9][..]));
            seen.insert(disk);
        }
        assert!(seen.len() >= 6, "lost, kept, and torn in several places: {seen:?}");
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let lab = Lab::new("no log");
        let path = lab.file("log");
        let good = log(&[(0, 2, 0, 1)]);
        let mut odd_sector = good.clone();
        *odd_sector.get_mut(25).unwrap() = 3;
        for bad in [&[][..], &[0; 512], good.get(..1535).unwrap(), &odd_sector] {
            std::fs::write(&path, bad).unwrap();
            assert!(WriteLog::open(&path).is_err(), "{} bytes", bad.len());
        }
    }
}
