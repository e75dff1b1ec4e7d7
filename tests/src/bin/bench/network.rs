//! How soon the network serves: from carrier to a lease and to an answered ping, and back to the old address when a change
//! has cut the administrator off; beside programs of the distribution that get leases. It decides nothing about the network.

use crate::debian::Packages;
use crate::error::{BenchError, Result};
use crate::figures::Spread;
use crate::lease_peers;
use crate::report;
use drawbridge_bus::{Request, Role};
use drawbridge_lab::net::{DhcpConfig, DhcpServer, Host, HostConfig, Network, Recording};
use drawbridge_lab::{Lab, NicModel, seconds};
use drawbridge_tests::{Image, Site, SitePlan};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// So many leases of each client are timed, behind a first one that is not.
pub(crate) const ROUNDS: usize = 7;
/// A cut-off takes as long as the shortest time to confirm, ten seconds.
const CUT_OFFS: usize = 3;

/// So often the address is asked whether it is there. The answer is timed where it comes out of the client, so that a
/// late one is not lost.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A cable is out for so long. Nobody plugs faster; and the role waits between two looks at its ports, which would be part of
/// the figure otherwise.
pub(crate) const UNPLUGGED: Duration = Duration::from_millis(500);

/// The port, as the settings and the lab call it.
pub(crate) const PORT: &str = "management";

/// Where the appliance is moved away to, and the address that is set for it by hand.
const AWAY: [&str; 2] = ["10.9.9.20/24", "10.9.9.1"];
const BY_HAND: [&str; 2] = ["10.0.1.20/24", "10.0.1.1"];

/// A cable on which clients get leases, with the host that gives them.
pub(crate) struct Place {
    pub(crate) lab: Lab,
    pub(crate) network: Network,
    desk: Host,
    pub(crate) dhcp: DhcpServer,
}

/// One lease, from carrier or from a program's start on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// Until the server had sent its ACK.
    pub(crate) acked: Duration,
    /// Until a ping to the address was answered.
    pub(crate) usable: Duration,
    /// What of that the client probed the address for; nothing if it does not.
    pub(crate) probing: Option<Duration>,
    /// Until the client itself said that it was done, or ended.
    pub(crate) bound: Option<Duration>,
}

/// All leases of one client.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    pub(crate) acked: Spread,
    pub(crate) usable: Spread,
    /// Without the time in which the address was probed.
    pub(crate) unprobed: Spread,
    pub(crate) probing: Option<Spread>,
    pub(crate) bound: Option<Spread>,
    pub(crate) count: usize,
}

impl Leases {
    pub(crate) fn of(all: &[Lease]) -> Self {
        let spread = |of: fn(&Lease) -> Duration| Spread::of(all.iter().map(of));
        let some = |of: fn(&Lease) -> Option<Duration>| {
            let there: Vec<Duration> = all.iter().filter_map(of).collect();
            (!there.is_empty()).then(|| Spread::of(there))
        };
        Self {
            acked: spread(|lease| lease.acked),
            usable: spread(|lease| lease.usable),
            unprobed: spread(|lease| lease.usable.saturating_sub(lease.probing.unwrap_or_default())),
            probing: some(|lease| lease.probing),
            bound: some(|lease| lease.bound),
            count: all.len(),
        }
    }
}

impl Place {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name);
        let network = Network::new(&lab, "management")?;
        let desk = network.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
        let dhcp = desk.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50));
        Ok(Self { lab, network, desk, dhcp })
    }

    /// Has a client begin, and times it. The desk knows the address's owner already: [`Place::meet`].
    pub(crate) fn lease<T>(
        &self,
        from_client: &Recording,
        address: Ipv4Addr,
        start: impl FnOnce() -> Result<T>,
    ) -> Result<(Lease, T)> {
        from_client.clear();
        let acks = self.dhcp.counters().ack;
        let began = self.now();
        let client = start()?;
        let within = seconds(20);
        self.dhcp
            .wait_until(within, |counters| counters.ack > acks)
            .ok_or(BenchError::NotAnswered { what: "the question for a lease", within })?;
        let acked = self.now().saturating_sub(began);
        let usable = self.answered(from_client, address)?.saturating_sub(began);
        let probing = probed(from_client, address);
        Ok((Lease { acked, usable, probing, bound: None }, client))
    }

    /// Since the test began.
    pub(crate) fn now(&self) -> Duration {
        self.lab.started().elapsed()
    }

    /// Pings an address that is there, so that the desk knows who has it: it asks for that once a second only.
    pub(crate) fn meet(&self, address: Ipv4Addr) -> Result<()> {
        self.desk.ping(address, seconds(10))?;
        Ok(())
    }

    /// Pings until the client answers, and gives the time when it did.
    fn answered(&self, from_client: &Recording, address: Ipv4Addr) -> Result<Duration> {
        let within = seconds(20);
        let end = Instant::now() + within;
        loop {
            // The bound passes while nothing has the address yet.
            let _ = self.desk.ping(address, ASK_EVERY);
            let answer = from_client.frames().into_iter().find(|sent| is_echo_reply(&sent.frame));
            if let Some(answer) = answer {
                return Ok(answer.at);
            }
            if Instant::now() >= end {
                return Err(BenchError::NotAnswered { what: "a ping", within });
            }
        }
    }
}

/// From the first question whether somebody has the address to the word that it is in use now (RFC 5227).
fn probed(from_client: &Recording, address: Ipv4Addr) -> Option<Duration> {
    let sent = from_client.frames();
    let at = |sender: Ipv4Addr| {
        sent.iter().find(|sent| arp(&sent.frame) == Some((sender, address))).map(|sent| sent.at)
    };
    at(address)?.checked_sub(at(Ipv4Addr::UNSPECIFIED)?)
}

/// The sender's and the target's address in an ARP packet (RFC 826), behind the 14 bytes of Ethernet.
fn arp(frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let address = |at: usize| {
        frame.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(Ipv4Addr::from)
    };
    (frame.get(12..14)? == [0x08, 0x06]).then_some(())?;
    Some((address(28)?, address(38)?))
}

/// Whether it is an answer to a ping: IPv4 without options, ICMP, type 0.
fn is_echo_reply(frame: &[u8]) -> bool {
    let has = |at: usize, bytes: &[u8]| frame.get(at..at + bytes.len()) == Some(bytes);
    has(12, &[0x08, 0x00, 0x45]) && has(23, &[1]) && has(34, &[0])
}

/// Measures and prints all of it.
pub(crate) fn measure(image: &Image, packages: &Packages) -> Result<()> {
    let place = Place::new("bench network")?;
    let plan = SitePlan::new(vec![(PORT, NicModel::VirtioNet, &place.network)]);
    let site = Site::boot(&place.lab, image, plan);
    let address = site.address(PORT);
    let recording = site.port(PORT).cable().record();
    place.meet(address)?;
    let ours = leases(&place, &site, &recording, address)?;
    let memory = memory(&site)?;

    let by_lease = cut_offs(&place, &site, &recording, address)?;
    let fixed = site.change(&by_hand(BY_HAND));
    let address = Ipv4Addr::new(10, 0, 1, 20);
    site.has(PORT, address);
    site.confirm(fixed.id);
    place.meet(address)?;
    let by_hand = cut_offs(&place, &site, &recording, address)?;
    drop(site);

    report::leases(&ours, &lease_peers::all(image, packages));
    report::role_memory(memory);
    report::cut_offs(&[("a lease", by_lease), ("set by hand", by_hand)]);
    Ok(())
}

/// The appliance's leases, each behind a carrier that went and came.
fn leases(place: &Place, site: &Site, recording: &Recording, address: Ipv4Addr) -> Result<Leases> {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        site.machine.set_link(PORT, false)?;
        site.says("has no carrier: its lease is dropped");
        std::thread::sleep(UNPLUGGED);
        let (lease, ()) = place.lease(recording, address, || Ok(site.machine.set_link(PORT, true)?))?;
        all.push(lease);
    }
    Ok(Leases::of(&all))
}

/// From a change's end, which nobody confirmed, until the old address answers; and what of that it was probed for.
fn cut_offs(
    place: &Place,
    site: &Site,
    recording: &Recording,
    address: Ipv4Addr,
) -> Result<(Spread, Option<Spread>)> {
    let (mut all, mut probing) = (Vec::new(), Vec::new());
    for _ in 0..CUT_OFFS {
        site.change(&by_hand(AWAY));
        site.says("the network is changed");
        site.has(PORT, [10, 9, 9, 20]);
        recording.clear();
        let ends = |line: &str| line.contains("was not confirmed in time and is taken back");
        let ended = site.machine.serial().wait_for(ends, seconds(30))?.at;
        all.push(place.answered(recording, address)?.saturating_sub(ended));
        probing.extend(probed(recording, address));
        site.has(PORT, address);
    }
    Ok((Spread::of(all), (!probing.is_empty()).then(|| Spread::of(probing))))
}

/// Settings with an address that is set by hand, taken back after ten seconds.
fn by_hand([address, router]: [&str; 2]) -> String {
    format!(
        r#"{{"confirm_seconds": 10, "interfaces": [
            {{"name": "{PORT}", "at": {{"port": "{{{PORT}}}"}}, "roles": ["management"],
              "ipv4": {{"static": {{"address": "{address}", "router": "{router}"}}}}, "ipv6": "off"}}]}}"#
    )
}

/// What the role holds of memory, in KiB, if the image tells it.
fn memory(site: &Site) -> Result<Option<u64>> {
    let question = serde_json::json!({ "to": Role::Init, "request": Request::Status }).to_string();
    let answer = site.machine.control().ask(&question, seconds(60))?;
    Ok(serde_json::from_str(&answer).ok().and_then(|answer| kibibytes(&answer)))
}

/// The number is looked for by its name, so that images from before it was told can be measured too.
fn kibibytes(answer: &serde_json::Value) -> Option<u64> {
    let own = serde_json::json!(Role::Network);
    let mut bodies = answer.get("reply")?.as_object()?.values();
    let roles = bodies.find_map(|body| body.get("roles")?.as_array())?;
    roles.iter().find(|role| role.get("role") == Some(&own))?.get("memory_kib")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_and_an_answer_are_told_from_other_frames() {
        let mut frame = vec![0; 42];
        frame[12..14].copy_from_slice(&[8, 6]);
        frame[38..42].copy_from_slice(&[10, 0, 1, 100]);
        assert_eq!(arp(&frame), Some((Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 1, 100))));
        assert!(!is_echo_reply(&frame));
        frame[12..15].copy_from_slice(&[8, 0, 0x45]);
        frame[23] = 1;
        assert_eq!(arp(&frame), None);
        assert!(is_echo_reply(&frame));
        frame[34] = 8;
        assert!(!is_echo_reply(&frame) && !is_echo_reply(&frame[..20]) && arp(&frame[..13]).is_none());
    }

    #[test]
    fn the_role_s_memory_is_found_where_it_is_told() {
        let told = serde_json::json!({ "reply": { "status": { "roles": [
            { "role": Role::Init, "memory_kib": 1 }, { "role": Role::Network, "memory_kib": 7 } ] } } });
        assert_eq!(kibibytes(&told), Some(7));
        assert_eq!(kibibytes(&serde_json::json!({ "refused": "forbidden" })), None);
    }
}
