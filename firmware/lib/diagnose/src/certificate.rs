//! What a certificate says, for a person to compare. It never says whether that is true.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A certificate has no more characters of text in any one place here.
const CHARACTERS: usize = 256;
/// More names of one certificate are counted only.
const NAMES: usize = 32;
/// Larger certificates are not read.
const BYTES: usize = 65_536;

/// Text from outside: printable, one line, at most 256 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clipped(String);

impl Clipped {
    pub(crate) fn new(text: &str) -> Self {
        let safe = text.chars().take(CHARACTERS);
        Self(
            safe.map(|c| if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '?' })
                .collect(),
        )
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Clipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateReport {
    /// Whom it names (RFC 4514).
    pub subject: Clipped,
    /// Who has signed it (RFC 4514).
    pub issuer: Clipped,
    /// The names and addresses that it is for, at most 32.
    pub names: Vec<Clipped>,
    /// How many more there are.
    pub more_names: u32,
    /// Seconds since 1970.
    pub begins: u64,
    /// Seconds since 1970.
    pub ends: u64,
    /// The two dates, as text.
    pub dates: [Clipped; 2],
    /// SHA-256 of the certificate; what browsers show.
    pub fingerprint: [u8; 32],
    /// SHA-256 of the public key with its algorithm; what pins are made of (RFC 7469, section 2.4). None when the certificate
    /// cannot be read.
    pub key_fingerprint: Option<[u8; 32]>,
    /// Whether it could be read; if not, there is its fingerprint only.
    pub readable: bool,
}

impl CertificateReport {
    pub(crate) fn new(der: &[u8]) -> Self {
        let mut report = Self {
            subject: Clipped::default(),
            issuer: Clipped::default(),
            names: Vec::new(),
            more_names: 0,
            begins: 0,
            ends: 0,
            dates: [Clipped::default(), Clipped::default()],
            fingerprint: sha256(der),
            key_fingerprint: None,
            readable: false,
        };
        if der.len() > BYTES {
            return report;
        }
        let Ok(certificate) = Certificate::from_der(der) else { return report };
        let tbs = certificate.tbs_certificate();
        report.subject = Clipped::new(&tbs.subject().to_string());
        report.issuer = Clipped::new(&tbs.issuer().to_string());
        let validity = tbs.validity();
        report.begins = validity.not_before.to_unix_duration().as_secs();
        report.ends = validity.not_after.to_unix_duration().as_secs();
        report.dates =
            [&validity.not_before, &validity.not_after].map(|time| Clipped::new(&time.to_string()));
        report.key_fingerprint = tbs.subject_public_key_info().to_der().ok().map(|key| sha256(&key));
        if let Ok(Some((_, names))) = tbs.get_extension::<SubjectAltName>() {
            report.more_names = u32::try_from(names.0.len().saturating_sub(NAMES)).unwrap_or(u32::MAX);
            report.names = names.0.iter().take(NAMES).map(name).collect();
        }
        report.readable = true;
        report
    }
}

fn name(name: &GeneralName) -> Clipped {
    match name {
        GeneralName::DnsName(name)
        | GeneralName::Rfc822Name(name)
        | GeneralName::UniformResourceIdentifier(name) => Clipped::new(name.as_str()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            address.map_or_else(
                |_| Clipped::new("an address of a wrong length"),
                |one| Clipped::new(&one.to_string()),
            )
        }
        GeneralName::DirectoryName(name) => Clipped::new(&name.to_string()),
        _ => Clipped::new("a name of another kind"),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    // SHA-256 has 32 bytes.
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

impl fmt::Display for CertificateReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.readable {
            write!(formatter, "its certificate is for {}", self.subject)?;
            for (index, name) in self.names.iter().enumerate() {
                write!(formatter, "{}{name}", if index == 0 { " (" } else { ", " })?;
            }
            match (self.names.is_empty(), self.more_names) {
                (true, _) => {}
                (false, 0) => write!(formatter, ")")?,
                (false, more) => write!(formatter, " and {more} more)")?,
            }
            write!(
                formatter,
                ", signed by {}, valid from {} to {}",
                self.issuer, self.dates[0], self.dates[1]
            )?;
        } else {
            write!(formatter, "its certificate cannot be read")?;
        }
        write!(formatter, ", SHA-256 {}", Hex(&self.fingerprint))?;
        self.key_fingerprint.map_or(Ok(()), |key| write!(formatter, ", its public key's {}", Hex(&key)))
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(formatter, "{}{byte:02X}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}
