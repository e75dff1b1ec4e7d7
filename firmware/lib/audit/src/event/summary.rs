//! Each event as an English sentence, for people; no program reads it.

use super::what::{Change, Denial, Direction, Gap, Health, KeyChange, Level, Outcome, Part, Power, Proof};
use super::what::{Rotation, What};
use super::{Event, Who, WhoKind};
use std::fmt;
use std::fmt::Write as _;

impl fmt::Display for Who {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            WhoKind::Owner => "owner",
            WhoKind::Engineer => "engineer",
            WhoKind::Vendor => "vendor",
            WhoKind::Device => return write!(to, "the appliance"),
            WhoKind::Technician => "technician",
        };
        write!(to, "{kind} {}", self.name)
    }
}

impl Level {
    fn words(self) -> &'static str {
        match self {
            Self::Direct => "not supervised",
            Self::Watched => "only while it is watched",
            Self::Guided => "each line only when it is approved",
        }
    }
}

impl Proof {
    /// After "by".
    fn words(self) -> &'static str {
        match self {
            Self::Secret => "the session's secret",
            Self::Key => "a key",
            Self::SecretAndKey => "the session's secret and a key",
            Self::Grant => "a signed grant",
            Self::Password => "the array's password",
            Self::SingleSignOn => "the array's single sign-on",
            Self::Challenge => "the vendor's answer to a challenge",
            Self::Presence => "presence at the machine",
        }
    }
}

impl Denial {
    /// After "because".
    pub fn words(self) -> &'static str {
        match self {
            Self::WrongSecret => "the secret is wrong",
            Self::SecretBurned => "the secret was wrong too often and is of no use any more",
            Self::UnknownKey => "the key is not known",
            Self::KeyEnded => "the key is disabled or its time is over",
            Self::NoSession => "no session is open",
            Self::Expired => "the session's time is over",
            Self::Address => "nobody may come from this address",
            Self::NoRight => "the array's roles do not allow it",
            Self::NoArray => "the array could not be asked",
            Self::WrongResponse => "the answer to the challenge is wrong, used or too late",
            Self::WrongGrant => "the signed grant is not valid here",
            Self::WrongToken => "the token is unknown, used or too late",
            Self::Target => "the session does not reach this place",
            Self::Command => "the session does not allow this command",
            Self::Files => "the session does not allow files",
            Self::NotRecorded => "it cannot be recorded",
            Self::NotSupervised => "nobody watches or nobody has approved",
            Self::TooMany => "there were too many tries or too many at once",
        }
    }
}

impl Part {
    fn words(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::DataPartition => "data partition",
            Self::Memory => "memory",
            Self::Processor => "processor",
            Self::Temperature => "temperature",
            Self::Fan => "fan",
            Self::PowerSupply => "power supply",
            Self::Link => "link",
        }
    }
}

impl Gap {
    /// After "because".
    fn words(self) -> &'static str {
        match self {
            Self::NoRoom => "the room for them was over before every receiver had them",
            Self::Damaged => "the file that had them is damaged or gone",
            Self::Unwritten => "they could not be written down, and too many waited already",
        }
    }
}

impl Event {
    /// The event as one English sentence of printable characters.
    pub fn summary(&self) -> String {
        let mut text = self.sentence();
        if let Some(from) = self.from {
            let _ = write!(text, ", from {from}");
        }
        if let Some(endpoint) = &self.endpoint {
            let _ = write!(text, ", endpoint {endpoint}");
        }
        if let Some(gateway) = &self.gateway {
            let _ = write!(text, ", through {gateway}");
        }
        if let Some(millis) = self.lasted_ms {
            let (seconds, millis) = (millis / 1000, millis % 1000);
            let _ = match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
                (0, 0, seconds) => write!(text, ", after {seconds}.{millis:03} s"),
                (hours, minutes, seconds) => write!(text, ", after {hours}:{minutes:02}:{seconds:02}"),
            };
        }
        text.push('.');
        text
    }

    #[expect(clippy::too_many_lines, reason = "one sentence an event")]
    fn sentence(&self) -> String {
        let who = &self.who;
        let because =
            |why: &Option<super::Long>| why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let so = |outcome: &Outcome, well: &str, not: &str| {
            (if *outcome == Outcome::Done { well } else { not }).to_owned()
        };
        match &self.what {
            What::SessionOpened { session, expires, level, recorded } => format!(
                "Support session '{session}' was opened by {who} until {expires}, {}, {}",
                level.words(),
                if *recorded { "recorded" } else { "NOT recorded" }
            ),
            What::SessionStopped { session } => format!("Support session '{session}' was stopped by {who}"),
            What::SessionExpired { session } => {
                format!("Support session '{session}' has ended at its time")
            }
            What::FailedToClose { session, left } => {
                format!("Support session '{session}' has FAILED TO CLOSE, and this is left: {left}")
            }
            What::EngineerArrived { session, proof } => {
                format!("{who} has come in to session '{session}' by {}", proof.words())
            }
            What::EngineerLeft { session } => format!("{who} has left session '{session}'"),
            What::AccessDenied { reason, asked: None } => {
                format!("{who} was not let in, because {}", reason.words())
            }
            What::AccessDenied { reason, asked: Some(asked) } => {
                format!("{who} was refused {asked}, because {}", reason.words())
            }
            What::GrantUsed { case, key, expires } => format!(
                "A signed grant for case {case} was used by {who}: key {key}, valid until {expires}"
            ),
            What::PathTested { outcome, step, why } => format!(
                "The way to the support server was tested by {who} and {} at the step {step}{}",
                so(outcome, "works; it ended", "fails"),
                because(why)
            ),
            What::SettingChanged { setting, change: Change::Secret } => {
                format!("The secret setting {setting} was changed by {who}")
            }
            What::SettingChanged { setting, change: Change::Plain { old, new } } => {
                let value = |value: &Option<super::Long>| {
                    value.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("'{value}'"))
                };
                format!("The setting {setting} was changed by {who} from {} to {}", value(old), value(new))
            }
            What::CertificateChanged { subject, sha256, expires } => format!(
                "The console's certificate was changed by {who}: {subject}, SHA-256 {sha256}, valid until {expires}"
            ),
            What::KeyChanged { change, key, owner } => format!(
                "The key {key} of {owner} was {} by {who}",
                match change {
                    KeyChange::Added => "added",
                    KeyChange::Disabled => "disabled",
                    KeyChange::Removed => "removed",
                }
            ),
            What::Enrolled { server } => format!("The appliance was made known to {server} by {who}"),
            What::Login { proof } => format!("{who} has logged in by {}", proof.words()),
            What::LoginRefused { reason } => {
                format!("{who} could not log in, because {}", reason.words())
            }
            What::Logout {} => format!("{who} has logged out"),
            What::WatchBegan { session, watchers } => {
                format!("{who} watches session '{session}' ({watchers} watching)")
            }
            What::WatchEnded { session, watchers } => {
                format!("{who} does not watch session '{session}' any more ({watchers} watching)")
            }
            What::Paused { session } => format!("Session '{session}' was paused by {who}"),
            What::Resumed { session } => format!("Session '{session}' was resumed by {who}"),
            What::ProposalApproved { session, line } => {
                format!("In session '{session}', {who} has approved the line: {line}")
            }
            What::ProposalRefused { session, line } => {
                format!("In session '{session}', {who} has refused the line: {line}")
            }
            What::Message { session, text } => {
                format!("In session '{session}', {who} has put a message on the screen: {text}")
            }
            What::Command { session, line, status } => {
                let status = status.map(|status| format!(" (exit status {status})")).unwrap_or_default();
                format!("In session '{session}', {who} has run a command{status}: {line}")
            }
            What::File { session, direction, path, bytes, sha256, outcome } => format!(
                "In session '{session}', {who} has {} {} the file {path}: {bytes} bytes, SHA-256 {sha256}",
                so(outcome, "completely", "partly"),
                match direction {
                    Direction::Out => "taken",
                    Direction::In => "brought",
                }
            ),
            What::Forward { session, target, bytes_out, bytes_in } => format!(
                "In session '{session}', {who} had a connection to {target}: {bytes_out} bytes out, {bytes_in} bytes in"
            ),
            What::Discovery { networks, found } => {
                format!("{who} has searched {networks} and found {found} endpoints")
            }
            What::RecordingClosed { recording, head, bytes, end } => {
                format!("The recording {recording} is sealed ({end}): {bytes} bytes, head hash {head}")
            }
            What::RecordingFailed { recording, why } => {
                format!("The recording {recording} has failed: {why}")
            }
            What::RecordingFetched { recording, from_server } => {
                let whence = if *from_server { ", from the support server" } else { "" };
                format!("The recording {recording} was handed out to {who}{whence}")
            }
            What::RecordingRemoved { recording, head, why } => {
                format!("The recording {recording} with head hash {head} was removed: {why}")
            }
            What::BreakGlass { session, why } => {
                format!("Session '{session}' goes on WITHOUT a recording: {why}")
            }
            What::Upgrade { outcome, from, to, why } => format!(
                "The upgrade from {from} to {to}, asked for by {who}, {}{}",
                so(outcome, "is done", "has failed"),
                because(why)
            ),
            What::Power { what } => match what {
                Power::Started => "The appliance has started".to_owned(),
                Power::StartedAfterCut => {
                    "The appliance has started, and nobody had switched it off: power was cut or it has failed"
                        .to_owned()
                }
                Power::Restarting => format!("The appliance restarts, as {who} has asked"),
                Power::SwitchingOff => format!("The appliance switches off, as {who} has asked"),
            },
            What::Hardware { part, health, text } => format!(
                "Hardware, {}: {}: {text}",
                part.words(),
                match health {
                    Health::Well => "works again",
                    Health::Failing => "will fail",
                    Health::Failed => "has FAILED",
                }
            ),
            What::Role { role, outcome, why } => format!(
                "The process {role} {}{}",
                so(outcome, "works again", "has failed"),
                because(why)
            ),
            What::ClockChanged { from, to } => {
                format!("The clock was changed by {who} from {from} to {to}")
            }
            What::AuditHead { head, segment } => {
                format!("The audit's chain has the head hash {head} in segment {segment}")
            }
            What::AuditRotated { segment, head, reason } => format!(
                "The audit goes on in segment {segment}, because {}{}",
                match reason {
                    Rotation::Full => "the one before is full",
                    Rotation::Key => "the appliance has another key",
                    Rotation::Damaged => "the one before is DAMAGED and is kept as it is",
                },
                head.map(|head| format!("; head hash of the one before {head}")).unwrap_or_default()
            ),
            What::AuditGap { last, reason, events: Some(events), .. } => format!(
                "{events} events after the event {last} of the audit are MISSING, because {}",
                reason.words()
            ),
            What::AuditGap { first, last, reason, events: None } => {
                format!("The events {first} to {last} of the audit are MISSING, because {}", reason.words())
            }
            What::AuditExported { events, format } => {
                format!("{who} has taken a copy of {events} events of the audit as {format}")
            }
            What::DeliveryTested { target, outcome, why } => format!(
                "{who} has tried whether the audit reaches {target}: it {}{}",
                so(outcome, "does", "does not"),
                because(why)
            ),
        }
    }
}
