//! The one-time question that an appliance asks the vendor while nobody else can say who its administrator is; it proves
//! nothing by itself.
//!
//! The serial number and the purpose travel in the text, so that whoever answers sees for what. A challenge is
//!
//! ```text
//! nonce, 16 bytes ‖ purpose, 1 byte ‖ serial number, 1 to 64 bytes
//! ```
//!
//! and, as text, groups of five characters: `C….-…..-…..`. The same text is what the QR code holds.

use crate::armour::{self, Kind, TextFault};
use crate::text::Serial;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use std::fmt;

const NONCE: usize = 16;

/// What a challenge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// To log in at the console.
    Login,
    /// To open a support session.
    Grant,
}

impl Purpose {
    fn byte(self) -> u8 {
        match self {
            Self::Login => 1,
            Self::Grant => 2,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Login => "login at the console",
            Self::Grant => "opening a support session",
        })
    }
}

/// The kernel gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel gives no random numbers: try again, and restart the appliance if it stays")]
pub struct NoRandomness;

pub(crate) fn random<const BYTES: usize>() -> Result<[u8; BYTES], NoRandomness> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub(crate) nonce: [u8; NONCE],
    purpose: Purpose,
    serial: Serial,
}

impl Challenge {
    /// A new one.
    pub fn new(purpose: Purpose, serial: Serial) -> Result<Self, NoRandomness> {
        Ok(Self { nonce: random()?, purpose, serial })
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Which system asks.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// As people copy, read out and type it.
    pub fn text(&self) -> String {
        armour::line(Kind::Challenge, &self.to_bytes())
    }

    /// Reads such a text, forgiving small letters, blanks, line ends and letters for the digits they look like.
    pub fn parse(text: &str) -> Result<Self, TextFault> {
        Self::from_bytes(&armour::read(Kind::Challenge, text)?).ok_or(TextFault::Content(Kind::Challenge))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [&self.nonce, &[self.purpose.byte()][..], self.serial.as_str().as_bytes()].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (nonce, rest) = bytes.split_first_chunk()?;
        let (purpose, serial) = rest.split_first()?;
        let purpose = [Purpose::Login, Purpose::Grant].into_iter().find(|one| one.byte() == *purpose)?;
        let serial = Serial::new(std::str::from_utf8(serial).ok()?).ok()?;
        Some(Self { nonce: *nonce, purpose, serial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_short_unlike_any_other_and_comes_back_from_its_text() {
        let new = || Challenge::new(Purpose::Login, Serial::new("IBOX-1234-0001").unwrap()).unwrap();
        let challenge = new();
        let text = challenge.text();
        assert!(text.len() <= 72, "{text}");
        assert_ne!(new().text(), text);
        for way in [text.clone(), text.to_lowercase(), text.replace('-', " \r\n"), text.replace('-', "")] {
            assert_eq!(Challenge::parse(&way), Ok(challenge.clone()), "{way}");
        }
        // Whatever is in a text goes into a QR code, as capitals and digits do best.
        assert!(crate::qr::squares(&text).unwrap().len() <= 41);
    }

    #[test]
    fn the_longest_serial_number_has_its_challenge() {
        let serial = Serial::new("~".repeat(64)).unwrap();
        let challenge = Challenge::new(Purpose::Grant, serial).unwrap();
        assert_eq!(Challenge::parse(&challenge.text()), Ok(challenge.clone()));
        crate::qr::squares(&challenge.text()).unwrap();
    }

    #[test]
    fn bytes_that_are_no_challenge_are_refused() {
        let good = Challenge::new(Purpose::Login, Serial::new("A").unwrap()).unwrap().to_bytes();
        for wrong in
            [&good[..17], &good[..3], &[&good[..16], &[3, b'A']].concat(), &[&good[..], b" "].concat()]
        {
            assert_eq!(Challenge::from_bytes(wrong), None);
        }
    }
}
