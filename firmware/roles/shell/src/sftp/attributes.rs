//! What the SFTP server says of a file, and what it takes on: owners are never told, nor changed.

use crate::tree::{Kind, Tree, Wish, kind, set_mode};
use nix::errno::Errno;
use nix::sys::stat::FileStat;
use russh_sftp::protocol::{FileAttributes, OpenFlags};
use std::fs::File;

/// What a file is opened for (section 6.3 of draft-ietf-secsh-filexfer-02).
pub(super) fn wish(flags: OpenFlags) -> Wish {
    let flag = |flag| flags.contains(flag);
    Wish {
        read: flag(OpenFlags::READ),
        write: flag(OpenFlags::WRITE) || flag(OpenFlags::APPEND),
        append: flag(OpenFlags::APPEND),
        create: flag(OpenFlags::CREATE),
        truncate: flag(OpenFlags::TRUNCATE),
        new: flag(OpenFlags::EXCLUDE) && flag(OpenFlags::CREATE),
    }
}

/// Sets what is kept of a client's wishes: length and permissions.
pub(super) fn set(tree: &Tree, file: &File, attributes: &FileAttributes) -> Result<(), Errno> {
    if let Some(size) = attributes.size {
        tree.room()?;
        let set = file.set_len(size);
        set.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    }
    if let Some(mode) = attributes.permissions {
        set_mode(file, mode)?;
    }
    Ok(())
}

/// Length, permissions and times (section 5).
pub(super) fn attributes(stat: &FileStat) -> FileAttributes {
    let time = |seconds: i64| Some(u32::try_from(seconds).unwrap_or(0));
    FileAttributes {
        size: Some(u64::try_from(stat.st_size).unwrap_or(0)),
        permissions: Some(stat.st_mode),
        atime: time(stat.st_atime),
        mtime: time(stat.st_mtime),
        ..FileAttributes::empty()
    }
}

/// A line as `ls -l` has it, for people only (section 7).
pub(super) fn long_name(name: &str, stat: &FileStat) -> String {
    let mark = |bit: u32, mark: char| if stat.st_mode & bit != 0 { mark } else { '-' };
    let folder = if kind(stat) == Kind::Folder { 'd' } else { '-' };
    let (r, w, x) = (mark(0o400, 'r'), mark(0o200, 'w'), mark(0o100, 'x'));
    let date = crate::commands::date(stat.st_mtime);
    format!(
        "{folder}{r}{w}{x}------ {:>4} shell    shell    {:>12} {date} {name}",
        stat.st_nlink, stat.st_size
    )
}
