//! The server's settings, read from one TOML file; it never opens what they name.

use crate::Trouble;
use serde::Deserialize;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// A settings file is no longer, in bytes.
const LONGEST: u64 = 64 * 1024;
/// An audit log has so many lines, at the least.
const FEWEST_LINES: u32 = 1000;
/// So many addresses may be listened on, of each kind.
const MOST_ADDRESSES: usize = 16;

/// The settings. Each has a default: an empty file is one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder of the database, the host key, and a certificate of the server's own making.
    pub data: PathBuf,
    /// Where appliances are awaited, and engineers who come over TLS.
    pub tls: Vec<SocketAddr>,
    /// Where engineers' plain SSH is awaited.
    pub ssh: Vec<SocketAddr>,
    /// The certificate with its chain, PEM. Not given together with `key`, the server makes its own.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub key: Option<PathBuf>,
    /// The names and addresses in a certificate of the server's own making.
    pub names: Vec<String>,
    /// Bounds.
    pub limits: Limits,
}

/// How much the server takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections in all, of whatever kind, whose peer has shown who it is.
    pub connections: usize,
    /// Such connections from one address (an IPv6 network of 64 bits counts as one).
    pub per_address: usize,
    /// Connections in all before their peer has shown who it is.
    pub strangers: usize,
    /// Such connections from one address.
    pub strangers_per_address: usize,
    /// Connections that engineers may have open through the server at once, each engineer.
    pub sessions_per_engineer: usize,
    /// Lines of the audit log that are kept; when there are more, the oldest go.
    pub audit_lines: u32,
    /// Appliances that hand over recordings at once.
    pub uploads: usize,
    /// Bytes of one recording.
    pub recording_bytes: u64,
    /// Bytes of all recordings. When there are so many, no more are taken until somebody removes some.
    pub recordings_bytes: u64,
    /// Recordings of one system.
    pub recordings_per_system: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2000,
            per_address: 100,
            strangers: 512,
            strangers_per_address: 32,
            sessions_per_engineer: 32,
            audit_lines: 1_000_000,
            uploads: 64,
            recording_bytes: 16 << 30,
            recordings_bytes: 100 << 30,
            recordings_per_system: 10_000,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let any = |port| SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        Self {
            data: PathBuf::from("/var/lib/drawbridge-rss"),
            tls: vec![any(drawbridge_wire::TLS_PORT)],
            ssh: vec![any(drawbridge_wire::SSH_PORT)],
            certificate: None,
            key: None,
            names: vec!["localhost".to_owned()],
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Reads a file. What is relative in it is relative to the file's folder.
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        let shown = path.display();
        let length = std::fs::metadata(path)
            .map_err(|error| Trouble::new(format!("the settings {shown} cannot be read: {error}")))?
            .len();
        if length > LONGEST {
            return Err(Trouble::new(format!("the settings {shown} are longer than {LONGEST} bytes")));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| Trouble::new(format!("the settings {shown} cannot be read: {error}")))?;
        let mut config = Self::parse(&text).map_err(|error| Trouble::new(format!("{shown}: {error}")))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.data = folder.join(&config.data);
        for file in [&mut config.certificate, &mut config.key].into_iter().flatten() {
            *file = folder.join(&*file);
        }
        Ok(config)
    }

    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, Trouble> {
        let config: Self = toml::from_str(text).map_err(|error| Trouble::new(error.to_string()))?;
        if config.certificate.is_some() != config.key.is_some() {
            return Err(Trouble::new("certificate and key belong together: name both, or neither"));
        }
        if config.names.is_empty() && config.certificate.is_none() {
            return Err(Trouble::new(
                "names is empty: name what appliances dial, or give a certificate and its key",
            ));
        }
        if config.tls.is_empty() {
            return Err(Trouble::new(
                "tls is empty: without an address for appliances there is nothing to do",
            ));
        }
        if config.tls.len().max(config.ssh.len()) > MOST_ADDRESSES {
            return Err(Trouble::new(format!("more than {MOST_ADDRESSES} addresses in tls or ssh")));
        }
        let limits = config.limits;
        let each = [
            limits.connections,
            limits.per_address,
            limits.strangers,
            limits.strangers_per_address,
            limits.sessions_per_engineer,
        ];
        if limits.uploads == 0 || limits.recordings_per_system == 0 {
            return Err(Trouble::new(
                "a limit of 0 would take no recordings, and appliances would keep them all",
            ));
        }
        if each.contains(&0) {
            return Err(Trouble::new("a limit of 0 would let nobody in"));
        }
        if limits.audit_lines < FEWEST_LINES {
            return Err(Trouble::new(format!(
                "audit_lines is below {FEWEST_LINES}: so few would not tell what happened"
            )));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_says_the_defaults_and_is_read() {
        let example = include_str!("../rss.example.toml");
        let read = Config::parse(example).unwrap();
        let default = Config::default();
        assert_eq!(read.data, default.data);
        assert_eq!((read.tls, read.ssh), (default.tls, default.ssh));
        assert_eq!(read.limits, default.limits);
        assert_eq!(read.names, ["rss.example.com"]);
        // Each line that is commented out is one that may be taken in.
        let all = example.replace("#certificate", "certificate").replace("#key", "key");
        let read = Config::parse(&all).unwrap();
        assert!(read.certificate.is_some() && read.key.is_some());
    }

    #[test]
    fn what_is_not_known_or_makes_no_sense_is_refused() {
        assert!(Config::parse("").is_ok());
        for text in [
            "prot = 1",
            "certificate = \"a\"",
            "tls = []",
            "tls = [\"example:1\"]",
            "[limits]\nconnections = 0",
            "[limits]\naudit_lines = 10",
            "[limits]\nuploads = 0",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }
}
