//! A machine's disks, and what goes wrong with them. An image that is copied is never written to.

use crate::{Lab, LabError};
use serde_json::{Value, json};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How the disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskBus {
    /// Paravirtual: `/dev/vda`.
    #[default]
    VirtioBlk,
    /// SATA: `/dev/sda`. It cannot be read-only.
    Ahci,
    /// `/dev/nvme0n1`.
    Nvme,
    /// Paravirtual SCSI: `/dev/sda`. The only one of these that can say that a thin disk is full.
    Scsi,
}

/// Which operations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// Reads.
    Reads,
    /// Writes, whatever their kind; flushes succeed.
    Writes,
    /// Flushes of the disk's cache.
    Flushes,
    /// Each of these.
    All,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// The medium is broken there (EIO).
    Io,
    /// A thin disk is full (ENOSPC). Only [`DiskBus::Scsi`] has a status for that; on the others the guest sees EIO.
    NoSpace,
}

/// Operations of a disk that fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFault {
    operations: Operations,
    failing: Failing,
    sectors: Option<Range<u64>>,
    once: bool,
}

/// A range of faults is one rule a page, and QEMU walks through the rules at each operation.
const RULES_LIMIT: u64 = 20_000;

/// Linux reads and writes whole pages of 4096 bytes, aligned on a partition that is: a rule for a page's first sector
/// meets each of them. Both ends of a range have a rule of their own.
const PAGE_SECTORS: u64 = 8;

impl DiskFault {
    /// On the whole disk, each time.
    pub fn new(operations: Operations, failing: Failing) -> Self {
        Self { operations, failing, sectors: None, once: false }
    }

    /// Only where an operation touches these sectors (512 bytes each); 80 MB at most.
    #[must_use]
    pub fn sectors(mut self, sectors: Range<u64>) -> Self {
        self.sectors = Some(sectors);
        self
    }

    /// Only the first time.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// The rules of QEMU's blkdebug that do this.
    fn rules(&self) -> Result<Vec<Value>, LabError> {
        let kinds: &[&str] = match self.operations {
            Operations::Reads => &["read"],
            Operations::Writes => &["write", "write-zeroes", "discard"],
            Operations::Flushes => &["flush"],
            Operations::All => &["read", "write", "write-zeroes", "discard", "flush"],
        };
        let errno = match self.failing {
            Failing::Io => libc::EIO,
            Failing::NoSpace => libc::ENOSPC,
        };
        let mut rules = Vec::new();
        for kind in kinds {
            for sector in self.places()? {
                let mut rule = json!({"event": "none", "iotype": kind, "errno": errno, "once": self.once});
                if let (Some(sector), Some(object)) = (sector, rule.as_object_mut()) {
                    object.insert("sector".into(), sector.into());
                }
                rules.push(rule);
            }
        }
        Ok(rules)
    }

    fn places(&self) -> Result<Vec<Option<u64>>, LabError> {
        let Some(sectors) = &self.sectors else { return Ok(vec![None]) };
        let Some(last) = sectors.end.checked_sub(1).filter(|last| *last >= sectors.start) else {
            return Err(LabError::Description("a disk fault has an empty range of sectors".to_owned()));
        };
        if (last - sectors.start) / PAGE_SECTORS > RULES_LIMIT {
            let size = sectors.end - sectors.start;
            return Err(LabError::Description(format!(
                "a disk fault of {size} sectors is too large: split it"
            )));
        }
        let pages = (sectors.start + 1..last).filter(|sector| sector % PAGE_SECTORS == 0);
        let mut places: Vec<_> =
            std::iter::once(sectors.start).chain(pages).chain([last]).map(Some).collect();
        places.dedup();
        Ok(places)
    }
}

/// A disk of a machine.
#[derive(Debug, Clone)]
pub struct Disk {
    source: Source,
    bus: DiskBus,
    read_only: bool,
    faults: Vec<DiskFault>,
    write_log: Option<PathBuf>,
}

#[derive(Debug, Clone)]
enum Source {
    Copy(PathBuf),
    InPlace(PathBuf),
}

impl Disk {
    /// A copy of a raw image, made when the machine starts and gone with the test. To keep it over several machines, make it
    /// by [`Lab::copy_of`] and attach it by [`Disk::in_place`].
    pub fn copy_of(image: impl Into<PathBuf>) -> Self {
        Self::new(Source::Copy(image.into()))
    }

    /// This very raw image: what the machine writes stays.
    pub fn in_place(image: impl Into<PathBuf>) -> Self {
        Self::new(Source::InPlace(image.into()))
    }

    fn new(source: Source) -> Self {
        Self { source, bus: DiskBus::default(), read_only: false, faults: Vec::new(), write_log: None }
    }

    /// On this bus.
    #[must_use]
    pub fn bus(mut self, bus: DiskBus) -> Self {
        self.bus = bus;
        self
    }

    /// Nothing can be written. Not on AHCI, which has no such disks.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// These operations fail from the start. [`crate::Machine::set_disk_faults`] changes that later.
    #[must_use]
    pub fn fault(mut self, fault: DiskFault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Every write and flush is recorded in this file, in the format of Linux's dm-log-writes: replaying a prefix of it is
    /// a power cut.
    #[must_use]
    pub fn log_writes(mut self, file: impl Into<PathBuf>) -> Self {
        self.write_log = Some(file.into());
        self
    }

    /// The `-blockdev` and `-device` arguments for the disk with this index, in their order.
    pub(super) fn parts(&self, lab: &Lab, number: u32, index: usize) -> Result<Parts, LabError> {
        if self.read_only && self.bus == DiskBus::Ahci {
            return Err(LabError::Description("a disk on AHCI cannot be read-only".to_owned()));
        }
        let file = match &self.source {
            Source::InPlace(path) => path.clone(),
            Source::Copy(path) => lab.copy_of(path, &format!("machine{number}-disk{index}.img"))?,
        };
        let mut nodes = vec![json!({
            "driver": "file", "node-name": file_node(index), "filename": file,
            "read-only": self.read_only, "discard": "unmap",
            // A read-only image may be shared by machines that run at the same time.
            "locking": if self.read_only { "off" } else { "auto" },
        })];
        let mut below = file_node(index);
        if let Some(log) = &self.write_log {
            File::create(log).map_err(LabError::file("make", log))?;
            let node = format!("disk{index}-log");
            nodes.push(json!({
                "driver": "blklogwrites", "node-name": node, "file": below,
                "log": {"driver": "file", "filename": log},
            }));
            below = node;
        }
        if !self.faults.is_empty() {
            let node = fault_node(index, 0);
            nodes.push(faulty(&node, &below, &self.faults)?);
            below = node;
        }
        nodes.push(format_node(index, &below, self.read_only));
        Ok(Parts {
            nodes,
            devices: self.devices(index),
            healthy: healthy_node(index, self.write_log.is_some()),
        })
    }

    fn devices(&self, index: usize) -> Vec<Value> {
        let drive = top_node(index);
        let id = format!("disk{index}-device");
        let place = format!("{:#x}", super::DISK_SLOT + index);
        // A kernel that QEMU loads itself has the first turn.
        let turn = index + 1;
        // A full or broken disk is the guest's to see: QEMU would freeze the machine at ENOSPC.
        match self.bus {
            DiskBus::VirtioBlk => vec![json!({
                "driver": "virtio-blk-pci", "id": id, "drive": drive, "bootindex": turn, "bus": "pcie.0",
                "addr": place, "werror": "report", "rerror": "report",
            })],
            DiskBus::Ahci => vec![json!({
                "driver": "ide-hd", "id": id, "drive": drive, "bootindex": turn,
                "bus": format!("ide.{index}"), "werror": "report", "rerror": "report",
            })],
            DiskBus::Nvme => vec![json!({
                "driver": "nvme", "id": id, "drive": drive, "bootindex": turn, "bus": "pcie.0",
                "addr": place, "serial": format!("LAB{index}"),
            })],
            DiskBus::Scsi => {
                let controller = format!("disk{index}-controller");
                let bus = format!("{controller}.0");
                vec![
                    json!({"driver": "virtio-scsi-pci", "id": controller, "bus": "pcie.0", "addr": place}),
                    json!({
                        "driver": "scsi-hd", "id": id, "drive": drive, "bootindex": turn, "bus": bus,
                        "werror": "report", "rerror": "report",
                    }),
                ]
            }
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }
}

/// What a disk is made of.
pub(super) struct Parts {
    pub(super) nodes: Vec<Value>,
    pub(super) devices: Vec<Value>,
    /// The node below any faults.
    pub(super) healthy: String,
}

fn file_node(index: usize) -> String {
    format!("disk{index}-file")
}

fn healthy_node(index: usize, logged: bool) -> String {
    if logged { format!("disk{index}-log") } else { file_node(index) }
}

pub(super) fn top_node(index: usize) -> String {
    format!("disk{index}")
}

pub(super) fn fault_node(index: usize, generation: u32) -> String {
    format!("disk{index}-faults{generation}")
}

pub(super) fn faulty(node: &str, below: &str, faults: &[DiskFault]) -> Result<Value, LabError> {
    let mut rules = Vec::new();
    for fault in faults {
        rules.extend(fault.rules()?);
    }
    Ok(json!({"driver": "blkdebug", "node-name": node, "image": below, "inject-error": rules}))
}

pub(super) fn format_node(index: usize, below: &str, read_only: bool) -> Value {
    json!({
        "driver": "raw", "node-name": top_node(index), "file": below, "read-only": read_only,
        "discard": "unmap",
    })
}

/// Copies a file and leaves its holes as holes: disk images are mostly empty.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<(), LabError> {
    use nix::unistd::{Whence, lseek};
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut source = File::open(from).map_err(LabError::file("open", from))?;
    let mut copy = File::create(to).map_err(LabError::file("make", to))?;
    let length = source.metadata().map_err(LabError::file("look at", from))?.len();
    copy.set_len(length).map_err(LabError::file("size", to))?;
    let seek = |source: &File, place: u64, whence| {
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        lseek(source, place, whence).ok().and_then(|found| u64::try_from(found).ok())
    };
    let mut done = 0;
    // No data behind this place is an error of the call (ENXIO): then the rest is a hole.
    while let Some(start) = seek(&source, done, Whence::SeekData) {
        let end = seek(&source, start, Whence::SeekHole).unwrap_or(length);
        source.seek(SeekFrom::Start(start)).map_err(LabError::file("read", from))?;
        copy.seek(SeekFrom::Start(start)).map_err(LabError::file("write", to))?;
        let mut piece = (&mut source).take(end - start);
        std::io::copy(&mut piece, &mut copy).map_err(LabError::file("copy to", to))?;
        done = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_copy_is_equal_and_stays_sparse() {
        let lab = Lab::new("a copy is equal");
        let original = lab.file("original");
        let file = File::create(&original).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(b"middle", (20 << 20) + 77).unwrap();
        file.write_all_at(b"end", (64 << 20) - 3).unwrap();
        let copy = lab.copy_of(&original, "copy").unwrap();
        assert!(std::fs::read(&original).unwrap() == std::fs::read(&copy).unwrap());
        assert!(copy.metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn a_range_of_faults_meets_every_page_in_it() {
        let fault = |range| DiskFault::new(Operations::Reads, Failing::Io).sectors(range).places();
        let numbers = |range| fault(range).unwrap().into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(numbers(0..8), [0, 7]);
        assert_eq!(numbers(5..6), [5]);
        assert_eq!(numbers(6..26), [6, 8, 16, 24, 25]);
        assert!(fault(Range { start: 7, end: 7 }).is_err());
        assert!(fault(0..u64::MAX).is_err());
    }
}
