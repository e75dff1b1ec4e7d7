//! HTML from two kinds of text: markup, which is known when this is compiled, and everything else, which is escaped.

use std::fmt::{self, Write as _};

/// A page in the making.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup. It cannot come from anywhere but this program's own text.
    pub(super) fn raw(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Anything else, escaped.
    pub(super) fn text(&mut self, text: impl fmt::Display) {
        // A string takes everything.
        let _ = write!(Escaping(&mut self.0), "{text}");
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Writes text so that it is nothing but text, in an element and in an attribute. Controls and what turns the direction
/// of writing become `·`.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(' '),
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    self.0.push('·');
                }
                c if c.is_control() => self.0.push('·'),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}
