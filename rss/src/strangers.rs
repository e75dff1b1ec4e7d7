//! How much of the audit log strangers get: each network its own share in an hour, so that a loud one hides no other. It writes
//! nothing itself.

use crate::places::neighbourhood;
use crate::store::Record;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_hours(1);
/// Lines that one network (an address, of IPv6 a /64) gets in an hour.
const EACH: u32 = 20;
/// So many networks have a share of their own.
const NETWORKS: usize = 256;
/// Lines that all other networks get together.
const OTHERS: u32 = 200;

#[derive(Default)]
struct Share {
    listed: u32,
    left_out: u64,
}

impl Share {
    fn take(&mut self, most: u32) -> bool {
        if self.listed < most {
            self.listed += 1;
            return true;
        }
        self.left_out += 1;
        false
    }
}

/// The shares of this hour.
pub(crate) struct Strangers {
    since: Instant,
    by: HashMap<IpAddr, Share>,
    others: Share,
}

impl Strangers {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, by: HashMap::new(), others: Share::default() }
    }

    /// Whether a line that somebody there has caused is listed. What is not is counted.
    pub(crate) fn is_listed(&mut self, source: IpAddr) -> bool {
        let network = neighbourhood(source);
        let is_full = self.by.len() >= NETWORKS;
        match self.by.get_mut(&network) {
            Some(share) => share.take(EACH),
            None if is_full => self.others.take(OTHERS),
            None => self.by.entry(network).or_default().take(EACH),
        }
    }

    /// When the hour is over, or the server ends: lines that say how many were left out. Another hour begins.
    pub(crate) fn left_out(&mut self, now: Instant, is_end: bool) -> Vec<Record> {
        if !is_end && now.duration_since(self.since) < HOUR {
            return Vec::new();
        }
        let past = std::mem::replace(self, Self::new(now));
        let line = |source: String, result: String| Record {
            source,
            what: "refused".to_owned(),
            result,
            ..Record::default()
        };
        let mut lines: Vec<Record> = past
            .by
            .into_iter()
            .filter(|(_, share)| share.left_out > 0)
            .map(|(network, share)| {
                let network = match network {
                    IpAddr::V4(address) => address.to_string(),
                    IpAddr::V6(address) => format!("{address}/64"),
                };
                line(network, format!("{} refusals of the last hour are not listed", share.left_out))
            })
            .collect();
        lines.sort_by(|one, other| one.source.cmp(&other.source));
        if past.others.left_out > 0 {
            let result = format!(
                "{} refusals of the last hour from many addresses are not listed",
                past.others.left_out
            );
            lines.push(line(String::new(), result));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loud_network_hides_no_other_and_what_was_left_out_is_counted_within_bounds() {
        let begin = Instant::now();
        let mut strangers = Strangers::new(begin);
        // A million addresses of one IPv6 network are one.
        let loud =
            (0..1_000_u32).filter(|end| strangers.is_listed(format!("2001:db8::{end:x}").parse().unwrap()));
        assert_eq!(loud.count(), 20);
        assert!(strangers.is_listed([192, 0, 2, 1].into()));
        let many =
            (0..10_000_u32).filter(|end| strangers.is_listed((0x0a00_0000 + end).to_be_bytes().into()));
        assert_eq!(many.count(), 254 + 200);
        assert_eq!(strangers.by.len(), NETWORKS);
        assert!(strangers.left_out(begin + HOUR / 2, false).is_empty());
        let lines: Vec<(String, String)> = strangers
            .left_out(begin + HOUR, false)
            .into_iter()
            .map(|line| (line.source, line.result))
            .collect();
        let said = |source: &str, result: &str| (source.to_owned(), result.to_owned());
        assert_eq!(
            lines,
            [
                said("2001:db8::/64", "980 refusals of the last hour are not listed"),
                said("", "9546 refusals of the last hour from many addresses are not listed"),
            ]
        );
        // A new hour.
        assert!(strangers.is_listed("2001:db8::1".parse().unwrap()));
        assert!(strangers.left_out(begin + HOUR, true).is_empty());
    }
}
