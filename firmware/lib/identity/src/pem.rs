//! PEM text to its blocks (RFC 7468, and the older headers of RFC 1421); it never looks into what a block holds.
//!
//! It is more forgiving than the RFC in what editors and mail programs change (blanks, line ends, a byte order mark), and
//! strict in what could hide something: a block that never ends, an end of another name, a block within a block.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// More blocks than anybody needs: sixteen certificates, a key, its parameters, and some to be named as wrong.
const MOST_BLOCKS: usize = 64;

const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One block.
pub(crate) struct Block {
    /// What stands between `BEGIN` and the dashes.
    pub(crate) label: String,
    /// Whether its headers say that it is encrypted (`Proc-Type: 4,ENCRYPTED`).
    pub(crate) encrypted: bool,
    /// What it holds; nothing when it is encrypted.
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Why a text is no PEM. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PemFault {
    /// There are too many blocks.
    Many,
    /// The block that begins in this line has no end.
    Endless(usize),
    /// This line ends a block that did not begin.
    Stray(usize),
    /// The block that begins in this line is not Base64.
    Damaged(usize),
}

/// Reads all blocks. What stands between them is passed over: `openssl` writes descriptions there.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block>, PemFault> {
    let mut blocks = Vec::new();
    let mut open: Option<Open> = None;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        let number = index + 1;
        if let Some(label) = edge(line, "-----BEGIN ") {
            if let Some(open) = open {
                return Err(PemFault::Endless(open.line));
            }
            if blocks.len() == MOST_BLOCKS {
                return Err(PemFault::Many);
            }
            open = Some(Open::new(label, number));
        } else if let Some(label) = edge(line, "-----END ") {
            match open.take() {
                Some(open) if open.label == label => blocks.push(open.close()?),
                Some(open) => return Err(PemFault::Endless(open.line)),
                None => return Err(PemFault::Stray(number)),
            }
        } else if let Some(open) = &mut open {
            open.take(line, text.len());
        }
    }
    match open {
        Some(open) => Err(PemFault::Endless(open.line)),
        None => Ok(blocks),
    }
}

/// The label of a line that begins or ends a block.
fn edge<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}

/// A block that is being read.
struct Open {
    label: String,
    line: usize,
    encrypted: bool,
    in_headers: bool,
    base64: Zeroizing<String>,
}

impl Open {
    fn new(label: &str, line: usize) -> Self {
        Self {
            label: label.to_owned(),
            line,
            encrypted: false,
            in_headers: true,
            base64: Zeroizing::new(String::new()),
        }
    }

    fn take(&mut self, line: &str, most: usize) {
        if self.in_headers && (line.is_empty() || line.contains(':')) {
            self.encrypted |= line.starts_with("Proc-Type:") && line.ends_with("ENCRYPTED");
            return;
        }
        self.in_headers = false;
        // With room for all of it from the start, nothing of a key is left behind in memory when the text grows.
        let room = most.saturating_sub(self.base64.len());
        self.base64.reserve_exact(room);
        for part in line.split_ascii_whitespace() {
            self.base64.push_str(part);
        }
    }

    fn close(self) -> Result<Block, PemFault> {
        let Self { label, line, encrypted, base64, .. } = self;
        let der = if encrypted {
            Zeroizing::default()
        } else {
            Zeroizing::new(FORGIVING.decode(base64.as_bytes()).map_err(|_| PemFault::Damaged(line))?)
        };
        Ok(Block { label, encrypted, der })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_and_mail_programs_change_does_no_harm() {
        let text = "\u{feff}subject=CN = a\r\n  -----BEGIN THING-----\r\n AQID \r\n\tBA==\r\n-----END THING-----\r\nbye";
        let blocks = blocks(text).unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!(
            (blocks.len(), blocks[0].label.as_str(), &blocks[0].der[..]),
            (1, "THING", &[1, 2, 3, 4][..])
        );
    }

    #[test]
    fn an_encrypted_key_is_known_by_its_headers() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID\n\
                    -----END RSA PRIVATE KEY-----\n";
        assert!(blocks(text).unwrap_or_else(|fault| panic!("{fault:?}"))[0].encrypted);
    }

    #[test]
    fn each_kind_of_damage_is_told_with_its_line() {
        let fault = |text: &str| blocks(text).map(|blocks| blocks.len()).unwrap_err();
        assert_eq!(fault("\n-----BEGIN A-----\nAQID\n"), PemFault::Endless(2));
        assert_eq!(fault("-----BEGIN A-----\n-----BEGIN A-----\n"), PemFault::Endless(1));
        assert_eq!(fault("-----BEGIN A-----\n-----END B-----\n"), PemFault::Endless(1));
        assert_eq!(fault("-----END B-----\n"), PemFault::Stray(1));
        assert_eq!(fault("-----BEGIN A-----\n!!!\n-----END A-----\n"), PemFault::Damaged(1));
        assert_eq!(fault(&"-----BEGIN A-----\n-----END A-----\n".repeat(65)), PemFault::Many);
    }
}
