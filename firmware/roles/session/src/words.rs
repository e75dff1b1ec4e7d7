//! What the role says of a session, as parts of sentences. It never says a secret.

use crate::supervision::Happened;
use drawbridge_bus::bridge::{BridgePath, Link};
use drawbridge_bus::support::{EndReason, Recording, Scope};

/// The longest text of somebody else's in a sentence, in characters.
const CHARACTERS_MOST: usize = 200;

/// Text of somebody else's as one printable line.
pub(crate) fn line(text: &str) -> String {
    let shown = |char: char| if char.is_control() { '?' } else { char };
    text.chars().take(CHARACTERS_MOST).map(shown).collect()
}

/// What a grant opens.
pub(crate) fn scope(scope: &Scope) -> String {
    let mut parts = Vec::new();
    for (is, name) in [(scope.shell, "shell"), (scope.files, "files"), (scope.forwards, "forwards")] {
        if is {
            parts.push(name.to_owned());
        }
    }
    let targets = scope.targets.iter().map(|target| format!("{}:{}", target.host, target.port));
    format!("{}, targets {}", parts.join(" and "), {
        let list = targets.collect::<Vec<_>>().join(", ");
        if list.is_empty() { "none".to_owned() } else { list }
    })
}

/// What happens to it when it cannot be recorded.
pub(crate) const fn recording(recording: Recording) -> &'static str {
    match recording {
        Recording::Strict => "recorded or not at all",
        Recording::BreakGlass => "unrecorded if need be (break glass)",
    }
}

/// Why a session ends.
pub(crate) fn end(why: &EndReason) -> String {
    match why {
        EndReason::Stopped { by } => format!("stopped by {by}"),
        EndReason::Expired => "its time is over".to_owned(),
        EndReason::Failed(why) => line(why),
    }
}

/// The server of a way, as its key is kept by.
pub(crate) fn server(path: &BridgePath) -> String {
    format!("{}:{}", path.server.host, path.server.port)
}

/// Where the control connection stands.
pub(crate) fn link(link: &Link) -> String {
    match link {
        Link::Down => "there is no connection".to_owned(),
        Link::Connecting => "connecting".to_owned(),
        Link::Connected { system, .. } => format!("connected, as {}", line(system)),
        Link::Waiting { why, .. } => format!("no connection, tried again: {}", line(why)),
    }
}

/// What has happened in an engineer's supervision.
pub(crate) fn happened(what: &Happened) -> String {
    match what {
        Happened::Watches(by) => format!("{by} watches"),
        Happened::Left(by) => format!("{by} does not watch any more"),
        Happened::Paused(by) => format!("paused by {by}"),
        Happened::Resumed(by) => format!("let go on by {by}"),
        Happened::Told(by, text) => format!("told by {by}: {}", line(text)),
        Happened::Frozen => "nobody watches: what he types waits".to_owned(),
        Happened::Thawed => "somebody watches: what he types goes on".to_owned(),
        Happened::Proposed(text) => format!("proposes: {}", line(text)),
        Happened::Approved(by, text) => format!("{by} has approved: {}", line(text)),
        Happened::Refused(by, text) => format!("{by} has refused: {}", line(text)),
    }
}
