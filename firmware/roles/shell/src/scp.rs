//! The old protocol of `scp` (that of BSD's `rcp`), for `scp -O`: files and folders to and from the grant's folder. It takes no name
//! from the other side that could lead elsewhere, and reads no more than was announced.

use crate::deeds::{Deeds, Failure, Passage, Unkept, shown as said};
use crate::output::Fault;
use crate::path::{SafePath, is_name};
use crate::tree::{Kind, Tree, Wish, kind, set_mode, why};
use nix::errno::Errno;
use nix::sys::stat::fstat;
use std::fs::File;
use std::io::{self, BufRead, Read as _, Write};
use std::os::fd::AsFd as _;

/// The longest message, in bytes: a name, its kind, mode and length.
pub const MESSAGE_BYTES: usize = 512;
/// What is read or written at one time.
const CHUNK: usize = 64 * 1024;
/// How deep folders go in one another.
const DEPTH_MOST: usize = crate::path::NAMES_MOST;

/// What the sending side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A file comes: its permissions, its length, its name.
    File(u32, u64, &'a [u8]),
    /// A folder begins.
    Folder(&'a [u8]),
    /// The folder ends.
    End,
    /// Times of what comes next, which are not kept.
    Times,
    /// Something went wrong there, and it goes on (false) or not (true).
    Trouble(bool, &'a [u8]),
}

/// Takes a message apart, without its line end.
pub fn parse(line: &[u8]) -> Option<Message<'_>> {
    let (kind, rest) = line.split_first()?;
    Some(match kind {
        b'C' | b'D' => {
            let mut parts = rest.splitn(3, |byte| *byte == b' ');
            let (mode, length, name) = (parts.next()?, parts.next()?, parts.next()?);
            let mode = std::str::from_utf8(mode).ok().filter(|mode| mode.len() <= 5)?;
            let mode = u32::from_str_radix(mode, 8).ok()?;
            let length =
                std::str::from_utf8(length).ok().filter(|length| !length.starts_with('+'))?.parse().ok()?;
            // The largest that a file can be (off_t).
            if !is_name(name) || length > i64::MAX.cast_unsigned() {
                return None;
            }
            if *kind == b'C' { Message::File(mode, length, name) } else { Message::Folder(name) }
        }
        b'E' if rest.is_empty() => Message::End,
        b'T' if rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b' ') => Message::Times,
        1 => Message::Trouble(false, rest),
        2 => Message::Trouble(true, rest),
        _ => return None,
    })
}

/// What `scp` was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Each is an option of scp.
struct Wanted {
    receive: bool,
    send: bool,
    folders: bool,
    /// Modes and times are told, too.
    keep: bool,
    /// The destination must be a folder.
    into: bool,
    paths: Vec<String>,
}

fn wanted(arguments: &[String]) -> Option<Wanted> {
    let mut wanted = Wanted::default();
    let mut options = true;
    for argument in arguments {
        match argument.strip_prefix('-').filter(|_| options) {
            Some("-") => options = false,
            Some(letters) if !letters.is_empty() => {
                for letter in letters.chars() {
                    match letter {
                        't' => wanted.receive = true,
                        'f' => wanted.send = true,
                        'r' => wanted.folders = true,
                        'p' => wanted.keep = true,
                        'd' => wanted.into = true,
                        'v' | 'q' => {}
                        _ => return None,
                    }
                }
            }
            _ => {
                options = false;
                wanted.paths.push(argument.clone());
            }
        }
    }
    let right = match (wanted.receive, wanted.send) {
        (true, false) => wanted.paths.len() == 1,
        (false, true) => !wanted.paths.is_empty(),
        _ => false,
    };
    right.then_some(wanted)
}

/// Why a transfer ends.
enum End {
    /// The other side has gone, or speaks something else.
    Lost(&'static str),
    /// It has said that it cannot go on.
    Theirs,
    /// What is done cannot be recorded.
    Unkept(String),
}

impl From<Unkept> for End {
    fn from(Unkept(sentence): Unkept) -> Self {
        Self::Unkept(sentence)
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Lost("the connection has ended before the transfer has")
    }
}

/// Runs `scp` with these arguments on standard input and output.
pub(crate) fn run(tree: &Tree, deeds: &Deeds, arguments: &[String]) -> Result<(), Fault> {
    let usage =
        || Fault::usage("scp runs here as the other end of an scp elsewhere: with -t or -f, and -r, -p, -d");
    let wanted = wanted(arguments).ok_or_else(usage)?;
    // Not by the standard library's own handle, which looks for line ends in what it writes.
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(|_| Fault::Gone)?;
    let mut transfer = Transfer {
        tree,
        deeds,
        input: io::stdin().lock(),
        output: File::from(output),
        wanted: &wanted,
        failed: false,
    };
    let end = if wanted.receive { transfer.receive() } else { transfer.send() };
    match end {
        Ok(()) if transfer.failed => Err(Fault::Status(1)),
        Ok(()) => Ok(()),
        Err(End::Theirs) => Err(Fault::Status(1)),
        Err(End::Lost(why)) => Err(Fault::new(format!("scp: {why}"))),
        Err(End::Unkept(why)) => Err(Fault::new(format!("scp: {why}"))),
    }
}

struct Transfer<'a, I: BufRead, O: Write> {
    tree: &'a Tree,
    deeds: &'a Deeds,
    input: I,
    output: O,
    wanted: &'a Wanted,
    /// Something could not be done, and was told.
    failed: bool,
}

impl<I: BufRead, O: Write> Transfer<'_, I, O> {
    fn tell(&mut self, bytes: &[u8]) -> Result<(), End> {
        Ok(self.output.write_all(bytes)?)
    }

    /// Makes a change once it is kept. That it cannot be done is for the other side to hear; that it is not kept is the end.
    fn change<T>(
        &self,
        words: &str,
        make: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<Result<T, Errno>, End> {
        match self.deeds.change(words, make) {
            Ok(done) => Ok(Ok(done)),
            Err(Failure::Error(error)) => Ok(Err(error)),
            Err(Failure::Unkept(unkept)) => Err(unkept.into()),
        }
    }

    /// Tells what could not be done, and goes on.
    fn trouble(&mut self, name: &str, why: &str) -> Result<(), End> {
        self.failed = true;
        let text = crate::output::printable(&format!("scp: {name}: {why}"));
        self.tell(format!("\u{1}{text}\n").as_bytes())
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, End> {
        let mut line = Vec::new();
        (&mut self.input).take(MESSAGE_BYTES as u64).read_until(b'\n', &mut line)?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) => Err(End::Lost("the other side has sent a message that is too long, or cut")),
        }
    }

    /// Waits for the other side's consent; false: it has told of some trouble.
    fn consent(&mut self) -> Result<bool, End> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        match byte {
            [0] => Ok(true),
            [1] => {
                self.line()?;
                self.failed = true;
                Ok(false)
            }
            [2] => Err(End::Theirs),
            _ => Err(End::Lost("the other side does not speak scp's old protocol")),
        }
    }

    fn receive(&mut self) -> Result<(), End> {
        let named = self.wanted.paths.first().cloned().unwrap_or_default();
        let Ok(top) = SafePath::parse(named.as_bytes()) else {
            return self.trouble(&named, "that is no path");
        };
        if self.wanted.into && !self.tree.is_folder(&top) {
            return self.trouble(&named, "that is no folder");
        }
        self.tell(&[0])?;
        let mut way = vec![top];
        while let Some(line) = self.line()? {
            let message =
                parse(&line).ok_or(End::Lost("the other side has sent what is no message of scp's"))?;
            let here = way.last().cloned().unwrap_or_default();
            match message {
                Message::Trouble(false, _) => self.failed = true,
                Message::Trouble(true, _) => return Err(End::Theirs),
                Message::Times => self.tell(&[0])?,
                Message::End => {
                    way.pop();
                    if way.is_empty() {
                        return Err(End::Lost("the other side has ended a folder that it has not begun"));
                    }
                    self.tell(&[0])?;
                }
                Message::File(mode, length, name) => self.receive_file(&here, mode, length, name)?,
                Message::Folder(name) => {
                    let shown = String::from_utf8_lossy(name).into_owned();
                    let path = if self.tree.is_folder(&here) { here.join(name) } else { Some(here) };
                    let made = match path.as_ref().filter(|_| self.wanted.folders && way.len() <= DEPTH_MOST)
                    {
                        None => Err(Errno::ENAMETOOLONG),
                        Some(path) if self.tree.is_folder(path) => Ok(()),
                        Some(path) => {
                            let words = format!("makes the folder {}", said(path));
                            self.change(&words, || self.tree.make_folder(path))?
                        }
                    };
                    match (made, path) {
                        (Ok(()), Some(path)) => {
                            way.push(path);
                            self.tell(&[0])?;
                        }
                        (Err(error), _) => self.trouble(&shown, &why(error))?,
                        (Ok(()), None) => self.trouble(&shown, &why(Errno::ENAMETOOLONG))?,
                    }
                }
            }
        }
        Ok(())
    }

    fn receive_file(&mut self, here: &SafePath, mode: u32, length: u64, name: &[u8]) -> Result<(), End> {
        let shown = String::from_utf8_lossy(name).into_owned();
        let path = if self.tree.is_folder(here) { here.join(name) } else { Some(here.clone()) };
        let Some(path) = path else { return self.trouble(&shown, &why(Errno::ENAMETOOLONG)) };
        let words = format!("opens {} to write it from its beginning", said(&path));
        let mut file = match self.change(&words, || self.tree.file(&path, Wish::WRITE))? {
            Ok(file) => file,
            Err(error) => return self.trouble(&shown, &why(error)),
        };
        self.tell(&[0])?;
        let mut passage = Passage::new(true, &path);
        let taken = self.take_bytes(&mut file, length, &mut passage);
        // Half a file that came is told as well.
        self.deeds.over(passage, &file)?;
        let mut failure = taken?;
        self.consent()?;
        if self.wanted.keep && failure.is_none() {
            let words = format!("sets the rights of {} to {:04o}", said(&path), mode & 0o600 | 0o400);
            failure = self.change(&words, || set_mode(&file, mode))?.map_err(why).err();
        }
        match failure {
            None => self.tell(&[0]),
            Some(why) => self.trouble(&shown, &why),
        }
    }

    /// Takes as many bytes as were announced; why they are not all in the file.
    fn take_bytes(
        &mut self,
        file: &mut File,
        length: u64,
        passage: &mut Passage,
    ) -> Result<Option<String>, End> {
        let (mut left, mut failure, mut buffer) = (length, None, vec![0; CHUNK]);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let read = self.input.read(&mut buffer[..most])?;
            if read == 0 {
                return Err(End::Lost("the connection has ended within a file"));
            }
            left -= read as u64;
            self.deeds.may_pass()?;
            // What cannot be written is read all the same: the other side sends it.
            if failure.is_none() {
                failure = self.tree.room().map_err(why).err();
            }
            if failure.is_none() {
                failure = file.write_all(&buffer[..read]).map_err(|error| error.to_string()).err();
                passage.passed(length - left - read as u64, &buffer[..read]);
            }
        }
        Ok(failure)
    }

    fn send(&mut self) -> Result<(), End> {
        self.consent()?;
        for named in &self.wanted.paths {
            let path = match SafePath::parse(named.as_bytes()) {
                Ok(path) => path,
                Err(error) => {
                    self.trouble(named, &error.to_string())?;
                    continue;
                }
            };
            self.send_one(&path)?;
        }
        Ok(())
    }

    /// Sends a file, or a folder with all in it; the folders on the way are kept in a list.
    fn send_one(&mut self, top: &SafePath) -> Result<(), End> {
        let mut way: Vec<(SafePath, Vec<Vec<u8>>)> = Vec::new();
        let mut next = Some(top.clone());
        loop {
            if let Some(path) = next.take() {
                let shown = path.to_string();
                let stat = self.tree.stat(&path);
                match stat.map(|stat| kind(&stat)) {
                    Err(error) => self.trouble(&shown, &why(error))?,
                    Ok(Kind::File) => self.send_file(&path)?,
                    Ok(Kind::Folder) if self.wanted.folders && way.len() < DEPTH_MOST => {
                        match self.tree.names(&path) {
                            Ok(names) => {
                                let name = path.split().map_or(&b"files"[..], |(_, name)| name);
                                if self.announce(&[b"D0700 0 ", name, b"\n"].concat())? {
                                    way.push((path, names));
                                }
                            }
                            Err(error) => self.trouble(&shown, &why(error))?,
                        }
                    }
                    Ok(Kind::Folder) => self.trouble(&shown, "that is a folder: scp -r fetches it")?,
                    Ok(Kind::Other) => self.trouble(&shown, "that is no file")?,
                }
            }
            let Some((folder, names)) = way.last_mut() else { return Ok(()) };
            if let Some(name) = names.pop() {
                next = folder.join(&name);
            } else {
                way.pop();
                self.announce(b"E\n")?;
            }
        }
    }

    fn announce(&mut self, message: &[u8]) -> Result<bool, End> {
        self.tell(message)?;
        self.consent()
    }

    fn send_file(&mut self, path: &SafePath) -> Result<(), End> {
        let shown = path.to_string();
        let open = || self.tree.file(path, Wish::READ).and_then(|file| Ok((fstat(&file)?, file)));
        let opened = self.change(&format!("opens {} to read it", said(path)), open)?;
        let (stat, mut file) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.trouble(&shown, &why(error)),
        };
        let name = path.split().map_or(&b""[..], |(_, name)| name);
        if name.contains(&b'\n') {
            return self.trouble(&shown, "the old protocol cannot say this name: use sftp");
        }
        if self.wanted.keep {
            let times = format!("T{} 0 {} 0\n", stat.st_mtime.max(0), stat.st_atime.max(0));
            self.announce(times.as_bytes())?;
        }
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        let head = format!("C{:04o} {length} ", stat.st_mode & 0o777);
        if !self.announce(&[head.as_bytes(), name, b"\n"].concat())? {
            return Ok(());
        }
        let mut passage = Passage::new(false, path);
        let sent = self.send_bytes(&mut file, length, &mut passage);
        // A part that went is told as well.
        self.deeds.over(passage, &file)?;
        let short = sent?;
        if short {
            self.trouble(&shown, "the file became shorter while it was sent")?;
        } else {
            self.tell(&[0])?;
        }
        self.consent().map(drop)
    }

    /// Sends as many bytes as were announced; whether the file had fewer.
    fn send_bytes(&mut self, file: &mut File, length: u64, passage: &mut Passage) -> Result<bool, End> {
        let (mut left, mut short, mut buffer) = (length, false, vec![0; CHUNK]);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            // What was announced is sent, whatever becomes of the file meanwhile: the rest as zeros, and told after it.
            let read = if short { 0 } else { file.read(&mut buffer[..most]).unwrap_or(0) };
            let count = if read == 0 {
                short = true;
                buffer[..most].fill(0);
                most
            } else {
                passage.passed(length - left, &buffer[..read]);
                read
            };
            self.deeds.may_pass()?;
            self.output.write_all(&buffer[..count])?;
            left -= count as u64;
        }
        Ok(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_a_file_here_and_nowhere_else() {
        assert_eq!(parse(b"C0644 17 a b"), Some(Message::File(0o644, 17, b"a b")));
        assert_eq!(parse(b"D0755 0 d"), Some(Message::Folder(b"d")));
        assert_eq!((parse(b"E"), parse(b"T1 0 2 0")), (Some(Message::End), Some(Message::Times)));
        for wrong in [
            "C0644 17 ../x",
            "C0644 17 a/b",
            "C0644 17 ..",
            "C0644 17 ",
            "C0644 -1 a",
            "C9 1 a",
            "C0644 +1 a",
            "Ex",
            "",
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
