//! The peers that get a lease: `BusyBox`'s udhcpc in a guest on the appliance's own kernel, and udhcpc and dhclient in a
//! namespace of this host. They set the address and the default route, and probe nothing.

use crate::bare::DATE;
use crate::debian::{Packages, find, read};
use crate::error::{BenchError, Result};
use crate::network::{Lease, Leases, PORT, Place, ROUNDS, UNPLUGGED};
use drawbridge_image::cpio::Archive;
use drawbridge_image::names;
use drawbridge_image::source::SourceDate;
use drawbridge_lab::net::{Namespace, NamespaceConfig, Program};
use drawbridge_lab::{Firmware, Machine, Nic, NicModel, seconds};
use drawbridge_tests::Image;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CARRIER: &str = include_str!("peer_carrier.sh");
const ROUTE: &str = include_str!("peer_route.sh");

/// What init runs in the guest.
const TABLE: &[u8] = b"::sysinit:/bin/busybox sh /carrier\n";

/// A client, where it runs, and what it gave.
pub(crate) struct LeasePeer {
    pub(crate) name: &'static str,
    pub(crate) leases: Result<Leases>,
}

/// All of them. What is not installed here has an error instead of figures.
pub(crate) fn all(image: &Image, packages: &Packages) -> Vec<LeasePeer> {
    vec![
        LeasePeer { name: "udhcpc in a guest", leases: in_guest(image, packages) },
        LeasePeer { name: "udhcpc here", leases: udhcpc() },
        LeasePeer { name: "dhclient here", leases: dhclient() },
    ]
}

fn in_guest(image: &Image, packages: &Packages) -> Result<Leases> {
    let place = Place::new("bench udhcpc guest")?;
    let root = place.lab.file("udhcpc.cpio");
    pack(packages, &root)?;
    let port = place.network.nic_port(PORT)?;
    let nic = Nic::new(PORT, NicModel::VirtioNet, &port);
    let mac = nic.mac();
    let firmware =
        Firmware::kernel(image.file(names::KERNEL)).initrd(&root).cmdline(image.command_line().as_str());
    let machine = Machine::builder().firmware(firmware).memory(256).nic(nic).no_reboot();
    let machine = machine.start(&place.lab)?;
    machine.serial().wait_for("bench: bound", seconds(60))?;
    let address = place.dhcp.wait_for_lease(mac, seconds(10))?;
    place.meet(address)?;
    let recording = port.cable().record();
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        machine.set_link(PORT, false)?;
        machine.serial().wait_for("bench: no carrier", seconds(20))?;
        std::thread::sleep(UNPLUGGED);
        let began = place.now();
        let (lease, ()) = place.lease(&recording, address, || Ok(machine.set_link(PORT, true)?))?;
        let bound = machine.serial().wait_for("bench: bound\n", seconds(20))?.at;
        all.push(Lease { bound: Some(bound.saturating_sub(began)), ..lease });
    }
    Ok(Leases::of(&all))
}

/// The root file system of the guest, as it is.
fn pack(packages: &Packages, to: &Path) -> Result<()> {
    let mut root = Archive::new(SourceDate::new(DATE)?);
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp", "var", "var/run"] {
        root.folder(folder, 0o755)?;
    }
    root.character_device("dev/console", 0o600, 5, 1)?;
    root.character_device("dev/null", 0o666, 1, 3)?;
    let busybox = find(&[packages.unpacked("busybox-static")?], &["bin/busybox", "usr/bin/busybox"]);
    let busybox = read(&busybox.ok_or_else(|| BenchError::NotThere { what: "busybox-static".to_owned() })?)?;
    // By its name it knows what to be; the C library falls back to /bin/sh for a script that the kernel does not start.
    for name in ["init", "bin/sh", "bin/busybox"] {
        root.file(name, 0o755, busybox.clone())?;
    }
    root.file("etc/inittab", 0o644, TABLE.to_vec())?;
    root.file("carrier", 0o755, CARRIER.into())?;
    root.file("bin/route", 0o755, ROUTE.into())?;
    std::fs::write(to, root.bytes()?).map_err(BenchError::file("write", to))
}

fn udhcpc() -> Result<Leases> {
    natively("udhcpc", |namespace, script, _| {
        Ok(namespace.run("udhcpc", ["-f", "-q", "-n", "-i", "eth0", "-s", &script.to_string_lossy()])?)
    })
}

fn dhclient() -> Result<Leases> {
    natively("dhclient", |namespace, script, round| {
        // Leases of its own each time: with an old one it would ask for less.
        let [leases, pid] = ["leases", "pid"].map(|name| namespace.file(&format!("{name}{round}")));
        let [script, leases, pid] = [script, &leases, &pid].map(|path| path.to_string_lossy().into_owned());
        let arguments =
            ["-4", "-1", "-d", "-cf", "/dev/null", "-sf", &script, "-lf", &leases, "-pf", &pid, "eth0"];
        Ok(namespace.run("dhclient", arguments)?)
    })
}

/// A program in a namespace, started anew for each lease.
fn natively(name: &str, start: impl Fn(&Namespace, &PathBuf, usize) -> Result<Program>) -> Result<Leases> {
    let place = Place::new(&format!("bench {name}"))?;
    let namespace = place.network.namespace(name, &NamespaceConfig::new())?;
    let script = namespace.write("route", ROUTE)?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).map_err(BenchError::file("make executable", &script))?;
    let none = || BenchError::NotThere { what: format!("a device for {name}") };
    let mac = namespace.mac("eth0").ok_or_else(none)?;
    let recording = namespace.cable("eth0").ok_or_else(none)?.record();

    let first = start(&namespace, &script, 0)?;
    let address = place.dhcp.wait_for_lease(mac, seconds(20))?;
    done(&first)?;
    place.meet(address)?;
    drop(first);

    let mut all = Vec::new();
    for round in 1..=ROUNDS {
        namespace.run("ip", ["-4", "addr", "flush", "dev", "eth0"])?.finish(seconds(10))?;
        let began = place.now();
        let (lease, program) = place.lease(&recording, address, || start(&namespace, &script, round))?;
        let bound = done(&program)?.saturating_sub(began);
        all.push(Lease { bound: Some(bound), ..lease });
    }
    Ok(Leases::of(&all))
}

/// Waits until the program says that it is done: both name the lease in a line, behind the script's end.
fn done(program: &Program) -> Result<Duration> {
    let bound = |line: &str| line.contains("bound to") || line.contains("obtained");
    Ok(program.wait_for(bound, seconds(20))?.at)
}
