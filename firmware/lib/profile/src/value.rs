//! The types of single values: a file's name, a mail address. They never look at a disk or a mail server.

use drawbridge_settings::network::DomainName;
use std::fmt;

/// A name for a file that every system takes: letters, digits and `._-`, 1 to 64, beginning with a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(String);

/// The longest name of a file, in characters.
const NAME_MOST: usize = 64;

impl FileName {
    /// Takes a name; none when it is no such name.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=NAME_MOST).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        fits.then(|| Self(text.to_owned()))
    }

    /// A name that stands in the source.
    pub(crate) fn plain(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(&self.0)
    }
}

/// A mail address whose local part is a dot-atom (RFC 5321, section 4.1.2): `local@domain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox(String);

/// The longest local part (RFC 5321, section 4.5.3.1.1).
const LOCAL_MOST: usize = 64;

impl Mailbox {
    /// Takes an address; none when it is no such address.
    pub fn new(text: &str) -> Option<Self> {
        let (local, domain) = text.split_once('@')?;
        let is_atom = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
        };
        let fits = local.len() <= LOCAL_MOST && local.split('.').all(is_atom) && domain.contains('.');
        (fits && domain.parse::<DomainName>().is_ok()).then(|| Self(text.to_owned()))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
