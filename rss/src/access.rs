//! Who may come in and reach what, from what is kept about engineers. It only answers; it never asks the network or the store.

use crate::store::{ENGINEER, Engineer, ROLES};
use ipnet::IpNet;
use russh::keys::ssh_key::Certificate;
use russh::keys::{HashAlg, PublicKey};
use std::net::IpAddr;

/// An engineer who is in, and by which of the engineers or authorities that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The name that appliances are told.
    pub name: String,
    /// The entry by which he is in: his own, or his authority's.
    pub entry: String,
    /// That entry's key; when another one stands there, he is out.
    key: String,
    /// The end of his certificate.
    ends: Option<i64>,
}

/// An address as it is compared: what comes in on an IPv6 socket by IPv4 counts as IPv4.
pub fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether an address is in one of the networks. A text that is no network holds nothing.
pub fn is_within<'a>(address: IpAddr, networks: impl IntoIterator<Item = &'a str>) -> bool {
    let address = plain(address);
    networks
        .into_iter()
        .any(|network| parse_network(network).is_some_and(|network| network.contains(&address)))
}

/// A network, or an address that stands for itself alone.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn is_open(entry: &Engineer, source: IpAddr, now: i64) -> bool {
    !entry.disabled
        && entry.ends.is_none_or(|ends| now < ends)
        && (entry.sources.is_empty() || is_within(source, entry.sources.iter().map(String::as_str)))
}

fn has_key(entry: &Engineer, key: &PublicKey) -> bool {
    PublicKey::from_openssh(&entry.key).is_ok_and(|kept| kept.key_data() == key.key_data())
}

/// By a key of his own.
pub fn by_key(
    engineers: &[Engineer],
    user: &str,
    key: &PublicKey,
    source: IpAddr,
    now: i64,
) -> Option<Admitted> {
    let entry = engineers.iter().find(|entry| {
        !entry.is_authority && entry.name == user && has_key(entry, key) && is_open(entry, source, now)
    })?;
    Some(Admitted { name: user.to_owned(), entry: entry.name.clone(), key: entry.key.clone(), ends: None })
}

/// By an authority's certificate (OpenSSH's PROTOCOL.certkeys). The SSH library has checked that whoever comes has the key;
/// everything else is checked here.
pub fn by_certificate(
    engineers: &[Engineer],
    user: &str,
    certificate: &Certificate,
    source: IpAddr,
    now: i64,
) -> Option<Admitted> {
    let entry = engineers.iter().find(|entry| {
        entry.is_authority
            && is_open(entry, source, now)
            && PublicKey::from_openssh(&entry.key)
                .is_ok_and(|kept| kept.key_data() == certificate.signature_key())
    })?;
    let authority = PublicKey::from_openssh(&entry.key).ok()?.fingerprint(HashAlg::Sha256);
    // Signature, dates, and that it is this authority's.
    certificate.validate_at(u64::try_from(now).ok()?, [&authority]).ok()?;
    let is_for_user = certificate.cert_type().is_user()
        // No principal would be every principal: not here.
        && certificate.valid_principals().iter().any(|principal| principal == user);
    // An option that is not known must not be passed over, and force-command makes no sense here.
    let are_options_kept = certificate
        .critical_options()
        .iter()
        .all(|(option, value)| option == "source-address" && is_within(source, value.split(',')));
    // Somebody of that name who was shut out stays out, whoever signs for him.
    let is_shut_out =
        engineers.iter().any(|entry| !entry.is_authority && entry.name == user && entry.disabled);
    if !is_for_user || !are_options_kept || is_shut_out {
        return None;
    }
    let ends = i64::try_from(certificate.valid_before()).ok();
    Some(Admitted { name: user.to_owned(), entry: entry.name.clone(), key: entry.key.clone(), ends })
}

/// Whether he who is in may still be, by what is kept now.
pub fn is_still_in(engineers: &[Engineer], who: &Admitted, source: IpAddr, now: i64) -> bool {
    let is_shut_out =
        engineers.iter().any(|entry| !entry.is_authority && entry.name == who.name && entry.disabled);
    !is_shut_out
        && who.ends.is_none_or(|ends| now < ends)
        && engineers
            .iter()
            .any(|entry| entry.name == who.entry && entry.key == who.key && is_open(entry, source, now))
}

/// Whether he may know of a system of this name and serial number.
pub fn may_see(engineers: &[Engineer], who: &Admitted, name: &str, serial: &str) -> bool {
    has_system(engineers, who, name, serial, &ROLES)
}

/// Whether he may reach it.
pub fn may_reach(engineers: &[Engineer], who: &Admitted, name: &str, serial: &str) -> bool {
    has_system(engineers, who, name, serial, &[ENGINEER])
}

fn has_system(engineers: &[Engineer], who: &Admitted, name: &str, serial: &str, roles: &[&str]) -> bool {
    engineers.iter().find(|entry| entry.name == who.entry).is_some_and(|entry| {
        roles.contains(&entry.role.as_str())
            && entry.systems.iter().any(|pattern| fits(pattern, name) || fits(pattern, serial))
    })
}

/// `*` stands for any text, `?` for one character; case does not count. Never tries more than the product of both lengths.
fn fits(pattern: &str, text: &str) -> bool {
    let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (pattern, text) = (lower(pattern), lower(text));
    let (mut at, mut from) = (0, 0);
    let mut star = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&sign) if sign == '?' || sign == text[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((last, begin)) = star else { return false };
                star = Some((last, begin + 1));
                at = last + 1;
                from = begin + 1;
            }
        }
    }
    pattern[at..].iter().all(|&sign| sign == '*')
}

/// What can be a system's name or serial number: it stands in a `known_hosts` line and on an `ssh` command line.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_it_says_and_nothing_else() {
        for (pattern, text) in
            [("*", ""), ("box-?", "BOX-1"), ("*-1", "a-1-1"), ("a*b*c", "axxbxxc"), ("x", "X")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("box-?", "box-12"), ("*-1", "a-2"), ("a*b*c", "ac"), ("?", "")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn an_address_that_came_in_by_ipv6_counts_as_what_it_is() {
        let address = "::ffff:192.0.2.7".parse().unwrap();
        assert!(is_within(address, ["10.0.0.0/8", "192.0.2.0/24"]));
        assert!(is_within(address, ["192.0.2.7"]));
        assert!(!is_within(address, ["192.0.2.8", "::/0", "nonsense"]));
    }
}
