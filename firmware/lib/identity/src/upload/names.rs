//! Whether a certificate is for a name (RFC 6125, section 6.4); it never asks the network what a name means.

use crate::facts::{alternative_names, common_name};
use std::net::IpAddr;
use x509_cert::Certificate;

/// How a certificate and the expected names go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// By one of its alternative names, as browsers want it.
    Alternative,
    /// By its common name only.
    CommonName,
    /// Not at all.
    None,
}

/// Compares the certificate's names with those that are expected.
pub(super) fn compare(certificate: &Certificate, names: &[String], addresses: &[IpAddr]) -> Match {
    let (dns, ips) = alternative_names(certificate);
    if ips.iter().any(|ip| addresses.contains(ip))
        || dns.iter().any(|pattern| names.iter().any(|name| matches(pattern, name)))
    {
        return Match::Alternative;
    }
    let Some(common) = common_name(certificate.tbs_certificate().subject()) else { return Match::None };
    let is_address = common.parse::<IpAddr>().is_ok_and(|ip| addresses.contains(&ip));
    if is_address || names.iter().any(|name| matches(&common, name)) {
        Match::CommonName
    } else {
        Match::None
    }
}

/// Whether a name is the pattern's, which may have `*` as its whole first label and two labels after it.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (absolute(pattern), absolute(name));
    if pattern.is_empty() || name.is_empty() || name.parse::<IpAddr>().is_ok() {
        return false;
    }
    match pattern.strip_prefix("*.") {
        Some(rest) => {
            let Some((first, parent)) = name.split_once('.') else { return false };
            !first.is_empty()
                && rest.contains('.')
                && !rest.contains('*')
                && rest.eq_ignore_ascii_case(parent)
        }
        None => pattern.eq_ignore_ascii_case(name),
    }
}

fn absolute(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_wildcard_is_one_whole_label_at_the_left() {
        for (pattern, name) in [
            ("sa.example.org", "SA.example.ORG"),
            ("sa.example.org.", "sa.example.org"),
            ("*.example.org", "sa.example.org"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.example.org", "example.org"),
            ("*.example.org", "a.b.example.org"),
            ("*.org", "example.org"),
            ("s*.example.org", "sa.example.org"),
            ("sa.*.org", "sa.example.org"),
            ("*.*.org", "sa.example.org"),
            ("*", "sa"),
            ("*.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("", ""),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
