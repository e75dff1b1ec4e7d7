//! What a person at the machine is told: lines on serial line and screen whenever something to tell has changed. It never
//! asks for anything.

use drawbridge_bus::{Announcement, Port};
use std::net::IpAddr;

/// The port of the console.
const CONSOLE_PORT: u16 = 9000;

/// What was announced so far.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    fingerprint: Option<[u8; 32]>,
    ports: Vec<Port>,
    told: Vec<String>,
}

impl Screen {
    /// Takes an announcement, and logs what is to be told when it has changed.
    pub(crate) fn announced(&mut self, announcement: Announcement) {
        match announcement {
            Announcement::CertificateFingerprint(fingerprint) => self.fingerprint = Some(fingerprint),
            Announcement::Ports(ports) => self.ports = ports,
        }
        let lines = self.lines();
        // All of them again when one has changed: what belongs together stands together on a screen that scrolls.
        if lines != self.told {
            for line in &lines {
                log::info!("{line}");
            }
            self.told = lines;
        }
    }

    fn lines(&self) -> Vec<String> {
        let Some(fingerprint) = self.fingerprint else { return Vec::new() };
        let addresses: Vec<IpAddr> =
            self.ports.iter().flat_map(|port| &port.addresses).map(|(address, _)| *address).collect();
        let mut lines: Vec<String> = addresses
            .iter()
            // A browser cannot be told the zone of a link-local address.
            .filter(|address| !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()))
            .map(|address| match address {
                IpAddr::V4(v4) => format!("The console is at https://{v4}:{CONSOLE_PORT}/"),
                IpAddr::V6(v6) => format!("The console is at https://[{v6}]:{CONSOLE_PORT}/"),
            })
            .collect();
        if lines.is_empty() {
            lines.push("The console has no address yet: plug in a cable to a network with DHCP.".to_owned());
        }
        let hex: Vec<String> = fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
        lines.push(format!("Its certificate has the SHA-256 fingerprint {}", hex.join(":")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(address: &str) -> Port {
        let addresses = vec![(address.parse().unwrap(), 24)];
        Port { name: "eth0".into(), mac: [2; 6], driver: String::new(), carrier: true, addresses }
    }

    #[test]
    fn a_person_is_told_where_the_console_is_and_how_to_know_it() {
        let mut screen = Screen::default();
        screen.announced(Announcement::Ports(vec![port("10.0.1.5"), port("fe80::1"), port("2001:db8::1")]));
        assert!(screen.told.is_empty(), "there is no console yet");
        screen.announced(Announcement::CertificateFingerprint([0xab; 32]));
        assert_eq!(screen.told[0], "The console is at https://10.0.1.5:9000/");
        assert_eq!(screen.told[1], "The console is at https://[2001:db8::1]:9000/");
        assert!(screen.told[2].ends_with(&["AB"; 32].join(":")));
        screen.announced(Announcement::Ports(Vec::new()));
        assert!(screen.told[0].contains("no address yet"));
    }
}
