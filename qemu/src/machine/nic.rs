//! A machine's network cards. They never reach anything but the lab's own networks.

use crate::net::NicPort;
use serde_json::{Value, json};
use smoltcp::wire::EthernetAddress;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The kinds of network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NicModel {
    /// Paravirtual.
    VirtioNet,
    /// Intel 82540EM, conventional PCI: cannot be unplugged here.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Intel 82576, from QEMU 8.0 on.
    Igb,
}

impl NicModel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::VirtioNet, Self::E1000, Self::E1000e, Self::Igb];

    /// QEMU's name for it.
    pub fn device(self) -> &'static str {
        match self {
            Self::VirtioNet => "virtio-net-pci",
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Igb => "igb",
        }
    }

    /// Whether this QEMU has it.
    pub fn available(self, qemu: &str) -> bool {
        // Listing devices touches no guest: it ends by itself.
        let listed = Command::new(qemu).args(["-device", "help"]).stdin(Stdio::null()).output();
        match listed {
            Ok(output) if output.status.success() => {
                lists(&String::from_utf8_lossy(&output.stdout), self.device())
            }
            // A QEMU that does not even list its devices: a test of all cards must fail on it, not find none to test.
            _ => self != Self::Igb,
        }
    }

    /// Those of [`NicModel::ALL`] that the lab's QEMU has.
    pub fn all_available() -> Vec<Self> {
        let qemu = crate::kvm::qemu();
        Self::ALL.into_iter().filter(|model| model.available(qemu)).collect()
    }

    /// Whether it sits on a port from which it can be unplugged while the machine runs.
    pub fn can_be_unplugged(self) -> bool {
        self != Self::E1000
    }
}

impl std::fmt::Display for NicModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.device())
    }
}

/// Whether the output of `-device help` has a device of this very name.
fn lists(help: &str, device: &str) -> bool {
    let quoted = format!("name \"{device}\"");
    help.lines().any(|line| line.split(',').next() == Some(quoted.as_str()))
}

/// A network card, plugged into a port of a network.
#[derive(Debug, Clone)]
pub struct Nic {
    id: String,
    model: NicModel,
    mac: EthernetAddress,
    socket: PathBuf,
}

impl Nic {
    /// A card on this port. Its address is derived from its id, so that it is the same in every run: `52:54:00` (QEMU's
    /// prefix) and three bytes of a hash.
    pub fn new(id: &str, model: NicModel, port: &NicPort) -> Self {
        let hash = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
        let mut mac = [0x52, 0x54, 0, 0, 0, 0];
        for (to, from) in mac.iter_mut().skip(3).zip(hash.as_ref()) {
            *to = *from;
        }
        let mac = EthernetAddress(mac);
        Self { id: id.to_owned(), model, mac, socket: port.socket_path().to_path_buf() }
    }

    /// With this hardware address.
    #[must_use]
    pub fn with_mac(mut self, mac: EthernetAddress) -> Self {
        self.mac = mac;
        self
    }

    /// Its hardware address.
    pub fn mac(&self) -> EthernetAddress {
        self.mac
    }

    /// Its id, for QMP and for [`crate::Machine::set_link`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its kind.
    pub fn model(&self) -> NicModel {
        self.model
    }

    pub(super) fn netdev(&self) -> Value {
        let path: &Path = &self.socket;
        json!({
            "type": "stream", "id": format!("net-{}", self.id), "server": false,
            "addr": {"type": "unix", "path": path},
        })
    }

    /// The port it hangs on, if it can be unplugged, for the place that `slot` says on the root bus.
    pub(super) fn root_port(&self, slot: usize) -> Option<Value> {
        self.model.can_be_unplugged().then(|| {
            json!({
                "driver": "pcie-root-port", "id": format!("port-{}", self.id), "bus": "pcie.0",
                "addr": format!("{slot:#x}"), "chassis": slot, "slot": slot,
            })
        })
    }

    pub(super) fn device_properties(&self, slot: usize) -> Value {
        let mut device = json!({
            "driver": self.model.device(), "id": self.id, "netdev": format!("net-{}", self.id),
            "mac": self.mac.to_string(), "romfile": "",
        });
        if self.model == NicModel::VirtioNet {
            // By itself it says no speed, unlike real cards: a bond by LACP would not take it in.
            device["speed"] = json!(1000);
            device["duplex"] = json!("full");
        }
        let (bus, place) = if self.model.can_be_unplugged() {
            (format!("port-{}", self.id), "0x0".to_owned())
        } else {
            ("pcie.0".to_owned(), format!("{slot:#x}"))
        };
        if let Some(object) = device.as_object_mut() {
            object.insert("bus".into(), bus.into());
            object.insert("addr".into(), place.into());
        }
        device
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_its_whole_name() {
        let help =
            "Network devices:\nname \"e1000\", bus PCI, alias \"e1000-82540em\"\nname \"igbvf\", bus PCI\n";
        assert!(lists(help, "e1000"));
        assert!(!lists(help, "e1000e"));
        assert!(!lists(help, "igb"));
    }
}
