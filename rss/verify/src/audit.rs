//! An audit: segments that continue each other, each a chain of its own. It looks at every one, and at the joints between them.

use crate::place;
use crate::source::Source;
use crate::words;
use drawbridge_chain::{Expected, FILE, Hash, Header, Line, LineReader, Verdict, verify};
use drawbridge_recording::Files;
use std::io::{self, BufReader};

/// What the whole comes to.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    /// Segments.
    pub(crate) segments: usize,
    /// Something is wrong with one, or with the joint before one.
    pub(crate) is_broken: bool,
    /// The end of the last one has no signature.
    pub(crate) is_unsigned: bool,
    /// The last one ended: another was begun after it, which is not here.
    pub(crate) has_ended: bool,
    /// The hash of the last line of all.
    pub(crate) head: Option<Hash>,
}

/// Verifies segments, which are in their order.
pub(crate) fn run(
    segments: Vec<(u32, Source)>,
    expected: &Expected,
    out: &mut Vec<u8>,
) -> Result<Sum, String> {
    let mut sum = Sum { segments: segments.len(), ..Sum::default() };
    let mut before: Option<(u32, Option<Hash>)> = None;
    let last = segments.len();
    for (index, (number, mut source)) in segments.into_iter().enumerate() {
        let place = |error: &dyn std::fmt::Display| format!("segment {number}: {error}");
        let chain = Files::open(&source, FILE).map_err(|error| place(&error))?;
        let chain = chain.ok_or_else(|| place(&format!("there is no {FILE} in it")))?;
        let report = verify(BufReader::new(chain), &mut source, expected).map_err(|error| place(&error))?;
        words::segment(number, &report, out);
        for wrong in &report.breaks {
            words::wrong(wrong, place::find(wrong, &report, &source).as_ref(), out);
        }
        sum.is_broken |= report.verdict == Verdict::Broken;
        if let Some((other, end)) = before
            && !continues(&report.header, number, other, end)
        {
            words::joint(number, other, out);
            sum.is_broken = true;
        }
        let end = end(&source).map_err(|error| place(&error))?;
        if index + 1 == last {
            sum.has_ended = end.is_some();
            sum.is_unsigned = match report.verdict {
                Verdict::Unfinished => report.unsigned() > 0 || report.beyond > 0,
                _ => false,
            };
            sum.head = Some(report.head);
        } else if end.is_none() && report.verdict != Verdict::Broken {
            // The one after it begins with the last line that was there, and says why.
            words::not_ended(number, out);
        }
        before = Some((number, end.or(Some(report.head))));
        words::proof(&report, out);
    }
    Ok(sum)
}

fn continues(header: &Header, number: u32, before: u32, end: Option<Hash>) -> bool {
    before.checked_add(1) == Some(number) && header.link.is_some() && header.link == end
}

/// The hash of the line that ends a chain; none where it has not ended.
fn end(source: &Source) -> io::Result<Option<Hash>> {
    let Some(chain) = Files::open(source, FILE)? else { return Ok(None) };
    let mut lines = LineReader::new(BufReader::new(chain));
    let mut end = None;
    while let Ok(Some(line)) = lines.next_line() {
        if let Ok(Line::Mark(mark)) = Line::parse(line)
            && mark.end.is_some()
        {
            end = Some(Hash::of(line));
        }
    }
    Ok(end)
}
