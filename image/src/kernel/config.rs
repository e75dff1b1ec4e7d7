//! Compares the configuration that the project asks for with the one that Kconfig made of it; it changes neither.

use std::collections::{BTreeMap, BTreeSet};

/// The lines of `wanted` that do not hold in `made`, in their order.
///
/// `CONFIG_X=value` holds if the same line is there, and `# CONFIG_X is not set` if `CONFIG_X` has no value: Kconfig leaves out
/// a symbol whose dependencies are off.
pub fn lost_lines(wanted: &str, made: &str) -> Vec<String> {
    let made: BTreeMap<&str, &str> = made.lines().filter_map(|line| line.trim().split_once('=')).collect();
    wanted
        .lines()
        .map(str::trim)
        .filter(|line| match parse(line) {
            Some(Line::Value(symbol, value)) => made.get(symbol) != Some(&value),
            Some(Line::NotSet(symbol)) => made.contains_key(symbol),
            None => false,
        })
        .map(str::to_owned)
        .collect()
}

/// The lines of `wanted` that ask for something, without remarks, which make no other kernel.
pub(super) fn meaning(wanted: &str) -> String {
    wanted
        .lines()
        .map(str::trim)
        .filter(|line| parse(line).is_some())
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The lines of `wanted` that are neither a symbol's value, nor a comment, nor empty; and symbols that it names twice.
pub(super) fn bad_lines(wanted: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    wanted
        .lines()
        .map(str::trim)
        .filter(|line| match parse(line) {
            Some(Line::Value(symbol, _) | Line::NotSet(symbol)) => !seen.insert(symbol),
            None => !line.is_empty() && !line.starts_with('#'),
        })
        .map(str::to_owned)
        .collect()
}

/// Compiler and linker as Kconfig has noted them in `made`; its number for the linker is 24001 for 2.40.1.
pub(super) fn tools(made: &str) -> Vec<String> {
    let value = |name: &str| made.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let compiler = value("CONFIG_CC_VERSION_TEXT").map(|text| text.trim_matches('"').to_owned());
    let linker = value("CONFIG_LD_VERSION")
        .and_then(|number| number.parse::<u32>().ok())
        .map(|number| format!("ld {}.{}.{}", number / 10_000, number / 100 % 100, number % 100));
    compiler.into_iter().chain(linker).collect()
}

enum Line<'a> {
    Value(&'a str, &'a str),
    NotSet(&'a str),
}

fn parse(line: &str) -> Option<Line<'_>> {
    let is_symbol = |symbol: &str| {
        symbol.strip_prefix("CONFIG_").is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    };
    if let Some(symbol) = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set")) {
        return is_symbol(symbol).then_some(Line::NotSet(symbol));
    }
    let (symbol, value) = line.split_once('=')?;
    is_symbol(symbol).then_some(Line::Value(symbol, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &str = "# A remark.\n\nCONFIG_A=y\nCONFIG_B=\"b\"\nCONFIG_N=64\n# CONFIG_C is not set\n";

    #[test]
    fn a_configuration_that_kept_everything_passes() {
        let made = "CONFIG_A=y\nCONFIG_B=\"b\"\nCONFIG_N=64\n# CONFIG_C is not set\nCONFIG_D=y\n";
        assert!(lost_lines(WANTED, made).is_empty());
        assert!(lost_lines(WANTED, "CONFIG_A=y\nCONFIG_B=\"b\"\nCONFIG_N=64\n").is_empty());
    }

    #[test]
    fn every_lost_line_is_named() {
        let lost = lost_lines(WANTED, "# CONFIG_A is not set\nCONFIG_B=\"c\"\nCONFIG_C=y\n");
        assert_eq!(lost, ["CONFIG_A=y", "CONFIG_B=\"b\"", "CONFIG_N=64", "# CONFIG_C is not set"]);
    }

    #[test]
    fn remarks_have_no_meaning() {
        let meant = "CONFIG_A=y\nCONFIG_B=\"b\"\nCONFIG_N=64\n# CONFIG_C is not set\n";
        assert_eq!(meaning(WANTED), meant);
    }

    #[test]
    fn a_configuration_tells_the_tools_of_its_kernel() {
        let made = "CONFIG_CC_VERSION_TEXT=\"gcc (GCC) 14.4.0\"\nCONFIG_LD_VERSION=24001\n";
        assert_eq!(tools(made), ["gcc (GCC) 14.4.0", "ld 2.40.1"]);
        assert!(tools(WANTED).is_empty());
    }

    #[test]
    fn a_line_that_asks_for_nothing_is_found() {
        assert!(bad_lines(WANTED).is_empty());
        assert_eq!(
            bad_lines("CONFIG_=y\nCONFIG_A=y\nCONFIG_A=n\nnonsense\n"),
            ["CONFIG_=y", "CONFIG_A=n", "nonsense"]
        );
    }
}
