//! The SFTP server of the grant's folder, version 3, for OpenSSH's `sftp` and `scp` and whatever else speaks it: what the crate
//! `russh-sftp` asks of a server, answered from the folder. It answers in the order of the requests, and opens nothing outside the
//! folder.

mod attributes;
mod names;
mod stream;

use crate::deeds::{Deeds, Failure, Passage, Unkept, shown};
use crate::path::{PathError, SafePath};
use crate::tree::{Tree, Wish, why};
use attributes::{attributes, long_name, set, wish};
use drawbridge_bus::record::Deed;
use drawbridge_bus::support::Recording;
use names::{For, Sent};
use nix::errno::Errno;
use nix::sys::stat::fstat;
use russh_sftp::extensions::{FsyncExtension, LimitsExtension};
use russh_sftp::protocol::{
    Attrs, Data, ExtendedReply, File as Named, FileAttributes, Handle, Name, OpenFlags, Packet, Status,
    StatusCode, Version,
};
use russh_sftp::server::{Config, Handler, StatusReply, run_with_config};
use russh_sftp::{de, extensions, ser};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use stream::Stream;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// The largest packet that is taken, in bytes after its length (as OpenSSH takes).
const PACKET_BYTES: usize = 256 * 1024;
/// The most bytes that one READ is answered with.
const READ_BYTES: u32 = 255 * 1024;
/// The most files and folders that are open at one time.
const HANDLES: usize = 64;
/// About as many bytes of names go into one answer.
const NAMES_BYTES: usize = 32 * 1024;

/// More than all packets and answers that are in memory at one time.
const HEAP_BYTES: usize = 4 * PACKET_BYTES;

/// The extension that replaces what is at the new name; the crate has no word for it.
const POSIX_RENAME: &str = "posix-rename@openssh.com";
/// Of what is said in an answer (RFC 3066).
const LANGUAGE: &str = "en";
const MALFORMED: &str = "the request is malformed";
const UNSUPPORTED: &str = "this server does not do that";

/// Why a request was not carried out.
struct Refused(StatusCode, String);

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        let code = match error {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => StatusCode::NoSuchFile,
            Errno::EACCES | Errno::EPERM | Errno::EROFS => StatusCode::PermissionDenied,
            _ => StatusCode::Failure,
        };
        Self(code, why(error))
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)).into()
    }
}

impl From<PathError> for Refused {
    fn from(error: PathError) -> Self {
        Self(StatusCode::Failure, error.to_string())
    }
}

impl From<Unkept> for Refused {
    fn from(Unkept(sentence): Unkept) -> Self {
        Self(StatusCode::Failure, sentence)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unkept(unkept) => unkept.into(),
            Failure::Error(error) => error.into(),
        }
    }
}

impl From<Refused> for StatusReply {
    fn from(Refused(code, sentence): Refused) -> Self {
        code.with_message(sentence).with_language_tag(LANGUAGE)
    }
}

/// What a handle stands for.
enum Open {
    File(Box<Opened>),
    /// The names that were not told yet, the last first.
    Folder(SafePath, Vec<Vec<u8>>),
}

/// An open file.
struct Opened {
    file: File,
    wish: Wish,
    path: SafePath,
    /// What was read, if something was.
    read: Option<Passage>,
    /// What was written, if something was.
    written: Option<Passage>,
}

/// The server.
struct Server {
    tree: Tree,
    deeds: Deeds,
    open: [Option<Open>; HANDLES],
    sent: Sent,
    greeted: bool,
}

/// Serves standard input and output until the input ends; the status of the process.
pub(crate) fn serve(runtime: &Runtime, tree: Tree, deeds: Deeds) -> u8 {
    // Not by the standard library's own handles, which look for line ends in what they write.
    let own = |descriptor: io::Result<std::os::fd::OwnedFd>| descriptor.map(File::from);
    let input = own(io::stdin().as_fd().try_clone_to_owned());
    let output = own(io::stdout().as_fd().try_clone_to_owned());
    let (Ok(input), Ok(output)) = (input, output) else { return 1 };
    match runtime.block_on(converse(tree, deeds, input, output)) {
        Ok(()) => 0,
        Err(error) => {
            log::info!("an SFTP session has ended: {error}");
            1
        }
    }
}

/// Serves a folder to a client that says `input` and hears `output`, which both may block, until one of them ends. What is done is said
/// to `keep` first; the error is why it is not kept.
pub fn serve_over<K, I, O>(runtime: &Runtime, folder: &Path, keep: K, input: I, output: O) -> io::Result<()>
where
    K: FnMut(Deed) -> Result<(), String> + Send + 'static,
    I: Read + Send + Unpin + 'static,
    O: Write + Send + Unpin + 'static,
{
    let deeds = Deeds::to(Recording::Strict, keep);
    runtime.block_on(converse(Tree::open(folder)?, deeds, input, output))
}

async fn converse<I, O>(tree: Tree, deeds: Deeds, input: I, output: O) -> io::Result<()>
where
    I: Read + Send + Unpin + 'static,
    O: Write + Send + Unpin + 'static,
{
    let sent = Sent::default();
    let (over, ended) = oneshot::channel();
    let stream = Stream::new(input, output, sent.clone(), over);
    let server = Server { tree, deeds, open: [const { None }; HANDLES], sent, greeted: false };
    // The C library gives memory back that is free at the end of the heap, unless so large a piece was once used: each packet
    // would be made of pages that the kernel has to clear first, and files would take twice as long.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(HEAP_BYTES)));
    let config = Config { max_client_packet_len: u32::try_from(PACKET_BYTES).unwrap_or(u32::MAX) };
    // It runs in a task of its own, of which nothing but the stream tells.
    run_with_config(stream, server, config).await;
    ended.await.unwrap_or_else(|_| Err(io::Error::other("the server has failed")))
}

impl Server {
    fn path(&self, text: &str) -> Result<SafePath, Refused> {
        names::path(&self.tree, &self.sent, 0, text, For::Use)
    }

    fn path_to_make(&self, text: &str) -> Result<SafePath, Refused> {
        names::path(&self.tree, &self.sent, 0, text, For::Make)
    }

    fn slot(&self) -> Result<usize, Refused> {
        let full = || Refused(StatusCode::Failure, format!("{HANDLES} files are open: close some first"));
        self.open.iter().position(Option::is_none).ok_or_else(full)
    }

    fn give(&mut self, id: u32, slot: usize, open: Open) -> Handle {
        self.open[slot] = Some(open);
        Handle { id, handle: slot.to_string() }
    }

    /// What is in the place of a handle, if that was one of ours.
    fn place(&mut self, handle: &str) -> Option<&mut Option<Open>> {
        self.open.get_mut(handle.parse::<usize>().ok()?)
    }

    fn file(&mut self, handle: &str, fits: impl Fn(&Wish) -> bool) -> Result<&mut Opened, Refused> {
        match self.place(handle) {
            Some(Some(Open::File(opened))) if fits(&opened.wish) => Ok(opened),
            Some(Some(Open::File(_))) => {
                Err(Refused(StatusCode::PermissionDenied, "the file was not opened for that".to_owned()))
            }
            _ => Err(no_handle()),
        }
    }

    fn move_to(&self, from: &str, to: &str, replace: bool) -> Result<(), Refused> {
        let from = names::path(&self.tree, &self.sent, 0, from, For::Use)?;
        let to = names::path(&self.tree, &self.sent, 1, to, For::Make)?;
        let words = format!("renames {} to {}", shown(&from), shown(&to));
        Ok(self.deeds.change(&words, || self.tree.rename(&from, &to, replace))?)
    }
}

impl Opened {
    /// Tells what has passed, when it is over.
    fn over(self, deeds: &Deeds) -> Result<(), Unkept> {
        [self.read, self.written].into_iter().flatten().try_for_each(|one| deeds.over(one, &self.file))
    }
}

impl Drop for Server {
    /// What is still open was never closed by the client: what has passed of it is told all the same.
    fn drop(&mut self) {
        for open in self.open.iter_mut().filter_map(Option::take) {
            if let Open::File(opened) = open
                && let Err(Unkept(sentence)) = opened.over(&self.deeds)
            {
                log::error!("the end of a file is not recorded: {sentence}");
            }
        }
    }
}

/// What a file is opened for, in words.
fn opens(wish: Wish, path: &SafePath) -> String {
    let what = match (wish.read, wish.write) {
        (true, true) => "read and write",
        (false, true) => "write",
        _ => "read",
    };
    let from = if wish.write && wish.truncate { " it from its beginning" } else { " it" };
    format!("opens {} to {what}{from}", shown(path))
}

/// What is set of a file, in words; none: nothing of it is kept.
fn sets(path: &SafePath, attributes: &FileAttributes) -> Option<String> {
    let length = attributes.size.map(|size| format!("the length of {} to {size}", shown(path)));
    let mode = |mode: u32| format!("the rights of {} to {:04o}", shown(path), mode & 0o600 | 0o400);
    let parts: Vec<String> = [length, attributes.permissions.map(mode)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("sets {}", parts.join(" and ")))
}

impl Handler for Server {
    type Error = Refused;

    fn unimplemented(&self) -> Refused {
        Refused(StatusCode::OpUnsupported, UNSUPPORTED.to_owned())
    }

    async fn init(&mut self, _: u32, _: HashMap<String, String>) -> Result<Version, Refused> {
        if self.greeted {
            return Err(self.unimplemented());
        }
        self.greeted = true;
        let mut version = Version::new();
        for name in [POSIX_RENAME, extensions::FSYNC, extensions::LIMITS] {
            version.extensions.insert(name.to_owned(), "1".to_owned());
        }
        Ok(version)
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        flags: OpenFlags,
        _: FileAttributes,
    ) -> Result<Handle, Refused> {
        let wish = wish(flags);
        if !wish.read && !wish.write {
            let sentence = "a file is opened to read, to write, or both".to_owned();
            return Err(Refused(StatusCode::Failure, sentence));
        }
        let slot = self.slot()?;
        let path = if wish.create { self.path_to_make(&path)? } else { self.path(&path)? };
        let file = self.deeds.change(&opens(wish, &path), || self.tree.file(&path, wish))?;
        // A file that is emptied, or made, is written, even if no byte follows.
        let written = (wish.truncate || wish.create) && wish.write;
        let written = written.then(|| Passage::new(true, &path));
        let opened = Opened { file, wish, path, read: None, written };
        Ok(self.give(id, slot, Open::File(Box::new(opened))))
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, Refused> {
        match self.place(&handle).and_then(Option::take).ok_or_else(no_handle)? {
            Open::File(opened) => opened.over(&self.deeds)?,
            Open::Folder(..) => {}
        }
        Ok(done(id))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, length: u32) -> Result<Data, Refused> {
        self.deeds.may_pass()?;
        let opened = self.file(&handle, |wish| wish.read)?;
        let mut data = vec![0; length.min(READ_BYTES) as usize];
        let read = opened.file.read_at(&mut data, offset)?;
        data.truncate(read);
        let passage = opened.read.get_or_insert_with(|| Passage::new(false, &opened.path));
        passage.passed(offset, &data);
        if data.is_empty() { Err(end()) } else { Ok(Data { id, data }) }
    }

    async fn write(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<Status, Refused> {
        self.deeds.may_pass()?;
        let tree = self.tree.clone();
        let opened = self.file(&handle, |wish| wish.write)?;
        tree.room()?;
        opened.file.write_all_at(&data, offset)?;
        let passage = opened.written.get_or_insert_with(|| Passage::new(true, &opened.path));
        passage.passed(offset, &data);
        Ok(done(id))
    }

    /// Links are followed by neither this nor the next.
    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, Refused> {
        Ok(Attrs { id, attrs: attributes(&self.tree.stat(&self.path(&path)?)?) })
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, Refused> {
        self.lstat(id, path).await
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, Refused> {
        Ok(Attrs { id, attrs: attributes(&fstat(&self.file(&handle, |_| true)?.file)?) })
    }

    async fn setstat(
        &mut self,
        id: u32,
        path: String,
        attributes: FileAttributes,
    ) -> Result<Status, Refused> {
        let path = self.path(&path)?;
        // Folders stay as they are made: only their owner uses them.
        if !self.tree.is_folder(&path) {
            let wish = Wish { write: attributes.size.is_some(), ..Wish::READ };
            let file = self.tree.file(&path, wish)?;
            if let Some(words) = sets(&path, &attributes) {
                self.deeds.change(&words, || set(&self.tree, &file, &attributes))?;
            }
        }
        Ok(done(id))
    }

    async fn fsetstat(
        &mut self,
        id: u32,
        handle: String,
        attributes: FileAttributes,
    ) -> Result<Status, Refused> {
        let (tree, deeds) = (self.tree.clone(), self.deeds.clone());
        let needs_write = attributes.size.is_some();
        let opened = self.file(&handle, |wish| wish.write || !needs_write)?;
        if let Some(words) = sets(&opened.path, &attributes) {
            deeds.change(&words, || set(&tree, &opened.file, &attributes))?;
        }
        if needs_write {
            opened.written.get_or_insert_with(|| Passage::new(true, &opened.path));
        }
        Ok(done(id))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, Refused> {
        let path = self.path(&path)?;
        let slot = self.slot()?;
        let mut names = self.tree.names(&path)?;
        names.reverse();
        Ok(self.give(id, slot, Open::Folder(path, names)))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, Refused> {
        let tree = self.tree.clone();
        let Some(Some(Open::Folder(folder, names))) = self.place(&handle) else { return Err(no_handle()) };
        let mut files = Vec::new();
        let mut bytes = 0;
        while bytes < NAMES_BYTES {
            let Some(name) = names.pop() else { break };
            // What is removed in between is not there.
            let Some(Ok(stat)) = folder.join(&name).map(|path| tree.stat(&path)) else { continue };
            let filename = String::from_utf8_lossy(&name).into_owned();
            bytes += 2 * filename.len() + 96;
            files.push(Named { longname: long_name(&filename, &stat), filename, attrs: attributes(&stat) });
        }
        if files.is_empty() { Err(end()) } else { Ok(Name { id, files }) }
    }

    async fn remove(&mut self, id: u32, path: String) -> Result<Status, Refused> {
        let path = self.path(&path)?;
        self.deeds.change(&format!("removes {}", shown(&path)), || self.tree.remove(&path))?;
        Ok(done(id))
    }

    async fn mkdir(&mut self, id: u32, path: String, _: FileAttributes) -> Result<Status, Refused> {
        let path = self.path_to_make(&path)?;
        let words = format!("makes the folder {}", shown(&path));
        self.deeds.change(&words, || self.tree.make_folder(&path))?;
        Ok(done(id))
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Result<Status, Refused> {
        let path = self.path(&path)?;
        let words = format!("removes the folder {}", shown(&path));
        self.deeds.change(&words, || self.tree.remove_folder(&path))?;
        Ok(done(id))
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, Refused> {
        let path = names::normal(&path)?;
        let file = Named { filename: path.clone(), longname: path, attrs: FileAttributes::empty() };
        Ok(Name { id, files: vec![file] })
    }

    async fn rename(&mut self, id: u32, from: String, to: String) -> Result<Status, Refused> {
        self.move_to(&from, &to, false).map(|()| done(id))
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Result<Packet, Refused> {
        let malformed = |_| Refused(StatusCode::BadMessage, MALFORMED.to_owned());
        match request.as_str() {
            POSIX_RENAME => {
                let (from, to): (String, String) = de::from_bytes(&mut data.into()).map_err(malformed)?;
                self.move_to(&from, &to, true)?;
                Ok(done(id).into())
            }
            extensions::FSYNC => {
                let FsyncExtension { handle } = de::from_bytes(&mut data.into()).map_err(malformed)?;
                self.file(&handle, |_| true)?.file.sync_all()?;
                Ok(done(id).into())
            }
            extensions::LIMITS => {
                let limits = LimitsExtension {
                    max_packet_len: PACKET_BYTES as u64,
                    max_read_len: READ_BYTES.into(),
                    max_write_len: READ_BYTES.into(),
                    max_open_handles: HANDLES as u64,
                };
                let data = ser::to_bytes(&limits).map_err(malformed)?.to_vec();
                Ok(ExtendedReply { id, data }.into())
            }
            _ => Err(self.unimplemented()),
        }
    }
}

fn done(id: u32) -> Status {
    Status {
        id,
        status_code: StatusCode::Ok,
        error_message: String::new(),
        language_tag: LANGUAGE.to_owned(),
    }
}

fn end() -> Refused {
    Refused(StatusCode::Eof, String::new())
}

fn no_handle() -> Refused {
    Refused(StatusCode::Failure, "the handle stands for no such open file".to_owned())
}
