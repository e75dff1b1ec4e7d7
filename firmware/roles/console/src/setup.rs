//! The set-up code: it is shown to whoever stands at the machine, and lets him say which array it belongs to. It is never written
//! down.

use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;

/// Digits and letters that are not taken for each other (Crockford's base32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 40 bits: at ten tries a minute and source, and thirty in all, nobody guesses it.
const LETTERS: usize = 8;

/// A code, which is another each time that the role is started.
pub(crate) struct SetupCode([u8; LETTERS]);

impl SetupCode {
    /// A new one; none when the system has no random bytes.
    pub(crate) fn new() -> Option<Self> {
        let mut bytes = [0; LETTERS];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(bytes.map(|byte| ALPHABET[usize::from(byte & 31)])))
    }

    /// Whether this is it, as people type it: in small letters, with blanks and dashes, O for 0 and I or L for 1.
    pub(crate) fn is(&self, typed: &str) -> bool {
        let typed: Vec<u8> = typed
            .bytes()
            .filter(|byte| !matches!(byte, b' ' | b'-'))
            .take(LETTERS + 1)
            .map(|byte| match byte.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            })
            .collect();
        self.0.ct_eq(typed.as_slice()).into()
    }

    /// For the screen: `7K3P-2QXD`.
    pub(crate) fn text(&self) -> String {
        let (one, two) = self.0.split_at(LETTERS / 2);
        format!("{}-{}", String::from_utf8_lossy(one), String::from_utf8_lossy(two))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_taken_as_people_type_it_and_no_other_is() {
        let code = SetupCode(*b"01ABCDEF");
        assert_eq!(code.text(), "01AB-CDEF");
        for right in ["01AB-CDEF", "01abcdef", " o l a b c d e f ", "OIAB CDEF"] {
            assert!(code.is(right), "{right}");
        }
        for wrong in ["", "01ABCDE", "01ABCDEFF", "01ABCDEG", "01AB-CDEF-01AB-CDEF"] {
            assert!(!code.is(wrong), "{wrong}");
        }
        let one = SetupCode::new().unwrap();
        assert!(one.is(&one.text()) && !one.is(&SetupCode::new().unwrap().text()));
    }
}
