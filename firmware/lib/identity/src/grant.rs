//! An approval that the vendor signed beforehand: which engineer may come in to which system, to what, until when; it is not
//! kept here, and that it is used once is for the caller to remember, by its [`Grant::id`].

use crate::armour::{self, Kind, TextFault};
use crate::challenge::{NoRandomness, random};
use crate::response::Minutes;
use crate::text::{Line, LineFault, Serial};
use crate::vendor::{SignatureFault, Signed, VendorKeys};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// What the signature is for.
pub(crate) const CONTEXT: &str = "drawbridge grant v1";
/// The most targets of one grant.
pub const MOST_TARGETS: usize = 64;
/// The most bytes of all their names together, so that the text stays one that can be pasted.
const MOST_TARGET_BYTES: usize = 4096;
const LONGEST_KEY: usize = 1024;
/// The kinds of keys that let an engineer in at an appliance.
const KINDS: [&str; 4] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

/// Why a part of a grant is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantFault {
    /// No key.
    #[error(
        "it is no public key as ssh-keygen writes it: give the line of a file that ends in .pub, of an ed25519 or ecdsa key"
    )]
    Key,
    /// No target.
    #[error("{0:?} is no target: write it like node1.example.org:22, 192.0.2.1:443 or [2001:db8::1]:22")]
    Target(String),
    /// Too many of them.
    #[error("there are too many targets: at most {MOST_TARGETS}, and {MOST_TARGET_BYTES} characters in all")]
    ManyTargets,
    /// It opens nothing.
    #[error("it opens nothing: name a target for ssh and forwards, or allow the shell or files")]
    OpensNothing,
    /// A text is none.
    #[error(transparent)]
    Line(#[from] LineFault),
    /// No random bytes.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// An engineer's public key as OpenSSH writes it: `KIND BASE64`, without its comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EngineerKey(String);

impl EngineerKey {
    /// Reads a line of a `.pub` file. A comment goes.
    pub fn parse(line: &str) -> Result<Self, GrantFault> {
        let mut words = line.split_ascii_whitespace();
        let (Some(kind), Some(body)) = (words.next(), words.next()) else { return Err(GrantFault::Key) };
        if !KINDS.contains(&kind) || body.len() > LONGEST_KEY || line.trim().contains(['\n', '\r']) {
            return Err(GrantFault::Key);
        }
        let blob = STANDARD.decode(body).map_err(|_| GrantFault::Key)?;
        let parts = fields(&blob).ok_or(GrantFault::Key)?;
        // RFC 8709, section 4, and RFC 5656, section 3.1: the blob says the kind again, and that is what counts.
        let is_key = match parts.as_slice() {
            [inner, key] => *inner == kind.as_bytes() && kind == KINDS[0] && key.len() == 32,
            [inner, curve, point] => {
                *inner == kind.as_bytes()
                    && kind.strip_prefix("ecdsa-sha2-").is_some_and(|name| name.as_bytes() == *curve)
                    && matches!(point.len(), 65 | 97 | 133)
                    && point[0] == 4
            }
            _ => false,
        };
        if is_key { Ok(Self(format!("{kind} {body}"))) } else { Err(GrantFault::Key) }
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EngineerKey {
    type Error = GrantFault;

    fn try_from(line: String) -> Result<Self, GrantFault> {
        Self::parse(&line)
    }
}

impl From<EngineerKey> for String {
    fn from(key: EngineerKey) -> Self {
        key.0
    }
}

/// What a blob consists of: each part with its length in four bytes before it (RFC 4251, section 5).
fn fields(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_first_chunk()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        fields.push(field);
        blob = rest;
    }
    Some(fields)
}

/// A place that may be reached: a host name or an address, and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(String, u16)", into = "(String, u16)")]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// Takes a host and a port.
    pub fn new(host: &str, port: u16) -> Result<Self, GrantFault> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let is_host = host.parse::<IpAddr>().is_ok() || host.len() <= 253 && host.split('.').all(is_label);
        if port == 0 || !is_host {
            return Err(GrantFault::Target(crate::printable(host, 80)));
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }

    /// Reads `host:port`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Result<Self, GrantFault> {
        let fault = || GrantFault::Target(crate::printable(text, 80));
        let (host, port) = text.rsplit_once(':').ok_or_else(fault)?;
        let port = port.parse().map_err(|_| fault())?;
        match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.contains(':') => Self::new(inner, port),
            None if !host.contains(':') => Self::new(host, port),
            _ => Err(fault()),
        }
        .map_err(|_| fault())
    }

    /// The name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl TryFrom<(String, u16)> for Target {
    type Error = GrantFault;

    fn try_from((host, port): (String, u16)) -> Result<Self, GrantFault> {
        Self::new(&host, port)
    }
}

impl From<Target> for (String, u16) {
    fn from(target: Target) -> Self {
        (target.host, target.port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// What a grant opens. Nothing else is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawScope", into = "RawScope")]
pub struct Scope(RawScope);

/// The fields of a [`Scope`], of which not all combinations are one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawScope {
    /// For `ssh` from the appliance, and for forwards.
    pub targets: Vec<Target>,
    /// The appliance's command line.
    pub shell: bool,
    /// Files to and from it.
    pub files: bool,
    /// Forwards of TCP connections to the targets.
    pub forwards: bool,
}

impl TryFrom<RawScope> for Scope {
    type Error = GrantFault;

    fn try_from(raw: RawScope) -> Result<Self, GrantFault> {
        let bytes: usize = raw.targets.iter().map(|target| target.host.len()).sum();
        if raw.targets.len() > MOST_TARGETS || bytes > MOST_TARGET_BYTES {
            return Err(GrantFault::ManyTargets);
        }
        if !(raw.shell || raw.files || raw.forwards && !raw.targets.is_empty()) {
            return Err(GrantFault::OpensNothing);
        }
        Ok(Self(raw))
    }
}

impl From<Scope> for RawScope {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

impl std::ops::Deref for Scope {
    type Target = RawScope;

    fn deref(&self) -> &RawScope {
        &self.0
    }
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// By which it is known, so that it opens one session and not two.
    pub id: [u8; 16],
    /// The vendor's case.
    pub case: Line<64>,
    /// Who comes in.
    pub engineer: EngineerKey,
    /// At which system.
    pub serial: Serial,
    /// To what.
    pub scope: Scope,
    /// For how long, from its use: four weeks at most.
    pub minutes: Minutes<40320>,
    /// The first second in which it may be used, since 1970.
    pub not_before: u64,
    /// The last second in which it may be used, since 1970.
    pub not_after: u64,
}

/// What an appliance's clock says, in seconds since 1970, and how far that can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// It is about this time.
    About(u64),
    /// It is this time or later: the clock was lost, and goes on from the last time that is known.
    NotBefore(u64),
}

/// Why a grant does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// It cannot be read.
    #[error(transparent)]
    Text(#[from] TextFault),
    /// It is signed by a key that is not known.
    #[error(
        "it is signed by a key that this system does not know: ask for one by a key of this system's vendor"
    )]
    UnknownKey,
    /// It was changed.
    #[error(
        "its signature is wrong, so it was changed or made up: ask for another one, and tell who sent it"
    )]
    WrongSignature,
    /// It is for another system.
    #[error(
        "it is for the system {0}, and this is another one: ask for one with this system's serial number"
    )]
    OtherSystem(Serial),
    /// Its time is over.
    #[error("its time is over: ask for another one, or put the clock right if it is wrong")]
    Expired,
    /// Its time has not come.
    #[error("its time begins in {}: use it then, or put the clock right if it is wrong", span(*.0))]
    NotYet(u64),
    /// It was used.
    #[error("it was used already, and each is good for one session: ask for another one")]
    Used,
}

impl GrantRefusal {
    /// A stable name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Text(_) => "grant-damaged",
            Self::UnknownKey => "grant-unknown-key",
            Self::WrongSignature => "grant-wrong-signature",
            Self::OtherSystem(_) => "grant-other-system",
            Self::Expired => "grant-expired",
            Self::NotYet(_) => "grant-not-yet",
            Self::Used => "grant-used",
        }
    }
}

/// Seconds, as a person says them.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds.div_ceil(60)),
        7200..172_800 => format!("{} hours", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

impl Grant {
    /// A new number for a grant.
    pub fn new_id() -> Result<[u8; 16], GrantFault> {
        Ok(random()?)
    }

    pub(crate) fn parts(&self) -> Vec<Vec<u8>> {
        // Everything in it is bounded, and a vector takes what there is.
        vec![postcard::to_stdvec(self).unwrap_or_default()]
    }

    pub(crate) fn text(signed: &Signed) -> String {
        armour::block(Kind::Grant, &signed.to_bytes())
    }

    /// Reads a grant, whatever a mail program put around it, and whose key signed it. Whether it is for this system, in time and
    /// not used yet is looked at by [`Grant::check`] and the caller.
    pub fn open(text: &str, keys: &VendorKeys) -> Result<(Self, Line<64>), GrantRefusal> {
        let content = || TextFault::Content(Kind::Grant);
        let bytes = armour::read(Kind::Grant, text)?;
        let signed = Signed::from_bytes(&bytes, 1).ok_or_else(content)?;
        let key = keys.verify(CONTEXT, &signed).map_err(|fault| match fault {
            SignatureFault::UnknownKey => GrantRefusal::UnknownKey,
            SignatureFault::Wrong => GrantRefusal::WrongSignature,
        })?;
        let name = key.line();
        let (grant, rest) = postcard::take_from_bytes::<Self>(&signed.parts[0]).map_err(|_| content())?;
        if rest.is_empty() { Ok((grant, name)) } else { Err(content().into()) }
    }

    /// Whether it is for this system, and in its time as far as the clock can be believed: one that was lost may say that the
    /// time is over, and not that it has not come. What bounds it in any case is that it is used once, and for
    /// [`Grant::minutes`].
    pub fn check(&self, serial: &Serial, clock: Clock) -> Result<(), GrantRefusal> {
        if &self.serial != serial {
            return Err(GrantRefusal::OtherSystem(self.serial.clone()));
        }
        match clock {
            Clock::About(now) | Clock::NotBefore(now) if now > self.not_after => Err(GrantRefusal::Expired),
            Clock::About(now) if now < self.not_before => Err(GrantRefusal::NotYet(self.not_before - now)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
