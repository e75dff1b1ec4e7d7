//! What is printed: what it is, what is wrong and where, and the verdict; every text in it is printable, whoever wrote it.

use crate::place::{Found, FrameAt};
use crate::source::Source;
use drawbridge_chain::{Break, Kind, Report, Trust, Verdict};
use drawbridge_recording::{Bundle, Event, Facts, Files, Guidance, Section};
use std::io::{self, Write as _};
use std::time::Duration;

/// Files that are only looked at.
struct Lent<'a>(&'a Source);

impl Files for Lent<'_> {
    fn names(&self) -> io::Result<Vec<String>> {
        Files::names(self.0)
    }

    fn open(&self, name: &str) -> io::Result<Option<Section>> {
        self.0.open(name)
    }
}

macro_rules! say {
    ($out:expr, $($words:tt)*) => {
        // Writing to memory cannot fail.
        let _ = writeln!($out, $($words)*);
    };
}

/// What it is, who came in, and when.
pub(crate) fn head(report: &Report, source: &Source, out: &mut Vec<u8>) {
    let header = &report.header;
    say!(out, "{} {} of the system with serial number {}", title(header.kind), header.id, header.serial);
    say!(out, "  began     {}, by the system's clock", header.start);
    if header.kind == Kind::Recording {
        match Bundle::open(Lent(source)) {
            Ok(bundle) => recording(&bundle, out),
            Err(fault) => {
                say!(out, "  who       cannot be told: {fault}");
            }
        }
    }
    let files = report.tracks.len();
    say!(out, "  sealed    {} bytes in {files} files and {} blocks", report.bytes, report.blocks);
    if report.resumed > 0 {
        say!(out, "  cut       it went on after a cut, {} times: see its events", report.resumed);
    }
    match report.trust {
        Trust::Known => {
            say!(out, "  key       {}, which was to be expected", header.key);
        }
        Trust::FirstSight => {
            say!(out, "  key       {}", header.key);
            say!(
                out,
                "            Nobody said which key to expect: compare it with the one that the system's console shows."
            );
        }
    }
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Recording => "Recording",
        Kind::Audit => "Audit",
    }
}

fn recording(bundle: &Bundle<Lent<'_>>, out: &mut Vec<u8>) {
    let Facts { system, version, session, level, engineer, login, source, .. } = bundle.facts();
    let from = source.map_or_else(String::new, |source| format!(" from {source}"));
    say!(out, "  system    {system}, version {version}");
    say!(out, "  engineer  {engineer}{from}, as {login}");
    let level = match level {
        Guidance::Direct => "by himself",
        Guidance::Watched => "watched",
        Guidance::Guided => "each line approved",
    };
    say!(out, "  session   {session}, {level}");
    if let Ok(duration) = bundle.duration() {
        say!(out, "  took      {}", seconds(duration));
    }
    if let Some(recipient) = bundle.recipient() {
        say!(out, "  contents  encrypted to {recipient}: who has its private key opens them, see --help");
        return;
    }
    let (mut commands, mut files, mut forwards) = (0_u64, 0_u64, 0_u64);
    if let Ok(mut events) = bundle.events() {
        while let Ok(Some(entry)) = events.next_entry() {
            match entry.event {
                Event::Command { .. } => commands += 1,
                Event::File { .. } | Event::FileChange { .. } | Event::Changed { .. } => files += 1,
                Event::Forward { .. } | Event::Reached { .. } => forwards += 1,
                _ => {}
            }
        }
    }
    let terminals = bundle.terminals().len();
    say!(out, "  contents  terminals {terminals}, commands {commands}, files {files}, forwards {forwards}");
}

/// One segment of an audit.
pub(crate) fn segment(number: u32, report: &Report, out: &mut Vec<u8>) {
    if number == 1 {
        say!(out, "Audit of the system with serial number {}", report.header.serial);
    }
    say!(out, "Segment {number}, begun {} by the system's clock", report.header.start);
    say!(out, "  sealed    {} bytes in {} blocks", report.bytes, report.blocks);
    if report.resumed > 0 {
        say!(out, "  cut       it went on after a cut, {} times", report.resumed);
    }
    say!(out, "  key       {}", report.header.key);
    if report.trust == Trust::FirstSight {
        say!(
            out,
            "            Nobody said which key to expect: compare it with the one that the system's console shows."
        );
    }
}

/// A segment does not go on where the one before it ended.
pub(crate) fn joint(number: u32, before: u32, out: &mut Vec<u8>) {
    say!(out, "BROKEN: segment {number} does not continue segment {before}: one is missing, or changed");
}

/// A segment that is not the last has no end.
pub(crate) fn not_ended(number: u32, out: &mut Vec<u8>) {
    say!(
        out,
        "  end       segment {number} has none: it was damaged on the appliance, and is kept as it was"
    );
}

/// What is proved of a segment.
pub(crate) fn proof(report: &Report, out: &mut Vec<u8>) {
    match (report.proved(), report.signed_at) {
        (0, _) => {
            say!(out, "  proved    nothing");
        }
        (last, Some(time)) => {
            say!(out, "  proved    blocks 1 to {last} of {}, signed at {time}", report.blocks);
        }
        (last, None) => {
            say!(out, "  proved    blocks 1 to {last} of {}", report.blocks);
        }
    }
}

/// What the whole audit comes to.
pub(crate) fn audit(sum: &crate::audit::Sum, out: &mut Vec<u8>) {
    let segments = sum.segments;
    if sum.is_broken {
        say!(out, "BROKEN: of {segments} segments not everything is as it was written.");
    } else if sum.is_unsigned {
        say!(out, "NOT FINISHED: what is here is as it was written, but its end is not signed.");
        say!(
            out,
            "  Export it again in a few seconds: what is new is signed then. Or its last part was taken away."
        );
    } else {
        let goes_on =
            if sum.has_ended { "another segment was begun after it" } else { "it is still written to" };
        say!(out, "WHOLE: nothing was changed, left out or added in {segments} segments; {goes_on}.");
    }
    if let Some(head) = sum.head {
        say!(
            out,
            "  Its last line is {head}. A later one that the appliance has told elsewhere, as to its array, has to be in"
        );
        say!(out, "  it, too: whatever was taken from the end does not show here.");
    }
}

/// A break, with what a person finds there.
pub(crate) fn wrong(wrong: &Break, found: Option<&Found>, out: &mut Vec<u8>) {
    say!(out, "BROKEN: {wrong}");
    match found {
        Some(Found::Frames(first, last)) if first.number == last.number => {
            say!(out, "  in frame {}", frame(first));
        }
        Some(Found::Frames(first, last)) => {
            say!(out, "  from frame {}", frame(first));
            say!(out, "  to frame {}", frame(last));
        }
        Some(Found::Line(number)) => {
            say!(out, "  from line {number}");
        }
        None => {}
    }
}

fn frame(frame: &FrameAt) -> String {
    let FrameAt { number, time, after } = frame;
    let time = time.map_or_else(|| "no time can be told".to_owned(), |time| time.to_string());
    let after = after.map_or_else(String::new, |after| format!(", {} after the beginning", seconds(after)));
    format!("{number}: {time}{after}")
}

/// The verdict, and what is proved.
pub(crate) fn verdict(report: &Report, out: &mut Vec<u8>) {
    let told = u64::try_from(report.breaks.len()).unwrap_or(u64::MAX);
    if report.broken > told {
        say!(out, "BROKEN: and at {} places more", report.broken - told);
    }
    let proved = report.proved();
    match &report.verdict {
        Verdict::Whole { end } => {
            say!(out, "WHOLE: nothing was changed, left out or added. It ended: {end}");
            return;
        }
        Verdict::Unfinished => {
            let tail = report.unsigned();
            say!(out, "NOT FINISHED: what is here is as it was sealed, but its end is not signed.");
            say!(out, "  It is still being made, or its last part was taken away.");
            say!(
                out,
                "  Without a signature: {tail} blocks after block {}, and {} bytes that are in none.",
                report.signed,
                report.beyond
            );
        }
        Verdict::Broken => {}
    }
    match (proved, report.signed_at.filter(|_| report.proved() == report.signed)) {
        (0, _) => {
            say!(out, "  Nothing of it is proved.");
        }
        (last, Some(time)) => {
            say!(out, "  Proved: blocks 1 to {last}, which were signed at {time} by the system's clock.");
        }
        (last, None) => {
            say!(out, "  Proved: blocks 1 to {last}.");
        }
    }
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let millis = duration.subsec_millis();
    if hours > 0 {
        format!("{hours} h {minutes} min {rest} s")
    } else if minutes > 0 {
        format!("{minutes} min {rest} s")
    } else {
        format!("{rest}.{millis:03} s")
    }
}
