//! Makes the empty file system of the data partition by the distribution's `mke2fs`; it never opens an existing one.

use std::path::Path;

use uuid::Uuid;

use crate::command::Tool;
use crate::error::Result;
use crate::source::SourceDate;

/// A block's size in bytes: a page, so that the kernel maps each at once.
pub const BLOCK: u64 = 4096;

/// One inode for so many bytes: the data partition holds settings, keys and recordings, not many small files.
const BYTES_PER_INODE: &str = "16384";

/// Every feature by name, so that the builder's `mke2fs.conf` has no say. They are ext4's usual ones as of e2fsprogs 1.47
/// without `orphan_file` and `metadata_csum_seed`, which older rescue systems cannot mount.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// What a file system is known by.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Its UUID.
    pub uuid: Uuid,
    /// What names in folders are hashed with.
    pub hash_seed: Uuid,
    /// Its label, at most 16 bytes.
    pub label: &'a str,
}

/// Makes an empty ext4 file system of `bytes` bytes in the file `image`, `offset` bytes from its start.
///
/// It keeps 5 % for root, so that a role that fills the partition leaves init room to work in.
/// An error found in it makes it read-only rather than worse.
pub fn format(image: &Path, offset: u64, bytes: u64, identity: Identity<'_>, date: SourceDate) -> Result<()> {
    let mut mke2fs = Tool::new("mke2fs", "makes the data partition's file system", "e2fsprogs");
    let extended = format!(
        "offset={offset},hash_seed={},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,nodiscard",
        identity.hash_seed
    );
    mke2fs
        .command()
        // Outside of root's PATH on Debian.
        .env("PATH", crate::command::path_with_sbin())
        .env("MKE2FS_CONFIG", "/dev/null")
        // The second is e2fsprogs' own name for it, which 1.47.0 and older go by.
        .env("SOURCE_DATE_EPOCH", date.seconds().to_string())
        .env("E2FSPROGS_FAKE_TIME", date.seconds().to_string())
        .args(["-q", "-F", "-t", "ext4", "-m", "5", "-e", "remount-ro", "-I", "256"])
        .args(["-b", &BLOCK.to_string(), "-i", BYTES_PER_INODE, "-O", FEATURES])
        .args(["-L", identity.label, "-U", &identity.uuid.to_string(), "-E", &extended])
        .arg(image)
        .arg((bytes / BLOCK).to_string());
    mke2fs.output().map(drop)
}
