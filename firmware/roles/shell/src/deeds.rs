//! What is done for the engineer, said to the recorder: a change before it is made, a file when it is opened and when it is closed, a
//! place before it is reached. It never does any of it, and never looks for a way around a recorder that does not keep it.

use crate::output::printable_bytes;
use crate::path::SafePath;
use crate::tree::why;
use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::logger::clean;
use drawbridge_bus::record::{Deed, WORDS_BYTES};
use drawbridge_bus::support::Recording;
use drawbridge_bus::{Reply, Request, Role};
use nix::errno::Errno;
use ring::digest::{Context, SHA256};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the recorder may take for one thing.
const KEPT_WITHIN: Duration = Duration::from_secs(10);
/// What is read of a file at one time.
const CHUNK: usize = 64 * 1024;
/// The longest reason, in bytes.
const REASON_BYTES: usize = 512;
/// The longest path in words that may name two.
const PATH_BYTES: usize = WORDS_BYTES / 2 - 256;

/// It is not kept, and may not be done; a sentence that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unkept(pub(crate) String);

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It cannot be recorded.
    Unkept(Unkept),
    /// It cannot be done.
    Error(Errno),
}

impl From<Unkept> for Failure {
    fn from(unkept: Unkept) -> Self {
        Self::Unkept(unkept)
    }
}

impl Failure {
    /// The end of a sentence.
    pub(crate) fn why(self) -> String {
        match self {
            Self::Unkept(Unkept(sentence)) => sentence,
            Self::Error(error) => why(error),
        }
    }
}

/// Says one thing to whoever keeps it; the error is why it is not kept.
type Keeper = Box<dyn FnMut(Deed) -> Result<(), String> + Send>;

/// The way to the recorder. Copies share it.
#[derive(Clone)]
pub(crate) struct Deeds(Arc<Mutex<Inner>>);

struct Inner {
    policy: Recording,
    keeper: Keeper,
    /// Why nothing is kept any more.
    failed: Option<String>,
}

impl std::fmt::Debug for Deeds {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Deeds")
    }
}

impl Deeds {
    /// To the recorder on the bus, of an engineer's connection.
    pub(crate) fn on_bus(sockets: &Path, connection: u64, policy: Recording) -> Self {
        let path = sockets.join(Role::Recorder.name());
        let mut way = Way { path, connection, stream: None, next: 0 };
        Self::to(policy, move |deed| way.say(deed))
    }

    /// To somebody else.
    pub(crate) fn to(
        policy: Recording,
        keeper: impl FnMut(Deed) -> Result<(), String> + Send + 'static,
    ) -> Self {
        Self(Arc::new(Mutex::new(Inner { policy, keeper: Box::new(keeper), failed: None })))
    }

    /// Has this kept. Once something was not, nothing is tried again: either nothing may be done any more, or all may.
    pub(crate) fn keep(&self, deed: Deed) -> Result<(), Unkept> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.failed.is_none() {
            let Err(error) = (inner.keeper)(deed) else { return Ok(()) };
            let error = bounded(&clean(&error), REASON_BYTES);
            let error = error.trim_end_matches('.').to_owned();
            if inner.policy == Recording::BreakGlass {
                log::warn!(
                    "what an engineer does with files and places is not recorded (break glass): {error}"
                );
                // Who has closed his errors does not want to hear it.
                let _ = writeln!(std::io::stderr(), "What you do here is not recorded: {error}.");
            } else {
                log::error!(
                    "an engineer's files and places are shut, because they cannot be recorded: {error}"
                );
            }
            inner.failed = Some(error);
        }
        inner.may_pass()
    }

    /// Whether bytes of what was opened before may still pass.
    pub(crate) fn may_pass(&self) -> Result<(), Unkept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).may_pass()
    }

    /// Makes a change once it is kept that it is made; when it fails, that is kept as well.
    pub(crate) fn change<T>(
        &self,
        words: &str,
        make: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Failure> {
        self.keep(Deed::Change(bounded(words, WORDS_BYTES)))?;
        match make() {
            Ok(done) => Ok(done),
            Err(error) => {
                let words = format!("That was not done: {}.", why(error));
                self.keep(Deed::Change(words))?;
                Err(Failure::Error(error))
            }
        }
    }
}

impl Inner {
    fn may_pass(&self) -> Result<(), Unkept> {
        match &self.failed {
            Some(why) if self.policy == Recording::Strict => {
                Err(Unkept(format!("nothing is done here that cannot be recorded: {why}")))
            }
            _ => Ok(()),
        }
    }
}

/// A connection of the bus, which waits in its reads and writes themselves: the process has nothing else to do meanwhile.
struct Way {
    path: PathBuf,
    connection: u64,
    stream: Option<(UnixStream, Decoder)>,
    next: u32,
}

impl Way {
    fn say(&mut self, deed: Deed) -> Result<(), String> {
        let answer = self.ask(deed);
        if answer.is_err() {
            // Nothing that comes late is taken for an answer.
            self.stream = None;
        }
        match answer? {
            Reply::Done => Ok(()),
            Reply::Unrecorded(why) => Err(why),
            Reply::Refused(why) => Err(format!("the recorder refuses: {why}")),
            _ => Err("the recorder has answered something else".to_owned()),
        }
    }

    fn ask(&mut self, deed: Deed) -> Result<Reply, String> {
        let gone = |error: std::io::Error| format!("the recorder cannot be reached: {error}");
        let late = || "the recorder does not answer in time".to_owned();
        let until = Instant::now() + KEPT_WITHIN;
        let (stream, decoder) = if let Some(way) = &mut self.stream {
            way
        } else {
            let stream = UnixStream::connect(&self.path).map_err(gone)?;
            stream.set_write_timeout(Some(KEPT_WITHIN)).map_err(gone)?;
            self.stream.insert((stream, Decoder::default()))
        };
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let request = Request::RecordDeed { connection: self.connection, deed };
        let bytes = encode(&Frame::Request { id, request }).map_err(|error| error.to_string())?;
        stream.write_all(&bytes).map_err(gone)?;
        let mut buffer = [0; 4096];
        loop {
            match decoder.next_frame().map_err(|error| error.to_string())? {
                Some(Frame::Reply { id: its, reply }) if its == id => return Ok(reply),
                Some(_) => return Err("the recorder has answered something else".to_owned()),
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late());
            }
            stream.set_read_timeout(Some(left)).map_err(gone)?;
            match stream.read(&mut buffer) {
                Ok(0) => return Err("the recorder has ended".to_owned()),
                Ok(length) => decoder.push(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Err(late()),
                Err(error) => return Err(gone(error)),
            }
        }
    }
}

/// A file while its bytes pass one way.
pub(crate) struct Passage {
    written: bool,
    path: String,
    carried: u64,
    /// Of what was read from the beginning on, without a gap: up to where, and its digest.
    whole: Option<(u64, Context)>,
}

impl Passage {
    /// Of a file that is written or read.
    pub(crate) fn new(written: bool, path: &SafePath) -> Self {
        // What is written can be changed by somebody else meanwhile: what is there after it is read again.
        let whole = (!written).then(|| (0, Context::new(&SHA256)));
        Self { written, path: shown(path), carried: 0, whole }
    }

    /// These bytes have passed, which are at this place of the file.
    pub(crate) fn passed(&mut self, offset: u64, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.carried = self.carried.saturating_add(length);
        match &mut self.whole {
            Some((next, digest)) if *next == offset => {
                digest.update(bytes);
                *next = next.saturating_add(length);
            }
            // A look beyond the end brings nothing.
            Some(_) if bytes.is_empty() => {}
            _ => self.whole = None,
        }
    }

    /// What is to be kept of it, once it is over. `file` can be read.
    pub(crate) fn deed(self, file: &File) -> Result<Deed, String> {
        let broken = |error: std::io::Error| format!("{} cannot be read again: {error}", self.path);
        let length = file.metadata().map_err(broken)?.len();
        let (length, digest) = match self.whole {
            Some((next, digest)) if next == length => (length, digest),
            _ => digest(file).map_err(broken)?,
        };
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.finish().as_ref());
        Ok(Deed::File { written: self.written, path: self.path, carried: self.carried, length, sha256 })
    }
}

/// Reads a file to its end: how long it is, and its digest.
fn digest(file: &File) -> std::io::Result<(u64, Context)> {
    let mut digest = Context::new(&SHA256);
    let (mut at, mut buffer) = (0, vec![0; CHUNK]);
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok((at, digest)),
            Ok(length) => {
                digest.update(&buffer[..length]);
                at += length as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Deeds {
    /// A file's passage is over.
    pub(crate) fn over(&self, passage: Passage, file: &File) -> Result<(), Unkept> {
        match passage.deed(file) {
            Ok(deed) => self.keep(deed),
            // It is known that it was opened, and that this could not be found out.
            Err(why) => self
                .keep(Deed::Change(bounded(&format!("What has passed is not known: {why}."), WORDS_BYTES))),
        }
    }
}

/// A path as it is said: printable, and what is no UTF-8 by its numbers.
pub(crate) fn shown(path: &SafePath) -> String {
    let text = printable_bytes(&path.to_bytes()).replace('\n', "\\n").replace('\t', "\\t");
    bounded(&text, PATH_BYTES)
}

/// The text, or its beginning, in at most so many bytes.
fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SafePath {
        SafePath::parse(text.as_bytes()).unwrap()
    }

    fn sha256(bytes: &[u8]) -> [u8; 32] {
        ring::digest::digest(&SHA256, bytes).as_ref().try_into().unwrap()
    }

    /// A way that keeps so many, and the list of what it has kept.
    fn keeps(most: usize, policy: Recording) -> (Deeds, Arc<Mutex<Vec<Deed>>>) {
        let list = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&list);
        let deeds = Deeds::to(policy, move |deed| {
            let mut kept = kept.lock().unwrap();
            if kept.len() == most {
                return Err("The disk is full.".to_owned());
            }
            kept.push(deed);
            Ok(())
        });
        (deeds, list)
    }

    #[test]
    fn a_change_is_kept_before_it_is_made_and_not_made_when_it_is_not_kept() {
        let (deeds, list) = keeps(1, Recording::Strict);
        let made = deeds.change("removes /a", || Ok(list.lock().unwrap().len()));
        assert_eq!(made, Ok(1));
        let refused = deeds.change("removes /b", || -> Result<(), Errno> { panic!("made") });
        let sentence = "nothing is done here that cannot be recorded: The disk is full";
        assert_eq!(refused, Err(Failure::Unkept(Unkept(sentence.to_owned()))));
        // For good, for whatever was opened before as well.
        list.lock().unwrap().clear();
        assert!(deeds.keep(Deed::Change("again".to_owned())).is_err() && deeds.may_pass().is_err());
        assert!(list.lock().unwrap().is_empty());
    }

    #[test]
    fn a_change_that_fails_is_kept_as_one_that_was_not_made() {
        let (deeds, list) = keeps(9, Recording::Strict);
        let failed = deeds.change("removes /a", || -> Result<(), Errno> { Err(Errno::ENOENT) });
        assert_eq!(failed, Err(Failure::Error(Errno::ENOENT)));
        let words = ["removes /a", "That was not done: there is no such file or folder."];
        assert_eq!(*list.lock().unwrap(), words.map(|words| Deed::Change(words.to_owned())));
    }

    #[test]
    fn with_break_glass_all_goes_on() {
        let (deeds, list) = keeps(0, Recording::BreakGlass);
        assert_eq!(deeds.change("removes /a", || Ok(7)), Ok(7));
        assert!(deeds.may_pass().is_ok() && list.lock().unwrap().is_empty());
    }

    #[test]
    fn the_digest_is_of_the_whole_file_whatever_part_of_it_has_passed() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("x");
        std::fs::write(&name, &bytes).unwrap();
        let file = File::open(&name).unwrap();
        let deed = |written, parts: &[(usize, usize)]| {
            let mut passage = Passage::new(written, &path("x"));
            for (from, to) in parts {
                passage.passed(*from as u64, &bytes[*from..*to]);
            }
            passage.deed(&file).unwrap()
        };
        let right = |written, carried| Deed::File {
            written,
            path: "/x".to_owned(),
            carried,
            length: 200_000,
            sha256: sha256(&bytes),
        };
        assert_eq!(
            deed(false, &[(0, 150_000), (150_000, 200_000), (200_000, 200_000)]),
            right(false, 200_000)
        );
        assert_eq!(deed(false, &[(0, 7)]), right(false, 7));
        assert_eq!(deed(false, &[(7, 200_000), (0, 7)]), right(false, 200_000));
        // What somebody else has made of it is what is there.
        assert_eq!(deed(true, &[(0, 10)]), right(true, 10));
        assert_eq!(deed(true, &[]), right(true, 0));
    }

    #[test]
    fn a_path_is_said_printable_and_bounded() {
        let path = SafePath::parse(b"a\xff\x1b/b\n").unwrap();
        assert_eq!(shown(&path), "/a\\xff\\u{1b}/b\\n");
        let long = SafePath::parse(&[b'/', 0xff].repeat(60)).unwrap();
        assert!(shown(&long).len() <= PATH_BYTES);
        let name = [0xff; 250];
        let long = SafePath::parse(&[&b"/"[..], &name].concat().repeat(16)).unwrap();
        assert!(shown(&long).ends_with('…') && shown(&long).len() <= PATH_BYTES);
    }
}
