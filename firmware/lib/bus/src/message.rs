//! What can be said on the bus. Types only: it never reads, writes or decides.

use crate::network::{ChangeId, NetworkStatus, PendingChange};
use crate::role::Role;
use drawbridge_settings::FieldError;
use drawbridge_settings::network::{HostName, NetworkSettings};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

pub use crate::network::{PORTS_MOST, Port};

/// A question or an order to a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// To init: this process is up and serves. Keeps the connection for [`Event`]s. Answered with [`Reply::Done`].
    Ready,
    /// To init: a fact to show on serial line and screen.
    Announce(Announcement),
    /// To init: the state of the whole system.
    Status,
    /// To init: log lines after this number (0: from the oldest kept), at most `most` (and never more than
    /// [`LOG_LINES_A_REPLY`]).
    Log {
        /// Only lines with a larger number.
        after: u64,
        /// At most so many lines.
        most: u16,
    },
    /// To init: end everything in order, then restart or switch off.
    Power(Power),
    /// To init: the clock is off by so much, by the word of time servers.
    CorrectClock(ClockCorrection),
    /// To init: the name of the host.
    HostName(HostName),
    /// To network: the ports as they are now.
    Ports,
    /// To network: ports, settings in force and what is under way.
    Network,
    /// To network: the settings in force, as they are kept.
    NetworkSettings,
    /// To network: apply these settings; they are taken back by themselves unless [`Request::ConfirmNetwork`] comes in time.
    /// Answered with [`Reply::Pending`] or [`Reply::Invalid`].
    ChangeNetwork(Box<NetworkSettings>),
    /// To network: the change works and stays. To be sent over the new configuration.
    ConfirmNetwork(ChangeId),
    /// To network: take the change back now.
    RevertNetwork(ChangeId),
    /// To network: the addresses of a name (RFC 1035, at most 253 bytes), or of an address itself.
    Resolve {
        /// The name.
        name: String,
        /// The interface whose servers are asked, by the name that the settings give it; none: by the order of ports.
        interface: Option<String>,
    },
}

/// What time servers have said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockCorrection {
    /// How much later it is than the clock says, in nanoseconds (negative: earlier).
    pub nanoseconds: i64,
    /// Whose word it is (at most [`TIME_SERVERS_MOST`]).
    pub servers: Vec<String>,
}

/// The most time servers that are asked.
pub const TIME_SERVERS_MOST: usize = 8;

/// The most log lines that one reply carries: 256 lines of [`LOG_LINE_BYTES`] fit a frame.
pub const LOG_LINES_A_REPLY: u16 = 200;

/// The longest log line kept, in bytes; the rest of a longer one is cut off, and the cut is marked with `…`.
pub const LOG_LINE_BYTES: usize = 512;

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// Restart.
    Reboot,
    /// Switch off.
    Off,
}

/// A fact that a role asks init to show to whoever stands at the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Announcement {
    /// SHA-256 of the certificate that the console serves (DER).
    CertificateFingerprint([u8; 32]),
    /// The ports as they are now (at most [`PORTS_MOST`]).
    Ports(Vec<Port>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, or begun.
    Done,
    /// To [`Request::Status`].
    Status(Box<SystemStatus>),
    /// To [`Request::Log`], oldest first.
    Log(Vec<LogLine>),
    /// To [`Request::Ports`].
    Ports(Vec<Port>),
    /// To [`Request::Network`].
    Network(Box<NetworkStatus>),
    /// To [`Request::NetworkSettings`].
    NetworkSettings(Box<NetworkSettings>),
    /// To [`Request::ChangeNetwork`]: applied, and to be confirmed.
    Pending(PendingChange),
    /// To [`Request::ChangeNetwork`]: nothing was changed; every fault, with its field.
    Invalid(Vec<FieldError>),
    /// To [`Request::Resolve`].
    Addresses(Vec<IpAddr>),
    /// To [`Request::Resolve`]: no address, and why, as a sentence.
    Unresolved(String),
    /// Not done, and why.
    Refused(Refusal),
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The table does not list it.
    #[error("this role may not ask that")]
    Forbidden,
    /// The role asked does not answer that.
    #[error("that is not for this role to answer")]
    NotMine,
    /// The role asked cannot do it now.
    #[error("that cannot be done now")]
    NotNow,
}

/// What init tells a role without being asked, on the connection that sent [`Request::Ready`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Finish what is in hand and exit with status 0; the TERM signal follows after `seconds`, KILL soon after.
    Stop {
        /// Time left.
        seconds: u16,
    },
}

/// How a process of the appliance is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleState {
    /// Started, has not said that it serves.
    Starting,
    /// Serves.
    Running,
    /// Ended; comes back after so many milliseconds.
    Waiting {
        /// Time until it is started again.
        milliseconds: u32,
    },
    /// Ended too often in too short a time: started again once in a while only, and shown.
    Failed,
    /// Asked to end.
    Stopping,
    /// Ended in order.
    Stopped,
}

/// A role's line in [`SystemStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleStatus {
    /// Which.
    pub role: Role,
    /// How it is doing.
    pub state: RoleState,
    /// Its process, 0 when there is none.
    pub pid: u32,
    /// How often it was started since boot.
    pub starts: u32,
    /// What its processes hold of memory, in KiB, as the kernel counts it for their control group; 0 when it does not say.
    pub memory_kib: u64,
    /// How it last ended, as a sentence; empty when it never did.
    pub last_end: String,
}

/// Where settings, keys and records are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataState {
    /// On the data partition of this device.
    Disk {
        /// `vda3`
        device: String,
        /// What the kernel has found wrong with it since it was mounted, and what to do, as a sentence.
        fault: Option<String>,
    },
    /// In memory, and gone at the next restart.
    Volatile {
        /// What is wrong with the data partition and what to do, as a sentence.
        reason: String,
    },
}

/// How far the clock can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockState {
    /// The hardware clock's time, which is plausible.
    Hardware,
    /// The hardware clock was before the last known time, which was taken instead.
    Floor {
        /// What the hardware clock said, seconds since 1970.
        hardware: i64,
    },
    /// The hardware clock was far beyond any plausible time; the last known time was taken instead.
    Ceiling {
        /// What the hardware clock said, seconds since 1970.
        hardware: i64,
    },
    /// Time servers were asked.
    Synchronised {
        /// Whose word it is.
        servers: Vec<String>,
        /// The last correction, in milliseconds.
        milliseconds: i64,
        /// When it was made, in seconds since the kernel started.
        at_seconds: u64,
    },
}

/// The state of the whole system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemStatus {
    /// The system's version.
    pub version: String,
    /// Seconds since the kernel started.
    pub uptime_seconds: u64,
    /// Settings, keys and records.
    pub data: DataState,
    /// The clock.
    pub clock: ClockState,
    /// Memory that is there, and memory that could be had at once, in KiB.
    pub memory: (u64, u64),
    /// The watchdogs that guard init, by the kernel's names; empty when the machine has none.
    pub watchdogs: Vec<String>,
    /// The record that the last failure of init or kernel left (the first 4 kB of it), if there was one.
    pub last_failure: Option<String>,
    /// All roles but init.
    pub roles: Vec<RoleStatus>,
}

/// The severity of a log line (RFC 5424, section 6.2.1, the four that we use).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// 3: something failed.
    Error,
    /// 4: something may fail.
    Warning,
    /// 6: something happened.
    Info,
    /// 7: for whoever looks for a fault.
    Debug,
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts from 1 at boot; a gap is what the ring has dropped.
    pub number: u64,
    /// Milliseconds since the kernel started.
    pub milliseconds: u64,
    /// Who wrote it: a role's name, or `kernel`.
    pub source: String,
    /// How grave it is.
    pub level: Level,
    /// What it says: printable, one line, at most [`LOG_LINE_BYTES`].
    pub text: String,
}
