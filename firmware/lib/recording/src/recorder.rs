//! Writes a bundle while the connection is there: sealed once a second, signed by somebody else, and failed for good at the
//! first error. It waits for the disk and for nothing else, and never keeps what was typed unseen.

use crate::age::{CannotEncrypt, Recipient, wrap};
use crate::event::{Entry, Event, Facts, Typed, micros, utc};
use crate::kept::{Kept, MakeFault};
use crate::quoted::Quoted;
use crate::sealed::{ContentKey, KEY_FILE};
use crate::store::Store;
use crate::ttyrec::{Clock, FRAME_BYTES, Moment, Size, encode};
use crate::{EVENTS, terminal_file, typed_file};
use drawbridge_chain::{
    ChainError, DeviceKey, FILE, Hash, Header, Kind, Signature, Text, ToSign, VERSION, Writer,
};
use std::time::Duration;

/// What was written is sealed so often, at least.
pub const SEAL_EVERY: Duration = Duration::from_secs(1);
/// The most terminals of one connection: each has two tracks, and there are the events, and of an encrypted one two more.
pub const MOST_TERMINALS: u32 = 126;
/// Sealed earlier when so many bytes wait for it.
const SEAL_BYTES: u64 = 16 * 1024 * 1024;
/// What is typed is written in pieces of so many bytes, each of which fits a line whatever it is.
const TYPED_BYTES: usize = 256;

/// Why something was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The disk failed, now or before. Nothing is recorded any more, and what was is kept as far as it was sealed.
    #[error("recording has failed, and so nothing more may happen here: {0}")]
    Failed(String),
    /// The recording has ended.
    #[error("the recording has ended")]
    Ended,
    /// There are too many terminals. The recording goes on.
    #[error(
        "there are {MOST_TERMINALS} terminals in this connection already, and no more are recorded: close some, or connect again"
    )]
    Many,
    /// There is no such terminal. The recording goes on.
    #[error("there is no terminal {0} in this recording")]
    NoTerminal(u32),
    /// The signature is none. The recording goes on.
    #[error("the signature was not taken: {0}")]
    Signature(String),
}

/// A terminal of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Terminal(u32);

impl Terminal {
    /// Its number, from 1.
    pub fn number(self) -> u32 {
        self.0
    }
}

#[derive(Debug)]
struct Open<F> {
    screen: Kept<F>,
    typed: Option<Kept<F>>,
    /// So many bytes were typed unseen, and not told yet.
    unseen: u64,
    masked: bool,
}

/// What an encrypted recording has besides.
#[derive(Debug)]
struct Secret<F> {
    content: ContentKey,
    /// The file of the content key.
    key: Kept<F>,
    /// What stays readable of the events.
    clear: Kept<F>,
}

/// A recording that is being made.
#[derive(Debug)]
pub struct Recorder<S: Store> {
    store: S,
    clock: Clock,
    chain: Writer<S::File>,
    events: Kept<S::File>,
    secret: Option<Secret<S::File>>,
    terminals: Vec<Open<S::File>>,
    sealed_at: Duration,
    failure: Option<String>,
    has_ended: bool,
    scratch: Vec<u8>,
}

impl<S: Store> Recorder<S> {
    /// Begins a recording. The clock is that of its beginning, `now` the same monotonic clock's time; `key` is the public half
    /// of what will sign it. Where there is a `recipient`, nobody else will be able to read what is recorded. When this
    /// returns, what it is and who came in is durable.
    pub fn create(
        mut store: S,
        facts: Facts,
        key: DeviceKey,
        recipient: Option<&Recipient>,
        mut clock: Clock,
        now: Duration,
    ) -> Result<Self, RecordError> {
        let moment = clock.tick(now);
        let header = Header {
            version: VERSION,
            kind: Kind::Recording,
            id: facts.id.clone(),
            serial: facts.serial.clone(),
            key,
            start: utc(moment),
            link: None,
        };
        let failed = |error: String| RecordError::Failed(error);
        let chain =
            store.create(FILE).map_err(|error| failed(format!("{FILE} could not be made: {error}")))?;
        let chain = Writer::create(chain, header).map_err(|error| failed(error.to_string()))?;
        let secret = recipient.map(|recipient| secret(&mut store, recipient)).transpose()?;
        let events = Kept::create(&mut store, EVENTS, secret.as_ref().map(|secret| &secret.content))?;
        let mut recorder = Self {
            store,
            clock,
            chain,
            events,
            secret,
            terminals: Vec::new(),
            sealed_at: now,
            failure: None,
            has_ended: false,
            scratch: Vec::new(),
        };
        recorder.event(now, Event::Began(facts))?;
        if let Some(recipient) = recipient {
            recorder.event(now, Event::Encrypted { recipient: Text::of(recipient.as_str()) })?;
        }
        recorder.seal(now)?;
        Ok(recorder)
    }

    /// What it is encrypted with, for those who show it while it is made.
    pub fn content_key(&self) -> Option<&ContentKey> {
        self.secret.as_ref().map(|secret| &secret.content)
    }

    /// Adds a terminal, with its size as the first frame.
    pub fn terminal(&mut self, now: Duration, name: Text<64>, size: Size) -> Result<Terminal, RecordError> {
        self.check()?;
        let number = u32::try_from(self.terminals.len()).unwrap_or(u32::MAX).saturating_add(1);
        if number > MOST_TERMINALS {
            return Err(RecordError::Many);
        }
        let screen = self.make(&terminal_file(number))?;
        self.terminals.push(Open { screen, typed: None, unseen: 0, masked: false });
        let terminal = Terminal(number);
        self.event(now, Event::Terminal { terminal: number, name, size })?;
        let moment = self.clock.tick(now);
        self.frame(terminal, moment, &size.announcement())?;
        Ok(terminal)
    }

    /// What a terminal was given to show.
    pub fn output(&mut self, terminal: Terminal, now: Duration, bytes: &[u8]) -> Result<(), RecordError> {
        self.check()?;
        let moment = self.clock.tick(now);
        for part in bytes.chunks(FRAME_BYTES) {
            // A program may write what announces a size. Only ours is a frame of its own, so that nobody can make a player's
            // screen smaller than the engineer's was.
            let (first, rest) = part.split_at(usize::from(Size::announced(part).is_some()));
            self.frame(terminal, moment, first)?;
            self.frame(terminal, moment, rest)?;
        }
        self.seal_when_due(now)
    }

    /// A terminal's window has another size.
    pub fn resize(&mut self, terminal: Terminal, now: Duration, size: Size) -> Result<(), RecordError> {
        self.check()?;
        let moment = self.clock.tick(now);
        self.frame(terminal, moment, &size.announcement())?;
        self.event(now, Event::Window { terminal: terminal.0, size })
    }

    /// What was typed at a terminal. While it does not show that (`masked`), only how much is kept: in one line when it is over,
    /// so that no line's time tells how a password was typed.
    pub fn typed(
        &mut self,
        terminal: Terminal,
        now: Duration,
        bytes: &[u8],
        masked: bool,
    ) -> Result<(), RecordError> {
        self.check()?;
        if bytes.is_empty() {
            return Ok(());
        }
        if self.open(terminal)?.masked != masked {
            self.tell_unseen(terminal, now)?;
            self.open(terminal)?.masked = masked;
            self.event(now, Event::Mask { terminal: terminal.0, masked })?;
        }
        if masked {
            let open = self.open(terminal)?;
            open.unseen = open.unseen.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            // The end of a line is the end of a password.
            if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                self.tell_unseen(terminal, now)?;
            }
        } else {
            let after = micros(self.clock.tick(now));
            for part in bytes.chunks(TYPED_BYTES) {
                self.typed_line(terminal, &Typed::Shown { after, text: Quoted::of(part) })?;
            }
        }
        self.seal_when_due(now)
    }

    /// A key that is no character was pressed at a terminal, for those who tell themselves what was shown.
    pub fn key(&mut self, terminal: Terminal, now: Duration, key: Text<32>) -> Result<(), RecordError> {
        self.check()?;
        let after = micros(self.clock.tick(now));
        self.typed_line(terminal, &Typed::Key { after, key })?;
        self.seal_when_due(now)
    }

    /// So many characters were typed at a terminal that it did not show, for those who tell that themselves. Beside
    /// [`Recorder::typed`] there is then no event that masking began.
    pub fn unseen(&mut self, terminal: Terminal, now: Duration, count: u64) -> Result<(), RecordError> {
        self.check()?;
        let after = micros(self.clock.tick(now));
        self.typed_line(terminal, &Typed::Masked { after, masked: count })?;
        self.seal_when_due(now)
    }

    /// Hands all that was written to the kernel: it then outlives this process, though not a power cut.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.check()?;
        let flushed = self.all().try_for_each(|kept| {
            kept.flush().map_err(|error| RecordError::Failed(format!("{}: {error}", kept.name())))
        });
        self.note(flushed)
    }

    /// Something happened.
    pub fn event(&mut self, now: Duration, event: Event) -> Result<(), RecordError> {
        self.check()?;
        let is_clear = event.is_clear();
        let line = Entry::at(self.clock.tick(now), event).encode();
        let mut written = self.events.write(&line);
        if is_clear && let Some(secret) = &mut self.secret {
            written = written.and_then(|()| secret.clear.write(&line));
        }
        self.note(written.map_err(|error| RecordError::Failed(format!("{EVENTS}: {error}"))))?;
        self.seal_when_due(now)
    }

    /// Makes all that was written durable, and seals it. To be called once in [`SEAL_EVERY`], also when nothing happens; where
    /// there is nothing new it costs nothing.
    pub fn seal(&mut self, now: Duration) -> Result<(), RecordError> {
        self.check()?;
        self.sealed_at = now;
        let closed = self.all().try_for_each(|kept| {
            kept.close().map_err(|error| RecordError::Failed(format!("{}: {error}", kept.name())))
        });
        self.note(closed)?;
        let Self { chain, events, secret, terminals, .. } = self;
        let sealed = chain.seal(all(events, secret, terminals).map(Kept::track));
        self.note(sealed.map_err(|error| RecordError::Failed(error.to_string())))
    }

    /// When it is to be sealed next.
    pub fn seal_due(&self) -> Duration {
        self.sealed_at.saturating_add(SEAL_EVERY)
    }

    fn seal_when_due(&mut self, now: Duration) -> Result<(), RecordError> {
        let waiting: u64 = self.terminals.iter().map(|open| open.screen.unsealed()).sum();
        if now >= self.seal_due() || waiting >= SEAL_BYTES { self.seal(now) } else { Ok(()) }
    }

    /// The hash of the chain's last line. It stands for all that is sealed; kept elsewhere, it shows whether anything was cut off.
    pub fn head(&self) -> Hash {
        self.chain.head()
    }

    /// What is to be signed next, if anything new was sealed. It does not wait for it.
    pub fn to_sign(&mut self, now: Duration) -> Result<Option<ToSign>, RecordError> {
        self.check()?;
        let time = utc(self.clock.tick(now));
        let to_sign = self.chain.to_sign(time).map_err(|error| RecordError::Failed(error.to_string()));
        self.note(to_sign)
    }

    /// Takes a signature, also the last one after [`Recorder::finish`].
    pub fn signed(&mut self, of: &ToSign, signature: Signature) -> Result<(), RecordError> {
        if let Some(why) = &self.failure {
            return Err(RecordError::Failed(why.clone()));
        }
        let taken = self.chain.signed(of, signature);
        self.note(taken.map_err(|error| match error {
            ChainError::NotAsked | ChainError::WrongSignature => RecordError::Signature(error.to_string()),
            ChainError::Ended => RecordError::Ended,
            error => RecordError::Failed(error.to_string()),
        }))
    }

    /// Ends the recording: says why, seals all, and gives what is to be signed at last. Only its signature is taken after that.
    pub fn finish(&mut self, now: Duration, reason: Text<128>) -> Result<ToSign, RecordError> {
        self.check()?;
        for number in 1..=self.terminals.len() {
            self.tell_unseen(Terminal(u32::try_from(number).unwrap_or(u32::MAX)), now)?;
        }
        self.event(now, Event::Ended { reason: reason.clone() })?;
        self.seal(now)?;
        let time = utc(self.clock.tick(now));
        let end = self.chain.end(reason, time).map_err(|error| RecordError::Failed(error.to_string()));
        let to_sign = self.note(end)?;
        self.has_ended = true;
        Ok(to_sign)
    }

    /// Whether the last signature is in: nothing is missing any more.
    pub fn is_whole(&self) -> bool {
        self.chain.state().is_whole()
    }

    /// Why it failed, when it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn check(&self) -> Result<(), RecordError> {
        match &self.failure {
            Some(why) => Err(RecordError::Failed(why.clone())),
            None if self.has_ended => Err(RecordError::Ended),
            None => Ok(()),
        }
    }

    fn note<T>(&mut self, result: Result<T, RecordError>) -> Result<T, RecordError> {
        if let Err(RecordError::Failed(why)) = &result {
            self.failure = Some(why.clone());
        }
        result
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Kept<S::File>> {
        all(&mut self.events, &mut self.secret, &mut self.terminals)
    }

    fn make(&mut self, name: &str) -> Result<Kept<S::File>, RecordError> {
        let key = self.secret.as_ref().map(|secret| &secret.content);
        let made = Kept::create(&mut self.store, name, key);
        self.note(made.map_err(RecordError::from))
    }

    fn open(&mut self, terminal: Terminal) -> Result<&mut Open<S::File>, RecordError> {
        let index = usize::try_from(terminal.0).unwrap_or(0).wrapping_sub(1);
        self.terminals.get_mut(index).ok_or(RecordError::NoTerminal(terminal.0))
    }

    fn frame(&mut self, terminal: Terminal, moment: Moment, data: &[u8]) -> Result<(), RecordError> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        encode(moment.since_1970, data, &mut bytes);
        let screen = &mut self.open(terminal)?.screen;
        let written =
            screen.write(&bytes).map_err(|error| RecordError::Failed(format!("{}: {error}", screen.name())));
        self.scratch = bytes;
        self.note(written)
    }

    fn tell_unseen(&mut self, terminal: Terminal, now: Duration) -> Result<(), RecordError> {
        let unseen = std::mem::take(&mut self.open(terminal)?.unseen);
        if unseen == 0 {
            return Ok(());
        }
        let after = micros(self.clock.tick(now));
        self.typed_line(terminal, &Typed::Masked { after, masked: unseen })
    }

    fn typed_line(&mut self, terminal: Terminal, line: &Typed) -> Result<(), RecordError> {
        // Made when it is needed: most programs' channels have nobody who types.
        if self.open(terminal)?.typed.is_none() {
            let made = self.make(&typed_file(terminal.0))?;
            self.open(terminal)?.typed = Some(made);
        }
        let Some(typed) = &mut self.open(terminal)?.typed else {
            return Err(RecordError::NoTerminal(terminal.0));
        };
        let written = typed
            .write(&line.encode())
            .map_err(|error| RecordError::Failed(format!("{}: {error}", typed.name())));
        self.note(written)
    }
}

/// All files but the chain.
fn all<'a, F>(
    events: &'a mut Kept<F>,
    secret: &'a mut Option<Secret<F>>,
    terminals: &'a mut [Open<F>],
) -> impl Iterator<Item = &'a mut Kept<F>> {
    let secret = secret.iter_mut().flat_map(|secret| [&mut secret.key, &mut secret.clear]);
    let terminals =
        terminals.iter_mut().flat_map(|open| std::iter::once(&mut open.screen).chain(&mut open.typed));
    std::iter::once(events).chain(secret).chain(terminals)
}

/// Makes a content key, puts it into its file for whoever shall read, and the file of what all may.
fn secret<S: Store>(store: &mut S, recipient: &Recipient) -> Result<Secret<S::File>, RecordError> {
    let failed = |error: CannotEncrypt| RecordError::Failed(error.to_string());
    let content = ContentKey::generate().map_err(failed)?;
    let wrapped = wrap(&content, recipient).map_err(failed)?;
    let mut key = Kept::clear(store, KEY_FILE)?;
    key.write(&wrapped).map_err(|error| RecordError::Failed(format!("{KEY_FILE}: {error}")))?;
    Ok(Secret { content, key, clear: Kept::clear(store, EVENTS)? })
}

impl From<MakeFault> for RecordError {
    fn from(fault: MakeFault) -> Self {
        Self::Failed(fault.to_string())
    }
}
