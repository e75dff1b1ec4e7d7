//! Whether an address is ours alone: probed before it is used, announced, and defended while it is (RFC 5227). Pure: it
//! is told the time and what ARP says, and tells what to send; it never decides what a conflict means for the address.
//!
//! ```text
//!   Probing ──three questions, no objection──► Announcing ──twice──► Quiet
//!      │                                           │                  │
//!      └─ somebody has it: Taken                   └─ somebody claims it: Defended, within 10 s Again
//! ```

use crate::arp::{self, Arp};
use crate::random::Random;
use smoltcp::time::{Duration, Instant};
use std::net::Ipv4Addr;

/// How many times it asks (RFC 5227, section 1.1: `PROBE_NUM`).
const PROBES: u8 = 3;
/// How many times it announces (`ANNOUNCE_NUM`).
const ANNOUNCEMENTS: u8 = 2;
/// The time between two announcements (`ANNOUNCE_INTERVAL`).
const ANNOUNCE_EVERY: Duration = Duration::from_secs(2);
/// An address is defended once in this time (`DEFEND_INTERVAL`).
pub(crate) const DEFEND_EVERY: Duration = Duration::from_secs(10);
/// A claim that comes again within this time is the same one: a switch that loops for a moment, or a host that says it
/// twice. Without it one duplicated frame would cost the address.
const SAME_CLAIM: Duration = Duration::from_millis(500);

/// The times of a probe, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// The longest wait before the first question.
    wait: u64,
    /// The time from one question to the next: between these.
    between: (u64, u64),
    /// How long an objection to the last question is waited for.
    last: u64,
}

/// RFC 5227, section 1.1: `PROBE_WAIT`, `PROBE_MIN`, `PROBE_MAX` and `ANNOUNCE_WAIT`. Four to seven seconds.
pub(crate) const UNHURRIED: Schedule = Schedule { wait: 1000, between: (1000, 2000), last: 2000 };

/// For an address that somebody has chosen for us, a server or an administrator, so that a conflict is a fault and not a
/// matter of luck: 0.55 to 0.7 s. The standard's seconds are for hosts that all come up at once and draw addresses by lot,
/// on networks of 1990's speed; here each question goes unanswered only when it or its answer is lost, or when the other
/// host takes longer than 150 ms for what it does in its kernel. Three losses in a row are rare, and the address is
/// defended afterwards as well.
pub(crate) const QUICK: Schedule = Schedule { wait: 50, between: (150, 200), last: 250 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Probing { sent: u8, at: Instant },
    Announcing { sent: u8, at: Instant },
    Quiet,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// This frame is to be sent.
    Send(Vec<u8>),
    /// Nobody has objected: the address may be used from now on.
    Passed,
}

/// What another host's claim means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contest {
    /// It has the address, or is about to take it: ours has not been used yet, and may not be.
    Taken([u8; 6]),
    /// It claims the address that is in use: it is told that it is ours.
    Defended([u8; 6]),
    /// It claims it again, though it was told.
    Again([u8; 6]),
}

/// The guard of one address.
#[derive(Debug)]
pub(crate) struct Guard {
    mac: [u8; 6],
    address: Ipv4Addr,
    schedule: Schedule,
    phase: Phase,
    contested: Option<Instant>,
    defend: bool,
}

impl Guard {
    /// Begins to probe.
    pub(crate) fn new(
        mac: [u8; 6],
        address: Ipv4Addr,
        schedule: Schedule,
        now: Instant,
        random: &mut Random,
    ) -> Self {
        let at = now + random.milliseconds(0, schedule.wait);
        Self { mac, address, schedule, phase: Phase::Probing { sent: 0, at }, contested: None, defend: false }
    }

    /// The address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Whether nobody has objected to the probe.
    pub(crate) fn passed(&self) -> bool {
        !matches!(self.phase, Phase::Probing { .. })
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        match self.phase {
            _ if self.defend => Some(Instant::ZERO),
            Phase::Probing { at, .. } | Phase::Announcing { at, .. } => Some(at),
            Phase::Quiet => None,
        }
    }

    /// What is due now; to be asked until there is nothing more.
    pub(crate) fn due(&mut self, now: Instant, random: &mut Random) -> Option<Due> {
        if std::mem::take(&mut self.defend) {
            return Some(Due::Send(arp::announcement(self.mac, self.address)));
        }
        match self.phase {
            Phase::Probing { sent: PROBES, at } if now >= at => {
                self.phase = Phase::Announcing { sent: 0, at: now };
                Some(Due::Passed)
            }
            Phase::Probing { sent, at } if now >= at => {
                let wait = if sent + 1 == PROBES {
                    Duration::from_millis(self.schedule.last)
                } else {
                    random.milliseconds(self.schedule.between.0, self.schedule.between.1)
                };
                self.phase = Phase::Probing { sent: sent + 1, at: now + wait };
                Some(Due::Send(arp::probe(self.mac, self.address)))
            }
            Phase::Announcing { sent, at } if now >= at => {
                self.phase = if sent + 1 == ANNOUNCEMENTS {
                    Phase::Quiet
                } else {
                    Phase::Announcing { sent: sent + 1, at: now + ANNOUNCE_EVERY }
                };
                Some(Due::Send(arp::announcement(self.mac, self.address)))
            }
            _ => None,
        }
    }

    /// What another host's word means for the address.
    pub(crate) fn hear(&mut self, now: Instant, arp: &Arp) -> Option<Contest> {
        // Our own frames may come back, through a hub or a bond.
        if arp.sender_mac == self.mac {
            return None;
        }
        let claims = arp.sender == self.address;
        if !self.passed() {
            let probes = !arp.answer && arp.sender.is_unspecified() && arp.target == self.address;
            return (claims || probes).then_some(Contest::Taken(arp.sender_mac));
        }
        if !claims {
            return None;
        }
        match self.contested {
            Some(at) if now < at + SAME_CLAIM => None,
            Some(at) if now < at + DEFEND_EVERY => Some(Contest::Again(arp.sender_mac)),
            _ => {
                self.contested = Some(now);
                self.defend = true;
                Some(Contest::Defended(arp.sender_mac))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 7];
    const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 8];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);

    fn claim() -> Arp {
        Arp { answer: true, sender_mac: OTHER, sender: ADDRESS, target: ADDRESS }
    }

    /// Lets time pass, and gives what was due, and when, in milliseconds.
    fn until(guard: &mut Guard, end: i64) -> Vec<(i64, Due)> {
        let (mut random, mut all) = (Random::new(3), Vec::new());
        while let Some(at) = guard.next().filter(|at| at.total_millis() <= end) {
            while let Some(due) = guard.due(at, &mut random) {
                all.push((at.total_millis(), due));
            }
        }
        all
    }

    fn guard(schedule: Schedule) -> Guard {
        Guard::new(MAC, ADDRESS, schedule, Instant::ZERO, &mut Random::new(1))
    }

    #[test]
    fn an_address_is_asked_for_three_times_and_announced_twice() {
        for (schedule, least, most) in [(QUICK, 550, 700), (UNHURRIED, 4000, 7000)] {
            let all = until(&mut guard(schedule), 60_000);
            let (probe, word) = (arp::probe(MAC, ADDRESS), arp::announcement(MAC, ADDRESS));
            let sent: Vec<_> = all.iter().map(|(_, due)| due).collect();
            let (asks, tells) = (Due::Send(probe), Due::Send(word));
            assert_eq!(sent, [&asks, &asks, &asks, &Due::Passed, &tells, &tells]);
            assert!((least..=most).contains(&all[3].0), "passed after {} ms", all[3].0);
            assert_eq!(all[5].0 - all[4].0, 2000);
        }
    }

    #[test]
    fn a_claim_or_a_probe_of_another_host_ends_the_probe() {
        let question = Arp { answer: false, ..claim() };
        let probe = Arp { sender: Ipv4Addr::UNSPECIFIED, ..question };
        for arp in [claim(), question, probe] {
            assert_eq!(guard(QUICK).hear(Instant::ZERO, &arp), Some(Contest::Taken(OTHER)));
        }
        let asks = Arp { sender: Ipv4Addr::new(10, 0, 1, 9), ..question };
        for arp in [Arp { sender_mac: MAC, ..claim() }, asks] {
            assert_eq!(guard(QUICK).hear(Instant::ZERO, &arp), None, "{arp:?}");
        }
    }

    #[test]
    fn an_address_in_use_is_defended_once_in_ten_seconds() {
        let mut guard = guard(QUICK);
        until(&mut guard, 10_000);
        let at = Instant::from_secs(20);
        assert_eq!(guard.hear(at, &claim()), Some(Contest::Defended(OTHER)));
        assert_eq!(guard.due(at, &mut Random::new(1)), Some(Due::Send(arp::announcement(MAC, ADDRESS))));
        assert_eq!(guard.hear(at + Duration::from_millis(2), &claim()), None, "the same frame twice");
        assert_eq!(guard.hear(at + Duration::from_secs(9), &claim()), Some(Contest::Again(OTHER)));
        assert_eq!(guard.hear(at + Duration::from_secs(10), &claim()), Some(Contest::Defended(OTHER)));
        let probe = Arp { answer: false, sender: Ipv4Addr::UNSPECIFIED, ..claim() };
        assert_eq!(guard.hear(at + Duration::from_secs(30), &probe), None, "the kernel answers it");
    }
}
