//! An appliance with several ports, each on a network of its own, and with settings of its own; asked over the lab's line to
//! the bus. It never decides what is right.

use crate::{Image, data_partition, put_data};
use drawbridge_bus::{
    ChangeId, NetworkStatus, PendingChange, Port, Reply, Request, Role, RoleStatus, SystemStatus,
};
use drawbridge_image::names;
use drawbridge_lab::https;
use drawbridge_lab::net::{EthernetAddress, Host, Network, NicPort};
use drawbridge_lab::serial::Pattern;
use drawbridge_lab::{Disk, Firmware, Lab, Machine, Nic, NicModel, Watchdog, seconds};
use drawbridge_settings::network::NetworkSettings;
use drawbridge_settings::store::file_bytes;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The size of the data partition's file system, where a plan does not say another.
const DATA_BYTES: u64 = 64 << 20;

/// What an appliance with several ports is made of.
pub struct SitePlan<'a> {
    /// Its ports: a name, a model, and the network that it is plugged into.
    pub ports: Vec<(&'a str, NicModel, &'a Network)>,
    /// Its settings, as JSON with `{NAME}` for the hardware address of the port NAME; none: the board's defaults.
    pub settings: Option<String>,
    /// What its hardware clock says.
    pub clock: Option<&'a str>,
    /// A disk that was used before; none: a fresh one.
    pub disk: Option<PathBuf>,
    /// Where what it writes is noted, for cuts of its power ([`drawbridge_lab::powercut`]); what it began with stands beside the
    /// disk, as `site-disk.began.img`.
    pub writes: Option<PathBuf>,
    /// How large the file system of its data partition is, where settings are put into one: a small one is written quickly.
    pub data_bytes: u64,
    /// Further faults of `drawbridge.lab=`, beside `bus`.
    pub faults: &'a str,
    /// Memory in MiB.
    pub memory: u32,
}

impl<'a> SitePlan<'a> {
    /// An appliance with these ports, and nothing set.
    pub fn new(ports: Vec<(&'a str, NicModel, &'a Network)>) -> Self {
        Self {
            ports,
            settings: None,
            clock: None,
            disk: None,
            writes: None,
            data_bytes: DATA_BYTES,
            faults: "",
            memory: 256,
        }
    }

    /// With these settings.
    #[must_use]
    pub fn settings(mut self, json: &str) -> Self {
        self.settings = Some(json.to_owned());
        self
    }
}

/// A running appliance with several ports.
pub struct Site {
    /// The machine.
    pub machine: Machine,
    /// Its disk, to be booted again.
    pub disk: PathBuf,
    ports: Vec<(String, EthernetAddress, NicPort)>,
}

struct WholeLine<'a>(&'a str);

impl Pattern for WholeLine<'_> {
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        (|line: &str| line.contains(self.0)).find(text)
    }

    fn describe(&self) -> String {
        format!("a line with \"{}\"", self.0)
    }
}

impl Site {
    /// Boots it, and waits until the bus answers.
    ///
    /// # Panics
    /// When the lab cannot start it, or it does not come up.
    #[expect(clippy::needless_pass_by_value, reason = "a plan is made for one appliance")]
    pub fn boot(lab: &Lab, image: &Image, plan: SitePlan<'_>) -> Self {
        let mut ports = Vec::new();
        let mut machine = Machine::builder().memory(plan.memory).watchdog(Watchdog::I6300esb).second_serial();
        for (name, model, network) in &plan.ports {
            let port = network.nic_port(name).expect("a port of the network");
            let nic = Nic::new(name, *model, &port);
            ports.push(((*name).to_owned(), nic.mac(), port));
            machine = machine.nic(nic);
        }
        let settings = plan.settings.as_ref().map(|text| with_addresses(text, &ports));
        let disk = plan.disk.clone().unwrap_or_else(|| {
            let disk = lab.folder().join("site-disk.img");
            drawbridge_lab::copy_sparse(&image.file(names::DISK), &disk).expect("a copy of the disk");
            disk
        });
        if let Some(settings) = &settings {
            put_settings(lab, &disk, settings, plan.data_bytes);
        }
        let faults = if plan.faults.is_empty() { "bus".to_owned() } else { format!("bus,{}", plan.faults) };
        let command_line = format!("{} drawbridge.lab={faults}", image.command_line());
        let firmware = Firmware::kernel(image.file(names::KERNEL))
            .initrd(image.file(names::INITRAMFS_LAB))
            .cmdline(&command_line);
        let mut drive = Disk::in_place(&disk);
        if let Some(writes) = &plan.writes {
            drawbridge_lab::copy_sparse(&disk, &disk.with_extension("began.img"))
                .expect("a copy of the disk");
            drive = drive.log_writes(writes);
        }
        machine = machine.firmware(firmware).disk(drive);
        if let Some(clock) = plan.clock {
            machine = machine.clock(clock);
        }
        let machine = machine.start(lab).expect("the machine starts");
        let site = Self { machine, disk, ports };
        site.says("questions to the bus are answered");
        site
    }

    /// Waits for a whole line with this text on the serial line, behind the last one that was waited for.
    ///
    /// # Panics
    /// When it does not come in time (stretched under emulation).
    pub fn says(&self, text: &str) -> String {
        match self.machine.serial().wait_for(WholeLine(text), seconds(60)) {
            Ok(line) => line.text,
            Err(error) => panic!("{error}"),
        }
    }

    /// Looks at the serial line from its beginning again.
    pub fn look_again(&self) {
        self.machine.serial().look_from(drawbridge_lab::serial::Serial::beginning());
    }

    /// The network's end of a port's cable.
    ///
    /// # Panics
    /// When there is no such port.
    pub fn port(&self, name: &str) -> &NicPort {
        &self.find(name).2
    }

    /// A port's hardware address.
    ///
    /// # Panics
    /// When there is no such port.
    pub fn mac(&self, name: &str) -> EthernetAddress {
        self.find(name).1
    }

    fn find(&self, name: &str) -> &(String, EthernetAddress, NicPort) {
        self.ports.iter().find(|(one, ..)| one == name).unwrap_or_else(|| panic!("no port {name}"))
    }

    /// Asks a role on the bus, as the console.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&self, to: Role, request: &Request) -> Reply {
        self.try_ask(to, request)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.machine.serial().tail(30)))
    }

    /// The same of a role that may die meanwhile; an error is why there is no answer.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_ask(&self, to: Role, request: &Request) -> Result<Reply, String> {
        let question = serde_json::json!({ "to": to, "request": request }).to_string();
        let answer = self.machine.control().ask(&question, seconds(60)).map_err(|error| error.to_string())?;
        let said: serde_json::Value =
            serde_json::from_str(&answer).map_err(|error| format!("{error} in the answer {answer}"))?;
        let reply = said.get("reply").ok_or_else(|| format!("{question} was answered by {answer}"))?;
        serde_json::from_value(reply.clone()).map_err(|error| format!("{error} in the reply {reply}"))
    }

    /// Has a role killed (KILL) so many milliseconds after the order has arrived; the serial line says when it is done. With
    /// the console go questions to the bus, until the serial line says that they are answered again.
    ///
    /// # Panics
    /// When the order is not taken.
    pub fn kill(&self, role: Role, after_milliseconds: u64) {
        let order = serde_json::json!({ "kill": role, "after": after_milliseconds }).to_string();
        match self.machine.control().ask(&order, seconds(60)) {
            Ok(answer) => assert_eq!(answer, r#"{"reply":"Done"}"#, "{order}"),
            Err(error) => panic!("{error}\n{}", self.machine.serial().tail(30)),
        }
    }

    /// The network as it is.
    ///
    /// # Panics
    /// When it is not told.
    pub fn network(&self) -> NetworkStatus {
        match self.ask(Role::Network, &Request::Network) {
            Reply::Network(status) => *status,
            other => panic!("not a status: {other:?}"),
        }
    }

    /// The whole system as init sees it.
    ///
    /// # Panics
    /// When it is not told.
    pub fn system(&self) -> SystemStatus {
        match self.ask(Role::Init, &Request::Status) {
            Reply::Status(status) => *status,
            other => panic!("not a status: {other:?}"),
        }
    }

    /// How a role is doing.
    ///
    /// # Panics
    /// When there is no such role.
    pub fn role(&self, role: Role) -> RoleStatus {
        let roles = self.system().roles;
        roles.into_iter().find(|one| one.role == role).unwrap_or_else(|| panic!("no {role} in the status"))
    }

    /// Fetches the console's page, asked for by this host at this address.
    ///
    /// # Panics
    /// When there is none, or it does not come in time.
    pub fn serves(&self, host: &Host, address: Ipv4Addr) {
        let page = host.connect((address, 9000), seconds(10)).map_err(|error| error.to_string()).and_then(
            |stream| {
                https::get(stream, &address.to_string(), "/status", seconds(20))
                    .map_err(|error| error.to_string())
            },
        );
        match page {
            Ok(page) => assert_eq!(page.status, 200, "{}", page.text()),
            Err(error) => panic!(
                "no page for {} at {address}: {error}\n{}",
                host.name(),
                self.machine.serial().tail(30)
            ),
        }
    }

    /// Waits until the network is as `wanted` says, and gives what it says.
    ///
    /// # Panics
    /// When it does not come to that in time.
    pub fn until<T>(&self, what: &str, within: Duration, wanted: impl Fn(&NetworkStatus) -> Option<T>) -> T {
        let end = Instant::now() + drawbridge_lab::within(within);
        loop {
            let status = self.network();
            if let Some(found) = wanted(&status) {
                return found;
            }
            assert!(
                Instant::now() < end,
                "not in time: {what}; it is {status:#?}\n{}",
                self.machine.serial().tail(30)
            );
            // Asking is waiting too: an answer takes tens of milliseconds over the serial line.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The port of that name as the appliance sees it (by its hardware address), when it is there.
    pub fn seen<'s>(&self, status: &'s NetworkStatus, name: &str) -> Option<&'s Port> {
        let mac = self.mac(name).0;
        status.ports.iter().find(|port| port.mac == mac && !port.roles.is_empty())
    }

    /// Waits until the port has an IPv4 address that is no link-local one, and gives it.
    ///
    /// # Panics
    /// When it gets none in time.
    pub fn address(&self, name: &str) -> Ipv4Addr {
        self.until("an address", Duration::from_secs(30), |status| {
            self.seen(status, name)?.addresses.iter().find_map(|(address, _)| match address {
                std::net::IpAddr::V4(address) if !address.is_link_local() => Some(*address),
                _ => None,
            })
        })
    }

    /// Waits until the port has this address.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn has(&self, name: &str, wanted: impl Into<std::net::IpAddr>) {
        let wanted = wanted.into();
        self.until(&format!("{wanted} on {name}"), Duration::from_secs(30), |status| {
            let addresses = &self.seen(status, name)?.addresses;
            addresses.iter().any(|(address, _)| *address == wanted).then_some(())
        });
    }

    /// Proposes settings, written as in [`SitePlan::settings`].
    ///
    /// # Panics
    /// When they are refused.
    pub fn change(&self, json: &str) -> PendingChange {
        let settings = NetworkSettings::parse_json(with_addresses(json, &self.ports).as_bytes())
            .unwrap_or_else(|errors| panic!("the test's settings are wrong: {errors:?}"));
        match self.ask(Role::Network, &Request::ChangeNetwork(Box::new(settings))) {
            Reply::Pending(pending) => pending,
            other => panic!("not pending: {other:?}"),
        }
    }

    /// Confirms a change.
    ///
    /// # Panics
    /// When it is refused.
    pub fn confirm(&self, id: ChangeId) {
        assert_eq!(self.ask(Role::Network, &Request::ConfirmNetwork(id)), Reply::Done);
    }

    /// The addresses of a name, or why there are none.
    ///
    /// # Panics
    /// When neither is said.
    pub fn resolve(&self, name: &str) -> Result<Vec<std::net::IpAddr>, String> {
        match self.ask(Role::Network, &Request::Resolve { name: name.to_owned(), interface: None }) {
            Reply::Addresses(addresses) => Ok(addresses),
            Reply::Unresolved(why) => Err(why),
            other => panic!("neither addresses nor a reason: {other:?}"),
        }
    }
}

/// Puts the ports' hardware addresses in the places of their names.
fn with_addresses(text: &str, ports: &[(String, EthernetAddress, NicPort)]) -> String {
    ports.iter().fold(text.to_owned(), |text, (name, mac, _)| {
        let mac = mac.0.map(|byte| format!("{byte:02x}")).join(":");
        text.replace(&format!("{{{name}}}"), &mac)
    })
}

/// Makes a data partition with these settings in it.
fn put_settings(lab: &Lab, disk: &Path, json: &str, bytes: u64) {
    let settings = NetworkSettings::parse_json(json.as_bytes())
        .unwrap_or_else(|errors| panic!("the test's settings are wrong: {errors:?}"));
    let body = serde_json::to_vec_pretty(&settings).expect("settings are JSON");
    let (tree, file) = (lab.folder().join("site-tree"), lab.folder().join("site-data.ext4"));
    std::fs::create_dir_all(tree.join("network")).expect("a folder");
    std::fs::write(tree.join("network/network.json"), file_bytes("network", 1, &body)).expect("a file");
    let extent = data_partition(disk);
    std::fs::File::create(&file)
        .and_then(|file| file.set_len(bytes.min(extent.length)))
        .expect("room for a file system");
    let made = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(&tree)
        .arg(&file)
        .status()
        .expect("mke2fs (package e2fsprogs)");
    assert!(made.success(), "mke2fs made no file system");
    put_data(disk, &file);
}
