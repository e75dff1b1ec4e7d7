//! What can be wrong with an uploaded certificate, as sentences; it never holds anything of a private key.

use crate::facts::KeyKind;

/// What is wrong; its text is stable, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// More than 64 KiB.
    TooLong,
    /// No PEM text: DER or PKCS#12, say.
    NotPem,
    /// Something in the text is damaged.
    DamagedText,
    /// A kind of block that does not belong here.
    ForeignBlock,
    /// There is no private key.
    NoKey,
    /// There are several.
    SeveralKeys,
    /// The key is encrypted.
    EncryptedKey,
    /// The key is of a kind or size that cannot be used.
    UnsupportedKey,
    /// The key is damaged.
    DamagedKey,
    /// There is no certificate.
    NoCertificate,
    /// There are more than 16.
    ManyCertificates,
    /// A certificate cannot be read.
    DamagedCertificate,
    /// The key is of no certificate here.
    KeyMismatch,
    /// A certificate is not valid yet.
    NotYetValid,
    /// A certificate is not valid any more.
    Expired,
    /// The certificate is for another name.
    NameMismatch,
    /// The certificate is a certificate authority's.
    LeafIsAuthority,
    /// The certificate may not be used by a server.
    NotForServers,
    /// A key is too weak.
    WeakKey,
    /// A signature is by a digest that can be forged.
    WeakSignature,
    /// A signature is wrong.
    WrongSignature,
    /// A certificate in the chain is by none that may sign any.
    IssuerIsNoAuthority,
    /// A link of the chain is missing.
    ChainGap,
    /// A certificate does not belong to the chain.
    Stranger,
    /// TLS does not take it for another reason.
    Unservable,
}

impl Code {
    /// The stable text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::NotPem => "not-pem",
            Self::DamagedText => "damaged-text",
            Self::ForeignBlock => "foreign-block",
            Self::NoKey => "no-key",
            Self::SeveralKeys => "several-keys",
            Self::EncryptedKey => "encrypted-key",
            Self::UnsupportedKey => "unsupported-key",
            Self::DamagedKey => "damaged-key",
            Self::NoCertificate => "no-certificate",
            Self::ManyCertificates => "many-certificates",
            Self::DamagedCertificate => "damaged-certificate",
            Self::KeyMismatch => "key-mismatch",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::NameMismatch => "name-mismatch",
            Self::LeafIsAuthority => "leaf-is-authority",
            Self::NotForServers => "not-for-servers",
            Self::WeakKey => "weak-key",
            Self::WeakSignature => "weak-signature",
            Self::WrongSignature => "wrong-signature",
            Self::IssuerIsNoAuthority => "issuer-is-no-authority",
            Self::ChainGap => "chain-gap",
            Self::Stranger => "stranger",
            Self::Unservable => "unservable",
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub code: Code,
    /// What is wrong, as a sentence.
    pub sentence: String,
    /// What to do, as a sentence.
    pub remedy: String,
}

impl Fault {
    pub(super) fn new(code: Code, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into(), remedy: remedy.into() }
    }

    pub(super) fn unsupported_key(kind: KeyKind) -> Self {
        const TAKEN: &str =
            "Make one that is RSA with 2048 to 4096 bits or EC on P-256 or P-384, and a certificate for it.";
        match kind {
            KeyKind::Rsa(bits) if bits < 2048 => Self::new(
                Code::WeakKey,
                format!("The key is RSA with {bits} bits, which can be broken."),
                TAKEN,
            ),
            KeyKind::Ed25519 | KeyKind::Ed448 => Self::new(
                Code::UnsupportedKey,
                format!("The key is {kind}, which browsers do not take from a server."),
                TAKEN,
            ),
            kind => Self::new(
                Code::UnsupportedKey,
                format!("The key is {kind}, which cannot be used here."),
                TAKEN,
            ),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.sentence, self.remedy)
    }
}
