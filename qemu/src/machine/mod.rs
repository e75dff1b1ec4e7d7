//! A virtual machine of the lab: described, started, steered, ended. It never uses a network of the host.

pub mod disk;
pub mod firmware;
pub mod nic;

use crate::control::Control;
use crate::process::Process;
use crate::qmp::Qmp;
use crate::serial::{Copies, Serial};
use crate::{Lab, LabError, kvm};
use disk::{Disk, DiskFault, Parts};
use firmware::Firmware;
use nic::Nic;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Slots of the root bus. Slot 0 is the host bridge, slot 1 the screen, slot 31 the chipset. They stay the same whatever a
/// machine has, because the appliance knows its ports by their place.
const DISK_SLOT: usize = 0x02;
const ENTROPY_SLOT: usize = 0x06;
const WATCHDOG_SLOT: usize = 0x07;
const NIC_SLOT: usize = 0x08;
const DISKS_LIMIT: usize = 4;
const NICS_LIMIT: usize = 16;

/// QEMU greets when it has set the machine up. On a loaded machine that may take long; nobody waits for it in vain, since
/// its end is seen at once.
const GREETING_WITHIN: Duration = Duration::from_mins(2);

/// The watchdogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// Intel 6300ESB, a PCI device.
    I6300esb,
    /// The one in the chipset (iTCO).
    Itco,
}

/// A description of a machine.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each says whether the machine has one thing")]
pub struct MachineBuilder {
    memory: u32,
    firmware: Firmware,
    disks: Vec<Disk>,
    nics: Vec<Nic>,
    watchdog: Option<Watchdog>,
    clock: Option<String>,
    serial_number: Option<String>,
    product: Option<String>,
    second_serial: bool,
    entropy: bool,
    no_reboot: bool,
    paused: bool,
    echo: Option<String>,
    arguments: Vec<OsString>,
}

impl MachineBuilder {
    /// Memory in MiB (256 unless said).
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// How it starts.
    #[must_use]
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// With one more disk; four at most.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// With one more network card; sixteen at most. The first is in slot 8 of the root bus, the next in slot 9.
    #[must_use]
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nics.push(nic);
        self
    }

    /// With a watchdog that resets the machine.
    #[must_use]
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = Some(watchdog);
        self
    }

    /// The clock starts at this time, such as `1970-01-01T00:00:00`, in UTC.
    #[must_use]
    pub fn clock(mut self, date: &str) -> Self {
        self.clock = Some(date.to_owned());
        self
    }

    /// The serial number in the machine's SMBIOS table.
    #[must_use]
    pub fn serial_number(mut self, number: &str) -> Self {
        self.serial_number = Some(number.to_owned());
        self
    }

    /// The product's name in the machine's SMBIOS table, such as `Drawbridge Lab 3`.
    #[must_use]
    pub fn smbios_product(mut self, name: &str) -> Self {
        self.product = Some(name.to_owned());
        self
    }

    /// With a second serial line, the guest's `ttyS1`, for [`Machine::control`].
    #[must_use]
    pub fn second_serial(mut self) -> Self {
        self.second_serial = true;
        self
    }

    /// Where the guest finds a network card: see [`Machine::pci_path`].
    pub fn pci_path(&self, nic: &str) -> Option<String> {
        pci_path(&self.nics, nic)
    }

    /// Without the source of entropy that it has otherwise (virtio-rng).
    #[must_use]
    pub fn without_entropy(mut self) -> Self {
        self.entropy = false;
        self
    }

    /// QEMU ends when the guest reboots.
    #[must_use]
    pub fn no_reboot(mut self) -> Self {
        self.no_reboot = true;
        self
    }

    /// It waits for [`Qmp::resume`] before its first instruction.
    #[must_use]
    pub fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Every serial line appears on standard output, behind this word.
    #[must_use]
    pub fn echo(mut self, prefix: &str) -> Self {
        self.echo = Some(prefix.to_owned());
        self
    }

    /// With one more argument for QEMU.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Starts it. Its files are in the lab's folder: `machine1-serial.log`, `machine1-qemu.log`.
    pub fn start(self, lab: &Lab) -> Result<Machine, LabError> {
        let number = lab.next_machine();
        let (serial, their_serial) = pair()?;
        let (monitor, their_monitor) = pair()?;
        let second = self.second_serial.then(pair).transpose()?;
        let disks = self.disks.iter().enumerate();
        let disks: Vec<Parts> =
            disks.map(|(index, disk)| disk.parts(lab, number, index)).collect::<Result<_, _>>()?;
        let log = lab.file(&format!("machine{number}-qemu.log"));
        let output = crate::serial::log_file(&log)?;
        let errors = output.try_clone().map_err(LabError::file("share", &log))?;

        let mut command = Command::new(kvm::qemu());
        command
            .args(self.board())
            .args(Self::chardev("serial", &their_serial))
            .args(["-serial", "chardev:serial"]);
        if let Some((_, theirs)) = &second {
            command.args(Self::chardev("control", theirs)).args(["-serial", "chardev:control"]);
        }
        command
            .args(Self::chardev("monitor", &their_monitor))
            .args(["-mon", "chardev=monitor,mode=control"])
            .args(self.firmware.arguments(lab, number)?)
            .args(self.devices(&disks)?)
            .args(&self.arguments)
            .current_dir(lab.folder())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);

        let copies = Copies {
            log: Some(crate::serial::log_file(&lab.file(&format!("machine{number}-serial.log")))?),
            echo: self.echo.clone(),
            speaker: None,
        };
        let serial = Serial::start(serial, lab.started(), copies)
            .map_err(|error| LabError::System("read the serial line", error))?;
        let mut inherited = vec![their_serial, their_monitor];
        let second = second.map(|(ours, theirs)| {
            inherited.push(theirs);
            let copies = Copies {
                log: Some(crate::serial::log_file(&lab.file(&format!("machine{number}-control.log")))?),
                echo: None,
                speaker: Some("the second serial line".to_owned()),
            };
            Serial::start(ours, lab.started(), copies)
                .map_err(|error| LabError::System("read the second serial line", error))
        });
        let control = Control::new(second.transpose()?);
        let process = Process::start(command, inherited)?;
        let qmp = Qmp::start(monitor, GREETING_WITHIN)
            .map_err(|error| if error.is_end() { ended(&process, &log) } else { error.into() })?;
        let faults = disks.into_iter().zip(&self.disks).map(|(parts, disk)| FaultState {
            healthy: parts.healthy,
            read_only: disk.is_read_only(),
            generation: AtomicU32::new(0),
        });
        Ok(Machine { qmp, serial, control, process, log, nics: self.nics, faults: faults.collect() })
    }

    fn board(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["-nodefaults".into(), "-no-user-config".into()];
        let mut add = |pair: [&str; 2]| arguments.extend(pair.map(OsString::from));
        add(["-M", "q35"]);
        if kvm::works() {
            add(["-accel", "kvm"]);
            add(["-cpu", "host"]);
        } else {
            add(["-accel", "tcg"]);
            add(["-cpu", "max"]);
        }
        add(["-m", &self.memory.to_string()]);
        add(["-smp", "1"]);
        add(["-display", "none"]);
        add(["-vga", "std"]);
        if let Some(date) = &self.clock {
            // On the machine's own clock: on the host's, QEMU keeps the difference in 32 bits, and 2099 becomes 2063.
            add(["-rtc", &format!("base={date},clock=vm")]);
        }
        let names = [("serial", &self.serial_number), ("product", &self.product)];
        let names = names.into_iter().filter_map(|(key, value)| {
            value.as_ref().map(|value| format!(",{key}={}", value.replace(',', ",,")))
        });
        let names: String = names.collect();
        if !names.is_empty() {
            add(["-smbios", &format!("type=1{names}")]);
        }
        if self.no_reboot {
            arguments.push("-no-reboot".into());
        }
        if self.paused {
            arguments.push("-S".into());
        }
        arguments
    }

    fn chardev(id: &str, socket: &OwnedFd) -> [OsString; 2] {
        ["-chardev".into(), format!("socket,id={id},fd={}", socket.as_raw_fd()).into()]
    }

    fn devices(&self, disks: &[Parts]) -> Result<Vec<OsString>, LabError> {
        if self.disks.len() > DISKS_LIMIT || self.nics.len() > NICS_LIMIT {
            let (disks, nics) = (self.disks.len(), self.nics.len());
            return Err(LabError::Description(format!(
                "{disks} disks and {nics} network cards are too many"
            )));
        }
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |option: &str, value: &Value| {
            arguments.extend([OsString::from(option), OsString::from(value.to_string())]);
        };
        for disk in disks {
            disk.nodes.iter().for_each(|node| add("-blockdev", node));
            disk.devices.iter().for_each(|device| add("-device", device));
        }
        for (index, nic) in self.nics.iter().enumerate() {
            let slot = NIC_SLOT + index;
            add("-netdev", &nic.netdev());
            if let Some(port) = nic.root_port(slot) {
                add("-device", &port);
            }
            add("-device", &nic.device_properties(slot));
        }
        if self.entropy {
            add("-object", &json!({"qom-type": "rng-builtin", "id": "entropy"}));
            let place = format!("{ENTROPY_SLOT:#x}");
            add(
                "-device",
                &json!({"driver": "virtio-rng-pci", "rng": "entropy", "bus": "pcie.0", "addr": place}),
            );
        }
        match self.watchdog {
            Some(Watchdog::I6300esb) => {
                let place = format!("{WATCHDOG_SLOT:#x}");
                add("-device", &json!({"driver": "i6300esb", "bus": "pcie.0", "addr": place}));
            }
            // The chipset has it always; a strap decides whether it may reset.
            Some(Watchdog::Itco) => arguments.extend(["-global".into(), "ICH9-LPC.noreboot=off".into()]),
            None => {}
        }
        if self.watchdog.is_some() {
            arguments.extend(["-action".into(), "watchdog=reset".into()]);
        }
        Ok(arguments)
    }
}

/// A running machine. Dropped, it is killed.
#[derive(Debug)]
pub struct Machine {
    qmp: Qmp,
    serial: Serial,
    control: Control,
    process: Process,
    log: PathBuf,
    nics: Vec<Nic>,
    faults: Vec<FaultState>,
}

#[derive(Debug)]
struct FaultState {
    healthy: String,
    read_only: bool,
    generation: AtomicU32,
}

impl Machine {
    /// A description to be filled in: q35, one processor, 256 MiB, virtio-rng, no disk, no network, no watchdog.
    pub fn builder() -> MachineBuilder {
        MachineBuilder {
            memory: 256,
            firmware: Firmware::default(),
            disks: Vec::new(),
            nics: Vec::new(),
            watchdog: None,
            clock: None,
            serial_number: None,
            product: None,
            second_serial: false,
            entropy: true,
            no_reboot: false,
            paused: false,
            echo: None,
            arguments: Vec::new(),
        }
    }

    /// Its serial line.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Its second serial line. Each use is an error unless [`MachineBuilder::second_serial`] was said.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Where the guest finds a network card, as in `/sys/devices/pci0000:00/`: the root port and the card on the bus behind
    /// it, such as `0000:00:08.0/0000:01:00.0`, or for a card that cannot be unplugged its place on the root bus. The first
    /// card has slot 8, the next slot 9; buses are numbered in the order of the ports.
    pub fn pci_path(&self, nic: &str) -> Option<String> {
        pci_path(&self.nics, nic)
    }

    /// Its monitor.
    pub fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// The number of QEMU's process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Whether QEMU still runs.
    pub fn runs(&self) -> bool {
        self.process.runs()
    }

    /// The processor time that QEMU has used: with emulation, about what the guest did.
    pub fn cpu_time(&self) -> Result<Duration, LabError> {
        self.process.cpu_time()
    }

    /// The memory that QEMU holds, in bytes: the guest's touched memory and QEMU's own.
    pub fn resident_memory(&self) -> Result<u64, LabError> {
        self.process.resident_memory()
    }

    /// Waits until QEMU has ended, as it does when the guest powers off.
    pub fn wait_for_exit(&self, within: Duration) -> Result<ExitStatus, LabError> {
        self.process.wait(within)
    }

    /// Presses the power button and waits until the machine is off.
    pub fn power_off(&self, within: Duration) -> Result<(), LabError> {
        self.qmp.system_powerdown()?;
        self.wait_for_exit(within).map(drop)
    }

    /// Ends QEMU at once. What the guest wrote to its disks stays: this is no power cut.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Sets the carrier of a network card.
    pub fn set_link(&self, nic: &str, up: bool) -> Result<(), LabError> {
        Ok(self.qmp.set_link(nic, up)?)
    }

    /// Asks the guest to let a network card go and waits until it has.
    pub fn unplug_nic(&self, nic: &str, within: Duration) -> Result<(), LabError> {
        self.nic_slot(nic)?;
        self.qmp.device_del(nic, within)?;
        self.qmp.execute("netdev_del", json!({"id": format!("net-{nic}")}))?;
        Ok(())
    }

    /// Plugs a card back in that was unplugged.
    pub fn plug_nic(&self, nic: &str) -> Result<(), LabError> {
        let (slot, nic) = self.nic_slot(nic)?;
        self.qmp.execute("netdev_add", nic.netdev())?;
        Ok(self.qmp.device_add(nic.device_properties(slot))?)
    }

    fn nic_slot(&self, id: &str) -> Result<(usize, &Nic), LabError> {
        let found = self.nics.iter().enumerate().find(|(_, nic)| nic.id() == id);
        let (index, nic) =
            found.ok_or_else(|| LabError::Description(format!("it has no network card {id}")))?;
        if nic.model().can_be_unplugged() {
            Ok((NIC_SLOT + index, nic))
        } else {
            Err(LabError::Description(format!("the card {id} is an {} and cannot be unplugged", nic.model())))
        }
    }

    /// From now on the operations of these faults fail on the disk with this index, and no others. None at all: it is sound.
    pub fn set_disk_faults(&self, index: usize, faults: &[DiskFault]) -> Result<(), LabError> {
        let disk = self.faults.get(index);
        let disk = disk.ok_or_else(|| LabError::Description(format!("it has no disk {index}")))?;
        let below = if faults.is_empty() {
            disk.healthy.clone()
        } else {
            let generation = disk.generation.fetch_add(1, Ordering::Relaxed) + 1;
            let node = disk::fault_node(index, generation);
            self.qmp.execute("blockdev-add", disk::faulty(&node, &disk.healthy, faults)?)?;
            node
        };
        let top = disk::format_node(index, &below, disk.read_only);
        self.qmp.execute("blockdev-reopen", json!({ "options": [top] }))?;
        Ok(())
    }

    /// What the screen shows, as a PNG or PPM file by its name.
    pub fn screenshot(&self, file: &Path) -> Result<(), LabError> {
        Ok(self.qmp.screendump(file)?)
    }

    /// What QEMU itself said.
    pub fn qemu_log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What the screen shows is often all that a machine says which did not come up.
        if std::thread::panicking() && self.process.runs() {
            let _ = self.screenshot(&self.log.with_extension("screen.png"));
        }
    }
}

/// SeaBIOS and OVMF number buses by depth, in the order of slots, and Linux takes their numbers over. Nothing else in these
/// machines has a bus behind it.
fn pci_path(nics: &[Nic], id: &str) -> Option<String> {
    let index = nics.iter().position(|nic| nic.id() == id)?;
    let ports = |nics: &[Nic]| nics.iter().filter(|nic| nic.model().can_be_unplugged()).count();
    let place = format!("0000:00:{:02x}.0", NIC_SLOT + index);
    if !nics.get(index)?.model().can_be_unplugged() {
        return Some(place);
    }
    Some(format!("{place}/0000:{:02x}:00.0", ports(nics.get(..=index)?)))
}

/// A socket pair: the lab's end, and the one QEMU inherits.
fn pair() -> Result<(UnixStream, OwnedFd), LabError> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| LabError::System("make a socket", error))?;
    Ok((ours, theirs.into()))
}

fn ended(process: &Process, log: &Path) -> LabError {
    // Its monitor closed: it is about to end, if it has not.
    let status = process.wait(Duration::from_secs(10));
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let stderr = std::fs::read_to_string(log).unwrap_or_default();
    LabError::MachineEnded { status, stderr: stderr.trim_end().to_owned() }
}

/// A path inside an option list of QEMU, where a comma is written twice.
fn escaped(path: &Path) -> OsString {
    path.to_string_lossy().replace(',', ",,").into()
}
