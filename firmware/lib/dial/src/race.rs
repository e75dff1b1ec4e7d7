//! Which address is tried when, and which has won (RFC 8305, sections 4 and 5); what an attempt is, others say.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The next attempt begins so long after the last (RFC 8305, section 8).
pub(crate) const DELAY: Duration = Duration::from_millis(250);
/// More addresses of one name are left out.
pub(crate) const ADDRESSES: usize = 8;

/// The addresses with the families in turn, beginning with the first one's (RFC 8305, section 4).
pub(crate) fn in_turn(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (one, other): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|one| one.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut all = Vec::new();
    while all.len() < ADDRESSES {
        let before = all.len();
        all.extend(one.next());
        all.extend(other.next());
        if all.len() == before {
            break;
        }
    }
    all.truncate(ADDRESSES);
    all
}

/// Runs attempts one after the other, each [`DELAY`] after the last or at once when one fails. Gives the first that
/// succeeds and drops the others, or gives all failures.
pub(crate) async fn race<P, T, E, F: Future<Output = Result<T, E>>>(
    places: Vec<P>,
    attempt: impl Fn(P) -> F,
) -> Result<T, Vec<E>> {
    let mut places = places.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    running.extend(places.next().map(&attempt));
    let mut next = Instant::now() + DELAY;
    loop {
        let more = places.len() > 0;
        tokio::select! {
            ended = running.next() => match ended {
                None => return Err(failures),
                Some(Ok(won)) => return Ok(won),
                Some(Err(failure)) => failures.push(failure),
            },
            () = sleep_until(next), if more => {}
        }
        running.extend(places.next().map(&attempt));
        next = Instant::now() + DELAY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::time::sleep;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// What ends when, and how: gives the winner and when each began.
    async fn run(places: Vec<(u64, bool)>) -> (Result<usize, usize>, Vec<u64>) {
        let (began, starts) = (Instant::now(), Mutex::new(Vec::new()));
        let places: Vec<_> = places.into_iter().enumerate().collect();
        let result = race(places, |(index, (takes, wins))| {
            let starts = &starts;
            async move {
                starts.lock().unwrap().push(u64::try_from(began.elapsed().as_millis()).unwrap());
                sleep(MS(takes)).await;
                if wins { Ok(index) } else { Err(index) }
            }
        })
        .await;
        (result.map_err(|all| all.len()), starts.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_starts_250_ms_after_the_last() {
        assert_eq!(run(vec![(9000, true), (9000, true), (100, true)]).await, (Ok(2), vec![0, 250, 500]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_starts_at_once_when_one_fails() {
        assert_eq!(run(vec![(10, false), (20, false), (100, true)]).await, (Ok(2), vec![0, 10, 30]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_still_wins_over_one_that_is_slower() {
        assert_eq!(run(vec![(400, true), (900, true)]).await, (Ok(0), vec![0, 250]));
    }

    #[tokio::test(start_paused = true)]
    async fn all_failures_are_given_when_none_wins() {
        assert_eq!(run(vec![(300, false), (500, false)]).await, (Err(2), vec![0, 250]));
        assert_eq!(run(Vec::new()).await, (Err(0), Vec::new()));
    }

    #[test]
    fn families_take_turns() {
        let all: Vec<IpAddr> = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
            .map(|one| one.parse().unwrap())
            .into();
        let turns: Vec<String> = in_turn(&all).iter().map(ToString::to_string).collect();
        assert_eq!(turns, ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]);
        assert_eq!(in_turn(&vec![all[0]; 100]).len(), ADDRESSES);
    }
}
