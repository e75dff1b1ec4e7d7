//! A host's name as it may be asked for (RFC 1035, section 2.3.4; RFC 1123, section 2.1). It never holds anything but ASCII.

use std::fmt;

/// Longest name, without the final dot: 255 octets on the wire are 253 characters.
const NAME_CHARACTERS: usize = 253;
/// Longest part between dots.
const LABEL_CHARACTERS: usize = 63;

/// Why a text is no host's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing.
    #[error("the name is empty: give a name such as host.example.com, or an address")]
    Empty,
    /// It is too long.
    #[error("the name has {0} characters: a name has at most 253")]
    Long(usize),
    /// A part is empty.
    #[error("the name has two dots in a row or begins with one: remove one")]
    EmptyLabel,
    /// A part is too long.
    #[error("a part of the name has {0} characters: between two dots there are at most 63")]
    LongLabel(usize),
    /// A part begins or ends with a hyphen.
    #[error("a part of the name begins or ends with a hyphen: a hyphen stands inside only")]
    Hyphen,
    /// A character beyond ASCII.
    #[error(
        "the name has a letter beyond a to z: write such a name in its ASCII form, which begins with xn--"
    )]
    NotAscii,
    /// Another character.
    #[error(
        "the name has a character that no host's name has ({0:?}): letters, digits and hyphens only, parted by dots"
    )]
    Character(char),
    /// The last part is a number.
    #[error(
        "this is neither an address nor a name: an IPv4 address has four numbers from 0 to 255, and the last part of a \
         name is no number"
    )]
    LikeAddress,
}

/// A host's name: ASCII letters in lower case, digits and hyphens, parted by dots, without the final dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

impl HostName {
    /// Reads a name. One final dot is accepted and dropped.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if !text.is_ascii() {
            return Err(NameError::NotAscii);
        }
        if text.len() > NAME_CHARACTERS {
            return Err(NameError::Long(text.len()));
        }
        for label in text.split('.') {
            if label.is_empty() {
                return Err(NameError::EmptyLabel);
            }
            if let Some(other) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
                return Err(NameError::Character(other));
            }
            if label.len() > LABEL_CHARACTERS {
                return Err(NameError::LongLabel(label.len()));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(NameError::Hyphen);
            }
        }
        if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(NameError::LikeAddress);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name as text, without the final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name has one part only.
    pub(crate) fn is_single(&self) -> bool {
        !self.0.contains('.')
    }

    /// Whether the name means the appliance itself (RFC 6761, section 6.3).
    pub(crate) fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }

    /// The name below a domain, if that is not too long.
    pub(crate) fn below(&self, domain: &HostName) -> Option<Self> {
        let joined = format!("{}.{}", self.0, domain.0);
        (joined.len() <= NAME_CHARACTERS).then_some(Self(joined))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_taken_in_lower_case_and_without_the_final_dot() {
        for (given, taken) in [
            ("host", "host"),
            ("Host.Example.COM.", "host.example.com"),
            ("3com.example", "3com.example"),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
            ("10.in-addr.arpa", "10.in-addr.arpa"),
        ] {
            assert_eq!(HostName::parse(given).unwrap().as_str(), taken);
        }
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert_eq!(HostName::parse(&longest).unwrap().as_str(), longest);
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let label = "a".repeat(64);
        let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(62));
        for (given, error) in [
            ("", NameError::Empty),
            (".", NameError::Empty),
            ("..", NameError::EmptyLabel),
            (".example", NameError::EmptyLabel),
            ("a..b", NameError::EmptyLabel),
            ("münchen.example", NameError::NotAscii),
            (label.as_str(), NameError::LongLabel(64)),
            (long.as_str(), NameError::Long(254)),
            ("-a.example", NameError::Hyphen),
            ("a-.example", NameError::Hyphen),
            ("a b", NameError::Character(' ')),
            ("a_b.example", NameError::Character('_')),
            ("a\0b", NameError::Character('\0')),
            ("a/b", NameError::Character('/')),
            ("256.1.1.1", NameError::LikeAddress),
            ("10.0.0", NameError::LikeAddress),
            ("2001", NameError::LikeAddress),
        ] {
            assert_eq!(HostName::parse(given), Err(error), "{given:?}");
        }
    }
}
