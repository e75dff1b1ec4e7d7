//! The console's key and certificate: made once, kept, renewed before the certificate ends. It never leaves the role.
//!
//! The certificate is signed by its own key: nobody but the person at the machine can say whether it is the right one, by
//! the fingerprint on screen and serial line. For the same reason no `Strict-Transport-Security` is sent: a browser that
//! believes it offers no way past a certificate that it does not know.
//!
//! **The clock** may be wrong when the certificate is made, mostly at first boot. A clock that is behind makes a
//! certificate that ends early: it is renewed as soon as the clock, put right, is within a month of its end. A clock that
//! was ahead made one that begins in the future: it is replaced when the clock, put right, is before its beginning. In
//! both cases the key stays and the fingerprint changes, which is logged and shown. Browsers judge dates by their own
//! clock, so a certificate begins a day before it was made.

use crate::keep::{Folder, Secrecy};
use drawbridge_identity::facts::CertificateFacts;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use ring::rand::SecureRandom as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use x509_cert::der::Decode as _;
use zeroize::{Zeroize as _, Zeroizing};

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "cert.pem";

const DAY: Duration = Duration::from_hours(24);
/// Two years: below the 825 days that browsers take at most.
const VALID_FOR: Duration = Duration::from_hours(730 * 24);
/// It is renewed so long before its end.
const RENEW_BEFORE: Duration = Duration::from_hours(30 * 24);
/// No certificate begins earlier: there was no Drawbridge before 2026.
const EARLIEST: Duration = Duration::from_hours(20_454 * 24);

/// Why key and certificate are of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// A file cannot be read.
    #[error("{file} cannot be read: {error}")]
    Read {
        /// Which.
        file: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// There is one without the other.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A file is damaged.
    #[error("{0} is damaged")]
    Damaged(&'static str),
    /// The key is not the certificate's.
    #[error("{KEY} is not the key of {CERTIFICATE}")]
    Mismatch,
    /// None can be made.
    #[error("no key or certificate can be made: {0}")]
    Make(String),
}

/// A key with its certificate.
pub(crate) struct Identity {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    pem: String,
    begins: SystemTime,
    ends: SystemTime,
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Identity {
    /// The kept identity, renewed if it is time; or a new one. What cannot be kept is served from memory, and logged.
    pub(crate) fn obtain(folder: &Folder, now: SystemTime) -> Result<Self, CertificateError> {
        match Self::load(folder, now) {
            Ok(Some(kept)) if kept.is_due(now) => kept.renew(folder, now),
            Ok(Some(kept)) => Ok(kept),
            Ok(None) => {
                log::info!("the console has no key yet: one is made");
                Self::make(folder, now)
            }
            Err(error) => {
                log::warn!("the console's key or certificate is set aside, and a new one is made: {error}");
                for name in [KEY, CERTIFICATE] {
                    if let Err(error) = folder.set_aside(name) {
                        log::warn!("{name} cannot be set aside: {error}");
                    }
                }
                Self::make(folder, now)
            }
        }
    }

    /// Whether the certificate has not begun, or ends soon.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        let now = now.max(SystemTime::UNIX_EPOCH + EARLIEST);
        now < self.begins || now + RENEW_BEFORE >= self.ends
    }

    /// The same key with a new certificate.
    pub(crate) fn renew(&self, folder: &Folder, now: SystemTime) -> Result<Self, CertificateError> {
        log::warn!(
            "the console's certificate is not valid at this clock, or ends within a month: it is renewed with the \
             same key, and its fingerprint changes"
        );
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(self.key.serialized_der()))
            .map_err(|error| CertificateError::Make(error.to_string()))?;
        let identity = Self::sign(key, now)?;
        identity.keep(folder, false);
        Ok(identity)
    }

    /// SHA-256 of the certificate.
    #[cfg(test)]
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.certificate);
        // SHA-256 has 32 bytes.
        digest.as_ref().try_into().unwrap_or_default()
    }

    /// The TLS side of it.
    pub(crate) fn tls(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        tls(vec![self.certificate.clone()], self.private_key())
    }

    /// What stands in the certificate.
    pub(crate) fn facts(&self) -> Result<CertificateFacts, CertificateError> {
        CertificateFacts::of(&self.certificate).map_err(|_| CertificateError::Damaged(CERTIFICATE))
    }

    fn load(folder: &Folder, now: SystemTime) -> Result<Option<Self>, CertificateError> {
        let read = |file| folder.read(file).map_err(|error| CertificateError::Read { file, error });
        let Some(key) = read(KEY)? else {
            return match read(CERTIFICATE)? {
                Some(_) => Err(CertificateError::Missing(KEY)),
                None => Ok(None),
            };
        };
        let der = PrivatePkcs8KeyDer::from_pem_slice(&key).map_err(|_| CertificateError::Damaged(KEY))?;
        let key = KeyPair::try_from(&der).map_err(|_| CertificateError::Damaged(KEY))?;
        let Some(pem) = read(CERTIFICATE)? else {
            // The power failed between the two writes.
            let identity = Self::sign(key, now)?;
            identity.keep(folder, false);
            return Ok(Some(identity));
        };
        let damaged = || CertificateError::Damaged(CERTIFICATE);
        let pem = String::from_utf8(pem.to_vec()).map_err(|_| damaged())?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| damaged())?;
        let (begins, ends) = validity(&certificate)?;
        let identity = Self { key, certificate, pem, begins, ends };
        identity.check()?;
        Ok(Some(identity))
    }

    fn make(folder: &Folder, now: SystemTime) -> Result<Self, CertificateError> {
        let key = KeyPair::generate().map_err(|error| CertificateError::Make(error.to_string()))?;
        let identity = Self::sign(key, now)?;
        identity.keep(folder, true);
        Ok(identity)
    }

    fn sign(key: KeyPair, now: SystemTime) -> Result<Self, CertificateError> {
        let make = |error: rcgen::Error| CertificateError::Make(error.to_string());
        let mut params =
            CertificateParams::new(["drawbridge".to_owned(), "drawbridge.local".to_owned()]).map_err(make)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "drawbridge");
        params.distinguished_name = name;
        let begins = whole_seconds(now - DAY).max(SystemTime::UNIX_EPOCH + EARLIEST);
        let ends = begins + VALID_FOR;
        params.not_before = begins.into();
        params.not_after = ends.into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let mut serial = [0; 16];
        ring::rand::SystemRandom::new()
            .fill(&mut serial)
            .map_err(|_| CertificateError::Make("the kernel gives no random numbers".to_owned()))?;
        // Positive and never zero (RFC 5280, section 4.1.2.2).
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let signed = params.self_signed(&key).map_err(make)?;
        Ok(Self { certificate: signed.der().clone(), pem: signed.pem(), key, begins, ends })
    }

    /// Keeps the identity in the folder, or says in the log that it cannot.
    fn keep(&self, folder: &Folder, key_too: bool) {
        let key = Zeroizing::new(self.key.serialize_pem());
        // The key first: a power failure in between leaves a key that a certificate can be made for. What makes the
        // certificate's name last makes the key's last too.
        let kept = if key_too { folder.replace(KEY, Secrecy::Secret, key.as_bytes()) } else { Ok(()) }
            .and_then(|()| folder.write(CERTIFICATE, Secrecy::Public, self.pem.as_bytes()));
        if let Err(error) = kept {
            log::warn!(
                "the console's key and certificate cannot be kept: {error}; they are served from memory, and the \
                 fingerprint is another one after the next restart"
            );
        }
    }

    /// Whether the key is the certificate's.
    fn check(&self) -> Result<(), CertificateError> {
        let provider = rustls::crypto::ring::default_provider();
        CertifiedKey::from_der(vec![self.certificate.clone()], self.private_key(), &provider)
            .map(drop)
            .map_err(|_| CertificateError::Mismatch)
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }
}

/// The TLS side of a chain and its key: TLS 1.2 and 1.3, HTTP/1.
///
/// Sessions are resumed by tickets, whose keys are made anew every six hours and are nowhere but in memory. Each
/// certificate has keys of its own: with another certificate nobody goes on as if he had seen it.
pub(crate) fn tls(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let make = |error: rustls::Error| CertificateError::Make(error.to_string());
    // That the key is the certificate's was seen when they were read, and goes without saying when they were made.
    let key = provider.key_provider.load_private_key(key).map_err(make)?;
    let certified = CertifiedKey::new(chain, key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(make)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(make)?;
    // With tickets nothing has to be remembered of anybody.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Without what a certificate's dates cannot say.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// When a certificate begins and ends.
fn validity(certificate: &CertificateDer<'_>) -> Result<(SystemTime, SystemTime), CertificateError> {
    let parsed =
        x509_cert::Certificate::from_der(certificate).map_err(|_| CertificateError::Damaged(CERTIFICATE))?;
    let validity = parsed.tbs_certificate().validity();
    let time = |time: x509_cert::time::Time| SystemTime::UNIX_EPOCH + time.to_unix_duration();
    Ok((time(validity.not_before), time(validity.not_after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// 2026-11-22
    const NOW: Duration = Duration::from_hours(20_779 * 24);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + NOW
    }

    fn folder(name: &str) -> (PathBuf, Folder) {
        let path = std::env::temp_dir().join(format!("drawbridge-certificate-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        (path.clone(), Folder::new(path))
    }

    #[test]
    fn the_same_key_and_certificate_are_served_after_a_restart() {
        let (path, folder) = folder("same");
        let one = Identity::obtain(&folder, now()).unwrap();
        let two = Identity::obtain(&folder, now() + DAY).unwrap();
        assert_eq!(one.fingerprint(), two.fingerprint());
        two.tls().unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn the_dates_that_are_known_are_those_in_the_certificate() {
        let key = KeyPair::generate().unwrap();
        let odd = now() + Duration::from_nanos(999_999_999);
        let made = Identity::sign(key, odd).unwrap();
        assert_eq!(validity(&made.certificate).unwrap(), (made.begins, made.ends));
    }

    #[test]
    fn a_damaged_key_or_certificate_is_set_aside_and_another_pair_made() {
        for file in [KEY, CERTIFICATE] {
            let (path, folder) = folder(file);
            let one = Identity::obtain(&folder, now()).unwrap();
            std::fs::write(path.join(file), b"\xff\0nonsense").unwrap();
            let two = Identity::obtain(&folder, now()).unwrap();
            assert_ne!(one.fingerprint(), two.fingerprint());
            assert!(path.join(format!("{file}.bad")).exists());
            let three = Identity::obtain(&folder, now()).unwrap();
            assert_eq!(two.fingerprint(), three.fingerprint());
            std::fs::remove_dir_all(path).unwrap();
        }
    }

    #[test]
    fn a_key_that_is_not_the_certificates_is_set_aside() {
        let ((one, first), (two, second)) = (folder("mismatch-1"), folder("mismatch-2"));
        let before = Identity::obtain(&first, now()).unwrap();
        let other = Identity::obtain(&second, now()).unwrap();
        std::fs::copy(two.join(KEY), one.join(KEY)).unwrap();
        let after = Identity::obtain(&first, now()).unwrap();
        assert_ne!(after.fingerprint(), before.fingerprint());
        assert_ne!(after.fingerprint(), other.fingerprint());
        after.tls().unwrap();
        for path in [one, two] {
            std::fs::remove_dir_all(path).unwrap();
        }
    }

    #[test]
    fn a_key_whose_certificate_was_never_written_is_used() {
        let (path, folder) = folder("half");
        let one = Identity::obtain(&folder, now()).unwrap();
        std::fs::remove_file(path.join(CERTIFICATE)).unwrap();
        let two = Identity::obtain(&folder, now()).unwrap();
        assert_eq!(one.key.serialized_der(), two.key.serialized_der());
        assert!(!path.join("key.pem.bad").exists());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn without_a_folder_it_is_served_from_memory() {
        let folder = Folder::new(PathBuf::from("/nonexistent/drawbridge"));
        Identity::obtain(&folder, now()).unwrap().tls().unwrap();
    }

    #[test]
    fn a_certificate_of_a_wrong_clock_is_renewed_with_the_same_key_once_the_clock_is_right() {
        let later = now() + 600 * DAY;
        for (made, now) in
            [(SystemTime::UNIX_EPOCH + DAY, later), (now(), now() + 720 * DAY), (now() + 25_000 * DAY, now())]
        {
            let (path, folder) = folder("clock");
            let wrong = Identity::obtain(&folder, made).unwrap();
            assert!(!wrong.is_due(made), "it would be renewed at each start");
            let right = Identity::obtain(&folder, now).unwrap();
            assert_eq!(wrong.key.serialized_der(), right.key.serialized_der());
            assert_ne!(wrong.fingerprint(), right.fingerprint());
            assert!(right.begins <= now && right.ends > now + 700 * DAY);
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}
