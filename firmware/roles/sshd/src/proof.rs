//! Keys and certificates: which of the grant's keys an engineer has shown, and what a certificate lets him do. Pure: session
//! decides whether the key opens anything.

use crate::algorithms::is_known;
use drawbridge_bus::bridge::COMMAND_BYTES;
use drawbridge_bus::support::EngineerKey;
use drawbridge_settings::network::IpNet;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, PublicKey};
use std::net::IpAddr;

/// The principal that lets an engineer in at every appliance whose grant knows the authority.
const EVERYWHERE: &str = "drawbridge";

/// The most principals, and networks of a `source-address`, that are looked at.
const LIST_MOST: usize = 256;

/// The grant's keys, with the numbers that session knows them by.
#[derive(Debug)]
pub(crate) struct Keys {
    plain: Vec<(u16, KeyData)>,
    authorities: Vec<(u16, KeyData)>,
}

/// What an engineer may do by the certificate that he has shown; session's word comes on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Permits {
    pub(crate) terminal: bool,
    pub(crate) forwards: bool,
    /// What runs whatever he asks for.
    pub(crate) command: Option<String>,
}

impl Permits {
    /// For whoever shows no certificate.
    pub(crate) const ALL: Self = Self { terminal: true, forwards: true, command: None };
}

/// Why a certificate is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateFault {
    #[error("the grant knows no such authority")]
    Authority,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is a host's, not a user's")]
    Host,
    #[error("it is not valid at this time, by the appliance's clock")]
    Time,
    #[error("none of its principals is the user's name, the system's name or \"drawbridge\"")]
    Principal,
    #[error("it may not be used from where the engineer comes")]
    Source,
    #[error("it has the critical option {0:?}, which is not known here or is wrong")]
    Option(String),
}

/// Who shows a certificate, where and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    /// The name that he logs in by.
    pub(crate) user: &'a str,
    /// The system's name.
    pub(crate) system: &'a str,
    /// From where he comes, by the server's word.
    pub(crate) source: IpAddr,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl Keys {
    /// Those that can be read and used; the log says which cannot.
    pub(crate) fn new(keys: &[EngineerKey]) -> Self {
        let mut all = Self { plain: Vec::new(), authorities: Vec::new() };
        for (number, key) in (0..).zip(keys) {
            match PublicKey::from_openssh(&key.line) {
                Ok(read) if is_known(&read.algorithm()) => {
                    let list = if key.authority { &mut all.authorities } else { &mut all.plain };
                    list.push((number, read.key_data().clone()));
                }
                Ok(read) => {
                    log::warn!(
                        "key {} of the grant lets nobody in: {} is not used here; use an Ed25519 or ECDSA key",
                        number + 1,
                        read.algorithm()
                    );
                }
                Err(error) => {
                    log::warn!("key {} of the grant lets nobody in: it cannot be read: {error}", number + 1);
                }
            }
        }
        all
    }

    /// Whether it is worth that the client signs with this key: the grant's, or one that an authority may have signed.
    pub(crate) fn may_help(&self, key: &KeyData) -> bool {
        !self.authorities.is_empty() || self.number(key).is_some()
    }

    /// The number of a key that lets its owner in by itself.
    pub(crate) fn number(&self, key: &KeyData) -> Option<u16> {
        self.plain.iter().find(|(_, known)| known == key).map(|(number, _)| *number)
    }

    /// The number of the authority of a certificate that is right in every respect, and what it lets its owner do
    /// (PROTOCOL.certkeys of OpenSSH).
    pub(crate) fn certificate(
        &self,
        certificate: &Certificate,
        shown: Shown<'_>,
    ) -> Result<(u16, Permits), CertificateFault> {
        let signer = certificate.signature_key();
        let (number, _) =
            self.authorities.iter().find(|(_, known)| known == signer).ok_or(CertificateFault::Authority)?;
        certificate.verify_signature().map_err(|_| CertificateFault::Signature)?;
        if !certificate.cert_type().is_user() {
            return Err(CertificateFault::Host);
        }
        if shown.now < certificate.valid_after() || shown.now >= certificate.valid_before() {
            return Err(CertificateFault::Time);
        }
        let names = [shown.user, shown.system, EVERYWHERE];
        let mut principals = certificate.valid_principals().iter().take(LIST_MOST);
        // One without principals would be good for everybody: no authority means that of a support session.
        if !principals.any(|one| !one.is_empty() && names.contains(&one.as_str())) {
            return Err(CertificateFault::Principal);
        }
        let mut permits = Permits {
            terminal: certificate.extensions().contains_key("permit-pty"),
            forwards: certificate.extensions().contains_key("permit-port-forwarding"),
            command: None,
        };
        for (name, value) in certificate.critical_options().iter() {
            let wrong = || CertificateFault::Option(name.chars().take(64).collect());
            match name.as_str() {
                "force-command" if !value.is_empty() && value.len() <= COMMAND_BYTES => {
                    permits.command = Some(value.clone());
                }
                "source-address" => match is_within(value, shown.source) {
                    Some(true) => {}
                    Some(false) => return Err(CertificateFault::Source),
                    None => return Err(wrong()),
                },
                _ => return Err(wrong()),
            }
        }
        Ok((*number, permits))
    }
}

/// Whether an address is in one of the networks of a list as `192.0.2.0/24,2001:db8::7`; none when it is no such list.
fn is_within(list: &str, address: IpAddr) -> Option<bool> {
    let address = address.to_canonical();
    let mut within = false;
    for (place, one) in list.split(',').enumerate() {
        if place == LIST_MOST {
            return None;
        }
        let one = one.trim();
        within |= match one.parse::<IpAddr>() {
            Ok(alone) => alone.to_canonical() == address,
            Err(_) => one.parse::<IpNet>().ok()?.contains(address),
        };
    }
    Some(within)
}

/// Whether a name that an engineer logs in by is one: printable, at most 64 bytes, and not empty. It names nobody by itself.
pub(crate) fn is_label(user: &str) -> bool {
    (1..=64).contains(&user.len())
        && !user.chars().any(|char| char.is_control() || char.is_whitespace())
        && drawbridge_bus::logger::clean(user) == user
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::ssh_key::certificate::{Builder, CertType};
    use russh::keys::{Algorithm, PrivateKey};

    const NOW: u64 = 1_800_000_000;

    fn key() -> PrivateKey {
        PrivateKey::random(&mut ring_rng(), Algorithm::Ed25519).unwrap()
    }

    /// The random source that russh brings.
    fn ring_rng() -> impl russh::keys::ssh_key::rand_core::CryptoRng {
        russh::keys::key::safe_rng()
    }

    fn line(key: &PrivateKey, authority: bool) -> EngineerKey {
        EngineerKey { line: key.public_key().to_openssh().unwrap(), authority, minutes: None }
    }

    fn certificate(authority: &PrivateKey, change: impl FnOnce(&mut Builder)) -> Certificate {
        let mut builder =
            Builder::new(vec![7; 32], key().public_key().key_data().clone(), NOW - 60, NOW + 60).unwrap();
        builder.valid_principal("anna").unwrap();
        builder.extension("permit-pty", "").unwrap();
        change(&mut builder);
        builder.sign(authority).unwrap()
    }

    fn shown(user: &str) -> Shown<'_> {
        Shown { user, system: "box-7", source: "192.0.2.7".parse().unwrap(), now: NOW }
    }

    #[test]
    fn a_certificate_is_looked_at_in_every_respect() {
        let (authority, other) = (key(), key());
        let keys = Keys::new(&[line(&other, false), line(&authority, true)]);
        let good = certificate(&authority, |_| {});
        let permits = Permits { terminal: true, forwards: false, command: None };
        assert_eq!(keys.certificate(&good, shown("anna")), Ok((1, permits)));
        let fault =
            |certificate: &Certificate, shown: Shown<'_>| keys.certificate(certificate, shown).unwrap_err();
        assert_eq!(fault(&good, shown("bert")), CertificateFault::Principal);
        assert_eq!(fault(&good, Shown { now: NOW + 60, ..shown("anna") }), CertificateFault::Time);
        assert_eq!(fault(&good, Shown { now: NOW - 61, ..shown("anna") }), CertificateFault::Time);
        // A key of the grant is no authority.
        assert_eq!(fault(&certificate(&other, |_| {}), shown("anna")), CertificateFault::Authority);
        let host = certificate(&authority, |builder| drop(builder.cert_type(CertType::Host)));
        assert_eq!(fault(&host, shown("anna")), CertificateFault::Host);
        let mut bytes = good.to_bytes().unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(
            fault(&Certificate::from_bytes(&bytes).unwrap(), shown("anna")),
            CertificateFault::Signature
        );
    }

    #[test]
    fn critical_options_are_honoured_or_the_certificate_is_refused() {
        let authority = key();
        let keys = Keys::new(&[line(&authority, true)]);
        let with = |name: &str, value: &str| {
            let one = certificate(&authority, |builder| drop(builder.critical_option(name, value)));
            keys.certificate(&one, shown("anna")).map(|(_, permits)| permits.command)
        };
        assert_eq!(with("force-command", "status"), Ok(Some("status".to_owned())));
        assert_eq!(with("source-address", "198.51.100.0/24,192.0.2.7"), Ok(None));
        assert_eq!(with("source-address", "198.51.100.0/24"), Err(CertificateFault::Source));
        assert_eq!(with("source-address", "x"), Err(CertificateFault::Option("source-address".to_owned())));
        assert_eq!(with("verify-required", ""), Err(CertificateFault::Option("verify-required".to_owned())));
    }

    #[test]
    fn a_certificate_for_everybody_is_for_nobody() {
        let authority = key();
        let keys = Keys::new(&[line(&authority, true)]);
        for (principal, right) in [("drawbridge", true), ("box-7", true), ("root", false)] {
            let mut builder =
                Builder::new(vec![7; 32], key().public_key().key_data().clone(), NOW - 60, NOW + 60).unwrap();
            builder.valid_principal(principal).unwrap();
            let one = builder.sign(&authority).unwrap();
            assert_eq!(keys.certificate(&one, shown("anna")).is_ok(), right, "{principal}");
        }
        let mut builder =
            Builder::new(vec![7; 32], key().public_key().key_data().clone(), NOW - 60, NOW + 60).unwrap();
        builder.all_principals_valid().unwrap();
        let all = builder.sign(&authority).unwrap();
        assert_eq!(keys.certificate(&all, shown("anna")), Err(CertificateFault::Principal));
    }

    #[test]
    fn keys_that_cannot_be_read_let_nobody_in_and_shift_no_number() {
        let (one, two) = (key(), key());
        let broken = EngineerKey { line: "ssh-ed25519 nonsense".to_owned(), authority: false, minutes: None };
        let keys = Keys::new(&[line(&one, false), broken, line(&two, false)]);
        assert_eq!(keys.number(one.public_key().key_data()), Some(0));
        assert_eq!(keys.number(two.public_key().key_data()), Some(2));
        assert_eq!(keys.number(key().public_key().key_data()), None);
        assert!(!keys.may_help(key().public_key().key_data()));
    }

    #[test]
    fn a_label_is_short_and_printable() {
        assert!(is_label("anna") && is_label("a.b-c@d") && is_label("\u{e4}nna"));
        for wrong in ["", "a b", "a\nb", "a\u{202e}b", &"x".repeat(65)] {
            assert!(!is_label(wrong), "{wrong:?}");
        }
    }
}
