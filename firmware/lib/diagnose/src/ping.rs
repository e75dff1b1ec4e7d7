//! Echo requests, one after the other.

use crate::echo::{Echo, Outcome};
use crate::failure::Failure;
use crate::port::On;
use crate::probe::Tell;
use crate::queue::QueuedError;
use crate::step::{HopKind, Microseconds, Step, Verdict};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A reply that takes longer is lost.
const WAIT: Duration = Duration::from_secs(2);
/// What is sent later than that would not end within the minute.
const SEND_UNTIL: Duration = Duration::from_secs(57);

pub(crate) async fn run(
    on: &On,
    to: IpAddr,
    count: u16,
    interval: Duration,
    size: u16,
    tell: &Tell,
) -> Result<Verdict, Failure> {
    let mut echo = Echo::new(on, to, false)?;
    let began = Instant::now();
    let (mut sent, mut took) = (0, Vec::new());
    for number in 1..=count {
        let next = Instant::now() + interval;
        sent = number;
        match echo.ask(size.into(), WAIT).await? {
            Outcome::Reply { bytes, took: time } => {
                took.push(time);
                let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
                tell.step(Step::Reply { number, from: to, bytes, took: time.into() });
            }
            Outcome::Error(error) => {
                let why = kind_of(&error, to.is_ipv4());
                tell.step(Step::Undelivered { number, from: error.from, why });
            }
            Outcome::TooBigHere(_) => {
                tell.step(Step::Undelivered { number, from: None, why: HopKind::TooBig });
            }
            Outcome::Silent => tell.step(Step::Lost { number }),
        }
        if number < count {
            if began.elapsed() > SEND_UNTIL {
                break;
            }
            sleep_until(next).await;
        }
    }
    let received = u16::try_from(took.len()).unwrap_or(u16::MAX);
    let mean = took.iter().sum::<Duration>().checked_div(received.into());
    let times = match (took.iter().min(), mean, took.iter().max()) {
        (Some(least), Some(mean), Some(most)) => Some([*least, mean, *most].map(Microseconds::from)),
        _ => None,
    };
    Ok(Verdict::Ping { sent, received, times })
}

/// What an ICMP message says (RFC 792; RFC 1812, section 5.2.7.1; RFC 4443, sections 3.1 to 3.3).
pub(crate) fn kind_of(error: &QueuedError, is_ipv4: bool) -> HopKind {
    let (kind, code) = error.kind;
    match (is_ipv4, kind, code) {
        (true, 11, 0) | (false, 3, 0) => HopKind::Router,
        (true, 3, 2 | 3) | (false, 1, 4) => HopKind::Destination,
        (true, 3, 0 | 5 | 6 | 11) | (false, 1, 0 | 2) => HopKind::NetworkUnreachable,
        (true, 3, 1 | 7 | 12) | (false, 1, 3) => HopKind::HostUnreachable,
        (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6) => HopKind::Forbidden,
        (true, 3, 4) | (false, 2, 0) => HopKind::TooBig,
        // The kernel itself: nobody answers ARP or neighbour discovery.
        (_, 0, 0) if error.errno == libc::EHOSTUNREACH => HopKind::HostUnreachable,
        (_, kind, code) => HopKind::Other { kind, code },
    }
}
