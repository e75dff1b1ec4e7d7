//! What a person is known to the array by, as types that were checked. None of it is shown, and what is secret is wiped.

use std::fmt;
use zeroize::Zeroizing;

/// The most characters of a user's name.
pub const NAME_CHARACTERS: usize = 128;
/// The most bytes of a password.
pub const PASSWORD_BYTES: usize = 256;
/// The most bytes of a session's token.
pub const TOKEN_BYTES: usize = 256;
/// What somebody types as the password who came to the array by single sign-on, and has none.
pub const SSO: &str = "SSO";

/// Why something cannot be what it was given as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The user's name.
    #[error("a user's name has 1 to {NAME_CHARACTERS} characters, and no control characters: type it again")]
    Name,
    /// The password.
    #[error("a password has 1 to {PASSWORD_BYTES} bytes: type it again")]
    Password,
    /// The token.
    #[error("this is no token of a session of the array's: open this page from the array's own pages again")]
    Token,
}

/// A user's name at the array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// Takes one of 1 to 128 characters.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let fits =
            (1..=NAME_CHARACTERS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned())).ok_or(CredentialError::Name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A password. Shown nowhere, and wiped when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes one of 1 to 256 bytes.
    pub fn parse(text: Zeroizing<String>) -> Result<Self, CredentialError> {
        if (1..=PASSWORD_BYTES).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(CredentialError::Password)
        }
    }

    /// Whether it stands for a session that single sign-on has made ([`SSO`]).
    pub fn is_sso(&self) -> bool {
        *self.0 == SSO
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Password(not shown)")
    }
}

/// A session of the array's: the value of its cookie. Shown nowhere, and wiped when dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Takes one of 1 to 256 bytes that may stand in a cookie (RFC 6265, section 4.1.1).
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let octet = |byte: u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
        let fits = (1..=TOKEN_BYTES).contains(&text.len()) && text.bytes().all(octet);
        fits.then(|| Self(Zeroizing::new(text.to_owned()))).ok_or(CredentialError::Token)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Token(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Result<Password, CredentialError> {
        Password::parse(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn names_passwords_and_tokens_have_their_bounds() {
        assert!(UserName::parse(&"ä".repeat(128)).is_ok() && UserName::parse("domain\\anna").is_ok());
        for name in ["", "a\nb", "a\0", &"a".repeat(129)] {
            assert_eq!(UserName::parse(name), Err(CredentialError::Name));
        }
        assert!(password(&"p".repeat(256)).is_ok() && password(&"p".repeat(257)).is_err());
        assert!(password("").is_err());
        assert!(Token::parse("1A2b-._~").is_ok());
        for token in ["", "a b", "a;b", "a\r\nb", "a\"", "ä", &"a".repeat(257)] {
            assert!(Token::parse(token).is_err(), "{token:?}");
        }
    }

    #[test]
    fn no_secret_is_shown_by_debug() {
        let shown = format!("{:?} {:?}", password("correct").unwrap(), Token::parse("correct").unwrap());
        assert!(!shown.contains("correct"), "{shown}");
    }
}
