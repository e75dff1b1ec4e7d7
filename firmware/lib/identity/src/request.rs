//! A new key with a request for a certificate, or with a certificate signed by itself; it never makes RSA keys.
//!
//! Keys are EC on P-256 or P-384, which every browser of the last ten years takes. There is no crate without an open
//! advisory that makes RSA keys (RUSTSEC-2023-0071 is not mended, and ring makes none); who needs one makes it with
//! `openssl genrsa` and uploads it with its certificate.

use crate::text::{Line, LineFault};
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::SecureRandom as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use zeroize::{Zeroize as _, Zeroizing};

/// The most names and addresses in one certificate.
pub const MOST_NAMES: usize = 64;
/// Two years: below the 825 days that browsers take at most.
pub const MOST_DAYS: u16 = 730;

/// A country by its two capital letters (ISO 3166-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Country(String);

impl Country {
    /// Takes two letters, small ones as well.
    pub fn new(text: &str) -> Result<Self, RequestFault> {
        let text = text.to_ascii_uppercase();
        if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Ok(Self(text))
        } else {
            Err(RequestFault::Country)
        }
    }
}

/// The fields of the subject, within the upper bounds of RFC 5280, appendix A.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// CN: the system's name.
    pub common_name: Line<64>,
    /// O.
    pub organisation: Option<Line<64>>,
    /// OU.
    pub unit: Option<Line<64>>,
    /// C.
    pub country: Option<Country>,
    /// ST.
    pub state: Option<Line<128>>,
    /// L.
    pub locality: Option<Line<128>>,
}

/// The kind of key that is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewKey {
    /// EC on P-256.
    #[default]
    P256,
    /// EC on P-384.
    P384,
}

/// What a certificate is wanted for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whose it is.
    pub subject: Subject,
    /// DNS names, for the alternative names. A common name that is a host's name or an address is added by itself.
    pub names: Vec<String>,
    /// Addresses, the same way.
    pub addresses: Vec<IpAddr>,
    /// The key.
    pub key: NewKey,
}

/// Why none is made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// A field is wrong.
    #[error("{field}: {fault}")]
    Field {
        /// Which, by its short name.
        field: &'static str,
        /// Why.
        fault: LineFault,
    },
    /// No country.
    #[error("C: a country is two letters, such as DE: write them")]
    Country,
    /// No host name.
    #[error("{0:?} is no host name: write it like sa.example.org, without a port or a path")]
    Name(String),
    /// Too many of them.
    #[error("there are more than {MOST_NAMES} names and addresses: take some out")]
    Many,
    /// No good time.
    #[error("it would be valid for {0} days: say 1 to {MOST_DAYS}")]
    Days(u16),
    /// It cannot be made.
    #[error("no key or certificate can be made: {0}; try again, and report it if it stays")]
    Make(String),
}

/// A request with the key that it is for.
pub struct Request {
    /// The request in PEM, for the authority (RFC 2986).
    pub request: String,
    /// The key in PEM (PKCS#8), to be uploaded with what the authority sends back.
    pub key: Zeroizing<String>,
}

/// A certificate signed by its own key.
pub struct SelfSigned {
    /// The certificate in PEM.
    pub certificate: String,
    /// The key in PEM (PKCS#8).
    pub key: Zeroizing<String>,
}

impl Subject {
    /// Takes the fields as a person wrote them: blanks at the ends go, and an empty field is not there.
    pub fn new(
        common_name: &str,
        organisation: &str,
        unit: &str,
        country: &str,
        state: &str,
        locality: &str,
    ) -> Result<Self, RequestFault> {
        let common_name =
            Line::new(common_name.trim()).map_err(|fault| RequestFault::Field { field: "CN", fault })?;
        let country = Some(country.trim()).filter(|text| !text.is_empty());
        Ok(Self {
            common_name,
            organisation: field("O", organisation)?,
            unit: field("OU", unit)?,
            country: country.map(Country::new).transpose()?,
            state: field("ST", state)?,
            locality: field("L", locality)?,
        })
    }

    fn name(&self) -> Result<DistinguishedName, RequestFault> {
        let mut name = DistinguishedName::new();
        // The order in which OpenSSL asks for them.
        if let Some(Country(country)) = &self.country {
            // RFC 5280, appendix A.1: a country is a PrintableString.
            let country = country.as_str().try_into().map_err(|_| RequestFault::Country)?;
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        let others = [
            (DnType::StateOrProvinceName, self.state.as_ref().map(Line::as_str)),
            (DnType::LocalityName, self.locality.as_ref().map(Line::as_str)),
            (DnType::OrganizationName, self.organisation.as_ref().map(Line::as_str)),
            (DnType::OrganizationalUnitName, self.unit.as_ref().map(Line::as_str)),
            (DnType::CommonName, Some(self.common_name.as_str())),
        ];
        for (kind, text) in others {
            if let Some(text) = text {
                name.push(kind, text);
            }
        }
        Ok(name)
    }
}

fn field<const MOST: usize>(field: &'static str, text: &str) -> Result<Option<Line<MOST>>, RequestFault> {
    let text = Some(text.trim()).filter(|text| !text.is_empty());
    text.map(Line::new).transpose().map_err(|fault| RequestFault::Field { field, fault })
}

impl Wanted {
    /// A new key and a request for a certificate.
    pub fn request(&self) -> Result<Request, RequestFault> {
        let mut params = self.params()?;
        // A request leaves it to the authority what the certificate may sign; with it, some refuse the request.
        params.is_ca = IsCa::NoCa;
        let key = self.new_key()?;
        let request = params
            .serialize_request(&key.0)
            .and_then(|request| request.pem())
            .map_err(|error| make(&error))?;
        Ok(Request { request, key: key.pem() })
    }

    /// A new key and a certificate signed by it, valid from a day before `now` (seconds since 1970), because the clocks of
    /// those who look at it may be behind.
    pub fn self_signed(&self, now: u64, days: u16) -> Result<SelfSigned, RequestFault> {
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(RequestFault::Days(days));
        }
        let mut params = self.params()?;
        // Four-digit years end with 9999 (RFC 5280, section 4.1.2.5).
        let begins = Duration::from_secs(now.min(253_300_000_000).saturating_sub(86_400));
        params.not_before = (SystemTime::UNIX_EPOCH + begins).into();
        params.not_after =
            (SystemTime::UNIX_EPOCH + begins + Duration::from_hours(24 * u64::from(days))).into();
        let mut serial = [0; 16];
        ring::rand::SystemRandom::new()
            .fill(&mut serial)
            .map_err(|_| RequestFault::Make("the kernel gives no random numbers".to_owned()))?;
        // Positive and never zero (RFC 5280, section 4.1.2.2).
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let key = self.new_key()?;
        let certificate = params.self_signed(&key.0).map_err(|error| make(&error))?.pem();
        Ok(SelfSigned { certificate, key: key.pem() })
    }

    fn params(&self) -> Result<CertificateParams, RequestFault> {
        let mut params = CertificateParams::default();
        params.distinguished_name = self.subject.name()?;
        params.subject_alt_names = self.alternative_names()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params)
    }

    fn alternative_names(&self) -> Result<Vec<SanType>, RequestFault> {
        if self.names.len() + self.addresses.len() > MOST_NAMES {
            return Err(RequestFault::Many);
        }
        let (mut names, mut addresses) = (Vec::new(), self.addresses.clone());
        let common = self.subject.common_name.as_str();
        if let Ok(address) = common.parse() {
            addresses.push(address);
        } else if is_host_name(common) {
            names.push(common.to_ascii_lowercase());
        }
        for name in &self.names {
            if !is_host_name(name) {
                return Err(RequestFault::Name(crate::printable(name, 80)));
            }
            names.push(name.to_ascii_lowercase());
        }
        let mut all: Vec<SanType> = Vec::new();
        for name in names {
            all.push(SanType::DnsName(Ia5String::try_from(name.as_str()).map_err(|error| make(&error))?));
        }
        all.extend(addresses.into_iter().map(SanType::IpAddress));
        let mut once = Vec::new();
        for name in all {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        Ok(once)
    }

    fn new_key(&self) -> Result<OwnKey, RequestFault> {
        let kind = match self.key {
            NewKey::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            NewKey::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        };
        KeyPair::generate_for(kind).map(OwnKey).map_err(|error| make(&error))
    }
}

/// A key that is wiped when it goes.
struct OwnKey(KeyPair);

impl OwnKey {
    fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }
}

impl Drop for OwnKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

fn make(error: &rcgen::Error) -> RequestFault {
    RequestFault::Make(error.to_string())
}

/// Labels of letters, digits and dashes, 253 characters at most (RFC 1123, section 2.1); the first may be a `*`.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let plain = name.strip_prefix("*.").filter(|rest| rest.contains('.')).unwrap_or(name);
    name.len() <= 253 && name.parse::<IpAddr>().is_err() && plain.split('.').all(is_label)
}

#[cfg(test)]
mod tests;
