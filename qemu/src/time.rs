//! How long the lab waits: bounds written for a quick machine, stretched for a slow one. It never waits itself.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The environment variable with a further factor for every bound, for machines under load: a number from 0.1 to 100.
pub const PATIENCE: &str = "DRAWBRIDGE_PATIENCE";

/// How many times longer an emulated processor may take. Measured: a boot that takes 0.5 s under KVM takes 1.7 s without
/// on an idle machine, and the machines that run tests are not idle.
const EMULATION: f64 = 6.0;

/// The factor that [`within`] applies.
pub fn factor() -> f64 {
    static FACTOR: OnceLock<f64> = OnceLock::new();
    *FACTOR.get_or_init(|| {
        let emulation = if crate::kvm::works() { 1.0 } else { EMULATION };
        emulation * patience(std::env::var(PATIENCE).ok().as_deref())
    })
}

/// What the environment asks for. What is no number in the range counts as 1: a typing error must not end in tests that
/// wait for ever, or not at all.
fn patience(value: Option<&str>) -> f64 {
    value
        .and_then(|text| text.trim().parse::<f64>().ok())
        .filter(|factor| (0.1..=100.0).contains(factor))
        .unwrap_or(1.0)
}

/// A bound for a machine that may be emulated, from a bound for one that is not.
pub fn within(limit: Duration) -> Duration {
    limit.mul_f64(factor())
}

/// The same for a number of seconds.
pub fn seconds(count: u64) -> Duration {
    within(Duration::from_secs(count))
}

/// When a bound is over that begins now. A bound that no clock can hold is a year.
pub(crate) fn deadline(within: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(within).unwrap_or_else(|| now + Duration::from_hours(365 * 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_a_number_in_its_range_or_one() {
        assert!((patience(Some("2.5")) - 2.5).abs() < f64::EPSILON);
        for odd in [None, Some(""), Some("x"), Some("0"), Some("-3"), Some("1e9"), Some("NaN")] {
            assert!((patience(odd) - 1.0).abs() < f64::EPSILON, "{odd:?}");
        }
    }
}
