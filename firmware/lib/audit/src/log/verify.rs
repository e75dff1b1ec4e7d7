//! Says whether the whole log is as it was written: every segment by the chain's own verifier, and each as the continuation of
//! the one before; it changes nothing.

use super::segment::{self, EVENTS};
use super::{LogError, disk};
use crate::entry::Entry;
use drawbridge_chain::{Expected, FILE, FolderTracks, Report, TrackName, Verdict};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

/// What was found in a segment.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// Its number.
    pub number: u32,
    /// The chain's own report; a sentence where there is none.
    pub report: Result<Box<Report>, String>,
    /// Whether it continues the one before: none for the first one that is there.
    pub continues: Option<bool>,
    /// The numbers of its first and last event.
    pub range: Option<(u64, u64)>,
    /// Faults in the events, each as a sentence; at most 16.
    pub faults: Vec<String>,
}

/// What was found in all.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Each segment, the oldest first.
    pub segments: Vec<SegmentReport>,
    /// What is wrong, each as a sentence; at most 64. Nothing is wrong when there is none.
    pub faults: Vec<String>,
    /// The number of the last event that a right signature stands for, with all before it; 0 when there is none.
    pub proved: u64,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < 64 {
            self.faults.push(text);
        }
    }
}

/// Reads the whole log in a folder. While it is written to, the last events may not be signed yet.
pub fn verify(folder: &Path, expected: &Expected) -> Result<Checked, LogError> {
    let disk = |step| move |error| LogError::Disk(step, error);
    let mut numbers = Vec::new();
    for entry in folder.read_dir().map_err(disk("list its segments"))?.take(100_000) {
        let name = entry.map_err(disk("list its segments"))?.file_name();
        let number = name.to_str().filter(|name| name.len() == 8).and_then(|name| name.parse::<u32>().ok());
        numbers.extend(number.filter(|number| *number > 0));
    }
    numbers.sort_unstable();
    let mut checked = Checked::default();
    let mut before: Option<(u32, segment::Tail, Option<u64>)> = None;
    let mut is_proved = true;
    for number in numbers {
        let path = segment::path(folder, number);
        let report = one(&path, expected);
        let (range, faults) = events(&path, report.as_deref().ok()).map_err(disk("read its events"))?;
        let tail = segment::tail(&path).unwrap_or_default();
        let link = report.as_ref().ok().and_then(|report| report.header.link);
        let continues = before.as_ref().map(|(last, end, _)| {
            last.checked_add(1) == Some(number) && link.is_some() && (link == end.end || link == end.head)
        });
        for fault in &faults {
            checked.fault(format!("segment {number}: {fault}"));
        }
        match &report {
            Err(why) => checked.fault(format!("segment {number}: {why}")),
            Ok(report) if report.verdict == Verdict::Broken => {
                for wrong in &report.breaks {
                    checked.fault(format!("segment {number}: {wrong}"));
                }
            }
            Ok(_) => {}
        }
        if continues == Some(false) {
            checked.fault(format!(
                "segment {number} does not continue the one before it: one is missing or changed"
            ));
        }
        if let (Some((_, _, Some(last))), Some((first, _))) = (&before, range)
            && last.checked_add(1) != Some(first)
        {
            checked.fault(format!(
                "the events {} to {} are missing",
                last.saturating_add(1),
                first.saturating_sub(1)
            ));
        }
        is_proved = is_proved && checked.faults.is_empty();
        if is_proved && let (Ok(report), Some((first, last))) = (&report, range) {
            let signed = signed_events(&path, report).map_err(disk("read its events"))?;
            checked.proved = if signed == 0 { checked.proved } else { (first + signed - 1).min(last) };
            is_proved = report.unsigned() == 0;
        }
        let last = range.map(|(_, last)| last).or(before.and_then(|(_, _, last)| last));
        before = Some((number, tail, last));
        checked.segments.push(SegmentReport { number, report, continues, range, faults });
    }
    Ok(checked)
}

fn one(path: &Path, expected: &Expected) -> Result<Box<Report>, String> {
    let file =
        disk::open(&path.join(FILE), false).map_err(|error| format!("the chain cannot be read: {error}"))?;
    let report =
        drawbridge_chain::verify(BufReader::new(file), &mut FolderTracks::new(path.to_owned()), expected);
    report.map(Box::new).map_err(|fault| fault.to_string())
}

/// The first and the last number of a segment's events, and what is wrong with them by themselves.
type Events = (Option<(u64, u64)>, Vec<String>);

fn events(path: &Path, report: Option<&Report>) -> io::Result<Events> {
    let mut faults = Vec::new();
    let mut fault = |text: String| {
        if faults.len() < 16 {
            faults.push(text);
        }
    };
    let file = match disk::open(&path.join(EVENTS), false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((None, vec!["the file of events is not there".to_owned()]));
        }
        Err(error) => return Err(error),
    };
    let name = TrackName::new(EVENTS).ok();
    // Of a broken one all that can be read is looked at.
    let report = report.filter(|report| report.verdict != Verdict::Broken);
    let sealed =
        report.and_then(|report| name.and_then(|name| report.tracks.get(&name).map(|track| track.bytes)));
    let mut reader = BufReader::new(file.take(sealed.unwrap_or(u64::MAX)));
    let mut range: Option<(u64, u64)> = None;
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let most = u64::try_from(crate::event::LINE_BYTES).unwrap_or(0) + 2;
        if (&mut reader).take(most).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let entry = line.strip_suffix(b"\n").and_then(|line| Entry::parse(line).ok());
        let Some(entry) = entry else {
            fault(format!("line {number} of its events cannot be read"));
            continue;
        };
        let sequence = entry.sequence();
        if let Some((_, last)) = range
            && last.checked_add(1) != Some(sequence)
        {
            fault(format!("event {sequence} stands after event {last}"));
        }
        range = Some(range.map_or((sequence, sequence), |(first, _)| (first, sequence)));
    }
    Ok((range, faults))
}

/// So many events lie in the blocks that a right signature stands for.
fn signed_events(path: &Path, report: &Report) -> io::Result<u64> {
    let file = disk::open(&path.join(FILE), false)?;
    let mut lines = drawbridge_chain::LineReader::new(BufReader::new(file));
    let proved = report.proved();
    let mut bytes = 0;
    while let Ok(Some(line)) = lines.next_line() {
        if let Ok(drawbridge_chain::Line::Block(block)) = drawbridge_chain::Line::parse(line)
            && block.number <= proved
        {
            bytes = block.offset + block.length;
        }
    }
    let events = disk::open(&path.join(EVENTS), false)?;
    let mut reader = BufReader::new(events.take(bytes));
    let mut count = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(count);
        }
        let length = buffer.len();
        count += buffer.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        reader.consume(length);
    }
}
