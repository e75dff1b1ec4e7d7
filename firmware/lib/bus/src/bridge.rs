//! What roles tell each other of the bridge: the path to the Remote Support Server, the orders of tunnel and SSH daemon, what
//! an engineer asks for. Types and their bounds only: it never decides.
//!
//! ```text
//!   console ──open, close, status, test──► session ──run, end, what is left?──► init
//!                                            ▲  ▲                                 ▲
//!                          orders, news      │  │  orders, who is it, may he?     │ start a shell for a channel
//!                                tunnel ─────┘  └───── sshd ──────────────────────┘
//! ```

use crate::approval::ApprovedBy;
use crate::supervise::Supervised;
use crate::support::{EngineerKey, GrantId, GrantRequest, Leftovers, Level, Recording, Scope, Target};
use drawbridge_settings::FieldError;
use drawbridge_settings::network::{Host, InterfaceName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use zeroize::{Zeroize as _, Zeroizing};

/// The port of the loopback address on which the SSH daemon listens for the tunnel's relay, and for nobody else.
pub const SSHD_PORT: u16 = 2222;
/// The most relays on the way to a proxy, and from there to the server.
pub const HOPS_MOST: usize = 8;
/// The most uploaded roots, and the most bytes of each (DER).
pub const ROOTS_MOST: usize = 16;
/// The most bytes of an uploaded root.
pub const ROOT_BYTES: usize = 8 * 1024;
/// The longest secret text, in bytes.
pub const SECRET_BYTES: usize = 256;
/// The longest command or path of an engineer's, in bytes.
pub const COMMAND_BYTES: usize = 32 * 1024;
/// The most steps that are kept of a test.
pub const STEPS_MOST: usize = 200;

/// A secret on its way between roles. Wiped when dropped, and shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretText(String);

impl SecretText {
    /// Takes a secret.
    pub fn new(mut text: Zeroizing<String>) -> Self {
        Self(std::mem::take(&mut *text))
    }

    /// The secret, for who has to use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("SecretText(not shown)")
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// 32 bytes that nobody else knows: a key's seed (RFC 8032, section 5.1.5), or a token. Wiped when dropped, shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretBytes([u8; 32]);

impl SecretBytes {
    /// Takes them.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for who has to use them.
    pub const fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("SecretBytes(not shown)")
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a TLS server is verified by: with roots and a pin, both must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The roots that browsers trust.
    pub built_in: bool,
    /// Roots of the customer's own, in DER (at most [`ROOTS_MOST`] of [`ROOT_BYTES`]).
    pub uploaded: Vec<Vec<u8>>,
    /// SHA-256 of the server's public key with its algorithm (RFC 7469, section 2.4).
    pub key_pin: Option<[u8; 32]>,
    /// SHA-256 of the server's certificate.
    pub certificate_pin: Option<[u8; 32]>,
}

impl Default for Verification {
    fn default() -> Self {
        Self { built_in: true, uploaded: Vec::new(), key_pin: None, certificate_pin: None }
    }
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyProtocol {
    /// HTTP CONNECT.
    Http,
    /// HTTP CONNECT, spoken over TLS.
    Https,
    /// SOCKS4, names looked up by the appliance.
    Socks4,
    /// `SOCKS4a`.
    Socks4a,
    /// SOCKS5.
    Socks5,
}

/// A proxy on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyPath {
    /// What it speaks.
    pub protocol: ProxyProtocol,
    /// Where it is.
    pub address: Target,
    /// Relays on the way to it, the nearest first (at most [`HOPS_MOST`]).
    pub hops: Vec<Target>,
    /// The user's name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<SecretText>,
    /// What its certificate is verified by, for [`ProxyProtocol::Https`].
    pub verification: Verification,
}

/// The way to the Remote Support Server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePath {
    /// The server.
    pub server: Target,
    /// The name that its certificate must bear, where it is not the server's own.
    pub tls_name: Option<Host>,
    /// What its certificate is verified by.
    pub verification: Verification,
    /// Relays on the way to it, behind the proxy if there is one, the nearest first (at most [`HOPS_MOST`]).
    pub hops: Vec<Target>,
    /// The proxy.
    pub proxy: Option<ProxyPath>,
    /// The interface that connections leave by; none: as the routes say.
    pub interface: Option<InterfaceName>,
    /// The token by which the server's operator lets the appliance in for the first time.
    pub enrolment: Option<SecretText>,
}

impl BridgePath {
    /// Every fault, with its field.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut target = |field: String, target: &Target| {
            if target.port == 0 {
                errors.push(FieldError::new(
                    format!("{field}.port"),
                    "0 is no TCP port",
                    "a port from 1 to 65535, as 443",
                ));
            }
        };
        target("path.server".to_owned(), &self.server);
        for (number, hop) in self.hops.iter().enumerate() {
            target(format!("path.hops[{number}]"), hop);
        }
        if let Some(proxy) = &self.proxy {
            target("path.proxy.address".to_owned(), &proxy.address);
            for (number, hop) in proxy.hops.iter().enumerate() {
                target(format!("path.proxy.hops[{number}]"), hop);
            }
        }
        let proxy_hops = self.proxy.as_ref().map_or(0, |proxy| proxy.hops.len());
        for (field, count) in [("path.hops", self.hops.len()), ("path.proxy.hops", proxy_hops)] {
            if count > HOPS_MOST {
                errors.push(FieldError::new(
                    field,
                    format!("these are {count}"),
                    format!("at most {HOPS_MOST}"),
                ));
            }
        }
        self.verification.check("path.verification", &mut errors);
        if let Some(proxy) = &self.proxy {
            proxy.check(&mut errors);
        }
        let token = self.enrolment.as_ref().map_or("", SecretText::reveal);
        if token.len() > SECRET_BYTES / 2 || token.chars().any(char::is_control) {
            errors.push(FieldError::new(
                "path.enrolment",
                "this is no enrolment token",
                "one line, as the server's operator has given it",
            ));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

impl ProxyPath {
    fn check(&self, errors: &mut Vec<FieldError>) {
        if self.protocol == ProxyProtocol::Https {
            self.verification.check("path.proxy.verification", errors);
        }
        let password = self.password.as_ref().map(SecretText::reveal);
        for (field, text) in [("path.proxy.user", self.user.as_deref()), ("path.proxy.password", password)] {
            let Some(text) = text else { continue };
            if text.len() > 255 || text.chars().any(char::is_control) {
                errors.push(FieldError::new(
                    field,
                    "this is too long, or has a control character in it",
                    "at most 255 bytes of text",
                ));
            }
        }
        if self.password.is_some() && self.user.as_deref().is_none_or(str::is_empty) {
            errors.push(FieldError::new(
                "path.proxy.user",
                "there is a password without a user",
                "the user's name, or no password",
            ));
        }
    }
}

impl Verification {
    /// Adds every fault, with its field.
    pub(crate) fn check(&self, field: &str, errors: &mut Vec<FieldError>) {
        if !self.built_in
            && self.uploaded.is_empty()
            && self.key_pin.is_none()
            && self.certificate_pin.is_none()
        {
            errors.push(FieldError::new(
                field,
                "there is nothing to verify the server by",
                "the built-in roots, an uploaded root, or a pin",
            ));
        }
        if self.uploaded.len() > ROOTS_MOST || self.uploaded.iter().any(|root| root.len() > ROOT_BYTES) {
            errors.push(FieldError::new(
                format!("{field}.uploaded"),
                "these are too many, or too large",
                format!("at most {ROOTS_MOST} certificates of {ROOT_BYTES} bytes"),
            ));
        }
        if self.key_pin.is_some() && self.certificate_pin.is_some() {
            errors.push(FieldError::new(
                format!("{field}.certificate_pin"),
                "there are two pins",
                "the pin of the key, or that of the certificate",
            ));
        }
    }
}

/// What an administrator asks for to lower the bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeRequest {
    /// Who may come in, to what, for how long.
    pub grant: GrantRequest,
    /// The secret, where the grant wants one: as it was offered, or typed.
    pub secret: Option<SecretText>,
    /// The way to the server.
    pub path: BridgePath,
}

/// Where the bridge stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BridgeState {
    /// Up: nothing is open.
    Closed,
    /// Tunnel and SSH daemon are being started.
    Opening,
    /// Lowered.
    Open,
    /// Everything is being ended.
    Closing,
    /// Something is left that cannot be ended: an alarm, and the uplink is down.
    FailedToClose(Leftovers),
}

/// Where the control connection to the server stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// There is none.
    Down,
    /// It is being made.
    Connecting,
    /// The server knows the system, by this name.
    Connected {
        /// What engineers call it.
        system: String,
        /// Whether it takes recordings; else they stay where they were made.
        takes_recordings: bool,
    },
    /// It was lost, or could not be made, and is tried again.
    Waiting {
        /// Why, as a sentence.
        why: String,
        /// What to do, as a sentence; empty when nothing is to be done.
        remedy: String,
    },
}

/// An engineer who is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visitor {
    /// His connection.
    pub connection: u64,
    /// His name, by the server's word.
    pub name: String,
    /// From where, by the server's word.
    pub source: IpAddr,
    /// How long he has been in, in seconds.
    pub seconds: u64,
    /// Who watches him, and whether he may go on.
    pub supervised: Supervised,
}

/// All of the bridge that a page shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeStatus {
    /// Where it stands.
    pub state: BridgeState,
    /// The grant, while there is one.
    pub grant: Option<(GrantId, GrantRequest)>,
    /// The signed grant that it was opened by, where it was.
    pub approved_by: Option<ApprovedBy>,
    /// Seconds until it ends by itself, while there is one.
    pub seconds_left: Option<u64>,
    /// The secret was tried wrong too often and opens nothing any more.
    pub burned: bool,
    /// The control connection.
    pub link: Link,
    /// Who is in.
    pub visitors: Vec<Visitor>,
    /// How the last one ended, as a sentence; empty when none has.
    pub last_end: String,
}

/// What became of a step of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepResult {
    /// It has begun.
    Running,
    /// It is right.
    Pass,
    /// It is wrong.
    Fail {
        /// What to do, as a sentence.
        remedy: String,
    },
    /// It was not tried; the detail says why.
    Skip,
}

/// A step of the way to the server, as the path doctor tells it. A step that ends is told again, with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStep {
    /// Counts from 1 in one test.
    pub number: u32,
    /// What is looked at.
    pub title: String,
    /// How it went.
    pub result: StepResult,
    /// What was found, as a sentence; empty while it runs.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub milliseconds: u32,
}

/// What the appliance is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKeys {
    /// The host key of the SSH daemon as OpenSSH writes it.
    pub host_key: String,
    /// Its fingerprint as OpenSSH writes it: `SHA256:…`.
    pub host_fingerprint: String,
    /// The key by which the appliance logs in at the server.
    pub login_key: String,
    /// The key by which recordings and audit are signed, as OpenSSH writes it.
    pub evidence_key: String,
    /// Its fingerprint as OpenSSH writes it.
    pub evidence_fingerprint: String,
    /// The serial number.
    pub serial: String,
    /// The system's name.
    pub name: String,
}

/// What the tunnel is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelOrders {
    /// Keep a control connection; or else test the way once and tell each step.
    pub job: TunnelJob,
    /// The way.
    pub path: BridgePath,
    /// Seed of the key by which it logs in.
    pub login_key: SecretBytes,
    /// The SSH daemon's host key as OpenSSH writes it.
    pub host_key: String,
    /// The system's serial number.
    pub serial: String,
    /// The system's name.
    pub name: String,
    /// The version of the firmware.
    pub version: String,
    /// The server's SSH host key as OpenSSH writes it, from an earlier time; none: the first one that a verified server shows.
    pub server_key: Option<String>,
}

/// What a tunnel is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelJob {
    /// Keeps the control connection, and carries engineers to the SSH daemon.
    Bridge {
        /// The token by which the SSH daemon knows the grant's relay.
        relay: SecretBytes,
    },
    /// Tests the way to the server, once.
    Test,
}

/// What the tunnel tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelNews {
    /// The control connection.
    Link(Link),
    /// The server's SSH host key, when it was seen for the first time.
    ServerKey(String),
    /// The enrolment token was used: it is of no use any more.
    Enrolled,
    /// A step of a test.
    Step(PathStep),
    /// The test is over.
    TestOver,
}

/// What the SSH daemon needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshdOrders {
    /// The grant.
    pub grant: GrantId,
    /// Seed of its host key.
    pub host_key: SecretBytes,
    /// What the relay shows first.
    pub relay: SecretBytes,
    /// The keys that let engineers in, by number in this order.
    pub keys: Vec<EngineerKey>,
    /// Whether a secret is asked for.
    pub secret: bool,
    /// What the grant opens.
    pub scope: Scope,
    /// The system's name, for the greeting.
    pub name: String,
    /// The serial number.
    pub serial: String,
    /// What the grant is called.
    pub title: String,
    /// How closely an engineer is led.
    pub level: Level,
    /// What happens when he cannot be recorded.
    pub recording: Recording,
}

/// What the SSH daemon asks about an engineer. `connection` is its own number of his connection, never used twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineerAsk {
    /// His connection has come in.
    Connect {
        /// His name, by the server's word (printable, at most 64 bytes).
        name: String,
        /// From where, by the server's word.
        source: IpAddr,
    },
    /// He has shown that he has this key, by its number in the orders: itself, or a certificate that it has signed.
    Key(u16),
    /// He offers a secret.
    Secret(SecretText),
    /// He wants to use something.
    May(EngineerUse),
    /// What he does cannot be recorded any more, and why (at most [`UNRECORDED_BYTES`]). Yes: it goes on all the same, and that is noted.
    Unrecorded(String),
    /// His connection has ended.
    Gone,
}

/// The longest reason of [`EngineerAsk::Unrecorded`], in bytes.
pub const UNRECORDED_BYTES: usize = 512;

/// What an engineer wants to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineerUse {
    /// The command line.
    Shell,
    /// Files of the grant's folder.
    Files,
    /// A connection from the appliance to a place of the array.
    Forward(Target),
}

/// What is said to [`EngineerAsk`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Yes; of a proof: he is in.
    Yes,
    /// Of a key: the secret is wanted, too.
    SecretToo,
    /// No.
    No {
        /// Why, as a sentence.
        why: String,
        /// His connection is to be ended.
        cut: bool,
    },
}

/// What a shell process does for an engineer's channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShellJob {
    /// The command line on a terminal, or on pipes where the engineer wants none.
    Interactive,
    /// One line of the command line, or `scp` in its old protocol.
    Exec(String),
    /// The SFTP server (draft-ietf-secsh-filexfer-02) of the grant's folder.
    Sftp,
}

/// An order for a shell process. With it come its descriptors: one, a terminal; or three, its input, output and errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellOrder {
    /// The engineer's connection.
    pub connection: u64,
    /// What to do.
    pub job: ShellJob,
    /// The terminal's kind (`TERM`), where there is a terminal: letters, digits and `-._+`, at most 64.
    pub terminal: Option<String>,
    /// The engineer's language (`LANG`), where he sends it: as above with `@`.
    pub language: Option<String>,
}

/// Init's number of a shell process, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShellId(pub u64);

/// How a shell process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShellEnd {
    /// By itself, with this status.
    Exited(u8),
    /// By this signal's number.
    Signalled(u8),
}

/// What an engineer may send to a shell process (RFC 4254, section 6.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShellSignal {
    /// HUP: the terminal is gone. Sent when a channel is closed.
    Hangup,
    /// INT.
    Interrupt,
    /// TERM.
    Terminate,
    /// KILL.
    Kill,
}

/// What a shell process knows of its engineer, by his connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellScope {
    /// His name, by the server's word.
    pub engineer: String,
    /// The system's name.
    pub system: String,
    /// What the grant is called.
    pub grant: String,
    /// What it opens.
    pub scope: Scope,
    /// What happens when what he does cannot be recorded.
    pub recording: Recording,
    /// Seconds until it ends.
    pub seconds_left: u64,
    /// How closely he is led.
    pub level: Level,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> BridgePath {
        BridgePath {
            server: Target { host: "rss.example.com".parse().unwrap(), port: 443 },
            tls_name: None,
            verification: Verification::default(),
            hops: Vec::new(),
            proxy: None,
            interface: None,
            enrolment: None,
        }
    }

    #[test]
    fn what_is_wrong_with_a_path_is_told_by_field_and_all_at_once() {
        assert_eq!(path().check(), Ok(()));
        let nowhere = Target { host: "rss".parse().unwrap(), port: 0 };
        let none = Verification { built_in: false, ..Verification::default() };
        let wrong = BridgePath {
            server: nowhere.clone(),
            verification: none,
            proxy: Some(ProxyPath {
                protocol: ProxyProtocol::Http,
                address: nowhere,
                hops: Vec::new(),
                user: None,
                password: Some(SecretText::new(Zeroizing::new("a\nb".to_owned()))),
                verification: Verification::default(),
            }),
            ..path()
        };
        let fields: Vec<String> = wrong.check().unwrap_err().into_iter().map(|error| error.field).collect();
        assert_eq!(
            fields,
            [
                "path.server.port",
                "path.proxy.address.port",
                "path.verification",
                "path.proxy.password",
                "path.proxy.user"
            ]
        );
    }

    #[test]
    fn no_secret_is_printed() {
        let order =
            BridgePath { enrolment: Some(SecretText::new(Zeroizing::new("hush-hush".to_owned()))), ..path() };
        assert!(!format!("{order:?}").contains("hush"));
        assert!(!format!("{:?}", SecretBytes::new([7; 32])).contains('7'));
    }
}
