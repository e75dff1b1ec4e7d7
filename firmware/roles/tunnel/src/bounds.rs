//! How much the server may ask for: a bucket that empties with time. It never waits by itself.

use std::time::Duration;
use tokio::time::Instant;

/// So many at once, and then so many in a time (the "virtual scheduling" of ITU-T I.371, annex A).
#[derive(Debug)]
pub(crate) struct Bucket {
    each: Duration,
    depth: Duration,
    full_until: Instant,
}

impl Bucket {
    /// `burst` at once, and then one in each `each`.
    pub(crate) fn new(burst: u32, each: Duration) -> Self {
        Self { each, depth: each.saturating_mul(burst), full_until: Instant::now() }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        let now = Instant::now();
        let next = self.full_until.max(now) + self.each;
        let fits = next.duration_since(now) <= self.depth;
        if fits {
            self.full_until = next;
        }
        fits
    }

    /// Takes so many, whether they are there or not.
    pub(crate) fn charge(&mut self, count: u32) {
        self.full_until = self.full_until.max(Instant::now()) + self.each.saturating_mul(count);
    }

    /// When there is one again; none: now.
    pub(crate) fn again_at(&self) -> Option<Instant> {
        let full = self.full_until.checked_sub(self.depth)?;
        (full > Instant::now()).then_some(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_taken_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(3, Duration::from_secs(1));
        assert_eq!([(); 4].map(|()| bucket.take()), [true, true, true, false]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!([(); 3].map(|()| bucket.take()), [true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_on_credit_is_waited_for() {
        let mut bucket = Bucket::new(10, Duration::from_secs(1));
        assert_eq!(bucket.again_at(), None);
        bucket.charge(30);
        assert_eq!(bucket.again_at(), Some(Instant::now() + Duration::from_secs(20)));
        assert!(!bucket.take());
        tokio::time::advance(Duration::from_secs(21)).await;
        assert_eq!(bucket.again_at(), None);
    }
}
