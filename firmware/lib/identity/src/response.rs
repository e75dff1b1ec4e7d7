//! The vendor's signed answer to a challenge, with who gives it, why and for how long; it does not say whether the challenge
//! is still open, which is the desk's to know.

use crate::armour::{self, Kind, TextFault};
use crate::challenge::Challenge;
use crate::text::Line;
use crate::vendor::{SignatureFault, Signed, VendorKey, VendorKeys};
use serde::{Deserialize, Serialize};

/// What the signature is for.
pub(crate) const CONTEXT: &str = "drawbridge challenge v1";

/// How long what is answered may last: 1 to `MOST` minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Minutes<const MOST: u16>(u16);

/// No such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given} minutes cannot be given: say 1 to {most}")]
pub struct MinutesFault {
    given: u16,
    most: u16,
}

impl<const MOST: u16> Minutes<MOST> {
    /// Takes a number of minutes.
    pub fn new(minutes: u16) -> Result<Self, MinutesFault> {
        if (1..=MOST).contains(&minutes) {
            Ok(Self(minutes))
        } else {
            Err(MinutesFault { given: minutes, most: MOST })
        }
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl<const MOST: u16> TryFrom<u16> for Minutes<MOST> {
    type Error = MinutesFault;

    fn try_from(minutes: u16) -> Result<Self, MinutesFault> {
        Self::new(minutes)
    }
}

impl<const MOST: u16> From<Minutes<MOST>> for u16 {
    fn from(minutes: Minutes<MOST>) -> Self {
        minutes.0
    }
}

/// What the one who answers says, which is signed with the answer and goes into the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who answers.
    pub who: Line<64>,
    /// Why.
    pub reason: Line<200>,
    /// How long the login may last: eight hours at most.
    pub minutes: Minutes<480>,
    /// When it was answered by the answerer's clock, in seconds since 1970. For the log: no clock here has to agree.
    pub issued: u64,
}

/// An answer whose signature nobody has looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    challenge: Challenge,
    claims: Claims,
    signed: Signed,
}

impl Response {
    /// Reads the text, whatever a mail program put around it.
    pub fn parse(text: &str) -> Result<Self, TextFault> {
        let bytes = armour::read(Kind::Response, text)?;
        Self::from_bytes(&bytes).ok_or(TextFault::Content(Kind::Response))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let signed = Signed::from_bytes(bytes, 2)?;
        let [challenge, claims] = signed.parts.as_slice() else { return None };
        let challenge = Challenge::from_bytes(challenge)?;
        let (claims, rest) = postcard::take_from_bytes::<Claims>(claims).ok()?;
        rest.is_empty().then_some(Self { challenge, claims, signed })
    }

    pub(crate) fn parts(challenge: &Challenge, claims: &Claims) -> Vec<Vec<u8>> {
        // Claims are bounded, and a vector takes what there is.
        vec![challenge.to_bytes(), postcard::to_stdvec(claims).unwrap_or_default()]
    }

    pub(crate) fn text(signed: &Signed) -> String {
        armour::block(Kind::Response, &signed.to_bytes())
    }

    /// The challenge that is answered.
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    pub(crate) fn verify<'a>(&self, keys: &'a VendorKeys) -> Result<&'a VendorKey, SignatureFault> {
        keys.verify(CONTEXT, &self.signed)
    }

    /// What is claimed, which counts only after the signature was found right.
    pub(crate) fn into_claims(self) -> Claims {
        self.claims
    }
}
