//! A real QEMU without a guest: the monitor, the disks' wiring, the folder that is kept.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_lab::net::Network;
use drawbridge_lab::powercut::{Loss, WriteLog};
use drawbridge_lab::{
    Disk, DiskBus, DiskFault, Failing, Firmware, Lab, LabError, Machine, Nic, NicModel, Operations, Watchdog,
    kvm, seconds,
};

#[test]
fn the_monitor_steers_a_machine() {
    let lab = Lab::new("the monitor steers");
    let network = Network::new(&lab, "net").unwrap();
    let port = network.nic_port("uplink").unwrap();
    let machine = Machine::builder()
        .nic(Nic::new("uplink", NicModel::VirtioNet, &port))
        .memory(32)
        .paused()
        .start(&lab)
        .unwrap();
    port.wait_connected(seconds(10)).unwrap();
    assert_eq!(machine.qmp().status().unwrap(), "prelaunch");
    machine.set_link("uplink", false).unwrap();
    machine.set_link("uplink", true).unwrap();
    let refused = machine.set_link("no-such-card", true).unwrap_err().to_string();
    assert!(refused.contains("no-such-card"), "{refused}");
    machine.qmp().resume().unwrap();
    machine.qmp().wait_for_event("RESUME", seconds(10)).unwrap();
    machine.qmp().system_reset().unwrap();
    machine.qmp().wait_for_event("RESET", seconds(10)).unwrap();
    machine.qmp().stop().unwrap();
    machine.qmp().wait_for_event("STOP", seconds(10)).unwrap();
    assert_eq!(machine.qmp().status().unwrap(), "paused");
    machine.qmp().send_key(&["ctrl", "alt", "delete"]).unwrap();
    machine.qmp().inject_nmi().unwrap();
    assert!(machine.resident_memory().unwrap() > 1 << 20);
    machine.cpu_time().unwrap();
    for name in ["screen.ppm", "screen.png"] {
        machine.screenshot(&lab.file(name)).unwrap();
        assert!(std::fs::metadata(lab.file(name)).unwrap().len() > 100);
    }
    machine.qmp().quit().unwrap();
    assert!(machine.wait_for_exit(seconds(10)).unwrap().success());
}

#[test]
fn every_kind_of_hardware_starts() {
    let lab = Lab::new("every kind of hardware");
    let image = lab.file("image");
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let network = Network::new(&lab, "net").unwrap();
    let models = NicModel::all_available();
    assert!(models.len() >= 3, "{models:?}");
    for watchdog in [Watchdog::I6300esb, Watchdog::Itco] {
        let mut builder = Machine::builder()
            .memory(64)
            .watchdog(watchdog)
            .clock("1970-01-01T00:00:00")
            .serial_number("LAB,0001")
            .disk(Disk::copy_of(&image).bus(DiskBus::VirtioBlk).read_only())
            .disk(Disk::copy_of(&image).bus(DiskBus::Ahci))
            .disk(Disk::copy_of(&image).bus(DiskBus::Scsi).read_only())
            .disk(Disk::copy_of(&image).bus(DiskBus::Nvme).log_writes(lab.file(&format!("{watchdog:?}"))))
            .paused();
        for model in &models {
            let port = network.nic_port(model.device()).unwrap();
            builder = builder.nic(Nic::new(model.device(), *model, &port));
        }
        if Firmware::uefi_available() {
            builder = builder.firmware(Firmware::uefi());
        }
        let machine = builder.start(&lab).unwrap();
        assert_eq!(machine.qmp().status().unwrap(), "prelaunch", "{}", machine.qemu_log());
    }
}

#[test]
fn disk_faults_come_and_go_while_the_machine_runs() {
    let lab = Lab::new("disk faults come and go");
    let image = lab.file("image");
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    for bus in [DiskBus::VirtioBlk, DiskBus::Ahci, DiskBus::Nvme, DiskBus::Scsi] {
        let fault = DiskFault::new(Operations::Writes, Failing::Io).sectors(2048..4096);
        let machine = Machine::builder()
            .memory(32)
            .disk(Disk::copy_of(&image).bus(bus).fault(fault))
            .start(&lab)
            .unwrap();
        machine.qmp().stop().unwrap();
        machine.set_disk_faults(0, &[]).unwrap();
        machine.set_disk_faults(0, &[DiskFault::new(Operations::All, Failing::NoSpace)]).unwrap();
        machine.set_disk_faults(0, &[DiskFault::new(Operations::Flushes, Failing::Io).once()]).unwrap();
        machine.set_disk_faults(0, &[]).unwrap();
    }
}

#[test]
fn the_log_of_a_disks_writes_replays_as_power_cuts() {
    let lab = Lab::new("the log of a disk's writes");
    let (image, log, disk) = (lab.file("image"), lab.file("writes"), lab.file("cut"));
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let machine = Machine::builder()
        .memory(32)
        .disk(Disk::copy_of(&image).log_writes(&log))
        .paused()
        .start(&lab)
        .unwrap();
    for order in ["write -P 1 0 4k", "flush", "write -P 2 1M 4k", "write -z 0 512", "flush"] {
        // As the device's own backend, to which the disk belongs.
        let backend = "/machine/peripheral/disk0-device/virtio-backend";
        let said = machine.qmp().human(&format!("qemu-io -d {backend} \"{order}\"")).unwrap();
        assert_eq!(said, "", "{order}");
    }
    machine.qmp().quit().unwrap();
    machine.wait_for_exit(seconds(10)).unwrap();
    let log = WriteLog::open(&log).unwrap();
    let bytes_after = |count| {
        log.cut(&image, &disk, count, Loss::Nothing).unwrap();
        let disk = std::fs::read(&disk).unwrap();
        [0, 4095, 1 << 20].map(|place| disk.get(place).copied())
    };
    assert_eq!(log.flushes().len(), 2, "{:?}", log.writes());
    assert_eq!(bytes_after(0), [Some(0), Some(0), Some(0)]);
    assert_eq!(bytes_after(*log.flushes().first().unwrap()), [Some(1), Some(1), Some(0)]);
    assert_eq!(bytes_after(log.writes().len()), [Some(0), Some(1), Some(2)]);
}

#[test]
fn a_machine_that_cannot_start_says_why() {
    let lab = Lab::new("a machine that cannot start");
    let error = Machine::builder().argument("-no-such-option").start(&lab).unwrap_err();
    assert!(
        matches!(&error, LabError::MachineEnded { stderr, .. } if stderr.contains("no-such-option")),
        "{error}"
    );
    let error = Machine::builder().disk(Disk::copy_of("/nowhere/image")).start(&lab).unwrap_err().to_string();
    assert!(error.contains("/nowhere/image"), "{error}");
}

#[test]
fn a_killed_machine_leaves_no_process() {
    let lab = Lab::new("a killed machine");
    let machine = Machine::builder().memory(32).start(&lab).unwrap();
    let id = machine.process_id();
    drop(machine);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    assert!(kvm::qemu().contains("qemu"));
}

/// A disk whose boot sector says on the second serial line what it hears there, in the other case.
fn disk_that_answers(lab: &Lab) -> Disk {
    // again: mov dx, 0x2fd; wait: in al, dx; test al, 1; jz wait; mov dx, 0x2f8; in al, dx; cmp al, 10; je out;
    // xor al, 0x20; out: out dx, al; jmp again
    let mut sector = vec![0xba, 0xfd, 0x02, 0xec, 0xa8, 0x01, 0x74, 0xfb, 0xba, 0xf8, 0x02, 0xec, 0x3c, 0x0a];
    sector.extend([0x74, 0x02, 0x34, 0x20, 0xee, 0xeb, 0xeb]);
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector.resize(1 << 20, 0);
    let image = lab.file("answers.img");
    std::fs::write(&image, sector).unwrap();
    Disk::copy_of(&image)
}

#[test]
fn a_guest_answers_on_its_second_serial_line() {
    let lab = Lab::new("the second serial line");
    let disk = disk_that_answers(&lab);
    let machine = Machine::builder().memory(32).disk(disk).second_serial().start(&lab).unwrap();
    assert_eq!(machine.control().ask("question", seconds(60)).unwrap(), "QUESTION");
    assert_eq!(machine.control().ask("another", seconds(10)).unwrap(), "ANOTHER");
    let without = Machine::builder().memory(32).paused().start(&lab).unwrap();
    assert!(without.control().ask("anything", seconds(1)).is_err());
}

/// Devices with an id and their places, as the machine's firmware has numbered the buses.
fn places(devices: &serde_json::Value, above: &str) -> Vec<(String, String)> {
    let mut places = Vec::new();
    for device in devices.as_array().unwrap() {
        let number = |key: &str| device.get(key).unwrap().as_u64().unwrap();
        let path = format!("{above}0000:{:02x}:{:02x}.{}", number("bus"), number("slot"), number("function"));
        if let Some(behind) = device.get("pci_bridge").and_then(|bridge| bridge.get("devices")) {
            places.extend(self::places(behind, &format!("{path}/")));
        }
        places.push((device.get("qdev_id").unwrap().as_str().unwrap().to_owned(), path));
    }
    places
}

#[test]
fn cards_are_where_the_lab_says() {
    let lab = Lab::new("places of cards");
    let network = Network::new(&lab, "net").unwrap();
    let firmwares = [Some(Firmware::default()), Firmware::uefi_available().then(Firmware::uefi)];
    for firmware in firmwares.into_iter().flatten() {
        let mut builder =
            Machine::builder().memory(128).firmware(firmware).smbios_product("Drawbridge Lab, 3");
        let models = [NicModel::E1000e, NicModel::E1000, NicModel::VirtioNet, NicModel::E1000e];
        for (number, model) in models.into_iter().enumerate() {
            let id = format!("nic{number}");
            builder = builder.nic(Nic::new(&id, model, &network.nic_port(&id).unwrap()));
        }
        let expected = [
            ("nic0", "0000:00:08.0/0000:01:00.0"),
            ("nic1", "0000:00:09.0"),
            ("nic2", "0000:00:0a.0/0000:02:00.0"),
            ("nic3", "0000:00:0b.0/0000:03:00.0"),
        ];
        let expected = expected.map(|(id, path)| (id.to_owned(), path.to_owned()));
        for (id, path) in &expected {
            assert_eq!(builder.pci_path(id).as_ref(), Some(path));
        }
        let machine = builder.start(&lab).unwrap();
        // Nothing tells when the firmware has numbered the buses.
        let deadline = std::time::Instant::now() + seconds(60);
        let seen = loop {
            let pci = machine.qmp().execute("query-pci", serde_json::json!({})).unwrap();
            let mut seen = places(pci.get(0).unwrap().get("devices").unwrap(), "");
            seen.retain(|(id, _)| id.starts_with("nic"));
            seen.sort();
            if seen == expected || std::time::Instant::now() > deadline {
                break seen;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        };
        assert_eq!(seen, expected);
    }
}
