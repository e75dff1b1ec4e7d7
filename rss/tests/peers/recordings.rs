//! An appliance's recordings, written by the recording's own library, and a client that hands them over as it is told to: line by line,
//! and wrong where a test wants it.

use super::appliance::{Appliance, Control, tls};
use super::{Server, soon};
use drawbridge_chain::{DeviceKey, Expected, FILE, Line as ChainText, Signature, Text, ToSign};
use drawbridge_recording::{Clock, Event, Facts, FolderStore, Guidance, Quoted, Recorder, Size, Terminal};
use drawbridge_verify::{Found, Source, check};
use drawbridge_wire::upload::{Answer, ChainLine, RecordingName, Upload, receive, send};
use drawbridge_wire::{Line, RECORDING, RequestId, ToAppliance, ToServer, Token, ticket};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A name as the appliance's recorder makes them.
pub const NAME: &str = "20261127T014500Z-3fa9c01d";

/// A line of a chain, and what it names.
pub type Sent = (Vec<u8>, Vec<u8>);

/// A key for evidence.
pub struct Device(Ed25519KeyPair);

impl Device {
    pub fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub fn key(&self) -> DeviceKey {
        DeviceKey(self.0.public_key().as_ref().try_into().unwrap())
    }

    pub fn sign(&self, to_sign: &ToSign) -> Signature {
        Signature(self.0.sign(&to_sign.bytes()).as_ref().try_into().unwrap())
    }
}

fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).unwrap()
}

/// A recording that is being made, a frame and a command a second.
pub struct Tape {
    pub folder: PathBuf,
    recorder: Recorder<FolderStore>,
    terminal: Terminal,
    second: u64,
}

impl Tape {
    pub fn begin(home: &Path, name: &str, serial: &str, device: &Device) -> Self {
        let folder = home.join(name);
        let facts = Facts {
            id: text(name),
            serial: text(serial),
            system: text("box-1"),
            version: text("0.1.0"),
            grant: 7,
            session: text("case 4711"),
            level: Guidance::Watched,
            engineer: text("anna"),
            login: text("support"),
            source: Some("192.0.2.7".parse().unwrap()),
        };
        let clock = Clock::new(UNIX_EPOCH + Duration::from_hours(490_896), Duration::ZERO);
        let store = FolderStore::create(&folder).unwrap();
        let mut recorder = Recorder::create(store, facts, device.key(), None, clock, Duration::ZERO).unwrap();
        let terminal = recorder.terminal(Duration::ZERO, text("xterm"), Size::clamped(24, 80)).unwrap();
        Self { folder, recorder, terminal, second: 0 }
    }

    /// Goes on for so many seconds; at the end of each all is sealed, and every third is signed.
    pub fn run(&mut self, device: &Device, seconds: u64) {
        for _ in 0..seconds {
            self.second += 1;
            let now = Duration::from_secs(self.second);
            let said = format!("{}\r\n", "a line of output. ".repeat(100));
            self.recorder.output(self.terminal, now, said.as_bytes()).unwrap();
            self.recorder.typed(self.terminal, now, b"id\r", false).unwrap();
            self.recorder.event(now, Event::Command { command: Quoted::of(b"id"), terminal: None }).unwrap();
            self.recorder.seal(now).unwrap();
            if self.second.is_multiple_of(3) {
                let to_sign = self.recorder.to_sign(now).unwrap().unwrap();
                self.recorder.signed(&to_sign, device.sign(&to_sign)).unwrap();
            }
        }
    }

    /// Ends it, with its last signature: its folder.
    pub fn end(mut self, device: &Device) -> PathBuf {
        let to_sign = self.recorder.finish(Duration::from_secs(self.second + 1), text("he left")).unwrap();
        self.recorder.signed(&to_sign, device.sign(&to_sign)).unwrap();
        self.folder
    }
}

/// One that is over.
pub fn record(home: &Path, name: &str, serial: &str, device: &Device, seconds: u64) -> PathBuf {
    let mut tape = Tape::begin(home, name, serial, device);
    tape.run(device, seconds);
    tape.end(device)
}

/// The lines of a chain from a byte on, each with what it names.
pub fn lines(folder: &Path, from: u64) -> Vec<Sent> {
    let chain = fs::read(folder.join(FILE)).unwrap();
    let chain = &chain[usize::try_from(from).unwrap()..];
    let line = |line: &[u8]| {
        let data = match ChainText::parse(line).unwrap() {
            ChainText::Block(block) => {
                let (from, length) =
                    (usize::try_from(block.offset).unwrap(), usize::try_from(block.length).unwrap());
                fs::read(folder.join(block.track.as_str())).unwrap()[from..from + length].to_vec()
            }
            _ => Vec::new(),
        };
        (line.to_vec(), data)
    };
    chain.split(|byte| *byte == b'\n').filter(|one| !one.is_empty()).map(line).collect()
}

/// What the server says to who asks for a ticket.
pub async fn ask(control: &mut Control, key: &str) -> Result<Token, (String, String)> {
    control.send(&ToServer::Upload { request: RequestId(5), key: Line::of(key) }).await;
    match control.next().await {
        Some(ToAppliance::Upload { request: RequestId(5), token }) => Ok(token),
        Some(ToAppliance::NoUpload { request: RequestId(5), why, remedy }) => {
            Err((why.as_str().to_owned(), remedy.as_str().to_owned()))
        }
        other => panic!("{other:?}"),
    }
}

/// A connection for recordings.
pub struct Uploader {
    pub stream: TlsStream<TcpStream>,
    /// Lines that were sent on it.
    pub sent: usize,
}

impl Uploader {
    /// With a ticket for this device's key.
    pub async fn new(server: &Server, control: &mut Control, device: &Device) -> Self {
        let token = ask(control, &device.key().to_ssh()).await.unwrap();
        let mut stream = tls(server, RECORDING).await;
        soon("a welcome", ticket::present(&mut stream, &token)).await.unwrap();
        Self { stream, sent: 0 }
    }

    pub async fn say(&mut self, message: &Upload) {
        // A server that has ended the connection is seen by who reads.
        let _ = send(&mut self.stream, message).await;
        let _ = self.stream.flush().await;
    }

    pub async fn answer(&mut self) -> Answer {
        soon("an answer", receive(&mut self.stream)).await.unwrap()
    }

    /// Whether the server ends the connection without a word.
    pub async fn is_ended(&mut self) -> bool {
        let mut rest = Vec::new();
        let _ = soon("the end", self.stream.read_to_end(&mut rest)).await;
        rest.is_empty()
    }

    pub async fn begin(&mut self, name: &str) -> Answer {
        self.say(&Upload::Begin(RecordingName::parse(name).unwrap())).await;
        self.answer().await
    }

    pub async fn line(&mut self, line: &[u8], data: &[u8]) {
        self.sent += 1;
        let line = ChainLine::new(line.to_vec(), data.to_vec()).unwrap();
        self.say(&Upload::Line(line)).await;
    }

    pub async fn keep(&mut self) -> Answer {
        self.say(&Upload::Keep).await;
        self.answer().await
    }

    /// Sends these lines, and what is said to them.
    pub async fn send(&mut self, lines: &[Sent]) -> Answer {
        for (line, data) in lines {
            self.line(line, data).await;
        }
        self.keep().await
    }

    /// Hands over all that is there, from where the server is.
    pub async fn hand_over(&mut self, name: &str, folder: &Path) -> Answer {
        let from = chain_of(&self.begin(name).await);
        self.send(&lines(folder, from)).await
    }
}

/// How much of the chain the server has.
pub fn chain_of(answer: &Answer) -> u64 {
    match answer {
        Answer::Has { chain, .. } => *chain,
        Answer::Refused { why, .. } => panic!("refused: {why}"),
    }
}

pub fn is_whole(answer: &Answer) -> bool {
    matches!(answer, Answer::Has { whole: true, .. })
}

/// The words of a refusal.
pub fn refusal(answer: &Answer) -> String {
    match answer {
        Answer::Refused { why, remedy } => format!("{why}. {remedy}"),
        Answer::Has { .. } => panic!("{answer:?} is no refusal"),
    }
}

pub async fn enrolled(server: &Server) -> (Appliance, Control) {
    let appliance = Appliance::new(server, "SN-1", "box-1").await;
    let control = appliance.enrol(server).await;
    (appliance, control)
}

pub fn kept(server: &Server) -> PathBuf {
    server.path("data/sessions/sn-1").join(NAME)
}

/// What is said of a folder or a tar file, by this device's key.
pub fn verified(path: &Path, device: &Device) -> (Found, String) {
    let mut said = Vec::new();
    let found = check(&mut Source::open(path).unwrap(), &Expected::Key(device.key()), &mut said).unwrap();
    (found, super::text(&said))
}

pub fn is_same(one: &Path, other: &Path) {
    for file in fs::read_dir(one).unwrap() {
        let name = file.unwrap().file_name();
        assert_eq!(
            fs::read(one.join(&name)).unwrap(),
            fs::read(other.join(&name)).unwrap(),
            "{}",
            name.display()
        );
    }
    assert_eq!(fs::read_dir(one).unwrap().count(), fs::read_dir(other).unwrap().count());
}
