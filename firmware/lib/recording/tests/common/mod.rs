//! What the tests share: a device's key, facts, and a disk in memory that fails where it is told to.
#![allow(dead_code, reason = "each test program uses its part")]

use drawbridge_chain::{
    DeviceKey, Durable, Expected, FolderTracks, Report, Signature, Text, ToSign, TrackName, Tracks,
    VerifyFault, verify,
};
use drawbridge_recording::{Bundle, Entry, Facts, FolderFiles, Guidance, Store};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

pub(crate) fn day() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(490_896)
}

pub(crate) fn second(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).unwrap()
}

pub(crate) fn facts() -> Facts {
    Facts {
        id: text("a1"),
        serial: text("SN-1"),
        system: text("lab"),
        version: text("0.1.0"),
        grant: 1,
        session: text("s1"),
        level: Guidance::Watched,
        engineer: text("anna"),
        login: text("support"),
        source: Some("192.0.2.7".parse().unwrap()),
    }
}

pub(crate) fn read_all(bundle: &Bundle<FolderFiles>) -> Vec<Entry> {
    let mut reader = bundle.events().unwrap();
    let mut events = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        events.push(entry);
    }
    events
}

pub(crate) fn verdict(folder: &Path, device: &Device) -> Report {
    let chain = io::BufReader::new(std::fs::File::open(folder.join("chain.jsonl")).unwrap());
    verify(chain, &mut FolderTracks::new(folder), &Expected::Key(device.key())).unwrap()
}

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
struct Disk {
    files: Files,
    writes: Vec<(String, Vec<u8>)>,
    /// After so many bytes in all, so many of the file are durable.
    durable: Vec<(usize, String, usize)>,
    written: usize,
    room: Option<(usize, io::ErrorKind)>,
    syncs: usize,
    bad_sync: usize,
    creates: usize,
    bad_create: usize,
    has_failed: bool,
}

#[derive(Clone, Default)]
pub(crate) struct DiskStore(Rc<RefCell<Disk>>);

pub(crate) struct DiskFile {
    name: String,
    disk: Rc<RefCell<Disk>>,
}

impl Store for DiskStore {
    type File = DiskFile;

    fn create(&mut self, name: &str) -> io::Result<DiskFile> {
        let mut disk = self.0.borrow_mut();
        disk.creates += 1;
        if disk.creates == disk.bad_create {
            disk.has_failed = true;
            return Err(io::Error::from_raw_os_error(28));
        }
        assert!(disk.files.insert(name.to_owned(), Vec::new()).is_none(), "{name} is made twice");
        Ok(DiskFile { name: name.to_owned(), disk: Rc::clone(&self.0) })
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.disk.borrow_mut();
        let mut bytes = bytes;
        if let Some((room, kind)) = disk.room {
            if room == 0 {
                return Err(kind.into());
            }
            bytes = &bytes[..bytes.len().min(room)];
            disk.room = Some((room - bytes.len(), kind));
        }
        disk.files.get_mut(&self.name).unwrap().extend_from_slice(bytes);
        disk.written += bytes.len();
        disk.writes.push((self.name.clone(), bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Durable for DiskFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.borrow_mut();
        disk.syncs += 1;
        if disk.syncs == disk.bad_sync {
            disk.has_failed = true;
            return Err(io::Error::from_raw_os_error(5));
        }
        let entry = (disk.written, self.name.clone(), disk.files[&self.name].len());
        disk.durable.push(entry);
        Ok(())
    }
}

impl DiskStore {
    pub(crate) fn files(&self) -> Files {
        self.0.borrow().files.clone()
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        self.0.borrow().files.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn writes(&self) -> Vec<(String, Vec<u8>)> {
        self.0.borrow().writes.clone()
    }

    pub(crate) fn syncs(&self) -> usize {
        self.0.borrow().syncs
    }

    pub(crate) fn limit(&self, room: usize, kind: io::ErrorKind) {
        self.0.borrow_mut().room = Some((room, kind));
    }

    pub(crate) fn unlimit(&self) {
        self.0.borrow_mut().room = None;
    }

    pub(crate) fn fail_at(&self, sync: usize, create: usize) {
        let mut disk = self.0.borrow_mut();
        (disk.bad_sync, disk.bad_create) = (sync, create);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.0.borrow().has_failed
    }

    /// The length of the chain's first line.
    pub(crate) fn header_bytes(&self) -> usize {
        self.file("chain.jsonl").iter().position(|byte| *byte == b'\n').unwrap() + 1
    }

    /// What there was after so many bytes had been written, and how much of each file was durable.
    pub(crate) fn cut_at(&self, cut: usize) -> (Files, BTreeMap<String, usize>) {
        let disk = self.0.borrow();
        let mut files = Files::new();
        let mut left = cut;
        for (name, bytes) in &disk.writes {
            let now = left.min(bytes.len());
            if now > 0 {
                files.entry(name.clone()).or_default().extend_from_slice(&bytes[..now]);
            }
            left -= now;
        }
        let durable = disk.durable.iter().filter(|(at, _, _)| *at <= cut);
        (files, durable.map(|(_, name, length)| (name.clone(), *length)).collect())
    }

    pub(crate) fn verify(&self, device: &Device) -> Result<Report, VerifyFault> {
        let files = self.files();
        let chain = files.get("chain.jsonl").cloned().unwrap_or_default();
        verify(chain.as_slice(), &mut Memory(files), &Expected::Key(device.key()))
    }
}

struct Memory(Files);

impl Tracks for Memory {
    fn bytes(&mut self, track: &TrackName) -> io::Result<Option<u64>> {
        Ok(self.0.get(track.as_str()).map(|bytes| bytes.len() as u64))
    }

    fn read_at(&mut self, track: &TrackName, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(bytes) = self.0.get(track.as_str()) else { return Ok(0) };
        let from = &bytes[bytes.len().min(usize::try_from(offset).unwrap())..];
        let length = from.len().min(buffer.len());
        buffer[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().filter(|name| *name != "chain.jsonl").cloned().collect())
    }
}
