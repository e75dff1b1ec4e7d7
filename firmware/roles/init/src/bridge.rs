//! What init does for the bridge: a process for each of an engineer's channels, and the count of what is left when it has been
//! raised. It never decides who comes in.

use crate::groups;
use crate::roles::{Outfit, Process, Tokens, start_for};
use crate::table;
use drawbridge_bus::Role;
use drawbridge_bus::bridge::{COMMAND_BYTES, ShellEnd, ShellId, ShellJob, ShellOrder, ShellSignal};
use drawbridge_bus::support::Leftovers;
use mio::{Registry, Token};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

/// The grant's folder: made when the bridge is raised, empty, so that it is there when it is lowered.
const FOLDER: &str = "/data/shell/files";

/// The host keys that engineers have taken for right, which live as long as the grant: beside its folder, where no engineer can
/// write.
const KNOWN_HOSTS: &str = "/data/shell/known-hosts";

/// The most shell processes at one time, and so the most tokens of each kind.
const SHELLS_MOST: usize = 128;

/// The most entries of the grant's folder that are removed in one turn of the loop.
const REMOVED_A_TURN: usize = 2_000;

/// The roles that are there while the bridge is lowered only.
const OF_THE_BRIDGE: [Role; 3] = [Role::Tunnel, Role::Sshd, Role::Shell];

struct Shell {
    slot: usize,
    process: Process,
}

/// The shell processes.
pub(crate) struct Shells {
    running: BTreeMap<ShellId, Shell>,
    last: u64,
    first_token: usize,
}

impl Shells {
    /// None yet. Twice [`SHELLS_MOST`] tokens from `first_token` up are used.
    pub(crate) fn new(first_token: usize) -> Self {
        if let Some(profile) = table::profile(Role::Shell) {
            groups::make(profile);
        }
        make_folder();
        Self { running: BTreeMap::new(), last: 0, first_token }
    }

    /// Starts a process with these descriptors as its input, output and errors.
    pub(crate) fn start(
        &mut self,
        order: &ShellOrder,
        descriptors: Vec<OwnedFd>,
        registry: &Registry,
    ) -> io::Result<ShellId> {
        let wrong = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let Some(profile) = table::profile(Role::Shell) else { return Err(wrong("there is no such role")) };
        if !matches!(descriptors.len(), 1 | 3) {
            return Err(wrong("it came with neither one descriptor nor three"));
        }
        let (job, command) = match &order.job {
            ShellJob::Interactive => ("interactive", None),
            ShellJob::Exec(command) => ("exec", Some(command.as_str())),
            ShellJob::Sftp => ("sftp", None),
        };
        if command.is_some_and(|command| command.len() > COMMAND_BYTES || command.contains('\0')) {
            return Err(wrong("its command is too long, or has a zero byte in it"));
        }
        let slot = (0..SHELLS_MOST).find(|slot| self.running.values().all(|one| one.slot != *slot));
        let Some(slot) = slot else { return Err(wrong("too many run already")) };
        let connection = order.connection.to_string();
        let arguments = [Role::Shell.name(), &connection, job].into_iter().chain(command);
        let environment = [("TERM", &order.terminal), ("LANG", &order.language)];
        let environment = environment.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let outfit = Outfit {
            stdio: descriptors,
            environment: environment
                .filter(|(_, value)| is_word(value))
                .map(|(name, value)| (name, value.clone()))
                .collect(),
        };
        let tokens = self.tokens(slot);
        let process = start_for(profile, &arguments.collect::<Vec<_>>(), outfit, tokens, registry)?;
        self.last += 1;
        let id = ShellId(self.last);
        self.running.insert(id, Shell { slot, process });
        Ok(id)
    }

    fn tokens(&self, slot: usize) -> Tokens {
        let first = self.first_token + 2 * slot;
        Tokens { exit: Token(first), log: Token(first + 1) }
    }

    /// Hears what one has logged; true when it is its end that was told.
    pub(crate) fn hear(&mut self, token: Token, registry: &Registry) -> bool {
        let number = token.0 - self.first_token;
        if number.is_multiple_of(2) {
            return true;
        }
        let tokens = self.tokens(number / 2);
        if let Some(shell) = self.running.values_mut().find(|one| one.slot == number / 2) {
            shell.process.hear_all(Role::Shell.name(), tokens, registry);
        }
        false
    }

    /// Whether the process that has been reaped was one, and how it ended.
    pub(crate) fn reaped(
        &mut self,
        pid: u32,
        status: WaitStatus,
        registry: &Registry,
    ) -> Option<(ShellId, ShellEnd)> {
        let id = *self.running.iter().find(|(_, shell)| shell.process.pid == pid)?.0;
        let mut shell = self.running.remove(&id)?;
        shell.process.close(Role::Shell.name(), registry);
        let end = match status {
            WaitStatus::Exited(_, code) => ShellEnd::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
            WaitStatus::Signaled(_, signal, _) => {
                if signal == Signal::SIGSYS {
                    log::error!("a shell {}", crate::roles::sentence(status));
                }
                ShellEnd::Signalled(u8::try_from(signal as i32).unwrap_or(u8::MAX))
            }
            _ => ShellEnd::Exited(u8::MAX),
        };
        Some((id, end))
    }

    /// Sends one a signal, if it is still there.
    pub(crate) fn signal(&self, id: ShellId, signal: ShellSignal) {
        if let Some(shell) = self.running.get(&id) {
            shell.process.signal(match signal {
                ShellSignal::Hangup => Signal::SIGHUP,
                ShellSignal::Interrupt => Signal::SIGINT,
                ShellSignal::Terminate => Signal::SIGTERM,
                ShellSignal::Kill => Signal::SIGKILL,
            });
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}

/// Ends every shell process, at once.
pub(crate) fn end_shells() {
    groups::kill(Role::Shell.name());
}

/// A word of those that an engineer's client may choose for the environment.
fn is_word(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+@".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(fits)
}

/// What is left of tunnel, SSH daemon and shells.
pub(crate) fn leftovers() -> Leftovers {
    let processes = OF_THE_BRIDGE.iter().map(|role| groups::processes(role.name())).sum();
    let tables = ["tcp", "tcp6", "udp", "udp6"];
    let sockets = tables.iter().map(|table| {
        let text = fs::read_to_string(Path::new("/proc/net").join(table)).unwrap_or_default();
        text.lines().filter(|line| owner(line).is_some_and(is_of_the_bridge)).count()
    });
    let terminals = fs::read_dir("/dev/pts").map_or(0, |entries| {
        let numbered = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        entries.filter(|entry| entry.as_ref().is_ok_and(|entry| numbered(&entry.file_name()))).count()
    });
    let known = usize::from(fs::symlink_metadata(KNOWN_HOSTS).is_ok());
    let files = fs::read_dir(FOLDER).map_or(0, Iterator::count) + known;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Leftovers {
        processes,
        sockets: number(sockets.sum()),
        terminals: number(terminals),
        files: number(files),
    }
}

/// The user of a line of `/proc/net/tcp` and its like (proc(5)): the eighth field. A connection whose process has ended is
/// root's there, and waits only for what the other end has still to say.
fn owner(line: &str) -> Option<u32> {
    line.split_ascii_whitespace().nth(7)?.parse().ok()
}

fn is_of_the_bridge(uid: u32) -> bool {
    OF_THE_BRIDGE.iter().any(|role| role.uid() == uid)
}

/// Removes what is in the grant's folder, a bounded part of it at a time; [`leftovers`] says what remains.
pub(crate) fn empty_folder() {
    match fs::remove_file(KNOWN_HOSTS) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::error!("{KNOWN_HOSTS} cannot be removed: {error}");
        }
        _ => {}
    }
    let mut budget = REMOVED_A_TURN;
    if let Err(error) = empty(Path::new(FOLDER), &mut budget, 0) {
        if error.kind() == io::ErrorKind::NotFound {
            make_folder();
        } else {
            log::error!("what engineers have left in {FOLDER} cannot be removed: {error}");
        }
    }
}

/// Deeper than a path may be long.
const DEPTH_MOST: u32 = 2_048;

fn empty(folder: &Path, budget: &mut usize, depth: u32) -> io::Result<()> {
    if depth > DEPTH_MOST {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for entry in fs::read_dir(folder)? {
        if *budget == 0 {
            return Ok(());
        }
        let path = entry?.path();
        // Not followed: a link is removed, never what it leads to.
        if fs::symlink_metadata(&path)?.is_dir() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
            empty(&path, budget, depth + 1)?;
            if *budget == 0 {
                return Ok(());
            }
            fs::remove_dir(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
        *budget -= 1;
    }
    Ok(())
}

fn make_folder() {
    let uid = Role::Shell.uid();
    let made = || -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(FOLDER) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let found = fs::symlink_metadata(FOLDER)?;
        if !found.is_dir() {
            fs::remove_file(FOLDER)?;
            fs::DirBuilder::new().mode(0o700).create(FOLDER)?;
        } else if found.uid() == uid {
            return Ok(());
        }
        chown(FOLDER, Some(uid), Some(uid))
    };
    match made() {
        // What a power cut has left of a grant.
        Ok(()) => empty_folder(),
        Err(error) => log::error!("cannot make {FOLDER}: {error}"),
    }
}

/// The machine's serial number as its firmware tells it (SMBIOS, type 1); empty when it is none, or what makers put there
/// who put none.
pub(crate) fn serial_number() -> String {
    serial(&fs::read_to_string("/sys/class/dmi/id/product_serial").unwrap_or_default())
}

fn serial(told: &str) -> String {
    const NONE: [&str; 8] = [
        "",
        "0",
        "none",
        "not specified",
        "default string",
        "system serial number",
        "to be filled by o.e.m.",
        "n/a",
    ];
    let told = told.trim();
    let fits = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
    let same = told.chars().all(|char| told.starts_with(char));
    if NONE.contains(&told.to_ascii_lowercase().as_str())
        || same
        || told.len() > 64
        || !told.chars().all(fits)
    {
        return String::new();
    }
    told.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_counted_by_their_user() {
        let line = "   0: 0100007F:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000   205        0 1234 1 0 100 0 0 10 0";
        assert_eq!(owner(line), Some(Role::Sshd.uid()));
        assert!(owner(line).is_some_and(is_of_the_bridge));
        assert_eq!(
            owner("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"),
            None
        );
        assert!(!is_of_the_bridge(0) && !is_of_the_bridge(Role::Console.uid()));
    }

    #[test]
    fn a_folder_is_emptied_a_part_at_a_time_and_links_are_not_followed() {
        let top = std::env::temp_dir().join(format!("drawbridge-empty-{}", std::process::id()));
        let (inside, outside) = (top.join("inside"), top.join("outside"));
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        fs::write(inside.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        for _ in 0..10 {
            empty(&inside, &mut 2, 0).unwrap();
        }
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
        assert!(outside.join("kept").exists());
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn what_makers_put_where_a_serial_number_should_be_is_none() {
        assert_eq!(serial("CZ2-0815.7\n"), "CZ2-0815.7");
        for none in ["", "To Be Filled By O.E.M.", "Not Specified", "0000000000", "a b", &"x1".repeat(40)] {
            assert_eq!(serial(none), "", "{none:?}");
        }
    }

    #[test]
    fn only_words_come_into_the_environment() {
        assert!(is_word("xterm-256color") && is_word("de_DE.UTF-8") && is_word("C.UTF-8"));
        assert!(!is_word("") && !is_word("a b") && !is_word("a=b") && !is_word(&"x".repeat(65)));
    }
}
