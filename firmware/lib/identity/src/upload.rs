//! The check of an uploaded PEM text with a private key and its certificate chain; it never serves or stores them.
//!
//! The parts may stand in any order. All faults are found at once, so that nobody uploads ten times. What passes is sure to
//! be taken by TLS here. Whatever is given, the work is bounded: 64 KiB of text, 16 certificates, one key, at most one
//! signature check for each pair of certificates, and no key longer than 8192 bits is computed with.

mod chain;
mod fault;
mod key;
mod names;
mod parts;
#[cfg(test)]
mod tests;

pub use fault::{Code, Fault};

use crate::facts::{CertificateFacts, KeyKind, same_key};
use chain::{Link, Ordered, Verdict, order};
use key::Key;
use names::Match;
use parts::{certificates, find_key, foreign, read};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::time::Duration;
use x509_cert::der::DateTime;
use zeroize::Zeroizing;

/// The longest upload, in bytes.
pub const LONGEST: usize = 64 * 1024;
/// The most certificates in one.
pub const MOST_CERTIFICATES: usize = 16;
/// A certificate that an authority has just made is valid from its own clock's time on, which may be ahead of the appliance's by so
/// many seconds. Whoever connects looks at his own clock.
const CLOCKS_APART: u64 = 300;

/// What the certificate should fit.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The names that the system is reached by; one has to match.
    pub names: Vec<String>,
    /// Its addresses, one of which will do as well. Where there are neither names nor addresses, any certificate fits.
    pub addresses: Vec<IpAddr>,
    /// The time, in seconds since 1970; nothing while the clock is not known, and dates are not looked at then.
    pub now: Option<u64>,
}

/// An upload that can be served.
#[derive(Debug)]
pub struct Checked {
    /// The certificates, leaf first, each followed by its issuer.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: Zeroizing<PrivateKeyDer<'static>>,
    /// What stands in the leaf.
    pub facts: CertificateFacts,
    /// What is no fault, and yet worth knowing, as sentences.
    pub advice: Vec<String>,
}

/// Checks an upload. The faults are in the order in which a person would mend them.
pub fn check(upload: &[u8], expected: &Expected) -> Result<Checked, Vec<Fault>> {
    let blocks = read(upload).map_err(|fault| vec![fault])?;
    let mut faults = foreign(&blocks);
    let key = find_key(&blocks).map_err(|found| faults.extend(found)).ok();
    let links = certificates(&blocks, &mut faults);
    let Some((leaf, rest)) = find_leaf(links, key.as_ref(), &mut faults) else {
        return Err(faults);
    };
    let mut advice = Vec::new();
    check_leaf(&leaf, key.is_some(), expected, &mut faults, &mut advice);
    let Ordered { chain, impostor, rest } = order(leaf, rest);
    check_chain(&chain, expected.now, &mut faults, &mut advice);
    check_rest(&chain, impostor.as_ref(), &rest, &mut faults);
    let (Some(key), true) = (key, faults.is_empty()) else { return Err(faults) };
    let facts = chain[0].facts.clone();
    let chain: Vec<_> = chain.into_iter().map(|link| link.der).collect();
    // What TLS itself has against it.
    let provider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(chain.clone(), key.der.clone_key(), &provider) {
        Ok(_) => Ok(Checked { chain, key: key.der, facts, advice }),
        Err(_) => Err(vec![Fault::new(
            Code::Unservable,
            "The certificate is of an old version or has extensions that TLS does not know.",
            "Have one made for a web server, by X.509 version 3.",
        )]),
    }
}

/// Takes the key's certificate out. Without a key, or a certificate for it, the likeliest is taken, to find other faults.
fn find_leaf(mut links: Vec<Link>, key: Option<&Key>, faults: &mut Vec<Fault>) -> Option<(Link, Vec<Link>)> {
    let is_keys = |link: &Link, key: &Key| {
        same_key(link.parsed.tbs_certificate().subject_public_key_info(), &key.public)
    };
    let found = key.and_then(|key| {
        // Of several for one key, such as before and after a renewal, the one that ends last.
        (0..links.len())
            .filter(|index| is_keys(&links[*index], key))
            .max_by_key(|index| links[*index].facts.ends)
    });
    let likely = || {
        links.iter().position(|link| !link.is_authority()).or(if links.is_empty() { None } else { Some(0) })
    };
    let index = found.or_else(likely)?;
    if let (Some(key), None) = (key, found) {
        let theirs = links[index].facts.key;
        let which = if theirs == key.kind {
            "both are of the same kind".to_owned()
        } else {
            format!("the key is {}, the certificate's is {theirs}", key.kind)
        };
        faults.push(Fault::new(
            Code::KeyMismatch,
            format!("The private key does not belong to the certificate of {} ({which}).", links[index].title()),
            "Upload the key that the certificate's request was made with, or have a certificate made for this key.",
        ));
    }
    let leaf = links.remove(index);
    Some((leaf, links))
}

fn check_leaf(
    leaf: &Link,
    has_key: bool,
    expected: &Expected,
    faults: &mut Vec<Fault>,
    advice: &mut Vec<String>,
) {
    let title = leaf.title();
    let is_usable = matches!(leaf.facts.key, KeyKind::Rsa(2048..=4096) | KeyKind::P256 | KeyKind::P384);
    let is_said = faults.iter().any(|fault| matches!(fault.code, Code::UnsupportedKey | Code::WeakKey));
    if !has_key && !is_usable && !is_said {
        faults.push(Fault::unsupported_key(leaf.facts.key));
    }
    if leaf.is_authority() {
        faults.push(Fault::new(
            Code::LeafIsAuthority,
            format!("The certificate of {title} is a certificate authority's, which browsers do not take from a server."),
            "Have one made for a server; with openssl req -x509 add: -addext basicConstraints=critical,CA:FALSE",
        ));
    }
    if !leaf.may_serve() {
        faults.push(Fault::new(
            Code::NotForServers,
            format!("The certificate of {title} says that it is not for servers."),
            "Have one made with the key usage digitalSignature and the extended key usage serverAuth.",
        ));
    }
    if leaf.facts.self_issued && leaf.is_signed_by(leaf) == Verdict::Wrong {
        faults.push(wrong_signature(title, title));
    }
    if expected.names.is_empty() && expected.addresses.is_empty() {
        return;
    }
    match names::compare(&leaf.parsed, &expected.names, &expected.addresses) {
        Match::Alternative => {}
        Match::CommonName => advice.push(
            "Only the certificate's common name fits the system. Browsers look at alternative names only and will warn: \
             have the name put there as well."
                .to_owned(),
        ),
        Match::None => faults.push(name_mismatch(leaf, expected)),
    }
}

fn name_mismatch(leaf: &Link, expected: &Expected) -> Fault {
    let facts = &leaf.facts;
    let theirs = facts.names.iter().cloned().chain(facts.addresses.iter().map(ToString::to_string));
    let ours = expected.names.iter().cloned().chain(expected.addresses.iter().map(ToString::to_string));
    let list = |names: Vec<String>| if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
    let theirs = list(theirs.chain(facts.common_name.clone()).take(8).collect());
    let ours = list(ours.take(8).collect());
    Fault::new(
        Code::NameMismatch,
        format!("The certificate is for {theirs}, and the system is {ours}."),
        "Have a certificate made with the system's name or address among its alternative names, or change the system's \
         name.",
    )
}

fn check_chain(chain: &[Link], now: Option<u64>, faults: &mut Vec<Fault>, advice: &mut Vec<String>) {
    for (index, link) in chain.iter().enumerate() {
        let (title, facts) = (link.title(), &link.facts);
        if let Some(now) = now {
            check_dates(title, facts, now, faults);
        }
        // A root is trusted for its key: what it is signed with is of no account.
        let is_root = index > 0 && facts.self_issued;
        if let (Some(digest), false) = (link.weak_digest(), is_root) {
            faults.push(Fault::new(
                Code::WeakSignature,
                format!("The certificate of {title} is signed by {digest}, which can be forged."),
                "Have it made anew with SHA-256.",
            ));
        }
        if index == 0 {
            continue;
        }
        let below = &chain[index - 1];
        if let KeyKind::Rsa(bits) = facts.key
            && bits < 2048
        {
            faults.push(Fault::new(
                Code::WeakKey,
                format!("The key of {title} is RSA with {bits} bits, which can be broken."),
                "Have the certificate made by an authority with a longer key.",
            ));
        } else if below.is_signed_by(link) == Verdict::Unknown && below.weak_digest().is_none() {
            advice.push(format!(
                "The signature of {title} under the certificate of {} is of a kind that is not checked here.",
                below.title()
            ));
        }
        if !link.may_sign() {
            faults.push(Fault::new(
                Code::IssuerIsNoAuthority,
                format!(
                    "{title} signed the certificate of {}, and is no certificate authority.",
                    below.title()
                ),
                "Have the certificate made by an authority.",
            ));
        }
    }
}

fn check_dates(title: &str, facts: &CertificateFacts, now: u64, faults: &mut Vec<Fault>) {
    let clock = format!("The clock here says {}.", date(now));
    if now.saturating_add(CLOCKS_APART) < facts.begins {
        faults.push(Fault::new(
            Code::NotYetValid,
            format!("The certificate of {title} is valid from {} only.", date(facts.begins)),
            format!("{clock} Put it right if it is wrong, or upload the certificate again after that date."),
        ));
    }
    if now > facts.ends {
        faults.push(Fault::new(
            Code::Expired,
            format!("The certificate of {title} was valid until {}.", date(facts.ends)),
            format!("{clock} Put it right if it is wrong, or have a new certificate made."),
        ));
    }
}

fn check_rest(chain: &[Link], impostor: Option<&Link>, rest: &[Link], faults: &mut Vec<Fault>) {
    let Some(last) = chain.last() else { return };
    if let Some(impostor) = impostor {
        faults.push(wrong_signature(last.title(), impostor.title()));
    }
    let is_open = impostor.is_none() && !last.facts.self_issued;
    if is_open && rest.iter().any(Link::is_authority) {
        faults.push(Fault::new(
            Code::ChainGap,
            format!(
                "The certificate of {} is not there, which signed that of {}.",
                last.facts.issuer,
                last.title()
            ),
            "Add the missing one: the authority offers it for download.",
        ));
    }
    let strangers = rest.iter().filter(|link| impostor.is_none() && !(is_open && link.is_authority()));
    faults.extend(strangers.map(|link| {
        Fault::new(
            Code::Stranger,
            format!(
                "The certificate of {} does not belong to the chain of {}.",
                link.title(),
                chain[0].title()
            ),
            "Take it out of the file.",
        )
    }));
}

fn wrong_signature(below: &str, above: &str) -> Fault {
    Fault::new(
        Code::WrongSignature,
        format!(
            "The certificate of {below} names {above} as its issuer, and its signature is by another key."
        ),
        "Get the issuer's certificate anew from the authority: it may have several by that name.",
    )
}

fn date(seconds: u64) -> String {
    DateTime::from_unix_duration(Duration::from_secs(seconds))
        .map_or_else(|_| format!("{seconds} seconds after 1970"), |date| date.to_string())
}
