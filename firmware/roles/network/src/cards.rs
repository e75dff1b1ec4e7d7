//! What the kernel shows of cards and machine under `/sys`. It never changes anything there.

use crate::ports::Card;
use drawbridge_settings::network::PciPath;
use std::path::{Path, PathBuf};

/// Where the kernel shows a link. Its names hold no `/` (`dev_valid_name`); one that does is shown nowhere.
fn shown_at(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name.replace('/', ""))
}

/// Whether a link has a device behind it.
pub(crate) fn has_device(name: &str) -> bool {
    shown_at(name).join("device").symlink_metadata().is_ok()
}

/// The card of a link.
pub(crate) fn card(name: &str) -> Card {
    let device = shown_at(name).join("device");
    let driver = device.join("driver").read_link().ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let pci = device.canonicalize().ok().and_then(|path| pci_of(&path));
    Card { driver: driver.unwrap_or_default(), pci: pci.map(|pci| pci.to_string()).unwrap_or_default() }
}

/// The last PCI place in a device's path: that of virtio's is a folder above the device.
fn pci_of(path: &Path) -> Option<PciPath> {
    let mut parts: Vec<_> = path.components().collect();
    while let Some(part) = parts.pop() {
        if let Some(Ok(pci)) = part.as_os_str().to_str().map(str::parse) {
            return Some(pci);
        }
    }
    None
}

/// Megabits a second, where the card says it.
pub(crate) fn megabits(name: &str) -> Option<u32> {
    // Without carrier the kernel says -1, and virtio cards say it always.
    std::fs::read_to_string(shown_at(name).join("speed")).ok()?.trim().parse().ok().filter(|speed| *speed > 0)
}

/// Maker and product of the machine, as its firmware says (SMBIOS, system information); empty where it does not.
pub(crate) fn machine() -> (String, String) {
    let read = |name: &str| {
        let text = std::fs::read_to_string(Path::new("/sys/class/dmi/id").join(name));
        text.map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    (read("sys_vendor"), read("product_name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_pci_place_in_a_path_is_the_card_s() {
        let pci = |path: &str| pci_of(Path::new(path)).map(|pci| pci.to_string());
        assert_eq!(
            pci("/sys/devices/pci0000:00/0000:00:1c.0/0000:02:00.0/virtio0").as_deref(),
            Some("0000:02:00.0")
        );
        assert_eq!(pci("/sys/devices/virtual/net/bond0"), None);
    }
}
