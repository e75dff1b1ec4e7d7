//! How figures are summed up and printed: a line each, `name  value  (peer, ratio, goal)`. It measures nothing.

use std::fmt::{Display, Write as _};
use std::time::Duration;

/// The width of the first column, in characters. The longest name decides.
const NAME: usize = 45;
/// The width of the second.
const VALUE: usize = 22;

/// Prints one figure. Remarks that are empty are left out.
pub(crate) fn print(name: &str, value: impl Display, remarks: &[String]) {
    println!("{}", line(name, &value.to_string(), remarks));
}

fn line(name: &str, value: &str, remarks: &[String]) -> String {
    let remarks: Vec<&str> = remarks.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let mut line = format!("{name:<NAME$}  {value:<VALUE$}");
    if !remarks.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(line, "  ({})", remarks.join("; "));
    }
    line.trim_end().to_owned()
}

/// What the same thing gave in several runs, in order of size.
#[derive(Clone, Debug)]
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    /// Of these runs.
    pub(crate) fn of(runs: impl IntoIterator<Item = Duration>) -> Self {
        let mut runs: Vec<Duration> = runs.into_iter().collect();
        runs.sort();
        Self(runs)
    }

    /// The one below which so many in a hundred are; zero of none.
    pub(crate) fn at(&self, percent: usize) -> Duration {
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The one in the middle; of an even number, the mean of the two; zero of none.
    pub(crate) fn median(&self) -> Duration {
        let from_low = self.0.get(self.0.len() / 2);
        let from_high = self.0.iter().rev().nth(self.0.len() / 2);
        from_low.zip(from_high).map_or(Duration::ZERO, |(low, high)| (*low + *high) / 2)
    }
}

impl Display for Spread {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ends = [self.0.first(), self.0.last()].map(|end| end.map_or(0.0, Duration::as_secs_f64));
        write!(out, "{:.2} s ({:.2} to {:.2})", self.median().as_secs_f64(), ends[0], ends[1])
    }
}

/// What goes into the remarks of a figure with a peer: the peer's own, and how many times as much ours is.
pub(crate) fn beside(peer: &str, value: impl Display, ratio: f64) -> String {
    format!("{peer} {value}, ratio {ratio:.2}")
}

/// The goal that a ratio or an amount should stay below or reach, and whether it does.
pub(crate) fn goal(limit: impl Display, met: bool) -> String {
    format!("goal {limit} or less: {}", if met { "met" } else { "missed" })
}

/// How many times the other one fits. Zero fits so often that nobody asks: then the answer is infinite, and printed so.
pub(crate) fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

/// The same for amounts. They are far below 2^52, up to which a float counts exactly.
#[expect(clippy::cast_precision_loss)]
pub(crate) fn amounts(of: u64, to: u64) -> f64 {
    of as f64 / to as f64
}

/// Bytes as MiB, with two digits after the point.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", amounts(bytes, 1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(seconds: &[u64]) -> Spread {
        Spread::of(seconds.iter().copied().map(Duration::from_secs))
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(spread(&[9, 1, 2]).median(), Duration::from_secs(2));
        assert_eq!(spread(&[4, 1, 2, 9]).median(), Duration::from_secs(3));
        assert_eq!(spread(&[9, 1, 2]).to_string(), "2.00 s (1.00 to 9.00)");
        assert_eq!(spread(&[]).median(), Duration::ZERO);
    }

    #[test]
    fn a_figure_is_one_line_with_its_remarks_behind_it() {
        let text = line("size", "1 MiB", &[String::new(), beside("peer", "2 MiB", 0.5), goal("3 MiB", true)]);
        assert!(text.starts_with("size  ") && text.contains("  1 MiB  "));
        assert!(text.ends_with("  (peer 2 MiB, ratio 0.50; goal 3 MiB or less: met)"));
        assert_eq!(line("size", "1 MiB", &[]).lines().count(), 1);
    }

    #[test]
    fn sizes_are_in_mebibytes() {
        assert_eq!(mebibytes(11_337_216), "10.81 MiB");
    }
}
