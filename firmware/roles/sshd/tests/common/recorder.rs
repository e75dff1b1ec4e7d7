//! A recorder that does what the test wants, and looks whether what it is told makes sense.

use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::record::{PIECE_BYTES, RecordAsk};
use drawbridge_bus::{Reply, Request, Role};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What is done with something that is said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Keep,
    /// Kept, and so much later.
    Late(Duration),
    /// Kept once the test opens the gate.
    Hold,
    Refuse(&'static str),
    Silence,
    HangUp,
}

pub(crate) type Mood = Box<dyn FnMut(&RecordAsk) -> Answer + Send>;

/// The recorder.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<(Mutex<State>, Condvar)>);

struct State {
    mood: Mood,
    /// In the order in which it was kept.
    kept: Vec<(u64, RecordAsk)>,
    /// What waits at the gate.
    held: Vec<RecordAsk>,
    open: bool,
    /// Nothing is remembered of what is kept.
    forgets: bool,
    /// Of each connection its channels, and whether they are open.
    channels: BTreeMap<u64, BTreeMap<u32, bool>>,
    faults: Vec<String>,
}

impl Default for Recorder {
    fn default() -> Self {
        let state = State {
            mood: Box::new(|_| Answer::Keep),
            kept: Vec::new(),
            held: Vec::new(),
            open: false,
            forgets: false,
            channels: BTreeMap::new(),
            faults: Vec::new(),
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }
}

impl Recorder {
    pub(crate) fn with(mood: impl FnMut(&RecordAsk) -> Answer + Send + 'static) -> Self {
        let recorder = Self::default();
        recorder.0.0.lock().unwrap().mood = Box::new(mood);
        recorder
    }

    /// One that answers at once, and remembers nothing.
    pub(crate) fn that_forgets() -> Self {
        let recorder = Self::default();
        recorder.0.0.lock().unwrap().forgets = true;
        recorder
    }

    pub(crate) fn kept(&self) -> Vec<RecordAsk> {
        let state = self.0.0.lock().unwrap();
        assert!(state.faults.is_empty(), "{:?}", state.faults);
        state.kept.iter().map(|(_, ask)| ask.clone()).collect()
    }

    /// The output of all channels that is kept until now.
    pub(crate) fn output(&self) -> Vec<u8> {
        let output = |ask| match ask {
            RecordAsk::Output { errors: false, bytes, .. } => bytes,
            _ => Vec::new(),
        };
        self.kept().into_iter().flat_map(output).collect()
    }

    /// What was typed, and whether it was shown.
    pub(crate) fn typed(&self) -> Vec<(bool, Vec<u8>)> {
        let typed = |ask| match ask {
            RecordAsk::Typed { echo, bytes, .. } => Some((echo, bytes)),
            _ => None,
        };
        self.kept().into_iter().filter_map(typed).collect()
    }

    /// What waits at the gate.
    pub(crate) fn held(&self) -> Vec<RecordAsk> {
        self.0.0.lock().unwrap().held.clone()
    }

    pub(crate) fn open_the_gate(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    pub(crate) fn serve(&self, mut stream: UnixStream) {
        let (mut decoder, mut buffer) = (Decoder::default(), vec![0; 64 * 1024]);
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            decoder.push(&buffer[..length]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
                assert!(drawbridge_bus::may(Role::Sshd, Role::Recorder, request.ask()), "{request:?}");
                let Request::Record { connection, ask } = request else { panic!("{request:?}") };
                let Some(reply) = self.answer(connection, ask) else { return };
                if stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).is_err() {
                    return;
                }
            }
        }
    }

    fn answer(&self, connection: u64, ask: RecordAsk) -> Option<Reply> {
        let mut state = self.0.0.lock().unwrap();
        if let Some(fault) = state.fault(connection, &ask) {
            state.faults.push(fault);
        }
        match (state.mood)(&ask) {
            Answer::Keep => {}
            Answer::Late(time) => {
                drop(state);
                std::thread::sleep(time);
                state = self.0.0.lock().unwrap();
            }
            Answer::Hold => {
                state.held.push(ask.clone());
                state = self.0.1.wait_while(state, |state| !state.open).unwrap();
            }
            Answer::Refuse(why) => return Some(Reply::Unrecorded(why.to_owned())),
            Answer::Silence => {
                drop(state);
                std::thread::sleep(super::SOON);
                return None;
            }
            Answer::HangUp => return None,
        }
        if !state.forgets {
            state.kept.push((connection, ask));
        }
        Some(Reply::Done)
    }
}

impl State {
    /// What is wrong with this, after what was said before.
    fn fault(&mut self, connection: u64, ask: &RecordAsk) -> Option<String> {
        if matches!(ask, RecordAsk::Begin(_)) {
            let again = self.channels.insert(connection, BTreeMap::new()).is_some();
            return again.then(|| format!("connection {connection} begins twice"));
        }
        let Some(channels) = self.channels.get_mut(&connection) else {
            return Some(format!("{ask:?} before the beginning"));
        };
        let last = channels.keys().max().copied().unwrap_or(0);
        let right = match ask {
            RecordAsk::Begin(_) => false,
            RecordAsk::Open { channel, .. } => *channel > last && channels.insert(*channel, true).is_none(),
            RecordAsk::Size { channel, .. } => channels.get(channel) == Some(&true),
            RecordAsk::Output { channel, bytes, .. } | RecordAsk::Typed { channel, bytes, .. } => {
                channels.get(channel) == Some(&true) && (1..=PIECE_BYTES).contains(&bytes.len())
            }
            RecordAsk::Close { channel, .. } => channels.insert(*channel, false) == Some(true),
            RecordAsk::End(_) => true,
        };
        (!right).then(|| format!("{ask:?} when the channels are {channels:?}"))
    }
}
