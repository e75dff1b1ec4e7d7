//! What a TLS server is to be verified by, as JSON, to the bus's type and back. It verifies nobody.

use super::recordings::hex;
use super::targets::Faults;
use drawbridge_bus::bridge::Verification;
use drawbridge_settings::FieldError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

/// What a TLS server is verified by.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AskedVerification {
    built_in: bool,
    uploaded: Vec<String>,
    certificate_pin: Option<String>,
    key_pin: Option<String>,
}

impl Default for AskedVerification {
    fn default() -> Self {
        Self { built_in: true, uploaded: Vec::new(), certificate_pin: None, key_pin: None }
    }
}

impl AskedVerification {
    /// As it would be asked for, to be shown.
    pub(super) fn of(verification: &Verification) -> Self {
        use base64::Engine as _;
        let engine = &base64::engine::general_purpose::STANDARD;
        let pem = |der: &Vec<u8>| {
            let text = engine.encode(der);
            let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
            let body: Vec<String> = lines.collect();
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", body.join("\n"))
        };
        Self {
            built_in: verification.built_in,
            uploaded: verification.uploaded.iter().map(pem).collect(),
            certificate_pin: verification.certificate_pin.map(|pin| hex(&pin)),
            key_pin: verification.key_pin.map(|pin| engine.encode(pin)),
        }
    }

    /// The bus's type.
    pub(super) fn read(self, field: &str, faults: &mut Faults) -> Verification {
        let mut uploaded = Vec::new();
        for (number, pem) in self.uploaded.iter().enumerate() {
            let before = uploaded.len();
            let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
            let mut wrong = false;
            for certificate in certificates {
                match certificate {
                    Ok(certificate) => uploaded.push(certificate.to_vec()),
                    Err(_) => wrong = true,
                }
            }
            if wrong || uploaded.len() == before {
                faults.push(FieldError::new(
                    format!("{field}.uploaded[{number}]"),
                    "there is no certificate in it, or one that is damaged",
                    "the text of a file in PEM, which begins with -----BEGIN CERTIFICATE-----",
                ));
            }
        }
        let mut pin = |name: &str, text: Option<String>, read: fn(&str) -> Option<[u8; 32]>, right: &str| {
            let text = text.filter(|text| !text.trim().is_empty())?;
            let pin = read(text.trim());
            if pin.is_none() {
                faults.push(FieldError::new(format!("{field}.{name}"), "this is no such pin", right));
            }
            pin
        };
        Verification {
            built_in: self.built_in,
            uploaded,
            certificate_pin: pin(
                "certificate_pin",
                self.certificate_pin,
                fingerprint,
                "64 hexadecimal digits, with or without colons: the SHA-256 fingerprint of the certificate",
            ),
            key_pin: pin(
                "key_pin",
                self.key_pin,
                key_pin,
                "44 characters of base64: the SHA-256 of the public key, as RFC 7469 has it",
            ),
        }
    }
}

/// A SHA-256 fingerprint in hexadecimal, with or without colons or spaces.
pub(crate) fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("SHA256:").or_else(|| text.strip_prefix("sha256:")).unwrap_or(text);
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b':' | b' ')).collect();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn key_pin(text: &str) -> Option<[u8; 32]> {
    use base64::Engine as _;
    let text = text.strip_prefix("sha256//").unwrap_or(text);
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_is_verified_by_is_shown_as_it_would_be_asked_for() {
        let verification = Verification {
            built_in: false,
            uploaded: vec![vec![0x30; 100]],
            key_pin: Some([7; 32]),
            certificate_pin: Some([0xab; 32]),
        };
        let mut faults = Faults::new();
        assert_eq!(AskedVerification::of(&verification).read("x", &mut faults), verification);
        assert!(faults.is_empty());
    }

    #[test]
    fn fingerprints_are_read_as_people_write_them() {
        let plain = "ab".repeat(32);
        let colons = ["AB"; 32].join(":");
        assert_eq!(fingerprint(&plain), Some([0xab; 32]));
        assert_eq!(fingerprint(&colons), Some([0xab; 32]));
        assert_eq!(fingerprint(&format!("SHA256:{plain}")), Some([0xab; 32]));
        assert_eq!(fingerprint(&plain[2..]), None);
        assert_eq!(fingerprint(&"é".repeat(32)), None);
    }
}
