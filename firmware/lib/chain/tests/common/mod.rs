//! What the tests share: a disk in memory that fails where it is told to, a device's key, and a small bundle.
#![allow(dead_code, reason = "each test program uses its part")]

use drawbridge_chain::{
    DeviceKey, Durable, Expected, Header, Kind, Report, Signature, Text, ToSign, Track, TrackName, Tracks,
    Utc, VERSION, VerifyFault, Writer, verify,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

pub(crate) struct Device(Ed25519KeyPair);

impl Device {
    pub(crate) fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub(crate) fn key(&self) -> DeviceKey {
        DeviceKey(self.0.public_key().as_ref().try_into().unwrap())
    }

    pub(crate) fn sign(&self, to_sign: &ToSign) -> Signature {
        Signature(self.0.sign(&to_sign.bytes()).as_ref().try_into().unwrap())
    }
}

/// All files of a disk, in the order in which they were written: what is on it at each instant can be told afterwards.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// What was written, byte by byte: the file of each byte, in order.
    pub(crate) writes: Vec<(String, Vec<u8>)>,
    /// After each sync, so many bytes of each file are durable.
    pub(crate) durable: BTreeMap<String, usize>,
    /// So many bytes can be written yet.
    pub(crate) room: Option<usize>,
    pub(crate) error: Option<io::ErrorKind>,
    /// The sync of that number fails.
    pub(crate) bad_sync: Option<usize>,
    pub(crate) syncs: usize,
}

#[derive(Clone, Default)]
pub(crate) struct Shared(pub(crate) Rc<RefCell<Disk>>);

impl Shared {
    pub(crate) fn open(&self, name: &str) -> DiskFile {
        self.0.borrow_mut().files.entry(name.to_owned()).or_default();
        DiskFile { name: name.to_owned(), disk: self.clone() }
    }

    pub(crate) fn track(&self, name: &str) -> Track<DiskFile> {
        Track::new(TrackName::new(name).unwrap(), self.open(name))
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.borrow().files.clone()
    }
}

pub(crate) struct DiskFile {
    name: String,
    disk: Shared,
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.disk.0.borrow_mut();
        // Never more than seven at once: a short write is no error.
        let mut bytes = &bytes[..bytes.len().min(7)];
        if let Some(room) = disk.room {
            if room == 0 {
                return Err(disk.error.unwrap_or(io::ErrorKind::StorageFull).into());
            }
            bytes = &bytes[..bytes.len().min(room)];
            disk.room = Some(room - bytes.len());
        }
        disk.files.get_mut(&self.name).unwrap().extend_from_slice(bytes);
        disk.writes.push((self.name.clone(), bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Durable for DiskFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.0.borrow_mut();
        disk.syncs += 1;
        if disk.bad_sync == Some(disk.syncs) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let length = disk.files[&self.name].len();
        disk.durable.insert(self.name.clone(), length);
        Ok(())
    }
}

pub(crate) fn header(device: &Device, id: &str) -> Header {
    Header {
        version: VERSION,
        kind: Kind::Recording,
        id: Text::new(id).unwrap(),
        serial: Text::new("SN-1").unwrap(),
        key: device.key(),
        start: at(0),
        link: None,
    }
}

pub(crate) fn at(second: u64) -> Utc {
    Utc::from_millis(1_767_225_600_000 + second * 1000).unwrap()
}

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A whole bundle of two tracks and six blocks with two signatures before the last one.
pub(crate) fn bundle(device: &Device, id: &str) -> Files {
    let disk = Shared::default();
    let mut writer = Writer::create(disk.open("chain.jsonl"), header(device, id)).unwrap();
    let (mut one, mut two) = (disk.track("events.jsonl"), disk.track("terminal-1.ttyrec"));
    for round in 1..=3_u64 {
        one.write(format!("event {round} of {id}\n").as_bytes()).unwrap();
        two.write(format!("screen {round} of {id}").as_bytes()).unwrap();
        writer.seal([&mut one, &mut two]).unwrap();
        if round < 3 {
            let to_sign = writer.to_sign(at(round)).unwrap().unwrap();
            writer.signed(&to_sign, device.sign(&to_sign)).unwrap();
        }
    }
    let to_sign = writer.end(Text::new("the engineer left").unwrap(), at(4)).unwrap();
    writer.signed(&to_sign, device.sign(&to_sign)).unwrap();
    disk.files()
}

/// The tracks of a bundle in memory.
pub(crate) struct Memory<'a>(pub(crate) &'a Files);

impl Tracks for Memory<'_> {
    fn bytes(&mut self, track: &TrackName) -> io::Result<Option<u64>> {
        Ok(self.0.get(track.as_str()).map(|bytes| bytes.len() as u64))
    }

    fn read_at(&mut self, track: &TrackName, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(bytes) = self.0.get(track.as_str()) else { return Ok(0) };
        let from = &bytes[bytes.len().min(usize::try_from(offset).unwrap())..];
        // Short reads are no ends.
        let length = from.len().min(buffer.len()).min(5);
        buffer[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().filter(|name| *name != "chain.jsonl").cloned().collect())
    }
}

pub(crate) fn check(files: &Files, expected: &Expected) -> Result<Report, VerifyFault> {
    let chain = files.get("chain.jsonl").map(Vec::as_slice).unwrap_or_default();
    verify(io::BufReader::with_capacity(11, chain), &mut Memory(files), expected)
}
