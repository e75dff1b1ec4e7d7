//! What the role keeps below `/data/session`: the device's keys, and the servers' that were seen. It never keeps anything of a
//! grant.
//!
//! There are three keys. Engineers know the appliance by the host key, which the SSH daemon holds while a grant is open. The
//! Remote Support Server knows it by the login key, which the tunnel holds. So whoever takes the tunnel over, which speaks
//! with the world, still cannot pose as the SSH daemon and ask for the secret. By the third, which this role gives to nobody, recordings
//! and audit are signed: neither whoever speaks with engineers nor whoever writes down what they do can sign another past.

use crate::keys;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawbridge_bus::bridge::SecretBytes;
use drawbridge_chain::{DeviceKey, Signature, ToSign};
use drawbridge_settings::FieldError;
use drawbridge_settings::store::{Document, Store};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Servers whose keys are kept; with one more, the one whose name comes first is forgotten.
const SERVERS_MOST: usize = 32;

/// What the key for evidence signs for the recorder: this, then the hash of the line that a chain's signature is for. So who records
/// cannot have an audit signed.
const RECORDING: &[u8] = b"drawbridge chain v1\0recording\0";
/// SHA-256.
const HASH_BYTES: usize = 32;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The kernel gives no random numbers.
    #[error("the kernel gives no random numbers, so that the device has no keys")]
    Random,
    /// What is there is no key.
    #[error("a key of the device's is none")]
    Key,
}

/// The device's keys as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Keys {
    host: Option<SecretBytes>,
    login: Option<SecretBytes>,
    #[serde(default)]
    evidence: Option<SecretBytes>,
    /// Stands for the serial number of a machine that has none.
    serial: String,
}

impl Document for Keys {
    const NAME: &'static str = "keys";
    const VERSION: u32 = 1;

    fn migrate(from: u32, _: Value) -> Result<Value, String> {
        Err(format!("there never was a version {from}"))
    }

    fn check(&self) -> Result<(), Vec<FieldError>> {
        Ok(())
    }
}

/// The servers' SSH host keys as OpenSSH writes them, by `HOST:PORT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Servers {
    keys: BTreeMap<String, String>,
}

impl Document for Servers {
    const NAME: &'static str = "servers";
    const VERSION: u32 = 1;

    fn migrate(from: u32, _: Value) -> Result<Value, String> {
        Err(format!("there never was a version {from}"))
    }

    fn check(&self) -> Result<(), Vec<FieldError>> {
        Ok(())
    }
}

/// The key for evidence, as the role itself uses it: it signs the audit, and passwords that have to be kept are sealed under a key
/// that is made of it.
#[derive(Clone)]
pub(crate) struct EvidenceKey {
    pair: Arc<Ed25519KeyPair>,
    public: DeviceKey,
    seal: Arc<LessSafeKey>,
}

/// The length of a key that seals.
struct SealLength;

impl hkdf::KeyType for SealLength {
    fn len(&self) -> usize {
        AES_256_GCM.key_len()
    }
}

impl EvidenceKey {
    fn of(seed: &SecretBytes) -> Result<Self, IdentityError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.reveal()).map_err(|_| IdentityError::Key)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| IdentityError::Key)?;
        let mut bytes = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"drawbridge seal v1")
            .extract(seed.reveal())
            .expand(&[b"passwords of receivers"], SealLength)
            .and_then(|made| made.fill(&mut *bytes))
            .map_err(|_| IdentityError::Key)?;
        let seal = UnboundKey::new(&AES_256_GCM, &*bytes).map_err(|_| IdentityError::Key)?;
        Ok(Self { pair: Arc::new(pair), public: DeviceKey(public), seal: Arc::new(LessSafeKey::new(seal)) })
    }

    /// Its public half.
    pub(crate) fn public(&self) -> DeviceKey {
        self.public
    }

    /// Signs a mark of the audit's chain.
    pub(crate) fn sign(&self, to_sign: &ToSign) -> Signature {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&to_sign.bytes()).as_ref());
        Signature(signature)
    }

    /// Seals a secret that has to be kept, for one purpose; none when the kernel gives no random numbers.
    pub(crate) fn seal(&self, purpose: &str, secret: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        // What was sealed takes the place of the secret.
        let mut bytes = Zeroizing::new(Vec::with_capacity(secret.len() + AES_256_GCM.tag_len()));
        bytes.extend_from_slice(secret.as_bytes());
        let aad = Aad::from(purpose.as_bytes());
        let nonced = Nonce::assume_unique_for_key(nonce);
        self.seal.seal_in_place_append_tag(nonced, aad, &mut *bytes).ok()?;
        Some(STANDARD.encode([&nonce[..], &bytes].concat()))
    }

    /// A secret that was sealed for this purpose; none when it was not, or by another key.
    pub(crate) fn unseal(&self, purpose: &str, sealed: &str) -> Option<Zeroizing<String>> {
        let bytes = Zeroizing::new(STANDARD.decode(sealed).ok()?);
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let opened = self.seal.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut rest).ok()?;
        Some(Zeroizing::new(std::str::from_utf8(opened).ok()?.to_owned()))
    }
}

/// The device's keys and what it knows of servers.
pub(crate) struct Identity {
    store: Store,
    /// Seed of the SSH daemon's host key.
    pub(crate) host: SecretBytes,
    /// Seed of the key by which the tunnel logs in.
    pub(crate) login: SecretBytes,
    /// The host key as OpenSSH writes it.
    pub(crate) host_line: String,
    /// The login key as OpenSSH writes it.
    pub(crate) login_line: String,
    /// The key for evidence as OpenSSH writes it.
    pub(crate) evidence_line: String,
    evidence: EvidenceKey,
    serial: String,
    servers: Servers,
}

impl Identity {
    /// Reads what is kept, and makes what is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, IdentityError> {
        let store = Store::at(folder);
        let loaded = store.load::<Keys>();
        if loaded.is_troubled() {
            log::warn!("{}", loaded.sentence());
        }
        let mut keys = loaded.value;
        let was = keys.clone();
        let host = keys.host.get_or_insert(random()?).clone();
        let login = keys.login.get_or_insert(random()?).clone();
        let evidence = keys.evidence.get_or_insert(random()?).clone();
        if keys.serial.is_empty() {
            let mut bytes = [0; 4];
            SystemRandom::new().fill(&mut bytes).map_err(|_| IdentityError::Random)?;
            keys.serial = format!("SA-{:08X}", u32::from_be_bytes(bytes));
        }
        if keys != was {
            match store.save(&keys) {
                Ok(()) => log::info!("the device has new keys"),
                Err(error) => log::error!(
                    "the device's new keys cannot be kept, and are gone at the next start: {error}"
                ),
            }
        }
        let line = |seed: &SecretBytes| keys::public_line(seed).ok_or(IdentityError::Key);
        let (host_line, login_line, evidence_line) = (line(&host)?, line(&login)?, line(&evidence)?);
        let evidence = EvidenceKey::of(&evidence)?;
        let servers = store.load::<Servers>();
        if servers.is_troubled() {
            log::warn!("{}", servers.sentence());
        }
        let serial = std::mem::take(&mut keys.serial);
        let servers = servers.value;
        Ok(Self { store, host, login, host_line, login_line, evidence_line, evidence, serial, servers })
    }

    /// A signature by the key for evidence of a recording's mark, and the key's public half; none for anything else.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Option<(Vec<u8>, [u8; 32])> {
        bytes.strip_prefix(RECORDING).filter(|hash| hash.len() == HASH_BYTES)?;
        Some((self.evidence.pair.sign(bytes).as_ref().to_vec(), self.evidence.public().0))
    }

    /// The key for evidence, for the role's own audit.
    pub(crate) fn evidence(&self) -> EvidenceKey {
        self.evidence.clone()
    }

    /// The serial number: the machine's own, or else the one that was made up for it.
    pub(crate) fn serial<'a>(&'a self, machine: &'a str) -> &'a str {
        if machine.is_empty() { &self.serial } else { machine }
    }

    /// The SSH host key of a server, where it is known.
    pub(crate) fn server_key(&self, server: &str) -> Option<String> {
        self.servers.keys.get(server).cloned()
    }

    /// Keeps the SSH host key of a server that is not known yet. One that is known stays.
    pub(crate) fn learn(&mut self, server: &str, key: &str) {
        if keys::check(key).is_err() || self.servers.keys.contains_key(server) {
            return;
        }
        if self.servers.keys.len() >= SERVERS_MOST {
            self.servers.keys.pop_first();
        }
        self.servers.keys.insert(server.to_owned(), key.to_owned());
        match self.store.save(&self.servers) {
            Ok(()) => {
                log::info!("the server {server} is known from now on by its key {}", keys::fingerprint(key));
            }
            Err(error) => log::error!("the key of the server {server} cannot be kept: {error}"),
        }
    }
}

fn random() -> Result<SecretBytes, IdentityError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| IdentityError::Random)?;
    let random = SecretBytes::new(bytes);
    zeroize::Zeroize::zeroize(&mut bytes);
    Ok(random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_chain::{Hash, Kind};

    #[test]
    fn keys_and_serial_number_stay_and_a_server_s_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Identity::open(folder.path()).unwrap();
        assert_ne!(first.host, first.login);
        assert!(first.evidence_line != first.host_line && first.evidence_line != first.login_line);
        let (other, another) = (first.host_line.clone(), first.login_line.clone());
        first.learn("rss.example.com:443", &other);
        first.learn("rss.example.com:443", &another);
        first.learn("nonsense:443", "no key");
        let second = Identity::open(folder.path()).unwrap();
        assert_eq!((&second.host, &second.login), (&first.host, &first.login));
        assert_eq!(second.evidence_line, first.evidence_line);
        assert_eq!(second.serial(""), first.serial(""));
        assert_eq!(second.serial("4711"), "4711");
        assert_eq!(second.server_key("rss.example.com:443"), Some(other));
        assert_eq!(second.server_key("nonsense:443"), None);
    }

    #[test]
    fn the_key_for_evidence_signs_a_recordings_mark_and_nothing_else_for_the_recorder() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::open(folder.path()).unwrap();
        let of = |kind| ToSign { kind, mark: Hash::of(b"a line") };
        let text = of(Kind::Recording).bytes();
        let (signature, public) = identity.sign(&text).unwrap();
        let signature = Signature(signature.try_into().unwrap());
        assert!(DeviceKey(public).verifies(&of(Kind::Recording), &signature));
        assert!(identity.sign(&of(Kind::Audit).bytes()).is_none());
        for wrong in [b"drawbridge grant v1".as_slice(), b"", &[0; 32], &text[1..], &text[..text.len() - 1]] {
            assert!(identity.sign(wrong).is_none());
        }
        assert!(identity.sign(&[&text[..], b"x"].concat()).is_none());
    }

    #[test]
    fn what_is_sealed_is_read_for_its_own_purpose_by_the_same_device_and_by_nobody_else() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = Identity::open(one.path()).unwrap().evidence();
        let sealed = key.seal("mail", "three-keys-on-a-ring").unwrap();
        assert!(!sealed.contains("three") && sealed != key.seal("mail", "three-keys-on-a-ring").unwrap());
        let again = Identity::open(one.path()).unwrap().evidence();
        assert_eq!(again.unseal("mail", &sealed).unwrap().as_str(), "three-keys-on-a-ring");
        assert!(again.unseal("array", &sealed).is_none());
        let stranger = Identity::open(other.path()).unwrap().evidence();
        assert!(stranger.unseal("mail", &sealed).is_none());
        for wrong in ["", "AAAA", "no base64", &sealed[4..]] {
            assert!(again.unseal("mail", wrong).is_none());
        }
    }

    #[test]
    fn the_audit_is_signed_by_the_key_that_the_device_is_known_by_for_evidence() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::open(folder.path()).unwrap();
        let to_sign = ToSign { kind: Kind::Audit, mark: Hash::of(b"a line") };
        let key = identity.evidence();
        assert!(key.public().verifies(&to_sign, &key.sign(&to_sign)));
        assert!(identity.evidence_line.starts_with(&key.public().to_ssh()));
    }
}
