//! A thief of addresses: he says that an address is his whenever somebody asks. He never passes anything on.

use super::NetError;
use super::host::named_address;
use super::network::{CableHandle, Network};
use super::observe::{What, observe};
use super::packet::{self, Route};
use super::tap::Tap;
use super::worker::{STEP, Worker};
use smoltcp::wire::EthernetAddress;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A thief at work. Dropped, he is gone.
#[derive(Debug)]
pub struct Thief {
    mac: EthernetAddress,
    tap: Arc<Tap>,
    claims: Arc<Mutex<Vec<IpAddr>>>,
    answers: Arc<AtomicU64>,
    _worker: Worker,
}

impl Network {
    /// A thief, who claims these addresses whenever somebody asks for them: by ARP and by neighbour advertisements, also
    /// to who only asks whether they are free (RFC 5227, RFC 4862).
    pub fn thief(&self, name: &str, claims: &[IpAddr]) -> Result<Thief, NetError> {
        let mac = named_address([0x02, 0xba], name);
        let tap = Arc::new(self.tap(name));
        let claims = Arc::new(Mutex::new(claims.to_vec()));
        let answers = Arc::new(AtomicU64::new(0));
        let (their_tap, their_claims, count) = (Arc::clone(&tap), Arc::clone(&claims), Arc::clone(&answers));
        let worker = Worker::start(self, "thief", move || {
            let Some(frame) = their_tap.receive(STEP) else { return };
            let claims = their_claims.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(answer) = lie(&frame, mac, &claims) {
                their_tap.send(&answer);
                count.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        Ok(Thief { mac, tap, claims, answers, _worker: worker })
    }
}

impl Thief {
    /// His hardware address.
    pub fn mac(&self) -> EthernetAddress {
        self.mac
    }

    /// From now on he claims these.
    pub fn claim(&self, addresses: &[IpAddr]) {
        *self.claims.lock().unwrap_or_else(PoisonError::into_inner) = addresses.to_vec();
    }

    /// Says to all, unasked, that an address is his (RFC 5227 section 2.3; for IPv6 an unsolicited advertisement).
    pub fn announce(&self, address: IpAddr) {
        self.tap.send(&packet::announce(address, self.mac));
    }

    /// How often he has answered.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// The cable that connects him.
    pub fn cable(&self) -> CableHandle {
        self.tap.cable()
    }
}

/// His answer to a frame, if it asks for what he claims.
fn lie(frame: &[u8], mac: EthernetAddress, claims: &[IpAddr]) -> Option<Vec<u8>> {
    let seen = observe(frame)?;
    let What::Asks { target, asker } = seen.what else { return None };
    if !claims.contains(&target) || seen.from_mac == mac {
        return None;
    }
    if asker.is_unspecified() && asker.is_ipv6() {
        // Who has no address yet is told with all others (RFC 4861 section 7.2.4).
        return Some(packet::announce(target, mac));
    }
    packet::tell(Route { from_mac: mac, to_mac: seen.from_mac, from: target, to: asker })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn who_asks_is_lied_to_even_without_an_address() {
        let (own, asker) = (EthernetAddress([2, 0xba, 0, 0, 0, 1]), EthernetAddress([2, 0, 0, 0, 0, 1]));
        let claims: [IpAddr; 2] =
            [Ipv4Addr::new(10, 0, 0, 5).into(), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5).into()];
        for claim in claims {
            let nobody: IpAddr = match claim {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let answer = lie(&packet::ask_for(claim, asker, nobody), own, &claims).unwrap();
            let seen = observe(&answer).unwrap();
            assert_eq!((seen.from_mac, seen.what), (own, What::Tells { address: claim }));
            let free = match claim {
                IpAddr::V4(_) => Ipv4Addr::new(10, 0, 0, 6).into(),
                IpAddr::V6(_) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 6).into(),
            };
            assert_eq!(lie(&packet::ask_for(free, asker, nobody), own, &claims), None);
        }
    }
}
