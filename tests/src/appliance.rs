//! An appliance in the lab: booted as planned, on a network with a DHCP server, and looked at from there.

use crate::Image;
use drawbridge_image::names;
use drawbridge_lab::https::{self, Page};
use drawbridge_lab::net::{DhcpConfig, DhcpServer, Host, HostConfig, Network, NicPort};
use drawbridge_lab::serial::Pattern;
use drawbridge_lab::{Disk, Firmware, Lab, Machine, MachineBuilder, Nic, NicModel, Watchdog, seconds};
use std::net::Ipv4Addr;

/// How an appliance is booted. The default is the shipped image with an unchanged disk, started directly by kernel, on one
/// virtio-net port with 256 MiB.
pub struct Plan {
    /// Boot from the disk by UEFI instead.
    pub uefi: bool,
    /// The image with the faults of `drawbridge.lab=` in it, and what to ask of it.
    pub faults: Option<&'static str>,
    /// Memory in MiB.
    pub memory: u32,
    /// The disk; none for a machine without one.
    pub disk: Option<Disk>,
    /// What the hardware clock says, `1970-01-01T00:00:00`.
    pub clock: Option<&'static str>,
    /// The watchdog that the machine has.
    pub watchdog: Watchdog,
    /// The network card.
    pub nic: NicModel,
}

impl Plan {
    /// The default for this image.
    pub fn of(image: &Image) -> Self {
        Self {
            uefi: false,
            faults: None,
            memory: 256,
            disk: Some(Disk::copy_of(image.file(names::DISK))),
            clock: None,
            watchdog: Watchdog::I6300esb,
            nic: NicModel::VirtioNet,
        }
    }
}

/// A whole line with this text in it: one that is still being written is not taken for it.
struct WholeLine<'a>(&'a str);

impl Pattern for WholeLine<'_> {
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        (|line: &str| line.contains(self.0)).find(text)
    }

    fn describe(&self) -> String {
        format!("a line with \"{}\"", self.0)
    }
}

/// A running appliance with its network.
pub struct Appliance {
    /// The machine.
    pub machine: Machine,
    /// Its only network.
    pub network: Network,
    /// The host at the other end: router, DHCP server, and whoever looks at the console.
    pub gateway: Host,
    /// The gateway's DHCP server.
    pub dhcp: DhcpServer,
    /// The network's end of the appliance's cable.
    pub port: NicPort,
    mac: drawbridge_lab::net::EthernetAddress,
}

impl Appliance {
    /// Boots an appliance.
    ///
    /// # Panics
    /// When the lab cannot start it.
    pub fn boot(lab: &Lab, image: &Image, plan: Plan) -> Self {
        Self::boot_with(lab, image, plan, |machine| machine)
    }

    /// Boots an appliance in a machine that `more` has added to.
    ///
    /// # Panics
    /// When the lab cannot start it.
    pub fn boot_with(
        lab: &Lab,
        image: &Image,
        plan: Plan,
        more: impl FnOnce(MachineBuilder) -> MachineBuilder,
    ) -> Self {
        let network = Network::new(lab, "management").expect("a network");
        let gateway = network.host(HostConfig::new("gateway").ipv4([10, 0, 1, 1], 24));
        let dhcp = gateway.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50));
        let port = network.nic_port("management").expect("a port");
        let nic = Nic::new("management", plan.nic, &port);
        let mac = nic.mac();
        let command_line = image.command_line()
            + &plan.faults.map_or_else(String::new, |faults| format!(" drawbridge.lab={faults}"));
        let initramfs = if plan.faults.is_some() { names::INITRAMFS_LAB } else { names::INITRAMFS };
        let firmware = if plan.uefi {
            Firmware::uefi()
        } else {
            Firmware::kernel(image.file(names::KERNEL)).initrd(image.file(initramfs)).cmdline(&command_line)
        };
        let mut machine =
            Machine::builder().firmware(firmware).memory(plan.memory).nic(nic).watchdog(plan.watchdog);
        if plan.uefi && plan.faults.is_some() {
            // The disk's system file has a command line of its own, and no faults in it: UEFI starts this one instead.
            machine = machine
                .argument("-kernel")
                .argument(image.file(names::KERNEL))
                .argument("-initrd")
                .argument(image.file(initramfs))
                .argument("-append")
                .argument(command_line.clone() + " pstore.backend=efi_pstore");
        }
        if let Some(disk) = plan.disk {
            machine = machine.disk(disk);
        }
        if let Some(clock) = plan.clock {
            machine = machine.clock(clock);
        }
        let machine = more(machine).start(lab).expect("the machine starts");
        Self { machine, network, gateway, dhcp, port, mac }
    }

    /// Waits for a whole line with this text on the serial line, behind the last one that was waited for.
    ///
    /// # Panics
    /// When it does not come in time (stretched under emulation).
    pub fn says(&self, text: &str) -> String {
        match self.machine.serial().wait_for(WholeLine(text), seconds(30)) {
            Ok(line) => line.text,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until both roles serve and the console has an address, which is given.
    ///
    /// # Panics
    /// When that does not come in time.
    pub fn is_up(&self) -> Ipv4Addr {
        self.says("The console is at https://");
        self.address()
    }

    /// The address that DHCP gave it.
    ///
    /// # Panics
    /// When it does not ask for one in time.
    pub fn address(&self) -> Ipv4Addr {
        match self.dhcp.wait_for_lease(self.mac, seconds(30)) {
            Ok(address) => address,
            Err(error) => panic!("{error}"),
        }
    }

    /// Fetches the status page.
    ///
    /// # Panics
    /// When there is none, or it does not come in time.
    pub fn page(&self) -> Page {
        let address = self.address();
        let stream = match self.gateway.connect((address, 9000), seconds(10)) {
            Ok(stream) => stream,
            Err(error) => {
                panic!("the console accepts no connection: {error}\n{}", self.machine.serial().tail(20))
            }
        };
        match https::get(stream, &address.to_string(), "/status", seconds(20)) {
            Ok(page) => page,
            Err(error) => panic!("the console does not answer: {error}\n{}", self.machine.serial().tail(20)),
        }
    }

    /// The text of the status page.
    ///
    /// # Panics
    /// When there is no page with status 200.
    pub fn page_text(&self) -> String {
        let page = self.page();
        assert_eq!(page.status, 200, "{}", page.text());
        page.text()
    }
}
