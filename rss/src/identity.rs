//! The server's own keys: the SSH host key and the TLS certificate, made at the first start where none is given. It never
//! replaces them, and takes up a certificate that somebody else has replaced; keys never leave their files.

use crate::Trouble;
use crate::config::Config;
use ring::rand::{SecureRandom as _, SystemRandom};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A key or a chain of certificates is no longer, in bytes.
const LONGEST: u64 = 256 * 1024;

/// The SSH host key, Ed25519.
pub(crate) fn host_key(folder: &Path) -> Result<PrivateKey, Trouble> {
    let path = folder.join("host_key");
    if !there(&path)? {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(seed.as_mut_slice())
            .map_err(|_| Trouble::new("the kernel gives no random numbers: try again"))?;
        let text = PrivateKey::from(Ed25519Keypair::from_seed(&seed))
            .to_openssh(LineEnding::LF)
            .map_err(|error| Trouble::new(format!("the host key cannot be written down: {error}")))?;
        keep(&path, text.as_bytes(), 0o600)?;
    }
    let text = read(&path)?;
    is_private(&path)?;
    PrivateKey::from_openssh(text.as_slice())
        .map_err(|error| Trouble::new(format!("{} is no host key: {error}", path.display())))
}

/// The files of the certificate with its chain, and of its key.
pub(crate) struct Files {
    chain: PathBuf,
    key: PathBuf,
}

/// What tells a file from one that has taken its place: inode, length, and the time of its last change in seconds and
/// nanoseconds; of both files.
pub(crate) type Stamps = [Option<(u64, u64, i64, i64)>; 2];

/// The files that the settings name, or else the server's own, made when they are not there.
pub(crate) fn files(config: &Config) -> Result<Files, Trouble> {
    let (chain, key) = match (&config.certificate, &config.key) {
        (Some(chain), Some(key)) => (chain.clone(), key.clone()),
        _ => own_certificate(config)?,
    };
    Ok(Files { chain, key })
}

impl Files {
    /// As they are now.
    pub(crate) fn stamps(&self) -> Stamps {
        [&self.chain, &self.key].map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
        })
    }

    /// The TLS side: 1.3 and 1.2, with the application protocols of [`drawbridge_wire`].
    pub(crate) fn load(&self) -> Result<Arc<ServerConfig>, Trouble> {
        let Self { chain, key } = self;
        let fault = |path: &Path, error: &dyn std::fmt::Display| {
            Trouble::new(format!("{} cannot be used: {error}", path.display()))
        };
        let certificates = CertificateDer::pem_slice_iter(&read(chain)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| fault(chain, &error))?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| fault(key, &error))?;
        let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Trouble::new(format!("TLS cannot be set up: {error}")))?
            .with_no_client_auth()
            .with_single_cert(certificates, private)
            .map_err(|error| fault(chain, &error))?;
        tls.alpn_protocols = [
            drawbridge_wire::CONTROL,
            drawbridge_wire::SESSION,
            drawbridge_wire::RECORDING,
            drawbridge_wire::ARCHIVE,
            drawbridge_wire::ENGINEER,
        ]
        .map(<[u8]>::to_vec)
        .to_vec();
        Ok(Arc::new(tls))
    }
}

/// The files of the server's own certificate, made when they are not there.
fn own_certificate(config: &Config) -> Result<(PathBuf, PathBuf), Trouble> {
    let (chain, key) = (config.data.join("tls.crt"), config.data.join("tls.key"));
    // The certificate is written last: whoever sees it finds the key.
    if !there(&chain)? {
        let fault = |error| {
            Trouble::new(format!("a certificate for {} cannot be made: {error}", config.names.join(", ")))
        };
        let pair = rcgen::KeyPair::generate().map_err(fault)?;
        let mut parameters = rcgen::CertificateParams::new(config.names.clone()).map_err(fault)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, config.names.first().map_or("drawbridge-rss", String::as_str));
        let certificate = parameters.self_signed(&pair).map_err(fault)?;
        if there(&key)? {
            std::fs::remove_file(&key)
                .map_err(|error| Trouble::new(format!("{} cannot be removed: {error}", key.display())))?;
        }
        keep(&key, Zeroizing::new(pair.serialize_pem()).as_bytes(), 0o600)?;
        keep(&chain, certificate.pem().as_bytes(), 0o644)?;
    }
    Ok((chain, key))
}

fn there(path: &Path) -> Result<bool, Trouble> {
    path.try_exists()
        .map_err(|error| Trouble::new(format!("{} cannot be looked at: {error}", path.display())))
}

/// Writes a file that was not there, whole or not at all.
fn keep(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Trouble> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    write().map_err(|error| Trouble::new(format!("{} cannot be written: {error}", path.display())))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let fault = |error: io::Error| Trouble::new(format!("{} cannot be read: {error}", path.display()));
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path).map_err(fault)?.take(LONGEST).read_to_end(&mut bytes).map_err(fault)?;
    Ok(bytes)
}

/// Refuses a host key that others can read, as OpenSSH does.
fn is_private(path: &Path) -> Result<(), Trouble> {
    let mode = std::fs::metadata(path)
        .map_err(|error| Trouble::new(format!("{} cannot be looked at: {error}", path.display())))?
        .permissions()
        .mode();
    if mode.trailing_zeros() >= 6 {
        return Ok(());
    }
    Err(Trouble::new(format!(
        "others can read {}: take it as known to them, or chmod 600 it",
        path.display()
    )))
}
