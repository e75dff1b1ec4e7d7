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
