//! `/data`: the data partition, or memory in its place with the reason said. It never formats or repairs a partition.
//!
//! ```text
//! found one? ──no──► wait a little for a slow disk ──no──► memory
//!    │ yes
//! mounts? ──only read-only──► memory, with what can be kept copied ─┐
//!    │ yes            └──no──► memory                               │ state: volatile, and why
//! can be written? ──no (full, failing)──► memory, with a copy ──────┘
//!    │ yes
//! state: disk
//! ```

use crate::devices::{DATA_PARTITION, Partition, data_partitions};
use drawbridge_bus::{DataState, Role};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, Statvfs, statvfs};
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where it is.
pub(crate) const DATA: &str = "/data";

/// Where a partition is looked at while memory takes its place.
const ASIDE: &str = "/run/data-aside";

/// How long a disk may take to appear: USB and `NVMe` are found after init has started.
const APPEARS_WITHIN: Duration = Duration::from_secs(3);

/// Less free room than this, for whoever is not root, counts as full: a role could not even replace a settings file.
const LEAST_FREE_BYTES: u64 = 1024 * 1024;

/// What is written to try the disk.
const PROBE: &str = ".probe";

/// What memory gives to `/data` when there is no disk.
const VOLATILE_BYTES: u64 = 16 * 1024 * 1024;

/// What is copied from a partition that can only be read: files up to this size …
const KEPT_FILE_BYTES: u64 = 256 * 1024;
/// … and in all no more than this: settings and keys, no recordings.
const KEPT_BYTES: u64 = 4 * 1024 * 1024;

/// Init's own folder.
pub(crate) fn own_folder() -> PathBuf {
    Path::new(DATA).join(Role::Init.name())
}

/// Mounts `/data`. It always ends with a `/data` that can be written.
pub(crate) fn mount_data() -> DataState {
    let state = match find().and_then(|partition| take(&partition)) {
        Ok(device) => DataState::Disk { device, fault: None },
        Err(reason) => {
            mount_volatile();
            keep_what_can_be_kept();
            log::error!("{reason} Until then everything is kept in memory, and lost at the next restart.");
            DataState::Volatile { reason }
        }
    };
    make_folders();
    state
}

/// The one data partition, or what to say when there is none or more than one.
fn find() -> Result<Partition, String> {
    let mut found = data_partitions();
    if found.is_empty() {
        found = wait_for_partition();
    }
    // A stick with a partition of that name must not take the place of the disk's.
    let fixed: Vec<Partition> = found.iter().filter(|partition| !partition.removable).cloned().collect();
    let candidates = if fixed.is_empty() { found } else { fixed };
    match candidates.as_slice() {
        [] => Err(format!(
            "No disk with a partition named {DATA_PARTITION} was found: check the disk, or write the disk image anew."
        )),
        [one] => Ok(one.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|partition| partition.device.as_str()).collect();
            Err(format!(
                "There are {} data partitions ({}), and none is taken: remove the disk that does not belong here.",
                several.len(),
                names.join(", ")
            ))
        }
    }
}

/// Waits for the kernel to tell of a new block device, for a bounded time.
fn wait_for_partition() -> Vec<Partition> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd as _;
    let deadline = crate::clock::since_boot() + u64::try_from(APPEARS_WITHIN.as_millis()).unwrap_or(0);
    let Ok(uevents) = crate::mounts::uevents() else { return data_partitions() };
    loop {
        // Looked at after the socket is there: an event in between is not missed.
        let found = data_partitions();
        let left = deadline.saturating_sub(crate::clock::since_boot());
        if !found.is_empty() || left == 0 {
            return found;
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut waited = [PollFd::new(uevents.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waited, timeout).is_err() {
            return data_partitions();
        }
        let mut event = [0; 2048];
        while nix::unistd::read(&uevents, &mut event).is_ok() {}
    }
}

/// Mounts the partition for good, or says why not; then it is mounted aside where it can be read at all.
fn take(partition: &Partition) -> Result<String, String> {
    let device = Path::new("/dev").join(&partition.device);
    let name = &partition.device;
    match mount_ext4(&device, Path::new(DATA), "errors=remount-ro", MsFlags::empty()) {
        Ok(()) => {}
        Err(Errno::EROFS | Errno::EACCES) => {
            set_aside(&device);
            return Err(format!("The data partition {name} can only be read: replace the disk."));
        }
        Err(error) => {
            set_aside(&device);
            return Err(format!(
                "The data partition {name} cannot be used ({}): write the disk image anew, or replace the disk.",
                error.desc()
            ));
        }
    }
    let usable = try_writing(Path::new(DATA));
    if let Err(error) = &usable {
        let reason = if error.kind() == io::ErrorKind::StorageFull {
            format!("The data partition {name} is full: write the disk image anew, or use a larger disk.")
        } else {
            format!("The data partition {name} cannot be written ({error}): replace the disk.")
        };
        if let Err(error) = umount2(DATA, MntFlags::MNT_DETACH) {
            log::error!("cannot unmount {DATA}: {error}");
        }
        set_aside(&device);
        return Err(reason);
    }
    Ok(name.clone())
}

fn mount_ext4(device: &Path, target: &Path, options: &str, flags: MsFlags) -> Result<(), Errno> {
    let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    mount(Some(device), target, Some("ext4"), flags, Some(options))
}

/// Mounts it read-only, without touching its journal, to copy from.
fn set_aside(device: &Path) {
    if fs::create_dir_all(ASIDE).is_ok()
        && let Err(error) = mount_ext4(device, Path::new(ASIDE), "noload", MsFlags::MS_RDONLY)
    {
        log::warn!("nothing can be read from {}: {error}", device.display());
    }
}

/// Whether a file can be written to the end: room, permission, and the disk's own word (fsync).
fn try_writing(folder: &Path) -> io::Result<()> {
    let room = statvfs(folder).map_err(io::Error::from)?;
    if room.flags().contains(FsFlags::ST_RDONLY) {
        return Err(io::ErrorKind::ReadOnlyFilesystem.into());
    }
    if !has_room(&room) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    // Written over in place, so that a boot costs one write to the journal: what is tried is the disk, and the file is
    // of no worth. Removing it would be as much work again.
    let mut probe = File::options().write(true).create(true).truncate(false).open(folder.join(PROBE))?;
    probe.write_all(&[0; 4096])?;
    probe.sync_all()
}

fn mount_volatile() {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = format!("mode=0755,size={VOLATILE_BYTES},nr_inodes=4096");
    if let Err(error) = mount(Some("tmpfs"), DATA, Some("tmpfs"), flags, Some(options.as_str())) {
        log::error!("cannot mount memory at {DATA}: {error}");
    }
}

/// Copies what is small from the partition that was set aside, so that name, keys and settings are the same.
fn keep_what_can_be_kept() {
    let aside = Path::new(ASIDE);
    let mut room = KEPT_BYTES;
    for role in Role::ALL {
        let to = Path::new(DATA).join(role.name());
        if let Err(error) = copy_files(&aside.join(role.name()), &to, role.uid(), &mut room, 0)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("not all of {} could be kept: {error}", role.name());
        }
    }
    // Busy or not mounted at all: either way there is nothing more to be done with it.
    let _ = umount2(aside, MntFlags::MNT_DETACH);
}

fn copy_files(from: &Path, to: &Path, uid: u32, room: &mut u64, depth: u8) -> io::Result<()> {
    let entries = fs::read_dir(from)?;
    fs::create_dir_all(to)?;
    chown(to, Some(uid), Some(uid))?;
    fs::set_permissions(to, Permissions::from_mode(0o700))?;
    for entry in entries.take(1000) {
        let entry = entry?;
        // The entry's own kind: a link is neither, and is not followed.
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() && depth < 4 {
            copy_files(&entry.path(), &target, uid, room, depth + 1)?;
        } else if kind.is_file() {
            let bytes = entry.metadata()?.len();
            if bytes <= KEPT_FILE_BYTES && bytes <= *room {
                *room -= bytes;
                let contents = fs::read(entry.path())?;
                fs::write(&target, contents)?;
                chown(&target, Some(uid), Some(uid))?;
                fs::set_permissions(&target, Permissions::from_mode(0o600))?;
            }
        }
    }
    Ok(())
}

/// A folder for each role, which only it can enter.
fn make_folders() {
    let made = |role: Role| -> io::Result<()> {
        let folder = Path::new(DATA).join(role.name());
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        chown(&folder, Some(role.uid()), Some(role.uid()))?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))
    };
    for role in Role::ALL {
        if let Err(error) = made(role) {
            log::error!("cannot make {DATA}/{role}: {error}");
        }
    }
}

/// Whether `/data` takes anything.
pub(crate) fn can_be_written() -> bool {
    statvfs(DATA).is_ok_and(|room| !room.flags().contains(FsFlags::ST_RDONLY) && has_room(&room))
}

fn has_room(room: &Statvfs) -> bool {
    room.blocks_available().saturating_mul(room.fragment_size()) >= LEAST_FREE_BYTES
        && room.files_available() >= 16
}

/// What is wrong with the partition since it was mounted, as a sentence.
pub(crate) fn fault(device: &str) -> Option<String> {
    let room = statvfs(DATA).ok();
    if room.is_some_and(|room| room.flags().contains(FsFlags::ST_RDONLY)) {
        return Some(format!(
            "Errors on {device}: it can no longer be written. Restart, and replace the disk."
        ));
    }
    if room.is_some_and(|room| !has_room(&room)) {
        return Some(format!(
            "The data partition {device} is full: nothing more can be kept. Use a larger disk, or write the disk image anew."
        ));
    }
    let errors = fs::read_to_string(Path::new("/sys/fs/ext4").join(device).join("errors_count")).ok()?;
    match errors.trim() {
        "0" => None,
        count => Some(format!("The file system on {device} has {count} errors: write the disk image anew.")),
    }
}

/// Writes a file so that after a power cut there is either the old one or the new one, whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().inspect_err(|_| {
        // What is left of a failed attempt would only take room.
        let _ = fs::remove_file(&new);
    })
}
