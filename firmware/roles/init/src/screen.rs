//! What a person at the machine is told: lines on serial line and screen whenever something to tell has changed. It never
//! asks for anything.

use crate::logs;
use drawbridge_bus::message::SetupCode;
use drawbridge_bus::{Announcement, Port};
use drawbridge_settings::network::PortRole;
use std::net::IpAddr;

/// The port of the console.
const CONSOLE_PORT: u16 = 9000;

/// What was announced so far.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    fingerprint: Option<[u8; 32]>,
    ports: Vec<Port>,
    code: Option<SetupCode>,
    told: Vec<String>,
}

impl Screen {
    /// Takes an announcement, and logs what is to be told when it has changed.
    pub(crate) fn announced(&mut self, announcement: Announcement) {
        match announcement {
            Announcement::CertificateFingerprint(fingerprint) => self.fingerprint = Some(fingerprint),
            Announcement::Ports(ports) => self.ports = ports,
            Announcement::SetupCode(code) => {
                let changed = self.code.as_ref() != Some(&code);
                self.code = Some(code);
                if changed {
                    self.tell_code();
                }
                return;
            }
        }
        let lines = self.lines();
        // All of them again when one has changed: what belongs together stands together on a screen that scrolls.
        if lines != self.told {
            for line in &lines {
                log::info!("{line}");
            }
            self.told = lines;
            self.tell_code();
        }
    }

    /// To whoever stands at the machine, and to no log: an engineer reads the log, and is not the one who sets the array.
    fn tell_code(&self) {
        let Some(code) = self.code.as_ref().filter(|code| !code.0.is_empty()) else { return };
        if !self.told.is_empty() {
            logs::show(&format!("The console asks for this set-up code: {}", code.0));
        }
    }

    fn lines(&self) -> Vec<String> {
        let Some(fingerprint) = self.fingerprint else { return Vec::new() };
        let mut lines: Vec<String> = self.ports.iter().map(port_line).collect();
        let answers = |port: &&Port| {
            port.roles.iter().any(|role| matches!(role, PortRole::Management | PortRole::Service))
        };
        let addresses: Vec<IpAddr> = (self.ports.iter().filter(answers))
            .flat_map(|port| &port.addresses)
            .map(|(address, _)| *address)
            // A browser cannot be told the zone of a link-local address.
            .filter(|address| !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()))
            .collect();
        lines.extend(addresses.iter().map(|address| match address {
            IpAddr::V4(v4) => format!("The console is at https://{v4}:{CONSOLE_PORT}/"),
            IpAddr::V6(v6) => format!("The console is at https://[{v6}]:{CONSOLE_PORT}/"),
        }));
        if addresses.is_empty() {
            lines.push("The console has no address yet: plug in a cable to a network with DHCP.".to_owned());
        }
        let hex: Vec<String> = fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
        lines.push(format!("Its certificate has the SHA-256 fingerprint {}", hex.join(":")));
        lines
    }
}

/// A port for whoever has its socket before him: what it is for, its cable, its addresses and what is wrong.
fn port_line(port: &Port) -> String {
    let mac = port.mac.map(|byte| format!("{byte:02x}")).join(":");
    let roles: Vec<&str> = port.roles.iter().map(|role| role.name()).collect();
    let roles = if roles.is_empty() { "member of a bond".to_owned() } else { roles.join(", ") };
    let cable = match (port.carrier, port.megabits) {
        (false, _) => "no cable, or nothing at its other end".to_owned(),
        (true, None) => "cable".to_owned(),
        (true, Some(megabits)) => format!("cable, {megabits} Mbit/s"),
    };
    let addresses: Vec<String> =
        port.addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
    let mut parts = vec![roles, cable];
    if !addresses.is_empty() {
        parts.push(addresses.join(", "));
    }
    parts.extend(port.remarks.iter().cloned());
    format!("Port {} ({}, {mac}): {}", port.interface, port.name, parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(address: &str, roles: &[PortRole]) -> Port {
        Port {
            name: "eth0".into(),
            interface: "office".into(),
            roles: roles.to_vec(),
            mac: [2; 6],
            pci: String::new(),
            driver: String::new(),
            carrier: true,
            megabits: Some(1000),
            mtu: 1500,
            addresses: vec![(address.parse().unwrap(), 24)],
            remarks: vec!["waits for a DHCP server".into()],
        }
    }

    #[test]
    fn a_person_is_told_where_the_console_is_and_how_to_know_it() {
        let mut screen = Screen::default();
        let managed = |address| port(address, &[PortRole::Management]);
        let ports = ["10.0.1.5", "fe80::1", "2001:db8::1"].map(managed).to_vec();
        screen.announced(Announcement::Ports(ports));
        assert!(screen.told.is_empty(), "there is no console yet");
        screen.announced(Announcement::CertificateFingerprint([0xab; 32]));
        assert_eq!(screen.told[3], "The console is at https://10.0.1.5:9000/");
        assert_eq!(screen.told[4], "The console is at https://[2001:db8::1]:9000/");
        assert!(screen.told[5].ends_with(&["AB"; 32].join(":")));
        screen.announced(Announcement::Ports(Vec::new()));
        assert!(screen.told[0].contains("no address yet"));
    }

    #[test]
    fn a_person_is_told_what_each_port_is_for_and_that_the_uplink_has_no_console() {
        let mut screen = Screen::default();
        screen.announced(Announcement::CertificateFingerprint([0; 32]));
        screen.announced(Announcement::Ports(vec![port("10.0.2.5", &[PortRole::Uplink])]));
        assert_eq!(
            screen.told[0],
            "Port office (eth0, 02:02:02:02:02:02): uplink; cable, 1000 Mbit/s; 10.0.2.5/24; waits for a DHCP server"
        );
        assert!(screen.told[1].contains("no address yet"));
    }
}
