//! The largest packet that gets there and back whole: echo requests that may not be fragmented, by bisection.
//!
//! What a router says would fit is a hint that is tried, and never the result: anybody on the way can say so. The result
//! is the largest packet that was answered, with one byte more refused or silent.

use crate::echo::{Echo, HEADER, Outcome};
use crate::failure::Failure;
use crate::port::On;
use crate::probe::Tell;
use crate::step::{HopKind, Step, Verdict};
use std::net::IpAddr;
use std::time::Duration;

/// A reply that takes longer is lost.
const WAIT: Duration = Duration::from_secs(1);
/// Silence is believed after so many requests.
const TRIES: usize = 2;
/// No Ethernet carries more; jumbo frames have 9000, some switches 9216.
const MOST: u16 = 10_000;

pub(crate) async fn run(on: &On, to: IpAddr, tell: &Tell) -> Result<Verdict, Failure> {
    let mut search =
        Search { echo: Echo::new(on, to, true)?, is_ipv4: to.is_ipv4(), tell, hinted: None, vanished: None };
    // Every host takes so much (RFC 791, section 3.1; RFC 8200, section 5).
    let least = if to.is_ipv4() { 576 } else { 1280 };
    if !matches!(search.ask(least).await?, Said::Fits) {
        return Ok(Verdict::NoReply);
    }
    let mut fits = least;
    // The least size that does not fit; and what is tried next.
    let (mut beyond, mut next) = (MOST + 1, MOST);
    while beyond - fits > 1 {
        match search.ask(next).await? {
            Said::Fits => {
                fits = next;
                // Where somebody has said how much fits, one byte more shows whether that is so.
                next = if next + 1 < beyond && search.hinted == Some(next) {
                    next + 1
                } else {
                    middle(fits, beyond)
                };
            }
            Said::TooBig(says) => {
                beyond = next;
                let hint = says.filter(|says| (fits + 1..beyond).contains(says));
                search.hinted = hint.or(search.hinted);
                next = hint.unwrap_or_else(|| middle(fits, beyond));
            }
        }
    }
    Ok(Verdict::Mtu { bytes: fits, black_hole: search.vanished == Some(beyond) })
}

fn middle(fits: u16, beyond: u16) -> u16 {
    fits + (beyond - fits) / 2
}

enum Said {
    Fits,
    TooBig(Option<u16>),
}

struct Search<'a> {
    echo: Echo,
    is_ipv4: bool,
    tell: &'a Tell,
    /// What somebody said would fit.
    hinted: Option<u16>,
    /// The last size about which nobody said anything.
    vanished: Option<u16>,
}

impl Search<'_> {
    /// Whether an IP packet of that size is answered.
    async fn ask(&mut self, bytes: u16) -> Result<Said, Failure> {
        let headers = HEADER + if self.is_ipv4 { 20 } else { 40 };
        for _ in 0..TRIES {
            let (from, says) = match self.echo.ask(usize::from(bytes) - headers, WAIT).await? {
                Outcome::Reply { .. } => {
                    self.tell.step(Step::Fits { bytes });
                    return Ok(Said::Fits);
                }
                Outcome::Error(error) if crate::ping::kind_of(&error, self.is_ipv4) == HopKind::TooBig => {
                    (error.from, Some(error.info))
                }
                Outcome::TooBigHere(says) => (None, says),
                Outcome::Error(_) | Outcome::Silent => continue,
            };
            let says = says.and_then(|says| u16::try_from(says).ok()).filter(|says| *says > 0);
            self.tell.step(Step::TooBig { bytes, from, says, silent: false });
            return Ok(Said::TooBig(says));
        }
        self.vanished = Some(bytes);
        self.tell.step(Step::TooBig { bytes, from: None, says: None, silent: true });
        Ok(Said::TooBig(None))
    }
}
