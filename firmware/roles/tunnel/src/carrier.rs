//! Notices a port that comes up: a cable, or an address that was got. It never waits for one that is up already.

use crate::bounds::Bucket;
use crate::bus::Asker;
use drawbridge_bus::Port;
use std::net::IpAddr;
use std::time::Duration;

/// The ports are looked at so often while somebody waits.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A port that goes up and down all the time is told so often at once, and then once in so much time.
const UPS_AT_ONCE: u32 = 5;
const AN_UP: Duration = Duration::from_secs(10);

/// Watches the ports.
#[derive(Debug)]
pub(crate) struct Carrier {
    asker: Asker,
    /// The ports with carrier, with the addresses that are of use.
    before: Option<Vec<(String, Vec<IpAddr>)>>,
    ups: Bucket,
}

impl Carrier {
    pub(crate) fn new(asker: Asker) -> Self {
        Self { asker, before: None, ups: Bucket::new(UPS_AT_ONCE, AN_UP) }
    }

    /// Waits until a port has come up since the last look. Cancel safe.
    pub(crate) async fn came_up(&mut self) {
        loop {
            // A network role that does not answer starts anew: there is nothing to see as long.
            if let Ok(ports) = self.asker.ports().await
                && self.is_news(&ports)
                && self.ups.take()
            {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn is_news(&mut self, ports: &[Port]) -> bool {
        let now: Vec<_> = ports
            .iter()
            .filter(|port| port.carrier)
            .map(|port| (port.name.clone(), usable(port).collect::<Vec<_>>()))
            .collect();
        let Some(before) = self.before.replace(now.clone()) else { return false };
        now.iter().any(|(name, addresses)| match before.iter().find(|(other, _)| other == name) {
            None => true,
            Some((_, known)) => addresses.iter().any(|address| !known.contains(address)),
        })
    }
}

/// Addresses that lead further than to the next switch.
pub(crate) fn usable(port: &Port) -> impl Iterator<Item = IpAddr> {
    port.addresses.iter().map(|(address, _)| *address).filter(|address| match address {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_unspecified(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn port(name: &str, carrier: bool, addresses: &[&str]) -> Port {
        Port {
            name: name.to_owned(),
            interface: name.to_owned(),
            roles: Vec::new(),
            mac: [0; 6],
            pci: String::new(),
            driver: String::new(),
            carrier,
            megabits: None,
            mtu: 1500,
            addresses: addresses.iter().map(|text| (text.parse().unwrap(), 24)).collect(),
            remarks: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_cable_and_an_address_are_news_and_their_loss_is_none() {
        let mut carrier = Carrier::new(Asker::new(PathBuf::new()));
        let mut look = |ports: &[Port]| carrier.is_news(ports);
        assert!(!look(&[port("eth0", true, &[]), port("eth1", false, &[])]));
        assert!(look(&[port("eth0", true, &["192.0.2.1"]), port("eth1", false, &[])]));
        assert!(!look(&[port("eth0", true, &["192.0.2.1", "fe80::1", "169.254.1.1"])]));
        assert!(!look(&[port("eth0", false, &["192.0.2.1"])]));
        assert!(look(&[port("eth0", true, &["192.0.2.1"])]));
        assert!(look(&[port("eth0", true, &["192.0.2.1"]), port("eth1", true, &[])]));
        assert!(!look(&[port("eth1", true, &[])]));
    }
}
