//! What happened in a recording beside what was seen, as sentences on a time line. It never shows what was typed.

use drawbridge_recording::{Change, EntryReader, Event, Quoted, Way};
use serde_json::{Value, json};
use std::io::Read;
use std::time::Duration;

/// So much of the events is read, and so many are told.
pub(super) const STORY_BYTES: u64 = 1024 * 1024;
const EVENTS: usize = 1000;
/// The longest text of one, in characters.
const WORDS: usize = 300;

/// The events, and when the recording began, since 1970.
pub(super) struct Story {
    pub(super) began: Duration,
    pub(super) events: Vec<Value>,
    /// Each terminal, with its number.
    pub(super) terminals: Vec<Value>,
    /// There are more, or the rest cannot be read.
    pub(super) is_cut: bool,
}

/// Reads them. None when not even the first one can be.
pub(super) fn read(from: impl Read) -> Option<Story> {
    let mut entries = EntryReader::new(std::io::BufReader::new(from.take(STORY_BYTES)));
    let first = entries.next_entry().ok()??;
    let began = Duration::from_millis(first.utc.millis()).saturating_sub(first.after());
    let mut story = Story { began, events: Vec::new(), terminals: Vec::new(), is_cut: false };
    loop {
        let entry = match entries.next_entry() {
            Ok(Some(entry)) if story.events.len() < EVENTS => entry,
            Ok(None) => return Some(story),
            _ => {
                story.is_cut = true;
                return Some(story);
            }
        };
        let at = u64::try_from(entry.after().as_millis()).unwrap_or(u64::MAX);
        match &entry.event {
            Event::Terminal { terminal, size, .. } => story.terminals.push(json!({
                "channel": terminal, "at": at, "columns": size.columns(), "rows": size.rows(), "command": null,
            })),
            Event::Command { command, terminal: Some(terminal) } => {
                let number = u64::from(*terminal);
                if let Some(one) = story.terminals.iter_mut().find(|one| one["channel"] == number) {
                    one["command"] = short(command.as_str()).into();
                }
            }
            _ => {}
        }
        if let Some((kind, words)) = words(&entry.event) {
            story.events.push(json!({ "at": at, "kind": kind, "text": short(&words) }));
        }
    }
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(WORDS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// What is said of an event, and of what kind it is; none of what is seen on the screen anyway.
fn words(event: &Event) -> Option<(&'static str, String)> {
    let moved = |bytes: u64| if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
    Some(match event {
        Event::Began(_) | Event::Window { .. } | Event::Mask { .. } => return None,
        Event::Encrypted { .. } => {
            ("note", "All else that happened is encrypted to a key of the customer's".to_owned())
        }
        Event::Terminal { terminal, .. } => ("terminal", format!("Terminal {terminal} is opened")),
        Event::Closed { terminal, .. } => ("terminal", format!("Terminal {terminal} is closed")),
        Event::Command { command, .. } => ("command", format!("Command: {}", command.as_str())),
        Event::CommandEnded { command, status, .. } => {
            let status = status.map_or_else(String::new, |status| format!(" with status {status}"));
            ("command", format!("The command has ended{status}: {}", command.as_str()))
        }
        Event::File { way, path, bytes, complete, .. } => {
            let way = if *way == Way::Out { "taken" } else { "brought" };
            let part = if *complete { "" } else { ", not to its end" };
            ("file", format!("File {way}{part}: {}, {}", path.as_str(), moved(*bytes)))
        }
        Event::FileChange { change, path, to, .. } => {
            let to = to.as_ref().map(|to| format!(", {}", to.as_str())).unwrap_or_default();
            ("file", format!("{}: {}{to}", changed(*change), path.as_str()))
        }
        Event::Changed { what } => ("file", what.as_str().to_owned()),
        Event::Reached { host, port } => ("forward", format!("ssh to {}", place(host, *port))),
        Event::Forward { host, port, .. } => ("forward", format!("Connection to {}", place(host, *port))),
        Event::ForwardEnded { sent, received, .. } => {
            ("forward", format!("The connection has ended: {} out, {} in", moved(*sent), moved(*received)))
        }
        Event::Pause { paused: true, by } => ("pause", format!("Paused by {by}")),
        Event::Pause { by, .. } => ("pause", format!("Let go on by {by}")),
        Event::Message { from, text } => ("message", format!("Message of {from}: {}", text.as_str())),
        Event::Gap { millis, why, .. } => {
            ("gap", format!("Not recorded for {} s: {why}", millis.div_ceil(1000)))
        }
        Event::Verdict { asked, allowed, why } => {
            let verdict = if *allowed { "Allowed" } else { "Refused" };
            ("verdict", format!("{verdict}: {} ({why})", asked.as_str()))
        }
        Event::Ended { reason } => ("ended", format!("The end: {reason}")),
    })
}

fn place(host: &Quoted, port: u16) -> String {
    crate::api::bridge::place(host.as_str(), port)
}

const fn changed(change: Change) -> &'static str {
    match change {
        Change::Removed => "Removed",
        Change::Renamed => "Renamed",
        Change::FolderMade => "Folder made",
        Change::Linked => "Link made",
        Change::Set => "Mode, owner, times or length set",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_recording::{Entry, Facts, Guidance, Moment, Size};

    /// The beginning of the year 2026.
    const BEGAN: u64 = 1_767_225_600_000;

    fn line(millis: u64, event: Event) -> Vec<u8> {
        let after = Duration::from_millis(millis);
        Entry::at(Moment { since_1970: Duration::from_millis(BEGAN) + after, after }, event).encode()
    }

    fn began() -> Event {
        let text = |text: &str| text.to_owned().try_into().unwrap();
        Event::Began(Facts {
            id: text("a"),
            serial: text("b"),
            system: text("c"),
            version: text("d"),
            grant: 1,
            session: "e".to_owned().try_into().unwrap(),
            level: Guidance::Direct,
            engineer: "f".to_owned().try_into().unwrap(),
            login: "g".to_owned().try_into().unwrap(),
            source: None,
        })
    }

    #[test]
    fn the_time_line_says_what_happened_and_when() {
        let quoted = |text: &[u8]| Quoted::of(text);
        let lines = [
            line(0, began()),
            line(
                5,
                Event::Terminal {
                    terminal: 1,
                    name: "x".to_owned().try_into().unwrap(),
                    size: Size::clamped(24, 80),
                },
            ),
            line(6, Event::Command { command: quoted(b"top\x1b[2J"), terminal: Some(1) }),
            line(7, Event::Mask { terminal: 1, masked: true }),
            line(1500, Event::Reached { host: quoted(b"fd00::1"), port: 22 }),
            line(2000, Event::Ended { reason: "The owner has ended it".to_owned().try_into().unwrap() }),
        ];
        let story = read(lines.concat().as_slice()).unwrap();
        assert_eq!(story.began, Duration::from_millis(BEGAN));
        assert_eq!(story.terminals[0]["command"], "top\\e[2J");
        let told: Vec<_> = story.events.iter().map(|one| (one["at"].clone(), one["text"].clone())).collect();
        assert_eq!(
            told,
            [
                (json!(5), json!("Terminal 1 is opened")),
                (json!(6), json!("Command: top\\e[2J")),
                (json!(1500), json!("ssh to [fd00::1]:22")),
                (json!(2000), json!("The end: The owner has ended it")),
            ]
        );
        assert!(!story.is_cut);
        assert!(read(&b"nonsense\n"[..]).is_none());
        let cut = [lines.concat(), b"{".to_vec()].concat();
        assert!(read(cut.as_slice()).unwrap().is_cut);
    }
}
