//! What stands behind a path's question mark: names and values, within bounds. It never gives one a meaning.

use super::problem::Problem;

/// The most pairs.
const PAIRS: usize = 32;

/// Pairs of names and values.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query as browsers write one (WHATWG URL, "application/x-www-form-urlencoded parsing"), but that what is no UTF-8 is an
    /// error. Only these names may be there, each once.
    pub(super) fn parse(query: &str, names: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(wrong("this is no text in UTF-8", names));
            };
            if !names.contains(&name.as_str()) {
                return Err(wrong("this is not asked for so", names));
            }
            if pairs.len() >= PAIRS || pairs.iter().any(|(one, _)| *one == name) {
                return Err(wrong("something is there twice", names));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// A value that is there and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, value)| one == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The same as a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse().ok().filter(|_| is_number) {
            Some(number) => Ok(Some(number)),
            None => Err(Problem::field(name, "this is no number, or too large", "a whole number, as 200")),
        }
    }
}

fn wrong(what: &str, names: &[&str]) -> Problem {
    Problem::field("query", what, format!("each of these at most once: {}", names.join(", ")))
}

/// `%XX` and `+` as what they stand for; none when that is no UTF-8, or no two digits stand there.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || {
                    rest.next()
                        .and_then(|byte| char::from(byte).to_digit(16))
                        .and_then(|it| u8::try_from(it).ok())
                };
                digit()? << 4 | digit()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_browsers_write_it_and_no_other_way() {
        let query = Query::parse("text=a+%26%20%C3%A4&most=20&who=", &["text", "most", "who"]).unwrap();
        assert_eq!(query.text("text"), Some("a & ä"));
        assert_eq!(query.number::<u16>("most").unwrap(), Some(20));
        assert_eq!((query.text("who"), query.number::<u64>("who").unwrap()), (None, None));
        for wrong in ["x=1", "text=%", "text=%4", "text=%zz", "text=%ff", "text=1&text=2", "most"] {
            assert!(Query::parse(wrong, &["text"]).is_err(), "{wrong}");
        }
        for wrong in ["most=-1", "most=+1", "most=1x", "most=65536"] {
            assert!(Query::parse(wrong, &["most"]).unwrap().number::<u16>("most").is_err(), "{wrong}");
        }
    }
}
