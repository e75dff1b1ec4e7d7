//! The lab: virtual machines, virtual networks and faults for whole-system tests. Nothing in it ever runs on an appliance.
//!
//! A test makes a [`Lab`] first; it holds the folder of everything the test writes, and keeps it when the test fails.
//! Then come networks, hosts on them, and machines whose network cards are plugged into those networks:
//!
//! ```no_run
//! use drawbridge_lab::net::{DhcpConfig, HostConfig, Network};
//! use drawbridge_lab::{Firmware, Lab, Machine, Nic, NicModel, seconds};
//!
//! let lab = Lab::new("every port gets a lease");
//! let network = Network::new(&lab, "management").unwrap();
//! let gateway = network.host(HostConfig::new("gateway").ipv4([10, 0, 1, 1], 24));
//! let dhcp = gateway.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50));
//!
//! let port = network.nic_port("management").unwrap();
//! let nic = Nic::new("management", NicModel::E1000e, &port);
//! let mac = nic.mac();
//! let machine = Machine::builder()
//!     .firmware(Firmware::kernel("bzImage").initrd("initramfs.zst").cmdline("console=ttyS0"))
//!     .nic(nic)
//!     .start(&lab)
//!     .unwrap();
//! machine.serial().wait_for("Linux version", seconds(20)).unwrap();
//! let address = dhcp.wait_for_lease(mac, seconds(30)).unwrap();
//! let console = gateway.connect((address, 9000), seconds(10)).unwrap();
//! let page = drawbridge_lab::https::get(console, "sa", "/", seconds(10)).unwrap();
//! assert_eq!(page.status, 200);
//! ```
//!
//! Servers that are not ours run in a namespace, as an ordinary user too:
//!
//! ```no_run
//! use drawbridge_lab::net::{NamespaceConfig, Network};
//! use drawbridge_lab::{Lab, seconds};
//!
//! let lab = Lab::new("the clock is set by chronyd");
//! let network = Network::new(&lab, "management").unwrap();
//! let servers = network.namespace("servers", &NamespaceConfig::new().ipv4([10, 0, 1, 2], 24)).unwrap();
//! let pid = servers.file("chronyd.pid");
//! let config = format!("local stratum 3\nallow\ncmdport 0\nbindcmdaddress /\npidfile {}\n", pid.display());
//! let config = servers.write("chrony.conf", &config).unwrap();
//! let chronyd = servers.run("chronyd", ["-x", "-d", "-u", "root", "-f", config.to_str().unwrap()]).unwrap();
//! chronyd.wait_for("starting", seconds(10)).unwrap();
//! ```
//!
//! Every wait is bounded by its caller. [`within`] and [`seconds`] stretch a bound on a machine without KVM.
//!
//! Three variables of the environment change how the lab works: `DRAWBRIDGE_QEMU` names another QEMU than
//! `qemu-system-x86_64`, `DRAWBRIDGE_PATIENCE` multiplies every bound, `DRAWBRIDGE_KEEP` keeps the folder of tests that pass.

pub mod array;
mod artefacts;
pub mod control;
pub mod error;
pub mod https;
pub mod kvm;
pub mod machine;
pub mod net;
pub mod owner;
pub mod powercut;
pub mod process;
pub mod qmp;
pub mod serial;
mod sys;
pub mod time;
pub mod vendor;

pub use array::{Array, ArrayConfig};
pub use artefacts::Lab;
pub use control::Control;
pub use error::LabError;
pub use machine::disk::{Disk, DiskBus, DiskFault, Failing, Operations, copy_sparse};
pub use machine::firmware::Firmware;
pub use machine::nic::{Nic, NicModel};
pub use machine::{Machine, MachineBuilder, Watchdog};
pub use owner::Owner;
pub use time::{seconds, within};
pub use vendor::Vendor;
