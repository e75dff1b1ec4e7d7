//! Block devices and keys as the kernel describes them in sysfs and uevents. It never opens a device.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The name of the data partition in the partition table (GPT).
pub(crate) const DATA_PARTITION: &str = "drawbridge-data";

/// A partition that carries [`DATA_PARTITION`]'s name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// `vda3`
    pub(crate) device: String,
    /// Whether its disk can be pulled out: a stick.
    pub(crate) removable: bool,
}

/// The lines `KEY=value` of a `uevent` file, at most 64 of them.
pub fn parse_uevent(text: &str) -> BTreeMap<&str, &str> {
    text.lines().take(64).filter_map(|line| line.split_once('=')).collect()
}

/// All partitions that carry the name, in the order of their names.
pub(crate) fn data_partitions() -> Vec<Partition> {
    let block = Path::new("/sys/class/block");
    let Ok(entries) = fs::read_dir(block) else { return Vec::new() };
    let mut found: Vec<Partition> = entries
        .flatten()
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("uevent")).ok()?;
            let uevent = parse_uevent(&text);
            if uevent.get("PARTNAME") != Some(&DATA_PARTITION) {
                return None;
            }
            // A partition's folder lies in its disk's.
            let disk = fs::canonicalize(entry.path()).ok()?.parent()?.to_owned();
            Some(Partition { device: (*uevent.get("DEVNAME")?).to_owned(), removable: can_be_pulled(&disk) })
        })
        .collect();
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

/// Whether a disk, by its folder in sysfs, is a stick or the like.
fn can_be_pulled(disk: &Path) -> bool {
    let removable = fs::read_to_string(disk.join("removable")).is_ok_and(|text| text.trim() == "1");
    removable || disk.components().any(|part| part.as_os_str().to_string_lossy().starts_with("usb"))
}

/// Whether a disk, or what a disk is attached to (`ata1.00`, `nvme0`), belongs to the appliance. `data` is the data partition, whose
/// disk is known even when the kernel has given it up. The name is one of letters, digits, `.`, `-` and `_`.
pub(crate) fn is_fixed(name: &str, data: &str) -> bool {
    let is_controller = name.starts_with("ata")
        || (name.starts_with("nvme") && !name.trim_start_matches("nvme").contains('n'));
    if is_controller || data.strip_prefix(name).is_some_and(is_partition) {
        return true;
    }
    fs::canonicalize(Path::new("/sys/class/block").join(name)).is_ok_and(|disk| !can_be_pulled(&disk))
}

/// Whether this is what stands behind a disk's name in a partition's: `3` of `vda3`, `p3` of `nvme0n1p3`.
fn is_partition(rest: &str) -> bool {
    let number = rest.strip_prefix('p').unwrap_or(rest);
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a set of keys, as sysfs writes it (64-bit words in hex, the highest first), has this key.
pub fn parse_keys(text: &str, key: usize) -> bool {
    text.split_whitespace()
        .rev()
        .nth(key / 64)
        .and_then(|word| u64::from_str_radix(word, 16).ok())
        .is_some_and(|word| word >> (key % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_button_is_told_from_a_mouse() {
        // KEY_POWER is 116: bit 52 of the second word.
        assert!(parse_keys("10000000000000 0\n", 116));
        assert!(!parse_keys("70000 0 0 0 0\n", 116));
        assert!(!parse_keys("", 116));
        assert!(!parse_keys("zz 0", 116));
    }

    #[test]
    fn the_disk_of_the_data_partition_is_the_appliances_also_when_it_has_gone() {
        for (name, data) in [("vda", "vda3"), ("nvme0n1", "nvme0n1p3"), ("nvme0", ""), ("ata1.00", "sda3")] {
            assert!(is_fixed(name, data), "{name}");
        }
        for (name, data) in [("sdz", "vda3"), ("sd", "sda3"), ("nvme0n9", "nvme0n1p3")] {
            assert!(!is_fixed(name, data), "{name}");
        }
    }

    #[test]
    fn a_uevent_is_read_and_what_is_no_pair_is_passed_over() {
        let uevent = parse_uevent("DEVNAME=vda3\nPARTNAME=drawbridge-data\nnonsense\n");
        assert_eq!(uevent.get("PARTNAME"), Some(&"drawbridge-data"));
        assert_eq!(uevent.len(), 2);
    }
}
