//! The operator's commands about recordings: which there are, what is in one, whether it is as the appliance sealed it, and its end. It
//! never changes one.

mod export;
mod play;

pub use export::Form;
pub use play::Pace;

use super::{note, say};
use crate::Trouble;
use crate::clock::shown;
use crate::evidence::{Archive, Called};
use crate::store::{Recording, Store};
use drawbridge_chain::{DeviceKey, Expected};
use drawbridge_recording::{Bundle, Event, FolderFiles};
use drawbridge_verify::{Found, Source, check};
use drawbridge_wire::upload::RecordingName;
use std::io::Write as _;
use std::path::PathBuf;

/// So many events of a recording are shown.
const MOST_EVENTS: usize = 10_000;

/// A recording as the operator names it: `NAME`, or `SYSTEM/NAME` where two systems have one of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    system: Option<String>,
    name: RecordingName,
}

impl Which {
    /// Reads it; none when it is no such name.
    pub fn parse(text: &str) -> Option<Self> {
        let (system, name) = match text.rsplit_once('/') {
            Some((system, name)) => (Some(system.to_owned()), name),
            None => (None, text),
        };
        Some(Self { system, name: RecordingName::parse(name)? })
    }
}

/// What is wanted.
#[derive(Debug)]
pub enum Sessions {
    /// Those that fit, the latest first.
    List {
        /// Of this system, by name or serial number.
        system: Option<String>,
        /// With this text in what is listed of them.
        text: Option<String>,
        /// As JSON, a line each.
        json: bool,
    },
    /// All that is known of one, with its events.
    Show {
        /// Which.
        which: Which,
        /// As JSON.
        json: bool,
    },
    /// A terminal, as it looked.
    Play {
        /// Which.
        which: Which,
        /// How fast, and which terminal.
        pace: Pace,
    },
    /// To a file, or `-`.
    Export {
        /// Which.
        which: Which,
        /// As what.
        form: Form,
        /// Where to; none: a file in this folder that is called after it.
        to: Option<PathBuf>,
    },
    /// Whether one is as it was sealed, or whether all are.
    Verify(Option<Which>),
    /// No more of it here.
    Remove(Which),
}

/// A recording that was found.
struct Kept {
    line: Recording,
    called: Called,
    folder: PathBuf,
}

/// Does it.
pub(super) fn run(store: &Store, archive: &Archive, what: Sessions) -> Result<(), Trouble> {
    match what {
        Sessions::List { system, text, json } => list(store, system.as_deref(), text.as_deref(), json),
        Sessions::Show { which, json } => show(&find(store, archive, &which)?, json),
        Sessions::Play { which, pace } => play::play(&find(store, archive, &which)?, pace),
        Sessions::Export { which, form, to } => export::export(&find(store, archive, &which)?, form, to),
        Sessions::Verify(Some(which)) => verify(&find(store, archive, &which)?),
        Sessions::Verify(None) => verify_all(store, archive),
        Sessions::Remove(which) => {
            let Kept { line, called, .. } = find(store, archive, &which)?;
            // First the files: whatever is left is then still listed, and can be removed again.
            archive.remove(&called)?;
            store.remove_recording(&line.system, &line.name)?;
            note(store, "remove recording", &line.system, &line.name)
        }
    }
}

fn find(store: &Store, archive: &Archive, which: &Which) -> Result<Kept, Trouble> {
    let system = which.system.as_deref().map(|system| store.serial_of(system)).transpose()?;
    let mut found = store.recordings_called(which.name.as_str(), system.as_deref())?;
    let line = found.pop().ok_or_else(|| {
        Trouble::new(format!("there is no recording {}: rss sessions list has all of them", which.name))
    })?;
    if let Some(other) = found.pop() {
        return Err(Trouble::new(format!(
            "several systems have a recording {}: say which, as {}/{} or {}/{}",
            which.name, line.system, line.name, other.system, other.name
        )));
    }
    kept(archive, line)
}

fn kept(archive: &Archive, line: Recording) -> Result<Kept, Trouble> {
    let called = RecordingName::parse(&line.name).and_then(|name| Called::new(&line.system, name));
    let called = called.ok_or_else(|| Trouble::new("the index names a recording as none is named"))?;
    let folder = archive.folder_of(&called);
    Ok(Kept { line, called, folder })
}

/// How a recording is doing, in a word.
fn state(line: &Recording) -> &'static str {
    match (line.whole, &line.ended) {
        (true, _) => "whole",
        (false, Some(_)) => "unsigned",
        (false, None) => "open",
    }
}

/// Milliseconds since 1970 as they are shown.
fn time(millis: i64) -> String {
    shown(millis.div_euclid(1000))
}

fn seconds(line: &Recording) -> i64 {
    (line.marked - line.began).max(0) / 1000
}

fn json(line: &Recording) -> serde_json::Value {
    serde_json::json!({
        "name": line.name, "serial": line.system, "system": line.system_name, "engineer": line.engineer,
        "login": line.login, "from": line.source, "session": line.session, "level": line.level,
        "began": time(line.began), "seconds": seconds(line), "updated": shown(line.updated), "state": state(line),
        "ended": line.ended, "bytes": line.chain + line.bytes, "head": line.head, "key": line.key,
    })
}

fn list(store: &Store, system: Option<&str>, text: Option<&str>, as_json: bool) -> Result<(), Trouble> {
    let serial = system.map(|system| store.serial_of(system)).transpose()?;
    let text = text.map(str::to_lowercase);
    for line in store.recordings(serial.as_deref())? {
        let ended = line.ended.as_deref().unwrap_or_default();
        let words = [
            &*line.name,
            &line.system,
            &line.system_name,
            &line.engineer,
            &line.login,
            &line.source,
            &line.session,
            ended,
        ];
        let has = |text: &String| words.iter().any(|word| word.to_lowercase().contains(text.as_str()));
        if !text.as_ref().is_none_or(has) {
            continue;
        }
        if as_json {
            say(json(&line))?;
        } else {
            say(format_args!(
                "{} {} {} began={} seconds={} engineer={} session={:?} bytes={}",
                line.name,
                line.system,
                state(&line),
                time(line.began),
                seconds(&line),
                line.engineer,
                line.session,
                line.chain + line.bytes
            ))?;
        }
    }
    Ok(())
}

fn show(kept: &Kept, as_json: bool) -> Result<(), Trouble> {
    let Kept { line, folder, .. } = kept;
    let bundle = Bundle::open(FolderFiles::new(folder)).map_err(|fault| Trouble::new(fault.to_string()))?;
    let mut events = Vec::new();
    let mut reader = bundle.events().map_err(|fault| Trouble::new(fault.to_string()))?;
    // One that runs may end in the middle of a line.
    while let Ok(Some(entry)) = reader.next_entry() {
        if events.len() == MOST_EVENTS {
            break;
        }
        events.push(entry);
    }
    if as_json {
        let mut all = json(line);
        all["recipient"] = bundle.recipient().into();
        all["terminals"] = serde_json::json!(bundle.terminals());
        all["events"] = serde_json::to_value(&events).unwrap_or_default();
        return say(all);
    }
    let from = if line.source.is_empty() { String::new() } else { format!(" from {}", line.source) };
    let updated = shown(line.updated);
    say(format_args!("recording {} of {} (serial number {})", line.name, line.system_name, line.system))?;
    say(format_args!("  engineer  {}{from}, as {}", line.engineer, line.login))?;
    say(format_args!("  session   {}, {}", line.session, line.level))?;
    say(format_args!(
        "  began     {}, by the system's clock; {} s are here",
        time(line.began),
        seconds(line)
    ))?;
    match (&line.ended, line.whole) {
        (Some(ended), true) => {
            say(format_args!("  ended     {ended}; its end is signed, and all of it is here"))?;
        }
        (Some(ended), false) => {
            say(format_args!("  ended     {ended}; the signature of its end has not come yet"))?;
        }
        (None, _) => say(format_args!(
            "  open      it runs, or has not come to its end; the last of it came at {updated}"
        ))?,
    }
    let terminals: Vec<String> = bundle.terminals().iter().map(ToString::to_string).collect();
    let (bytes, head) = (line.chain + line.bytes, &line.head);
    let contents = match (bundle.recipient(), terminals.is_empty()) {
        (Some(recipient), _) => format!("encrypted to the customer's key {recipient}"),
        (None, true) => "terminals: none".to_owned(),
        (None, false) => format!("terminals: {}", terminals.join(", ")),
    };
    say(format_args!("  contents  {bytes} bytes, {contents}"))?;
    say(format_args!("  chain     its last line here is {head}"))?;
    say(format_args!("  key       {}", fingerprint(line)))?;
    for entry in events {
        // Each text of an event is one printable line by its type; what JSON adds is printable as well.
        let after = entry.after();
        let what = match entry.event {
            Event::Began(_) => "began".to_owned(),
            event => serde_json::to_string(&event).unwrap_or_default(),
        };
        say(format_args!("  {:>8}.{:03} {what}", after.as_secs(), after.subsec_millis()))?;
    }
    Ok(())
}

fn fingerprint(line: &Recording) -> String {
    DeviceKey::parse_ssh(&line.key).map_or_else(|_| "none".to_owned(), |key| key.fingerprint())
}

/// Looks through what is here by the key by which it came in, up to where the index says that it is on the disk.
fn look(kept: &Kept, out: &mut Vec<u8>) -> Result<Found, String> {
    let key = DeviceKey::parse_ssh(&kept.line.key).map_err(|fault| fault.to_string())?;
    // One that is whole grows no more: whatever stands behind its end was added.
    let chain = if kept.line.whole { u64::MAX } else { kept.line.chain };
    check(&mut Source::growing(&kept.folder, chain), &Expected::Key(key), out)
}

/// Whether what was found is less than what the index says.
fn fits(line: &Recording, found: Found) -> bool {
    found == Found::Whole || (found == Found::Unfinished && !line.whole)
}

fn verify(kept: &Kept) -> Result<(), Trouble> {
    let mut out = Vec::new();
    let found = look(kept, &mut out).map_err(|why| Trouble::new(format!("{}: {why}", kept.line.name)))?;
    std::io::stdout()
        .write_all(&out)
        .map_err(|error| Trouble::new(format!("stdout takes nothing: {error}")))?;
    if fits(&kept.line, found) {
        return Ok(());
    }
    Err(Trouble::new(format!("{} is not as the appliance sealed it: see above", kept.line.name)))
}

fn verify_all(store: &Store, archive: &Archive) -> Result<(), Trouble> {
    let (mut good, mut bad) = (0, 0);
    for line in store.recordings(None)? {
        let kept = kept(archive, line)?;
        let Recording { name, system, .. } = &kept.line;
        match look(&kept, &mut Vec::new()) {
            Ok(found) if fits(&kept.line, found) => good += 1,
            Ok(_) => {
                bad += 1;
                say(format_args!(
                    "{system}/{name}: not as the appliance sealed it: rss sessions verify {system}/{name}"
                ))?;
            }
            Err(why) => {
                bad += 1;
                say(format_args!("{system}/{name}: {why}"))?;
            }
        }
    }
    say(format_args!("{good} as they were sealed, {bad} not"))?;
    if bad == 0 { Ok(()) } else { Err(Trouble::new("not all recordings are as the appliances sealed them")) }
}
