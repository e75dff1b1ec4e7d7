//! Says whether a recording or an audit is as the appliance sealed it, and where not: for the program `verify`, and for whoever keeps
//! recordings. It needs no network, changes nothing, and shows nothing of what it reads but what it is, who came in, and the places of
//! breaks; what is encrypted it writes in the clear where the customer's key is given, and only there.

mod audit;
mod identity;
mod opening;
mod place;
mod source;
mod words;

pub use identity::{AGE_FILE_BYTES, Identity, IdentityFault};
pub use opening::{Key, OpeningFault, open};
pub use source::Source;

use drawbridge_chain::{Expected, FILE, Verdict};
use drawbridge_recording::Files;
use std::io::BufReader;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Everything is as it was sealed, and the end is signed.
    Whole,
    /// What is there is as it was sealed, but its end is not signed.
    Unfinished,
    /// Something is wrong.
    Broken,
}

/// Looks through it and says in words what was found. The error says, as a sentence, why it could not be looked at.
pub fn check(source: &mut Source, expected: &Expected, out: &mut Vec<u8>) -> Result<Found, String> {
    let chain = Files::open(source, FILE).map_err(|error| format!("{FILE} cannot be read: {error}"))?;
    let chain = chain.ok_or_else(|| {
        format!(
            "there is no {FILE} in it: give the folder of one recording or of an audit, or an uncompressed tar file of it"
        )
    })?;
    let report = drawbridge_chain::verify(BufReader::new(chain), source, expected)
        .map_err(|error| error.to_string())?;
    words::head(&report, source, out);
    for wrong in &report.breaks {
        words::wrong(wrong, place::find(wrong, &report, source).as_ref(), out);
    }
    words::verdict(&report, out);
    Ok(match report.verdict {
        Verdict::Whole { .. } => Found::Whole,
        Verdict::Unfinished => Found::Unfinished,
        Verdict::Broken => Found::Broken,
    })
}

/// [`check`], of an audit, by its segments in their order ([`Source::segments`]).
pub fn check_audit(
    segments: Vec<(u32, Source)>,
    expected: &Expected,
    out: &mut Vec<u8>,
) -> Result<Found, String> {
    let sum = audit::run(segments, expected, out)?;
    words::audit(&sum, out);
    Ok(match (sum.is_broken, sum.is_unsigned) {
        (true, _) => Found::Broken,
        (false, true) => Found::Unfinished,
        (false, false) => Found::Whole,
    })
}
