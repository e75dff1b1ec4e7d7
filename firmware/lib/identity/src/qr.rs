//! A text as a QR code: which squares are dark; it never draws.

use qrcode::{Color, EcLevel, QrCode};

/// The longest text, in bytes: at most 109 squares a side, which a telephone still reads from a screen.
const LONGEST: usize = 700;

/// There is no code: the text is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is too long for a QR code: copy it instead")]
pub struct TooLong;

/// The rows of the code from the top, `true` for a dark square. The quiet zone of four light squares on each side (ISO/IEC
/// 18004, section 6.3.8) is for the one who draws it. The error correction is level M: 15 % of it may be unreadable.
pub fn squares(text: &str) -> Result<Vec<Vec<bool>>, TooLong> {
    if text.len() > LONGEST {
        return Err(TooLong);
    }
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| TooLong)?;
    let side = code.width();
    Ok(code
        .to_colors()
        .chunks(side)
        .map(|row| row.iter().map(|square| *square == Color::Dark).collect())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_square_and_has_its_three_marks() {
        let rows = squares("C0000-00000").unwrap();
        let side = rows.len();
        assert!(rows.iter().all(|row| row.len() == side));
        // The ring of each finder pattern, seven squares a side.
        for (top, left) in [(0, 0), (0, side - 7), (side - 7, 0)] {
            assert!((0..7).all(|step| rows[top][left + step] && rows[top + step][left]));
            assert!((1..6).all(|step| !rows[top + 1][left + step]));
        }
    }

    #[test]
    fn the_longest_text_has_a_code_and_longer_ones_are_refused() {
        assert!(squares(&"a".repeat(LONGEST)).unwrap().len() <= 109);
        assert_eq!(squares(&"a".repeat(LONGEST + 1)), Err(TooLong));
    }

    #[test]
    fn a_reader_of_codes_reads_the_text() {
        use std::fmt::Write as _;
        let serial = crate::Serial::new("IBOX-1234-0001").unwrap();
        let challenge = crate::challenge::Challenge::new(crate::challenge::Purpose::Login, serial).unwrap();
        let rows = squares(&challenge.text()).unwrap();
        // A portable bitmap (pbm(5)), five dots a square and with its quiet zone.
        let side = (rows.len() + 8) * 5;
        let mut image = format!("P1\n{side} {side}\n");
        for y in 0..side {
            for x in 0..side {
                let square = |at: usize| (at / 5).checked_sub(4);
                let is_dark = square(y).zip(square(x)).and_then(|(row, column)| rows.get(row)?.get(column));
                let _ = write!(image, "{} ", u8::from(is_dark.copied().unwrap_or_default()));
            }
            image.push('\n');
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.pbm");
        std::fs::write(&path, image).unwrap();
        let words = ["--quiet", "--raw", "--nodbus"];
        let read = std::process::Command::new("zbarimg").args(words).arg(&path).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), challenge.text());
    }
}
