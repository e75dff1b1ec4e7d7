//! A system that is measured: what it boots from, and how one sees that it serves. All of them run in the same machine, on
//! a network of the lab. It keeps no figures.

use crate::error::{BenchError, Result};
use drawbridge_lab::net::{
    DhcpConfig, DhcpServer, EthernetAddress, Host, HostConfig, Network, NicPort, TcpStream,
};
use drawbridge_lab::{Disk, Firmware, Lab, Machine, Nic, NicModel, Watchdog, https, seconds};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A connection that was refused is tried again so soon. A system says that it serves before anybody connects, so this is
/// for the moment between its words and its deed.
const AGAIN: Duration = Duration::from_millis(20);

/// An SSH server's first line is this long at most (RFC 4253 section 4.2).
const BANNER_LIMIT: u64 = 255;

/// What a system does for others when it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Nothing: its first line is all.
    Nothing,
    /// The status page over HTTPS.
    Page,
    /// An SSH server that greets.
    Ssh,
}

/// A system to be booted.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// What it is called in the figures.
    pub(crate) name: &'static str,
    /// What that means.
    pub(crate) what: String,
    /// Its kernel.
    pub(crate) kernel: PathBuf,
    /// Its root file system.
    pub(crate) initramfs: PathBuf,
    /// The kernel's command line.
    pub(crate) command_line: String,
    /// What init says first.
    pub(crate) first_line: &'static str,
    /// What it says when it serves.
    pub(crate) announcement: &'static str,
    /// What it does then.
    pub(crate) service: Service,
}

/// What had passed when something happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// Since QEMU's start.
    pub(crate) wall: Duration,
    /// Of processor time, by QEMU with all its threads.
    pub(crate) cpu: Duration,
}

/// A system that runs. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) machine: Machine,
    gateway: Host,
    dhcp: DhcpServer,
    mac: EthernetAddress,
    began: Instant,
    _port: NicPort,
    // The last to go: it holds the files of all others.
    lab: Lab,
}

impl Guest {
    /// Boots it with this much memory (MiB) and a fresh copy of this disk. A panic of its kernel ends the machine.
    pub(crate) fn start(&self, disk: &Path, memory: u32) -> Result<Running> {
        let lab = Lab::new(&format!("bench {}", self.name));
        let network = Network::new(&lab, "management")?;
        let gateway = network.host(HostConfig::new("gateway").ipv4([10, 0, 1, 1], 24));
        let dhcp = gateway.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50));
        let port = network.nic_port("management")?;
        let nic = Nic::new("management", NicModel::VirtioNet, &port);
        let mac = nic.mac();
        // Copied before the clock starts.
        let disk = lab.copy_of(disk, "disk.img")?;
        let machine = Machine::builder()
            .firmware(
                Firmware::kernel(&self.kernel).initrd(&self.initramfs).cmdline(self.command_line.as_str()),
            )
            .memory(memory)
            .nic(nic)
            .disk(Disk::in_place(disk))
            .watchdog(Watchdog::I6300esb)
            .no_reboot();
        let began = Instant::now();
        let machine = machine.start(&lab)?;
        Ok(Running { machine, gateway, dhcp, mac, began, _port: port, lab })
    }

    /// The bytes that a machine loads to start it.
    pub(crate) fn size(&self) -> Result<u64> {
        let length =
            |path: &Path| path.metadata().map(|file| file.len()).map_err(BenchError::file("look at", path));
        Ok(length(&self.kernel)? + length(&self.initramfs)?)
    }
}

impl Running {
    /// Waits for init's first line.
    pub(crate) fn first_line(&self, guest: &Guest, within: Duration) -> Result<Mark> {
        self.machine.serial().wait_for(guest.first_line, within)?;
        self.mark()
    }

    /// Waits until it serves somebody who comes through the network; at once, if it serves nobody.
    pub(crate) fn serves(&self, guest: &Guest, within: Duration) -> Result<Mark> {
        let deadline = Instant::now() + within;
        if guest.service == Service::Nothing {
            return self.mark();
        }
        self.machine.serial().wait_for(guest.announcement, within)?;
        let left = || deadline.saturating_duration_since(Instant::now());
        let address = self.dhcp.wait_for_lease(self.mac, left())?;
        match guest.service {
            Service::Nothing => {}
            Service::Page => {
                let stream = self.connect((address, 9000).into(), deadline)?;
                let page = https::get(stream, &address.to_string(), "/status", left());
                let page = page.map_err(|error| BenchError::Page(address, error))?;
                if page.status != 200 {
                    return Err(BenchError::Status(address, page.status));
                }
            }
            Service::Ssh => self.hear_banner(address, deadline)?,
        }
        self.mark()
    }

    /// What has passed by now.
    pub(crate) fn mark(&self) -> Result<Mark> {
        Ok(Mark { wall: self.began.elapsed(), cpu: self.machine.cpu_time()? })
    }

    /// How many blocks of code the emulator has translated by now. Most of a start's processor time goes into that, for
    /// code that runs once; and unlike the time it does not depend on what else this machine does. Nothing under KVM.
    pub(crate) fn translated(&self) -> Option<u64> {
        blocks(&self.machine.qmp().human("info jit").ok()?)
    }

    /// Its logs and packets stay for a look at what went wrong.
    pub(crate) fn keep(&self) {
        self.lab.keep();
    }

    fn connect(&self, to: SocketAddr, deadline: Instant) -> Result<TcpStream> {
        loop {
            match self.gateway.connect(to, seconds(2)) {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() >= deadline => return Err(error.into()),
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
    }

    fn hear_banner(&self, address: Ipv4Addr, deadline: Instant) -> Result<()> {
        let to = SocketAddr::from((address, 22));
        let stream = self.connect(to, deadline)?;
        stream.set_timeout(deadline.saturating_duration_since(Instant::now()));
        let mut banner = Vec::new();
        let read = BufReader::new(stream.take(BANNER_LIMIT)).read_until(b'\n', &mut banner);
        match read {
            Ok(_) if banner.starts_with(b"SSH-2.0-") && banner.ends_with(b"\n") => Ok(()),
            Ok(_) => Err(BenchError::Banner(to, format!("said {:?}", String::from_utf8_lossy(&banner)))),
            Err(error) => Err(BenchError::Banner(to, error.to_string())),
        }
    }
}

/// The blocks in what QEMU's monitor says to `info jit`: `TB count            70272`.
fn blocks(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.strip_prefix("TB count")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_are_found_in_the_monitor_s_words() {
        let told = "Translation buffer state:\r\ngen code size 39620547/1073736704\r\n\
                    TB count            70272\r\nTB avg target size  18 max=1939 bytes\r\n";
        assert_eq!(blocks(told), Some(70_272));
        assert_eq!(blocks("Error: JIT information is only available with accel=tcg\r\n"), None);
    }
}
