//! Whether this machine really runs guests by hardware, found by running one. It never believes `/dev/kvm` alone.

use crate::process::Process;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// The QEMU that the lab uses, unless the environment variable `DRAWBRIDGE_QEMU` names another.
pub fn qemu() -> &'static str {
    static QEMU: OnceLock<String> = OnceLock::new();
    QEMU.get_or_init(|| std::env::var("DRAWBRIDGE_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned()))
}

/// Whether KVM runs a guest here. Tried once, then remembered.
pub fn works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let opens = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
        // Some hosts show a /dev/kvm that hangs or aborts: they do not show the processor's flag.
        offers_virtualisation(&flags) && opens && runs_a_guest("kvm", PROBE_WITHIN)
    })
}

/// Under KVM the probe is done in well under a second.
const PROBE_WITHIN: Duration = Duration::from_secs(10);

fn offers_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"))
}

/// What the probe's guest writes to the exit device.
const PROOF: u8 = 0x2a;

/// Boots 512 bytes that write [`PROOF`] to QEMU's exit device, and looks whether they did.
fn runs_a_guest(accelerator: &str, limit: Duration) -> bool {
    let folder = std::env::temp_dir().join(format!("drawbridge-probe-{}-{accelerator}", std::process::id()));
    let result = std::fs::create_dir_all(&folder).is_ok() && probe(accelerator, &folder, limit);
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn probe(accelerator: &str, folder: &Path, limit: Duration) -> bool {
    let disk = folder.join("probe.img");
    if std::fs::write(&disk, boot_sector()).is_err() {
        return false;
    }
    let mut command = Command::new(qemu());
    command
        .args(["-accel", accelerator, "-M", "q35", "-m", "16", "-nodefaults", "-no-user-config"])
        .args(["-display", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0x501,iosize=1"])
        .arg("-drive")
        .arg(format!("file={},format=raw,if=ide,readonly=off", disk.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(process) = Process::start(command, vec![]) else { return false };
    // The exit device ends QEMU with twice the value plus one.
    process.wait(limit).is_ok_and(|status| status.code() == Some(i32::from(PROOF) * 2 + 1))
}

fn boot_sector() -> Vec<u8> {
    // mov dx, 0x501; mov al, PROOF; out dx, al; cli; hlt
    let mut sector = vec![0xba, 0x01, 0x05, 0xb0, PROOF, 0xee, 0xfa, 0xf4];
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    // A disk of 1 MiB: the firmware's geometry guesses stumble over less.
    sector.resize(1 << 20, 0);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_processors_own_flag_counts() {
        assert!(offers_virtualisation("flags\t\t: fpu vmx sse\n"));
        assert!(offers_virtualisation("flags\t\t: fpu svm\n"));
        assert!(!offers_virtualisation("flags\t\t: fpu novmx\nmodel name\t: svm\n"));
    }

    #[test]
    fn the_probe_sees_a_guest_that_runs_and_one_that_cannot() {
        let limit = Duration::from_mins(1);
        assert!(runs_a_guest("tcg", limit), "an emulated guest always runs");
        assert!(!runs_a_guest("no-such-accelerator", limit));
    }
}
