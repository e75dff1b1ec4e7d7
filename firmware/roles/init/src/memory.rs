//! How much memory there is and how much is left, as the kernel says. It never frees any.

/// Total and available memory in KiB out of the text of `/proc/meminfo` (proc(5)); 0 for what it does not say.
pub fn parse(text: &str) -> (u64, u64) {
    let field = |name: &str| {
        let line = text.lines().take(64).find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    };
    (field("MemTotal"), field("MemAvailable"))
}

/// Total and available memory in KiB.
pub(crate) fn now() -> (u64, u64) {
    std::fs::read_to_string("/proc/meminfo").map_or((0, 0), |text| parse(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_words_are_read_and_others_are_none() {
        let text = "MemTotal:         229400 kB\nMemFree:  3 kB\nMemAvailable:     200000 kB\n";
        assert_eq!(parse(text), (229_400, 200_000));
        assert_eq!(parse("MemTotal: x kB\nMemAvailable: 5"), (0, 0));
    }
}
