//! Why nothing more of a recording is taken, and what can be done, in sentences. None has anything of what was recorded in it.

use drawbridge_chain::{DeviceKey, Fault, RecoveryFault, TrackName};
use drawbridge_wire::Line;
use drawbridge_wire::upload::Answer;
use std::io;

/// Why. What was kept before stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("line {0} of its chain is not one that may stand there: {1}")]
    Line(u64, Fault),
    #[error(
        "what came with line {line} is not what it names in {track}: it was changed, or is of another recording"
    )]
    Data { line: u64, track: TrackName },
    #[error("something came with line {0} that it does not name")]
    Beside(u64),
    #[error("its chain is of another recording, or of another system")]
    Foreign,
    #[error("its chain is not one of a recording")]
    Kind,
    #[error(
        "it is signed with the key {0}, which is none of those by which this system's recordings are known"
    )]
    Key(DeviceKey),
    #[error("it is longer than the {0} bytes that the server takes of one recording")]
    Long(u64),
    #[error("the server has all the recordings that it has room for: {0} bytes")]
    Full(u64),
    #[error("the server has {0} recordings of this system, and takes no more of it")]
    Many(u64),
    #[error("what the server has of it is damaged: {0}")]
    Damaged(String),
    #[error("the server cannot write it: {0}")]
    Disk(io::Error),
    #[error("the server's store does not answer")]
    Store,
}

impl Refusal {
    /// What can be done.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Line(..) | Self::Data { .. } | Self::Beside(_) | Self::Foreign | Self::Kind => {
                "Compare the recording on the appliance with what the server has, by verify: one of the two was tampered with."
            }
            Self::Key(_) => {
                "If the appliance's keys were made anew, the server's operator accepts the new one: rss systems evidence."
            }
            Self::Long(_) => "The server's operator raises recording_bytes, or takes it from the appliance.",
            Self::Full(_) => {
                "The server's operator raises recordings_bytes, or removes recordings: rss sessions remove."
            }
            Self::Many(_) => {
                "The server's operator raises recordings_per_system, or removes recordings: rss sessions remove."
            }
            Self::Damaged(_) => {
                "The server's operator looks at its disk, and removes what is left of it: rss sessions remove."
            }
            Self::Disk(_) => "The server's operator looks at its disk. The appliance tries again by itself.",
            Self::Store => "The appliance tries again by itself.",
        }
    }

    /// As the appliance is told.
    pub(crate) fn answer(&self) -> Answer {
        Answer::Refused { why: Line::of(&self.to_string()), remedy: Line::of(self.remedy()) }
    }
}

impl From<RecoveryFault> for Refusal {
    fn from(fault: RecoveryFault) -> Self {
        Self::Damaged(fault.to_string())
    }
}
