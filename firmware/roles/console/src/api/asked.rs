//! What a browser asks for of the bridge, as JSON, to the bus's types. It never decides whether it may be had.

use super::targets::{Faults, list, optional, target, targets};
use super::verification::AskedVerification;
use drawbridge_bus::bridge::{BridgePath, BridgeRequest, ProxyPath, ProxyProtocol, SecretText};
use drawbridge_bus::support::{EngineerKey, GrantRequest, Level, Proof, Recording, Scope, USUAL_GRACE};
use drawbridge_settings::FieldError;
use serde::{Deserialize, Serialize};

/// The server's port where none is named.
const HTTPS: u16 = 443;

/// A bridge to be lowered. What is secret is read and never written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) name: String,
    #[serde(default)]
    reason: String,
    #[serde(default = "direct")]
    level: AskedLevel,
    #[serde(default)]
    recording: AskedRecording,
    #[serde(default = "usual_grace")]
    grace_seconds: u32,
    #[serde(default)]
    scope: AskedScope,
    minutes: u32,
    #[serde(default, skip_serializing)]
    secret: Option<SecretText>,
    #[serde(default)]
    keys: Vec<AskedKey>,
    #[serde(default)]
    sources: Vec<String>,
    /// The text of a signed grant by which it is asked for.
    #[serde(default, skip_serializing)]
    pub(crate) grant: Option<String>,
    pub(crate) path: AskedPath,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum AskedLevel {
    Direct,
    Watched,
    Guided,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum AskedRecording {
    #[default]
    Strict,
    BreakGlass,
}

const fn usual_grace() -> u32 {
    USUAL_GRACE
}

const fn direct() -> AskedLevel {
    AskedLevel::Direct
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct AskedScope {
    targets: Vec<String>,
    shell: bool,
    files: bool,
    forwards: bool,
}

impl Default for AskedScope {
    fn default() -> Self {
        Self { targets: Vec::new(), shell: true, files: true, forwards: false }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AskedKey {
    line: String,
    #[serde(default)]
    authority: bool,
    #[serde(default)]
    minutes: Option<u32>,
}

/// The way to the server.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskedPath {
    pub(crate) server: String,
    #[serde(default)]
    tls_name: Option<String>,
    #[serde(default)]
    verification: AskedVerification,
    #[serde(default)]
    hops: Vec<String>,
    #[serde(default)]
    proxy: Option<AskedProxy>,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default, skip_serializing)]
    enrolment: Option<SecretText>,
}

/// A proxy on the way.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskedProxy {
    protocol: AskedProtocol,
    address: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default, skip_serializing)]
    password: Option<SecretText>,
    #[serde(default)]
    hops: Vec<String>,
    #[serde(default)]
    verification: AskedVerification,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum AskedProtocol {
    Http,
    Https,
    Socks4,
    Socks4a,
    Socks5,
}

impl AskedPath {
    /// A way to this server by this proxy, and all else as usual.
    pub(crate) fn simple(server: String, proxy: Option<AskedProxy>) -> Self {
        Self {
            server,
            tls_name: None,
            verification: AskedVerification::default(),
            hops: Vec::new(),
            proxy,
            interface: None,
            enrolment: None,
        }
    }

    /// The bus's type.
    pub(crate) fn path(self) -> Result<BridgePath, Faults> {
        let mut faults = Faults::new();
        let path = self.read(&mut faults);
        done(path, faults)
    }

    fn read(self, faults: &mut Faults) -> Option<BridgePath> {
        let server = target("path.server", &self.server, Some(HTTPS), faults);
        let tls_name = optional("path.tls_name", self.tls_name.as_deref(), faults);
        let verification = self.verification.read("path.verification", faults);
        let hops = targets("path.hops", &self.hops, faults);
        let interface = optional("path.interface", self.interface.as_deref(), faults);
        let proxy = self.proxy.map(|proxy| proxy.read(faults));
        Some(BridgePath {
            server: server?,
            tls_name,
            verification,
            hops,
            proxy: match proxy {
                None => None,
                Some(proxy) => Some(proxy?),
            },
            interface,
            enrolment: self.enrolment.filter(|token| !token.reveal().is_empty()),
        })
    }
}

impl AskedProxy {
    fn read(self, faults: &mut Faults) -> Option<ProxyPath> {
        let address = target("path.proxy.address", &self.address, None, faults);
        let hops = targets("path.proxy.hops", &self.hops, faults);
        let verification = self.verification.read("path.proxy.verification", faults);
        Some(ProxyPath {
            protocol: match self.protocol {
                AskedProtocol::Http => ProxyProtocol::Http,
                AskedProtocol::Https => ProxyProtocol::Https,
                AskedProtocol::Socks4 => ProxyProtocol::Socks4,
                AskedProtocol::Socks4a => ProxyProtocol::Socks4a,
                AskedProtocol::Socks5 => ProxyProtocol::Socks5,
            },
            address: address?,
            hops,
            user: self.user.filter(|user| !user.is_empty()),
            password: self.password.filter(|password| !password.reveal().is_empty()),
            verification,
        })
    }
}

impl Asked {
    /// By the array's own pages: what they let an administrator choose, and all else as usual.
    pub(crate) fn simple(name: String, minutes: u32, secret: SecretText, path: AskedPath) -> Self {
        Self {
            name,
            reason: String::new(),
            level: AskedLevel::Direct,
            recording: AskedRecording::Strict,
            grace_seconds: USUAL_GRACE,
            scope: AskedScope::default(),
            minutes,
            secret: Some(secret),
            keys: Vec::new(),
            sources: Vec::new(),
            grant: None,
            path,
        }
    }

    /// The bus's type, for somebody of this name.
    pub(crate) fn request(self, opener: &str) -> Result<BridgeRequest, Faults> {
        let mut faults = Faults::new();
        let secret = self.secret.filter(|secret| !secret.reveal().is_empty());
        let keys: Vec<EngineerKey> = self
            .keys
            .into_iter()
            .map(|key| EngineerKey {
                line: key.line.trim().to_owned(),
                authority: key.authority,
                minutes: key.minutes,
            })
            .collect();
        let proof = match (&secret, keys.is_empty()) {
            (_, true) => Proof::Secret,
            (None, false) => Proof::Key(keys),
            (Some(_), false) => Proof::KeyAndSecret(keys),
        };
        if secret.is_none() && matches!(proof, Proof::Secret) {
            faults.push(FieldError::new(
                "secret",
                "there is neither a secret nor a key",
                "a secret, as it is offered by Generate, or a key of the engineer's",
            ));
        }
        let targets = targets("scope.targets", &self.scope.targets, &mut faults);
        let sources = list("sources", &self.sources, &mut faults);
        let path = self.path.read(&mut faults);
        let grant = GrantRequest {
            name: self.name,
            opener: opener.to_owned(),
            reason: self.reason,
            level: match self.level {
                AskedLevel::Direct => Level::Direct,
                AskedLevel::Watched => Level::Watched,
                AskedLevel::Guided => Level::Guided,
            },
            recording: match self.recording {
                AskedRecording::Strict => Recording::Strict,
                AskedRecording::BreakGlass => Recording::BreakGlass,
            },
            grace_seconds: self.grace_seconds,
            scope: Scope {
                targets,
                shell: self.scope.shell,
                files: self.scope.files,
                forwards: self.scope.forwards,
            },
            minutes: self.minutes,
            proof,
            sources,
        };
        // All that is wrong is told at once, whoever finds it.
        if let Err(more) = grant.check() {
            faults.extend(more);
        }
        if let Some(Err(more)) = path.as_ref().map(BridgePath::check) {
            faults.extend(more);
        }
        done(path.map(|path| BridgeRequest { grant, secret, path }), faults)
    }
}

fn done<T>(read: Option<T>, faults: Faults) -> Result<T, Faults> {
    match read {
        Some(read) if faults.is_empty() => Ok(read),
        _ => Err(faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_bus::support::Target;

    fn request(text: &str) -> Result<BridgeRequest, Vec<String>> {
        let asked: Asked = serde_json::from_str(text).unwrap();
        asked.request("anna").map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn a_short_request_is_enough() {
        let asked =
            r#"{"name":"case 1","minutes":60,"secret":"correct horse","path":{"server":"rss.example"}}"#;
        let request = request(asked).unwrap();
        assert_eq!(request.path.server, Target { host: "rss.example".parse().unwrap(), port: 443 });
        assert_eq!(request.grant.proof, Proof::Secret);
        assert_eq!(request.grant.opener, "anna");
        assert!(request.path.verification.built_in && request.path.proxy.is_none());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_by_its_field() {
        let asked = r#"{"name":"","minutes":0,"scope":{"targets":["node","node:0","no de:22"]},"sources":["10.0.0.1/8"],
            "path":{"server":"a:b","hops":["x:+1"],"verification":{"uploaded":["none"],"certificate_pin":"AA"},
                    "proxy":{"protocol":"http","address":"proxy"}}}"#;
        let Err(mut fields) = request(asked) else { panic!("it was taken") };
        fields.sort();
        for field in [
            "minutes",
            "name",
            "path.hops[0]",
            "path.proxy.address",
            "path.server",
            "path.verification.certificate_pin",
            "path.verification.uploaded[0]",
            "scope.targets[0]",
            "scope.targets[1]",
            "scope.targets[2]",
            "secret",
        ] {
            assert!(fields.contains(&field.to_owned()), "{field} is not among {fields:?}");
        }
    }

    #[test]
    fn what_is_kept_for_the_next_time_holds_no_secret() {
        let asked = r#"{"name":"case 1","minutes":60,"secret":"swordfish","path":{"server":"rss.example","enrolment":"swordfish",
            "proxy":{"protocol":"socks5","address":"p:1","user":"u","password":"swordfish"}}}"#;
        let asked: Asked = serde_json::from_str(asked).unwrap();
        let kept = serde_json::to_string(&asked).unwrap();
        assert!(!kept.contains("swordfish"), "{kept}");
        serde_json::from_str::<Asked>(&kept).unwrap();
    }
}
