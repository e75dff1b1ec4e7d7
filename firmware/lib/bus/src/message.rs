//! What can be said on the bus. Types only: it never reads, writes or decides.

use crate::approval::{GrantFault, GrantTerms, VendorKeyChange, VendorKeyLine};
use crate::audit::{AuditChecked, AuditLines, AuditPage, AuditState};
use crate::bridge::{
    BridgePath, BridgeRequest, BridgeStatus, DeviceKeys, EngineerAsk, PathStep, SecretText, ShellEnd,
    ShellId, ShellOrder, ShellScope, ShellSignal, SshdOrders, TunnelNews, TunnelOrders, Verdict,
};
use crate::fetch::{KeptRecording, Unfetched};
use crate::happened::Happened;
use crate::network::{ChangeId, NetworkStatus, PendingChange};
use crate::notify::{CourierNews, CourierOrders, NoticeStep, NoticeTest, NoticesChange, NoticesStatus};
use crate::record::{Deed, LiveRecording, LiveScreen, RecordAsk, RecorderStatus, RecordingId, RecordingLine};
use crate::role::Role;
use crate::supervise::{EngineerOrders, Judgement, Supervision};
use crate::support::{GrantId, Leftovers};
use crate::upload::Unsent;
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
    /// To init, by session: what has happened to the machine, in its order. What was told up to this number is on the disk, and is
    /// forgotten (0: nothing yet). Answered with [`Reply::Happened`].
    Happened {
        /// The number.
        kept: u64,
    },
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
    /// To network: nothing more leaves for, or comes from, the bridge (true); or it may again (false).
    BridgeBarred(bool),
    /// To init: start this role, which runs on demand only. What was left of an earlier run is ended first.
    Run(Role),
    /// To init: end tunnel, SSH daemon and every shell at once, and empty the grant's folder.
    EndBridge,
    /// To init: what is left of them.
    Leftovers,
    /// To init: end all of the bridge, and start the session role anew, whatever it is doing.
    ReloadService,
    /// To init: start a shell process, with the descriptors that come with this.
    StartShell(Box<ShellOrder>),
    /// To init: send a signal to a shell process.
    SignalShell(ShellId, ShellSignal),
    /// To session: a secret that can be used.
    OfferSecret,
    /// To session: lower the bridge. Answered with [`Reply::Opened`] or [`Reply::Invalid`].
    OpenBridge(Box<BridgeRequest>),
    /// To session: lower the bridge by a signed grant, whose text is `grant` (at most [`crate::approval::GRANT_BYTES`]), and
    /// within it. Answered with [`Reply::Opened`], [`Reply::Invalid`] or [`Reply::GrantRefused`].
    OpenGranted {
        /// What is asked for.
        request: Box<BridgeRequest>,
        /// The grant.
        grant: String,
    },
    /// To session: whether this text is a grant that could be used now. Answered with [`Reply::Grant`] or [`Reply::GrantRefused`].
    CheckGrant(String),
    /// To session: whose responses and grants count.
    VendorKeys,
    /// To session: whose they are from now on. Answered as [`Request::VendorKeys`], or with [`Reply::Invalid`].
    SetVendorKeys(Box<VendorKeyChange>),
    /// To session: raise the bridge.
    CloseBridge {
        /// Who asks, for the record.
        by: String,
    },
    /// To session: set the end anew, in minutes from now.
    SetBridgeEnd {
        /// From 1 to four weeks.
        minutes: u32,
    },
    /// To session: where the bridge stands.
    Bridge,
    /// To session: test the way to the server. Not while the bridge is lowered.
    TestBridge(Box<BridgePath>),
    /// To session: the steps of the test, as they are now.
    TestSteps,
    /// To session: what the appliance is known by.
    DeviceKeys,
    /// To session, by the tunnel: what it is to do.
    TunnelOrders,
    /// To session, by the tunnel: what has happened.
    TunnelNews(Box<TunnelNews>),
    /// To session, by the SSH daemon: what it needs to know.
    SshdOrders,
    /// To session, by the SSH daemon: about an engineer's connection.
    Engineer {
        /// Which.
        connection: u64,
        /// What.
        ask: EngineerAsk,
    },
    /// To session, by a shell process: about the engineer whom it serves.
    ShellScope {
        /// His connection.
        connection: u64,
    },
    /// To recorder, by the SSH daemon: what an engineer's connection does. Answered with [`Reply::Done`] when it is kept, and with
    /// [`Reply::Unrecorded`] when it is not.
    Record {
        /// Which.
        connection: u64,
        /// What.
        ask: RecordAsk,
    },
    /// To recorder, by a shell process: what it does. Answered as [`Request::Record`].
    RecordDeed {
        /// The engineer's connection.
        connection: u64,
        /// What.
        deed: Deed,
    },
    /// To recorder, by session: no connection is left of those that were there; what is still open was cut.
    RecordingsOver,
    /// To recorder: how it is doing.
    Recorder,
    /// To recorder: to whose key recordings are encrypted.
    RecordingKey,
    /// To recorder: recordings that begin from now on are encrypted to this public key of age (at most
    /// [`crate::record::RECIPIENT_BYTES`]), or to none. Answered as [`Request::RecordingKey`], or with [`Reply::NotTaken`].
    SetRecordingKey(Option<String>),
    /// To recorder: recordings, the latest first (at most [`crate::record::LISTED_MOST`], and as many as fit a frame: only an answer
    /// without any is the end).
    Recordings {
        /// Only those that are earlier than this one.
        before: Option<RecordingId>,
    },
    /// To recorder: a part of a file of a recording.
    RecordingPart {
        /// Which.
        id: RecordingId,
        /// A name that [`RecordingLine::files`] has.
        file: String,
        /// From this byte on.
        offset: u64,
        /// At most so many bytes ([`crate::record::PART_BYTES`]).
        most: u32,
    },
    /// To recorder, by the tunnel: recordings that the server has not confirmed, those that run first and then the oldest (at most
    /// [`crate::upload::UNSENT_MOST`]).
    Unsent,
    /// To recorder, by the tunnel: a part of a file of such a recording. Answered as [`Request::RecordingPart`].
    UnsentPart {
        /// Which.
        id: RecordingId,
        /// The chain's file, or one that it names.
        file: String,
        /// From this byte on.
        offset: u64,
        /// At most so many bytes ([`crate::record::PART_BYTES`]).
        most: u32,
    },
    /// To recorder, by the tunnel: the server has said that it has all of a recording, up to the line of its chain with this hash.
    /// Answered with [`Reply::Done`] when that is all, and is kept; otherwise with [`Reply::NotTaken`].
    Confirmed {
        /// Which.
        id: RecordingId,
        /// The hash of its chain's last line.
        head: [u8; 32],
    },
    /// To tunnel: recordings of this appliance that the server keeps, the latest first. Answered with [`Reply::KeptRecordings`] or
    /// [`Reply::Unfetched`].
    KeptRecordings {
        /// Only those with an earlier name than this one.
        before: Option<RecordingId>,
    },
    /// To tunnel: one of them is wanted. Answered with [`Reply::Fetching`] or [`Reply::Unfetched`].
    FetchRecording {
        /// Which.
        id: RecordingId,
    },
    /// To tunnel: what comes next of it. Answered with [`Reply::RecordingPart`] or [`Reply::Unfetched`]; after that it is over.
    FetchedPart {
        /// The number that [`Reply::Fetching`] gave.
        fetch: u64,
        /// So many bytes of it have come.
        from: u64,
    },
    /// To tunnel: no more of it is wanted.
    EndFetch {
        /// The number that [`Reply::Fetching`] gave.
        fetch: u64,
    },
    /// To session: what the owner wants of an engineer's connection. Answered with [`Reply::Done`] or [`Reply::NotTaken`].
    Supervise {
        /// Which.
        connection: u64,
        /// The page from which it comes, so that two pages of one person are two.
        viewer: u64,
        /// Who.
        by: String,
        /// What.
        what: Supervision,
    },
    /// To session, by the SSH daemon: what it is to do with an engineer's connection.
    EngineerOrders {
        /// Which.
        connection: u64,
    },
    /// To session, by a shell process: a line that the engineer proposes. Answered with [`Reply::Proposed`] or [`Reply::NotTaken`].
    Propose {
        /// The engineer's connection.
        connection: u64,
        /// The line.
        line: String,
    },
    /// To session, by a shell process: what became of it.
    Judgement {
        /// The engineer's connection.
        connection: u64,
        /// The line's number.
        number: u64,
    },
    /// To session, by a shell process: the engineer gives it up.
    Withdraw {
        /// The engineer's connection.
        connection: u64,
        /// The line's number.
        number: u64,
    },
    /// To recorder: what runs now, with its terminals.
    Live,
    /// To recorder: a terminal as it looks now.
    Screen {
        /// Of which recording.
        id: RecordingId,
        /// The channel's number.
        channel: u32,
        /// Only what is different since this [`LiveScreen::revision`]; 0: all.
        after: u64,
    },
    /// To session, by the recorder: a signature by the device's key for evidence (Ed25519), over the bytes of a recording's
    /// mark as the chain has them (at most [`SIGNED_BYTES`]).
    Sign(Vec<u8>),
    /// To session: this has happened: an event as JSON (at most [`crate::audit::TOLD_BYTES`]), of a code that the caller may tell.
    /// Answered with [`Reply::Done`] when it is on the disk, and with [`Reply::NotTaken`] when it is not.
    Tell(String),
    /// To session: lines of the audit after this number, at most `most` ([`crate::audit::AUDIT_LINES_MOST`]), in order. Where there is
    /// none it is waited for some seconds.
    AuditAfter {
        /// Only events with a larger number.
        after: u64,
        /// At most so many.
        most: u16,
        /// Whether to wait.
        wait: bool,
    },
    /// To session: a page of the audit for people, the newest first.
    AuditPage {
        /// Which, as JSON (at most [`crate::audit::FILTER_BYTES`]).
        filter: String,
        /// Only events with a smaller number.
        before: Option<u64>,
        /// At most so many ([`crate::audit::AUDIT_LINES_MOST`]).
        most: u16,
    },
    /// To session: how the audit stands.
    AuditState,
    /// To session: the audit's files and their lengths, the oldest first (at most [`crate::audit::AUDIT_FILES_MOST`]).
    AuditFiles,
    /// To session: a part of one of them.
    AuditPart {
        /// A name of [`Request::AuditFiles`].
        file: String,
        /// From this byte on.
        offset: u64,
        /// At most so many bytes ([`crate::audit::AUDIT_PART_BYTES`]).
        most: u32,
    },
    /// To session: verify the audit as it is kept. Takes a while when it is long.
    AuditVerify,
    /// To session: to whom events are told, and how each stands.
    Notices,
    /// To session: to whom they are told from now on. Answered as [`Request::Notices`], or with [`Reply::Invalid`].
    SetNotices(Box<NoticesChange>),
    /// To session: try a receiver. Answered with [`Reply::Done`], or with [`Reply::NotTaken`].
    TestNotices(Box<NoticeTest>),
    /// To session: what the last test came to. Answered with [`Reply::NoticeSteps`].
    NoticeSteps,
    /// To session, by the courier: what it is to do.
    CourierOrders {
        /// It asks for the first time in its life: it has not begun anything yet.
        first: bool,
    },
    /// To session, by the courier: what has happened.
    CourierNews(CourierNews),
}

/// The most bytes that are signed at one time.
pub const SIGNED_BYTES: usize = 1024;

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
    /// The code that lets somebody who stands at the machine say which array it belongs to, at most [`SETUP_CODE_BYTES`]; empty:
    /// none is needed any more.
    SetupCode(SetupCode),
}

/// The longest set-up code, in bytes.
pub const SETUP_CODE_BYTES: usize = 16;

/// A code for whoever stands at the machine, and for nobody else: it is shown on the screen and the serial line, and is in no log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupCode(pub String);

impl std::fmt::Debug for SetupCode {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("SetupCode(not shown)")
    }
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
    /// To [`Request::Happened`], the oldest first (at most [`crate::happened::HAPPENED_MOST`]; none: nothing more waits), and the
    /// number of the last of them.
    Happened(Vec<Happened>, u64),
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
    /// To [`Request::Leftovers`].
    Leftovers(Leftovers),
    /// To [`Request::StartShell`].
    ShellStarted(ShellId),
    /// To [`Request::OfferSecret`].
    Secret(SecretText),
    /// To [`Request::OpenBridge`] and [`Request::OpenGranted`].
    Opened(GrantId),
    /// To [`Request::CheckGrant`].
    Grant(Box<GrantTerms>),
    /// To [`Request::CheckGrant`] and [`Request::OpenGranted`].
    GrantRefused(GrantFault),
    /// To [`Request::VendorKeys`], those that are built in first (at most twice [`crate::approval::VENDOR_KEYS_MOST`]).
    VendorKeys(Vec<VendorKeyLine>),
    /// To [`Request::Bridge`].
    Bridge(Box<BridgeStatus>),
    /// To [`Request::TestSteps`].
    TestSteps {
        /// In the order of their numbers (at most [`crate::bridge::STEPS_MOST`]).
        steps: Vec<PathStep>,
        /// Whether the test is over.
        over: bool,
    },
    /// To [`Request::DeviceKeys`].
    DeviceKeys(Box<DeviceKeys>),
    /// To [`Request::TunnelOrders`].
    TunnelOrders(Box<TunnelOrders>),
    /// To [`Request::SshdOrders`].
    SshdOrders(Box<SshdOrders>),
    /// To [`Request::Engineer`].
    Verdict(Verdict),
    /// To [`Request::ShellScope`].
    ShellScope(Box<ShellScope>),
    /// To [`Request::Record`] and [`Request::RecordDeed`]: it is not kept, and why, as a sentence.
    Unrecorded(String),
    /// To [`Request::Recorder`].
    Recorder(Box<RecorderStatus>),
    /// To [`Request::RecordingKey`] and [`Request::SetRecordingKey`]: the key, if there is one.
    RecordingKey(Option<String>),
    /// To [`Request::Recordings`].
    Recordings(Vec<RecordingLine>),
    /// To [`Request::RecordingPart`], [`Request::UnsentPart`] and [`Request::FetchedPart`]: the bytes, and how long the file is now.
    RecordingPart(Vec<u8>, u64),
    /// To [`Request::Unsent`].
    Unsent(Vec<Unsent>),
    /// To [`Request::KeptRecordings`].
    KeptRecordings {
        /// Which (at most [`crate::fetch::KEPT_MOST`]).
        recordings: Vec<KeptRecording>,
        /// Whether there are earlier ones.
        more: bool,
    },
    /// To [`Request::FetchRecording`]: it can be pulled.
    Fetching {
        /// By this number.
        fetch: u64,
        /// So many bytes.
        length: u64,
    },
    /// To questions for recordings that the server keeps.
    Unfetched(Unfetched),
    /// To [`Request::EngineerOrders`].
    EngineerOrders(Box<EngineerOrders>),
    /// To [`Request::Propose`]: the line's number.
    Proposed(u64),
    /// To [`Request::Judgement`].
    Judgement(Judgement),
    /// It is not taken, and why, as a sentence.
    NotTaken(String),
    /// To [`Request::Live`] (at most [`crate::record::LIVE_MOST`]).
    Live(Vec<LiveRecording>),
    /// To [`Request::Screen`].
    Screen(Box<LiveScreen>),
    /// To [`Request::Sign`]: the signature (64 bytes), and the public key (32).
    Signature(Vec<u8>, [u8; 32]),
    /// To [`Request::AuditAfter`].
    AuditLines(Box<AuditLines>),
    /// To [`Request::AuditPage`].
    AuditPage(Box<AuditPage>),
    /// To [`Request::AuditState`].
    AuditState(Box<AuditState>),
    /// To [`Request::AuditFiles`].
    AuditFiles(Vec<(String, u64)>),
    /// To [`Request::AuditPart`]: the bytes, and how long the file is now.
    AuditPart(Vec<u8>, u64),
    /// To [`Request::AuditVerify`].
    AuditChecked(Box<AuditChecked>),
    /// To [`Request::Notices`] and [`Request::SetNotices`].
    Notices(Box<NoticesStatus>),
    /// To [`Request::NoticeSteps`].
    NoticeSteps {
        /// In their order.
        steps: Vec<NoticeStep>,
        /// Whether the test is over.
        over: bool,
    },
    /// To [`Request::CourierOrders`]. A test comes with orders by which it can be done at once only: with the first ones of a process, or
    /// with the same as it got before.
    CourierOrders(Box<CourierOrders>),
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
    /// To the SSH daemon: a shell process has ended.
    ShellEnded(ShellId, ShellEnd),
    /// To session: [`Request::Happened`] has something to tell.
    Happened,
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
    /// Runs on demand, and nobody has asked for it.
    Dormant,
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
    /// The machine's serial number as its firmware tells it; empty when it tells none.
    pub serial: String,
    /// The name of the host.
    pub host_name: String,
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
