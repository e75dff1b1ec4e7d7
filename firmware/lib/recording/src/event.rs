//! What happens in an engineer's connection beside what is seen on terminals: the lines of `events.jsonl`, written and read;
//! every text in them is bounded and printable.

use crate::quoted::Quoted;
use crate::ttyrec::{Moment, Size};
use drawbridge_chain::{Hash, Text, Utc};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead};
use std::net::IpAddr;
use std::time::Duration;

/// The longest line, in bytes: two of the longest quoted texts, every character of which JSON doubles.
pub const EVENT_BYTES: usize = 20 * 1024;
/// The longest connection, in microseconds since its beginning: 100 years, which JSON's readers take without loss.
pub(crate) const MOST_MICROS: u64 = 100 * 366 * 24 * 3600 * 1_000_000;

/// Who is in, where, and by what right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// By which the connection is known. It is the chain's too.
    pub id: Text<64>,
    /// The system's serial number. It is the chain's too.
    pub serial: Text<64>,
    /// The system's name.
    pub system: Text<64>,
    /// The version of what recorded it.
    pub version: Text<64>,
    /// The number of the grant by which he is in.
    pub grant: u64,
    /// What that support session is called.
    pub session: Text<256>,
    /// How closely he is led.
    pub level: Guidance,
    /// The engineer's name.
    pub engineer: Text<256>,
    /// The name that he logged in by.
    pub login: Text<256>,
    /// Where he came from, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
}

/// How closely an engineer is led.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guidance {
    /// He works by himself.
    Direct,
    /// He works while somebody watches.
    Watched,
    /// He proposes, and somebody approves each line.
    Guided,
}

/// Which way a file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// From the appliance to the engineer.
    Out,
    /// From the engineer to the appliance.
    In,
}

/// By what a file was moved or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// SFTP.
    Sftp,
    /// scp's own protocol.
    Scp,
}

/// What was done to files beside reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A file or folder is gone.
    Removed,
    /// It has another name.
    Renamed,
    /// A folder was made.
    FolderMade,
    /// A link was made.
    Linked,
    /// Its mode, owner, times or length were set.
    Set,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The first event: the connection began.
    Began(Facts),
    /// All but the beginning and the end is encrypted, and who has this key can read it.
    Encrypted {
        /// The public key, as `age` has it.
        recipient: Text<128>,
    },
    /// A terminal was opened; its tracks have its number.
    Terminal {
        /// From 1.
        terminal: u32,
        /// What it calls itself (RFC 4254, section 6.2).
        name: Text<64>,
        /// Rows and columns.
        size: Size,
    },
    /// Its window was given another size.
    Window {
        /// Which terminal.
        terminal: u32,
        /// Rows and columns.
        size: Size,
    },
    /// It began or ceased to show what is typed. While it does not, what is typed is counted only.
    Mask {
        /// Which terminal.
        terminal: u32,
        /// Whether it is counted only.
        masked: bool,
    },
    /// It was closed.
    Closed {
        /// Which terminal.
        terminal: u32,
        /// The exit status, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u32>,
    },
    /// A command that was asked for by itself, without a command line (RFC 4254, section 6.5).
    Command {
        /// The command.
        command: Quoted,
        /// Its terminal, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terminal: Option<u32>,
    },
    /// Such a command ended.
    CommandEnded {
        /// The command.
        command: Quoted,
        /// The exit status, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u32>,
        /// So many bytes it was given.
        received: u64,
        /// So many bytes it wrote.
        sent: u64,
        /// The hash of what it wrote, where that was worked out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<Hash>,
    },
    /// A file was moved.
    File {
        /// By what, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        protocol: Option<Protocol>,
        /// Which way.
        way: Way,
        /// Its path on the appliance.
        path: Quoted,
        /// So many bytes were moved.
        bytes: u64,
        /// The hash of the bytes in the order of the file, when all of it was moved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<Hash>,
        /// Whether it came to its end.
        complete: bool,
    },
    /// Something else was done to a file.
    FileChange {
        /// By what.
        protocol: Protocol,
        /// What.
        change: Change,
        /// Its path on the appliance.
        path: Quoted,
        /// The other path, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Quoted>,
    },
    /// Something else was done to files, in the words of whoever did it.
    Changed {
        /// What.
        what: Quoted,
    },
    /// The command line connected to a host by `ssh`.
    Reached {
        /// The host.
        host: Quoted,
        /// Its port.
        port: u16,
    },
    /// A connection through the appliance was opened.
    Forward {
        /// By which the end names it.
        number: u64,
        /// The host.
        host: Quoted,
        /// Its port.
        port: u16,
    },
    /// It was closed.
    ForwardEnded {
        /// Which.
        number: u64,
        /// So many bytes went to the host.
        sent: u64,
        /// So many came from it.
        received: u64,
        /// It was open so long, in milliseconds.
        millis: u64,
    },
    /// The owner paused the connection, or let it go on.
    Pause {
        /// Whether it stands still.
        paused: bool,
        /// Who did it.
        by: Text<64>,
    },
    /// Somebody wrote to the engineer, or he to them.
    Message {
        /// Who.
        from: Text<64>,
        /// What.
        text: Quoted,
    },
    /// The engineer was away, or a part is not recorded.
    Gap {
        /// How long, in milliseconds.
        millis: u64,
        /// So many bytes are not recorded.
        bytes: u64,
        /// Why.
        why: Text<128>,
    },
    /// Something was asked for and allowed or refused.
    Verdict {
        /// What was asked for.
        asked: Quoted,
        /// Whether it was allowed.
        allowed: bool,
        /// By which rule, or why not.
        why: Text<128>,
    },
    /// The last event: why the connection ended.
    Ended {
        /// Why.
        reason: Text<128>,
    },
}

impl Event {
    /// Whether it stays readable in a recording that is encrypted.
    pub(crate) fn is_clear(&self) -> bool {
        matches!(self, Self::Began(_) | Self::Encrypted { .. } | Self::Gap { .. } | Self::Ended { .. })
    }
}

/// A line: what happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// By the clock of the day as it was at the beginning.
    pub utc: Utc,
    /// Microseconds since the beginning, by the monotonic clock.
    pub after: u64,
    /// What.
    pub event: Event,
}

impl Entry {
    /// At a moment.
    pub fn at(moment: Moment, event: Event) -> Self {
        Self { utc: utc(moment), after: micros(moment), event }
    }

    /// Since the beginning.
    pub fn after(&self) -> Duration {
        Duration::from_micros(self.after)
    }

    /// Its line, with its end.
    pub fn encode(&self) -> Vec<u8> {
        line_of(self)
    }
}

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Typed {
    /// The terminal showed it.
    Shown {
        /// Microseconds since the beginning.
        after: u64,
        /// What.
        text: Quoted,
    },
    /// The terminal did not, so neither does this.
    Masked {
        /// Microseconds since the beginning, when it was over.
        after: u64,
        /// So many bytes or characters.
        masked: u64,
    },
    /// A key that is no character.
    Key {
        /// Microseconds since the beginning.
        after: u64,
        /// What it is called.
        key: Text<32>,
    },
}

impl Typed {
    /// Its line, with its end.
    pub fn encode(&self) -> Vec<u8> {
        line_of(self)
    }

    /// Since the beginning.
    pub fn after(&self) -> Duration {
        let (Self::Shown { after, .. } | Self::Masked { after, .. } | Self::Key { after, .. }) = self;
        Duration::from_micros(*after)
    }
}

fn line_of(value: &impl Serialize) -> Vec<u8> {
    // Nothing in it can fail to become JSON.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A moment's time of day.
pub(crate) fn utc(moment: Moment) -> Utc {
    Utc::of(std::time::UNIX_EPOCH + moment.since_1970.min(Duration::from_secs(1 << 40)))
}

/// A moment's microseconds since the beginning.
pub(crate) fn micros(moment: Moment) -> u64 {
    u64::try_from(moment.after.as_micros()).unwrap_or(MOST_MICROS).min(MOST_MICROS)
}

/// Why there is no next entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryFault {
    /// The line cannot be read.
    #[error("line {0} cannot be read: it is no event, or was changed")]
    Malformed(u64),
    /// It is too long.
    #[error("line {0} is too long")]
    Long(u64),
    /// The file ends inside of it.
    #[error("line {0} is cut: the file ends inside of it")]
    Cut(u64),
    /// The file cannot be read.
    #[error("the events cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// Reads the lines of `events.jsonl` or of what was typed, one at a time.
#[derive(Debug)]
pub struct EntryReader<R> {
    from: R,
    line: Vec<u8>,
    count: u64,
    bytes: u64,
}

impl<R: BufRead> EntryReader<R> {
    /// Of a buffered reader.
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new(), count: 0, bytes: 0 }
    }

    /// So many bytes were read as whole lines.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next event, or none at the end. Not to be called again after an error.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, EntryFault> {
        let entry: Option<Entry> = self.next_value()?;
        match entry {
            Some(entry) if entry.after > MOST_MICROS => Err(EntryFault::Malformed(self.count)),
            entry => Ok(entry),
        }
    }

    /// The next of what was typed.
    pub fn next_typed(&mut self) -> Result<Option<Typed>, EntryFault> {
        let typed: Option<Typed> = self.next_value()?;
        match typed {
            Some(typed) if typed.after() > Duration::from_micros(MOST_MICROS) => {
                Err(EntryFault::Malformed(self.count))
            }
            typed => Ok(typed),
        }
    }

    fn next_value<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, EntryFault> {
        let number = self.count + 1;
        self.line.clear();
        let most = u64::try_from(EVENT_BYTES).unwrap_or(0) + 1;
        let read = io::Read::take(&mut self.from, most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.pop_if(|byte| *byte == b'\n').is_none() {
            return Err(if read > EVENT_BYTES { EntryFault::Long(number) } else { EntryFault::Cut(number) });
        }
        let value = serde_json::from_slice(&self.line).map_err(|_| EntryFault::Malformed(number))?;
        self.count = number;
        self.bytes += u64::try_from(read).unwrap_or(0);
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests;
