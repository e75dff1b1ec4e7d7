//! The grant's folder: every file that an engineer reads, writes or lists is opened here. It follows no link, makes none, and
//! opens nothing but folders and regular files below its root.

use crate::path::SafePath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// What stays free for the appliance itself, however much engineers write: the larger of this, in bytes, …
const FREE_BYTES: u64 = 4 * 1024 * 1024;
/// … and this share of the file system.
const FREE_SHARE: u64 = 20;
/// The most names of a folder that are handed out.
pub(crate) const NAMES_MOST: usize = 100_000;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: Arc<OwnedFd>,
}

/// What a file is to be opened for.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of open(2).
pub(crate) struct Wish {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) create: bool,
    pub(crate) truncate: bool,
    /// Only if it is not there.
    pub(crate) new: bool,
}

impl Wish {
    /// To read.
    pub(crate) const READ: Self =
        Self { read: true, write: false, append: false, create: false, truncate: false, new: false };
    /// To write from its beginning, made if it is not there.
    pub(crate) const WRITE: Self =
        Self { read: false, write: true, append: false, create: true, truncate: true, new: false };
}

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Tree {
    /// Opens it.
    pub(crate) fn open(root: &Path) -> Result<Self, Errno> {
        let root = nix::fcntl::open(root, FOLDER, Mode::empty())?;
        Ok(Self { root: Arc::new(root) })
    }

    fn folder(&self, names: &[Vec<u8>]) -> Result<Arc<OwnedFd>, Errno> {
        names.iter().try_fold(Arc::clone(&self.root), |folder, name| {
            Ok(Arc::new(openat(&*folder, name.as_slice(), FOLDER, Mode::empty())?))
        })
    }

    /// The folder that a path is in, and its name; the root has none.
    fn place<'a>(&self, path: &'a SafePath) -> Result<(Arc<OwnedFd>, &'a [u8]), Errno> {
        let (names, name) = path.split().ok_or(Errno::EBUSY)?;
        Ok((self.folder(names)?, name))
    }

    /// Opens a regular file.
    pub(crate) fn file(&self, path: &SafePath, wish: Wish) -> Result<File, Errno> {
        let (folder, name) =
            self.place(path).map_err(|error| if error == Errno::EBUSY { Errno::EISDIR } else { error })?;
        // What is written is read again for the recording: by this descriptor, whatever becomes of the name meanwhile.
        let mut flags = if wish.write { OFlag::O_RDWR } else { OFlag::O_RDONLY };
        flags |= OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        for (wanted, flag) in [
            (wish.append, OFlag::O_APPEND),
            (wish.create, OFlag::O_CREAT),
            (wish.truncate && wish.write, OFlag::O_TRUNC),
            (wish.new, OFlag::O_EXCL),
        ] {
            flags.set(flag, wanted);
        }
        if wish.create {
            self.room()?;
        }
        let file = File::from(openat(&*folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        match kind(&fstat(&file)?) {
            Kind::File => Ok(file),
            Kind::Folder => Err(Errno::EISDIR),
            Kind::Other => Err(Errno::EACCES),
        }
    }

    /// What is there, not followed.
    pub(crate) fn stat(&self, path: &SafePath) -> Result<FileStat, Errno> {
        match path.split() {
            None => fstat(&*self.root),
            Some((names, name)) => fstatat(&*self.folder(names)?, name, AtFlags::AT_SYMLINK_NOFOLLOW),
        }
    }

    /// What is there, if it is a folder.
    pub(crate) fn is_folder(&self, path: &SafePath) -> bool {
        self.stat(path).is_ok_and(|stat| kind(&stat) == Kind::Folder)
    }

    /// The names in a folder, sorted, without `.` and `..` (at most [`NAMES_MOST`]).
    pub(crate) fn names(&self, path: &SafePath) -> Result<Vec<Vec<u8>>, Errno> {
        let folder = self.folder(path.names())?;
        // A description of its own: the place in the folder is its reader's.
        let mut names = Vec::new();
        let mut entries = Dir::openat(&*folder, ".", FOLDER, Mode::empty())?;
        for entry in entries.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if names.len() == NAMES_MOST {
                return Err(Errno::EOVERFLOW);
            }
            names.push(name.to_vec());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a file, or a link.
    pub(crate) fn remove(&self, path: &SafePath) -> Result<(), Errno> {
        let (folder, name) = self.place(path)?;
        unlinkat(&*folder, name, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(&self, path: &SafePath) -> Result<(), Errno> {
        let (folder, name) = self.place(path)?;
        unlinkat(&*folder, name, UnlinkatFlags::RemoveDir)
    }

    /// Makes a folder.
    pub(crate) fn make_folder(&self, path: &SafePath) -> Result<(), Errno> {
        let (folder, name) =
            self.place(path).map_err(|error| if error == Errno::EBUSY { Errno::EEXIST } else { error })?;
        self.room()?;
        mkdirat(&*folder, name, Mode::S_IRWXU)
    }

    /// Renames; what is at `to` is replaced only if wished.
    pub(crate) fn rename(&self, from: &SafePath, to: &SafePath, replace: bool) -> Result<(), Errno> {
        let ((from_folder, from), (to_folder, to)) = (self.place(from)?, self.place(to)?);
        if replace {
            renameat(&*from_folder, from, &*to_folder, to)
        } else {
            renameat2(&*from_folder, from, &*to_folder, to, RenameFlags::RENAME_NOREPLACE)
        }
    }

    /// ENOSPC when what is free is the appliance's own.
    pub(crate) fn room(&self) -> Result<(), Errno> {
        let (free, all) = self.space()?;
        if free < FREE_BYTES.max(all / FREE_SHARE) { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    /// Bytes that can be written, and bytes of the whole file system.
    pub(crate) fn space(&self) -> Result<(u64, u64), Errno> {
        let space = fstatvfs(&*self.root)?;
        let unit = space.fragment_size();
        Ok((space.blocks_available().saturating_mul(unit), space.blocks().saturating_mul(unit)))
    }

    /// Bytes that engineers may write still, and bytes of the whole file system.
    pub(crate) fn space_left(&self) -> Result<(u64, u64), Errno> {
        let (free, all) = self.space()?;
        Ok((free.saturating_sub(FREE_BYTES.max(all / FREE_SHARE)), all))
    }
}

/// Sets what its owner may do with a file: read it, and write it or not. Everything else that `mode` says is left out.
pub(crate) fn set_mode(file: impl AsFd, mode: u32) -> Result<(), Errno> {
    fchmod(file, Mode::from_bits_truncate(mode & 0o600 | 0o400))
}

/// What a name in the folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// Something that is left alone.
    Other,
}

/// What it is.
pub(crate) fn kind(stat: &FileStat) -> Kind {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => Kind::File,
        libc::S_IFDIR => Kind::Folder,
        _ => Kind::Other,
    }
}

/// Why a file cannot be used, as the end of a sentence.
pub(crate) fn why(error: Errno) -> String {
    match error {
        Errno::ENOENT => "there is no such file or folder".to_owned(),
        Errno::ENOTDIR => "that is no folder".to_owned(),
        Errno::EISDIR => "that is a folder".to_owned(),
        Errno::EEXIST => "that is there already".to_owned(),
        Errno::ENOTEMPTY => "the folder is not empty".to_owned(),
        Errno::EBUSY => "that is the grant's folder itself".to_owned(),
        Errno::ELOOP => "links are not followed".to_owned(),
        Errno::EACCES | Errno::EPERM => "that is not allowed".to_owned(),
        Errno::ENOSPC => {
            "the rest of the disk is kept free for the appliance: remove some files first".to_owned()
        }
        Errno::EOVERFLOW => format!("the folder has more than {NAMES_MOST} names"),
        other => other.desc().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn path(text: &str) -> SafePath {
        SafePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn links_are_not_followed_wherever_they_stand_in_a_path() {
        let top = tempfile::tempdir().unwrap();
        let (inside, outside) = (top.path().join("inside"), top.path().join("outside"));
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.join("secret"), inside.join("file")).unwrap();
        let tree = Tree::open(&inside).unwrap();
        for (name, wish) in [("folder/secret", Wish::READ), ("file", Wish::READ), ("file", Wish::WRITE)] {
            assert!(tree.file(&path(name), wish).is_err(), "{name}");
        }
        assert!(tree.names(&path("folder")).is_err());
        assert!(tree.make_folder(&path("folder/new")).is_err());
        tree.remove(&path("file")).unwrap();
        assert!(outside.join("secret").exists());
    }

    #[test]
    fn files_are_the_owners_only_and_nothing_is_replaced_unwished() {
        let top = tempfile::tempdir().unwrap();
        let tree = Tree::open(top.path()).unwrap();
        tree.make_folder(&path("a")).unwrap();
        let mut file = tree.file(&path("a/x"), Wish::WRITE).unwrap();
        file.write_all(b"x").unwrap();
        set_mode(&file, 0o7777).unwrap();
        assert_eq!(tree.stat(&path("a/x")).unwrap().st_mode & 0o7777, 0o600);
        tree.file(&path("y"), Wish::WRITE).unwrap();
        assert_eq!(tree.rename(&path("a/x"), &path("y"), false), Err(Errno::EEXIST));
        tree.rename(&path("a/x"), &path("y"), true).unwrap();
        assert_eq!(tree.names(&path("/")).unwrap(), [b"a".to_vec(), b"y".to_vec()]);
        assert_eq!(tree.remove_folder(&path("/")), Err(Errno::EBUSY));
    }
}
