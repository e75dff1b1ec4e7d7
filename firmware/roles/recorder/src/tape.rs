//! What is asked to be recorded, put into a bundle's terms: which event, which terminal, which words. It holds back what was typed until
//! it is known whether the terminal shows it, and it never writes that in the clear otherwise.

use crate::typed::{self, Typing};
use drawbridge_bus::record::{
    Deed, PIECE_BYTES, RecordAsk, RecordedEnd, RecordedUse, RecordingFacts, RecordingId,
};
use drawbridge_bus::support::{Level, Target};
use drawbridge_chain::{DeviceKey, Hash, Signature, Text, ToSign};
use drawbridge_recording::{
    Clock, ContentKey, Event, Facts, Guidance, Quoted, Recipient, RecordError, Recorder, Size, Store,
    Terminal, Way,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};
use zeroize::Zeroizing;

/// The most channels that are open at one time.
pub const OPEN_MOST: usize = 256;
/// The size that a command without a terminal is shown in.
const PLAIN: (u16, u16) = (80, 24);

/// Why something is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The recording; whether it has failed for good is [`Tape::failure`]'s.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// What was asked makes no sense; the recording goes on.
    #[error("{0}")]
    Asked(&'static str),
}

/// What a channel is.
enum Channel {
    /// Something that is seen: a terminal, or a command without one.
    Seen {
        terminal: Terminal,
        typing: Option<Typing>,
        command: Option<Quoted>,
        typed: u64,
        written: u64,
        /// So many characters were typed unseen and are not told yet: they are when something else comes, so that nobody learns how
        /// quickly a password was typed.
        unseen: u64,
    },
    /// Files.
    Files,
    /// A connection to somewhere.
    Forward { began: Instant },
}

/// A recording that is being made.
pub struct Tape<S: Store> {
    recorder: Recorder<S>,
    began: Instant,
    channels: BTreeMap<u32, Channel>,
    /// The largest number of a channel yet.
    last: u32,
    /// Terminals whose command has ended: the next command goes there, so that there is no end of them.
    free: Vec<Terminal>,
}

impl<S: Store> Tape<S> {
    /// Begins a recording, which is encrypted where there is a recipient.
    pub fn begin(
        store: S,
        id: &RecordingId,
        facts: &RecordingFacts,
        key: DeviceKey,
        recipient: Option<&Recipient>,
    ) -> Result<Self, Fault> {
        let began = Instant::now();
        let clock = Clock::new(SystemTime::now(), Duration::ZERO);
        let recorder = Recorder::create(store, words(id, facts), key, recipient, clock, Duration::ZERO)?;
        Ok(Self { recorder, began, channels: BTreeMap::new(), last: 0, free: Vec::new() })
    }

    /// Takes what a connection does, but for its beginning and end.
    pub fn take(&mut self, ask: RecordAsk) -> Result<(), Fault> {
        match ask {
            RecordAsk::Begin(_) | RecordAsk::End(_) => {
                Err(Fault::Asked("a recording begins once and ends once"))
            }
            RecordAsk::Open { channel, what } => self.open(channel, what),
            RecordAsk::Size { channel, size } => self.size(channel, size),
            RecordAsk::Output { channel, bytes, .. } => self.output(channel, &bytes),
            RecordAsk::Typed { channel, echo, bytes } => self.typed(channel, echo, &Zeroizing::new(bytes)),
            RecordAsk::Close { channel, end } => self.close(channel, end),
        }
    }

    /// Takes what a shell process has done.
    pub fn deed(&mut self, deed: Deed) -> Result<(), Fault> {
        let event = match deed {
            Deed::File { written, path, carried, length, sha256 } => Event::File {
                protocol: None,
                way: if written { Way::In } else { Way::Out },
                path: Quoted::of(path.as_bytes()),
                bytes: carried,
                sha256: Some(Hash(sha256)),
                complete: carried >= length,
            },
            Deed::Change(what) => Event::Changed { what: Quoted::of(what.as_bytes()) },
            Deed::Reached(target) => {
                Event::Reached { host: Quoted::of(target.host.to_string().as_bytes()), port: target.port }
            }
        };
        Ok(self.event(event)?)
    }

    /// Hands all that was taken to the kernel: it outlives this process, though not a power cut.
    pub fn flush(&mut self) -> Result<(), Fault> {
        Ok(self.recorder.flush()?)
    }

    /// Time passes: what was typed is decided on, and what is new is sealed. To be called about once a second.
    pub fn tick(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let numbers: Vec<u32> = self.channels.keys().copied().collect();
        for number in numbers {
            if let Some(Channel::Seen { typing: Some(typing), .. }) = self.channels.get_mut(&number) {
                typing.tick(now);
                self.told(number)?;
            }
        }
        Ok(self.recorder.seal(self.now())?)
    }

    /// What is to be signed, if anything new was sealed.
    pub fn mark(&mut self) -> Result<Option<ToSign>, Fault> {
        Ok(self.recorder.to_sign(self.now())?)
    }

    /// Takes a signature; false when it is wrong or late, which is no harm: another is asked for.
    pub fn signed(&mut self, of: &ToSign, signature: Signature) -> Result<bool, Fault> {
        match self.recorder.signed(of, signature) {
            Err(RecordError::Signature(why)) => {
                log::warn!("a recording was not signed: {why}");
                Ok(false)
            }
            other => Ok(other.map(|()| true)?),
        }
    }

    /// Ends it. Its last signature is still to come.
    pub fn end(&mut self, reason: &str) -> Result<(), Fault> {
        let open: Vec<u32> = self.channels.keys().copied().collect();
        for channel in open {
            self.close(channel, RecordedEnd::Cut)?;
        }
        self.recorder.finish(self.now(), Text::of(reason))?;
        Ok(())
    }

    /// The hash of the chain's last line.
    pub fn head(&self) -> [u8; 32] {
        self.recorder.head().0
    }

    /// Why nothing more is recorded; none while it is.
    pub fn failure(&self) -> Option<&str> {
        self.recorder.failure()
    }

    /// What it is encrypted with, for those who show it while it is made.
    pub fn content_key(&self) -> Option<&ContentKey> {
        self.recorder.content_key()
    }

    /// The terminal of a channel that is seen.
    pub fn terminal(&self, channel: u32) -> Option<Terminal> {
        match self.channels.get(&channel)? {
            Channel::Seen { terminal, .. } => Some(*terminal),
            _ => None,
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn event(&mut self, event: Event) -> Result<(), RecordError> {
        self.recorder.event(self.now(), event)
    }

    fn open(&mut self, number: u32, what: RecordedUse) -> Result<(), Fault> {
        if number <= self.last || number > drawbridge_bus::record::CHANNELS_MOST {
            return Err(Fault::Asked(
                "a connection's channels are numbered from 1, and no number is used twice: connect again for more",
            ));
        }
        if self.channels.len() >= OPEN_MOST {
            return Err(Fault::Asked("too many channels of this connection are open: close some"));
        }
        let channel = match what {
            RecordedUse::Terminal { size, command } => {
                let command = command.map(|command| Quoted::of(command.as_bytes()));
                let terminal = self.recorder.terminal(self.now(), Text::of("terminal"), cells(size))?;
                self.begins(terminal, command.as_ref())?;
                Channel::Seen {
                    terminal,
                    typing: Some(Typing::default()),
                    command,
                    typed: 0,
                    written: 0,
                    unseen: 0,
                }
            }
            RecordedUse::Command(command) => {
                let command =
                    Quoted::of(command.as_deref().unwrap_or("(command line without a terminal)").as_bytes());
                let terminal = match self.free.pop() {
                    Some(terminal) => terminal,
                    None => self.recorder.terminal(self.now(), Text::of("none"), cells(PLAIN))?,
                };
                self.begins(terminal, Some(&command))?;
                Channel::Seen {
                    terminal,
                    typing: None,
                    command: Some(command),
                    typed: 0,
                    written: 0,
                    unseen: 0,
                }
            }
            RecordedUse::Files { scp } => {
                let command = Quoted::of(scp.as_deref().unwrap_or("sftp").as_bytes());
                self.event(Event::Command { command, terminal: None })?;
                Channel::Files
            }
            RecordedUse::Forward(Target { host, port }) => {
                let host = Quoted::of(host.to_string().as_bytes());
                self.event(Event::Forward { number: number.into(), host, port })?;
                Channel::Forward { began: Instant::now() }
            }
        };
        self.last = number;
        self.channels.insert(number, channel);
        Ok(())
    }

    fn begins(&mut self, terminal: Terminal, command: Option<&Quoted>) -> Result<(), RecordError> {
        match command {
            Some(command) => {
                self.event(Event::Command { command: command.clone(), terminal: Some(terminal.number()) })
            }
            None => Ok(()),
        }
    }

    fn size(&mut self, number: u32, size: (u16, u16)) -> Result<(), Fault> {
        match self.channels.get(&number) {
            Some(Channel::Seen { terminal, .. }) => {
                Ok(self.recorder.resize(*terminal, self.began.elapsed(), cells(size))?)
            }
            _ => Err(Fault::Asked("there is no such terminal")),
        }
    }

    fn output(&mut self, number: u32, bytes: &[u8]) -> Result<(), Fault> {
        bounded(bytes)?;
        let now = self.now();
        match self.channels.get_mut(&number) {
            Some(Channel::Seen { terminal, typing, written, .. }) => {
                *written = written.saturating_add(length(bytes));
                self.recorder.output(*terminal, now, bytes)?;
                if let Some(typing) = typing {
                    typing.shown(bytes);
                }
                self.told(number)
            }
            Some(_) => Ok(()),
            None => Err(Fault::Asked("there is no such channel")),
        }
    }

    fn typed(&mut self, number: u32, echo: bool, bytes: &[u8]) -> Result<(), Fault> {
        bounded(bytes)?;
        match self.channels.get_mut(&number) {
            Some(Channel::Seen { typing: Some(typing), typed, .. }) => {
                *typed = typed.saturating_add(length(bytes));
                typing.typed(echo, bytes, Instant::now());
                self.told(number)
            }
            // What goes into a command is nowhere to be seen; how much it was stands in its last event.
            Some(Channel::Seen { typed, .. }) => {
                *typed = typed.saturating_add(length(bytes));
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(Fault::Asked("there is no such channel")),
        }
    }

    /// Writes what is known of what was typed.
    fn told(&mut self, number: u32) -> Result<(), Fault> {
        let now = self.now();
        let Some(Channel::Seen { terminal, typing: Some(typing), unseen, .. }) =
            self.channels.get_mut(&number)
        else {
            return Ok(());
        };
        for typed in typing.take() {
            if let typed::Typed::Hidden(count) = typed {
                *unseen = unseen.saturating_add(count);
                continue;
            }
            tell(&mut self.recorder, *terminal, now, unseen)?;
            match typed {
                typed::Typed::Shown(text) => self.recorder.typed(*terminal, now, text.as_bytes(), false)?,
                typed::Typed::Key(name) => self.recorder.key(*terminal, now, Text::of(name))?,
                typed::Typed::Hidden(_) => {}
            }
        }
        Ok(())
    }

    fn close(&mut self, number: u32, end: RecordedEnd) -> Result<(), Fault> {
        if let Some(Channel::Seen { typing: Some(typing), .. }) = self.channels.get_mut(&number) {
            typing.close();
            self.told(number)?;
        }
        let now = self.now();
        if let Some(Channel::Seen { terminal, unseen, .. }) = self.channels.get_mut(&number) {
            tell(&mut self.recorder, *terminal, now, unseen)?;
        }
        // 128 and the signal, as shells tell it.
        let status = match end {
            RecordedEnd::Exited(status) => Some(u32::from(status)),
            RecordedEnd::Signalled(signal) => Some(128 + u32::from(signal)),
            RecordedEnd::Carried { .. } | RecordedEnd::Cut => None,
        };
        match self.channels.remove(&number) {
            Some(Channel::Seen { terminal, typing, command, typed, written, .. }) => {
                if let Some(command) = command {
                    let (received, sent) = (typed, written);
                    self.event(Event::CommandEnded { command, status, received, sent, sha256: None })?;
                }
                if typing.is_some() {
                    self.event(Event::Closed { terminal: terminal.number(), status })?;
                } else {
                    self.free.push(terminal);
                }
            }
            Some(Channel::Files) => {}
            Some(Channel::Forward { began }) => {
                let (sent, received) = match end {
                    RecordedEnd::Carried { sent, received } => (sent, received),
                    _ => (0, 0),
                };
                let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.event(Event::ForwardEnded { number: number.into(), sent, received, millis })?;
            }
            None => return Err(Fault::Asked("there is no such channel")),
        }
        Ok(())
    }
}

/// Tells how much was typed unseen, if anything was.
fn tell<S: Store>(
    recorder: &mut Recorder<S>,
    terminal: Terminal,
    now: Duration,
    unseen: &mut u64,
) -> Result<(), RecordError> {
    match std::mem::take(unseen) {
        0 => Ok(()),
        count => recorder.unseen(terminal, now, count),
    }
}

fn words(id: &RecordingId, facts: &RecordingFacts) -> Facts {
    Facts {
        id: Text::of(id.as_str()),
        serial: Text::of(&facts.system.1),
        system: Text::of(&facts.system.0),
        version: Text::of(env!("CARGO_PKG_VERSION")),
        grant: facts.grant.0.0,
        session: Text::of(&facts.grant.1),
        level: match facts.level {
            Level::Direct => Guidance::Direct,
            Level::Watched => Guidance::Watched,
            Level::Guided => Guidance::Guided,
        },
        engineer: Text::of(&facts.engineer),
        login: Text::of(&facts.login),
        source: Some(facts.source),
    }
}

/// A size of columns and rows, in bounds. One that is 0 was not told (RFC 4254, section 6.2): a client without a terminal of its own
/// says that of the one that it asks for.
pub(crate) fn cells((columns, rows): (u16, u16)) -> Size {
    let told = |number: u16, usual: u16| if number == 0 { usual } else { number };
    Size::clamped(told(rows, PLAIN.1).into(), told(columns, PLAIN.0).into())
}

fn bounded(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() <= PIECE_BYTES {
        return Ok(());
    }
    Err(Fault::Asked("a piece of output or input is longer than it may be"))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_whose_size_nobody_has_told_is_as_large_as_terminals_are() {
        assert_eq!(cells((0, 0)), Size::clamped(24, 80));
        assert_eq!(cells((132, 0)), Size::clamped(24, 132));
        assert_eq!(cells((0, 50)), Size::clamped(50, 80));
        assert_eq!(cells((132, 50)), Size::clamped(50, 132));
    }
}
