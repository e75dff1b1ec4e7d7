//! What is asked of a recording, in any order and with anything in it: what is said to be kept is kept, the bundle verifies, a terminal
//! shows what it was given, and nothing is kept in the clear that was typed while nobody saw it.
#![no_main]

use drawbridge_bus::record::{Deed, RecordAsk, RecordedEnd, RecordedUse, RecordingFacts, RecordingId};
use drawbridge_bus::support::{GrantId, Level, Target};
use drawbridge_chain::{DeviceKey, Durable, Expected, FILE, Signature, TrackName, Tracks, Verdict, verify};
use drawbridge_recorder::tape::{Fault, Tape};
use drawbridge_recording::{EVENTS, EntryReader, FrameReader, Size, Store, terminal_file, terminal_of};
use libfuzzer_sys::fuzz_target;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

type Files = Rc<RefCell<BTreeMap<String, Vec<u8>>>>;

/// A disk in memory, which is full after so many bytes.
#[derive(Clone)]
struct Memory {
    files: Files,
    room: Rc<RefCell<usize>>,
}

struct File {
    name: String,
    disk: Memory,
}

impl Store for Memory {
    type File = File;

    fn create(&mut self, name: &str) -> io::Result<File> {
        let before = self.files.borrow_mut().insert(name.to_owned(), Vec::new());
        assert!(before.is_none(), "{name} is made twice");
        Ok(File { name: name.to_owned(), disk: self.clone() })
    }
}

impl io::Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.disk.room.borrow_mut();
        if *room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(*room);
        *room -= taken;
        if let Some(file) = self.disk.files.borrow_mut().get_mut(&self.name) {
            file.extend_from_slice(&bytes[..taken]);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Durable for File {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tracks for Memory {
    fn bytes(&mut self, track: &TrackName) -> io::Result<Option<u64>> {
        Ok(self.files.borrow().get(track.as_str()).map(|file| file.len() as u64))
    }

    fn read_at(&mut self, track: &TrackName, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let files = self.files.borrow();
        let file = files.get(track.as_str()).map_or(&[][..], Vec::as_slice);
        let rest = file.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let taken = rest.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&rest[..taken]);
        Ok(taken)
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        Ok(self.files.borrow().keys().filter(|name| *name != FILE).cloned().collect())
    }
}

/// Bytes of the fuzzer's as asks.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// Without what only the secret has.
    fn others(&mut self) -> Vec<u8> {
        self.bytes().iter().copied().filter(|byte| *byte != ITS_OWN).collect()
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    fn target(&mut self) -> Target {
        Target { host: "node-1.example".parse().unwrap(), port: u16::from(self.byte()) }
    }

    fn size(&mut self) -> (u16, u16) {
        (u16::from(self.byte()) * 257, u16::from(self.byte()) * 257)
    }

    fn what(&mut self) -> RecordedUse {
        match self.byte() % 6 {
            0 => RecordedUse::Terminal { size: self.size(), command: Some(self.text()) },
            1 => RecordedUse::Terminal { size: self.size(), command: None },
            2 => RecordedUse::Command(Some(self.text())),
            3 => RecordedUse::Command(None),
            4 => RecordedUse::Files { scp: Some(self.text()) },
            _ => RecordedUse::Forward(self.target()),
        }
    }

    fn deed(&mut self) -> Deed {
        match self.byte() % 3 {
            0 => Deed::File {
                written: self.byte() % 2 == 0,
                path: self.text(),
                carried: u64::from(self.byte()),
                length: u64::from(self.byte()),
                sha256: [self.byte(); 32],
            },
            1 => Deed::Change(self.text()),
            _ => Deed::Reached(self.target()),
        }
    }

    fn end(&mut self) -> RecordedEnd {
        match self.byte() % 4 {
            0 => RecordedEnd::Exited(self.byte()),
            1 => RecordedEnd::Signalled(self.byte()),
            2 => RecordedEnd::Carried { sent: u64::from(self.byte()), received: u64::MAX },
            _ => RecordedEnd::Cut,
        }
    }
}

/// Typed and never shown: its first byte is in nothing else that is typed or shown here.
const SECRET: &str = "\u{e9}secret";
const ITS_OWN: u8 = 0xc3;

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let room = match script.byte() {
        // Mostly enough.
        byte @ 0..64 => usize::from(byte) * 64,
        _ => usize::MAX,
    };
    let disk = Memory { files: Files::default(), room: Rc::new(RefCell::new(room)) };
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let key = DeviceKey(pair.public_key().as_ref().try_into().unwrap());
    let facts = RecordingFacts {
        grant: (GrantId(7), script.text()),
        level: Level::Guided,
        engineer: script.text(),
        login: script.text(),
        source: "192.0.2.7".parse().unwrap(),
        system: (script.text(), script.text()),
    };
    let id = RecordingId::parse("20260101T000000Z-00000000").unwrap();
    let Ok(mut tape) = Tape::begin(disk.clone(), &id, &facts, key, None) else {
        assert_ne!(room, usize::MAX);
        return;
    };
    let sign = |of: &drawbridge_chain::ToSign| Signature(pair.sign(&of.bytes()).as_ref().try_into().unwrap());
    let mut shown: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    while !script.0.is_empty() {
        let kind = script.byte();
        let channel = u32::from(script.byte() % 16);
        let terminal = tape.terminal(channel).map(|terminal| terminal.number());
        let ask = match kind % 10 {
            0 => RecordAsk::Open { channel, what: script.what() },
            1 => RecordAsk::Size { channel, size: script.size() },
            2 | 3 => RecordAsk::Output { channel, errors: kind & 0x80 != 0, bytes: script.others() },
            4 => RecordAsk::Typed { channel, echo: kind & 0x80 != 0, bytes: script.others() },
            5 => RecordAsk::Typed { channel, echo: false, bytes: SECRET.as_bytes().to_vec() },
            6 => RecordAsk::Close { channel, end: script.end() },
            7 => {
                let kept = tape.deed(script.deed());
                assert_eq!(kept.is_err(), tape.failure().is_some());
                continue;
            }
            8 => {
                let _ = tape.tick();
                if let Ok(Some(of)) = tape.mark() {
                    let _ = tape.signed(&of, sign(&of));
                }
                continue;
            }
            _ => {
                let _ = tape.flush();
                continue;
            }
        };
        let output = match &ask {
            RecordAsk::Output { bytes, .. } => terminal.map(|terminal| (terminal, bytes.clone())),
            _ => None,
        };
        match tape.take(ask) {
            Ok(()) => {
                if let Some((terminal, bytes)) = output {
                    shown.entry(terminal).or_default().extend(bytes);
                }
            }
            Err(Fault::Asked(why)) => assert!(!why.is_empty()),
            Err(Fault::Record(_)) => {}
        }
        if tape.failure().is_some() {
            // For good.
            assert!(tape.take(RecordAsk::Size { channel, size: (80, 24) }).is_err());
            assert!(tape.end("he left").is_err());
        }
    }
    let ended = tape.end("he left");
    let failed = tape.failure().is_some();
    assert_eq!(ended.is_err(), failed);
    assert!(room != usize::MAX || !failed);
    let chain = disk.files.borrow()[FILE].clone();
    if failed && !chain.contains(&b'\n') {
        return;
    }
    let report = verify(chain.as_slice(), &mut disk.clone(), &Expected::Key(key)).unwrap();
    if failed {
        // The last line may be torn by the disk's end.
        assert!(!matches!(report.verdict, Verdict::Whole { .. }));
        return;
    }
    assert!(matches!(report.verdict, Verdict::Unfinished), "{report:#?}");
    let files = disk.files.borrow();
    for (name, file) in files.iter() {
        if name == FILE {
            continue;
        }
        if let Some(terminal) = terminal_of(name) {
            let mut frames = FrameReader::new(file.as_slice());
            let mut seen = Vec::new();
            let mut announced = 0;
            while let Some(frame) = frames.next_frame().unwrap() {
                match Size::announced(&frame.data) {
                    Some(_) => announced += 1,
                    None => seen.extend_from_slice(&frame.data),
                }
            }
            assert!(announced > 0);
            assert_eq!(&seen, shown.get(&terminal).unwrap_or(&Vec::new()), "{}", terminal_file(terminal));
        } else if name == EVENTS {
            let mut entries = EntryReader::new(file.as_slice());
            while entries.next_entry().unwrap().is_some() {}
        } else {
            let mut typed = EntryReader::new(file.as_slice());
            while typed.next_typed().unwrap().is_some() {}
            assert!(!String::from_utf8_lossy(file).contains(SECRET));
        }
    }
});
