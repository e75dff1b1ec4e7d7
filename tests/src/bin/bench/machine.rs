//! What the figures were measured on. It measures no speed itself.

use crate::tool;
use drawbridge_lab::kvm;
use std::time::Duration;

/// How guests run here.
pub(crate) fn accelerator() -> &'static str {
    if kvm::works() { "KVM" } else { "TCG (no KVM here)" }
}

/// Processors, their model, the load before the first guest, and the machine's emulator.
pub(crate) fn remarks() -> Vec<String> {
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let version = tool::text(kvm::qemu(), "says its version", Duration::from_secs(30), |command| {
        command.arg("--version")
    });
    vec![
        format!("{processors} processors"),
        model.map(|(_, model)| model.to_owned()).unwrap_or_default(),
        format!("load {load} before"),
        version.unwrap_or_default().lines().next().unwrap_or("QEMU does not say its version").to_owned(),
    ]
}
