//! The one table of who may ask whom what. It never asks.

use crate::message::Request;
use crate::role::Role;

/// The kind of a request: a request without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// [`Request::Ready`]
    Ready,
    /// [`Request::Announce`]
    Announce,
    /// [`Request::Status`]
    Status,
    /// [`Request::Log`]
    Log,
    /// [`Request::Power`]
    Power,
    /// [`Request::CorrectClock`]
    CorrectClock,
    /// [`Request::HostName`]
    HostName,
    /// [`Request::Happened`]
    Happened,
    /// [`Request::Ports`]
    Ports,
    /// [`Request::Network`]
    Network,
    /// [`Request::NetworkSettings`]
    NetworkSettings,
    /// [`Request::ChangeNetwork`], [`Request::ConfirmNetwork`] and [`Request::RevertNetwork`]
    ChangeNetwork,
    /// [`Request::Resolve`]
    Resolve,
    /// [`Request::BridgeBarred`]
    BridgeBarred,
    /// [`Request::Run`]
    Run,
    /// [`Request::EndBridge`]
    EndBridge,
    /// [`Request::Leftovers`]
    Leftovers,
    /// [`Request::ReloadService`]
    ReloadService,
    /// [`Request::StartShell`]
    StartShell,
    /// [`Request::SignalShell`]
    SignalShell,
    /// [`Request::OfferSecret`]
    OfferSecret,
    /// [`Request::OpenBridge`]
    OpenBridge,
    /// [`Request::OpenGranted`] and [`Request::CheckGrant`]
    OpenGranted,
    /// [`Request::VendorKeys`]
    VendorKeys,
    /// [`Request::SetVendorKeys`]
    SetVendorKeys,
    /// [`Request::CloseBridge`]
    CloseBridge,
    /// [`Request::SetBridgeEnd`]
    SetBridgeEnd,
    /// [`Request::Bridge`]
    Bridge,
    /// [`Request::TestBridge`]
    TestBridge,
    /// [`Request::TestSteps`]
    TestSteps,
    /// [`Request::DeviceKeys`]
    DeviceKeys,
    /// [`Request::TunnelOrders`]
    TunnelOrders,
    /// [`Request::TunnelNews`]
    TunnelNews,
    /// [`Request::SshdOrders`]
    SshdOrders,
    /// [`Request::Engineer`]
    Engineer,
    /// [`Request::ShellScope`]
    ShellScope,
    /// [`Request::Record`]
    Record,
    /// [`Request::RecordDeed`]
    RecordDeed,
    /// [`Request::RecordingsOver`]
    RecordingsOver,
    /// [`Request::Recorder`], [`Request::Recordings`] and [`Request::RecordingPart`]
    Recordings,
    /// [`Request::RecordingKey`] and [`Request::SetRecordingKey`]
    RecordingKey,
    /// [`Request::Unsent`], [`Request::UnsentPart`] and [`Request::Confirmed`]
    Upload,
    /// [`Request::KeptRecordings`], [`Request::FetchRecording`], [`Request::FetchedPart`] and [`Request::EndFetch`]
    Fetch,
    /// [`Request::Live`] and [`Request::Screen`]
    Live,
    /// [`Request::Sign`]
    Sign,
    /// [`Request::Supervise`]
    Supervise,
    /// [`Request::EngineerOrders`]
    EngineerOrders,
    /// [`Request::Propose`], [`Request::Judgement`] and [`Request::Withdraw`]
    Propose,
    /// [`Request::Tell`]
    Tell,
    /// [`Request::AuditAfter`]
    AuditLines,
    /// [`Request::AuditPage`], [`Request::AuditState`], [`Request::AuditFiles`], [`Request::AuditPart`] and [`Request::AuditVerify`]
    Audit,
    /// [`Request::Notices`], [`Request::SetNotices`], [`Request::TestNotices`] and [`Request::NoticeSteps`]
    Notices,
    /// [`Request::CourierOrders`] and [`Request::CourierNews`]
    Courier,
}

impl Request {
    /// Its kind.
    pub const fn ask(&self) -> Ask {
        match self {
            Request::Ready => Ask::Ready,
            Request::Announce(_) => Ask::Announce,
            Request::Status => Ask::Status,
            Request::Log { .. } => Ask::Log,
            Request::Power(_) => Ask::Power,
            Request::CorrectClock(_) => Ask::CorrectClock,
            Request::HostName(_) => Ask::HostName,
            Request::Happened { .. } => Ask::Happened,
            Request::Ports => Ask::Ports,
            Request::Network => Ask::Network,
            Request::NetworkSettings => Ask::NetworkSettings,
            Request::ChangeNetwork(_) | Request::ConfirmNetwork(_) | Request::RevertNetwork(_) => {
                Ask::ChangeNetwork
            }
            Request::Resolve { .. } => Ask::Resolve,
            Request::BridgeBarred(_) => Ask::BridgeBarred,
            Request::Run(_) => Ask::Run,
            Request::EndBridge => Ask::EndBridge,
            Request::Leftovers => Ask::Leftovers,
            Request::ReloadService => Ask::ReloadService,
            Request::StartShell(_) => Ask::StartShell,
            Request::SignalShell(..) => Ask::SignalShell,
            Request::OfferSecret => Ask::OfferSecret,
            Request::OpenBridge(_) => Ask::OpenBridge,
            Request::OpenGranted { .. } | Request::CheckGrant(_) => Ask::OpenGranted,
            Request::VendorKeys => Ask::VendorKeys,
            Request::SetVendorKeys(_) => Ask::SetVendorKeys,
            Request::CloseBridge { .. } => Ask::CloseBridge,
            Request::SetBridgeEnd { .. } => Ask::SetBridgeEnd,
            Request::Bridge => Ask::Bridge,
            Request::TestBridge(_) => Ask::TestBridge,
            Request::TestSteps => Ask::TestSteps,
            Request::DeviceKeys => Ask::DeviceKeys,
            Request::TunnelOrders => Ask::TunnelOrders,
            Request::TunnelNews(_) => Ask::TunnelNews,
            Request::SshdOrders => Ask::SshdOrders,
            Request::Engineer { .. } => Ask::Engineer,
            Request::ShellScope { .. } => Ask::ShellScope,
            Request::Record { .. } => Ask::Record,
            Request::RecordDeed { .. } => Ask::RecordDeed,
            Request::RecordingsOver => Ask::RecordingsOver,
            Request::Recorder | Request::Recordings { .. } | Request::RecordingPart { .. } => Ask::Recordings,
            Request::RecordingKey | Request::SetRecordingKey(_) => Ask::RecordingKey,
            Request::Unsent | Request::UnsentPart { .. } | Request::Confirmed { .. } => Ask::Upload,
            Request::KeptRecordings { .. }
            | Request::FetchRecording { .. }
            | Request::FetchedPart { .. }
            | Request::EndFetch { .. } => Ask::Fetch,
            Request::Live | Request::Screen { .. } => Ask::Live,
            Request::Sign(_) => Ask::Sign,
            Request::Supervise { .. } => Ask::Supervise,
            Request::EngineerOrders { .. } => Ask::EngineerOrders,
            Request::Propose { .. } | Request::Judgement { .. } | Request::Withdraw { .. } => Ask::Propose,
            Request::Tell(_) => Ask::Tell,
            Request::AuditAfter { .. } => Ask::AuditLines,
            Request::AuditPage { .. }
            | Request::AuditState
            | Request::AuditFiles
            | Request::AuditPart { .. }
            | Request::AuditVerify => Ask::Audit,
            Request::Notices | Request::SetNotices(_) | Request::TestNotices(_) | Request::NoticeSteps => {
                Ask::Notices
            }
            Request::CourierOrders { .. } | Request::CourierNews(_) => Ask::Courier,
        }
    }
}

/// Who asks, whom, what: every line is needed by the page or sentence behind it. What is not here is refused.
const MAY: &[(Role, Role, Ask)] = &[
    (Role::Network, Role::Init, Ask::Ready),
    (Role::Network, Role::Init, Ask::Announce), // addresses on serial line and screen
    (Role::Network, Role::Init, Ask::CorrectClock), // what time servers say; init decides what is believed
    (Role::Network, Role::Init, Ask::HostName), // the kernel's host name is root's to set
    (Role::Console, Role::Init, Ask::Ready),
    (Role::Console, Role::Init, Ask::Announce), // fingerprint and set-up code on serial line and screen
    (Role::Console, Role::Init, Ask::Status),   // the status page
    (Role::Console, Role::Init, Ask::Log),      // the log, for whoever has logged in
    (Role::Console, Role::Init, Ask::ReloadService), // the menu
    (Role::Console, Role::Init, Ask::Power),    // the menu
    (Role::Console, Role::Network, Ask::Ports), // the status page
    (Role::Console, Role::Network, Ask::Network), // the pages of the network
    (Role::Console, Role::Network, Ask::NetworkSettings),
    (Role::Console, Role::Network, Ask::ChangeNetwork),
    (Role::Console, Role::Network, Ask::Resolve), // tests of a path, and the array's name
    (Role::Console, Role::Session, Ask::OfferSecret), // the pages of the connection
    (Role::Console, Role::Session, Ask::OpenBridge),
    (Role::Console, Role::Session, Ask::OpenGranted), // a grant that was pasted: session verifies it
    (Role::Console, Role::Session, Ask::VendorKeys),  // the page Array, and responses to challenges
    (Role::Console, Role::Session, Ask::SetVendorKeys),
    (Role::Console, Role::Session, Ask::CloseBridge),
    (Role::Console, Role::Session, Ask::SetBridgeEnd),
    (Role::Console, Role::Session, Ask::Bridge),
    (Role::Console, Role::Session, Ask::TestBridge),
    (Role::Console, Role::Session, Ask::TestSteps),
    (Role::Console, Role::Session, Ask::DeviceKeys), // what the owner compares with what the engineer sees
    (Role::Console, Role::Recorder, Ask::Recordings), // the pages of the recordings
    (Role::Console, Role::Recorder, Ask::RecordingKey), // the owner's key, so that only he reads recordings
    (Role::Console, Role::Tunnel, Ask::Fetch), // recordings that the server keeps: the tunnel is the one way to it
    (Role::Console, Role::Session, Ask::Supervise), // the pages on which an engineer is watched
    (Role::Console, Role::Recorder, Ask::Live), // the owner looks over the engineer's shoulder
    (Role::Console, Role::Session, Ask::Tell), // who has logged in, what was set
    (Role::Console, Role::Session, Ask::AuditLines), // what is downloaded
    (Role::Console, Role::Session, Ask::Audit), // the page of the audit
    (Role::Console, Role::Session, Ask::Notices), // the page on which is set who is told
    (Role::Session, Role::Init, Ask::Ready),
    (Role::Session, Role::Init, Ask::Run), // tunnel and SSH daemon run for a grant only
    (Role::Session, Role::Init, Ask::EndBridge),
    (Role::Session, Role::Init, Ask::Leftovers), // the proof of an end
    (Role::Session, Role::Init, Ask::Status),    // the version, for the server
    (Role::Session, Role::Init, Ask::Happened),  // what becomes of the machine, for the audit
    (Role::Session, Role::Network, Ask::BridgeBarred), // an end that failed takes the uplink down
    (Role::Session, Role::Recorder, Ask::RecordingsOver), // whoever wrote them has been ended
    (Role::Recorder, Role::Init, Ask::Ready),
    (Role::Recorder, Role::Session, Ask::Sign), // the key for evidence is not the recorder's
    (Role::Recorder, Role::Session, Ask::Tell), // files, forwards, what became of each recording
    (Role::Courier, Role::Init, Ask::Ready),
    (Role::Courier, Role::Session, Ask::Courier), // to whom, and how far they have come
    (Role::Courier, Role::Session, Ask::AuditLines), // what is told
    (Role::Courier, Role::Network, Ask::Resolve), // the receivers' names
    (Role::Tunnel, Role::Init, Ask::Ready),
    (Role::Tunnel, Role::Session, Ask::TunnelOrders),
    (Role::Tunnel, Role::Session, Ask::TunnelNews),
    (Role::Tunnel, Role::Session, Ask::DeviceKeys), // by which key the server is to know recordings
    (Role::Tunnel, Role::Recorder, Ask::Upload), // recordings that the server has not confirmed, and no others
    (Role::Tunnel, Role::Init, Ask::Status),     // the clock, for the test of the way
    (Role::Tunnel, Role::Network, Ask::Ports),   // a carrier that comes up, and the test of the way
    (Role::Tunnel, Role::Network, Ask::Resolve), // the server's and the proxy's name
    (Role::Sshd, Role::Init, Ask::Ready),
    (Role::Sshd, Role::Init, Ask::StartShell), // it may not start a process itself
    (Role::Sshd, Role::Init, Ask::SignalShell),
    (Role::Sshd, Role::Network, Ask::Resolve), // targets that are named
    (Role::Sshd, Role::Session, Ask::SshdOrders),
    (Role::Sshd, Role::Session, Ask::Engineer),
    (Role::Sshd, Role::Session, Ask::EngineerOrders), // a pause, a message, an end
    (Role::Sshd, Role::Recorder, Ask::Record),        // nothing passes that is not kept
    (Role::Shell, Role::Session, Ask::ShellScope),    // the targets
    (Role::Shell, Role::Session, Ask::Propose),       // the level guided
    (Role::Shell, Role::Recorder, Ask::RecordDeed),   // files, and `ssh` to a target
    (Role::Shell, Role::Init, Ask::Status),           // `status`
    (Role::Shell, Role::Init, Ask::Log),              // `logs`
    (Role::Shell, Role::Network, Ask::Ports),         // `network`
    (Role::Shell, Role::Network, Ask::Network),
    (Role::Shell, Role::Network, Ask::Resolve), // `resolve`, and targets that are named
];

/// Whether `caller` may ask `asked` this.
pub fn may(caller: Role, asked: Role, ask: Ask) -> bool {
    MAY.contains(&(caller, asked, ask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_does_not_list_is_forbidden() {
        assert!(may(Role::Console, Role::Network, Ask::Ports));
        assert!(!may(Role::Network, Role::Console, Ask::Ports));
        assert!(!may(Role::Network, Role::Init, Ask::Power));
        assert!(!may(Role::Network, Role::Init, Ask::Log));
    }

    #[test]
    fn the_tunnel_sees_no_recording_but_what_is_to_be_sent() {
        assert!(may(Role::Tunnel, Role::Recorder, Ask::Upload));
        for ask in [Ask::Recordings, Ask::Live, Ask::Record, Ask::RecordingsOver] {
            assert!(!may(Role::Tunnel, Role::Recorder, ask));
        }
    }

    #[test]
    fn the_tunnel_is_asked_for_recordings_at_the_server_by_the_console_alone_and_for_nothing_else() {
        for role in Role::ALL {
            assert_eq!(may(role, Role::Tunnel, Ask::Fetch), role == Role::Console, "{role}");
        }
        assert!(MAY.iter().all(|(_, asked, ask)| *asked != Role::Tunnel || *ask == Ask::Fetch));
    }

    #[test]
    fn what_has_happened_to_the_machine_is_taken_from_init_by_session_alone() {
        for role in Role::ALL {
            assert_eq!(may(role, Role::Init, Ask::Happened), role == Role::Session, "{role}");
        }
    }

    #[test]
    fn no_line_stands_twice_and_nobody_asks_himself() {
        for (i, line) in MAY.iter().enumerate() {
            assert!(!MAY[i + 1..].contains(line), "{line:?} stands twice");
            assert_ne!(line.0, line.1);
        }
    }
}
