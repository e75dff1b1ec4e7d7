//! A path of an engineer's, from the root of the grant's folder, made of names that can be nothing but names. It never looks at a
//! file.

use std::fmt;

/// The longest path, in bytes (`PATH_MAX` of Linux).
pub const PATH_BYTES: usize = 4096;
/// The longest name, in bytes (`NAME_MAX` of Linux).
pub const NAME_BYTES: usize = 255;
/// The most names of a path: each costs a look at a folder.
pub const NAMES_MOST: usize = 64;

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It has a zero byte in it.
    #[error("the path has a zero byte in it")]
    Zero,
    /// It, or a name in it, is too long.
    #[error("the path is too long: at most {NAMES_MOST} folders deep, names of at most {NAME_BYTES} bytes")]
    TooLong,
}

/// A path below the root. No name is empty, `.` or `..`, or has a slash or a zero byte in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SafePath {
    names: Vec<Vec<u8>>,
}

impl SafePath {
    /// Takes what was typed or sent, seen from the root: a leading slash makes no difference, `..` leads to the root at most.
    pub fn parse(path: &[u8]) -> Result<Self, PathError> {
        if path.contains(&0) {
            return Err(PathError::Zero);
        }
        if path.len() > PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let names = steps(path);
        if names.len() > NAMES_MOST || names.iter().any(|name| name.len() > NAME_BYTES) {
            return Err(PathError::TooLong);
        }
        Ok(Self { names: names.into_iter().map(<[u8]>::to_vec).collect() })
    }

    /// Its names from the root on; none: the root itself.
    pub fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    /// The folder it is in, and its name there; none for the root.
    pub fn split(&self) -> Option<(&[Vec<u8>], &[u8])> {
        self.names.split_last().map(|(last, folder)| (folder, last.as_slice()))
    }

    /// One name further down, if it is one.
    pub fn join(&self, name: &[u8]) -> Option<Self> {
        if !is_name(name) || self.names.len() >= NAMES_MOST {
            return None;
        }
        let mut names = self.names.clone();
        names.push(name.to_vec());
        Some(Self { names })
    }

    /// Whether `other` is this or below it.
    pub fn holds(&self, other: &Self) -> bool {
        other.names.starts_with(&self.names)
    }

    /// As it is sent: `/`, `/a/b`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in &self.names {
            bytes.push(b'/');
            bytes.extend_from_slice(name);
        }
        if bytes.is_empty() { b"/".to_vec() } else { bytes }
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// The names that a path leads through, seen from the root.
pub(crate) fn steps(path: &[u8]) -> Vec<&[u8]> {
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names
}

/// Whether these bytes can be the name of a file and nothing else.
pub fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= NAME_BYTES
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> String {
        SafePath::parse(path.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn no_path_leads_out_of_the_root() {
        for (path, is) in [
            ("", "/"),
            (".", "/"),
            ("..", "/"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("a//b/./c/", "/a/b/c"),
            ("a/../../b", "/b"),
            ("a/b/..", "/a"),
            ("...", "/..."),
        ] {
            assert_eq!(normal(path), is, "{path}");
        }
    }

    #[test]
    fn zero_bytes_and_lengths_without_end_are_refused() {
        assert_eq!(SafePath::parse(b"a\0b"), Err(PathError::Zero));
        assert_eq!(SafePath::parse(&[b'a'; NAME_BYTES + 1]), Err(PathError::TooLong));
        assert_eq!(SafePath::parse("a/".repeat(NAMES_MOST + 1).as_bytes()), Err(PathError::TooLong));
        assert!(SafePath::default().join(b"..").is_none() && SafePath::default().join(b"a/b").is_none());
    }
}
