//! Real servers on a virtual network: a network namespace whose devices are plugged into the lab's networks. Nothing in it
//! reaches a network of this machine.
//!
//! ```text
//!   namespace "servers"                 namespace of wires            the lab's process
//!   dnsmasq, radvd, chronyd ── eth0 ════ veth pair ════ wire0 ── packet socket ── cable ── switch
//! ```
//!
//! An ordinary user makes both namespaces in one of users, in which his number is root's; for root they belong to the
//! machine's own. A pair of virtual Ethernet devices needs no file under /dev, whose mode differs between systems. The packet
//! socket is opened inside, by a child between fork and exec, and handed out: it keeps working in a process that has no
//! rights in the namespace. Programs that give their rights away must be told to stay root (`dnsmasq --no-daemon`,
//! `chronyd -u root`): in a namespace of users with one user there is no other, and groups cannot be set.

mod config;
mod program;

pub use config::NamespaceConfig;
pub use program::Program;

use super::network::{CableHandle, Network};
use super::switch::PortId;
use crate::process::Process;
use crate::sys::{self, Namespaces};
use crate::{Lab, LabError, within};
use nix::sched::CloneFlags;
use smoltcp::wire::EthernetAddress;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long `ip` may take. It asks the kernel alone.
const SET_UP_WITHIN: Duration = Duration::from_secs(20);

/// The number of the first wire among the devices of its namespace. The loopback device has number 1.
const FIRST_WIRE: usize = 10;

/// A network namespace. Dropped, its devices are gone; programs in it live until their handles are dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    folder: PathBuf,
    began: Instant,
    /// None for who is root and needs none.
    users: Option<File>,
    network: File,
    wires: File,
    /// It sleeps inside, so that the namespace has a process by which others name it.
    sleeper: Process,
    devices: Mutex<Vec<Device>>,
    programs: AtomicU32,
}

#[derive(Debug)]
struct Device {
    name: String,
    network: Network,
    port: PortId,
    mac: EthernetAddress,
}

impl Network {
    /// A network namespace with a device `eth0` that is plugged into this network.
    pub fn namespace(&self, name: &str, config: &NamespaceConfig) -> Result<Namespace, LabError> {
        let namespace = Namespace::make(name, &self.shared.folder, self.shared.started)?;
        namespace.connect(self, "eth0", config)?;
        Ok(namespace)
    }
}

impl Namespace {
    /// A network namespace without any device but the loopback.
    pub fn new(lab: &Lab, name: &str) -> Result<Self, LabError> {
        Self::make(name, lab.folder(), lab.started())
    }

    fn make(name: &str, folder: &Path, began: Instant) -> Result<Self, LabError> {
        let root = nix::unistd::geteuid().is_root();
        let (wires_sleeper, in_users) = match sleeper(None, !root) {
            Ok(process) => (process, !root),
            // Root of a container may lack the right that he has in a namespace of users of his own.
            Err(_) if root => (sleeper(None, true)?, true),
            Err(error) => return Err(error),
        };
        let users = in_users.then(|| namespace_of(&wires_sleeper, "user")).transpose()?;
        let wires = namespace_of(&wires_sleeper, "net")?;
        let sleeper = sleeper(users.as_ref(), false)?;
        let network = namespace_of(&sleeper, "net")?;
        Ok(Self {
            name: name.to_owned(),
            folder: folder.to_path_buf(),
            began,
            users,
            network,
            wires,
            sleeper,
            devices: Mutex::default(),
            programs: AtomicU32::new(0),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a device of this name into it that is plugged into a network. What passes is captured in
    /// `<network>-<namespace>-<device>.pcap`. A tag that the namespace's own kernel puts on a frame is lost on the way: use
    /// [`NamespaceConfig::vlan`].
    pub fn connect(
        &self,
        network: &Network,
        device: &str,
        config: &NamespaceConfig,
    ) -> Result<CableHandle, LabError> {
        let mut devices = self.devices();
        let number = devices.len();
        let wire = format!("wire{number}");
        let index = i32::try_from(FIRST_WIRE + number).unwrap_or(i32::MAX);
        let mac = config.hardware_address(&self.name, device);
        let commands = config.wire_commands(&wire, index, device, self.sleeper.id());
        let socket = self.configure(&self.wires, &format!("{device}-wire"), &commands)?;
        let control = self.configure(&self.network, device, &config.device_commands(device, mac))?;
        sys::turn_offloads_off(control.as_fd(), device)
            .map_err(|error| LabError::System("turn off a device's offloads", error))?;
        sys::bind_packet_socket(socket.as_fd(), index)
            .map_err(|error| LabError::System("listen on a device", error))?;
        let port = network.add_device(&format!("{}-{device}", self.name), socket, config.tagging())?;
        devices.push(Device { name: device.to_owned(), network: network.clone(), port, mac });
        Ok(CableHandle::new(network.clone(), port))
    }

    /// The hardware address of a device.
    pub fn mac(&self, device: &str) -> Option<EthernetAddress> {
        self.devices().iter().find(|known| known.name == device).map(|known| known.mac)
    }

    /// The cable that connects a device.
    pub fn cable(&self, device: &str) -> Option<CableHandle> {
        let devices = self.devices();
        let found = devices.iter().find(|known| known.name == device)?;
        Some(CableHandle::new(found.network.clone(), found.port))
    }

    /// Writes a file for a program into the lab's folder and returns its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, LabError> {
        let path = self.file(name);
        std::fs::write(&path, text).map_err(LabError::file("write", &path))?;
        Ok(path)
    }

    /// The path of a file of this namespace in the lab's folder, such as for what a program writes.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}-{name}", self.name))
    }

    /// Starts a program inside. It must stay in the foreground.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Program, LabError> {
        let mut command = Command::new(program);
        command.args(arguments);
        self.run_command(command)
    }

    /// The same with an environment and whatever else a command can be told; its input and output are the lab's.
    pub fn run_command(&self, mut command: Command) -> Result<Program, LabError> {
        command.env("PATH", path_with_sbin(std::env::var("PATH").ok()));
        self.start(command, &self.network, None)
    }

    /// Sets a variable of the namespace's kernel, such as `net.ipv6.conf.all.forwarding`.
    pub fn set(&self, variable: &str, value: &str) -> Result<(), LabError> {
        let path = format!("/proc/sys/{}", variable.replace('.', "/"));
        // The file is the namespace's for who opens it inside.
        let script = "printf %s \"$1\" > \"$2\"";
        self.run("sh", ["-c", script, "sh", value, &path])?.finish(within(SET_UP_WITHIN)).map(drop)
    }

    /// Has `ip` do this in a namespace, and returns a packet socket of that namespace.
    fn configure(&self, namespace: &File, name: &str, commands: &str) -> Result<OwnedFd, LabError> {
        let batch = self.write(&format!("{name}.ip"), commands)?;
        let (ours, theirs) = UnixStream::pair().map_err(|error| LabError::System("make a socket", error))?;
        let mut command = Command::new("ip");
        command.arg("-batch").arg(&batch).env("PATH", path_with_sbin(std::env::var("PATH").ok()));
        // Where rights in a namespace of users are forbidden, it can be made and is of no use.
        let program = self.start(command, namespace, Some(theirs.into())).map_err(not_allowed)?;
        program.finish(within(SET_UP_WITHIN))?;
        sys::receive_descriptor(ours.as_fd())
            .map_err(|error| LabError::System("take a socket out of the namespace", error))
    }

    fn start(
        &self,
        mut command: Command,
        namespace: &File,
        packet_socket_to: Option<OwnedFd>,
    ) -> Result<Program, LabError> {
        let enter = self.users.iter().chain([namespace]).map(|file| file.try_clone().map(OwnedFd::from));
        let enter = enter.collect::<Result<_, _>>();
        let enter = enter.map_err(|error| LabError::System("share a namespace", error))?;
        let make = CloneFlags::empty();
        sys::run_in_namespaces(&mut command, Namespaces { enter, make, maps: None, packet_socket_to });
        command.current_dir(&self.folder);
        let number = self.programs.fetch_add(1, Ordering::Relaxed) + 1;
        let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
        let log = self.file(&format!("{program}{number}.log"));
        Program::start(&self.name, command, &log, self.began)
    }

    fn devices(&self) -> MutexGuard<'_, Vec<Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for device in self.devices().iter() {
            device.network.shared.lock().remove_end(device.port);
        }
    }
}

/// A process that sleeps in a new network namespace, of these users, of new ones, or of the machine's own.
fn sleeper(users: Option<&File>, new_users: bool) -> Result<Process, LabError> {
    let mut make = CloneFlags::CLONE_NEWNET;
    make.set(CloneFlags::CLONE_NEWUSER, new_users);
    let maps = new_users.then(|| {
        let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
        [format!("0 {user} 1"), format!("0 {group} 1")]
    });
    let enter = users.map(File::try_clone).transpose();
    let enter = enter.map_err(|error| LabError::System("share a namespace", error))?;
    let enter = enter.into_iter().map(OwnedFd::from).collect();
    let mut command = Command::new("sleep");
    command.arg("infinity");
    sys::run_in_namespaces(&mut command, Namespaces { enter, make, maps, packet_socket_to: None });
    Process::start(command, Vec::new()).map_err(not_allowed)
}

/// The error of a child that failed before its program started. That there is no such program is another matter.
fn not_allowed(error: LabError) -> LabError {
    match error {
        LabError::Start { source, .. } if source.kind() != std::io::ErrorKind::NotFound => {
            LabError::Namespace(source)
        }
        other => other,
    }
}

/// The namespace that a process is in.
fn namespace_of(process: &Process, kind: &str) -> Result<File, LabError> {
    let path = format!("/proc/{}/ns/{kind}", process.id());
    File::open(&path).map_err(LabError::file("open", path))
}

/// Servers lie in folders that an ordinary user's path lacks on Debian.
fn path_with_sbin(path: Option<String>) -> String {
    let path = path.unwrap_or_default();
    [path.as_str(), "/usr/local/sbin", "/usr/sbin", "/sbin"].join(":").trim_start_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_administrator_are_found_too() {
        assert_eq!(path_with_sbin(None), "/usr/local/sbin:/usr/sbin:/sbin");
        assert!(path_with_sbin(Some("/opt/bin".to_owned())).starts_with("/opt/bin:/usr/local/sbin"));
    }
}
