//! A recorder with real recordings, of which the test decides when they go on and what the server has.

use drawbridge_bus::record::RecordingId;
use drawbridge_bus::upload::Unsent;
use drawbridge_bus::{Refusal, Reply, Request};
use drawbridge_chain::{DeviceKey, FILE, Signature, Text, ToSign};
use drawbridge_recording::{Clock, Facts, FolderStore, Guidance, Recorder, Size, Terminal};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
}

/// The device's key for evidence.
pub(crate) fn evidence_key() -> DeviceKey {
    DeviceKey(pair().public_key().as_ref().try_into().unwrap())
}

fn sign(to_sign: &ToSign) -> Signature {
    Signature(pair().sign(&to_sign.bytes()).as_ref().try_into().unwrap())
}

struct Running {
    recorder: Recorder<FolderStore>,
    terminal: Terminal,
    second: u64,
}

/// The recorder.
pub(crate) struct House {
    folder: tempfile::TempDir,
    running: Mutex<BTreeMap<String, Running>>,
    sent: Mutex<BTreeSet<String>>,
    confirmed: mpsc::UnboundedSender<(String, [u8; 32])>,
}

impl House {
    /// One with nothing, and what is confirmed to it.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<(String, [u8; 32])>) {
        let (confirmed, told) = mpsc::unbounded_channel();
        let folder = tempfile::tempdir().unwrap();
        (Self { folder, running: Mutex::default(), sent: Mutex::default(), confirmed }, told)
    }

    pub(crate) fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A recording begins.
    pub(crate) fn begin(&self, name: &str) {
        fn text<const N: usize>(text: &str) -> Text<N> {
            Text::new(text).unwrap()
        }
        let facts = Facts {
            id: text(name),
            serial: text("SN-0042"),
            system: text("sa-0042"),
            version: text("0.1.0"),
            grant: 7,
            session: text("case 7"),
            level: Guidance::Direct,
            engineer: text("anna"),
            login: text("support"),
            source: None,
        };
        let clock = Clock::new(UNIX_EPOCH + Duration::from_hours(490_896), Duration::ZERO);
        let store = FolderStore::create(self.folder_of(name)).unwrap();
        let mut recorder =
            Recorder::create(store, facts, evidence_key(), None, clock, Duration::ZERO).unwrap();
        let terminal = recorder.terminal(Duration::ZERO, text("xterm"), Size::clamped(24, 80)).unwrap();
        self.running.lock().unwrap().insert(name.to_owned(), Running { recorder, terminal, second: 0 });
    }

    /// It goes on by so many bytes that a terminal shows.
    pub(crate) fn goes_on(&self, name: &str, bytes: usize) {
        let mut running = self.running.lock().unwrap();
        let Running { recorder, terminal, second } = running.get_mut(name).unwrap();
        *second += 1;
        let now = Duration::from_secs(*second);
        recorder.output(*terminal, now, &vec![b'x'; bytes]).unwrap();
        recorder.seal(now).unwrap();
    }

    /// It ends, and is signed.
    pub(crate) fn ends(&self, name: &str) {
        let Running { mut recorder, second, .. } = self.running.lock().unwrap().remove(name).unwrap();
        let to_sign = recorder.finish(Duration::from_secs(second + 1), Text::of("he left")).unwrap();
        recorder.signed(&to_sign, sign(&to_sign)).unwrap();
    }

    /// How long its chain is.
    pub(crate) fn chain(&self, name: &str) -> u64 {
        fs::metadata(self.folder_of(name).join(FILE)).unwrap().len()
    }

    /// Answers as the recorder does.
    pub(crate) fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Unsent => {
                let running = self.running.lock().unwrap();
                let sent = self.sent.lock().unwrap();
                let mut unsent = Vec::new();
                let mut names: Vec<String> = fs::read_dir(self.folder.path())
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .filter(|name| !sent.contains(name))
                    .collect();
                names.sort_by_key(|name| (!running.contains_key(name), name.clone()));
                for name in names {
                    let (running, chain) = (running.contains_key(&name), self.chain(&name));
                    unsent.push(Unsent { id: RecordingId::parse(&name).unwrap(), running, chain });
                }
                Reply::Unsent(unsent)
            }
            Request::UnsentPart { id, file, offset, most } => {
                let Ok(content) = fs::read(self.folder_of(id.as_str()).join(file)) else {
                    return Reply::Refused(Refusal::NotNow);
                };
                let from = usize::try_from(offset).unwrap().min(content.len());
                let to = content.len().min(from + usize::try_from(most).unwrap());
                Reply::RecordingPart(content[from..to].to_vec(), content.len() as u64)
            }
            Request::Confirmed { id, head } => {
                self.sent.lock().unwrap().insert(id.to_string());
                let _ = self.confirmed.send((id.to_string(), head));
                Reply::Done
            }
            other => panic!("the tunnel asks the recorder {other:?}"),
        }
    }
}
