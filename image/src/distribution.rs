//! What the builder's distribution says of its packages; it installs nothing.

use crate::command::Tool;

/// The version of an installed Debian package; nothing on a machine that has no dpkg or not that package.
pub(crate) fn version_of(package: &str) -> Option<String> {
    let mut dpkg = Tool::new("dpkg-query", "tells a package's version", "dpkg");
    dpkg.command().args(["--show", "--showformat=${Version}", package]);
    dpkg.text().ok().map(|version| version.trim().to_owned()).filter(|version| !version.is_empty())
}

/// The package URL of a package of this distribution, as the package-url specification's type `deb` has it.
pub(crate) fn package_url(package: &str, version: &str) -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let vendor =
        release.lines().find_map(|line| line.strip_prefix("ID=")).map_or("debian", |id| id.trim_matches('"'));
    format!("pkg:deb/{vendor}/{package}@{}", percent_encoded(version))
}

/// A version as a package URL holds it: everything but letters, digits and `.-_~` becomes `%` and two digits.
pub(crate) fn percent_encoded(version: &str) -> String {
    version.bytes().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_with_a_plus_survives_a_package_url() {
        assert_eq!(percent_encoded("2.36-9+deb12u1:x"), "2.36-9%2Bdeb12u1%3Ax");
    }
}
