//! A line cut into words as a POSIX shell quotes them (XCU 2.2), and nothing more: no variables, no patterns, no pipes. It never
//! runs anything.

/// The most words of a line.
pub const WORDS_MOST: usize = 1024;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A quote is open at its end.
    #[error("a quote ({0}) is opened and not closed: close it, or write \\{0} for the character itself")]
    Open(char),
    /// A backslash is its last character.
    #[error("the line ends with a backslash that quotes nothing: remove it, or write \\\\")]
    Backslash,
    /// What a POSIX shell would act on, and this one does not.
    #[error("this command line has no {0}: quote the character to use it as it is")]
    Operator(char),
    /// [`WORDS_MOST`]
    #[error("the line has more than {WORDS_MOST} words")]
    TooMany,
}

/// Cuts a line into words. A `#` at the start of a word begins a comment.
pub fn split(line: &str) -> Result<Vec<String>, LineError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => break,
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(char) => word.push(char),
                        None => return Err(LineError::Open('\'')),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        // Within double quotes a backslash quotes these only.
                        Some('\\') => match chars.next() {
                            Some(char @ ('"' | '\\' | '$' | '`')) => word.push(char),
                            Some(char) => word.extend(['\\', char]),
                            None => return Err(LineError::Open('"')),
                        },
                        Some(char) => word.push(char),
                        None => return Err(LineError::Open('"')),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(char) => word.get_or_insert_default().push(char),
                None => return Err(LineError::Backslash),
            },
            // Taken as they are, they would do something else than the engineer means.
            '|' | '&' | ';' | '<' | '>' | '`' => return Err(LineError::Operator(char)),
            char => word.get_or_insert_default().push(char),
        }
        if words.len() > WORDS_MOST {
            return Err(LineError::TooMany);
        }
    }
    words.extend(word);
    if words.len() > WORDS_MOST { Err(LineError::TooMany) } else { Ok(words) }
}

/// A word so that [`split`] gives it back.
pub fn quote(word: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "-_./:@%+,=[]".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The one of `names` that is nearest to what was typed, if one is near: at most two letters are wrong.
pub(crate) fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = typed.chars().take(32).collect();
    names
        .map(|name| (distance(&typed, name), name))
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Letters to insert, remove or change (Levenshtein).
fn distance(typed: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=typed.len()).collect();
    for (line, letter) in name.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, typed) in typed.iter().enumerate() {
            let change = diagonal + usize::from(*typed != letter);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[typed.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_quoted_as_a_posix_shell_does() {
        let words = |line| split(line).unwrap();
        assert_eq!(words("  ls\t-l  a\\ b # all of it"), ["ls", "-l", "a b"]);
        assert_eq!(words(r#"echo 'a "b"' "c 'd' \" \n""#), ["echo", "a \"b\"", "c 'd' \" \\n"]);
        assert_eq!(words(r#"echo '' "\$x" a'b'c"#), ["echo", "", "$x", "abc"]);
        assert_eq!(split("echo 'x"), Err(LineError::Open('\'')));
        assert_eq!(split("echo \\"), Err(LineError::Backslash));
        assert_eq!(split("cat a | sh"), Err(LineError::Operator('|')));
        assert_eq!(split(&"a ".repeat(WORDS_MOST + 1)), Err(LineError::TooMany));
    }

    #[test]
    fn a_quoted_word_comes_back() {
        for word in ["", "a", "a b", "it's", "#x", "a\\b", "-l", "a|b\n"] {
            assert_eq!(split(&quote(word)), Ok(vec![word.to_owned()]));
        }
    }

    #[test]
    fn what_is_nearly_a_name_is_found() {
        let names = ["status", "network", "ls", "exit"];
        assert_eq!(nearest("statsu", names.into_iter()), Some("status"));
        assert_eq!(nearest("quit", names.into_iter()), Some("exit"));
        assert_eq!(nearest("reboot", names.into_iter()), None);
    }
}
