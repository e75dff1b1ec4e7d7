//! How long to wait before another try: longer each time, up to a bound, and never as long as others do; it never sleeps.

use ring::rand::{SecureRandom as _, SystemRandom};
use std::time::Duration;

/// The first wait, at most.
const FIRST: Duration = Duration::from_secs(1);
/// No wait is longer.
pub const LONGEST: Duration = Duration::from_mins(5);

/// The waits of one receiver.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackOff {
    tries: u32,
}

impl BackOff {
    /// It has failed once more: so long is to be waited. Between half of the time and all of it, so that many appliances do
    /// not come at once after a failure of what they share.
    pub fn failed(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let mut byte = [0];
        // Without chance it is the longest.
        let share = SystemRandom::new().fill(&mut byte).map_or(255, |()| byte[0]);
        whole / 2 + (whole / 2).mul_f64(f64::from(share) / 255.0)
    }

    /// It works.
    pub fn worked(&mut self) {
        self.tries = 0;
    }

    /// So many times in a row it has failed.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_are_never_shorter_than_half() {
        let mut back_off = BackOff::default();
        let mut whole = FIRST;
        let mut differ = false;
        for _ in 0..100 {
            let wait = back_off.failed();
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
            differ |= wait != whole && wait != whole / 2;
            whole = (whole * 2).min(LONGEST);
        }
        assert!(differ && whole == LONGEST && back_off.tries() == 100);
        back_off.worked();
        assert!(back_off.failed() <= FIRST);
    }
}
