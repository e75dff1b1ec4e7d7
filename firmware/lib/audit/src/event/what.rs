//! What has happened, with all that is known of it; no secret has a field here.

use super::code::Code;
use super::time::rfc3339;
use super::{Long, Name};
use drawbridge_chain::{Hash, Text, Utc};
use serde::{Deserialize, Serialize};

/// How bad it is. It becomes a level at the array and a severity of syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known later.
    Info,
    /// Worth a look: somebody has come in, something was changed.
    Notice,
    /// Something was refused, or will fail.
    Warning,
    /// Something has failed.
    Error,
    /// Somebody has to act now.
    Critical,
}

/// How closely a session is supervised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nobody has to watch.
    Direct,
    /// It runs only while somebody watches.
    Watched,
    /// Each line is approved.
    Guided,
}

/// By what somebody has shown who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The session's secret.
    Secret,
    /// His own key.
    Key,
    /// Both.
    SecretAndKey,
    /// A signed grant and the key in it.
    Grant,
    /// The array's word for a password.
    Password,
    /// The array's word for a session of single sign-on.
    SingleSignOn,
    /// The vendor's answer to a challenge.
    Challenge,
    /// He sits at the machine.
    Presence,
}

/// Why somebody was not let in, or something not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// The secret or password is wrong.
    WrongSecret,
    /// It was wrong too often, and is of no use any more.
    SecretBurned,
    /// The key is not known.
    UnknownKey,
    /// The key is disabled, or its time is over.
    KeyEnded,
    /// No session is open.
    NoSession,
    /// The session's time is over.
    Expired,
    /// He may not come from this address.
    Address,
    /// The array's roles do not allow it.
    NoRight,
    /// The array could not be asked.
    NoArray,
    /// The challenge's answer is wrong, used or too late.
    WrongResponse,
    /// The signed grant is not valid here.
    WrongGrant,
    /// A one-time token is unknown, used or too late.
    WrongToken,
    /// The session does not reach this place.
    Target,
    /// The session does not allow this command.
    Command,
    /// The session does not allow files.
    Files,
    /// It cannot be recorded.
    NotRecorded,
    /// Nobody watches, or nobody has approved.
    NotSupervised,
    /// Too many tries or too many at once.
    TooMany,
}

/// The change of a setting. Of a secret nothing is said but that it has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Change {
    /// Before and after; none where it was or is not set.
    Plain {
        /// Before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<Long>,
        /// After.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new: Option<Long>,
    },
    /// It is a secret, and was set.
    Secret,
}

/// How something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Well.
    Done,
    /// Not.
    Failed,
}

/// Which way a file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the engineer.
    Out,
    /// From the engineer.
    In,
}

/// What was done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyChange {
    /// It may be used.
    Added,
    /// It may not for now.
    Disabled,
    /// It is gone.
    Removed,
}

/// What the machine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It has started.
    Started,
    /// It has started, and the end before was none that anybody had asked for.
    StartedAfterCut,
    /// It is told to restart.
    Restarting,
    /// It is told to switch off.
    SwitchingOff,
}

/// A part of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A disk.
    Disk,
    /// The data partition.
    DataPartition,
    /// Memory.
    Memory,
    /// The processor, as its machine check tells.
    Processor,
    /// A temperature.
    Temperature,
    /// A fan.
    Fan,
    /// A power supply.
    PowerSupply,
    /// An Ethernet port's link.
    Link,
}

/// How a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It works again.
    Well,
    /// It works, and will not for long.
    Failing,
    /// It does not work.
    Failed,
}

/// What has happened. In lines it is an object with the code among its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(
    missing_docs,
    reason = "each is said at its code; fields say themselves where nothing stands by them"
)]
pub enum What {
    SessionOpened {
        /// The session's name.
        session: Name,
        /// When it ends by itself.
        #[serde(with = "rfc3339")]
        expires: Utc,
        level: Level,
        /// Whether it is recorded.
        recorded: bool,
    },
    SessionStopped {
        session: Name,
    },
    SessionExpired {
        session: Name,
    },
    FailedToClose {
        session: Name,
        /// What is left.
        left: Long,
    },
    EngineerArrived {
        session: Name,
        proof: Proof,
    },
    EngineerLeft {
        session: Name,
    },
    AccessDenied {
        reason: Denial,
        /// What was asked for, where it was more than to come in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Long>,
    },
    GrantUsed {
        /// The vendor's number of the case.
        case: Name,
        /// The fingerprint of the engineer's key in it.
        key: Name,
        #[serde(with = "rfc3339")]
        expires: Utc,
    },
    PathTested {
        outcome: Outcome,
        /// The step that failed, or the last one.
        step: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Long>,
    },
    SettingChanged {
        setting: Name,
        change: Change,
    },
    CertificateChanged {
        subject: Long,
        /// SHA-256 of the certificate.
        sha256: Hash,
        #[serde(with = "rfc3339")]
        expires: Utc,
    },
    KeyChanged {
        change: KeyChange,
        /// Its fingerprint.
        key: Name,
        /// Whose it is.
        owner: Name,
    },
    Enrolled {
        /// At which server.
        server: Name,
    },
    Login {
        proof: Proof,
    },
    LoginRefused {
        reason: Denial,
    },
    Logout {},
    WatchBegan {
        session: Name,
        /// How many watch now.
        watchers: u32,
    },
    WatchEnded {
        session: Name,
        watchers: u32,
    },
    Paused {
        session: Name,
    },
    Resumed {
        session: Name,
    },
    ProposalApproved {
        session: Name,
        /// The line, as it was shown.
        line: Text<1024>,
    },
    ProposalRefused {
        session: Name,
        line: Text<1024>,
    },
    Message {
        session: Name,
        text: Text<1024>,
    },
    Command {
        session: Name,
        line: Text<1024>,
        /// Its exit status, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u32>,
    },
    File {
        session: Name,
        direction: Direction,
        path: Long,
        bytes: u64,
        /// Of what has crossed.
        sha256: Hash,
        outcome: Outcome,
    },
    Forward {
        session: Name,
        target: Name,
        /// To the target.
        bytes_out: u64,
        /// From it.
        bytes_in: u64,
    },
    Discovery {
        /// Which networks.
        networks: Long,
        /// How many endpoints were found.
        found: u32,
    },
    RecordingClosed {
        recording: Name,
        /// The hash of its chain's last line.
        head: Hash,
        bytes: u64,
        /// Why it ended.
        end: Name,
    },
    RecordingFailed {
        recording: Name,
        why: Long,
    },
    RecordingFetched {
        recording: Name,
        /// It came from the support server, and not from the appliance.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        from_server: bool,
    },
    RecordingRemoved {
        recording: Name,
        head: Hash,
        why: Long,
    },
    BreakGlass {
        session: Name,
        /// Why it may.
        why: Long,
    },
    Upgrade {
        outcome: Outcome,
        from: Name,
        to: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Long>,
    },
    Power {
        what: Power,
    },
    Hardware {
        part: Part,
        health: Health,
        /// Which one, and what it says.
        text: Long,
    },
    Role {
        role: Name,
        outcome: Outcome,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Long>,
    },
    ClockChanged {
        #[serde(with = "rfc3339")]
        from: Utc,
        #[serde(with = "rfc3339")]
        to: Utc,
    },
    AuditHead {
        /// The hash of the chain's last line, before this event.
        head: Hash,
        /// In which segment.
        segment: u32,
    },
    AuditRotated {
        /// The one that has begun.
        segment: u32,
        /// The hash of the last line of the one before, which this one continues.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<Hash>,
        reason: Rotation,
    },
    AuditGap {
        /// The first event that is missing; where they never had a number, the last one before them.
        first: u64,
        /// The last one that is missing; where they never had a number, the last one before them.
        last: u64,
        reason: Gap,
        /// So many are missing, where they never had a number ([`Gap::Unwritten`]).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        events: Option<u64>,
    },
    AuditExported {
        /// So many events.
        events: u64,
        format: Name,
    },
    DeliveryTested {
        /// Where to: the array, syslog, or an address.
        target: Name,
        outcome: Outcome,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Long>,
    },
}

/// Why the audit goes on in another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// The one before is full.
    Full,
    /// The appliance has another key.
    Key,
    /// The one before is damaged and is kept as it is.
    Damaged,
}

/// Why events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// They were removed for want of room, before every receiver had them.
    NoRoom,
    /// The file that had them is damaged or gone.
    Damaged,
    /// They could not be written down, and more waited than can wait. They never had a number.
    Unwritten,
}

impl What {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::SessionOpened { .. } => Code::SessionOpened,
            Self::SessionStopped { .. } => Code::SessionStopped,
            Self::SessionExpired { .. } => Code::SessionExpired,
            Self::FailedToClose { .. } => Code::FailedToClose,
            Self::EngineerArrived { .. } => Code::EngineerArrived,
            Self::EngineerLeft { .. } => Code::EngineerLeft,
            Self::AccessDenied { .. } => Code::AccessDenied,
            Self::GrantUsed { .. } => Code::GrantUsed,
            Self::PathTested { .. } => Code::PathTested,
            Self::SettingChanged { .. } => Code::SettingChanged,
            Self::CertificateChanged { .. } => Code::CertificateChanged,
            Self::KeyChanged { .. } => Code::KeyChanged,
            Self::Enrolled { .. } => Code::Enrolled,
            Self::Login { .. } => Code::Login,
            Self::LoginRefused { .. } => Code::LoginRefused,
            Self::Logout {} => Code::Logout,
            Self::WatchBegan { .. } => Code::WatchBegan,
            Self::WatchEnded { .. } => Code::WatchEnded,
            Self::Paused { .. } => Code::Paused,
            Self::Resumed { .. } => Code::Resumed,
            Self::ProposalApproved { .. } => Code::ProposalApproved,
            Self::ProposalRefused { .. } => Code::ProposalRefused,
            Self::Message { .. } => Code::Message,
            Self::Command { .. } => Code::Command,
            Self::File { .. } => Code::File,
            Self::Forward { .. } => Code::Forward,
            Self::Discovery { .. } => Code::Discovery,
            Self::RecordingClosed { .. } => Code::RecordingClosed,
            Self::RecordingFailed { .. } => Code::RecordingFailed,
            Self::RecordingFetched { .. } => Code::RecordingFetched,
            Self::RecordingRemoved { .. } => Code::RecordingRemoved,
            Self::BreakGlass { .. } => Code::BreakGlass,
            Self::Upgrade { .. } => Code::Upgrade,
            Self::Power { .. } => Code::Power,
            Self::Hardware { .. } => Code::Hardware,
            Self::Role { .. } => Code::Role,
            Self::ClockChanged { .. } => Code::ClockChanged,
            Self::AuditHead { .. } => Code::AuditHead,
            Self::AuditRotated { .. } => Code::AuditRotated,
            Self::AuditGap { .. } => Code::AuditGap,
            Self::AuditExported { .. } => Code::AuditExported,
            Self::DeliveryTested { .. } => Code::DeliveryTested,
        }
    }

    /// How bad it is, by what it says.
    pub fn severity(&self) -> Severity {
        let of = |outcome: &Outcome, well, not| if *outcome == Outcome::Done { well } else { not };
        match self {
            Self::FailedToClose { .. } => Severity::Critical,
            Self::RecordingFailed { .. } | Self::AuditGap { .. } => Severity::Error,
            Self::BreakGlass { .. } | Self::AccessDenied { .. } | Self::LoginRefused { .. } => {
                Severity::Warning
            }
            Self::Hardware { health, .. } => match health {
                Health::Well => Severity::Notice,
                Health::Failing => Severity::Warning,
                Health::Failed => Severity::Error,
            },
            Self::Upgrade { outcome, .. } | Self::Role { outcome, .. } => {
                of(outcome, Severity::Notice, Severity::Error)
            }
            Self::PathTested { outcome, .. }
            | Self::DeliveryTested { outcome, .. }
            | Self::File { outcome, .. } => of(outcome, Severity::Info, Severity::Warning),
            Self::AuditRotated { reason, .. } => match reason {
                Rotation::Full => Severity::Info,
                Rotation::Key => Severity::Notice,
                Rotation::Damaged => Severity::Error,
            },
            Self::Power { what } => match what {
                Power::StartedAfterCut => Severity::Warning,
                _ => Severity::Notice,
            },
            Self::SessionOpened { recorded: false, .. } => Severity::Warning,
            Self::SessionOpened { .. }
            | Self::SessionStopped { .. }
            | Self::SessionExpired { .. }
            | Self::EngineerArrived { .. }
            | Self::EngineerLeft { .. }
            | Self::GrantUsed { .. }
            | Self::SettingChanged { .. }
            | Self::CertificateChanged { .. }
            | Self::KeyChanged { .. }
            | Self::Enrolled { .. }
            | Self::ClockChanged { .. }
            | Self::RecordingRemoved { .. } => Severity::Notice,
            Self::Login { .. }
            | Self::Logout {}
            | Self::WatchBegan { .. }
            | Self::WatchEnded { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::ProposalApproved { .. }
            | Self::ProposalRefused { .. }
            | Self::Message { .. }
            | Self::Command { .. }
            | Self::Forward { .. }
            | Self::Discovery { .. }
            | Self::RecordingClosed { .. }
            | Self::RecordingFetched { .. }
            | Self::AuditHead { .. }
            | Self::AuditExported { .. } => Severity::Info,
        }
    }
}
