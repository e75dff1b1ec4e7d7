//! A terminal's recording as an asciicast (version 2), which players in browsers take; it carries no typed text and no title.
//!
//! The format: a header line, then lines `[seconds, "o", data]` and, for sizes, `[seconds, "r", "COLUMNSxROWS"]`
//! (docs.asciinema.org, "asciicast v2").

use crate::ttyrec::{FrameFault, FrameReader, Size};
use std::io::{self, Read, Write};
use std::time::Duration;

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum CastFault {
    /// The recording.
    #[error(transparent)]
    Frame(#[from] FrameFault),
    /// What it is written to.
    #[error("the export cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes all frames. What is no UTF-8 becomes U+FFFD.
pub fn export<R: Read>(frames: &mut FrameReader<R>, mut to: impl Write) -> Result<(), CastFault> {
    let mut begun: Option<Duration> = None;
    let mut is_first = true;
    // The beginning of a character whose end is in the next frame: three bytes at most.
    let mut pending: Vec<u8> = Vec::new();
    while let Some(frame) = frames.next_frame()? {
        let size = Size::announced(&frame.data);
        let start = *begun.get_or_insert(frame.time);
        if is_first {
            is_first = false;
            let shown = size.unwrap_or(Size::clamped(24, 80));
            let (columns, rows, seconds) = (shown.columns(), shown.rows(), start.as_secs());
            writeln!(
                to,
                "{{\"version\": 2, \"width\": {columns}, \"height\": {rows}, \"timestamp\": {seconds}}}"
            )?;
            if size.is_some() {
                continue;
            }
        }
        let after = frame.time.saturating_sub(start);
        let (kind, text) = if let Some(size) = size {
            ('r', format!("{}x{}", size.columns(), size.rows()))
        } else {
            pending.extend_from_slice(&frame.data);
            ('o', take_text(&mut pending))
        };
        if !text.is_empty() {
            let text = serde_json::Value::String(text);
            writeln!(to, "[{}.{:06}, \"{kind}\", {text}]", after.as_secs(), after.subsec_micros())?;
        }
    }
    Ok(to.flush()?)
}

/// Takes all whole characters. What may yet become one is left.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let whole = match bytes.utf8_chunks().last() {
        Some(chunk) if may_go_on(chunk.invalid()) => bytes.len() - chunk.invalid().len(),
        _ => bytes.len(),
    };
    let rest = bytes.split_off(whole);
    let text = String::from_utf8_lossy(bytes).into_owned();
    *bytes = rest;
    text
}

/// Whether invalid bytes at the end are the beginning of a character (Unicode 15, table 3-7).
fn may_go_on(invalid: &[u8]) -> bool {
    let length = match invalid.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 0,
    };
    invalid.len() < length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ttyrec::encode;

    fn exported(frames: &[(u64, &[u8])]) -> Vec<serde_json::Value> {
        let mut bytes = Vec::new();
        for (millis, data) in frames {
            encode(Duration::from_millis(1_767_225_600_000 + millis), data, &mut bytes);
        }
        let mut out = Vec::new();
        export(&mut FrameReader::new(bytes.as_slice()), &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_recording_becomes_a_cast_with_its_sizes_and_times() {
        let lines = exported(&[
            (0, b"\x1b[8;24;80t"),
            (1500, b"a\x1b[1m\"\\"),
            (2000, b"\x1b[8;50;132t"),
            (2000, "é".as_bytes().split_at(1).0),
            (2001, "é".as_bytes().split_at(1).1),
            (2002, b"\xff\xe2\x82z"),
        ]);
        assert_eq!(
            lines,
            [
                serde_json::json!({"version": 2, "width": 80, "height": 24, "timestamp": 1_767_225_600}),
                serde_json::json!([1.5, "o", "a\u{1b}[1m\"\\"]),
                serde_json::json!([2.0, "r", "132x50"]),
                serde_json::json!([2.001, "o", "é"]),
                serde_json::json!([2.002, "o", "\u{fffd}\u{fffd}z"]),
            ]
        );
    }

    #[test]
    fn a_recording_without_a_size_has_the_usual_one_and_an_empty_one_is_nothing() {
        let lines = exported(&[(0, b"hello")]);
        assert_eq!(lines[0]["width"], 80);
        assert_eq!(lines[1][2], "hello");
        assert!(exported(&[]).is_empty());
    }
}
