//! The stable codes of events: what other systems sort and alarm by. A code is never renamed and never used for something
//! else; new ones are added.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// What kind of event it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])* $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As it is written everywhere.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Reads what [`Code::as_str`] writes.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// A support session has begun.
    SessionOpened = "SESSION_OPENED",
    /// Somebody has ended it.
    SessionStopped = "SESSION_STOPPED",
    /// Its time was over.
    SessionExpired = "SESSION_EXPIRED",
    /// It has ended, and something is left of it.
    FailedToClose = "FAILED_TO_CLOSE",
    /// An engineer has come in.
    EngineerArrived = "ENGINEER_ARRIVED",
    /// An engineer has left.
    EngineerLeft = "ENGINEER_LEFT",
    /// Somebody was not let in.
    AccessDenied = "ACCESS_DENIED",
    /// A signed grant of the vendor's was used.
    GrantUsed = "GRANT_USED",
    /// The way to the server was tested.
    PathTested = "PATH_TESTED",
    /// A setting was changed.
    SettingChanged = "SETTING_CHANGED",
    /// The console's certificate was changed.
    CertificateChanged = "CERTIFICATE_CHANGED",
    /// An engineer's or the vendor's key was added, disabled or removed.
    KeyChanged = "KEY_CHANGED",
    /// The appliance has made itself known to a server.
    Enrolled = "ENROLLED",
    /// Somebody has logged in to the console or at the machine.
    Login = "LOGIN",
    /// Somebody could not.
    LoginRefused = "LOGIN_REFUSED",
    /// Somebody has logged out.
    Logout = "LOGOUT",
    /// Somebody watches a session.
    WatchBegan = "WATCH_BEGAN",
    /// He does not any more.
    WatchEnded = "WATCH_ENDED",
    /// An engineer's input is held.
    Paused = "PAUSED",
    /// It is let through again.
    Resumed = "RESUMED",
    /// A proposed line was approved.
    ProposalApproved = "PROPOSAL_APPROVED",
    /// A proposed line was refused.
    ProposalRefused = "PROPOSAL_REFUSED",
    /// A message was put on an engineer's screen.
    Message = "MESSAGE",
    /// A command was run without a terminal.
    Command = "COMMAND",
    /// A file has crossed.
    File = "FILE",
    /// A connection was forwarded.
    Forward = "FORWARD",
    /// Networks were searched for endpoints.
    Discovery = "DISCOVERY",
    /// A recording has ended and is sealed.
    RecordingClosed = "RECORDING_CLOSED",
    /// A session could not be recorded.
    RecordingFailed = "RECORDING_FAILED",
    /// A recording was handed out.
    RecordingFetched = "RECORDING_FETCHED",
    /// A recording was removed from the appliance.
    RecordingRemoved = "RECORDING_REMOVED",
    /// A session goes on without a recording.
    BreakGlass = "BREAK_GLASS",
    /// The firmware was changed, or could not be.
    Upgrade = "UPGRADE",
    /// The machine was started, restarted or switched off.
    Power = "POWER",
    /// A part of the machine has failed, or works again.
    Hardware = "HARDWARE",
    /// A process of the appliance's has failed, or works again.
    Role = "ROLE",
    /// The clock was changed.
    ClockChanged = "CLOCK_CHANGED",
    /// The head of the audit's chain, for those who keep it elsewhere.
    AuditHead = "AUDIT_HEAD",
    /// The audit goes on in another segment.
    AuditRotated = "AUDIT_ROTATED",
    /// Events are missing from here on.
    AuditGap = "AUDIT_GAP",
    /// Somebody has taken a copy of the audit.
    AuditExported = "AUDIT_EXPORTED",
    /// Whether the audit reaches another system was tried.
    DeliveryTested = "DELIVERY_TESTED",
}

impl fmt::Display for Code {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no code of an event"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_read_as_it_is_written_and_no_two_are_the_same() {
        let mut all: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        for (text, code) in all.iter().zip(Code::ALL) {
            assert_eq!(Code::parse(text), Some(*code));
            assert!(text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && text.len() <= 32);
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{text}\""));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), Code::ALL.len());
        assert_eq!(Code::parse("session_opened"), None);
    }
}
