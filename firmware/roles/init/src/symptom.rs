//! What a line of the kernel's log says of the machine's health: the one place where its texts become types. It never believes a
//! line that the kernel does not begin itself.
//!
//! A stick or a peer can choose words within a line (a name, a label), and never how the line begins: the kernel puts the
//! driver's words before them. So each text is known by its beginning, and what follows is a number or a name of few letters. The
//! texts are those of Linux 6.12; each stands with its source in the tests.

use drawbridge_bus::happened::{Health, Part};

/// The longest name of a device that is taken for one.
const NAME_BYTES: usize = 32;

/// What the kernel says of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// A part is like this.
    Part {
        /// Which sort.
        part: Part,
        /// Which one of them: letters, digits, `.`, `-` and `_`, at most 32 of them.
        unit: String,
        /// How it is.
        health: Health,
    },
    /// Something is wrong with the file system on this device, `vda3`.
    FileSystem {
        /// The device.
        device: String,
    },
}

/// What a line says, when it says anything of the machine's health.
pub fn classify(text: &str) -> Option<Symptom> {
    let found = disk(text).or_else(|| ata(text)).or_else(|| nvme(text)).or_else(|| memory(text));
    let found = found.or_else(|| machine_check(text)).or_else(|| temperature(text));
    let Some((part, unit, health)) = found else {
        return file_system(text).map(|device| Symptom::FileSystem { device: device.to_owned() });
    };
    Some(Symptom::Part { part, unit: unit.to_owned(), health })
}

type Found<'a> = (Part, &'a str, Health);

/// A name that a driver gives.
fn name(text: &str) -> Option<&str> {
    let fits = (1..=NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && text.starts_with(|first: char| first.is_ascii_alphabetic());
    fits.then_some(text)
}

/// Digits and nothing else.
fn is_number(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The block layer, of disks; not of what is a device of memory or of files only, and not of what it was asked and cannot do.
fn disk(text: &str) -> Option<Found<'_>> {
    let (kind, rest) = text.split_once(" error, dev ")?;
    let health = match kind {
        "I/O" | "critical medium" | "timeout" | "protection" | "recoverable transport" => Health::Failing,
        "device offline" => Health::Failed,
        _ => return None,
    };
    let device = name(rest.split_once(", sector ")?.0)?;
    let is_disk = ["sd", "vd", "nvme", "mmcblk"].iter().any(|driver| device.starts_with(driver));
    is_disk.then_some((Part::Disk, device, health))
}

/// `libata`, of a port (`ata1`) or what is at it (`ata1.00`).
fn ata(text: &str) -> Option<Found<'_>> {
    let (unit, said) = text.split_once(": ")?;
    let number = name(unit)?.strip_prefix("ata")?;
    let (port, device) = number.split_once('.').map_or((number, None), |(port, device)| (port, Some(device)));
    if !is_number(port) || !device.is_none_or(is_number) {
        return None;
    }
    let health = if said.starts_with("failed command: ") {
        Health::Failing
    } else if said == "disable device" || said == "reset failed, giving up" {
        Health::Failed
    } else {
        return None;
    };
    Some((Part::Disk, unit, health))
}

fn nvme(text: &str) -> Option<Found<'_>> {
    let (unit, said) = text.strip_prefix("nvme ")?.split_once(": ")?;
    if !is_number(name(unit)?.strip_prefix("nvme")?) {
        return None;
    }
    let timed_out = || {
        let then = ["timeout, aborting", "timeout, reset controller", "timeout, disable controller"];
        said.starts_with("I/O tag ") && then.iter().any(|then| said.contains(then))
    };
    let health = if said.starts_with("Disabling device after reset failure: ") {
        Health::Failed
    } else if said.starts_with("controller is down; will reset: ")
        || said.starts_with("Device not ready; aborting ")
        || timed_out()
    {
        Health::Failing
    } else {
        return None;
    };
    Some((Part::Disk, unit, health))
}

/// Memory, by its controller's driver (EDAC), by the firmware (APEI) and by what became of a page.
fn memory(text: &str) -> Option<Found<'_>> {
    if let Some(rest) = text.strip_prefix("EDAC MC") {
        let (controller, said) = rest.split_once(": ")?;
        let (count, said) = said.split_once(' ')?;
        let health = if said.starts_with("CE ") {
            Health::Failing
        } else if said.starts_with("UE ") {
            Health::Failed
        } else {
            return None;
        };
        return (is_number(controller) && is_number(count)).then_some((Part::Memory, "memory", health));
    }
    let is_lost = text.starts_with("mce: Uncorrected hardware memory error in user-access at ")
        || text.starts_with("Memory failure: 0x");
    if is_lost {
        return Some((Part::Memory, "memory", Health::Failed));
    }
    let (number, said) = text.strip_prefix('{')?.split_once("}[Hardware Error]:")?;
    if !is_number(number) {
        return None;
    }
    match said.trim_start() {
        "section_type: memory error" => Some((Part::Memory, "memory", Health::Failing)),
        "section_type: general processor error" | "section_type: IA32/X64 processor error" => {
            Some((Part::Processor, "processor", Health::Failing))
        }
        _ => None,
    }
}

/// A machine check, by the status of its bank (Intel's Software Developer's Manual, volume 3, section 16.3.2.2: bit 61 says that it
/// was not corrected; section 16.9.2: which codes are the memory controller's).
fn machine_check(text: &str) -> Option<Found<'_>> {
    let rest = text.strip_prefix("mce: [Hardware Error]: CPU ")?;
    let (processor, rest) = rest.split_once(": Machine Check")?;
    let (_, status) = rest.split_once(" Bank ").and_then(|(_, rest)| rest.split_once(": "))?;
    if !is_number(processor) || status.len() != 16 {
        return None;
    }
    let status = u64::from_str_radix(status, 16).ok()?;
    let health = if status >> 61 & 1 == 1 { Health::Failed } else { Health::Failing };
    let is_memory = status & 0xef80 == 0x80;
    let (part, unit) = if is_memory { (Part::Memory, "memory") } else { (Part::Processor, "processor") };
    Some((part, unit, health))
}

fn temperature(text: &str) -> Option<Found<'_>> {
    if let Some(rest) = text.strip_prefix("thermal ") {
        let (zone, said) = rest.split_once(": ")?;
        let is_critical =
            is_number(zone.strip_prefix("thermal_zone")?) && said.ends_with(": critical temperature reached");
        return is_critical.then_some((Part::Temperature, zone, Health::Failed));
    }
    let (processor, said) = text.strip_prefix("CPU")?.split_once(": ")?;
    let said = said.strip_prefix("Core ").or_else(|| said.strip_prefix("Package "))?;
    let health = if said.starts_with("temperature is above threshold, cpu clock is throttled") {
        Health::Failing
    } else if said.starts_with("temperature/speed normal") {
        Health::Well
    } else {
        return None;
    };
    is_number(processor).then_some((Part::Temperature, "processor", health))
}

/// ext4 and its journal, which name the device first.
fn file_system(text: &str) -> Option<&str> {
    let device = if let Some(rest) = text.strip_prefix("EXT4-fs error (device ") {
        rest.split_once(')')?.0
    } else if let Some(rest) = text.strip_prefix("EXT4-fs (") {
        let (device, said) = rest.split_once("): ")?;
        said.starts_with("Remounting filesystem read-only").then_some(device)?
    } else {
        let journal = text.strip_prefix("Aborting journal on device ")?.strip_suffix('.')?;
        // `vda3-8`: the inode in which the journal is.
        journal.split_once('-').map_or(journal, |(device, _)| device)
    };
    name(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(part: Part, unit: &str, health: Health) -> Symptom {
        Symptom::Part { part, unit: unit.to_owned(), health }
    }

    #[test]
    fn what_the_kernel_says_of_a_disk_is_known() {
        for (text, unit, health) in [
            // block/blk-mq.c, blk_print_req_error
            (
                "I/O error, dev vda, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2",
                "vda",
                Health::Failing,
            ),
            (
                "critical medium error, dev nvme0n1, sector 8 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 2",
                "nvme0n1",
                Health::Failing,
            ),
            (
                "device offline error, dev sda, sector 4 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 2",
                "sda",
                Health::Failed,
            ),
            // drivers/ata/libata-eh.c
            ("ata1.00: failed command: READ FPDMA QUEUED", "ata1.00", Health::Failing),
            ("ata1.00: disable device", "ata1.00", Health::Failed),
            ("ata12: reset failed, giving up", "ata12", Health::Failed),
            // drivers/nvme/host/pci.c and core.c
            (
                "nvme nvme0: I/O tag 12 (100c) opcode 0x2 (I/O Cmd) QID 1 timeout, aborting req_op:READ(0) size:4096",
                "nvme0",
                Health::Failing,
            ),
            (
                "nvme nvme0: I/O tag 12 (100c) opcode 0x2 (I/O Cmd) QID 1 timeout, reset controller",
                "nvme0",
                Health::Failing,
            ),
            (
                "nvme nvme0: controller is down; will reset: CSTS=0x3, PCI_STATUS=0x10",
                "nvme0",
                Health::Failing,
            ),
            ("nvme nvme0: Device not ready; aborting reset, CSTS=0x1", "nvme0", Health::Failing),
            ("nvme nvme0: Disabling device after reset failure: -19", "nvme0", Health::Failed),
        ] {
            assert_eq!(classify(text), Some(part(Part::Disk, unit, health)), "{text}");
        }
    }

    #[test]
    fn what_it_says_of_memory_processor_and_temperature_is_known() {
        for (text, of, unit, health) in [
            // drivers/edac/edac_mc.c
            (
                "EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#0_DIMM#0 (channel:0 slot:0 page:0x12 offset:0x0 grain:32 syndrome:0x0)",
                Part::Memory,
                "memory",
                Health::Failing,
            ),
            (
                "EDAC MC1: 2 UE memory scrubbing error on any memory (page:0x0 offset:0x0 grain:32)",
                Part::Memory,
                "memory",
                Health::Failed,
            ),
            // arch/x86/kernel/cpu/mce/core.c: a corrected one of the memory controller, one of a cache, one that was not corrected
            (
                "mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 7: 8c00004000010090",
                Part::Memory,
                "memory",
                Health::Failing,
            ),
            (
                "mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 1: 9400004000000135",
                Part::Processor,
                "processor",
                Health::Failing,
            ),
            (
                "mce: [Hardware Error]: CPU 1: Machine Check Exception: 5 Bank 4: be00000000800400",
                Part::Processor,
                "processor",
                Health::Failed,
            ),
            (
                "mce: Uncorrected hardware memory error in user-access at 12340000",
                Part::Memory,
                "memory",
                Health::Failed,
            ),
            // mm/memory-failure.c
            (
                "Memory failure: 0x12340: Sending SIGBUS to drawbridge:77 due to hardware memory corruption",
                Part::Memory,
                "memory",
                Health::Failed,
            ),
            // drivers/acpi/apei/ghes.c and drivers/firmware/efi/cper.c
            ("{1}[Hardware Error]:   section_type: memory error", Part::Memory, "memory", Health::Failing),
            (
                "{22}[Hardware Error]:   section_type: IA32/X64 processor error",
                Part::Processor,
                "processor",
                Health::Failing,
            ),
            // drivers/thermal/intel/therm_throt.c and drivers/thermal/thermal_core.c
            (
                "CPU2: Core temperature is above threshold, cpu clock is throttled (total events = 1)",
                Part::Temperature,
                "processor",
                Health::Failing,
            ),
            (
                "CPU0: Package temperature/speed normal (total events = 1)",
                Part::Temperature,
                "processor",
                Health::Well,
            ),
            (
                "thermal thermal_zone0: acpitz: critical temperature reached",
                Part::Temperature,
                "thermal_zone0",
                Health::Failed,
            ),
        ] {
            assert_eq!(classify(text), Some(part(of, unit, health)), "{text}");
        }
    }

    #[test]
    fn what_it_says_of_a_file_system_names_the_device() {
        for text in [
            // fs/ext4/super.c and fs/jbd2/journal.c
            "EXT4-fs error (device vda3): ext4_lookup:1855: inode #2: comm drawbridge: iget: checksum invalid",
            "EXT4-fs error (device vda3) in ext4_reserve_inode_write:5814: IO failure",
            "EXT4-fs (vda3): Remounting filesystem read-only",
            "Aborting journal on device vda3-8.",
        ] {
            assert_eq!(classify(text), Some(Symptom::FileSystem { device: "vda3".to_owned() }), "{text}");
        }
    }

    #[test]
    fn what_says_nothing_of_health_is_passed_over() {
        for text in [
            "",
            "operation not supported error, dev vda, sector 0 op 0x3:(DISCARD) flags 0x0 phys_seg 1 prio class 2",
            "I/O error, dev loop0, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
            "EXT4-fs (vda3): mounted filesystem 0d0e2a4f-7f7c-4a58-9a73-2b4b5b8e7f11 r/w with ordered data mode.",
            "ata1: SATA link down (SStatus 0 SControl 300)",
            "ata1.00: configured for UDMA/133",
            "nvme nvme0: 4/0/0 default/read/poll queues",
            "mce: CPU0 supports 10 MCE banks",
            "mce: [Hardware Error]: Machine check events logged",
            "CPU0: Thermal monitoring enabled (TM1)",
            "thermal_sys: Registered thermal governor 'step_wise'",
            "EDAC MC: Ver: 3.0.0",
        ] {
            assert_eq!(classify(text), None, "{text}");
        }
    }

    #[test]
    fn no_name_that_a_stick_or_a_peer_chooses_is_taken_for_the_kernels_own_words() {
        for words in [
            "I/O error, dev vda, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2",
            "EXT4-fs error (device vda3): made up",
            "CPU0: Core temperature is above threshold, cpu clock is throttled (total events = 1)",
            "nvme nvme0: Disabling device after reset failure: -19",
            "Memory failure: 0x1: made up",
        ] {
            for line in [
                // drivers/usb/core/hub.c, drivers/scsi/scsi_scan.c, fs/fat, drivers/net
                format!("usb 1-1: Product: {words}"),
                format!("scsi 6:0:0:0: Direct-Access     {words} 1.00 PQ: 0 ANSI: 6"),
                format!("FAT-fs (sdb1): {words}"),
                format!("eth0: {words}"),
                format!(" {words}"),
            ] {
                assert_eq!(classify(&line), None, "{line}");
            }
        }
        for name in ["../../x", "sda/../vda", "", "sd a", "sda\u{202e}", &"s".repeat(33), "sda\n"] {
            let line = format!("I/O error, dev {name}, sector 2048 op 0x0:(READ)");
            assert_eq!(classify(&line), None, "{line}");
        }
    }
}
